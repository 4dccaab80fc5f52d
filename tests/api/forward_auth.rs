//! `ANY /api/v1/auth/forward`: a proxy asks whether a request may pass (contract 4.4). What each product's page
//! promises is in `tests/profiles`; here is what holds in all of them.

use std::time::Duration;

use jeton_test_macros::both_databases;
use serde_json::json;

use crate::exhaustion::until;
use crate::harness::{Answer, ApiKey, Jeton, Jwt, Request, Session};
use crate::profiles::{PROFILE, with_profile};

pub const PATH: &str = "/api/v1/auth/forward";

/// What nginx asks about a request.
pub fn ask(jeton: &Jeton, method: &str, target: &str) -> Request {
    jeton.get(PATH).header("X-Original-Method", method).header("X-Original-URI", target)
}

/// The same with an API key of the tenant, which the profile `engium` reads as Bearer.
fn with_key(jeton: &Jeton, key: &ApiKey, method: &str, target: &str) -> Answer {
    ask(jeton, method, target).bearer(&key.key).tenant(&key.tenant_id).send()
}

#[track_caller]
pub fn expect_admitted(answer: Answer) -> (Answer, Jwt) {
    let answer = answer.expect_status(200);
    assert!(answer.body.is_empty(), "nothing in the body: {}", answer.told());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let token = answer.header("authorization").and_then(|value| value.strip_prefix("Bearer ")).unwrap().to_owned();
    (answer, Jwt::parse(&token))
}

#[both_databases]
fn a_key_becomes_a_token_with_the_scope_that_the_endpoint_needs(jeton: Jeton) {
    let jeton = jeton.with("profile", "engium");
    let tenant = jeton.tenant();
    let key = tenant.api_key(["bookings:write", "bookings:read", "messages:read"]);
    let (answer, jwt) = expect_admitted(with_key(&jeton, &key, "GET", "/api/v1/bookings/7?full=1"));
    jwt.verify(&jeton.jwks());
    assert_eq!((jwt.text("scope"), jwt.text("sub"), jwt.text("tenant_id")), ("bookings:read", &*key.id, &*tenant.id));
    assert_eq!(jwt.number("exp") - jwt.number("iat"), 900);
    assert_eq!(answer.header("x-tenant-id"), Some(&*tenant.id));
    assert_eq!(answer.header("x-auth-subject"), Some(&*key.id));
    assert_eq!(answer.header("x-auth-scope"), Some("bookings:read"));
    assert!(!format!("{answer:?}").contains(&key.key), "never the key");
}

