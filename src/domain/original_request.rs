//! The request that a proxy asks about: its method and its path, in the one spelling that rules are matched against.
//!
//! A rule binds only where proxy, Jeton and upstream read a path alike. Whatever some server would read in another way
//! (a dot segment, an encoded slash, `;`) is therefore refused, never repaired: no spelling of a path gets past its
//! rule.

use std::fmt;

use icu_normalizer::ComposingNormalizerBorrowed;
use percent_encoding::percent_decode_str;

use super::printable::DEFAULT_IGNORABLE;

/// A method that endpoint tables may name. `HEAD` is a `GET` whose answer has no body (RFC 9110 section 9.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Also `HEAD`.
    Get,
    /// `POST`.
    Post,
    /// `PUT`.
    Put,
    /// `PATCH`.
    Patch,
    /// `DELETE`.
    Delete,
    /// Any other, such as `OPTIONS`: no table lists it.
    Other,
}

/// A path that every server reads alike: decoded, `/`, then segments that are neither empty nor dots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestPath(String);

/// What a proxy said about the request is not clear.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ambiguous {
    /// Not a word of capital letters.
    #[error("The method of the original request must be in capital letters")]
    Method,
    /// Not `/path` or `/path?query`.
    #[error("The original request must be an absolute path, as it came in the request line")]
    Form,
    /// A `%` that encodes nothing, or bytes that are no UTF-8.
    #[error("The path of the original request is not percent-encoded UTF-8")]
    Encoding,
    /// A character that servers read in different ways.
    #[error("The path of the original request has a character that servers read in different ways")]
    Character,
    /// `.`, `..`, nothing between two slashes, or what some servers trim to one of them.
    #[error("The path of the original request has an empty or a dot segment, or one that ends in a dot or a space")]
    Segment,
    /// Characters that some servers take for others.
    #[error("The path of the original request is not in Unicode normal form NFKC")]
    NormalForm,
}

impl Method {
    /// The methods that a table may name.
    pub const LISTED: [Self; 5] = [Self::Get, Self::Post, Self::Put, Self::Patch, Self::Delete];

    /// Reads a method as it stands in a request line; methods are case-sensitive (RFC 9110 section 9.1).
    ///
    /// # Errors
    /// [`Ambiguous::Method`].
    pub fn parse(text: &str) -> Result<Self, Ambiguous> {
        let is_word = (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
        Ok(match text {
            "GET" | "HEAD" => Self::Get,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            _ if is_word => Self::Other,
            _ => return Err(Ambiguous::Method),
        })
    }

    /// The method's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Other => "another method",
        }
    }
}

impl RequestPath {
    /// As long as a path may be, in bytes.
    pub const MOST: usize = 8 * 1024;

    /// Reads the path of a request target in origin form (RFC 9112 section 3.2.1), without its query.
    ///
    /// # Errors
    /// See [`Ambiguous`].
    pub fn parse(path: &str) -> Result<Self, Ambiguous> {
        if !path.starts_with('/') || path.len() > Self::MOST {
            return Err(Ambiguous::Form);
        }
        // Visible ASCII only: what is not must come encoded, and some servers cut at a `#` or take `\` for `/`.
        if path.bytes().any(|b| !b.is_ascii_graphic() || matches!(b, b'#' | b'?' | b'\\')) {
            return Err(Ambiguous::Character);
        }
        let decoded = decode(path)?;
        if path == "/" {
            return Ok(Self(decoded));
        }
        // A slash at the end is the same resource to many servers: it must meet the same rule.
        let trimmed = decoded.strip_suffix('/').unwrap_or(&decoded);
        if trimmed.split('/').skip(1).any(is_unclear) {
            return Err(Ambiguous::Segment);
        }
        Ok(Self(trimmed.to_owned()))
    }

    /// The path, decoded.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Each segment in turn; none for `/`.
    pub fn segments(&self) -> impl Iterator<Item = &str> + Clone {
        self.0.split('/').skip(1).filter(|segment| !segment.is_empty())
    }
}

