//! `jeton config print`

use clap::Subcommand;

use super::CliError;
use super::output::Output;
use crate::config::Config;

#[derive(Subcommand)]
pub enum Command {
    /// Print every key, its value (secrets masked) and where it came from
    Print,
}

pub fn run(config: &Config, command: &Command, output: Output) -> Result<(), CliError> {
    match command {
        Command::Print => output.list(config.provenance(), &["key", "value", "source"]),
    }
}
