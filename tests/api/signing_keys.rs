//! Signing keys follow one another, and no verifier that keeps the JWKS for as long as it may ever meets a key that it
//! cannot know (contract 4.5).

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use jeton_test_macros::both_databases;
use serde_json::{Value, json};

use crate::harness::{Client, Database, Jeton, Jwt, Server, at_once};

const ROTATE: &str = "/api/v1/signing-keys/rotate";
const LIST: [&str; 3] = ["signing-key", "list", "--json"];
const MAX_AGE: i64 = 300;

#[both_databases]
fn a_rotation_goes_through_every_state_in_its_time(jeton: Jeton) {
    let key = jeton.tenant().api_key([]);
    let old = key.token();
    let operator = jeton.operator();
    let begun = operator.post(ROTATE, json!({})).expect_status(200).json();
    let pending = &begun["keys"][0];
    assert_eq!((begun["keys"].as_array().unwrap().len(), &pending["state"]), (1, &json!("pending")), "{begun}");
    assert_eq!(seconds_between(&pending["published_at"], &pending["signs_at"]), 2 * MAX_AGE, "{begun}");
    assert_eq!((&pending["next_state"], &pending["next_at"]), (&json!("active"), &pending["signs_at"]));
    assert_eq!(begun["warning"], Value::Null);
    assert_eq!(jeton.jwks()["keys"].as_array().map(Vec::len), Some(2), "published at once");

    let again = operator.call("POST", ROTATE).send().expect_status(200).json();
    assert_eq!(again["keys"], begun["keys"], "under way already");
    assert_eq!(jeton.cli(["signing-key", "rotate", "--json"]).expect_code(0).json()["keys"], begun["keys"]);

    advance(&jeton, 540);
    expect_unmoved(&jeton, ["active", "pending"]);
    let late = key.token();
    assert_eq!(kid(&late), kid(&old));
    advance(&jeton, 61);
    let keys = expect_states(&jeton, ["retiring", "active"]);
    assert_eq!(keys[1]["kid"], pending["kid"]);
    let new = key.token();
    assert_eq!(kid(&new), pending["kid"].as_str().unwrap());
    let last = seconds_between(&keys[1]["activated_at"], &keys[0]["retires_at"]);
    assert_eq!(last, 3600 + 60, "the longest life of a token, and a minute");
    for token in [&old, &late, &new] {
        jeton.verified(token);
    }

    advance(&jeton, 3600);
    expect_unmoved(&jeton, ["retiring", "active"]);
    advance(&jeton, 61);
    expect_states(&jeton, ["retired", "active"]);
    until("it is published no more", || jeton.jwks()["keys"].as_array().map(Vec::len) == Some(1));
    expect_audit(&jeton, [("created", 2), ("activated", 1), ("retiring", 1), ("retired", 1)]);
}

#[both_databases]
fn five_rotations_in_a_row_on_two_servers_refuse_no_token(jeton: Jeton) {
    for ttl in ["access_ttl", "exchange_ttl", "exchange_ttl_max"] {
        jeton.set(&format!("tokens.{ttl}"), "4m");
    }
    let key = jeton.tenant().api_key([]);
    let (_server, second) = jeton.second();
    let clients = [jeton.client(), second.clone()];
    let exchange =
        |client: &Client| client.post("/api/v1/auth/exchange").bearer(&key.key).tenant(&key.tenant_id).send();
    let verifier = |number: usize| Verifier {
        client: clients[number % 2].clone(),
        ..Verifier::new(&jeton, i64::try_from(number).unwrap() * MAX_AGE / 6)
    };
    let mut verifiers: Vec<_> = (0..6).map(verifier).collect();
    let mut tokens: Vec<String> = Vec::new();
    let mut signers: Vec<String> = Vec::new();
    while signers.len() < 6 {
        jeton.cli(["signing-key", "rotate"]).expect_code(0);
        expect_published(&jeton);
        until("both publish the same", || second.get("/.well-known/jwks.json").send().json() == jeton.jwks());
        tokens.extend(clients.iter().map(|client| exchange(client).expect_tokens().text("access_token")));
        tokens.retain(|token| Jwt::parse(token).number("exp") > jeton.now());
        for verifier in &mut verifiers {
            for token in &tokens {
                verifier.accept(token);
            }
        }
        signers.push(kid(tokens.last().unwrap()));
        signers.dedup();
        advance(&jeton, 73);
        settle(&jeton);
    }
    let keys = list(&jeton);
    assert!(keys.iter().filter(|key| key["state"] == "retired").count() >= 3, "{keys:#?}");
}

