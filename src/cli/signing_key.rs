//! `jeton signing-key ...`

use std::path::PathBuf;

use clap::Subcommand;

use super::output::{self, Output};
use super::{CliError, missing};
use crate::app::App;
use crate::domain::Actor;
use crate::manage::signing_keys;

const COLUMNS: [&str; 6] = ["kid", "algorithm", "state", "activated_at", "next_state", "next_at"];

#[derive(Subcommand)]
pub enum Command {
    /// List the signing keys, their states, and what becomes of each
    List,
    /// Publish the keys that follow the ones in use; they sign once every verifier can know them
    Rotate {
        /// Let them sign at once: services with an older copy of the key set refuse new tokens for a while
        #[arg(long)]
        emergency: bool,
    },
    /// Publish a key of yours, a PKCS #8 private key in PEM; it signs once every verifier can know it
    Import {
        /// The file, readable by its owner only
        file: PathBuf,
    },
    /// Take a leaked key out of use at once; another one signs in its place
    Revoke {
        /// The key, by its name in the JWKS
        #[arg(allow_hyphen_values = true)]
        kid: String,
    },
}

pub async fn run(app: &App, command: &Command, output: Output) -> Result<(), CliError> {
    let by = &Actor::COMMAND_LINE;
    match command {
        Command::List => output.list(signing_keys::list(app).await?, &COLUMNS),
        Command::Rotate { emergency } => {
            let rotation = signing_keys::rotate(app, by, *emergency).await?;
            if output.json {
                return output::document(&rotation);
            }
            output.list(&rotation.keys, &COLUMNS)?;
            rotation.warning.map_or(Ok(()), |warning| output.done((), &format!("Now {warning}.")))
        }
        Command::Import { file } => {
            let key = signing_keys::import(app, by, file.clone()).await?;
            if output.json { output::document(&key) } else { output.list([key], &COLUMNS) }
        }
        Command::Revoke { kid } => {
            let revocation = signing_keys::revoke(app, by, kid).await.map_err(missing("signing-key"))?;
            let signs = revocation.successor.as_deref().map(|kid| format!(" {kid} signs now.")).unwrap_or_default();
            output.done(&revocation, &format!("{kid} is revoked, and published no more.{signs}"))
        }
    }
}
