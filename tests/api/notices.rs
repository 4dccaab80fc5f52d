//! What one server changes the others see at once, and what runs by the clock runs on one of them at a time. Only
//! PostgreSQL has notices and locks.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use diesel::{PgConnection, RunQueryDsl, connection::SimpleConnection, sql_query, sql_types::BigInt};
use serde_json::{Value, json};

use crate::harness::{Client, Jeton, Server, unique};

/// Servers that look at the signing keys once in ten minutes: what they know sooner, they were told.
fn patient() -> Option<Jeton> {
    let jeton = Jeton::on_postgres()?;
    jeton.set_variable("JETON_TEST_LOOK_EVERY", "600000");
    Some(jeton)
}

#[test]
fn a_revoked_signing_key_is_gone_everywhere_at_once() {
    let Some(jeton) = patient() else { return };
    jeton.start();
    let (_server, other) = jeton.second();
    let operator = jeton.operator();
    operator.token();
    for by_http in [true, false] {
        let leaked = kids(&other).remove(0);
        if by_http {
            let revoke = format!("/api/v1/signing-keys/{leaked}/revoke");
            operator.session().call("POST", revoke).send().expect_status(200);
        } else {
            jeton.cli(["signing-key", "revoke", &leaked]).expect_code(0);
        }
        for client in [&jeton.client(), &other] {
            until("the key is gone", || !kids(client).contains(&leaked));
        }
    }
}

#[test]
fn notices_come_again_after_the_database_was_away() {
    let Some(jeton) = patient() else { return };
    jeton.start();
    until("it listens", || listeners(&jeton) == 1);
    for _ in 0..2 {
        jeton.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'");
        let leaked = kids(&jeton.client()).remove(0);
        jeton.cli(["signing-key", "revoke", &leaked]).expect_code(0);
        until("what was missed is seen", || !kids(&jeton.client()).contains(&leaked));
        until("it listens again", || listeners(&jeton) == 1);
    }
    assert!(!log(&jeton).contains("no notices"), "the database does pass them on");
    let since = Instant::now();
    assert_eq!(jeton.stop().code(), Some(0));
    assert!(since.elapsed() < Duration::from_secs(10), "the listener holds up no end: {:?}", since.elapsed());
}

/// As on a database that has none, or behind a pooler that gives each transaction another connection.
#[test]
fn without_notices_all_works_by_looking() {
    let Some(jeton) = Jeton::on_postgres() else { return };
    let role = unique("plain").replace('-', "_");
    jeton.execute(&format!(
        "REVOKE EXECUTE ON FUNCTION pg_notify FROM PUBLIC;
         CREATE ROLE {role} LOGIN IN ROLE pg_read_all_data, pg_write_all_data;
         GRANT ALL ON SCHEMA public TO {role};"
    ));
    jeton.set_variable("DATABASE_URL", &jeton.database().url().replace("//jeton@", &format!("//{role}@")));
    jeton.start();
    let (_server, other) = jeton.second();
    let leaked = kids(&other).remove(0);
    jeton.cli(["signing-key", "rotate"]).expect_code(0);
    jeton.cli(["signing-key", "revoke", &leaked]).expect_code(0);
    for client in [&jeton.client(), &other] {
        until("the key is gone", || !kids(client).contains(&leaked));
    }
    until("it is told", || log(&jeton).contains("the database passes on no notices"));
    sleep(Duration::from_millis(600));
    assert_eq!(log(&jeton).matches("no notices").count(), 1, "once");
    assert_eq!(jeton.stop().code(), Some(0));
}

