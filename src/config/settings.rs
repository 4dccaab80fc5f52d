//! Where configuration comes from: the file, the environment and the defaults, each value with its source.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize as _, Serialize, Serializer};
use serde_json::Value;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::values::{MASK, Unfit};
use crate::profile::ProfileError;

/// The file that is read where none is named.
const DEFAULT_FILE: &str = "jeton.toml";

/// Variables of Jeton that are no configuration keys.
const NOT_KEYS: [&str; 6] = [
    "JETON_LOG",
    "JETON_TEST_CLOCK",
    "JETON_TEST_LOOK_EVERY",
    "JETON_TEST_STATEMENTS",
    "JETON_TEST_TRUSTED_FOR",
    "JETON_CONFIG",
];

/// The key of `JETON_MASTER_KEY`: a secret has no place in a file that people share.
pub(super) const MASTER_KEY: &str = "keys.master_key";

/// Values that no error and no print shows.
const SECRETS: [&str; 2] = ["database.url", MASTER_KEY];

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What reading it gave.
        error: std::io::Error,
    },
    /// The profile cannot be used.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The file is not TOML.
    #[error("{origin}: {message}")]
    Syntax {
        /// Where.
        origin: Source,
        /// What the parser says.
        message: String,
    },
    /// Nothing is configured by this key.
    #[error("unknown key `{key}` ({origin}): expected one of {known}{}", spelling(.origin))]
    UnknownKey {
        /// The key.
        key: String,
        /// Where it stands.
        origin: Source,
        /// The keys of its section or, where there is no such section, the sections.
        known: String,
    },
    /// The same key is set by two variables.
    #[error("`{key}` is set twice ({first} and {second}): keep one of them")]
    Twice {
        /// The key.
        key: String,
        /// One place.
        first: Source,
        /// The other.
        second: Source,
    },
    /// The value is not allowed for its key.
    #[error("bad value {value} for `{key}` ({origin}): expected {allowed}")]
    BadValue {
        /// The key.
        key: String,
        /// The value, masked where it is a secret.
        value: String,
        /// Where it stands.
        origin: Source,
        /// What is allowed.
        allowed: String,
    },
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nobody set it.
    Default,
    /// A line of the file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// An environment variable.
    Env(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "file {}:{line}", path.display()),
            Self::Env(name) => write!(f, "env {name}"),
        }
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The most common slip with a variable, where it may be the one.
fn spelling(origin: &Source) -> &'static str {
    match origin {
        Source::Env(name) if !name.contains("__") => "; a variable is JETON_<SECTION>__<KEY>, with two underscores",
        _ => "",
    }
}

/// A value before its type is known.
#[derive(Debug, Clone)]
pub(super) enum Raw {
    /// From the environment or a default: everything is text there.
    Text(String),
    /// From the file.
    Typed(Value),
}

impl Raw {
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Typed(value) => value.as_str(),
        }
    }

    pub(super) fn integer(&self) -> Option<i64> {
        match self {
            Self::Text(text) => text.parse().ok(),
            Self::Typed(value) => value.as_i64(),
        }
    }

    /// The items of a list; as text it is separated by commas, or an array as in TOML or JSON.
    pub(super) fn items(&self) -> Option<Vec<Value>> {
        match self {
            Self::Typed(Value::Array(items)) => Some(items.clone()),
            Self::Typed(_) => None,
            Self::Text(text) => items_of(text.trim()),
        }
    }
}

fn items_of(text: &str) -> Option<Vec<Value>> {
    match text {
        "" => Some(Vec::new()),
        array if array.starts_with('[') => {
            serde_json::from_str(array).ok().or_else(|| Vec::deserialize(ValueDeserializer::parse(array).ok()?).ok())
        }
        // The array without its brackets: cut at its commas, its tables and quoted texts would pass for names.
        bare if bare.contains(['{', '}', '"', '\'']) => None,
        separated => Some(separated.split(',').map(|item| item.trim().into()).collect()),
    }
}

