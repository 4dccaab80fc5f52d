//! The signing keys in memory: which one signs, which are published. It answers while the database is down.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use actix_web::web::Bytes;
use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE64URL_NOPAD;
use serde::Serialize;

use super::secret_box::SecretBox;
use super::signing_key::{SigningKey, SigningKeyError};
use crate::db::signing_keys::SigningKeyRow;
use crate::domain::signing_key::KeyState;
use crate::domain::{Algorithm, Refusal};

/// The keys of this moment; cheap to clone, and every clone sees a reload.
#[derive(Clone)]
pub struct Keyring(Arc<RwLock<Arc<Keys>>>);

/// The published keys between two reloads.
pub struct Keys {
    keys: Vec<SigningKey>,
    jwks: Jwks,
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
    /// A keyring of these rows.
    ///
    /// # Errors
    /// A key cannot be decrypted or read.
    pub fn read(rows: &[SigningKeyRow], secrets: &SecretBox) -> Result<Self, SigningKeyError> {
        Ok(Self(Arc::new(RwLock::new(Arc::new(Keys::read(rows, secrets)?)))))
    }

    /// Puts these rows in the place of all keys; where one cannot be read the old keys stay.
    ///
    /// # Errors
    /// A key cannot be decrypted or read.
    pub fn replace(&self, rows: &[SigningKeyRow], secrets: &SecretBox) -> Result<(), SigningKeyError> {
        let keys = Arc::new(Keys::read(rows, secrets)?);
        // An empty key set would end all verification downstream; a table that is empty now was damaged.
        if keys.keys.is_empty() && !self.keys().keys.is_empty() {
            return Err(SigningKeyError::NoneLeft);
        }
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }

    /// The keys of this moment.
    #[must_use]
    pub fn keys(&self) -> Arc<Keys> {
        // A poisoned lock still holds whole keys: they are only ever replaced at once.
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Keys {
    fn read(rows: &[SigningKeyRow], secrets: &SecretBox) -> Result<Self, SigningKeyError> {
        let published = rows.iter().filter(|row| row.state.is_published());
        let keys = published.map(|row| SigningKey::read(row, secrets)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { jwks: Jwks::of(&keys), keys })
    }

    /// The key that signs with `algorithm`.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] where there is none.
    pub fn active(&self, algorithm: Algorithm) -> Result<&SigningKey, Refusal> {
        self.keys
            .iter()
            .find(|key| key.algorithm == algorithm && key.state == KeyState::Active)
            .ok_or(Refusal::Unavailable)
    }

    /// The published key of this name. A hostile `kid` is compared and nothing else.
    #[must_use]
    pub fn published(&self, kid: &str) -> Option<&SigningKey> {
        self.keys.iter().find(|key| key.kid == kid)
    }

    /// The algorithms that a key signs with.
    #[must_use]
    pub fn algorithms(&self) -> BTreeSet<Algorithm> {
        self.keys.iter().filter(|key| key.state == KeyState::Active).map(|key| key.algorithm).collect()
    }

    /// Every published key, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &SigningKey> {
        self.keys.iter()
    }

    /// The published keys as they are served.
    #[must_use]
    pub fn jwks(&self) -> &Jwks {
        &self.jwks
    }
}

impl Jwks {
    fn of(keys: &[SigningKey]) -> Self {
        #[derive(Serialize)]
        struct Document<'a> {
            keys: Vec<&'a jsonwebtoken::jwk::Jwk>,
        }

        let keys = keys.iter().map(|key| &key.jwk).collect();
        let body = serde_json::to_vec(&Document { keys }).unwrap_or_default();
        let etag = format!("\"{}\"", BASE64URL_NOPAD.encode(digest(&SHA256, &body).as_ref()));
        Self { body: body.into(), etag }
    }
}
