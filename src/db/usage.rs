//! Tables `api_key_usage` and `api_key_scope_usage`: how often API keys were exchanged or refused, day by day.

use diesel::dsl::{max, sql};
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::prepared::{self, Aging, Piece};
use super::schema::{api_key_scope_usage, api_key_usage};
use super::{DbConnection, DbError, api_keys, key_callers};
use crate::domain::usage::UsageCounts;
use crate::domain::{ApiKeyId, Day};

pub(super) const OUTCOMES: Aging = Aging { table: "api_key_usage", key: "api_key_id, day, outcome", age: "day" };

pub(super) const SCOPES: Aging = Aging { table: "api_key_scope_usage", key: "api_key_id, day, scope", age: "day" };

/// How often a day ended so.
pub type OutcomeRow = (Day, String, i64);

/// How often a scope was used, and when last.
pub type ScopeRow = (String, i64, Day);

/// Adds what was counted of a key, whole or not at all; nothing where the key is gone, which is no error.
pub fn add(connection: &mut DbConnection, key: ApiKeyId, usage: &UsageCounts) -> Result<(), DbError> {
    // A savepoint: the key that is gone must not take its neighbours' counts with it.
    match connection.transaction(|connection| add_rows(connection, key, usage)).map_err(DbError::from) {
        Err(DbError::Gone) => Ok(()),
        other => other,
    }
}

fn add_rows(connection: &mut DbConnection, key: ApiKeyId, usage: &UsageCounts) -> QueryResult<()> {
    for ((day, outcome), times) in &usage.outcomes {
        upsert(connection, &ADD_OUTCOME, key, *day, outcome, *times)?;
    }
    for (day, scopes) in &usage.scopes {
        for (scope, times) in scopes {
            upsert(connection, &ADD_SCOPE, key, *day, scope, *times)?;
        }
    }
    key_callers::add(connection, key, &usage.callers)?;
    match usage.last_used_at {
        Some(at) => api_keys::note_use(connection, key, at),
        None => Ok(()),
    }
}

/// The text of an [`upsert`] before its values, and behind them.
type Upsert = [&'static str; 2];

const ADD_OUTCOME: Upsert = [
    "INSERT INTO api_key_usage (api_key_id, day, outcome, times) VALUES (",
    ") ON CONFLICT (api_key_id, day, outcome) DO UPDATE SET times = api_key_usage.times + excluded.times",
];

const ADD_SCOPE: Upsert = [
    "INSERT INTO api_key_scope_usage (api_key_id, day, scope, times) VALUES (",
    ") ON CONFLICT (api_key_id, day, scope) DO UPDATE SET times = api_key_scope_usage.times + excluded.times",
];

/// As text, for diesel has no `ON CONFLICT` for both databases at once, which both of them understand: one round trip
/// for a row, and nothing to do anew where another server inserts it at the same time.
fn upsert(
    connection: &mut DbConnection,
    [insert, or_add]: &Upsert,
    key: ApiKeyId,
    day: Day,
    what: &str,
    times: i64,
) -> QueryResult<()> {
    let pieces = [
        Piece::Sql(insert),
        Piece::Bytes(key.as_bytes()),
        Piece::Sql(", "),
        Piece::Number(day.0),
        Piece::Sql(", "),
        Piece::Words(what),
        Piece::Sql(", "),
        Piece::Number(times),
        Piece::Sql(or_add),
    ];
    prepared::execute(connection, &pieces).map(drop)
}

/// How the days of a key ended, from one day to another, both included.
pub fn outcomes(connection: &mut DbConnection, key: ApiKeyId, from: Day, to: Day) -> QueryResult<Vec<OutcomeRow>> {
    api_key_usage::table
        .filter(api_key_usage::api_key_id.eq(key).and(api_key_usage::day.between(from, to)))
        .select((api_key_usage::day, api_key_usage::outcome, api_key_usage::times))
        .load(connection)
}

/// The scopes of a key that were used on these days.
pub fn scopes(connection: &mut DbConnection, key: ApiKeyId, from: Day, to: Day) -> QueryResult<Vec<ScopeRow>> {
    api_key_scope_usage::table
        .filter(api_key_scope_usage::api_key_id.eq(key).and(api_key_scope_usage::day.between(from, to)))
        .group_by(api_key_scope_usage::scope)
        .select((
            api_key_scope_usage::scope,
            // The sum of a BIGINT is a NUMERIC on PostgreSQL.
            sql::<BigInt>("CAST(SUM(times) AS BIGINT)"),
            max(api_key_scope_usage::day).assume_not_null(),
        ))
        .load(connection)
}

/// Forgets up to `most` rows of outcomes from before a day, the oldest first; answers how many.
pub fn sweep_outcomes(connection: &mut DbConnection, before: Day, most: i64) -> QueryResult<usize> {
    OUTCOMES.sweep(connection, before.0, most)
}

/// Forgets up to `most` rows of scopes from before a day, the oldest first; answers how many.
pub fn sweep_scopes(connection: &mut DbConnection, before: Day, most: i64) -> QueryResult<usize> {
    SCOPES.sweep(connection, before.0, most)
}
