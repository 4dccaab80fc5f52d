//! Sweeping: what has ended long ago is forgotten in small batches, so that no table only grows.

use chrono::TimeDelta;

use crate::app::App;
use crate::db::{DbError, idempotency, sessions};

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
    app.db.write(move |connection| idempotency::sweep(connection, now).map_err(DbError::from)).await?;
    let ended_before = now.plus(-SESSIONS_KEPT);
    while app
        .db
        .write(move |connection| sessions::sweep(connection, ended_before, BATCH).map_err(DbError::from))
        .await?
        >= usize::try_from(BATCH).unwrap_or_default()
    {}
    Ok(())
}
