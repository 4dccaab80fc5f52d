//! How signing keys follow one another, so that no verifier ever meets a token whose key it cannot know.
//!
//! A key is `pending` while verifiers with a cached key set learn of it, `active` while it signs, `retiring` until its
//! last token is dead, then `retired`; or `compromised`, from any of them. Nothing ever goes back, whatever the clock
//! does.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use serde::Serialize;

use super::signing_key::{KeyState, SigningKeyInfo};
use super::{Algorithm, Timestamp};

/// How long a key stays published beyond the end of its last token: servers learn within a second that it signs no
/// more, and one that was cut off stops by itself (`tokens::keyring::TRUSTED_FOR`), well before this.
pub const MARGIN: TimeDelta = TimeDelta::seconds(60);

/// What the configuration says about signing keys.
#[derive(Clone, Debug)]
pub struct RotationPolicy {
    /// The algorithms that tokens are signed with.
    pub in_use: BTreeSet<Algorithm>,
    /// The age at which an active key is followed by another; `None`: by hand only.
    pub rotate_every: Option<TimeDelta>,
    /// How long verifiers may keep the key set.
    pub max_age: TimeDelta,
    /// The longest life of a token.
    pub longest_token: TimeDelta,
}

/// A change of one key. Those of a list are one step: all of them happen, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new key is published, and signs when verifiers have had the time to learn of it.
    Publish {
        /// Its algorithm.
        algorithm: Algorithm,
        /// When it may sign.
        signs_at: Timestamp,
    },
    /// A new key is published and signs at once.
    Make(Algorithm),
    /// A key goes on in its life.
    Move {
        /// The state that it is in.
        from: KeyState,
        /// What becomes of it.
        key: SigningKeyInfo,
    },
    /// More was promised of a key than is noted so far.
    Note(SigningKeyInfo),
}

/// A signing key, and what becomes of it next if nobody steps in.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct KeyOutlook {
    /// The key.
    #[serde(flatten)]
    pub key: SigningKeyInfo,
    /// Its next state.
    pub next_state: Option<KeyState>,
    /// When it gets there.
    pub next_at: Option<Timestamp>,
}

impl RotationPolicy {
    /// The first keys, where none is published: nobody can hold an older key set, so they sign at once.
    #[must_use]
    pub fn first(&self, keys: &[SigningKeyInfo]) -> Vec<Change> {
        if keys.iter().any(|key| key.state.is_published()) {
            return Vec::new();
        }
        self.in_use.iter().copied().map(Change::Make).collect()
    }

    /// The next step that is due by itself; nothing where all is as it should be.
    ///
    /// Where no key is published at all nothing is done: a table that is empty now was damaged, and the keys in memory
    /// are worth more than new ones.
    #[must_use]
    pub fn due(&self, keys: &[SigningKeyInfo], now: Timestamp) -> Vec<Change> {
        if !keys.iter().any(|key| key.state.is_published()) {
            return Vec::new();
        }
        let notes: Vec<_> = keys.iter().filter_map(|key| self.note(key)).map(Change::Note).collect();
        if !notes.is_empty() {
            return notes;
        }
        let of_algorithms = self.in_use.iter().map(|&algorithm| self.due_of(algorithm, keys, now));
        let of_keys = keys.iter().map(|key| self.due_of_key(key, keys, now));
        of_algorithms.chain(of_keys).find(|step| !step.is_empty()).unwrap_or_default()
    }

    /// Begins a rotation for each algorithm in use, but for those where one is under way.
    #[must_use]
    pub fn begin(&self, keys: &[SigningKeyInfo], now: Timestamp) -> Vec<Change> {
        let first = self.first(keys);
        if !first.is_empty() {
            return first;
        }
        let settled = |algorithm: &&Algorithm| find(keys, **algorithm, KeyState::Pending).is_none();
        self.in_use.iter().filter(settled).map(|&algorithm| self.publish(algorithm, keys, now)).collect()
    }

    /// Takes in keys of these algorithms that somebody brings: they sign at once where no key is published at all,
    /// beside new ones for the other algorithms; else each waits like any other, and no second one beside it.
    #[must_use]
    pub fn adopt(&self, brought: &BTreeSet<Algorithm>, keys: &[SigningKeyInfo], now: Timestamp) -> Vec<Change> {
        let first = self.first(keys);
        if !first.is_empty() {
            return first;
        }
        let free = |algorithm: &&Algorithm| {
            self.in_use.contains(algorithm) && find(keys, **algorithm, KeyState::Pending).is_none()
        };
        brought.iter().filter(free).map(|&algorithm| self.publish(algorithm, keys, now)).collect()
    }

