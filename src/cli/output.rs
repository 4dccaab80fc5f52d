//! What commands print: for people tables, for programs one JSON document.

use std::io::{self, Write as _};

use rustix::fs::{self, OFlags};
use serde::Serialize;
use serde_json::{Value, json};

use super::CliError;

/// How to print.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// As JSON.
    pub json: bool,
}

impl Output {
    /// Prints a list: for people these columns of it.
    pub fn list(self, items: impl IntoIterator<Item = impl Serialize>, columns: &[&str]) -> Result<(), CliError> {
        let items: Vec<Value> = items.into_iter().map(value).collect();
        if self.json {
            return document(&json!({ "items": items }));
        }
        let heads = columns.iter().map(|name| name.to_uppercase().replace('_', " ")).collect();
        let rows = items.iter().map(|item| columns.iter().map(|name| cell(item.get(name))).collect());
        print(&table(&std::iter::once(heads).chain(rows).collect::<Vec<_>>()))
    }

    /// Prints one thing: for people these fields of it.
    pub fn one(self, item: impl Serialize, fields: &[&str]) -> Result<(), CliError> {
        let item = value(item);
        if self.json {
            return document(&item);
        }
        let rows = fields.iter().map(|name| vec![format!("{name}:"), cell(item.get(name))]);
        print(&table(&rows.collect::<Vec<_>>()))
    }

    /// Prints that something is done: for people this sentence.
    pub fn done(self, item: impl Serialize, sentence: &str) -> Result<(), CliError> {
        if self.json { document(&value(item)) } else { print(&format!("{sentence}\n")) }
    }
}

/// The same thing with more members, or other ones.
pub fn with<const N: usize>(mut item: Value, members: [(&str, Value); N]) -> Value {
    if let Some(object) = item.as_object_mut() {
        object.extend(members.map(|(name, value)| (name.to_owned(), value)));
    }
    item
}

/// Prints a JSON document, whoever reads it.
pub fn document(item: &impl Serialize) -> Result<(), CliError> {
    print(&format!("{:#}\n", value(item)))
}

/// Prints one thing of many as JSON on a line of its own.
pub fn line(item: &impl Serialize) -> Result<(), CliError> {
    print(&format!("{}\n", value(item)))
}

/// Refuses before a secret is made that is shown once, and that nobody would see. Where stdout is closed, the standard
/// library has put `/dev/null` in its place, which takes whatever is written. It is open to be read from too: whoever
/// sends the answer there themselves opens it to write alone, and may.
///
/// # Errors
/// [`CliError::Closed`].
pub fn ensure_shown() -> Result<(), CliError> {
    let (stdout, closed) = (io::stdout(), |_| CliError::Closed);
    let mode = fs::fcntl_getfl(&stdout).map_err(closed)? & OFlags::RWMODE;
    let nowhere = fs::stat("/dev/null").map_err(closed)?.st_rdev;
    let is_closed = mode == OFlags::RDWR && fs::fstat(&stdout).map_err(closed)?.st_rdev == nowhere;
    if is_closed { Err(CliError::Closed) } else { Ok(()) }
}

fn value(item: impl Serialize) -> Value {
    serde_json::to_value(item).unwrap_or_default()
}

fn cell(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) if !text.is_empty() => text.clone(),
        Some(Value::Bool(yes)) => (if *yes { "yes" } else { "no" }).to_owned(),
        None | Some(Value::Null | Value::String(_)) => "-".to_owned(),
        Some(Value::Array(items)) if items.is_empty() => "-".to_owned(),
        Some(Value::Array(items)) if items.iter().all(Value::is_string) => {
            items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
        }
        Some(other) => other.to_string(),
    }
}

fn table(rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..).map_while(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// A key that is shown once must not be lost in silence where stdout is closed or full.
fn print(text: &str) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(CliError::NoOutput)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["ID", "NAME"], ["1", "Zoë"], ["22", ""]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&rows), "ID  NAME\n1   Zoë\n22\n");
    }

    #[test]
    fn cells_are_for_people() {
        for (value, shown) in [
            (json!(null), "-"),
            (json!(""), "-"),
            (json!([]), "-"),
            (json!("a b"), "a b"),
            (json!(true), "yes"),
            (json!(["a:b", "c:d"]), "a:b c:d"),
            (json!(7), "7"),
            (json!([{"a": 1}]), r#"[{"a":1}]"#),
        ] {
            assert_eq!(cell(Some(&value)), shown);
        }
    }
}
