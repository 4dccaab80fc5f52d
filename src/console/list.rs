//! What lists have in common: which page is open, and what was just done; and the choices of a form.

use serde::Deserialize;

use super::date::Moment;
use super::texts;
use crate::domain::page::{Cursor, Page};
use crate::domain::{Refusal, Timestamp};

/// Rows on a page: enough to look through, and a small page.
const ROWS: i64 = 50;

/// The query of a list.
#[derive(Default, Deserialize)]
pub struct ListQuery {
    #[serde(default)]
    cursor: String,
    /// What was just done.
    #[serde(default)]
    pub done: String,
}

/// One of the answers to a question of a form.
pub struct Choice {
    /// What the form sends.
    pub value: String,
    /// What people read.
    pub text: String,
    /// What it means.
    pub hint: String,
    /// Whether it is chosen.
    pub is_chosen: bool,
}

impl ListQuery {
    /// The page that is asked for.
    pub fn page(&self) -> Result<Page, Refusal> {
        page(&self.cursor)
    }

    /// Whether it is the first one.
    pub fn is_first(&self) -> bool {
        self.cursor.is_empty()
    }
}

/// The page behind this cursor; the first where it is empty.
pub fn page(cursor: &str) -> Result<Page, Refusal> {
    let after = match cursor {
        "" => None,
        text => Some(text.parse::<Cursor>().map_err(|_| Refusal::NotFound)?.0),
    };
    Ok(Page { limit: ROWS, after })
}

/// How a moment looks now.
pub fn moment(at: Timestamp, now: Timestamp) -> Moment {
    Moment::of(at, now, &texts::EN.time)
}
