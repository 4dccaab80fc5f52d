//! What a profile says of keys, groups, roles, limits and plans, in every door (contract sections 4.2 and 6).

use std::time::Duration;

use jeton_test_macros::both_databases;
use serde_json::json;

use crate::exhaustion::until;
use crate::forward_auth::{PATH, ask, expect_admitted};
use crate::harness::{Jeton, Tenant, at_once};

/// A product whose rows show what the language can say.
pub const PROFILE: &str = r#"
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
sunset = 2099-01-01
[[key.deprecated]]
body = "old_key"
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

pub fn with_profile(jeton: Jeton, text: &str) -> Jeton {
    let file = jeton.folder().join("acme.toml");
    std::fs::write(&file, text).unwrap();
    jeton.with("profile", &file.display().to_string())
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
    let own = |token: &str| {
        let path = tenant.path(&format!("api-keys/{}/rotate", manager.id));
        jeton.post(path).bearer(token).json(json!({"overlap_seconds": 60}))
    };
    let narrowed = manager.exchange_for(json!({"scope": "api-keys:write"})).expect_tokens().text("access_token");
    own(&narrowed).expect_problem(403, "insufficient_scope");
    own(&token).expect_status(201);

    let audit = jeton.get(tenant.path("audit-events")).bearer(&token).send();
    audit.expect_problem(403, "insufficient_scope");
    jeton.get("/api/v1/tenants").bearer(&token).send().expect_problem(403, "access_type_not_allowed");
    jeton.get("/api/v1/auth/me").bearer(&token).send().expect_problem(403, "access_type_not_allowed");
    let other = jeton.tenant();
    jeton.get(other.path("api-keys")).bearer(&token).send().expect_problem(403, "tenant_mismatch");
    tenant.admin().revoke(&manager).expect_status(204);
    call("GET", "api-keys").send().expect_problem(401, "invalid_token");
}

/// Any key may hold this scope of management, and it tells the worth of every token of the tenant.
#[both_databases]
fn nobody_lets_a_key_ask_about_tokens_who_may_not_ask(jeton: Jeton) {
    let jeton = with_profile(jeton, &format!("{PROFILE}[roles.keymaker]\nmanagement = [\"api-keys:write\"]\n"));
    let tenant = jeton.tenant();
    let (admin, keymaker) = (tenant.admin(), tenant.user("keymaker"));
    let asking = |members: serde_json::Value| {
        let mut body = json!({"name": "Asks", "access_type": "narrow", "scopes": ["tokens:introspect"]});
        crate::harness::merge(&mut body, members);
        body
    };
    let detail = "Access token missing required scope: tokens:introspect";
    for what in ["api-keys", "key-groups"] {
        let refused = keymaker.post(tenant.path(what), asking(json!({})));
        refused.expect_problem(403, "insufficient_scope").expect_detail(detail);
        keymaker.post(tenant.path(what), asking(json!({"scopes": ["a:read"]}))).expect_status(201);
    }
    let group = admin.post(tenant.path("key-groups"), asking(json!({}))).expect_status(201).text("id");
    keymaker.create_api_key(json!({"group_id": group})).expect_problem(403, "insufficient_scope");
    let key = tenant.api_key_with(json!({"group_id": group}));
    keymaker.rotate(&key, json!({})).expect_problem(403, "insufficient_scope");
    let rotated = admin.rotate(&key, json!({})).expect_status(201).into_key(&tenant);
    jeton.cli(["api-key", "rotate", &rotated.id]).expect_code(0);
    let other = tenant.api_key_with(json!({"access_type": "narrow", "scopes": ["a:read"]}));
    keymaker.rotate(&other, json!({})).expect_status(201);
    keymaker.revoke(&other).expect_status(204);
}

