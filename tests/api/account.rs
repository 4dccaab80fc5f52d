//! What people do with their own account: who they are, their sessions, their password (contract 4.1).

use jeton_test_macros::both_databases;
use serde_json::{Value, json};

use crate::harness::{Database, Jeton};

const NEW_PASSWORD: &str = "another-Meadow-2209-kettle";

#[both_databases]
fn me_is_the_user_its_tenants_and_roles(jeton: Jeton) {
    let tenant = jeton.tenant();
    for role in ["admin", "member"] {
        let user = tenant.user(role);
        let me = user.get("/api/v1/auth/me").expect_status(200).json();
        assert_eq!((&me["id"], &me["email"]), (&json!(user.id), &json!(user.email)));
        let tenants = me["tenants"].as_array().expect("its tenants");
        assert_eq!(tenants.len(), 1);
        assert_eq!((&tenants[0]["id"], &tenants[0]["name"]), (&json!(tenant.id), &json!(tenant.name)));
        assert!(tenants[0]["role"] == role || tenants[0]["roles"] == json!([role]), "{me}");
        assert!(!me.to_string().contains("argon2"), "never a secret");
    }
}

#[both_databases]
fn me_is_nobody_after_the_user_was_disabled(jeton: Jeton) {
    let user = jeton.tenant().user("member");
    user.get("/api/v1/auth/me").expect_status(200);
    jeton.cli(["user", "disable", &user.email]).expect_code(0);
    user.get("/api/v1/auth/me").expect_problem(401, "invalid_token");
}

#[both_databases]
fn the_list_of_sessions_is_the_callers_own(jeton: Jeton) {
    let tenant = jeton.tenant();
    let (user, other) = (tenant.user("member"), tenant.user("member"));
    other.session();
    let (first, second) = (user.session(), user.session());

    let answer = second.call("GET", "/api/v1/auth/sessions").send().expect_status(200);
    let sessions = answer.items();
    assert_eq!(sessions.len(), 2);
    for session in &sessions {
        assert!(session["created_at"].as_str().is_some_and(is_rfc_3339), "{session}");
        assert!(session["last_used_at"].as_str().is_some_and(is_rfc_3339), "{session}");
        assert_eq!((&session["ip"], &session["user_agent"]), (&json!("127.0.0.1"), &json!("jeton-tests")));
        assert_eq!(session["current"], session["id"] == second.id(), "the one that asks is `current`");
    }
    let ids: Vec<_> = sessions.iter().map(|session| session["id"].as_str().unwrap().to_owned()).collect();
    assert!(ids.contains(&first.id()) && ids.contains(&second.id()));
    assert!(!answer.told().contains("jrt_"), "never a secret");
}

/// A script that logs in anew each time keeps nobody's sessions from ending all at once.
#[both_databases]
fn of_too_many_sessions_the_one_ends_that_was_used_least_recently(jeton: Jeton) {
    let user = jeton.tenant().user("member");
    let (lost, kept) = (user.session(), user.session());
    let id = match jeton.database() {
        Database::Sqlite => "CAST(printf('%016d', n) AS BLOB)",
        Database::Postgres { .. } => "convert_to(lpad(n::text, 16, '0'), 'UTF8')",
    };
    jeton.execute(&format!(
        "INSERT INTO sessions (id, user_id, tenant_id, generation, grace_uses, created_at, rotated_at, expires_at,
                               ends_at, status_index)
         WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 9998)
         SELECT {id}, user_id, tenant_id, 0, 0, created_at, rotated_at, expires_at, ends_at, 5000000 + n
         FROM numbers, (SELECT * FROM sessions ORDER BY rotated_at DESC LIMIT 1) AS newest"
    ));
    let kept = kept.refreshed();
    let living = || jeton.rows("sessions WHERE revoked_at IS NULL");
    assert_eq!(living(), 10_000);

    let new = user.session();
    assert_eq!(living(), 10_000);
    lost.refresh().expect_status(401);
    kept.refreshed();
    assert_eq!(jeton.audited("1 too many ended"), 1);
    new.call("POST", "/api/v1/auth/logout-all").send().expect_status(204);
    assert_eq!(living(), 0);
}

#[both_databases]
fn a_session_that_ended_is_not_listed(jeton: Jeton) {
    let user = jeton.tenant().user("member");
    let ended = user.session();
    ended.logout().expect_status(204);
    let items = user.get("/api/v1/auth/sessions").expect_status(200).items();
    assert!(items.iter().all(|session| session["id"] != ended.id()), "{items:?}");
}

#[both_databases]
fn a_session_is_ended_by_its_user_only(jeton: Jeton) {
    let tenant = jeton.tenant();
    let (user, other) = (tenant.user("member"), tenant.user("member"));
    let session = user.session();
    let path = format!("/api/v1/auth/sessions/{}", session.id());

    other.delete(&path).expect_problem(404, "not_found");
    tenant.admin().delete(&path).expect_problem(404, "not_found");
    let session = session.refreshed();
    user.delete(&path).expect_status(204);
    session.refresh().expect_status(401);
    user.delete(format!("/api/v1/auth/sessions/{}", uuid::Uuid::nil())).expect_problem(404, "not_found");
    user.delete("/api/v1/auth/sessions/no-uuid").expect_problem(404, "not_found");
}

