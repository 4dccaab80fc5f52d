//! The signing keys in memory: which one signs, which are published. It answers while the database is down.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use actix_web::web::Bytes;
use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE64URL_NOPAD;
use serde::Serialize;
use tokio::sync::{Mutex, MutexGuard};

use super::secret_box::SecretBox;
use super::signing_key::{SigningKey, SigningKeyError};
use crate::db::signing_keys::SigningKeyRow;
use crate::domain::signing_key::KeyState;
use crate::domain::{Algorithm, Refusal};

/// For how long the keys in memory sign after they were last compared with the database. A server that was cut off for
/// longer does not know which key signs now: its tokens would have a key that others have retired or revoked. It is
/// shorter than [`MARGIN`](crate::domain::rotation::MARGIN), so that a key which signs on such a server is published
/// elsewhere until its last token is dead.
const TRUSTED_FOR: Duration = Duration::from_secs(45);

/// The keys of this moment; cheap to clone, and every clone sees a reload.
#[derive(Clone)]
pub struct Keyring(Arc<Inner>);

struct Inner {
    keys: RwLock<Arc<Keys>>,
    /// When they were last known to be those of the database, by a clock that nobody sets.
    compared: RwLock<Instant>,
    /// [`TRUSTED_FOR`].
    trusted_for: Duration,
    /// Who reads the keys anew: one at a time, so that what was read before a revocation never comes after it.
    turn: Mutex<()>,
}

/// The published keys between two reloads.
pub struct Keys {
    all: Vec<Arc<SigningKey>>,
    /// All that the database has, also those that could not be read.
    states: Vec<(String, KeyState)>,
    jwks: Jwks,
    discovery: OnceLock<Bytes>,
}

/// The published keys as they are served (RFC 7517 section 5).
#[derive(Clone)]
pub struct Jwks {
    /// The JSON.
    pub body: Bytes,
    /// A strong validator of it, in quotes (RFC 9110 section 8.8.3).
    pub etag: String,
}

impl Keyring {
    /// A keyring of these rows, but for those that are damaged.
    ///
    /// # Errors
    /// A key that signs cannot be decrypted or read, or none can.
    pub fn read(rows: &[SigningKeyRow], secrets: &SecretBox) -> Result<Self, SigningKeyError> {
        Ok(Self(Arc::new(Inner {
            keys: RwLock::new(Arc::new(Keys::read(rows, secrets)?)),
            compared: RwLock::new(Instant::now()),
            trusted_for: trusted_for(),
            turn: Mutex::new(()),
        })))
    }

