//! A token taken apart, and checked as a downstream service would: with the published keys alone.

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{Algorithm, DecodingKey, crypto, jwk::Jwk};
use serde_json::{Map, Value};

/// A JWT in its parts; nothing is believed until [`Jwt::verify`] has been called.
#[derive(Debug)]
pub struct Jwt {
    pub header: Value,
    pub claims: Value,
    signed: String,
    signature: String,
}

impl Jwt {
    #[track_caller]
    pub fn parse(token: &str) -> Self {
        let (signed, signature) = token.rsplit_once('.').expect("three parts");
        let (header, claims) = signed.split_once('.').expect("three parts");
        Self { header: part(header), claims: part(claims), signed: signed.to_owned(), signature: signature.to_owned() }
    }

    /// Checks the signature against the key of that `kid` in this JWKS.
    #[track_caller]
    pub fn verify(&self, jwks: &Value) {
        let keys = jwks["keys"].as_array().expect("a JWKS");
        let key = keys.iter().find(|key| key["kid"] == self.header["kid"]).expect("the `kid` is published");
        assert_eq!(key["alg"], self.header["alg"], "one key has one algorithm");
        let algorithm: Algorithm = self.header["alg"].as_str().expect("an algorithm").parse().expect("a known one");
        let jwk: Jwk = serde_json::from_value(key.clone()).expect("a JWK");
        let key = DecodingKey::from_jwk(&jwk).expect("a usable key");
        let right = crypto::verify(&self.signature, self.signed.as_bytes(), &key, algorithm).expect("a signature");
        assert!(right, "the signature verifies against the JWKS");
    }

    /// A claim that is a number.
    #[track_caller]
    pub fn number(&self, claim: &str) -> i64 {
        self.claims[claim].as_i64().unwrap_or_else(|| panic!("`{claim}` in {}", self.claims))
    }

    /// A claim that is a string.
    #[track_caller]
    pub fn text(&self, claim: &str) -> &str {
        self.claims[claim].as_str().unwrap_or_else(|| panic!("`{claim}` in {}", self.claims))
    }
}

/// The thumbprint of a key by RFC 7638: its required members, sorted, hashed.
pub fn thumbprint(jwk: &Value) -> String {
    let members: &[&str] = match jwk["kty"].as_str() {
        Some("EC") => &["crv", "kty", "x", "y"],
        Some("OKP") => &["crv", "kty", "x"],
        Some("RSA") => &["e", "kty", "n"],
        other => panic!("a key type of JWKS, not {other:?}"),
    };
    let required: Map<_, _> = members.iter().map(|&name| (name.to_owned(), jwk[name].clone())).collect();
    let canonical = Value::Object(required).to_string();
    base64url(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, canonical.as_bytes()).as_ref())
}

pub fn base64url(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}

#[track_caller]
fn part(encoded: &str) -> Value {
    let bytes = BASE64URL_NOPAD.decode(encoded.as_bytes()).expect("base64url without padding");
    serde_json::from_slice(&bytes).expect("JSON")
}
