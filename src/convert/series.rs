//! A remote write request to the records that Timestream can store, by destination.
//!
//! Each sample ends in exactly one of three places: a record, a count of samples left out by
//! policy, or a fault of its series that the sender has to mend. Labels and values are borrowed
//! from the request.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;

use super::limits::{
    MAX_DESTINATION_NAME_BYTES, MAX_DIMENSION_NAME_BYTES, MAX_DIMENSIONS, MAX_MEASURE_NAME_BYTES,
    MAX_RECORD_BYTES, TIME_AND_DOUBLE_BYTES,
};
use super::names::{NO_LABELS_DIMENSION, NO_LABELS_VALUE, escape};
use crate::model::{Destination, METRIC_NAME_LABEL};
use crate::prompb;

/// Which labels name the destination of a series, and where a series without them goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routing {
    /// How the database is found.
    pub database: RoutePart,
    /// How the table is found.
    pub table: RoutePart,
}

/// One half of a destination: the label that names it and the value of series without the label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoutePart {
    /// The label whose value is the name; it is never stored.
    pub label: Option<String>,
    /// The name for series and queries without that label.
    pub default: Option<String>,
}

/// What to do with samples that Timestream cannot store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WritePolicy {
    /// Refuse the whole request when a name or a label set is over the limits.
    pub fail_on_long_label: bool,
    /// Refuse the whole request when a value is not finite or a timestamp is negative.
    pub fail_on_invalid_sample_value: bool,
}

/// Why samples were left out by policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IgnoreReason {
    /// The stored metric name has more than 256 bytes.
    LongMetricName,
    /// A stored label name has more than 60 bytes.
    LongLabelName,
    /// The series has more than 128 labels.
    TooManyLabels,
    /// Time, name, labels and value together exceed 2 KB.
    RecordTooLarge,
    /// The value is NaN or infinite.
    ValueNotFinite,
    /// The time is before 1970.
    NegativeTimestamp,
}

impl IgnoreReason {
    /// All reasons.
    pub const ALL: [Self; 6] = [
        Self::LongMetricName,
        Self::LongLabelName,
        Self::TooManyLabels,
        Self::RecordTooLarge,
        Self::ValueNotFinite,
        Self::NegativeTimestamp,
    ];

    /// The value of the label `reason` of `timestream_connector_ignored_samples_total`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LongMetricName => "long_metric_name",
            Self::LongLabelName => "long_label_name",
            Self::TooManyLabels => "too_many_labels",
            Self::RecordTooLarge => "record_too_large",
            Self::ValueNotFinite => "value_not_finite",
            Self::NegativeTimestamp => "negative_timestamp",
        }
    }
}

/// What makes a series impossible to route or to understand; the sender has to mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SeriesFault {
    /// The series has no metric name.
    #[error("{name}: the time series {labels} has no label __name__; give it a metric name", name = self.name())]
    NoMetricName {
        /// The labels of the series, for the text.
        labels: String,
    },
    /// A label name occurs twice.
    #[error("{name}: label name '{repeated}' occurs more than once in the time series {labels}; send each label once", name = self.name())]
    RepeatedLabel {
        /// The repeated name.
        repeated: String,
        /// The labels of the series, for the text.
        labels: String,
    },
    /// The series names no database and there is no default one.
    #[error("{name}: the given database label name: {label} cannot be found in the labels of the time series {labels}; add it with write_relabel_configs or external_labels, or set default_database", name = self.name())]
    MissingDatabase {
        /// The configured label.
        label: String,
        /// The labels of the series, for the text.
        labels: String,
    },
    /// The series names no table and there is no default one.
    #[error("{name}: the given table label name: {label} cannot be found in the labels of the time series {labels}; add it with write_relabel_configs or external_labels, or set default_table", name = self.name())]
    MissingTable {
        /// The configured label.
        label: String,
        /// The labels of the series, for the text.
        labels: String,
    },
    /// The database or table cannot exist under this name.
    #[error("{name}: '{impossible}' of the time series {labels} cannot be the name of a Timestream database or table; use 1 to 256 letters, digits, '_', '.' or '-'", name = self.name())]
    InvalidDestination {
        /// The impossible name.
        impossible: String,
        /// The labels of the series, for the text.
        labels: String,
    },
}

