//! `jeton serve`

use clap::Args;

use super::CliError;
use crate::app::Migrate;
use crate::config::Config;
use crate::server;

#[derive(Args)]
pub struct Serve {
    /// Apply pending migrations on PostgreSQL too; on the embedded database they always are
    #[arg(long)]
    pub migrate: bool,
}

pub async fn run(config: Config, command: &Serve) -> Result<(), CliError> {
    let migrate = if command.migrate { Migrate::Yes } else { Migrate::Embedded };
    Ok(server::serve(config, migrate).await?)
}
