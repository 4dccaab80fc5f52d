//! A database that fails (security 27, 28): 5xx, no token in the answer, and all as it was before.

use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use jeton_test_macros::both_databases;
use serde_json::json;

use crate::exhaustion::until;
use crate::harness::{Answer, Client, Database, Jeton, at_once};

#[both_databases]
fn a_login_that_cannot_be_stored_gives_no_token(jeton: Jeton) {
    let user = jeton.tenant().user("member");
    for (table, operation) in [("sessions", "INSERT"), ("audit_events", "INSERT"), ("users", "UPDATE")] {
        jeton.break_writes(table, operation);
        expect_failure(&user.login());
        jeton.mend_writes(table);
    }
    let session = user.session();
    let sessions = session.call("GET", "/api/v1/auth/sessions").send().expect_status(200).items();
    assert_eq!(sessions.len(), 1, "nothing is left of the ones that failed");
}

#[both_databases]
fn a_refresh_that_cannot_be_stored_can_be_tried_again(jeton: Jeton) {
    let first = jeton.tenant().user("member").session();
    jeton.break_writes("sessions", "UPDATE");
    expect_failure(&first.refresh());
    jeton.mend_writes("sessions");
    let second = first.refreshed();
    second.refreshed();
}

/// A server that does not know which key signs now, though sessions can be written (security 27, I3): what cannot be
/// answered with a token is not begun.
#[both_databases]
fn while_nothing_can_be_signed_nothing_is_used_up(jeton: Jeton) {
    jeton.set_variable("JETON_TEST_TRUSTED_FOR", "1500");
    let user = jeton.tenant().user("member");
    let session = user.session();
    let second = session.refreshed();
    let (generation, failures) = ("SELECT max(generation) AS number FROM sessions", "login_failures WHERE count > 0");
    let before = jeton.number(generation);

    jeton.execute("ALTER TABLE signing_keys RENAME TO lost");
    until("it knows no more which key signs", || jeton.get("/readyz").send().status == 503);
    for _ in 0..12 {
        expect_failure(&second.refresh());
    }
    expect_failure(&user.login());
    expect_failure(&user.login_with(json!({"password": "Basalt-lantern-4711-meadow"})));
    assert_eq!((jeton.number(generation), jeton.rows("sessions")), (before, 1), "nothing was begun");
    assert_eq!(jeton.rows(failures), 0, "nor was a password tried");

    jeton.execute("ALTER TABLE lost RENAME TO signing_keys");
    until("it knows again", || jeton.get("/readyz").send().status == 200);
    second.refreshed().refreshed();
}

#[both_databases]
fn a_reuse_is_told_only_when_the_revocation_is_stored(jeton: Jeton) {
    for (table, operation) in [("sessions", "UPDATE"), ("audit_events", "INSERT")] {
        let first = jeton.tenant().user("member").session();
        let third = first.refreshed().refreshed();
        jeton.break_writes(table, operation);
        expect_failure(&first.refresh());
        jeton.mend_writes(table);
        let fourth = third.refreshed();
        first.refresh().expect_problem(401, "refresh_token_reused");
        fourth.refresh().expect_status(401);
    }
}

#[both_databases]
fn a_key_that_cannot_be_stored_is_not_shown(jeton: Jeton) {
    let tenant = jeton.tenant();
    let admin = tenant.admin();
    admin.token();
    for table in ["api_keys", "audit_events", "idempotency_records"] {
        jeton.break_writes(table, "INSERT");
        let call = admin.call("POST", tenant.path("api-keys")).header("Idempotency-Key", "once");
        expect_failure(&call.json(json!({"name": "Key"})));
        jeton.mend_writes(table);
        assert!(admin.get(tenant.path("api-keys")).items().is_empty(), "{table}: rolled back whole");
    }
    let call = admin.call("POST", tenant.path("api-keys")).header("Idempotency-Key", "once");
    call.json(json!({"name": "Key"})).expect_status(201);
}

