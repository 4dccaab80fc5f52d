//! `jeton doctor`: is everything there that a server needs, and if not, how to mend it.

use std::process::ExitCode;
use std::time::Duration;

use jsonwebtoken::jwk::JwkSet;
use serde::Serialize;
use ureq::Agent;
use ureq::config::Config as AgentConfig;
use ureq::http::StatusCode;

use super::output::Output;
use super::{CliError, complain};
use crate::app::{API_KEYS, StartError, secret_purpose};
use crate::clock::Clock;
use crate::config::{Config, ConfigError, DatabaseUrl};
use crate::db::{Db, DbConnection, DbError, master_keys, migrations, secrets, signing_keys};
use crate::domain::signing_key::KeyState;
use crate::domain::{Algorithm, Timestamp};
use crate::foreign_keys::{believing, own_authorities};
use crate::random::Random;
use crate::tls::Certificate;
use crate::tokens::key_file;
use crate::tokens::keyring::Keyring;
use crate::tokens::master_key_file::{self, MasterKeyError};
use crate::tokens::secret_box::{SecretBox, fingerprint};

/// The server itself answers in microseconds.
const PATIENCE: Duration = Duration::from_secs(3);

/// Far more than any key set of ours.
const SIZE_LIMIT: u64 = 1 << 20;

/// 2026-01-01: no build of Jeton is older.
const FIRST_MOMENT: i64 = 1_767_225_600;

/// A check and how it ended.
#[derive(Serialize)]
struct Check {
    name: &'static str,
    result: &'static str,
    detail: String,
}

/// What was found, or what is wrong and how to mend it.
type Finding = Result<String, String>;

/// Checks everything, in the order in which one thing needs another.
pub async fn run(config: Result<Config, ConfigError>, output: Output) -> Result<ExitCode, CliError> {
    let checks = match config {
        Ok(config) => examine(&config).await,
        Err(error) => vec![check("configuration", Err(error.to_string()))],
    };
    let failed: Vec<_> = checks.iter().filter(|check| check.result != "ok").map(|check| check.name).collect();
    output.list(checks, &["result", "name", "detail"])?;
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    complain(&format!("not as it should be: {}; each line says how to mend it", failed.join(", ")));
    Ok(ExitCode::FAILURE)
}

async fn examine(config: &Config) -> Vec<Check> {
    let set = config.provenance().iter().filter(|setting| setting.source != crate::config::Source::Default).count();
    let now = Clock::from_env().now().into();
    let db = open(config).await;
    let master_key = master_key(config, &db).await;
    let master_key_detail = master_key.as_ref().map(|(_, detail)| detail.clone()).map_err(Clone::clone);
    let secrets = master_key.map(|(secrets, _)| secrets);
    let keys = signing_keys(config, &db, &secrets).await;
    vec![
        check("configuration", Ok(format!("{set} of {} keys are set", config.provenance().len()))),
        check("database", db.as_ref().map(|_| config.database.url.to_string()).map_err(Clone::clone)),
        check("migrations", applied(&db).await),
        check("master key", master_key_detail),
        check("clock", clock(&db, now).await),
        check("signing keys", keys.as_ref().map(|kids| format!("{} active", kids.len())).map_err(Clone::clone)),
        check("TLS", tls(config)),
        check("certificate authorities", authorities(config)),
        check("JWKS", reachable(config, &keys.unwrap_or_default())),
    ]
}

fn check(name: &'static str, finding: Finding) -> Check {
    let result = if finding.is_ok() { "ok" } else { "FAIL" };
    let detail = finding.unwrap_or_else(|what| what);
    Check { name, result, detail: detail.split_whitespace().collect::<Vec<_>>().join(" ") }
}

/// Opens the database without making one.
async fn open(config: &Config) -> Result<Db, String> {
    if let DatabaseUrl::Sqlite(path) = &config.database.url
        && !path.exists()
    {
        return Err(format!("there is no {}; `jeton migrate` makes it, or mend `database.url`", path.display()));
    }
    let db = Db::open(&config.database.url, 1).map_err(|error| error.to_string())?;
    let answered: Result<(), DbError> = db.read(|_| Ok(())).await;
    answered.map_err(|error| format!("{error}; is it running, and is `database.url` right?"))?;
    Ok(db)
}

async fn applied(db: &Result<Db, String>) -> Finding {
    let db = db.as_ref().map_err(|_| "unknown without the database".to_owned())?;
    match db.write(migrations::pending).await {
        Ok(pending) if pending.is_empty() => Ok("all are applied".to_owned()),
        Ok(pending) => Err(format!("{} pending; run `jeton migrate`", pending.len())),
        Err(error) => Err(error.to_string()),
    }
}

/// Reads the master key, and opens something with it that was encrypted before.
async fn master_key(config: &Config, db: &Result<Db, String>) -> Result<(SecretBox, String), String> {
    let stored = match db {
        Ok(db) => {
            let look = |connection: &mut DbConnection| {
                Ok::<_, DbError>((secrets::find(connection, API_KEYS)?, master_keys::list(connection)?))
            };
            db.read(look).await
        }
        Err(_) => Ok((None, Vec::new())),
    };
    // Without the tables nothing is sealed yet.
    let (sealed, rows) = stored.unwrap_or_default();
    let key = match master_key_file::configured(&config.keys) {
        Err(MasterKeyError::Missing(file)) if sealed.is_some() => {
            return Err(StartError::MasterKeyLost(file).to_string());
        }
        other => other.map_err(|error| error.to_string())?,
    };
    let secrets = SecretBox::new(&key, Random::default()).map_err(|error| error.to_string())?;
    let opened = secrets
        .learn(&rows)
        .and_then(|()| sealed.map_or(Ok(()), |sealed| secrets.open(&secret_purpose(API_KEYS), &sealed).map(drop)));
    opened.map_err(|_| StartError::MasterKeyWrong.to_string())?;
    let (here, current) = (fingerprint(&key), secrets.seals_under());
    let detail = match rows.iter().find(|row| row.successor.is_some()) {
        None => format!("{here} belongs to the database"),
        Some(_) if here == current => format!(
            "{here} belongs to the database; the one before it is still read: `jeton master-key finish` once all servers have this one"
        ),
        Some(_) => format!("{here} is still read; `jeton master-key install` puts {current} in its place"),
    };
    let left: Vec<_> =
        master_key_file::drafts(&config.keys.dir).iter().map(|file| file.display().to_string()).collect();
    let note = match left.as_slice() {
        [] => String::new(),
        files => format!("; {} was left by a command that was killed: remove it", files.join(", ")),
    };
    Ok((secrets, detail + &note))
}

