//! Signing keys: made, encrypted, read back, and shown to verifiers (RFC 7517, RFC 7638).

use std::fmt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use data_encoding::BASE64;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{DecodingKey, EncodingKey};
use serde::Serialize;
use zeroize::Zeroizing;

use super::secret_box::SecretBox;
use super::signer::TokenSigner;
use crate::db::signing_keys::{NewSigningKey, SigningKeyRow};
use crate::domain::signing_key::{KeyState, SigningKeyInfo};
use crate::domain::{Algorithm, Refusal, Timestamp};

/// 3072 bits.
const FEWEST_RSA_BYTES: usize = 3072 / 8;

/// A key pair with a name, ready to sign and to verify.
pub struct SigningKey {
    /// The RFC 7638 thumbprint.
    pub kid: String,
    /// The one algorithm of this key (RFC 8725 section 3.1).
    pub algorithm: Algorithm,
    /// Where it is in its life.
    pub state: KeyState,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it began to sign.
    pub activated_at: Option<Timestamp>,
    /// The public half, as published.
    pub jwk: Jwk,
    pub(super) signer: TokenSigner,
    pub(super) decoding: DecodingKey,
}

/// A new key pair, before it is stored.
#[derive(Clone)]
pub struct KeyPair {
    /// The RFC 7638 thumbprint.
    pub kid: String,
    /// What it signs with.
    pub algorithm: Algorithm,
    public_jwk: String,
    pem: Zeroizing<String>,
}

/// A key cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// The crypto library refused.
    #[error("cannot make a signing key")]
    Generate,
    /// What is stored is no key.
    #[error("signing key {0} is damaged: {1}")]
    Damaged(String, String),
    /// The table of keys is empty, and was not before.
    #[error("no signing key is left in the database; the ones in memory stay in use")]
    NoneLeft,
    /// The master key is another one.
    #[error(
        "signing key {0} cannot be decrypted: this is not the master key that belongs to the database; put back keys.dir/master.key or JETON_MASTER_KEY"
    )]
    WrongMasterKey(String),
}

impl KeyPair {
    /// Makes one. With RSA it takes up to seconds: not for a thread that others wait for.
    ///
    /// # Errors
    /// See [`SigningKeyError`].
    pub fn generate(algorithm: Algorithm) -> Result<Self, SigningKeyError> {
        Self::of(algorithm, generate_pem(algorithm).ok_or(SigningKeyError::Generate)?)
    }

    /// The key pair that somebody else made, if it is one that may sign: P-256, Ed25519, or RSA of 3072 to 8192 bits
    /// (security 7).
    #[must_use]
    pub fn from_pkcs8(der: &[u8]) -> Option<Self> {
        let algorithm = if EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).is_ok() {
            Algorithm::Es256
        } else if Ed25519KeyPair::from_pkcs8(der).is_ok() {
            Algorithm::EdDsa
        } else {
            let key = RsaKeyPair::from_pkcs8(der).ok()?;
            (key.public_modulus_len() >= FEWEST_RSA_BYTES).then_some(Algorithm::Rs256)?
        };
        Self::of(algorithm, pem(der)).ok()
    }

    fn of(algorithm: Algorithm, pem: Zeroizing<String>) -> Result<Self, SigningKeyError> {
        let failed =
            |error: jsonwebtoken::errors::Error| SigningKeyError::Damaged("(new)".to_owned(), error.to_string());
        let encoding = encoding_key(algorithm, pem.as_bytes()).map_err(failed)?;
        let jwk = published_jwk(&encoding, algorithm).map_err(failed)?;
        let kid = jwk.common.key_id.clone().unwrap_or_default();
        let public_jwk = serde_json::to_string(&jwk).map_err(|_| SigningKeyError::Generate)?;
        Ok(Self { kid, algorithm, public_jwk, pem })
    }

    /// The row to store it in: published from now on, and signing at once unless it is to wait until `signs_at`.
    ///
    /// # Errors
    /// See [`SigningKeyError`].
    pub fn into_row(
        self,
        secrets: &SecretBox,
        now: Timestamp,
        signs_at: Option<Timestamp>,
    ) -> Result<NewSigningKey, SigningKeyError> {
        let sealed_private = secrets.seal(&purpose(&self.kid), self.pem.as_bytes());
        Ok(NewSigningKey {
            info: SigningKeyInfo {
                kid: self.kid,
                algorithm: self.algorithm,
                state: if signs_at.is_some() { KeyState::Pending } else { KeyState::Active },
                created_at: now,
                published_at: Some(now),
                signs_at,
                activated_at: if signs_at.is_some() { None } else { Some(now) },
                retires_at: None,
                retired_at: None,
                cache_seconds: 0,
                token_seconds: 0,
            },
            public_jwk: self.public_jwk,
            sealed_private: sealed_private.map_err(|_| SigningKeyError::Generate)?,
        })
    }
}

