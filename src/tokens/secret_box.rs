//! The master key, and what is encrypted under it (AES-256-GCM).

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::config::MasterKey;
use crate::domain::Refusal;
use crate::random::Random;

/// The name of the master key's file in `keys.dir`.
pub const MASTER_KEY_FILE: &str = "master.key";

/// The layout of what is sealed: this byte, the nonce, the ciphertext with its tag.
const VERSION: u8 = 1;

/// Encrypts and decrypts under the master key.
pub struct SecretBox {
    key: LessSafeKey,
    random: Random,
}

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

/// What was to be decrypted was not encrypted under this master key for this purpose, or was altered.
#[derive(Debug, thiserror::Error)]
#[error("cannot decrypt; is this the master key that belongs to the database?")]
pub struct CannotOpen;

/// Reads `folder/master.key`.
///
/// # Errors
/// See [`MasterKeyError`].
pub fn read_master_key(folder: &Path) -> Result<MasterKey, MasterKeyError> {
    let path = folder.join(MASTER_KEY_FILE);
    let shown = path.display().to_string();
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => MasterKeyError::Missing(shown.clone()),
        _ => MasterKeyError::File(shown.clone(), error),
    };
    let text = Zeroizing::new(fs::read_to_string(&path).map_err(failed)?);
    let mode = fs::metadata(&path).map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(MasterKeyError::Exposed(shown));
    }
    text.parse().map_err(|_| MasterKeyError::Malformed(shown))
}

/// Makes `folder/master.key`, unless another server makes it first.
///
/// The whole file is written under another name, synced, before it gets its own: servers that start together see one key.
///
/// # Errors
/// See [`MasterKeyError`].
pub fn make_master_key(folder: &Path, random: &Random) -> Result<(), MasterKeyError> {
    let path = folder.join(MASTER_KEY_FILE);
    let failed = |error| MasterKeyError::File(path.display().to_string(), error);
    let key = MasterKey::new(random.bytes().map_err(|_| MasterKeyError::Random)?);
    let unique = random.bytes::<8>().map_err(|_| MasterKeyError::Random)?;
    let draft = folder.join(format!(".{MASTER_KEY_FILE}.{}", data_encoding::HEXLOWER.encode(&unique)));

    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).map_err(failed)?;
    let written = file.write_all(key.to_base64().as_bytes()).and_then(|()| file.sync_all());
    // A hard link, unlike a rename, never replaces the key that another server made first.
    let linked = written.and_then(|()| match fs::hard_link(&draft, &path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    fs::remove_file(&draft).map_err(failed)?;
    linked.and_then(|()| fs::File::open(folder)?.sync_all()).map_err(failed)
}

impl SecretBox {
    /// A box under this key.
    ///
    /// # Errors
    /// [`Refusal::Internal`]: never, for a key of the right length.
    pub fn new(key: &MasterKey, random: Random) -> Result<Self, Refusal> {
        let key = UnboundKey::new(&AES_256_GCM, key.as_bytes()).map_err(|_| Refusal::Internal)?;
        Ok(Self { key: LessSafeKey::new(key), random })
    }

    /// Encrypts `secret` for `purpose`: only the same purpose opens it, so that rows cannot be swapped.
    ///
    /// # Errors
    /// [`Refusal::Internal`] without randomness.
    pub fn seal(&self, purpose: &str, secret: &[u8]) -> Result<Vec<u8>, Refusal> {
        let nonce = self.random.bytes::<NONCE_LEN>()?;
        let mut sealed = secret.to_vec();
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(purpose), &mut sealed)
            .map_err(|_| Refusal::Internal)?;
        Ok([&[VERSION], nonce.as_slice(), &sealed].concat())
    }

    /// Decrypts what was sealed for `purpose`.
    ///
    /// # Errors
    /// [`CannotOpen`].
    pub fn open(&self, purpose: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, CannotOpen> {
        let (version, rest) = sealed.split_first().ok_or(CannotOpen)?;
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_LEN>().ok_or(CannotOpen)?;
        if *version != VERSION {
            return Err(CannotOpen);
        }
        let mut opened = Zeroizing::new(ciphertext.to_vec());
        let length = self
            .key
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(purpose), &mut opened)
            .map_err(|_| CannotOpen)?
            .len();
        opened.truncate(length);
        Ok(opened)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret_box() -> SecretBox {
        let key = MasterKey::new([7; 32]);
        SecretBox::new(&key, Random::default()).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_for_its_purpose_only() {
        let sealed = secret_box().seal("a", b"secret").unwrap();
        assert_eq!(secret_box().open("a", &sealed).unwrap().as_slice(), b"secret");
        assert!(secret_box().open("b", &sealed).is_err());
        for length in 0..sealed.len() {
            assert!(secret_box().open("a", &sealed[..length]).is_err());
        }
        let mut altered = sealed;
        altered[20] ^= 1;
        assert!(secret_box().open("a", &altered).is_err());
    }
}
