//! Signing keys out of files: `keys.dir/*.pem` at the start of a server, or one by hand (ADR 12).

use std::path::PathBuf;

use super::{TRIES, carry_out, look, reload};
use crate::app::{App, StartError};
use crate::domain::rotation::{KeyOutlook, find};
use crate::domain::signing_key::{KeyState, SigningKeyInfo};
use crate::domain::{Actor, Algorithm, Refusal};
use crate::tokens::key_file::{self, KeyFile, KeyFileError};

/// Why a key is not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It is known, and never taken in again: least of all one that was revoked.
    #[error("this is the key {0}, which is {1} already; `jeton signing-key list` shows it")]
    Known(String, &'static str),
    /// No token is signed with it.
    #[error(
        "tokens are not signed with {0} here; set `keys.algorithm`, or the `algorithm` of an audience, and restart the servers first"
    )]
    NotInUse(Algorithm),
    /// One follows the other.
    #[error("the key {0} waits already to sign with {1}; import this one when that signs")]
    UnderWay(String, Algorithm),
    /// The file, the database, or a fault of ours.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// Takes in the next key file of each algorithm in use. Of servers that start together with the same files one takes it
/// in.
///
/// # Errors
/// See [`StartError`]; a file that is no signing key is one.
pub(super) async fn import_folder(app: &App) -> Result<(), StartError> {
    let files = read(app.config.keys.dir.clone(), |folder| key_file::read_folder(&folder)).await?;
    for _ in 0..TRIES {
        let (keys, policy, now) = look(app).await?;
        let news: Vec<_> = files.iter().filter(|file| known(&keys, file).is_none()).collect();
        let next: Vec<_> = policy.in_use.iter().filter_map(|&algorithm| first_of(&news, algorithm)).collect();
        let changes = policy.adopt(&next.iter().map(|file| file.pair.algorithm).collect(), &keys, now);
        if next.is_empty()
            || changes.is_empty()
            || carry_out(app, &Actor::SYSTEM, keys, changes, now, None, &next).await?
        {
            return tell_of_others(app, &files).await;
        }
    }
    Err(Refusal::Overloaded.into())
}

/// Takes in one key, which is published now and signs when verifiers have had the time to learn of it.
///
/// # Errors
/// See [`ImportError`].
pub async fn import(app: &App, actor: &Actor, path: PathBuf) -> Result<KeyOutlook, ImportError> {
    let file = read(path, |path| key_file::read(&path)).await?;
    let algorithm = file.pair.algorithm;
    for _ in 0..TRIES {
        let (keys, policy, now) = look(app).await.map_err(StartError::from)?;
        if let Some(key) = known(&keys, &file) {
            return Err(ImportError::Known(key.kid.clone(), key.state.as_str()));
        }
        if !policy.in_use.contains(&algorithm) {
            return Err(ImportError::NotInUse(algorithm));
        }
        if let Some(pending) = find(&keys, algorithm, KeyState::Pending) {
            return Err(ImportError::UnderWay(pending.kid.clone(), algorithm));
        }
        let changes = policy.adopt(&[algorithm].into(), &keys, now);
        if carry_out(app, actor, keys, changes, now, None, &[&file]).await? {
            reload(app).await?;
            let (keys, policy, _) = look(app).await.map_err(StartError::from)?;
            let mut outlook = policy.outlook(keys).into_iter();
            let imported = outlook.find(|outlook| outlook.key.kid == file.pair.kid);
            return imported.ok_or_else(|| StartError::from(Refusal::Internal).into());
        }
    }
    Err(StartError::from(Refusal::Overloaded).into())
}

/// Whoever put a file there must not believe that its key signs when it does not.
async fn tell_of_others(app: &App, files: &[KeyFile]) -> Result<(), StartError> {
    let (keys, policy, _) = look(app).await?;
    for file in files {
        let (name, algorithm) = (&file.name, file.pair.algorithm.as_str());
        match known(&keys, file).map(|key| key.state) {
            Some(KeyState::Compromised) => tracing::warn!(file = name, "this key was revoked; take the file away"),
            Some(_) => {}
            None if policy.in_use.contains(&file.pair.algorithm) => {
                tracing::warn!(
                    file = name,
                    algorithm,
                    "another key waits to sign; this one is imported at a start after that signs"
                );
            }
            None => tracing::warn!(
                file = name,
                algorithm,
                "tokens are not signed with this algorithm; the key is not imported"
            ),
        }
    }
    Ok(())
}

fn known<'a>(keys: &'a [SigningKeyInfo], file: &KeyFile) -> Option<&'a SigningKeyInfo> {
    keys.iter().find(|key| key.kid == file.pair.kid)
}

fn first_of<'a>(files: &[&'a KeyFile], algorithm: Algorithm) -> Option<&'a KeyFile> {
    files.iter().copied().find(|file| file.pair.algorithm == algorithm)
}

/// Files are read where nobody waits.
async fn read<T: Send + 'static>(
    path: PathBuf,
    read: impl FnOnce(PathBuf) -> Result<T, KeyFileError> + Send + 'static,
) -> Result<T, StartError> {
    let done = tokio::task::spawn_blocking(move || read(path)).await;
    Ok(done.map_err(|_| Refusal::Internal)??)
}
