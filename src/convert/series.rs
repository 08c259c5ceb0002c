//! A remote write request to the records that Timestream can store, by destination.
//!
//! Each sample becomes a record or is left out, by policy or because its series has a fault that the
//! sender has to mend. Labels and values are borrowed from the request.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use super::limits::{
    MAX_DIMENSION_NAME_BYTES, MAX_DIMENSIONS, MAX_MEASURE_NAME_BYTES, MAX_RECORD_BYTES,
    TIME_AND_DOUBLE_BYTES,
};
use super::names::{NO_LABELS_DIMENSION, NO_LABELS_VALUE, escape};
use super::route::{Routing, SeriesFault, route};
use super::value::Value;
use crate::model::{Destination, Sample};
use crate::received::{Item, Items, Label, Labels, Request, Series, cut};

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
    /// A value of a later version is stored; only where records have versions.
    Superseded,
    /// A native histogram.
    Histogram,
    /// An exemplar.
    Exemplar,
}

impl IgnoreReason {
    /// All reasons.
    pub const ALL: [Self; 9] = [
        Self::LongMetricName,
        Self::LongLabelName,
        Self::TooManyLabels,
        Self::RecordTooLarge,
        Self::ValueNotFinite,
        Self::NegativeTimestamp,
        Self::Superseded,
        Self::Histogram,
        Self::Exemplar,
    ];

    /// Whether nothing is missing in Timestream although the sample was left out.
    pub fn is_settled(self) -> bool {
        self == Self::Superseded
    }

    /// The value of the label `reason` of `timestream_connector_ignored_samples_total`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LongMetricName => "long_metric_name",
            Self::LongLabelName => "long_label_name",
            Self::TooManyLabels => "too_many_labels",
            Self::RecordTooLarge => "record_too_large",
            Self::ValueNotFinite => "value_not_finite",
            Self::NegativeTimestamp => "negative_timestamp",
            Self::Superseded => "superseded",
            Self::Histogram => "histogram",
            Self::Exemplar => "exemplar",
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
    /// The samples that became no record.
    pub left_out: Vec<LeftOut>,
}

/// Samples that became no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Which ones.
    pub items: Items,
    /// Why.
    pub why: WhyLeftOut,
}

/// Why samples became no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyLeftOut {
    /// Timestream cannot hold them; the policy is to leave them out.
    Ignored(IgnoreReason),
    /// Their series cannot be routed or understood.
    Faulty(SeriesFault),
}

/// The records of one destination.
#[derive(Debug)]
pub struct DestinationRecords<'a> {
    /// Where they go.
    pub destination: Destination,
    /// The series that the records refer to.
    pub series: Vec<StoredSeries<'a>>,
    /// One record for each sample, in the order received.
    pub records: Vec<Record<'a>>,
}

/// A series in its stored form.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct StoredSeries<'a> {
    /// The escaped metric name.
    pub measure_name: Cow<'a, str>,
    /// At least one dimension; sorted by name, names unique.
    pub dimensions: Vec<Dimension<'a>>,
}

impl StoredSeries<'_> {
    /// UTF-8 bytes of the names and values that every record of it has, as AWS counts them.
    pub fn bytes(&self) -> usize {
        self.measure_name.len() + self.dimensions.iter().map(Dimension::bytes).sum::<usize>()
    }
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
#[derive(Clone, Debug, PartialEq)]
pub struct Record<'a> {
    /// The sample that it stores.
    pub item: Items,
    /// Index into [`DestinationRecords::series`].
    pub series: usize,
    /// Milliseconds since the Unix epoch, not negative.
    pub timestamp_ms: i64,
    /// What the series is at this time.
    pub value: Value<'a>,
}

