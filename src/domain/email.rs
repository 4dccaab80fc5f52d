//! E-mail addresses.

use std::fmt;
use std::str::FromStr;

use diesel::deserialize::FromSqlRow;
use diesel::expression::AsExpression;
use diesel::sql_types::Text;
use serde::{Deserialize, Serialize};
use validator::ValidateEmail;

/// An address in lower case: compared so, stored so, at most 254 characters (RFC 5321).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, AsExpression, FromSqlRow, utoipa::ToSchema)]
#[serde(try_from = "String", into = "String")]
#[diesel(sql_type = Text)]
#[schema(value_type = String, format = Email)]
pub struct Email(String);

/// What was given is no e-mail address.
#[derive(Debug, thiserror::Error)]
#[error("must be an e-mail address of at most 254 characters")]
pub struct InvalidEmail;

impl Email {
    /// The address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Email {
    type Err = InvalidEmail;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // What is checked is what is stored: some letters grow when they are made lower case.
        let lower = text.to_lowercase();
        let fits = lower.len() <= 254 && lower.validate_email() && lower.to_lowercase() == lower;
        if fits { Ok(Self(lower)) } else { Err(InvalidEmail) }
    }
}

impl TryFrom<String> for Email {
    type Error = InvalidEmail;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Email> for String {
    fn from(email: Email) -> Self {
        email.0
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_accepted_is_accepted_again_when_it_is_read_back() {
        let grows = format!("a@{}test", ["İ".repeat(20), ".".to_owned()].concat().repeat(6));
        for text in ["Ada@Lovelace.Example", "a@b.example", "İ@b.example", &grows] {
            if let Ok(email) = text.parse::<Email>() {
                assert_eq!(email.as_str().parse::<Email>().unwrap(), email, "{text}");
            }
        }
        assert_eq!("Ada@Lovelace.Example".parse::<Email>().unwrap().as_str(), "ada@lovelace.example");
        assert!(grows.parse::<Email>().is_err());
        assert!("a\0@b.example".parse::<Email>().is_err());
    }
}