impl SigningKey {
    /// Reads a key from its row.
    ///
    /// # Errors
    /// See [`SigningKeyError`].
    pub fn read(row: &SigningKeyRow, secrets: &SecretBox) -> Result<Self, SigningKeyError> {
        let info = &row.info;
        let damaged = |what: &dyn fmt::Display| SigningKeyError::Damaged(info.kid.clone(), what.to_string());
        let pem = secrets
            .open(&purpose(&info.kid), &row.sealed_private)
            .map_err(|_| SigningKeyError::WrongMasterKey(info.kid.clone()))?;
        let algorithm = info.algorithm;
        let encoding = encoding_key(algorithm, &pem).map_err(|error| damaged(&error))?;
        // Not the public half that is stored: whoever writes to the database must not make verifiers trust a key of
        // theirs.
        let jwk = published_jwk(&encoding, algorithm).map_err(|error| damaged(&error))?;
        if jwk.common.key_id.as_deref() != Some(info.kid.as_str()) {
            return Err(damaged(&"its name is another key's"));
        }
        Ok(Self {
            kid: info.kid.clone(),
            algorithm,
            state: info.state,
            created_at: info.created_at,
            activated_at: info.activated_at,
            signer: TokenSigner::new(&encoding, algorithm, &info.kid).map_err(|error| damaged(&error))?,
            decoding: DecodingKey::from_jwk(&jwk).map_err(|error| damaged(&error))?,
            jwk,
        })
    }
}

impl SigningKey {
    /// A token that is no access token: `typ` says what it is (RFC 8725 section 3.11).
    ///
    /// # Errors
    /// [`Refusal::Internal`] where the crypto library refuses.
    pub fn sign_as(&self, typ: &str, claims: &impl Serialize) -> Result<String, Refusal> {
        self.signer.sign_as(typ, claims).map_err(|error| {
            tracing::error!(%error, typ, "cannot sign");
            Refusal::Internal
        })
    }
}

/// What the private half is sealed for: it opens in its own row only.
pub(crate) fn purpose(kid: &str) -> String {
    format!("signing-key/{kid}")
}

fn generate_pem(algorithm: Algorithm) -> Option<Zeroizing<String>> {
    let random = SystemRandom::new();
    let der = match algorithm {
        Algorithm::Es256 => {
            let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).ok()?;
            Zeroizing::new(der.as_ref().to_vec())
        }
        Algorithm::EdDsa => Zeroizing::new(Ed25519KeyPair::generate_pkcs8v1(&random).ok()?.as_ref().to_vec()),
        Algorithm::Rs256 => {
            let key = RsaKeyPair::generate(KeySize::Rsa3072).ok()?;
            let der: Pkcs8V1Der<'_> = key.as_der().ok()?;
            Zeroizing::new(der.as_ref().to_vec())
        }
    };
    Some(pem(&der))
}

fn pem(der: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(BASE64.encode(der));
    Zeroizing::new(["-----BEGIN PRIVATE KEY-----\n", &body, "\n-----END PRIVATE KEY-----\n"].concat())
}

