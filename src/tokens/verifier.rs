//! Verifies our own access tokens on our own endpoints (RFC 9068 section 4, RFC 8725).

use jsonwebtoken::Validation;

use super::claims::{ACCESS_TOKEN_TYPE, Claims};
use super::keyring::Keyring;
use super::signing_key::jwt_algorithm;
use crate::config::Config;
use crate::domain::{Algorithm, Refusal, Timestamp};

/// Longer than any token of ours, with 200 scopes and all constraints: nobody's header makes us decode more.
const LONGEST: usize = 24 * 1024;

/// Checks access tokens that come back to us.
pub struct Verifier {
    keyring: Keyring,
    /// The rules for a key of each algorithm.
    rules: [(Algorithm, Validation); Algorithm::ALL.len()],
}

impl Verifier {
    /// A verifier by this configuration: it accepts tokens for the first audience only, for that is what
    /// this server is.
    #[must_use]
    pub fn new(config: &Config, keyring: Keyring) -> Self {
        let issuer = config.server.public_url.issuer();
        let audience = config.tokens.audience.first().map(|first| first.name.as_str()).unwrap_or_default();
        Self { keyring, rules: Algorithm::ALL.map(|algorithm| (algorithm, rules(algorithm, issuer, audience))) }
    }

    /// Checks everything that can be checked without the database.
    ///
    /// The key is the one that `kid` names among ours, and the algorithm is that key's: whatever else the header
    /// says (`alg: none`, `HS256` over a public key, `jku`, `jwk`) finds no key that would verify it.
    ///
    /// # Errors
    /// [`Refusal::InvalidToken`].
    pub fn verify(&self, jwt: &str, now: Timestamp) -> Result<Claims, Refusal> {
        self.checked(jwt).filter(|claims| now.seconds() < claims.exp).ok_or(Refusal::InvalidToken)
    }

    fn checked(&self, jwt: &str) -> Option<Claims> {
        let jwt_alphabet = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if jwt.len() > LONGEST || !jwt.bytes().all(jwt_alphabet) {
            return None;
        }
        let header = jsonwebtoken::decode_header(jwt).ok()?;
        let keys = self.keyring.keys();
        let key = keys.published(header.kid.as_deref()?)?;
        if header.typ.as_deref() != Some(ACCESS_TOKEN_TYPE) || header.crit.is_some() {
            return None;
        }
        let (_, rules) = self.rules.iter().find(|(algorithm, _)| *algorithm == key.algorithm)?;
        jsonwebtoken::decode(jwt, &key.decoding, rules).ok().map(|token| token.claims)
    }
}

fn rules(algorithm: Algorithm, issuer: &str, audience: &str) -> Validation {
    let mut rules = Validation::new(jwt_algorithm(algorithm));
    rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    rules.set_issuer(&[issuer]);
    rules.set_audience(&[audience]);
    // The library would ask the system's clock; `verify` asks ours.
    rules.validate_exp = false;
    rules
}
