//! Failed logins are counted, and the next one waits (contract 2 `login.*`; security 16, 17, 25).

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use jeton_test_macros::both_databases;
use serde_json::{Value, json};

use crate::harness::{Answer, Client, Jeton, Session, User, at_once, unique};

const WRONG: &str = "not-the-right-password";
const NEW_PASSWORD: &str = "another-Meadow-2209-kettle";
const MINUTE: Duration = Duration::from_mins(1);

/// The longest wait, and a little.
const WAIT: Duration = Duration::from_secs(15 * 60 + 5);

#[both_databases]
fn after_ten_failures_in_a_row_the_next_login_waits_longer_and_longer(jeton: Jeton) {
    let user = jeton.tenant().user("member");
    for _ in 0..10 {
        guess(&user).expect_problem(401, "invalid_credentials");
    }
    let mut expected = 1;
    for _ in 0..12 {
        // However slow this machine is, a wait that has begun is at most as long as it should be.
        let wait = expect_throttled(&user);
        assert!(wait <= expected, "{wait} s, not {expected} s");
        assert!(wait > expected / 2 || expected < 32, "{wait} s, not {expected} s");
        jeton.advance(Duration::from_secs(wait));
        guess(&user).expect_problem(401, "invalid_credentials");
        expected = (2 * expected).min(900);
    }
    jeton.advance(WAIT);
    user.login().expect_tokens();
    for _ in 0..9 {
        guess(&user).expect_problem(401, "invalid_credentials");
    }
    user.login().expect_tokens();
}

