//! What an API key is used for (contract section 4.2).

use std::collections::BTreeMap;

use crate::app::App;
use crate::db::usage::{self, OutcomeRow, ScopeRow};
use crate::db::{DbError, api_keys, key_callers};
use crate::domain::api_key::{ApiKey, WhichSecret};
use crate::domain::usage::{Caller, SUCCESS};
use crate::domain::{ApiKeyId, Day, Refusal, TenantId};

/// How often a key was exchanged, and how often refused, by the codes of the refusals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// Tokens that were issued.
    pub exchanges: i64,
    /// How often each code was answered.
    pub refusals: BTreeMap<String, i64>,
}

/// The usage of a key over some days.
#[derive(Debug)]
pub struct KeyUsage {
    /// The key.
    pub key: ApiKey,
    /// All days together.
    pub total: Outcomes,
    /// The days on which something happened.
    pub days: BTreeMap<Day, Outcomes>,
    /// The scopes that were in tokens, how often, and when last.
    pub scopes: Vec<ScopeRow>,
    /// Who presented which of its secrets in the last 30 days, whoever was seen last first.
    pub callers: Vec<(WhichSecret, Caller)>,
}

/// The usage of a key on the last `days` days, today included, as far as it is written: every server writes what it has
/// counted a few seconds later.
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn of(app: &App, tenant: TenantId, id: ApiKeyId, days: u16) -> Result<KeyUsage, Refusal> {
    let today = Day::from(app.now());
    let from = today.minus(days.saturating_sub(1));
    let found = app
        .db
        .read(move |connection| {
            let Some(key) = api_keys::find(connection, tenant, id)? else { return Ok(None) };
            let outcomes = usage::outcomes(connection, id, from, today)?;
            let mut scopes = usage::scopes(connection, id, from, today)?;
            // Not by the database, which may sort as its language does.
            scopes.sort_unstable();
            let callers = key_callers::of_key(connection, id)?;
            Ok::<_, DbError>(Some((key, outcomes, scopes, callers)))
        })
        .await?;
    let (key, outcomes, scopes, callers) = found.ok_or(Refusal::NotFound)?;
    let (total, days) = sum(outcomes);
    let of_its_secrets = |caller: Caller| Some((key.which_secret(caller.secret)?, caller));
    let callers = callers.into_iter().filter_map(of_its_secrets).collect();
    Ok(KeyUsage { key, total, days, scopes, callers })
}

fn sum(rows: Vec<OutcomeRow>) -> (Outcomes, BTreeMap<Day, Outcomes>) {
    let (mut total, mut days) = (Outcomes::default(), BTreeMap::<Day, Outcomes>::new());
    for (day, outcome, times) in rows {
        total.add(&outcome, times);
        days.entry(day).or_default().add(&outcome, times);
    }
    (total, days)
}

impl Outcomes {
    fn add(&mut self, outcome: &str, times: i64) {
        if outcome == SUCCESS {
            self.exchanges += times;
        } else {
            *self.refusals.entry(outcome.to_owned()).or_default() += times;
        }
    }
}
