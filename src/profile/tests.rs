use super::*;
use crate::domain::original_request::{Method, RequestPath};
use crate::domain::{Role, Scope};

/// A sound profile, to be spoiled.
const SOUND: &str = r#"
name = "acme"

[key]
prefix = "acme_"
read_from = ["bearer", { header = "X-Acme-Key" }]
required = ["contact_email"]

[key.placeholder]

[tenant]
locator = "header"

[roles.agent]
management = ["users:read"]

[scopes]
"a:read" = { description = "Read", roles = ["member", "agent"] }
"a:write" = { access_types = ["full"] }

[access_types.full]
management = true
constraints = ["channels"]

[access_types.some]

[[plans]]
name = "free"
title = "Free"
api_keys = false

[[plans]]
name = "pro"
title = "Pro"
keys_per_tenant = 3
requests_per_minute = 60

[[endpoints]]
method = "GET"
path = "/a/**"
scope = "a:read"

[[endpoints]]
method = ["POST", "PUT"]
path = "/a/{id}"
scope = "a:write"
access_types = ["full"]
"#;

fn sound() -> String {
    SOUND.replace("[key.placeholder]\n", "")
}

fn read(text: &str) -> Result<Profile, String> {
    compile::compile(text, Path::new("acme.toml")).map_err(|error| error.to_string())
}

#[test]
fn the_built_in_profiles_are_sound() {
    for (name, _) in BUILT_IN {
        let profile = Profile::load(name).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(profile.name, name);
        assert!(!profile.description.is_empty(), "{name}");
    }
    let error = Profile::load("no/such.toml").unwrap_err().to_string();
    assert!(error.contains("no/such.toml") && error.contains("optimove"), "{error}");
}

