//! `POST /oauth2/revoke`: whoever holds a token may end it (RFC 7009; contract 4.3).

use std::time::Duration;

use jeton_test_macros::both_databases;
use serde_json::json;

use crate::harness::{Answer, Client, Jeton, Session, at_once};
use crate::profiles::{ID_AND_SECRET, with_profile};

const PATH: &str = "/oauth2/revoke";

fn revoke(client: &Client, token: &str) -> Answer {
    client.post(PATH).form(&[("token", token)])
}

/// 200, whose body means nothing (RFC 7009 section 2.2).
#[track_caller]
fn expect_revoked(answer: &Answer) {
    assert_eq!(answer.status, 200, "{}", answer.told());
    assert_eq!((&*answer.body, answer.header("cache-control")), (&b""[..], Some("no-store")));
}

#[both_databases]
fn a_refresh_token_ends_its_session_on_every_server_at_once(jeton: Jeton) {
    let session = jeton.tenant().user("member").session();
    let (_server, elsewhere) = jeton.second();
    expect_revoked(&revoke(&jeton.client(), &session.refresh_token));

    for client in [jeton.client(), elsewhere] {
        let body = json!({"refresh_token": session.refresh_token});
        client.post("/api/v1/auth/refresh").json(body).expect_problem(401, "invalid_refresh_token");
        client.get("/api/v1/auth/me").bearer(&session.access_token).send().expect_problem(401, "invalid_token");
    }
    expect_revoked(&revoke(&jeton.client(), &session.refresh_token));
    assert_eq!(jeton.audited("session.revoked"), 1);
}

#[both_databases]
fn a_used_up_token_ends_its_session_too(jeton: Jeton) {
    for uses in 1..3 {
        let first = jeton.tenant().user("member").session();
        let current = (0..uses).fold(first.clone(), |session, _| session.refreshed());
        expect_revoked(&revoke(&jeton.client(), &first.refresh_token));
        for session in [&first, &current] {
            session.refresh().expect_status(401);
        }
    }
}

#[both_databases]
fn other_sessions_of_the_user_live_on(jeton: Jeton) {
    let user = jeton.tenant().user("member");
    let (one, other) = (user.session(), user.session());
    expect_revoked(&revoke(&jeton.client(), &one.refresh_token));
    other.refreshed();
}

#[both_databases]
fn a_refresh_racing_a_revocation_mints_nothing_after_it(jeton: Jeton) {
    for _ in 0..5 {
        let session = jeton.tenant().user("member").session();
        let answers = at_once(4, |number| match number {
            0 => revoke(&jeton.client(), &session.refresh_token),
            _ => session.refresh(),
        });
        expect_revoked(&answers[0]);
        session.refresh().expect_status(401);
        for answer in answers[1..].iter().filter(|answer| answer.status == 200) {
            Session::of(&jeton, answer).refresh().expect_status(401);
        }
    }
}

#[both_databases]
fn an_api_key_is_revoked_for_good_on_every_server_at_once(jeton: Jeton) {
    let tenant = jeton.tenant();
    let (key, other) = (tenant.api_key(["a:b"]), tenant.api_key(["a:b"]));
    let (_server, elsewhere) = jeton.second();
    expect_revoked(&revoke(&elsewhere, &key.key));

    for client in [jeton.client(), elsewhere] {
        let exchange = client.post("/api/v1/auth/exchange").bearer(&key.key).tenant(&tenant.id).send();
        exchange.expect_problem(401, "invalid_api_key");
    }
    other.exchange().expect_scope("a:b");
    assert_eq!(tenant.admin().get(key.path()).json()["state"], "revoked");
}

#[both_databases]
fn a_revocation_is_audited_once_as_its_holders(jeton: Jeton) {
    let tenant = jeton.tenant();
    let key = tenant.api_key([]);
    for answer in at_once(4, |_| revoke(&jeton.client(), &key.key)) {
        expect_revoked(&answer);
    }
    let rows: Vec<_> = jeton.audit().into_iter().filter(|row| row.action == "api_key.revoked").collect();
    assert_eq!(rows.len(), 1, "{rows:?}");
    let name = format!("api-key:{}", key.id);
    assert_eq!((&*rows[0].actor, rows[0].target.as_deref()), (&*name, Some(&*name)));
    assert_eq!(rows[0].ip.as_deref(), Some("127.0.0.1"));
    let path = tenant.path("audit-events?action=api_key.revoked");
    assert_eq!(tenant.admin().get(path).items().len(), 1, "its tenant sees it");
}

