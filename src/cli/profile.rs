//! `jeton profile ...`: is a profile sound, and what does it say of a request?

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::CliError;
use super::output::Output;
use crate::domain::Refusal;
use crate::domain::original_request::{Ambiguous, Method, RequestPath};
use crate::domain::word::AccessTypeName;
use crate::profile::Profile;

#[derive(Subcommand)]
pub enum Command {
    /// Check a profile: what is wrong is told with its line
    Check {
        /// A TOML file, or the name of a built-in profile
        file: PathBuf,
    },
    /// Tell which row of the endpoint table a request meets, and what it needs
    Explain {
        /// A TOML file, or the name of a built-in profile
        file: PathBuf,
        /// The request's method
        #[arg(long)]
        method: String,
        /// The request's path, as it stands in the request line
        #[arg(long)]
        path: String,
    },
}

pub fn run(command: &Command, output: Output) -> Result<(), CliError> {
    match command {
        Command::Check { file } => check(&Profile::load(&file.to_string_lossy())?, output),
        Command::Explain { file, method, path } => {
            explain(&Profile::load(&file.to_string_lossy())?, method, path, output)
        }
    }
}

fn check(profile: &Profile, output: Output) -> Result<(), CliError> {
    let ways: Vec<String> = profile.ways().map(ToString::to_string).collect();
    let document = json!({
        "name": profile.name,
        "description": profile.description,
        "keys": ways,
        "scopes": profile.catalogue().map_or_else(|| json!("any"), |catalogue| json!(catalogue.keys().collect::<Vec<_>>())),
        "access_types": profile.access_types().map(|known| &known.name).collect::<Vec<_>>(),
        "endpoints": profile.endpoints.iter().count(),
    });
    output.one(document, &["name", "description", "keys", "scopes", "access_types", "endpoints"])
}

fn explain(profile: &Profile, method: &str, path: &str, output: Output) -> Result<(), CliError> {
    let ambiguous = |ambiguous: Ambiguous| Refusal::MalformedRequest(ambiguous.to_string());
    let method = Method::parse(method).map_err(ambiguous)?;
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    let path = RequestPath::parse(path).map_err(ambiguous)?;
    let found = profile.endpoints.find(method, &path)?;
    let row = found.endpoint;
    let methods: Vec<&str> = row.methods.iter().map(|method| method.as_str()).collect();
    let types = match &row.access_types {
        Some(types) => types.iter().map(AccessTypeName::as_str).collect(),
        None => vec!["any, users too"],
    };
    let document = json!({
        "methods": methods,
        "path": row.path.to_string(),
        "scope": row.scope,
        "access_types": types,
    });
    output.one(document, &["methods", "path", "scope", "access_types"])
}