#[both_databases]
fn a_throttled_login_says_when_to_come_back_and_nothing_else(jeton: Jeton) {
    let jeton = jeton.with("login.account_failures", "3");
    let user = jeton.tenant().user("member");
    let stranger = somebody(&user, &unique("nobody"));
    throttle(&jeton, &[&user, &stranger]);
    let answers: Vec<Answer> = [&user, &stranger].into_iter().flat_map(|who| [who.login(), guess(who)]).collect();
    let mut told = BTreeSet::new();
    for answer in answers {
        let answer = answer.expect_problem(429, "rate_limited");
        let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((800..=900).contains(&wait), "{wait}");
        assert_eq!(answer.header("ratelimit-policy"), Some(r#""account";q=3;w=86400"#));
        assert_eq!(answer.header("ratelimit"), Some(&*format!(r#""account";r=0;t={wait}"#)));
        let names: BTreeSet<String> = answer.headers.keys().map(ToString::to_string).collect();
        let mut problem = answer.json();
        problem.as_object_mut().unwrap().remove("request_id");
        told.insert(format!("{names:?} {problem}").replace(&wait.to_string(), "N"));
    }
    assert_eq!(told.len(), 1, "known or not, right or wrong: {told:#?}");
}

#[both_databases]
fn two_hundred_guesses_at_once_on_two_servers_try_no_more_than_ten(jeton: Jeton) {
    let user = jeton.tenant().user("member");
    let stranger = somebody(&user, &unique("nobody"));
    let (_server, elsewhere) = jeton.second();
    let here = jeton.client();
    for person in [&user, &stranger] {
        let begun_at = Instant::now();
        let answers = at_once(200, |number| {
            let client = if number % 2 == 0 { &here } else { &elsewhere };
            client.post("/api/v1/auth/login").json(json!({"email": person.email, "password": WRONG}))
        });
        // 503: the server may not keep up, and then it tries nothing. Waits of 1, 2, 4 s may end meanwhile on a slow
        // machine, and after each of them one more is tried.
        let waits_over = (begun_at.elapsed().as_secs() + 1).ilog2() as usize;
        let tried = answers.iter().filter(|answer| answer.status == 401).count();
        let begun = jeton
            .audit()
            .iter()
            .filter(|row| {
                row.details.as_deref().is_some_and(|text| text.contains(&person.email))
                    && row.action == "login.throttled"
            })
            .count();
        assert!(tried >= 10 && begun == tried - 9, "ten before the first wait, one after each: {tried}, {begun}");
        assert!(tried <= 10 + waits_over, "{tried} were tried, and {waits_over} waits can be over");
        for answer in answers {
            assert!([401, 429, 503].contains(&answer.status), "{}", answer.told());
        }
    }
}

#[both_databases]
fn devices_that_log_in_at_once_do_not_lock_one_another_out(jeton: Jeton) {
    let jeton = jeton.with("login.account_failures", "3");
    let user = jeton.tenant().user("member");
    guess(&user).expect_status(401);
    let (_server, elsewhere) = jeton.second();
    let here = jeton.client();
    let answers = at_once(24, |number| {
        let client = if number % 2 == 0 { &here } else { &elsewhere };
        client.post("/api/v1/auth/login").json(json!({"email": user.email, "password": user.password}))
    });
    for answer in answers {
        answer.expect_tokens();
    }
}

#[both_databases]
fn nobody_locks_somebody_else_out_for_good(jeton: Jeton) {
    let jeton = jeton.with("login.account_failures", "3");
    let user = jeton.tenant().user("member");
    throttle(&jeton, &[&user]);
    // What is refused while it waits does not prolong the wait.
    for _ in 0..14 {
        jeton.advance(MINUTE);
        guess(&user).expect_problem(429, "rate_limited");
    }
    jeton.advance(MINUTE + Duration::from_secs(5));
    user.login().expect_tokens();
}

#[both_databases]
fn a_device_that_has_logged_in_before_does_not_wait_for_strangers(jeton: Jeton) {
    let jeton = jeton.with("login.account_failures", "3").with("tokens.refresh_ttl", "1h");
    let tenant = jeton.tenant();
    let (user, other) = (tenant.user("member"), tenant.user("member"));
    let (session, revoked, strangers) = (user.session(), user.session(), other.session());
    session.refreshed();
    revoked.logout().expect_status(204);
    // The guesses of strangers go on for longer than the token lives.
    throttle(&jeton, &[&user]);
    user.login().expect_problem(429, "rate_limited");
    session.refresh().expect_status(401);

    let known_by = |token: &str| user.login_with(json!({"refresh_token": token}));
    known_by(&session.refresh_token).expect_tokens();
    let cookie = format!("__Host-jeton_refresh={}", session.refresh_token);
    let body = json!({"email": user.email, "password": user.password});
    let with_cookie = |origin: &str| {
        let call = jeton.post("/api/v1/auth/login").header("Cookie", &cookie).header("Origin", origin);
        call.json(body.clone())
    };
    with_cookie("https://jeton.test").expect_tokens();

    with_cookie("https://elsewhere.test").expect_problem(429, "rate_limited");
    known_by(&revoked.refresh_token).expect_problem(429, "rate_limited");
    known_by(&strangers.refresh_token).expect_problem(429, "rate_limited");
    known_by("jrt_nonsense").expect_problem(429, "rate_limited");
    user.login().expect_problem(429, "rate_limited");
}

#[both_databases]
fn a_known_device_has_no_more_guesses_than_others(jeton: Jeton) {
    let jeton = jeton.with("login.account_failures", "3");
    let user = jeton.tenant().user("member");
    let session = user.session();
    let body = json!({"password": WRONG, "refresh_token": session.refresh_token});
    let guess = || user.login_with(body.clone());
    for _ in 0..3 {
        guess().expect_problem(401, "invalid_credentials");
    }
    for _ in 0..11 {
        jeton.advance(WAIT);
        guess().expect_problem(401, "invalid_credentials");
    }
    user.login_with(json!({"refresh_token": session.refresh_token})).expect_problem(429, "rate_limited");
    user.login().expect_tokens();
}

#[both_databases]
fn a_stolen_access_token_does_not_guess_the_password_without_end(jeton: Jeton) {
    let jeton = jeton.with("login.account_failures", "3");
    let user = jeton.tenant().user("member");
    let (session, other) = (user.session(), user.session());
    let change = |session: &Session, current: &str| {
        let body = json!({"current_password": current, "new_password": NEW_PASSWORD});
        jeton.post("/api/v1/auth/password").bearer(&session.access_token).json(body)
    };
    // Strangers do not keep anybody from changing the password.
    throttle(&jeton, &[&user]);
    let session = session.refreshed();
    for _ in 0..2 {
        change(&session, WRONG).expect_problem(401, "invalid_credentials");
    }
    // A right one that is then refused for the new password is no failure.
    user.change_password(&session, "short").expect_field("new_password");
    for _ in 0..3 {
        change(&session, WRONG).expect_problem(401, "invalid_credentials");
    }
    for _ in 0..4 {
        jeton.advance(Duration::from_secs(10));
        change(&session, WRONG).expect_problem(401, "invalid_credentials");
    }
    let refused = change(&session, &user.password).expect_problem(429, "rate_limited");
    assert!(refused.header("retry-after").is_some());
    let other = other.refreshed();
    change(&other, &user.password).expect_status(204);
}

#[both_databases]
fn an_administrator_ends_the_wait(jeton: Jeton) {
    let jeton = jeton.with("login.account_failures", "3");
    let user = jeton.tenant().user("member");
    throttle(&jeton, &[&user]);
    user.login().expect_status(429);
    jeton.cli_with_stdin(["user", "set-password", &user.email, "--password-stdin"], Some(NEW_PASSWORD)).expect_code(0);
    let mut user = user;
    NEW_PASSWORD.clone_into(&mut user.password);
    user.login().expect_tokens();

    throttle(&jeton, &[&user]);
    jeton.cli(["user", "disable", &user.email]).expect_code(0);
    user.login().expect_status(429);
    jeton.cli(["user", "enable", &user.email]).expect_code(0);
    user.login().expect_tokens();
}

#[both_databases]
fn a_count_survives_a_restart_and_is_forgotten_after_a_day(jeton: Jeton) {
    let jeton = jeton.with("login.account_failures", "3");
    let user = jeton.tenant().user("member");
    throttle(&jeton, &[&user]);
    jeton.kill();
    user.login().expect_problem(429, "rate_limited");
    assert_eq!(jeton.rows("login_failures"), 2, "of the account and of the address");

    jeton.advance(Duration::from_hours(25));
    for _ in 0..3 {
        guess(&user).expect_problem(401, "invalid_credentials");
    }
    jeton.advance(Duration::from_hours(25));
    jeton.restart();
    // The sweep is at the start.
    let is_swept = (0..500).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        jeton.rows("login_failures") == 0
    });
    assert!(is_swept, "no counter is kept for ever");
}

#[both_databases]
fn a_clock_that_steps_back_locks_nobody_out(jeton: Jeton) {
    let jeton = jeton.with("login.account_failures", "3").with("login.address_failures", "50");
    let user = jeton.tenant().user("member");
    throttle(&jeton, &[&user]);
    jeton.shift(-3_600_000_000);
    let wait = expect_throttled(&user);
    assert!(wait <= 900, "not until the clock is there again: {wait} s");
    jeton.advance(WAIT);
    user.login().expect_tokens();

    for number in 0..50 {
        guess(&somebody(&user, &format!("nobody-{number}")));
    }
    user.login().expect_problem(429, "rate_limited");
    jeton.shift(-3_600_000_000);
    user.login().expect_problem(429, "rate_limited");
    jeton.advance(10 * MINUTE + Duration::from_secs(5));
    user.login().expect_tokens();
}

#[both_databases]
fn the_audit_log_is_told_of_each_wait_once(jeton: Jeton) {
    let jeton = jeton.with("login.account_failures", "3");
    let user = jeton.tenant().user("member");
    throttle(&jeton, &[&user]);
    let rows = jeton.audit();
    let waits: Vec<_> = rows.iter().filter(|row| row.action == "login.throttled").collect();
    let refused = rows.iter().filter(|row| row.action == "session.refused").count();
    assert_eq!(waits.len(), refused - 2, "one for each failure from the third on");
    for wait in &waits {
        assert_eq!(
            (&*wait.outcome, &*wait.actor, wait.ip.as_deref()),
            ("rate_limited", "anonymous", Some("127.0.0.1"))
        );
        assert!(wait.details.as_ref().unwrap().contains(&user.email), "{wait:?}");
    }
    for _ in 0..20 {
        guess(&user).expect_status(429);
    }
    assert_eq!(jeton.audit().len(), rows.len(), "and none for what comes too early");

    let metrics = Client::new(&jeton.server(|server| server.metrics.clone()));
    let text = String::from_utf8(metrics.get("/metrics").send().body).unwrap();
    assert!(text.contains("jeton_password_checks_total{outcome=\"account_throttled\"} 20"), "{text}");
    assert!(text.contains(&format!("jeton_password_checks_total{{outcome=\"wrong\"}} {refused}")), "{text}");
}

#[both_databases]
fn one_address_has_so_many_failures_in_ten_minutes(jeton: Jeton) {
    let jeton = jeton.with("login.address_failures", "5").with("server.trusted_proxies", "127.0.0.1");
    let user = jeton.tenant().user("member");
    let login_from = |address: &str, email: &str, password: &str| {
        let call = jeton.post("/api/v1/auth/login").header("X-Forwarded-For", address);
        call.json(json!({"email": email, "password": password}))
    };
    for (addresses, elsewhere) in [
        (["192.0.2.7"; 5], "192.0.2.8"),
        (
            ["2001:db8:1:2::1", "2001:db8:1:2::2", "2001:db8:1:2:3::", "2001:db8:1:2:4::", "2001:db8:1:2::5"],
            "2001:db8:1:3::1",
        ),
    ] {
        login_from(addresses[0], &user.email, &user.password).expect_tokens();
        for (number, address) in addresses.iter().enumerate() {
            login_from(address, &format!("person-{number}@example.com"), WRONG).expect_status(401);
        }
        for address in addresses {
            let refused = login_from(address, &user.email, &user.password).expect_problem(429, "rate_limited");
            let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
            assert!((400..=600).contains(&wait), "{wait}");
            assert_eq!(refused.header("ratelimit-policy"), Some(r#""address";q=5;w=600"#));
            assert_eq!(refused.header("ratelimit"), Some(&*format!(r#""address";r=0;t={wait}"#)));
        }
        login_from(elsewhere, &user.email, &user.password).expect_tokens();
        // A device that is known is no victim of its neighbours.
        let body = json!({"email": user.email, "password": user.password, "refresh_token": user_token(&jeton, elsewhere, &user)});
        jeton.post("/api/v1/auth/login").header("X-Forwarded-For", addresses[0]).json(body).expect_tokens();

        jeton.advance(10 * MINUTE + Duration::from_secs(1));
        login_from(addresses[0], &user.email, &user.password).expect_tokens();
    }
    assert_eq!(jeton.audited("failures from this address"), 2, "once for each");
}

#[both_databases]
fn no_more_guesses_from_one_address_are_answered_than_there_may_be(jeton: Jeton) {
    let jeton = jeton.with("login.address_failures", "20");
    let (_server, elsewhere) = jeton.second();
    let here = jeton.client();
    let answers = at_once(80, |number| {
        let client = if number % 2 == 0 { &here } else { &elsewhere };
        let email = format!("person-{number}@example.com");
        let ask = || client.post("/api/v1/auth/login").json(json!({"email": email, "password": WRONG}));
        // A machine that is too busy for so many at once says so in time.
        std::iter::repeat_with(ask).take(20).find(|answer| answer.status != 503).expect("an answer that is not 503")
    });
    assert_eq!(answers.iter().filter(|answer| answer.status == 401).count(), 20);
    for refused in answers.into_iter().filter(|answer| answer.status != 401) {
        refused.expect_problem(429, "rate_limited");
    }
}

#[both_databases]
fn addresses_are_not_limited_where_the_limit_is_off(jeton: Jeton) {
    let jeton = jeton.with("login.address_failures", "0");
    let user = jeton.tenant().user("member");
    for number in 0..120 {
        guess(&somebody(&user, &format!("nobody-{number}"))).expect_status(401);
    }
    user.login().expect_tokens();
}

#[both_databases]
fn what_is_answered_like_a_wrong_password_counts_like_one(jeton: Jeton) {
    let jeton = jeton.with("login.account_failures", "3");
    let tenant = jeton.tenant();
    let (user, disabled) = (tenant.user("member"), tenant.user("member"));
    jeton.cli(["user", "disable", &disabled.email]).expect_code(0);
    for _ in 0..3 {
        user.login_with(json!({"tenant_id": uuid::Uuid::nil()})).expect_problem(401, "invalid_credentials");
        disabled.login().expect_problem(401, "invalid_credentials");
    }
    for _ in 0..8 {
        jeton.advance(WAIT);
        user.login_with(json!({"tenant_id": uuid::Uuid::nil()})).expect_problem(401, "invalid_credentials");
        disabled.login().expect_problem(401, "invalid_credentials");
    }
    for person in [&user, &disabled] {
        person.login().expect_problem(429, "rate_limited");
    }
}

#[both_databases]
fn what_tells_that_the_password_was_right_does_not_count(jeton: Jeton) {
    let jeton = jeton.with("login.account_failures", "3");
    let tenant = jeton.tenant();
    let user = tenant.user("member");
    tenant.suspend();
    for _ in 0..3 {
        guess(&user).expect_status(401);
        guess(&user).expect_status(401);
        user.login().expect_problem(403, "tenant_suspended");
    }
}

#[both_databases]
fn a_guess_that_cannot_be_counted_is_not_tried(jeton: Jeton) {
    let user = jeton.tenant().user("member");
    jeton.break_writes("login_failures", "INSERT");
    for answer in [user.login(), guess(&user)] {
        assert!((500..600).contains(&answer.status), "{}", answer.told());
    }
    assert_eq!(jeton.audited("session."), 0, "nothing happened");
    jeton.mend_writes("login_failures");
    user.login().expect_tokens();
}

#[both_databases]
fn nobody_reads_in_the_counts_who_was_tried(jeton: Jeton) {
    let user = jeton.tenant().user("member");
    guess(&user).expect_status(401);
    assert_eq!(jeton.rows("login_failures"), 2);
    assert_eq!(jeton.rows("login_failures WHERE length(subject) = 32 AND length(device) = 0"), 2, "keyed hashes alone");
}

/// The same with another address.
fn somebody(user: &User, name: &str) -> User {
    let mut somebody = user.clone();
    somebody.email = format!("{name}@example.com");
    somebody
}

fn guess(user: &User) -> Answer {
    user.login_with(json!({"password": WRONG}))
}

/// Fails until the wait is the longest one, which no slow machine outlasts.
#[track_caller]
fn throttle(jeton: &Jeton, users: &[&User]) {
    // The configured three, and the ten that double one second to a quarter of an hour.
    for _ in 0..13 {
        jeton.advance(WAIT);
        for user in users {
            guess(user).expect_problem(401, "invalid_credentials");
        }
    }
}

/// Right or wrong, it is too early; tells the seconds to wait.
fn expect_throttled(user: &User) -> u64 {
    let refused = user.login().expect_problem(429, "rate_limited");
    refused.header("retry-after").expect("a wait").parse().expect("seconds")
}

fn user_token(jeton: &Jeton, address: &str, user: &User) -> Value {
    let call = jeton.post("/api/v1/auth/login").header("X-Forwarded-For", address);
    let answer = call.json(json!({"email": user.email, "password": user.password})).expect_tokens();
    answer.text("refresh_token").into()
}
