//! Whatever keeps a server from reading its signing keys, a revoked one is forgotten.

use std::thread::sleep;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use jeton_test_macros::both_databases;

use crate::harness::{Client, Database, Jeton, Server};

#[both_databases]
fn a_damaged_key_is_left_out_and_another_one_can_be_revoked(jeton: Jeton) {
    jeton.start();
    let leaked = kids(&jeton.client()).remove(0);
    damage(&jeton);
    assert!(jeton.cli(["doctor", "--json"]).stdout.contains("jeton signing-key revoke damaged"));

    let successor = jeton.cli(["signing-key", "revoke", &leaked, "--json"]).expect_code(0).text("successor");
    expect_kids(&jeton.client(), &[&successor]);
    jeton.verified(&jeton.tenant().admin().session().access_token);
    jeton.restart();
    assert_eq!(kids(&jeton.client()), [successor]);
    jeton.cli(["signing-key", "revoke", "damaged"]).expect_code(0);
}

#[both_databases]
fn a_server_that_missed_a_change_of_the_master_key_forgets_a_revoked_key(jeton: Jeton) {
    jeton.start();
    let leaked = kids(&jeton.client()).remove(0);
    let (server, paused) = jeton.second();
    assert_eq!(kids(&paused), std::slice::from_ref(&leaked));
    match jeton.database() {
        // Not while it writes, or nobody could.
        Database::Sqlite => {
            let mut lock = jeton.sqlite();
            lock.batch_execute("BEGIN IMMEDIATE").unwrap();
            server.signal("STOP");
            lock.batch_execute("ROLLBACK").unwrap();
        }
        Database::Postgres { .. } => server.signal("STOP"),
    }
    jeton.cli(["master-key", "rotate"]).expect_code(0);
    // The other one must not miss it.
    jeton.restart();
    jeton.cli(["master-key", "finish", "--force"]).expect_code(0);
    let successor = jeton.cli(["signing-key", "revoke", &leaked, "--json"]).expect_code(0).text("successor");
    server.signal("CONT");

    // It cannot read the new one. An empty set would end all verification.
    expect_kids(&paused, &[]);
    paused.get("/.well-known/jwks.json").send().expect_problem(503, "unavailable");
    paused.get("/readyz").send().expect_status(503);
    expect_kids(&jeton.client(), &[&successor]);
    let (_server, again) = jeton.second();
    assert_eq!(kids(&again), [successor]);
}

/// It is left out of what was signed with it, like a key that leaked: the next checkpoint vouches for those before it.
#[both_databases]
fn a_revoked_key_that_is_damaged_ends_neither_checkpoints_nor_a_change_of_the_master_key(jeton: Jeton) {
    jeton.start();
    let leaked = kids(&jeton.client()).remove(0);
    expect_checkpoints(&jeton, 1);
    jeton.stop();
    jeton.cli(["signing-key", "revoke", &leaked]).expect_code(0);
    spoil(&jeton, &leaked);
    let told = jeton.cli(["audit", "verify"]).expect_code(1).stderr;
    assert!(told.contains("open no more"), "{told}");

    jeton.start();
    expect_checkpoints(&jeton, 2);
    jeton.cli(["audit", "verify"]).expect_code(0);
    jeton.cli(["master-key", "rotate"]).expect_code(0);
    jeton.restart();
    jeton.cli(["master-key", "finish"]).expect_code(0);
    jeton.cli(["audit", "verify"]).expect_code(0);
    assert_eq!(jeton.rows(&format!("signing_keys WHERE kid = '{leaked}'")), 1, "what it signed is still known");
}

/// Waits for so many checkpoints at least.
#[track_caller]
fn expect_checkpoints(jeton: &Jeton, number: i64) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while jeton.rows("audit_checkpoints") < number {
        assert!(Instant::now() < deadline, "{:#?}", jeton.server(Server::log));
        sleep(Duration::from_millis(20));
    }
}

/// The private half of a key is what no master key opens.
fn spoil(jeton: &Jeton, kid: &str) {
    let nonsense = nonsense(jeton);
    jeton.execute(&format!("UPDATE signing_keys SET sealed_private = {nonsense} WHERE kid = '{kid}'"));
}

fn nonsense(jeton: &Jeton) -> &'static str {
    match jeton.database() {
        Database::Sqlite => "X'0102'",
        Database::Postgres { .. } => "'\\x0102'",
    }
}

/// A row that is no key.
fn damage(jeton: &Jeton) {
    let nonsense = nonsense(jeton);
    let same = "algorithm, public_jwk, master_key, created_at, published_at, signs_at, activated_at, retired_at,
        cache_seconds, token_seconds";
    jeton.execute(&format!(
        "INSERT INTO signing_keys (kid, state, sealed_private, retires_at, {same})
         SELECT 'damaged', 'retiring', {nonsense}, created_at + 1000000000000000, {same} FROM signing_keys
         WHERE state = 'active'"
    ));
}

/// What is published; nothing where that is refused.
fn kids(client: &Client) -> Vec<String> {
    let answer = client.get("/.well-known/jwks.json").send().json();
    let keys = answer["keys"].as_array().cloned().unwrap_or_default();
    keys.iter().filter_map(|key| key["kid"].as_str()).map(str::to_owned).collect()
}

#[track_caller]
fn expect_kids(client: &Client, expected: &[&str]) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while kids(client) != expected {
        assert!(Instant::now() < deadline, "{:?}", kids(client));
        sleep(Duration::from_millis(20));
    }
}