/// One effective value, as `jeton config print` shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Setting {
    /// The key.
    pub key: &'static str,
    /// The value, masked where it is a secret.
    pub value: Value,
    /// Where it came from.
    pub source: Source,
}

/// What file and environment say, taken out key by key; what is left over is unknown.
pub(super) struct Settings {
    found: BTreeMap<String, (Raw, Source)>,
    taken: Vec<Setting>,
}

impl Settings {
    pub(super) fn read(
        file: Option<&Path>,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut found = read_file(file)?;
        found.extend(read_env(env)?);
        Ok(Self { found, taken: Vec::new() })
    }

    /// The effective value of a key. Where `parse` finds the raw value unfit, the error says what is `allowed`.
    pub(super) fn take<T: Serialize>(
        &mut self,
        key: &'static str,
        default: impl Into<String>,
        allowed: &str,
        parse: impl FnOnce(&Raw) -> Result<T, Unfit>,
    ) -> Result<T, ConfigError> {
        let (raw, source) = self.found.remove(key).unwrap_or_else(|| (Raw::Text(default.into()), Source::Default));
        match parse(&raw) {
            Ok(value) => {
                let shown = serde_json::to_value(&value).unwrap_or_else(|_| MASK.into());
                self.taken.push(Setting { key, value: shown, source });
                Ok(value)
            }
            Err(Unfit) => Err(ConfigError::BadValue {
                key: key.to_owned(),
                value: shown(key, &raw),
                origin: source,
                allowed: allowed.to_owned(),
            }),
        }
    }

    /// That a value agrees with another one: an error about `key` unless it is `fit`.
    pub(super) fn ensure(&self, fit: bool, key: &'static str, allowed: &str) -> Result<(), ConfigError> {
        let Some(setting) = self.taken.iter().find(|setting| setting.key == key && !fit) else {
            return Ok(());
        };
        Err(ConfigError::BadValue {
            key: key.to_owned(),
            value: setting.value.to_string(),
            origin: setting.source.clone(),
            allowed: allowed.to_owned(),
        })
    }

    /// The settings taken, once nothing is left over.
    pub(super) fn finish(mut self) -> Result<Vec<Setting>, ConfigError> {
        while let Some((key, (raw, origin))) = self.found.pop_first() {
            let empty = matches!(&raw, Raw::Typed(Value::Object(table)) if table.is_empty());
            if !(empty && self.is_section(&key)) {
                return Err(ConfigError::UnknownKey { known: self.known_beside(&key), key, origin });
            }
        }
        Ok(self.taken)
    }

    fn is_section(&self, name: &str) -> bool {
        self.taken.iter().any(|setting| setting.key.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
    }

    fn known_beside(&self, unknown: &str) -> String {
        let section = unknown.rsplit_once('.').map(|(section, _)| section).filter(|name| self.is_section(name));
        let prefix = section.map(|name| format!("{name}.")).unwrap_or_default();
        let mut known: Vec<&str> = Vec::new();
        let keys = self.taken.iter().map(|setting| setting.key).filter(|key| *key != MASTER_KEY);
        for rest in keys.filter_map(|key| key.strip_prefix(&prefix)) {
            let name = if section.is_some() { rest } else { rest.split('.').next().unwrap_or(rest) };
            if !known.contains(&name) {
                known.push(name);
            }
        }
        known.into_iter().map(|name| format!("{prefix}{name}")).collect::<Vec<_>>().join(", ")
    }
}

fn shown(key: &str, raw: &Raw) -> String {
    match raw {
        _ if SECRETS.contains(&key) => MASK.to_owned(),
        Raw::Text(text) => format!("{text:?}"),
        Raw::Typed(value) => value.to_string(),
    }
}

fn read_file(file: Option<&Path>) -> Result<BTreeMap<String, (Raw, Source)>, ConfigError> {
    let path = file.unwrap_or(Path::new(DEFAULT_FILE));
    let text = match std::fs::read_to_string(path) {
        Err(error) if file.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(BTreeMap::new());
        }
        read => read.map_err(|error| ConfigError::Unreadable { path: path.to_owned(), error })?,
    };
    let source_at = |offset: usize| Source::File {
        path: path.to_owned(),
        line: 1 + text.bytes().take(offset).filter(|&byte| byte == b'\n').count(),
    };
    let table = DeTable::parse(&text).map_err(|error| ConfigError::Syntax {
        origin: source_at(error.span().map_or(0, |span| span.start)),
        message: error.message().replace('\n', " "),
    })?;
    let mut found = BTreeMap::new();
    flatten("", table.into_inner(), &source_at, &mut found);
    Ok(found)
}

