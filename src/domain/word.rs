//! Names that a profile gives: roles, access types. Short words that are safe in a token, a log and a URL.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use diesel::deserialize::FromSqlRow;
use diesel::expression::AsExpression;
use diesel::sql_types::Text;
use serde::{Deserialize, Serialize};

/// What was given is no such word.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 32 of the characters a-z 0-9 _ -")]
pub struct InvalidWord;

fn is_word(text: &str) -> bool {
    let fits = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    (1..=32).contains(&text.len()) && text.bytes().all(fits)
}

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(
            Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
            Serialize, Deserialize, AsExpression, FromSqlRow, utoipa::ToSchema,
        )]
        #[serde(try_from = "String", into = "String")]
        #[diesel(sql_type = Text)]
        #[schema(value_type = String, min_length = 1, max_length = 32, pattern = "^[a-z0-9_-]+$")]
        pub struct $name(Cow<'static, str>);

        impl $name {
            /// The word.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidWord;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                if is_word(text) { Ok(Self(Cow::Owned(text.to_owned()))) } else { Err(InvalidWord) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidWord;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(word: $name) -> Self {
                word.0.into_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

words! {
    /// What a member is in a tenant; the profile says what that gives.
    Role,
    /// The preset that an API key was created with.
    AccessTypeName,
}

impl Role {
    /// Runs the tenant: every management scope in it.
    pub const ADMIN: Self = Self(Cow::Borrowed("admin"));

    /// Belongs to the tenant, manages nothing.
    pub const MEMBER: Self = Self(Cow::Borrowed("member"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_short_and_plain() {
        for good in ["admin", "key-holder", "a", "tier_2", &"x".repeat(32)] {
            assert_eq!(good.parse::<Role>().map(String::from).as_deref(), Ok(good));
        }
        for bad in ["", "Admin", "a b", "a\n", "é", &"x".repeat(33)] {
            assert_eq!(bad.parse::<AccessTypeName>(), Err(InvalidWord), "{bad:?}");
        }
    }
}
