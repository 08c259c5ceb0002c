//! A remote write request to the records that Timestream can store, by destination.
//!
//! Each sample, histogram and exemplar becomes a record or is dropped, by policy or because its
//! series has an error that the sender must fix. Labels are borrowed from the request.
//!
//! A float sample is a DOUBLE under the metric's stored name. A value that Timestream rejects is `0`
//! with its bits in a reserved dimension. Histograms and exemplars are VARCHARs under reserved
//! forms of the name, because one measure has one type.

use std::borrow::Cow;

use hashbrown::HashMap;
use prom_model::visible::truncate;
use prom_wire::request::{Datapoint, DatapointRange, Labels, Request, Series, to_u32};

use super::exemplar;
use super::labels::{KnownLabels, Metric, Parts};
use super::route::{Routed, SeriesError, is_destination_name, route};
use super::stored::{AttributeId, SeriesId, StoredSeries};
use super::value::{NUMBER_BYTES, Value};
use crate::storage::destination::Destination;
use crate::storage::histogram;
use crate::storage::limits::{
    MAX_DIMENSION_NAME_BYTES, MAX_DIMENSIONS, MAX_MEASURE_NAME_BYTES, MAX_RECORD_BYTES,
    MAX_TIME_MS, TIME_BYTES,
};
use crate::storage::names::{
    EXEMPLAR_PREFIX, HISTOGRAM_PREFIX, NO_LABELS_DIMENSION, NO_LABELS_VALUE, VALUE_BITS_DIMENSION,
    is_special,
};
use crate::storage::routing::Routing;

/// The treatment of samples that Timestream cannot store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WritePolicy {
    /// Reject the whole request when a name or a label set is over the limits.
    pub fail_on_long_label: bool,
    /// Reject the whole request when a value or a timestamp cannot be stored.
    pub fail_on_invalid_sample_value: bool,
    /// Store the values that Timestream rejects: NaN, infinities, stale markers and `-0.0`.
    pub store_special_values: bool,
}

/// The reason for which samples were dropped by policy.
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
    /// The time is beyond what Timestream can represent, the year 2262: nanoseconds where
    /// milliseconds are due, for instance.
    TimestampOutOfRange,
    /// A value of a later version is stored; only where records have versions.
    Superseded,
    /// The record of a native histogram would exceed 2 KB.
    HistogramTooLarge,
    /// A row of the layouts `rows` and `table_per_metric` holds no native histogram and no exemplar.
    NotAFloat,
    /// Another replica of the sender's cluster is elected, and sends the same samples.
    OtherReplica,
}

impl IgnoreReason {
    /// All reasons.
    pub const ALL: [Self; 11] = [
        Self::LongMetricName,
        Self::LongLabelName,
        Self::TooManyLabels,
        Self::RecordTooLarge,
        Self::ValueNotFinite,
        Self::NegativeTimestamp,
        Self::TimestampOutOfRange,
        Self::Superseded,
        Self::HistogramTooLarge,
        Self::NotAFloat,
        Self::OtherReplica,
    ];

    /// Returns the reason for which no sample of this time can be stored, if there is one.
    pub(super) fn of_time(timestamp_ms: i64) -> Option<Self> {
        match timestamp_ms {
            ..0 => Some(Self::NegativeTimestamp),
            // Exemplars have nanoseconds beside it, which have to fit as well.
            MAX_TIME_MS.. => Some(Self::TimestampOutOfRange),
            _ => None,
        }
    }

    /// Returns true if nothing is missing in Timestream although the sample was dropped.
    pub fn is_settled(self) -> bool {
        matches!(self, Self::Superseded | Self::OtherReplica)
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
            Self::TimestampOutOfRange => "timestamp_out_of_range",
            Self::Superseded => "superseded",
            Self::HistogramTooLarge => "histogram_too_large",
            Self::NotAFloat => "not_a_float",
            Self::OtherReplica => "other_replica",
        }
    }
}