impl SeriesFault {
    /// The name that starts its text.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NoMetricName { .. } => "MissingMetricName",
            Self::RepeatedLabel { .. } => "RepeatedLabelName",
            Self::MissingDatabase { .. } => "MissingDatabaseWithWriteError",
            Self::MissingTable { .. } => "MissingTableWithWriteError",
            Self::InvalidDestination { .. } => "InvalidDestinationName",
        }
    }
}

/// A `fail_on_*` option refuses the whole request because of this sample or series.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// A metric or label name is too long.
    #[error(
        "LongLabelNameError: {what} name '{name}' exceeds {limit} bytes, the maximum length supported by Timestream; shorten it by relabelling, or unset fail_on_long_label to leave such series out"
    )]
    LongName {
        /// `metric` or `label`.
        what: &'static str,
        /// The name as received.
        name: String,
        /// The limit that its stored form exceeds.
        limit: usize,
    },
    /// The series has too many labels, or they are too large.
    #[error(
        "LongLabelNameError: the labels of the time series {labels} exceed {limit}, the maximum supported by Timestream; drop labels by relabelling, or unset fail_on_long_label to leave such series out"
    )]
    LargeSeries {
        /// The labels of the series, cut for the text.
        labels: String,
        /// The limit with its unit.
        limit: &'static str,
    },
    /// The sample cannot be stored.
    #[error(
        "InvalidSampleValueError: invalid sample value {value} at timestamp {timestamp_ms} of the time series {labels}; only finite values at times from 1970 on are accepted: drop the series by relabelling, or unset fail_on_invalid_sample_value to leave such samples out"
    )]
    InvalidSample {
        /// The value.
        value: f64,
        /// The time, in milliseconds.
        timestamp_ms: i64,
        /// The labels of the series, cut for the text.
        labels: String,
    },
}

/// What became of the samples of a request.
#[derive(Debug, Default)]
pub struct Conversion<'a> {
    /// Records by destination, destinations in order of first appearance.
    pub destinations: Vec<DestinationRecords<'a>>,
    /// Samples left out by policy.
    pub ignored: BTreeMap<IgnoreReason, u64>,
    /// Faults with the number of samples they cost, the first of each kind and destination part.
    pub faults: Vec<(SeriesFault, u64)>,
    /// Samples received.
    pub received: u64,
}

/// The records of one destination.
#[derive(Debug)]
pub struct DestinationRecords<'a> {
    /// Where they go.
    pub destination: Destination,
    /// The series that the records refer to.
    pub series: Vec<StoredSeries<'a>>,
    /// One record for each sample, in the order received.
    pub records: Vec<Record>,
}

/// A series in its stored form.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct StoredSeries<'a> {
    /// The escaped metric name.
    pub measure_name: Cow<'a, str>,
    /// At least one dimension; sorted by name, names unique.
    pub dimensions: Vec<Dimension<'a>>,
}

/// A dimension: an escaped label.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Dimension<'a> {
    /// The escaped label name.
    pub name: Cow<'a, str>,
    /// The label value as received.
    pub value: &'a str,
}

impl Dimension<'_> {
    /// UTF-8 bytes of name and value, as AWS counts them.
    pub fn bytes(&self) -> usize {
        self.name.len() + self.value.len()
    }
}

/// One sample of a stored series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Record {
    /// Index into [`DestinationRecords::series`].
    pub series: usize,
    /// Milliseconds since the Unix epoch, not negative.
    pub timestamp_ms: i64,
    /// A finite value; `-0.0` has become `0.0`, because Timestream refuses it.
    pub value: f64,
}

