//! Configuration: file and environment, parsed once into domain types (contract section 2).

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::TimeDelta;
use ipnet::IpNet;

pub use self::password::{Argon2Cost, Password};
pub use self::revocations::Revocations;
pub use self::settings::{ConfigError, Setting, Source};
use self::settings::{MASTER_KEY, Settings};
pub use self::tls::TlsFiles;
pub use self::values::{DatabaseUrl, MasterKey, OfferedAudience, Origin, PublicUrl, Unfit};
pub use self::workload::Workload;
use crate::domain::{Algorithm, Refusal};
use crate::profile::Profile;

mod parse;
mod password;
mod revocations;
mod settings;
mod tls;
mod values;
mod workload;

/// The effective configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// `server.*`
    pub server: Server,
    /// `database.*`
    pub database: Database,
    /// `keys.*`
    pub keys: Keys,
    /// `tokens.*`
    pub tokens: Tokens,
    /// `jwks.*`
    pub jwks: Jwks,
    /// `revocations.*`
    pub revocations: Revocations,
    /// `password.*`
    pub password: Password,
    /// `login.*`
    pub login: Login,
    /// `audit.*`
    pub audit: Audit,
    /// `workload.*`
    pub workload: Workload,
    /// `profile`, read from its file.
    pub profile: Arc<Profile>,
    settings: Vec<Setting>,
}

/// Listeners, and what is believed about requests.
#[derive(Debug, Clone)]
pub struct Server {
    /// The address to listen on; with port 0 the system chooses one.
    pub bind: SocketAddr,
    /// Where clients reach this server; the issuer of its tokens.
    pub public_url: PublicUrl,
    /// The number of worker threads.
    pub workers: usize,
    /// The peers whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The origins that may call with credentials.
    pub allowed_origins: Vec<Origin>,
    /// The address of `/metrics`, where it is on.
    pub metrics_bind: Option<SocketAddr>,
    /// The server's certificate, where it speaks TLS itself.
    pub tls: Option<TlsFiles>,
}

/// The database.
#[derive(Debug, Clone)]
pub struct Database {
    /// Where the data is.
    pub url: DatabaseUrl,
}

/// The master key and the signing keys.
#[derive(Debug, Clone)]
pub struct Keys {
    /// The directory of `master.key` and of imported keys.
    pub dir: PathBuf,
    /// The master key, where the environment gives it.
    pub master_key: Option<MasterKey>,
    /// The algorithm of new signing keys, unless an audience asks for another.
    pub algorithm: Algorithm,
    /// The age at which a signing key is followed by another; `None`: by hand only.
    pub rotate_every: Option<TimeDelta>,
}

/// The lifetimes and audiences of tokens.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// The lifetime of an access token from a login or a refresh.
    pub access_ttl: TimeDelta,
    /// The lifetime of a refresh token, from the refresh that issued it.
    pub refresh_ttl: TimeDelta,
    /// The lifetime of a session from its login, whatever was refreshed (security rule 10).
    pub session_ttl: TimeDelta,
    /// How long the predecessor of a refresh token still gets the same successor; zero: not at all.
    pub refresh_grace: TimeDelta,
    /// The lifetime of an exchanged token, where the request names none.
    pub exchange_ttl: TimeDelta,
    /// The longest lifetime that an exchange may ask for.
    pub exchange_ttl_max: TimeDelta,
    /// The audiences that this server may issue for; never empty, the first is the default.
    pub audience: Vec<OfferedAudience>,
}

/// The published key set.
#[derive(Debug, Clone)]
pub struct Jwks {
    /// How long verifiers may cache it.
    pub max_age: TimeDelta,
}

/// Limits on failed logins.
#[derive(Debug, Clone)]
pub struct Login {
    /// Consecutive failures after which an account's logins are delayed.
    pub account_failures: u32,
    /// Failures per 10 minutes from one address after which it is refused; `None`: never.
    pub address_failures: Option<u32>,
}

/// The audit log.
#[derive(Debug, Clone)]
pub struct Audit {
    /// The age at which its lines are forgotten; `None`: never.
    pub keep: Option<TimeDelta>,
}

/// The profile where none is named.
const DEFAULT_PROFILE: &str = "default";

/// Ten years: longer than anything here should live, and far from any overflow.
const LONGEST: i64 = 3_650 * 86_400;

