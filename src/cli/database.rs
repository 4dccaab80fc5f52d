//! `jeton migrate` and `jeton backup`

use std::path::PathBuf;

use serde_json::json;

use super::CliError;
use super::output::Output;
use crate::config::Config;
use crate::db::{Db, migrations};
use crate::manage::backup;

pub async fn migrate(config: &Config, output: Output) -> Result<(), CliError> {
    let applied = Db::open(&config.database.url, 1)?.write_unhurried(migrations::run).await?;
    let sentence = match applied.as_slice() {
        [] => "Nothing to apply: the database is up to date.".to_owned(),
        versions => format!("Applied {}.", versions.join(", ")),
    };
    output.done(json!({ "applied": applied }), &sentence)
}

/// Copy the embedded database, while servers run on it
#[derive(clap::Args)]
pub struct Backup {
    /// The new file; one that is there is never overwritten
    file: PathBuf,
}

/// The database as it is, without its migrations: a backup comes before an upgrade.
pub async fn backup(config: &Config, Backup { file }: &Backup, output: Output) -> Result<(), CliError> {
    super::ensure_database(config)?;
    let bytes = backup::take(&Db::open(&config.database.url, 1)?, &config.database.url, file).await?;
    let key = match &config.keys.master_key {
        Some(_) => "JETON_MASTER_KEY".to_owned(),
        None => config.keys.dir.join("master.key").display().to_string(),
    };
    let sentence = format!(
        "Wrote {} ({bytes} bytes). It is of use with the master key only, which is not in it: keep a copy of {key}, apart from this file.",
        file.display()
    );
    output.done(json!({ "file": file.display().to_string(), "bytes": bytes, "master_key": key }), &sentence)
}
