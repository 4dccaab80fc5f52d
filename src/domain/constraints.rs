//! Constraints: what an API key is limited to besides its scopes, such as some channels of many. Jeton carries them from
//! the key into its tokens; the downstream service, which knows what a channel is, enforces them.

use std::collections::BTreeMap;
use std::str::FromStr;

use diesel::deserialize::FromSqlRow;
use diesel::expression::AsExpression;
use diesel::sql_types::Text;
use serde::{Deserialize, Serialize};
use utoipa::openapi::{RefOr, Schema};

/// Values that are allowed, by the name of what they limit. A name that is absent limits nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, AsExpression, FromSqlRow)]
#[serde(try_from = "Values", into = "Values")]
#[diesel(sql_type = Text)]
pub struct Constraints {
    values: Values,
    /// What is stored.
    json: String,
}

type Values = BTreeMap<String, Vec<String>>;

/// What was given are no constraints.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConstraints {
    /// More names or values than a token should carry.
    #[error("must be at most {} names with at most {} values each", Constraints::MOST_NAMES, Constraints::MOST_VALUES)]
    TooMany,
    /// An empty, long or unprintable text.
    #[error("must have names and values of 1 to 64 printable characters")]
    Malformed,
    /// The same value twice.
    #[error("names the value `{0}` twice")]
    Repeated(String),
    /// Not JSON: a damaged row.
    #[error("must be an object of lists")]
    Json,
}

impl Constraints {
    /// As many names as one key may have.
    pub const MOST_NAMES: usize = 16;

    /// As many values as a name may have: all of them stand in every token.
    pub const MOST_VALUES: usize = 100;

    /// Without the names whose list is empty: where nothing is chosen, everything is permitted. None where no name is left.
    #[must_use]
    pub fn or_none(mut self) -> Option<Self> {
        self.values.retain(|_, values| !values.is_empty());
        (!self.values.is_empty()).then(|| Self::of(self.values))
    }

    fn of(values: Values) -> Self {
        Self { json: serde_json::to_string(&values).unwrap_or_default(), values }
    }

    /// The names of what is limited.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// The JSON that is stored.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.json
    }
}

impl TryFrom<Values> for Constraints {
    type Error = InvalidConstraints;

    fn try_from(map: Values) -> Result<Self, Self::Error> {
        if map.len() > Self::MOST_NAMES || map.values().any(|values| values.len() > Self::MOST_VALUES) {
            return Err(InvalidConstraints::TooMany);
        }
        let fits = |text: &String| (1..=64).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        if !map.keys().chain(map.values().flatten()).all(fits) {
            return Err(InvalidConstraints::Malformed);
        }
        for values in map.values() {
            let earlier = |(index, value)| values.iter().take(index).any(|earlier| earlier == value);
            if let Some((_, value)) = values.iter().enumerate().find(|pair| earlier(*pair)) {
                return Err(InvalidConstraints::Repeated(value.clone()));
            }
        }
        Ok(Self::of(map))
    }
}

impl FromStr for Constraints {
    type Err = InvalidConstraints;

    fn from_str(json: &str) -> Result<Self, Self::Err> {
        serde_json::from_str::<Values>(json).map_err(|_| InvalidConstraints::Json)?.try_into()
    }
}

impl utoipa::PartialSchema for Constraints {
    fn schema() -> RefOr<Schema> {
        <Values as utoipa::PartialSchema>::schema()
    }
}

impl utoipa::ToSchema for Constraints {}

impl From<Constraints> for Values {
    fn from(constraints: Constraints) -> Self {
        constraints.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_chooses_nothing_limits_nothing() {
        let given: Constraints = r#"{"channels":["email"],"attributes":[]}"#.parse().unwrap();
        let kept = given.or_none().unwrap();
        assert_eq!(kept.as_str(), r#"{"channels":["email"]}"#);
        assert_eq!(kept.as_str().parse(), Ok(kept.clone()));
        assert_eq!(r#"{"attributes":[]}"#.parse::<Constraints>().unwrap().or_none(), None);
    }

    #[test]
    fn lists_of_short_texts_and_nothing_else() {
        let long = format!(r#"{{"a":["{}"]}}"#, "x".repeat(65));
        let many = format!(r#"{{"a":{}}}"#, serde_json::json!((0..101).map(|n| n.to_string()).collect::<Vec<_>>()));
        for bad in [r#"{"a":[""]}"#, r#"{"":["b"]}"#, r#"{"a":["b","b"]}"#, r#"{"a":"b"}"#, "[]", &long, &many] {
            assert!(bad.parse::<Constraints>().is_err(), "{bad}");
        }
    }
}
