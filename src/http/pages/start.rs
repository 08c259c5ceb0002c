//! The start page: version and settings, the destination of samples, and present rates.
//!
//! The page loads no other resources. A script updates it every two seconds; without scripts the browser reloads
//! it every five.

use std::fmt::{self, Display};
use std::time::Duration;

use crate::metrics::{LiveCount, LiveRow, LiveView, REVISION, VERSION};
use crate::storage::routing::{RoutePart, Routing};

/// Number of hexadecimal digits of the commit on the page.
const SHORT_REVISION: usize = 12;

/// The content of the page.
pub(super) struct StartPage<'a> {
    pub(super) region: &'a str,
    pub(super) routing: &'a Routing,
    /// Starts with `/`.
    pub(super) telemetry_path: &'a str,
    pub(super) live: &'a LiveView,
}

impl Display for StartPage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript>\n\
             <link rel=\"icon\" href=\"data:,\">\n\
             <title>Timestream connector for Prometheus</title>\n<style>\n{}{}</style>\n</head>\n\
             <body>\n<header>\n<h1>Timestream connector for Prometheus</h1>\n<nav>\
             <a href=\"./query\">Query</a> <a href=\"{}\">Metrics</a> <a href=\"./-/healthy\">Health</a> \
             <a href=\"./-/ready\">Readiness</a></nav>\n</header>\n<main>\n",
            include_str!("common.css"),
            include_str!("start.css"),
            // Relative, so that links hold behind a proxy that adds a path.
            Escaped(&format!(".{}", self.telemetry_path)),
        )?;
        self.fmt_set_up(f)?;
        for section in [Section::Writes, Section::Reads, Section::Queries] {
            self.fmt_counts(f, section)?;
        }
        write!(
            f,
            "</main>\n<footer>Remote write: POST /write. OTLP: POST /v1/metrics. Remote read: POST /read. \
             PromQL: /api/v1/query and /api/v1/query_range. \
             Rates are those of the last minute.</footer>\n<script>\n{}</script>\n</body>\n</html>\n",
            include_str!("start.js")
        )
    }
}

impl StartPage<'_> {
    fn fmt_set_up(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut version = VERSION.to_owned();
        if let Some(short) = REVISION.get(..SHORT_REVISION) {
            version += &format!(" ({short})");
        }
        let rows = [
            ("Version", version),
            ("Running for", uptime(self.live.uptime)),
            ("Region", self.region.to_owned()),
            ("Database", route(&self.routing.database)),
            ("Table", route(&self.routing.table)),
            ("Requests in flight", self.live.in_flight.to_string()),
        ];
        f.write_str("<dl>\n")?;
        for (name, value) in rows {
            writeln!(f, "<div><dt>{name}</dt><dd>{}</dd></div>", Escaped(&value))?;
        }
        f.write_str("</dl>\n")
    }

    fn fmt_counts(&self, f: &mut fmt::Formatter<'_>, section: Section) -> fmt::Result {
        let title = section.title();
        write!(
            f,
            "<section>\n<table>\n<caption>{title}</caption>\n<thead><tr><th scope=\"col\"></th>\
             <th scope=\"col\">Total</th><th scope=\"col\">Per second</th></tr></thead>\n<tbody>\n"
        )?;
        let rows = self.live.rows.iter();
        for row in rows.filter(|row| Section::of(row.count) == section) {
            let class = if is_bad(row) { " class=\"bad\"" } else { "" };
            writeln!(
                f,
                "<tr{class}><th scope=\"row\">{}</th><td>{}</td><td>{:.1}</td></tr>",
                label(row.count),
                grouped(row.total),
                row.per_second
            )?;
        }
        f.write_str("</tbody>\n</table>\n</section>\n")
    }
}

/// A table of counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    Writes,
    Reads,
    Queries,
}

impl Section {
    fn title(self) -> &'static str {
        match self {
            Self::Writes => "Writes",
            Self::Reads => "Reads",
            Self::Queries => "Queries",
        }
    }

    fn of(count: LiveCount) -> Self {
        match count {
            LiveCount::Received
            | LiveCount::Written
            | LiveCount::Ignored
            | LiveCount::OtherReplica
            | LiveCount::Failed
            | LiveCount::WriteRequests(_)
            | LiveCount::OtlpRequests(_)
            | LiveCount::WriteRetries
            | LiveCount::WriteUnits => Self::Writes,
            LiveCount::ReadRequests(_)
            | LiveCount::ReadSeries
            | LiveCount::ReadSamples
            | LiveCount::Statements
            | LiveCount::ReadRetries => Self::Reads,
            LiveCount::QueryRequests(_)
            | LiveCount::QuerySeries
            | LiveCount::QuerySamples
            | LiveCount::QueryStatements
            | LiveCount::QueryRetries => Self::Queries,
        }
    }
}

