//! `server.tls_cert` and `server.tls_key`: the server's own certificate.

use std::path::PathBuf;

use super::parse;
use super::settings::{ConfigError, Settings};

/// The PEM files of a certificate and its private key.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// `server.tls_cert`: the certificate, and behind it those that lead from it to its root.
    pub cert: PathBuf,
    /// `server.tls_key`
    pub key: PathBuf,
}

impl TlsFiles {
    pub(super) fn take(settings: &mut Settings) -> Result<Option<Self>, ConfigError> {
        let allowed = "the path of a PEM file, or \"\" for none";
        let cert = settings.take("server.tls_cert", "", allowed, parse::optional::<PathBuf>)?;
        let key = settings.take("server.tls_key", "", allowed, parse::optional::<PathBuf>)?;
        settings.ensure(cert.is_some() || key.is_none(), "server.tls_cert", "there where `server.tls_key` is")?;
        settings.ensure(key.is_some() || cert.is_none(), "server.tls_key", "there where `server.tls_cert` is")?;
        Ok(cert.zip(key).map(|(cert, key)| Self { cert, key }))
    }
}
