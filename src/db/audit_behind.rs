//! Lines of the audit log that nobody waits for: a flood of them takes one thread of the database, and no more.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::runtime::Handle;

use super::{Db, DbError, audit};
use crate::deadline::PATIENCE;
use crate::domain::audit::AuditEvent;

/// Lines that wait, at most; what comes beyond is dropped.
const MOST: usize = 1_024;

/// Lines of one transaction, at most: what holds a chain is soon over, also where each line has another chain and the
/// database is far away.
const BATCH: usize = 64;

/// What was to be recorded since the last write began. Each line is added to a chain, which one transaction holds at a
/// time: had each line a transaction of its own, those of one chain would wait for each other on all threads that there
/// are.
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
    /// Lines that are lost.
    dropped: u64,
}

impl Behind {
    /// Nothing waits; what will is written by the runtime that this is called in.
    pub fn new() -> Result<Self, DbError> {
        let runtime = Handle::try_current().map_err(|error| DbError::Fault(error.to_string()))?;
        Ok(Self { waiting: Mutex::default(), runtime })
    }

    /// The runtime that they are written by.
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// How many lines were lost.
    pub fn dropped(&self) -> u64 {
        self.waiting().dropped
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
        } else {
            waiting.dropped += 1;
        }
        !mem::replace(&mut waiting.writing, true)
    }

    /// What is to be written next; nothing where whoever writes is done.
    fn take(&self) -> Vec<AuditEvent> {
        let mut waiting = self.waiting();
        waiting.writing = !waiting.events.is_empty();
        let most = BATCH.min(waiting.events.len());
        waiting.events.drain(..most).collect()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Each change is whole before anything could panic.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Db {
    /// Records a line that nobody waits for, together with others. Under load it is dropped first, as by
    /// [`Db::write_behind`], and counted.
    pub fn record_behind(&self, event: AuditEvent) {
        let behind = &self.0.behind;
        if !self.has_room() {
            behind.waiting().dropped += 1;
        } else if behind.add(event) {
            drop(behind.runtime.spawn(self.clone().record_waiting()));
        }
    }

    async fn record_waiting(self) {
        loop {
            let events = self.0.behind.take();
            if events.is_empty() {
                return;
            }
            let Err(error) = self.record_batch(events.clone()).await else { continue };
            // It was the moment, or one of them: each is tried once more, but a database that is away is not asked for
            // long.
            let (begun, mut lost) = (Instant::now(), 0);
            for event in events {
                let is_lost = begun.elapsed() > PATIENCE || self.record_batch(vec![event]).await.is_err();
                lost += u64::from(is_lost);
            }
            if lost > 0 {
                self.0.behind.waiting().dropped += lost;
                tracing::warn!(%error, lost, "lines of the audit log that nobody waits for are lost");
            }
        }
    }

    async fn record_batch(&self, events: Vec<AuditEvent>) -> Result<(), DbError> {
        self.write(move |connection| Ok(audit::record_all(connection, events)?)).await
    }
}