/// Whoever tries to become an administrator is seen (security 25), whichever way they try.
#[both_databases]
fn who_reaches_for_more_than_they_hold_has_a_row_of_each_attempt(jeton: Jeton) {
    let management = r#"["api-keys:write", "trusted-issuers:write", "users:write"]"#;
    let jeton = with_profile(jeton, &format!("{PROFILE}[roles.climber]\nmanagement = {management}\n"));
    let tenant = jeton.tenant();
    let climber = tenant.user("climber");
    let admin = tenant.admin().id.clone();
    let body = json!({"email": "invited@example.com", "role": "admin", "one_time_password": true});
    let invited = tenant.admin().post(tenant.path("users"), body).expect_status(201).text("id");
    let key = tenant.api_key_with(json!({"access_type": "wide", "scopes": ["audit:read"]}));
    let asks = json!({"name": "Asks", "access_type": "narrow", "scopes": ["tokens:introspect"]});
    let trusted = json!({
        "name": "CI", "issuer": "https://ci.example.com", "audience": "jeton", "conditions": {"sub": "acme/site"},
        "scopes": ["tokens:introspect"],
    });
    let path = |id: &str| tenant.path(&format!("users/{id}"));
    let attempts = [
        ("user.added", None, climber.post(tenant.path("users"), json!({"email": "a@example.com", "role": "admin"}))),
        ("user.role_changed", Some(climber.id.clone()), climber.patch(path(&climber.id), json!({"role": "admin"}))),
        ("user.role_changed", Some(admin.clone()), climber.patch(path(&admin), json!({"role": "member"}))),
        ("user.removed", Some(admin.clone()), climber.delete(path(&admin))),
        (
            "user.one_time_password_given",
            Some(invited.clone()),
            climber.session().call("POST", format!("{}/one-time-password", path(&invited))).send(),
        ),
        ("api_key.created", None, climber.post(tenant.path("api-keys"), asks.clone())),
        ("api_key.rotated", Some(key.id.clone()), climber.rotate(&key, json!({}))),
        ("key_group.created", None, climber.post(tenant.path("key-groups"), asks)),
        ("trusted_issuer.created", None, climber.post(tenant.path("trusted-issuers"), trusted)),
    ];
    let rows = || jeton.audit().into_iter().filter(|row| row.action == "change.refused").collect::<Vec<_>>();
    let count = attempts.len();
    until("all are recorded", || rows().len() == count);
    for ((change, target, answer), row) in attempts.into_iter().zip(rows()) {
        answer.expect_problem(403, "insufficient_scope");
        let details = row.details.as_deref().unwrap();
        assert!(details.starts_with(&format!("{change} for lack of ")), "{change}: {row:?}");
        assert_eq!((&*row.actor, &*row.outcome), (&*format!("user:{}", climber.id), "insufficient_scope"));
        let told = row.target.as_deref().and_then(|target| target.split_once(':')).map(|(_, id)| id);
        assert_eq!(told, target.as_deref(), "{change}");
    }
    let listed = tenant.admin().get(tenant.path("audit-events?action=change.refused")).expect_status(200);
    assert_eq!(listed.items().len(), count, "their own tenant hears of it");
}

