//! Lists, a page at a time: newest first, each page begins where the one before ended.

use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;
use serde::Serialize;
use uuid::Uuid;

/// Which page of a list.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// How many items at most, 1 to [`Page::MOST`].
    pub limit: i64,
    /// The last item of the page before.
    pub after: Option<Uuid>,
}

/// Where a page ended: opaque to clients, and no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(pub Uuid);

/// What was given is no cursor of ours.
#[derive(Debug, thiserror::Error)]
#[error("must be a next_cursor of an earlier answer")]
pub struct InvalidCursor;

/// A page of a list (contract section 4).
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Paged<T> {
    /// The items, newest first.
    pub items: Vec<T>,
    /// What `cursor` must be for the next page; null on the last one.
    pub next_cursor: Option<String>,
}

impl Page {
    /// The most items on a page.
    pub const MOST: i64 = 100;

    /// The items on a page where nothing is said.
    pub const DEFAULT: Self = Self { limit: 20, after: None };

    /// Everything there is, for the command line.
    pub const ALL: Self = Self { limit: i64::MAX - 1, after: None };

    /// One more than the page holds, to see whether there is another page.
    #[must_use]
    pub fn fetch(self) -> i64 {
        self.limit.saturating_add(1)
    }

    /// The id that items must sort before: the last one of the page before, or the highest there can be.
    #[must_use]
    pub fn before<T: From<Uuid>>(self) -> T {
        self.after.unwrap_or(Uuid::max()).into()
    }

    /// Makes the page from up to [`Page::fetch`] items.
    pub fn of<T>(self, mut items: Vec<T>, id: impl Fn(&T) -> Uuid) -> Paged<T> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let next_cursor = items.last().filter(|_| more).map(|last| BASE64URL_NOPAD.encode(id(last).as_bytes()));
        Paged { items, next_cursor }
    }
}

impl<T> Paged<T> {
    /// The same page of something else.
    pub fn map<U>(self, to: impl Fn(T) -> U) -> Paged<U> {
        Paged { items: self.items.into_iter().map(to).collect(), next_cursor: self.next_cursor }
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| InvalidCursor)?;
        Uuid::from_slice(&bytes).map(Self).map_err(|_| InvalidCursor)
    }
}
