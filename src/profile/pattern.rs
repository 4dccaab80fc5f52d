//! Paths of the endpoint table: `/api/v1/goals/{id}`, `/current/**`.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use crate::domain::distinct::first_repeated;
use crate::domain::original_request::{RequestPath, without_case};

/// A path with parameters, and perhaps all that lies below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    /// What the segments must be.
    pub segments: Vec<Segment>,
    /// Whether it is the path itself and everything below it: a trailing `**`.
    pub and_below: bool,
}

/// What one segment of a path must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Exactly this.
    Literal(String),
    /// Anything; the parameter has this name.
    Parameter(String),
}

/// What was given is no [`PathPattern`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    /// It does not begin with a slash, or ends with one.
    #[error("must begin with `/`, and end without")]
    Form,
    /// A segment that no request can have.
    #[error("has the segment `{0}`, which no request can have")]
    Segment(String),
    /// Braces that are no parameter.
    #[error("has `{0}`: a parameter is a whole segment like {{id}}, of a-z 0-9 _")]
    Parameter(String),
    /// A `**` in the middle.
    #[error("has `*` elsewhere than in `**` at its end")]
    Star,
    /// Deeper than any API.
    #[error("has more than {} segments", PathPattern::MOST_SEGMENTS)]
    Deep,
    /// The same parameter twice.
    #[error("names the parameter `{0}` twice")]
    Repeated(String),
}

impl PathPattern {
    /// As deep as a path of the table may be.
    pub const MOST_SEGMENTS: usize = 64;

    /// Whether the pattern has a parameter of this name.
    #[must_use]
    pub fn has_parameter(&self, name: &str) -> bool {
        self.segments.iter().any(|segment| matches!(segment, Segment::Parameter(known) if known == name))
    }

    /// Whether some path matches both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let meet = self.segments.iter().zip(&other.segments).all(|(one, another)| one.overlaps(another));
        meet && self.reaches(other.segments.len()) && other.reaches(self.segments.len())
    }

    /// Which of two that overlap is more specific, `Greater` where it is this one; none where that is not clear.
    ///
    /// Segment by segment over what both match: a literal before a parameter before `**`; where all are alike, the path
    /// itself before the path and all below it. Two that each win somewhere, or that are the same, are not clear.
    #[must_use]
    pub fn more_specific(&self, other: &Self) -> Option<Ordering> {
        let shared = match (self.and_below, other.and_below) {
            (false, _) => self.segments.len(),
            (true, false) => other.segments.len(),
            (true, true) => self.segments.len().max(other.segments.len()),
        };
        let mut clear = other.and_below.cmp(&self.and_below);
        let mut decided = false;
        for place in 0..shared {
            match self.rank(place).cmp(&other.rank(place)) {
                Ordering::Equal => {}
                different if decided && different != clear => return None,
                different => (clear, decided) = (different, true),
            }
        }
        (clear != Ordering::Equal).then_some(clear)
    }

    fn rank(&self, place: usize) -> u8 {
        match self.segments.get(place) {
            Some(Segment::Literal(_)) => 2,
            Some(Segment::Parameter(_)) => 1,
            None => 0,
        }
    }

    /// Whether a path of so many segments may match.
    fn reaches(&self, segments: usize) -> bool {
        self.and_below || self.segments.len() >= segments
    }
}

impl Segment {
    /// Letters count alike in both cases: to some servers they are, and then one path would meet two rules.
    fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Literal(one), Self::Literal(other)) => without_case(one) == without_case(other),
            _ => true,
        }
    }
}

impl FromStr for PathPattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (path, and_below) = match text.strip_suffix("**") {
            Some(path) => (path.strip_suffix('/').unwrap_or(path), true),
            None => (text, false),
        };
        if path.is_empty() && and_below || text == "/" {
            return Ok(Self { segments: Vec::new(), and_below });
        }
        let rest = path.strip_prefix('/').filter(|rest| !rest.ends_with('/')).ok_or(InvalidPattern::Form)?;
        if rest.split('/').count() > Self::MOST_SEGMENTS {
            return Err(InvalidPattern::Deep);
        }
        let segments = rest.split('/').map(Segment::from_str).collect::<Result<Vec<_>, _>>()?;
        let names: Vec<&String> = segments.iter().filter_map(Segment::parameter).collect();
        match first_repeated(&names) {
            Some((_, name)) => Err(InvalidPattern::Repeated((*name).clone())),
            None => Ok(Self { segments, and_below }),
        }
    }
}