/// A violation of a `fail_on_*` option, which rejects the whole request because of this sample or series.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PolicyViolation {
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
        "InvalidSampleValueError: invalid sample value {value} at timestamp {timestamp_ms} of the time series {labels}; only finite values at times from 1970 to 2262, in milliseconds, are accepted: drop the series by relabelling, set store_special_values to keep such values, or unset fail_on_invalid_sample_value to leave such samples out"
    )]
    InvalidSample {
        /// The value.
        value: f64,
        /// The time, in milliseconds.
        timestamp_ms: i64,
        /// The labels of the series, cut for the text.
        labels: String,
    },
    /// The histogram needs more than a record holds.
    #[error(
        "InvalidSampleValueError: the native histogram at timestamp {timestamp_ms} of the time series {labels} needs a record of {bytes} bytes, more than the 2048 that Timestream takes; limit its buckets (native_histogram_bucket_limit, native_histogram_min_bucket_factor), or unset fail_on_invalid_sample_value to leave such histograms out"
    )]
    LargeHistogram {
        /// The size of the record.
        bytes: usize,
        /// The time, in milliseconds.
        timestamp_ms: i64,
        /// The labels of the series, cut for the text.
        labels: String,
    },
}

/// The records of a request, and its samples that became none.
#[derive(Debug, Default)]
pub struct Conversion<'a> {
    /// The series of all destinations.
    pub stored: StoredSeries<'a>,
    /// Records by destination, destinations in order of first appearance.
    pub destinations: Vec<DestinationRecords<'a>>,
    /// The samples that became no record.
    pub dropped: Vec<Dropped>,
}

/// Samples that became no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The samples.
    pub items: DatapointRange,
    /// The reason.
    pub reason: DropReason,
}

/// The reason for which samples became no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// Timestream cannot hold them; the policy is to drop them.
    Ignored(IgnoreReason),
    /// Their series cannot be routed or understood.
    Invalid(SeriesError),
}

/// The records of one destination.
#[derive(Debug)]
pub struct DestinationRecords<'a> {
    /// Their destination.
    pub destination: Destination,
    /// The series that the records refer to.
    pub series: Vec<SeriesId>,
    /// One record for each sample, in the order received.
    pub records: Vec<Record<'a>>,
}

/// One sample, histogram or exemplar of a stored series.
#[derive(Clone, Debug, PartialEq)]
pub struct Record<'a> {
    /// The item that it stores.
    pub item: DatapointRange,
    /// Index into [`DestinationRecords::series`].
    pub series: u32,
    /// Nanoseconds past the millisecond: they tell the exemplars of one millisecond apart.
    pub nanos: u32,
    /// Milliseconds since the Unix epoch, not negative.
    pub timestamp_ms: i64,
    /// The value of the series at this time.
    pub value: Value<'a>,
}

impl Record<'_> {
    /// Milliseconds since the Unix epoch, and the nanoseconds past them.
    pub fn time(&self) -> (i64, u32) {
        (self.timestamp_ms, self.nanos)
    }
}

/// Turns the series of a request into records by destination.
///
/// Every sample is in exactly one record or in [`Conversion::dropped`].
///
/// # Errors
/// A `fail_on_*` option is set and the request violates it.
pub fn series_to_records<'a>(
    request: &Request<'a>,
    routing: &Routing,
    policy: WritePolicy,
) -> Result<Conversion<'a>, PolicyViolation> {
    let mut conversion = Conversion {
        stored: StoredSeries::with_room_for(request.len(), request.label_count()),
        ..Conversion::default()
    };
    let mut labels = KnownLabels::new(request, routing);
    let mut forms = FormAttributes::default();
    // Where the records of a destination are, if there can be one of these names.
    let mut slots: HashMap<(&str, &str), Option<usize>> = HashMap::new();
    // The one of the series before, which is that of most.
    let mut last: Option<(&str, &str, usize)> = None;
    let concerns =
        |series: &Series<'_, '_>| !series.datapoints.is_empty() || series.unreadable.is_some();
    for series in request.iter().filter(concerns) {
        if let Some(unreadable) = series.unreadable {
            let error = SeriesError::of_series(unreadable);
            conversion.drop_items(series.range, DropReason::Invalid(error));
            continue;
        }
        let parts = labels.take_apart(series.labels, &mut conversion.stored);
        let routed = route(&parts, routing).and_then(|routed| {
            if let Some((database, table, slot)) = last
                && std::ptr::eq(database, routed.database)
                && std::ptr::eq(table, routed.table)
            {
                return Ok((routed.metric, slot));
            }
            let slot = slots
                .entry((routed.database, routed.table))
                .or_insert_with(|| {
                    let exists =
                        is_destination_name(routed.database) && is_destination_name(routed.table);
                    exists.then(|| conversion.add_destination(&routed, request))
                });
            let slot = slot.ok_or(SeriesError::InvalidDestination)?;
            last = Some((routed.database, routed.table, slot));
            Ok((routed.metric, slot))
        });
        let (metric, slot) = match routed {
            Ok(routed) => routed,
            Err(error) => {
                conversion.drop_items(series.range, DropReason::Invalid(error));
                continue;
            }
        };
        let base = match store(metric, &parts, &mut forms, &mut conversion.stored) {
            Ok(stored) => stored,
            Err(over) if policy.fail_on_long_label => return Err(over.violation(series.labels)),
            Err(over) => {
                conversion.drop_items(series.range, DropReason::Ignored(over.reason()));
                continue;
            }
        };
        conversion.add_items(slot, metric, base, &series, &mut forms, policy)?;
    }
    Ok(conversion)
}

