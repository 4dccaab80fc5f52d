//! In debug builds: the text of every statement that is run, for the tests that look how the databases would run it.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;

use diesel::connection::{Instrumentation, InstrumentationEvent, set_default_instrumentation};

/// Names the file that the statements are added to, one a line, without the values in them.
const FILE: &str = "JETON_TEST_STATEMENTS";

/// Has each connection that is opened from now on write down what it runs.
pub fn write_down() {
    if file().is_some() {
        // It fails only where a thread panicked while it did the same.
        let _ = set_default_instrumentation(|| {
            let each: Box<dyn Instrumentation> = Box::new(|event: InstrumentationEvent<'_>| note(&event));
            Some(each)
        });
    }
}

fn file() -> Option<PathBuf> {
    std::env::var_os(FILE).map(PathBuf::from)
}

fn note(event: &InstrumentationEvent<'_>) {
    if let InstrumentationEvent::StartQuery { query, .. } = event
        && let Some(file) = file()
    {
        let told = query.to_string();
        let statement = told.split(" -- binds:").next().unwrap_or_default();
        let line = statement.split_whitespace().collect::<Vec<_>>().join(" ") + "\n";
        // One write, so that no line ends within another.
        let _ = OpenOptions::new()
            .append(true)
            .create(true)
            .open(file)
            .and_then(|mut file| file.write_all(line.as_bytes()));
    }
}