/// Turns the series of a request into records by destination.
///
/// Every sample is in exactly one record or in [`Conversion::left_out`].
///
/// # Errors
/// A `fail_on_*` option is set and the request holds something that it refuses.
pub fn series_to_records<'a>(
    request: &Request<'a>,
    routing: &Routing,
    policy: WritePolicy,
) -> Result<Conversion<'a>, Refusal> {
    let mut conversion = Conversion::default();
    let mut slots: HashMap<(&str, &str), usize> = HashMap::new();
    let concerns =
        |series: &Series<'_, '_>| !series.content.is_empty() || series.bad_reference.is_some();
    for series in request.iter().filter(concerns) {
        let routed = match route(&series, routing) {
            Ok(routed) => routed,
            Err(fault) => {
                conversion.leave_out(series.items, WhyLeftOut::Faulty(fault));
                continue;
            }
        };
        let stored = match store(routed.metric_name, routed.labels) {
            Ok(stored) => stored,
            Err(over) if policy.fail_on_long_label => return Err(over.refusal(series.labels)),
            Err(over) => {
                conversion.leave_out(series.items, WhyLeftOut::Ignored(over.reason()));
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
        conversion.add_items(slot, stored, &series, policy)?;
    }
    Ok(conversion)
}

impl<'a> Conversion<'a> {
    fn add_items(
        &mut self,
        slot: usize,
        stored: StoredSeries<'a>,
        series: &Series<'_, 'a>,
        policy: WritePolicy,
    ) -> Result<(), Refusal> {
        let index = self.destinations[slot].series.len();
        for (item, content) in series.items.each().zip(series.content) {
            let sample = match content {
                Item::Sample(sample) => sample,
                Item::Histogram(_) => {
                    self.leave_out(item, WhyLeftOut::Ignored(IgnoreReason::Histogram));
                    continue;
                }
                Item::Exemplar(_) => {
                    self.leave_out(item, WhyLeftOut::Ignored(IgnoreReason::Exemplar));
                    continue;
                }
            };
            match invalid(sample) {
                None => self.destinations[slot].records.push(Record {
                    item,
                    series: index,
                    timestamp_ms: sample.timestamp_ms,
                    value: Value::Double(stored_value(sample.value)),
                }),
                Some(_) if policy.fail_on_invalid_sample_value => {
                    return Err(Refusal::InvalidSample {
                        value: sample.value,
                        timestamp_ms: sample.timestamp_ms,
                        labels: series.labels.to_string(),
                    });
                }
                Some(reason) => self.leave_out(item, WhyLeftOut::Ignored(reason)),
            }
        }
        self.destinations[slot].series.push(stored);
        Ok(())
    }

    fn leave_out(&mut self, items: Items, why: WhyLeftOut) {
        self.left_out.push(LeftOut { items, why });
    }
}

/// Why Timestream cannot hold a sample, if it cannot.
fn invalid(sample: &Sample) -> Option<IgnoreReason> {
    if sample.timestamp_ms < 0 {
        Some(IgnoreReason::NegativeTimestamp)
    } else if !sample.value.is_finite() {
        Some(IgnoreReason::ValueNotFinite)
    } else {
        None
    }
}

/// Timestream refuses `-0.0`.
fn stored_value(value: f64) -> f64 {
    if value == 0.0 { 0.0 } else { value }
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

    fn refusal(&self, labels: Labels<'_, '_>) -> Refusal {
        let long = |what, name: &str, limit| Refusal::LongName {
            what,
            name: cut(name, 256).into_owned(),
            limit,
        };
        let large = |limit| Refusal::LargeSeries {
            labels: labels.to_string(),
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
    labels: Vec<Label<'a>>,
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
    use crate::convert::route::RoutePart;

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

    fn request<'a>(all: &[(&[Label<'a>], &[(i64, f64)])]) -> Request<'a> {
        let mut request = Request::default();
        for (labels, samples) in all {
            for (name, value) in *labels {
                request.push_label(name, value);
            }
            for &(timestamp_ms, value) in *samples {
                request.push_sample(Sample {
                    timestamp_ms,
                    value,
                });
            }
            request.end_series();
        }
        request
    }

    /// Each destination with its records as `time value series`.
    fn records(conversion: &Conversion<'_>) -> Vec<(String, Vec<String>)> {
        let text = |all: &DestinationRecords<'_>, record: &Record<'_>| {
            let series = &all.series[record.series];
            let Value::Double(value) = record.value else {
                panic!("{record:?}")
            };
            format!("{} {value:?} {series}", record.timestamp_ms)
        };
        let of = |all: &DestinationRecords<'_>| {
            let records = all.records.iter().map(|record| text(all, record));
            (all.destination.to_string(), records.collect())
        };
        conversion.destinations.iter().map(of).collect()
    }

    #[test]
    fn series_become_records_by_destination() {
        let request = request(&[
            (
                &[("table", "t"), ("job", "b"), ("__name__", "a:b")],
                &[(1, 1.5), (2, -0.0)],
            ),
            (
                &[("__name__", "up"), ("db", "x"), ("table", "t"), ("_l", "1")],
                &[(1, 1.0)],
            ),
            (
                &[
                    ("__name__", "up"),
                    ("table", "t"),
                    ("db", ""),
                    ("empty", ""),
                ],
                &[(3, 2.0)],
            ),
            (&[("__name__", "no_samples")], &[]),
        ]);
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
        let items = conversion.destinations[0].records.iter().map(|r| r.item);
        let times = items.map(|item| request.resolve(item).content[0].timestamp_ms());
        assert!(times.eq([1, 2, 3]));
        assert_eq!(conversion.left_out, []);
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
            let request = request(&[
                (labels, &[(1, 1.0), (2, 2.0)]),
                (&[("__name__", "m"), ("table", "t")], &[(1, 1.0)]),
            ]);
            let conversion = series_to_records(&request, &routing, WritePolicy::default()).unwrap();
            assert_eq!(conversion.destinations[0].records.len(), 1, "{labels:?}");
            let [left_out] = conversion.left_out.as_slice() else {
                panic!("{:?}", conversion.left_out)
            };
            assert_eq!(left_out.items, request.series(0).items);
            let WhyLeftOut::Faulty(fault) = left_out.why else {
                panic!("{left_out:?}")
            };
            assert_eq!(fault.name(), expected);
            let text = fault.describe(&request.series(0), &routing);
            assert!(text.starts_with(expected), "{text}");
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
            let request = request(&[(&all, &[(1, value)])]);
            let lenient = series_to_records(&request, &routing, WritePolicy::default()).unwrap();
            let why = lenient.left_out.first().map(|left_out| left_out.why);
            let expected_why = expected.map(WhyLeftOut::Ignored);
            assert_eq!(why, expected_why, "{name} {}", labels.len());
            let refused = series_to_records(&request, &routing, strict).is_err();
            assert_eq!(refused, expected.is_some(), "{name} {}", labels.len());
        }
    }
}
