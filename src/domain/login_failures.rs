//! Failed logins: how many there may be, and how long the next one then waits (security 16, 17; ADR 16).

use std::net::IpAddr;

use chrono::TimeDelta;
use diesel::Queryable;
use ipnet::IpNet;

use super::Timestamp;
use super::rate_limit::seconds;

/// An account's failures in a row are forgotten so long after the last one.
pub const ACCOUNT_MEMORY: TimeDelta = TimeDelta::days(1);

/// The failures of one address are counted within this time of the first.
const ADDRESS_WINDOW: TimeDelta = TimeDelta::minutes(10);

/// The wait after as many failures as an account may have; each further one doubles it.
const FIRST_WAIT: TimeDelta = TimeDelta::seconds(1);

/// The longest wait: nobody locks somebody else's account for longer at a time.
const LONGEST_WAIT: TimeDelta = TimeDelta::minutes(15);

/// For so long a guess may be under way that counts as a failure and turns out right.
const UNDER_WAY: TimeDelta = TimeDelta::milliseconds(500);

/// What failures are counted for: a keyed hash of the account or the address, and the device.
#[derive(Clone, Debug)]
pub struct Counter {
    /// The hash.
    pub subject: Vec<u8>,
    /// The id of the session that a device proves to have had; empty for strangers.
    pub device: Vec<u8>,
}

/// Failures of one [`Counter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Queryable)]
pub struct Failures {
    /// How many.
    pub count: i64,
    /// When the first of them was.
    pub first_at: Timestamp,
    /// When the last of them was.
    pub last_at: Timestamp,
}

/// How many failures there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureLimit {
    /// In a row, of one account: then each further one waits, the longer the more there were.
    Account(u32),
    /// In ten minutes, from one address: then none until they are over.
    Address(u32),
}

/// A login that comes too early. It is not tried, so it tells nothing about the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttled {
    /// What was reached.
    pub limit: FailureLimit,
    /// Seconds until the next guess may be tried, at least 1.
    pub retry_after: u32,
    /// Whether the guess before may still be under way, and turn out right.
    pub undecided: bool,
}

impl Failures {
    /// The same, seen at `now`: what lies ahead was left by a clock that stepped back, and counts as of this moment, so
    /// that nobody waits for the clock to be there again.
    #[must_use]
    pub fn seen_at(self, now: Timestamp) -> Self {
        Self { first_at: self.first_at.min(now), last_at: self.last_at.min(now), ..self }
    }
}

impl FailureLimit {
    /// One guess more, counted as a failure before it is tried.
    ///
    /// # Errors
    /// [`Throttled`]: it may not be tried yet, and does not count.
    pub fn count(self, seen: Option<Failures>, now: Timestamp) -> Result<Failures, Throttled> {
        let Some(seen) = seen.filter(|seen| now < self.forgotten_at(*seen)) else {
            return Ok(Failures { count: 1, first_at: now, last_at: now });
        };
        let left = self.free_at(seen).since(now);
        if left > TimeDelta::zero() {
            let retry_after = seconds(left.num_microseconds().unwrap_or(i64::MAX));
            return Err(Throttled { limit: self, retry_after, undecided: now.since(seen.last_at) < UNDER_WAY });
        }
        Ok(Failures { count: seen.count.saturating_add(1), last_at: now, ..seen })
    }

    /// How many failures there may be before the first wait.
    #[must_use]
    pub fn quota(self) -> u32 {
        let (Self::Account(quota) | Self::Address(quota)) = self;
        quota
    }

    /// The time within which failures count together.
    #[must_use]
    pub fn window(self) -> TimeDelta {
        match self {
            Self::Account(_) => ACCOUNT_MEMORY,
            Self::Address(_) => ADDRESS_WINDOW,
        }
    }

    /// How long the next guess waits after the last of so many failures; none where it need not.
    #[must_use]
    pub fn wait_after(self, count: i64) -> Option<TimeDelta> {
        let beyond = u64::try_from(count.checked_sub(self.quota().into())?).ok()?;
        Some(match self {
            // Twenty doublings are more than enough for the longest wait, and far from any overflow.
            Self::Account(_) => LONGEST_WAIT.min(FIRST_WAIT * (1 << beyond.min(20))),
            Self::Address(_) => ADDRESS_WINDOW,
        })
    }

    fn free_at(self, seen: Failures) -> Timestamp {
        let since = if matches!(self, Self::Account(_)) { seen.last_at } else { seen.first_at };
        self.wait_after(seen.count).map_or(since, |wait| since.plus(wait))
    }

    fn forgotten_at(self, seen: Failures) -> Timestamp {
        let since = if matches!(self, Self::Account(_)) { seen.last_at } else { seen.first_at };
        since.plus(self.window())
    }
}

