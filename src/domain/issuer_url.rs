//! Who issued a token, as its `iss` says it (OpenID Connect Core section 2).

use std::fmt;
use std::str::FromStr;

use diesel::deserialize::FromSqlRow;
use diesel::expression::AsExpression;
use diesel::sql_types::Text;
use serde::{Deserialize, Serialize};
use url::Url;

/// An `https` URL without query, fragment and credentials. It is kept as it was written, for an `iss` is compared byte
/// by byte (RFC 7519 section 2, `StringOrURI`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, AsExpression, FromSqlRow, utoipa::ToSchema)]
#[serde(try_from = "String", into = "String")]
#[diesel(sql_type = Text)]
#[schema(value_type = String, max_length = 255, example = "https://token.actions.githubusercontent.com")]
pub struct IssuerUrl(String);

/// What was given is no [`IssuerUrl`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an https URL of at most 255 characters, without query, fragment and credentials")]
pub struct InvalidIssuerUrl;

impl IssuerUrl {
    /// The URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where the issuer says what its keys are (OpenID Connect Discovery section 4).
    #[must_use]
    pub fn discovery(&self) -> String {
        format!("{}/.well-known/openid-configuration", self.0.trim_end_matches('/'))
    }

    /// Whether both name the same server, however they are written.
    #[must_use]
    pub fn is_same_as(&self, other: &str) -> bool {
        let plain = |text: &str| Url::parse(text.trim_end_matches('/')).ok();
        self.0 == other || plain(&self.0).is_some_and(|url| plain(other) == Some(url))
    }
}

impl FromStr for IssuerUrl {
    type Err = InvalidIssuerUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = Url::parse(text).map_err(|_| InvalidIssuerUrl)?;
        let is_plain =
            url.scheme() == "https" && url.has_host() && url.username().is_empty() && url.password().is_none();
        // In their own characters: the parser would forgive spaces, line breaks and backslashes.
        let is_as_written = text.len() <= 255
            && text.starts_with("https://")
            && text
                .bytes()
                .all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b'@' | b'\\' | b'"' | b'<' | b'>'));
        if is_plain && is_as_written { Ok(Self(text.to_owned())) } else { Err(InvalidIssuerUrl) }
    }
}

impl TryFrom<String> for IssuerUrl {
    type Error = InvalidIssuerUrl;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<IssuerUrl> for String {
    fn from(url: IssuerUrl) -> Self {
        url.0
    }
}

impl fmt::Display for IssuerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_an_https_url_as_it_is_written() {
        let discovery = |text: &str| text.parse::<IssuerUrl>().unwrap().discovery();
        assert_eq!(discovery("https://a.example"), "https://a.example/.well-known/openid-configuration");
        assert_eq!(discovery("https://a.example/"), "https://a.example/.well-known/openid-configuration");
        assert_eq!(
            discovery("https://a.example:8443/id/7"),
            "https://a.example:8443/id/7/.well-known/openid-configuration"
        );
        let long = format!("https://a.example/{}", "x".repeat(255));
        for bad in [
            "",
            "a.example",
            "http://a.example",
            "https://",
            "https://u@a.example",
            "https://a.example?x",
            "https://a.example#x",
            "HTTPS://a.example",
            "https://a.example/ ",
            " https://a.example",
            "https://a.example\n",
            "https:\\\\a.example",
            &long,
        ] {
            assert_eq!(bad.parse::<IssuerUrl>(), Err(InvalidIssuerUrl), "{bad:?}");
        }
    }

    #[test]
    fn one_server_may_be_written_in_several_ways() {
        let issuer: IssuerUrl = "https://a.example/x".parse().unwrap();
        for same in ["https://a.example/x", "https://a.example/x/", "https://A.example:443/x"] {
            assert!(issuer.is_same_as(same), "{same}");
        }
        for other in ["https://a.example", "https://b.example/x", "https://a.example:444/x", "nonsense"] {
            assert!(!issuer.is_same_as(other), "{other}");
        }
    }
}
