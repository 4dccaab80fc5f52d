//! What is wrong with a profile: the file, the line, the key, and how to mend it.

use std::fmt;
use std::path::PathBuf;

use toml::de::{DeTable, DeValue};

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// There is no such file, and no such built-in profile.
    #[error("cannot read the profile {}: {error}; it is the path of a TOML file, or one of {built_in}", path.display())]
    Unreadable {
        /// What was named.
        path: PathBuf,
        /// What reading it gave.
        error: std::io::Error,
        /// The names of the built-in profiles.
        built_in: String,
    },
    /// The file says something that makes no sense.
    #[error("{}", shown(path, *line, key, message))]
    Fault {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The key, dotted; empty for the file as a whole.
        key: String,
        /// What is wrong.
        message: String,
    },
}

fn shown(path: &std::path::Path, line: usize, key: &str, message: &str) -> String {
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    if key.is_empty() {
        return format!("{}:{line}: {message}", path.display());
    }
    format!("{}:{line}: `{key}`: {message}", path.display())
}

/// A fault before the line is known.
#[derive(Debug)]
pub(super) struct Fault {
    pub at: Key,
    pub message: String,
}

/// Where something stands in a file: names and, in lists, positions.
#[derive(Clone, Debug, Default)]
pub(super) struct Key(pub Vec<Step>);

#[derive(Clone, Debug)]
pub(super) enum Step {
    Name(String),
    Position(usize),
}

impl Key {
    pub fn of(name: &str) -> Self {
        Self::default().name(name)
    }

    pub fn name(mut self, name: &str) -> Self {
        self.0.push(Step::Name(name.to_owned()));
        self
    }

    pub fn position(mut self, position: usize) -> Self {
        self.0.push(Step::Position(position));
        self
    }

    pub fn fault(self, message: impl fmt::Display) -> Fault {
        Fault { at: self, message: message.to_string() }
    }

    /// The byte at which it stands, or as much of it as there is.
    pub fn offset_in(&self, table: &DeTable<'_>) -> usize {
        let mut offset = 0;
        let mut steps = self.0.iter();
        let Some(Step::Name(first)) = steps.next() else { return offset };
        let Some((key, mut value)) = table.iter().find(|(key, _)| key.get_ref() == first) else { return offset };
        offset = key.span().start;
        for step in steps {
            value = match (step, value.get_ref()) {
                (Step::Name(name), DeValue::Table(table)) => {
                    let Some((key, inner)) = table.iter().find(|(key, _)| key.get_ref() == name) else { break };
                    offset = key.span().start;
                    inner
                }
                (Step::Position(position), DeValue::Array(items)) => {
                    let Some(inner) = items.get(*position) else { break };
                    offset = inner.span().start;
                    inner
                }
                _ => break,
            };
        }
        offset
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            match step {
                Step::Name(name) if name.contains(['.', ':', ' ']) => write!(f, "{}\"{name}\"", dot(index))?,
                Step::Name(name) => write!(f, "{}{name}", dot(index))?,
                Step::Position(position) => write!(f, "[{position}]")?,
            }
        }
        Ok(())
    }
}

fn dot(index: usize) -> &'static str {
    if index == 0 { "" } else { "." }
}
