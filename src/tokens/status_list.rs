//! Status list tokens: what was revoked, signed for whoever verifies offline (draft-ietf-oauth-status-list-21, section
//! 5).

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use actix_web::web::Bytes;
use chrono::TimeDelta;
use data_encoding::BASE64URL_NOPAD;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use serde::Serialize;
use tokio::sync::{Mutex, MutexGuard};

use super::issuer::Issuer;
use super::keyring::strong_etag;
use crate::config::Revocations;
use crate::domain::status_list::{ListNumber, StatusIndex, bits};
use crate::domain::{Refusal, Timestamp};

/// Its `typ`; the media type is `application/` and this.
pub const STATUS_LIST_TYPE: &str = "statuslist+jwt";

/// A list, compressed but not signed.
pub struct StatusList {
    /// Where it is: its `sub`, as in the tokens that point to it.
    pub uri: String,
    /// What it says is revoked.
    pub ended: Vec<StatusIndex>,
    compressed: String,
}

/// A signed list.
pub struct StatusListToken {
    /// The compact JWS.
    pub body: Bytes,
    /// A strong validator of it, in quotes (RFC 9110 section 8.8.3).
    pub etag: String,
    /// The key that signed it.
    pub kid: String,
    list: StatusList,
    signed_at: Timestamp,
    life: TimeDelta,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    iat: i64,
    exp: i64,
    ttl: i64,
    status_list: Compressed<'a>,
}

#[derive(Serialize)]
struct Compressed<'a> {
    bits: u8,
    lst: &'a str,
}

impl StatusList {
    /// The list at `uri` in which these places are revoked. To compress it takes milliseconds, which no worker has.
    ///
    /// # Errors
    /// [`Refusal::Internal`] where it cannot be compressed.
    pub fn of(uri: String, ended: Vec<StatusIndex>) -> Result<Self, Refusal> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        let compressed = encoder.write_all(&bits(&ended)).and_then(|()| encoder.finish()).map_err(|error| {
            tracing::error!(%error, "cannot compress a status list");
            Refusal::Internal
        })?;
        Ok(Self { uri, ended, compressed: BASE64URL_NOPAD.encode(&compressed) })
    }

    /// Signs it.
    ///
    /// # Errors
    /// As [`Issuer::sign_as`].
    pub fn sign(self, issuer: &Issuer, rules: &Revocations, now: Timestamp) -> Result<StatusListToken, Refusal> {
        let claims = Claims {
            iss: issuer.name(),
            sub: &self.uri,
            iat: now.seconds(),
            exp: now.plus(rules.life()).seconds(),
            ttl: rules.ttl.num_seconds(),
            status_list: Compressed { bits: 1, lst: &self.compressed },
        };
        let (jwt, kid) = issuer.sign_as(STATUS_LIST_TYPE, &claims)?;
        let etag = strong_etag(jwt.as_bytes());
        Ok(StatusListToken { body: jwt.into(), etag, kid, list: self, signed_at: now, life: rules.life() })
    }
}

impl StatusListToken {
    /// Whether it may still be believed.
    #[must_use]
    pub fn lives(&self, now: Timestamp) -> bool {
        now.seconds() < self.signed_at.plus(self.life).seconds()
    }

    /// Whether it says just this, and will be believed for half of its life at least. One that was signed in the
    /// future, before the clock was put back, is signed anew.
    #[must_use]
    pub fn says(&self, ended: &[StatusIndex], now: Timestamp) -> bool {
        let age = now.since(self.signed_at);
        self.list.ended == ended && age >= TimeDelta::zero() && age < self.life / 2
    }
}

/// The lists of a server as they were last signed, and who reads what they are made of.
#[derive(Default)]
pub struct StatusLists {
    /// How many reads were ever begun.
    begun: AtomicU64,
    read: Mutex<LastRead>,
    signed: RwLock<BTreeMap<ListNumber, Arc<StatusListToken>>>,
}

/// What the last read found, and which it was.
#[derive(Default)]
pub struct LastRead {
    number: u64,
    found: Option<Arc<Ended>>,
}

/// What has ended, and how far places were given.
pub struct Ended {
    /// In order.
    pub ended: Vec<StatusIndex>,
    /// The first place that nobody has.
    pub next: StatusIndex,
}

impl StatusLists {
    /// What a read finds that began after this call: `read` itself, or that of somebody who came meanwhile. Of those
    /// who come while one is under way, which may have begun before a revocation that they know of, all share the next.
    /// The turn that comes along keeps others waiting, so that no list follows one that was read later.
    ///
    /// # Errors
    /// Those of `read`; [`Refusal::Unavailable`] where it was another's that failed.
    pub async fn read(
        &self,
        read: impl AsyncFnOnce() -> Result<Ended, Refusal>,
    ) -> Result<(Arc<Ended>, MutexGuard<'_, LastRead>), Refusal> {
        let begun = self.begun.load(Ordering::SeqCst);
        let mut last = self.read.lock().await;
        if last.number > begun {
            return Ok((last.found.clone().ok_or(Refusal::Unavailable)?, last));
        }
        let number = self.begun.fetch_add(1, Ordering::SeqCst).saturating_add(1);
        let found = read().await.map(Arc::new);
        *last = LastRead { number, found: found.as_ref().ok().cloned() };
        Ok((found?, last))
    }

    /// The list as it was last signed.
    #[must_use]
    pub fn signed(&self, number: ListNumber) -> Option<Arc<StatusListToken>> {
        self.signed.read().unwrap_or_else(PoisonError::into_inner).get(&number).cloned()
    }

    /// Keeps a signed list in the place of the one before.
    pub fn keep(&self, number: ListNumber, token: &Arc<StatusListToken>) {
        self.signed.write().unwrap_or_else(PoisonError::into_inner).insert(number, Arc::clone(token));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::{join, join_all};
    use tokio::sync::Notify;

    fn nothing() -> Ended {
        Ended { ended: Vec::new(), next: StatusIndex(1) }
    }

    #[tokio::test]
    async fn those_who_come_during_a_read_share_the_next() {
        let (lists, go, reads) = (StatusLists::default(), Notify::new(), AtomicU64::new(0));
        let read = async || {
            reads.fetch_add(1, Ordering::SeqCst);
            go.notified().await;
            Ok(nothing())
        };
        let ask = async || lists.read(read).await.map(|_| ()).unwrap();
        let crowd = async {
            tokio::task::yield_now().await;
            assert_eq!(reads.load(Ordering::SeqCst), 1, "the first is under way");
            let others = join_all((0..50).map(|_| ask()));
            let let_go = async {
                tokio::task::yield_now().await;
                go.notify_one();
                tokio::task::yield_now().await;
                go.notify_one();
            };
            join(others, let_go).await;
        };
        join(ask(), crowd).await;
        assert_eq!(reads.load(Ordering::SeqCst), 2);
        go.notify_one();
        ask().await;
        assert_eq!(reads.load(Ordering::SeqCst), 3, "who comes later reads for itself");
    }

    #[tokio::test]
    async fn a_read_that_fails_fails_for_all_who_share_it_and_one_that_is_given_up_for_none() {
        let lists = StatusLists::default();
        let given_up = lists.read(async || std::future::pending().await);
        assert!(tokio::time::timeout(std::time::Duration::from_millis(1), given_up).await.is_err());
        assert!(lists.read(async || Ok(nothing())).await.is_ok());
        assert!(matches!(lists.read(async || Err(Refusal::Unavailable)).await, Err(Refusal::Unavailable)));
        assert!(lists.read(async || Ok(nothing())).await.is_ok());
    }
}
