//! The jobs, each with its last run.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

use crate::http::pages::html::{Ago, Escaped, duration, grouped};

/// The most jobs on the page.
const MAX_LINES: usize = 50;

/// The jobs as the page shows them.
#[derive(Clone, Debug, PartialEq)]
pub enum Jobs {
    /// There are none in this way of running, or none is defined.
    Off,
    /// No credential has been shown.
    Hidden,
    /// They cannot be read, for this reason.
    Unreadable(String),
    /// All jobs.
    Listed(Vec<JobLine>),
}

/// A job.
#[derive(Clone, Debug, PartialEq)]
pub struct JobLine {
    /// Its name.
    pub name: String,
    /// Its type; `None` if its definition is not stored here.
    pub kind: Option<&'static str>,
    /// The interval of its runs, if it has one.
    pub schedule: Option<Duration>,
    /// Its state.
    pub state: JobState,
    /// The begin of its last run.
    pub last_run: Option<Timestamp>,
    /// Samples that this run stored.
    pub samples: Option<u64>,
    /// The error of this run, or the reason for which there is none.
    pub note: Option<String>,
}

/// The state of a job: the outcome of its last run, unless something else matters more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// It has not run.
    New,
    /// It runs.
    Running,
    /// The last run was complete.
    Complete,
    /// The last run was not complete.
    Failed,
    /// It is paused.
    Paused,
    /// It is disabled.
    Disabled,
    /// Its definition is invalid.
    Invalid,
}

impl JobState {
    fn as_str(self) -> &'static str {
        match self {
            Self::New => "no run yet",
            Self::Running => "running",
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
            Self::Invalid => "invalid",
        }
    }

    fn is_bad(self) -> bool {
        matches!(self, Self::Failed | Self::Disabled | Self::Invalid)
    }
}

/// Writes the section, if there is something to show.
pub(super) fn fmt_jobs(f: &mut fmt::Formatter<'_>, jobs: &Jobs, now: Timestamp) -> fmt::Result {
    let text = match jobs {
        Jobs::Off => return Ok(()),
        Jobs::Listed(lines) if lines.is_empty() => return Ok(()),
        Jobs::Listed(lines) => return fmt_lines(f, lines, now),
        Jobs::Hidden => {
            "Shown with a credential only, as by /v1/connectors: configure a credential, or listen on this machine alone."
        }
        Jobs::Unreadable(error) => error,
    };
    writeln!(
        f,
        "<section>\n<h2>Jobs</h2>\n<p class=\"quiet\">{}</p>\n</section>",
        Escaped(text)
    )
}

fn fmt_lines(f: &mut fmt::Formatter<'_>, lines: &[JobLine], now: Timestamp) -> fmt::Result {
    f.write_str("<section class=\"list\">\n<h2>Jobs</h2>\n<ol>\n")?;
    for line in lines.iter().take(MAX_LINES) {
        fmt_line(f, line, now)?;
    }
    f.write_str("</ol>\n")?;
    if lines.len() > MAX_LINES {
        let more = lines.len() - MAX_LINES;
        writeln!(
            f,
            "<p class=\"quiet\">{more} more are at /v1/connectors.</p>"
        )?;
    }
    f.write_str("</section>\n")
}

fn fmt_line(f: &mut fmt::Formatter<'_>, line: &JobLine, now: Timestamp) -> fmt::Result {
    let class = if line.state.is_bad() {
        " class=\"bad\""
    } else {
        ""
    };
    let schedule = match (line.schedule, line.kind) {
        (Some(interval), _) => format!(", every {}", every(interval)),
        (None, Some(_)) => ", on request".to_owned(),
        (None, None) => String::new(),
    };
    write!(
        f,
        "<li{class}><p><b>{}</b> <span>{}{schedule}</span> <span><i>{}</i>",
        Escaped(&line.name),
        line.kind.unwrap_or("of an event"),
        line.state.as_str()
    )?;
    if let Some(time) = line.last_run {
        write!(f, ", last run {}", Ago { time, now })?;
    }
    if let Some(samples) = line.samples {
        write!(f, ", {} samples", grouped(samples))?;
    }
    f.write_str("</span></p>")?;
    if let Some(note) = &line.note {
        write!(f, "\n<p>{}</p>", Escaped(note))?;
    }
    f.write_str("</li>\n")
}

/// Formats an interval, without units that are zero.
fn every(interval: Duration) -> String {
    let text = duration(interval);
    let whole = [" 0 s", " 0 min", " 0 h"];
    let whole = whole.iter().find_map(|zero| text.strip_suffix(zero));
    whole.map(str::to_owned).unwrap_or(text)
}
