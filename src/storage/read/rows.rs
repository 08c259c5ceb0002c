//! Result rows of Timestream to series.
//!
//! A row is one series over one bin of time, so a series comes in several rows, in any order and
//! spread over pages; its special values and its native histograms have rows of their own. Left
//! out: rows that the matchers do not allow and what is outside the range.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::{AddAssign, Range};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use prom_model::{
    Count, Histogram, HistogramError, Label, Labels, METRIC_NAME_LABEL, STALE_MARKER_BITS, Sample,
};
use prom_wire::chunk::to_chunks_between;
use prom_wire::response::Series;

use super::samples::Samples;
use crate::storage::histogram;
use crate::storage::names::is_special;
use crate::storage::names::{Dimension, Measure, NO_LABELS_DIMENSION, NO_LABELS_VALUE};
use crate::storage::read::datum::{Datum, Row, TimeSeries};
use crate::storage::read::selection::Selection;
use crate::storage::read::windows::Wanted;

/// The size of a result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Samples and native histograms, those of one time among them.
    pub samples: u64,
    /// Bytes that they take, with the labels of their series.
    pub bytes: u64,
}

impl AddAssign for Size {
    fn add_assign(&mut self, other: Self) {
        self.samples += other.samples;
        self.bytes += other.bytes;
    }
}

/// The fields of a row: the dimensions, the measure name and those that [`Self::content`] names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    /// Names of the dimensions.
    pub dimensions: Vec<String>,
    /// The fields behind the measure name.
    pub content: Content,
}

/// The content of a row for its series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A time series of doubles.
    Samples,
    /// A time series of the texts of native histograms.
    Histograms,
    /// Nothing but its labels.
    Labels,
}

/// A result that does not have the shape of the query.
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
    /// The text of a native histogram cannot be read.
    #[error("unexpected text of a native histogram from Timestream: '{0}'")]
    Histogram(String),
    /// A native histogram that breaks a rule: the connector never stores such a one.
    #[error(
        "the native histogram '{text}' from Timestream breaks a rule of Prometheus: {error}; query a range without it"
    )]
    InvalidHistogram {
        /// Its stored text.
        text: String,
        /// The rule.
        error: HistogramError,
    },
}

/// Gathers result rows, of one or several queries, into series.
#[derive(Debug)]
pub struct SeriesBuilder<'s> {
    selection: &'s Selection,
    series: HashMap<Labels, Found>,
    /// The samples of a row, which are in use while it is added.
    row: Vec<Sample>,
}

/// The samples found of one series.
#[derive(Debug, Default)]
struct Found {
    samples: Samples,
    histograms: Vec<Histogram>,
}

impl<'s> SeriesBuilder<'s> {
    /// Starts with no series; `selection` decides which rows and samples are selected.
    pub fn new(selection: &'s Selection) -> Self {
        Self {
            selection,
            series: HashMap::new(),
            row: Vec::new(),
        }
    }

