//! Sweeping: what has ended long ago is forgotten in small batches, so that neither table only grows.

use chrono::TimeDelta;
use diesel::QueryResult;

use crate::app::App;
use crate::db::{DbConnection, DbError, idempotency, sessions};

/// For how long an ended session is remembered, so that its tokens are recognised as used up.
const SESSIONS_KEPT: TimeDelta = TimeDelta::days(7);

/// Rows to forget at a time: other writers get their turn in between.
const BATCH: i64 = 500;

/// Forgets what has ended.
///
/// # Errors
/// The database does not answer; the next sweep goes on.
pub async fn sweep(app: &App) -> Result<(), DbError> {
    let now = app.now();
    let ended_before = now.plus(-SESSIONS_KEPT);
    in_batches(app, move |connection| idempotency::sweep(connection, now, BATCH)).await?;
    in_batches(app, move |connection| sessions::sweep(connection, ended_before, BATCH)).await
}

async fn in_batches(
    app: &App,
    forget: impl Fn(&mut DbConnection) -> QueryResult<usize> + Copy + Send + 'static,
) -> Result<(), DbError> {
    loop {
        let forgotten = app.db.write(move |connection| forget(connection).map_err(DbError::from)).await?;
        if i64::try_from(forgotten).is_ok_and(|forgotten| forgotten < BATCH) {
            return Ok(());
        }
    }
}