#[both_databases]
fn a_key_is_followed_by_itself_when_it_is_old(jeton: Jeton) {
    let jeton = jeton.with("keys.rotate_every", "1d");
    jeton.start();
    let keys = list(&jeton);
    assert_eq!(seconds_between(&keys[0]["activated_at"], &keys[0]["next_at"]), 86_400, "{keys:#?}");
    advance(&jeton, 86_400 - 660);
    expect_unmoved(&jeton, ["active"]);
    advance(&jeton, 61);
    expect_states(&jeton, ["active", "pending"]);
    advance(&jeton, 600);
    expect_states(&jeton, ["retiring", "active"]);
    let log = jeton.server(Server::log).join("\n");
    assert!(!log.contains("no effect"), "it is no idle setting: {log}");
}

#[both_databases]
fn with_0_a_key_signs_for_ever(jeton: Jeton) {
    let jeton = jeton.with("keys.rotate_every", "0");
    jeton.start();
    assert_eq!(list(&jeton)[0]["next_at"], Value::Null);
    advance(&jeton, 4_000 * 86_400);
    expect_unmoved(&jeton, ["active"]);
}

#[both_databases]
fn two_servers_rotate_once(jeton: Jeton) {
    let jeton = jeton.with("keys.rotate_every", "1h").with("tokens.exchange_ttl_max", "10h");
    jeton.start();
    let (_server, second) = jeton.second();
    let operator = jeton.operator();
    let token = operator.token();
    let clients = [jeton.client(), second.clone()];
    let begun = at_once(8, |number| clients[number % 2].post(ROTATE).bearer(token).send().expect_status(200).json());
    assert!(begun.iter().all(|answer| answer["keys"] == begun[0]["keys"]), "{begun:#?}");
    for round in 1..=3 {
        advance(&jeton, 601);
        let expected = [vec!["retiring"; round], vec!["active"]].concat();
        expect_state_list(&jeton, &expected);
        if round < 3 {
            advance(&jeton, 3_600 - 590);
            expect_state_list(&jeton, &[expected, vec!["pending"]].concat());
        }
    }
    expect_audit(&jeton, [("created", 4), ("activated", 3), ("retiring", 3), ("retired", 0)]);
    until("both publish the same", || second.get("/.well-known/jwks.json").send().json() == jeton.jwks());
}

