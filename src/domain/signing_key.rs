//! Signing keys as people see them: never with their private half.

use std::str::FromStr;

use diesel::Queryable;
use diesel::deserialize::FromSqlRow;
use diesel::expression::AsExpression;
use diesel::sql_types::Text;
use serde::Serialize;

use super::{Algorithm, Timestamp};

/// A signing key, without its private half.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Serialize, utoipa::ToSchema)]
pub struct SigningKeyInfo {
    /// The RFC 7638 thumbprint.
    pub kid: String,
    /// What it signs with.
    #[schema(value_type = String)]
    pub algorithm: Algorithm,
    /// Where it is in its life.
    pub state: KeyState,
    /// When it was made.
    pub created_at: Timestamp,
    /// When verifiers could first know it.
    pub published_at: Option<Timestamp>,
    /// When it may sign, where it had to wait for that.
    pub signs_at: Option<Timestamp>,
    /// When it began to sign.
    pub activated_at: Option<Timestamp>,
    /// When its last token is dead, once it signs no more.
    pub retires_at: Option<Timestamp>,
    /// When it was published no more.
    pub retired_at: Option<Timestamp>,
    /// The longest that verifiers were ever told to keep the key set with it.
    #[serde(skip)]
    pub cache_seconds: i64,
    /// The longest life of a token that it may have signed.
    #[serde(skip)]
    pub token_seconds: i64,
}

/// Where a signing key is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, AsExpression, FromSqlRow, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[diesel(sql_type = Text)]
pub enum KeyState {
    /// Published, so that verifiers know it before it signs.
    Pending,
    /// Signs.
    Active,
    /// Signs no more, and stays published until its last token is dead.
    Retiring,
    /// History.
    Retired,
    /// Leaked: published no more, whatever it signed.
    Compromised,
}

/// There is no state of this name.
#[derive(Debug, thiserror::Error)]
#[error("unknown state of a signing key")]
pub struct UnknownState;

impl KeyState {
    /// The states in which verifiers are shown a key.
    pub const PUBLISHED: [Self; 3] = [Self::Pending, Self::Active, Self::Retiring];

    /// The state's name.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Retiring => "retiring",
            Self::Retired => "retired",
            Self::Compromised => "compromised",
        }
    }

    /// Whether verifiers are shown the key.
    #[must_use]
    pub fn is_published(self) -> bool {
        Self::PUBLISHED.contains(&self)
    }
}

impl FromStr for KeyState {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Pending, Self::Active, Self::Retiring, Self::Retired, Self::Compromised]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or(UnknownState)
    }
}
