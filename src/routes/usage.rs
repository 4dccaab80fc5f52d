//! `/api/v1/tenants/{tenant_id}/api-keys/{id}/usage` (contract section 4.2).

use std::collections::BTreeMap;
use std::net::IpAddr;

use actix_web::Responder;
use actix_web::web::{Data, Json as Answer, Path};
use serde::Serialize;
use utoipa::ToSchema;

use super::path_id;
use crate::app::App;
use crate::domain::api_key::WhichSecret;
use crate::domain::usage::Caller;
use crate::domain::{ApiKeyId, Day, Refusal, Scope, TenantId, Timestamp};
use crate::extract::Then;
use crate::extract::principal::{InTenant, ReadApiKeys};
use crate::extract::query::DaysQuery;
use crate::manage;
use crate::manage::usage::{KeyUsage, Outcomes};

/// What a key was used for on the last days.
#[derive(Serialize, ToSchema)]
pub struct UsageAnswer {
    api_key_id: ApiKeyId,
    /// As many days, today included.
    days: u16,
    #[serde(flatten)]
    total: OutcomesAnswer,
    /// The days on which something happened, newest first.
    items: Vec<DayAnswer>,
    scopes: ScopesAnswer,
    /// Who presented the key in the last 30 days, whoever was seen last first: 20 callers for each secret, and all
    /// others together.
    callers: Vec<CallerAnswer>,
}

/// How often the key was exchanged and refused.
#[derive(Serialize, ToSchema)]
pub struct OutcomesAnswer {
    exchanges: i64,
    /// By the `code` of the refusal.
    refusals: BTreeMap<String, i64>,
}

/// A day.
#[derive(Serialize, ToSchema)]
pub struct DayAnswer {
    day: Day,
    #[serde(flatten)]
    outcomes: OutcomesAnswer,
}

/// The scopes that the key has against those that it uses.
#[derive(Serialize, ToSchema)]
pub struct ScopesAnswer {
    granted: Vec<Scope>,
    /// Those that were in its tokens.
    used: Vec<ScopeAnswer>,
    /// Those that it could do without.
    unused: Vec<Scope>,
}

/// A scope that was used.
#[derive(Serialize, ToSchema)]
pub struct ScopeAnswer {
    scope: String,
    /// Tokens that it was in.
    times: i64,
    last_used_on: Day,
}

/// An address and a user agent from which the key was presented, whether it was accepted or refused.
#[derive(Serialize, ToSchema)]
pub struct CallerAnswer {
    /// `null` for all others together.
    #[schema(value_type = Option<String>)]
    ip: Option<IpAddr>,
    user_agent: Option<String>,
    /// `previous` is the one before the last rotation that kept the id.
    secret: WhichSecret,
    times: i64,
    last_seen_at: Timestamp,
}

/// Shows what an API key was used for.
///
/// Each server counts in memory and writes every 5 seconds: what happened since is not in it yet.
#[utoipa::path(
    get, path = "/api/v1/tenants/{tenant_id}/api-keys/{id}/usage", operation_id = "show_api_key_usage", tag = "api keys",
    security(("bearer" = [])),
    params(
        ("tenant_id" = TenantId, Path), ("id" = ApiKeyId, Path),
        ("days" = Option<u16>, Query, minimum = 1, maximum = 366)
    ),
    responses((status = 200, description = "Exchanges and refusals by day, scopes used against scopes granted", body = UsageAnswer))
)]
pub async fn usage(
    app: Data<App>,
    Then(caller, DaysQuery(days)): Then<InTenant<ReadApiKeys>, DaysQuery>,
    path: Path<(String, String)>,
) -> Result<impl Responder, Refusal> {
    let usage = manage::usage::of(&app, caller.tenant, path_id(&path.1)?, days).await?;
    Ok(Answer(UsageAnswer::of(usage, days)))
}

impl UsageAnswer {
    fn of(usage: KeyUsage, days: u16) -> Self {
        let granted = usage.key.scopes.to_vec();
        let is_used = |scope: &Scope| usage.scopes.iter().any(|(used, ..)| used == scope.as_str());
        let unused = granted.iter().filter(|scope| !is_used(scope)).cloned().collect();
        let used = usage.scopes.into_iter();
        let used = used.map(|(scope, times, last_used_on)| ScopeAnswer { scope, times, last_used_on }).collect();
        Self {
            api_key_id: usage.key.id,
            days,
            total: usage.total.into(),
            items: usage
                .days
                .into_iter()
                .rev()
                .map(|(day, outcomes)| DayAnswer { day, outcomes: outcomes.into() })
                .collect(),
            scopes: ScopesAnswer { granted, used, unused },
            callers: usage.callers.into_iter().map(CallerAnswer::from).collect(),
        }
    }
}

impl From<Outcomes> for OutcomesAnswer {
    fn from(Outcomes { exchanges, refusals }: Outcomes) -> Self {
        Self { exchanges, refusals }
    }
}

impl From<(WhichSecret, Caller)> for CallerAnswer {
    fn from((secret, Caller { ip, user_agent, times, last_seen_at, .. }): (WhichSecret, Caller)) -> Self {
        Self { ip, user_agent: Some(user_agent).filter(|text| !text.is_empty()), secret, times, last_seen_at }
    }
}
