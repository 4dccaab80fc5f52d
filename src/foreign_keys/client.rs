//! The only requests that Jeton itself makes: what an issuer's keys are, by OpenID Connect Discovery.
//!
//! Who may name an issuer decides where they go. So they go over TLS, to addresses of the Internet, without a redirect,
//! a proxy, a cookie or a credential, and little is read of what comes back.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use chrono::TimeDelta;
use ipnet::IpNet;
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::Error as PemError;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::Agent;
use ureq::config::Config as AgentConfig;
use ureq::http::header::{CACHE_CONTROL, HeaderMap};
use ureq::http::{StatusCode, Uri};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use url::Url;

use super::cache::KeySet;
use crate::config::Workload;
use crate::domain::issuer_url::IssuerUrl;
use crate::domain::public_address::is_public;
use crate::telemetry::VERSION;
use crate::tls::{certificates, fault};
use crate::tokens::foreign::ForeignKey;

/// The longest that one document may take: connection, handshake, answer.
const TIME_LIMIT: Duration = Duration::from_millis(2_400);

/// The longest document that is read; the longest known is a third of it.
const SIZE_LIMIT: u64 = 64 * 1024;

/// As many keys of an issuer are kept.
const MOST_KEYS: usize = 64;

/// Asks other issuers for their keys.
pub(super) struct Client {
    allowed: Vec<IpNet>,
    own: Vec<Certificate<'static>>,
    /// Made by the first fetch: the system's certificates are not read where there is no trusted issuer.
    agent: OnceLock<Agent>,
}

/// Keys of other issuers cannot be fetched at all.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The file of certificates.
    #[error("`workload.ca_file`: cannot read {}: {reason}", .path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No thread.
    #[error("cannot start fetching the keys of trusted issuers")]
    Start,
}

/// Why an issuer's keys were not fetched: for the log alone.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("{0}: {1}")]
    Http(String, ureq::Error),
    #[error("{0}: answered {1}")]
    Status(String, StatusCode),
    #[error("{0}: {1}")]
    Json(String, serde_json::Error),
    #[error("its metadata are those of the issuer `{}`", .0.escape_debug())]
    OtherIssuer(String),
    #[error("its `jwks_uri` is no https URL")]
    KeysElsewhere,
}

#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<Value>,
}

impl Client {
    /// A client by this configuration.
    ///
    /// # Errors
    /// [`ClientError::CaFile`].
    pub(super) fn new(config: &Workload) -> Result<Self, ClientError> {
        let own = own_authorities(config)?;
        Ok(Self { allowed: config.allowed_networks.clone(), own, agent: OnceLock::new() })
    }

    /// Fetches an issuer's keys. It takes at most twice [`TIME_LIMIT`], and as long as the system takes to look names
    /// up.
    pub(super) fn fetch(&self, issuer: &IssuerUrl) -> Result<KeySet, FetchError> {
        let (metadata, _) = self.document::<Metadata>(issuer.discovery())?;
        if metadata.issuer != issuer.as_str() {
            return Err(FetchError::OtherIssuer(metadata.issuer));
        }
        let jwks_uri = Url::parse(&metadata.jwks_uri).ok().filter(|url| url.scheme() == "https");
        let (jwks, headers) = self.document::<Jwks>(jwks_uri.ok_or(FetchError::KeysElsewhere)?.into())?;
        let keys = jwks.keys.into_iter().filter_map(ForeignKey::read).take(MOST_KEYS).collect();
        Ok(KeySet::new(keys, max_age(&headers)))
    }

    fn document<T: DeserializeOwned>(&self, url: String) -> Result<(T, HeaderMap), FetchError> {
        let http = |error| FetchError::Http(url.clone(), error);
        let (parts, body) = self.agent().get(&url).call().map_err(http)?.into_parts();
        // With a redirect too: it could lead anywhere.
        if parts.status != StatusCode::OK {
            return Err(FetchError::Status(url, parts.status));
        }
        let read = body.into_with_config().limit(SIZE_LIMIT).read_to_vec().map_err(http)?;
        let document = serde_json::from_slice(&read).map_err(|error| FetchError::Json(url, error))?;
        Ok((document, parts.headers))
    }

