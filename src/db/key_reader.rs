//! Reads API keys for whoever presents one: what a revocation before the question did is always seen, and seldom a
//! query is asked for it (ADR 15).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::api_keys::{self, StoredKey};
use super::changes::{Changes, Moment};
use super::executor::Kind;
use super::together::{MOST, Together};
use super::{Db, DbError};

/// Finds API keys by the hash of their secret.
pub struct KeyReader {
    db: Db,
    source: Source,
}

enum Source {
    /// On SQLite what was read stays true until the next commit.
    Kept(Box<(Changes, Mutex<Kept>)>),
    /// Where another machine may commit, each question is followed by a read, which many questions share.
    Shared(Together<Vec<u8>, Option<Arc<StoredKey>>>),
    /// Each question has a read of its own.
    Single,
}

/// Keys as they are at one moment.
#[derive(Default)]
struct Kept {
    at: Option<Moment>,
    keys: HashMap<Vec<u8>, Arc<StoredKey>>,
}

type Found = Result<Option<Arc<StoredKey>>, DbError>;

impl KeyReader {
    /// A reader of this database.
    ///
    /// # Errors
    /// The database cannot be opened.
    pub fn new(db: Db) -> Result<Self, DbError> {
        let source = match db.changes()? {
            Some(changes) => Source::Kept(Box::new((changes, Mutex::default()))),
            None if db.0.file.is_some() => Source::Single,
            None => Source::Shared(Together::new(1, db.runtime())),
        };
        Ok(Self { db, source })
    }

    /// The key and its tenant, as they are committed when this is called, or later.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn find(&self, hash: &[u8]) -> Found {
        match &self.source {
            Source::Kept(both) => self.find_kept(&both.0, &both.1, hash).await,
            Source::Shared(together) => self.find_together(together, hash).await,
            Source::Single => self.read(hash).await,
        }
    }

    async fn find_kept(&self, changes: &Changes, kept: &Mutex<Kept>, hash: &[u8]) -> Found {
        // Before the read: what is committed while it runs makes another moment.
        let now = changes.now();
        if let Some(key) = now.and_then(|now| locked(kept).find(now, hash)) {
            return Ok(Some(key));
        }
        let found = self.read(hash).await?;
        if let (Some(now), Some(key)) = (now, &found) {
            locked(kept).keep(now, hash, Arc::clone(key));
        }
        Ok(found)
    }

    async fn find_together(&self, together: &Together<Vec<u8>, Option<Arc<StoredKey>>>, hash: &[u8]) -> Found {
        let db = self.db.clone();
        let read_all = move |hashes: Vec<Vec<u8>>, deadline| {
            db.0.executor.run(Kind::Read, deadline, move |connection| {
                let found = api_keys::find_by_hashes(connection, &hashes)?;
                Ok(hashes.iter().map(|hash| found.get(hash).cloned()).collect())
            })
        };
        together.ask(hash.to_vec(), read_all).await
    }

    async fn read(&self, hash: &[u8]) -> Found {
        let hash = hash.to_vec();
        self.db.read(move |connection| Ok(api_keys::find_by_hash(connection, &hash)?.map(Arc::new))).await
    }
}

impl Kept {
    fn find(&self, now: Moment, hash: &[u8]) -> Option<Arc<StoredKey>> {
        if self.at == Some(now) { self.keys.get(hash).cloned() } else { None }
    }

    fn keep(&mut self, at: Moment, hash: &[u8], key: Arc<StoredKey>) {
        if self.at != Some(at) || self.keys.len() >= MOST {
            self.keys.clear();
            self.at = Some(at);
        }
        self.keys.insert(hash.to_vec(), key);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is whole before anything could panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
