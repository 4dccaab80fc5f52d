//! The ways in which a product's clients present their API keys.

use std::fmt;

use actix_web::http::header::HeaderName;
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
pub enum KeyWay {
    /// `Authorization: Bearer KEY` (RFC 6750).
    Bearer,
    /// `Authorization: Token KEY`.
    Token,
    /// `Authorization: Basic base64(id:KEY)` (RFC 7617).
    Basic,
    /// A header of its own.
    Header(OwnHeader),
}

/// The name of a header that has the key and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct OwnHeader(HeaderName);

/// What was given cannot be such a header.
#[derive(Debug, thiserror::Error)]
#[error("must be the name of a header that means nothing else, like X-API-Key")]
pub struct InvalidHeader;

/// A way of old that is still read for a while: keys in URLs and bodies end up in logs (ASVS 14.2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeprecatedWay {
    /// Where.
    pub place: DeprecatedPlace,
    /// Since when it is deprecated: the field `Deprecation` (RFC 9745).
    pub since: Timestamp,
    /// From when on it is not read any more: the field `Sunset` (RFC 8594).
    pub sunset: Timestamp,
}

/// Where a key was presented in the old days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeprecatedPlace {
    /// A parameter of the query.
    Query(String),
    /// A member of a JSON body.
    Body(String),
}

impl OwnHeader {
    /// The header.
    #[must_use]
    pub fn name(&self) -> &HeaderName {
        &self.0
    }
}

impl TryFrom<String> for OwnHeader {
    type Error = InvalidHeader;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        /// Headers that proxies, browsers or Jeton read for something else.
        const TAKEN: [&str; 10] = [
            "authorization",
            "connection",
            "content-length",
            "content-type",
            "cookie",
            "host",
            "origin",
            "transfer-encoding",
            "x-forwarded-for",
            "x-tenant-id",
        ];
        let name = HeaderName::try_from(text).map_err(|_| InvalidHeader)?;
        if TAKEN.contains(&name.as_str()) { Err(InvalidHeader) } else { Ok(Self(name)) }
    }
}

impl fmt::Display for KeyWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bearer => f.write_str("Authorization: Bearer KEY"),
            Self::Token => f.write_str("Authorization: Token KEY"),
            Self::Basic => f.write_str("Authorization: Basic base64(ID:KEY)"),
            Self::Header(header) => write!(f, "{}: KEY", header.0),
        }
    }
}
