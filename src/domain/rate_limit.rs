//! Rate limits: the generic cell rate algorithm (GCRA), which needs one number for each key (ADR 6).

use std::num::NonZeroU32;

use super::Timestamp;

/// What a limit counts by, in microseconds.
const WINDOW: i64 = 60 * 1_000_000;

/// So many requests in a minute; a minute's worth of them may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// The limit, of all servers together.
    pub per_minute: NonZeroU32,
}

/// What becomes of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may pass.
    pub allowed: bool,
    /// The theoretical arrival time that is remembered: the moment from which the whole limit is there again.
    pub tat: Timestamp,
    /// What its sender is told.
    pub state: RateLimitState,
}

/// What is left of a limit, as far as this server knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimitState {
    /// The limit.
    pub per_minute: u32,
    /// How many more requests would pass this moment.
    pub remaining: u32,
    /// Seconds until a request passes: 0 after one that did, at least 1 after one that did not.
    pub retry_after: u32,
    /// Seconds until one request more is there than now.
    pub reset: u32,
}

impl RateLimit {
    /// Decides about a request of now. `tat` is what the decision before left, none where there was none; `servers`
    /// share the limit, each an equal part of it.
    ///
    /// What cannot be of this algorithm, a time further ahead than the whole limit, was left by a clock that stepped
    /// back. It counts as a limit that is used up, which the next moments restore: nobody is locked out until the clock
    /// is there again.
    #[must_use]
    pub fn take(self, tat: Option<Timestamp>, now: Timestamp, servers: NonZeroU32) -> Decision {
        let (interval, burst) = self.share(servers);
        let full = interval.saturating_mul(burst);
        // Where the share has become smaller, more may be used up than there is now.
        let used = tat.map_or(0, |tat| tat.0.saturating_sub(now.0)).clamp(0, full.max(WINDOW));
        let with_this_one = used.saturating_add(interval);
        let allowed = with_this_one <= full;
        let used = if allowed { with_this_one } else { used };

        let remaining = full.saturating_sub(used).max(0) / interval;
        let until_more = used.saturating_add(interval.saturating_mul(remaining + 1)).saturating_sub(full);
        Decision {
            allowed,
            tat: Timestamp(now.0.saturating_add(used)),
            state: RateLimitState {
                per_minute: self.per_minute.get(),
                remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
                retry_after: if allowed { 0 } else { seconds(until_more) },
                reset: seconds(until_more),
            },
        }
    }

    /// One server's part of the limit: the microseconds between two requests, and how many may come at once. The first
    /// is exact however many servers there are; of the second each has at least one.
    fn share(self, servers: NonZeroU32) -> (i64, i64) {
        let (limit, servers) = (i64::from(self.per_minute.get()), i64::from(servers.get()));
        let interval = WINDOW.saturating_mul(servers).saturating_add(limit - 1) / limit;
        (interval.max(1), (limit / servers).max(1))
    }
}

