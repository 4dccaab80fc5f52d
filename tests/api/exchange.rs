//! `POST /api/v1/auth/exchange`: an API key in, a short-lived scoped JWT out (contract 4.3).

use std::{collections::BTreeSet, time::Duration};

use jeton_test_macros::both_databases;
use serde_json::{Value, json};

use crate::forward_auth::{ask, expect_admitted};
use crate::harness::{Jeton, at_once};

#[both_databases]
fn an_exchange_gives_the_token_answer(jeton: Jeton) {
    let tenant = jeton.tenant();
    let key = tenant.api_key(["goals:read", "goals:write"]);
    let tokens = key.exchange().expect_scope("goals:read goals:write").json();
    assert_eq!(tokens["expires_in"], 900);
    assert_eq!(tokens["issued_token_type"], "urn:ietf:params:oauth:token-type:access_token");
    assert_eq!(tokens["tenant_id"], *tenant.id);
    let members: BTreeSet<_> = tokens.as_object().unwrap().keys().map(String::as_str).collect();
    let promised = ["access_token", "token_type", "expires_in", "scope", "issued_token_type", "tenant_id"];
    assert_eq!(members, promised.into());
}

#[both_databases]
fn a_keys_token_follows_rfc_9068(jeton: Jeton) {
    let tenant = jeton.tenant();
    let key = tenant.api_key_with(json!({"scopes": ["goals:read"], "environment": "test", "name": "A telling name"}));
    let jwt = jeton.verified(&key.token());
    assert_eq!(jwt.header["typ"], "at+jwt");
    assert_eq!(jwt.text("iss"), "https://jeton.test");
    assert_eq!((jwt.text("sub"), jwt.text("client_id")), (&*key.id, &*key.id));
    assert_eq!((jwt.text("tenant_id"), jwt.text("scope")), (&*tenant.id, "goals:read"));
    assert_eq!(jwt.text("environment"), "test");
    assert!(jwt.claims["aud"] == "api" || jwt.claims["aud"] == json!(["api"]));
    assert_eq!(jwt.number("exp") - jwt.number("iat"), 900);
    assert!(!jwt.text("jti").is_empty());
    for absent in ["nbf", "sid", "roles", "auth_time", "amr"] {
        assert_eq!(jwt.claims[absent], Value::Null, "{absent}");
    }
    let claims = jwt.claims.to_string();
    assert!(!claims.contains("A telling name") && !claims.contains(&key.key), "{claims}");
}

#[both_databases]
fn no_two_exchanges_have_the_same_jti(jeton: Jeton) {
    let key = jeton.tenant().api_key([]);
    let ids: BTreeSet<_> =
        at_once(8, |_| key.token()).iter().map(|token| jeton.verified(token).text("jti").to_owned()).collect();
    assert_eq!(ids.len(), 8);
}

#[both_databases]
fn a_smaller_scope_can_be_asked_for_and_a_larger_one_cannot(jeton: Jeton) {
    let key = jeton.tenant().api_key(["goals:write", "sites:read"]);
    key.exchange_for(json!({"scope": "sites:read"})).expect_scope("sites:read");
    key.exchange_for(json!({"scope": "sites:read goals:write"})).expect_tokens();
    let answer = key.exchange_for(json!({"scope": "sites:read analytics:read"}));
    let answer = answer.expect_problem(403, "insufficient_scope");
    answer.expect_detail("API key missing required scope: analytics:read");
    key.exchange_for(json!({"scope": "goals:read"})).expect_problem(403, "insufficient_scope");
}

#[both_databases]
fn a_scope_that_is_badly_written_is_refused(jeton: Jeton) {
    let key = jeton.tenant().api_key(["a:b", "c:d"]);
    for scope in ["a:b a:b", "a:b\tc:d", "a:b  c:d", " a:b", "a:b ", "a:b\nc:d", "a:*", "A:b", "a:b,c:d", "a\u{a0}:b"] {
        key.exchange_for(json!({"scope": scope})).expect_field("scope");
    }
    key.exchange_for(json!({"scope": ["a:b"]})).expect_field("scope");
}