#[both_databases]
fn a_revoked_key_is_soon_forgotten_on_every_server(jeton: Jeton) {
    let user = jeton.tenant().user("member");
    let session = user.session();
    let leaked = kid(&session.access_token);
    let (_server, second) = jeton.second();
    let me = |client: &Client, token: &str| client.get("/api/v1/auth/me").bearer(token).send();
    me(&second, &session.access_token).expect_status(200);

    let operator = jeton.operator();
    let revoked = operator.post(format!("/api/v1/signing-keys/{leaked}/revoke"), json!({})).expect_status(200).json();
    let since = Instant::now();
    assert_eq!((&revoked["kid"], &revoked["state"]), (&json!(leaked), &json!("compromised")), "{revoked}");
    let successor = revoked["successor"].as_str().unwrap().to_owned();
    let left = std::slice::from_ref(&successor);
    assert_eq!(kids(&jeton.jwks()), left, "at once where it was asked");
    me(&jeton.client(), &session.access_token).expect_problem(401, "invalid_token");
    while kids(&second.get("/.well-known/jwks.json").send().json()) != left {
        sleep(Duration::from_millis(10));
    }
    // Half a second where the machine has nothing else to do; on a busy one the timers are late.
    assert!(since.elapsed() < Duration::from_secs(5), "after {:?}", since.elapsed());
    me(&second, &session.access_token).expect_problem(401, "invalid_token");

    let fresh = session.refreshed();
    assert_eq!(kid(&fresh.access_token), successor);
    me(&second, &fresh.access_token).expect_status(200);
    let operator = operator.session();
    let again = operator.call("POST", format!("/api/v1/signing-keys/{leaked}/revoke")).send();
    assert_eq!(again.expect_status(200).json()["retired_at"], revoked["retired_at"], "again: no error, no change");
    for unknown in ["unknown", "%00", "..%2F..%2Fetc%2Fpasswd", &"x".repeat(5_000)] {
        let path = format!("/api/v1/signing-keys/{unknown}/revoke");
        operator.call("POST", path).send().expect_problem(404, "not_found");
    }
    expect_audit(&jeton, [("created", 2), ("activated", 0), ("revoked", 1), ("retiring", 0)]);
    jeton.restart();
    assert_eq!(kids(&jeton.jwks()), [successor]);
}

#[both_databases]
fn a_key_is_revoked_on_the_command_line_and_the_one_that_waits_signs(jeton: Jeton) {
    let key = jeton.tenant().api_key([]);
    let leaked = kid(&key.token());
    jeton.cli(["signing-key", "rotate"]).expect_code(0);
    let run = jeton.cli(["signing-key", "revoke", &leaked, "--json"]).expect_code(0);
    let keys = expect_states(&jeton, ["compromised", "active"]);
    assert_eq!(run.json()["successor"], keys[1]["kid"]);
    until("the running server has it", || kids(&jeton.jwks()) == [keys[1]["kid"].as_str().unwrap()]);
    jeton.verified(&key.token());
    jeton.cli(["signing-key", "revoke", &leaked]).expect_code(0);
    jeton.cli(["signing-key", "revoke", "-unknown"]).expect_refusal(1, &["signing-key list"]);
    expect_audit(&jeton, [("created", 2), ("activated", 1), ("revoked", 1), ("retiring", 0)]);
}

#[both_databases]
fn in_an_emergency_the_new_key_signs_at_once(jeton: Jeton) {
    let key = jeton.tenant().api_key([]);
    let old = key.token();
    let operator = jeton.operator();
    let answer = operator.post(ROTATE, json!({"emergency": true})).expect_status(200).json();
    assert!(answer["warning"].as_str().is_some_and(|text| text.contains("300 s")), "{answer}");
    assert_eq!(answer["keys"][0]["state"], "active");
    let new = key.token();
    assert_eq!(kid(&new), answer["keys"][0]["kid"].as_str().unwrap());
    jeton.verified(&old);
    jeton.verified(&new);

    jeton.cli(["signing-key", "rotate"]).expect_code(0);
    let run = jeton.cli(["signing-key", "rotate", "--emergency"]).expect_code(0);
    assert!(run.stdout.contains("refuse new tokens"), "{run:?}");
    let keys = expect_states(&jeton, ["retiring", "retiring", "active"]);
    until("the key that waited signs", || kid(&key.token()) == keys[2]["kid"].as_str().unwrap());
    expect_audit(&jeton, [("created", 3), ("activated", 1), ("retiring", 2), ("revoked", 0)]);
}

