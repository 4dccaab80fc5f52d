//! Logs on stderr: for people on a terminal, else one flat JSON object per line.

use std::fmt;
use std::io::{IsTerminal as _, Write as _};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};
use tracing_subscriber::filter::{FilterExt as _, LevelFilter, ParseError, filter_fn};
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::{LookupSpan, Scope};
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, fmt as text};

/// The version of this build.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that it was built from, where the build knew it.
pub const COMMIT: &str = match option_env!("BUILD_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// The target of panics: they are logged without their message, which may quote what a client sent.
const PANICS: &str = "jeton::panic";

/// Why there can be no logs.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is none.
    #[error("bad value for `JETON_LOG`: {0}; it is a level or a list like `info,jeton::db=debug`")]
    Filter(#[from] ParseError),
    /// Something else in this process logs already.
    #[error("cannot start logging: {0}")]
    Twice(#[from] TryInitError),
}

/// Starts logging, by the filter in `JETON_LOG`, or where it is not set by `default`.
///
/// # Errors
/// The filter cannot be parsed, or logging was started before.
pub fn init(default: &str) -> Result<(), TelemetryError> {
    let filter = std::env::var("JETON_LOG").unwrap_or_default();
    let filter = EnvFilter::builder().parse(if filter.is_empty() { default } else { &filter })?;
    // Without a hint of its own this one would have everything put together that is then not logged.
    let filter = filter.and(filter_fn(may_be_logged).with_max_level_hint(LevelFilter::TRACE));

    let output: Box<dyn Layer<_> + Send + Sync> = if std::io::stderr().is_terminal() {
        text::layer().with_writer(std::io::stderr).boxed()
    } else {
        JsonLines(to_stderr).boxed()
    };
    tracing_subscriber::registry().with(output.with_filter(filter)).try_init()?;
    let plain = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if tracing::enabled!(target: PANICS, Level::ERROR) {
            tracing::error!(target: PANICS, location = panic.location().map(tracing::field::display), "panic");
        } else {
            plain(panic);
        }
    }));
    Ok(())
}

/// Whatever the filter says, libraries are heard only from `info` on: below that they log whole
/// requests, credentials included.
fn may_be_logged(metadata: &Metadata<'_>) -> bool {
    let own = metadata.target().split("::").next() == Some(env!("CARGO_CRATE_NAME"));
    own || *metadata.level() <= Level::INFO
}

fn to_stderr(line: &str) {
    // Nobody is left to tell when stderr is closed.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Writes events as flat JSON: what the event says, and what the spans around it say, side by side.
struct JsonLines<W>(W);

/// The fields of a span, kept with it.
struct SpanFields(Fields);

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: Fn(&str) + 'static,
{
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(SpanFields(fields));
        }
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(SpanFields(fields)) = span.extensions_mut().get_mut() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = Fields::default();
        let mut timestamp = String::new();
        // Writing to a `String` does not fail.
        let _ = SystemTime.format_time(&mut text::format::Writer::new(&mut timestamp));
        line.insert("timestamp", timestamp);
        line.insert("level", event.metadata().level().as_str());
        line.insert("target", event.metadata().target());
        for span in context.event_scope(event).into_iter().flat_map(Scope::from_root) {
            if let Some(SpanFields(fields)) = span.extensions().get() {
                line.0.extend(fields.0.clone());
            }
        }
        event.record(&mut line);
        (self.0)(&format!("{}\n", Value::Object(line.0)));
    }
}

/// The fields of an event or a span.
#[derive(Debug, Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn insert(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        // An event of the `log` crate brings its target as a field.
        match field.name() {
            "log.target" => self.insert("target", value),
            name if name.starts_with("log.") => {}
            name => self.insert(name, value),
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.record_str(field, &value.to_string());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.record_value(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.record_value(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.record_value(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.record_value(field, value);
    }
}

impl Fields {
    fn record_value(&mut self, field: &Field, value: impl Into<Value>) {
        if !field.name().starts_with("log.") {
            self.insert(field.name(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn logged(events: impl FnOnce()) -> Vec<Value> {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let keep = lines.clone();
        let output = JsonLines(move |line: &str| {
            assert_eq!(line.matches('\n').count(), 1, "{line:?}");
            keep.lock().unwrap().push(serde_json::from_str(line).unwrap());
        });
        let subscriber = tracing_subscriber::registry().with(output.with_filter(filter_fn(may_be_logged)));
        tracing::subscriber::with_default(subscriber, events);
        lines.lock().unwrap().clone()
    }

    #[test]
    fn a_line_is_flat_and_has_the_fields_of_its_spans() {
        let lines = logged(|| {
            let span = tracing::info_span!("request", request_id = "r-1", status = tracing::field::Empty);
            span.record("status", 200);
            span.in_scope(|| tracing::warn!(address = %"a\nb", number = 7, "listening"));
        });
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        assert_eq!(line["message"], "listening");
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["target"], module_path!());
        assert_eq!(line["request_id"], "r-1");
        assert_eq!(line["status"], 200);
        assert_eq!((&line["address"], &line["number"]), (&"a\nb".into(), &7.into()));
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn libraries_are_not_heard_below_info() {
        let lines = logged(|| {
            tracing::debug!(target: "actix_http::h1", "Authorization: Bearer jtn_live_00");
            tracing::trace!(target: "jetons", "not ours");
            tracing::info!(target: "actix_server", "starting");
            tracing::trace!("ours");
        });
        let messages: Vec<_> = lines.iter().map(|line| &line["message"]).collect();
        assert_eq!(messages, ["starting", "ours"]);
    }
}
