//! Constraints: what an API key is limited to besides its scopes, such as some channels of many. Jeton carries them
//! from the key into its tokens; the downstream service, which knows what a channel is, enforces them.

use std::collections::BTreeMap;

use diesel::deserialize::FromSqlRow;
use diesel::expression::AsExpression;
use diesel::sql_types::Text;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::openapi::{RefOr, Schema};

use super::distinct::first_repeated;
use super::printable::is_printable;

/// Values that are allowed, by the name of what they limit. A name that is absent limits nothing.
///
/// Kept as the JSON that databases store and tokens carry, so that neither has to build it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, AsExpression, FromSqlRow)]
#[serde(try_from = "Values")]
#[diesel(sql_type = Text)]
pub struct Constraints(String);

type Values = BTreeMap<String, Vec<String>>;

/// What was given are no constraints.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConstraints {
    /// More names or values than a token should carry.
    #[error("must be at most {} names with at most {} values each", Constraints::MOST_NAMES, Constraints::MOST_VALUES)]
    TooMany,
    /// A token with them would not fit into a header.
    #[error("must be at most {} bytes of JSON", Constraints::MOST_BYTES)]
    TooLong,
    /// An empty, long or unprintable text.
    #[error("must have names and values of 1 to 64 printable characters")]
    Malformed,
    /// The same value twice.
    #[error("names the value `{0}` twice")]
    Repeated(String),
}

impl Constraints {
    /// As many names as one key may have.
    pub const MOST_NAMES: usize = 16;

    /// As many values as a name may have.
    pub const MOST_VALUES: usize = 100;

    /// As long as the whole may be: it stands in every token, and proxies read 4 KiB of headers by default.
    pub const MOST_BYTES: usize = 1_536;

    /// Without the names whose list is empty: where nothing is chosen, everything is permitted. None where no name is
    /// left.
    #[must_use]
    pub fn or_none(self) -> Option<Self> {
        let mut values = self.values();
        values.retain(|_, values| !values.is_empty());
        (!values.is_empty()).then(|| Self::of(&values))
    }

    /// The names of what is limited.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.values().into_keys().collect()
    }

    /// The JSON that is stored.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// [`Constraints::stored`], from what Jeton itself has written; none where there were none.
    ///
    /// # Errors
    /// It is no JSON.
    pub(crate) fn read_stored<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error> {
        let json = Option::<Box<RawValue>>::deserialize(deserializer)?;
        Ok(json.map(|json| Self::stored(json.get().to_owned())))
    }

    /// What was stored, and is believed.
    pub(crate) fn stored(json: String) -> Self {
        Self(json)
    }

    fn of(values: &Values) -> Self {
        Self(serde_json::to_string(values).unwrap_or_default())
    }

    fn values(&self) -> Values {
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

impl TryFrom<Values> for Constraints {
    type Error = InvalidConstraints;

    fn try_from(map: Values) -> Result<Self, Self::Error> {
        if map.len() > Self::MOST_NAMES || map.values().any(|values| values.len() > Self::MOST_VALUES) {
            return Err(InvalidConstraints::TooMany);
        }
        if !map.keys().chain(map.values().flatten()).all(|text| is_printable(text, 64)) {
            return Err(InvalidConstraints::Malformed);
        }
        if let Some((_, value)) = map.values().find_map(|values| first_repeated(values)) {
            return Err(InvalidConstraints::Repeated(value.clone()));
        }
        let constraints = Self::of(&map);
        if constraints.0.len() > Self::MOST_BYTES { Err(InvalidConstraints::TooLong) } else { Ok(constraints) }
    }
}

impl Serialize for Constraints {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let json: &RawValue = serde_json::from_str(&self.0).map_err(S::Error::custom)?;
        json.serialize(serializer)
    }
}

impl utoipa::PartialSchema for Constraints {
    fn schema() -> RefOr<Schema> {
        <Values as utoipa::PartialSchema>::schema()
    }
}

impl utoipa::ToSchema for Constraints {}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Constraints, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn what_chooses_nothing_limits_nothing() {
        let given = parse(r#"{"channels":["email"],"attributes":[]}"#).unwrap();
        let kept = given.or_none().unwrap();
        assert_eq!(kept.as_str(), r#"{"channels":["email"]}"#);
        assert_eq!(serde_json::to_string(&kept).unwrap(), kept.as_str());
        assert_eq!(parse(kept.as_str()).unwrap(), kept);
        assert_eq!(parse(r#"{"attributes":[]}"#).unwrap().or_none(), None);
    }

    #[test]
    fn lists_of_short_texts_and_nothing_else() {
        let long = format!(r#"{{"a":["{}"]}}"#, "x".repeat(65));
        let many = format!(r#"{{"a":{}}}"#, serde_json::json!((0..101).map(|n| n.to_string()).collect::<Vec<_>>()));
        for bad in [
            r#"{"a":[""]}"#,
            "{\"a\":[\"b\u{2028}\"]}",
            r#"{"":["b"]}"#,
            r#"{"a":["b","b"]}"#,
            r#"{"a":"b"}"#,
            "[]",
            &long,
            &many,
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