#[both_databases]
fn both_families_of_headers_and_every_method_are_understood(jeton: Jeton) {
    let jeton = jeton.with("profile", "engium");
    let key = jeton.tenant().api_key(["bookings:read", "bookings:write"]);
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let request = jeton.client().call(method, PATH).bearer(&key.key).tenant(&key.tenant_id);
        request
            .header("X-Forwarded-Method", "DELETE")
            .header("X-Forwarded-Uri", "/api/v1/bookings/1")
            .send()
            .expect_status(200);
    }
    let envoy = jeton.client().call("PATCH", format!("{PATH}/api/v1/bookings/1?x=1"));
    let (answer, _) = expect_admitted(envoy.bearer(&key.key).tenant(&key.tenant_id).send());
    assert_eq!(answer.header("x-auth-scope"), Some("bookings:write"));
    let head = with_key(&jeton, &key, "HEAD", "/api/v1/bookings");
    assert_eq!(expect_admitted(head).0.header("x-auth-scope"), Some("bookings:read"));
    let trace = jeton.client().raw(format!("TRACE {PATH} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes());
    assert!(trace.starts_with("HTTP/1.1 405"), "{trace}");
}

#[both_databases]
fn an_original_request_that_is_told_twice_or_by_halves_is_refused(jeton: Jeton) {
    let jeton = jeton.with("profile", "engium");
    let key = jeton.tenant().api_key(["bookings:read"]);
    let plain = || jeton.get(PATH).bearer(&key.key).tenant(&key.tenant_id);
    let told = [
        vec![],
        vec![("X-Original-URI", "/api/v1/bookings")],
        vec![("X-Original-Method", "GET")],
        vec![("X-Original-Method", "GET"), ("X-Forwarded-Uri", "/api/v1/bookings")],
        vec![
            ("X-Original-Method", "GET"),
            ("X-Original-URI", "/api/v1/bookings"),
            ("X-Forwarded-Method", "GET"),
            ("X-Forwarded-Uri", "/api/v1/bookings"),
        ],
        vec![("X-Original-Method", "GET"), ("X-Original-URI", "/api/v1/bookings"), ("X-Original-URI", "/api/v1/x")],
        with_more(("X-HTTP-Method-Override", "DELETE")),
        with_more(("X_HTTP_METHOD_OVERRIDE", "DELETE")),
        with_more(("X-Original-URL", "/api/v1/messages")),
        with_more(("X-Rewrite-URL", "/api/v1/messages")),
        with_more(("X_Rewrite_URL", "https://api.example/api/v1/messages")),
        with_more(("X-Original-URL", "https://api.example/evil/api/v1/bookings")),
        with_more(("X-Original-URL", "/admin/x://h/api/v1/bookings")),
        with_more(("X-Original-URL", "/api/v1/messages?x=://h/api/v1/bookings")),
        with_more(("X-Rewrite-URL", "/admin?://h/api/v1/bookings")),
        with_more(("X-Rewrite-URL", "x://h/api/v1/bookings")),
        with_more(("X-Original-URL", "http:///api/v1/bookings")),
        with_more(("X-Original-URL", "http://h?/api/v1/bookings")),
        with_more(("X-Original-URL", "http://h#/api/v1/bookings")),
        with_more(("X-Original-URL", "http://h@i/api/v1/bookings")),
        with_more(("X-Original-URL", "http://h\\evil/api/v1/bookings")),
        with_more(("X-Original-URL", "http://h evil/api/v1/bookings")),
    ];
    for headers in told {
        let request = headers.iter().fold(plain(), |request, (name, value)| request.header(name, value));
        request.send().expect_problem(400, "malformed_request");
    }
    // What agrees is no other request: so do some proxies tell the whole URL.
    for (name, value) in [
        ("X-HTTP-Method-Override", "GET"),
        ("X-Original-URL", "/api/v1/bookings"),
        ("X-Original-URL", "https://api.example/api/v1/bookings"),
        ("X-Rewrite-URL", "HTTP://[2001:db8::1]:8080/api/v1/bookings"),
    ] {
        let headers = with_more((name, value));
        let request = headers.iter().fold(plain(), |request, (name, value)| request.header(name, value));
        request.send().expect_status(200);
    }
    let both = jeton.get(format!("{PATH}/api/v1/bookings")).header("X-Original-Method", "GET");
    let both = both.header("X-Original-URI", "/api/v1/bookings").bearer(&key.key).tenant(&key.tenant_id);
    both.send().expect_problem(400, "malformed_request");
}

/// A request to the bookings, and one header more.
fn with_more(more: (&'static str, &'static str)) -> Vec<(&'static str, &'static str)> {
    vec![("X-Original-Method", "GET"), ("X-Original-URI", "/api/v1/bookings"), more]
}

#[both_databases]
fn a_preflight_is_judged_like_any_request(jeton: Jeton) {
    let jeton = jeton.with("profile", "engium").with("server.allowed_origins", "https://app.example");
    let tenant = jeton.tenant();
    for origin in ["https://app.example", "https://evil.example"] {
        let preflight = |path: &str| {
            let request = jeton.client().call("OPTIONS", path).header("Origin", origin).tenant(&tenant.id);
            request.header("Access-Control-Request-Method", "GET").send()
        };
        preflight(&format!("{PATH}/api/v1/bookings")).expect_problem(401, "invalid_api_key");
        let told = jeton.client().call("OPTIONS", PATH).header("Origin", origin).tenant(&tenant.id);
        let told = told.header("Access-Control-Request-Method", "GET").header("X-Forwarded-Method", "GET");
        told.header("X-Forwarded-Uri", "/api/v1/bookings").send().expect_problem(401, "invalid_api_key");
        let allowed = preflight("/api/v1/auth/login").status == 200;
        assert_eq!(allowed, origin == "https://app.example", "elsewhere CORS is as it was");
    }
}

#[both_databases]
fn no_spelling_of_a_path_gets_past_its_rule(jeton: Jeton) {
    let jeton = with_profile(jeton, PROFILE);
    let tenant = jeton.tenant();
    let key = tenant.api_key_with(json!({"access_type": "narrow", "scopes": ["a:read"]}));
    let get = |target: &str| ask(&jeton, "GET", target).bearer(&key.key).send();
    for good in ["/a", "/a/", "/a/b", "/a/b/c?x=/../", "/a/%62", "/a/b%20c", "/a/B"] {
        get(good).expect_status(200);
    }
    get("/a/Admin/users").expect_problem(403, "insufficient_scope");
    get("/a/%41dmin/users").expect_problem(403, "insufficient_scope");
    for other_case in ["/a/admin/users", "/a/ADMIN", "/A/Admin", "/A/b"] {
        get(other_case).expect_problem(403, "endpoint_not_listed");
    }
    for ambiguous in [
        "/a/x/../Admin/users",
        "/a/./Admin/users",
        "/a/%2e%2e/Admin",
        "/a/.%2E/Admin",
        "/a//Admin/users",
        "//a/Admin",
        "/a/x%2fAdmin",
        "/a/x%5cAdmin",
        "/a/;/Admin",
        "/a/..;/Admin",
        "/a/Admin;x=1/users",
        "/a/Admin%00",
        "/a/%0aAdmin",
        "/a/%252e%252e/Admin",
        "/a/%c0%ae%c0%ae/Admin",
        "/a/%",
        "/a/%zz",
        "/a/Admin#x",
        "a/b",
        "http://evil/a/b",
        "*",
        "",
        "/a/..%20/Admin",
        "/a/%20../Admin",
        "/a/Admin.",
        "/a/%EF%BC%8E%EF%BC%8E/Admin",
        "/a/x%EF%BC%8FAdmin",
        "/a/%EF%BB%BFAdmin",
        "/a/Cafe%CC%81",
    ] {
        let answer = get(ambiguous);
        assert!(answer.status == 400, "{ambiguous}: {}", answer.told());
    }
    for method in ["get", "Get", "gET", "GET,POST", "G T"] {
        let answer = ask(&jeton, method, "/a/b").bearer(&key.key).send();
        answer.expect_problem(400, "malformed_request");
    }
    for method in ["OPTIONS", "TRACE", "CONNECT", "PROPFIND", "DELETE"] {
        ask(&jeton, method, "/a/b").bearer(&key.key).send().expect_problem(403, "endpoint_not_listed");
    }
}

#[both_databases]
fn what_the_table_does_not_list_is_refused(jeton: Jeton) {
    let tenant = jeton.tenant();
    let key = tenant.api_key(["a:b"]);
    let answer = with_key(&jeton, &key, "GET", "/anything");
    answer.expect_problem(403, "endpoint_not_listed");
    ask(&jeton, "GET", "/anything").tenant(&tenant.id).send().expect_problem(401, "invalid_api_key");
    let unknown = ask(&jeton, "GET", "/anything").bearer(&format!("jtn_live_{}", "0".repeat(32)));
    unknown.tenant(&tenant.id).send().expect_problem(401, "invalid_api_key");
}

#[both_databases]
fn a_refusal_is_repeated_in_headers_for_proxies_that_drop_bodies(jeton: Jeton) {
    let jeton = jeton.with("profile", "engagetrack");
    let tenant = jeton.tenant();
    let answer = ask(&jeton, "GET", &format!("/api/v1/organizations/{}/sites", tenant.id)).bearer("nonsense").send();
    let answer = answer.expect_problem(401, "invalid_api_key");
    assert_eq!(answer.header("x-auth-status"), Some("401"));
    assert_eq!(answer.header("x-auth-problem").map(str::as_bytes), Some(&*answer.body));
    let elsewhere = jeton.post("/api/v1/auth/exchange").tenant(&tenant.id).send();
    assert_eq!(elsewhere.header("x-auth-problem"), None, "only where a proxy asks");
}

#[both_databases]
fn only_a_trusted_proxy_may_ask(jeton: Jeton) {
    let jeton = jeton.with("server.bind", "0.0.0.0:0");
    let key = jeton.tenant().api_key([]);
    let port = jeton.client().address().rsplit(':').next().unwrap().to_owned();
    let Some(own) = own_address() else {
        eprintln!("!!! this machine has no address but loopback: THE REFUSAL OF A STRANGE PEER IS NOT TESTED !!!");
        return;
    };
    let outside = crate::harness::Client::new(&format!("{own}:{port}"));
    let ask = |client: &crate::harness::Client| {
        let request = client.get(PATH).header("X-Original-Method", "GET").header("X-Original-URI", "/x");
        request.bearer(&key.key).tenant(&key.tenant_id).send()
    };
    ask(&outside).expect_problem(403, "ip_not_allowed");
    let inside = crate::harness::Client::new(&format!("127.0.0.1:{port}"));
    ask(&inside).expect_problem(403, "endpoint_not_listed");
}

/// An address of this machine that is not loopback, where it has one; nothing is sent.
fn own_address() -> Option<std::net::IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

#[both_databases]
fn a_request_has_one_credential(jeton: Jeton) {
    let jeton = jeton.with("profile", "optimove");
    let tenant = jeton.tenant();
    let key = tenant.api_key_with(json!({"access_type": "admin", "contact_email": "ada@example.com"}));
    let ask = || ask(&jeton, "GET", "/current/general");
    expect_admitted(ask().header("X-API-Key", &key.key).send());
    ask().header("X-API-Key", &key.key).bearer(&key.key).send().expect_problem(400, "malformed_request");
    ask().header("X-API-Key", &key.key).header("X-API-Key", "x").send().expect_problem(400, "malformed_request");
    ask().bearer(&key.key).send().expect_problem(401, "invalid_api_key");
    ask().basic(&key.id, &key.key).send().expect_problem(401, "invalid_api_key");
    ask().header("Authorization", "Token x").send().expect_problem(401, "invalid_api_key");
    ask().header("Authorization", "nonsense").send().expect_problem(401, "invalid_api_key");
    ask().send().expect_problem(401, "invalid_api_key");
}

#[both_databases]
fn a_token_of_ours_is_narrowed_while_what_it_rests_on_lives(jeton: Jeton) {
    let jeton = jeton.with("profile", "engium");
    let tenant = jeton.tenant();
    let key = tenant.api_key(["bookings:read", "messages:read"]);
    let session = tenant.user("member").session();
    let get = |token: &str| ask(&jeton, "GET", "/api/v1/bookings").bearer(token).tenant(&tenant.id).send();
    let token = key.token();
    let (_, jwt) = expect_admitted(get(&token));
    jwt.verify(&jeton.jwks());
    let given = Jwt::parse(&token);
    for same in ["iss", "sub", "aud", "exp", "iat", "client_id", "tenant_id", "environment"] {
        assert_eq!(jwt.claims[same], given.claims[same], "{same}");
    }
    assert_eq!((given.text("scope"), jwt.text("scope")), ("bookings:read messages:read", "bookings:read"));
    assert_ne!(jwt.text("jti"), given.text("jti"));
    let (answer, jwt) = expect_admitted(get(&session.access_token));
    assert_eq!((jwt.text("sid"), jwt.text("scope")), (&*session.id(), "bookings:read"));
    assert_eq!(answer.header("x-auth-subject"), Some(jwt.text("sub")));
    assert_eq!(answer.header("x-auth-scope"), Some("bookings:read"));
    // The upstream of an administrator cannot manage the tenant with what it gets.
    let (answer, _) = expect_admitted(get(tenant.admin().token()));
    let upstream = answer.header("authorization").unwrap().to_owned();
    let managing = jeton.get(tenant.path("api-keys")).header("Authorization", &upstream).send();
    managing.expect_problem(403, "insufficient_scope");
    let other = jeton.tenant();
    let elsewhere = ask(&jeton, "GET", "/api/v1/bookings").bearer(&token).tenant(&other.id).send();
    elsewhere.expect_problem(403, "tenant_mismatch");

    tenant.admin().revoke(&key).expect_status(204);
    get(&token).expect_problem(401, "invalid_token");
    session.logout().expect_status(204);
    get(&session.access_token).expect_problem(401, "invalid_token");
    get("a.b.c").expect_problem(401, "invalid_token");
    get(&session.refresh_token).expect_problem(401, "invalid_api_key");
}

/// Whoever finds the token of an upstream must not end its user's sessions with it (ADR 8).
#[both_databases]
fn a_token_that_was_narrowed_opens_nothing_of_the_account(jeton: Jeton) {
    let jeton = jeton.with("profile", "engium");
    let tenant = jeton.tenant();
    let user = tenant.user("member");
    let (session, elsewhere) = (user.session(), user.session());
    let pass = |token: &str| {
        let answer = ask(&jeton, "GET", "/api/v1/bookings").bearer(token).tenant(&tenant.id).send();
        let token = answer.header("authorization").map(|value| value.trim_start_matches("Bearer ").to_owned());
        (expect_admitted(answer).1, token.unwrap())
    };
    let refresh = |session: &Session, scope: &str| {
        let form = [("grant_type", "refresh_token"), ("refresh_token", &*session.refresh_token), ("scope", scope)];
        Session::of(&jeton, &jeton.post("/oauth2/token").form(&form).expect_tokens())
    };
    let (jwt, for_upstream) = pass(&session.access_token);
    assert_eq!(jwt.claims["narrowed"], true);
    let (_, again) = pass(&for_upstream);
    let narrowed = refresh(&session, "bookings:read");
    let (_, of_narrowed) = pass(&narrowed.access_token);
    let calls = [
        ("GET", "/api/v1/auth/me".to_owned()),
        ("GET", "/api/v1/auth/sessions".to_owned()),
        ("DELETE", format!("/api/v1/auth/sessions/{}", elsewhere.id())),
        ("POST", "/api/v1/auth/password".to_owned()),
        ("POST", "/api/v1/auth/logout-all".to_owned()),
    ];
    for token in [&for_upstream, &again, &narrowed.access_token, &of_narrowed] {
        for (method, path) in &calls {
            let answer = jeton.client().call(method, path).bearer(token).send();
            answer.expect_problem(403, "access_type_not_allowed");
        }
    }
    elsewhere.call("GET", "/api/v1/auth/me").send().expect_status(200);
    let refused = || jeton.audit().into_iter().filter(|row| row.action == "session.refused").collect::<Vec<_>>();
    until("it is recorded, once a minute", || refused().len() == 1);
    assert_eq!(refused()[0].target, Some(format!("session:{}", session.id())));

    // A scope that leaves nothing away narrows nothing, and the next refresh widens as ever.
    let all = Jwt::parse(&elsewhere.access_token).text("scope").to_owned();
    for whole in [refresh(&elsewhere, &all), narrowed.refreshed()] {
        assert_eq!(Jwt::parse(&whole.access_token).claims.get("narrowed"), None);
        whole.call("GET", "/api/v1/auth/me").send().expect_status(200);
    }
    // What manages goes by its scope.
    let managing = refresh(&tenant.admin().session(), "users:read");
    managing.call("GET", tenant.path("users")).send().expect_status(200);
    managing.call("GET", "/api/v1/auth/me").send().expect_problem(403, "access_type_not_allowed");
    let asked = tenant.admin().call("POST", "/oauth2/introspect").form(&[("token", &*managing.access_token)]);
    assert_eq!(asked.expect_status(200).json()["narrowed"], true);
}

#[both_databases]
fn access_types_bind_keys_their_tokens_and_users(jeton: Jeton) {
    let jeton = with_profile(jeton, PROFILE);
    let tenant = jeton.tenant();
    let wide = tenant.api_key_with(json!({"access_type": "wide", "scopes": ["a:read"]}));
    let narrow = tenant.api_key_with(json!({"access_type": "narrow", "scopes": ["a:read"]}));
    let member = tenant.user("member").session();
    let post = |credential: &str| ask(&jeton, "POST", "/a/7").bearer(credential).send();
    let (_, jwt) = expect_admitted(post(&wide.key));
    assert_eq!((jwt.text("access_type"), jwt.text("scope")), ("wide", ""), "no scope is needed, so none is given");
    expect_admitted(post(&wide.token()));
    post(&narrow.key).expect_problem(403, "access_type_not_allowed");
    post(&narrow.token()).expect_problem(403, "access_type_not_allowed");
    post(&member.access_token).expect_problem(403, "access_type_not_allowed");
    let get = |credential: &str, path| ask(&jeton, "GET", path).bearer(credential).send();
    expect_admitted(get(&member.access_token, "/a/7"));
    expect_admitted(get(&member.access_token, "/open"));
    get(&tenant.admin().session().access_token, "/a/7").expect_problem(403, "insufficient_scope");
}

#[both_databases]
fn a_checksum_refuses_typing_errors_without_the_database(jeton: Jeton) {
    let jeton = with_profile(jeton, PROFILE);
    let key = jeton.tenant().api_key_with(json!({"access_type": "narrow", "scopes": ["a:read"]}));
    assert!(key.key.starts_with("acme_live_") && key.key.len() == "acme_live_".len() + 28, "{}", key.key);
    expect_admitted(ask(&jeton, "GET", "/a").bearer(&key.key).send());
    let last = if key.key.ends_with('x') { "y" } else { "x" };
    let typed = format!("{}{last}", &key.key[..key.key.len() - 1]);
    jeton.execute("ALTER TABLE api_keys RENAME TO gone");
    let asked = ask(&jeton, "GET", "/a").bearer(&key.key).send();
    assert!(asked.status >= 500, "a sound key is looked up: {}", asked.told());
    ask(&jeton, "GET", "/a").bearer(&typed).send().expect_problem(401, "invalid_api_key");
}

#[both_databases]
fn old_ways_are_marked_and_end(jeton: Jeton) {
    let jeton = with_profile(jeton, PROFILE);
    let tenant = jeton.tenant();
    let key = tenant.api_key_with(json!({"access_type": "narrow", "scopes": ["a:read"]}));
    let (answer, _) = expect_admitted(ask(&jeton, "GET", &format!("/a/b?x=1&api_key={}", key.key)).send());
    assert_eq!(answer.header("deprecation"), Some("@1585699200"));
    assert_eq!(answer.header("sunset"), Some("Thu, 01 Jan 2099 00:00:00 GMT"));
    let (answer, _) = expect_admitted(ask(&jeton, "GET", "/a/b").bearer(&key.key).send());
    assert_eq!(answer.header("deprecation"), None);
    let twice = format!("/a/b?api_key={0}&api_key={0}", key.key);
    ask(&jeton, "GET", &twice).send().expect_problem(400, "malformed_request");
    let both = ask(&jeton, "GET", &format!("/a/b?api_key={}", key.key)).bearer(&key.key);
    both.send().expect_problem(400, "malformed_request");
    // The sunset of this member has passed; that of the other has not, and Envoy sends bodies along.
    let in_body = |member: &str| json!({member: key.key, "x": 1});
    jeton.post(format!("{PATH}/a/7")).json(in_body("old_key")).expect_problem(401, "invalid_api_key");
    let refused = jeton.post(format!("{PATH}/a/7")).json(in_body("api_key"));
    refused.expect_problem(403, "access_type_not_allowed");
    let wide = tenant.api_key_with(json!({"access_type": "wide"}));
    let (answer, _) = expect_admitted(jeton.post(format!("{PATH}/a/7")).json(json!({"api_key": wide.key})));
    assert_eq!(answer.header("deprecation"), Some("@1585699200"));
    let twice = format!(r#"{{"api_key":"x","api_key":"{}"}}"#, wide.key);
    jeton.post(format!("{PATH}/a/7")).body("application/json", twice).expect_problem(400, "malformed_request");
    let large = json!({"api_key": wide.key, "x": "x".repeat(64 * 1024)});
    jeton.post(format!("{PATH}/a/7")).json(large).expect_problem(413, "payload_too_large");
    jeton.advance(Duration::from_hours(24 * 365 * 80));
    let late = ask(&jeton, "GET", &format!("/a/b?api_key={}", key.key)).send();
    late.expect_problem(401, "invalid_api_key");
}

#[both_databases]
fn a_revoked_key_is_refused_at_once(jeton: Jeton) {
    let jeton = jeton.with("profile", "engium");
    let tenant = jeton.tenant();
    let key = tenant.api_key(["bookings:read"]);
    expect_admitted(with_key(&jeton, &key, "GET", "/api/v1/bookings"));
    tenant.admin().revoke(&key).expect_status(204);
    with_key(&jeton, &key, "GET", "/api/v1/bookings").expect_problem(401, "invalid_api_key");
}

#[both_databases]
fn allowed_addresses_are_those_behind_trusted_proxies(jeton: Jeton) {
    let jeton = jeton.with("profile", "engium").with("server.trusted_proxies", "127.0.0.1");
    let tenant = jeton.tenant();
    let key =
        tenant.api_key_with(json!({"scopes": ["bookings:read"], "allowed_ips": ["203.0.113.0/24", "2001:db8::/32"]}));
    let from = |forwarded: &str| {
        let request = ask(&jeton, "GET", "/api/v1/bookings").bearer(&key.key).tenant(&tenant.id);
        request.header("X-Forwarded-For", forwarded).send()
    };
    for inside in ["203.0.113.7", "::ffff:203.0.113.7", "2001:db8::7", "198.51.100.1, 203.0.113.7"] {
        expect_admitted(from(inside));
    }
    for outside in ["198.51.100.1", "203.0.113.7, 198.51.100.1", "2001:db9::1", "nonsense"] {
        from(outside).expect_problem(403, "ip_not_allowed");
    }
    let token = ask(&jeton, "GET", "/api/v1/bookings").header("X-Forwarded-For", "203.0.113.7");
    let (_, jwt) = expect_admitted(token.bearer(&key.key).tenant(&tenant.id).send());
    assert_eq!(jwt.text("scope"), "bookings:read");
    let token = key.ask().header("X-Forwarded-For", "203.0.113.7").send().expect_tokens().text("access_token");
    let abroad = ask(&jeton, "GET", "/api/v1/bookings").bearer(&token).tenant(&tenant.id);
    abroad.header("X-Forwarded-For", "198.51.100.1").send().expect_problem(403, "ip_not_allowed");
}

#[both_databases]
fn refusals_of_a_key_and_of_its_tokens_are_counted_and_told(jeton: Jeton) {
    let jeton = with_profile(jeton, PROFILE);
    let tenant = jeton.tenant();
    let key = tenant.api_key_with(json!({"access_type": "narrow", "scopes": ["a:read"]}));
    let token = key.token();
    for credential in [&key.key, &token] {
        ask(&jeton, "POST", "/a/7").bearer(credential).send().expect_problem(403, "access_type_not_allowed");
    }
    jeton.restart();
    let usage = tenant.admin().get(format!("{}/usage", key.path())).expect_status(200).json();
    assert_eq!(usage["refusals"], json!({"access_type_not_allowed": 2}), "{usage}");
    assert_eq!(jeton.audited("access_type_not_allowed"), 2);
}

/// As of the key itself.
#[both_databases]
fn a_token_whose_tenant_is_suspended_is_counted_and_told(jeton: Jeton) {
    let jeton = with_profile(jeton, PROFILE);
    let tenant = jeton.tenant();
    let key = tenant.api_key_with(json!({"access_type": "wide", "scopes": ["a:read", "api-keys:read"]}));
    let token = key.token();
    tenant.suspend();
    ask(&jeton, "GET", "/a/7").bearer(&token).send().expect_problem(403, "tenant_suspended");
    jeton.get(tenant.path("api-keys")).bearer(&token).send().expect_problem(403, "tenant_suspended");
    let asked = jeton.post("/oauth2/introspect").bearer(&token).form(&[("token", "x")]);
    asked.expect_oauth_error(401, "invalid_client");
    let rows = || jeton.audit().into_iter().filter(|row| row.outcome == "tenant_suspended").collect::<Vec<_>>();
    until("they are recorded", || rows().len() == 3);
    let name = format!("api-key:{}", key.id);
    assert!(rows().iter().all(|row| row.action == "api_key.refused" && row.actor == name), "{:#?}", rows());
    jeton.restart();
    jeton.cli(["tenant", "resume", &tenant.id]).expect_code(0);
    let usage = tenant.admin().session().call("GET", format!("{}/usage", key.path())).send().expect_status(200);
    assert_eq!(usage.json()["refusals"], json!({"tenant_suspended": 3}));
    expect_admitted(ask(&jeton, "GET", "/a/7").bearer(&token).send());
}

#[both_databases]
fn a_token_for_the_upstream_ends_with_what_it_came_from(jeton: Jeton) {
    let jeton = jeton.with("profile", "engium").with("tokens.access_ttl", "24h");
    let tenant = jeton.tenant();
    let session = tenant.user("member").session();
    let key = tenant.api_key(["bookings:read"]);
    let token = key.token();
    let get = |token: &str| ask(&jeton, "GET", "/api/v1/bookings").bearer(token).tenant(&tenant.id).send();
    let left = |token: &str| {
        let (_, jwt) = expect_admitted(get(token));
        assert!(jwt.number("exp") <= Jwt::parse(token).number("exp"), "no longer than what was brought");
        jwt.number("exp") - jeton.now()
    };
    assert!(left(&session.access_token) > 86_000);
    assert!(left(&token) > 850);
    jeton.set("tokens.access_ttl", "5m");
    jeton.restart();
    assert!(left(&session.access_token) <= 300, "no longer than any of its kind today");
    tenant.admin().rotate(&key, json!({"overlap_seconds": 30})).expect_status(201);
    assert!(left(&token) <= 30, "no longer than its key");
}

#[both_databases]
fn a_token_of_a_revoked_signing_key_is_changed_for_no_other_on_any_server(jeton: Jeton) {
    let jeton = jeton.with("profile", "engium");
    let tenant = jeton.tenant();
    let session = tenant.user("member").session();
    let (_server, second) = jeton.second();
    let get = |client: &crate::harness::Client| {
        let request = client.get(PATH).header("X-Original-Method", "GET").header("X-Original-URI", "/api/v1/bookings");
        request.bearer(&session.access_token).tenant(&tenant.id).send()
    };
    expect_admitted(get(&second));
    let kid = Jwt::parse(&session.access_token).header["kid"].as_str().unwrap().to_owned();
    jeton.cli(["signing-key", "revoke", &kid]).expect_code(0);
    // At once, whatever the servers have in memory.
    for client in [&second, &jeton.client()] {
        get(client).expect_problem(401, "invalid_token");
    }
}