    fn agent(&self) -> &Agent {
        self.agent.get_or_init(|| {
            let config = AgentConfig::builder()
                .tls_config(believing(&self.own))
                .https_only(true)
                .proxy(None)
                .max_redirects(0)
                .http_status_as_error(false)
                .timeout_global(Some(TIME_LIMIT))
                .max_response_header_size(16 * 1024)
                // Each fetch looks the name up anew, and connects to what it was told.
                .max_idle_connections(0)
                .user_agent(format!("jeton/{VERSION}"))
                .accept("application/json")
                .build();
            Agent::with_parts(config, DefaultConnector::default(), PublicAddresses(self.allowed.clone()))
        })
    }
}

/// Looks a name up, and leaves out what is not to be reached through us. The connection is made to these very
/// addresses, so that a name which means something else a moment later (DNS rebinding) gains nothing.
#[derive(Debug)]
struct PublicAddresses(Vec<IpNet>);

impl PublicAddresses {
    fn may_be_called(&self, address: IpAddr) -> bool {
        is_public(address) || self.0.iter().any(|network| network.contains(&address))
    }
}

impl Resolver for PublicAddresses {
    fn resolve(&self, uri: &Uri, _: &AgentConfig, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let name = uri.scheme().zip(uri.authority()).and_then(|(s, a)| DefaultResolver::host_and_port(s, a));
        let found: Vec<SocketAddr> = name.ok_or(ureq::Error::HostNotFound)?.to_socket_addrs()?.collect();
        let mut public = self.empty();
        for address in found.iter().filter(|address| self.may_be_called(address.ip())).take(16) {
            public.push(*address);
        }
        match (public.first(), found.first()) {
            (Some(_), _) => Ok(public),
            (None, Some(private)) => Err(ureq::Error::Io(std::io::Error::other(format!(
                "{} is no public address; `workload.allowed_networks` allows it",
                private.ip()
            )))),
            (None, None) => Err(ureq::Error::HostNotFound),
        }
    }
}

/// The certificate authorities that are believed besides the system's.
///
/// # Errors
/// [`ClientError::CaFile`].
pub fn own_authorities(config: &Workload) -> Result<Vec<Certificate<'static>>, ClientError> {
    config.ca_file.as_ref().map_or_else(|| Ok(Vec::new()), |path| read_certificates(path))
}

/// TLS as a client, which believes the system's certificate authorities, and these.
#[must_use]
pub fn believing(own: &[Certificate<'static>]) -> TlsConfig {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a certificate authority of the system cannot be read");
    }
    let system = found.certs.iter().map(|der| Certificate::from_der(der).to_owned());
    let roots: Vec<_> = system.chain(own.iter().cloned()).collect();
    TlsConfig::builder()
        .unversioned_rustls_crypto_provider(aws_lc_rs::default_provider().into())
        .root_certs(RootCerts::new_with_certs(&roots))
        .build()
}

/// The certificates of a file, each of them tried: our client passes over one that is damaged, and the first sign of it
/// would be a workload that is refused.
fn read_certificates(path: &Path) -> Result<Vec<Certificate<'static>>, ClientError> {
    let failed = |reason: String| ClientError::CaFile { path: path.to_owned(), reason };
    let pem = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    let found = certificates(&pem).map_err(|error| match error {
        PemError::NoItemsFound => failed("there is no certificate in it".to_owned()),
        damaged => failed(format!("it is damaged: {}", fault(&damaged))),
    })?;
    let mut roots = RootCertStore::empty();
    for (number, certificate) in (1..).zip(&found) {
        let added = roots.add(certificate.clone());
        added.map_err(|_| failed(format!("certificate {number} in it is damaged")))?;
    }
    Ok(found.iter().map(|der| Certificate::from_der(der).to_owned()).collect())
}

/// For how long an answer may be used (RFC 9111 section 5.2.2.1).
fn max_age(headers: &HeaderMap) -> Option<TimeDelta> {
    let directives = headers.get(CACHE_CONTROL)?.to_str().ok()?;
    let seconds = directives.split(',').find_map(|directive| directive.trim().strip_prefix("max-age="))?;
    TimeDelta::try_seconds(seconds.parse().ok()?)
}
