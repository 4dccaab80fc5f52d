//! The command line: a door like HTTP. It reads words, calls the rules, and prints what came of it.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, LazyLock};

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};

use crate::app::{App, Migrate, StartError};
use crate::config::{self, Config, ConfigError, DatabaseUrl};
use crate::db::DbError;
use crate::domain::Refusal;
use crate::manage::backup::BackupError;
use crate::manage::master_keys::MasterKeyChangeError;
use crate::manage::signing_keys::ImportError;
use crate::profile::ProfileError;
use crate::telemetry::{self, COMMIT, TelemetryError, VERSION};

use self::output::Output;

mod api_key;
mod audit;
mod configuration;
mod database;
mod doctor;
mod key_group;
mod master_key;
mod output;
mod profile;
mod serve;
mod signing_key;
mod tenant;
mod trusted_issuer;
mod user;

static LONG_VERSION: LazyLock<String> = LazyLock::new(|| format!("{VERSION} ({COMMIT})"));

/// A token server: log people in, exchange API keys, publish the keys that verify.
#[derive(Parser)]
#[command(name = "jeton", version = LONG_VERSION.as_str(), arg_required_else_help = false)]
struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Args)]
struct Options {
    /// Read this configuration file instead of ./jeton.toml
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server; so does `jeton` alone
    Serve(serve::Serve),
    /// Apply pending migrations
    Migrate,
    Backup(database::Backup),
    /// Check configuration, database, migrations, master key, clock, signing keys, certificate and JWKS reachability
    Doctor,
    /// Organisations whose data is kept apart
    #[command(subcommand, arg_required_else_help = false)]
    Tenant(tenant::Command),
    /// People, members of tenants
    #[command(subcommand, arg_required_else_help = false)]
    User(user::Command),
    /// Long-lived secrets of a tenant
    #[command(subcommand, arg_required_else_help = false)]
    ApiKey(api_key::Command),
    /// Sets of API keys with the same rights
    #[command(subcommand, arg_required_else_help = false)]
    KeyGroup(key_group::Command),
    /// Whose workloads are let in without an API key
    #[command(subcommand, arg_required_else_help = false)]
    TrustedIssuer(trusted_issuer::Command),
    /// How a product's API authentication behaves
    #[command(subcommand, arg_required_else_help = false)]
    Profile(profile::Command),
    /// The keys that sign tokens
    #[command(subcommand, arg_required_else_help = false)]
    SigningKey(signing_key::Command),
    /// The key that everything secret in the database is encrypted under
    #[command(subcommand, arg_required_else_help = false)]
    MasterKey(master_key::Command),
    /// What happened, and whether that is still what was written
    #[command(subcommand, arg_required_else_help = false)]
    Audit(audit::Command),
    /// The effective configuration
    #[command(subcommand, arg_required_else_help = false)]
    Config(configuration::Command),
    /// Print the OpenAPI document
    Openapi,
}

/// Runs the command line of this process: 0 on success, 1 on a refused or failed operation, 2 on wrong usage.
#[must_use]
pub fn run() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    match Cli::try_parse_from(&words) {
        Ok(cli) => execute(cli).unwrap_or_else(|error| {
            complain(&error.to_string());
            ExitCode::FAILURE
        }),
        Err(error) => wrong_usage(&error),
    }
}

