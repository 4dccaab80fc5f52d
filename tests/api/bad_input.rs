//! What no client should send, and what it is told (contract 4 and 5): never a 5xx, never a panic.

use jeton_test_macros::both_databases;
use serde_json::json;

use crate::harness::{Answer, Jeton};

const LOGIN: &str = "/api/v1/auth/login";

fn login(jeton: &Jeton, body: impl Into<Vec<u8>>) -> Answer {
    jeton.post(LOGIN).body("application/json", body)
}

#[both_databases]
fn what_is_no_json_is_malformed(jeton: Jeton) {
    let deep = "[".repeat(30_000);
    let deep_object = r#"{"email":"#.repeat(6_000);
    for broken in [
        "",
        " ",
        "{",
        "{\"email\"",
        "{\"email\":}",
        "{} {}",
        "{}x",
        "{'email':1}",
        "{\"email\":NaN}",
        "{\"a\":01}",
        "nul",
        "\u{feff}{",
        "{\"email\":\"\\ud800\"}",
        "{\"email\":\"a\nb\"}",
        "{,}",
        "{\"a\":1,}",
        &deep,
        &deep_object,
    ] {
        login(&jeton, broken).expect_problem(400, "malformed_request");
    }
}

#[both_databases]
fn what_is_no_utf_8_is_malformed(jeton: Jeton) {
    for bytes in
        [&b"{\"email\":\"\xff\xfe\",\"password\":\"x\"}"[..], b"\xff\xfe{\x00}\x00", b"{\"email\":\"\xc3\"}", b"\x80"]
    {
        login(&jeton, bytes).expect_problem(400, "malformed_request");
    }
}

#[both_databases]
fn json_of_another_kind_is_not_valid(jeton: Jeton) {
    for other in ["[]", "null", "7", "\"text\"", "true", "[{\"email\":\"a@example.com\",\"password\":\"x\"}]"] {
        login(&jeton, other).expect_problem(422, "validation_failed");
    }
}

#[both_databases]
fn a_member_twice_is_refused(jeton: Jeton) {
    let user = jeton.tenant().user("member");
    let twice = format!(r#"{{"email":"{0}","password":"x","password":"{1}"}}"#, user.email, user.password);
    let answer = login(&jeton, twice);
    assert!([400, 422].contains(&answer.status), "{}", answer.told());
}

#[both_databases]
fn an_unknown_member_is_named(jeton: Jeton) {
    let tenant = jeton.tenant();
    let admin = tenant.admin();
    admin.create_api_key(json!({"scope": "a:b"})).expect_field("scope");
    admin.create_api_key(json!({"NAME": "x"})).expect_field("NAME");
    let answer = jeton.post("/api/v1/auth/refresh").json(json!({"refresh_token": "x", "tenant_id": tenant.id}));
    answer.expect_field("tenant_id");
    let body = json!({"current_password": "x", "new_password": "y", "user_id": "z"});
    admin.post("/api/v1/auth/password", body).expect_field("user_id");
}

#[both_databases]
fn a_body_has_its_content_type(jeton: Jeton) {
    let body = br#"{"email":"a@example.com","password":"x"}"#;
    for other in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/xml",
        "application/jsonp",
        "json",
        "multipart/form-data",
    ] {
        jeton.post(LOGIN).body(other, *body).expect_problem(415, "unsupported_media_type");
    }
    for right in ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=UTF-8"] {
        jeton.post(LOGIN).body(right, *body).expect_problem(401, "invalid_credentials");
    }
    let none = "POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}";
    let answer = jeton.client().raw(none.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 415"), "{answer}");
}

