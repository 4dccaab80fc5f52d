//! `POST /api/v1/auth/refresh` and the five rules of refresh tokens (contract 3).

use std::{collections::BTreeSet, time::Duration};

use diesel::connection::SimpleConnection;
use jeton_test_macros::both_databases;
use serde_json::json;

use crate::harness::{Answer, Database, Jeton, Jwt, Session, at_once};

const fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

const DAY: u64 = 24 * 60 * 60;

fn session(jeton: &Jeton) -> Session {
    jeton.tenant().user("member").session()
}

#[both_databases]
fn a_refresh_gives_the_successor_and_a_fresh_access_token(jeton: Jeton) {
    let user = jeton.tenant().user("member");
    let first = user.session();
    jeton.advance(seconds(2));
    let answer = first.refresh().expect_scope("");
    let (before, after) = (Jwt::parse(&first.access_token), jeton.verified(&answer.text("access_token")));

    assert_ne!(answer.text("refresh_token"), first.refresh_token);
    assert_eq!((answer.json()["expires_in"].as_i64(), answer.text("tenant_id")), (Some(1800), user.tenant_id));
    assert_eq!(answer.json()["refresh_token_expires_in"], 2_592_000);
    assert_ne!(before.text("jti"), after.text("jti"));
    for unchanged in ["sub", "sid", "tenant_id", "scope", "roles", "auth_time", "aud", "client_id"] {
        assert_eq!(before.claims[unchanged], after.claims[unchanged], "{unchanged}");
    }
    assert!(after.number("exp") > before.number("exp"));
}

#[both_databases]
fn the_predecessor_gets_the_same_current_token_within_the_grace(jeton: Jeton) {
    let first = session(&jeton);
    let second = first.refreshed();
    jeton.advance(seconds(29));
    let again = first.refreshed();

    assert_eq!(again.refresh_token, second.refresh_token);
    assert_ne!(again.access_token, second.access_token, "a fresh access token");
    second.refreshed();
}

#[both_databases]
fn the_predecessor_after_the_window_kills_the_session(jeton: Jeton) {
    let first = session(&jeton);
    let second = first.refreshed();
    jeton.advance(seconds(31));

    first.refresh().expect_problem(401, "refresh_token_reused");
    expect_dead(&second);
}

#[both_databases]
fn the_window_is_never_extended(jeton: Jeton) {
    let first = session(&jeton);
    let second = first.refreshed();
    jeton.advance(seconds(20));
    first.refresh().expect_tokens();
    jeton.advance(seconds(11));

    first.refresh().expect_problem(401, "refresh_token_reused");
    expect_dead(&second);
}

#[both_databases]
fn the_predecessor_is_taken_ten_times_at_most(jeton: Jeton) {
    let first = session(&jeton);
    let second = first.refreshed();
    for _ in 0..10 {
        assert_eq!(first.refreshed().refresh_token, second.refresh_token);
    }
    first.refresh().expect_problem(401, "refresh_token_reused");
    expect_dead(&second);
}

#[both_databases]
fn the_ten_times_are_counted_exactly_under_concurrency(jeton: Jeton) {
    let first = session(&jeton);
    let second = first.refreshed();
    let answers = at_once(14, |_| first.refresh());
    let granted = answers.iter().filter(|answer| answer.status == 200).count();
    assert!(granted <= 10, "{granted} of 14");
    for refused in answers.into_iter().filter(|answer| answer.status != 200) {
        refused.expect_status(401);
    }
    expect_dead(&second);
}

#[both_databases]
fn anything_older_than_the_predecessor_kills_the_session(jeton: Jeton) {
    let first = session(&jeton);
    let second = first.refreshed();
    let third = second.refreshed();

    first.refresh().expect_problem(401, "refresh_token_reused");
    expect_dead(&third);
    expect_dead(&second);
}

#[both_databases]
fn a_reuse_kills_for_good_after_a_restart_too(jeton: Jeton) {
    let first = session(&jeton);
    let second = first.refreshed();
    let third = second.refreshed();
    first.refresh().expect_problem(401, "refresh_token_reused");

    jeton.kill();
    expect_dead(&third);
    expect_dead(&second);
    first.refresh().expect_status(401);
}

