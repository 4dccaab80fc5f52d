//! The types of configuration values. What is secret shows as `****` in `Debug`, in print and in errors.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use data_encoding::BASE64;
use serde::ser::{Serialize, SerializeStruct as _, Serializer};
use url::Url;
use zeroize::Zeroizing;

use crate::domain::{Algorithm, Audience};

/// What stands for a secret wherever a person may read it.
pub(super) const MASK: &str = "****";

/// Where clients reach this server; the `iss` of every token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    issuer: String,
    origin: Origin,
}

impl PublicUrl {
    /// The issuer: the URL exactly as it was configured, without a trailing slash.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// What stands in it behind the host: nothing, or a path that begins with a slash.
    #[must_use]
    pub fn path(&self) -> &str {
        authority(&self.issuer).1
    }

    /// The server's own origin, as a browser would name it.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }
}

impl FromStr for PublicUrl {
    type Err = Unfit;

    fn from_str(text: &str) -> Result<Self, Unfit> {
        let url = http_url(text)?;
        let plain = url.query().is_none() && url.fragment().is_none() && !text.ends_with('/');
        plain.then(|| Self { issuer: text.to_owned(), origin: Origin(url.origin().ascii_serialization()) }).ok_or(Unfit)
    }
}

impl PublicUrl {
    /// The URL of a server that is reached where it listens, over TLS or without.
    pub(super) fn of(address: SocketAddr, tls: bool) -> Self {
        let (scheme, port) = if tls { ("https", ":443") } else { ("http", ":80") };
        let issuer = format!("{scheme}://{address}");
        Self { origin: Origin(issuer.strip_suffix(port).unwrap_or(&issuer).to_owned()), issuer }
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.issuer)
    }
}

/// An exact web origin: `scheme://host[:port]`, in the form that a browser sends.
///
/// Compared as a whole and never by prefix or suffix: `https://app.example.evil` must not pass for
/// `https://app.example` (security rule 23).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin(String);

impl Origin {
    /// The origin as it stands in a request's `Origin` header.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Origin {
    type Err = Unfit;

    /// Takes an origin only in the form that browsers send (lower case, no default port, no slash): any
    /// other would never match a request.
    fn from_str(text: &str) -> Result<Self, Unfit> {
        let origin = http_url(text)?.origin().ascii_serialization();
        (origin == text && !text.contains('*')).then_some(Self(origin)).ok_or(Unfit)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where the data is.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// The embedded database: the path of its file.
    Sqlite(PathBuf),
    /// A PostgreSQL server: its URL, password included.
    Postgres(Zeroizing<String>),
}

impl FromStr for DatabaseUrl {
    type Err = Unfit;

    fn from_str(text: &str) -> Result<Self, Unfit> {
        match text.split_once("://").ok_or(Unfit)? {
            // Each connection would have a memory database of its own, and a query would be ignored.
            ("sqlite", "" | ":memory:") => Err(Unfit),
            ("sqlite", path) if !path.contains(['?', '#']) => Ok(Self::Sqlite(PathBuf::from(path))),
            // Only where the password ends beyond doubt can it be masked: `/`, `?` and, behind it, `@` are
            // to be percent-encoded.
            ("postgres" | "postgresql", _) if !authority(text).1.contains('@') => {
                Ok(Self::Postgres(Zeroizing::new(text.to_owned())))
            }
            _ => Err(Unfit),
        }
    }
}

/// The URL without its password.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            Self::Postgres(url) => f.write_str(&without_password(url)),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The key that encrypts and keys all other secrets at rest: 32 random bytes, written in base64.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey(Zeroizing<[u8; 32]>);

impl MasterKey {
    /// The key of these bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The raw bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key as it stands in its file.
    #[must_use]
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE64.encode(self.as_bytes()))
    }
}

impl FromStr for MasterKey {
    type Err = Unfit;

    fn from_str(text: &str) -> Result<Self, Unfit> {
        let bytes = Zeroizing::new(BASE64.decode(text.trim().as_bytes()).map_err(|_| Unfit)?);
        Ok(Self::new(bytes.as_slice().try_into().map_err(|_| Unfit)?))
    }
}

impl fmt::Display for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// An audience that this server may issue tokens for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedAudience {
    /// The `aud` of its tokens.
    pub name: Audience,
    /// The algorithm of its tokens; `keys.algorithm` where there is none.
    pub algorithm: Option<Algorithm>,
}

impl FromStr for OfferedAudience {
    type Err = Unfit;

    /// Takes less than any audience may be: only what needs no care wherever it is configured.
    fn from_str(name: &str) -> Result<Self, Unfit> {
        if !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Unfit);
        }
        Ok(Self { name: name.parse().map_err(|_| Unfit)?, algorithm: None })
    }
}

