//! `jeton signing-key ...`

use clap::Subcommand;

use super::CliError;
use super::output::Output;
use crate::app::App;
use crate::manage::signing_keys;

#[derive(Subcommand)]
pub enum Command {
    /// List the signing keys and their states
    List,
}

pub async fn run(app: &App, command: &Command, output: Output) -> Result<(), CliError> {
    match command {
        Command::List => {
            let keys = signing_keys::list(app).await?;
            output.list(keys, &["kid", "algorithm", "state", "created_at", "activated_at"])
        }
    }
}