    /// Gives each algorithm in use another key that signs at once: the one that is pending, which some verifiers know
    /// already, or a new one.
    #[must_use]
    pub fn hasten(&self, keys: &[SigningKeyInfo], now: Timestamp) -> Vec<Change> {
        self.in_use.iter().flat_map(|&algorithm| self.switch(algorithm, keys, now)).collect()
    }

    /// Takes a key out of use for good, and lets another one sign at once if it was active. Nothing where that has
    /// happened before.
    #[must_use]
    pub fn revoke(&self, kid: &str, keys: &[SigningKeyInfo], now: Timestamp) -> Vec<Change> {
        let Some(key) = keys.iter().find(|key| key.kid == kid && key.state != KeyState::Compromised) else {
            return Vec::new();
        };
        let mut changes = vec![self.moved(key, KeyState::Compromised, now)];
        if key.state == KeyState::Active {
            let others: Vec<_> = keys.iter().filter(|other| other.kid != kid).cloned().collect();
            let bereft: BTreeSet<_> = if self.in_use.contains(&key.algorithm) {
                [key.algorithm].into()
            } else if others.iter().any(|other| other.state == KeyState::Active) {
                BTreeSet::new()
            } else {
                self.in_use.clone()
            };
            changes.extend(bereft.into_iter().flat_map(|algorithm| self.switch(algorithm, &others, now)));
        }
        changes
    }

    /// What becomes of each key, and when.
    #[must_use]
    pub fn outlook(&self, keys: Vec<SigningKeyInfo>) -> Vec<KeyOutlook> {
        let next: Vec<_> = keys.iter().map(|key| self.next(key, &keys)).collect();
        let outlook = |(key, next): (SigningKeyInfo, Option<(KeyState, Timestamp)>)| KeyOutlook {
            key,
            next_state: next.map(|(state, _)| state),
            next_at: next.map(|(_, at)| at),
        };
        keys.into_iter().zip(next).map(outlook).collect()
    }

    /// How long verifiers may keep a key set that they fetched of late, whatever the configuration says by now.
    #[must_use]
    pub fn promised(&self, keys: &[SigningKeyInfo]) -> TimeDelta {
        let published = keys.iter().filter(|key| key.state.is_published());
        let promised = published.map(|key| TimeDelta::seconds(key.cache_seconds)).max().unwrap_or_default();
        promised.max(self.max_age)
    }

    fn next(&self, key: &SigningKeyInfo, keys: &[SigningKeyInfo]) -> Option<(KeyState, Timestamp)> {
        match key.state {
            KeyState::Pending if self.in_use.contains(&key.algorithm) => {
                Some((KeyState::Active, key.signs_at.unwrap_or(key.created_at)))
            }
            KeyState::Active if !self.in_use.contains(&key.algorithm) => {
                // It goes when the last of those that take its place signs.
                let successors = self.in_use.iter().filter_map(|&algorithm| find(keys, algorithm, KeyState::Pending));
                successors.filter_map(|pending| pending.signs_at).max().map(|at| (KeyState::Retiring, at))
            }
            KeyState::Active => {
                let pending = find(keys, key.algorithm, KeyState::Pending).and_then(|pending| pending.signs_at);
                pending.or_else(|| self.followed_at(key)).map(|at| (KeyState::Retiring, at))
            }
            KeyState::Retiring => key.retires_at.map(|at| (KeyState::Retired, at)),
            KeyState::Pending | KeyState::Retired | KeyState::Compromised => None,
        }
    }

    fn due_of(&self, algorithm: Algorithm, keys: &[SigningKeyInfo], now: Timestamp) -> Vec<Change> {
        let (active, pending) = (find(keys, algorithm, KeyState::Active), find(keys, algorithm, KeyState::Pending));
        let nothing_signs = !keys.iter().any(|key| key.state == KeyState::Active);
        match (active, pending) {
            // Verifiers that refuse some tokens for a while are better off than without any.
            _ if nothing_signs => self.switch(algorithm, keys, now),
            (_, Some(pending)) if pending.signs_at.is_none_or(|at| at <= now) => self.switch(algorithm, keys, now),
            // A new algorithm: what signed so far goes on meanwhile.
            (None, None) => vec![self.publish(algorithm, keys, now)],
            (Some(active), None) if self.is_followed(active, keys, now) => vec![self.publish(algorithm, keys, now)],
            _ => Vec::new(),
        }
    }

