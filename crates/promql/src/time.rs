//! Dates in UTC.

const DAY_SECONDS: i64 = 86_400;

/// The seconds, and the days, from the first date that Go can represent, in the year -292277022399, to 1970.
const SECONDS_BEFORE_1970: u64 = 9_223_371_966_579_724_800;
const DAYS_BEFORE_1970: i64 = 106_751_990_353_932;

/// A time of day of a day of the Gregorian calendar, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DateTime {
    pub(crate) year: i64,
    /// From 1.
    pub(crate) month: u8,
    /// From 1.
    pub(crate) day: u8,
    pub(crate) hour: u8,
    pub(crate) minute: u8,
    pub(crate) second: u8,
    /// Sunday is 0.
    pub(crate) weekday: u8,
}

impl DateTime {
    /// Returns the date of a number of seconds since 1970. As in Go, numbers before all dates are ones at their end.
    pub(crate) fn from_seconds(seconds: i64) -> Self {
        let seconds = SECONDS_BEFORE_1970.wrapping_add_signed(seconds);
        let days = (seconds / DAY_SECONDS as u64) as i64 - DAYS_BEFORE_1970;
        let second_of_day = (seconds % DAY_SECONDS as u64) as i64;
        let (year, month, day) = civil(days);
        Self {
            year,
            month,
            day,
            hour: narrow(second_of_day / 3600),
            minute: narrow(second_of_day / 60 % 60),
            second: narrow(second_of_day % 60),
            // 1970 began on a Thursday.
            weekday: narrow((days.rem_euclid(7) + 4) % 7),
        }
    }

    /// Returns the number of the day in its year, from 1.
    pub(crate) fn day_of_year(&self) -> u16 {
        let before = (1..self.month).map(|month| u16::from(days_in_month(self.year, month)));
        before.sum::<u16>() + u16::from(self.day)
    }

    /// Returns the number of days of the month.
    pub(crate) fn days_in_month(&self) -> u8 {
        days_in_month(self.year, self.month)
    }
}

fn narrow(small: i64) -> u8 {
    u8::try_from(small).unwrap_or(u8::MAX)
}

fn days_in_month(year: i64, month: u8) -> u8 {
    let is_leap_year = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if is_leap_year => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Returns year, month and day of a number of days since 1970. Years begin with March here, so that a leap day is the
/// last of its year.
fn civil(days: i64) -> (i64, u8, u8) {
    const ERA_DAYS: i64 = 146_097;
    // From 1 March of the year 0.
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
    let leap_days = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let is_next_year = month >= 10;
    let month_of_year = if is_next_year { month - 9 } else { month + 3 };
    let year = era * 400 + year_of_era + i64::from(is_next_year);
    (year, narrow(month_of_year), narrow(day))
}

/// Formats milliseconds since 1970 as `2006-01-02T15:04:05Z`.
pub(crate) fn rfc3339(time_ms: i64) -> String {
    // Go divides towards zero.
    let date = DateTime::from_seconds(time_ms / 1000);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        date.year, date.month, date.day, date.hour, date.minute, date.second
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text, weekday, day_of_year) in [
            (0, "1970-01-01T00:00:00Z", 4, 1),
            (-1, "1969-12-31T23:59:59Z", 3, 365),
            (951_782_400, "2000-02-29T00:00:00Z", 2, 60),
            (4_107_542_399, "2100-02-28T23:59:59Z", 0, 59),
            (4_107_542_400, "2100-03-01T00:00:00Z", 1, 60),
            (1_735_689_599, "2024-12-31T23:59:59Z", 2, 366),
        ] {
            assert_eq!(rfc3339(seconds * 1000), text);
            let date = DateTime::from_seconds(seconds);
            assert_eq!((date.weekday, date.day_of_year()), (weekday, day_of_year));
        }
    }

    #[test]
    fn days_follow_each_other() {
        let mut before = DateTime::from_seconds(-800_000 * DAY_SECONDS);
        for day in -799_999..800_000 {
            let date = DateTime::from_seconds(day * DAY_SECONDS);
            assert_eq!(date.weekday, (before.weekday + 1) % 7);
            let expected = if before.day < before.days_in_month() {
                (before.year, before.month, before.day + 1)
            } else if before.month < 12 {
                (before.year, before.month + 1, 1)
            } else {
                (before.year + 1, 1, 1)
            };
            assert_eq!((date.year, date.month, date.day), expected);
            before = date;
        }
    }
}
