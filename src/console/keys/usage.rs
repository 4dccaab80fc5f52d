//! Who uses a key, and what of it nobody uses.

use chrono::TimeDelta;

use super::chart::DAYS;
use crate::app::App;
use crate::console::date::Moment;
use crate::console::list::moment;
use crate::console::page::may;
use crate::console::session::Visitor;
use crate::console::texts::{self, Gap as _};
use crate::domain::api_key::{ApiKey, ApiKeyState, WhichSecret};
use crate::domain::usage::Caller;
use crate::domain::{ApiKeyId, Refusal, Timestamp};
use crate::extract::principal::{ReadApiKeys, WriteApiKeys};
use crate::manage;
use crate::manage::usage::KeyUsage;

/// A program somewhere that presented a key.
pub struct CallerRow {
    /// Its address.
    pub ip: String,
    /// What it says of itself.
    pub agent: String,
    /// How often.
    pub times: i64,
    /// When last.
    pub seen: Moment,
}

/// What was replaced and still works.
pub struct Old {
    /// The key, where it is one of its own and not a secret of the same key.
    pub key: Option<ApiKeyId>,
    /// Until when it works.
    pub until: Option<Moment>,
    /// Who has used it since it was replaced.
    pub callers: Vec<CallerRow>,
    /// What is said where that is nobody.
    pub quiet: String,
}

/// Who used a key, or one of its secrets, after `since`.
pub fn callers(usage: &KeyUsage, which: Option<WhichSecret>, since: Timestamp, now: Timestamp) -> Vec<CallerRow> {
    let rows = usage.callers.iter().filter(|(secret, _)| which.is_none_or(|wanted| wanted == *secret));
    let rows = rows.map(|(_, caller)| caller).filter(|caller| caller.last_seen_at > since);
    rows.map(|caller| CallerRow::of(caller, now)).collect()
}

/// A key that is to end, and who uses it: for those who may see that.
pub async fn with_callers(
    app: &App,
    visitor: &Visitor<WriteApiKeys>,
    id: ApiKeyId,
) -> Result<(ApiKey, Vec<CallerRow>), Refusal> {
    let (tenant, now) = (visitor.tenant(), app.now());
    if !may::<ReadApiKeys>(visitor) {
        return Ok((manage::api_keys::find(app, tenant, id).await?, Vec::new()));
    }
    let usage = manage::usage::of(app, tenant, id, DAYS).await?;
    let callers = callers(&usage, None, Timestamp::of_seconds(0), now);
    Ok((usage.key, callers))
}

/// What a key has replaced that is still alive.
pub async fn old(app: &App, usage: &KeyUsage, now: Timestamp) -> Result<Option<Old>, Refusal> {
    let key = &usage.key;
    if let Some(until) = key.previous_until.filter(|until| now < *until) {
        let since = key.secret_changed_at.unwrap_or(key.created_at);
        let callers = callers(usage, Some(WhichSecret::Previous), since, now);
        return Ok(Some(Old { key: None, until: Some(moment(until, now)), callers, quiet: quiet(since, now) }));
    }
    let Some(id) = key.replaces else { return Ok(None) };
    let old = match manage::usage::of(app, key.tenant_id, id, DAYS).await {
        Ok(old) if old.key.state(now) == ApiKeyState::Active => old,
        Ok(_) | Err(Refusal::NotFound) => return Ok(None),
        Err(refusal) => return Err(refusal),
    };
    let callers = callers(&old, None, key.created_at, now);
    let quiet = quiet(key.created_at, now);
    Ok(Some(Old { key: Some(id), until: old.key.expires_at.map(|at| moment(at, now)), callers, quiet }))
}

/// A day is not too long for a program that runs each night: before it is over nobody is told that the old one can go.
fn quiet(since: Timestamp, now: Timestamp) -> String {
    let t = &texts::EN.show_key;
    match now.since(since).num_minutes() {
        0 => t.old_quiet_yet.to_owned(),
        1 => t.old_quiet_minute.to_owned(),
        minutes @ 2..60 => t.old_quiet_minutes.with(minutes),
        60..120 => t.old_quiet_hour.to_owned(),
        minutes @ 120..1_440 => t.old_quiet_hours.with(minutes / 60),
        _ => t.old_quiet.to_owned(),
    }
}

/// The scopes that a key did not use in [`DAYS`] days, if it is that old and used for anything at all.
pub fn unused_scopes(usage: &KeyUsage, now: Timestamp) -> Vec<String> {
    let is_old = now.since(usage.key.created_at) >= TimeDelta::days(DAYS.into());
    let is_used = |scope: &&str| usage.scopes.iter().any(|(used, ..)| used == scope);
    let unused = usage.key.scopes.iter().filter(|scope| !is_used(scope)).map(str::to_owned);
    if is_old && !usage.scopes.is_empty() && is_alive(&usage.key, now) { unused.collect() } else { Vec::new() }
}

fn is_alive(key: &ApiKey, now: Timestamp) -> bool {
    key.state(now) == ApiKeyState::Active
}

impl CallerRow {
    fn of(caller: &Caller, now: Timestamp) -> Self {
        let others = || texts::EN.show_key.others.to_owned();
        Self {
            ip: caller.ip.map_or_else(others, |ip| ip.to_string()),
            agent: caller.user_agent.clone(),
            times: caller.times,
            seen: moment(caller.last_seen_at, now),
        }
    }
}
