//! `/console/audit`: what was done in the organisation.

use std::future::Ready;

use actix_web::dev::Payload;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use askama::Template;
use chrono::TimeDelta;
use url::form_urlencoded;

use super::date::Moment;
use super::list::{Pages, ROWS, moment};
use super::page::{Page, Place};
use super::refused::Refused;
use super::session::Visitor;
use super::texts;
use crate::app::App;
use crate::domain::audit::{AuditEvent, AuditFilter, Sought};
use crate::domain::page::Page as ListPage;
use crate::domain::refusal::FieldError;
use crate::domain::{Refusal, Timestamp};
use crate::extract::Then;
use crate::extract::principal::{ReadAudit, SignedIn};
use crate::extract::query::Parameters;
use crate::manage;

/// What somebody looks for. A form sends what is empty too.
pub struct Asked {
    page: ListPage,
    action: String,
    actor: String,
    since: String,
    until: String,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct Log<'a> {
    page: Page<'a>,
    asked: &'a Asked,
    refused: Refused,
    rows: Vec<Row>,
    pages: Pages,
    /// How many lines were asked for, where that is no matter of course.
    limit: Option<i64>,
    /// The log without a filter.
    unfiltered: String,
    is_filtered: bool,
}

/// A line of the log.
struct Row {
    at: Moment,
    event: AuditEvent,
    is_success: bool,
    is_me: bool,
    /// The log with this actor alone.
    by_same: String,
}

/// The page.
pub async fn page(
    app: Data<App>,
    Then(visitor, asked): Then<Visitor<ReadAudit>, Asked>,
) -> Result<HttpResponse, Refusal> {
    let now = app.now();
    let (filter, refused) = asked.filter()?;
    let found =
        if refused.any() { None } else { Some(manage::audit::list(&app, visitor.tenant(), filter, asked.page).await?) };
    let (events, next) = found.map_or((Vec::new(), None), |found| (found.items, found.next_cursor));
    let log = Log {
        page: Page::of(&app, &visitor, Place::Audit, texts::EN.audit.title),
        rows: events.into_iter().map(|event| Row::of(event, &asked, &visitor, now)).collect(),
        pages: Pages::of(address(asked.fields()), asked.page, next),
        limit: Some(asked.page.limit).filter(|limit| *limit != ROWS),
        unfiltered: asked.link([]),
        is_filtered: asked.fields().next().is_some(),
        asked: &asked,
        refused,
    };
    log.refused.answer(&app, &log)
}

impl FromRequest for Asked {
    type Error = Refusal;
    type Future = Ready<Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        Parameters::read_known(request, |given| {
            Ok(Self {
                page: given.page(ROWS)?,
                action: given.text("action")?,
                actor: given.text("actor")?,
                since: given.text("since")?,
                until: given.text("until")?,
            })
        })
    }
}

impl Asked {
    fn filter(&self) -> Result<(AuditFilter, Refused), Refusal> {
        let mut faults = Vec::new();
        let mut time = |name: &str, text: &str| {
            let read = read_time(text);
            if read.is_none() && !text.is_empty() {
                let message = texts::EN.audit.bad_time.to_owned();
                faults.push(FieldError { field: name.to_owned(), message });
            }
            read
        };
        let (since, until) = (time("since", &self.since), time("until", &self.until));
        let t = &texts::EN.audit;
        let mut wrong = |field: &str, message: &str| {
            faults.push(FieldError { field: field.to_owned(), message: message.to_owned() });
        };
        let until = until.map(|until| if is_minute(&self.until) { until.plus(TimeDelta::minutes(1)) } else { until });
        if since.zip(until).is_some_and(|(since, until)| until <= since) {
            wrong("until", t.until_sooner);
        }
        if self.actor.contains('@') {
            wrong("actor", t.no_address);
        }
        let mut sought = |name: &str, text: &str| {
            let text = Some(text.trim()).filter(|text| !text.is_empty())?;
            text.parse::<Sought>().map_err(|error| wrong(name, &error.to_string())).ok()
        };
        let (action, actor) = (sought("action", &self.action), sought("actor", &self.actor));
        let filter = AuditFilter { action, actor, since, until };
        let refused =
            if faults.is_empty() { Refused::default() } else { Refused::of(Refusal::ValidationFailed(faults))? };
        Ok((filter, refused))
    }

    fn fields(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [("action", &self.action), ("actor", &self.actor), ("since", &self.since), ("until", &self.until)];
        all.into_iter().map(|(name, value)| (name, value.as_str())).filter(|(_, value)| !value.is_empty())
    }

    /// The address of the log with these fields, in pages as long as this one.
    fn link<const N: usize>(&self, fields: [(&'static str, &str); N]) -> String {
        Pages::of(address(fields.into_iter()), self.page, None).first.trim_end_matches(['?', '&']).to_owned()
    }
}

/// The address of the list with these fields, to which one more can be added.
fn address<'a>(fields: impl Iterator<Item = (&'static str, &'a str)>) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    if query.is_empty() { "/console/audit?".to_owned() } else { format!("/console/audit?{query}&") }
}

/// Whether a time names a minute, as browsers send it: the whole of it is meant.
fn is_minute(text: &str) -> bool {
    format!("{text}:00Z").parse::<Timestamp>().is_ok()
}

/// What a browser sends for a date with a time, in UTC, or a whole RFC 3339 time.
fn read_time(text: &str) -> Option<Timestamp> {
    let whole = || text.parse().ok();
    whole().or_else(|| format!("{text}:00Z").parse().ok()).or_else(|| format!("{text}Z").parse().ok())
}

impl Row {
    fn of(event: AuditEvent, asked: &Asked, visitor: &SignedIn, now: Timestamp) -> Self {
        Self {
            at: moment(event.at, now),
            is_success: event.outcome == "success",
            is_me: event.actor == visitor.actor.who.to_string(),
            by_same: asked.link([("actor", &event.actor)]),
            event,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_browsers_send_them() {
        let noon: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        for text in ["2026-11-24T12:00", "2026-11-24T12:00:00", "2026-11-24T12:00:00Z"] {
            assert_eq!(read_time(text), Some(noon), "{text}");
        }
        for text in ["", "yesterday", "2026-11-24", "2026-13-01T00:00"] {
            assert_eq!(read_time(text), None, "{text}");
        }
    }

    #[test]
    fn what_was_asked_stays_in_the_address() {
        assert_eq!(address([("action", "a&b=c")].into_iter()), "/console/audit?action=a%26b%3Dc&");
        assert_eq!(address([].into_iter()), "/console/audit?");
    }
}