    /// Adds a row whose fields are `columns`, and returns what it added.
    ///
    /// # Errors
    /// The row has another shape, or a time or value in it cannot be read.
    pub fn add_row(&mut self, columns: &Columns, row: Row) -> Result<Size, RowError> {
        let mut added = Size::default();
        let (dimensions, rest) = row
            .split_at_checked(columns.dimensions.len())
            .ok_or(RowError::Shape("too few fields"))?;
        let (measure_name, points) = match (columns.content, rest) {
            (Content::Labels, [Datum::Scalar(name)]) => (name, None),
            (Content::Labels, _) => return Err(RowError::Shape("expected a measure name")),
            (_, [Datum::Scalar(name), Datum::TimeSeries(points)]) => (name, Some(points)),
            (_, [Datum::Scalar(name), Datum::Null]) => (name, None),
            _ => return Err(RowError::Shape("expected a measure name and a time series")),
        };
        let Some(metric_name) = metric_name(measure_name, columns.content) else {
            return Ok(added);
        };
        let (labels, special) = row_labels(&columns.dimensions, dimensions, &metric_name)?;
        if !self.selection.matches(&labels) {
            return Ok(added);
        }
        let (start, end) = self.selection.range.unwrap_or((0, -1));
        let found = match self.series.entry(labels) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                added.bytes += (place.key().bytes() + size_of::<Found>()) as u64;
                place.insert(Found::default())
            }
        };
        let bytes_before = found.samples.bytes();
        self.row.clear();
        for (time, text) in points.into_iter().flat_map(TimeSeries::iter) {
            let timestamp_ms = parse_time_ms(time)?;
            if !(start..=end).contains(&timestamp_ms) {
                continue;
            }
            if columns.content == Content::Histograms {
                let histogram = histogram::from_text(text, timestamp_ms);
                let histogram = histogram.ok_or_else(|| RowError::Histogram(text.to_owned()))?;
                // A reader of chunks has no means to find out.
                histogram
                    .validate()
                    .map_err(|error| RowError::InvalidHistogram {
                        text: text.to_owned(),
                        error,
                    })?;
                added.samples += 1;
                added.bytes += histogram.bytes() as u64;
                found.histograms.push(histogram);
            } else {
                let value = match special {
                    Some(value) => value,
                    None => text.parse().map_err(|_| RowError::Value(text.to_owned()))?,
                };
                self.row.push(Sample {
                    timestamp_ms,
                    value,
                });
            }
        }
        added.samples += self.row.len() as u64;
        found.samples.append(&mut self.row);
        added.bytes += (found.samples.bytes() - bytes_before) as u64;
        Ok(added)
    }

    /// Adds all series of `other`, which has the same selection.
    pub fn merge(&mut self, other: Self) {
        if self.series.is_empty() {
            self.series = other.series;
            return;
        }
        for (labels, found) in other.series {
            let known = self.series.entry(labels).or_default();
            known.samples.append_all(found.samples);
            known.histograms.extend(found.histograms);
        }
    }

    /// The series found, sorted by labels, their samples and their histograms sorted by time, each
    /// time once: see [`Samples::into_chunks`].
    ///
    /// A series without samples and histograms is dropped unless only labels were wanted.
    pub fn finish(self) -> Vec<Series> {
        let keep_empty = self.selection.wanted == Wanted::Labels;
        let mut all: Vec<Series> = self
            .series
            .into_iter()
            .map(|(labels, found)| {
                let Found {
                    mut samples,
                    mut histograms,
                } = found;
                let chunks = if histograms.is_empty() {
                    samples.into_chunks()
                } else {
                    let mut samples = samples.to_samples();
                    let ends = take_ends(&mut samples, &histograms);
                    histograms.extend(ends);
                    histograms.sort_by_key(|histogram| histogram.timestamp_ms);
                    histograms.dedup_by_key(|histogram| histogram.timestamp_ms);
                    to_chunks_between(samples, &histograms)
                };
                Series {
                    labels,
                    chunks,
                    histograms,
                }
            })
            .filter(|series| keep_empty || !series.is_empty())
            .collect();
        all.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        all
    }
}

/// Takes out the stale markers that end histograms, and returns them as histograms.
///
/// Prometheus sends the end of every series as a float and holds it as what stands before, which a
/// reader may rely on: version 3.15 passes over a float that follows histograms, now and then. Where
/// nothing stands before, what follows tells the kind.
fn take_ends(samples: &mut Vec<Sample>, histograms: &[Histogram]) -> Vec<Histogram> {
    let is_end = |sample: &Sample| sample.value.to_bits() == STALE_MARKER_BITS;
    let floats = samples.iter().filter(|sample| !is_end(sample));
    let floats = floats.map(|sample| (sample.timestamp_ms, None));
    let typed = histograms.iter().map(|it| (it.timestamp_ms, Some(it)));
    let mut kinds: Vec<(i64, Option<&Histogram>)> = floats.chain(typed).collect();
    kinds.sort_by_key(|(timestamp_ms, _)| *timestamp_ms);
    let mut ends = Vec::new();
    samples.retain(|sample| {
        let at = kinds.partition_point(|(timestamp_ms, _)| *timestamp_ms < sample.timestamp_ms);
        let (true, Some(ended)) = (is_end(sample), kinds[at.saturating_sub(1)].1) else {
            return true;
        };
        ends.push(Histogram {
            timestamp_ms: sample.timestamp_ms,
            sum: sample.value,
            count: ended.is_float().then_some(Count::Float(0.0)),
            ..Histogram::default()
        });
        false
    });
    ends
}

