//! The master key at the start: read or made, proved to be the database's, and the one that is to follow it learned.

use super::{API_KEYS, StartError, secret_purpose};
use crate::config::{Config, MasterKey};
use crate::db::master_keys::{self, MasterKeyRow};
use crate::db::{Db, DbError, secrets};
use crate::domain::Timestamp;
use crate::domain::sealed::Sealed;
use crate::random::Random;
use crate::tokens::master_key_file::{self, MasterKeyError};
use crate::tokens::secret_box::SecretBox;

/// Opens what is sealed in this database. In one that was never opened the key gets its name.
pub(super) async fn open(db: &Db, config: &Config, random: &Random, now: Timestamp) -> Result<SecretBox, StartError> {
    let secrets = SecretBox::new(&read_or_make(db, config, random).await?, random.clone())?;
    claim(db, &secrets, now).await?;
    learn(db, &secrets).await?;
    Ok(secrets)
}

/// Learns from the database which master key is in use.
pub(super) async fn learn(db: &Db, secrets: &SecretBox) -> Result<(), StartError> {
    let rows = db.read(|connection| master_keys::list(connection).map_err(DbError::from)).await?;
    secrets.learn(&rows).map_err(|_| StartError::MasterKeyWrong)
}

/// Reads the master key. It is made only where nothing was ever encrypted under another one.
async fn read_or_make(db: &Db, config: &Config, random: &Random) -> Result<MasterKey, StartError> {
    match master_key_file::configured(&config.keys) {
        Err(MasterKeyError::Missing(file)) => {
            if sealed_before(db).await?.is_some() {
                return Err(StartError::MasterKeyLost(file));
            }
            master_key_file::make(&config.keys.dir, random)?;
            Ok(master_key_file::configured(&config.keys)?)
        }
        other => Ok(other?),
    }
}

/// Names the first master key of a database, and what was sealed before keys had names; first it must open that. Of
/// servers that start together one does it.
async fn claim(db: &Db, secrets: &SecretBox, now: Timestamp) -> Result<(), StartError> {
    if !db.read(|connection| master_keys::list(connection).map_err(DbError::from)).await?.is_empty() {
        return Ok(());
    }
    if let Some(sealed) = sealed_before(db).await? {
        secrets.open(&secret_purpose(API_KEYS), &sealed).map_err(|_| StartError::MasterKeyWrong)?;
    }
    let row = MasterKeyRow { id: secrets.seals_under(), created_at: now, successor: None, sealed_other: None };
    let claimed = db
        .write_unhurried(move |connection| {
            if master_keys::list(connection)?.is_empty() {
                master_keys::insert(connection, &row)?;
                master_keys::claim_unnamed(connection, &row.id)?;
            }
            Ok(())
        })
        .await;
    match claimed {
        Ok(()) | Err(DbError::Conflict) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

async fn sealed_before(db: &Db) -> Result<Option<Sealed>, DbError> {
    db.read(|connection| secrets::find(connection, API_KEYS).map_err(DbError::from)).await
}
