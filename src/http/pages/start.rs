//! The start page: the state of the connector at one look.
//!
//! One response has everything: the page loads no other resources, and its policy allows exactly its style and its
//! script. The script updates the page every two seconds; without scripts the browser reloads it every five.
//! A [`StartView`] is all that the page depends on, clock and version included.

mod cost;
mod errors;
mod jobs;
mod not_stored;

use std::fmt::{self, Display};
use std::sync::LazyLock;

use axum::response::{Html, IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, X_CONTENT_TYPE_OPTIONS};
use jiff::Timestamp;

use super::html::{Ago, Escaped, dollars, duration, grouped, policy};
use crate::http::RecentError;
use crate::metrics::{LiveCount, LiveRow, LiveView};
use crate::storage::routing::{RoutePart, Routing};
use cost::Cost;
pub use jobs::{JobLine, JobState, Jobs};

const STYLE: &str = concat!(include_str!("common.css"), include_str!("start.css"));
const SCRIPT: &str = include_str!("start.js");

static POLICY: LazyLock<String> = LazyLock::new(|| policy(STYLE, SCRIPT));

/// Number of hexadecimal digits of the commit on the page.
const SHORT_REVISION: usize = 12;

/// The content of the page.
#[derive(Clone, Debug)]
pub struct StartView<'a> {
    /// The time of day.
    pub now: Timestamp,
    /// The version of the connector.
    pub version: &'a str,
    /// The commit it was built from; may be empty.
    pub revision: &'a str,
    /// The region.
    pub region: &'a str,
    /// The destination of samples.
    pub routing: &'a Routing,
    /// The path of the metrics; starts with `/`.
    pub telemetry_path: &'a str,
    /// Counts and rates.
    pub live: &'a LiveView,
    /// The last errors, the last one first.
    pub errors: &'a [RecentError],
    /// The jobs.
    pub jobs: &'a Jobs,
}

/// Returns the page as a response.
pub fn start_page(view: &StartView<'_>) -> Response {
    let headers = [
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, POLICY.as_str()),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, Html(view.to_string())).into_response()
}

impl Display for StartView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript>\n\
             <link rel=\"icon\" href=\"data:,\">\n\
             <title>Timestream connector for Prometheus</title>\n<style>\n{STYLE}</style>\n</head>\n\
             <body>\n<header>\n<h1>Timestream connector for Prometheus</h1>\n<nav>\
             <a href=\"./query\">Query</a> <a href=\"{}\">Metrics</a> <a href=\"./-/healthy\">Health</a> \
             <a href=\"./-/ready\">Readiness</a></nav>\n</header>\n<main>\n",
            // Relative, so that links hold behind a proxy that adds a path.
            Escaped(&format!(".{}", self.telemetry_path)),
        )?;
        let cost = Cost::of(&self.live.billed, self.region);
        self.fmt_tiles(f, &cost)?;
        self.fmt_set_up(f)?;
        errors::fmt_errors(f, self.errors, self.now)?;
        jobs::fmt_jobs(f, self.jobs, self.now)?;
        f.write_str("<div class=\"columns\">\n")?;
        for section in [Section::Writes, Section::Reads, Section::Queries] {
            self.fmt_counts(f, section)?;
        }
        not_stored::fmt_not_stored(f, self.live)?;
        write!(f, "{cost}</div>\n</main>\n<footer>")?;
        write!(
            f,
            "Remote write: POST /write. OTLP: POST /v1/metrics. Remote read: POST /read. \
             PromQL: /api/v1/query and /api/v1/query_range. Totals are those of this process since its start, \
             rates those of the last minute.</footer>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n",
        )
    }
}