#[test]
fn a_fault_is_told_with_file_line_and_key() {
    for (right, wrong, key, says) in [
        ("name = \"acme\"", "nama = \"acme\"", "nama", "unknown field"),
        ("prefix = \"acme_\"", "prefix = \"a b\"", "key.prefix", "1 to 16"),
        ("prefix = \"acme_\"", "prefix = \"acme_\"\nenvironments = []", "key.environments", "one environment"),
        ("prefix = \"acme_\"", "prefix = \"acme_\"\nalphabet = \"hex\"", "key.alphabet", "hex32"),
        ("[\"bearer\", {", "[\"cookie\", {", "key.read_from[0]", "unknown variant"),
        ("[\"bearer\", {", "[\"bearer\", \"bearer\", {", "key.read_from[1]", "twice"),
        ("[\"bearer\", {", "[\"basic\", {", "key.read_from[0]", "id_and_secret"),
        ("X-Acme-Key", "Cookie", "key.read_from[1]", "X-API-Key"),
        ("[\"contact_email\"]", "[\"email\"]", "key.required[0]", "unknown variant"),
        ("locator = \"header\"", "locator = \"path\"", "endpoints[0].path", "{tenant_id}"),
        ("[\"users:read\"]", "[\"users:all\"]", "roles.agent.management[0]", "must be one of"),
        ("roles = [\"member\", \"agent\"]", "roles = [\"boss\"]", "scopes.\"a:read\".roles[0]", "no such role"),
        ("\"a:read\" = {", "a = {", "scopes.a", "resource:action"),
        ("\"a:read\" = {", "\"users:read\" = {", "scopes.\"users:read\"", "Jeton's own"),
        ("access_types = [\"full\"] }", "access_types = [\"half\"] }", "scopes.\"a:write\".access_types[0]", "half"),
        ("name = \"pro\"", "name = \"free\"", "plans[1].name", "twice"),
        ("api_keys = false", "api_keys = 0", "plans[0].api_keys", "boolean"),
        ("requests_per_minute = 60", "requests_per_minute = 0", "plans[1].requests_per_minute", "zero"),
        ("scope = \"a:read\"", "scope = \"b:read\"", "endpoints[0].scope", "there is no scope `b:read`"),
        ("scope = \"a:read\"", "scope = \"api-keys:write\"", "endpoints[0].scope", "Jeton's own"),
        ("method = \"GET\"", "method = \"get\"", "endpoints[0].method", "GET, POST"),
        ("path = \"/a/{id}\"", "path = \"/a/{id\"", "endpoints[1].path", "{id"),
        ("access_types = [\"full\"]\n", "access_types = [\"fool\"]\n", "endpoints[1].access_types[0]", "fool"),
        ("access_types = [\"full\"]\n", "access_types = [\"some\"]\n", "endpoints[1].access_types", "hold the scope"),
    ] {
        let text = sound().replacen(right, wrong, 1);
        assert_ne!(text, sound(), "{right}");
        let error = read(&text).map(|_| ()).unwrap_err();
        let told = error.strip_prefix("acme.toml:").unwrap_or_else(|| panic!("{error}"));
        let (line, told) = told.split_once(": ").unwrap();
        assert!(told.starts_with(&format!("`{key}`: ")), "{key} is named: {error}");
        assert!(told.contains(says), "it says {says}: {error}");
        let at = text.lines().nth(line.parse::<usize>().unwrap() - 1).unwrap();
        // What is at fault stands where it was changed, but for the path that does not name the tenant.
        let fault = if key == "endpoints[0].path" { "path = \"/a/**\"" } else { wrong };
        assert!(fault.lines().any(|fault| at.contains(fault)), "line `{at}` has `{fault}`: {error}");
    }
    let overlapping = format!("{}\n[[endpoints]]\nmethod = \"GET\"\npath = \"/a/**\"\n", sound());
    let error = read(&overlapping).map(|_| ()).unwrap_err();
    assert!(error.contains("`endpoints[2]`: overlaps with endpoints[0] (/a/**)"), "{error}");
    let row = "[[endpoints]]\nmethod = \"GET\"\npath = \"/r";
    let rows: Vec<String> = (0..=EndpointTable::MOST_ROWS).map(|number| format!("{row}{number}\"\n")).collect();
    let error = read(&[sound(), rows.concat()].concat()).map(|_| ()).unwrap_err();
    assert!(error.contains("`endpoints`: has more than 5000 rows"), "{error}");
    let error = read("name = ").map(|_| ()).unwrap_err();
    assert!(error.starts_with("acme.toml:1: "), "{error}");
    let old = |rows: &[(&str, &str)]| {
        let row = |(at, sunset): &(&str, &str)| {
            format!("\n[[key.deprecated]]\n{at}\nsince = 2020-01-01\nsunset = {sunset}\nenabled = true\n")
        };
        let rows: String = rows.iter().map(row).collect();
        read(&sound().replacen("\n[tenant]", &format!("{rows}\n[tenant]"), 1)).map(|_| ()).unwrap_err()
    };
    for (rows, key) in [
        (vec![("query = \"k\"", "2019-01-01")], "`key.deprecated[0].sunset`"),
        (vec![("query = \"\"", "2021-01-01")], "`key.deprecated[0]`"),
        (vec![("query = \"k\"", "2021-01-01"), ("query = \"k\"", "2022-01-01")], "`key.deprecated[1]`"),
    ] {
        let error = old(&rows);
        assert!(error.contains(key), "{error}");
    }
}

/// With an open catalogue too: forward auth would hand it to whoever is behind the row.
#[test]
fn no_endpoint_wants_a_scope_of_our_own() {
    let open = |scope: &str| {
        let row = format!("[[endpoints]]\nmethod = \"GET\"\npath = \"/\"\nscope = \"{scope}\"\n");
        read(&format!("name = \"open\"\n[key]\nprefix = \"o_\"\n{row}")).map(|_| ())
    };
    for scope in MANAGEMENT.iter().chain([&roles::OPERATOR_SCOPE]) {
        let error = open(scope).unwrap_err();
        assert!(error.starts_with("acme.toml:7: `endpoints[0].scope`: is one of Jeton's own scopes"), "{error}");
    }
    assert_eq!(open("goals:read"), Ok(()));
}

