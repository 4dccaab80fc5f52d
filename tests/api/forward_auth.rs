//! `ANY /api/v1/auth/forward`: a proxy asks whether a request may pass (contract 4.4). What each product's page promises is
//! in `tests/profiles`; here is what holds in all of them.

use std::time::Duration;

use jeton_test_macros::both_databases;
use serde_json::json;

use crate::harness::{Answer, ApiKey, Jeton, Jwt, Request, Tenant, at_once};

const PATH: &str = "/api/v1/auth/forward";

/// What nginx asks about a request.
fn ask(jeton: &Jeton, method: &str, target: &str) -> Request {
    jeton.get(PATH).header("X-Original-Method", method).header("X-Original-URI", target)
}

/// The same with an API key of the tenant, which the profile `engium` reads as Bearer.
fn with_key(jeton: &Jeton, key: &ApiKey, method: &str, target: &str) -> Answer {
    ask(jeton, method, target).bearer(&key.key).tenant(&key.tenant_id).send()
}

#[track_caller]
fn expect_admitted(answer: Answer) -> (Answer, Jwt) {
    let answer = answer.expect_status(200);
    assert!(answer.body.is_empty(), "nothing in the body: {}", answer.told());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let token = answer.header("authorization").and_then(|value| value.strip_prefix("Bearer ")).unwrap().to_owned();
    (answer, Jwt::parse(&token))
}

/// A product whose rows show what the language can say.
const PROFILE: &str = r#"
name = "acme"
[key]
prefix = "acme_"
alphabet = "base62"
[[key.deprecated]]
query = "api_key"
enabled = true
since = 2020-04-01
sunset = 2099-01-01
[[key.deprecated]]
body = "api_key"
enabled = true
since = 2020-04-01
sunset = 2020-05-01
[tenant]
locator = "key"
[roles.clerk]
management = ["users:write"]
[scopes]
"a:read" = { roles = ["member", "clerk"] }
"a:write" = {}
[access_types.wide]
management = true
[access_types.narrow]
constraints = ["channels"]
[[endpoints]]
method = "GET"
path = "/a/**"
scope = "a:read"
[[endpoints]]
method = "*"
path = "/a/Admin/**"
scope = "a:write"
[[endpoints]]
method = "POST"
path = "/a/{id}"
access_types = ["wide"]
[[endpoints]]
method = "GET"
path = "/open"
"#;

fn with_profile(jeton: Jeton, text: &str) -> Jeton {
    let file = jeton.folder().join("acme.toml");
    std::fs::write(&file, text).unwrap();
    jeton.with("profile", &file.display().to_string())
}

#[both_databases]
fn a_key_becomes_a_token_with_the_scope_that_the_endpoint_needs(jeton: Jeton) {
    let jeton = jeton.with("profile", "engium");
    let tenant = jeton.tenant();
    let key = tenant.api_key(["bookings:write", "bookings:read", "messages:read"]);
    let (answer, jwt) = expect_admitted(with_key(&jeton, &key, "GET", "/api/v1/bookings/7?full=1"));
    jwt.verify(&jeton.jwks());
    assert_eq!((jwt.text("scope"), jwt.text("sub"), jwt.text("tenant_id")), ("bookings:read", &*key.id, &*tenant.id));
    assert_eq!(jwt.number("exp") - jwt.number("iat"), 900);
    assert_eq!(answer.header("x-tenant-id"), Some(&*tenant.id));
    assert_eq!(answer.header("x-auth-subject"), Some(&*key.id));
    assert_eq!(answer.header("x-auth-scope"), Some("bookings:read"));
    assert!(!format!("{answer:?}").contains(&key.key), "never the key");
}

