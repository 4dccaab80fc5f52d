//! `jeton migrate`

use serde_json::json;

use super::CliError;
use super::output::Output;
use crate::config::Config;
use crate::db::{Db, migrations};

pub async fn migrate(config: &Config, output: Output) -> Result<(), CliError> {
    let applied = Db::open(&config.database.url, 1)?.write_unhurried(migrations::run).await?;
    let sentence = match applied.as_slice() {
        [] => "Nothing to apply: the database is up to date.".to_owned(),
        versions => format!("Applied {}.", versions.join(", ")),
    };
    output.done(json!({ "applied": applied }), &sentence)
}