impl Config {
    /// Reads the configuration: the file given, or `jeton.toml` in the working directory if it is
    /// there, and over it the environment.
    ///
    /// # Errors
    /// A file that is missing or broken, an unknown key, a bad value: each error names it.
    pub fn load(file: Option<&Path>, env: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let mut settings = Settings::read(file, env)?;
        let server = Server::take(&mut settings)?;
        let database = Database::take(&mut settings)?;
        let keys = Keys::take(&mut settings)?;
        let tokens = Tokens::take(&mut settings)?;
        let jwks = Jwks::take(&mut settings)?;
        let revocations = Revocations::take(&mut settings)?;
        let password = Password::take(&mut settings)?;
        let login = Login::take(&mut settings)?;
        let audit = Audit::take(&mut settings)?;
        let workload = Workload::take(&mut settings)?;
        let allowed = "the path of a profile, or the name of a built-in one";
        let profile = settings.take("profile", DEFAULT_PROFILE, allowed, profile_name)?;
        let profile = Arc::new(Profile::load(&profile)?);

        settings.ensure(
            keys.rotate_every.is_none_or(|age| age > jwks.max_age * 2),
            "keys.rotate_every",
            "more than twice `jwks.max_age`, for so long is a new key published before it signs",
        )?;
        let settings = settings.finish()?;
        Ok(Self {
            server,
            database,
            keys,
            tokens,
            jwks,
            revocations,
            password,
            login,
            audit,
            workload,
            profile,
            settings,
        })
    }

    /// Whether nobody said which database to use: only then does the first start make an account.
    #[must_use]
    pub fn is_bare(&self) -> bool {
        self.source("database.url") == Some(&Source::Default)
    }

    /// The configuration once the server listens: where the port was left to the system, the default
    /// public URL names the one that it chose.
    #[must_use]
    pub fn listening_on(mut self, address: SocketAddr) -> Self {
        if self.server.bind.port() == 0 && self.source("server.public_url") == Some(&Source::Default) {
            self.server.public_url = PublicUrl::of(address, self.server.tls.is_some());
        }
        self
    }

    /// The algorithms that tokens are signed with: one signing key for each is active.
    #[must_use]
    pub fn algorithms(&self) -> BTreeSet<Algorithm> {
        self.tokens.audience.iter().map(|audience| audience.algorithm.unwrap_or(self.keys.algorithm)).collect()
    }

    /// The longest life of anything that is signed: for so long its key stays published.
    #[must_use]
    pub fn longest_signed(&self) -> TimeDelta {
        self.tokens.longest().max(self.revocations.life())
    }

    /// Every key with its value, secrets masked, and where it came from.
    #[must_use]
    pub fn provenance(&self) -> &[Setting] {
        &self.settings
    }

    fn source(&self, key: &str) -> Option<&Source> {
        self.settings.iter().find(|setting| setting.key == key).map(|setting| &setting.source)
    }
}

/// The environment of this process. What is not Unicode is replaced, so that it fails where it is parsed.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
}

impl Tokens {
    /// The longest lifetime of an access token.
    #[must_use]
    pub fn longest(&self) -> TimeDelta {
        self.access_ttl.max(self.exchange_ttl_max)
    }

    /// The lifetime of an exchanged token: the one asked for, refused over the maximum, never clamped.
    ///
    /// # Errors
    /// [`Refusal::ValidationFailed`].
    pub fn exchange_lifetime(&self, asked: Option<TimeDelta>) -> Result<TimeDelta, Refusal> {
        let lifetime = asked.unwrap_or(self.exchange_ttl);
        if (TimeDelta::seconds(1)..=self.exchange_ttl_max).contains(&lifetime) {
            return Ok(lifetime);
        }
        Err(Refusal::invalid("expires_in", format!("must be 1 to {} seconds", self.exchange_ttl_max.num_seconds())))
    }
}

impl Server {
    fn take(settings: &mut Settings) -> Result<Self, ConfigError> {
        let address = "an IP address and a port, like 127.0.0.1:8080";
        let bind = settings.take("server.bind", "127.0.0.1:8080", address, parse::text::<SocketAddr>)?;
        let tls = TlsFiles::take(settings)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            bind,
            public_url: settings.take(
                "server.public_url",
                PublicUrl::of(bind, tls.is_some()).to_string(),
                "an http or https URL without query, fragment and trailing slash",
                parse::text::<PublicUrl>,
            )?,
            workers: settings.take("server.workers", cores.to_string(), "a number from 1 to 1024", |raw| {
                parse::number(raw, 1..=1024)
            })?,
            trusted_proxies: settings.take(
                "server.trusted_proxies",
                "",
                "a list of networks like [\"10.0.0.0/8\"]",
                parse::networks,
            )?,
            allowed_origins: settings.take(
                "server.allowed_origins",
                "",
                "a list of exact origins like [\"https://app.example\"], in lower case, without a path",
                parse::texts::<Origin>,
            )?,
            metrics_bind: settings.take(
                "server.metrics_bind",
                "127.0.0.1:9464",
                &format!("{address}, or \"\" for none"),
                parse::optional::<SocketAddr>,
            )?,
            tls,
        })
    }
}

