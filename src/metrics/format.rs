//! The two ways in which metrics are written: OpenMetrics for whoever asks for it, else Prometheus' own text.

use std::collections::HashMap;
use std::fmt::Write as _;

/// How metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus' text format 0.0.4, which everything reads.
    Text,
}

impl Format {
    /// What the field `Accept` asks for.
    #[must_use]
    pub fn accepted(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") { Self::OpenMetrics } else { Self::Text }
    }

    /// Its content type.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// Metrics that are written as OpenMetrics, in this format.
    pub(super) fn write(self, metrics: String) -> String {
        if self == Self::OpenMetrics { metrics } else { text(&metrics) }
    }
}

/// In the text format a family is called as its samples are; it knows neither units nor infos.
fn text(metrics: &str) -> String {
    let described = |line: &'_ str| -> Option<(String, String, String)> {
        let mut words = line.strip_prefix("# ")?.splitn(3, ' ');
        Some((words.next()?.to_owned(), words.next()?.to_owned(), words.next()?.to_owned()))
    };
    let kinds: HashMap<String, String> = metrics
        .lines()
        .filter_map(described)
        .filter(|(what, ..)| what == "TYPE")
        .map(|(_, family, kind)| (family, kind))
        .collect();
    let mut text = String::with_capacity(metrics.len());
    for line in metrics.lines() {
        let written = match described(line) {
            Some((what, family, told)) if what == "HELP" || what == "TYPE" => {
                let (suffix, kind) = match kinds.get(&family).map(String::as_str) {
                    Some("counter") => ("_total", "counter"),
                    Some("info") => ("_info", "gauge"),
                    Some(kind) => ("", kind),
                    None => ("", "untyped"),
                };
                let told = if what == "TYPE" { kind } else { &told };
                writeln!(text, "# {what} {family}{suffix} {told}")
            }
            _ if line.starts_with('#') => Ok(()),
            _ => writeln!(text, "{line}"),
        };
        // Writing to a `String` does not fail.
        let _ = written;
    }
    text
}