#[both_databases]
fn both_families_of_headers_and_every_method_are_understood(jeton: Jeton) {
    let jeton = jeton.with("profile", "engium");
    let key = jeton.tenant().api_key(["bookings:read", "bookings:write"]);
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let request = jeton.client().call(method, PATH).bearer(&key.key).tenant(&key.tenant_id);
        request
            .header("X-Forwarded-Method", "DELETE")
            .header("X-Forwarded-Uri", "/api/v1/bookings/1")
            .send()
            .expect_status(200);
    }
    let envoy = jeton.client().call("PATCH", format!("{PATH}/api/v1/bookings/1?x=1"));
    let (answer, _) = expect_admitted(envoy.bearer(&key.key).tenant(&key.tenant_id).send());
    assert_eq!(answer.header("x-auth-scope"), Some("bookings:write"));
    let head = with_key(&jeton, &key, "HEAD", "/api/v1/bookings");
    assert_eq!(expect_admitted(head).0.header("x-auth-scope"), Some("bookings:read"));
    let trace = jeton.client().raw(format!("TRACE {PATH} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes());
    assert!(trace.starts_with("HTTP/1.1 405"), "{trace}");
}

#[both_databases]
fn an_original_request_that_is_told_twice_or_by_halves_is_refused(jeton: Jeton) {
    let jeton = jeton.with("profile", "engium");
    let key = jeton.tenant().api_key(["bookings:read"]);
    let plain = || jeton.get(PATH).bearer(&key.key).tenant(&key.tenant_id);
    let told = [
        vec![],
        vec![("X-Original-URI", "/api/v1/bookings")],
        vec![("X-Original-Method", "GET")],
        vec![("X-Original-Method", "GET"), ("X-Forwarded-Uri", "/api/v1/bookings")],
        vec![
            ("X-Original-Method", "GET"),
            ("X-Original-URI", "/api/v1/bookings"),
            ("X-Forwarded-Method", "GET"),
            ("X-Forwarded-Uri", "/api/v1/bookings"),
        ],
        vec![("X-Original-Method", "GET"), ("X-Original-URI", "/api/v1/bookings"), ("X-Original-URI", "/api/v1/x")],
        vec![
            ("X-Original-Method", "GET"),
            ("X-Original-URI", "/api/v1/bookings"),
            ("X-HTTP-Method-Override", "DELETE"),
        ],
    ];
    for headers in told {
        let request = headers.iter().fold(plain(), |request, (name, value)| request.header(name, value));
        request.send().expect_problem(400, "malformed_request");
    }
    let both = jeton.get(format!("{PATH}/api/v1/bookings")).header("X-Original-Method", "GET");
    let both = both.header("X-Original-URI", "/api/v1/bookings").bearer(&key.key).tenant(&key.tenant_id);
    both.send().expect_problem(400, "malformed_request");
}

#[both_databases]
fn no_spelling_of_a_path_gets_past_its_rule(jeton: Jeton) {
    let jeton = with_profile(jeton, PROFILE);
    let tenant = jeton.tenant();
    let key = tenant.api_key_with(json!({"access_type": "narrow", "scopes": ["a:read"]}));
    let get = |target: &str| ask(&jeton, "GET", target).bearer(&key.key).send();
    for good in ["/a", "/a/", "/a/b", "/a/b/c?x=/../", "/a/%62", "/a/b%20c", "/a/B"] {
        get(good).expect_status(200);
    }
    get("/a/Admin/users").expect_problem(403, "insufficient_scope");
    get("/a/%41dmin/users").expect_problem(403, "insufficient_scope");
    for other_case in ["/a/admin/users", "/a/ADMIN", "/A/Admin", "/A/b"] {
        get(other_case).expect_problem(403, "endpoint_not_listed");
    }
    for ambiguous in [
        "/a/x/../Admin/users",
        "/a/./Admin/users",
        "/a/%2e%2e/Admin",
        "/a/.%2E/Admin",
        "/a//Admin/users",
        "//a/Admin",
        "/a/x%2fAdmin",
        "/a/x%5cAdmin",
        "/a/;/Admin",
        "/a/..;/Admin",
        "/a/Admin;x=1/users",
        "/a/Admin%00",
        "/a/%0aAdmin",
        "/a/%252e%252e/Admin",
        "/a/%c0%ae%c0%ae/Admin",
        "/a/%",
        "/a/%zz",
        "/a/Admin#x",
        "a/b",
        "http://evil/a/b",
        "*",
        "",
    ] {
        let answer = get(ambiguous);
        assert!(answer.status == 400, "{ambiguous}: {}", answer.told());
    }
    for method in ["get", "Get", "gET", "GET,POST", "G T"] {
        let answer = ask(&jeton, method, "/a/b").bearer(&key.key).send();
        answer.expect_problem(400, "malformed_request");
    }
    for method in ["OPTIONS", "TRACE", "CONNECT", "PROPFIND", "DELETE"] {
        ask(&jeton, method, "/a/b").bearer(&key.key).send().expect_problem(403, "endpoint_not_listed");
    }
}

#[both_databases]
fn what_the_table_does_not_list_is_refused(jeton: Jeton) {
    let tenant = jeton.tenant();
    let key = tenant.api_key(["a:b"]);
    let answer = with_key(&jeton, &key, "GET", "/anything");
    answer.expect_problem(403, "endpoint_not_listed");
    ask(&jeton, "GET", "/anything").tenant(&tenant.id).send().expect_problem(401, "invalid_api_key");
    let unknown = ask(&jeton, "GET", "/anything").bearer(&format!("jtn_live_{}", "0".repeat(32)));
    unknown.tenant(&tenant.id).send().expect_problem(401, "invalid_api_key");
}

#[both_databases]
fn a_refusal_is_repeated_in_headers_for_proxies_that_drop_bodies(jeton: Jeton) {
    let jeton = jeton.with("profile", "engagetrack");
    let tenant = jeton.tenant();
    let answer = ask(&jeton, "GET", &format!("/api/v1/organizations/{}/sites", tenant.id)).bearer("nonsense").send();
    let answer = answer.expect_problem(401, "invalid_api_key");
    assert_eq!(answer.header("x-auth-status"), Some("401"));
    assert_eq!(answer.header("x-auth-problem").map(str::as_bytes), Some(&*answer.body));
    let elsewhere = jeton.post("/api/v1/auth/exchange").tenant(&tenant.id).send();
    assert_eq!(elsewhere.header("x-auth-problem"), None, "only where a proxy asks");
}

#[both_databases]
fn only_a_trusted_proxy_may_ask(jeton: Jeton) {
    let jeton = jeton.with("server.bind", "0.0.0.0:0");
    let key = jeton.tenant().api_key([]);
    let port = jeton.client().address().rsplit(':').next().unwrap().to_owned();
    let Some(own) = own_address() else { return };
    let outside = crate::harness::Client::new(&format!("{own}:{port}"));
    let ask = |client: &crate::harness::Client| {
        let request = client.get(PATH).header("X-Original-Method", "GET").header("X-Original-URI", "/x");
        request.bearer(&key.key).tenant(&key.tenant_id).send()
    };
    ask(&outside).expect_problem(403, "ip_not_allowed");
    let inside = crate::harness::Client::new(&format!("127.0.0.1:{port}"));
    ask(&inside).expect_problem(403, "endpoint_not_listed");
}

/// An address of this machine that is not loopback, where it has one; nothing is sent.
fn own_address() -> Option<std::net::IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

#[both_databases]
fn a_request_has_one_credential(jeton: Jeton) {
    let jeton = jeton.with("profile", "optimove");
    let tenant = jeton.tenant();
    let key = tenant.api_key_with(json!({"access_type": "admin", "contact_email": "ada@example.com"}));
    let ask = || ask(&jeton, "GET", "/current/general");
    expect_admitted(ask().header("X-API-Key", &key.key).send());
    ask().header("X-API-Key", &key.key).bearer(&key.key).send().expect_problem(400, "malformed_request");
    ask().header("X-API-Key", &key.key).header("X-API-Key", "x").send().expect_problem(400, "malformed_request");
    ask().bearer(&key.key).send().expect_problem(401, "invalid_api_key");
    ask().basic(&key.id, &key.key).send().expect_problem(401, "invalid_api_key");
    ask().header("Authorization", "Token x").send().expect_problem(401, "invalid_api_key");
    ask().header("Authorization", "nonsense").send().expect_problem(401, "invalid_api_key");
    ask().send().expect_problem(401, "invalid_api_key");
}

#[both_databases]
fn a_token_of_ours_is_passed_on_while_what_it_rests_on_lives(jeton: Jeton) {
    let jeton = jeton.with("profile", "engium");
    let tenant = jeton.tenant();
    let key = tenant.api_key(["bookings:read"]);
    let session = tenant.user("member").session();
    let get = |token: &str| ask(&jeton, "GET", "/api/v1/bookings").bearer(token).tenant(&tenant.id).send();
    let token = key.token();
    let (answer, _) = expect_admitted(get(&token));
    assert_eq!(answer.header("authorization"), Some(&*format!("Bearer {token}")), "as it is");
    let (answer, jwt) = expect_admitted(get(&session.access_token));
    assert_eq!(answer.header("x-auth-subject"), Some(jwt.text("sub")));
    let other = jeton.tenant();
    let elsewhere = ask(&jeton, "GET", "/api/v1/bookings").bearer(&token).tenant(&other.id).send();
    elsewhere.expect_problem(403, "tenant_mismatch");

    tenant.admin().revoke(&key).expect_status(204);
    get(&token).expect_problem(401, "invalid_token");
    session.logout().expect_status(204);
    get(&session.access_token).expect_problem(401, "invalid_token");
    get("a.b.c").expect_problem(401, "invalid_token");
    get(&session.refresh_token).expect_problem(401, "invalid_api_key");
}

#[both_databases]
fn access_types_bind_keys_their_tokens_and_users(jeton: Jeton) {
    let jeton = with_profile(jeton, PROFILE);
    let tenant = jeton.tenant();
    let wide = tenant.api_key_with(json!({"access_type": "wide", "scopes": ["a:read"]}));
    let narrow = tenant.api_key_with(json!({"access_type": "narrow", "scopes": ["a:read"]}));
    let member = tenant.user("member").session();
    let post = |credential: &str| ask(&jeton, "POST", "/a/7").bearer(credential).send();
    let (_, jwt) = expect_admitted(post(&wide.key));
    assert_eq!((jwt.text("access_type"), jwt.text("scope")), ("wide", ""), "no scope is needed, so none is given");
    expect_admitted(post(&wide.token()));
    post(&narrow.key).expect_problem(403, "access_type_not_allowed");
    post(&narrow.token()).expect_problem(403, "access_type_not_allowed");
    post(&member.access_token).expect_problem(403, "access_type_not_allowed");
    let get = |credential: &str, path| ask(&jeton, "GET", path).bearer(credential).send();
    expect_admitted(get(&member.access_token, "/a/7"));
    expect_admitted(get(&member.access_token, "/open"));
    get(&tenant.admin().session().access_token, "/a/7").expect_problem(403, "insufficient_scope");
}

#[both_databases]
fn a_checksum_refuses_typing_errors_without_the_database(jeton: Jeton) {
    let jeton = with_profile(jeton, PROFILE);
    let key = jeton.tenant().api_key_with(json!({"access_type": "narrow", "scopes": ["a:read"]}));
    assert!(key.key.starts_with("acme_live_") && key.key.len() == "acme_live_".len() + 28, "{}", key.key);
    expect_admitted(ask(&jeton, "GET", "/a").bearer(&key.key).send());
    let last = if key.key.ends_with('x') { "y" } else { "x" };
    let typed = format!("{}{last}", &key.key[..key.key.len() - 1]);
    ask(&jeton, "GET", "/a").bearer(&typed).send().expect_problem(401, "invalid_api_key");
}

#[both_databases]
fn old_ways_are_marked_and_end(jeton: Jeton) {
    let jeton = with_profile(jeton, PROFILE);
    let key = jeton.tenant().api_key_with(json!({"access_type": "narrow", "scopes": ["a:read"]}));
    let (answer, _) = expect_admitted(ask(&jeton, "GET", &format!("/a/b?x=1&api_key={}", key.key)).send());
    assert_eq!(answer.header("deprecation"), Some("@1585699200"));
    assert_eq!(answer.header("sunset"), Some("Thu, 01 Jan 2099 00:00:00 GMT"));
    let (answer, _) = expect_admitted(ask(&jeton, "GET", "/a/b").bearer(&key.key).send());
    assert_eq!(answer.header("deprecation"), None);
    let twice = format!("/a/b?api_key={0}&api_key={0}", key.key);
    ask(&jeton, "GET", &twice).send().expect_problem(400, "malformed_request");
    let both = ask(&jeton, "GET", &format!("/a/b?api_key={}", key.key)).bearer(&key.key);
    both.send().expect_problem(400, "malformed_request");
    // The sunset of the body has passed.
    let in_body = jeton.post(PATH).header("X-Original-Method", "GET").header("X-Original-URI", "/a/b");
    in_body.json(json!({"api_key": key.key})).expect_problem(401, "invalid_api_key");
    jeton.advance(Duration::from_hours(24 * 365 * 80));
    let late = ask(&jeton, "GET", &format!("/a/b?api_key={}", key.key)).send();
    late.expect_problem(401, "invalid_api_key");
}

#[both_databases]
fn a_revoked_key_is_refused_at_once(jeton: Jeton) {
    let jeton = jeton.with("profile", "engium");
    let tenant = jeton.tenant();
    let key = tenant.api_key(["bookings:read"]);
    expect_admitted(with_key(&jeton, &key, "GET", "/api/v1/bookings"));
    tenant.admin().revoke(&key).expect_status(204);
    with_key(&jeton, &key, "GET", "/api/v1/bookings").expect_problem(401, "invalid_api_key");
}

#[both_databases]
fn a_key_manages_only_where_its_access_type_says_so(jeton: Jeton) {
    let jeton = with_profile(jeton, PROFILE);
    let tenant = jeton.tenant();
    let scopes = json!(["api-keys:read", "api-keys:write", "users:write", "a:read"]);
    let manager = tenant.api_key_with(json!({"access_type": "wide", "scopes": scopes}));
    let refused = tenant.admin().create_api_key(json!({"access_type": "narrow", "scopes": scopes}));
    refused.expect_field("scopes");
    let token = manager.token();
    let call = |method: &str, path: &str| jeton.client().call(method, tenant.path(path)).bearer(&token);
    let made =
        call("POST", "api-keys").json(json!({"name": "Made by a key", "access_type": "narrow", "scopes": ["a:write"]}));
    assert_eq!(made.expect_status(201).text("created_by"), format!("api-key:{}", manager.id));
    // Nobody gives more power than they have: neither to a key, nor to a person, nor by taking over another key.
    let more = json!({"name": "More", "access_type": "wide", "scopes": ["users:read"]});
    call("POST", "api-keys").json(more).expect_problem(403, "insufficient_scope");
    let admin = json!({"email": "mallory@example.com", "role": "admin"});
    call("POST", "users").json(admin).expect_problem(403, "insufficient_scope");
    let auditor = tenant.api_key_with(json!({"access_type": "wide", "scopes": ["audit:read"]}));
    call("POST", &format!("api-keys/{}/rotate", auditor.id)).json(json!({})).expect_problem(403, "insufficient_scope");
    call("POST", &format!("api-keys/{}/rotate", manager.id)).json(json!({"overlap_seconds": 60})).expect_status(201);

    let audit = jeton.get(tenant.path("audit-events")).bearer(&token).send();
    audit.expect_problem(403, "insufficient_scope");
    jeton.get("/api/v1/tenants").bearer(&token).send().expect_problem(403, "access_type_not_allowed");
    jeton.get("/api/v1/auth/me").bearer(&token).send().expect_problem(403, "access_type_not_allowed");
    let other = jeton.tenant();
    jeton.get(other.path("api-keys")).bearer(&token).send().expect_problem(403, "tenant_mismatch");
    tenant.admin().revoke(&manager).expect_status(204);
    call("GET", "api-keys").send().expect_problem(401, "invalid_token");
}

#[both_databases]
fn a_role_of_the_profile_cannot_raise_itself(jeton: Jeton) {
    let jeton = with_profile(jeton, PROFILE);
    let tenant = jeton.tenant();
    let clerk = tenant.user("clerk");
    let raise = clerk.patch(tenant.path(&format!("users/{}", clerk.id)), json!({"role": "admin"}));
    raise.expect_problem(403, "insufficient_scope");
    let friend = json!({"email": "friend@example.com", "role": "member"});
    clerk.post(tenant.path("users"), friend).expect_status(201);
    let unknown = json!({"email": "friend2@example.com", "role": "owner"});
    clerk.post(tenant.path("users"), unknown).expect_field("role");
}

#[both_databases]
fn a_group_gives_its_keys_their_rights_and_takes_them_along(jeton: Jeton) {
    let jeton = with_profile(jeton, PROFILE);
    let tenant = jeton.tenant();
    let admin = tenant.admin();
    let group = |members| admin.post(tenant.path("key-groups"), members);
    group(json!({"name": "G", "scopes": ["a:read"]})).expect_field("access_type");
    group(json!({"name": "G", "access_type": "narrow", "scopes": ["b:read"]})).expect_field("scopes");
    let made = group(json!({"name": "G", "access_type": "narrow", "scopes": ["a:read", "a:write"]})).expect_status(201);
    let id = made.text("id");
    let keys = at_once(3, |_| tenant.api_key_with(json!({"group_id": id})));
    for key in &keys {
        let (_, jwt) = expect_admitted(ask(&jeton, "GET", "/a/Admin").bearer(&key.key).send());
        assert_eq!((jwt.text("group_id"), jwt.text("access_type")), (&*id, "narrow"));
    }
    let shown = admin.get(keys[0].path()).expect_status(200).json();
    assert_eq!((&shown["group_id"], &shown["scopes"]), (&json!(id), &json!(["a:read", "a:write"])));
    let same = admin.create_api_key(json!({"group_id": id, "scopes": ["a:write", "a:read"], "access_type": "narrow"}));
    same.expect_status(201);
    admin.create_api_key(json!({"group_id": id, "scopes": ["a:read"]})).expect_field("scopes");
    admin.create_api_key(json!({"group_id": id, "access_type": "wide"})).expect_field("access_type");
    admin.create_api_key(json!({"group_id": tenant.id})).expect_field("group_id");
    jeton.tenant().admin().create_api_key(json!({"group_id": id})).expect_field("group_id");

    admin.delete(tenant.path(&format!("key-groups/{id}"))).expect_status(204);
    admin.delete(tenant.path(&format!("key-groups/{id}"))).expect_problem(404, "not_found");
    for key in &keys {
        key.exchange().expect_problem(401, "invalid_api_key");
    }
    admin.create_api_key(json!({"group_id": id})).expect_field("group_id");
    assert_eq!(jeton.audited("key_group.deleted"), 1);
}

#[both_databases]
fn constraints_travel_in_the_token(jeton: Jeton) {
    let jeton = with_profile(jeton, PROFILE);
    let tenant = jeton.tenant();
    let with = |constraints| json!({"access_type": "narrow", "scopes": ["a:read"], "constraints": constraints});
    let key = tenant.api_key_with(with(json!({"channels": ["email", "sms"]})));
    let (_, jwt) = expect_admitted(ask(&jeton, "GET", "/a").bearer(&key.key).send());
    assert_eq!(jwt.claims["constraints"], json!({"channels": ["email", "sms"]}));
    let rotated = tenant.admin().rotate(&key, json!({})).expect_status(201);
    assert_eq!(rotated.json()["constraints"], json!({"channels": ["email", "sms"]}));
    let none = tenant.api_key_with(with(json!({"channels": []})));
    let (_, jwt) = expect_admitted(ask(&jeton, "GET", "/a").bearer(&none.key).send());
    assert_eq!(jwt.claims["constraints"], json!(null), "none chosen, all permitted");
    for bad in [json!({"colours": ["red"]}), json!({"channels": "email"}), json!({"channels": [""]}), json!(["x"])] {
        tenant.admin().create_api_key(with(bad)).expect_problem(422, "validation_failed");
    }
    let wide = json!({"access_type": "wide", "constraints": {"channels": ["email"]}});
    tenant.admin().create_api_key(wide).expect_field("constraints");
}

#[both_databases]
fn the_rate_of_a_key_is_limited(jeton: Jeton) {
    let jeton = with_profile(jeton, &format!("{PROFILE}\n[limits]\nrequests_per_minute = 5\n"));
    let tenant = jeton.tenant();
    let key = tenant.api_key_with(json!({"access_type": "narrow", "scopes": ["a:read"]}));
    let get = || ask(&jeton, "GET", "/a").bearer(&key.key).send();
    for left in (0..5).rev() {
        let (answer, _) = expect_admitted(get());
        assert_eq!(answer.header("ratelimit-policy"), Some("\"key\";q=5;w=60"));
        assert!(answer.header("ratelimit").is_some_and(|r| r.starts_with(&format!("\"key\";r={left};t="))), "{left}");
    }
    let refused = get().expect_problem(429, "rate_limited");
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=12).contains(&wait), "{wait}");
    assert_eq!(refused.header("ratelimit").map(|r| r.starts_with("\"key\";r=0;t=")), Some(true));
    key.exchange().expect_problem(429, "rate_limited");
    let other = tenant.api_key_with(json!({"access_type": "narrow", "scopes": ["a:read"]}));
    expect_admitted(ask(&jeton, "GET", "/a").bearer(&other.key).send());
    jeton.advance(Duration::from_secs(wait));
    expect_admitted(get());
    jeton.advance(Duration::from_mins(1));
    let tokens: Vec<_> = at_once(8, |_| get().status);
    assert_eq!(tokens.iter().filter(|status| **status == 200).count(), 5, "{tokens:?}");
}

