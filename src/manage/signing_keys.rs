//! Signing keys: one for each algorithm in use.

use std::collections::BTreeSet;

use crate::app::{App, StartError};
use crate::db::{DbError, audit, signing_keys};
use crate::domain::signing_key::SigningKeyInfo;
use crate::domain::{Actor, Algorithm, Refusal};
use crate::tokens::signing_key::SigningKey;

/// Makes an active key for each algorithm in use that has none. Of servers that start together one makes it, and all
/// use that.
///
/// # Errors
/// See [`StartError`].
pub async fn ensure_active(app: &App) -> Result<(), StartError> {
    let missing = missing(app);
    if missing.is_empty() {
        return Ok(());
    }
    for algorithm in missing {
        make(app, algorithm).await?;
    }
    reload(app).await
}

async fn make(app: &App, algorithm: Algorithm) -> Result<(), StartError> {
    let now = app.now();
    let row = SigningKey::make(algorithm, &app.secrets, now)?;
    let event = app
        .event(&Actor::SYSTEM, "signing_key.created", now)?
        .target("signing-key", &row.kid)
        .details(format!("algorithm {algorithm}"));
    let made = app
        .db
        .write(move |connection| {
            if signing_keys::has_active(connection, algorithm)? {
                return Ok(());
            }
            signing_keys::insert(connection, &row)?;
            Ok(audit::record(connection, &event)?)
        })
        .await;
    match made {
        // Another server's key came first by a hair.
        Err(DbError::Conflict) => Ok(()),
        other => Ok(other?),
    }
}

/// Reads the keys anew.
///
/// # Errors
/// The database does not answer, or a key cannot be read.
pub async fn reload(app: &App) -> Result<(), StartError> {
    let rows = app.db.read(|connection| signing_keys::list(connection).map_err(DbError::from)).await?;
    Ok(app.keyring.replace(&rows, &app.secrets)?)
}

/// The algorithms in use for which no key signs.
#[must_use]
pub fn missing(app: &App) -> BTreeSet<Algorithm> {
    app.config.algorithms().difference(&app.keyring.keys().algorithms()).copied().collect()
}

/// The keys, oldest first, without their private halves.
///
/// # Errors
/// The database does not answer.
pub async fn list(app: &App) -> Result<Vec<SigningKeyInfo>, Refusal> {
    app.db.read(|connection| signing_keys::list_public(connection).map_err(Refusal::from)).await
}