#[both_databases]
fn a_revocation_that_cannot_be_stored_is_not_acknowledged(jeton: Jeton) {
    let tenant = jeton.tenant();
    let key = tenant.api_key(["a:b"]);
    for (table, operation) in [("api_keys", "UPDATE"), ("audit_events", "INSERT")] {
        jeton.break_writes(table, operation);
        expect_failure(&tenant.admin().revoke(&key));
        expect_failure(&tenant.admin().rotate(&key, json!({})));
        jeton.mend_writes(table);
        key.exchange().expect_scope("a:b");
    }
    assert_eq!(tenant.admin().get(tenant.path("api-keys")).items().len(), 1, "no successor is left behind");
}

#[both_databases]
fn a_logout_that_cannot_be_stored_is_not_acknowledged(jeton: Jeton) {
    let session = jeton.tenant().user("member").session();
    jeton.break_writes("sessions", "UPDATE");
    expect_failure(&session.logout());
    jeton.mend_writes("sessions");
    session.logout().expect_status(204);
    session.refresh().expect_status(401);
}

#[both_databases]
fn what_fails_takes_nothing_with_it_that_was_acknowledged(jeton: Jeton) {
    let tenant = jeton.tenant();
    let admin = tenant.admin();
    admin.token();
    match jeton.database() {
        // The rudest of all failures: it ends the whole transaction, whoever else was in it.
        Database::Sqlite => jeton.execute(
            "CREATE TRIGGER injected BEFORE INSERT ON api_keys WHEN NEW.name LIKE 'bad%'
             BEGIN SELECT RAISE(ROLLBACK, 'injected'); END",
        ),
        Database::Postgres { .. } => jeton.execute(
            "CREATE FUNCTION injected() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'injected'; END $$;
             CREATE TRIGGER injected BEFORE INSERT ON api_keys FOR EACH ROW WHEN (NEW.name LIKE 'bad%')
             EXECUTE FUNCTION injected()",
        ),
    }
    let answers = at_once(24, |number| {
        let name = if number % 3 == 0 { format!("bad {number}") } else { format!("good {number}") };
        (name.clone(), admin.create_api_key(json!({"name": name})))
    });

    let stored = admin.get(tenant.path("api-keys?limit=100")).expect_status(200).items();
    let is_stored = |name: &str| stored.iter().any(|key| key["name"] == *name);
    for (name, answer) in answers {
        match answer.status {
            201 => assert!(is_stored(&name), "acknowledged and not stored: {}", answer.told()),
            500..600 => assert!(!is_stored(&name), "refused and stored: {}", answer.told()),
            _ => panic!("{}", answer.told()),
        }
        assert!(answer.status != 201 || name.starts_with("good"), "the trigger fails: {}", answer.told());
    }
}

#[both_databases]
fn mixed_writers_on_two_servers_are_all_answered(jeton: Jeton) {
    let tenant = jeton.tenant();
    let admin = tenant.admin();
    admin.token();
    let users: Vec<_> = (0..4).map(|_| tenant.user("member")).collect();
    let (_server, elsewhere) = jeton.second();
    let answers = at_once(8, |number| {
        let (user, client) = (&users[number / 2], if number % 2 == 0 { jeton.client() } else { elsewhere.clone() });
        let mut answers = Vec::new();
        for _ in 0..6 {
            let body = json!({"email": user.email, "password": user.password});
            let login = client.post("/api/v1/auth/login").json(body).expect_tokens();
            let body = json!({"refresh_token": login.text("refresh_token")});
            answers.push(client.post("/api/v1/auth/refresh").json(body.clone()));
            answers.push(client.post("/api/v1/auth/logout").json(body));
            let made = client.post(tenant.path("api-keys")).bearer(admin.token()).json(json!({"name": "Key"}));
            let key = tenant.path(&format!("api-keys/{}", made.text("id")));
            answers.extend([made, client.call("DELETE", key).bearer(admin.token()).send()]);
        }
        answers
    });
    for answer in answers.into_iter().flatten() {
        assert!(answer.status < 300, "nobody is told of another writer: {}", answer.told());
    }
}