#[both_databases]
fn an_exchange_needs_the_tenant(jeton: Jeton) {
    let (tenant, other) = (jeton.tenant(), jeton.tenant());
    let key = tenant.api_key([]);
    let ask = || jeton.post("/api/v1/auth/exchange").bearer(&key.key);
    ask().send().expect_problem(400, "tenant_required");
    for no_uuid in ["", "acme", "00000000-0000-0000-0000", &format!("{}0", tenant.id), "../etc"] {
        ask().tenant(no_uuid).send().expect_problem(400, "tenant_required");
    }
    ask().tenant(&other.id).send().expect_problem(403, "tenant_mismatch");
    ask().tenant(&uuid::Uuid::nil().to_string()).send().expect_problem(403, "tenant_mismatch");
    ask().tenant(&tenant.id.to_uppercase()).send().expect_tokens();
}

#[both_databases]
fn an_unknown_key_is_refused_whatever_is_wrong_with_it(jeton: Jeton) {
    let tenant = jeton.tenant();
    let key = tenant.api_key([]);
    let random = key.key.strip_prefix("jtn_live_").unwrap();
    let strange = [
        "x".to_owned(),
        "jtn_live_".to_owned(),
        format!("jtn_live_{}", "0".repeat(32)),
        format!("jtn_test_{random}"),
        format!("jtn_prod_{random}"),
        format!("eng_live_{random}"),
        format!("jtn_live_{}", &random[..31]),
        format!("{}0", key.key),
        format!("jtn_live_{}", random.to_uppercase()),
        random.to_owned(),
        key.id.clone(),
        "jtn_live_".repeat(500),
        tenant.admin().token().to_owned(),
    ];
    for strange in strange.into_iter().filter(|strange| *strange != key.key) {
        let answer = key.forged(strange).exchange();
        answer.expect_problem(401, "invalid_api_key").expect_detail("Invalid or expired API key");
    }
    let none = jeton.post("/api/v1/auth/exchange").tenant(&tenant.id).send();
    none.expect_problem(401, "invalid_api_key");
    key.exchange().expect_tokens();
}

#[both_databases]
fn a_key_is_read_from_the_authorization_header_alone(jeton: Jeton) {
    let tenant = jeton.tenant();
    let key = tenant.api_key([]);
    let path = format!("/api/v1/auth/exchange?api_key={}&access_token={0}", key.key);
    jeton.post(path).tenant(&tenant.id).send().expect_status(401);
    jeton.post("/api/v1/auth/exchange").tenant(&tenant.id).header("X-API-Key", &key.key).send().expect_status(401);
    let lower_case = jeton.post("/api/v1/auth/exchange").header("Authorization", &format!("bearer {}", key.key));
    lower_case.tenant(&tenant.id).send().expect_tokens();
}

#[both_databases]
fn headers_that_say_two_things_are_refused(jeton: Jeton) {
    let (tenant, other) = (jeton.tenant(), jeton.tenant());
    let key = tenant.api_key([]);
    let two_tenants = key.ask().tenant(&other.id).send();
    assert!((400..500).contains(&two_tenants.status), "{}", two_tenants.told());
    let two_keys = key.ask().bearer("jtn_live_00000000000000000000000000000000").send();
    assert!((400..500).contains(&two_keys.status), "{}", two_keys.told());
}

#[both_databases]
fn a_token_lasts_as_long_as_was_asked(jeton: Jeton) {
    let key = jeton.tenant().api_key([]);
    for asked in [1, 300, 3600] {
        let answer = key.exchange_for(json!({"expires_in": asked})).expect_tokens();
        assert_eq!(answer.json()["expires_in"], asked);
        let jwt = jeton.verified(&answer.text("access_token"));
        assert_eq!(jwt.number("exp") - jwt.number("iat"), asked);
    }
    for wrong in [json!(3601), json!(0), json!(-5), json!("300"), json!(1.5), json!(u64::MAX)] {
        key.exchange_for(json!({"expires_in": wrong})).expect_field("expires_in");
    }
}

#[both_databases]
fn a_token_never_outlives_its_key(jeton: Jeton) {
    let tenant = jeton.tenant();
    let key = tenant.api_key_with(json!({"expires_at": jeton.in_seconds(60)}));
    let expires_at = tenant.admin().get(key.path()).text("expires_at");
    let expires_at = chrono::DateTime::parse_from_rfc3339(&expires_at).unwrap().timestamp();
    for body in [json!({}), json!({"expires_in": 600})] {
        let answer = key.exchange_for(body).expect_tokens();
        let exp = jeton.verified(&answer.text("access_token")).number("exp");
        assert!(exp <= expires_at, "{exp} is past {expires_at}");
        assert!(answer.json()["expires_in"].as_i64().is_some_and(|left| (1..=60).contains(&left)));
    }
}

