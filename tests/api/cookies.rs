//! The refresh token as a cookie, and who may send it (contract 4.1; CORS by exact origin).

use jeton_test_macros::both_databases;
use serde_json::{Value, json};

use crate::harness::{Answer, Jeton, Request, User};

const OWN: &str = "https://jeton.test";
const ALLOWED: &str = "https://app.example.com";

/// What a browser on a page of `origin` may hold: the cookie of a login.
struct Browser {
    jeton: Jeton,
    cookie: String,
}

impl Browser {
    fn login(jeton: &Jeton, user: &User) -> Self {
        let answer = user.login_with(json!({"cookie": true})).expect_tokens();
        Self { jeton: jeton.clone(), cookie: cookie_of(&answer) }
    }

    fn call(&self, path: &str) -> Request {
        self.jeton.post(format!("/api/v1/auth/{path}")).header("Cookie", &self.cookie)
    }

    fn refresh_from(&self, origin: &str) -> Answer {
        self.call("refresh").header("Origin", origin).send()
    }
}

/// `name=value` as the browser sends it back.
fn cookie_of(answer: &Answer) -> String {
    let set = answer.header("set-cookie").unwrap_or_else(|| panic!("a cookie in {}", answer.told()));
    set.split(';').next().unwrap().to_owned()
}

fn browser(jeton: &Jeton) -> Browser {
    Browser::login(jeton, &jeton.tenant().user("member"))
}

#[both_databases]
fn a_cookie_login_keeps_the_refresh_token_out_of_the_body(jeton: Jeton) {
    let answer = jeton.tenant().user("member").login_with(json!({"cookie": true})).expect_tokens();
    assert_eq!(answer.json()["refresh_token"], Value::Null, "absent from the body");
    assert_eq!(answer.json()["refresh_token_expires_in"], 2_592_000);

    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-jeton_refresh=jrt_"), "{cookie}");
    let attributes: Vec<_> = cookie.split(';').skip(1).map(str::trim).collect();
    for attribute in ["Path=/", "HttpOnly", "Secure", "SameSite=Strict"] {
        assert!(attributes.contains(&attribute), "{attribute} in {cookie}");
    }
    assert!(!cookie.to_lowercase().contains("domain="), "a __Host- cookie has no Domain: {cookie}");
}

#[both_databases]
fn a_login_without_the_wish_sets_no_cookie(jeton: Jeton) {
    let user = jeton.tenant().user("member");
    for members in [json!({}), json!({"cookie": false})] {
        let answer = user.login_with(members).expect_tokens();
        assert_eq!(answer.header("set-cookie"), None);
        assert!(answer.text("refresh_token").starts_with("jrt_"));
    }
}

#[both_databases]
fn a_cookie_refresh_sets_the_next_cookie(jeton: Jeton) {
    let mut browser = browser(&jeton);
    for _ in 0..2 {
        let answer = browser.refresh_from(OWN).expect_tokens();
        assert_eq!(answer.json()["refresh_token"], Value::Null, "absent from the body");
        assert_ne!(cookie_of(&answer), browser.cookie);
        assert!(answer.header("set-cookie").unwrap().contains("HttpOnly"));
        browser.cookie = cookie_of(&answer);
    }
}

#[both_databases]
fn a_cookie_needs_an_origin_that_is_our_own_or_allowed(jeton: Jeton) {
    let browser = browser(&jeton.with("server.allowed_origins", ALLOWED));
    let foreign = [
        "https://evil.example",
        "null",
        "https://jeton.test.evil.example",
        "https://jeton.test:8443",
        "http://jeton.test",
        "https://app.example.com.evil.example",
        "https://evilapp.example.com",
        "https://sub.app.example.com",
        "https://app.example.com/",
        "https://app.example.co",
        "",
    ];
    for path in ["refresh", "logout"] {
        browser.call(path).send().expect_problem(403, "origin_not_allowed");
        for origin in foreign {
            let answer = browser.call(path).header("Origin", origin).send();
            assert_eq!(answer.header("set-cookie"), None, "nothing is taken from the browser");
            answer.expect_problem(403, "origin_not_allowed");
        }
    }
    let answer = browser.refresh_from(ALLOWED).expect_tokens();
    let next = Browser { cookie: cookie_of(&answer), ..browser };
    next.refresh_from(OWN).expect_tokens();
}