/// Turns the series of a request into records by destination.
///
/// Series without a metric name, with a repeated label name or without a destination are
/// reported in [`Conversion::faults`]; what Timestream cannot hold is counted in
/// [`Conversion::ignored`]; everything else becomes a record.
///
/// # Errors
/// A `fail_on_*` option is set and the request holds something that it refuses.
pub fn series_to_records<'a>(
    timeseries: &'a [prompb::TimeSeries],
    routing: &'a Routing,
    policy: WritePolicy,
) -> Result<Conversion<'a>, Refusal> {
    let mut conversion = Conversion::default();
    let mut slots: HashMap<(&str, &str), usize> = HashMap::new();
    for series in timeseries {
        conversion.received += series.samples.len() as u64;
        if series.samples.is_empty() {
            continue;
        }
        let routed = match route(&series.labels, routing) {
            Ok(routed) => routed,
            Err(fault) => {
                conversion.add_fault(fault, series.samples.len() as u64);
                continue;
            }
        };
        let stored = match store(routed.metric_name, routed.labels) {
            Ok(stored) => stored,
            Err(over) => {
                if policy.fail_on_long_label {
                    return Err(over.refusal(&series.labels));
                }
                conversion.ignore(over.reason(), series, &series.samples);
                continue;
            }
        };
        let slot = *slots
            .entry((routed.database, routed.table))
            .or_insert_with(|| {
                conversion.destinations.push(DestinationRecords {
                    destination: Destination {
                        database: routed.database.to_owned(),
                        table: routed.table.to_owned(),
                    },
                    series: Vec::new(),
                    records: Vec::new(),
                });
                conversion.destinations.len() - 1
            });
        conversion.add_samples(slot, stored, series, policy)?;
    }
    Ok(conversion)
}

impl<'a> Conversion<'a> {
    fn add_samples(
        &mut self,
        slot: usize,
        stored: StoredSeries<'a>,
        series: &prompb::TimeSeries,
        policy: WritePolicy,
    ) -> Result<(), Refusal> {
        let index = self.destinations[slot].series.len();
        for sample in &series.samples {
            let reason = if sample.timestamp < 0 {
                IgnoreReason::NegativeTimestamp
            } else if !sample.value.is_finite() {
                IgnoreReason::ValueNotFinite
            } else {
                self.destinations[slot].records.push(Record {
                    series: index,
                    timestamp_ms: sample.timestamp,
                    value: if sample.value == 0.0 {
                        0.0
                    } else {
                        sample.value
                    },
                });
                continue;
            };
            if policy.fail_on_invalid_sample_value {
                return Err(Refusal::InvalidSample {
                    value: sample.value,
                    timestamp_ms: sample.timestamp,
                    labels: describe_labels(&series.labels),
                });
            }
            self.ignore(reason, series, std::slice::from_ref(sample));
        }
        self.destinations[slot].series.push(stored);
        Ok(())
    }

    fn ignore(
        &mut self,
        reason: IgnoreReason,
        series: &prompb::TimeSeries,
        samples: &[prompb::Sample],
    ) {
        *self.ignored.entry(reason).or_default() += samples.len() as u64;
        if !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        for sample in samples {
            tracing::debug!(
                reason = reason.as_str(),
                labels = describe_labels(&series.labels),
                value = sample.value,
                timestamp = sample.timestamp,
                "Sample ignored."
            );
        }
    }

    /// Adds up faults of one kind, so that a request of thousands of such series yields one text.
    fn add_fault(&mut self, fault: SeriesFault, samples: u64) {
        let kind = std::mem::discriminant(&fault);
        match self
            .faults
            .iter_mut()
            .find(|(known, _)| std::mem::discriminant(known) == kind)
        {
            Some((_, count)) => *count += samples,
            None => self.faults.push((fault, samples)),
        }
    }
}

/// The labels of a series, taken apart.
struct Routed<'a> {
    database: &'a str,
    table: &'a str,
    metric_name: &'a str,
    /// Sorted by name, without the metric name, the destination labels and empty values.
    labels: Vec<(&'a str, &'a str)>,
}