#[both_databases]
fn what_is_no_token_is_200_with_nothing_done(jeton: Jeton) {
    let tenant = jeton.tenant();
    let (key, session) = (tenant.api_key(["a:b"]), tenant.user("member").session());
    let forged = |token: &str| {
        let (rest, last) = token.split_at(token.len() - 2);
        format!("{rest}{}", if last == "AA" { "BB" } else { "AA" })
    };
    let expired = tenant.user("member").session().access_token;
    jeton.advance(Duration::from_mins(31));
    for token in [
        "unknown",
        "jrt_",
        "jrt_é",
        "jtn_live_",
        "jtn_live_00000000000000000000000000000000",
        "a.b.c",
        &forged(&session.refresh_token),
        &session.refresh_token[..40],
        &key.key[..20],
        &forged(&session.access_token),
        &expired,
        &key.id,
        &"x".repeat(30_000),
    ] {
        expect_revoked(&revoke(&jeton.client(), token));
    }
    key.exchange().expect_scope("a:b");
    session.refreshed();
    assert_eq!(jeton.audited("revoked"), 0);
}

/// A 200 would say that it is dead, which nobody hears of who verifies it offline.
#[both_databases]
fn a_living_access_token_cannot_be_revoked(jeton: Jeton) {
    let jeton = jeton.with("tokens.audience", r#"["api", "edge"]"#);
    let tenant = jeton.tenant();
    let (key, session) = (tenant.api_key([]), tenant.user("member").session());
    let for_edge = key.exchange_for(json!({"audience": "edge"})).expect_tokens().text("access_token");
    for token in [&session.access_token, &key.token(), &for_edge] {
        revoke(&jeton.client(), token).expect_oauth_error(400, "unsupported_token_type");
    }
    session.call("GET", "/api/v1/auth/me").send().expect_status(200);
}

#[both_databases]
fn a_hint_is_a_hint(jeton: Jeton) {
    let tenant = jeton.tenant();
    for hint in ["refresh_token", "access_token", "nonsense"] {
        let (key, session) = (tenant.api_key([]), tenant.user("member").session());
        for token in [&key.key, &session.refresh_token] {
            expect_revoked(&jeton.post(PATH).form(&[("token", token), ("token_type_hint", hint)]));
        }
        key.exchange().expect_problem(401, "invalid_api_key");
        session.refresh().expect_status(401);
    }
}

#[both_databases]
fn client_credentials_are_not_needed_but_must_be_right(jeton: Jeton) {
    let tenant = jeton.tenant();
    let (key, client) = (tenant.api_key(["a:b"]), tenant.api_key([]));
    let token = ("token", &*key.key);
    for (id, secret) in
        [(&*client.id, &*key.key), ("", &*client.key), ("no-uuid", &*client.key), (&*client.id, "jtn_live_0")]
    {
        let basic = jeton.post(PATH).basic(id, secret).form(&[token]).expect_oauth_error(401, "invalid_client");
        assert!(basic.header("www-authenticate").is_some_and(|challenge| challenge.starts_with("Basic")));
        let form = [token, ("client_id", id), ("client_secret", secret)];
        jeton.post(PATH).form(&form).expect_oauth_error(401, "invalid_client");
    }
    for half in [("client_id", &*client.id), ("client_secret", &*client.key)] {
        jeton.post(PATH).form(&[token, half]).expect_oauth_error(401, "invalid_client");
    }
    let twice = [token, ("client_secret", &*client.key)];
    jeton.post(PATH).basic(&client.id, &client.key).form(&twice).expect_oauth_error(400, "invalid_request");
    key.exchange().expect_scope("a:b");

    let session = tenant.user("member").session();
    let public = [("token", &*session.refresh_token), ("client_id", "jeton-login")];
    expect_revoked(&jeton.post(PATH).form(&public));
    session.refresh().expect_status(401);
    expect_revoked(&jeton.post(PATH).basic(&key.id, &key.key).form(&[token]));
    key.exchange().expect_problem(401, "invalid_api_key");
    jeton.post(PATH).basic(&key.id, &key.key).form(&[token]).expect_oauth_error(401, "invalid_client");
}

/// A key that has leaked must be revocable by whoever finds it.
#[both_databases]
fn a_key_is_revoked_from_anywhere(jeton: Jeton) {
    let tenant = jeton.tenant();
    for authenticated in [false, true] {
        let key = tenant.api_key_with(json!({"allowed_ips": ["203.0.113.0/24"]}));
        key.exchange().expect_problem(403, "ip_not_allowed");
        let call = jeton.post(PATH);
        let call = if authenticated { call.basic(&key.id, &key.key) } else { call };
        expect_revoked(&call.form(&[("token", &key.key)]));
        assert_eq!(tenant.admin().get(key.path()).json()["state"], "revoked");
    }
}

#[both_databases]
fn of_an_id_and_a_secret_the_secret_is_the_token(jeton: Jeton) {
    let jeton = with_profile(jeton, ID_AND_SECRET);
    let tenant = jeton.tenant();
    let rotated = |key: &crate::harness::ApiKey| {
        let answer = tenant.admin().rotate(key, json!({"overlap_seconds": 60})).expect_status(201);
        answer.into_key(&tenant)
    };
    let first = tenant.api_key(["a:b"]);
    let second = rotated(&first);
    expect_revoked(&revoke(&jeton.client(), &second.key));
    for dead in [&first, &second] {
        dead.exchange().expect_problem(401, "invalid_api_key");
    }

    let first = tenant.api_key(["a:b"]);
    let second = rotated(&first);
    expect_revoked(&revoke(&jeton.client(), &first.key));
    second.exchange().expect_problem(401, "invalid_api_key");

    let first = tenant.api_key(["a:b"]);
    let second = rotated(&first);
    jeton.advance(Duration::from_secs(61));
    expect_revoked(&revoke(&jeton.client(), &first.key));
    second.exchange().expect_scope("a:b");
}

#[both_databases]
fn an_expired_key_does_not_come_back_with_the_clock(jeton: Jeton) {
    let tenant = jeton.tenant();
    let key = tenant.api_key_with(json!({"expires_at": jeton.in_seconds(60)}));
    jeton.advance(Duration::from_mins(2));
    expect_revoked(&revoke(&jeton.client(), &key.key));
    jeton.shift(-120_000_000);
    key.exchange().expect_problem(401, "invalid_api_key");
}

#[both_databases]
fn a_revocation_that_cannot_be_stored_is_503_and_all_lives_on(jeton: Jeton) {
    let tenant = jeton.tenant();
    let (key, mut session) = (tenant.api_key(["a:b"]), tenant.user("member").session());
    for (table, operation, token) in [
        ("api_keys", "UPDATE", &key.key),
        ("audit_events", "INSERT", &key.key),
        ("sessions", "UPDATE", &session.refresh_token),
        ("audit_events", "INSERT", &session.refresh_token),
    ] {
        jeton.break_writes(table, operation);
        let answer = revoke(&jeton.client(), token).expect_oauth_error(503, "temporarily_unavailable");
        assert!(answer.header("retry-after").is_some(), "RFC 7009 section 2.2.1");
        jeton.mend_writes(table);
    }
    key.exchange().expect_scope("a:b");
    session = session.refreshed();
    expect_revoked(&revoke(&jeton.client(), &session.refresh_token));
    session.refresh().expect_status(401);
}

#[both_databases]
fn a_request_that_says_two_things_is_refused(jeton: Jeton) {
    let key = jeton.tenant().api_key(["a:b"]);
    let token = ("token", &*key.key);
    for fields in [
        vec![token, token],
        vec![token, ("token", "unknown")],
        vec![token, ("token_type_hint", "a"), ("token_type_hint", "b")],
        vec![],
        vec![("token", "")],
        vec![("token_type_hint", "refresh_token")],
    ] {
        jeton.post(PATH).form(&fields).expect_oauth_error(400, "invalid_request");
    }
    jeton.post(format!("{PATH}?token={}", key.key)).form(&[]).expect_oauth_error(400, "invalid_request");
    jeton.post(PATH).json(json!({"token": key.key})).expect_oauth_error(415, "invalid_request");
    jeton.get(PATH).send().expect_problem(405, "method_not_allowed");
    key.exchange().expect_scope("a:b");
}
