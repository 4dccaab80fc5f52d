//! The master key is changed: one step makes another one and encrypts everything anew, the other forgets the one before
//! it once no server needs that (ADR 12).

use std::sync::Arc;

use serde::Serialize;

use crate::app::{App, secret_purpose};
use crate::config::MasterKey;
use crate::db::idempotency::SealedAnswer;
use crate::db::master_keys::MasterKeyRow;
use crate::db::notices::{self, Notice};
use crate::db::{DbConnection, DbError, audit, idempotency, instances, master_keys, secrets, signing_keys};
use crate::domain::sealed::Sealed;
use crate::domain::signing_key::KeyState;
use crate::domain::{Actor, Refusal, Timestamp};
use crate::manage::instances::Server;
use crate::tokens::master_key_file::{self, Draft, MasterKeyError};
use crate::tokens::secret_box::{CannotOpen, SecretBox, fingerprint};
use crate::tokens::signing_key;

/// How often an end is tried anew that a value sealed under the old key at this very moment came before.
const TRIES: usize = 20;

/// Which master keys are in use, and where.
#[derive(Clone, Debug, Serialize)]
pub struct MasterKeys {
    /// The fingerprint of the key that seals.
    pub current: String,
    /// Since when.
    pub since: Timestamp,
    /// The one before it, while it is still read.
    pub previous: Option<String>,
    /// The one that is configured here.
    pub here: String,
    /// The servers that run or are not forgotten yet, each with the master key that it would start with now.
    pub servers: Vec<Server>,
}

/// Why the master key is not changed. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyChangeError {
    /// The change before this one has not ended.
    #[error(
        "the master key is being changed already; `jeton master-key finish` ends that, `jeton master-key status` tells more"
    )]
    Unfinished,
    /// The new key is the old one.
    #[error("the new master key is the one in use; take another one")]
    Same,
    /// The key is not in a file that could be replaced.
    #[error(
        "JETON_MASTER_KEY has the master key, and cannot be changed from here; put a new one into a file (`openssl rand -base64 32`) and name that: `jeton master-key rotate --new-key FILE`"
    )]
    InEnvironment,
    /// There is nothing to end.
    #[error("the master key is not being changed; `jeton master-key rotate` begins it")]
    Nothing,
    /// This machine itself would not start any more.
    #[error(
        "the old master key is configured here still; `jeton master-key install` replaces keys.dir/master.key, or set JETON_MASTER_KEY to the new one"
    )]
    NotHere,
    /// Servers would not start any more.
    #[error(
        "the new master key is missing at {0}; where its file was replaced a moment ago try again, else put it there (`jeton master-key install`, or JETON_MASTER_KEY and a restart), or `--force` where such a server is dead"
    )]
    StillUsed(String),
    /// Something that is stored opens under no key.
    #[error(
        "{0} cannot be decrypted, so nothing was changed; put it back from a backup, or remove it; a signing key: `jeton signing-key revoke KID`"
    )]
    Sealed(String),
    /// The file.
    #[error(transparent)]
    File(#[from] MasterKeyError),
    /// The file, after all else is done.
    #[error(
        "the master key is changed, but {0}; mend that, then run `jeton master-key install`. Until then the old key is still read"
    )]
    NotInstalled(MasterKeyError),
    /// The database, or a fault of ours.
    #[error("{0}")]
    Other(#[from] Refusal),
}

impl From<DbError> for MasterKeyChangeError {
    fn from(error: DbError) -> Self {
        Self::Other(error.into())
    }
}

impl From<diesel::result::Error> for MasterKeyChangeError {
    fn from(error: diesel::result::Error) -> Self {
        DbError::from(error).into()
    }
}

/// Which master keys are in use, and which servers have which.
///
/// # Errors
/// The database does not answer.
pub async fn status(app: &App) -> Result<MasterKeys, MasterKeyChangeError> {
    let here = fingerprint(&master_key_file::configured(&app.config.keys)?);
    app.db.read(move |connection| look(connection, here)).await
}

