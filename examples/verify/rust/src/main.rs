//! Verifies a Jeton access token offline and prints its claims.

pub mod revocations;

use std::{env, error::Error, io, process::ExitCode};

use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header,
    jwk::{Jwk, JwkSet, KeyAlgorithm},
};
use serde_json::{Map, Value};

fn main() -> ExitCode {
    match claims() {
        Ok(claims) => {
            println!("{}", Value::from(claims));
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("refused: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn claims() -> Result<Map<String, Value>, Box<dyn Error>> {
    let issuer = env::var("JETON_URL").unwrap_or_else(|_| "http://127.0.0.1:8080".into());
    let audience = env::var("JETON_AUDIENCE").unwrap_or_else(|_| "api".into());
    if env::args().nth(1).as_deref() == Some("--serve") {
        return serve(revocations::Guard::start(issuer, audience)?);
    }
    let token = env::args().nth(1).map_or_else(|| io::read_to_string(io::stdin()), Ok)?;

    Verifier::fetch(issuer, audience)?.verify(token.trim())
}

/// As a service would: a token a line, and an answer a line, also where it was revoked meanwhile.
fn serve(mut guard: revocations::Guard) -> Result<Map<String, Value>, Box<dyn Error>> {
    for token in io::stdin().lines() {
        match guard.accept(token?.trim()) {
            Ok(claims) => println!("{}", Value::from(claims)),
            Err(reason) => println!("refused: {reason}"),
        }
    }
    Ok(Map::new())
}

/// Verifies the tokens of one issuer for one audience.
pub struct Verifier {
    issuer: String,
    audience: String,
    keys: JwkSet,
}

impl Verifier {
    /// Fetches the public keys. A service does so at its start, and again when they are older than
    /// the `max-age` of the answer (five minutes, unless the server is told otherwise).
    pub fn fetch(issuer: String, audience: String) -> Result<Self, Box<dyn Error>> {
        let mut answer = ureq::get(format!("{issuer}/.well-known/jwks.json")).call()?;
        let keys = answer.body_mut().read_json()?;
        Ok(Self { issuer, audience, keys })
    }

    /// The claims of a valid token; an error for any other.
    pub fn verify(&self, token: &str) -> Result<Map<String, Value>, Box<dyn Error>> {
        let header = decode_header(token)?;
        if header.typ.as_deref() != Some("at+jwt") {
            return Err("not an access token".into());
        }
        let key = header.kid.and_then(|kid| self.keys.find(&kid)).ok_or("unknown key")?;

        let mut rules = Validation::new(algorithm(key)?); // the key's own, never the token's
        rules.set_issuer(&[&self.issuer]);
        rules.set_audience(&[&self.audience]);
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        rules.leeway = 30;

        let claims = decode::<Map<String, Value>>(token, &DecodingKey::from_jwk(key)?, &rules)?.claims;
        match ["iat", "jti", "client_id", "tenant_id"].iter().find(|name| !claims.contains_key(**name)) {
            Some(missing) => Err(format!("the claim {missing} is missing").into()),
            None => Ok(claims),
        }
    }
}

/// The one algorithm of a key; what the token's own header asks for is never believed.
fn algorithm(key: &Jwk) -> Result<Algorithm, Box<dyn Error>> {
    match key.common.key_algorithm {
        Some(KeyAlgorithm::ES256) => Ok(Algorithm::ES256),
        Some(KeyAlgorithm::EdDSA) => Ok(Algorithm::EdDSA),
        Some(KeyAlgorithm::RS256) => Ok(Algorithm::RS256),
        _ => Err("a key of another algorithm".into()),
    }
}
