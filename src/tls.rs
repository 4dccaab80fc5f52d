//! The server's certificate and its private key, from PEM files: TLS 1.2 and 1.3 by rustls, with the cryptography of
//! aws-lc.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use crate::config::TlsFiles;

/// The pair that clients are shown, and the files that it is read from.
pub struct Certificate {
    files: TlsFiles,
    shown: RwLock<Arc<CertifiedKey>>,
}

/// The pair cannot be used. Each names the setting and the file, and says how to mend it.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("`{0}`: cannot read {1}: {2}")]
    File(&'static str, String, io::Error),
    /// Others can read the private key.
    #[error("`server.tls_key`: others can read {0}; run `chmod o= {0}`, and replace the key if somebody did")]
    Exposed(String),
    /// A file is not PEM, or has nothing of what it should have.
    #[error("`{0}`: {1} is no PEM file with {2}: {reason}", reason = fault(.3))]
    Malformed(&'static str, String, &'static str, PemError),
    /// They are no pair, or of a kind that is not supported.
    #[error("{cert} (`server.tls_cert`, the server's own first) and {key} (`server.tls_key`) are no pair: {why}")]
    Pair {
        /// The certificate's file.
        cert: String,
        /// The private key's file.
        key: String,
        /// What is wrong.
        why: rustls::Error,
    },
}

const CERT: &str = "server.tls_cert";
const KEY: &str = "server.tls_key";

impl Certificate {
    /// Reads the pair.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        Ok(Self { files: files.clone(), shown: RwLock::new(Arc::new(read_pair(files)?)) })
    }

    /// Reads the files again. Connections from now on are shown the new pair; others go on.
    ///
    /// # Errors
    /// See [`TlsError`]; then the old pair is shown as before.
    pub fn reload(&self) -> Result<(), TlsError> {
        let pair = Arc::new(read_pair(&self.files)?);
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) = pair;
        Ok(())
    }

    /// How connections are accepted.
    ///
    /// # Errors
    /// The library has no version or cipher in common with itself.
    pub fn server_config(self: Arc<Self>) -> Result<ServerConfig, TlsError> {
        let (cert, key) = (shown(&self.files.cert), shown(&self.files.key));
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|why| TlsError::Pair { cert, key, why })?;
        Ok(config.with_no_client_auth().with_cert_resolver(self))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.shown.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("files", &self.files).finish_non_exhaustive()
    }
}

fn read_pair(files: &TlsFiles) -> Result<CertifiedKey, TlsError> {
    let cert = read_file(CERT, &files.cert)?;
    let malformed = |error| TlsError::Malformed(CERT, shown(&files.cert), "a certificate", error);
    let chain = certificates(&cert).map_err(malformed)?;
    let key = PrivateKeyDer::from_pem_slice(&read_file(KEY, &files.key)?)
        .map_err(|error| TlsError::Malformed(KEY, shown(&files.key), "a private key that is not encrypted", error))?;
    let pair = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider());
    pair.map_err(|why| TlsError::Pair { cert: shown(&files.cert), key: shown(&files.key), why })
}

/// The certificates of a PEM file, of which there is one at least; whatever else is in it is passed over.
///
/// # Errors
/// There is none, or the file is damaged.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>()?;
    if found.is_empty() { Err(PemError::NoItemsFound) } else { Ok(found) }
}

/// What is wrong with a PEM file. The library's own words print the line at fault as a list of byte values.
#[must_use]
pub fn fault(error: &PemError) -> String {
    match error {
        PemError::NoItemsFound => "there is none in it".to_owned(),
        PemError::MissingSectionEnd { .. } => "a line `-----END` is missing".to_owned(),
        PemError::IllegalSectionStart { .. } => "a line `-----BEGIN` is malformed".to_owned(),
        other => other.to_string(),
    }
}

fn read_file(setting: &'static str, path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let failed = |error| TlsError::File(setting, shown(path), error);
    let mut file = File::open(path).map_err(failed)?;
    // Of the file that is open: its name may mean another one a moment later. A group may read it, as distributions do
    // it.
    if setting == KEY && file.metadata().map_err(failed)?.permissions().mode() & 0o007 != 0 {
        return Err(TlsError::Exposed(shown(path)));
    }
    let mut content = Zeroizing::new(Vec::new());
    file.read_to_end(&mut content).map_err(failed)?;
    Ok(content)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
