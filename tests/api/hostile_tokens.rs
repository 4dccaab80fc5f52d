//! JWTs that somebody made up or tampered with, on our own endpoints (security rules 1 to 5).

use std::{net::TcpListener, time::Duration};

use jeton_test_macros::both_databases;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::harness::{Jeton, Jwt, Session, base64url};

#[track_caller]
fn expect_refused(jeton: &Jeton, token: &str) {
    jeton.get("/api/v1/auth/me").bearer(token).send().expect_problem(401, "invalid_token");
}

fn session(jeton: &Jeton) -> Session {
    let session = jeton.tenant().user("admin").session();
    session.call("GET", "/api/v1/auth/me").send().expect_status(200);
    session
}

/// The parts of a good token: header, claims, signature.
fn parts(token: &str) -> [&str; 3] {
    let mut parts = token.split('.');
    [(); 3].map(|()| parts.next().expect("three parts"))
}

fn encoded(json: &Value) -> String {
    base64url(json.to_string().as_bytes())
}

#[both_databases]
fn a_token_without_a_signature_is_refused(jeton: Jeton) {
    let session = session(&jeton);
    let [header, claims, signature] = parts(&session.access_token);
    let kid = &Jwt::parse(&session.access_token).header["kid"];
    for algorithm in ["none", "None", "NONE", "nOnE", ""] {
        let unsigned = encoded(&json!({"alg": algorithm, "typ": "at+jwt", "kid": kid}));
        expect_refused(&jeton, &format!("{unsigned}.{claims}."));
        expect_refused(&jeton, &format!("{unsigned}.{claims}.{signature}"));
    }
    let no_algorithm = encoded(&json!({"typ": "at+jwt", "kid": kid}));
    for token in
        [format!("{no_algorithm}.{claims}.{signature}"), format!("{header}.{claims}."), format!("{header}.{claims}")]
    {
        expect_refused(&jeton, &token);
    }
}

#[both_databases]
fn a_public_key_is_no_shared_secret(jeton: Jeton) {
    let session = session(&jeton);
    let token = Jwt::parse(&session.access_token);
    let jwk = &jeton.jwks()["keys"][0];
    let raw = |member: &str| data_encoding::BASE64URL_NOPAD.decode(jwk[member].as_str().unwrap().as_bytes()).unwrap();
    let point = [vec![4], raw("x"), raw("y")].concat();
    let spki =
        [&data_encoding::HEXLOWER.decode(b"3059301306072a8648ce3d020106082a8648ce3d030107034200").unwrap(), &point[..]]
            .concat();
    let pem =
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", data_encoding::BASE64.encode(&spki));

    for secret in [point, spki, pem.into_bytes(), jwk.to_string().into_bytes(), Vec::new()] {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let mut header = Header::new(algorithm);
            header.typ = Some("at+jwt".to_owned());
            header.kid = token.header["kid"].as_str().map(ToOwned::to_owned);
            let forged = jsonwebtoken::encode(&header, &token.claims, &EncodingKey::from_secret(&secret)).unwrap();
            expect_refused(&jeton, &forged);
        }
    }
}

#[both_databases]
fn a_key_that_the_token_brings_along_is_not_believed(jeton: Jeton) {
    let session = session(&jeton);
    let token = Jwt::parse(&session.access_token);
    let own = OwnKey::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());

    for kid in [token.header["kid"].clone(), own.jwk["kid"].clone(), Value::Null] {
        for lure in [json!({"jwk": own.jwk}), json!({"jku": url}), json!({"x5u": url}), json!({})] {
            let mut header = json!({"alg": "ES256", "typ": "at+jwt", "kid": kid});
            header.as_object_mut().unwrap().extend(lure.as_object().unwrap().clone());
            expect_refused(&jeton, &own.sign(&header, &token.claims));
        }
    }
    std::thread::sleep(Duration::from_millis(100));
    assert!(listener.accept().is_err(), "no outbound request");
}

#[both_databases]
fn a_hostile_kid_does_nothing(jeton: Jeton) {
    let session = session(&jeton);
    let [_, claims, signature] = parts(&session.access_token);
    let own = OwnKey::new();
    for kid in [
        json!("../../../../etc/passwd"),
        json!("' OR '1'='1"),
        json!("x'; DROP TABLE users; --"),
        json!("k".repeat(10_000)),
        json!("\u{0}"),
        json!("\u{1F511}"),
        json!(""),
        json!(1),
        json!(["a"]),
        json!({"a": 1}),
        Value::Null,
    ] {
        let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": kid});
        expect_refused(&jeton, &format!("{}.{claims}.{signature}", encoded(&header)));
        expect_refused(&jeton, &own.sign(&header, &Jwt::parse(&session.access_token).claims));
    }
    session.call("GET", "/api/v1/auth/me").send().expect_status(200);
}