#[both_databases]
fn a_cookie_logout_ends_the_session_and_clears_the_cookie(jeton: Jeton) {
    let browser = browser(&jeton);
    let answer = browser.call("logout").header("Origin", OWN).send().expect_status(204);
    let cookie = answer.header("set-cookie").expect("the cookie is taken back");
    assert!(cookie.starts_with("__Host-jeton_refresh=;"), "{cookie}");
    assert!(cookie.contains("Max-Age=0"), "{cookie}");
    browser.refresh_from(OWN).expect_status(401);
}

#[both_databases]
fn a_cookie_that_comes_twice_is_refused(jeton: Jeton) {
    let browser = browser(&jeton);
    let twice = |path: &str, cookies: String| {
        jeton.post(format!("/api/v1/auth/{path}")).header("Origin", OWN).header("Cookie", &cookies).send()
    };
    for path in ["logout", "refresh"] {
        for cookies in ["__Host-jeton_refresh=x; {}", "{}; __Host-jeton_refresh=x", "{}; {}"] {
            twice(path, cookies.replace("{}", &browser.cookie)).expect_problem(400, "malformed_request");
        }
    }
    browser.refresh_from(OWN).expect_tokens();
}

#[both_databases]
fn a_losing_answer_never_clears_a_winners_cookie(jeton: Jeton) {
    let winner = browser(&jeton);
    let answer = winner.refresh_from(OWN).expect_tokens();
    let current = cookie_of(&answer);

    // The other tab still sends the predecessor, within the grace: the same current token, or none.
    let late = winner.refresh_from(OWN).expect_tokens();
    assert!(late.header("set-cookie").is_none() || cookie_of(&late) == current, "{:?}", late.headers);

    let stray = Browser { cookie: "__Host-jeton_refresh=jrt_stray".to_owned(), ..winner };
    let refused = stray.refresh_from(OWN).expect_problem(401, "invalid_refresh_token");
    assert_eq!(refused.header("set-cookie"), None);
    let winner = Browser { cookie: current, ..stray };
    winner.refresh_from(OWN).expect_tokens();
}

#[both_databases]
fn an_allowed_origin_may_read_answers_with_credentials(jeton: Jeton) {
    let jeton = jeton.with("server.allowed_origins", ALLOWED);
    let user = jeton.tenant().user("member");
    let preflight = jeton
        .client()
        .call("OPTIONS", "/api/v1/auth/login")
        .header("Origin", ALLOWED)
        .header("Access-Control-Request-Method", "POST")
        .header("Access-Control-Request-Headers", "content-type")
        .send();
    assert!([200, 204].contains(&preflight.status), "{}", preflight.told());
    assert_eq!(preflight.header("access-control-allow-origin"), Some(ALLOWED));
    assert_eq!(preflight.header("access-control-allow-credentials"), Some("true"));
    assert!(preflight.header("access-control-allow-methods").is_some_and(|methods| methods.contains("POST")));
    let headers = preflight.header("access-control-allow-headers").unwrap_or_default().to_lowercase();
    assert!(headers.contains("content-type"), "{headers}");

    let body = json!({"email": user.email, "password": user.password});
    let answer = jeton.post("/api/v1/auth/login").header("Origin", ALLOWED).json(body).expect_tokens();
    assert_eq!(answer.header("access-control-allow-origin"), Some(ALLOWED));
    assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
    let vary = answer.header("vary").unwrap_or_default().to_lowercase();
    assert!(vary.contains("origin"), "caches must not mix origins: {vary}");

    let refused = jeton.get("/api/v1/auth/me").header("Origin", ALLOWED).send().expect_problem(401, "invalid_token");
    assert_eq!(refused.header("access-control-allow-origin"), Some(ALLOWED), "a page may read why");
}

#[both_databases]
fn any_other_origin_is_told_nothing(jeton: Jeton) {
    let jeton = jeton.with("server.allowed_origins", ALLOWED);
    for origin in
        ["https://evil.example", "null", "https://app.example.com.evil.example", "https://evilapp.example.com"]
    {
        for method in ["OPTIONS", "GET"] {
            let call = jeton.client().call(method, "/api/v1/auth/me").header("Origin", origin);
            let answer = call.header("Access-Control-Request-Method", "GET").send();
            assert_eq!(answer.header("access-control-allow-origin"), None, "{origin}: {}", answer.told());
        }
    }
}
