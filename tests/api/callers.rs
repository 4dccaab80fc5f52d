//! Who presents an API key: what still uses the old one can be seen while it is rotated (contract 4.2, docs/API.md).

use std::time::Duration;

use jeton_test_macros::both_databases;
use serde_json::{Value, json};

use crate::forward_auth::ask;
use crate::harness::{ApiKey, Jeton, Request, Tenant, at_once};
use crate::profiles::{ID_AND_SECRET, with_profile};

const DAY: Duration = Duration::from_hours(24);

#[both_databases]
fn callers_are_told_apart_by_address_and_user_agent(jeton: Jeton) {
    let jeton = jeton.with("server.trusted_proxies", "127.0.0.1");
    let tenant = jeton.tenant();
    let key = tenant.api_key(["a:b"]);
    for (ip, agent, times) in [("192.0.2.7", "curl/8", 1), ("2001:db8::7", "curl/8", 2), ("2001:db8::7", "worker", 3)] {
        for _ in 0..times {
            from(&key, ip, agent).send().expect_status(200);
        }
        jeton.advance(Duration::from_mins(1));
    }
    let refused = json!({"scope": "x:y"});
    from(&key, "192.0.2.7", "curl/8").json(refused).expect_problem(403, "insufficient_scope");
    let seen = callers(&jeton, &tenant, &key);
    assert_eq!(
        seen.iter().map(named).collect::<Vec<_>>(),
        [
            ("192.0.2.7".into(), "curl/8".into(), 2),
            ("2001:db8::7".into(), "worker".into(), 3),
            ("2001:db8::7".into(), "curl/8".into(), 2)
        ],
        "whoever was seen last first, the refused ones too"
    );
    for (caller, ago) in seen.iter().zip([0, 60, 120]) {
        let at = chrono::DateTime::parse_from_rfc3339(caller["last_seen_at"].as_str().unwrap()).unwrap().timestamp();
        assert!((ago..ago + 30).contains(&(jeton.now() - at)), "{caller}");
        assert_eq!(caller["secret"], "current");
    }
}

#[both_databases]
fn the_old_key_is_seen_until_it_is_quiet(jeton: Jeton) {
    let jeton = jeton.with("server.trusted_proxies", "127.0.0.1");
    let tenant = jeton.tenant();
    let old = tenant.api_key(["a:b"]);
    let new = tenant.admin().rotate(&old, json!({"overlap_seconds": 3600})).expect_status(201).into_key(&tenant);
    from(&old, "192.0.2.7", "slow").send().expect_status(200);
    from(&new, "192.0.2.8", "quick").send().expect_status(200);
    assert_eq!(
        callers(&jeton, &tenant, &old).iter().map(named).collect::<Vec<_>>(),
        [("192.0.2.7".into(), "slow".into(), 1)]
    );
    assert_eq!(
        callers(&jeton, &tenant, &new).iter().map(named).collect::<Vec<_>>(),
        [("192.0.2.8".into(), "quick".into(), 1)]
    );

    jeton.advance(Duration::from_hours(2));
    from(&old, "192.0.2.7", "slow").send().expect_problem(401, "invalid_api_key");
    assert_eq!(callers(&jeton, &tenant, &old)[0]["times"], 2, "somebody still has it");
}

#[both_databases]
fn the_two_secrets_of_a_key_have_callers_of_their_own(jeton: Jeton) {
    let jeton = with_profile(jeton, ID_AND_SECRET).with("server.trusted_proxies", "127.0.0.1");
    let tenant = jeton.tenant();
    let first = tenant.api_key(["a:b"]);
    from(&first, "192.0.2.7", "slow").send().expect_status(200);
    let rotate = |key: &ApiKey| {
        let rotated = tenant.admin().rotate(key, json!({"overlap_seconds": 3600})).expect_status(201);
        rotated.into_key(&tenant)
    };
    let second = rotate(&first);
    assert_eq!(first.id, second.id);
    from(&first, "192.0.2.7", "slow").send().expect_status(200);
    from(&second, "192.0.2.7", "slow").send().expect_status(200);
    from(&second, "192.0.2.7", "slow").send().expect_status(200);
    let told = |key: &ApiKey| {
        let mut told: Vec<_> =
            callers(&jeton, &tenant, key).iter().map(|c| (c["secret"].clone(), c["times"].clone())).collect();
        told.sort_by_key(|(secret, _)| secret.to_string());
        told
    };
    assert_eq!(told(&first), [(json!("current"), json!(2)), (json!("previous"), json!(2))]);

    let third = rotate(&second);
    assert_eq!(told(&third), [(json!("previous"), json!(2))], "of what is dead nothing is told");
}

