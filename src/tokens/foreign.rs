//! Tokens of other issuers: read, and verified with a key that their issuer publishes (RFC 7519, RFC 8725).
//!
//! Nothing is taken from such a token but what is checked here. A header that brings its own key (`jwk`, `x5c`) or says
//! where one is (`jku`, `x5u`) is not looked at.

use std::time::Duration;

use chrono::TimeDelta;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::Value;

use crate::domain::issuer_url::IssuerUrl;
use crate::domain::{Audience, Timestamp};

/// Longer than the tokens of any known issuer: nobody makes us decode more.
const LONGEST: usize = 16 * 1024;

/// How far an issuer's clock may be ahead of ours. It counts for `nbf` and `iat` alone: a token that has expired is
/// dead.
const LEEWAY: TimeDelta = TimeDelta::seconds(30);

/// A token of another issuer, read and not believed.
pub struct ForeignToken {
    /// Who is said to have issued it.
    pub issuer: IssuerUrl,
    /// The key that it is said to be signed with.
    pub kid: String,
    /// And how.
    pub algorithm: Algorithm,
    jwt: String,
}

/// What a token of another issuer says, believed.
#[derive(Debug)]
pub struct ForeignClaims {
    /// Whom it is about.
    pub subject: String,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Everything that it says.
    pub all: Value,
    audience: Audiences,
}

/// A key that another issuer publishes.
#[derive(Clone)]
pub struct ForeignKey {
    kid: String,
    /// What it may be used with: asymmetric algorithms alone, of its type, its curve and its `alg`.
    algorithms: Vec<Algorithm>,
    decoding: DecodingKey,
}

/// What every token must have, each of the type that it must have (RFC 7519 section 4.1).
#[derive(Deserialize)]
struct Registered {
    iss: IssuerUrl,
    sub: String,
    aud: Audiences,
    exp: NumericDate,
    nbf: Option<NumericDate>,
    iat: Option<NumericDate>,
}

/// A moment in seconds since 1970, which need not be whole (RFC 7519 section 2).
#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum NumericDate {
    Whole(i64),
    Fractional(f64),
}

/// Whom a token is for: one, or several. Some may be none that we would name.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audiences {
    One(String),
    Several(Vec<String>),
}

impl ForeignToken {
    /// Reads a token; none where it is of no form that we accept.
    ///
    /// An access token (`at+jwt`) of anybody is none: it is for somebody else's endpoints, and one of ours must never
    /// come back as somebody else's word.
    #[must_use]
    pub fn read(jwt: String) -> Option<Self> {
        #[derive(Deserialize)]
        struct Issuer {
            iss: IssuerUrl,
        }

        let jwt_alphabet = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if jwt.len() > LONGEST || !jwt.bytes().all(jwt_alphabet) {
            return None;
        }
        let header = jsonwebtoken::decode_header(&jwt).ok()?;
        let is_plain = header.typ.as_deref().is_none_or(|typ| typ.eq_ignore_ascii_case("JWT"));
        if !is_plain || header.crit.is_some() {
            return None;
        }
        let issuer = jsonwebtoken::dangerous::insecure_decode::<Issuer>(&jwt).ok()?.claims.iss;
        Some(Self { issuer, kid: header.kid?, algorithm: header.alg, jwt })
    }

    /// What the token says, if `key` signed it and it is valid at `now`.
    #[must_use]
    pub fn verified(&self, key: &ForeignKey, now: Timestamp) -> Option<ForeignClaims> {
        if !key.fits(&self.kid, self.algorithm) {
            return None;
        }
        let all: Value = jsonwebtoken::decode(&self.jwt, &key.decoding, &signature_alone(self.algorithm)).ok()?.claims;
        let Registered { iss, sub, aud, exp, nbf, iat } = Registered::deserialize(&all).ok()?;
        // Rounded so that nothing lives longer than it says.
        let expires_at = exp.rounded(f64::floor)?;
        let begins = |date: NumericDate| date.rounded(f64::ceil).is_some_and(|begins_at| begins_at <= now.plus(LEEWAY));
        let is_valid = [nbf, iat].into_iter().flatten().all(begins) && now < expires_at;
        let is_whole = iss == self.issuer && !sub.is_empty();
        (is_valid && is_whole).then_some(ForeignClaims { subject: sub, expires_at, all, audience: aud })
    }
}

impl NumericDate {
    /// The moment in whole seconds; none of a fraction before 1970, or beyond what can be counted.
    fn rounded(self, round: fn(f64) -> f64) -> Option<Timestamp> {
        let seconds = match self {
            Self::Whole(seconds) => seconds,
            Self::Fractional(seconds) => Duration::try_from_secs_f64(round(seconds)).ok()?.as_secs().try_into().ok()?,
        };
        Some(Timestamp::of_seconds(seconds))
    }
}

impl ForeignClaims {
    /// Whether the token is for `audience`, among others.
    #[must_use]
    pub fn is_for(&self, audience: &Audience) -> bool {
        let audience = audience.as_str();
        match &self.audience {
            Audiences::One(named) => named == audience,
            Audiences::Several(named) => named.iter().any(|named| named == audience),
        }
    }
}

impl ForeignKey {
    /// Reads a public key of a key set; none where it is none that signs, or of no kind that we know.
    #[must_use]
    pub fn read(jwk: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(jwk).ok()?;
        let common = &jwk.common;
        let signs = common.public_key_use.as_ref().is_none_or(|use_| *use_ == PublicKeyUse::Signature)
            && common.key_operations.as_ref().is_none_or(|known| known.contains(&KeyOperations::Verify));
        let named = common.key_algorithm.map(Algorithm::try_from).transpose().ok()?;
        let fitting: &[Algorithm] = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => &[
                Algorithm::RS256,
                Algorithm::RS384,
                Algorithm::RS512,
                Algorithm::PS256,
                Algorithm::PS384,
                Algorithm::PS512,
            ],
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => &[Algorithm::ES256],
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => &[Algorithm::ES384],
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => &[Algorithm::EdDSA],
            _ => &[],
        };
        let fits = |algorithm: &&Algorithm| named.is_none_or(|named| named == **algorithm);
        let algorithms: Vec<_> = fitting.iter().filter(fits).copied().collect();
        let kid = common.key_id.clone()?;
        let decoding = DecodingKey::from_jwk(&jwk).ok()?;
        (signs && !algorithms.is_empty()).then_some(Self { kid, algorithms, decoding })
    }

    /// Whether it is the key of this name, and may be used so.
    #[must_use]
    pub fn fits(&self, kid: &str, algorithm: Algorithm) -> bool {
        self.kid == kid && self.algorithms.contains(&algorithm)
    }
}

/// The library checks the signature: the rest it would check by the system's clock, or not at all.
fn signature_alone(algorithm: Algorithm) -> Validation {
    let mut rules = Validation::new(algorithm);
    rules.required_spec_claims.clear();
    rules.validate_exp = false;
    rules.validate_aud = false;
    rules
}
