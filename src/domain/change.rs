//! A change of something that may be absent: leave it, set it, or take it away.

use serde::{Deserialize, Deserializer};

/// In a `PATCH` body: an absent member keeps, `null` clears, anything else sets (RFC 7396).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// It stays as it is.
    #[default]
    Keep,
    /// It becomes this.
    Set(T),
    /// It is taken away.
    Clear,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Change<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Clear, Self::Set))
    }
}
