//! Verifies our own access tokens on our own endpoints (RFC 9068 section 4, RFC 8725).

use jsonwebtoken::Validation;

use super::claims::{ACCESS_TOKEN_TYPE, Claims};
use super::keyring::Keyring;
use super::signing_key::jwt_algorithm;
use crate::config::Config;
use crate::domain::{Algorithm, Audience, Refusal, Timestamp};

/// Longer than any token of ours, with 200 scopes and all constraints: nobody's header makes us decode more.
const LONGEST: usize = 24 * 1024;

/// Checks access tokens that come back to us.
pub struct Verifier {
    keyring: Keyring,
    /// Who this server is, as an audience: the first of `tokens.audience`.
    audience: Option<Audience>,
    /// The rules for a key of each algorithm.
    rules: [(Algorithm, Validation); Algorithm::ALL.len()],
}

/// A token that verifies.
#[derive(Debug)]
pub struct Verified {
    /// What it says.
    pub claims: Claims,
    /// The key that it verifies with.
    pub kid: String,
}

impl Verifier {
    /// A verifier by this configuration.
    #[must_use]
    pub fn new(config: &Config, keyring: Keyring) -> Self {
        let issuer = config.server.public_url.issuer();
        let audiences: Vec<_> = config.tokens.audience.iter().map(|offered| &offered.name).collect();
        Self {
            keyring,
            audience: audiences.first().copied().cloned(),
            rules: Algorithm::ALL.map(|algorithm| (algorithm, rules(algorithm, issuer, &audiences))),
        }
    }

    /// Checks everything that can be checked without the database of a token that opens something here: one for the
    /// first audience, for that is what this server is.
    ///
    /// # Errors
    /// [`Refusal::InvalidToken`].
    pub fn verify(&self, jwt: &str, now: Timestamp) -> Result<Verified, Refusal> {
        let is_for_us = |token: &Verified| self.audience.as_ref() == Some(&token.claims.aud);
        self.verify_for_anybody(jwt, now).filter(is_for_us).ok_or(Refusal::InvalidToken)
    }

    /// The same of a token that we issued, for whichever of `tokens.audience`; none where it is not accepted.
    ///
    /// The key is the one that `kid` names among ours, and the algorithm is that key's: whatever else the header
    /// says (`alg: none`, `HS256` over a public key, `jku`, `jwk`) finds no key that would verify it.
    #[must_use]
    pub fn verify_for_anybody(&self, jwt: &str, now: Timestamp) -> Option<Verified> {
        self.checked(jwt).filter(|token| now.seconds() < token.claims.exp)
    }

    fn checked(&self, jwt: &str) -> Option<Verified> {
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
        let claims = jsonwebtoken::decode(jwt, &key.decoding, rules).ok()?.claims;
        Some(Verified { claims, kid: key.kid.clone() })
    }
}

fn rules(algorithm: Algorithm, issuer: &str, audiences: &[&Audience]) -> Validation {
    let mut rules = Validation::new(jwt_algorithm(algorithm));
    rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    rules.set_issuer(&[issuer]);
    rules.set_audience(audiences);
    // The library would ask the system's clock; `verify` asks ours.
    rules.validate_exp = false;
    rules
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::config::MasterKey;
    use crate::random::Random;
    use crate::tokens::secret_box::SecretBox;
    use crate::tokens::signing_key::KeyPair;

    /// Security 3 and 5: signed by us, and still no access token.
    #[test]
    fn claims_that_are_missing_or_of_another_type_are_refused() {
        let config = Config::load(None, []).unwrap();
        let secrets = SecretBox::new(&MasterKey::new([7; 32]), Random::default()).unwrap();
        let row = KeyPair::generate(Algorithm::Es256).unwrap().into_row(&secrets, Timestamp(0), None).unwrap();
        let keyring = Keyring::read(&[row.into()], &secrets).unwrap();
        let verifier = Verifier::new(&config, keyring.clone());
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        let sound = json!({
            "iss": config.server.public_url.issuer(), "sub": id, "aud": "api", "exp": 60, "iat": 0, "jti": id,
            "client_id": "jeton-login", "scope": "a:b", "tenant_id": id,
        });
        let accepts = |typ: &str, claims: &Value, second: i64| {
            let keys = keyring.keys();
            let jwt = keys.iter().next().unwrap().sign_as(typ, claims).unwrap();
            verifier.verify(&jwt, Timestamp::of_seconds(second)).is_ok()
        };

        assert!(accepts("at+jwt", &sound, 0) && accepts("at+jwt", &sound, 59));
        assert!(!accepts("at+jwt", &sound, 60), "it ends at `exp`, not after it");
        for typ in ["JWT", "AT+JWT", "application/at+jwt", "dpop+jwt", ""] {
            assert!(!accepts(typ, &sound, 0), "{typ}");
        }
        for claim in sound.as_object().unwrap().keys() {
            let mut lacking = sound.clone();
            lacking.as_object_mut().unwrap().remove(claim);
            assert!(!accepts("at+jwt", &lacking, 0), "without {claim}");
            for other in [json!(null), json!(true), json!([]), json!({}), json!(1.5), json!("1e9"), json!(["api", 1])] {
                let mut wrong = sound.clone();
                wrong[claim] = other;
                assert!(claim == "client_id" && wrong[claim].is_string() || !accepts("at+jwt", &wrong, 0), "{wrong}");
            }
        }
    }
}