/// Those whom one client address stands for: of IPv6 the /64, which one household or server has whole.
#[must_use]
pub fn network_of(address: IpAddr) -> IpNet {
    let whole = IpNet::from(address);
    match address {
        IpAddr::V4(_) => whole,
        IpAddr::V6(_) => IpNet::new(address, 64).map_or(whole, |network| network.trunc()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: FailureLimit = FailureLimit::Account(10);
    const ADDRESS: FailureLimit = FailureLimit::Address(100);
    const START: Timestamp = Timestamp(1_800_000_000_000_000);

    fn at(seconds: i64) -> Timestamp {
        START.plus(TimeDelta::seconds(seconds))
    }

    /// Guesses once a second from `from` until so many were let through; tells when each was.
    fn let_through(limit: FailureLimit, guesses: usize) -> Vec<i64> {
        let (mut failures, mut times) = (None, Vec::new());
        for second in 0.. {
            if times.len() == guesses {
                break;
            }
            if let Ok(next) = limit.count(failures, at(second)) {
                failures = Some(next);
                times.push(second);
            }
        }
        times
    }

    #[test]
    fn an_accounts_waits_double_up_to_a_quarter_of_an_hour() {
        let times = let_through(ACCOUNT, 24);
        let waits: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let expected = [1; 10].into_iter().chain([2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900, 900]);
        assert_eq!(waits, expected.collect::<Vec<_>>());
        for count in [i64::MIN, -1, 0, 9] {
            assert_eq!(ACCOUNT.wait_after(count), None, "{count}");
        }
        for count in [20, 40, 41, 42, 43, 1_000, i64::MAX] {
            assert_eq!(ACCOUNT.wait_after(count), Some(LONGEST_WAIT), "{count}");
        }
    }

    #[test]
    fn what_is_refused_does_not_prolong_the_wait() {
        let full = Some(Failures { count: 19, first_at: at(0), last_at: at(0) });
        for second in 0..512 {
            let throttled = ACCOUNT.count(full, at(second)).unwrap_err();
            assert_eq!(i64::from(throttled.retry_after), 512 - second);
            assert_eq!(throttled.undecided, second == 0);
        }
        assert_eq!(ACCOUNT.count(full, at(512)).unwrap().count, 20);
    }

    #[test]
    fn an_address_waits_until_ten_minutes_after_its_first_failure() {
        let times = let_through(ADDRESS, 102);
        assert_eq!((times[99], times[100], times[101]), (99, 600, 601));
        let full = Some(Failures { count: 100, first_at: at(0), last_at: at(99) });
        assert_eq!(ADDRESS.count(full, at(100)).unwrap_err().retry_after, 500);
    }

    #[test]
    fn failures_are_forgotten_after_a_day() {
        let many = Some(Failures { count: 50, first_at: at(-1_000_000), last_at: at(0) });
        assert_eq!(ACCOUNT.count(many, at(86_399)).unwrap().count, 51);
        assert_eq!(ACCOUNT.count(many, at(86_400)).unwrap().count, 1);
    }

    #[test]
    fn a_clock_that_steps_back_locks_nobody_out() {
        for limit in [ACCOUNT, ADDRESS] {
            for back in [1, 3_600, 1_800_000_000] {
                let left = Failures { count: 1_000, first_at: at(0), last_at: at(0) };
                let seen = left.seen_at(at(-back));
                let throttled = limit.count(Some(seen), at(-back)).unwrap_err();
                assert!(throttled.retry_after <= 900, "{limit:?} {back}: {throttled:?}");
                limit.count(Some(seen), at(-back + i64::from(throttled.retry_after))).unwrap();
            }
        }
    }

    #[test]
    fn nothing_panics_however_odd() {
        let numbers = [i64::MIN, -1, 0, 1, i64::MAX];
        for limit in [FailureLimit::Account(1), FailureLimit::Account(u32::MAX), ADDRESS] {
            for (count, time) in numbers.iter().flat_map(|count| numbers.iter().map(move |time| (*count, *time))) {
                for now in numbers.map(Timestamp) {
                    let odd = Failures { count, first_at: Timestamp(time), last_at: Timestamp(time) };
                    let _ = limit.count(Some(odd), now);
                    let _ = limit.count(Some(odd.seen_at(now)), now);
                }
            }
        }
    }

    #[test]
    fn an_address_of_ipv6_stands_for_its_64() {
        let network = |text: &str| network_of(text.parse().unwrap()).to_string();
        assert_eq!(network("192.0.2.7"), "192.0.2.7/32");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        assert_eq!(network("2001:db8:1:2:ffff::"), network("2001:db8:1:2::1"));
    }
}