/// Tokens count in whole seconds, keys do not.
#[both_databases]
fn a_key_gives_no_token_that_is_over_already(jeton: Jeton) {
    let jeton = jeton.with("profile", "engium");
    let tenant = jeton.tenant();
    tenant.admin().token();
    let expires_at = jeton.in_seconds(3).replace('Z', ".900000Z");
    let key = tenant.api_key_with(json!({"scopes": ["bookings:read"], "expires_at": expires_at}));
    let forward = || ask(&jeton, "GET", "/api/v1/bookings").bearer(&key.key).tenant(&tenant.id).send();
    loop {
        let exchanged = key.exchange();
        if exchanged.status == 200 {
            assert!(exchanged.json()["expires_in"].as_i64() >= Some(1), "{}", exchanged.told());
        }
        let forwarded = forward();
        if forwarded.status != 200 {
            forwarded.expect_problem(401, "invalid_api_key");
            key.exchange().expect_problem(401, "invalid_api_key");
            break;
        }
        let (_, jwt) = expect_admitted(forwarded);
        assert!(jwt.number("exp") > jwt.number("iat"), "{}", jwt.claims);
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[both_databases]
fn the_configured_lifetimes_hold(jeton: Jeton) {
    let jeton = jeton.with("tokens.exchange_ttl", "5m").with("tokens.exchange_ttl_max", "10m");
    let key = jeton.tenant().api_key([]);
    assert_eq!(key.exchange().expect_tokens().json()["expires_in"], 300);
    key.exchange_for(json!({"expires_in": 600})).expect_tokens();
    key.exchange_for(json!({"expires_in": 601})).expect_field("expires_in");
}

#[both_databases]
fn a_token_is_for_a_configured_audience_only(jeton: Jeton) {
    let jeton = jeton.with("tokens.audience", r#"["api", { name = "edge", algorithm = "EdDSA" }]"#);
    let key = jeton.tenant().api_key([]);
    let token_for = |body: Value| jeton.verified(&key.exchange_for(body).expect_tokens().text("access_token"));

    let (api, edge) = (token_for(json!({"audience": "api"})), token_for(json!({"audience": "edge"})));
    assert!(api.claims["aud"] == "api" || api.claims["aud"] == json!(["api"]));
    assert!(edge.claims["aud"] == "edge" || edge.claims["aud"] == json!(["edge"]));
    assert_eq!((&api.header["alg"], &edge.header["alg"]), (&json!("ES256"), &json!("EdDSA")));
    assert_eq!(token_for(json!({})).claims["aud"], api.claims["aud"], "the first is the default");
    assert_eq!(jeton.jwks()["keys"].as_array().map(Vec::len), Some(2), "one key per algorithm in use");
    for unknown in ["other", "", "API", "api edge"] {
        key.exchange_for(json!({"audience": unknown})).expect_field("audience");
    }
}

#[both_databases]
fn the_body_is_optional_and_strict(jeton: Jeton) {
    let key = jeton.tenant().api_key(["a:b"]);
    key.ask().send().expect_scope("a:b");
    key.exchange_for(json!({})).expect_scope("a:b");
    key.exchange_for(json!({"tenant_id": key.tenant_id})).expect_field("tenant_id");
    key.exchange_for(json!({"scopes": "a:b"})).expect_field("scopes");
    key.exchange_for(json!([])).expect_status(422);
    key.ask().body("application/json", "{").expect_problem(400, "malformed_request");
    key.ask().body("text/plain", "{}").expect_problem(415, "unsupported_media_type");
}

#[both_databases]
fn a_keys_token_is_no_key_and_no_refresh_token(jeton: Jeton) {
    let key = jeton.tenant().api_key(["a:b"]);
    let token = key.token();
    key.forged(&token).exchange().expect_problem(401, "invalid_api_key");
    let refresh = jeton.post("/api/v1/auth/refresh").json(json!({"refresh_token": token}));
    refresh.expect_problem(401, "invalid_refresh_token");
    let refresh = jeton.post("/api/v1/auth/refresh").json(json!({"refresh_token": key.key}));
    refresh.expect_problem(401, "invalid_refresh_token");
}

#[both_databases]
fn a_clock_that_steps_by_an_hour_breaks_no_exchange(jeton: Jeton) {
    let key = jeton.tenant().api_key([]);
    for step in [3600, -7200, 3600] {
        jeton.shift(step * 1_000_000);
        let jwt = jeton.verified(&key.token());
        assert!((jwt.number("iat") - jeton.now()).abs() <= 5);
    }
}
