//! Result rows of Timestream to series.
//!
//! A row is one series over one bin of time, so a series comes in several rows, in any order and
//! spread over pages. Left out: rows that the matchers do not allow and samples outside the range.

use std::collections::HashMap;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::matcher::Selection;
use super::names::unescape;
use crate::model::{Datum, Label, Labels, METRIC_NAME_LABEL, Row, Sample, Series};

/// A result that does not have the shape that the query asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// The number or kind of the fields is wrong.
    #[error("unexpected result row from Timestream: {0}")]
    Shape(&'static str),
    /// A time cannot be read.
    #[error(
        "unexpected time '{0}' from Timestream; expected a form like 2020-08-08 01:00:00.000000000"
    )]
    Time(String),
    /// A value cannot be read.
    #[error("unexpected value '{0}' from Timestream; expected a number")]
    Value(String),
}

/// Gathers result rows, of one or several queries, into series.
#[derive(Debug)]
pub struct SeriesBuilder<'s> {
    selection: &'s Selection,
    series: HashMap<Labels, Vec<Sample>>,
}

impl<'s> SeriesBuilder<'s> {
    /// Starts with no series; `selection` decides which rows and samples are kept.
    pub fn new(selection: &'s Selection) -> Self {
        Self {
            selection,
            series: HashMap::new(),
        }
    }

    /// Adds a row whose first fields are `dimensions`, then the measure name and, unless the
    /// selection wants labels only, a time series.
    ///
    /// # Errors
    /// The row has another shape, or a time or value in it cannot be read.
    pub fn add_row(&mut self, dimensions: &[String], row: Row) -> Result<(), RowError> {
        let (labels, series) = row
            .split_at_checked(dimensions.len())
            .ok_or(RowError::Shape("too few fields"))?;
        let (measure_name, series) = match (series, self.selection.labels_only) {
            ([Datum::Scalar(name)], true) => (name, &[][..]),
            ([Datum::Scalar(name), Datum::TimeSeries(series)], false) => (name, series.as_slice()),
            ([Datum::Scalar(name), Datum::Null], false) => (name, &[][..]),
            _ => return Err(RowError::Shape("expected a measure name and a time series")),
        };
        let labels = row_labels(dimensions, labels, measure_name)?;
        if !self.selection.matches(&labels) {
            return Ok(());
        }
        let (start, end) = self.selection.range.unwrap_or((0, -1));
        let samples = self.series.entry(labels).or_default();
        samples.reserve(series.len());
        for (time, value) in series {
            let timestamp_ms = parse_time_ms(time)?;
            if (start..=end).contains(&timestamp_ms) {
                let value = value.parse().map_err(|_| RowError::Value(value.clone()))?;
                samples.push(Sample {
                    timestamp_ms,
                    value,
                });
            }
        }
        Ok(())
    }

    /// Adds all series of `other`, which has the same selection.
    pub fn merge(&mut self, other: Self) {
        for (labels, samples) in other.series {
            self.series.entry(labels).or_default().extend(samples);
        }
    }

    /// The series found, sorted by labels, their samples sorted by time, each time once.
    ///
    /// A series without samples is left out unless only labels were wanted.
    pub fn finish(self) -> Vec<Series> {
        let keep_empty = self.selection.labels_only;
        let mut all: Vec<Series> = self
            .series
            .into_iter()
            .filter(|(_, samples)| keep_empty || !samples.is_empty())
            .map(|(labels, mut samples)| {
                samples.sort_by_key(|sample| sample.timestamp_ms);
                samples.dedup_by_key(|sample| sample.timestamp_ms);
                Series { labels, samples }
            })
            .collect();
        all.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        all
    }
}

fn row_labels(
    dimensions: &[String],
    values: &[Datum],
    measure_name: &str,
) -> Result<Labels, RowError> {
    let mut labels = Vec::with_capacity(dimensions.len() + 1);
    labels.push(Label {
        name: METRIC_NAME_LABEL.to_owned(),
        value: unescape(measure_name).into_owned(),
    });
    for (dimension, value) in dimensions.iter().zip(values) {
        match value {
            Datum::Null => {}
            Datum::Scalar(value) => {
                labels.push(Label {
                    name: unescape(dimension).into_owned(),
                    value: value.clone(),
                });
            }
            _ => {
                return Err(RowError::Shape(
                    "expected a text as the value of a dimension",
                ));
            }
        }
    }
    Ok(Labels::new(labels))
}

