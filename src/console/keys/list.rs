//! `/console/keys`: every API key, and what a request needs besides one.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use askama::Template;
use chrono::TimeDelta;

use crate::app::App;
use crate::console::date::Moment;
use crate::console::list::{ListQuery, Pages};
use crate::console::page::{Page, Place, may, render};
use crate::console::refused::in_our_words;
use crate::console::session::Visitor;
use crate::console::texts::{self, Gap as _};
use crate::domain::api_key::{ApiKey, ApiKeyState};
use crate::domain::{ApiKeyId, Refusal, Tenant, Timestamp};
use crate::extract::Then;
use crate::extract::principal::{ReadApiKeys, WriteApiKeys};
use crate::manage;
use crate::profile::TenantLocator;

#[derive(Template)]
#[template(path = "keys/list.html")]
struct List<'a> {
    page: Page<'a>,
    tenant: &'a Tenant,
    /// What the tenant is named by in requests.
    names_tenant: Option<TenantLocator>,
    rows: Vec<Row>,
    pages: Pages,
    may_write: bool,
    /// Why there can be no more keys, where that is so.
    barred: Option<String>,
}

/// A key in a list.
pub struct Row {
    /// Its id.
    pub id: ApiKeyId,
    /// What people call it.
    pub name: String,
    /// Its first characters, for people to recognise it by.
    pub hint: String,
    /// Its state.
    pub state: State,
    /// What it may do.
    pub scopes: Vec<String>,
    /// What it opens without a scope, by its access type.
    pub opens: Option<String>,
    /// Its preset.
    pub access_type: Option<String>,
    /// When it was last used.
    pub last_used: Option<Moment>,
    /// When it ends by itself.
    pub expires: Option<Moment>,
}

/// A key that ends within this is shown as one that does.
const SOON: TimeDelta = TimeDelta::days(14);

/// A state, as a page shows it.
pub struct State {
    /// In a word.
    pub text: &'static str,
    /// Its colour: `good`, `warn`, `bad`.
    pub tone: &'static str,
}

/// The page.
pub async fn page(
    app: Data<App>,
    Then(visitor, query): Then<Visitor<ReadApiKeys>, ListQuery>,
) -> Result<HttpResponse, Refusal> {
    let now = app.now();
    let keys = manage::api_keys::list(&app, visitor.tenant(), query.page).await?;
    let tenant = &visitor.member.tenant;
    let list = List {
        page: Page::of(&app, &visitor, Place::Keys, texts::EN.keys.title),
        tenant,
        names_tenant: Some(app.profile.locator).filter(|locator| *locator != TenantLocator::Key),
        rows: keys.items.into_iter().map(|key| Row::of(&app, &key, now)).collect(),
        pages: Pages::of("/console/keys?", query.page, keys.next_cursor),
        may_write: may::<WriteApiKeys>(&visitor),
        barred: barred(&app, tenant).await?,
    };
    render(StatusCode::OK, &list)
}

/// Why a tenant can have no more keys: its plan has none, or it has as many as it may.
pub async fn barred(app: &App, tenant: &Tenant) -> Result<Option<String>, Refusal> {
    let (plans, plan) = (&app.profile.plans, tenant.plan.as_deref());
    let most = plans.limits(plan).keys_per_tenant;
    let refusal = match plans.ensure_api_keys(plan) {
        Err(refusal) => Some(refusal),
        Ok(()) if manage::api_keys::count_live(app, tenant.id).await? >= most => {
            Some(Refusal::ApiKeyLimitReached(most))
        }
        Ok(()) => None,
    };
    Ok(refusal.as_ref().map(in_our_words))
}

impl Row {
    /// How a key looks at `now`.
    pub fn of(app: &App, key: &ApiKey, now: Timestamp) -> Self {
        let moment = |at: Timestamp| Moment::of(at, now, &texts::EN.time);
        Self {
            id: key.id,
            hint: shown_hint(app, key),
            state: State::of(key, now),
            scopes: key.scopes.iter().map(str::to_owned).collect(),
            opens: opens(app, key).map(str::to_owned),
            access_type: key.access_type.as_ref().map(ToString::to_string),
            last_used: key.last_used_at.map(moment),
            expires: key.expires_at.map(moment),
            name: key.name.to_string(),
        }
    }
}

/// What the access type of a key is for, where it opens endpoints that ask for no scope.
fn opens<'a>(app: &'a App, key: &ApiKey) -> Option<&'a str> {
    let kind = app.profile.access_type(key.access_type.as_ref())?;
    let mut open = app.profile.endpoints.iter().filter(|row| row.scope.is_none());
    let opens = open.any(|row| row.access_types.as_ref().is_some_and(|types| types.contains(&kind.name)));
    Some(kind.description.as_str()).filter(|_| opens)
}

/// `jtn_live_1a2b…`
pub fn shown_hint(app: &App, key: &ApiKey) -> String {
    app.profile.key_format.shown(&key.environment, &key.hint)
}

impl State {
    /// The state of a key at `now`.
    pub fn of(key: &ApiKey, now: Timestamp) -> Self {
        let t = &texts::EN.keys;
        match key.state(now) {
            ApiKeyState::Active if key.time_left(now) < SOON => Self { text: t.ending, tone: "warn" },
            ApiKeyState::Active => Self { text: t.active, tone: "good" },
            ApiKeyState::Expired => Self { text: t.expired, tone: "quiet" },
            ApiKeyState::Revoked => Self { text: t.revoked, tone: "quiet" },
        }
    }
}
