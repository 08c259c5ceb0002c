//! Logging: one line for each event on stderr, as logfmt or JSON, with the same keys in both.
//!
//! Keys: `level` (lower case), `ts` (RFC 3339, UTC, milliseconds), `caller` (file and line; the
//! module and line where it is a library's), `message`, `error`, then the other fields in the order
//! given, and `request_id` within [`in_request`]. Hidden characters ([`prom_model::visible`]) are escaped.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt;
use std::future::Future;
use std::io::{self, Write as _};
use std::panic::{self, PanicHookInfo};

use jiff::Timestamp;
use serde_json::Value;
use tokio::task::futures::TaskLocalFuture;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use prom_model::visible::{escaped, escaped_lines, is_hidden};

/// The library and the binary of this package.
const OWN_CRATES: [&str; 2] = [env!("CARGO_CRATE_NAME"), "bootstrap"];

/// Libraries whose warnings repeat URLs with passwords and tokens. Our own lines have the same errors without them.
const REVEALING: [&str; 2] = ["aws_config", "aws_smithy_runtime::client::endpoint"];

/// The lines that are logged, and their format.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The least severe level that is logged; `None` logs nothing.
    pub level: Option<Level>,
    /// The format of a line.
    pub format: Format,
}

/// The defaults of the options.
impl Default for Settings {
    fn default() -> Self {
        Self {
            level: Some(Level::INFO),
            format: Format::Logfmt,
        }
    }
}

/// The format of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `key=value` pairs.
    Logfmt,
    /// A JSON object.
    Json,
}

tokio::task_local! {
    static REQUEST_ID: String;
}

/// Calls `start` and runs the future that it returns; all lines logged by either have this
/// `request_id`.
pub fn in_request<F: Future>(
    request_id: String,
    start: impl FnOnce() -> F,
) -> TaskLocalFuture<String, F> {
    let future = REQUEST_ID.sync_scope(request_id.clone(), start);
    REQUEST_ID.scope(request_id, future)
}

/// Starts logging for the whole process, panics included. A second call has no effect.
pub fn start(settings: Settings) {
    let Some(level) = settings.level else {
        // Panics are printed even then, as every error that ends the process.
        panic::set_hook(Box::new(|info| print_error(&info.to_string())));
        return;
    };
    panic::set_hook(Box::new(log_panic));
    // Libraries log their own bookkeeping at info.
    let others = LevelFilter::from_level(level.min(Level::WARN));
    let own = LevelFilter::from_level(level);
    let filter = Targets::new()
        .with_default(others)
        .with_targets(REVEALING.map(|name| (name, LevelFilter::ERROR)))
        .with_targets(OWN_CRATES.map(|name| (name, own)));
    let lines = tracing_subscriber::fmt::layer()
        .event_format(Lines(settings.format))
        .with_writer(std::io::stderr);
    let _ = tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init();
}

/// Logs a panic as an error; its message may have foreign content. The process goes on if the panic is caught.
fn log_panic(info: &PanicHookInfo<'_>) {
    let location = info.location().map(ToString::to_string);
    // Empty unless RUST_BACKTRACE enables it.
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then_some(backtrace);
    tracing::error!(
        error = info
            .payload_as_str()
            .unwrap_or("a value that is not a string"),
        location,
        thread = std::thread::current().name(),
        backtrace = backtrace.map(|backtrace| backtrace.to_string()),
        "A part of the program panicked; please report this bug."
    );
}

/// Writes an event as one line.
struct Lines(Format);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let mut fields = Fields::default();
        event.record(&mut fields);
        let caller = format!(
            "{}:{}",
            caller(metadata),
            metadata.line().unwrap_or_default()
        );
        let request_id = REQUEST_ID.try_with(Clone::clone).ok();
        let pairs = [
            (
                "level",
                Value::from(metadata.level().as_str().to_ascii_lowercase()),
            ),
            ("ts", Value::from(format!("{:.3}", Timestamp::now()))),
            ("caller", Value::from(caller)),
        ]
        .into_iter()
        .chain(
            fields
                .message
                .map(|message| ("message", Value::from(message))),
        )
        .chain(fields.error.map(|error| ("error", Value::from(error))))
        .chain(fields.others)
        .chain(request_id.map(|id| ("request_id", Value::from(id))));
        let line = match self.0 {
            Format::Logfmt => logfmt(pairs),
            Format::Json => json(pairs),
        };
        writeln!(writer, "{line}")
    }
}

