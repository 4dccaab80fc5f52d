//! What is known of other issuers' keys, and when an issuer may be asked again. Pure but for whom it tells.

use std::collections::HashMap;

use chrono::TimeDelta;
use tokio::sync::oneshot;

use crate::domain::issuer_url::IssuerUrl;
use crate::domain::{TenantId, Timestamp};
use crate::tokens::foreign::{ForeignKey, ForeignToken};

/// An issuer that was asked is not asked again before this has passed, whatever it said: neither an unknown `kid`,
/// which anybody can make up, nor a failure lets strangers hammer it through us. With each failure in a row it doubles,
/// up to the latter: an issuer that costs much and gives nothing takes the threads from others.
pub(super) const PAUSE: (TimeDelta, TimeDelta) = (TimeDelta::seconds(30), TimeDelta::minutes(5));

/// The longest that a token waits for its issuer. The fetch goes on, so that the next one need not.
pub(super) const PATIENCE: TimeDelta = TimeDelta::seconds(5);

/// While an issuer does not answer, keys that were fetched within this are still used.
const STALE: TimeDelta = TimeDelta::hours(6);

/// For how long keys may be used without asking: what the issuer says, in these bounds.
const FRESH: (TimeDelta, TimeDelta) = (TimeDelta::minutes(1), TimeDelta::hours(1));

/// As many issuers are remembered.
const MOST: usize = 256;

/// As many tokens may wait for one issuer.
const MOST_WAITING: usize = 512;

/// As many issuers are asked for one tenant at once; the others' tokens need threads too.
pub(super) const MOST_OF_A_TENANT: usize = 2;

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
    /// It must be asked, and too many wait.
    Busy,
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
    /// For whom.
    asked_for: Option<TenantId>,
    /// How often it was asked in vain since it last answered.
    failures: u32,
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

    /// The key among the last that its issuer gave, for when it cannot be asked now.
    pub(super) fn last(&self, token: &ForeignToken, now: Timestamp) -> Option<ForeignKey> {
        self.0.get(&token.issuer)?.last(token, now)
    }

    /// Waits for an issuer to be asked; with whether nobody asks it yet. None where too many wait.
    pub(super) fn wait(
        &mut self,
        issuer: &IssuerUrl,
        tenant: TenantId,
        now: Timestamp,
    ) -> Option<(oneshot::Receiver<()>, bool)> {
        let is_first = self.0.get(issuer).is_none_or(|entry| entry.waiting.is_none());
        let is_its_own = |entry: &&Entry| entry.waiting.is_some() && entry.asked_for == Some(tenant);
        if is_first && self.0.values().filter(is_its_own).count() >= MOST_OF_A_TENANT {
            return None;
        }
        if !self.0.contains_key(issuer) {
            self.make_room()?;
        }
        let entry = self.0.entry(issuer.clone()).or_default();
        let waiting = entry.waiting.get_or_insert_default();
        if waiting.len() >= MOST_WAITING {
            return None;
        }
        if is_first {
            entry.asked_at = Some(now);
            entry.asked_for = Some(tenant);
        }
        let (tell, told) = oneshot::channel();
        waiting.push(tell);
        Some((told, is_first))
    }

    /// Whether somebody still waits for an issuer that is about to be asked, or makes do with its last keys; else it is
    /// as if nobody had wanted to.
    pub(super) fn is_wanted(&mut self, issuer: &IssuerUrl) -> bool {
        let is_wanted = self
            .0
            .get(issuer)
            .is_some_and(|entry| entry.keys.is_some() || entry.waiting.iter().flatten().any(|told| !told.is_closed()));
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
        match keys {
            Some(keys) => (entry.keys, entry.failures) = (Some((keys, asked_at)), 0),
            None => entry.failures = entry.failures.saturating_add(1),
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
        let fresh = self.keys_within(|keys| keys.fresh_for, now);
        if let Some(key) = fresh.and_then(|keys| keys.find(token)) {
            return Some(Lookup::Known(Some(key)));
        }
        let is_older = |span| self.asked_at.is_none_or(|at| !is_within(at, span, now));
        if self.waiting.is_some() {
            // Those who came first waited in vain: whoever has another way out goes it at once.
            let last = if is_older(PATIENCE) { self.last(token, now) } else { None };
            return last.map(|key| Lookup::Known(Some(key)));
        }
        if is_older(self.pause()) {
            return None;
        }
        let last = self.keys_within(|_| STALE, now).map(|keys| Lookup::Known(keys.find(token)));
        Some(last.unwrap_or(Lookup::Away))
    }

    fn last(&self, token: &ForeignToken, now: Timestamp) -> Option<ForeignKey> {
        self.keys_within(|_| STALE, now)?.find(token)
    }

    fn keys_within(&self, span: impl Fn(&KeySet) -> TimeDelta, now: Timestamp) -> Option<&KeySet> {
        let (keys, at) = self.keys.as_ref()?;
        is_within(*at, span(keys), now).then_some(keys)
    }

    fn pause(&self) -> TimeDelta {
        let (least, most) = PAUSE;
        // 2⁴ times the least is above the most.
        let doubled = self.failures.saturating_sub(1).min(4);
        (least * (1 << doubled)).min(most)
    }
}

