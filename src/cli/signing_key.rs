//! `jeton signing-key ...`

use clap::Subcommand;
use serde_json::json;

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
            let shown = keys.iter().map(|key| {
                json!({
                    "kid": key.kid,
                    "algorithm": key.algorithm,
                    "state": key.state,
                    "created_at": key.created_at,
                    "activated_at": key.activated_at,
                    "retired_at": key.retired_at,
                })
            });
            output.list(shown, &["kid", "algorithm", "state", "created_at", "activated_at"])
        }
    }
}
