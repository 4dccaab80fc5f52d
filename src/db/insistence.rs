//! Writes that must happen although the request that they belong to may be over.

use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument;

use super::{Db, DbConnection, DbError};
use crate::deadline;

/// Between one try and the next. With the patience of each this outlasts a lock that is held for ten seconds.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

impl Db {
    /// A [`Db::write`] with a patience of its own, which is tried again where the database does not answer. It is
    /// waited for as long as the request has time, and goes on behind; where it fails for good, the log says what was `lost`.
    pub async fn insist(
        &self,
        lost: &'static str,
        queries: impl Fn(&mut DbConnection) -> Result<(), DbError> + Send + Sync + 'static,
    ) {
        let (db, queries) = (self.clone(), Arc::new(queries));
        let work = async move {
            let mut pauses = PAUSES.into_iter();
            loop {
                let queries = Arc::clone(&queries);
                let Err(error) = db.write(move |connection| queries(connection)).await else { return };
                let is_away = matches!(error, DbError::Unavailable(_) | DbError::Overloaded);
                match pauses.next().filter(|_| is_away) {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => return tracing::warn!(%error, "{lost}"),
                }
            }
        };
        let _ = tokio::time::timeout_at(deadline::of_wait().into(), self.spawn(work.in_current_span())).await;
    }
}
