//! What bounds API keys: their number, their time, their addresses, and one key per idempotency key (contract 4.2, 6).

use std::{collections::BTreeSet, time::Duration};

use jeton_test_macros::both_databases;
use serde_json::{Value, json};

use crate::harness::{Answer, Jeton, User, at_once};

#[both_databases]
fn a_tenant_has_a_hundred_live_keys_at_most(jeton: Jeton) {
    let tenant = jeton.tenant();
    let admin = tenant.admin();
    for _ in 0..100 {
        admin.create_api_key(json!({})).expect_status(201);
    }
    admin.create_api_key(json!({})).expect_problem(409, "api_key_limit_reached");
    let key = &admin.get(tenant.path("api-keys?limit=1")).items()[0]["id"];
    admin.delete(tenant.path(&format!("api-keys/{}", key.as_str().unwrap()))).expect_status(204);
    admin.create_api_key(json!({})).expect_status(201);
    admin.create_api_key(json!({})).expect_problem(409, "api_key_limit_reached");
    jeton.tenant().api_key([]);
}

#[both_databases]
fn the_limit_holds_under_concurrency_on_two_servers(jeton: Jeton) {
    let tenant = jeton.tenant();
    let admin = tenant.admin();
    for _ in 0..95 {
        admin.create_api_key(json!({})).expect_status(201);
    }
    let (_server, elsewhere) = jeton.second();
    let answers = at_once(20, |number| {
        let client = if number % 2 == 0 { jeton.client() } else { elsewhere.clone() };
        client.post(tenant.path("api-keys")).bearer(admin.token()).json(json!({"name": "Key"}))
    });
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(made, 5, "95 and 5 are 100");
    for refused in answers.into_iter().filter(|answer| answer.status != 201) {
        refused.expect_problem(409, "api_key_limit_reached");
    }
}

#[both_databases]
fn an_expired_key_is_refused_like_an_unknown_one(jeton: Jeton) {
    let tenant = jeton.tenant();
    let key = tenant.api_key_with(json!({"expires_at": jeton.in_seconds(60)}));
    key.exchange().expect_tokens();
    jeton.advance(Duration::from_secs(61));
    let expired = key.exchange().expect_problem(401, "invalid_api_key").expect_detail("Invalid or expired API key");

    let unknown = key.forged("jtn_live_0123456789abcdef0123456789abcdef");
    let unknown = unknown.exchange().expect_problem(401, "invalid_api_key");
    assert_eq!(without_request_id(&expired), without_request_id(&unknown));
}

#[both_databases]
fn a_clock_that_steps_back_keeps_a_revoked_key_dead(jeton: Jeton) {
    let tenant = jeton.tenant();
    let key = tenant.api_key([]);
    tenant.admin().revoke(&key).expect_status(204);
    jeton.shift(-3_600_000_000);
    key.exchange().expect_problem(401, "invalid_api_key");
}

#[both_databases]
fn a_key_works_from_its_addresses_only(jeton: Jeton) {
    let tenant = jeton.tenant();
    for (allowed, works) in [
        (json!(["127.0.0.1"]), true),
        (json!(["10.0.0.0/8", "127.0.0.0/8"]), true),
        (json!([]), true),
        (json!(["10.0.0.0/8"]), false),
        (json!(["::1", "127.0.0.2"]), false),
    ] {
        let answer = tenant.api_key_with(json!({"allowed_ips": allowed})).exchange();
        if works {
            answer.expect_tokens()
        } else {
            answer.expect_problem(403, "ip_not_allowed")
        };
    }
}

#[both_databases]
fn forwarding_headers_of_strangers_count_for_nothing(jeton: Jeton) {
    let key = jeton.tenant().api_key_with(json!({"allowed_ips": ["10.0.0.0/8"]}));
    for (name, value) in [("X-Forwarded-For", "10.1.2.3"), ("Forwarded", "for=10.1.2.3"), ("X-Real-IP", "10.1.2.3")] {
        key.ask().header(name, value).send().expect_problem(403, "ip_not_allowed");
    }
}