    /// Waits for the turn to read the keys anew, which lasts until what is returned is dropped.
    pub async fn turn(&self) -> MutexGuard<'_, ()> {
        self.0.turn.lock().await
    }

    /// Puts these rows in the place of all keys, but for those that are damaged.
    ///
    /// # Errors
    /// As [`Keyring::read`]; the old keys stay.
    pub fn replace(&self, rows: &[SigningKeyRow], secrets: &SecretBox) -> Result<(), SigningKeyError> {
        let keys = Arc::new(Keys::read(rows, secrets)?);
        // An empty key set would end all verification downstream; a table that is empty now was damaged.
        if keys.all.is_empty() && !self.keys().all.is_empty() {
            self.confirm();
            return Err(SigningKeyError::NoneLeft);
        }
        *self.0.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        self.confirm();
        Ok(())
    }

    /// Forgets the keys that are not among these of the database, where nothing else is known of those: whatever
    /// hinders a server, a revoked key is not published on. A table without any was damaged, and changes nothing.
    pub fn forget_unpublished(&self, published: &[(String, KeyState)]) {
        let known = self.keys();
        let is_published = |key: &&Arc<SigningKey>| published.iter().any(|(kid, _)| *kid == key.kid);
        let left: Vec<_> = known.all.iter().filter(is_published).cloned().collect();
        if published.is_empty() || left.len() == known.all.len() {
            return;
        }
        let states = left.iter().map(|key| (key.kid.clone(), key.state)).collect();
        *self.0.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Keys::new(left, states));
    }

    /// The keys in memory are those of the database at this moment.
    pub fn confirm(&self) {
        *self.0.compared.write().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Whether the keys may sign: they were compared with the database a short while ago.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.0.compared.read().unwrap_or_else(PoisonError::into_inner).elapsed() < self.0.trusted_for
    }

    /// The keys of this moment.
    #[must_use]
    pub fn keys(&self) -> Arc<Keys> {
        // A poisoned lock still holds whole keys: they are only ever replaced at once.
        Arc::clone(&self.0.keys.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// [`TRUSTED_FOR`], or what a test of a debug build wants, in milliseconds.
fn trusted_for() -> Duration {
    #[cfg(debug_assertions)]
    if let Some(milliseconds) = std::env::var("JETON_TEST_TRUSTED_FOR").ok().and_then(|text| text.parse().ok()) {
        return Duration::from_millis(milliseconds);
    }
    TRUSTED_FOR
}

impl Keys {
    fn read(rows: &[SigningKeyRow], secrets: &SecretBox) -> Result<Self, SigningKeyError> {
        let (mut all, mut states, mut failed) = (Vec::new(), Vec::new(), None);
        for row in rows.iter().filter(|row| row.info.state.is_published()) {
            states.push((row.info.kid.clone(), row.info.state));
            match SigningKey::read(row, secrets) {
                Ok(key) => all.push(Arc::new(key)),
                Err(error) if row.info.state == KeyState::Active => return Err(error),
                Err(error) => {
                    tracing::error!(%error, "a signing key is left out");
                    failed = Some(error);
                }
            }
        }
        match failed {
            Some(error) if all.is_empty() => Err(error),
            _ => Ok(Self::new(all, states)),
        }
    }

    fn new(all: Vec<Arc<SigningKey>>, states: Vec<(String, KeyState)>) -> Self {
        Self { jwks: Jwks::of(&all), all, states, discovery: OnceLock::new() }
    }

    /// The key that signs with `algorithm`.
    #[must_use]
    pub fn active(&self, algorithm: Algorithm) -> Option<&Arc<SigningKey>> {
        self.signing().find(|key| key.algorithm == algorithm)
    }

    /// The key that signs for an audience which wants `wanted`.
    ///
    /// While the first key of that algorithm is published and may not sign yet, the algorithm that it takes the place
    /// of goes on: the one that signs and is no longer in use, else the default one, else the one that has signed for
    /// the longest time. So it is too on a server that was started before another one, with another algorithm.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] where no key signs at all.
    pub fn signer(
        &self,
        wanted: Algorithm,
        default: Algorithm,
        in_use: &BTreeSet<Algorithm>,
    ) -> Result<&Arc<SigningKey>, Refusal> {
        self.active(wanted)
            .or_else(|| self.signing().find(|key| !in_use.contains(&key.algorithm)))
            .or_else(|| self.active(default))
            .or_else(|| self.signing().min_by_key(|key| key.activated_at))
            .ok_or(Refusal::Unavailable)
    }

    fn signing(&self) -> impl Iterator<Item = &Arc<SigningKey>> {
        self.all.iter().filter(|key| key.state == KeyState::Active)
    }

    /// Whether these were the published keys in the database, in these states.
    #[must_use]
    pub fn are(&self, states: &[(String, KeyState)]) -> bool {
        self.states == states
    }

    /// The published key of this name. A hostile `kid` is compared and nothing else.
    #[must_use]
    pub fn published(&self, kid: &str) -> Option<&SigningKey> {
        self.iter().find(|key| key.kid == kid)
    }

    /// The same for who keeps it.
    #[must_use]
    pub fn shared(&self, kid: &str) -> Option<Arc<SigningKey>> {
        self.all.iter().find(|key| key.kid == kid).cloned()
    }

    /// The algorithms that a key signs with.
    #[must_use]
    pub fn algorithms(&self) -> BTreeSet<Algorithm> {
        self.signing().map(|key| key.algorithm).collect()
    }

    /// Every published key, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &SigningKey> {
        self.all.iter().map(Arc::as_ref)
    }

    /// The published keys that could not be read.
    pub fn damaged(&self) -> impl Iterator<Item = &str> {
        self.states.iter().map(|(kid, _)| kid.as_str()).filter(|kid| self.published(kid).is_none())
    }

    /// The published keys as they are served; none where there is no key, for an empty set would end all verification.
    #[must_use]
    pub fn jwks(&self) -> Option<&Jwks> {
        (!self.all.is_empty()).then_some(&self.jwks)
    }

    /// What is published of this server, which names the algorithms of its keys: made once for as long as they stay.
    #[must_use]
    pub fn discovery(&self, make: impl FnOnce() -> Bytes) -> Bytes {
        self.discovery.get_or_init(make).clone()
    }
}

/// A strong validator of a body, in quotes (RFC 9110 section 8.8.3).
pub(super) fn strong_etag(body: &[u8]) -> String {
    format!("\"{}\"", BASE64URL_NOPAD.encode(digest(&SHA256, body).as_ref()))
}

impl Jwks {
    fn of(keys: &[Arc<SigningKey>]) -> Self {
        #[derive(Serialize)]
        struct Document<'a> {
            keys: Vec<&'a jsonwebtoken::jwk::Jwk>,
        }

        let keys = keys.iter().map(|key| &key.jwk).collect();
        let body = serde_json::to_vec(&Document { keys }).unwrap_or_default();
        let etag = strong_etag(&body);
        Self { body: body.into(), etag }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MasterKey;
    use crate::domain::Timestamp;
    use crate::random::Random;
    use crate::tokens::signing_key::KeyPair;

    #[test]
    fn keys_that_were_not_compared_for_a_while_sign_no_more() {
        let secrets = SecretBox::new(&MasterKey::new([7; 32]), Random::default()).unwrap();
        let keyring = Keyring::read(&[], &secrets).unwrap();
        assert!(keyring.is_trusted());
        *keyring.0.compared.write().unwrap() = Instant::now().checked_sub(TRUSTED_FOR).unwrap();
        assert!(!keyring.is_trusted());
        keyring.confirm();
        assert!(keyring.is_trusted());
        assert!(i64::try_from(TRUSTED_FOR.as_secs()).unwrap() < crate::domain::rotation::MARGIN.num_seconds());
    }

    #[test]
    fn a_damaged_key_is_left_out_unless_it_signs() {
        let secrets = SecretBox::new(&MasterKey::new([7; 32]), Random::default()).unwrap();
        let now = Timestamp(1_000_000);
        let row = |algorithm, waits: bool| -> SigningKeyRow {
            KeyPair::generate(algorithm).unwrap().into_row(&secrets, now, waits.then_some(now)).unwrap().into()
        };
        let damaged = |mut row: SigningKeyRow| {
            row.sealed_private.bytes = vec![1, 2];
            row
        };
        let active = row(Algorithm::Es256, false);
        let rows = [active.clone(), damaged(row(Algorithm::EdDsa, true))];
        let keys = Keys::read(&rows, &secrets).unwrap();
        assert_eq!(keys.iter().map(|key| &key.kid).collect::<Vec<_>>(), [&active.info.kid]);
        assert_eq!(keys.damaged().collect::<Vec<_>>(), [&rows[1].info.kid]);
        assert!(keys.are(&rows.map(|row| (row.info.kid, row.info.state))), "it is not read again all the time");
        assert!(Keys::read(&[active.clone(), damaged(row(Algorithm::EdDsa, false))], &secrets).is_err());
        assert!(Keys::read(&[damaged(row(Algorithm::EdDsa, true))], &secrets).is_err());
    }

    #[test]
    fn a_key_that_is_published_no_more_is_forgotten_whatever_the_others_are() {
        let secrets = SecretBox::new(&MasterKey::new([7; 32]), Random::default()).unwrap();
        let rows = [Algorithm::Es256, Algorithm::EdDsa].map(|algorithm| -> SigningKeyRow {
            KeyPair::generate(algorithm).unwrap().into_row(&secrets, Timestamp(0), None).unwrap().into()
        });
        let keyring = Keyring::read(&rows, &secrets).unwrap();
        let [one, _] = rows.map(|row| (row.info.kid, row.info.state));
        keyring.forget_unpublished(&[]);
        assert_eq!(keyring.keys().iter().count(), 2, "the table was damaged");
        keyring.forget_unpublished(std::slice::from_ref(&one));
        assert_eq!(keyring.keys().iter().map(|key| &key.kid).collect::<Vec<_>>(), [&one.0]);
        assert!(keyring.keys().jwks().is_some());
        keyring.forget_unpublished(&[("another".to_owned(), KeyState::Active)]);
        assert!(keyring.keys().jwks().is_none(), "neither a revoked key nor an empty set");
    }

    #[test]
    fn while_a_key_waits_the_one_that_it_takes_the_place_of_signs() {
        let secrets = SecretBox::new(&MasterKey::new([7; 32]), Random::default()).unwrap();
        let row = |algorithm, second: i64, waits: bool| -> SigningKeyRow {
            let now = Timestamp(second * 1_000_000);
            KeyPair::generate(algorithm).unwrap().into_row(&secrets, now, waits.then_some(now)).unwrap().into()
        };
        let [es256, eddsa] = [Algorithm::Es256, Algorithm::EdDsa];
        let signer = |keys: &Keys, wanted, default, in_use: &[Algorithm]| {
            keys.signer(wanted, default, &in_use.iter().copied().collect()).map(|key| key.algorithm).ok()
        };

        let keys = Keys::read(&[row(es256, 1, false), row(eddsa, 2, true)], &secrets).unwrap();
        assert_eq!(signer(&keys, eddsa, eddsa, &[eddsa]), Some(es256), "keys.algorithm changed");
        assert_eq!(signer(&keys, eddsa, es256, &[es256, eddsa]), Some(es256), "an audience has another one now");
        let keys = Keys::read(&[row(es256, 1, false), row(eddsa, 2, false)], &secrets).unwrap();
        assert_eq!(signer(&keys, eddsa, es256, &[es256, eddsa]), Some(eddsa));
        assert_eq!(signer(&keys, Algorithm::Rs256, es256, &[Algorithm::Rs256, es256]), Some(eddsa), "the one replaced");
        let all = [es256, eddsa, Algorithm::Rs256];
        assert_eq!(signer(&keys, Algorithm::Rs256, eddsa, &all), Some(eddsa), "the default one");
        assert_eq!(signer(&keys, Algorithm::Rs256, Algorithm::Rs256, &all), Some(es256), "the one that signed longest");
        let keys = Keys::read(&[row(es256, 1, true)], &secrets).unwrap();
        assert_eq!(signer(&keys, es256, es256, &[es256]), None);
    }
}
