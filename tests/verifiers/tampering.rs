//! What an attacker does to a good token.

use aws_lc_rs::hmac;
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

/// The signature with one of its bits turned.
pub fn with_another_signature(token: &str) -> String {
    let [header, claims, signature] = parts(token);
    let mut bytes = BASE64URL_NOPAD.decode(signature.as_bytes()).expect("base64url");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    format!("{header}.{claims}.{}", BASE64URL_NOPAD.encode(&bytes))
}

/// The claims with a scope that was not granted.
pub fn with_more_scope(token: &str) -> String {
    let [header, claims, signature] = parts(token);
    let mut claims = decoded(claims);
    claims["scope"] = json!("goals:read goals:write");
    format!("{header}.{}.{signature}", encoded(&claims))
}

/// `alg: none`, which asks to be believed.
pub fn unsigned(token: &str) -> String {
    let [header, claims, _] = parts(token);
    format!("{}.{claims}.", with_algorithm(header, "none"))
}

/// `HS256`, with the published key for a secret.
pub fn signed_with_the_public_key(token: &str, jwks: &Value) -> String {
    let [header, claims, _] = parts(token);
    let signed = format!("{}.{claims}", with_algorithm(header, "HS256"));
    let key = &jwks["keys"][0];
    let public = ["n", "x"].iter().find_map(|member| key[*member].as_str()).expect("a public key");
    let secret = BASE64URL_NOPAD.decode(public.as_bytes()).expect("base64url");
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), signed.as_bytes());
    format!("{signed}.{}", BASE64URL_NOPAD.encode(signature.as_ref()))
}

fn with_algorithm(header: &str, algorithm: &str) -> String {
    let mut header = decoded(header);
    header["alg"] = json!(algorithm);
    encoded(&header)
}

fn parts(token: &str) -> [&str; 3] {
    token.split('.').collect::<Vec<_>>().try_into().expect("a JWT has three parts")
}

fn decoded(part: &str) -> Value {
    serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).expect("base64url")).expect("JSON")
}

fn encoded(part: &Value) -> String {
    BASE64URL_NOPAD.encode(part.to_string().as_bytes())
}