fn route<'a>(
    received: &'a [prompb::Label],
    routing: &'a Routing,
) -> Result<Routed<'a>, SeriesFault> {
    let mut labels: Vec<(&str, &str)> = received
        .iter()
        .map(|label| (label.name.as_str(), label.value.as_str()))
        .collect();
    labels.sort_unstable();
    if let Some(pair) = labels.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(SeriesFault::RepeatedLabel {
            repeated: pair[0].0.to_owned(),
            labels: describe_labels(received),
        });
    }
    labels.retain(|(_, value)| !value.is_empty());
    let mut take = |name: &str| {
        let index = labels.iter().position(|(label, _)| *label == name)?;
        Some(labels.remove(index).1)
    };
    let metric_name = take(METRIC_NAME_LABEL);
    let mut part = |part: &'a RoutePart| {
        let named = part.label.as_deref().and_then(&mut take);
        named.or(part.default.as_deref())
    };
    let (database, table) = (part(&routing.database), part(&routing.table));
    let label_of = |part: &RoutePart| part.label.clone().unwrap_or_default();
    let metric_name = metric_name.ok_or_else(|| SeriesFault::NoMetricName {
        labels: describe_labels(received),
    })?;
    let database = database.ok_or_else(|| SeriesFault::MissingDatabase {
        label: label_of(&routing.database),
        labels: describe_labels(received),
    })?;
    let table = table.ok_or_else(|| SeriesFault::MissingTable {
        label: label_of(&routing.table),
        labels: describe_labels(received),
    })?;
    if let Some(name) = [database, table]
        .into_iter()
        .find(|name| !is_destination_name(name))
    {
        return Err(SeriesFault::InvalidDestination {
            impossible: cut(name, 64).into_owned(),
            labels: describe_labels(received),
        });
    }
    Ok(Routed {
        database,
        table,
        metric_name,
        labels,
    })
}

/// Whether a Timestream database or table can have this name.
pub(crate) fn is_destination_name(name: &str) -> bool {
    (1..=MAX_DESTINATION_NAME_BYTES).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

/// A series that is over a limit of Timestream.
enum OverLimit<'a> {
    MetricName(&'a str),
    LabelName(&'a str),
    Labels,
    Record,
}

impl OverLimit<'_> {
    fn reason(&self) -> IgnoreReason {
        match self {
            Self::MetricName(_) => IgnoreReason::LongMetricName,
            Self::LabelName(_) => IgnoreReason::LongLabelName,
            Self::Labels => IgnoreReason::TooManyLabels,
            Self::Record => IgnoreReason::RecordTooLarge,
        }
    }

    fn refusal(&self, labels: &[prompb::Label]) -> Refusal {
        let long = |what, name: &str, limit| Refusal::LongName {
            what,
            name: cut(name, 256).into_owned(),
            limit,
        };
        let large = |limit| Refusal::LargeSeries {
            labels: describe_labels(labels),
            limit,
        };
        match *self {
            Self::MetricName(name) => long("metric", name, MAX_MEASURE_NAME_BYTES),
            Self::LabelName(name) => long("label", name, MAX_DIMENSION_NAME_BYTES),
            Self::Labels => large("128 labels"),
            Self::Record => large("2048 bytes"),
        }
    }
}

fn store<'a>(
    metric_name: &'a str,
    labels: Vec<(&'a str, &'a str)>,
) -> Result<StoredSeries<'a>, OverLimit<'a>> {
    let measure_name = escape(metric_name);
    if measure_name.len() > MAX_MEASURE_NAME_BYTES {
        return Err(OverLimit::MetricName(metric_name));
    }
    if labels.len() > MAX_DIMENSIONS {
        return Err(OverLimit::Labels);
    }
    let mut bytes = TIME_AND_DOUBLE_BYTES + measure_name.len();
    let mut dimensions = Vec::with_capacity(labels.len().max(1));
    for (label, value) in labels {
        let name = escape(label);
        if name.len() > MAX_DIMENSION_NAME_BYTES {
            return Err(OverLimit::LabelName(label));
        }
        bytes += name.len() + value.len();
        dimensions.push(Dimension { name, value });
    }
    if dimensions.is_empty() {
        dimensions.push(Dimension {
            name: Cow::Borrowed(NO_LABELS_DIMENSION),
            value: NO_LABELS_VALUE,
        });
    }
    if bytes > MAX_RECORD_BYTES {
        return Err(OverLimit::Record);
    }
    // Escaping can change the order of the names.
    dimensions.sort_unstable();
    Ok(StoredSeries {
        measure_name,
        dimensions,
    })
}