#[both_databases]
fn an_access_token_ends_with_its_session(jeton: Jeton) {
    let user = jeton.tenant().user("member");
    let session = user.session();
    session.logout().expect_status(204);
    session.call("GET", "/api/v1/auth/me").send().expect_problem(401, "invalid_token");
}

#[both_databases]
fn a_dead_session_is_told_before_its_body_is_looked_at(jeton: Jeton) {
    let tenant = jeton.tenant();
    let session = tenant.user("admin").session();
    session.logout().expect_status(204);
    for body in ["{", "[]", r#"{"name":7}"#, r#"{"unknown":1}"#] {
        for (method, path) in [
            ("POST", tenant.path("api-keys")),
            ("POST", tenant.path("users")),
            ("POST", "/api/v1/tenants".to_owned()),
            ("POST", "/api/v1/auth/password".to_owned()),
        ] {
            let answer = session.call(method, path).body("application/json", body);
            answer.expect_problem(401, "invalid_token");
        }
    }
}

#[both_databases]
fn a_password_change_ends_every_other_session(jeton: Jeton) {
    let user = jeton.tenant().user("member");
    let (here, elsewhere) = (user.session(), user.session());
    user.change_password(&here, NEW_PASSWORD).expect_status(204);

    elsewhere.refresh().expect_status(401);
    here.refreshed();
    user.login().expect_problem(401, "invalid_credentials");
    user.login_with(json!({"password": NEW_PASSWORD})).expect_tokens();
}

#[both_databases]
fn a_password_change_needs_the_current_password(jeton: Jeton) {
    let user = jeton.tenant().user("member");
    let (here, elsewhere) = (user.session(), user.session());
    let body = json!({"current_password": "not-the-right-password", "new_password": NEW_PASSWORD});
    let answer = here.call("POST", "/api/v1/auth/password").json(body);
    answer.expect_problem(401, "invalid_credentials");

    elsewhere.refreshed();
    user.login().expect_tokens();
}

#[both_databases]
fn a_new_password_must_be_long_and_hard_to_guess(jeton: Jeton) {
    let user = jeton.tenant().user("member");
    let session = user.session();
    let long = "x".repeat(2000);
    for weak in ["", "Sh0rt!", "fourteen-chars", "passwordpassword", "123456789012345", &user.email, &long] {
        user.change_password(&session, weak).expect_field("new_password");
    }
    user.login().expect_tokens();
}

#[both_databases]
fn a_new_password_needs_no_kinds_of_characters(jeton: Jeton) {
    for good in ["violet meadow kettle", "квартира лампа поле сорок", &"lantern meadow kettle ".repeat(8)]
    {
        let user = jeton.tenant().user("member");
        user.change_password(&user.session(), good).expect_status(204);
        user.login_with(json!({"password": good})).expect_tokens();
    }
}

#[both_databases]
fn the_least_length_is_configured(jeton: Jeton) {
    let user = jeton.with("password.min_length", "8").tenant().user("member");
    let session = user.session();
    user.change_password(&session, "zq7-kx9").expect_field("new_password");
    user.change_password(&session, "zq7-kx9wv").expect_status(204);
}

#[both_databases]
fn an_access_token_ends_after_its_time(jeton: Jeton) {
    let user = jeton.tenant().user("member");
    let session = user.session();
    jeton.advance(std::time::Duration::from_secs(1790));
    session.call("GET", "/api/v1/auth/me").send().expect_status(200);
    jeton.advance(std::time::Duration::from_secs(20));
    let refused = session.call("GET", "/api/v1/auth/me").send().expect_problem(401, "invalid_token");
    let challenge = refused.header("www-authenticate").unwrap();
    assert!(challenge.contains("error=\"invalid_token\""), "RFC 6750 section 3: {challenge}");
}

#[both_databases]
fn a_call_without_a_token_is_challenged(jeton: Jeton) {
    for path in ["/api/v1/auth/me", "/api/v1/auth/sessions"] {
        let challenged = jeton.get(path).send().expect_problem(401, "invalid_token");
        assert_eq!(challenged.header("www-authenticate"), Some(r#"Bearer realm="jeton""#), "RFC 6750 section 3.1");
        jeton.get(path).header("Authorization", "Basic eDp5").send().expect_problem(401, "invalid_token");
        jeton.get(path).header("Authorization", "Bearer").send().expect_problem(401, "invalid_token");
    }
    let answer = jeton.post("/api/v1/auth/logout-all").send();
    answer.expect_problem(401, "invalid_token");
}

fn is_rfc_3339(text: &str) -> bool {
    chrono::DateTime::parse_from_rfc3339(text).is_ok_and(|time| time.offset().local_minus_utc() == 0)
}

/// A list without a cursor to follow, and the shape that lists have.
#[both_databases]
fn a_list_has_items_and_a_cursor(jeton: Jeton) {
    let user = jeton.tenant().user("member");
    let list = user.get("/api/v1/auth/sessions").expect_status(200).json();
    assert_eq!(list["next_cursor"], Value::Null);
    assert!(list.as_object().unwrap().contains_key("next_cursor"));
}
