//! When API keys were last used: remembered in memory, written in batches, so that no exchange waits for a disk.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::{Db, DbError, api_keys};
use crate::domain::{ApiKeyId, Timestamp};

/// Uses that are not written yet.
#[derive(Default)]
pub struct LastUsed(Mutex<HashMap<ApiKeyId, Timestamp>>);

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
        if uses.is_empty() {
            return Ok(());
        }
        let batch = uses.clone();
        let written = db
            .write(move |connection| {
                batch.into_iter().try_for_each(|(key, at)| Ok(api_keys::note_use(connection, key, at)?))
            })
            .await;
        if written.is_err() {
            let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            for (key, at) in uses {
                waiting.entry(key).or_insert(at);
            }
        }
        written
    }
}
