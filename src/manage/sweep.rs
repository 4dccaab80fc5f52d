//! Sweeping: what has ended long ago is forgotten in small batches, so that no table only grows.

use chrono::TimeDelta;
use diesel::QueryResult;

use crate::app::{App, StartError};
use crate::db::locks::{self, Lock};
use crate::db::{DbConnection, DbError, idempotency, key_callers, login_failures, sessions, statuses, usage};
use crate::domain::login_failures::ACCOUNT_MEMORY;
use crate::domain::{Day, Timestamp};
use crate::manage::api_keys::LONGEST_OVERLAP;
use crate::manage::audit_checkpoints;

/// For how long an ended session is remembered, so that its tokens are recognised as used up.
const SESSIONS_KEPT: TimeDelta = TimeDelta::days(7);

/// For how many days the usage of API keys is remembered: a year and some weeks.
const USAGE_DAYS: u16 = 400;

/// For how long it is remembered who presented an API key: as long as an old one may live on beside its successor.
const CALLERS_KEPT: TimeDelta = LONGEST_OVERLAP;

/// Rows to forget at a time: other writers get their turn in between.
const BATCH: i64 = 500;

/// Forgets what has ended, and signs for what is remembered, unless another server is about it. Where one kind cannot
/// be forgotten, the others are.
///
/// # Errors
/// The database does not answer, or no key signs; the next sweep goes on.
pub async fn sweep(app: &App) -> Result<(), StartError> {
    let now = app.now();
    let failed_before = now.plus(-ACCOUNT_MEMORY);
    let counted_before = Day::from(now).minus(USAGE_DAYS);
    let called_before = now.plus(-CALLERS_KEPT);
    let forgotten = [
        in_batches(app, "answers", move |connection| idempotency::sweep(connection, now, BATCH)).await,
        in_batches(app, "failed logins", move |connection| login_failures::sweep(connection, failed_before, BATCH))
            .await,
        sweep_ended(app, now).await,
        in_batches(app, "usage", move |connection| usage::sweep_outcomes(connection, counted_before, BATCH)).await,
        in_batches(app, "used scopes", move |connection| usage::sweep_scopes(connection, counted_before, BATCH)).await,
        in_batches(app, "callers", move |connection| key_callers::sweep(connection, called_before, BATCH)).await,
    ];
    let signed = audit_checkpoints::sign_and_forget(app).await;
    forgotten.into_iter().collect::<Result<(), DbError>>()?;
    signed
}

/// Forgets sessions and places in the status lists.
async fn sweep_ended(app: &App, now: Timestamp) -> Result<(), DbError> {
    let longest = app.config.longest_signed();
    let listed = app.db.read(move |connection| statuses::listed_since(connection, longest, now).map_err(DbError::from));
    let listed = listed.await?;
    // Its row says in the status list that it has ended, for as long as a token of it may live.
    let ended_before = now.plus(-SESSIONS_KEPT).min(listed);
    let places = in_batches(app, "ended places", move |connection| statuses::sweep(connection, listed, BATCH)).await;
    in_batches(app, "sessions", move |connection| sessions::sweep(connection, ended_before, BATCH)).await.and(places)
}

/// Forgets one kind of rows.
async fn in_batches(
    app: &App,
    rows: &str,
    forget: impl Fn(&mut DbConnection) -> QueryResult<usize> + Copy + Send + 'static,
) -> Result<(), DbError> {
    loop {
        let batch = app.db.write(move |connection| {
            let ours = locks::take(connection, Lock::Sweep)?;
            if ours { forget(connection).map_err(DbError::from) } else { Ok(0) }
        });
        match batch.await {
            Ok(forgotten) if i64::try_from(forgotten).is_ok_and(|forgotten| forgotten < BATCH) => return Ok(()),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, rows, "what has ended is not forgotten yet");
                return Err(error);
            }
        }
    }
}
