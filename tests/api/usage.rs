//! What API keys are used for: exchanges and refusals by day, scopes used against scopes granted (contract 4.2).

use std::time::{Duration, Instant};

use jeton_test_macros::both_databases;
use serde_json::{Value, json};

use crate::harness::{ApiKey, Database, Jeton, Tenant, at_once};

const DAY: i64 = 24 * 60 * 60;

#[both_databases]
fn exchanges_and_refusals_are_counted_by_day_and_code(jeton: Jeton) {
    let first = at_noon(&jeton);
    let (tenant, other) = (jeton.tenant(), jeton.tenant());
    let key = tenant.api_key(["a:b", "c:d", "e:f"]);
    assert_eq!(
        usage(&tenant, &key, ""),
        json!({
            "api_key_id": key.id, "days": 30, "exchanges": 0, "refusals": {}, "items": [],
            "scopes": {"granted": ["a:b", "c:d", "e:f"], "used": [], "unused": ["a:b", "c:d", "e:f"]},
            "callers": [],
        })
    );

    key.exchange_for(json!({"scope": "e:f"})).expect_scope("e:f");
    key.exchange_for(json!({"scope": "c:d e:f"})).expect_scope("c:d e:f");
    for _ in 0..2 {
        key.exchange_for(json!({"scope": "x:y"})).expect_problem(403, "insufficient_scope");
    }
    jeton.post("/api/v1/auth/exchange").bearer(&key.key).tenant(&other.id).send().expect_status(403);
    jeton.advance(Duration::from_hours(48));
    key.exchange_for(json!({"scope": "c:d"})).expect_scope("c:d");
    tenant.admin().session().call("DELETE", key.path()).send().expect_status(204);
    key.exchange().expect_problem(401, "invalid_api_key");
    jeton.restart();

    let (day, later) = (date(first), date(first + 2 * DAY));
    let today = json!({"day": later, "exchanges": 1, "refusals": {"invalid_api_key": 1}});
    let before = json!({"day": day, "exchanges": 2, "refusals": {"insufficient_scope": 2, "tenant_mismatch": 1}});
    let mut last_three = usage(&tenant, &key, "?days=3");
    last_three.as_object_mut().unwrap().remove("callers");
    assert_eq!(
        last_three,
        json!({
            "api_key_id": key.id, "days": 3, "exchanges": 3,
            "refusals": {"insufficient_scope": 2, "tenant_mismatch": 1, "invalid_api_key": 1},
            "items": [today, before],
            "scopes": {
                "granted": ["a:b", "c:d", "e:f"],
                "used": [
                    {"scope": "c:d", "times": 2, "last_used_on": later},
                    {"scope": "e:f", "times": 2, "last_used_on": day},
                ],
                "unused": ["a:b"],
            },
        })
    );
    let last_two = usage(&tenant, &key, "?days=2");
    assert_eq!((&last_two["exchanges"], &last_two["items"]), (&json!(1), &json!([today])));
    assert_eq!(last_two["scopes"]["unused"], json!(["a:b", "e:f"]));

    let read = tenant.admin().session().call("GET", key.path()).send().json();
    assert!(read["last_used_at"].as_str().is_some_and(|at| at.starts_with(&later)), "the success counts: {read}");
}

#[both_databases]
fn a_refusal_is_no_use_of_a_key(jeton: Jeton) {
    let tenant = jeton.tenant();
    let key = tenant.api_key(["a:b"]);
    key.exchange_for(json!({"scope": "x:y"})).expect_problem(403, "insufficient_scope");
    jeton.restart();
    assert_eq!(usage(&tenant, &key, "")["refusals"], json!({"insufficient_scope": 1}));
    let read = tenant.admin().session().call("GET", key.path()).send().expect_status(200).json();
    assert_eq!(read["last_used_at"], Value::Null);
}

#[both_databases]
fn a_clean_end_loses_no_count(jeton: Jeton) {
    let tenant = jeton.tenant();
    let keys: Vec<_> = (0..4).map(|_| tenant.api_key(["a:b"])).collect();
    let client = jeton.client();
    let counted: usize = std::thread::scope(|scope| {
        let (client, tenant) = (&client, &tenant);
        let exchange = |key: &ApiKey| {
            client
                .post("/api/v1/auth/exchange")
                .bearer(&key.key)
                .tenant(&tenant.id)
                .try_send()
                .is_ok_and(|a| a.status == 200)
        };
        let callers: Vec<_> =
            keys.iter().map(|key| scope.spawn(move || (0..2_000).take_while(|_| exchange(key)).count())).collect();
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(jeton.stop().code(), Some(0));
        callers.into_iter().map(|caller| caller.join().unwrap()).sum()
    });
    let written: u64 = keys.iter().map(|key| exchanges(&tenant, key)).sum();
    assert!(counted > 0);
    // Of each caller one answer may have been lost on its way.
    let written = usize::try_from(written).unwrap();
    assert!((counted..=counted + keys.len()).contains(&written), "{counted} answers, {written} counted");
}

