//! How sessions end (contract 3, rule 4): after the 2xx nothing mints for them, grace included, on any instance.

use std::{thread::sleep, time::Duration};

use jeton_test_macros::both_databases;
use serde_json::json;

use crate::harness::{Jeton, Session, User, Wire, at_once};

#[both_databases]
fn nothing_mints_after_a_logout(jeton: Jeton) {
    nothing_mints_after(&jeton, |_, session| {
        session.logout().expect_status(204);
    });
}

#[both_databases]
fn nothing_mints_after_a_logout_everywhere(jeton: Jeton) {
    nothing_mints_after(&jeton, |_, session| {
        session.call("POST", "/api/v1/auth/logout-all").send().expect_status(204);
    });
}

#[both_databases]
fn nothing_mints_after_a_session_was_ended_from_another(jeton: Jeton) {
    nothing_mints_after(&jeton, |user, session| {
        user.delete(format!("/api/v1/auth/sessions/{}", session.id())).expect_status(204);
    });
}

#[both_databases]
fn nothing_mints_after_a_password_change(jeton: Jeton) {
    nothing_mints_after(&jeton, |user, _| {
        user.change_password(&user.session(), "another-Meadow-2209-kettle").expect_status(204);
    });
}

#[both_databases]
fn nothing_mints_after_an_operator_set_the_password(jeton: Jeton) {
    nothing_mints_after(&jeton, |user, _| {
        let arguments = ["user", "set-password", &user.email, "--password-stdin"];
        jeton.cli_with_stdin(arguments, Some("another-Meadow-2209-kettle")).expect_code(0);
    });
}

#[both_databases]
fn nothing_mints_after_the_user_was_disabled(jeton: Jeton) {
    nothing_mints_after(&jeton, |user, _| {
        jeton.cli(["user", "disable", &user.email]).expect_code(0);
    });
}

#[both_databases]
fn nothing_mints_after_the_membership_was_removed(jeton: Jeton) {
    let tenant = jeton.tenant();
    nothing_mints_for(&jeton, &tenant.user("member"), |user, _| {
        tenant.admin().delete(tenant.path(&format!("users/{}", user.id))).expect_status(204);
    });
}

#[both_databases]
fn nothing_mints_after_the_tenant_was_suspended(jeton: Jeton) {
    nothing_mints_after(&jeton, |user, _| {
        jeton.cli(["tenant", "suspend", &user.tenant_id]).expect_code(0);
    });
}

#[both_databases]
fn nothing_mints_after_the_tenant_was_deleted(jeton: Jeton) {
    nothing_mints_after(&jeton, |user, _| {
        jeton.cli(["tenant", "delete", &user.tenant_id]).expect_code(0);
    });
}

#[both_databases]
fn a_disabled_user_who_is_enabled_again_logs_in_anew(jeton: Jeton) {
    let user = jeton.tenant().user("member");
    let session = user.session();
    jeton.cli(["user", "disable", &user.email]).expect_code(0);
    jeton.cli(["user", "enable", &user.email]).expect_code(0);

    expect_dead(&session);
    user.session();
}

#[both_databases]
fn a_member_who_is_added_again_logs_in_anew(jeton: Jeton) {
    let tenant = jeton.tenant();
    let user = tenant.user("member");
    let session = user.session();
    tenant.admin().delete(tenant.path(&format!("users/{}", user.id))).expect_status(204);
    tenant.admin().post(tenant.path("users"), json!({"email": user.email, "role": "member"})).expect_status(201);

    expect_dead(&session);
    user.session();
}

/// They were let in while they still had the right, and kept the request open (security 20).
#[both_databases]
fn a_body_that_comes_after_the_end_does_nothing(jeton: Jeton) {
    let tenant = jeton.tenant();
    let admin = tenant.admin();
    let bearer = format!("Bearer {}", admin.token());
    let mut wires = Wire::to(&[&jeton.client()], 1);
    for wire in &mut wires {
        wire.post_late(&tenant.path("api-keys"), &[("Authorization", &bearer)], &json!({"name": "Late"}), || {
            sleep(Duration::from_millis(500));
            jeton.cli(["user", "disable", &admin.email]).expect_code(0);
        });
        wire.answer().expect_problem(401, "invalid_token");
    }
    assert_eq!(jeton.rows("api_keys"), 0);
}

#[both_databases]
fn a_logout_is_always_204(jeton: Jeton) {
    let session = a_session(&jeton);
    for _ in 0..2 {
        session.logout().expect_status(204);
    }
    for token in ["jrt_unknown", "", "jrt_é", &session.access_token] {
        jeton.post("/api/v1/auth/logout").json(json!({"refresh_token": token})).expect_status(204);
    }
}

#[both_databases]
fn a_refresh_racing_a_logout_mints_nothing_after_it(jeton: Jeton) {
    for _ in 0..5 {
        let session = a_session(&jeton);
        let answers = at_once(4, |number| if number == 0 { session.logout() } else { session.refresh() });
        expect_dead(&session);
        for answer in answers.iter().filter(|answer| answer.status == 200) {
            expect_dead(&Session::of(&jeton, answer));
        }
    }
}

/// What rule 4 promises, on this server and on another: for the current token, and for its predecessor.
fn nothing_mints_after(jeton: &Jeton, end: impl Fn(&User, &Session)) {
    nothing_mints_for(jeton, &jeton.tenant().user("member"), end);
}

fn nothing_mints_for(jeton: &Jeton, user: &User, end: impl Fn(&User, &Session)) {
    user.token();
    let previous = user.session();
    let current = previous.refreshed();
    let (_server, other) = jeton.second();
    end(user, &current);

    for session in [&previous, &current] {
        for client in [jeton.client(), other.clone()] {
            let body = json!({"refresh_token": session.refresh_token});
            let answer = client.post("/api/v1/auth/refresh").json(body);
            assert!(answer.status == 401 || answer.status == 403, "nothing mints: {}", answer.told());
        }
    }
}

fn a_session(jeton: &Jeton) -> Session {
    jeton.tenant().user("member").session()
}

#[track_caller]
fn expect_dead(session: &Session) {
    session.refresh().expect_status(401);
}