#[both_databases]
fn a_kill_in_the_middle_loses_nothing(jeton: Jeton) {
    let key = jeton.tenant().api_key([]);
    let mut expected = vec!["active"];
    for delay in [0, 150, 400] {
        let old = key.token();
        jeton.cli(["signing-key", "rotate"]).expect_code(0);
        jeton.kill();
        jeton.start();
        advance(&jeton, 601);
        sleep(Duration::from_millis(delay));
        jeton.kill();
        expected.insert(0, "retiring");
        expect_state_list(jeton.start(), &expected);
        jeton.verified(&old);
        jeton.verified(&key.token());
    }
    expect_audit(&jeton, [("created", 4), ("activated", 3), ("retiring", 3), ("retired", 0)]);
}

#[both_databases]
fn what_cannot_be_audited_does_not_happen(jeton: Jeton) {
    let operator = jeton.operator();
    operator.token();
    let revoke = format!("/api/v1/signing-keys/{}/revoke", kid(operator.token()));
    let jwks = jeton.jwks();
    jeton.break_writes("audit_events", "INSERT");
    for (path, body) in [(ROTATE, json!({})), (ROTATE, json!({"emergency": true})), (&*revoke, json!({}))] {
        let answer = operator.post(path, body);
        assert!(answer.status >= 500, "{}", answer.told());
        assert_eq!((jeton.jwks(), states(&jeton)), (jwks.clone(), vec!["active".to_owned()]), "{path}");
    }
    jeton.mend_writes("audit_events");
    operator.post(ROTATE, json!({})).expect_status(200);
}

#[both_databases]
fn another_algorithm_takes_over_when_every_verifier_can_know_it(jeton: Jeton) {
    let key = jeton.tenant().api_key([]);
    let mut verifiers: Vec<_> = (0..3).map(|age| Verifier::new(&jeton, age * MAX_AGE / 3)).collect();
    jeton.set("keys.algorithm", "EdDSA");
    jeton.restart();
    jeton.get("/readyz").send().expect_status(200);
    expect_states(&jeton, ["active", "pending"]);
    let mut seen: Vec<String> = Vec::new();
    for _ in 0..9 {
        let token = key.token();
        for verifier in &mut verifiers {
            verifier.accept(&token);
        }
        seen.push(algorithm(&token));
        advance(&jeton, 97);
        settle(&jeton);
    }
    seen.dedup();
    assert_eq!(seen, ["ES256", "EdDSA"]);
    expect_states(&jeton, ["retiring", "active"]);
    advance(&jeton, 3_661);
    expect_states(&jeton, ["retired", "active"]);
    expect_audit(&jeton, [("created", 2), ("activated", 1), ("retiring", 1), ("retired", 1)]);
}