/// Whole seconds, rounded up: whoever waits for so long does not come too early.
pub(super) fn seconds(micros: i64) -> u32 {
    u32::try_from(micros.saturating_add(999_999) / 1_000_000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    /// A bucket whose clock and number of servers a test moves.
    struct Bucket {
        limit: RateLimit,
        servers: NonZeroU32,
        tat: Option<Timestamp>,
        now: i64,
    }

    impl Bucket {
        fn new(per_minute: u32) -> Self {
            let limit = RateLimit { per_minute: NonZeroU32::new(per_minute).unwrap() };
            Self { limit, servers: NonZeroU32::MIN, tat: None, now: 1_800_000_000 * SECOND }
        }

        fn take(&mut self) -> Decision {
            let decision = self.limit.take(self.tat, Timestamp(self.now), self.servers);
            self.tat = Some(decision.tat);
            decision
        }

        /// How many pass before one does not.
        fn burst(&mut self) -> u32 {
            (0..u32::MAX).find(|_| !self.take().allowed).unwrap()
        }
    }

    #[test]
    fn a_minutes_worth_may_come_at_once_and_then_one_at_a_time() {
        for limit in [1, 2, 7, 119, 120, 6_000] {
            let mut bucket = Bucket::new(limit);
            assert_eq!(bucket.burst(), limit, "{limit} at once");
            bucket.now += WINDOW / i64::from(limit) + 1;
            assert_eq!(bucket.burst(), 1, "one of {limit} is back");
            bucket.now += 2 * WINDOW;
            assert_eq!(bucket.burst(), limit, "{limit} are back, not more");
        }
    }

    #[test]
    fn its_sender_is_told_what_is_left_and_when_more_is() {
        let mut bucket = Bucket::new(120);
        let first = bucket.take().state;
        assert_eq!(first, RateLimitState { per_minute: 120, remaining: 119, retry_after: 0, reset: 1 });
        bucket.burst();
        let refused = bucket.take().state;
        assert_eq!(refused, RateLimitState { per_minute: 120, remaining: 0, retry_after: 1, reset: 1 });

        let mut slow = Bucket::new(1);
        assert!(slow.take().allowed);
        slow.now += 100;
        assert_eq!(slow.take().state.retry_after, 60, "rounded up");
    }

    #[test]
    fn whoever_waits_as_told_passes() {
        for (limit, servers) in [(1, 1), (1, 4), (7, 3), (120, 1), (120, 7), (1_000_000, 2)] {
            let mut bucket = Bucket::new(limit);
            bucket.servers = NonZeroU32::new(servers).unwrap();
            bucket.burst();
            for _ in 0..10 {
                bucket.burst();
                bucket.now += i64::from(bucket.take().state.retry_after) * SECOND;
                assert!(bucket.take().allowed, "{limit} a minute, {servers} servers");
            }
        }
    }

    #[test]
    fn servers_share_a_limit() {
        for (limit, servers, burst) in [(120, 1, 120), (120, 2, 60), (120, 7, 17), (10, 4, 2), (1, 4, 1)] {
            let mut bucket = Bucket::new(limit);
            bucket.servers = NonZeroU32::new(servers).unwrap();
            assert_eq!(bucket.burst(), burst);
            // Over a long time all of them together let through what one would.
            let minutes = 60;
            let mut passed = 0;
            for _ in 0..minutes * 600 {
                bucket.now += SECOND / 10;
                passed += u32::from(bucket.take().allowed);
            }
            let fair = limit * minutes / servers;
            assert!(passed.abs_diff(fair) <= 1 + fair / 100, "{limit} by {servers}: {passed}, not {fair}");
        }
    }

    #[test]
    fn a_clock_that_steps_back_locks_nobody_out() {
        for back in [SECOND, 30 * SECOND, 3_600 * SECOND, 1_800_000_000 * SECOND] {
            let mut bucket = Bucket::new(120);
            bucket.burst();
            bucket.now -= back;
            assert!(bucket.take().state.retry_after <= 30 + 1, "{back}");
            bucket.now += 31 * SECOND;
            assert!(bucket.take().allowed, "{back}");
        }
    }

    /// Whatever the clock and the number of servers do, no more passes than what was there at the start and what the
    /// time that went by has brought back; each step of the clock forwards is such a time.
    #[test]
    fn no_more_passes_than_a_burst_and_the_limit() {
        let mut random = Xorshift(0x9e37_79b9_7f4a_7c15);
        for round in 0..200 {
            let limit = 8 + random.below(1_000);
            let mut bucket = Bucket::new(u32::try_from(limit).unwrap());
            let (mut passed, mut forwards) = (0_i64, 0_i64);
            for step in 0..2_000 {
                let span = match random.below(20) {
                    0 => random.below(7_200) * SECOND,
                    1..6 => random.below(2_000_000),
                    _ => random.below(20_000),
                };
                if random.below(4) == 0 {
                    bucket.now -= span;
                } else {
                    bucket.now += span;
                    // Longer than the minute that fills a bucket is as good as the minute.
                    forwards += span.min(WINDOW + SECOND);
                }
                if random.below(50) == 0 {
                    bucket.servers = NonZeroU32::new(1 + u32::try_from(random.below(8)).unwrap()).unwrap();
                }
                let decision = bucket.take();
                passed += i64::from(decision.allowed);
                let most = limit + forwards * limit / WINDOW + 1;
                assert!(passed <= most, "round {round}, step {step}: {passed} of {most}");
                assert_eq!(decision.allowed, decision.state.retry_after == 0);
            }
        }
    }

    #[test]
    fn nothing_panics_however_odd() {
        let numbers = [i64::MIN, i64::MIN + 1, -1, 0, 1, WINDOW, i64::MAX - 1, i64::MAX];
        for limit in [1, 2, 59_999_999, 60_000_001, u32::MAX] {
            for servers in [1, 2, u32::MAX] {
                for (tat, now) in numbers.iter().flat_map(|tat| numbers.iter().map(move |now| (tat, now))) {
                    let limit = RateLimit { per_minute: NonZeroU32::new(limit).unwrap() };
                    let servers = NonZeroU32::new(servers).unwrap();
                    let decision = limit.take(Some(Timestamp(*tat)), Timestamp(*now), servers);
                    assert!(decision.tat.0 >= *now);
                }
            }
        }
    }

    /// Random enough to walk by, and the same walk each time.
    struct Xorshift(u64);

    impl Xorshift {
        fn below(&mut self, bound: i64) -> i64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            i64::try_from(self.0 >> 1).unwrap() % bound
        }
    }
}
