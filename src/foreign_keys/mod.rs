//! The keys of other issuers: fetched when a token needs them, remembered for a while (ADR 11).
//!
//! Whoever sends tokens decides when we ask another server. So of whatever they send, an issuer is asked by one fetch
//! at a time and not again for [`PAUSE`](cache::PAUSE); fetches run on threads of their own, and few of them wait, of a
//! tenant fewer still. Where an issuer cannot be asked soon, the keys that it gave before do for a while.

mod cache;
mod client;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::{Receiver, Sender};

pub use self::client::{ClientError, believing, own_authorities};

use self::cache::{Cache, Lookup, MOST_OF_A_TENANT, PATIENCE};
use self::client::Client;
use crate::config::Workload;
use crate::domain::issuer_url::IssuerUrl;
use crate::domain::{Refusal, TenantId, Timestamp};
use crate::tokens::foreign::{ForeignKey, ForeignToken};

/// As many issuers are asked at once: several times what one tenant may have of them, since a name may be looked up for
/// as long as the system likes. The threads do nothing but wait.
const THREADS: usize = 8;

const _: () = assert!(THREADS >= 4 * MOST_OF_A_TENANT, "one tenant's dawdling issuers leave most threads to others");

/// Fetches that wait for a thread; beyond it the last keys do, or callers are told at once to come back.
const QUEUE: usize = 64;

/// The keys of other issuers.
pub struct ForeignKeys {
    cache: Arc<Mutex<Cache>>,
    queue: Sender<Job>,
}

/// What was found of a key.
pub struct Found {
    /// The key; none where its issuer has no such key.
    pub key: Option<ForeignKey>,
    /// Whether that took so long that what was read before may have changed.
    pub has_waited: bool,
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

    /// The key that a token is said to be signed with. Where its issuer cannot be asked now, the last keys that it gave
    /// count for a while.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] where the issuer does not say, whatever the reason: the log has it, a stranger does not
    /// need it. [`Refusal::Overloaded`] where too many wait.
    pub async fn find(&self, token: &ForeignToken, tenant: TenantId, now: Timestamp) -> Result<Found, Refusal> {
        let (has_waited, refusal) = match self.ask(token, tenant, now) {
            Lookup::Known(key) => return Ok(Found { key, has_waited: false }),
            Lookup::Away => return Err(Refusal::Unavailable),
            Lookup::Busy => (false, Refusal::Overloaded),
            Lookup::Wait(waiting) => {
                // Whether it came or not: what is known then is the answer.
                let _ = tokio::time::timeout(PATIENCE.to_std().unwrap_or_default(), waiting).await;
                (true, Refusal::Unavailable)
            }
        };
        let mut cache = lock(&self.cache);
        let key = match cache.look(token, now) {
            Some(Lookup::Known(key)) => key,
            _ => Some(cache.last(token, now).ok_or(refusal)?),
        };
        Ok(Found { key, has_waited })
    }

    fn ask(&self, token: &ForeignToken, tenant: TenantId, now: Timestamp) -> Lookup {
        let mut cache = lock(&self.cache);
        if let Some(known) = cache.look(token, now) {
            return known;
        }
        let Some((waiting, is_first)) = cache.wait(&token.issuer, tenant, now) else { return Lookup::Busy };
        let job = || Job { issuer: token.issuer.clone(), asked_at: now };
        if is_first && self.queue.try_send(job()).is_err() {
            cache.forget(&token.issuer);
            return Lookup::Busy;
        }
        Lookup::Wait(waiting)
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
