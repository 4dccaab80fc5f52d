//! What is counted of API keys' use.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::status_list::StatusIndex;
use super::{Day, Scopes, Timestamp};

/// The outcome of an exchange that was no refusal.
pub const SUCCESS: &str = "success";

/// Callers of a secret that are told apart. Whoever has the key can make up as many as they like: that must not cost
/// more room.
pub const MOST_CALLERS: usize = 20;

/// An address and a `User-Agent`, from which a secret was presented.
pub type Origin<'a> = (Option<IpAddr>, &'a str);

/// All origins that there was no room for, together.
pub const OTHERS: Origin<'static> = (None, "");

/// Whoever presented a secret of a key, whether it was accepted or refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Which secret of the key: the place of its tokens in the status lists, which no other has.
    pub secret: StatusIndex,
    /// The client's address; none for [`OTHERS`].
    pub ip: Option<IpAddr>,
    /// The client's `User-Agent`, printable and at most 200 characters; empty where it sent none.
    pub user_agent: String,
    /// How often.
    pub times: i64,
    /// When last.
    pub last_seen_at: Timestamp,
}

/// What was counted of a key: rows in the order in which they are written, on every server alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageCounts {
    pub(crate) last_used_at: Option<Timestamp>,
    pub(crate) outcomes: BTreeMap<(Day, &'static str), i64>,
    pub(crate) scopes: BTreeMap<Day, BTreeMap<String, i64>>,
    pub(crate) callers: Vec<Caller>,
}

impl UsageCounts {
    /// Counts a token with these scopes.
    pub fn count_success(&mut self, scopes: &Scopes, now: Timestamp) {
        self.last_used_at = self.last_used_at.max(Some(now));
        self.count(SUCCESS, now);
        let counts = self.scopes.entry(now.into()).or_default();
        for scope in scopes.iter() {
            match counts.get_mut(scope) {
                Some(times) => *times += 1,
                None => drop(counts.insert(scope.to_owned(), 1)),
            }
        }
    }

    /// Counts a refusal with this code.
    pub fn count_refusal(&mut self, code: &'static str, now: Timestamp) {
        self.count(code, now);
    }

    /// Counts that a secret was presented. They are few, and known but for the first time: they are looked through, and
    /// nothing is allocated for one that is found. Without room for all, those that were seen last stay told apart, as
    /// in the database.
    pub fn count_caller(&mut self, secret: StatusIndex, from: Origin<'_>, times: i64, at: Timestamp) {
        if let Some(known) = self.callers.iter_mut().find(|caller| caller.secret == secret && caller.origin() == from) {
            known.times += times;
            known.last_seen_at = known.last_seen_at.max(at);
            return;
        }
        let mut new = Caller { secret, ip: from.0, user_agent: from.1.to_owned(), times, last_seen_at: at };
        let told_apart = |caller: &Caller| caller.secret == secret && caller.origin() != OTHERS;
        if from == OTHERS || self.callers.iter().filter(|caller| told_apart(caller)).count() < MOST_CALLERS {
            self.callers.push(new);
            return;
        }
        let known = self.callers.iter_mut().filter(|caller| told_apart(caller));
        let oldest = known.min_by_key(|caller| caller.last_seen_at);
        if let Some(oldest) = oldest.filter(|oldest| oldest.last_seen_at <= at) {
            std::mem::swap(oldest, &mut new);
        }
        self.count_caller(secret, OTHERS, new.times, new.last_seen_at);
    }

    /// Adds what was counted elsewhere.
    pub fn merge(&mut self, other: Self) {
        self.last_used_at = self.last_used_at.max(other.last_used_at);
        for (outcome, times) in other.outcomes {
            *self.outcomes.entry(outcome).or_default() += times;
        }
        for (day, scopes) in other.scopes {
            let counts = self.scopes.entry(day).or_default();
            for (scope, times) in scopes {
                *counts.entry(scope).or_default() += times;
            }
        }
        for caller in other.callers {
            self.count_caller(caller.secret, caller.origin(), caller.times, caller.last_seen_at);
        }
    }

    /// How many rows are to be written.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.outcomes.len() + self.scopes.values().map(BTreeMap::len).sum::<usize>() + self.callers.len()
    }

    fn count(&mut self, outcome: &'static str, now: Timestamp) {
        *self.outcomes.entry((now.into(), outcome)).or_default() += 1;
    }
}

impl Caller {
    /// From where, and as what.
    #[must_use]
    pub fn origin(&self) -> Origin<'_> {
        (self.ip, &self.user_agent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRETS: [StatusIndex; 2] = [StatusIndex(1), StatusIndex(2)];

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn callers_are_told_apart_by_secret_address_and_user_agent() {
        let mut counts = UsageCounts::default();
        let origins = [(Some(address(1)), "curl"), (Some(address(1)), ""), (Some(address(2)), "curl")];
        for (secret, from) in SECRETS.iter().flat_map(|secret| origins.map(|from| (*secret, from))) {
            counts.count_caller(secret, from, 1, Timestamp(7));
            counts.count_caller(secret, from, 2, Timestamp(5));
        }
        assert_eq!(counts.rows(), 6);
        assert!(counts.callers.iter().all(|caller| caller.times == 3 && caller.last_seen_at == Timestamp(7)));
    }

    #[test]
    fn callers_without_room_are_counted_together() {
        let mut counts = UsageCounts::default();
        for (number, secret) in (0..50).flat_map(|number| SECRETS.map(|secret| (number, secret))) {
            counts.count_caller(secret, (Some(address(number)), "curl"), 1, Timestamp(9));
        }
        let mut twice = counts.clone();
        twice.merge(counts);
        for secret in SECRETS {
            let of_secret: Vec<_> = twice.callers.iter().filter(|caller| caller.secret == secret).collect();
            let (others, known): (Vec<_>, Vec<_>) = of_secret.into_iter().partition(|caller| caller.origin() == OTHERS);
            assert_eq!((known.len(), others.len()), (MOST_CALLERS, 1));
            assert_eq!(others.iter().chain(&known).map(|caller| caller.times).sum::<i64>(), 100, "none is lost");
        }
    }

    #[test]
    fn whoever_was_seen_last_is_told_apart() {
        let always = (Some(address(255)), "always");
        let mut counts = UsageCounts::default();
        for number in 0..100 {
            counts.count_caller(SECRETS[0], (Some(address(number)), "made up"), 1, Timestamp(number.into()));
        }
        counts.count_caller(SECRETS[0], always, 1, Timestamp(100));
        let mut merged = counts.clone();
        merged.merge(UsageCounts { callers: counts.callers.iter().rev().cloned().collect(), ..UsageCounts::default() });
        counts.count_caller(SECRETS[0], (Some(address(1)), "late"), 1, Timestamp(1));
        for seen in [counts, merged] {
            assert!(seen.callers.iter().any(|caller| caller.origin() == always), "{seen:?}");
            let known = seen.callers.iter().filter(|caller| caller.origin() != OTHERS);
            assert!(known.clone().all(|caller| caller.last_seen_at > Timestamp(80)), "{seen:?}");
            assert_eq!(known.count(), MOST_CALLERS);
        }
    }
}
