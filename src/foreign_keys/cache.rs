//! What is known of other issuers' keys, and when an issuer may be asked again. Pure but for whom it tells.

use std::collections::HashMap;

use chrono::TimeDelta;
use tokio::sync::oneshot;

use crate::domain::Timestamp;
use crate::domain::issuer_url::IssuerUrl;
use crate::tokens::foreign::{ForeignKey, ForeignToken};

/// An issuer that was asked is not asked again before this has passed, whatever it said: neither an unknown `kid`, which
/// anybody can make up, nor a failure lets strangers hammer it through us.
pub(super) const PAUSE: TimeDelta = TimeDelta::seconds(30);

/// While an issuer does not answer, keys that were fetched within this are still used.
const STALE: TimeDelta = TimeDelta::hours(6);

/// For how long keys may be used without asking: what the issuer says, in these bounds.
const FRESH: (TimeDelta, TimeDelta) = (TimeDelta::minutes(1), TimeDelta::hours(1));

/// As many issuers are remembered.
const MOST: usize = 256;

/// As many tokens may wait for one issuer.
const MOST_WAITING: usize = 512;

/// The keys of an issuer, as it published them.
pub(super) struct KeySet {
    keys: Vec<ForeignKey>,
    fresh_for: TimeDelta,
}

/// What comes of looking a key up.
pub(super) enum Lookup {
    /// The issuer has this key, or has none of that name.
    Known(Option<ForeignKey>),
    /// It was asked a moment ago, and did not say.
    Away,
    /// It is being asked; afterwards, look again.
    Wait(oneshot::Receiver<()>),
}

/// What is known of each issuer.
#[derive(Default)]
pub(super) struct Cache(HashMap<IssuerUrl, Entry>);

#[derive(Default)]
struct Entry {
    /// The last keys that it gave, and when it was asked for them.
    keys: Option<(KeySet, Timestamp)>,
    asked_at: Option<Timestamp>,
    used_at: Option<Timestamp>,
    /// Who waits, while it is being asked.
    waiting: Option<Vec<oneshot::Sender<()>>>,
}

impl KeySet {
    /// Keys that may be used for `max_age`, where the issuer says so.
    pub(super) fn new(keys: Vec<ForeignKey>, max_age: Option<TimeDelta>) -> Self {
        let (least, most) = FRESH;
        Self { keys, fresh_for: max_age.unwrap_or(least).clamp(least, most) }
    }

    fn find(&self, token: &ForeignToken) -> Option<ForeignKey> {
        self.keys.iter().find(|key| key.fits(&token.kid, token.algorithm)).cloned()
    }
}

impl Cache {
    /// What is known of a token's key; none where its issuer must be asked.
    pub(super) fn look(&mut self, token: &ForeignToken, now: Timestamp) -> Option<Lookup> {
        let entry = self.0.get_mut(&token.issuer)?;
        entry.used_at = Some(now);
        entry.look(token, now)
    }

    /// Waits for an issuer to be asked; with whether nobody asks it yet. None where too many wait.
    pub(super) fn wait(&mut self, issuer: &IssuerUrl, now: Timestamp) -> Option<(oneshot::Receiver<()>, bool)> {
        if !self.0.contains_key(issuer) {
            self.make_room()?;
        }
        let entry = self.0.entry(issuer.clone()).or_default();
        let is_first = entry.waiting.is_none();
        let waiting = entry.waiting.get_or_insert_default();
        if waiting.len() >= MOST_WAITING {
            return None;
        }
        if is_first {
            entry.asked_at = Some(now);
        }
        let (tell, told) = oneshot::channel();
        waiting.push(tell);
        Some((told, is_first))
    }

    /// Whether somebody still waits for an issuer that is about to be asked; else it is as if nobody had wanted to.
    pub(super) fn is_wanted(&mut self, issuer: &IssuerUrl) -> bool {
        let waiting = self.0.get(issuer).and_then(|entry| entry.waiting.as_ref());
        let is_wanted = waiting.is_some_and(|waiting| waiting.iter().any(|told| !told.is_closed()));
        if !is_wanted {
            self.forget(issuer);
        }
        is_wanted
    }

    /// It was not asked after all.
    pub(super) fn forget(&mut self, issuer: &IssuerUrl) {
        if let Some(entry) = self.0.get_mut(issuer) {
            entry.waiting = None;
            entry.asked_at = None;
        }
    }

    /// An issuer has been asked: keeps what it gave, and tells who waits.
    pub(super) fn learn(&mut self, issuer: &IssuerUrl, keys: Option<KeySet>, asked_at: Timestamp) {
        let Some(entry) = self.0.get_mut(issuer) else { return };
        if let Some(keys) = keys {
            entry.keys = Some((keys, asked_at));
        }
        for told in entry.waiting.take().into_iter().flatten() {
            // Whoever waited may have gone away meanwhile.
            let _ = told.send(());
        }
    }

    fn make_room(&mut self) -> Option<()> {
        if self.0.len() < MOST {
            return Some(());
        }
        let idle = self.0.iter().filter(|(_, entry)| entry.waiting.is_none());
        let oldest = idle.min_by_key(|(_, entry)| entry.used_at).map(|(issuer, _)| issuer.clone())?;
        self.0.remove(&oldest).map(drop)
    }
}

impl Entry {
    fn look(&self, token: &ForeignToken, now: Timestamp) -> Option<Lookup> {
        // A clock that was set back makes nothing younger.
        let is_within = |at: Timestamp, span: TimeDelta| now.since(at).abs() < span;
        let may_ask = self.asked_at.is_none_or(|at| !is_within(at, PAUSE));
        match &self.keys {
            Some((keys, at)) if is_within(*at, keys.fresh_for) => match keys.find(token) {
                None if may_ask || self.waiting.is_some() => None,
                key => Some(Lookup::Known(key)),
            },
            _ if may_ask || self.waiting.is_some() => None,
            Some((keys, at)) if is_within(*at, STALE) => Some(Lookup::Known(keys.find(token))),
            _ => Some(Lookup::Away),
        }
    }
}
