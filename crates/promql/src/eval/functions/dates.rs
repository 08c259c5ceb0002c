//! Parts of dates, in UTC.

use super::math::of_floats;
use crate::eval::grid::GridSeries;
use crate::eval::{Evaluated, Evaluator, fail};
use crate::number::to_i64;
use crate::plan::Call;
use crate::time::DateTime;

/// Evaluates a part of the dates that floats are, in seconds since 1970; without an argument, of the time of the
/// evaluation.
pub(super) fn call<'a>(ev: &mut Evaluator<'a>, call: &'a Call) -> Evaluated<Vec<GridSeries>> {
    match call.function.name {
        "day_of_month" => part(ev, call, |date| date.day.into()),
        "day_of_week" => part(ev, call, |date| date.weekday.into()),
        "day_of_year" => part(ev, call, |date| date.day_of_year().into()),
        "days_in_month" => part(ev, call, |date| date.days_in_month().into()),
        "hour" => part(ev, call, |date| date.hour.into()),
        "minute" => part(ev, call, |date| date.minute.into()),
        "month" => part(ev, call, |date| date.month.into()),
        "year" => part(ev, call, |date| date.year as f64),
        name => fail(format!("{name}() is not evaluated yet")),
    }
}

fn part<'a>(
    ev: &mut Evaluator<'a>,
    call: &'a Call,
    part: impl Fn(DateTime) -> f64,
) -> Evaluated<Vec<GridSeries>> {
    match call.arguments.first() {
        Some(vector) => of_floats(ev, vector, |value| {
            part(DateTime::from_seconds(to_i64(value)))
        }),
        None => {
            let steps = ev.steps;
            // Go divides towards zero.
            let date = |step| DateTime::from_seconds(steps.time(step) / 1000);
            let scalar = ev.per_step(|step| part(date(step)))?;
            Ok(vec![ev.series_of_scalar(&scalar)?])
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::eval::testing::{Database, histogram};

    #[test]
    fn dates_without_argument_are_those_of_the_evaluation() {
        let database = Database::default();
        for (query, time_ms, line) in [
            ("hour()", 3_600_000 * 5, "{} 5"),
            ("minute()", 60_000 * 61, "{} 1"),
            // The milliseconds are cut off, and do not belong to the second before.
            ("year()", -999, "{} 1970"),
            ("year()", -1_000, "{} 1969"),
            ("day_of_year()", 951_782_400_000, "{} 60"),
            ("days_in_month()", 951_782_400_000, "{} 29"),
        ] {
            assert_eq!(database.instant(query, time_ms).lines(), [line], "{query}");
        }
        let tested = database.range("day_of_week()", 0, 172_800_000, 86_400_000);
        assert_eq!(tested.lines(), ["{} 4@0 5@86400000 6@172800000"]);
    }

    #[test]
    fn equal_labels_are_an_error_of_a_range_query_even_if_names_are_removed_later() {
        let database =
            Database::with_delayed_name_removal().histograms("h", &[(0, histogram(1.0, &[1.0]))]);
        let twice = "month(histogram_quantiles(h @ start(), 'q', 0.5, 0.5))";
        let error = "vector cannot contain metrics with the same labelset";
        assert_eq!(database.range(twice, 0, 10_000, 10_000).error(), error);
        let unused = format!("({twice}) and x");
        assert_eq!(database.range(&unused, 0, 10_000, 10_000).error(), error);
        assert!(database.instant(&unused, 0).lines().is_empty());
    }
}
