//! `jeton profile ...`: is a profile sound, and what does it say of a request?

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::CliError;
use super::output::{Output, with};
use crate::domain::Refusal;
use crate::domain::original_request::{Ambiguous, Method, RequestPath};
use crate::profile::{BUILT_IN, Profile};

#[derive(Subcommand)]
pub enum Command {
    /// Check a profile: what is wrong is told with its line
    Check {
        /// A TOML file, or the name of a built-in profile
        file: PathBuf,
    },
    /// Print a built-in profile, to begin one's own with
    Show {
        /// Its name
        #[arg(value_parser = BUILT_IN.map(|(name, _)| name))]
        name: String,
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
        Command::Show { name } => {
            let text = BUILT_IN.iter().find(|(known, _)| known == name).map_or("", |(_, text)| text);
            output.done(json!({ "name": name, "toml": text }), text.trim_end())
        }
        Command::Explain { file, method, path } => {
            explain(&Profile::load(&file.to_string_lossy())?, method, path, output)
        }
    }
}

fn check(profile: &Profile, output: Output) -> Result<(), CliError> {
    let locations: Vec<String> = profile.locations().map(ToString::to_string).collect();
    let document = json!({
        "name": profile.name,
        "description": profile.description,
        "keys": locations,
        "tenant": profile.locator,
        "required": profile.required.iter().map(|member| member.as_str()).collect::<Vec<_>>(),
        "plans": profile.plans.names().collect::<Vec<_>>(),
        "scopes": profile.catalogue().map_or_else(|| json!("any"), |catalogue| json!(catalogue.keys().collect::<Vec<_>>())),
        "access_types": profile.access_types().map(|known| &known.name).collect::<Vec<_>>(),
        "endpoints": profile.endpoints.iter().count(),
    });
    output.one(
        document,
        &["name", "description", "keys", "tenant", "required", "plans", "scopes", "access_types", "endpoints"],
    )
}

fn explain(profile: &Profile, method: &str, path: &str, output: Output) -> Result<(), CliError> {
    let ambiguous = |ambiguous: Ambiguous| Refusal::MalformedRequest(ambiguous.to_string());
    let method = Method::parse(method).map_err(ambiguous)?;
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    let path = RequestPath::parse(path).map_err(ambiguous)?;
    let found = profile.endpoints.find(method, &path)?;
    let row = found.endpoint;
    let methods: Vec<&str> = row.methods.iter().map(|method| method.as_str()).collect();
    let document = json!({
        "methods": methods,
        "path": row.path.to_string(),
        "scope": row.scope,
        "access_types": row.access_types,
        "users": row.access_types.is_none(),
    });
    let everyone = row.access_types.is_none() && !output.json;
    let shown = if everyone { with(document, [("access_types", json!("any"))]) } else { document };
    output.one(shown, &["methods", "path", "scope", "access_types", "users"])
}