fn label(count: LiveCount) -> String {
    let label = match count {
        LiveCount::Received => "Samples received",
        LiveCount::Written => "Samples written",
        LiveCount::Ignored => "Samples ignored",
        LiveCount::OtherReplica => "Samples of other replicas (ignored, too)",
        LiveCount::Failed => "Samples failed",
        LiveCount::WriteRequests(status) => return format!("Requests with status {status}"),
        LiveCount::OtlpRequests(status) => return format!("OTLP requests with status {status}"),
        LiveCount::WriteRetries => "Retried calls",
        LiveCount::WriteUnits => "Write units billed",
        LiveCount::ReadRequests(status) | LiveCount::QueryRequests(status) => {
            return format!("Requests with status {status}");
        }
        LiveCount::ReadSeries => "Series returned",
        LiveCount::ReadSamples => "Samples returned",
        LiveCount::QuerySeries => "Series fetched",
        LiveCount::QuerySamples => "Samples fetched",
        LiveCount::Statements | LiveCount::QueryStatements => "SQL statements",
        LiveCount::ReadRetries | LiveCount::QueryRetries => "Retried calls",
    };
    label.to_owned()
}

/// Returns true if the row needs attention: something failed within the last minute.
fn is_bad(row: &LiveRow) -> bool {
    let is_failure = match row.count {
        LiveCount::Failed => true,
        LiveCount::WriteRequests(status)
        | LiveCount::OtlpRequests(status)
        | LiveCount::ReadRequests(status)
        | LiveCount::QueryRequests(status) => status >= 400,
        _ => false,
    };
    is_failure && row.per_second > 0.0
}

/// Describes the source of one half of a destination.
fn route(part: &RoutePart) -> String {
    match (&part.label, &part.default) {
        (Some(label), Some(default)) => format!("label {label}, else {default}"),
        (Some(label), None) => format!("label {label}"),
        (None, Some(default)) => default.clone(),
        (None, None) => "not configured".to_owned(),
    }
}

fn uptime(uptime: Duration) -> String {
    let seconds = uptime.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// Formats a number with its digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            // A narrow space that does not break.
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// Displays a string escaped for HTML, quoted attributes included.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => write!(f, "{other}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(rows: Vec<LiveRow>) -> String {
        let routing = Routing {
            database: RoutePart {
                label: Some("<db>".to_owned()),
                default: Some("prometheus".to_owned()),
            },
            table: RoutePart {
                label: None,
                default: Some("metrics".to_owned()),
            },
        };
        let live = LiveView {
            uptime: Duration::from_secs(3_725),
            in_flight: 4,
            rows,
        };
        StartPage {
            region: "eu-west-1",
            routing: &routing,
            telemetry_path: "/metrics",
            live: &live,
        }
        .to_string()
    }

    fn row(count: LiveCount, total: u64, per_second: f64) -> LiveRow {
        LiveRow {
            count,
            total,
            per_second,
        }
    }

    #[test]
    fn settings_and_destinations_are_on_the_page() {
        let page = page(vec![]);
        for part in [
            "<dt>Running for</dt><dd>1 h 2 min</dd>",
            "<dt>Region</dt><dd>eu-west-1</dd>",
            "<dt>Database</dt><dd>label &lt;db&gt;, else prometheus</dd>",
            "<dt>Table</dt><dd>metrics</dd>",
            "<dt>Requests in flight</dt><dd>4</dd>",
            "<a href=\"./query\">",
            "<a href=\"./metrics\">",
            "<a href=\"./-/healthy\">",
        ] {
            assert!(page.contains(part), "{part} in {page}");
        }
        // Nothing is loaded from elsewhere.
        assert!(!page.contains("http://") && !page.contains("https://"));
    }

    #[test]
    fn counts_stand_in_the_table_of_their_side() {
        let page = page(vec![
            row(LiveCount::Received, 1_234_567, 20.55),
            row(LiveCount::WriteRequests(503), 2, 0.1),
            row(LiveCount::ReadRequests(500), 1, 0.0),
        ]);
        let (writes, reads) = page.split_once("<caption>Reads").unwrap();
        let received = "<tr><th scope=\"row\">Samples received</th>\
                        <td>1\u{202f}234\u{202f}567</td><td>20.6</td></tr>";
        assert!(writes.contains(received), "{writes}");
        assert!(
            writes.contains("<tr class=\"bad\"><th scope=\"row\">Requests with status 503</th>"),
            "{writes}"
        );
        // Long ago is no alarm.
        assert!(
            reads.contains("<tr><th scope=\"row\">Requests with status 500</th>"),
            "{reads}"
        );
    }
}