/// A segment as it is to whoever takes letters of both cases for the same. By way of capital letters, of which some
/// stand for several small ones: σ and ς.
#[must_use]
pub fn without_case(segment: &str) -> String {
    segment.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// Some servers trim spaces, and dots at the end; what is left then may be nothing, or a dot segment.
fn is_unclear(segment: &str) -> bool {
    segment.is_empty() || segment.ends_with('.') || segment.trim() != segment
}

/// Decodes once. What would still be encoded then (`%25`), or would divide segments (`%2F`), is read differently by
/// servers that decode twice or early; so is `;`, at which some cut a segment.
fn decode(path: &str) -> Result<String, Ambiguous> {
    let encoded = path.match_indices('%').map(|(index, _)| path.get(index + 1..index + 3));
    for pair in encoded {
        let pair = pair.filter(|pair| pair.bytes().all(|b| b.is_ascii_hexdigit())).ok_or(Ambiguous::Encoding)?;
        let byte = u8::from_str_radix(pair, 16).map_err(|_| Ambiguous::Encoding)?;
        if matches!(byte, b'/' | b'%' | b'?' | b'#') {
            return Err(Ambiguous::Character);
        }
    }
    let decoded = percent_decode_str(path).decode_utf8().map_err(|_| Ambiguous::Encoding)?;
    let is_invisible = |c: char| !c.is_ascii() && (DEFAULT_IGNORABLE.contains(c) || c.is_whitespace());
    if decoded.chars().any(|c| c.is_control() || is_invisible(c) || matches!(c, ';' | '\\')) {
        return Err(Ambiguous::Character);
    }
    // A full-width dot or slash, a Kelvin sign for a K, a letter in two parts: to some servers they are the plain ones.
    if !decoded.is_ascii() && !ComposingNormalizerBorrowed::new_nfkc().is_normalized(&decoded) {
        return Err(Ambiguous::NormalForm);
    }
    Ok(decoded.into_owned())
}

impl fmt::Display for RequestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paths_are_decoded_once() {
        for (given, read) in [
            ("/", "/"),
            ("/a", "/a"),
            ("/a/", "/a"),
            ("/a/b-c_d.e~f", "/a/b-c_d.e~f"),
            ("/a/%62", "/a/b"),
            ("/caf%C3%A9/a%20b", "/café/a b"),
            ("/a/..b", "/a/..b"),
            ("/%E6%97%A5%E6%9C%AC", "/日本"),
            ("/a/.well-known", "/a/.well-known"),
            ("/users/ada@example.com", "/users/ada@example.com"),
        ] {
            assert_eq!(RequestPath::parse(given).as_ref().map(RequestPath::as_str), Ok(read), "{given}");
        }
    }

    #[test]
    fn whatever_can_be_read_in_two_ways_is_refused() {
        for (given, why) in [
            ("", Ambiguous::Form),
            ("a", Ambiguous::Form),
            ("http://a/b", Ambiguous::Form),
            ("*", Ambiguous::Form),
            ("//a", Ambiguous::Segment),
            ("//", Ambiguous::Segment),
            ("/a//b", Ambiguous::Segment),
            ("/a//", Ambiguous::Segment),
            ("/.", Ambiguous::Segment),
            ("/a/./b", Ambiguous::Segment),
            ("/a/../b", Ambiguous::Segment),
            ("/a/..", Ambiguous::Segment),
            ("/a/%2e%2E/b", Ambiguous::Segment),
            ("/a/.%2e/b", Ambiguous::Segment),
            ("/a/...", Ambiguous::Segment),
            ("/a/..%20/b", Ambiguous::Segment),
            ("/a/%20../b", Ambiguous::Segment),
            ("/a/b.", Ambiguous::Segment),
            ("/%EF%BC%8E%EF%BC%8E/a", Ambiguous::NormalForm),
            ("/a%EF%BC%8Fb", Ambiguous::NormalForm),
            ("/%E2%80%A5/x", Ambiguous::NormalForm),
            ("/%E2%84%AAeys", Ambiguous::NormalForm),
            ("/Cafe%CC%81", Ambiguous::NormalForm),
            ("/%EF%BB%BF../x", Ambiguous::Character),
            ("/a%E2%80%8Bb", Ambiguous::Character),
            ("/a%CD%8Fb", Ambiguous::Character),
            ("/a%E2%80%AEb", Ambiguous::Character),
            ("/a%F3%A0%81%A1b", Ambiguous::Character),
            ("/a%C2%A0", Ambiguous::Character),
            ("/a%2Fb", Ambiguous::Character),
            ("/a%2fb", Ambiguous::Character),
            ("/a%5Cb", Ambiguous::Character),
            ("/a\\b", Ambiguous::Character),
            ("/a;b", Ambiguous::Character),
            ("/a/..;/b", Ambiguous::Character),
            ("/a%3Bb", Ambiguous::Character),
            ("/a%00", Ambiguous::Character),
            ("/a%0a", Ambiguous::Character),
            ("/a%252e", Ambiguous::Character),
            ("/a%3Fb", Ambiguous::Character),
            ("/a%23b", Ambiguous::Character),
            ("/a#b", Ambiguous::Character),
            ("/a b", Ambiguous::Character),
            ("/é", Ambiguous::Character),
            ("/a%", Ambiguous::Encoding),
            ("/a%2", Ambiguous::Encoding),
            ("/a%zz", Ambiguous::Encoding),
            ("/a%u002e", Ambiguous::Encoding),
            ("/a%+1", Ambiguous::Encoding),
            ("/a%C0%AE", Ambiguous::Encoding),
            ("/a%E9", Ambiguous::Encoding),
        ] {
            assert_eq!(RequestPath::parse(given), Err(why), "{given}");
        }
        assert_eq!(RequestPath::parse(&format!("/{}", "a".repeat(RequestPath::MOST))), Err(Ambiguous::Form));
    }

    #[test]
    fn methods_are_case_sensitive() {
        assert_eq!(Method::parse("HEAD"), Ok(Method::Get));
        assert_eq!(Method::parse("PATCH"), Ok(Method::Patch));
        assert_eq!(Method::parse("PROPFIND"), Ok(Method::Other));
        for bad in ["get", "Get", "GET ", "", "GE\u{0}T"] {
            assert_eq!(Method::parse(bad), Err(Ambiguous::Method), "{bad:?}");
        }
    }
}
