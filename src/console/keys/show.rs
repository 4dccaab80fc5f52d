//! `/console/keys/{id}`: one key, who uses it, and what of it is still needed.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use askama::Template;
use chrono::TimeDelta;
use url::form_urlencoded;

use super::chart::{Chart, DAYS, WIDTH};
use super::create::constraint_names;
use super::list::Row;
use super::offer::constraint_field;
use super::usage::{CallerRow, Old, callers, old, unused_scopes};
use crate::app::App;
use crate::console::date::Moment;
use crate::console::form::{Fields, Form};
use crate::console::list::Done;
use crate::console::page::{Page, Place, may, see_other};
use crate::console::refused::Refused;
use crate::console::session::{Access, Visitor};
use crate::console::texts::{self, Gap as _};
use crate::domain::api_key::{ApiKey, ApiKeyState};
use crate::domain::change::Change;
use crate::domain::{ApiKeyId, Day, Refusal, Timestamp};
use crate::extract::principal::{ReadApiKeys, WriteApiKeys};
use crate::extract::{Then, path_id};
use crate::manage;
use crate::manage::api_keys::ApiKeyChange;
use crate::manage::usage::KeyUsage;

#[derive(Template)]
#[template(path = "keys/show.html")]
struct Show<'a> {
    page: Page<'a>,
    row: Row,
    detail: Detail,
    chart: Chart,
    refusals: Vec<(String, i64)>,
    callers: Vec<CallerRow>,
    old: Option<Old>,
    unused: Vec<String>,
    /// Where a key without those is made, if the form can say what else this one is limited to.
    smaller: Option<String>,
    may_write: bool,
    /// Why it cannot be rotated, where the plan has no keys.
    no_plan: Option<String>,
    is_alive: bool,
    refused: Refused,
    filled: Fields,
}

/// What a list has no room for.
struct Detail {
    environment: String,
    allowed_ips: Vec<String>,
    contact: Option<String>,
    constraints: BTreeMap<String, Vec<String>>,
    created: Moment,
    by: String,
    revoked: Option<Moment>,
    replaces: Option<ApiKeyId>,
}

/// The page.
pub async fn page(
    app: Data<App>,
    path: Path<String>,
    Then(visitor, Done(done)): Then<Visitor<ReadApiKeys>, Done>,
) -> Result<HttpResponse, Refusal> {
    let t = &texts::EN.show_key;
    let notice = match done.as_str() {
        "changed" => Some(t.changed),
        "revoked" => Some(t.revoked),
        _ => None,
    };
    show(&app, &visitor, path_id(&path)?, notice, None, Refused::default()).await
}

/// Changes what may be changed: the name and the contact.
pub async fn change(
    app: Data<App>,
    path: Path<String>,
    Form { visitor, mut fields }: Form<WriteApiKeys>,
) -> Result<HttpResponse, Refusal> {
    let (id, filled) = (path_id(&path)?, fields.clone());
    let changed = async {
        let (name, contact) = (fields.required("name"), fields.optional("contact_email"));
        let contact_email = contact.map_or(Change::Clear, Change::Set);
        let change = ApiKeyChange { name: Some(fields.finish(name)?), contact_email };
        manage::api_keys::change(&app, &visitor.actor, visitor.tenant(), id, change).await
    };
    match changed.await {
        Ok(_) => Ok(see_other(&format!("/console/keys/{id}?done=changed"))),
        Err(refusal) if !may::<ReadApiKeys>(&visitor) => Err(refusal),
        Err(refusal) => show(&app, &visitor, id, None, Some(filled), Refused::of(refusal)?).await,
    }
}

async fn show<A: Access>(
    app: &App,
    visitor: &Visitor<A>,
    id: ApiKeyId,
    notice: Option<&str>,
    filled: Option<Fields>,
    refused: Refused,
) -> Result<HttpResponse, Refusal> {
    let now = app.now();
    let usage = manage::usage::of(app, visitor.tenant(), id, DAYS).await?;
    let unused = unused_scopes(&usage, now);
    let plan = visitor.member.tenant.plan.as_deref();
    let current = || {
        let contact = usage.key.contact_email.as_ref().map(ToString::to_string).unwrap_or_default();
        Fields::of([("name", usage.key.name.to_string()), ("contact_email", contact)])
    };
    let show = Show {
        page: Page::of(app, visitor, Place::Keys, usage.key.name.to_string()).with_notice(notice),
        row: Row::of(app, &usage.key, now),
        detail: Detail::of(&usage.key, &visitor.actor.who.to_string(), now),
        chart: Chart::of(&usage, now),
        refusals: usage.total.refusals.clone().into_iter().collect(),
        callers: callers(&usage, None, Timestamp::of_seconds(0), now),
        old: old(app, &usage, now).await?,
        smaller: smaller(app, &usage, &unused),
        unused,
        may_write: may::<WriteApiKeys>(visitor),
        no_plan: app.profile.plans.ensure_api_keys(plan).err().map(|refusal| refusal.to_string()),
        is_alive: usage.key.state(now) == ApiKeyState::Active,
        filled: filled.unwrap_or_else(current),
        refused,
    };
    show.refused.answer(app, &show)
}

/// The form for a key like this one without the scopes that nobody uses: in nothing may it do more.
fn smaller(app: &App, usage: &KeyUsage, unused: &[String]) -> Option<String> {
    let key = &usage.key;
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("name", key.name.as_str());
    let more = [
        ("access_type", key.access_type.as_ref().map(ToString::to_string)),
        ("environment", Some(key.environment.clone())),
        ("expires_at", key.expires_at.map(|end| last_whole_day(end).to_string())),
        ("contact_email", key.contact_email.as_ref().map(ToString::to_string)),
        ("allowed_ips", Some(key.allowed_ips.as_str().to_owned()).filter(|text| !text.is_empty())),
    ];
    for (name, value) in more {
        query.extend_pairs(value.map(|value| (name, value)));
    }
    let offered = constraint_names(app);
    for (name, values) in constraints(key) {
        let is_sayable = |value: &String| !value.contains(',') && value.trim() == value;
        if !offered.contains(name.as_str()) || !values.iter().all(is_sayable) {
            return None;
        }
        query.append_pair(&constraint_field(&name), &values.join(", "));
    }
    for scope in key.scopes.iter().filter(|scope| !unused.iter().any(|known| known == scope)) {
        query.append_pair("scopes", scope);
    }
    Some(format!("/console/keys/new?{}", query.finish()))
}

/// The last day that is over by then: the form asks for whole days, which end a second before midnight.
fn last_whole_day(end: Timestamp) -> Day {
    Day::from(end.plus(TimeDelta::seconds(1))).minus(1)
}

/// What a key is limited to besides its scopes.
fn constraints(key: &ApiKey) -> BTreeMap<String, Vec<String>> {
    let given = key.constraints.as_ref().and_then(|given| serde_json::from_str(given.as_str()).ok());
    given.unwrap_or_default()
}

impl Detail {
    fn of(key: &ApiKey, me: &str, now: Timestamp) -> Self {
        let t = &texts::EN;
        let moment = |at| Moment::of(at, now, &t.time);
        let by = if key.created_by == me { t.show_key.you } else { key.created_by.as_str() };
        Self {
            environment: key.environment.clone(),
            allowed_ips: key.allowed_ips.as_str().split_whitespace().map(str::to_owned).collect(),
            contact: key.contact_email.as_ref().map(ToString::to_string),
            constraints: constraints(key),
            created: moment(key.created_at),
            by: t.show_key.by.with(by),
            revoked: key.revoked_at.map(moment),
            replaces: key.replaces,
        }
    }
}