/// In the form in which it is configured.
impl Serialize for OfferedAudience {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.algorithm {
            None => serializer.serialize_str(self.name.as_str()),
            Some(algorithm) => {
                let mut table = serializer.serialize_struct("OfferedAudience", 2)?;
                table.serialize_field("name", &self.name)?;
                table.serialize_field("algorithm", &algorithm)?;
                table.end()
            }
        }
    }
}

/// The text is no value of this type; what would be is said where the value is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unfit;

/// Values that print in the form in which they are configured.
macro_rules! serialize_as_displayed {
    ($($type:ty),+) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )+};
}
serialize_as_displayed!(PublicUrl, Origin, DatabaseUrl, MasterKey);

fn http_url(text: &str) -> Result<Url, Unfit> {
    let url = Url::parse(text).map_err(|_| Unfit)?;
    let fit = matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none();
    (fit && !text.contains(|c: char| c.is_whitespace() || c.is_control())).then_some(url).ok_or(Unfit)
}

/// The part of a URL with the user and the hosts, and the rest. Made by hand, for libpq takes URLs that others refuse:
/// several hosts, or none.
fn authority(url: &str) -> (&str, &str) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()))
}

/// A PostgreSQL URL with every password in it masked.
fn without_password(url: &str) -> String {
    let (authority, rest) = authority(url);
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let place = match authority.rsplit_once('@') {
        Some((user, hosts)) => match user.split_once(':') {
            Some((name, _)) => format!("{name}:{MASK}@{hosts}"),
            None => format!("{user}@{hosts}"),
        },
        None => authority.to_owned(),
    };
    let mut shown = format!("postgres://{place}{path}");
    for (index, (name, value)) in url::form_urlencoded::parse(query.as_bytes()).enumerate() {
        shown.push(if index == 0 { '?' } else { '&' });
        shown.push_str(&name);
        shown.push('=');
        shown.push_str(if name.contains("pass") { MASK } else { &value });
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_urls() {
        for text in ["http://127.0.0.1:8080", "https://auth.example", "https://example/auth", "http://[::1]:80"] {
            assert_eq!(text.parse::<PublicUrl>().unwrap().issuer(), text);
        }
        for text in
            ["", "auth.example", "ftp://a", "https://a/", "https://a?b", "https://a#b", "https://u:p@a", "https://a "]
        {
            assert_eq!(text.parse::<PublicUrl>(), Err(Unfit), "{text:?}");
        }
        let url: PublicUrl = "https://a:443/b/c".parse().unwrap();
        assert_eq!((url.origin().as_str(), url.path()), ("https://a", "/b/c"));
        assert_eq!("https://[::1]:80".parse::<PublicUrl>().unwrap().path(), "");
    }

    #[test]
    fn origins_are_exact() {
        for text in ["https://app.example", "http://localhost:3000", "http://[::1]:8080"] {
            assert_eq!(text.parse::<Origin>().unwrap().as_str(), text);
        }
        for text in [
            "",
            "null",
            "*",
            "https://*.example",
            "https://a/",
            "https://a/b",
            "https://A",
            "https://a:443",
            "a.example",
            "https://u@a",
        ] {
            assert_eq!(text.parse::<Origin>(), Err(Unfit), "{text:?}");
        }
    }

    #[test]
    fn a_database_url_never_shows_a_password() {
        for (url, shown) in [
            ("sqlite://data/jeton.db", "sqlite://data/jeton.db"),
            ("postgres://h/db", "postgres://h/db"),
            ("postgresql://jeton:hunter2@h:5432,i:5433/db", "postgres://jeton:****@h:5432,i:5433/db"),
            ("postgres://jeton:hun@ter2@h/db", "postgres://jeton:****@h/db"),
            ("postgres://jeton@h/db?sslmode=require", "postgres://jeton@h/db?sslmode=require"),
            ("postgres:///db?host=/tmp&user=a&p%61ssword=hunter2", "postgres:///db?host=/tmp&user=a&password=****"),
        ] {
            let url: DatabaseUrl = url.parse().unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), shown);
        }
    }

    #[test]
    fn what_is_no_database_url() {
        for text in [
            "",
            "jeton.db",
            "mysql://h/db",
            "sqlite://",
            "sqlite://:memory:",
            "sqlite://a?mode=rwc",
            "postgres://u:a/b@h/db",
        ] {
            assert_eq!(text.parse::<DatabaseUrl>(), Err(Unfit), "{text:?}");
        }
    }

    #[test]
    fn a_master_key_is_32_bytes_and_never_shown() {
        let key = MasterKey::new([7; 32]);
        assert_eq!(key.to_base64().parse(), Ok(key.clone()));
        assert_eq!(format!("{key} {key:?}"), "**** ****");
        for text in ["", "AAAA", "not base64", &BASE64.encode(&[0; 33])] {
            assert_eq!(text.parse::<MasterKey>(), Err(Unfit), "{text:?}");
        }
    }
}