/// Whoever has never logged in gives nobody anything back: with them nothing is lost.
#[both_databases]
fn an_invitation_that_nobody_used_can_be_taken_back_though_it_is_the_last_administrators(jeton: Jeton) {
    let jeton = with_profile(jeton, PROFILE);
    let tenant = jeton.tenant();
    let scopes = "api-keys:read api-keys:write audit:read tokens:introspect trusted-issuers:read \
                  trusted-issuers:write users:read users:write";
    let scopes: Vec<_> = scopes.split(' ').collect();
    let token = tenant.api_key_with(json!({"access_type": "wide", "scopes": scopes})).token();
    let call = |method: &str, path: &str| jeton.client().call(method, tenant.path(path)).bearer(&token);
    let admin = format!("users/{}", tenant.admin().id);
    call("DELETE", &admin).send().expect_problem(409, "last_admin");
    jeton.cli(["user", "disable", &tenant.admin().email]).expect_code(0);

    let body = json!({"email": "late@example.com", "role": "admin", "one_time_password": true});
    let invited = call("POST", "users").json(body).expect_status(201).text("id");
    call("PATCH", &format!("users/{invited}")).json(json!({"role": "member"})).expect_status(200);
    call("PATCH", &format!("users/{invited}")).json(json!({"role": "admin"})).expect_status(200);
    call("DELETE", &format!("users/{invited}")).send().expect_status(204);
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
    let admin = tenant.path(&format!("users/{}", tenant.admin().id));
    clerk.patch(&admin, json!({"role": "member"})).expect_problem(403, "insufficient_scope");
    clerk.delete(&admin).expect_problem(403, "insufficient_scope");
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
    let values = |number: usize| (0..number).map(|n| format!("channel-{n:03}")).collect::<Vec<_>>();
    let most = tenant.api_key_with(with(json!({"channels": values(100)})));
    let admitted = ask(&jeton, "GET", "/a").bearer(&most.key).send().expect_status(200);
    let header = admitted.header("authorization").unwrap();
    assert!(header.len() < 3_072, "a token fits into the headers that proxies read: {}", header.len());
    expect_admitted(ask(&jeton, "GET", "/a").bearer(&header["Bearer ".len()..]).send());
    tenant.admin().create_api_key(with(json!({"channels": values(101)}))).expect_problem(422, "validation_failed");
    let long: Vec<String> = (0..30).map(|n| format!("{n:02}{}", "é".repeat(62))).collect();
    tenant.admin().create_api_key(with(json!({"channels": long}))).expect_problem(422, "validation_failed");
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
    let audited = jeton.audited("rate_limited");
    get().expect_problem(429, "rate_limited");
    get().expect_problem(429, "rate_limited");
    let refused = get().expect_problem(429, "rate_limited");
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=12).contains(&wait), "{wait}");
    assert_eq!(refused.header("ratelimit").map(|r| r.starts_with("\"key\";r=0;t=")), Some(true));
    key.exchange().expect_problem(429, "rate_limited");
    // Nobody waits for the line but this test; those that must not come have the time to.
    let begun = std::time::Instant::now();
    while jeton.audited("rate_limited") == audited && begun.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(jeton.audited("rate_limited") - audited, 1, "one line a minute, not one a request");
    let other = tenant.api_key_with(json!({"access_type": "narrow", "scopes": ["a:read"]}));
    expect_admitted(ask(&jeton, "GET", "/a").bearer(&other.key).send());
    jeton.advance(Duration::from_secs(wait));
    expect_admitted(get());
    jeton.advance(Duration::from_mins(1));
    let tokens: Vec<_> = at_once(8, |_| get().status);
    assert_eq!(tokens.iter().filter(|status| **status == 200).count(), 5, "{tokens:?}");
}

#[both_databases]
fn what_names_another_tenant_uses_up_no_limit(jeton: Jeton) {
    let jeton = with_profile(jeton, &format!("{PROFILE}\n[limits]\nrequests_per_minute = 5\n"));
    let (tenant, other) = (jeton.tenant(), jeton.tenant());
    let token = tenant.api_key_with(json!({"access_type": "wide", "scopes": ["api-keys:read"]})).token();
    let list = |tenant: &Tenant| jeton.get(tenant.path("api-keys")).bearer(&token);
    for _ in 0..6 {
        list(&other).send().expect_problem(403, "tenant_mismatch");
        list(&tenant).tenant(&other.id).send().expect_problem(403, "tenant_mismatch");
    }
    for _ in 0..4 {
        list(&tenant).send().expect_status(200);
    }
    list(&tenant).send().expect_problem(429, "rate_limited");
}

