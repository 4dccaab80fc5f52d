//! Whom a token is for (RFC 7519 section 4.1.3).

use std::fmt;
use std::str::FromStr;

use diesel::deserialize::FromSqlRow;
use diesel::expression::AsExpression;
use diesel::sql_types::Text;
use serde::{Deserialize, Serialize};

use super::printable::is_line;

/// One name of those whom a token may be for: one line of 1 to 255 characters, compared byte by byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, AsExpression, FromSqlRow, utoipa::ToSchema)]
#[serde(try_from = "String", into = "String")]
#[diesel(sql_type = Text)]
#[schema(value_type = String, min_length = 1, max_length = 255)]
pub struct Audience(String);

/// What was given is no [`Audience`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 255 characters on one line, without invisible characters or outer spaces")]
pub struct InvalidAudience;

impl Audience {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What was stored, and is believed: what would be refused today too.
    pub(crate) fn stored(text: String) -> Self {
        Self(text)
    }
}

impl FromStr for Audience {
    type Err = InvalidAudience;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.to_owned().try_into()
    }
}

impl TryFrom<String> for Audience {
    type Error = InvalidAudience;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if is_line(&text, 255) { Ok(Self(text)) } else { Err(InvalidAudience) }
    }
}

impl From<Audience> for String {
    fn from(audience: Audience) -> Self {
        audience.0
    }
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_audience_is_one_line_that_looks_like_what_it_is() {
        let long = "x".repeat(255);
        for good in ["api", "https://api.example.com", "für alle", &long] {
            assert_eq!(good.parse::<Audience>().unwrap().as_str(), good);
        }
        for bad in ["", "a\nb", " api", "api ", "api\u{2028}", "\u{202e}ipa", &format!("{long}x")] {
            assert_eq!(bad.parse::<Audience>(), Err(InvalidAudience), "{bad:?}");
        }
        assert_eq!(Audience::stored(" api".to_owned()).as_str(), " api", "it was accepted once");
    }
}