/// A clock that is behind what it said before makes tokens that are not valid yet, or never end.
async fn clock(db: &Result<Db, String>, now: Timestamp) -> Finding {
    let keys = match db {
        Ok(db) => db.read(|connection| signing_keys::list(connection).map_err(DbError::from)).await.unwrap_or_default(),
        Err(_) => Vec::new(),
    };
    let behind = now.seconds() < FIRST_MOMENT || keys.iter().any(|key| key.info.created_at > now);
    if behind { Err(format!("{now} lies in the past; set the clock, best by NTP")) } else { Ok(now.to_string()) }
}

/// The names of the keys that sign.
async fn signing_keys(
    config: &Config,
    db: &Result<Db, String>,
    secrets: &Result<SecretBox, String>,
) -> Result<Vec<String>, String> {
    let (Ok(db), Ok(secrets)) = (db, secrets) else {
        return Err("unknown without the database and the master key".to_owned());
    };
    let rows = db.read(|connection| signing_keys::list(connection).map_err(DbError::from)).await;
    let keyring = Keyring::read(&rows.map_err(|error| error.to_string())?, secrets);
    // A server does not start with a file that is wrong.
    key_file::read_folder(&config.keys.dir).map_err(|error| error.to_string())?;
    let keys = keyring.map_err(|error| error.to_string())?.keys();
    let is_there = |algorithm: &Algorithm| {
        // Where the algorithm was changed the new key waits, and another one signs meanwhile.
        keys.iter().any(|key| key.algorithm == *algorithm && matches!(key.state, KeyState::Active | KeyState::Pending))
    };
    if let Some(kid) = keys.damaged().next() {
        return Err(format!("{kid} is damaged; put its row back from a backup, or `jeton signing-key revoke {kid}`"));
    }
    if let Some(missing) = config.algorithms().iter().find(|algorithm| !is_there(algorithm)) {
        return Err(format!("none is active for {missing}; `jeton serve` makes one at its start"));
    }
    let active: Vec<_> = keys.iter().filter(|key| key.state == KeyState::Active).map(|key| key.kid.clone()).collect();
    if active.is_empty() { Err("none is active; `jeton serve` lets one sign".to_owned()) } else { Ok(active) }
}

fn tls(config: &Config) -> Finding {
    match &config.server.tls {
        None => Ok("none here; a proxy speaks it".to_owned()),
        Some(files) => Certificate::read(files).map(|_| files.cert.display().to_string()).map_err(|e| e.to_string()),
    }
}

fn authorities(config: &Config) -> Finding {
    let own = own_authorities(&config.workload).map_err(|error| error.to_string())?;
    Ok(match own.len() {
        0 => "the system's are believed".to_owned(),
        several => format!("the system's are believed, and {several} of `workload.ca_file`"),
    })
}

/// Fetches the key set as a downstream service would that believes the same authorities.
fn reachable(config: &Config, kids: &[String]) -> Finding {
    const START: &str = "start `jeton serve`, or mend `server.public_url`";
    let url = format!("{}/.well-known/jwks.json", config.server.public_url.issuer());
    let (status, body) = fetch(config, &url).map_err(|error| {
        let remedy = if is_certificate(&error) { "mend the certificate that is shown there" } else { START };
        format!("{url}: {error}; {remedy}")
    })?;
    if status != StatusCode::OK {
        return Err(format!("{url} answers {status}; {START}"));
    }
    let Ok(keys) = serde_json::from_slice::<JwkSet>(&body) else {
        return Err(format!("{url} shows no key set: it is not Jeton that answers; {START}"));
    };
    if kids.iter().all(|kid| keys.find(kid).is_some()) {
        Ok(url)
    } else {
        Err(format!("{url} shows other keys than this database has; mend `server.public_url` or `server.bind`"))
    }
}

fn fetch(config: &Config, url: &str) -> Result<(StatusCode, Vec<u8>), ureq::Error> {
    // Where they cannot be read, that has a check of its own.
    let own = own_authorities(&config.workload).unwrap_or_default();
    let asking = AgentConfig::builder()
        .tls_config(believing(&own))
        .proxy(None)
        .max_redirects(0)
        .http_status_as_error(false)
        .timeout_global(Some(PATIENCE));
    let (parts, body) = Agent::new_with_config(asking.build()).get(url).call()?.into_parts();
    Ok((parts.status, body.into_with_config().limit(SIZE_LIMIT).read_to_vec()?))
}

/// Whether the way there ends at a certificate that is expired, for another name, or of nobody who is known.
fn is_certificate(error: &ureq::Error) -> bool {
    let ureq::Error::Io(error) = error else { return false };
    let of_tls = error.get_ref().and_then(|error| error.downcast_ref());
    matches!(of_tls, Some(rustls::Error::InvalidCertificate(_)))
}
