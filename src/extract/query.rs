//! Queries: `?limit=`, `?cursor=`, what a list filters by, and `?days=`. Nothing twice, nothing unknown.

use std::borrow::Cow;
use std::fmt::Display;
use std::future::{Ready, ready};
use std::str::FromStr;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};

use crate::domain::Refusal;
use crate::domain::audit::AuditFilter;
use crate::domain::page::{Cursor, Page};

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

/// More parameters than any list has: looking for repeated ones must stay cheap.
const MOST_PARAMETERS: usize = 32;

/// The parameters of a query that nobody took yet.
pub struct Parameters<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Parameters<'a> {
    /// The whole query of a request, as `take` reads it.
    ///
    /// # Errors
    /// [`Refusal::ValidationFailed`] where a parameter is there twice, or one is left that nobody took (security 21).
    pub fn read<T>(
        request: &'a HttpRequest,
        take: impl FnOnce(&mut Self) -> Result<T, Refusal>,
    ) -> Ready<Result<T, Refusal>> {
        Self::read_known(request, |given| {
            let read = take(given)?;
            given.ensure_empty()?;
            Ok(read)
        })
    }

    /// The same where others may have added parameters of their own, as marketing does to links: those are left alone.
    ///
    /// # Errors
    /// [`Refusal::ValidationFailed`] where a parameter is there twice.
    pub fn read_known<T>(
        request: &'a HttpRequest,
        take: impl FnOnce(&mut Self) -> Result<T, Refusal>,
    ) -> Ready<Result<T, Refusal>> {
        ready(Self::of(request).and_then(|mut given| take(&mut given)))
    }

    fn of(request: &'a HttpRequest) -> Result<Self, Refusal> {
        let mut given: Vec<(Cow<'a, str>, _)> = Vec::new();
        for (name, value) in url::form_urlencoded::parse(request.query_string().as_bytes()) {
            if given.iter().any(|(known, _)| *known == name) {
                return Err(Refusal::invalid(&shown(&name), "must not be repeated"));
            }
            if given.len() == MOST_PARAMETERS {
                return Err(Refusal::MalformedRequest("The query has too many parameters".to_owned()));
            }
            given.push((name, value));
        }
        Ok(Self(given))
    }

    /// Takes a parameter as it stands.
    pub fn take(&mut self, name: &str) -> Option<Cow<'a, str>> {
        let index = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(index).1)
    }

    /// Takes a parameter as a text; one that is absent is empty.
    pub fn text(&mut self, name: &str) -> String {
        self.take(name).unwrap_or_default().into_owned()
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
        self.take(name).map(|text| text.parse().map_err(|error| Refusal::invalid(name, error))).transpose()
    }

    fn ensure_empty(&self) -> Result<(), Refusal> {
        match self.0.first() {
            Some((unknown, _)) => Err(Refusal::invalid(&shown(unknown), "is not a known parameter")),
            None => Ok(()),
        }
    }
}

/// A name that a client sent, as an answer may repeat it.
fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(64).collect()
}
