//! When API keys were last used: remembered in memory, written in batches, so that no exchange waits for a disk.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::{Db, DbError, api_keys};
use crate::domain::{ApiKeyId, Timestamp};

/// Uses that are not written yet, in the order of the keys' ids: two servers that write the same ones never wait for each
/// other crosswise.
#[derive(Default)]
pub struct LastUsed(Mutex<BTreeMap<ApiKeyId, Timestamp>>);

/// Uses that are written at a time: other writers get their turn in between.
const BATCH: usize = 500;

impl LastUsed {
    /// Remembers that a key was used.
    pub fn note(&self, key: ApiKeyId, at: Timestamp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, at);
    }

    /// Writes what was remembered; what cannot be written is remembered again.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn flush(&self, db: &Db) -> Result<(), DbError> {
        let uses = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let uses: Vec<_> = uses.into_iter().collect();
        for (number, batch) in uses.chunks(BATCH).enumerate() {
            if let Err(error) = write(db, batch.to_vec()).await {
                self.remember_again(uses.iter().skip(number.saturating_mul(BATCH)));
                return Err(error);
            }
        }
        Ok(())
    }

    fn remember_again<'a>(&self, uses: impl Iterator<Item = &'a (ApiKeyId, Timestamp)>) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, at) in uses {
            waiting.entry(*key).or_insert(*at);
        }
    }
}

async fn write(db: &Db, uses: Vec<(ApiKeyId, Timestamp)>) -> Result<(), DbError> {
    db.write(move |connection| uses.into_iter().try_for_each(|(key, at)| Ok(api_keys::note_use(connection, key, at)?)))
        .await
}