#[both_databases]
fn a_killed_server_loses_ten_seconds_at_most(jeton: Jeton) {
    let tenant = jeton.tenant();
    let key = tenant.api_key(["a:b"]);
    key.exchange().expect_tokens();
    within_ten_seconds(|| exchanges(&tenant, &key) == 1);
    jeton.kill();
    assert_eq!(exchanges(&tenant, &key), 1);
}

#[both_databases]
fn two_servers_add_up(jeton: Jeton) {
    let tenant = jeton.tenant();
    let keys = [tenant.api_key(["a:b", "c:d"]), tenant.api_key(["a:b"])];
    let (server, elsewhere) = jeton.second();
    let clients = [jeton.client(), elsewhere];
    at_once(8, |number| {
        for round in 0..10 {
            let (client, key) = (&clients[number % 2], &keys[(number / 2 + round) % 2]);
            client.post("/api/v1/auth/exchange").bearer(&key.key).tenant(&tenant.id).send().expect_tokens();
        }
    });
    within_ten_seconds(|| keys.iter().map(|key| exchanges(&tenant, key)).sum::<u64>() == 80);
    let [one, _] = &keys;
    assert_eq!(usage(&tenant, one, "")["scopes"]["used"][1]["times"], 40);
    assert!(server.end_by("TERM").success());
    jeton.restart();
    assert_eq!(keys.map(|key| exchanges(&tenant, &key)), [40, 40], "and nothing twice");
}

#[both_databases]
fn a_key_that_is_gone_takes_no_other_counts_with_it(jeton: Jeton) {
    let tenants = [jeton.tenant(), jeton.tenant(), jeton.tenant()];
    let keys = [0, 1, 2].map(|number| tenants[number].api_key(["a:b"]));
    for key in &keys {
        key.exchange().expect_tokens();
        key.exchange_for(json!({"scope": "x:y"})).expect_status(403);
    }
    jeton.cli(["tenant", "delete", &tenants[1].id]).expect_code(0);
    jeton.restart();
    for number in [0, 2] {
        assert_eq!(exchanges(&tenants[number], &keys[number]), 1);
    }
}

#[both_databases]
fn counting_waits_for_no_disk_and_is_tried_again(jeton: Jeton) {
    let tenant = jeton.tenant();
    let key = tenant.api_key(["a:b"]);
    jeton.break_writes("api_key_scope_usage", "INSERT");
    for _ in 0..3 {
        key.exchange().expect_tokens();
    }
    let failed = |line: &String| line.contains("background work failed");
    within_ten_seconds(|| jeton.server(|server| server.log().iter().any(failed)));
    assert_eq!(exchanges(&tenant, &key), 0, "whole or not at all");
    key.exchange().expect_tokens();
    jeton.mend_writes("api_key_scope_usage");
    within_ten_seconds(|| exchanges(&tenant, &key) == 4);
    jeton.restart();
    let seen = usage(&tenant, &key, "");
    assert_eq!((&seen["exchanges"], &seen["scopes"]["used"][0]["times"]), (&json!(4), &json!(4)), "and nothing twice");
}

#[both_databases]
fn the_days_are_one_to_366(jeton: Jeton) {
    let tenant = jeton.tenant();
    let key = tenant.api_key([]);
    let ask = |query: &str| tenant.admin().get(format!("{}/usage{query}", key.path()));
    for (query, days) in [("", 30), ("?days=1", 1), ("?days=366", 366)] {
        assert_eq!(ask(query).expect_status(200).json()["days"], days);
    }
    for wrong in ["0", "367", "-1", "", "x", "1.5", "99999999999", "1&days=1"] {
        ask(&format!("?days={wrong}")).expect_field("days");
    }
    ask("?limit=1").expect_field("limit");
}

#[both_databases]
fn another_tenants_key_is_not_found(jeton: Jeton) {
    let (tenant, other) = (jeton.tenant(), jeton.tenant());
    let foreign = other.api_key([]);
    for id in [&*foreign.id, "00000000-0000-0000-0000-000000000000", "nonsense"] {
        let path = tenant.path(&format!("api-keys/{id}/usage"));
        tenant.admin().get(path).expect_problem(404, "not_found");
    }
    tenant.admin().get(format!("{}/usage", foreign.path())).expect_problem(403, "tenant_mismatch");
}