/// Returns the file of an own event; for a library's event its module, because its file is a path of the build
/// machine.
fn caller(metadata: &Metadata<'static>) -> &'static str {
    let file = metadata.file().filter(|file| !file.starts_with('/'));
    file.or(metadata.module_path()).unwrap_or("unknown")
}

/// The fields of an event; `message` and `error` have places of their own.
#[derive(Default)]
struct Fields {
    message: Option<String>,
    error: Option<String>,
    others: Vec<(&'static str, Value)>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        let text = |value: Value| match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        match field.name() {
            "message" => self.message = Some(text(value)),
            "error" => self.error = Some(text(value)),
            name => self.others.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, Value::from(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, Value::from(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no NaN and no infinity.
        let number = serde_json::Number::from_f64(value);
        self.add(
            field,
            number.map_or_else(|| Value::from(value.to_string()), Value::Number),
        );
    }
}

fn logfmt(pairs: impl Iterator<Item = (&'static str, Value)>) -> String {
    let mut line = String::new();
    for (key, value) in pairs {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(key);
        line.push('=');
        match value {
            Value::String(text) if is_bare(&text) => line.push_str(&text),
            // JSON's quoting is also logfmt's.
            value => line.push_str(&quoted(&value)),
        }
    }
    line
}

/// Returns true if a logfmt value needs no quotes.
fn is_bare(text: &str) -> bool {
    !text.is_empty()
        && !text.contains(|c: char| is_hidden(c) || matches!(c, ' ' | '"' | '=' | '\\'))
}

/// Returns a value as JSON with hidden characters escaped: JSON allows some that a terminal obeys.
fn quoted(value: &Value) -> String {
    escaped(&value.to_string()).into_owned()
}

fn json(pairs: impl Iterator<Item = (&'static str, Value)>) -> String {
    let members: Vec<String> = pairs
        .map(|(key, value)| format!("{}:{}", Value::from(key), quoted(&value)))
        .collect();
    format!("{{{}}}", members.join(","))
}

/// Writes a string of one or several lines to standard error, escaped.
pub fn print_error(text: &str) {
    // `eprintln!` would panic if standard error is full, and abort in a panic.
    let _ = writeln!(io::stderr(), "{}", escaped_lines(text));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: Format) -> String {
        logged_by(format, || {
            let error = "it \"broke\"";
            tracing::warn!(
                samples = 3_u64,
                value = f64::NAN,
                database = "db",
                error,
                "Two words."
            );
        })
    }

    fn logged_by(format: Format, log: impl FnOnce()) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let layer = tracing_subscriber::fmt::layer()
            .event_format(Lines(format))
            .with_writer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        let bytes = buffer.0.lock().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn logfmt_lines() {
        let line = logged(Format::Logfmt);
        let (head, tail) = line.split_once(" message=").unwrap();
        assert!(head.starts_with("level=warn ts=2"), "{head}");
        assert!(head.contains("Z caller=src/telemetry.rs:"), "{head}");
        assert_eq!(
            tail,
            "\"Two words.\" error=\"it \\\"broke\\\"\" samples=3 value=NaN database=db\n"
        );
    }

    #[tokio::test]
    async fn lines_within_a_request_have_its_id() {
        let line = || {
            let future = async { logged(Format::Logfmt) };
            let at_once = logged(Format::Logfmt);
            async { (at_once, future.await) }
        };
        let (at_once, later) = in_request("a-1".to_owned(), line).await;
        assert!(at_once.ends_with(" request_id=a-1\n"), "{at_once}");
        assert!(later.ends_with(" request_id=a-1\n"), "{later}");
        assert!(!logged(Format::Logfmt).contains("request_id"));
    }

    #[test]
    fn a_panic_is_a_line_without_hidden_characters() {
        let lines = logged_by(Format::Logfmt, || {
            let text = "a\u{1b}[2J\u{202e}z";
            let before = panic::take_hook();
            // Panics of other tests that run meanwhile are shown as before.
            let test = std::thread::current().id();
            panic::set_hook(Box::new(move |info| {
                if std::thread::current().id() == test {
                    log_panic(info);
                } else {
                    print_error(&info.to_string());
                }
            }));
            let caught = panic::catch_unwind(|| panic!("{text}"));
            panic::set_hook(before);
            assert!(caught.is_err());
        });
        assert_eq!(lines.lines().count(), 1, "{lines}");
        assert!(lines.starts_with("level=error "), "{lines}");
        assert!(
            lines.contains(r#" error="a\u001b[2J\u202ez" location=src/telemetry.rs:"#),
            "{lines}"
        );
    }

    #[test]
    fn nothing_hidden_reaches_a_terminal() {
        let foreign = "a\u{1b}[2J\n\u{7f}\u{9b}\u{2028}\u{2029}\u{202e}\u{2066}\u{200f}\u{61c}z";
        let pairs = || {
            let both = [("message", foreign), ("bare", "\u{202e}")];
            both.into_iter().map(|(key, text)| (key, Value::from(text)))
        };
        for line in [logfmt(pairs()), json(pairs())] {
            assert!(!line.contains(is_hidden), "{line:?}");
            let start = line.find("\"a").unwrap();
            let mut values =
                serde_json::Deserializer::from_str(&line[start..]).into_iter::<String>();
            assert_eq!(values.next().unwrap().unwrap(), foreign);
            assert!(line.contains(r#""\u202e""#), "{line}");
        }
    }

    #[test]
    fn json_lines_have_the_same_keys() {
        let line = logged(Format::Json);
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["level"], "warn");
        assert_eq!(value["message"], "Two words.");
        assert_eq!(value["samples"], 3);
        assert_eq!(value["value"], "NaN");
        let millisecond = value["ts"].as_str().unwrap();
        assert_eq!(
            millisecond.len(),
            "2020-01-01T00:00:00.000Z".len(),
            "{millisecond}"
        );
    }
}