/// Only SQLite has one writer at a time.
#[test]
fn a_write_lock_that_somebody_holds_is_told_in_time() {
    let jeton = Jeton::on_sqlite();
    let user = jeton.tenant().user("member");
    let session = user.session();
    let mut other = jeton.sqlite();
    other.batch_execute("BEGIN IMMEDIATE").unwrap();

    for refused in [|s: &crate::harness::Session| s.refresh(), |s: &crate::harness::Session| s.logout()] {
        let since = Instant::now();
        let refused = refused(&session).expect_problem(503, "unavailable");
        assert!(since.elapsed() < Duration::from_secs(3), "an answer within 3 s: {:?}", since.elapsed());
        assert!(refused.header("retry-after").is_some());
    }
    jeton.jwks();
    session.call("GET", "/api/v1/auth/me").send().expect_status(200);
    other.batch_execute("ROLLBACK").unwrap();
    session.refreshed();
}

/// PostgreSQL stops at once, as in a crash, under two servers and the clients of both (security 3).
#[test]
fn a_database_that_stops_is_told_in_time_and_found_again() {
    let Some(database) = Database::empty_postgres_of_its_own() else { return };
    let jeton = Jeton::on(database);
    let Database::Postgres { cluster, .. } = jeton.database() else { panic!("it is PostgreSQL") };
    // Of several hosts the one that takes writes is found: nobody listens on the first.
    let url = jeton.database().url().replace("127.0.0.1:", "127.0.0.1:9,127.0.0.1:");
    jeton.set_variable("DATABASE_URL", &format!("{url}&target_session_attrs=read-write"));
    jeton.cli(["migrate"]).expect_code(0);
    let tenant = jeton.tenant();
    let (key, session) = (tenant.api_key(["a:b"]), tenant.user("member").session());
    let (_server, other) = jeton.second();
    let clients = [jeton.client(), other];
    let exchange = |client: &Client| client.post("/api/v1/auth/exchange").bearer(&key.key).tenant(&tenant.id).send();
    let refresh =
        |client: &Client| client.post("/api/v1/auth/refresh").json(json!({"refresh_token": session.refresh_token}));
    let jwks = jeton.jwks();
    for client in &clients {
        exchange(client).expect_scope("a:b");
    }
    for _ in 0..2 {
        cluster.stop();
        // More callers than connections, so that some of them wait for one.
        at_once(40, |number| {
            let client = &clients[number % 2];
            for turn in 0..3 {
                let since = Instant::now();
                let answer = if (number + turn) % 4 < 2 { exchange(client) } else { refresh(client) };
                let refused = answer.expect_status(503);
                // 3 s are promised; so many threads are late themselves on a busy machine.
                assert!(since.elapsed() < Duration::from_secs(4), "an answer in time: {:?}", since.elapsed());
                assert!(refused.header("retry-after").is_some(), "{}", refused.told());
                assert_eq!(client.get("/.well-known/jwks.json").send().expect_status(200).json(), jwks);
            }
        });
        cluster.resume();
        let since = Instant::now();
        for client in &clients {
            while exchange(client).status != 200 || client.get("/readyz").send().status != 200 {
                assert!(since.elapsed() < Duration::from_secs(5), "it recovers within 5 s of the return");
                assert_eq!(client.get("/.well-known/jwks.json").send().expect_status(200).json(), jwks);
            }
        }
        refresh(&clients[0]).expect_tokens();
    }
}

fn expect_failure(answer: &Answer) {
    assert!((500..600).contains(&answer.status), "5xx: {}", answer.told());
    let told = answer.told();
    assert!(!told.contains("injected") && !told.contains("access_token") && !told.contains("jtn_live_"), "{told}");
}
