//! Rate limits of API keys, counted in memory: no request waits for a disk, and after a restart each key begins anew.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::domain::rate_limit::{RateLimit, RateLimitState};
use crate::domain::{ApiKeyId, Refusal, Timestamp};

/// Locks among which the keys are spread, so that two requests seldom wait for each other.
const SHARDS: usize = 16;

/// Keys that a shard holds before it first looks for ones to forget.
const FEW: usize = 1_024;

/// How much each API key has used of its limit.
pub struct RateLimits {
    in_use: bool,
    servers: AtomicU32,
    shards: [Mutex<Shard>; SHARDS],
}

/// The keys of one lock and their theoretical arrival times. One whose time has come has its whole limit again, as if it
/// had never been seen, and may be forgotten: so there are never more than [`FEW`], or twice as many as were in use at once.
struct Shard {
    times: HashMap<ApiKeyId, Timestamp>,
    /// Forget when there are so many.
    most: usize,
}

impl RateLimits {
    /// Limits of which nothing is used yet. Where none is ever `in_use`, the servers do not tell each other that they run.
    #[must_use]
    pub fn new(in_use: bool) -> Self {
        let shard = || Mutex::new(Shard { times: HashMap::new(), most: FEW });
        Self { in_use, servers: AtomicU32::new(1), shards: std::array::from_fn(|_| shard()) }
    }

    /// Whether any key may have a limit.
    #[must_use]
    pub fn in_use(&self) -> bool {
        self.in_use
    }

    /// How many servers share the limits.
    #[must_use]
    pub fn servers(&self) -> NonZeroU32 {
        NonZeroU32::new(self.servers.load(Ordering::Relaxed)).unwrap_or(NonZeroU32::MIN)
    }

    /// From now on so many servers share the limits.
    pub fn set_servers(&self, servers: NonZeroU32) {
        self.servers.store(servers.get(), Ordering::Relaxed);
    }

    /// Counts a request with a key against its limit, where it has one, and tells what is left.
    ///
    /// # Errors
    /// [`Refusal::RateLimited`], which counts as no request.
    pub fn take(
        &self,
        key: ApiKeyId,
        limit: Option<NonZeroU32>,
        now: Timestamp,
    ) -> Result<Option<RateLimitState>, Refusal> {
        let Some(per_minute) = limit else { return Ok(None) };
        // The last byte of a UUID is random in each version that has random ones.
        let [.., last] = *key.as_bytes();
        let shard = self.shards.get(usize::from(last) % SHARDS).ok_or(Refusal::Internal)?;
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let decision = RateLimit { per_minute }.take(shard.times.get(&key).copied(), now, self.servers());
        shard.remember(key, decision.tat, now);
        if decision.allowed { Ok(Some(decision.state)) } else { Err(Refusal::RateLimited(decision.state)) }
    }
}

impl Default for RateLimits {
    fn default() -> Self {
        Self::new(false)
    }
}

impl Shard {
    fn remember(&mut self, key: ApiKeyId, tat: Timestamp, now: Timestamp) {
        if self.times.len() >= self.most {
            self.times.retain(|_, tat| *tat > now);
            self.most = self.times.len().saturating_mul(2).max(FEW);
            self.times.shrink_to(self.most);
        }
        self.times.insert(key, tat);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

    fn key(number: u128) -> ApiKeyId {
        uuid::Uuid::from_u128(number).into()
    }

    #[test]
    fn each_key_has_a_limit_of_its_own() {
        let limits = RateLimits::default();
        let two = NonZeroU32::new(2);
        assert_eq!(limits.take(key(1), two, NOW).unwrap().unwrap().remaining, 1);
        assert_eq!(limits.take(key(1), two, NOW).unwrap().unwrap().remaining, 0);
        assert!(matches!(limits.take(key(1), two, NOW), Err(Refusal::RateLimited(state)) if state.retry_after == 30));
        assert_eq!(limits.take(key(17), two, NOW).unwrap().unwrap().remaining, 1, "of the same shard");
        assert!(limits.take(key(1), None, NOW).unwrap().is_none());
        let later = NOW.plus(chrono::TimeDelta::seconds(30));
        assert_eq!(limits.take(key(1), two, later).unwrap().unwrap().remaining, 0);
    }

    #[test]
    fn servers_share_a_limit() {
        let limits = RateLimits::default();
        limits.set_servers(NonZeroU32::new(3).unwrap());
        let passed = (0..120).filter(|_| limits.take(key(1), NonZeroU32::new(120), NOW).is_ok()).count();
        assert_eq!(passed, 40);
    }

    #[test]
    fn a_key_that_has_its_whole_limit_again_is_forgotten() {
        let limits = RateLimits::default();
        let per_minute = NonZeroU32::new(60);
        for number in 0..200_000_u128 {
            // A thousand keys in a second, of which each has a second to wait.
            let now = NOW.plus(chrono::TimeDelta::milliseconds(i64::try_from(number).unwrap()));
            limits.take(key(number), per_minute, now).unwrap();
        }
        for shard in &limits.shards {
            assert!(shard.lock().unwrap().times.len() <= FEW);
        }
    }
}