impl Segment {
    fn parameter(&self) -> Option<&String> {
        match self {
            Self::Parameter(name) => Some(name),
            Self::Literal(_) => None,
        }
    }
}

impl FromStr for Segment {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_name = |name: &str| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        if text.contains('*') {
            return Err(InvalidPattern::Star);
        }
        if let Some(name) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).filter(|name| is_name(name))
        {
            return Ok(Self::Parameter(name.to_owned()));
        }
        if text.contains(['{', '}']) || text.starts_with(':') {
            return Err(InvalidPattern::Parameter(text.to_owned()));
        }
        // A table is written as people read paths: decoded. What no request can have would never match.
        let encoded = percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC);
        let read = RequestPath::parse(&format!("/{encoded}"));
        if read.is_ok_and(|path| path.as_str().strip_prefix('/') == Some(text)) && !text.is_empty() {
            return Ok(Self::Literal(text.to_owned()));
        }
        Err(InvalidPattern::Segment(text.to_owned()))
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            match segment {
                Segment::Literal(text) => write!(f, "/{text}")?,
                Segment::Parameter(name) => write!(f, "/{{{name}}}")?,
            }
        }
        match (self.segments.is_empty(), self.and_below) {
            (_, true) => f.write_str("/**"),
            (true, false) => f.write_str("/"),
            (false, false) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> PathPattern {
        text.parse().unwrap()
    }

    #[test]
    fn patterns_read_as_they_are_written() {
        for (text, shown) in [
            ("/", "/"),
            ("/**", "/**"),
            ("/a/b", "/a/b"),
            ("/a/{id}/c", "/a/{id}/c"),
            ("/a/**", "/a/**"),
            ("/a**", "/a/**"),
            ("/a/{id}**", "/a/{id}/**"),
        ] {
            assert_eq!(pattern(text).to_string(), shown, "{text}");
        }
        for bad in [
            "", "a", "/a/", "/a//b", "/a/../b", "/a/*/b", "/a/**/b", "/a*", "/{a}b", "/:id", "/{A}", "/{}", "/a;b",
            "/a%20b", "/{a}/{a}",
        ] {
            assert!(bad.parse::<PathPattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_narrower_of_two_is_known() {
        for (narrow, wide) in [
            ("/a/b", "/a/{x}"),
            ("/a/b", "/a/**"),
            ("/a", "/a/**"),
            ("/a/{x}", "/a/**"),
            ("/a/b/**", "/a/**"),
            ("/a/b/**", "/a/{x}/**"),
            ("/a/b/**", "/a/{x}"),
            ("/a/{x}/c", "/a/{y}/**"),
        ] {
            let (narrow, wide) = (pattern(narrow), pattern(wide));
            assert!(narrow.overlaps(&wide) && wide.overlaps(&narrow), "{narrow} {wide}");
            assert_eq!(narrow.more_specific(&wide), Some(Ordering::Greater), "{narrow} {wide}");
            assert_eq!(wide.more_specific(&narrow), Some(Ordering::Less), "{narrow} {wide}");
        }
        for (one, other) in
            [("/a/{x}/c", "/a/b/{y}"), ("/a/{x}", "/a/{y}"), ("/{x}/b", "/a/**"), ("/A", "/a"), ("/a/**", "/a**")]
        {
            let (one, other) = (pattern(one), pattern(other));
            assert!(one.overlaps(&other), "{one} {other}");
            assert_eq!(one.more_specific(&other), None, "{one} {other}");
        }
        for (one, other) in [("/a", "/b"), ("/a", "/a/b"), ("/a/{x}", "/a"), ("/a/b", "/a/b/c"), ("/a/b/**", "/a/c")] {
            assert!(!pattern(one).overlaps(&pattern(other)), "{one} {other}");
        }
    }
}