impl StartView<'_> {
    fn fmt_tiles(&self, f: &mut fmt::Formatter<'_>, cost: &Cost) -> fmt::Result {
        let stored = self.per_second(|count| count == LiveCount::Written);
        let lost = self.per_second(not_stored::is_missing);
        let last_error = self.errors.iter().find(|error| errors::is_own(error));
        let is_recent = last_error.is_some_and(|error| errors::is_bad(error, self.now));
        let last_error = match last_error {
            Some(error) => {
                let ago = Ago {
                    time: error.last,
                    now: self.now,
                };
                format!("{ago} <small>{}</small>", error.reason.name())
            }
            None => "none".to_owned(),
        };
        let bad = |is_bad: bool| if is_bad { " class=\"bad\"" } else { "" };
        writeln!(
            f,
            "<dl class=\"tiles\">\n\
             <div><dt>Samples stored</dt><dd>{} <small>per second</small></dd></div>\n\
             <div{}><dt>Samples not stored</dt><dd>{} <small>per second</small></dd></div>\n\
             <div><dt>Cost of writes</dt><dd>{} <small>per hour</small></dd></div>\n\
             <div{}><dt>Last error</dt><dd>{last_error}</dd></div>\n</dl>",
            rate(stored),
            bad(lost > 0.0),
            rate(lost),
            dollars(cost.of_writes()),
            bad(is_recent),
        )
    }

    /// Returns the sum of the rates of some counts.
    fn per_second(&self, is_counted: impl Fn(LiveCount) -> bool) -> f64 {
        let rows = self.live.rows.iter();
        let counted = rows.filter(|row| is_counted(row.count));
        counted.map(|row| row.per_second).sum()
    }

    fn fmt_set_up(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut version = self.version.to_owned();
        if let Some(short) = self.revision.get(..SHORT_REVISION) {
            version += &format!(" ({short})");
        }
        let rows = [
            ("Version", version),
            ("Running for", duration(self.live.uptime)),
            ("Region", self.region.to_owned()),
            ("Database", route(&self.routing.database)),
            ("Table", route(&self.routing.table)),
            ("Requests in flight", self.live.in_flight.to_string()),
        ];
        f.write_str("<dl class=\"setup\">\n")?;
        for (name, value) in rows {
            writeln!(f, "<div><dt>{name}</dt><dd>{}</dd></div>", Escaped(&value))?;
        }
        f.write_str("</dl>\n")
    }

    fn fmt_counts(&self, f: &mut fmt::Formatter<'_>, section: Section) -> fmt::Result {
        let title = section.title();
        write!(
            f,
            "<section>\n<h2>{title}</h2>\n<table>\n<thead><tr><th scope=\"col\"></th>\
             <th scope=\"col\">Total</th><th scope=\"col\">Per second</th></tr></thead>\n<tbody>\n"
        )?;
        let rows = self.live.rows.iter();
        for row in rows.filter(|row| Section::of(row.count) == Some(section)) {
            let class = if is_bad(row) { " class=\"bad\"" } else { "" };
            writeln!(
                f,
                "<tr{class}><th scope=\"row\">{}</th><td>{}</td><td>{}</td></tr>",
                label(row.count),
                grouped(row.total),
                rate(row.per_second)
            )?;
        }
        f.write_str("</tbody>\n</table>\n</section>\n")
    }
}

