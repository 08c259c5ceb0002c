//! Timestamps, dates and intervals: text forms and calendar units.
//!
//! A timestamp is nanoseconds since the epoch, UTC, from 1970 (an earlier one is an error of the
//! service) to 2262.

use std::fmt::Write;

use jiff::{
    Timestamp,
    civil::{DateTime, Time},
    tz::TimeZone,
};

pub(crate) const NS_PER_SECOND: i64 = 1_000_000_000;
pub(crate) const NS_PER_MILLISECOND: i64 = 1_000_000;
pub(crate) const NS_PER_DAY: i64 = 86_400 * NS_PER_SECOND;

/// Writes `2020-08-08 01:00:00.000000000`.
pub(crate) fn write_timestamp(out: &mut String, time_ns: i64) {
    write_date(out, time_ns.div_euclid(NS_PER_DAY));
    out.push(' ');
    write_clock(out, time_ns.rem_euclid(NS_PER_DAY));
}

/// Writes `2020-08-08`, from days since the epoch.
pub(crate) fn write_date(out: &mut String, days: i64) {
    let (year, month, day) = civil_from_days(days);
    write!(out, "{year:04}-{month:02}-{day:02}").expect("a string takes all text");
}

/// Writes `1 21:00:00.000000000`.
pub(crate) fn write_interval(out: &mut String, nanoseconds: i64) {
    if nanoseconds < 0 {
        out.push('-');
    }
    let magnitude = nanoseconds.saturating_abs();
    write!(out, "{} ", magnitude / NS_PER_DAY).expect("a string takes all text");
    write_clock(out, magnitude % NS_PER_DAY);
}

/// Writes `2-7`: years and months.
pub(crate) fn write_months(out: &mut String, months: i64) {
    if months < 0 {
        out.push('-');
    }
    let magnitude = months.unsigned_abs();
    write!(out, "{}-{}", magnitude / 12, magnitude % 12).expect("a string takes all text");
}

/// Writes `21:00:00.000000000`, from nanoseconds since midnight.
pub(crate) fn write_clock(out: &mut String, nanoseconds: i64) {
    let seconds = nanoseconds / NS_PER_SECOND;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = nanoseconds % NS_PER_SECOND;
    write!(out, "{hour:02}:{minute:02}:{second:02}.{fraction:09}")
        .expect("a string takes all text");
}

/// Returns the proleptic Gregorian year, month and day; after Howard Hinnant, "chrono-Compatible
/// Low-Level Date Algorithms".
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Reads `2022-06-17`, `2022-06-17 01:00`, `2022-06-17 01:00:00.123`, with a space or a `T`.
pub(crate) fn parse_timestamp(text: &str) -> Option<i64> {
    let date_time: DateTime = text.trim().parse().ok()?;
    let time = date_time.to_zoned(TimeZone::UTC).ok()?.timestamp();
    i64::try_from(time.as_nanosecond()).ok()
}

/// Reads ISO 8601 with an offset, or without one as UTC.
pub(crate) fn parse_iso8601(text: &str) -> Option<i64> {
    match text.parse::<Timestamp>() {
        Ok(time) => i64::try_from(time.as_nanosecond()).ok(),
        Err(_) => parse_timestamp(text),
    }
}

/// Reads `01:00`, `01:00:00`, `01:00:00.123` into nanoseconds since midnight.
pub(crate) fn parse_clock(text: &str) -> Option<i64> {
    let is_clock = text.as_bytes().get(2) == Some(&b':');
    let time: Time = text.parse().ok().filter(|_| is_clock)?;
    i64::try_from(time.duration_since(Time::midnight()).as_nanos()).ok()
}

/// Returns the last day, since the epoch, of the month that a day lies in.
pub(crate) fn last_day_of_month(days: i64) -> Option<i64> {
    let next = Unit::Month.add(Unit::Month.truncate(days.checked_mul(NS_PER_DAY)?)?, 1)?;
    Some(next.div_euclid(NS_PER_DAY) - 1)
}

/// Reads `2022-06-17` into days since the epoch.
pub(crate) fn parse_date(text: &str) -> Option<i64> {
    let is_date = text.len() == 10;
    parse_timestamp(text)
        .filter(|_| is_date)
        .map(|time| time.div_euclid(NS_PER_DAY))
}

/// A unit of `date_trunc`, `date_add`, `date_diff` and of interval literals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// So many nanoseconds.
    Fixed(i64),
    Month,
    Quarter,
    Year,
}

impl Unit {
    /// Returns the unit by its name: singular, plural or the short form of an interval literal.
    pub(crate) fn from_name(name: &str) -> Option<Unit> {
        Some(match name.to_ascii_lowercase().as_str() {
            "ns" | "nanosecond" | "nanoseconds" => Unit::Fixed(1),
            "us" | "microsecond" | "microseconds" => Unit::Fixed(1000),
            "ms" | "millisecond" | "milliseconds" => Unit::Fixed(NS_PER_MILLISECOND),
            "s" | "second" | "seconds" => Unit::Fixed(NS_PER_SECOND),
            "m" | "minute" | "minutes" => Unit::Fixed(60 * NS_PER_SECOND),
            "h" | "hour" | "hours" => Unit::Fixed(3600 * NS_PER_SECOND),
            "d" | "day" | "days" => Unit::Fixed(NS_PER_DAY),
            "w" | "week" | "weeks" => Unit::Fixed(7 * NS_PER_DAY),
            "month" | "months" => Unit::Month,
            "quarter" | "quarters" => Unit::Quarter,
            "year" | "years" => Unit::Year,
            _ => return None,
        })
    }

    pub(crate) fn months(self) -> i64 {
        match self {
            Unit::Fixed(_) => 0,
            Unit::Month => 1,
            Unit::Quarter => 3,
            Unit::Year => 12,
        }
    }