/// A clock that was set back makes nothing younger.
fn is_within(at: Timestamp, span: TimeDelta, now: Timestamp) -> bool {
    now.since(at).abs() < span
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64URL_NOPAD;
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    const START: Timestamp = Timestamp(1_800_000_000_000_000);

    fn at(seconds: i64) -> Timestamp {
        START.plus(TimeDelta::seconds(seconds))
    }

    fn token(number: usize) -> ForeignToken {
        let part = |json: serde_json::Value| BASE64URL_NOPAD.encode(json.to_string().as_bytes());
        let header = part(json!({"alg": "EdDSA", "kid": "first"}));
        let claims = part(json!({"iss": format!("https://issuer.example/{number}")}));
        ForeignToken::read(format!("{header}.{claims}.AA")).unwrap()
    }

    fn tenant(number: u128) -> TenantId {
        Uuid::from_u128(number).into()
    }

    /// RFC 8037 appendix A.2.
    fn keys() -> KeySet {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let key = ForeignKey::read(json!({"kty": "OKP", "crv": "Ed25519", "kid": "first", "x": x})).unwrap();
        KeySet::new(vec![key], None)
    }

    /// One word for what comes of it.
    fn look(cache: &mut Cache, token: &ForeignToken, now: Timestamp) -> &'static str {
        match cache.look(token, now) {
            None => "ask",
            Some(Lookup::Known(Some(_))) => "key",
            Some(Lookup::Known(None)) => "no key",
            Some(Lookup::Away) => "away",
            Some(Lookup::Busy | Lookup::Wait(_)) => "never",
        }
    }

    #[test]
    fn whoever_waits_for_long_has_the_last_keys_for_a_while() {
        let mut cache = Cache::default();
        let token = token(1);
        cache.wait(&token.issuer, tenant(1), START).unwrap();
        cache.learn(&token.issuer, Some(keys()), START);
        assert_eq!(look(&mut cache, &token, at(59)), "key");
        assert_eq!(look(&mut cache, &token, at(60)), "ask");
        let waiting = cache.wait(&token.issuer, tenant(1), at(60)).unwrap();
        assert_eq!(look(&mut cache, &token, at(64)), "ask", "a key that was taken back must not be used once more");
        assert_eq!(look(&mut cache, &token, at(65)), "key");
        assert!(cache.last(&token, at(64)).is_some());
        drop(waiting);
        assert!(cache.is_wanted(&token.issuer), "by those who make do");
        assert_eq!(look(&mut cache, &token, at(6 * 3_600)), "ask");
        assert!(cache.last(&token, at(6 * 3_600)).is_none());
    }

    #[test]
    fn what_nobody_waits_for_is_as_if_nobody_had_wanted_it() {
        let mut cache = Cache::default();
        let token = token(1);
        drop(cache.wait(&token.issuer, tenant(1), START));
        assert!(!cache.is_wanted(&token.issuer));
        assert_eq!(look(&mut cache, &token, START), "ask");
    }

    #[test]
    fn an_issuer_that_fails_is_asked_less_and_less() {
        let mut cache = Cache::default();
        let token = token(1);
        let mut now = START;
        let mut pauses = Vec::new();
        let mut ask = |answers: bool| {
            drop(cache.wait(&token.issuer, tenant(1), now));
            cache.learn(&token.issuer, answers.then(keys), now);
            let asked_at = now;
            while look(&mut cache, &token, now) != "ask" {
                now = now.plus(TimeDelta::seconds(1));
            }
            pauses.push(now.since(asked_at).num_seconds());
        };
        for answers in [false, false, false, false, false, false, true, false] {
            ask(answers);
        }
        assert_eq!(pauses, [30, 60, 120, 240, 300, 300, 60, 30]);
    }

    #[test]
    fn a_tenant_has_few_issuers_asked_at_once() {
        let mut cache = Cache::default();
        let issuers: Vec<_> = (0..4).map(|number| token(number).issuer).collect();
        let mut ask = |number: usize, of| cache.wait(&issuers[number], tenant(of), START).map(|(_, is_first)| is_first);
        assert_eq!([0, 1, 2].map(|number| ask(number, 1)), [Some(true), Some(true), None]);
        assert_eq!(ask(0, 1), Some(false), "what is asked already is no more");
        assert_eq!(ask(2, 2), Some(true), "of another tenant");
        assert_eq!(ask(2, 1), Some(false));
        cache.learn(&issuers[0], None, START);
        assert!(cache.wait(&issuers[3], tenant(1), START).is_some_and(|(_, is_first)| is_first));
    }
}
