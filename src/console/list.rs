//! What lists have in common: which page is open, the ways to others, and what was just done; and the choices of a
//! form.

use std::future::Ready;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};

use super::date::Moment;
use super::texts;
use crate::domain::page::Page;
use crate::domain::{Refusal, Timestamp};
use crate::extract::query::Parameters;

/// Rows on a page: enough to look through, and a small page.
pub const ROWS: i64 = 50;

/// The first page of a list.
pub const FIRST: Page = Page { limit: ROWS, after: None };

/// The query of a list.
pub struct ListQuery {
    /// Which page of it.
    pub page: Page,
    /// What was just done.
    pub done: String,
}

/// The query of a page to which a form leads: what was just done.
pub struct Done(pub String);

/// The ways from a page of a list to others of it.
pub struct Pages {
    /// The address of the first one, to which a parameter can be added.
    pub first: String,
    /// Whether it is the first one.
    pub is_first: bool,
    /// The cursor of the next one.
    pub next: Option<String>,
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

impl FromRequest for ListQuery {
    type Error = Refusal;
    type Future = Ready<Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        Parameters::read_known(request, |given| Ok(Self { page: given.page(ROWS)?, done: given.text("done")? }))
    }
}

impl FromRequest for Done {
    type Error = Refusal;
    type Future = Ready<Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        Parameters::read_known(request, |given| given.text("done").map(Self))
    }
}

impl Pages {
    /// Of the list at `path`, which ends with `?` or `&`, where `page` is open.
    pub fn of(path: impl Into<String>, page: Page, next: Option<String>) -> Self {
        let (path, limit) = (path.into(), page.limit);
        let first = if limit == ROWS { path } else { format!("{path}limit={limit}&") };
        Self { first, is_first: page.after.is_none(), next }
    }
}

/// How a moment looks now.
pub fn moment(at: Timestamp, now: Timestamp) -> Moment {
    Moment::of(at, now, &texts::EN.time)
}