/// Encrypts everything that is sealed under another master key, in one transaction: `given`, or a new one that is
/// written into `keys.dir/master.key`. Servers with the old key learn the new one from the database, and those with the
/// new key the old one, until [`finish`].
///
/// # Errors
/// See [`MasterKeyChangeError`].
pub async fn rotate(app: &App, actor: &Actor, given: Option<MasterKey>) -> Result<MasterKeys, MasterKeyChangeError> {
    let (new, draft) = match given {
        Some(new) => (new, None),
        None if app.config.keys.master_key.is_some() => return Err(MasterKeyChangeError::InEnvironment),
        None => {
            let new = MasterKey::new(app.random.bytes()?);
            let draft = Draft::write(&app.config.keys.dir, &new, &app.random)?;
            (new, Some(draft))
        }
    };
    replace(app, actor, &new).await?;
    if let Some(draft) = draft {
        draft.replace().map_err(MasterKeyChangeError::NotInstalled)?;
        master_key_file::forget_drafts(&app.config.keys.dir);
    }
    status(app).await
}

/// Puts the master key in use into `keys.dir/master.key`, where the one before it is: on another machine, or after a
/// [`rotate`] that was interrupted. Again: nothing happens, and that is no error.
///
/// # Errors
/// See [`MasterKeyChangeError`].
pub async fn install(app: &App) -> Result<MasterKeys, MasterKeyChangeError> {
    if app.config.keys.master_key.is_some() {
        return Err(MasterKeyChangeError::InEnvironment);
    }
    let keys = status(app).await?;
    if keys.here != keys.current {
        let key = app.secrets.master_key().ok_or(Refusal::Internal)?;
        Draft::write(&app.config.keys.dir, &key, &app.random)?.replace()?;
    }
    status(app).await
}

/// Forgets the master key before the one in use: from now on nothing is sealed under it, and no server starts with it.
///
/// # Errors
/// [`MasterKeyChangeError::StillUsed`] unless `force`d; the others of [`MasterKeyChangeError`].
pub async fn finish(app: &App, actor: &Actor, force: bool) -> Result<MasterKeys, MasterKeyChangeError> {
    for _ in 0..TRIES {
        match try_to_finish(app, actor, force).await {
            // Something was sealed under the old key at this very moment.
            Err(MasterKeyChangeError::Other(Refusal::NotFound)) => {}
            Ok(keys) => {
                master_key_file::forget_drafts(&app.config.keys.dir);
                return Ok(keys);
            }
            other => return other,
        }
    }
    Err(Refusal::Overloaded.into())
}

async fn try_to_finish(app: &App, actor: &Actor, force: bool) -> Result<MasterKeys, MasterKeyChangeError> {
    let keys = status(app).await?;
    let previous = keys.previous.ok_or(MasterKeyChangeError::Nothing)?;
    if keys.here != keys.current {
        return Err(MasterKeyChangeError::NotHere);
    }
    let event = app.event(actor, "master_key.finished", app.now())?.target("master-key", &keys.current);
    let event = event.details(format!("{previous} is read no more{}", if force { "; forced" } else { "" }));
    let secrets = Arc::clone(&app.secrets);
    app.db
        .write_unhurried(move |connection| {
            let keys = look(connection, keys.here)?;
            let behind: Vec<_> =
                keys.servers.iter().filter(|server| server.master_key.as_ref() != Some(&keys.current)).collect();
            if !behind.is_empty() && !force {
                let names = behind.iter().map(ToString::to_string).collect::<Vec<_>>();
                return Err(MasterKeyChangeError::StillUsed(names.join(", ")));
            }
            encrypt_anew(connection, &secrets)?;
            if !master_keys::settle(connection, &keys.current)? {
                return Err(MasterKeyChangeError::Nothing);
            }
            let finished = look(connection, keys.here)?;
            audit::record(connection, &event)?;
            Ok(finished)
        })
        .await
}

