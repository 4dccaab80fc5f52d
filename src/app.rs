//! Everything that a running Jeton consists of, put together once.

use std::net::SocketAddr;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::config::{Config, DatabaseUrl};
use crate::db::advances::Advances;
use crate::db::key_reader::KeyReader;
use crate::db::{Db, DbError, migrations, secrets, signing_keys};
use crate::domain::audit::AuditEvent;
use crate::domain::session::SessionLimits;
use crate::domain::{Actor, InstanceId, Refusal, Timestamp};
use crate::foreign_keys::{ClientError, ForeignKeys};
use crate::limits::RateLimits;
use crate::metrics::Metrics;
use crate::profile::Profile;
use crate::random::Random;
use crate::status_indexes::StatusIndexes;
use crate::tls::TlsError;
use crate::tokens::checkpoint::Checkpoints;
use crate::tokens::issuer::Issuer;
use crate::tokens::key_file::KeyFileError;
use crate::tokens::keyring::Keyring;
use crate::tokens::mac::{self, ApiKeyHasher, FailureHasher, FormSigner, RefreshTokenSigner};
use crate::tokens::master_key_file::MasterKeyError;
use crate::tokens::password_hasher::{HasherError, PasswordHasher};
use crate::tokens::secret_box::SecretBox;
use crate::tokens::signing_key::SigningKeyError;
use crate::tokens::status_list::StatusLists;
use crate::tokens::verifier::Verifier;
use crate::usage::Usage;

mod master_key;

/// The name of the secret that API keys are hashed under.
pub const API_KEYS: &str = "api-keys";

/// The name of the secret that refresh tokens are signed under.
const REFRESH_TOKENS: &str = "refresh-tokens";

/// The name of the secret that those who fail to log in are hashed under.
const FAILED_LOGINS: &str = "failed-logins";

/// A running Jeton. Doors hold it in an [`Arc`].
pub struct App {
    /// How it is set up.
    pub config: Config,
    /// Where the data is.
    pub db: Db,
    /// What time it is.
    pub clock: Clock,
    /// Where randomness comes from.
    pub random: Random,
    /// Encrypts what is stored and must not be read.
    pub secrets: Arc<SecretBox>,
    /// The signing keys.
    pub keyring: Keyring,
    /// Signs access tokens.
    pub issuer: Issuer,
    /// Checks our own access tokens.
    pub verifier: Verifier,
    /// Hashes passwords.
    pub hasher: PasswordHasher,
    /// Writes and recognises refresh tokens.
    pub refresh_tokens: RefreshTokenSigner,
    /// Writes and recognises the tokens of our own forms.
    pub forms: FormSigner,
    /// Hashes API keys.
    pub api_keys: ApiKeyHasher,
    /// Hashes those who fail to log in.
    pub failures: FailureHasher,
    /// The keys of other issuers.
    pub foreign_keys: ForeignKeys,
    /// Finds API keys by the hash of their secret.
    pub key_reader: KeyReader,
    /// Advances sessions to their next refresh tokens.
    pub advances: Advances,
    /// How the product's API authentication behaves.
    pub profile: Arc<Profile>,
    /// What API keys are used for.
    pub usage: Usage,
    /// How much API keys have used of their limits.
    pub limits: RateLimits,
    /// The places in the status lists that it may give away.
    pub status_indexes: StatusIndexes,
    /// What this server has seen signed about the audit log since its start: it never signs behind that, whatever the
    /// database says later.
    pub checkpoints: tokio::sync::Mutex<Checkpoints>,
    /// The status lists as they were last signed.
    pub status_lists: StatusLists,
    /// This server among those on the same database.
    pub instance: InstanceId,
    /// What is counted.
    pub metrics: Metrics,
}

