//! The keys of other issuers: fetched when a token needs them, remembered for a while (ADR 11).
//!
//! Whoever sends tokens decides when we ask another server. So of whatever they send, an issuer is asked by one fetch at a
//! time and not again for [`PAUSE`](cache::PAUSE); fetches run on threads of their own, and few of them wait.

mod cache;
mod client;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};

pub use self::client::ClientError;

use self::cache::{Cache, Lookup};
use self::client::Client;
use crate::config::Workload;
use crate::domain::issuer_url::IssuerUrl;
use crate::domain::{Refusal, Timestamp};
use crate::tokens::foreign::{ForeignKey, ForeignToken};

/// As many issuers are asked at once.
const THREADS: usize = 4;

/// Fetches that wait for a thread; beyond it callers are told at once to come back.
const QUEUE: usize = 64;

/// The longest that a token waits for its issuer. The fetch goes on, so that the next one need not.
const PATIENCE: Duration = Duration::from_secs(5);

/// The keys of other issuers.
pub struct ForeignKeys {
    cache: Arc<Mutex<Cache>>,
    queue: Sender<Job>,
}

struct Job {
    issuer: IssuerUrl,
    asked_at: Timestamp,
}

impl ForeignKeys {
    /// Starts the threads that fetch.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn start(config: &Workload) -> Result<Self, ClientError> {
        let client = Arc::new(Client::new(config)?);
        let cache = Arc::new(Mutex::new(Cache::default()));
        let (queue, jobs) = crossbeam_channel::bounded(QUEUE);
        for number in 0..THREADS {
            let (jobs, client, cache) = (jobs.clone(), Arc::clone(&client), Arc::clone(&cache));
            let named = std::thread::Builder::new().name(format!("fetch-{number}"));
            named.spawn(move || work(&jobs, &client, &cache)).map_err(|_| ClientError::Start)?;
        }
        Ok(Self { cache, queue })
    }

    /// The key that a token is said to be signed with; none where its issuer has no such key.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] where the issuer does not say, whatever the reason: the log has it, a stranger does not need
    /// it. [`Refusal::Overloaded`] where too many wait.
    pub async fn find(&self, token: &ForeignToken, now: Timestamp) -> Result<Option<ForeignKey>, Refusal> {
        let waiting = match self.ask(token, now)? {
            Lookup::Known(key) => return Ok(key),
            Lookup::Away => return Err(Refusal::Unavailable),
            Lookup::Wait(waiting) => waiting,
        };
        // Whether it came or not: what is known then is the answer.
        let _ = tokio::time::timeout(PATIENCE, waiting).await;
        match lock(&self.cache).look(token, now) {
            Some(Lookup::Known(key)) => Ok(key),
            _ => Err(Refusal::Unavailable),
        }
    }

    fn ask(&self, token: &ForeignToken, now: Timestamp) -> Result<Lookup, Refusal> {
        let mut cache = lock(&self.cache);
        if let Some(known) = cache.look(token, now) {
            return Ok(known);
        }
        let (waiting, is_first) = cache.wait(&token.issuer, now).ok_or(Refusal::Overloaded)?;
        if is_first {
            let job = Job { issuer: token.issuer.clone(), asked_at: now };
            if self.queue.try_send(job).is_err() {
                cache.forget(&token.issuer);
                return Err(Refusal::Overloaded);
            }
        }
        Ok(Lookup::Wait(waiting))
    }
}

fn work(jobs: &Receiver<Job>, client: &Client, cache: &Mutex<Cache>) {
    for Job { issuer, asked_at } in jobs {
        if !lock(cache).is_wanted(&issuer) {
            continue;
        }
        // Whatever another server makes a library do, somebody waits for this thread to go on.
        let fetched = catch_unwind(AssertUnwindSafe(|| client.fetch(&issuer)));
        let keys = match fetched {
            Ok(Ok(keys)) => Some(keys),
            Ok(Err(error)) => {
                tracing::warn!(%issuer, %error, "the keys of a trusted issuer cannot be fetched");
                None
            }
            Err(_) => None,
        };
        lock(cache).learn(&issuer, keys, asked_at);
    }
}

fn lock(cache: &Mutex<Cache>) -> MutexGuard<'_, Cache> {
    cache.lock().unwrap_or_else(PoisonError::into_inner)
}