/// Reads `2020-08-08 01:00:00.123456789`, UTC, to whole milliseconds since the Unix epoch.
fn parse_time_ms(text: &str) -> Result<i64, RowError> {
    let error = || RowError::Time(text.to_owned());
    let time: DateTime = text.parse().map_err(|_| error())?;
    let zoned = time.to_zoned(TimeZone::UTC).map_err(|_| error())?;
    Ok(zoned.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::matcher::Matcher;
    use crate::model::MatchOp;

    fn selection(labels_only: bool) -> Selection {
        Selection {
            destinations: vec![],
            matchers: vec![Matcher::new(MatchOp::NotEqual, "job", "b").unwrap()],
            range: Some((1_000, 5_000)),
            labels_only,
        }
    }

    fn row(dimensions: &[Option<&str>], samples: &[(&str, &str)]) -> Row {
        let mut row: Row = dimensions
            .iter()
            .map(|value| value.map_or(Datum::Null, |text| Datum::Scalar(text.to_owned())))
            .collect();
        row.push(Datum::Scalar("U__a_3a_bx".to_owned()));
        row.push(Datum::TimeSeries(
            samples
                .iter()
                .map(|(second, value)| (format!("1970-01-01 00:00:{second}"), (*value).to_owned()))
                .collect(),
        ));
        row
    }

    #[test]
    fn rows_of_one_series_are_joined_sorted_and_trimmed() {
        let selection = selection(false);
        let mut builder = SeriesBuilder::new(&selection);
        let dimensions = ["U__timex".to_owned(), "job".to_owned()];
        for row in [
            row(
                &[Some("x"), None],
                &[("03.000000000", "3.0"), ("06.000000000", "6.0")],
            ),
            row(
                &[Some("x"), Some("")],
                &[("01.000000000", "1.0E10"), ("03.000000000", "3.0")],
            ),
            row(&[None, Some("b")], &[("02.000000000", "2.0")]),
            row(&[None, Some("c")], &[("00.999999999", "2.0")]),
        ] {
            builder.add_row(&dimensions, row).unwrap();
        }
        let label = |name: &str, value: &str| Label {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        assert_eq!(
            builder.finish(),
            [Series {
                labels: Labels::new(vec![label("__name__", "a:b"), label("time", "x")]),
                samples: vec![
                    Sample {
                        timestamp_ms: 1_000,
                        value: 1e10
                    },
                    Sample {
                        timestamp_ms: 3_000,
                        value: 3.0
                    },
                ],
            }]
        );
    }

    #[test]
    fn labels_alone_need_no_samples() {
        let selection = selection(true);
        let mut builder = SeriesBuilder::new(&selection);
        let row = vec![
            Datum::Scalar("a".to_owned()),
            Datum::Scalar("up".to_owned()),
        ];
        builder.add_row(&["job".to_owned()], row).unwrap();
        let series = builder.finish();
        assert_eq!(series.len(), 1);
        assert_eq!(series[0].labels.get("job"), "a");
    }

    #[test]
    fn times_are_read_to_the_millisecond() {
        let cases = [
            ("2020-08-08 01:00:00.000000000", 1_596_848_400_000),
            ("2020-09-13 12:26:40.001999999", 1_600_000_000_001),
            ("1970-01-01 00:00:00", 0),
            ("2262-04-11 23:47:16.854000000", 9_223_372_036_854),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_time_ms(text), Ok(expected), "{text}");
        }
        assert_eq!(
            parse_time_ms("yesterday"),
            Err(RowError::Time("yesterday".to_owned()))
        );
    }

    #[test]
    fn another_shape_is_refused() {
        let selection = selection(false);
        let mut builder = SeriesBuilder::new(&selection);
        assert!(builder.add_row(&["a".to_owned()], vec![]).is_err());
        assert!(builder.add_row(&[], row(&[None], &[])).is_err());
        let bad = row(&[], &[("01", "many")]);
        assert_eq!(
            builder.add_row(&[], bad),
            Err(RowError::Value("many".to_owned()))
        );
    }
}