/// Why Jeton cannot start. Each says how to mend it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database.
    #[error(transparent)]
    Database(#[from] DbError),
    /// PostgreSQL is migrated when its operator says so.
    #[error("{0} migrations are pending; run `jeton migrate`, or `jeton serve --migrate`")]
    MigrationsPending(usize),
    /// The master key.
    #[error(transparent)]
    MasterKey(#[from] MasterKeyError),
    /// The master key is gone, the database is not.
    #[error("the database was made with a master key, and there is no {0}; put the file back, or set JETON_MASTER_KEY")]
    MasterKeyLost(String),
    /// The master key is another database's.
    #[error(
        "this is not the master key that belongs to the database; put back its `master.key` into `keys.dir`, or set JETON_MASTER_KEY. If the master key was changed, here is the old one"
    )]
    MasterKeyWrong,
    /// A signing key.
    #[error(transparent)]
    SigningKey(#[from] SigningKeyError),
    /// A file with a signing key.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// Password hashing.
    #[error(transparent)]
    Hasher(#[from] HasherError),
    /// How other issuers are called.
    #[error(transparent)]
    ForeignKeys(#[from] ClientError),
    /// The certificate, or its key.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// An address to listen on, and the key that moves it.
    #[error("cannot listen on {1}: {2}; is another server there? `{0}` moves this one")]
    Listen(&'static str, SocketAddr, std::io::Error),
    /// The server ended by itself.
    #[error("the server ended: {0}")]
    Ended(std::io::Error),
    /// Anything else; the log has more.
    #[error("cannot start: {0}")]
    Other(#[from] Refusal),
}

impl From<StartError> for Refusal {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Database(error) => error.into(),
            StartError::Other(refusal) => refusal,
            other => {
                tracing::error!(error = %other, "a signing key cannot be made or read");
                Self::Internal
            }
        }
    }
}

/// What to do about migrations that are pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Migrate {
    /// Apply them, whichever database it is.
    Yes,
    /// Apply them on the embedded database; elsewhere refuse to start.
    Embedded,
}

impl App {
    /// Opens the database, brings it up to date, and reads or makes the secrets that everything rests on.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn open(config: Config, migrate: Migrate) -> Result<Arc<Self>, StartError> {
        let clock = Clock::from_env();
        let random = Random::default();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let readers = u32::try_from(config.server.workers.saturating_add(1)).unwrap_or(u32::MAX);

        let db = Db::open(&config.database.url, readers)?;
        ensure_migrated(&db, &config, migrate).await?;
        let now = clock.now().into();
        let secrets = master_key::open(&db, &config, &random, now).await?;
        let api_key_secret = ensure_secret(&db, &secrets, &random, API_KEYS, now).await?;
        let refresh_token_secret = ensure_secret(&db, &secrets, &random, REFRESH_TOKENS, now).await?;
        let failed_login_secret = ensure_secret(&db, &secrets, &random, FAILED_LOGINS, now).await?;
        let rows = db.read(|connection| signing_keys::list(connection).map_err(DbError::from)).await?;
        let keyring = Keyring::read(&rows, &secrets)?;

        Ok(Arc::new(Self {
            issuer: Issuer::new(&config, keyring.clone(), random.clone()),
            verifier: Verifier::new(&config, keyring.clone()),
            hasher: PasswordHasher::start(&config.password.argon2, cores, random.clone())?,
            refresh_tokens: RefreshTokenSigner::new(&refresh_token_secret),
            forms: FormSigner::new(&refresh_token_secret),
            api_keys: ApiKeyHasher::new(&api_key_secret),
            failures: FailureHasher::new(&failed_login_secret),
            foreign_keys: ForeignKeys::start(&config.workload)?,
            key_reader: KeyReader::new(db.clone())?,
            advances: Advances::new(db.clone()),
            profile: Arc::clone(&config.profile),
            usage: Usage::default(),
            limits: RateLimits::default(),
            status_indexes: StatusIndexes::default(),
            checkpoints: tokio::sync::Mutex::default(),
            status_lists: StatusLists::default(),
            instance: new_id(&random, now)?,
            metrics: Metrics::default(),
            config,
            db,
            clock,
            random,
            secrets: Arc::new(secrets),
            keyring,
        }))
    }

    /// This moment.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now().into()
    }

    /// A new id of any kind: a UUID version 7 (RFC 9562), so that ids made later sort later. It is a name, never a
    /// secret.
    ///
    /// # Errors
    /// [`Refusal::Internal`] without randomness.
    pub fn new_id<Id: From<uuid::Uuid>>(&self, now: Timestamp) -> Result<Id, Refusal> {
        new_id(&self.random, now)
    }

    /// Learns from the database which master key is in use, where that is being replaced.
    ///
    /// # Errors
    /// The one that this server has is out of use, or the database does not answer.
    pub async fn learn_master_keys(&self) -> Result<(), StartError> {
        master_key::learn(&self.db, &self.secrets).await
    }

    /// A line for the audit log: `actor` does `action` now.
    ///
    /// # Errors
    /// [`Refusal::Internal`] without randomness.
    pub fn event(&self, actor: &Actor, action: &'static str, now: Timestamp) -> Result<AuditEvent, Refusal> {
        Ok(AuditEvent::new(self.new_id(now)?, now, actor, action))
    }

    /// The spans that bound a session.
    #[must_use]
    pub fn session_limits(&self) -> SessionLimits {
        let tokens = &self.config.tokens;
        SessionLimits { refresh_ttl: tokens.refresh_ttl, session_ttl: tokens.session_ttl, grace: tokens.refresh_grace }
    }
}

fn new_id<Id: From<uuid::Uuid>>(random: &Random, now: Timestamp) -> Result<Id, Refusal> {
    let random = random.name()?;
    Ok(uuid::Builder::from_unix_timestamp_millis(now.millis(), &random).into_uuid().into())
}

async fn ensure_migrated(db: &Db, config: &Config, migrate: Migrate) -> Result<(), StartError> {
    if migrate == Migrate::Yes || matches!(config.database.url, DatabaseUrl::Sqlite(_)) {
        for version in db.write_unhurried(migrations::run).await? {
            tracing::info!(version, "migration applied");
        }
        return Ok(());
    }
    match db.write(migrations::pending).await?.len() {
        0 => Ok(()),
        pending => Err(StartError::MigrationsPending(pending)),
    }
}

/// What one of the server's own symmetric keys is sealed for.
pub(crate) fn secret_purpose(name: &str) -> String {
    format!("secret/{name}")
}

/// Reads one of the server's own symmetric keys, and makes it first where there is none. Of servers that start together
/// one makes it and all use that.
async fn ensure_secret(
    db: &Db,
    secrets: &SecretBox,
    random: &Random,
    name: &'static str,
    now: Timestamp,
) -> Result<Zeroizing<Vec<u8>>, StartError> {
    let purpose = secret_purpose(name);
    let find = async || db.read(move |connection| secrets::find(connection, name).map_err(DbError::from)).await;
    if find().await?.is_none() {
        let fresh = Zeroizing::new(random.bytes::<{ mac::KEY_LEN }>()?);
        let sealed = secrets.seal(&purpose, fresh.as_slice())?;
        let made = db.write(move |connection| Ok(secrets::insert(connection, name, &sealed, now)?)).await;
        match made {
            // Or another server made it first by a hair.
            Ok(()) | Err(DbError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let sealed = find().await?.ok_or(Refusal::Internal)?;
    if let Ok(opened) = secrets.open(&purpose, &sealed) {
        return Ok(opened);
    }
    // Or the master key was changed at this very moment.
    master_key::learn(db, secrets).await?;
    secrets.open(&purpose, &sealed).map_err(|_| StartError::MasterKeyWrong)
}