impl<'a> Conversion<'a> {
    fn add_destination(&mut self, routed: &Routed<'_, '_>, request: &Request<'_>) -> usize {
        // Most requests have one destination, and a record for each of their items.
        let (series, items) = match self.destinations.len() {
            0 => (request.len(), request.count() as usize),
            _ => (0, 0),
        };
        self.destinations.push(DestinationRecords {
            destination: Destination {
                database: routed.database.to_owned(),
                table: routed.table.to_owned(),
            },
            series: Vec::with_capacity(series),
            records: Vec::with_capacity(items),
        });
        self.destinations.len() - 1
    }

    fn add_items(
        &mut self,
        slot: usize,
        metric: Metric<'a>,
        base: SeriesId,
        series: &Series<'_, 'a>,
        attributes: &mut FormAttributes,
        policy: WritePolicy,
    ) -> Result<(), PolicyViolation> {
        let destination = &mut self.destinations[slot];
        let mut forms = Forms {
            metric_name: metric.name,
            stored: &mut self.stored,
            attributes,
            base: destination.series.len(),
            all: &mut destination.series,
            others: Vec::new(),
        };
        forms.all.push(base);
        for (item, content) in series.range.iter().zip(series.datapoints) {
            match to_record(content, &mut forms, policy) {
                Ok((series, value, nanos)) => destination.records.push(Record {
                    item,
                    series: to_u32(series),
                    nanos,
                    timestamp_ms: content.timestamp_ms(),
                    value,
                }),
                Err(unstorable) => {
                    let reason = unstorable.reason(content, series.labels, policy)?;
                    self.dropped.push(Dropped {
                        items: item,
                        reason,
                    });
                }
            }
        }
        Ok(())
    }

    fn drop_items(&mut self, items: DatapointRange, reason: DropReason) {
        self.dropped.push(Dropped { items, reason });
    }
}

/// The reason for which an item becomes no record.
enum Unstorable<'a> {
    InvalidItem(SeriesError),
    OverLimit(OverLimit<'a>),
    /// A reason that lies in the value or the time.
    Invalid(IgnoreReason),
    LargeHistogram {
        bytes: usize,
    },
}

impl<'a> From<OverLimit<'a>> for Unstorable<'a> {
    fn from(over: OverLimit<'a>) -> Self {
        Self::OverLimit(over)
    }
}