#[test]
fn a_step_of_the_signing_keys_is_left_to_the_server_that_is_about_it() {
    let Some(jeton) = Jeton::on_postgres() else { return };
    jeton.start();
    jeton.cli(["signing-key", "rotate"]).expect_code(0);
    let other_server = hold_lock(&jeton, 5_426_117_398_042);
    jeton.advance(Duration::from_secs(601));
    sleep(Duration::from_millis(1_200));
    assert_eq!(states(&jeton), ["active", "pending"]);
    // Who asks for a step waits for no one.
    jeton.cli(["signing-key", "rotate", "--emergency"]).expect_code(0);
    assert_eq!(states(&jeton), ["retiring", "active"]);
    jeton.advance(Duration::from_hours(2));
    sleep(Duration::from_millis(1_200));
    assert_eq!(states(&jeton), ["retiring", "active"]);
    drop(other_server);
    until("the lock went with its server", || states(&jeton) == ["retired", "active"]);
    assert!(!log(&jeton).contains("background work failed"), "to wait is no failure");
}

#[test]
fn a_sweep_is_left_to_the_server_that_is_about_it() {
    let Some(jeton) = Jeton::on_postgres() else { return };
    jeton.tenant().user("member").session();
    jeton.advance(Duration::from_hours(24 * 98));
    let other_server = hold_lock(&jeton, 5_426_117_398_043);
    jeton.restart();
    sleep(Duration::from_millis(1_200));
    assert_eq!(count(&jeton, "SELECT COUNT(*) AS count FROM sessions"), 1, "swept by nobody");
    drop(other_server);
    jeton.restart();
    until("the session is forgotten", || count(&jeton, "SELECT COUNT(*) AS count FROM sessions") == 0);
}

/// Used anew between the sweep's look and its deletion: the deletion before it is slow.
#[test]
fn a_sweep_leaves_its_answer_to_a_key_that_is_used_anew() {
    let Some(jeton) = Jeton::on_postgres() else { return };
    let tenant = jeton.tenant();
    let create = |key: &str| {
        let token = tenant.admin().session().access_token;
        let call = jeton.post(tenant.path("api-keys")).bearer(&token).header("Idempotency-Key", key);
        call.json(json!({"name": "CI"})).expect_status(201).text("id")
    };
    create("first");
    jeton.advance(Duration::from_mins(1));
    let old = create("again");
    jeton.advance(Duration::from_hours(25));
    let first = count(&jeton, "SELECT MIN(expires_at) AS count FROM idempotency_records");
    jeton.execute(&format!(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(1); RETURN OLD; END $$;
         CREATE TRIGGER slow BEFORE DELETE ON idempotency_records FOR EACH ROW WHEN (OLD.expires_at = {first})
         EXECUTE FUNCTION slow()"
    ));
    jeton.restart();
    until("the sweep is at the first one", || {
        count(&jeton, "SELECT COUNT(*) AS count FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == 1
    });
    let new = create("again");
    until("it is swept", || {
        count(&jeton, &format!("SELECT COUNT(*) AS count FROM idempotency_records WHERE expires_at = {first}")) == 0
    });
    assert_ne!(new, old);
    assert_eq!(create("again"), new, "one key for one idempotency key");
}

/// Another server at its work, until it is dropped.
pub fn hold_lock(jeton: &Jeton, number: i64) -> PgConnection {
    let mut other = jeton.postgres();
    other.batch_execute(&format!("BEGIN; SELECT pg_advisory_xact_lock({number})")).unwrap();
    other
}

fn listeners(jeton: &Jeton) -> i64 {
    count(
        jeton,
        "SELECT COUNT(*) AS count FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'",
    )
}

#[derive(diesel::QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

fn count(jeton: &Jeton, query: &str) -> i64 {
    sql_query(query).get_result::<Count>(&mut jeton.postgres()).unwrap().count
}

fn log(jeton: &Jeton) -> String {
    jeton.server(Server::log).join("\n")
}

fn kids(client: &Client) -> Vec<String> {
    let jwks = client.get("/.well-known/jwks.json").send().expect_status(200).json();
    jwks["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

fn states(jeton: &Jeton) -> Vec<String> {
    let list = jeton.cli(["signing-key", "list", "--json"]).expect_code(0).json();
    let state = |key: &Value| key["state"].as_str().unwrap().to_owned();
    list["items"].as_array().unwrap().iter().map(state).collect()
}

#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(15);
    while !holds() {
        assert!(Instant::now() < deadline, "in time: {what}");
        sleep(Duration::from_millis(20));
    }
}
