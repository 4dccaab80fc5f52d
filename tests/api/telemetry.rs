//! Logs and metrics: what they show, and what they never show (security 25; contract 2).

use std::{
    fs,
    time::{Duration, Instant},
};

use jeton_test_macros::both_databases;
use serde_json::{Value, json};

use crate::harness::{Client, Jeton, Server};

const NEW_PASSWORD: &str = "another-Meadow-2209-kettle";
const WRONG_PASSWORD: &str = "marmot-Bicycle-wrong-1812";

#[both_databases]
fn no_secret_is_logged_even_at_trace(jeton: Jeton) {
    jeton.set_variable("JETON_LOG", "trace");
    let tenant = jeton.tenant();
    let user = tenant.user("admin");
    let session = user.session();
    let next = session.refreshed();
    let cookie = user.login_with(json!({"cookie": true})).expect_tokens();
    let cookie = cookie.header("set-cookie").unwrap().split([';', '=']).nth(1).unwrap().to_owned();
    let call = jeton.post("/api/v1/auth/refresh").header("Cookie", &format!("__Host-jeton_refresh={cookie}"));
    let cookie_answer = call.header("Origin", "https://jeton.test").send().expect_tokens();
    let cookie_access = cookie_answer.text("access_token");
    user.login_with(json!({"password": WRONG_PASSWORD})).expect_status(401);
    let broken = format!(r#"{{"email":"{}","password":"{WRONG_PASSWORD}""#, user.email);
    jeton.post("/api/v1/auth/login").body("application/json", broken).expect_status(400);
    let mistyped = json!({"email": user.email, "password": [WRONG_PASSWORD], WRONG_PASSWORD: 1});
    jeton.post("/api/v1/auth/login").json(mistyped).expect_status(422);

    let key = tenant.api_key(["goals:read"]);
    let with_idempotency = tenant.admin().call("POST", tenant.path("api-keys")).header("Idempotency-Key", "once");
    let second = with_idempotency.json(json!({"name": "Key"})).expect_status(201).text("key");
    let rotated = tenant.admin().rotate(&key, json!({"overlap_seconds": 60})).expect_status(201).text("key");
    let token = key.token();
    let grant = ("grant_type", "client_credentials");
    jeton.post("/oauth2/token").basic(&key.id, &key.key).form(&[grant]).expect_tokens();
    jeton.post("/oauth2/token").form(&[grant, ("client_id", &key.id), ("client_secret", &second)]).expect_status(401);
    jeton.get(format!("/nowhere?access_token={token}&api_key={second}")).send().expect_status(404);
    jeton.post("/oauth2/token").form(&[("grant_type", "refresh_token"), ("refresh_token", &next.refresh_token)]);
    for path in ["/oauth2/introspect", "/oauth2/revoke"] {
        let call = jeton.post(path).basic(&key.id, &rotated);
        call.form(&[("token", &second), ("client_secret", &second)]).expect_status(400);
        jeton.post(path).basic(&key.id, &rotated).form(&[("token", &second)]).expect_status(401);
    }
    jeton.post("/oauth2/revoke").form(&[("token", &second)]).expect_status(200);
    user.change_password(&user.session(), NEW_PASSWORD).expect_status(204);
    session.refresh();
    let master_key = fs::read_to_string(jeton.folder().join("keys/master.key")).unwrap();

    let log = whole_log(&jeton).join("\n");
    assert!(log.contains("POST") || log.contains("/api/v1/auth/login"), "requests are logged at all: {log}");
    let secrets = [
        &*user.password,
        NEW_PASSWORD,
        WRONG_PASSWORD,
        tail(&session.refresh_token),
        tail(&session.access_token),
        tail(&next.refresh_token),
        tail(&next.access_token),
        tail(&cookie),
        tail(&cookie_access),
        tail(&key.key),
        tail(&second),
        tail(&rotated),
        tail(&token),
        master_key.trim(),
        "$argon2id$",
    ];
    for secret in secrets {
        if let Some(line) = log.lines().find(|line| line.contains(secret)) {
            panic!("a secret ({secret}) is logged: {line}");
        }
    }
    let basic = data_encoding::BASE64.encode(format!("{}:{}", key.id, key.key).as_bytes());
    assert!(!log.contains(&basic), "the Basic credentials are logged");
}

/// The log up to now: with the line of a last request, which no other can come behind.
fn whole_log(jeton: &Jeton) -> Vec<String> {
    jeton.get("/healthz").header("X-Request-ID", "the-last-one").send().expect_status(200);
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let log = jeton.server(Server::log);
        if log.iter().any(|line| line.contains("the-last-one")) {
            return log;
        }
        assert!(Instant::now() < deadline, "a request is logged: {log:#?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The part of a secret that nobody knows from elsewhere.
fn tail(secret: &str) -> &str {
    &secret[secret.len() - 24..]
}

#[both_databases]
fn every_line_of_the_log_is_one_json_object(jeton: Jeton) {
    jeton.set_variable("JETON_LOG", "debug");
    let user = jeton.tenant().user("member");
    for email in ["a\nb\r\u{1b}[31m@example.com", "\"a\u{85}b\"@example.com"] {
        let answer = user.login_with(json!({"email": email}));
        assert!([401, 422].contains(&answer.status), "{}", answer.told());
    }
    let strange = jeton.get("/nowhere%0a%0dx").header("X-Request-ID", "my-own-id.1").header("User-Agent", "x\ty");
    strange.send().expect_status(404);

    let log = whole_log(&jeton);
    let mut events = Vec::new();
    for line in &log {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for member in ["timestamp", "level", "target", "message"] {
            assert!(event[member].is_string(), "{member} in {line}");
        }
        assert!(!line.contains('\u{1b}'), "no escape sequence of a client: {line}");
        events.push(event);
    }
    assert!(events.iter().any(|event| event["request_id"] == "my-own-id.1"), "a request's id: {log:#?}");
}

#[both_databases]
fn the_filter_of_the_log_is_configured(jeton: Jeton) {
    jeton.set_variable("JETON_LOG", "warn,jeton=info");
    jeton.get("/healthz").send().expect_status(200);
    let log = jeton.server(Server::log);
    let level = |line: &String| serde_json::from_str::<Value>(line).unwrap()["level"].as_str().unwrap().to_owned();
    assert!(log.iter().all(|line| ["INFO", "WARN", "ERROR"].contains(&&*level(line))), "{log:#?}");
}

#[both_databases]
fn the_metrics_count_what_happens(jeton: Jeton) {
    let tenant = jeton.tenant();
    let user = tenant.user("member");
    let first = user.session();
    let second = first.refreshed();
    first.refreshed();
    second.refreshed();
    first.refresh().expect_problem(401, "refresh_token_reused");
    user.login_with(json!({"password": WRONG_PASSWORD})).expect_status(401);
    jeton.get("/nowhere/at/all").send().expect_status(404);

    let metrics = Client::new(&jeton.server(|server| server.metrics.clone()));
    let answer = metrics.get("/metrics").send().expect_status(200);
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let open = metrics.get("/metrics").header("Accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5");
    let open = open.send().expect_status(200);
    assert_eq!(open.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    assert!(String::from_utf8(open.body).unwrap().ends_with("# EOF\n"));
    let text = String::from_utf8(answer.body).unwrap();
    let value = |series: &str| -> f64 {
        let line = text.lines().find(|line| line.starts_with(series));
        let line = line.unwrap_or_else(|| panic!("{series} in\n{text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    for (outcome, count) in [("rotated", 2.0), ("grace", 1.0), ("reused", 1.0)] {
        let series = format!("jeton_refresh_total{{outcome=\"{outcome}\"}}");
        assert!((value(&series) - count).abs() < 0.1, "{series} is {}", value(&series));
    }
    for code in ["invalid_credentials", "refresh_token_reused", "not_found"] {
        assert!(value(&format!("jeton_refusals_total{{code=\"{code}\"}}")) > 0.0, "{code}");
    }
    for family in [
        "jeton_http_requests_total",
        "jeton_http_request_duration_seconds_bucket",
        "jeton_hashing_queue_length",
        "jeton_hashing_in_progress",
        "jeton_db_pool_connections",
        "jeton_signing_key_age_seconds",
        "jeton_build_info",
    ] {
        value(family);
    }
    assert!(text.contains("route=\"/api/v1/auth/login\""), "a route is its pattern: {text}");
    assert!(text.contains("route=\"unmatched\""), "{text}");
    for never in [&user.email, &user.id, &tenant.id, "/nowhere/at/all", "jrt_"] {
        assert!(!text.contains(never), "{never} is in the metrics");
    }
}

#[both_databases]
fn metrics_have_a_listener_of_their_own(jeton: Jeton) {
    jeton.get("/metrics").send().expect_problem(404, "not_found");
    let metrics = Client::new(&jeton.server(|server| server.metrics.clone()));
    assert_eq!(metrics.get("/healthz").send().status, 404);

    jeton.set("server.metrics_bind", "");
    jeton.restart();
    jeton.get("/healthz").send().expect_status(200);
    let log = jeton.server(Server::log).join("\n");
    assert!(!log.contains("metrics listening"), "an empty address turns it off: {log}");
}