/// The series, the value and the nanoseconds of the record that stores `content`.
fn to_record<'a>(
    content: &Datapoint<'a>,
    forms: &mut Forms<'_, 'a>,
    policy: WritePolicy,
) -> Result<(usize, Value<'a>, u32), Unstorable<'a>> {
    if let Some(reason) = IgnoreReason::of_time(content.timestamp_ms()) {
        return Err(Unstorable::Invalid(reason));
    }
    match content {
        Datapoint::Sample(sample) if !is_special(sample.value) => {
            Ok((forms.base, Value::Double(sample.value), 0))
        }
        Datapoint::Sample(sample) if policy.store_special_values => {
            let series = forms.get(Form::Special(sample.value.to_bits()))?;
            Ok((series, Value::Double(0.0), 0))
        }
        Datapoint::Sample(sample) if sample.value == 0.0 => Ok((forms.base, Value::Double(0.0), 0)),
        Datapoint::Sample(_) => Err(Unstorable::Invalid(IgnoreReason::ValueNotFinite)),
        Datapoint::Histogram(histogram) => {
            if histogram.validate().is_err() {
                return Err(Unstorable::InvalidItem(SeriesError::InvalidHistogram));
            }
            let series = forms.get(Form::Histogram)?;
            let value = Value::Varchar(histogram::to_text(histogram).into());
            match forms.record_bytes(series, &value) {
                bytes if bytes > MAX_RECORD_BYTES => Err(Unstorable::LargeHistogram { bytes }),
                _ => Ok((series, value, 0)),
            }
        }
        Datapoint::Exemplar(exemplar) => {
            let Ok(labels) = &exemplar.labels else {
                return Err(Unstorable::InvalidItem(SeriesError::UnreadableExemplar));
            };
            let series = forms.get(Form::Exemplar)?;
            let text = exemplar::to_text(labels, exemplar.value, exemplar.timestamp_ms);
            let nanos = exemplar::nanos(&text);
            let value = Value::Varchar(text.into());
            match forms.record_bytes(series, &value) {
                bytes if bytes > MAX_RECORD_BYTES => Err(OverLimit::Record.into()),
                _ => Ok((series, value, nanos)),
            }
        }
    }
}

impl Unstorable<'_> {
    /// Returns the reason for which `content` is dropped, unless the policy is to reject the request.
    fn reason(
        self,
        content: &Datapoint<'_>,
        labels: Labels<'_, '_>,
        policy: WritePolicy,
    ) -> Result<DropReason, PolicyViolation> {
        let reason = match self {
            Self::InvalidItem(error) => return Ok(DropReason::Invalid(error)),
            Self::OverLimit(over) if policy.fail_on_long_label => {
                return Err(over.violation(labels));
            }
            Self::OverLimit(over) => over.reason(),
            Self::Invalid(_) if policy.fail_on_invalid_sample_value => {
                return Err(PolicyViolation::InvalidSample {
                    value: content.value(),
                    timestamp_ms: content.timestamp_ms(),
                    labels: labels.to_string(),
                });
            }
            Self::Invalid(reason) => reason,
            Self::LargeHistogram { bytes } if policy.fail_on_invalid_sample_value => {
                return Err(PolicyViolation::LargeHistogram {
                    bytes,
                    timestamp_ms: content.timestamp_ms(),
                    labels: labels.to_string(),
                });
            }
            Self::LargeHistogram { .. } => IgnoreReason::HistogramTooLarge,
        };
        Ok(DropReason::Ignored(reason))
    }
}

/// The stored forms of one series of a request, by what it carries.
struct Forms<'s, 'a> {
    metric_name: &'a str,
    stored: &'s mut StoredSeries<'a>,
    attributes: &'s mut FormAttributes,
    all: &'s mut Vec<SeriesId>,
    /// Position of the form of ordinary float samples.
    base: usize,
    /// The forms that some item has needed, and where they stand.
    others: Vec<(Form, usize)>,
}

/// A form that is not that of ordinary float samples.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Form {
    /// Of the samples with a value of these bits, which Timestream rejects.
    Special(u64),
    Histogram,
    Exemplar,
}

/// Attributes that no label stands for.
#[derive(Default)]
struct FormAttributes {
    no_labels: Option<AttributeId>,
    /// By the bits.
    value_bits: HashMap<u64, AttributeId>,
    /// Measure names of histograms and exemplars, by that of the samples.
    measures: HashMap<(Form, AttributeId), AttributeId>,
}

impl<'a> Forms<'_, 'a> {
    /// Position of the series in this form.
    fn get(&mut self, form: Form) -> Result<usize, OverLimit<'a>> {
        if let Some((_, position)) = self.others.iter().find(|(known, _)| *known == form) {
            return Ok(*position);
        }
        let series = self.make(form)?;
        let position = self.all.len();
        self.all.push(series);
        self.others.push((form, position));
        Ok(position)
    }

    fn make(&mut self, form: Form) -> Result<SeriesId, OverLimit<'a>> {
        let stored = &mut *self.stored;
        let base = self.all[self.base];
        let mut dimensions = stored.dimensions(base).to_vec();
        let mut measure = stored.measure(base);
        match form {
            Form::Special(bits) => {
                if dimensions.len() == MAX_DIMENSIONS {
                    return Err(OverLimit::Labels);
                }
                let add = || {
                    let value = Cow::Owned(format!("{bits:016x}"));
                    stored.add_dimension(Cow::Borrowed(VALUE_BITS_DIMENSION), value)
                };
                let bits = self.attributes.value_bits.entry(bits);
                dimensions.push(*bits.or_insert_with(add));
            }
            Form::Histogram | Form::Exemplar => {
                let prefix = match form {
                    Form::Histogram => HISTOGRAM_PREFIX,
                    _ => EXEMPLAR_PREFIX,
                };
                let add = || {
                    let name = format!("{prefix}{}", stored.attribute(measure).value);
                    stored.add_measure_name(Cow::Owned(name))
                };
                let measures = self.attributes.measures.entry((form, measure));
                measure = *measures.or_insert_with(add);
            }
        }
        if stored.attribute(measure).value.len() > MAX_MEASURE_NAME_BYTES {
            return Err(OverLimit::MetricName(self.metric_name));
        }
        let added = stored.add(measure, &dimensions, MAX_SERIES_BYTES);
        added.ok_or(OverLimit::Record)
    }

    /// Bytes of a record of the series at `position` with this value.
    fn record_bytes(&self, position: usize, value: &Value<'_>) -> usize {
        TIME_BYTES + self.stored.bytes(self.all[position]) + value.bytes()
    }
}

