//! What API keys are used for: counted in memory, written in batches, so that no exchange waits for a disk.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::db::locks::{self, Lock};
use crate::db::usage;
use crate::db::{Db, DbError};
use crate::domain::status_list::StatusIndex;
use crate::domain::usage::UsageCounts;
use crate::domain::{Actor, ApiKeyId, Scopes, Timestamp};

/// Counts that are not written yet. A key is counted under only after it was found, so there are no more of them than
/// keys that were used since the last write.
#[derive(Default)]
pub struct Usage(Mutex<Counts>);

/// In the order of the keys' ids: two servers that write the same ones never wait for each other crosswise.
type Counts = BTreeMap<ApiKeyId, UsageCounts>;

/// Rows that are written at a time, but for those of one key: other writers get their turn in between, and over a
/// network a batch is done long before anyone gives it up.
const BATCH: usize = 100;

impl Usage {
    /// Counts a token that was issued for a key, and the scopes in it.
    pub fn count_success(&self, key: ApiKeyId, scopes: &Scopes, now: Timestamp) {
        self.counts().entry(key).or_default().count_success(scopes, now);
    }

    /// Counts a refusal of a key that exists, by its code.
    pub fn count_refusal(&self, key: ApiKeyId, code: &'static str, now: Timestamp) {
        self.counts().entry(key).or_default().count_refusal(code, now);
    }

    /// Counts who presented a secret of a key, whatever came of it.
    pub fn count_caller(&self, key: ApiKeyId, secret: StatusIndex, by: &Actor, now: Timestamp) {
        let from = (by.ip, by.user_agent.as_deref().unwrap_or_default());
        self.counts().entry(key).or_default().count_caller(secret, from, 1, now);
    }

    /// Writes what was counted; what cannot be written is counted again. It must not be dropped half way: nobody could
    /// say then what of it is written.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn flush(&self, db: &Db) -> Result<(), DbError> {
        let counts = std::mem::take(&mut *self.counts());
        let mut batches = batches(counts).into_iter();
        while let Some(batch) = batches.next() {
            if let Err(error) = write(db, batch.clone()).await {
                self.count_again(batch.into_iter().chain(batches.flatten()));
                return Err(error);
            }
        }
        Ok(())
    }

    fn count_again(&self, unwritten: impl Iterator<Item = (ApiKeyId, UsageCounts)>) {
        let mut counts = self.counts();
        for (key, usage) in unwritten {
            counts.entry(key).or_default().merge(usage);
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Batch = Vec<(ApiKeyId, UsageCounts)>;

fn batches(counts: Counts) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    let mut room = 0;
    for (key, usage) in counts {
        let rows = usage.rows();
        match batches.last_mut() {
            Some(batch) if rows <= room => batch.push((key, usage)),
            _ => {
                room = BATCH;
                batches.push(vec![(key, usage)]);
            }
        }
        room = room.saturating_sub(rows);
    }
    batches
}

async fn write(db: &Db, batch: Batch) -> Result<(), DbError> {
    db.write(move |connection| {
        locks::wait_for(connection, Lock::Usage)?;
        batch.iter().try_for_each(|(key, counted)| usage::add(connection, *key, counted))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u128) -> ApiKeyId {
        uuid::Uuid::from_u128(number).into()
    }

    #[test]
    fn a_batch_is_a_hundred_rows_or_one_key() {
        let usage = Usage::default();
        let many: Scopes = (0..150).map(|n| format!("a:s{n}")).collect::<Vec<_>>().join(" ").parse().unwrap();
        for number in 0..120 {
            usage.count_refusal(key(number), "insufficient_scope", Timestamp(0));
        }
        usage.count_success(key(60), &many, Timestamp(0));
        let batches = batches(std::mem::take(&mut *usage.counts()));
        let sizes: Vec<_> = batches.iter().map(Vec::len).collect();
        assert_eq!(sizes, [60, 1, 59]);
        let keys: Vec<_> = batches.into_iter().flatten().map(|(key, _)| key).collect();
        assert!(keys.is_sorted(), "in the order of their ids");
    }

    #[test]
    fn what_is_counted_again_adds_up() {
        let usage = Usage::default();
        let count = |at| {
            usage.count_success(key(1), &"a:b c:d".parse().unwrap(), Timestamp(at));
            usage.count_refusal(key(1), "tenant_mismatch", Timestamp(at));
        };
        count(9);
        let unwritten = std::mem::take(&mut *usage.counts());
        count(5);
        usage.count_again(unwritten.into_iter());

        let twice = Usage::default();
        for at in [5, 9] {
            twice.count_success(key(1), &"c:d a:b".parse().unwrap(), Timestamp(at));
            twice.count_refusal(key(1), "tenant_mismatch", Timestamp(at));
        }
        assert_eq!(*usage.counts(), *twice.counts());
    }
}
