//! What is counted of API keys' use.

use std::collections::BTreeMap;

use super::{Day, Scopes, Timestamp};

/// The outcome of an exchange that was no refusal.
pub const SUCCESS: &str = "success";

/// What was counted of a key: rows in the order in which they are written, on every server alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageCounts {
    pub(crate) last_used_at: Option<Timestamp>,
    pub(crate) outcomes: BTreeMap<(Day, &'static str), i64>,
    pub(crate) scopes: BTreeMap<Day, BTreeMap<String, i64>>,
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
    }

    /// How many rows are to be written.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.outcomes.len() + self.scopes.values().map(BTreeMap::len).sum::<usize>()
    }

    fn count(&mut self, outcome: &'static str, now: Timestamp) {
        *self.outcomes.entry((now.into(), outcome)).or_default() += 1;
    }
}