fn encoding_key(algorithm: Algorithm, pem: &[u8]) -> Result<EncodingKey, jsonwebtoken::errors::Error> {
    match algorithm {
        Algorithm::Es256 => EncodingKey::from_ec_pem(pem),
        Algorithm::EdDsa => EncodingKey::from_ed_pem(pem),
        Algorithm::Rs256 => EncodingKey::from_rsa_pem(pem),
    }
}

fn published_jwk(key: &EncodingKey, algorithm: Algorithm) -> Result<Jwk, jsonwebtoken::errors::Error> {
    let mut jwk = Jwk::from_encoding_key(key, jwt_algorithm(algorithm))?;
    jwk.common.key_id = Some(jwk.thumbprint(ThumbprintHash::SHA256)?);
    jwk.common.public_key_use = Some(PublicKeyUse::Signature);
    Ok(jwk)
}

/// The JWT library's word for an algorithm.
pub(super) fn jwt_algorithm(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    match algorithm {
        Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MasterKey;
    use crate::random::Random;

    #[test]
    fn a_key_of_each_algorithm_is_read_back_under_its_master_key_only() {
        let secrets = |byte| SecretBox::new(&MasterKey::new([byte; 32]), Random::default()).unwrap();
        for algorithm in Algorithm::ALL {
            let make = || -> SigningKeyRow {
                KeyPair::generate(algorithm).unwrap().into_row(&secrets(1), Timestamp(0), None).unwrap().into()
            };
            let mut row = make();
            assert!(!row.public_jwk.contains("\"d\""), "no private member");
            let key = SigningKey::read(&row, &secrets(1)).unwrap();
            assert_eq!(key.jwk.thumbprint(ThumbprintHash::SHA256).unwrap(), row.info.kid);
            assert!(matches!(SigningKey::read(&row, &secrets(2)), Err(SigningKeyError::WrongMasterKey(_))));
            row.public_jwk = make().public_jwk;
            assert_eq!(SigningKey::read(&row, &secrets(1)).unwrap().jwk, key.jwk, "whatever is stored beside it");
        }
    }

    #[test]
    fn a_token_is_what_the_jwt_library_makes_of_the_key() {
        for algorithm in Algorithm::ALL {
            let encoding = encoding_key(algorithm, generate_pem(algorithm).unwrap().as_bytes()).unwrap();
            let signer = TokenSigner::new(&encoding, algorithm, "kid").unwrap();
            let mut header = jsonwebtoken::Header::new(jwt_algorithm(algorithm));
            (header.typ, header.kid) = (Some("at+jwt".to_owned()), Some("kid".to_owned()));
            let claims = serde_json::json!({"sub": "é", "scope": "a:b"});

            let (ours, theirs) =
                (signer.sign(&claims).unwrap(), jsonwebtoken::encode(&header, &claims, &encoding).unwrap());
            let unsigned = |jwt: &str| jwt.rsplit_once('.').unwrap().0.to_owned();
            assert_eq!(unsigned(&ours), unsigned(&theirs));
            // ECDSA signs anew each time.
            assert_eq!(ours == theirs, algorithm != Algorithm::Es256);
            let mut rules = jsonwebtoken::Validation::new(jwt_algorithm(algorithm));
            (rules.required_spec_claims, rules.validate_exp) = (std::collections::HashSet::new(), false);
            let key = DecodingKey::from_jwk(&published_jwk(&encoding, algorithm).unwrap()).unwrap();
            assert_eq!(jsonwebtoken::decode::<serde_json::Value>(&ours, &key, &rules).unwrap().claims, claims);
        }
    }

    #[test]
    fn a_key_of_another_algorithm_signs_nothing() {
        let ed25519 = encoding_key(Algorithm::EdDsa, generate_pem(Algorithm::EdDsa).unwrap().as_bytes()).unwrap();
        for other in [Algorithm::Es256, Algorithm::Rs256] {
            assert!(TokenSigner::new(&ed25519, other, "kid").is_err());
        }
    }
}