/// Returns the special value whose bits `text` has, if it is in the form in which they are stored.
fn special_value(text: &str) -> Option<f64> {
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let is_bits = text.len() == 16 && text.bytes().all(is_hex);
    let bits = u64::from_str_radix(text, 16).ok().filter(|_| is_bits)?;
    Some(f64::from_bits(bits)).filter(|value| is_special(*value))
}

/// The metric that has the measure `stored`; `None` if its content was not queried.
fn metric_name(stored: &str, content: Content) -> Option<Cow<'_, str>> {
    match (content, Measure::of(stored)) {
        (Content::Samples | Content::Labels, Measure::Samples(name))
        | (Content::Histograms | Content::Labels, Measure::Histograms(name)) => Some(name),
        (
            _,
            Measure::Samples(_) | Measure::Histograms(_) | Measure::Exemplars(_) | Measure::Test,
        ) => None,
    }
}

/// Returns the labels of a row and, if its values are such, the special value that they stand for.
pub(crate) fn row_labels(
    dimensions: &[String],
    values: &[Datum],
    metric_name: &str,
) -> Result<(Labels, Option<f64>), RowError> {
    let mut special = None;
    let mut has_no_labels = false;
    let mut labels = Vec::with_capacity(dimensions.len() + 1);
    labels.push(Label {
        name: METRIC_NAME_LABEL.to_owned(),
        value: metric_name.to_owned(),
    });
    for (dimension, value) in dimensions.iter().zip(values) {
        match value {
            Datum::Null => {}
            Datum::Scalar(value) => {
                let name = match Dimension::of(dimension) {
                    Dimension::Label(name) => name,
                    Dimension::NoLabels if value == NO_LABELS_VALUE => {
                        has_no_labels = true;
                        continue;
                    }
                    Dimension::ValueBits if let Some(value) = special_value(value) => {
                        special = Some(value);
                        continue;
                    }
                    // A label of another writer.
                    Dimension::NoLabels | Dimension::ValueBits => dimension.into(),
                };
                labels.push(Label {
                    name: name.into_owned(),
                    value: value.clone(),
                });
            }
            _ => {
                return Err(RowError::Shape(
                    "expected a string as the value of a dimension",
                ));
            }
        }
    }
    // The same: a series that has labels is not one without.
    if has_no_labels && labels.len() > 1 {
        labels.push(Label {
            name: NO_LABELS_DIMENSION.to_owned(),
            value: NO_LABELS_VALUE.to_owned(),
        });
    }
    Ok((Labels::new(labels), special))
}

/// Reads `2020-08-08 01:00:00.123456789`, UTC, to whole milliseconds since the Unix epoch.
pub(crate) fn parse_time_ms(text: &str) -> Result<i64, RowError> {
    if let Some(time_ms) = parse_usual_time_ms(text.as_bytes()) {
        return Ok(time_ms);
    }
    let error = || RowError::Time(text.to_owned());
    let time: DateTime = text.parse().map_err(|_| error())?;
    let zoned = time.to_zoned(TimeZone::UTC).map_err(|_| error())?;
    Ok(zoned.timestamp().as_millisecond())
}