#[both_databases]
fn behind_forward_auth_it_is_the_original_client(jeton: Jeton) {
    let jeton = jeton.with("profile", "engium").with("server.trusted_proxies", "127.0.0.1");
    let tenant = jeton.tenant();
    let key = tenant.api_key(["bookings:read"]);
    let asked = ask(&jeton, "GET", "/api/v1/bookings").bearer(&key.key).tenant(&key.tenant_id);
    asked
        .header("X-Forwarded-For", "203.0.113.5, 198.51.100.9")
        .header("User-Agent", "booking-sync/2.1")
        .send()
        .expect_status(200);
    let seen = callers(&jeton, &tenant, &key);
    assert_eq!(seen.iter().map(named).collect::<Vec<_>>(), [("198.51.100.9".into(), "booking-sync/2.1".into(), 1)]);
}

#[both_databases]
fn a_user_agent_is_bounded_and_printable(jeton: Jeton) {
    let tenant = jeton.tenant();
    let key = tenant.api_key(["a:b"]);
    let request = |agent: &[u8]| {
        let mut request = b"POST /api/v1/auth/exchange HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".to_vec();
        request.extend(format!("Authorization: Bearer {}\r\nX-Tenant-ID: {}\r\n", key.key, key.tenant_id).bytes());
        request.extend([b"User-Agent: ".as_slice(), agent, b"\r\nContent-Length: 0\r\n\r\n"].concat());
        let answer = jeton.client().raw(&request);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    };
    request("x".repeat(4_000).as_bytes());
    request(b"tab\there <script>alert(1)</script> '; DROP TABLE api_key_callers; --");
    request(b"\xff\xfe latin \xe9");
    request(b"");
    let mut seen: Vec<_> =
        callers(&jeton, &tenant, &key).iter().map(|c| (c["user_agent"].clone(), c["times"].clone())).collect();
    seen.sort_by_key(|(agent, _)| agent.to_string());
    let hostile = "tabhere <script>alert(1)</script> '; DROP TABLE api_key_callers; --";
    let expected = [(json!(hostile), json!(1)), (json!("x".repeat(200)), json!(1)), (Value::Null, json!(2))];
    assert_eq!(seen, expected, "what cannot be read is as none");
}

#[both_databases]
fn twenty_callers_are_told_apart_and_the_others_counted(jeton: Jeton) {
    let jeton = jeton.with("server.trusted_proxies", "127.0.0.1");
    let tenant = jeton.tenant();
    let key = tenant.api_key(["a:b"]);
    let (_second, elsewhere) = jeton.second();
    let clients = [jeton.client(), elsewhere];
    let call = |number: usize, agent: &str| {
        let request = clients[number % 2].post("/api/v1/auth/exchange").bearer(&key.key).tenant(&key.tenant_id);
        let ip = format!("192.0.2.{}", number % 250);
        request.header("X-Forwarded-For", &ip).header("User-Agent", agent).send().expect_status(200);
    };
    // Many at once, then, in turns of their own, the one that comes always.
    at_once(8, |thread| (0..10).for_each(|number| call(thread * 10 + number, "once")));
    within_ten_seconds(|| total(&tenant, &key) == 80);
    for turn in 0..3 {
        jeton.advance(Duration::from_mins(1));
        (0..25).for_each(|number| call(turn * 25 + number, "again"));
        call(0, "always");
        within_ten_seconds(|| total(&tenant, &key) == 80 + (turn as u64 + 1) * 26);
    }
    let seen = shown(&tenant, &key);
    let others: Vec<_> = seen.iter().filter(|caller| caller["ip"].is_null()).collect();
    assert_eq!((seen.len(), others.len()), (21, 1), "{seen:?}");
    assert_eq!(others[0]["user_agent"], Value::Null);
    assert!(seen.iter().any(|caller| caller["user_agent"] == "always"), "whoever was seen last has room");
    assert_eq!(jeton.rows("api_key_callers"), 21);
}

