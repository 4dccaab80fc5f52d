//! Refresh tokens as text: a session, a generation, and the proof that we wrote them.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::SessionId;

const PREFIX: &str = "jrt_";
const ID: usize = 16;
const GENERATION: usize = 8;

/// Bytes of the proof: an HMAC-SHA-256, so that guessing one is guessing 256 bits.
pub const PROOF: usize = 32;

/// The parts of a refresh token: `jrt_` and, in base64url, session id, generation and proof.
///
/// The same session and generation always give the same token, so the token need not be stored,
/// and whoever has the database alone cannot write one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RefreshToken {
    /// The session whose token it is.
    pub session: SessionId,
    /// How many rotations came before it.
    pub generation: Generation,
    /// The HMAC over both.
    pub proof: [u8; PROOF],
}

/// A refresh token in plain text, on its way to its holder: shown by no `Debug`, wiped on drop.
#[derive(Clone)]
pub struct RefreshTokenSecret(SecretString);

/// How many times a session's token was rotated. Order between tokens is by this, never by time.
pub type Generation = i64;

impl RefreshToken {
    /// Reads a token's parts; the proof is still to be checked.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64URL_NOPAD.decode(text.strip_prefix(PREFIX)?.as_bytes()).ok()?;
        let (id, rest) = bytes.split_first_chunk::<ID>()?;
        let (generation, proof) = rest.split_first_chunk::<GENERATION>()?;
        Some(Self {
            session: Uuid::from_bytes(*id).into(),
            generation: Generation::from_be_bytes(*generation),
            proof: proof.try_into().ok()?,
        })
    }

    /// Writes the token out.
    #[must_use]
    pub fn to_secret(&self) -> RefreshTokenSecret {
        let bytes = [self.signed_part().as_slice(), &self.proof].concat();
        RefreshTokenSecret([PREFIX, &BASE64URL_NOPAD.encode(&bytes)].concat().into())
    }

    /// What the proof is over.
    #[must_use]
    pub fn signed_part(&self) -> Vec<u8> {
        [self.session.as_bytes().as_slice(), &self.generation.to_be_bytes()].concat()
    }
}

impl RefreshTokenSecret {
    /// The plain text, for its holder.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl Serialize for RefreshTokenSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.expose())
    }
}

impl fmt::Debug for RefreshTokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshTokenSecret(***)")
    }
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RefreshToken({} #{}, ***)", self.session, self.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else_is() {
        let token = RefreshToken { session: Uuid::from_bytes([7; 16]).into(), generation: 3, proof: [9; PROOF] };
        let text = token.to_secret().expose().to_owned();
        assert!(RefreshToken::parse(&text) == Some(token));
        let longer = format!("{text}A");
        for bad in ["", "jrt_", "jrt_é", &text[4..], &text[..text.len() - 1], &longer] {
            assert!(RefreshToken::parse(bad).is_none(), "{bad}");
        }
    }
}