/// Bytes of a series whose records with a number are not over the limit.
const MAX_SERIES_BYTES: usize = MAX_RECORD_BYTES - TIME_BYTES - NUMBER_BYTES;

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

    fn violation(&self, labels: Labels<'_, '_>) -> PolicyViolation {
        let long = |what, name: &str, limit| PolicyViolation::LongName {
            what,
            name: truncate(name, 256).into_owned(),
            limit,
        };
        let large = |limit| PolicyViolation::LargeSeries {
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

/// Stores the form of ordinary float samples.
fn store<'a>(
    metric: Metric<'a>,
    parts: &Parts<'_, 'a>,
    forms: &mut FormAttributes,
    stored: &mut StoredSeries<'a>,
) -> Result<SeriesId, OverLimit<'a>> {
    let measure = metric.measure.ok_or(OverLimit::MetricName(metric.name))?;
    if parts.count > MAX_DIMENSIONS {
        return Err(OverLimit::Labels);
    }
    if let Some(name) = parts.long_name {
        return Err(OverLimit::LabelName(name));
    }
    let added = match parts.dimensions {
        [] => {
            let add = || {
                let name = Cow::Borrowed(NO_LABELS_DIMENSION);
                stored.add_dimension(name, Cow::Borrowed(NO_LABELS_VALUE))
            };
            let no_labels = *forms.no_labels.get_or_insert_with(add);
            stored.add(measure, &[no_labels], MAX_SERIES_BYTES)
        }
        dimensions => stored.add(measure, dimensions, MAX_SERIES_BYTES),
    };
    added.ok_or(OverLimit::Record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::routing::RoutePart;
    use prom_model::Sample;
    use prom_wire::request::Label;

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
            let series = conversion.stored.show(all.series[record.series as usize]);
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
        let times = items.map(|item| request.resolve(item).datapoints[0].timestamp_ms());
        assert!(times.eq([1, 2, 3]));
        assert_eq!(conversion.dropped, []);
    }

    #[test]
    fn an_invalid_series_costs_its_samples_only() {
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
            let [dropped] = conversion.dropped.as_slice() else {
                panic!("{:?}", conversion.dropped)
            };
            assert_eq!(dropped.items, request.series(0).range);
            let DropReason::Invalid(error) = dropped.reason else {
                panic!("{dropped:?}")
            };
            assert_eq!(error.name(), expected);
            let text = error.describe(&request.series(0), &routing);
            assert!(text.starts_with(expected), "{text}");
        }
    }

    #[test]
    fn unstorable_samples_are_dropped_or_rejected() {
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
            store_special_values: false,
        };
        let routing = routing();
        for (name, labels, value, expected) in cases {
            let all = [&[("__name__", name), ("table", "t")], labels].concat();
            let request = request(&[(&all, &[(1, value)])]);
            let lenient = series_to_records(&request, &routing, WritePolicy::default()).unwrap();
            let reason = lenient.dropped.first().map(|dropped| dropped.reason);
            let expected_reason = expected.map(DropReason::Ignored);
            assert_eq!(reason, expected_reason, "{name} {}", labels.len());
            let rejected = series_to_records(&request, &routing, strict).is_err();
            assert_eq!(rejected, expected.is_some(), "{name} {}", labels.len());
        }
    }

    #[test]
    fn times_that_can_be_represented_are_stored() {
        let cases = [
            (-1, Some(IgnoreReason::NegativeTimestamp)),
            (0, None),
            (MAX_TIME_MS - 1, None),
            (MAX_TIME_MS, Some(IgnoreReason::TimestampOutOfRange)),
            (i64::MAX, Some(IgnoreReason::TimestampOutOfRange)),
        ];
        for (timestamp_ms, expected) in cases {
            assert_eq!(
                IgnoreReason::of_time(timestamp_ms),
                expected,
                "{timestamp_ms}"
            );
        }
        // With the nanoseconds of an exemplar it is still a time.
        assert!((MAX_TIME_MS - 1).checked_mul(1_000_000).unwrap() < i64::MAX - 999_999);
    }
}
