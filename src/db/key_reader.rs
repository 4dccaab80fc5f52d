//! Reads API keys for whoever presents one: what a revocation before the question did is always seen, and seldom a query is
//! asked for it (ADR 15).

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::api_keys::{self, StoredKey};
use super::changes::{Changes, Moment};
use super::{Db, DbError, PATIENCE};

/// Keys that are kept in memory, or read by one statement, at most.
const MOST: usize = 4_096;

/// Finds API keys by the hash of their secret.
pub struct KeyReader {
    db: Db,
    source: Source,
}

enum Source {
    /// On SQLite what was read stays true until the next commit.
    Kept(Box<(Changes, Mutex<Kept>)>),
    /// Where another machine may commit, each question is followed by a read, which many questions share.
    Shared(Arc<Mutex<Waiting>>),
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

/// Who asks for the key of which hash.
type Asked = HashMap<Vec<u8>, Vec<oneshot::Sender<Found>>>;

/// What was asked since the last read began.
#[derive(Default)]
struct Waiting {
    asked: Asked,
    /// Somebody reads, and will read what is asked meanwhile.
    reading: bool,
}

impl KeyReader {
    /// A reader of this database.
    ///
    /// # Errors
    /// The database cannot be opened.
    pub fn new(db: Db) -> Result<Self, DbError> {
        let source = match db.changes()? {
            Some(changes) => Source::Kept(Box::new((changes, Mutex::default()))),
            None if db.0.file.is_some() => Source::Single,
            None => Source::Shared(Arc::default()),
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
            Source::Shared(waiting) => shared(&self.db, waiting, hash).await,
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

/// Asks, and reads for all who ask, unless somebody does already.
async fn shared(db: &Db, waiting: &Arc<Mutex<Waiting>>, hash: &[u8]) -> Found {
    let (reply, answer) = oneshot::channel();
    let somebody_reads = {
        let mut waiting = locked(waiting);
        if waiting.asked.len() >= MOST {
            return Err(DbError::Overloaded);
        }
        waiting.asked.entry(hash.to_vec()).or_default().push(reply);
        mem::replace(&mut waiting.reading, true)
    };
    if !somebody_reads {
        tokio::spawn(read_for_all(db.clone(), Reading { waiting: Arc::clone(waiting), done: false }));
    }
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(found) => found.unwrap_or_else(|_| Err(DbError::Unavailable("nobody reads any more".to_owned()))),
        Err(_) => Err(DbError::Unavailable("it takes too long".to_owned())),
    }
}

/// Reads until nobody waits. A read begins after its questions were asked: none is answered from before it.
async fn read_for_all(db: Db, mut reading: Reading) {
    while let Some(asked) = reading.take() {
        let hashes: Vec<_> = asked.keys().cloned().collect();
        let read =
            db.read(move |connection| api_keys::find_by_hashes(connection, &hashes).map_err(DbError::from)).await;
        for (hash, replies) in asked {
            let answer = read.as_ref().map(|found| found.get(&hash).cloned()).map_err(DbError::clone);
            for reply in replies {
                // Whoever asked may have gone away.
                drop(reply.send(answer.clone()));
            }
        }
    }
}

/// The one who reads. However it ends, another one can take its place, and nobody is left waiting for it.
struct Reading {
    waiting: Arc<Mutex<Waiting>>,
    done: bool,
}

impl Reading {
    /// What was asked until now; none where that is nothing, and then this one has read for the last time.
    fn take(&mut self) -> Option<Asked> {
        let mut waiting = locked(&self.waiting);
        self.done = waiting.asked.is_empty();
        waiting.reading = !self.done;
        waiting.reading.then(|| mem::take(&mut waiting.asked))
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if !self.done {
            *locked(&self.waiting) = Waiting::default();
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is whole before anything could panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