async fn replace(app: &App, actor: &Actor, new: &MasterKey) -> Result<(), MasterKeyChangeError> {
    let now = app.now();
    let old = app.secrets.master_key().ok_or(Refusal::Internal)?;
    let next = app.secrets.followed_by(new)?;
    let (old_id, new_id) = (app.secrets.seals_under(), next.seals_under());
    if old_id == new_id {
        return Err(MasterKeyChangeError::Same);
    }
    let successor = app.secrets.seal_other(new)?;
    let row = MasterKeyRow {
        id: new_id.clone(),
        created_at: now,
        successor: None,
        sealed_other: Some(next.seal_other(&old)?.bytes),
    };
    let event = app.event(actor, "master_key.rotated", now)?.target("master-key", &new_id);
    let event = event.details(format!("takes the place of {old_id}, which is still read"));
    app.db
        .write_unhurried(move |connection| {
            if !master_keys::succeed(connection, &old_id, &new_id, &successor.bytes)? {
                return Err(MasterKeyChangeError::Unfinished);
            }
            master_keys::insert(connection, &row)?;
            encrypt_anew(connection, &next)?;
            // Who reads the signing keys anew learns of it.
            notices::tell(connection, Notice::SigningKeys);
            Ok(audit::record(connection, &event)?)
        })
        .await
}

/// Everything that is sealed, under the key that seals now. A sealed column that is missing here keeps its key's row
/// from going.
fn encrypt_anew(connection: &mut DbConnection, secrets: &SecretBox) -> Result<(), MasterKeyChangeError> {
    let key = secrets.seals_under();
    let anew = |what: &str, purpose: &str, sealed: &Sealed| {
        let opened =
            secrets.open(purpose, sealed).map_err(|CannotOpen| MasterKeyChangeError::Sealed(what.to_owned()))?;
        Ok::<_, MasterKeyChangeError>(secrets.seal(purpose, &opened)?)
    };
    for (name, sealed) in secrets::list_sealed_otherwise(connection, &key)? {
        let sealed = anew(&format!("the secret {name}"), &secret_purpose(&name), &sealed)?;
        secrets::reseal(connection, &name, &sealed)?;
    }
    for (kid, state, sealed) in signing_keys::list_sealed_otherwise(connection, &key)? {
        let sealed = match anew(&format!("signing key {kid}"), &signing_key::purpose(&kid), &sealed) {
            // It signs nothing any more and opens under no key: it stays as it is, and keeps no master key from going.
            Err(MasterKeyChangeError::Sealed(_)) if state == KeyState::Compromised => {
                Sealed { master_key: Some(key.clone()), ..sealed }
            }
            anew => anew?,
        };
        signing_keys::reseal(connection, &kid, &sealed)?;
    }
    for SealedAnswer { tenant, key_hash, sealed_answer } in idempotency::list_sealed_otherwise(connection, &key)? {
        let what = format!("an idempotency record of tenant {tenant}");
        let sealed = anew(&what, &super::idempotency::purpose(tenant), &sealed_answer)?;
        idempotency::reseal(connection, tenant, &key_hash, &sealed)?;
    }
    Ok(())
}

fn look(connection: &mut DbConnection, here: String) -> Result<MasterKeys, MasterKeyChangeError> {
    let rows = master_keys::list(connection)?;
    let current = rows.iter().find(|row| row.successor.is_none()).ok_or(Refusal::Internal)?;
    // Whenever they were seen, by whichever clock: who runs forgets those that are gone.
    let servers = instances::list(connection)?;
    Ok(MasterKeys {
        current: current.id.clone(),
        since: current.created_at,
        previous: rows.iter().find(|row| row.successor.is_some()).map(|row| row.id.clone()),
        here,
        servers: servers.into_iter().map(Server::from).collect(),
    })
}
