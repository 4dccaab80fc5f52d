//! Rate limits of API keys, counted in memory: no request waits for a disk, and after a restart each key begins anew.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::TimeDelta;

use crate::domain::rate_limit::{RateLimit, RateLimitState};
use crate::domain::{ApiKeyId, Timestamp};

/// Locks among which the keys are spread, so that two requests seldom wait for each other.
const SHARDS: usize = 16;

/// Keys that a shard holds before it first looks for ones to forget.
const FEW: usize = 1_024;

/// For how long a refusal of a key is no news after the one before.
const NEWS: TimeDelta = TimeDelta::minutes(1);

/// How much each API key has used of its limit.
#[derive(Default)]
pub struct RateLimits {
    /// How many others share the limits.
    others: AtomicU32,
    shards: [Mutex<Shard>; SHARDS],
}

/// The keys of one lock. One whose time has come has its whole limit again, as if it had never been seen, and may be
/// forgotten once a refusal of it would be news: so there are never more than [`FEW`], or twice as many as were in use
/// at once.
#[derive(Default)]
struct Shard {
    buckets: HashMap<ApiKeyId, Bucket>,
    /// Forget when there are so many, and more than [`FEW`].
    most: usize,
}

struct Bucket {
    /// Its theoretical arrival time.
    tat: Timestamp,
    /// When it was last told that the key was refused, for each reason.
    told: Vec<(&'static str, Timestamp)>,
}

impl RateLimits {
    /// How many servers share the limits.
    #[must_use]
    pub fn servers(&self) -> NonZeroU32 {
        NonZeroU32::MIN.saturating_add(self.others.load(Ordering::Relaxed))
    }

    /// From now on so many servers share the limits.
    pub fn set_servers(&self, servers: NonZeroU32) {
        self.others.store(servers.get() - 1, Ordering::Relaxed);
    }

    /// Counts a request with a key against its limit, where it has one, and tells what is left.
    ///
    /// # Errors
    /// When there is more, where nothing is left; it counts as no request.
    pub fn take(
        &self,
        key: ApiKeyId,
        limit: Option<NonZeroU32>,
        now: Timestamp,
    ) -> Result<Option<RateLimitState>, RateLimitState> {
        let Some(per_minute) = limit else { return Ok(None) };
        let mut shard = self.shard(key);
        let tat = shard.buckets.get(&key).map(|bucket| bucket.tat);
        let decision = RateLimit { per_minute }.take(tat, now, self.servers());
        shard.bucket(key, now).tat = decision.tat;
        if decision.allowed { Ok(Some(decision.state)) } else { Err(decision.state) }
    }

    /// Whether it is worth telling that somebody (a key, a session, a trusted issuer) was refused for this reason, one of a
    /// few: once a minute, for whoever does not slow down tells nothing new.
    pub fn is_news(&self, key: ApiKeyId, reason: &'static str, now: Timestamp) -> bool {
        let mut shard = self.shard(key);
        let told = &mut shard.bucket(key, now).told;
        let is_known = told.iter().any(|(of, at)| *of == reason && is_fresh(*at, now));
        if !is_known {
            told.retain(|(_, at)| is_fresh(*at, now));
            told.push((reason, now));
        }
        !is_known
    }

    fn shard(&self, key: ApiKeyId) -> MutexGuard<'_, Shard> {
        // The last byte of a UUID is random in each version that has random ones.
        let [.., last] = *key.as_bytes();
        let [first, rest @ ..] = &self.shards;
        let shard = rest.get(usize::from(last) % SHARDS).unwrap_or(first);
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    fn bucket(&mut self, key: ApiKeyId, now: Timestamp) -> &mut Bucket {
        if self.buckets.len() >= self.most.max(FEW) {
            self.buckets.retain(|_, bucket| bucket.tat > now || bucket.told.iter().any(|(_, at)| is_fresh(*at, now)));
            self.most = self.buckets.len().saturating_mul(2);
            self.buckets.shrink_to(self.most);
        }
        self.buckets.entry(key).or_insert_with(|| Bucket { tat: now, told: Vec::new() })
    }
}

/// Whether what was told then is no news yet.
fn is_fresh(told_at: Timestamp, now: Timestamp) -> bool {
    now.since(told_at).abs() < NEWS
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
        assert!(matches!(limits.take(key(1), two, NOW), Err(state) if state.retry_after == 30));
        assert_eq!(limits.take(key(17), two, NOW).unwrap().unwrap().remaining, 1, "of the same shard");
        assert!(limits.take(key(1), None, NOW).unwrap().is_none());
        let later = NOW.plus(chrono::TimeDelta::seconds(30));
        assert_eq!(limits.take(key(1), two, later).unwrap().unwrap().remaining, 0);
    }

    #[test]
    fn a_refusal_is_news_once_a_minute() {
        let limits = RateLimits::default();
        let at = |seconds| NOW.plus(TimeDelta::seconds(seconds));
        let news = [0, 1, 59, 60, 61, 121, -600].map(|second| limits.is_news(key(1), "a", at(second)));
        assert_eq!(news, [true, false, false, true, false, true, true]);
        assert!(limits.is_news(key(1), "b", at(-600)), "another reason");
        assert!(limits.is_news(key(2), "a", at(-600)), "another key");
        assert!(limits.take(key(1), NonZeroU32::new(1), NOW).is_ok(), "it counts as no request");
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
            assert!(shard.lock().unwrap().buckets.len() <= FEW);
        }
    }
}