/// The labels of a series for a message, as `{a="1", b="2"}`, cut to a readable length.
fn describe_labels(labels: &[prompb::Label]) -> String {
    const MAX_BYTES: usize = 300;
    let mut text = String::from("{");
    for (index, label) in labels.iter().enumerate() {
        if text.len() > MAX_BYTES {
            text.push_str(", ...");
            break;
        }
        let separator = if index == 0 { "" } else { ", " };
        text.push_str(separator);
        text.push_str(&cut(&label.name, 80));
        text.push_str(&format!("={:?}", cut(&label.value, 80)));
    }
    text.push('}');
    text
}

/// At most `max_bytes` of `text`, with dots where something is missing.
fn cut(text: &str, max_bytes: usize) -> Cow<'_, str> {
    if text.len() <= max_bytes {
        return Cow::Borrowed(text);
    }
    let end = text.floor_char_boundary(max_bytes);
    Cow::Owned(format!("{}...", &text[..end]))
}

impl fmt::Display for StoredSeries<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{{", self.measure_name)?;
        for (index, dimension) in self.dimensions.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{}={:?}", dimension.name, dimension.value)?;
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routing() -> Routing {
        let part = |label: &str, default: Option<&str>| RoutePart {
            label: Some(label.to_owned()),
            default: default.map(str::to_owned),
        };
        Routing {
            database: part("db", Some("main")),
            table: part("table", None),
        }
    }

    fn series(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> prompb::TimeSeries {
        let label = |&(name, value): &(&str, &str)| prompb::Label {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        let sample = |&(timestamp, value): &(i64, f64)| prompb::Sample { value, timestamp };
        prompb::TimeSeries {
            labels: labels.iter().map(label).collect(),
            samples: samples.iter().map(sample).collect(),
        }
    }

    /// Each destination with its records as `time value series`.
    fn records(conversion: &Conversion<'_>) -> Vec<(String, Vec<String>)> {
        let text = |all: &DestinationRecords<'_>, record: &Record| {
            let series = &all.series[record.series];
            format!("{} {:?} {series}", record.timestamp_ms, record.value)
        };
        let of = |all: &DestinationRecords<'_>| {
            let records = all.records.iter().map(|record| text(all, record));
            (all.destination.to_string(), records.collect())
        };
        conversion.destinations.iter().map(of).collect()
    }