impl Database {
    fn take(settings: &mut Settings) -> Result<Self, ConfigError> {
        let allowed =
            "sqlite://PATH or postgres://USER:PASSWORD@HOST/NAME (percent-encode `/`, `?` and `@` in the password)";
        let url = settings.take("database.url", "sqlite://data/jeton.db", allowed, parse::text::<DatabaseUrl>)?;
        Ok(Self { url })
    }
}

impl Keys {
    fn take(settings: &mut Settings) -> Result<Self, ConfigError> {
        Ok(Self {
            dir: settings.take("keys.dir", "keys", "a directory", parse::path)?,
            master_key: settings.take(MASTER_KEY, "", "32 random bytes in base64", parse::optional::<MasterKey>)?,
            algorithm: settings.take("keys.algorithm", "ES256", "ES256, EdDSA or RS256", parse::text::<Algorithm>)?,
            rotate_every: Some(lifetime(
                settings,
                "keys.rotate_every",
                "90d",
                0,
                "a duration like 90d, or 0 for never",
            )?)
            .filter(|age| !age.is_zero()),
        })
    }
}

impl Tokens {
    fn take(settings: &mut Settings) -> Result<Self, ConfigError> {
        let any = "a duration of whole seconds like 30m, from 1s to 3650d";
        let tokens = Self {
            access_ttl: lifetime(settings, "tokens.access_ttl", "30m", 1, any)?,
            refresh_ttl: lifetime(settings, "tokens.refresh_ttl", "30d", 1, any)?,
            session_ttl: lifetime(settings, "tokens.session_ttl", "90d", 1, any)?,
            refresh_grace: settings
                .take("tokens.refresh_grace", "30s", "a duration of whole seconds from 0s to 60s", |raw| {
                    parse::lifetime(raw, 0..=60)
                })?
                .0,
            exchange_ttl: lifetime(settings, "tokens.exchange_ttl", "15m", 1, any)?,
            exchange_ttl_max: lifetime(settings, "tokens.exchange_ttl_max", "1h", 1, any)?,
            audience: settings.take(
                "tokens.audience",
                "api",
                "a list of distinct audiences like [\"api\", { name = \"edge\", algorithm = \"EdDSA\" }]",
                parse::audiences,
            )?,
        };
        let fit = tokens.exchange_ttl <= tokens.exchange_ttl_max;
        settings.ensure(fit, "tokens.exchange_ttl", "at most `tokens.exchange_ttl_max`")?;
        Ok(tokens)
    }
}

impl Jwks {
    fn take(settings: &mut Settings) -> Result<Self, ConfigError> {
        let allowed = "a duration of whole seconds like 5m, from 1s to 3650d";
        Ok(Self { max_age: lifetime(settings, "jwks.max_age", "5m", 1, allowed)? })
    }
}

impl Login {
    fn take(settings: &mut Settings) -> Result<Self, ConfigError> {
        Ok(Self {
            // At most 100 guesses in a row, whatever is configured (security rule 16).
            account_failures: settings
                .take("login.account_failures", "10", "a number from 1 to 100", |raw| parse::number(raw, 1..=100))?,
            address_failures: Some(settings.take(
                "login.address_failures",
                "100",
                "a number from 1 to 1000000, or 0 for no limit",
                |raw| parse::number(raw, 0..=1_000_000),
            )?)
            .filter(|&failures| failures != 0),
        })
    }
}

impl Audit {
    fn take(settings: &mut Settings) -> Result<Self, ConfigError> {
        let allowed = "a duration like 400d, or 0 for ever";
        Ok(Self { keep: Some(lifetime(settings, "audit.keep", "400d", 0, allowed)?).filter(|age| !age.is_zero()) })
    }
}

fn lifetime(
    settings: &mut Settings,
    key: &'static str,
    default: &str,
    least: i64,
    allowed: &str,
) -> Result<TimeDelta, ConfigError> {
    Ok(settings.take(key, default, allowed, |raw| parse::lifetime(raw, least..=LONGEST))?.0)
}

/// A variable that is set to nothing names no profile.
fn profile_name(raw: &settings::Raw) -> Result<String, Unfit> {
    let name = raw.text().ok_or(Unfit)?;
    Ok(if name.is_empty() { DEFAULT_PROFILE } else { name }.to_owned())
}

#[cfg(test)]
mod tests;