/// Formats a rate with one decimal.
fn rate(per_second: f64) -> String {
    let tenths = (per_second * 10.0).round() as u64;
    format!("{}.{}", grouped(tenths / 10), tenths % 10)
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

    /// Returns the table of a count; `None` if it is in none of these.
    fn of(count: LiveCount) -> Option<Self> {
        match count {
            LiveCount::Received
            | LiveCount::Written
            | LiveCount::Ignored
            | LiveCount::OtherReplica
            | LiveCount::Failed
            | LiveCount::WriteRequests(_)
            | LiveCount::OtlpRequests(_)
            | LiveCount::WriteRetries
            | LiveCount::WriteUnits => Some(Self::Writes),
            LiveCount::ReadRequests(_)
            | LiveCount::ReadSeries
            | LiveCount::ReadSamples
            | LiveCount::Statements
            | LiveCount::ReadRetries => Some(Self::Reads),
            LiveCount::QueryRequests(_)
            | LiveCount::QuerySeries
            | LiveCount::QuerySamples
            | LiveCount::QueryStatements
            | LiveCount::QueryRetries => Some(Self::Queries),
            LiveCount::NotStored(..) => None,
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
        LiveCount::NotStored(_, reason) => reason,
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
        count => not_stored::is_missing(count),
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::http::{Reason, Source};
    use crate::metrics::{Billed, NotStored};
    use crate::timestream::ErrorKind;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn page_of(rows: Vec<LiveRow>, errors: &[RecentError], jobs: &Jobs) -> String {
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
            billed: Billed {
                write_units: 2_000_000.0,
                query_bytes: 0.0,
            },
        };
        let view = StartView {
            now: at(1_000),
            version: "1.2.3",
            revision: "",
            region: "eu-west-1",
            routing: &routing,
            telemetry_path: "/metrics",
            live: &live,
            errors,
            jobs,
        };
        view.to_string()
    }

    fn page(rows: Vec<LiveRow>) -> String {
        page_of(rows, &[], &Jobs::Off)
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
            "<dt>Version</dt><dd>1.2.3</dd>",
            "<dt>Running for</dt><dd>1 h 2 min</dd>",
            "<dt>Region</dt><dd>eu-west-1</dd>",
            "<dt>Database</dt><dd>label &lt;db&gt;, else prometheus</dd>",
            "<dt>Table</dt><dd>metrics</dd>",
            "<dt>Requests in flight</dt><dd>4</dd>",
            "<dt>Cost of writes</dt><dd>$1.00 <small>per hour</small></dd>",
            "<dt>Last error</dt><dd>none</dd>",
            "<a href=\"./query\">",
            "<a href=\"./metrics\">",
            "<a href=\"./-/healthy\">",
        ] {
            assert!(page.contains(part), "{part} in {page}");
        }
        // Nothing is loaded from elsewhere.
        for load in ["src=", "href=\"http", "href=\"//", "url(", "@import"] {
            assert!(!page.contains(load), "{load} in {page}");
        }
    }

    #[test]
    fn counts_stand_in_the_table_of_their_side() {
        let page = page(vec![
            row(LiveCount::Received, 1_234_567, 20.55),
            row(LiveCount::WriteRequests(503), 2, 0.1),
            row(LiveCount::ReadRequests(500), 1, 0.0),
        ]);
        let (writes, reads) = page.split_once("<h2>Reads").unwrap();
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

    #[test]
    fn errors_have_their_times_and_remedies() {
        let error = RecentError {
            source: Source::Write,
            reason: Reason::Timestream(ErrorKind::Throttled),
            status: 503,
            cause: "ThrottlingException: \"<script>\" of \u{2028}".to_owned(),
            count: 1_200,
            first: at(0),
            last: at(990),
        };
        let stranger = RecentError {
            source: Source::Access,
            reason: Reason::Unauthenticated,
            ..error.clone()
        };
        let page = page_of(vec![], std::slice::from_ref(&stranger), &Jobs::Off);
        assert!(page.contains("<dt>Last error</dt><dd>none</dd>"), "{page}");
        let page = page_of(vec![], &[stranger, error], &Jobs::Off);
        for part in [
            "<b>ThrottlingException</b>",
            "remote write, status 503",
            "10 s ago</time>, 1\u{202f}200 times since",
            "&quot;&lt;script&gt;&quot;",
            "Timestream scales with the load; send again",
            "<div class=\"bad\"><dt>Last error</dt>",
        ] {
            assert!(page.contains(part), "{part} in {page}");
        }
        assert_eq!(page.matches("<script>").count(), 1);
    }

    #[test]
    fn samples_that_are_not_stored_have_a_reason_and_its_meaning() {
        let page = page(vec![
            row(
                LiveCount::NotStored(NotStored::Dropped, "other_replica"),
                5,
                1.0,
            ),
            row(
                LiveCount::NotStored(NotStored::Dropped, "value_not_finite"),
                3,
                0.5,
            ),
            row(
                LiveCount::NotStored(NotStored::Rejected, "duplicate_version"),
                2,
                0.0,
            ),
            row(
                LiveCount::NotStored(NotStored::Failed, "MissingMetricName"),
                1,
                0.0,
            ),
        ]);
        for part in [
            "<tr><th scope=\"row\">other_replica<small>",
            "<tr class=\"bad\"><th scope=\"row\">value_not_finite<small>",
            "duplicate_version<small>rejected: another value",
            "MissingMetricName<small>failed: give it a metric name",
            // Samples of other replicas are stored once.
            "<dt>Samples not stored</dt><dd>0.5 ",
        ] {
            assert!(page.contains(part), "{part} in {page}");
        }
    }

    #[test]
    fn jobs_have_their_last_run() {
        let line = |name: &str, state, error: &str| JobLine {
            name: name.to_owned(),
            kind: Some("prometheus"),
            schedule: Some(Duration::from_secs(15)),
            state,
            last_run: Some(at(940)),
            samples: Some(1_500),
            note: Some(error.to_owned()).filter(|it| !it.is_empty()),
        };
        let lines = vec![
            line("node", JobState::Complete, ""),
            line("<b>", JobState::Failed, "503 from 'x'"),
        ];
        let page = page_of(vec![], &[], &Jobs::Listed(lines));
        for part in [
            "<li><p><b>node</b> <span>prometheus, every 15 s</span> <span><i>complete</i>, last run <time",
            "1 min ago</time>, 1\u{202f}500 samples</span></p></li>",
            "<li class=\"bad\"><p><b>&lt;b&gt;</b>",
            "503 from &#39;x&#39;",
        ] {
            assert!(page.contains(part), "{part} in {page}");
        }
        let hidden = page_of(vec![], &[], &Jobs::Hidden);
        assert!(hidden.contains("configure a credential"), "{hidden}");
        let off = page_of(vec![], &[], &Jobs::Off);
        assert!(!off.contains("<h2>Jobs</h2>"), "{off}");
    }
}