#[both_databases]
fn servers_share_a_limit(jeton: Jeton) {
    let jeton = with_profile(jeton, &format!("{PROFILE}\n[limits]\nrequests_per_minute = 60\n"));
    let tenant = jeton.tenant();
    let key = tenant.api_key_with(json!({"access_type": "narrow", "scopes": ["a:read"]}));
    let (server, second) = jeton.second();
    // Each learns of the other at its next heartbeat.
    std::thread::sleep(Duration::from_secs(5));
    let clients = [jeton.client(), second];
    let admitted = at_once(2, |number| {
        let ask = || {
            let request = clients[number].get(PATH).header("X-Original-Method", "GET").header("X-Original-URI", "/a");
            request.bearer(&key.key).send().status
        };
        (0..60).filter(|_| ask() == 200).count()
    });
    let all: usize = admitted.iter().sum();
    assert!((54..=66).contains(&all), "60 within 10 %: {admitted:?}");
    drop(server);
}

#[both_databases]
fn the_key_limit_is_exact_under_parallel_creations_on_two_servers(jeton: Jeton) {
    let jeton = with_profile(jeton, &format!("{PROFILE}\n[limits]\nkeys_per_tenant = 10\n"));
    let tenant = jeton.tenant();
    let token = tenant.admin().token().to_owned();
    let (server, second) = jeton.second();
    let clients = [jeton.client(), second];
    let made = at_once(50, |number| {
        let body = json!({"name": format!("Key {number}"), "access_type": "narrow"});
        clients[number % 2].post(tenant.path("api-keys")).bearer(&token).json(body)
    });
    let created = made.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(created, 10);
    for answer in made.into_iter().filter(|answer| answer.status != 201) {
        answer.expect_problem(409, "api_key_limit_reached");
    }
    let listed = tenant.admin().get(tenant.path("api-keys")).items().len();
    assert_eq!(listed, 10);
    drop(server);
}