    #[test]
    fn series_become_records_by_destination() {
        let request = [
            series(
                &[("table", "t"), ("job", "b"), ("__name__", "a:b")],
                &[(1, 1.5), (2, -0.0)],
            ),
            series(
                &[("__name__", "up"), ("db", "x"), ("table", "t"), ("_l", "1")],
                &[(1, 1.0)],
            ),
            series(
                &[
                    ("__name__", "up"),
                    ("table", "t"),
                    ("db", ""),
                    ("empty", ""),
                ],
                &[(3, 2.0)],
            ),
            series(&[("__name__", "no_samples")], &[]),
        ];
        let routing = routing();
        let conversion = series_to_records(&request, &routing, WritePolicy::default()).unwrap();
        let expected = [
            (
                "main/t",
                vec![
                    r#"1 1.5 U__a_3a_bx{job="b"}"#,
                    r#"2 0.0 U__a_3a_bx{job="b"}"#,
                    r#"3 2.0 up{U__no_labels="1"}"#,
                ],
            ),
            ("x/t", vec![r#"1 1.0 up{U____lx="1"}"#]),
        ];
        let expected = expected.map(|(destination, records)| {
            let records = records.into_iter().map(str::to_owned).collect();
            (destination.to_owned(), records)
        });
        assert_eq!(records(&conversion), expected);
        assert_eq!(conversion.received, 4);
    }

    #[test]
    fn a_faulty_series_costs_its_samples_only() {
        let cases: [(&[(&str, &str)], &str); 5] = [
            (&[("table", "t"), ("l", "1")], "MissingMetricName"),
            (&[("__name__", ""), ("table", "t")], "MissingMetricName"),
            (
                &[("__name__", "m"), ("l", "1"), ("l", "2")],
                "RepeatedLabelName",
            ),
            (
                &[("__name__", "m"), ("table", "")],
                "MissingTableWithWriteError",
            ),
            (
                &[("__name__", "m"), ("table", "a/b")],
                "InvalidDestinationName",
            ),
        ];
        let routing = routing();
        for (labels, expected) in cases {
            let good = series(&[("__name__", "m"), ("table", "t")], &[(1, 1.0)]);
            let request = [series(labels, &[(1, 1.0), (2, 2.0)]), good];
            let conversion = series_to_records(&request, &routing, WritePolicy::default()).unwrap();
            assert_eq!(conversion.destinations[0].records.len(), 1, "{labels:?}");
            let [(fault, 2)] = conversion.faults.as_slice() else {
                panic!("{:?}", conversion.faults)
            };
            assert_eq!(fault.name(), expected);
            assert!(fault.to_string().starts_with(expected), "{fault}");
        }
    }

    #[test]
    fn what_cannot_be_stored_is_left_out_or_refused() {
        let long = "x".repeat(257);
        let labels: Vec<String> = (0..129).map(|i| format!("l{i}")).collect();
        let many: Vec<_> = labels.iter().map(|name| (name.as_str(), "1")).collect();
        let value = "v".repeat(2_048 - 16 - 1 - 1);
        let cases: [(&str, &[(&str, &str)], f64, Option<IgnoreReason>); 10] = [
            (&long, &[], 1.0, Some(IgnoreReason::LongMetricName)),
            (&long[..256], &[], 1.0, None),
            (
                "m",
                &[(&long[..61], "1")],
                1.0,
                Some(IgnoreReason::LongLabelName),
            ),
            ("m", &[(&long[..60], "1")], 1.0, None),
            // Only the escaped form is too long.
            (
                "m",
                &[("ü.ü.ü.ü.ü.ü.ü.ü.", "1")],
                1.0,
                Some(IgnoreReason::LongLabelName),
            ),
            ("m", &many, 1.0, Some(IgnoreReason::TooManyLabels)),
            ("m", &many[..128], 1.0, None),
            ("m", &[("l", &value)], 1.0, None),
            (
                "mm",
                &[("l", &value)],
                1.0,
                Some(IgnoreReason::RecordTooLarge),
            ),
            (
                "m",
                &[],
                f64::NEG_INFINITY,
                Some(IgnoreReason::ValueNotFinite),
            ),
        ];
        let strict = WritePolicy {
            fail_on_long_label: true,
            fail_on_invalid_sample_value: true,
        };
        let routing = routing();
        for (name, labels, value, expected) in cases {
            let all = [&[("__name__", name), ("table", "t")], labels].concat();
            let request = [series(&all, &[(1, value)])];
            let lenient = series_to_records(&request, &routing, WritePolicy::default()).unwrap();
            let ignored = expected.map(|reason| (reason, 1)).into_iter().collect();
            assert_eq!(lenient.ignored, ignored, "{name} {}", labels.len());
            let refused = series_to_records(&request, &routing, strict).is_err();
            assert_eq!(refused, expected.is_some(), "{name} {}", labels.len());
        }
    }
}