/// Puts every leaf of the table under its dotted key.
fn flatten(
    section: &str,
    table: DeTable<'_>,
    source_at: &impl Fn(usize) -> Source,
    found: &mut BTreeMap<String, (Raw, Source)>,
) {
    for (name, value) in table {
        let origin = source_at(name.span().start);
        let key = format!("{section}{}", name.get_ref());
        // A name with a dot in it must not pass for a key in a section, nor a secret stand in the file.
        let key = if name.get_ref().contains('.') || key == MASTER_KEY { format!("\"{key}\"") } else { key };
        match value.get_ref() {
            DeValue::Table(inner) if !inner.is_empty() => {
                flatten(&format!("{key}."), inner.clone(), source_at, found);
            }
            _ => {
                let value = Value::deserialize(ValueDeserializer::from(value)).unwrap_or_default();
                found.insert(key, (Raw::Typed(value), origin));
            }
        }
    }
}

fn read_env(env: impl IntoIterator<Item = (String, String)>) -> Result<BTreeMap<String, (Raw, Source)>, ConfigError> {
    let mut found: BTreeMap<String, (Raw, Source)> = BTreeMap::new();
    for (name, value) in env {
        let Some(key) = key_of(&name, &value) else { continue };
        let source = Source::Env(name);
        match found.get(&key) {
            Some((_, first)) => return Err(ConfigError::Twice { key, first: first.clone(), second: source }),
            None => found.insert(key, (Raw::Text(value), source)),
        };
    }
    Ok(found)
}

/// The key that a variable sets, if it is one of Jeton's; what is misspelt becomes a key that is unknown.
fn key_of(variable: &str, value: &str) -> Option<String> {
    match variable {
        "DATABASE_URL" => Some("database.url".to_owned()),
        "JETON_MASTER_KEY" => Some(MASTER_KEY.to_owned()),
        _ if NOT_KEYS.contains(&variable) || is_of_kubernetes(variable, value) => None,
        _ => {
            let name = variable.strip_prefix("JETON_")?;
            let key = name.to_ascii_lowercase().replace("__", ".");
            let exact = key.to_ascii_uppercase() == name.replace("__", ".") && key != MASTER_KEY;
            Some(if exact { key } else { variable.to_owned() })
        }
    }
}

/// Kubernetes gives every pod such variables for a service called `jeton` or `jeton-metrics`; none is a key of ours. A
/// bare `..._PORT` is one only where it holds an address (`tcp://10.0.0.1:80`): else it is a misspelt key.
fn is_of_kubernetes(variable: &str, value: &str) -> bool {
    let protocols = ["tcp", "udp", "sctp"];
    let is_address = || value.split_once("://").is_some_and(|(protocol, _)| protocols.contains(&protocol));
    let names_protocol = |rest: &str| {
        let protocol = rest.split('_').nth(1).unwrap_or_default();
        protocols.iter().any(|known| known.eq_ignore_ascii_case(protocol))
    };
    let is_port_variable = variable
        .split_once("_PORT_")
        .is_some_and(|(service, rest)| service.ends_with("_SERVICE") || names_protocol(rest));
    let is_service_variable = variable.ends_with("_SERVICE_HOST") || variable.ends_with("_SERVICE_PORT");
    !variable.contains("__")
        && (is_service_variable || is_port_variable || (variable.ends_with("_PORT") && is_address()))
}