#[test]
fn roles_hold_what_the_profile_says() {
    let profile = read(&sound()).unwrap();
    let scopes = |role: &str| profile.roles.scopes(&role.parse().unwrap(), false);
    assert_eq!(scopes("agent").as_str(), "users:read a:read");
    assert_eq!(scopes("member").as_str(), "a:read");
    assert_eq!(scopes("admin").iter().count(), MANAGEMENT.len());
    assert_eq!(scopes("stranger"), Scopes::NONE);
    assert!(profile.roles.scopes(&Role::MEMBER, true).contains(roles::OPERATOR_SCOPE));
    assert!(profile.roles.ensure_known(&"stranger".parse().unwrap()).is_err());
}

#[test]
fn a_key_gets_what_its_access_type_may_have() {
    let profile = read(&sound()).unwrap();
    let email: Email = "ada@example.com".parse().unwrap();
    let none = IpAllowList::default();
    let ensure = |access_type: &str, scopes: &str, constraints: Option<&str>| {
        let access_type: Option<AccessTypeName> = access_type.parse().ok();
        let constraints: Option<Constraints> = constraints.map(|json| serde_json::from_str(json).unwrap());
        profile.ensure_key(&WantedKey {
            access_type: access_type.as_ref(),
            scopes: &scopes.parse().unwrap(),
            constraints: constraints.as_ref(),
            contact_email: Some(&email),
            expires_at: None,
            allowed_ips: &none,
        })
    };
    assert!(ensure("full", "a:read a:write users:read tokens:introspect", Some(r#"{"channels":["email"]}"#)).is_ok());
    assert!(ensure("some", "a:read tokens:introspect", None).is_ok());
    for (access_type, scopes, constraints) in [
        ("", "", None),
        ("other", "", None),
        ("some", "a:write", None),
        ("some", "users:read", None),
        ("full", "tenants:write", None),
        ("full", "b:read", None),
        ("some", "", Some(r#"{"channels":["email"]}"#)),
        ("full", "", Some(r#"{"colours":["red"]}"#)),
    ] {
        assert!(ensure(access_type, scopes, constraints).is_err(), "{access_type} {scopes} {constraints:?}");
    }
    let wanted = |scopes| WantedKey {
        access_type: None,
        scopes,
        constraints: None,
        contact_email: None,
        expires_at: None,
        allowed_ips: &none,
    };
    let anything: Scopes = "any:thing tenants:write".parse().unwrap();
    assert!(Profile::load("default").unwrap().ensure_key(&wanted(&anything)).is_ok(), "the open catalogue");
}

#[test]
fn plans_give_api_keys_and_limits() {
    let plans = read(&sound()).unwrap().plans;
    let refused = |plan| plans.ensure_api_keys(plan).map_err(|refusal| refusal.to_string());
    let required = "API key access requires a Pro plan or higher".to_owned();
    assert_eq!(refused(None), Err(required.clone()));
    assert_eq!(refused(Some("free")), Err(required.clone()));
    assert_eq!(refused(Some("gone from the profile")), Err(required));
    assert_eq!(refused(Some("pro")), Ok(()));
    assert_eq!(plans.limits(Some("pro")).keys_per_tenant, 3);
    assert_eq!(plans.limits(Some("free")).keys_per_tenant, 100);
    assert_eq!(plans.limits(Some("pro")).requests_per_minute.map(u32::from), Some(60));
    assert!(plans.ensure_known(Some("pro")).is_ok() && plans.ensure_known(Some("prof")).is_err());
}

#[test]
fn every_permission_of_braze_has_its_endpoint() {
    let profile = Profile::load("braze").unwrap();
    let catalogue = profile.catalogue().unwrap();
    assert_eq!(catalogue.len(), 63);
    for name in catalogue.keys() {
        let path = RequestPath::parse(&format!("/{}", name.replace('.', "/"))).unwrap();
        let met = [Method::Get, Method::Post].map(|method| profile.endpoints.find(method, &path).ok());
        let scopes: Vec<_> =
            met.iter().flatten().map(|found| found.endpoint.scope.as_ref().map(Scope::as_str)).collect();
        assert!(!scopes.is_empty() && scopes.iter().all(|scope| *scope == Some(name)), "{name}: {scopes:?}");
    }
}
