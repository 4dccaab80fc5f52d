//! Where the master key comes from: `keys.dir/master.key`, or the environment. And how a file is put in its place.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::secret_box::fingerprint;
use crate::config::{Keys, MasterKey};
use crate::random::Random;

/// The name of the master key's file in `keys.dir`.
pub const MASTER_KEY_FILE: &str = "master.key";

/// Why there is no master key.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// The text is not 32 bytes in base64.
    #[error("{0} must hold 32 bytes in base64 (44 characters)")]
    Malformed(String),
    /// Others can read the file.
    #[error("{0} can be read by others; run `chmod 600 {0}`")]
    Exposed(String),
    /// There is no file, and none is to be made.
    #[error("there is no {0}; `jeton serve` makes it at the first start, or set JETON_MASTER_KEY")]
    Missing(String),
    /// The file cannot be read or made.
    #[error("cannot use {0}: {1}")]
    File(String, io::Error),
    /// The system gave no randomness.
    #[error("the system's random generator failed")]
    Random,
}

/// A new master key under a name of its own: whole and synced, before it gets its place. Dropped without that, it is
/// gone.
pub struct Draft {
    folder: PathBuf,
    path: PathBuf,
}

/// The master key that a server started now would have.
///
/// # Errors
/// See [`MasterKeyError`].
pub fn configured(keys: &Keys) -> Result<MasterKey, MasterKeyError> {
    keys.master_key.clone().map_or_else(|| read(&keys.dir.join(MASTER_KEY_FILE)), Ok)
}

/// Reads a file that holds a master key.
///
/// # Errors
/// See [`MasterKeyError`].
pub fn read(path: &Path) -> Result<MasterKey, MasterKeyError> {
    let shown = path.display().to_string();
    let text = read_private(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => MasterKeyError::Missing(shown.clone()),
        io::ErrorKind::PermissionDenied if is_exposed(path) => MasterKeyError::Exposed(shown.clone()),
        _ => MasterKeyError::File(shown.clone(), error),
    })?;
    text.parse().map_err(|_| MasterKeyError::Malformed(shown))
}

/// Reads a file with a secret, which others must not be able to read.
///
/// # Errors
/// There is none, or it can be read by others ([`is_exposed`]).
pub fn read_private(path: &Path) -> io::Result<Zeroizing<String>> {
    let text = Zeroizing::new(fs::read_to_string(path)?);
    if is_exposed(path) { Err(io::ErrorKind::PermissionDenied.into()) } else { Ok(text) }
}

/// Whether others than its owner can read or change a file.
#[must_use]
pub fn is_exposed(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o077 != 0)
}

/// Makes `folder/master.key`, unless another server makes it first.
///
/// # Errors
/// See [`MasterKeyError`].
pub fn make(folder: &Path, random: &Random) -> Result<(), MasterKeyError> {
    let key = MasterKey::new(random.bytes().map_err(|_| MasterKeyError::Random)?);
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| failed(folder, error))?;
    Draft::write(folder, &key, random)?.put_first()
}

impl Draft {
    /// Writes a key beside `folder/master.key`.
    ///
    /// # Errors
    /// See [`MasterKeyError`].
    pub fn write(folder: &Path, key: &MasterKey, random: &Random) -> Result<Self, MasterKeyError> {
        let unique = random.bytes::<8>().map_err(|_| MasterKeyError::Random)?;
        let path = folder.join(format!(".{MASTER_KEY_FILE}.{}", data_encoding::HEXLOWER.encode(&unique)));
        let options = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let mut file = options.map_err(|error| failed(&path, error))?;
        let draft = Self { folder: folder.to_owned(), path };
        let written = file.write_all(key.to_base64().as_bytes()).and_then(|()| file.sync_all());
        written.map_err(|error| failed(&draft.path, error))?;
        Ok(draft)
    }

    /// Puts it where no key is. Servers that start together see one key: a hard link, unlike a rename, never replaces
    /// the one that another made first.
    fn put_first(self) -> Result<(), MasterKeyError> {
        let path = self.folder.join(MASTER_KEY_FILE);
        let linked = link_unless_there(&self.path, &path).and_then(|()| sync(&self.folder));
        linked.map_err(|error| failed(&path, error))
    }

    /// Puts it in the place of the key that is there, which stays beside it as `master.key.FINGERPRINT`: backups of
    /// before need it. Whenever this is interrupted, `master.key` is one of the two, whole.
    ///
    /// # Errors
    /// See [`MasterKeyError`].
    pub fn replace(self) -> Result<(), MasterKeyError> {
        let path = self.folder.join(MASTER_KEY_FILE);
        let kept = self.folder.join(format!("{MASTER_KEY_FILE}.{}", fingerprint(&read(&path)?)));
        let replaced = link_unless_there(&path, &kept)
            .and_then(|()| fs::rename(&self.path, &path))
            .and_then(|()| sync(&self.folder));
        replaced.map_err(|error| failed(&path, error))
    }
}

/// The keys in `folder` that never got their place, for whoever was to put them there was killed: nothing is sealed
/// under one, or the database has it too. None where the folder cannot be read.
#[must_use]
pub fn drafts(folder: &Path) -> Vec<PathBuf> {
    let is_draft = |file: &fs::DirEntry| {
        file.file_name()
            .to_string_lossy()
            .strip_prefix('.')
            .is_some_and(|name| name.strip_prefix(MASTER_KEY_FILE).is_some_and(|end| end.starts_with('.')))
    };
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter(is_draft).map(|file| file.path()).collect()
}

/// Takes away what [`drafts`] finds, once a change is done.
pub fn forget_drafts(folder: &Path) {
    for draft in drafts(folder) {
        if let Err(error) = fs::remove_file(&draft) {
            tracing::warn!(%error, file = %draft.display(), "a master key that nobody uses cannot be removed");
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Where it got its place by a rename there is nothing left.
        let _ = fs::remove_file(&self.path);
    }
}

fn link_unless_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

fn failed(path: &Path, error: io::Error) -> MasterKeyError {
    MasterKeyError::File(path.display().to_string(), error)
}
