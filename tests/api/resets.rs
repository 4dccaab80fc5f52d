//! Clients that reset their connection: nobody guesses uncounted by going away (security 16, 25; ADR 16).

use std::{io::Write, net::TcpStream, time::Duration};

use jeton_test_macros::both_databases;
use serde_json::{Value, json};
use socket2::SockRef;

use crate::exhaustion::until;
use crate::harness::{Client, Jeton, Server};

const WRONG: &str = "not-the-right-password";
const LOGIN: &str = "/api/v1/auth/login";

#[both_databases]
fn a_login_counts_for_its_address_though_the_client_goes_away(jeton: Jeton) {
    let jeton = slow(jeton).with("login.address_failures", "3");
    jeton.start();
    for number in 1..=3 {
        let connection = send(&jeton, LOGIN, "", &stranger(number));
        until("the guess is counted for its account", || counted(&jeton) == 2 * number - 1);
        reset(connection);
        until("it is in the audit log", || jeton.rows("audit_events WHERE action = 'session.refused'") == number);
        assert_eq!(counted(&jeton), 2 * number, "for the account and for the address");
    }
    jeton.post(LOGIN).json(stranger(4)).expect_problem(429, "rate_limited");
}

#[both_databases]
fn a_change_of_the_password_counts_though_the_client_goes_away(jeton: Jeton) {
    let jeton = slow(jeton);
    let session = jeton.tenant().user("member").session();
    let body = json!({"current_password": WRONG, "new_password": "another-Meadow-2209-kettle"});
    let bearer = format!("Authorization: Bearer {}\r\n", session.access_token);
    let connection = send(&jeton, "/api/v1/auth/password", &bearer, &body);
    until("the guess is counted for its account", || counted(&jeton) == 1);
    reset(connection);
    until("it is counted for its address", || counted(&jeton) == 2);
    assert_eq!(jeton.audited("user.password_changed"), 1);
    session.refreshed();
}

/// The kernel takes a connection before the server does, and then knows no more whose it was.
#[both_databases]
fn a_request_from_nowhere_is_no_guess(jeton: Jeton) {
    jeton.start().server(|server| server.signal("STOP"));
    for number in 1..=8 {
        reset(send(&jeton, LOGIN, "", &stranger(number)));
    }
    jeton.server(|server| server.signal("CONT"));
    let metrics = Client::new(&jeton.server(|server: &Server| server.metrics.clone()));
    let refused = r#"jeton_http_requests_total{method="POST",route="/api/v1/auth/login",status="400"} 8"#;
    until("they are refused", || {
        String::from_utf8(metrics.get("/metrics").send().body).is_ok_and(|text| text.contains(refused))
    });
    assert_eq!((counted(&jeton), jeton.audited("session.refused")), (0, 0));
}

/// A hash takes so long that a client can go away meanwhile.
fn slow(jeton: Jeton) -> Jeton {
    jeton.with("password.argon2.memory_kib", "65536").with("password.argon2.iterations", "12")
}

fn stranger(number: i64) -> Value {
    json!({"email": format!("nobody-{number}@example.com"), "password": WRONG})
}

/// The failures of all accounts and addresses together.
fn counted(jeton: &Jeton) -> i64 {
    jeton.number("SELECT CAST(COALESCE(SUM(count), 0) AS BIGINT) AS number FROM login_failures")
}

fn send(jeton: &Jeton, path: &str, headers: &str, body: &Value) -> TcpStream {
    let (mut connection, body) = (TcpStream::connect(jeton.client().address()).unwrap(), body.to_string());
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: test\r\n{headers}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    connection.write_all(request.as_bytes()).unwrap();
    connection
}

/// RST instead of FIN.
fn reset(connection: TcpStream) {
    SockRef::from(&connection).set_linger(Some(Duration::ZERO)).unwrap();
    drop(connection);
}