#[both_databases]
fn a_trusted_proxys_forwarding_is_walked_right_to_left(jeton: Jeton) {
    let jeton = jeton.with("server.trusted_proxies", "127.0.0.0/8,192.168.0.0/16");
    let key = jeton.tenant().api_key_with(json!({"allowed_ips": ["10.0.0.0/8", "2001:db8::/32"]}));
    for (forwarded, works) in [
        ("10.1.2.3", true),
        ("8.8.8.8, 10.1.2.3", true),
        ("8.8.8.8, 10.1.2.3, 192.168.0.7", true),
        ("2001:db8::7", true),
        ("10.1.2.3, 8.8.8.8", false),
        ("10.1.2.3, 8.8.8.8, 192.168.0.7", false),
        ("10.1.2.3, nonsense", false),
        ("", false),
    ] {
        let answer = key.ask().header("X-Forwarded-For", forwarded).send();
        if works {
            answer.expect_tokens()
        } else {
            answer.expect_problem(403, "ip_not_allowed")
        };
    }
    // A stranger's odd byte at the front hides nothing of what a proxy wrote behind it.
    let odd = [b"\xe9, 10.1.2.3".as_slice(), b"\xe9,8.8.8.8, 10.1.2.3"];
    for forwarded in odd {
        let head = format!(
            "POST /api/v1/auth/exchange HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\
             Authorization: Bearer {}\r\nX-Tenant-ID: {}\r\nX-Forwarded-For: ",
            key.key, key.tenant_id
        );
        let answer = jeton.client().raw(&[head.as_bytes(), forwarded, b"\r\n\r\n"].concat());
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let two_lines = key.ask().header("X-Forwarded-For", "10.1.2.3").header("X-Forwarded-For", "8.8.8.8").send();
    two_lines.expect_problem(403, "ip_not_allowed");
}

/// As dual-stack sockets tell addresses.
#[both_databases]
fn a_trusted_proxy_may_be_written_ipv4_mapped(jeton: Jeton) {
    let jeton = jeton.with("server.trusted_proxies", "::ffff:127.0.0.0/104");
    let key = jeton.tenant().api_key_with(json!({"allowed_ips": ["10.0.0.0/8"]}));
    key.ask().header("X-Forwarded-For", "10.1.2.3").send().expect_tokens();
}

#[both_databases]
fn an_idempotency_key_gives_the_same_answer_for_24_hours(jeton: Jeton) {
    let tenant = jeton.tenant();
    let admin = tenant.admin();
    let first = create(admin, "once", json!({"name": "CI", "scopes": ["a:b"]})).expect_status(201);
    for _ in 0..2 {
        let again = create(admin, "once", json!({"name": "CI", "scopes": ["a:b"]})).expect_status(201);
        assert_eq!(again.json(), first.json());
        jeton.kill();
    }
    create(admin, "once", json!({"name": "CI", "scopes": ["a:c"]})).expect_problem(409, "idempotency_conflict");
    assert_eq!(admin.get(tenant.path("api-keys")).items().len(), 1);
    let secret = first.text("key").replace("jtn_live_", "");
    assert!(!String::from_utf8_lossy(&jeton.dump()).contains(&secret), "kept encrypted");

    jeton.advance(Duration::from_mins(24 * 60 + 1));
    let token = admin.session().access_token;
    let later = jeton.post(tenant.path("api-keys")).bearer(&token).header("Idempotency-Key", "once");
    let later = later.json(json!({"name": "CI", "scopes": ["a:b"]})).expect_status(201);
    assert_ne!(later.text("id"), first.text("id"));
}

#[both_databases]
fn parallel_calls_with_one_idempotency_key_make_one_key(jeton: Jeton) {
    let tenant = jeton.tenant();
    let admin = tenant.admin();
    admin.token();
    let (_server, elsewhere) = jeton.second();
    let answers = at_once(8, |number| {
        let client = if number % 2 == 0 { jeton.client() } else { elsewhere.clone() };
        let call = client.post(tenant.path("api-keys")).bearer(admin.token()).header("Idempotency-Key", "once");
        call.json(json!({"name": "CI"}))
    });
    let bodies: BTreeSet<_> = answers.into_iter().map(|answer| answer.expect_status(201).json().to_string()).collect();
    assert_eq!(bodies.len(), 1, "{bodies:#?}");
    assert_eq!(admin.get(tenant.path("api-keys")).items().len(), 1);
}

#[both_databases]
fn an_answer_is_given_again_after_its_key_has_expired(jeton: Jeton) {
    let tenant = jeton.tenant();
    let body = json!({"name": "CI", "expires_at": jeton.in_seconds(60)});
    let first = create(tenant.admin(), "once", body.clone()).expect_status(201);
    assert_eq!(first.header("idempotency-replayed"), None);
    jeton.advance(Duration::from_mins(2));
    let again = create(tenant.admin(), "once", body).expect_status(201);
    assert_eq!(again.json(), first.json());
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
}

#[both_databases]
fn an_idempotency_key_serves_a_rotation_too(jeton: Jeton) {
    let tenant = jeton.tenant();
    let key = tenant.api_key([]);
    let rotate = |body: Value| {
        let call = tenant.admin().call("POST", format!("{}/rotate", key.path())).header("Idempotency-Key", "once");
        call.json(body)
    };
    let first = rotate(json!({})).expect_status(201);
    assert_eq!(rotate(json!({})).expect_status(201).json(), first.json());
    rotate(json!({"overlap_seconds": 60})).expect_problem(409, "idempotency_conflict");
    create(tenant.admin(), "once", json!({"name": "CI"})).expect_problem(409, "idempotency_conflict");
}

/// A rule may become stricter between an answer and its repetition.
#[both_databases]
fn an_answer_is_repeated_with_a_name_that_is_refused_today(jeton: Jeton) {
    let tenant = jeton.tenant();
    let key = tenant.api_key([]);
    tenant.admin().token();
    jeton.execute("UPDATE api_keys SET name = 'soft\u{ad}ware'");
    let rotate =
        || tenant.admin().call("POST", format!("{}/rotate", key.path())).header("Idempotency-Key", "once").send();
    let first = rotate().expect_status(201);
    assert_eq!(first.json()["name"], "soft\u{ad}ware");
    assert_eq!(rotate().expect_status(201).json(), first.json());
}

#[both_databases]
fn an_idempotency_key_is_its_tenants_own(jeton: Jeton) {
    let (tenant, other) = (jeton.tenant(), jeton.tenant());
    let first = create(tenant.admin(), "once", json!({"name": "CI"})).expect_status(201);
    let second = create(other.admin(), "once", json!({"name": "CI"})).expect_status(201);
    assert_ne!(first.text("id"), second.text("id"));
}

#[both_databases]
fn a_refused_creation_does_not_use_up_the_idempotency_key(jeton: Jeton) {
    let tenant = jeton.tenant();
    create(tenant.admin(), "once", json!({"name": ""})).expect_problem(422, "validation_failed");
    create(tenant.admin(), "once", json!({"name": "CI"})).expect_status(201);
}

#[both_databases]
fn an_idempotency_key_that_cannot_be_is_refused_not_ignored(jeton: Jeton) {
    let tenant = jeton.tenant();
    let admin = tenant.admin();
    for wrong in ["", "\u{e9}", &"x".repeat(256)] {
        let answer = create(admin, wrong, json!({"name": "CI"}));
        assert!([400, 422].contains(&answer.status), "{wrong}: {}", answer.told());
    }
    let call =
        admin.call("POST", tenant.path("api-keys")).header("Idempotency-Key", "a").header("Idempotency-Key", "b");
    let answer = call.json(json!({"name": "CI"}));
    assert!([400, 422].contains(&answer.status), "two of them: {}", answer.told());
    assert!(admin.get(tenant.path("api-keys")).items().is_empty());
}

#[both_databases]
fn a_key_dies_with_its_tenant(jeton: Jeton) {
    let (suspended, deleted) = (jeton.tenant(), jeton.tenant());
    let keys = [suspended.api_key([]), deleted.api_key([])];
    for key in &keys {
        key.exchange().expect_tokens();
    }
    suspended.suspend();
    jeton.cli(["tenant", "delete", &deleted.id]).expect_code(0);
    for key in &keys {
        let answer = key.exchange();
        assert!(answer.status == 401 || answer.status == 403, "{}", answer.told());
    }
}

fn create(admin: &User, idempotency_key: &str, body: Value) -> Answer {
    let path = format!("/api/v1/tenants/{}/api-keys", admin.tenant_id);
    admin.call("POST", path).header("Idempotency-Key", idempotency_key).json(body)
}

fn without_request_id(answer: &Answer) -> Value {
    let mut problem = answer.json();
    problem.as_object_mut().unwrap().remove("request_id");
    problem
}