    fn due_of_key(&self, key: &SigningKeyInfo, keys: &[SigningKeyInfo], now: Timestamp) -> Vec<Change> {
        let in_use = self.in_use.contains(&key.algorithm);
        let replaced = self.in_use.iter().all(|&algorithm| find(keys, algorithm, KeyState::Active).is_some());
        let next = match key.state {
            KeyState::Pending if !in_use => KeyState::Retired,
            KeyState::Active if !in_use && replaced => KeyState::Retiring,
            KeyState::Retiring if key.retires_at.is_some_and(|at| at <= now) => KeyState::Retired,
            _ => return Vec::new(),
        };
        vec![self.moved(key, next, now)]
    }

    /// Whether it is time to publish the successor, so that it may sign when this one has reached its age.
    fn is_followed(&self, active: &SigningKeyInfo, keys: &[SigningKeyInfo], now: Timestamp) -> bool {
        self.followed_at(active).is_some_and(|at| at.plus(-self.lead(keys)) <= now)
    }

    fn followed_at(&self, active: &SigningKeyInfo) -> Option<Timestamp> {
        self.rotate_every.map(|age| active.activated_at.unwrap_or(active.created_at).plus(age))
    }

    /// For how long a new key must be published before it signs: twice what verifiers were told of the key sets before
    /// it, once for their own copy and once for that of a cache in between.
    fn lead(&self, keys: &[SigningKeyInfo]) -> TimeDelta {
        self.promised(keys) * 2
    }

    fn publish(&self, algorithm: Algorithm, keys: &[SigningKeyInfo], now: Timestamp) -> Change {
        Change::Publish { algorithm, signs_at: now.plus(self.lead(keys)) }
    }

    /// Lets another key of `algorithm` sign. The old one goes first: one of them signs at a time.
    fn switch(&self, algorithm: Algorithm, keys: &[SigningKeyInfo], now: Timestamp) -> Vec<Change> {
        let old = find(keys, algorithm, KeyState::Active).map(|old| self.moved(old, KeyState::Retiring, now));
        let new = match find(keys, algorithm, KeyState::Pending) {
            Some(pending) => self.moved(pending, KeyState::Active, now),
            None => Change::Make(algorithm),
        };
        old.into_iter().chain([new]).collect()
    }

    fn moved(&self, key: &SigningKeyInfo, state: KeyState, now: Timestamp) -> Change {
        let mut moved = self.note(key).unwrap_or_else(|| key.clone());
        moved.state = state;
        match state {
            KeyState::Active => moved.activated_at = Some(now),
            KeyState::Retiring => moved.retires_at = Some(now.plus(TimeDelta::seconds(moved.token_seconds) + MARGIN)),
            KeyState::Retired | KeyState::Compromised => moved.retired_at = moved.retired_at.or(Some(now)),
            KeyState::Pending => {}
        }
        Change::Move { from: key.state, key: moved }
    }

    /// The key with the promises that this configuration makes of it, where they are greater than those noted.
    fn note(&self, key: &SigningKeyInfo) -> Option<SigningKeyInfo> {
        let mut noted = key.clone();
        let promised = self.max_age.num_seconds();
        if key.state.is_published() && key.cache_seconds < promised {
            noted.cache_seconds = promised;
            let known_at = key.published_at.unwrap_or(key.created_at).plus(self.max_age * 2);
            noted.signs_at = key.signs_at.map(|at| if key.state == KeyState::Pending { at.max(known_at) } else { at });
        }
        if matches!(key.state, KeyState::Pending | KeyState::Active) {
            noted.token_seconds = key.token_seconds.max(self.longest_token.num_seconds());
        }
        (noted != *key).then_some(noted)
    }
}

/// The key of this algorithm in this state: of pending and active ones there is one at most.
#[must_use]
pub fn find(keys: &[SigningKeyInfo], algorithm: Algorithm, state: KeyState) -> Option<&SigningKeyInfo> {
    keys.iter().find(|key| key.algorithm == algorithm && key.state == state)
}

#[cfg(test)]
mod tests;