#[both_databases]
fn a_reuse_kills_that_session_only(jeton: Jeton) {
    let user = jeton.tenant().user("member");
    let (stolen, other) = (user.session(), user.session());
    stolen.refreshed().refreshed();
    stolen.refresh().expect_problem(401, "refresh_token_reused");
    other.refreshed();
}

#[both_databases]
fn a_reuse_within_the_same_second_is_a_reuse(jeton: Jeton) {
    let jeton = jeton.with("tokens.refresh_grace", "0s");
    let first = session(&jeton);
    let second = first.refreshed();
    first.refresh().expect_problem(401, "refresh_token_reused");
    expect_dead(&second);
}

#[both_databases]
fn two_tabs_converge_on_one_successor(jeton: Jeton) {
    for tabs in [2, 9] {
        let session = session(&jeton);
        expect_one_successor(at_once(tabs, |_| session.refresh()));
    }
}

/// They may be committed together (ADR 20).
#[both_databases]
fn sessions_that_are_refreshed_at_once_each_keep_their_rules(jeton: Jeton) {
    let [current, predecessor, used_up, dead] = [0; 4].map(|_| session(&jeton));
    let newest = predecessor.refreshed();
    used_up.refreshed().refreshed();
    dead.logout().expect_status(204);

    let answers = at_once(10, |number| match number {
        0 => predecessor.refresh().expect_tokens(),
        1 => used_up.refresh().expect_problem(401, "refresh_token_reused"),
        2 => dead.refresh().expect_problem(401, "invalid_refresh_token"),
        3 => current.refresh().expect_tokens(),
        _ => session(&jeton).refresh().expect_tokens(),
    });

    assert_eq!(answers[0].text("refresh_token"), newest.refresh_token, "the predecessor gets the current one");
    assert_eq!(current.refreshed().refresh_token, answers[3].text("refresh_token"));
}

/// On PostgreSQL, where a session may be held by another server, or by whoever ends it just then.
#[both_databases]
fn a_session_that_is_held_keeps_no_other_waiting(jeton: Jeton) {
    let Database::Postgres { .. } = jeton.database() else { return };
    let (held, others) = (session(&jeton), [0; 8].map(|_| session(&jeton)));
    let mut holder = jeton.postgres();
    let id = held.id().replace('-', "");
    let take = format!("BEGIN; SELECT 1 FROM sessions WHERE id = decode('{id}', 'hex') FOR UPDATE");
    holder.batch_execute(&take).unwrap();

    let answers = at_once(16, |number| {
        let of_other = others.get(number).map(Session::refresh);
        of_other.unwrap_or_else(|| held.refresh())
    });
    for answer in answers.into_iter().take(others.len()) {
        answer.expect_tokens();
    }
    holder.batch_execute("COMMIT").unwrap();
    held.refreshed();
}

#[both_databases]
fn two_servers_converge_on_one_successor(jeton: Jeton) {
    let first = session(&jeton);
    let (_server, other) = jeton.second();
    for round in 0..3 {
        let session = if round == 0 { first.clone() } else { session(&jeton) };
        let body = json!({"refresh_token": session.refresh_token});
        let answers = at_once(8, |number| {
            let client = if number % 2 == 0 { jeton.client() } else { other.clone() };
            client.post("/api/v1/auth/refresh").json(body.clone())
        });
        expect_one_successor(answers);
    }
}

#[both_databases]
fn a_strict_server_gives_one_successor_at_most(jeton: Jeton) {
    let jeton = jeton.with("tokens.refresh_grace", "0s");
    let first = session(&jeton);
    let answers = at_once(5, |_| first.refresh());
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1, "one wins");
    for answer in answers {
        if answer.status == 200 {
            expect_dead(&Session::of(&jeton, &answer));
        } else {
            answer.expect_status(401);
        }
    }
}

#[both_databases]
fn a_session_slides_with_each_refresh(jeton: Jeton) {
    let jeton = jeton.with("tokens.refresh_ttl", "5d");
    let mut session = session(&jeton);
    for _ in 0..3 {
        jeton.advance(seconds(5 * DAY - 60));
        session = session.refreshed();
    }
    jeton.advance(seconds(5 * DAY + 1));
    session.refresh().expect_problem(401, "invalid_refresh_token");
}

