//! The last errors, each with its times, its text and its remedy.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

use crate::http::pages::html::{Ago, Escaped, grouped};
use crate::http::{Reason, RecentError, Source};

/// The age until which an error needs attention.
const RECENT: Duration = Duration::from_secs(5 * 60);

/// Returns true if an error may need attention: it is neither a query that a user has mistyped, nor caused by strangers.
pub(super) fn is_own(error: &RecentError) -> bool {
    error.reason != Reason::InvalidQuery && error.source != Source::Access
}

/// Returns true if an error needs attention now.
pub(super) fn is_bad(error: &RecentError, now: Timestamp) -> bool {
    let last = Ago {
        time: error.last,
        now,
    };
    is_own(error) && last.elapsed() < RECENT
}

/// Writes the section.
pub(super) fn fmt_errors(
    f: &mut fmt::Formatter<'_>,
    errors: &[RecentError],
    now: Timestamp,
) -> fmt::Result {
    f.write_str("<section class=\"list errors\">\n<h2>Last errors</h2>\n")?;
    if errors.is_empty() {
        return f.write_str("<p class=\"quiet\">None since the start.</p>\n</section>\n");
    }
    f.write_str("<ol>\n")?;
    for error in errors {
        fmt_error(f, error, now)?;
    }
    f.write_str("</ol>\n</section>\n")
}

fn fmt_error(f: &mut fmt::Formatter<'_>, error: &RecentError, now: Timestamp) -> fmt::Result {
    let [last, first] = [error.last, error.first].map(|time| Ago { time, now });
    let class = if is_bad(error, now) {
        " class=\"bad\""
    } else {
        ""
    };
    let name = error.reason.name();
    write!(
        f,
        "<li{class}><p><b>{name}</b> <span>{}, status {}</span> <span>{last}",
        source(error.source),
        error.status
    )?;
    if error.count > 1 {
        write!(f, ", {} times since {first}", grouped(error.count))?;
    }
    // The name stands above it.
    let cause = error.cause.strip_prefix(name).unwrap_or(&error.cause);
    let cause = cause.trim_start_matches([':', ' ']);
    writeln!(
        f,
        "</span></p>\n<p>{}</p>\n<p>{}.</p></li>",
        Escaped(cause),
        Escaped(&capitalized(error.reason.remedy()))
    )
}

fn source(source: Source) -> &'static str {
    match source {
        Source::Write => "remote write",
        Source::Otlp => "OTLP",
        Source::Read => "remote read",
        Source::Query => "query API",
        Source::Access => "access",
        Source::Other => "other paths",
    }
}

/// Returns the text with a capital at its start.
fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).collect()
}
