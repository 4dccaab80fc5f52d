//! Keyed hashes: of API keys and of those who fail to log in, which are stored so, and of refresh tokens, which prove
//! themselves so.

use aws_lc_rs::hmac;
use data_encoding::BASE64URL_NOPAD;
use ipnet::IpNet;

use crate::domain::key_format::ApiKeySecret;
use crate::domain::refresh_token::{Generation, PROOF, RefreshToken};
use crate::domain::{Email, SessionId};

/// Length of the keys behind them, in bytes.
pub const KEY_LEN: usize = 32;

/// Hashes API keys.
///
/// Keyed, so that a stolen database cannot be searched for a key that somebody guessed or found elsewhere.
pub struct ApiKeyHasher(hmac::Key);

/// Writes refresh tokens and recognises its own.
///
/// A forgery is refused before any SQL; comparison is in constant time.
pub struct RefreshTokenSigner(hmac::Key);

/// Writes the tokens that our own forms carry, and recognises them.
///
/// Whoever makes a browser send a form of theirs cannot read ours, so they do not know its token (CSRF).
pub struct FormSigner(hmac::Key);

/// Hashes those whose failed logins are counted.
///
/// Keyed, so that a stolen database does not tell which people were tried: it holds many who have no account here.
pub struct FailureHasher(hmac::Key);

impl ApiKeyHasher {
    /// Hashes under this key.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// What a key is stored and found as.
    #[must_use]
    pub fn hash(&self, key: &ApiKeySecret) -> Vec<u8> {
        hmac::sign(&self.0, key.expose().as_bytes()).as_ref().to_vec()
    }
}

impl FailureHasher {
    /// Hashes under this key.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// What an account's failures are counted under, whether there is such an account or not.
    #[must_use]
    pub fn account(&self, email: &Email) -> Vec<u8> {
        self.hash("account", email)
    }

    /// What the failures from a network are counted under.
    #[must_use]
    pub fn network(&self, network: IpNet) -> Vec<u8> {
        self.hash("network", network)
    }

    fn hash(&self, kind: &str, subject: impl std::fmt::Display) -> Vec<u8> {
        hmac::sign(&self.0, format!("{kind} {subject}").as_bytes()).as_ref().to_vec()
    }
}

impl FormSigner {
    /// Signs under a key of its own that is derived from this one: no form token is ever a proof of anything else.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), b"form tokens");
        Self(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
    }

    /// The token of forms that are filled in within `whose`: a session, or a browser that has none yet.
    #[must_use]
    pub fn token(&self, whose: &str) -> String {
        BASE64URL_NOPAD.encode(hmac::sign(&self.0, whose.as_bytes()).as_ref())
    }

    /// Whether a form has the token of `whose`.
    #[must_use]
    pub fn is_genuine(&self, whose: &str, token: &str) -> bool {
        let token = BASE64URL_NOPAD.decode(token.as_bytes());
        token.is_ok_and(|token| hmac::verify(&self.0, whose.as_bytes(), &token).is_ok())
    }
}

impl RefreshTokenSigner {
    /// Signs under this key.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The token of a session's generation: the same for the same, however often it is asked for.
    #[must_use]
    pub fn token(&self, session: SessionId, generation: Generation) -> RefreshToken {
        let mut token = RefreshToken { session, generation, proof: [0; PROOF] };
        let tag = hmac::sign(&self.0, &token.signed_part());
        for (to, from) in token.proof.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        token
    }

    /// Whether we wrote this token.
    #[must_use]
    pub fn is_genuine(&self, token: &RefreshToken) -> bool {
        hmac::verify(&self.0, &token.signed_part(), &token.proof).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_form_belongs_to_whom_it_was_given() {
        let signer = FormSigner::new(&[1; KEY_LEN]);
        let token = signer.token("session 1");
        assert!(signer.is_genuine("session 1", &token));
        assert!(!signer.is_genuine("session 2", &token));
        assert!(!signer.is_genuine("session 1", &token[1..]));
        assert!(!signer.is_genuine("session 1", ""));
        assert!(!FormSigner::new(&[2; KEY_LEN]).is_genuine("session 1", &token));
    }

    #[test]
    fn a_token_is_genuine_under_its_key_only_and_whole_only() {
        let signer = RefreshTokenSigner::new(&[1; KEY_LEN]);
        let token = signer.token(Uuid::from_bytes([7; 16]).into(), 3);
        assert!(signer.is_genuine(&token));
        assert!(signer.token(token.session, 3) == token);
        assert!(!RefreshTokenSigner::new(&[2; KEY_LEN]).is_genuine(&token));
        assert!(!signer.is_genuine(&RefreshToken { generation: 4, ..token }));
        assert!(!signer.is_genuine(&RefreshToken { session: Uuid::nil().into(), ..token }));
    }
}