#[both_databases]
fn a_session_ends_at_last_whatever_was_refreshed(jeton: Jeton) {
    let jeton = jeton.with("tokens.refresh_ttl", "5d").with("tokens.session_ttl", "10d");
    let mut session = session(&jeton);
    for _ in 0..2 {
        jeton.advance(seconds(4 * DAY));
        session = session.refreshed();
    }
    jeton.advance(seconds(2 * DAY - 60));
    let answer = session.refresh().expect_tokens();
    let lasts = answer.json()["refresh_token_expires_in"].as_i64().unwrap();
    assert!(lasts <= 60, "no more is promised than there is: {lasts}");
    jeton.advance(seconds(120));
    expect_dead(&Session::of(&jeton, &answer));
}

#[both_databases]
fn a_clock_that_steps_back_breaks_no_session_and_revives_none(jeton: Jeton) {
    let user = jeton.tenant().user("member");
    let (dead, alive) = (user.session(), user.session());
    let next = dead.refreshed();
    next.refreshed();
    dead.refresh().expect_problem(401, "refresh_token_reused");

    let mut current = alive;
    for step in [-1_000_000, -3_600_000_000] {
        jeton.shift(step);
        expect_dead(&next);
        let successor = current.refreshed();
        assert_eq!(current.refreshed().refresh_token, successor.refresh_token, "order is by generation, never by time");
        current = successor;
    }
}

#[both_databases]
fn a_refresh_token_that_is_not_ours_is_refused_and_harms_nobody(jeton: Jeton) {
    let session = session(&jeton);
    let token = &session.refresh_token;
    let last = if token.ends_with('A') { 'E' } else { 'A' };
    let other_end = format!("{}{last}", &token[..token.len() - 1]);
    let mut wrong = vec![
        String::new(),
        "jrt_".to_owned(),
        "jrt_é".to_owned(),
        token[..token.len() - 4].to_owned(),
        format!("{token}AAAA"),
        token.replacen("jrt_", "jrt-", 1),
        format!("jrt_{}", "A".repeat(75)),
        session.access_token.clone(),
        "\u{1F511}".repeat(30),
    ];
    wrong.push(other_end);
    for wrong in wrong {
        let answer = jeton.post("/api/v1/auth/refresh").json(json!({"refresh_token": wrong}));
        assert!(answer.status == 401 || answer.status == 422, "{wrong}: {}", answer.told());
        if !wrong.is_empty() {
            answer.expect_problem(401, "invalid_refresh_token");
        }
    }
    session.refreshed();
}

#[both_databases]
fn a_refresh_token_opens_nothing_as_a_bearer(jeton: Jeton) {
    let session = session(&jeton);
    for path in ["/api/v1/auth/me", "/api/v1/auth/sessions"] {
        jeton.get(path).bearer(&session.refresh_token).send().expect_problem(401, "invalid_token");
    }
    let exchange = jeton.post("/api/v1/auth/exchange").bearer(&session.refresh_token);
    exchange.tenant(&jeton.tenant().id).send().expect_problem(401, "invalid_api_key");
}

#[both_databases]
fn a_refresh_without_a_token_is_refused(jeton: Jeton) {
    let answer = jeton.post("/api/v1/auth/refresh").json(json!({}));
    assert!([400, 401, 422].contains(&answer.status), "{}", answer.told());
}

#[both_databases]
fn no_refresh_token_can_be_read_in_the_database(jeton: Jeton) {
    let first = session(&jeton);
    let second = first.refreshed();
    let stored = jeton.dump();
    for token in [&first.refresh_token, &second.refresh_token, &second.access_token] {
        let secret = &token.as_bytes()[token.len() - 40..];
        assert!(!stored.windows(secret.len()).any(|window| window == secret), "{token} is stored");
    }
}

/// All were answered, with one refresh token and as many access tokens as there were calls.
fn expect_one_successor(answers: Vec<Answer>) {
    let calls = answers.len();
    let tokens: Vec<_> = answers.into_iter().map(Answer::expect_tokens).collect();
    let successors: BTreeSet<_> = tokens.iter().map(|answer| answer.text("refresh_token")).collect();
    let ids: BTreeSet<_> =
        tokens.iter().map(|answer| Jwt::parse(&answer.text("access_token")).text("jti").to_owned()).collect();
    assert_eq!((successors.len(), ids.len()), (1, calls), "one successor, {calls} access tokens");
}

#[track_caller]
fn expect_dead(session: &Session) {
    session.refresh().expect_status(401);
}
