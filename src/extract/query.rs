//! Queries: `?limit=`, `?cursor=`, what a list filters by, and `?days=`. Nothing twice; nothing unknown but on pages.

use std::borrow::Cow;
use std::fmt::Display;
use std::future::{Ready, ready};
use std::str::FromStr;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};

use crate::domain::Refusal;
use crate::domain::audit::AuditFilter;
use crate::domain::page::{Cursor, Page};
use crate::domain::printable::shown;

/// The page of a list that a request asks for.
pub struct PageQuery(pub Page);

/// The page of the audit log that a request asks for.
pub struct AuditQuery {
    /// Which page.
    pub page: Page,
    /// Of which lines.
    pub filter: AuditFilter,
}

/// The days that a request asks about, today included: 30 where it does not say.
pub struct DaysQuery(pub u16);

impl FromRequest for PageQuery {
    type Error = Refusal;
    type Future = Ready<Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        Parameters::read(request, |given| given.page(Page::DEFAULT.limit).map(Self))
    }
}

impl FromRequest for AuditQuery {
    type Error = Refusal;
    type Future = Ready<Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        Parameters::read(request, |given| {
            let page = given.page(Page::DEFAULT.limit)?;
            let filter = AuditFilter {
                action: given.parse("action")?,
                actor: given.parse("actor")?,
                since: given.parse("since")?,
                until: given.parse("until")?,
            };
            Ok(Self { page, filter })
        })
    }
}

impl FromRequest for DaysQuery {
    type Error = Refusal;
    type Future = Ready<Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        Parameters::read(request, |given| {
            let days = given.parse("days")?.unwrap_or(30);
            if !(1..=MOST_DAYS).contains(&days) {
                return Err(Refusal::invalid("days", format!("must be 1 to {MOST_DAYS}")));
            }
            Ok(Self(days))
        })
    }
}

/// A year, a leap day included; [`crate::manage::sweep`] keeps more.
const MOST_DAYS: u16 = 366;

/// More parameters than any list has: whoever sends a flood of them is told so at once.
const MOST_PARAMETERS: usize = 32;

/// The parameters of a query that nobody took yet.
pub struct Parameters<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Parameters<'a> {
    /// The whole query of a request, as `take` reads it.
    ///
    /// # Errors
    /// [`Refusal::ValidationFailed`] where one is left that nobody took (security 21); [`Refusal::MalformedRequest`]
    /// where there are too many.
    pub fn read<T>(
        request: &'a HttpRequest,
        take: impl FnOnce(&mut Self) -> Result<T, Refusal>,
    ) -> Ready<Result<T, Refusal>> {
        Self::read_known(request, |given| {
            if given.0.len() > MOST_PARAMETERS {
                return Err(Refusal::MalformedRequest("The query has too many parameters".to_owned()));
            }
            let read = take(given)?;
            given.ensure_empty()?;
            Ok(read)
        })
    }

    /// What `take` reads of the query of a page. Whatever else is there is left alone: others add to links, as
    /// marketing does.
    ///
    /// # Errors
    /// As `take` has them.
    pub fn read_known<T>(
        request: &'a HttpRequest,
        take: impl FnOnce(&mut Self) -> Result<T, Refusal>,
    ) -> Ready<Result<T, Refusal>> {
        ready(take(&mut Self(url::form_urlencoded::parse(request.query_string().as_bytes()).collect())))
    }

    /// Takes a parameter as it stands. Twice it is refused, for then nobody knows which one counts (security 26).
    fn take(&mut self, name: &str) -> Result<Option<Cow<'a, str>>, Refusal> {
        let mut values = self.all(name);
        let value = values.pop();
        if values.is_empty() { Ok(value) } else { Err(Refusal::invalid(name, "must not be repeated")) }
    }

    /// Takes every value of a parameter that may be there more than once.
    pub fn all(&mut self, name: &str) -> Vec<Cow<'a, str>> {
        self.0.extract_if(.., |given| given.0 == name).map(|(_, value)| value).collect()
    }

    /// Takes a parameter as a text; one that is absent is empty.
    ///
    /// # Errors
    /// [`Refusal::ValidationFailed`] where it is there twice.
    pub fn text(&mut self, name: &str) -> Result<String, Refusal> {
        self.take(name).map(|text| text.unwrap_or_default().into_owned())
    }

    /// Takes `limit` and `cursor`: a page of `rows` where the query does not say how many.
    ///
    /// # Errors
    /// [`Refusal::ValidationFailed`].
    pub fn page(&mut self, rows: i64) -> Result<Page, Refusal> {
        let limit = self.parse("limit")?.unwrap_or(rows);
        if !(1..=Page::MOST).contains(&limit) {
            return Err(Refusal::invalid("limit", format!("must be 1 to {}", Page::MOST)));
        }
        Ok(Page { limit, after: self.parse::<Cursor>("cursor")?.map(|cursor| cursor.0) })
    }

    fn parse<T: FromStr<Err: Display>>(&mut self, name: &str) -> Result<Option<T>, Refusal> {
        self.take(name)?.map(|text| text.parse().map_err(|error| Refusal::invalid(name, error))).transpose()
    }

    fn ensure_empty(&self) -> Result<(), Refusal> {
        match self.0.first() {
            Some((unknown, _)) => Err(Refusal::invalid(&shown(unknown, 64), "is not a known parameter")),
            None => Ok(()),
        }
    }
}