#[both_databases]
fn a_body_has_at_most_64_kib(jeton: Jeton) {
    let sized = |size: usize| {
        let frame = r#"{"email":"a@example.com","password":""}"#.len();
        format!(r#"{{"email":"a@example.com","password":"{}"}}"#, "x".repeat(size - frame))
    };
    let fits = login(&jeton, sized(64 * 1024));
    assert!([401, 422].contains(&fits.status), "64 KiB fit: {}", fits.status);
    login(&jeton, sized(64 * 1024 + 1)).expect_problem(413, "payload_too_large");
    let form =
        jeton.post("/oauth2/token").form(&[("grant_type", "refresh_token"), ("refresh_token", &"x".repeat(70_000))]);
    assert_eq!(form.status, 413, "{}", form.status);

    let mut chunked =
        b"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
            .to_vec();
    for _ in 0..70 {
        chunked.extend_from_slice(b"400\r\n");
        chunked.extend_from_slice(&[b' '; 1024]);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let answer = jeton.client().raw(&chunked);
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let claimed = "POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n{";
    let answer = jeton.client().raw(claimed.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 413") || answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[both_databases]
fn strange_characters_are_refused_or_kept_but_never_break(jeton: Jeton) {
    let tenant = jeton.tenant();
    let admin = tenant.admin();
    for strange in
        ["\u{0}", "a\u{0}b", "\u{1b}[31m", "a\nb", "\u{202e}abc", "\u{feff}", "' OR 1=1 --", "<script>", "%00", "𝕊"]
    {
        let made = admin.create_api_key(json!({"name": strange}));
        assert!([201, 422].contains(&made.status), "{strange:?}: {}", made.told());
        if made.status == 201 {
            assert_eq!(made.text("name"), strange);
        }
        for body in [
            json!({"email": format!("{strange}@example.com"), "password": "x"}),
            json!({"email": "a@example.com", "password": strange}),
        ] {
            let answer = jeton.post(LOGIN).json(body);
            assert!([401, 422].contains(&answer.status), "{strange:?}: {}", answer.told());
        }
        let answer = jeton.post("/api/v1/auth/refresh").json(json!({"refresh_token": strange}));
        assert!([401, 422].contains(&answer.status), "{strange:?}: {}", answer.told());
    }
    let control = admin.create_api_key(json!({"name": "a\u{0}b"}));
    control.expect_field("name");
}

#[both_databases]
fn an_unknown_path_is_not_found(jeton: Jeton) {
    for path in [
        "/nowhere",
        "/api",
        "/api/v1",
        "/api/v2/auth/login",
        "/api/v1/auth/login/",
        "//healthz",
        "/healthz/../x",
        "/%2e%2e/etc/passwd",
        "/.git/config",
    ] {
        jeton.get(path).send().expect_problem(404, "not_found");
    }
    for request in ["GET /%00 HTTP/1.1", "GET /%zz HTTP/1.1", "GET /\u{e9} HTTP/1.1", "GET /a%0d%0ab HTTP/1.1"] {
        let answer = jeton.client().raw(format!("{request}\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes());
        assert!(answer.starts_with("HTTP/1.1 404") || answer.starts_with("HTTP/1.1 400"), "{request}: {answer}");
    }
}

#[both_databases]
fn a_known_path_tells_its_methods(jeton: Jeton) {
    for (method, path, allowed) in [
        ("GET", LOGIN, "POST"),
        ("PUT", LOGIN, "POST"),
        ("DELETE", "/api/v1/auth/me", "GET"),
        ("POST", "/.well-known/jwks.json", "GET"),
        ("POST", "/healthz", "GET"),
        ("GET", "/oauth2/token", "POST"),
        ("GET", "/api/v1/auth/exchange", "POST"),
        ("TRACE", LOGIN, "POST"),
    ] {
        let answer = jeton.client().call(method, path).send().expect_problem(405, "method_not_allowed");
        let allow = answer.header("allow").unwrap_or_default();
        assert!(allow.split(',').any(|one| one.trim() == allowed), "{method} {path}: Allow: {allow}");
    }
}

#[both_databases]
fn a_header_that_says_two_things_is_refused(jeton: Jeton) {
    let user = jeton.tenant().user("member");
    let body = json!({"email": user.email, "password": user.password});
    for (name, values) in [
        ("X-Tenant-ID", [user.tenant_id.as_str(), "0199b0a0-0000-7000-8000-000000000000"]),
        ("Content-Type", ["application/json", "text/plain"]),
    ] {
        let call = jeton.post(LOGIN).header(name, values[0]).header(name, values[1]);
        let call = if name == "Content-Type" { call } else { call.header("Content-Type", "application/json") };
        call.with_body(body.to_string()).send().expect_problem(400, "malformed_request");
    }
    let token = format!("Bearer {}", user.token());
    let call = jeton.get("/api/v1/auth/me").header("Authorization", &token).header("Authorization", &token);
    call.send().expect_problem(400, "malformed_request");
}

#[both_databases]
fn no_trace(jeton: Jeton) {
    for path in ["/", "/healthz", LOGIN, "/nowhere"] {
        let answer = jeton.client().call("TRACE", path).header("X-Secret", "do-not-echo").send();
        assert!((400..500).contains(&answer.status), "{}", answer.told());
        assert!(!answer.told().contains("do-not-echo"));
    }
}

#[both_databases]
fn floods_of_headers_hurt_nobody(jeton: Jeton) {
    let client = jeton.client();
    let head = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
    let many = "X-Many: y\r\n".repeat(5000);
    let long = format!("X-Long: {}\r\n", "y".repeat(1_000_000));
    let path = format!("GET /{} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", "a".repeat(200_000));
    for request in [format!("{head}{many}\r\n"), format!("{head}{long}\r\n"), format!("{path}\r\n")] {
        let answer = client.raw(request.as_bytes());
        let status = answer.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok());
        assert!(status.is_none_or(|status| (400..500).contains(&status)), "{answer}");
    }
    jeton.get("/healthz").send().expect_status(200);
}

#[both_databases]
fn requests_that_are_two_things_at_once_are_refused(jeton: Jeton) {
    let client = jeton.client();
    let head = "POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n";
    for framing in [
        "Content-Length: 2\r\nContent-Length: 40\r\n\r\n{}",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Content-Length: -1\r\n\r\n{}",
        "Content-Length: +2\r\n\r\n{}",
        "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        "Bad Header: x\r\nContent-Length: 2\r\n\r\n{}",
    ] {
        let answer = client.raw(format!("{head}{framing}").as_bytes());
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{framing:?}: {answer}");
    }
    for nonsense in [
        "\r\n\r\n",
        "GET\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\u{0}",
        "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
    ] {
        let answer = client.raw(nonsense.as_bytes());
        assert!(!answer.starts_with("HTTP/1.1 5"), "{nonsense:?}: {answer}");
    }
    jeton.get("/healthz").send().expect_status(200);
}

#[both_databases]
fn extreme_numbers_and_times_break_nothing(jeton: Jeton) {
    let tenant = jeton.tenant();
    let admin = tenant.admin();
    let key = tenant.api_key([]);
    let expect_sense = |answer: &Answer| assert!(answer.status < 500, "{}", answer.told());
    for time in [
        "9999-12-31T23:59:59Z",
        "9999-12-31T23:59:59.999999999Z",
        "2026-12-31T23:59:60Z",
        "+10000-01-01T00:00:00Z",
        "292277-01-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "-0001-01-01T00:00:00Z",
        "2999-02-30T00:00:00Z",
    ] {
        expect_sense(&admin.create_api_key(json!({"expires_at": time})));
        let query = url::form_urlencoded::byte_serialize(time.as_bytes()).collect::<String>();
        for bound in ["since", "until"] {
            expect_sense(&admin.get(tenant.path(&format!("audit-events?{bound}={query}"))));
        }
    }
    for number in
        ["0", "-1", "9223372036854775807", "-9223372036854775808", "99999999999999999999", "1e30", "1e400", "0.1"]
    {
        let body = format!(r#"{{"expires_in":{number}}}"#);
        let answer = key.ask().body("application/json", body);
        assert!([400, 422].contains(&answer.status), "{number}: {}", answer.told());
        let body = format!(r#"{{"overlap_seconds":{number}}}"#);
        expect_sense(
            &admin.call("POST", format!("{}/rotate", tenant.api_key([]).path())).body("application/json", body),
        );
        expect_sense(&admin.get(tenant.path(&format!("api-keys?limit={number}"))));
    }
    for key in admin.get(tenant.path("api-keys?limit=100")).expect_status(200).items() {
        admin.get(tenant.path(&format!("api-keys/{}", key["id"].as_str().unwrap()))).expect_status(200);
    }
    key.exchange().expect_tokens();
}

#[both_databases]
fn an_address_with_capitals_beyond_ascii_is_one_address(jeton: Jeton) {
    let tenant = jeton.tenant();
    let invite = |email: &str| {
        tenant.admin().post(
            tenant.path("users"),
            json!({"email": email, "role": "member", "password": "another-Meadow-2209-kettle"}),
        )
    };
    let small = invite("ärger@example.com");
    assert!([201, 422].contains(&small.status), "{}", small.told());
    if small.status == 201 {
        invite("ÄRGER@example.com").expect_problem(409, "email_taken");
    }
}

#[both_databases]
fn a_problem_tells_nothing_internal(jeton: Jeton) {
    let tenant = jeton.tenant();
    for answer in [
        login(&jeton, "{"),
        login(&jeton, r#"{"email":7}"#),
        tenant.admin().get(tenant.path("api-keys/x")),
        tenant.admin().get(tenant.path("api-keys?cursor=%27")),
        tenant.admin().create_api_key(json!({"expires_at": "x"})),
    ] {
        let told = answer.told();
        for internal in ["src/", "panicked", "diesel", "serde", "struct ", "SELECT", "sqlite", "line 1 column"] {
            assert!(!told.contains(internal), "`{internal}` in {told}");
        }
    }
}
