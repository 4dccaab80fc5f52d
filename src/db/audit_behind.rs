//! Lines of the audit log that nobody waits for: a flood of them takes one thread of the database, and no more.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;

use super::{Db, DbError, audit};
use crate::domain::audit::AuditEvent;

/// Lines that wait, at most; what comes beyond is dropped.
const MOST: usize = 1_024;

/// Lines of one transaction, at most: what holds a chain is soon over.
const BATCH: usize = 128;

/// What was to be recorded since the last write began. Each line is added to a chain, which one transaction holds at a time:
/// had each line a transaction of its own, those of one chain would wait for each other on all threads that there are.
pub struct Behind {
    waiting: Mutex<Waiting>,
    /// Where they are written: it goes on while the process ends and the runtimes of the workers are gone.
    runtime: Handle,
}

#[derive(Default)]
struct Waiting {
    events: Vec<AuditEvent>,
    /// Somebody writes, and will write what comes meanwhile.
    writing: bool,
}

impl Behind {
    /// Nothing waits; what will is written by the runtime that this is called in.
    pub fn new() -> Result<Self, DbError> {
        let runtime = Handle::try_current().map_err(|error| DbError::Fault(error.to_string()))?;
        Ok(Self { waiting: Mutex::default(), runtime })
    }

    /// Whether lines are on their way.
    pub fn is_writing(&self) -> bool {
        self.waiting().writing
    }

    /// Adds a line; true where somebody has to begin to write.
    fn add(&self, event: AuditEvent) -> bool {
        let mut waiting = self.waiting();
        if waiting.events.len() < MOST {
            waiting.events.push(event);
        }
        !mem::replace(&mut waiting.writing, true)
    }

    /// What is to be written next, in the order of the chains, so that two servers never wait for each other crosswise;
    /// nothing where whoever writes is done.
    fn take(&self) -> Vec<AuditEvent> {
        let mut waiting = self.waiting();
        waiting.writing = !waiting.events.is_empty();
        let most = BATCH.min(waiting.events.len());
        let mut events: Vec<_> = waiting.events.drain(..most).collect();
        events.sort_by_key(|event| event.tenant_id);
        events
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Each change is whole before anything could panic.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Db {
    /// Records a line that nobody waits for, together with others. Under load it is dropped first, as by
    /// [`Db::write_behind`].
    pub fn record_behind(&self, event: AuditEvent) {
        if self.has_room() && self.0.behind.add(event) {
            drop(self.0.behind.runtime.spawn(self.clone().record_all()));
        }
    }

    async fn record_all(self) {
        loop {
            let events = self.0.behind.take();
            if events.is_empty() {
                return;
            }
            let record = self.write(move |connection| {
                events.iter().try_for_each(|event| audit::record(connection, event)).map_err(DbError::from)
            });
            if let Err(error) = record.await {
                tracing::warn!(%error, "lines of the audit log that nobody waits for are lost");
            }
        }
    }
}
