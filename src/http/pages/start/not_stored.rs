//! Samples that are not stored, by reason.

use std::fmt;

use super::{is_bad, rate};
use crate::http::Reason;
use crate::http::pages::html::{Escaped, grouped};
use crate::metrics::{LiveCount, LiveView, NotStored};
use crate::storage::write::series::IgnoreReason;
use crate::timestream::RejectReason;

/// Returns true if the samples of a count are missing in Timestream.
pub(super) fn is_missing(count: LiveCount) -> bool {
    match count {
        LiveCount::NotStored(NotStored::Dropped, reason) => {
            !dropped(reason).is_some_and(IgnoreReason::is_settled)
        }
        LiveCount::NotStored(..) => true,
        _ => false,
    }
}

/// Writes the section.
pub(super) fn fmt_not_stored(f: &mut fmt::Formatter<'_>, live: &LiveView) -> fmt::Result {
    f.write_str("<section>\n<h2>Samples not stored</h2>\n")?;
    let rows = live.rows.iter();
    let mut rows = rows
        .filter(|row| matches!(row.count, LiveCount::NotStored(..)))
        .peekable();
    if rows.peek().is_none() {
        return f.write_str("<p class=\"quiet\">None since the start.</p>\n</section>\n");
    }
    f.write_str(
        "<table>\n<thead><tr><th scope=\"col\"></th><th scope=\"col\">Total</th>\
         <th scope=\"col\">Per second</th></tr></thead>\n<tbody>\n",
    )?;
    for row in rows {
        let LiveCount::NotStored(end, reason) = row.count else {
            continue;
        };
        let class = if is_bad(row) { " class=\"bad\"" } else { "" };
        writeln!(
            f,
            "<tr{class}><th scope=\"row\">{reason}<small>{}</small></th><td>{}</td><td>{}</td></tr>",
            Escaped(&meaning(end, reason)),
            grouped(row.total),
            rate(row.per_second)
        )?;
    }
    f.write_str("</tbody>\n</table>\n</section>\n")
}

fn meaning(end: NotStored, reason: &str) -> String {
    let (end, meaning) = match end {
        NotStored::Dropped => ("dropped", dropped(reason).map(of_dropped)),
        NotStored::Rejected => ("rejected", rejected(reason).map(of_rejected)),
        NotStored::Failed => ("failed", failed(reason)),
    };
    match meaning {
        Some(meaning) => format!("{end}: {meaning}"),
        None => end.to_owned(),
    }
}

fn dropped(reason: &str) -> Option<IgnoreReason> {
    let mut all = IgnoreReason::ALL.into_iter();
    all.find(|it| it.as_str() == reason)
}

fn of_dropped(reason: IgnoreReason) -> &'static str {
    match reason {
        IgnoreReason::LongMetricName => "the metric name is too long; relabel it",
        IgnoreReason::LongLabelName => "a label name has more than 60 bytes; relabel it",
        IgnoreReason::TooManyLabels => "more than 128 labels; drop some",
        IgnoreReason::RecordTooLarge => "labels and value exceed 2 KB; drop or shorten labels",
        IgnoreReason::ValueNotFinite => "NaN or infinite; set store_special_values to store them",
        IgnoreReason::NegativeTimestamp => "a time before 1970; correct the sender",
        IgnoreReason::TimestampOutOfRange => {
            "a time after 2262, perhaps not in milliseconds; correct the sender"
        }
        IgnoreReason::Superseded => "a later value is stored; nothing to do",
        IgnoreReason::HistogramTooLarge => "a native histogram exceeds 2 KB; limit its buckets",
        IgnoreReason::NotAFloat => "the layout of the table holds no histograms and exemplars",
        IgnoreReason::OtherReplica => "another replica is elected and stored; nothing to do",
    }
}

fn rejected(reason: &str) -> Option<RejectReason> {
    let mut all = RejectReason::ALL.into_iter();
    all.find(|it| it.as_str() == reason)
}

fn of_rejected(reason: RejectReason) -> &'static str {
    match reason {
        RejectReason::DuplicateVersion => {
            "another value is stored for the time; send each series from one place"
        }
        RejectReason::LowerVersion => "a value of a higher version is stored",
        RejectReason::OutsideMemoryWindow => {
            "too late for the memory store; enable magnetic store writes"
        }
        RejectReason::OutsideIngestionWindow => "too old for the table, or in the future",
        RejectReason::TypeConflict => "stored with another type; write to another table",
        RejectReason::Limit => "a limit of the record or the table; spread over tables",
        RejectReason::Other => "the log has the words of Timestream",
    }
}

fn failed(name: &str) -> Option<&'static str> {
    let reason = Reason::all().find(|it| it.name() == name);
    reason.map(Reason::remedy)
}
