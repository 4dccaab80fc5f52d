//! Scopes: what a credential may do (RFC 6749 section 3.3). None implies another.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use diesel::deserialize::FromSqlRow;
use diesel::expression::AsExpression;
use diesel::sql_types::Text;
use serde::{Deserialize, Serialize};

use super::distinct::first_repeated;

/// One `resource:action` or `resource.action`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, example = "goals:read")]
pub struct Scope(String);

/// Different scopes in the order given: the `scope` of a token, word by word.
///
/// Kept as the text that tokens carry and databases store, so that neither has to build it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, AsExpression, FromSqlRow)]
#[serde(transparent)]
#[diesel(sql_type = Text)]
pub struct Scopes(Cow<'static, str>);

/// The first scope that a credential lacks of those it was asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct Lacking(pub String);

/// What was given is no scope, or no list of them.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidScope {
    /// Not `resource:action`.
    #[error("must be of the form `resource:action`, at most 64 of the characters a-z 0-9 _ - . :")]
    Malformed,
    /// The same scope twice.
    #[error("names the scope `{0}` twice")]
    Repeated(String),
    /// Something else than single spaces between scopes.
    #[error("must be scopes separated by single spaces")]
    Separator,
    /// Longer than anyone needs.
    #[error("must be at most {} scopes", Scopes::MOST)]
    TooMany,
}

impl Scope {
    /// The scope.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Scope {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b':');
        let words: Vec<&str> = text.split([':', '.']).collect();
        if text.len() <= 64
            && text.bytes().all(allowed)
            && words.len() >= 2
            && words.iter().all(|word| !word.is_empty())
        {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidScope::Malformed)
        }
    }
}

impl Scopes {
    /// As many as one credential may hold.
    pub const MOST: usize = 200;

    /// No scope at all.
    pub const NONE: Self = Self::constant("");

    /// Scopes that we wrote ourselves.
    pub(crate) const fn constant(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }

    /// What was stored, and is believed.
    pub(crate) fn stored(text: String) -> Self {
        Self(text.into())
    }

    /// One scope.
    #[must_use]
    pub fn one(scope: &Scope) -> Self {
        Self(scope.0.clone().into())
    }

    /// Collects different scopes.
    ///
    /// # Errors
    /// One comes twice, or there are more than [`Scopes::MOST`].
    pub fn new(scopes: &[Scope]) -> Result<Self, InvalidScope> {
        if scopes.len() > Self::MOST {
            return Err(InvalidScope::TooMany);
        }
        if let Some((_, scope)) = first_repeated(scopes) {
            return Err(InvalidScope::Repeated(scope.0.clone()));
        }
        Ok(Self(scopes.iter().map(Scope::as_str).collect::<Vec<_>>().join(" ").into()))
    }

    /// The scopes, separated by spaces.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Each scope in turn.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split(' ').filter(|scope| !scope.is_empty())
    }

    /// Whether `scope` is among them.
    #[must_use]
    pub fn contains(&self, scope: &str) -> bool {
        self.iter().any(|held| held == scope)
    }

    /// The scopes that are asked for, all of these where none are: never fewer than were asked for.
    ///
    /// # Errors
    /// The first of them that is not among these.
    pub fn narrow(&self, asked: Option<&Self>) -> Result<Self, Lacking> {
        let asked = asked.unwrap_or(self);
        match asked.iter().find(|scope| !self.contains(scope)) {
            None => Ok(asked.clone()),
            Some(scope) => Err(Lacking(scope.to_owned())),
        }
    }

    /// The scopes that `other` has too.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        self.only(|scope| other.contains(scope))
    }

    /// Those of them that `fits` accepts.
    #[must_use]
    pub fn only(&self, fits: impl Fn(&str) -> bool) -> Self {
        Self(self.iter().filter(|scope| fits(scope)).collect::<Vec<_>>().join(" ").into())
    }

    /// These and one more.
    #[must_use]
    pub fn and_also(&self, scope: &'static str) -> Self {
        if self.0.is_empty() { Self::constant(scope) } else { Self(format!("{} {scope}", self.0).into()) }
    }

    /// Whether `other` has exactly these, in whatever order.
    #[must_use]
    pub fn is_same_set(&self, other: &Self) -> bool {
        self.iter().count() == other.iter().count() && self.iter().all(|scope| other.contains(scope))
    }

    /// The scopes as a list.
    #[must_use]
    pub fn to_vec(&self) -> Vec<Scope> {
        self.iter().map(|scope| Scope(scope.to_owned())).collect()
    }
}

impl FromStr for Scopes {
    type Err = InvalidScope;

    /// Reads `a b c`: single spaces, nothing twice; the empty text is no scope.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Ok(Self::NONE);
        }
        if text.split(' ').any(str::is_empty) || text.contains(['\t', '\n', '\r']) {
            return Err(InvalidScope::Separator);
        }
        let scopes = text.split(' ').map(Scope::from_str).collect::<Result<Vec<_>, _>>()?;
        Self::new(&scopes)
    }
}

impl TryFrom<String> for Scope {
    type Error = InvalidScope;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.0
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Scopes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_two_words_or_more() {
        for good in ["goals:read", "users.track", "users.alias.new", "events.consent:get", "api-keys:read"] {
            assert!(good.parse::<Scope>().is_ok(), "{good}");
        }
        let long = format!("a:{}", "b".repeat(63));
        for bad in ["", "goals", ":read", "goals:", "goals:*", "Goals:read", "goals: read", "a::b", "é:a", &long] {
            assert_eq!(bad.parse::<Scope>(), Err(InvalidScope::Malformed), "{bad}");
        }
    }

    #[test]
    fn scopes_are_separated_by_single_spaces() {
        assert_eq!("".parse(), Ok(Scopes::NONE));
        assert_eq!("a:b c:d".parse::<Scopes>().map(|s| s.iter().count()), Ok(2));
        for bad in [" a:b", "a:b ", "a:b  c:d", "a:b\tc:d", "a:b\n"] {
            assert_eq!(bad.parse::<Scopes>(), Err(InvalidScope::Separator), "{bad:?}");
        }
        assert_eq!("a:b a:b".parse::<Scopes>(), Err(InvalidScope::Repeated("a:b".into())));
    }

    #[test]
    fn no_scope_implies_another() {
        let held: Scopes = "goals:write".parse().unwrap();
        let asked: Scopes = "goals:write goals:read".parse().unwrap();
        assert_eq!(held.narrow(Some(&asked)), Err(Lacking("goals:read".into())));
        assert_eq!(asked.narrow(Some(&held)), Ok(held.clone()));
        assert_eq!(asked.narrow(None), Ok(asked.clone()));
        assert_eq!(asked.and(&held), held);
    }
}