fn execute(cli: Cli) -> Result<ExitCode, CliError> {
    let Options { config: file, json } = cli.options;
    let output = Output { json };
    let command = cli.command.unwrap_or(Command::Serve(serve::Serve { migrate: false }));
    // Of all commands only the server tells what it does; the others say in their error what went wrong.
    telemetry::init(if matches!(command, Command::Serve(_)) { "info,actix_server=warn" } else { "off" })?;
    if matches!(command, Command::Openapi) {
        return output::document(&crate::routes::openapi::document()).map(|()| ExitCode::SUCCESS);
    }
    if let Command::Profile(command) = &command {
        return profile::run(command, output).map(|()| ExitCode::SUCCESS);
    }
    let file = file.or_else(|| std::env::var_os("JETON_CONFIG").filter(|file| !file.is_empty()).map(PathBuf::from));
    let config = Config::load(file.as_deref(), config::environment());
    actix_web::rt::System::new().block_on(async {
        match command {
            Command::Doctor => return doctor::run(config, output).await,
            Command::Audit(command) => return audit::run(&*open(config?).await?, &command, output).await,
            Command::Serve(command) => serve::run(config?, &command, output).await,
            Command::Migrate => database::migrate(&config?, output).await,
            Command::Backup(command) => database::backup(&config?, &command, output).await,
            Command::Tenant(command @ tenant::Command::Create { .. }) => {
                tenant::run(&open_or_make(config?).await?, command, output).await
            }
            Command::Tenant(command) => tenant::run(&open(config?).await?, command, output).await,
            Command::User(command) => user::run(&*open(config?).await?, command, output).await,
            Command::ApiKey(command) => api_key::run(&*open(config?).await?, command, output).await,
            Command::KeyGroup(command) => key_group::run(&*open(config?).await?, command, output).await,
            Command::TrustedIssuer(command) => trusted_issuer::run(&*open(config?).await?, command, output).await,
            Command::SigningKey(command) => signing_key::run(&*open(config?).await?, &command, output).await,
            Command::MasterKey(command) => master_key::run(&*open(config?).await?, &command, output).await,
            Command::Config(command) => configuration::run(&config?, &command, output),
            Command::Openapi | Command::Profile(_) => Ok(()),
        }?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Commands work on the database directly, so that no server need run. None makes a database but the one that makes the
/// first tenant: in the wrong folder an empty list would say that all is lost.
async fn open(config: Config) -> Result<Arc<App>, CliError> {
    ensure_database(&config)?;
    open_or_make(config).await
}

fn ensure_database(config: &Config) -> Result<(), CliError> {
    match &config.database.url {
        DatabaseUrl::Sqlite(path) if !path.exists() => Err(CliError::NoDatabase(path.clone())),
        _ => Ok(()),
    }
}

async fn open_or_make(config: Config) -> Result<Arc<App>, CliError> {
    Ok(App::open(config, Migrate::Embedded).await?)
}

/// Why a command did not do what it was told.
#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Profile(#[from] ProfileError),
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Database(#[from] DbError),
    #[error(transparent)]
    Import(#[from] ImportError),
    #[error(transparent)]
    MasterKey(#[from] MasterKeyChangeError),
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error("{refusal}{}", how_to_mend(refusal))]
    Refused {
        #[from]
        refusal: Refusal,
    },
    #[error("there is no {}; is this the right folder? `jeton serve` or `jeton migrate` makes it, or mend `database.url`", .0.display())]
    NoDatabase(PathBuf),
    #[error("there is no such {0}; `jeton {0} list` shows what there is")]
    Missing(&'static str),
    #[error("cannot read the password from standard input: {0}")]
    NoPassword(io::Error),
    #[error("standard output is closed, and what is shown once would be lost; nothing was done")]
    Closed,
    #[error("cannot write the answer: {0}")]
    NoOutput(io::Error),
}

fn how_to_mend(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Internal | Refusal::Unavailable => "; run it again with JETON_LOG=error to see the cause",
        _ => "",
    }
}

/// Says what it is that was not found.
fn missing(what: &'static str) -> impl Fn(Refusal) -> CliError {
    move |refusal| match refusal {
        Refusal::NotFound => CliError::Missing(what),
        other => other.into(),
    }
}

fn complain(what: &str) {
    eprintln!("error: {}", what.split_whitespace().collect::<Vec<_>>().join(" "));
}

/// Help and version go to stdout and are no error; anything else is told in one line.
fn wrong_usage(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return if error.print().is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let text = error.to_string();
    let what = text.split("\n\nUsage:").next().unwrap_or(&text);
    let what = what.split("\n\nFor more information").next().unwrap_or(what);
    complain(&format!("{}; `--help` behind the command tells its usage", what.trim_start_matches("error: ")));
    ExitCode::from(2)
}

#[cfg(test)]
mod tests;