#[both_databases]
fn app_identifiers_are_public_names(jeton: Jeton) {
    let tenant: Tenant = jeton.tenant();
    let admin = tenant.admin();
    let made = admin.post(tenant.path("app-identifiers"), json!({"name": "Ice Cream", "platform": "iOS"}));
    let made = made.expect_status(201).json();
    assert_eq!((&made["app_id"], &made["platform"]), (&made["id"], &json!("iOS")));
    let path = tenant.path(&format!("app-identifiers/{}", made["id"].as_str().unwrap()));
    assert_eq!(admin.get(&path).expect_status(200).json(), made);
    assert_eq!(admin.get(tenant.path("app-identifiers")).items(), std::slice::from_ref(&made));
    admin.post(tenant.path("app-identifiers"), json!({"name": "x", "scopes": []})).expect_field("scopes");
    jeton.tenant().admin().get(&path).expect_problem(403, "tenant_mismatch");
    let foreign = jeton.tenant();
    let id = made["id"].as_str().unwrap();
    foreign.admin().get(foreign.path(&format!("app-identifiers/{id}"))).expect_problem(404, "not_found");
    admin.delete(&path).expect_status(204);
    admin.delete(&path).expect_problem(404, "not_found");
    assert_eq!(jeton.audited("app_identifier"), 2);
}