    /// Returns the start of the unit that `time_ns` lies in.
    pub(crate) fn truncate(self, time_ns: i64) -> Option<i64> {
        match self {
            // The epoch was a Thursday; weeks start on Monday.
            Unit::Fixed(size) if size == 7 * NS_PER_DAY => {
                let since_monday = time_ns.checked_add(3 * NS_PER_DAY)?.rem_euclid(size);
                time_ns.checked_sub(since_monday)
            }
            Unit::Fixed(size) => Some(time_ns - time_ns.rem_euclid(size)),
            calendar => {
                let (year, month, _) = civil_from_days(time_ns.div_euclid(NS_PER_DAY));
                let month = (month - 1) / calendar.months() * calendar.months() + 1;
                parse_timestamp(&format!("{year:04}-{month:02}-01"))
            }
        }
    }

    /// Adds `count` units to `time_ns`; a day that a month lacks becomes its last.
    pub(crate) fn add(self, time_ns: i64, count: i64) -> Option<i64> {
        if let Unit::Fixed(size) = self {
            return time_ns.checked_add(size.checked_mul(count)?);
        }
        let months = self.months().checked_mul(count)?;
        let time = Timestamp::from_nanosecond(i128::from(time_ns))
            .ok()?
            .to_zoned(TimeZone::UTC);
        let moved = time
            .checked_add(jiff::Span::new().try_months(months).ok()?)
            .ok()?;
        i64::try_from(moved.timestamp().as_nanosecond()).ok()
    }

    /// Returns the number of whole units from `start` to `end`.
    pub(crate) fn between(self, start: i64, end: i64) -> Option<i64> {
        if let Unit::Fixed(size) = self {
            return Some(end.checked_sub(start)? / size);
        }
        let months = |time: i64| {
            let (year, month, _) = civil_from_days(time.div_euclid(NS_PER_DAY));
            year * 12 + month
        };
        let mut count = (months(end) - months(start)) / self.months();
        while self.add(start, count)? > end && count > 0 {
            count -= 1;
        }
        while self.add(start, count)? < end && count < 0 {
            count += 1;
        }
        Some(count)
    }
}

/// Returns a field of a timestamp, as `year(time)` gives it.
pub(crate) fn field(name: &str, time_ns: i64) -> Option<i64> {
    let days = time_ns.div_euclid(NS_PER_DAY);
    let seconds = time_ns.rem_euclid(NS_PER_DAY) / NS_PER_SECOND;
    let (year, month, day) = civil_from_days(days);
    Some(match name {
        "year" => year,
        "quarter" => (month - 1) / 3 + 1,
        "month" => month,
        "day" => day,
        "day_of_week" => (days + 3).rem_euclid(7) + 1,
        "day_of_year" => days - days_before_year(year)? + 1,
        "week" => iso_week(days)?.1,
        "year_of_week" => iso_week(days)?.0,
        "hour" => seconds / 3600,
        "minute" => seconds / 60 % 60,
        "second" => seconds % 60,
        "millisecond" => time_ns.rem_euclid(NS_PER_SECOND) / NS_PER_MILLISECOND,
        _ => return None,
    })
}

fn days_before_year(year: i64) -> Option<i64> {
    parse_date(&format!("{year:04}-01-01"))
}

/// Returns the ISO 8601 year and week: a week belongs to the year that its Thursday lies in.
fn iso_week(days: i64) -> Option<(i64, i64)> {
    let thursday = days - (days + 3).rem_euclid(7) + 3;
    let (year, _, _) = civil_from_days(thursday);
    Some((year, (thursday - days_before_year(year)?) / 7 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timestamp(time_ns: i64) -> String {
        let mut text = String::new();
        write_timestamp(&mut text, time_ns);
        text
    }

    #[test]
    fn timestamps_as_text() {
        let cases = [
            (0, "1970-01-01 00:00:00.000000000"),
            (1_596_848_400_000_000_000, "2020-08-08 01:00:00.000000000"),
            (1_582_934_400_000_000_001, "2020-02-29 00:00:00.000000001"),
            (i64::MAX, "2262-04-11 23:47:16.854775807"),
        ];
        for (time, expected) in cases {
            assert_eq!(timestamp(time), expected);
            assert_eq!(parse_timestamp(expected), Some(time));
        }
    }

    #[test]
    fn calendar_units() {
        let at = |text: &str| parse_timestamp(text).expect("a valid time");
        let cases = [
            ("week", "2026-11-21 10:00:00", "2026-11-16"),
            ("month", "2026-11-21 10:00:00", "2026-11-01"),
            ("quarter", "2026-11-21 10:00:00", "2026-10-01"),
            ("year", "2026-11-21 10:00:00", "2026-01-01"),
            ("hour", "2026-11-21 10:59:59", "2026-11-21 10:00:00"),
        ];
        for (unit, time, expected) in cases {
            let unit = Unit::from_name(unit).expect("a unit");
            assert_eq!(unit.truncate(at(time)), Some(at(expected)));
        }
        assert_eq!(Unit::Month.add(at("2024-01-31"), 1), Some(at("2024-02-29")));
        assert_eq!(
            Unit::Month.between(at("2024-01-31"), at("2024-03-01")),
            Some(1)
        );
        assert_eq!(
            Unit::Year.between(at("2024-05-01"), at("2020-05-02")),
            Some(-3)
        );
    }

    #[test]
    fn intervals_as_text() {
        let mut text = String::new();
        write_interval(&mut text, NS_PER_DAY + 21 * 3600 * NS_PER_SECOND);
        assert_eq!(text, "1 21:00:00.000000000");
    }
}
