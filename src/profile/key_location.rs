//! Where a product's clients put their API keys.

use std::fmt;

use serde::Deserialize;

use crate::domain::Timestamp;

/// What a key is to its holder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyForm {
    /// One text. A rotation makes another key.
    #[default]
    Token,
    /// An id that stays, and a secret that a rotation changes.
    IdAndSecret,
}

/// Where a request has its key.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyLocation {
    /// `Authorization: Bearer KEY` (RFC 6750).
    Bearer,
    /// `Authorization: Token KEY`.
    Token,
    /// `Authorization: Basic base64(id:KEY)` (RFC 7617).
    Basic,
    /// A header of its own.
    Header(KeyHeader),
}

/// The name of a header that has the key and nothing else, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct KeyHeader(String);

/// What was given cannot be such a header.
#[derive(Debug, thiserror::Error)]
#[error("must be the name of a header that means nothing else, like X-API-Key")]
pub struct InvalidHeader;

/// A location of old that is still read for a while: keys in URLs and bodies end up in logs (ASVS 14.2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeprecatedLocation {
    /// Where.
    pub location: OldLocation,
    /// Since when it is deprecated: the field `Deprecation` (RFC 9745).
    pub since: Timestamp,
    /// From when on it is not read any more: the field `Sunset` (RFC 8594).
    pub sunset: Timestamp,
}

/// Where a key was presented in the old days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OldLocation {
    /// A parameter of the query.
    Query(String),
    /// A member of a JSON body.
    Body(String),
}

impl KeyHeader {
    /// The header.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for KeyHeader {
    type Error = InvalidHeader;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        /// Headers that proxies, browsers or Jeton read for something else, and perhaps log.
        const TAKEN: [&str; 25] = [
            "authorization",
            "connection",
            "cookie",
            "date",
            "expect",
            "forwarded",
            "from",
            "host",
            "idempotency-key",
            "keep-alive",
            "origin",
            "pragma",
            "range",
            "referer",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
            "user-agent",
            "via",
            "x-method-override",
            "x-real-ip",
            "x-request-id",
            "x-rewrite-url",
            "x-tenant-id",
        ];
        const TAKEN_FAMILIES: [&str; 11] = [
            "accept",
            "access-control-",
            "cache-",
            "content-",
            "if-",
            "proxy-",
            "sec-",
            "x-auth-",
            "x-forwarded-",
            "x-http-",
            "x-original-",
        ];
        let name = text.to_ascii_lowercase();
        let is_plain =
            !name.is_empty() && name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let is_taken = TAKEN.contains(&&*name) || TAKEN_FAMILIES.iter().any(|family| name.starts_with(family));
        if is_plain && !is_taken { Ok(Self(name)) } else { Err(InvalidHeader) }
    }
}

impl fmt::Display for KeyLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bearer => f.write_str("Authorization: Bearer KEY"),
            Self::Token => f.write_str("Authorization: Token KEY"),
            Self::Basic => f.write_str("Authorization: Basic base64(ID:KEY)"),
            Self::Header(header) => write!(f, "{}: KEY", header.0),
        }
    }
}
