//! Checks that the retention of a table accepts the samples of a run.

use jiff::Timestamp;

use crate::timestream::tables::{DEFAULT_RETENTION, Table};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Returns an error with the setting to change, if a table would reject samples from `start_ms` on.
pub(super) fn retention_error(
    table: &Table,
    name: &str,
    start_ms: i64,
    now_ms: i64,
) -> Option<String> {
    let (default_hours, default_days) = DEFAULT_RETENTION;
    let hours = table.memory_hours.unwrap_or(default_hours);
    let days = table.magnetic_days.unwrap_or(default_days);
    let age_hours = ((now_ms - start_ms).max(0) + HOUR_MS - 1) / HOUR_MS;
    let start = Timestamp::from_millisecond(start_ms).map_or(String::new(), |it| it.to_string());
    let begin = format!("the run starts at {start}, {age_hours} hours ago, but {name}");
    if age_hours <= hours {
        return None;
    }
    if !table.magnetic_writes {
        return Some(format!(
            "{begin} accepts only the {hours} hours of its memory store: enable its magnetic store writes (magnetic_writes for a created table), raise its memory retention (memory_hours), or start later (lookback_hours, start_date; a metric that has a cursor starts there, so delete and create the definition)"
        ));
    }
    (start_ms < now_ms - days.saturating_mul(DAY_MS)).then(|| {
        format!(
            "{begin} stores only {days} days: raise its magnetic retention (magnetic_days), or start later (lookback_hours, start_date; a metric that has a cursor starts there, so delete and create the definition)"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_must_be_within_the_retention() {
        let now = 1_767_312_000_000;
        let table = |hours, days, magnetic_writes| Table {
            memory_hours: hours,
            magnetic_days: days,
            magnetic_writes,
            ..Table::default()
        };
        let hours = |hours: i64| now - hours * HOUR_MS;
        for (table, start, expected) in [
            (table(Some(24), None, false), hours(24), None),
            (
                table(Some(24), None, false),
                hours(25),
                Some("raise its memory retention (memory_hours)"),
            ),
            (
                table(None, None, false),
                hours(7),
                Some("accepts only the 6 hours"),
            ),
            (table(Some(6), Some(30), true), hours(24 * 30), None),
            (
                table(Some(6), Some(30), true),
                hours(24 * 31),
                Some("stores only 30 days: raise its magnetic retention"),
            ),
            (table(None, None, true), 0, None),
        ] {
            let text = retention_error(&table, "table db/t", start, now);
            match (text, expected) {
                (None, None) => {}
                (Some(text), Some(words)) => assert!(text.contains(words), "{text}"),
                other => panic!("{table:?} {start} {other:?}"),
            }
        }
    }
}
