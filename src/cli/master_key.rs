//! `jeton master-key ...`

use std::path::PathBuf;

use clap::Subcommand;

use super::CliError;
use super::output::{self, Output};
use crate::app::App;
use crate::domain::Actor;
use crate::manage::master_keys::{self, MasterKeyChangeError, MasterKeys};
use crate::tokens::master_key_file;

#[derive(Subcommand)]
pub enum Command {
    /// Show which master keys are in use, by their fingerprints, and which servers have which
    Status,
    /// Encrypt everything under a new master key; the old one is still read until `finish`
    Rotate {
        /// Take the new key from this file, and leave keys.dir/master.key alone: you put the key in its place yourself
        #[arg(long, value_name = "FILE")]
        new_key: Option<PathBuf>,
    },
    /// Put the new master key into keys.dir/master.key, on each machine where the old one is
    Install,
    /// Forget the old master key, once no running server needs it
    Finish {
        /// Whatever servers say, or do not say any more: those without the new key will not start again
        #[arg(long)]
        force: bool,
    },
}

pub async fn run(app: &App, command: &Command, output: Output) -> Result<(), CliError> {
    let by = &Actor::COMMAND_LINE;
    match command {
        Command::Status => show(&master_keys::status(app).await?, output),
        Command::Rotate { new_key } => {
            let given =
                new_key.as_deref().map(master_key_file::read).transpose().map_err(MasterKeyChangeError::from)?;
            let keys = master_keys::rotate(app, by, given).await?;
            let sentence = format!(
                "Everything is sealed under {} now; {} is still read. Put the new key wherever the old one is, then run `jeton master-key finish`.",
                keys.current,
                keys.previous.as_deref().unwrap_or("the one before"),
            );
            output.done(&keys, &sentence)
        }
        Command::Install => {
            let keys = master_keys::install(app).await?;
            output.done(&keys, &format!("{} is in keys.dir/master.key.", keys.here))
        }
        Command::Finish { force } => {
            let keys = master_keys::finish(app, by, *force).await?;
            output.done(&keys, &format!("{} is the only master key.", keys.current))
        }
    }
}

fn show(keys: &MasterKeys, output: Output) -> Result<(), CliError> {
    if output.json {
        return output::document(keys);
    }
    output.one(keys, &["current", "since", "previous", "here"])?;
    output.list(&keys.servers, &["name", "seen_at", "master_key"])
}
