//! `jeton audit ...`

use std::process::ExitCode;

use clap::Subcommand;
use uuid::Uuid;

use super::output::{self, Output};
use super::{CliError, complain};
use crate::app::App;
use crate::domain::audit_chain::Link;
use crate::domain::{TenantId, Timestamp};
use crate::manage::audit;

#[derive(Subcommand)]
pub enum Command {
    /// Check that no line was altered, moved, added or taken away; exits 1 where one was
    Verify {
        /// A checkpoint that must be there, by its hash in the log of a server
        #[arg(long, value_name = "HASH", allow_hyphen_values = true)]
        checkpoint: Option<Link>,
    },
    /// Print every line as JSON, one a line, the oldest first, each with its place in its chain
    Export {
        /// Of this tenant only
        #[arg(long, value_name = "ID")]
        tenant: Option<TenantId>,
        /// Not before this moment (RFC 3339)
        #[arg(long, value_name = "TIME")]
        since: Option<Timestamp>,
        /// Before this moment (RFC 3339)
        #[arg(long, value_name = "TIME")]
        until: Option<Timestamp>,
    },
}

pub async fn run(app: &App, command: &Command, output: Output) -> Result<ExitCode, CliError> {
    match command {
        Command::Verify { checkpoint } => verify(app, *checkpoint, output).await,
        Command::Export { tenant, since, until } => {
            export(app, *tenant, *since, *until).await.map(|()| ExitCode::SUCCESS)
        }
    }
}

async fn verify(app: &App, checkpoint: Option<Link>, output: Output) -> Result<ExitCode, CliError> {
    let found = audit::verify(app, checkpoint).await?;
    output.one(&found, &["chains", "lines", "checkpoints", "unreadable", "unsigned", "unchained"])?;
    if found.faults.is_empty() {
        for note in &found.notes {
            eprintln!("note: {note}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let faults: Vec<_> = found.faults.iter().map(|fault| fault.detail.as_str()).collect();
    complain(&format!("the audit log is not as it was written: {}", faults.join("; ")));
    Ok(ExitCode::FAILURE)
}

async fn export(
    app: &App,
    tenant: Option<TenantId>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
) -> Result<(), CliError> {
    let mut last = Uuid::nil().into();
    loop {
        let lines = audit::after(app, tenant, last).await?;
        let Some(end) = lines.last() else { return Ok(()) };
        last = end.event.id;
        for line in lines {
            let at = line.event.at;
            if since.is_none_or(|since| at >= since) && until.is_none_or(|until| at < until) {
                output::line(&line)?;
            }
        }
    }
}