/// Whoever has the key makes up as many callers as they like before the counts are written.
#[both_databases]
fn made_up_callers_push_out_none_that_comes_after_them(jeton: Jeton) {
    let jeton = jeton.with("server.trusted_proxies", "127.0.0.1");
    let tenant = jeton.tenant();
    let key = tenant.api_key(["a:b"]);
    for number in 0..40 {
        from(&key, &format!("192.0.2.{number}"), "made up").send().expect_status(200);
    }
    jeton.advance(Duration::from_secs(1));
    from(&key, "198.51.100.1", "customer").send().expect_status(200);
    let seen = callers(&jeton, &tenant, &key);
    assert!(seen.iter().any(|caller| caller["user_agent"] == "customer"), "{seen:?}");
    assert_eq!((seen.len(), total(&tenant, &key)), (21, 41));
}

#[both_databases]
fn callers_are_forgotten_after_30_days(jeton: Jeton) {
    let jeton = jeton.with("server.trusted_proxies", "127.0.0.1");
    let tenant = jeton.tenant();
    let key = tenant.api_key(["a:b"]);
    from(&key, "192.0.2.1", "early").send().expect_status(200);
    jeton.advance(DAY);
    from(&key, "192.0.2.2", "late").send().expect_status(200);
    assert_eq!(callers(&jeton, &tenant, &key).len(), 2);
    jeton.advance(29 * DAY);
    jeton.restart();
    within_ten_seconds(|| shown(&tenant, &key).len() == 1);
    assert_eq!(named(&shown(&tenant, &key)[0]).1, "late");
}

#[both_databases]
fn what_cannot_be_written_is_counted_again(jeton: Jeton) {
    let tenant = jeton.tenant();
    let key = tenant.api_key(["a:b"]);
    jeton.break_writes("api_key_callers", "INSERT");
    key.exchange().expect_tokens();
    let failed = |line: &String| line.contains("background work failed");
    within_ten_seconds(|| jeton.server(|server| server.log().iter().any(failed)));
    key.exchange().expect_tokens();
    jeton.mend_writes("api_key_callers");
    within_ten_seconds(|| total(&tenant, &key) == 2);
}

/// An exchange from this address, as this client.
fn from(key: &ApiKey, ip: &str, agent: &str) -> Request {
    key.ask().header("X-Forwarded-For", ip).header("User-Agent", agent)
}

fn named(caller: &Value) -> (String, String, u64) {
    let text = |member: &str| caller[member].as_str().unwrap_or_default().to_owned();
    (text("ip"), text("user_agent"), caller["times"].as_u64().unwrap())
}

/// The callers of a key, after the server has written what it counted.
#[track_caller]
fn callers(jeton: &Jeton, tenant: &Tenant, key: &ApiKey) -> Vec<Value> {
    jeton.restart();
    shown(tenant, key)
}

/// As an administrator who has just logged in sees them.
#[track_caller]
fn shown(tenant: &Tenant, key: &ApiKey) -> Vec<Value> {
    let answer = tenant.admin().session().call("GET", format!("{}/usage", key.path())).send().expect_status(200);
    answer.json()["callers"].as_array().unwrap().clone()
}

#[track_caller]
fn total(tenant: &Tenant, key: &ApiKey) -> u64 {
    shown(tenant, key).iter().map(|caller| caller["times"].as_u64().unwrap()).sum()
}

#[track_caller]
fn within_ten_seconds(happens: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !happens() {
        assert!(begun.elapsed() < Duration::from_secs(10), "it takes more than ten seconds");
        std::thread::sleep(Duration::from_millis(200));
    }
}