#[both_databases]
fn usage_is_forgotten_after_400_days(jeton: Jeton) {
    let first = at_noon(&jeton);
    let tenant = jeton.tenant();
    let key = tenant.api_key(["a:b"]);
    key.exchange().expect_tokens();
    key.exchange_for(json!({"scope": "x:y"})).expect_status(403);
    jeton.restart();
    // The same once more for the day before, so that there is something to be swept beside what is to be kept.
    for (table, what) in [("api_key_usage", "outcome"), ("api_key_scope_usage", "scope")] {
        let columns = format!("api_key_id, day, {what}, times");
        let before = columns.replace("day", "day - 1");
        jeton.execute(&format!("INSERT INTO {table} ({columns}) SELECT {before} FROM {table}"));
    }
    // There is no question that reaches back so far: the server sweeps in the future and is asked in the past.
    let swept_after = |days: i64, seconds| {
        jeton.stop();
        jeton.shift((first + days * DAY - jeton.now()) * 1_000_000);
        jeton.start();
        std::thread::sleep(Duration::from_secs(seconds));
        jeton.stop();
        jeton.shift((first - jeton.now()) * 1_000_000);
        usage(&tenant, &key, "?days=2")
    };
    assert_eq!(usage(&tenant, &key, "?days=2")["items"].as_array().map(Vec::len), Some(2));
    // It sweeps at its start, sooner or later on a busy machine.
    let sweep = |days, left: usize| {
        let seen = [1, 2, 4, 8].into_iter().map(|seconds| swept_after(days, seconds));
        seen.into_iter().find(|seen| seen["items"].as_array().map(Vec::len) == Some(left)).expect("it is swept")
    };
    let kept = sweep(400, 1);
    assert_eq!((&kept["exchanges"], &kept["refusals"]), (&json!(1), &json!({"insufficient_scope": 1})));
    assert_eq!(kept["scopes"]["used"][0]["times"], 1);
    let gone = sweep(401, 0);
    assert_eq!(gone["scopes"]["used"], json!([]));
}

/// More than one statement of PostgreSQL has time for, where it is as slow as here. SQLite knows no sleep.
#[both_databases]
fn a_tenant_whose_keys_were_used_very_much_is_deleted(jeton: Jeton) {
    let (tenant, other) = (jeton.tenant(), jeton.tenant());
    let keys = [tenant.api_key(["a:b"]), tenant.api_key(["a:b"]), other.api_key(["a:b"])];
    for (table, what) in [("api_key_usage", "outcome"), ("api_key_scope_usage", "scope")] {
        jeton.execute(&format!(
            "INSERT INTO {table} (api_key_id, day, {what}, times)
             WITH RECURSIVE days (day) AS (SELECT 30001 UNION ALL SELECT day + 1 FROM days WHERE day < 36000)
             SELECT id, day, 'x', 1 FROM api_keys, days"
        ));
    }
    if let Database::Postgres { .. } = jeton.database() {
        jeton.execute(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 PERFORM pg_sleep(0.001); RETURN OLD; END $$;
             CREATE TRIGGER slow BEFORE DELETE ON api_key_usage FOR EACH ROW WHEN (OLD.day % 5 = 0)
             EXECUTE FUNCTION slow()",
        );
    }
    jeton.cli(["tenant", "delete", &tenant.id]).expect_code(0);
    assert_eq!(jeton.rows("api_keys"), 1);
    for table in ["api_key_usage", "api_key_scope_usage"] {
        assert_eq!(jeton.rows(&format!("{table} WHERE day > 30000")), 6_000, "others lose nothing of {table}");
    }
    keys[0].exchange().expect_status(401);
    keys[2].exchange().expect_tokens();
}

/// Moves the clock to noon, for a test that must not see midnight pass; answers the time.
fn at_noon(jeton: &Jeton) -> i64 {
    jeton.shift((DAY + DAY / 2 - jeton.now().rem_euclid(DAY)) * 1_000_000);
    jeton.now()
}

fn date(seconds: i64) -> String {
    chrono::DateTime::from_timestamp(seconds, 0).unwrap().format("%Y-%m-%d").to_string()
}

/// What an administrator who has just logged in sees.
#[track_caller]
fn usage(tenant: &Tenant, key: &ApiKey, query: &str) -> Value {
    let session = tenant.admin().session();
    session.call("GET", format!("{}/usage{query}", key.path())).send().expect_status(200).json()
}

#[track_caller]
fn exchanges(tenant: &Tenant, key: &ApiKey) -> u64 {
    usage(tenant, key, "")["exchanges"].as_u64().unwrap()
}

#[track_caller]
fn within_ten_seconds(happens: impl Fn() -> bool) {
    let begun = Instant::now();
    while !happens() {
        assert!(begun.elapsed() < Duration::from_secs(10), "it takes more than ten seconds");
        std::thread::sleep(Duration::from_millis(100));
    }
}