#[both_databases]
fn an_audience_may_change_its_algorithm_too(jeton: Jeton) {
    let key = jeton.tenant().api_key([]);
    let algorithm_of = |audience: &str| {
        algorithm(&key.exchange_for(json!({"audience": audience})).expect_tokens().text("access_token"))
    };
    jeton.set("tokens.audience", r#"["api", {name="edge",algorithm="EdDSA"}, {name="old",algorithm="RS256"}]"#);
    jeton.start();
    jeton.restart();
    for audience in ["api", "edge", "old"] {
        assert_eq!(algorithm_of(audience), "ES256", "until the others may sign");
    }
    advance(&jeton, 601);
    expect_states(&jeton, ["active", "active", "active"]);
    until("each has its own", || (algorithm_of("edge"), algorithm_of("old")) == ("EdDSA".into(), "RS256".into()));
    assert_eq!(algorithm_of("api"), "ES256");

    jeton.set("tokens.audience", r#"["api", {name="edge",algorithm="EdDSA"}, {name="old",algorithm="EdDSA"}]"#);
    jeton.restart();
    assert_eq!(algorithm_of("old"), "EdDSA", "its key signs already");
    until("the key of the other retires", || states(&jeton).contains(&"retiring".to_owned()));
}

#[both_databases]
fn a_server_with_the_old_algorithm_undoes_nothing(jeton: Jeton) {
    let key = jeton.tenant().api_key([]);
    jeton.set("keys.algorithm", "EdDSA");
    let (_server, newer) = jeton.second();
    expect_states(&jeton, ["active", "pending"]);
    advance(&jeton, 601);
    expect_states(&jeton, ["retiring", "active"]);
    until("the older one signs with what there is", || algorithm(&key.token()) == "EdDSA");
    expect_unmoved(&jeton, ["retiring", "active"]);
    assert_eq!(newer.get("/.well-known/jwks.json").send().json(), jeton.jwks());
}

#[both_databases]
fn a_clock_that_steps_back_reverts_nothing(jeton: Jeton) {
    let key = jeton.tenant().api_key([]);
    jeton.cli(["signing-key", "rotate"]).expect_code(0);
    advance(&jeton, 601);
    let keys = expect_states(&jeton, ["retiring", "active"]);
    jeton.shift(-3_600_000_000);
    expect_unmoved(&jeton, ["retiring", "active"]);
    assert_eq!(kid(&key.token()), keys[1]["kid"].as_str().unwrap());
    jeton.restart();
    assert_eq!(list(&jeton), keys);
    jeton.verified(&key.token());
}

#[both_databases]
fn keys_from_before_rotation_existed_go_on(jeton: Jeton) {
    let key = jeton.tenant().api_key([]);
    let old = key.token();
    jeton.stop();
    jeton.execute("UPDATE signing_keys SET published_at = created_at, cache_seconds = 0, token_seconds = 0");
    jeton.execute("DELETE FROM signing_algorithms");
    jeton.start();
    assert_eq!(kid(&key.token()), kid(&old));
    let begun = jeton.cli(["signing-key", "rotate", "--json"]).expect_code(0).json();
    assert_eq!(seconds_between(&begun["keys"][0]["published_at"], &begun["keys"][0]["signs_at"]), 2 * MAX_AGE);
    advance(&jeton, 601);
    let keys = expect_states(&jeton, ["retiring", "active"]);
    assert_eq!(seconds_between(&keys[1]["activated_at"], &keys[0]["retires_at"]), 3_660);
    jeton.verified(&old);
}

/// The database goes away while the next key becomes due, and comes back: only PostgreSQL can.
#[test]
fn a_server_that_was_cut_off_catches_up() {
    let Some(jeton) = Jeton::on_postgres() else { return };
    let key = jeton.tenant().api_key([]);
    let begun = jeton.cli(["signing-key", "rotate", "--json"]).expect_code(0).json();
    until("both are published", || jeton.jwks()["keys"].as_array().map(Vec::len) == Some(2));
    let jwks = jeton.jwks();
    let Database::Postgres { cluster, name } = jeton.database() else { panic!("it is PostgreSQL") };
    cluster.run(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"));
    cluster.run(&format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"));
    advance(&jeton, 601);
    for _ in 0..4 {
        sleep(Duration::from_millis(500));
        assert_eq!(jeton.jwks(), jwks, "out of memory");
    }
    cluster.run(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"));
    expect_states(&jeton, ["retiring", "active"]);
    until("the key that waited signs", || kid(&key.token()) == begun["keys"][0]["kid"].as_str().unwrap());
    let failures = jeton.server(Server::log).iter().filter(|line| line.contains("background work failed")).count();
    assert!(failures <= 8, "a failure is told once, not twice a second: {failures} times");
}

#[both_databases]
fn a_body_that_makes_no_sense_is_refused(jeton: Jeton) {
    let operator = jeton.operator();
    for wrong in [json!({"emergency": "yes"}), json!({"now": true}), json!([])] {
        operator.post(ROTATE, wrong).expect_problem(422, "validation_failed");
    }
    assert_eq!(states(&jeton), ["active"]);
}

/// A downstream service that keeps the JWKS for as long as it may, and asks for no other one before.
struct Verifier {
    jeton: Jeton,
    /// Of the server that it asks.
    client: Client,
    jwks: Value,
    fetched_at: i64,
}

impl Verifier {
    /// One whose copy is so many seconds old.
    fn new(jeton: &Jeton, age: i64) -> Self {
        Self { jeton: jeton.clone(), client: jeton.client(), jwks: jeton.jwks(), fetched_at: jeton.now() - age }
    }

    #[track_caller]
    fn accept(&mut self, token: &str) {
        if self.jeton.now() - self.fetched_at >= MAX_AGE {
            let jwks = self.client.get("/.well-known/jwks.json").send().expect_status(200);
            (self.jwks, self.fetched_at) = (jwks.json(), self.jeton.now());
        }
        Jwt::parse(token).verify(&self.jwks);
    }
}

fn kid(token: &str) -> String {
    Jwt::parse(token).header["kid"].as_str().unwrap().to_owned()
}

fn algorithm(token: &str) -> String {
    Jwt::parse(token).header["alg"].as_str().unwrap().to_owned()
}

fn kids(jwks: &Value) -> Vec<String> {
    jwks["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

fn advance(jeton: &Jeton, seconds: u64) {
    jeton.advance(Duration::from_secs(seconds));
}

fn list(jeton: &Jeton) -> Vec<Value> {
    jeton.cli(LIST).expect_code(0).json()["items"].as_array().unwrap().clone()
}

fn states(jeton: &Jeton) -> Vec<String> {
    list(jeton).iter().map(|key| key["state"].as_str().unwrap().to_owned()).collect()
}

/// Waits until the keys are in these states, oldest first.
#[track_caller]
fn expect_states<const N: usize>(jeton: &Jeton, expected: [&str; N]) -> Vec<Value> {
    expect_state_list(jeton, &expected);
    list(jeton)
}

#[track_caller]
fn expect_state_list(jeton: &Jeton, expected: &[&str]) {
    until(&format!("the keys are {expected:?}"), || states(jeton) == expected);
}

/// The keys are in these states, and still after the server has looked at them again.
#[track_caller]
fn expect_unmoved<const N: usize>(jeton: &Jeton, expected: [&str; N]) {
    sleep(Duration::from_millis(1_200));
    assert_eq!(states(jeton), expected);
}

/// Waits until all that is due is done.
#[track_caller]
fn settle(jeton: &Jeton) {
    let is_due = |key: &Value| key["next_at"].as_str().is_some_and(|at| seconds(at) <= jeton.now());
    until("what is due is done", || !list(jeton).iter().any(is_due));
    expect_published(jeton);
}

/// Waits until the server publishes what is to be published: half a second of its time, which is minutes of the test's.
#[track_caller]
fn expect_published(jeton: &Jeton) {
    until("the server publishes what is to be published", || {
        let keys = list(jeton).into_iter().filter(|key| key["state"] != "retired" && key["state"] != "compromised");
        let mut wanted: Vec<String> = keys.map(|key| key["kid"].as_str().unwrap().to_owned()).collect();
        let mut published = kids(&jeton.jwks());
        wanted.sort();
        published.sort();
        wanted == published
    });
}

#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(15);
    while !holds() {
        assert!(Instant::now() < deadline, "in time: {what}");
        sleep(Duration::from_millis(50));
    }
}

/// Each change of a key has exactly one row.
#[track_caller]
fn expect_audit<const N: usize>(jeton: &Jeton, expected: [(&str, usize); N]) {
    let audit = jeton.audit();
    for (verb, times) in expected {
        let action = format!("signing_key.{verb}");
        let rows = audit.iter().filter(|row| row.action == action).count();
        assert_eq!(rows, times, "{action} in {audit:#?}");
    }
}

fn seconds(time: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(time).unwrap().timestamp()
}

#[track_caller]
fn seconds_between(earlier: &Value, later: &Value) -> i64 {
    let micros =
        |time: &Value| chrono::DateTime::parse_from_rfc3339(time.as_str().unwrap()).unwrap().timestamp_micros();
    (micros(later) - micros(earlier)) / 1_000_000
}
