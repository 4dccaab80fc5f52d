//! Signing keys that an operator brings: files with a PKCS #8 private key in PEM (RFC 5958, RFC 7468).

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::{fs, io};

use data_encoding::BASE64;
use zeroize::Zeroizing;

use super::master_key_file::is_exposed;
use super::signing_key::KeyPair;

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

/// A key pair out of a file.
pub struct KeyFile {
    /// The file's name, without its folder.
    pub name: String,
    /// The key pair.
    pub pair: KeyPair,
}

/// Why a file is no signing key, and how to mend it.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read.
    #[error("cannot read {0}: {1}")]
    File(String, io::Error),
    /// Others can read it.
    #[error("{0} can be read by others; run `chmod 600 {0}`, or make another key if somebody has")]
    Exposed(String),
    /// It needs a password, and a server has nobody to ask.
    #[error("{0} is encrypted; `openssl pkcs8 -in {0} -out FILE` decrypts it: put that in its place, or take it away")]
    Encrypted(String),
    /// It is something else.
    #[error(
        "{0} holds no PKCS #8 private key, or more than one; `openssl pkcs8 -topk8 -nocrypt -in {0} -out FILE` makes one of an older form: put that in its place, or take it away"
    )]
    NotPkcs8(String),
    /// It is a private key of another kind.
    #[error(
        "{0} is no key that may sign tokens: P-256, Ed25519 or RSA of 3072 to 8192 bits; make another one, or take it away"
    )]
    Unfit(String),
}

/// The keys of `folder/*.pem`, in the order of their names.
///
/// # Errors
/// See [`KeyFileError`]: one file that is wrong is an error, for whoever put it there counts on it.
pub fn read_folder(folder: &Path) -> Result<Vec<KeyFile>, KeyFileError> {
    let failed = |error| KeyFileError::File(folder.display().to_string(), error);
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>().map_err(failed)?;
    paths.retain(|path| path.extension() == Some(OsStr::new("pem")));
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

/// The key of one file.
///
/// # Errors
/// See [`KeyFileError`].
pub fn read(path: &Path) -> Result<KeyFile, KeyFileError> {
    let shown = path.display().to_string();
    if is_exposed(path) {
        return Err(KeyFileError::Exposed(shown));
    }
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(KeyFileError::NotPkcs8(shown)),
        text => Zeroizing::new(text.map_err(|error| KeyFileError::File(shown.clone(), error))?),
    };
    if text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") {
        return Err(KeyFileError::Encrypted(shown));
    }
    let der = pkcs8(&text).ok_or_else(|| KeyFileError::NotPkcs8(shown.clone()))?;
    let pair = KeyPair::from_pkcs8(&der).ok_or(KeyFileError::Unfit(shown))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(KeyFile { name, pair })
}

/// The one private key in a PEM file, whatever else is in it.
fn pkcs8(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let (_, rest) = text.split_once(BEGIN)?;
    let (body, rest) = rest.split_once(END)?;
    let body = Zeroizing::new(body.split_ascii_whitespace().collect::<String>());
    (!rest.contains(BEGIN)).then(|| BASE64.decode(body.as_bytes()).ok().map(Zeroizing::new))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_one_private_key() {
        let key = format!("{BEGIN}\nAA==\n{END}\n");
        assert_eq!(pkcs8(&format!("a comment\n{key}")).unwrap().as_slice(), [0]);
        for wrong in ["", "x", BEGIN, &format!("{key}{key}"), &format!("{BEGIN}\nA\n{END}")] {
            assert!(pkcs8(wrong).is_none(), "{wrong}");
        }
    }
}