#[both_databases]
fn servers_share_a_limit(jeton: Jeton) {
    let jeton = with_profile(jeton, &format!("{PROFILE}\n[limits]\nrequests_per_minute = 60\n"));
    let tenant = jeton.tenant();
    let key = tenant.api_key_with(json!({"access_type": "narrow", "scopes": ["a:read"]}));
    let (server, second) = jeton.second();
    // Each learns of the other at its next heartbeat, two seconds later.
    std::thread::sleep(Duration::from_secs(6));
    let clients = [jeton.client(), second];
    let begun = std::time::Instant::now();
    let admitted = at_once(2, |number| {
        let ask = || {
            let request = clients[number].get(PATH).header("X-Original-Method", "GET").header("X-Original-URI", "/a");
            request.bearer(&key.key).send().status
        };
        (0..60).filter(|_| ask() == 200).count()
    });
    let all: usize = admitted.iter().sum();
    // One a second comes back meanwhile.
    let back = usize::try_from(begun.elapsed().as_secs()).unwrap() + 1;
    assert!((54..=66 + back).contains(&all), "60 within 10 %, and {back}: {admitted:?}");
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

/// Ids with secrets, read by Basic, which only one access type has.
pub const ID_AND_SECRET: &str = r#"
name = "vault"
[key]
prefix = "v_"
form = "id_and_secret"
read_from = ["basic"]
[tenant]
locator = "key"
[[endpoints]]
method = "*"
path = "/**"
"#;

#[both_databases]
fn a_rotation_of_id_and_secret_keeps_the_id(jeton: Jeton) {
    let jeton = with_profile(jeton, ID_AND_SECRET);
    let tenant = jeton.tenant();
    let key = tenant.api_key(["a:b"]);
    let get = |secret: &str| ask(&jeton, "GET", "/x").basic(&key.id, secret).send();
    expect_admitted(get(&key.key));
    ask(&jeton, "GET", "/x").basic(&tenant.id, &key.key).send().expect_problem(401, "invalid_api_key");
    ask(&jeton, "GET", "/x").basic("", &key.key).send().expect_problem(401, "invalid_api_key");
    ask(&jeton, "GET", "/x").bearer(&key.key).send().expect_problem(401, "invalid_api_key");

    let rotate = |overlap: u32| {
        let answer = tenant.admin().rotate(&key, json!({"overlap_seconds": overlap})).expect_status(201);
        assert_eq!(answer.text("id"), key.id);
        answer.text("key")
    };
    let second = rotate(0);
    get(&key.key).expect_problem(401, "invalid_api_key");
    expect_admitted(get(&second));
    let third = rotate(60);
    for secret in [&second, &third] {
        expect_admitted(get(secret));
    }
    let fourth = rotate(60);
    get(&second).expect_problem(401, "invalid_api_key");
    for secret in [&third, &fourth] {
        expect_admitted(get(secret));
    }
    let lives = |secret: &str| key.forged(secret).exchange().expect_tokens().json()["expires_in"].as_i64();
    assert!(lives(&third) <= Some(60), "what the old secret gives ends with the overlap");
    assert_eq!(lives(&fourth), Some(900));
    jeton.advance(Duration::from_secs(61));
    get(&third).expect_problem(401, "invalid_api_key");
    expect_admitted(get(&fourth));
    let hint = tenant.admin().get(key.path()).expect_status(200).text("hint");
    assert!(fourth.contains(&format!("_{hint}")), "{hint} of {fourth}");
    let fifth = rotate(60);
    tenant.admin().revoke(&key).expect_status(204);
    for secret in [&fourth, &fifth] {
        get(secret).expect_problem(401, "invalid_api_key");
    }
    tenant.admin().rotate(&key, json!({})).expect_problem(409, "api_key_not_active");
    assert_eq!(tenant.admin().get(tenant.path("api-keys")).items().len(), 1);
    assert_eq!(jeton.audited("api_key.rotated"), 4);
}

#[both_databases]
fn parallel_rotations_of_a_secret_leave_two_that_work(jeton: Jeton) {
    let jeton = with_profile(jeton, ID_AND_SECRET);
    let tenant = jeton.tenant();
    let key = tenant.api_key([]);
    let admin = tenant.admin();
    let secrets: Vec<_> =
        at_once(6, |_| admin.rotate(&key, json!({"overlap_seconds": 60})).expect_status(201).text("key"));
    let works = |secret: &&String| ask(&jeton, "GET", "/x").basic(&key.id, secret).send().status == 200;
    assert_eq!(secrets.iter().filter(works).count(), 2);
    let once = |()| {
        let path = format!("{}/rotate", key.path());
        admin.call("POST", path).header("Idempotency-Key", "once").json(json!({})).expect_status(201).json()
    };
    assert_eq!(once(()), once(()), "a retry gets the same secret");
}

#[both_databases]
fn a_stolen_database_opens_no_secret_of_two(jeton: Jeton) {
    let jeton = with_profile(jeton, ID_AND_SECRET);
    let tenant = jeton.tenant();
    let key = tenant.api_key([]);
    let second = tenant.admin().rotate(&key, json!({"overlap_seconds": 3600})).expect_status(201).text("key");
    let stolen = jeton.dump();
    for secret in [&key.key, &second] {
        let found = stolen.windows(secret.len()).any(|bytes| bytes == secret.as_bytes());
        assert!(!found, "neither the secret nor the one before lies in the database");
    }
}

#[both_databases]
fn a_plan_decides_on_keys_and_their_use(jeton: Jeton) {
    let plans = "[[plans]]\nname = \"free\"\ntitle = \"Free\"\napi_keys = false\n\
                 [[plans]]\nname = \"pro\"\ntitle = \"Größer\"\nkeys_per_tenant = 2\n";
    let jeton = with_profile(jeton, &format!("{PROFILE}\n{plans}"));
    let tenant = jeton.tenant();
    let body = || json!({"access_type": "narrow", "scopes": ["a:read"]});
    let required = "API key access requires a Größer plan or higher";
    tenant.admin().create_api_key(body()).expect_problem(402, "plan_required").expect_detail(required);
    let group = json!({"name": "G", "access_type": "narrow"});
    tenant.admin().post(tenant.path("key-groups"), group).expect_problem(402, "plan_required");
    jeton.cli(["tenant", "set-plan", &tenant.id, "pro"]).expect_code(0);
    jeton.cli(["tenant", "set-plan", &tenant.id, "huge"]).expect_refusal(1, &["plan", "free, pro"]);
    let keys = [tenant.api_key_with(body()), tenant.api_key_with(body())];
    tenant.admin().create_api_key(body()).expect_problem(409, "api_key_limit_reached");
    expect_admitted(ask(&jeton, "GET", "/a").bearer(&keys[0].key).send());
    let token = keys[0].token();

    let operator = jeton.operator();
    let down = operator.patch(format!("/api/v1/tenants/{}", tenant.id), json!({"plan": "free"}));
    assert_eq!(down.expect_status(200).json()["plan"], "free");
    let refused = ask(&jeton, "GET", "/a").bearer(&keys[0].key).send().expect_problem(402, "plan_required");
    let repeated = refused.header("x-auth-problem").unwrap();
    assert!(repeated.contains("Gr\\u00f6\\u00dfer"), "ASCII in a header: {repeated}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(repeated).unwrap(), refused.json());
    ask(&jeton, "GET", "/a").bearer(&token).send().expect_problem(402, "plan_required");
    keys[0].exchange().expect_problem(402, "plan_required");
    tenant.admin().rotate(&keys[0], json!({})).expect_problem(402, "plan_required");
    tenant.admin().revoke(&keys[0]).expect_status(204);
}

#[both_databases]
fn the_command_line_makes_keys_as_the_profile_wants_them(jeton: Jeton) {
    let jeton = jeton.with("profile", "optimove");
    let tenant = jeton.tenant();
    let create = |more: &[&str]| {
        let mut words = vec!["api-key", "create", "--tenant", &tenant.id, "--name", "Nick", "--json"];
        words.extend_from_slice(more);
        crate::harness::run(jeton.folder(), jeton.environment(), words, None)
    };
    create(&["--type", "admin"]).expect_refusal(1, &["contact_email"]);
    create(&["--contact-email", "ada@example.com"]).expect_refusal(1, &["access_type", "integrations"]);
    let email = ["--contact-email", "ada@example.com", "--type"];
    create(&[&email[..], &["admin", "--constraint", "channels=email"]].concat()).expect_refusal(1, &["constraints"]);
    create(&[&email[..], &["admin", "--constraint", "channels"]].concat()).expect_refusal(2, &["NAME=VALUE"]);
    let constrained = ["integrations", "--constraint", "channels=email", "--constraint", "channels=sms"];
    let made = create(&[&email[..], &constrained].concat()).expect_code(0).json();
    assert_eq!(made["constraints"], json!({"channels": ["email", "sms"]}));
    assert!(made["key"].as_str().is_some_and(|key| key.starts_with("opt_live_")));

    let group = |words: &[&str]| crate::harness::run(jeton.folder(), jeton.environment(), words, None);
    let made =
        group(&["key-group", "create", "--tenant", &tenant.id, "--name", "G", "--type", "transactional", "--json"]);
    let id = made.expect_code(0).text("id");
    create(&["--contact-email", "ada@example.com", "--group", &id]).expect_code(0);
    let listed = group(&["key-group", "list", "--tenant", &tenant.id, "--json"]).expect_code(0).json();
    assert_eq!(listed["items"][0]["access_type"], "transactional");
    group(&["key-group", "delete", &id]).expect_code(0);
    group(&["key-group", "delete", &id]).expect_refusal(1, &["key-group"]);
}

/// What it says could never hold.
#[test]
fn a_profile_that_contradicts_itself_is_refused() {
    let jeton = Jeton::on_sqlite();
    let file = jeton.folder().join("acme.toml");
    let check = |text: &str| {
        std::fs::write(&file, text).unwrap();
        crate::harness::run(jeton.folder(), [], ["profile", "check", &file.display().to_string()], None)
    };
    for header in ["Authorization", "Cookie", "Host", "X-Forwarded-For", "X-Method-Override", "X-Original-URL"] {
        let key = format!("prefix = \"acme_\"\nread_from = [{{ header = \"{header}\" }}]");
        let said = ["acme.toml:5", "`key.read_from[0]`", "means nothing else"];
        check(&PROFILE.replace("prefix = \"acme_\"", &key)).expect_refusal(1, &said);
    }

    let plans = |lower: &str, higher: &str| {
        let plan = |name: &str, says: &str| format!("[[plans]]\nname = \"{name}\"\ntitle = \"A plan\"\n{says}\n");
        check(&[PROFILE, &plan("lower", lower), &plan("higher", higher)].concat())
    };
    for (lower, higher, key) in [
        ("", "api_keys = false", "api_keys"),
        ("keys_per_tenant = 101", "", "keys_per_tenant"),
        ("requests_per_minute = 60", "requests_per_minute = 59", "requests_per_minute"),
        ("", "requests_per_minute = 1000", "requests_per_minute"),
    ] {
        plans(lower, higher).expect_refusal(1, &["acme.toml:", &format!("`plans[1].{key}`"), "rising order"]);
    }
    for (lower, higher) in [
        ("requests_per_minute = 60", ""),
        ("requests_per_minute = 60", "requests_per_minute = 60"),
        ("api_keys = false\nkeys_per_tenant = 101", "requests_per_minute = 60"),
    ] {
        plans(lower, higher).expect_code(0);
    }

    let pair = "form = \"id_and_secret\"\nread_from = [\"basic\"]\n";
    let paired = |name: &str| format!("[access_types.{name}]\n{pair}");
    let narrow = "[access_types.narrow]\n";
    let one = PROFILE.replace(narrow, &paired("narrow"));
    check(&one).expect_code(0);
    let said = ["`key.deprecated[0]`", "id_and_secret"];
    check(&one.replace("[access_types.wide]\n", &paired("wide"))).expect_refusal(1, &said);

    let people = "name = \"acme\"\n[key]\nprefix = \"acme_\"\n[scopes]\n\"a:read\" = { access_types = [] }\n";
    check(people).expect_refusal(1, &["acme.toml:5", "`scopes.\"a:read\".access_types`", "[access_types]"]);
    check(&format!("{people}[access_types.any]\n")).expect_code(0);
}

#[test]
fn a_profile_is_checked_and_explained_on_the_command_line() {
    let jeton = Jeton::on_sqlite();
    let run = |words: &[&str]| crate::harness::run(jeton.folder(), [], words, None);
    for profile in ["default", "engium", "engagetrack", "bloomreach", "braze", "optimove"] {
        let shown = run(&["profile", "check", profile, "--json"]).expect_code(0).json();
        assert_eq!(shown["name"], profile);
    }
    let file = jeton.folder().join("acme.toml");
    std::fs::write(&file, PROFILE.replace("scope = \"a:write\"", "scope = \"a:wrote\"")).unwrap();
    let file = file.display().to_string();
    run(&["profile", "check", &file]).expect_refusal(1, &["acme.toml:", "`endpoints[1].scope`", "a:wrote"]);
    std::fs::write(&file, PROFILE).unwrap();
    run(&["profile", "check", &file]).expect_code(0);
    run(&["profile", "check", "none.toml"]).expect_refusal(1, &["none.toml", "optimove"]);

    let explain =
        |method: &str, path: &str| run(&["profile", "explain", &file, "--method", method, "--path", path, "--json"]);
    let met = explain("POST", "/a/7?x=1").expect_code(0).json();
    assert_eq!(
        (&met["path"], &met["access_types"], &met["scope"]),
        (&json!("/a/{id}"), &json!(["wide"]), &json!(null))
    );
    let met = explain("GET", "/a/Admin/x").expect_code(0).json();
    assert_eq!((&met["path"], &met["scope"]), (&json!("/a/Admin/**"), &json!("a:write")));
    explain("GET", "/b").expect_refusal(1, &["not listed"]);
    explain("GET", "/a/../b").expect_refusal(1, &["dot segment"]);
    explain("get", "/a").expect_refusal(1, &["capital letters"]);
}

#[test]
fn a_server_does_not_start_with_a_faulty_profile() {
    let jeton = with_profile(Jeton::on_sqlite(), &PROFILE.replace("prefix = \"acme_\"", "prefix = \"\""));
    let refused = jeton.cli(["serve"]).expect_refusal(1, &["acme.toml:4", "`key.prefix`"]);
    assert!(!refused.stderr.contains("panicked"));
    jeton.cli(["doctor"]).expect_code(1);
}

#[both_databases]
fn a_group_that_is_deleted_takes_every_key_along(jeton: Jeton) {
    let jeton = with_profile(jeton, PROFILE);
    let tenant = jeton.tenant();
    let admin = tenant.admin();
    for _ in 0..10 {
        let group = json!({"name": "G", "access_type": "narrow", "scopes": ["a:read"]});
        let group = admin.post(tenant.path("key-groups"), group).expect_status(201).text("id");
        let key = tenant.api_key_with(json!({"group_id": group}));
        let answers = at_once(6, |number| match number {
            0 => admin.delete(tenant.path(&format!("key-groups/{group}"))).expect_status(204),
            1 | 2 => admin.create_api_key(json!({"group_id": group})),
            _ => admin.rotate(&key, json!({"overlap_seconds": 60})),
        });
        for made in answers.iter().filter(|answer| answer.status == 201) {
            ask(&jeton, "GET", "/a").bearer(&made.text("key")).send().expect_problem(401, "invalid_api_key");
        }
    }
}

#[both_databases]
fn an_answer_is_given_again_whatever_has_changed_since(jeton: Jeton) {
    let jeton = with_profile(jeton, PROFILE);
    let tenant = jeton.tenant();
    let admin = tenant.admin();
    let group = json!({"name": "G", "access_type": "narrow", "scopes": ["a:read"]});
    let group = admin.post(tenant.path("key-groups"), group).expect_status(201).text("id");
    let create = || {
        let call = admin.call("POST", tenant.path("api-keys")).header("Idempotency-Key", "once");
        call.json(json!({"name": "In a group", "group_id": group})).expect_status(201).json()
    };
    let first = create();
    admin.delete(tenant.path(&format!("key-groups/{group}"))).expect_status(204);
    assert_eq!(create(), first);
    std::fs::write(jeton.folder().join("acme.toml"), PROFILE.replace("\"acme_\"", "\"new_\"")).unwrap();
    jeton.restart();
    assert_eq!(create(), first, "in the format of then");
}

#[both_databases]
fn what_the_profile_requires_cannot_be_taken_away(jeton: Jeton) {
    let jeton = jeton.with("profile", "optimove");
    let tenant = jeton.tenant();
    let key = tenant.api_key_with(json!({"access_type": "admin", "contact_email": "ada@example.com"}));
    let admin = tenant.admin();
    admin.patch(key.path(), json!({"contact_email": null})).expect_field("contact_email");
    admin.patch(key.path(), json!({"contact_email": "eve@example.com"})).expect_status(200);
}

#[both_databases]
fn a_token_of_a_secret_that_is_dead_opens_nothing_here(jeton: Jeton) {
    let text = ID_AND_SECRET.replace("[tenant]", "[access_types.all]\nmanagement = true\n[tenant]");
    let jeton = with_profile(jeton, &text);
    let tenant = jeton.tenant();
    let key = tenant.api_key_with(json!({"access_type": "all", "scopes": ["api-keys:read"]}));
    let token = key.token();
    jeton.advance(Duration::from_secs(2));
    let rotate =
        |overlap: u32| tenant.admin().rotate(&key, json!({"overlap_seconds": overlap})).expect_status(201).text("key");
    let list = |token: &str| jeton.get(tenant.path("api-keys")).bearer(token).send();
    let forward = |token: &str| ask(&jeton, "GET", "/x").bearer(token).send();
    let second = rotate(60);
    list(&token).expect_status(200);
    jeton.advance(Duration::from_secs(61));
    list(&token).expect_problem(401, "invalid_token");
    forward(&token).expect_problem(401, "invalid_token");
    let fresh = key.forged(second).token();
    list(&fresh).expect_status(200);
    jeton.advance(Duration::from_secs(2));
    rotate(0);
    list(&fresh).expect_problem(401, "invalid_token");
}

#[both_databases]
fn what_an_access_type_gave_goes_with_it(jeton: Jeton) {
    let jeton = with_profile(jeton, PROFILE);
    let tenant = jeton.tenant();
    let key = tenant.api_key_with(json!({"access_type": "narrow", "scopes": ["a:read"]}));
    expect_admitted(ask(&jeton, "GET", "/a").bearer(&key.key).send());
    let token = key.token();
    std::fs::write(jeton.folder().join("acme.toml"), PROFILE.replace("[access_types.narrow]", "[access_types.other]"))
        .unwrap();
    jeton.restart();
    ask(&jeton, "GET", "/a").bearer(&key.key).send().expect_problem(401, "invalid_api_key");
    ask(&jeton, "GET", "/a").bearer(&token).send().expect_problem(401, "invalid_token");
}
