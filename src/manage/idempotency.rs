//! `Idempotency-Key`: a client that asks again, because an answer was lost, gets the answer that was given.

use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use chrono::TimeDelta;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::app::App;
use crate::db::idempotency::{self, NewRecord, Record};
use crate::db::{DbConnection, DbError};
use crate::domain::actor::Who;
use crate::domain::sealed::Sealed;
use crate::domain::{Refusal, TenantId, Timestamp};
use crate::tokens::secret_box::SecretBox;

/// For how long an answer is given again.
const KEPT_FOR: TimeDelta = TimeDelta::hours(24);

/// A SHA-256.
pub type Hash = Vec<u8>;

/// The header's value: 1 to 255 printable ASCII characters.
#[derive(Clone, Debug)]
pub struct IdempotencyKey(String);

/// What was given is no [`IdempotencyKey`].
#[derive(Debug, thiserror::Error)]
#[error("must be 1 to 255 printable ASCII characters")]
pub struct InvalidIdempotencyKey;

/// Keeps an answer in the transaction of the change, unless one is kept already.
pub struct Keep {
    tenant: TenantId,
    key_hash: Hash,
    request_hash: Hash,
    secrets: Arc<SecretBox>,
    now: Timestamp,
}

impl FromStr for IdempotencyKey {
    type Err = InvalidIdempotencyKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
        fits.then(|| Self(text.to_owned())).ok_or(InvalidIdempotencyKey)
    }
}

impl IdempotencyKey {
    /// One person's key is not another's: nobody reads a secret by guessing keys.
    fn hash(&self, by: Who) -> Hash {
        sha256(format!("{by} {}", self.0).as_bytes())
    }
}

/// What a request is, so that another one under the same key is told apart.
pub fn request_hash(request: &impl Serialize) -> Hash {
    sha256(&serde_json::to_vec(request).unwrap_or_default())
}

impl Keep {
    /// For the request with this hash.
    pub(super) fn new(
        app: &App,
        tenant: TenantId,
        key: &IdempotencyKey,
        by: Who,
        request_hash: Hash,
        now: Timestamp,
    ) -> Self {
        Self { tenant, key_hash: key.hash(by), request_hash, secrets: Arc::clone(&app.secrets), now }
    }

    /// The answer that was given before, encrypted; its place is free where there is none. The tenant is held.
    ///
    /// # Errors
    /// [`Refusal::IdempotencyConflict`] where another request was answered under the same key.
    pub(super) fn earlier(&self, connection: &mut DbConnection) -> Result<Option<Sealed>, Refusal> {
        let Some(earlier) = idempotency::find(connection, self.tenant, &self.key_hash)? else { return Ok(None) };
        let answer = earlier_answer(earlier, &self.request_hash, self.now)?;
        if answer.is_none() {
            idempotency::delete(connection, self.tenant, &self.key_hash)?;
        }
        Ok(answer)
    }

    /// Keeps this answer, encrypted: there is no earlier one.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] where the master key is out of use: this server has yet to learn of another one.
    pub(super) fn keep(self, connection: &mut DbConnection, answer: &[u8]) -> Result<(), Refusal> {
        let record = NewRecord {
            request_hash: self.request_hash,
            sealed_answer: self.secrets.seal(&purpose(self.tenant), answer)?,
            expires_at: self.now.plus(KEPT_FOR),
        };
        match idempotency::insert(connection, self.tenant, &self.key_hash, &record, self.now).map_err(DbError::from) {
            Ok(()) => Ok(()),
            Err(DbError::Gone) => Err(Refusal::Unavailable),
            Err(error) => Err(error.into()),
        }
    }
}

/// The answer that was given before, encrypted, if one was.
///
/// # Errors
/// [`Refusal::IdempotencyConflict`] where another request was answered under the same key.
pub(super) async fn earlier(
    app: &App,
    tenant: TenantId,
    key: &IdempotencyKey,
    by: Who,
    request_hash: &Hash,
) -> Result<Option<Sealed>, Refusal> {
    let (key_hash, request_hash, now) = (key.hash(by), request_hash.clone(), app.now());
    app.db
        .read(move |connection| match idempotency::find(connection, tenant, &key_hash)? {
            Some(earlier) => earlier_answer(earlier, &request_hash, now),
            None => Ok(None),
        })
        .await
}

fn earlier_answer(earlier: Record, request_hash: &Hash, now: Timestamp) -> Result<Option<Sealed>, Refusal> {
    if earlier.expires_at <= now {
        return Ok(None);
    }
    if earlier.request_hash == *request_hash {
        Ok(Some(earlier.sealed_answer))
    } else {
        Err(Refusal::IdempotencyConflict)
    }
}

/// Decrypts an answer that was kept; under a new master key too, of which this server has not heard yet.
pub(super) async fn open(app: &App, tenant: TenantId, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    if let Ok(answer) = app.secrets.open(&purpose(tenant), sealed) {
        return Ok(answer);
    }
    app.learn_master_keys().await?;
    app.secrets.open(&purpose(tenant), sealed).map_err(|error| {
        tracing::error!(%error, "an idempotency record");
        Refusal::Internal
    })
}

pub(super) fn purpose(tenant: TenantId) -> String {
    format!("idempotency/{tenant}")
}

fn sha256(bytes: &[u8]) -> Hash {
    digest(&SHA256, bytes).as_ref().to_vec()
}