#[both_databases]
fn a_token_that_was_changed_is_refused(jeton: Jeton) {
    let session = session(&jeton);
    let token = Jwt::parse(&session.access_token);
    let [header, claims, signature] = parts(&session.access_token);
    for (claim, value) in [("scope", json!("tenants:write")), ("exp", json!(4_000_000_000_i64)), ("sub", json!("x"))] {
        let mut changed = token.claims.clone();
        changed[claim] = value;
        expect_refused(&jeton, &format!("{header}.{}.{signature}", encoded(&changed)));
    }
    for (member, value) in
        [("typ", json!("JWT")), ("typ", Value::Null), ("alg", json!("EdDSA")), ("alg", json!("RS256"))]
    {
        let mut changed = token.header.clone();
        changed[member] = value;
        expect_refused(&jeton, &format!("{}.{claims}.{signature}", encoded(&changed)));
    }
    for other in [base64url(&[0; 64]), base64url(&[0xff; 64]), base64url(&[0; 63]), "A".repeat(5000)] {
        expect_refused(&jeton, &format!("{header}.{claims}.{other}"));
    }
    let stranger = jeton.tenant().user("member").session();
    expect_refused(&jeton, &format!("{header}.{claims}.{}", parts(&stranger.access_token)[2]));
}

#[both_databases]
fn a_token_that_was_cut_or_padded_is_refused(jeton: Jeton) {
    let session = session(&jeton);
    let token = &session.access_token;
    let [header, claims, signature] = parts(token);
    for cut in
        [1, 2, 10, header.len(), header.len() + 1, token.len() - signature.len(), token.len() - 4, token.len() - 1]
    {
        expect_refused(&jeton, &token[..cut]);
    }
    for odd in [
        format!("{token}="),
        format!("{token}=="),
        format!("{token}A"),
        format!("{token}."),
        format!(".{token}"),
        format!("{token}.{signature}.{signature}"),
        format!("{header}..{signature}"),
        format!("{header}.{claims}.{signature} {signature}"),
        format!("{header}=.{claims}.{signature}"),
        format!("{header}.{claims}%00.{signature}"),
        "...".to_owned(),
        "..".to_owned(),
        "a.b.c".to_owned(),
        ".".repeat(4000),
        "A".repeat(8000),
    ] {
        expect_refused(&jeton, &odd);
    }
    if signature.contains('_') {
        expect_refused(&jeton, &token.replace('_', "/"));
    }
    for bytes in ["é.é.é", "\u{1F511}", "e\u{301}yJ.e.e"] {
        let request = format!(
            "GET /api/v1/auth/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {bytes}\r\n\r\n"
        );
        let answer = jeton.client().raw(request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 401") || answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    session.call("GET", "/api/v1/auth/me").send().expect_status(200);
}

#[both_databases]
fn a_token_of_another_issuer_or_audience_is_refused(jeton: Jeton) {
    let user = jeton.tenant().user("member");
    let session = user.session();
    session.call("GET", "/api/v1/auth/me").send().expect_status(200);

    jeton.set("server.public_url", "https://elsewhere.test");
    jeton.restart();
    expect_refused(&jeton, &session.access_token);
    jeton.set("server.public_url", "https://jeton.test");
    jeton.set("tokens.audience", "other");
    jeton.restart();
    expect_refused(&jeton, &session.access_token);
    jeton.set("tokens.audience", "api");
    jeton.restart();
    session.call("GET", "/api/v1/auth/me").send().expect_status(200);
}

#[both_databases]
fn a_token_of_another_server_is_refused(jeton: Jeton) {
    let session = Jeton::on_sqlite().tenant().user("admin").session();
    expect_refused(&jeton, &session.access_token);
}

/// A key pair of our own, such as anybody can make.
struct OwnKey {
    key: EncodingKey,
    jwk: Value,
}

impl OwnKey {
    fn new() -> Self {
        use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let point = pair.public_key().as_ref();
        let mut jwk = json!({"kty": "EC", "crv": "P-256", "x": base64url(&point[1..33]), "y": base64url(&point[33..])});
        jwk["kid"] = json!(crate::harness::thumbprint(&jwk));
        Self { key: EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref()), jwk }
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", encoded(header), encoded(claims));
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &self.key, Algorithm::ES256).unwrap();
        format!("{signed}.{signature}")
    }
}
