//! `jeton serve`

use clap::Args;

use super::CliError;
use super::output::Output;
use crate::app::Migrate;
use crate::config::Config;
use crate::server;
use crate::welcome::Greeting;

#[derive(Args)]
pub struct Serve {
    /// Apply pending migrations on PostgreSQL too; on the embedded database they always are
    #[arg(long)]
    pub migrate: bool,
}

pub async fn run(config: Config, command: &Serve, output: Output) -> Result<(), CliError> {
    let migrate = if command.migrate { Migrate::Yes } else { Migrate::Embedded };
    let greeting = if output.json { Greeting::Json } else { Greeting::Text };
    Ok(server::serve(config, migrate, greeting).await?)
}
