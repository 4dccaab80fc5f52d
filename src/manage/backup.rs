//! A copy of the embedded database, taken while servers run on it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{self, Path, PathBuf};

use crate::config::DatabaseUrl;
use crate::db::{Db, DbError, backup};

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// PostgreSQL has tools of its own.
    #[error("`jeton backup` is for the embedded database; back PostgreSQL up with `pg_dump -Fc`")]
    NotEmbedded,
    /// Something has that name already: an older backup is never overwritten.
    #[error("{} is there already; name another file", .0.display())]
    Exists(PathBuf),
    /// SQLite is given names as text.
    #[error("the name {} is not UTF-8; name another file", .0.display())]
    NotText(PathBuf),
    /// The file cannot be written.
    #[error("cannot write {0}: {1}")]
    File(String, io::Error),
    /// The database cannot be read, or there is no room for the copy.
    #[error(transparent)]
    Database(#[from] DbError),
}

/// Copies the whole database into a new file for nobody but its owner, as of one moment; answers its length in bytes.
///
/// It gets its name when all of it is on the disk. What is encrypted stays so: the master key is not in it.
///
/// # Errors
/// See [`BackupError`].
pub async fn take(db: &Db, url: &DatabaseUrl, to: &Path) -> Result<u64, BackupError> {
    if !matches!(url, DatabaseUrl::Sqlite(_)) {
        return Err(BackupError::NotEmbedded);
    }
    if to.symlink_metadata().is_ok() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    // From the root: a name that begins with `file:` is a URI to SQLite, and would be another file.
    let draft = path::absolute(to).map_err(|error| BackupError::File(shown(to), error))?;
    let draft = draft.to_str().ok_or_else(|| BackupError::NotText(to.to_owned()))?;
    let draft = PathBuf::from(format!("{draft}.part"));
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => BackupError::Exists(draft.clone()),
        _ => BackupError::File(shown(&draft), error),
    };
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).map_err(failed)?;
    let copied = copy(db, &draft, to).await;
    // Under its own name it has a link already; what failed is worth nothing.
    fs::remove_file(&draft).map_err(failed)?;
    copied
}

async fn copy(db: &Db, draft: &Path, to: &Path) -> Result<u64, BackupError> {
    // UTF-8: `take` made sure.
    let path = draft.to_string_lossy().into_owned();
    db.read(move |connection| backup::copy_into(connection, &path).map_err(DbError::from)).await?;
    // SQLite leaves it to us to wait for the disk.
    let synced = File::open(draft).and_then(|file| file.sync_all().and_then(|()| file.metadata()));
    let length = synced.map_err(|error| BackupError::File(shown(draft), error))?.len();
    // A hard link, unlike a rename, never replaces what somebody else has put there meanwhile.
    fs::hard_link(draft, to).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => BackupError::Exists(to.to_owned()),
        _ => BackupError::File(shown(to), error),
    })?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| BackupError::File(shown(to), error))?;
    Ok(length)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