/// Reads the form that the service writes, with nine decimals, from 1970 on; every sample has one.
fn parse_usual_time_ms(text: &[u8]) -> Option<i64> {
    let text: &[u8; 29] = text.try_into().ok()?;
    let separators = [4, 7, 10, 13, 16, 19].map(|place| text[place]);
    if separators != *b"-- ::." {
        return None;
    }
    let number = |places: Range<usize>| {
        text[places].iter().try_fold(0, |number, digit| {
            let digit = digit.is_ascii_digit().then(|| i64::from(digit - b'0'))?;
            Some(number * 10 + digit)
        })
    };
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let (millisecond, _) = (number(20..23)?, number(23..29)?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_of_month = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    let is_time = hour < 24 && minute < 60 && second < 60;
    if year < 1970 || !(1..=days_of_month).contains(&day) || !is_time {
        return None;
    }
    // Years that begin in March, so that the day of a leap year is the last one.
    let (year, month) = match month {
        1 | 2 => (year - 1, month + 9),
        _ => (year, month - 3),
    };
    let days_of_years = year * 365 + year / 4 - year / 100 + year / 400;
    let days = days_of_years + (153 * month + 2) / 5 + day - 1 - DAYS_TO_1970;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000 + millisecond)
}

/// From 1 March of the year 0 to 1 January 1970.
const DAYS_TO_1970: i64 = 719_468;

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use prom_wire::chunk::to_chunks;
    use proptest::prelude::*;

    use super::*;
    use crate::storage::read::selection::Matcher;
    use prom_model::MatchOp;

    fn selection(wanted: Wanted) -> Selection {
        Selection {
            destinations: vec![],
            matchers: vec![Matcher::new(MatchOp::NotEqual, "job", "b").unwrap()],
            range: Some((1_000, 5_000)),
            wanted,
        }
    }

    fn columns(dimensions: &[&str], content: Content) -> Columns {
        Columns {
            dimensions: dimensions.iter().map(|&name| name.to_owned()).collect(),
            content,
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
                .map(|(second, value)| (format!("1970-01-01 00:00:{second}"), value))
                .collect(),
        ));
        row
    }

    #[test]
    fn rows_of_one_series_are_joined_sorted_and_trimmed() {
        let selection = selection(Wanted::All);
        let mut builder = SeriesBuilder::new(&selection);
        let columns = columns(&["U__timex", "job"], Content::Samples);
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
            builder.add_row(&columns, row).unwrap();
        }
        let label = |name: &str, value: &str| Label {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        let samples = [(1_000, 1e10), (3_000, 3.0)].map(|(timestamp_ms, value)| Sample {
            timestamp_ms,
            value,
        });
        assert_eq!(
            builder.finish(),
            [Series {
                labels: Labels::new(vec![label("__name__", "a:b"), label("time", "x")]),
                chunks: to_chunks(samples),
                histograms: vec![],
            }]
        );
    }

    #[test]
    fn labels_alone_need_no_samples() {
        let selection = selection(Wanted::Labels);
        let mut builder = SeriesBuilder::new(&selection);
        let names = [
            "up",
            "U__histogram_of_up",
            "U__histogram_of_a",
            "U__exemplar_of_b",
        ];
        for name in names {
            let row = ["a", name].map(|text| Datum::Scalar(text.to_owned()));
            let columns = columns(&["job"], Content::Labels);
            builder.add_row(&columns, row.into()).unwrap();
        }
        let series = builder.finish();
        let labels = series.iter().map(|series| &series.labels);
        let seen: Vec<_> = labels
            .map(|it| (it.get("__name__"), it.get("job")))
            .collect();
        assert_eq!(seen, [("a", "a"), ("up", "a")]);
    }

    #[test]
    fn special_values_are_turned_back_and_yield_to_ordinary_ones() {
        let selection = selection(Wanted::All);
        let mut builder = SeriesBuilder::new(&selection);
        let columns = columns(&["U__value_bits"], Content::Samples);
        for (bits, seconds) in [
            (Some("7ff0000000000002"), &["01", "02", "03", "04"][..]),
            (Some("7ff8000000000001"), &["02", "04"]),
            (Some("8000000000000000"), &["03"]),
            (None, &["04"]),
        ] {
            let samples: Vec<_> = seconds.iter().map(|&second| (second, "0.0")).collect();
            builder.add_row(&columns, row(&[bits], &samples)).unwrap();
        }
        let series = builder.finish().remove(0);
        let bits: Vec<_> = series.samples().map(|s| s.value.to_bits()).collect();
        let expected = [STALE_MARKER_BITS, 0x7ff8_0000_0000_0001, 1 << 63, 0];
        assert_eq!(bits, expected);
    }

    #[test]
    fn labels_in_reserved_columns_are_labels() {
        let selection = selection(Wanted::All);
        let columns = columns(&["U__no_labels", "U__value_bits", "a"], Content::Samples);
        let cases: [(&[Option<&str>], &[(&str, &str)]); 12] = [
            (&[None, None, None], &[]),
            (&[Some("1"), None, None], &[]),
            (&[Some("1"), Some("7ff0000000000002"), None], &[]),
            (
                &[Some("1"), None, Some("b")],
                &[("U__no_labels", "1"), ("a", "b")],
            ),
            (&[Some("2"), None, None], &[("U__no_labels", "2")]),
            (
                &[Some("2"), Some("fff0000000000000"), None],
                &[("U__no_labels", "2")],
            ),
            (&[None, Some("7ff8000000000001"), Some("b")], &[("a", "b")]),
            // No bits, no hexadecimal digits in small letters, an ordinary value.
            (&[None, Some("7ff"), None], &[("U__value_bits", "7ff")]),
            (&[None, Some("label"), None], &[("U__value_bits", "label")]),
            (
                &[None, Some("+ff0000000000002"), None],
                &[("U__value_bits", "+ff0000000000002")],
            ),
            (
                &[None, Some("7FF0000000000002"), None],
                &[("U__value_bits", "7FF0000000000002")],
            ),
            (
                &[None, Some("3ff0000000000000"), Some("b")],
                &[("U__value_bits", "3ff0000000000000"), ("a", "b")],
            ),
        ];
        for (dimensions, labels) in cases {
            let mut builder = SeriesBuilder::new(&selection);
            let samples = [("02.000000000", "0.0")];
            builder
                .add_row(&columns, row(dimensions, &samples))
                .unwrap();
            let series = builder.finish().remove(0);
            let all = series.labels.iter().map(|it| (&*it.name, &*it.value));
            let found: Vec<_> = all.filter(|(name, _)| *name != "__name__").collect();
            assert_eq!(found, labels, "{dimensions:?}");
        }
    }

    #[test]
    fn histograms_join_the_samples_of_their_series() {
        let selection = selection(Wanted::All);
        let mut builder = SeriesBuilder::new(&selection);
        let histogram = Histogram {
            timestamp_ms: 2_000,
            sum: 0.5,
            ..Histogram::default()
        };
        let text = histogram::to_text(&histogram);
        let samples = columns(&[], Content::Samples);
        builder
            .add_row(&samples, row(&[], &[("01", "1.0")]))
            .unwrap();
        let histograms = columns(&[], Content::Histograms);
        let named = |name: &str, text: &str| {
            let mut row = row(&[], &[("02", text), ("06", text)]);
            row[0] = Datum::Scalar(name.to_owned());
            row
        };
        let rows = ["U__histogram_of_U__a_3a_bx", "U__exemplar_of_x"];
        for row in rows.map(|name| named(name, &text)) {
            builder.add_row(&histograms, row).unwrap();
        }
        let bad = builder.add_row(&histograms, named("U__histogram_of_x", "?"));
        assert_eq!(bad, Err(RowError::Histogram("?".to_owned())));
        let invalid = histogram::to_text(&Histogram {
            count: Some(Count::Int(9)),
            ..Histogram::default()
        });
        let bad = builder.add_row(&histograms, named("U__histogram_of_x", &invalid));
        let error = HistogramError::Count {
            buckets: 0,
            count: 9,
        };
        let text = invalid;
        assert_eq!(bad, Err(RowError::InvalidHistogram { text, error }));
        let all = builder.finish();
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].samples().count(), 1);
        assert_eq!(all[0].histograms, [histogram]);
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

    proptest! {
        /// Every day of the centuries that Timestream has.
        #[test]
        fn usual_times_are_those_of_jiff(
            days in 0_i64..110_000,
            ns in 0_i64..86_400_000_000_000,
            digit in 0_usize..29,
            other in "[0-9 :.T-]",
        ) {
            let ns = i128::from(days) * 86_400_000_000_000 + i128::from(ns);
            let time = Timestamp::from_nanosecond(ns).unwrap().to_zoned(TimeZone::UTC);
            let text = time.strftime("%Y-%m-%d %H:%M:%S.%9f").to_string();
            let expected = i64::try_from(ns / 1_000_000).unwrap();
            prop_assert_eq!(parse_usual_time_ms(text.as_bytes()), Some(expected));
            // What it does not take to be one, or takes to be another one, jiff does too.
            let mut changed = text;
            changed.replace_range(digit..=digit, &other);
            if let Some(time_ms) = parse_usual_time_ms(changed.as_bytes()) {
                let time: DateTime = changed.parse().unwrap();
                let time = time.to_zoned(TimeZone::UTC).unwrap().timestamp();
                prop_assert_eq!(time_ms, time.as_millisecond());
            }
        }
    }

    #[test]
    fn times_that_are_none() {
        for text in [
            "1970-01-01 00:00:00.00000000",
            "1969-12-31 23:59:59.000000000",
            "1970-02-29 00:00:00.000000000",
            "1900-02-29 00:00:00.000000000",
            "1970-13-01 00:00:00.000000000",
            "1970-00-01 00:00:00.000000000",
            "1970-01-00 00:00:00.000000000",
            "1970-04-31 00:00:00.000000000",
            "1970-01-01 24:00:00.000000000",
            "1970-01-01 00:60:00.000000000",
            "1970-01-01 00:00:60.000000000",
            "1970-01-01T00:00:00.000000000",
            "1970-01-01 00:00:00.00000000x",
        ] {
            assert_eq!(parse_usual_time_ms(text.as_bytes()), None, "{text}");
        }
        let leap = parse_usual_time_ms(b"2000-02-29 00:00:00.000000000");
        assert_eq!(leap, Some(951_782_400_000));
    }

    #[test]
    fn a_stale_marker_is_of_the_kind_that_it_ends() {
        let stale = |timestamp_ms| Sample {
            timestamp_ms,
            value: f64::from_bits(STALE_MARKER_BITS),
        };
        let of = |timestamp_ms, count| Histogram {
            timestamp_ms,
            count: Some(count),
            ..Histogram::default()
        };
        let float = Sample {
            timestamp_ms: 30,
            value: 1.0,
        };
        let histograms = [of(10, Count::Int(1)), of(40, Count::Float(1.0))];
        let mut samples = vec![stale(5), stale(20), float, stale(35), stale(40), stale(50)];
        let ends = take_ends(&mut samples, &histograms);
        let times: Vec<_> = samples.iter().map(|sample| sample.timestamp_ms).collect();
        assert_eq!(times, [30, 35, 40]);
        let ends: Vec<_> = ends
            .iter()
            .map(|it| (it.timestamp_ms, it.is_float()))
            .collect();
        assert_eq!(ends, [(5, false), (20, false), (50, true)]);
    }

    #[test]
    fn another_shape_is_rejected() {
        let selection = selection(Wanted::All);
        let mut builder = SeriesBuilder::new(&selection);
        let none = columns(&[], Content::Samples);
        let one = columns(&["a"], Content::Samples);
        assert!(builder.add_row(&one, vec![]).is_err());
        assert!(builder.add_row(&none, row(&[None], &[])).is_err());
        let bad = row(&[], &[("01", "many")]);
        assert_eq!(
            builder.add_row(&none, bad),
            Err(RowError::Value("many".to_owned()))
        );
    }
}
