//! The readers written by hand agree with generated decoders: over messages, messages with changed bytes and arbitrary
//! fields they accept and reject the same bytes and find the same values in them.
//!
//! The decoders of write requests are generated with bytes in place of strings. A string that is not UTF-8 makes only
//! its series, exemplar or entry of metadata unreadable.

use prom_model::{Buckets, Count, Histogram, METRIC_NAME_LABEL, MetricType};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use prost::Message;

use crate::budget::MemoryBudget;
use crate::prompb;
use crate::protobuf::MessageError;
use crate::request::{Datapoint, Request, Unreadable};
use crate::{DecodeError, decode_read_request, write1, write2};

fn read1(message: &[u8]) -> Result<Request<'_>, MessageError> {
    write1::request(message, &mut MemoryBudget::unlimited().reservation())
}

fn read2(message: &[u8]) -> Result<Request<'_>, MessageError> {
    write2::request(message, &mut MemoryBudget::unlimited().reservation())
}

/// The messages of remote write 1.0, with bytes in place of strings.
mod v1 {
    #![allow(missing_docs, unreachable_pub, dead_code)] // generated

    include!("../generated/with_bytes/prometheus.rs");
}

/// The messages of remote write 2.0, with bytes in place of strings.
mod v2 {
    #![allow(missing_docs, unreachable_pub, dead_code)] // generated

    include!("../generated/with_bytes/io.prometheus.write.v2.rs");
}

/// Enough to find a wrong bit in each field; they take a second or two.
const CASES: u32 = 2_000;

fn double() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(-0.0), any::<u64>().prop_map(f64::from_bits)]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just("__name__".to_owned()), "[a-cü]{0,3}"]
}

/// A string as bytes, which now and then are not UTF-8.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        12 => text().prop_map(String::into_bytes),
        1 => prop::sample::select(BROKEN).prop_map(<[u8]>::to_vec),
    ]
}

/// A lonely byte, a cut character, a surrogate, an overlong form, a character beyond the last one.
const BROKEN: &[&[u8]] = &[
    b"\xff",
    b"caf\xe9",
    b"\xc3",
    b"\xed\xa0\x80",
    b"a\xc0\x80",
    b"\xf4\x90\x80\x80",
];

fn spans() -> impl Strategy<Value = Vec<v1::BucketSpan>> {
    let span = (any::<i32>(), any::<u32>());
    vec(
        span.prop_map(|(offset, length)| v1::BucketSpan { offset, length }),
        0..3,
    )
}

prop_compose! {
    fn histograms()(
        count in option::of(prop_oneof![
            any::<u64>().prop_map(v1::histogram::Count::CountInt),
            double().prop_map(v1::histogram::Count::CountFloat),
        ]),
        zero_count in option::of(prop_oneof![
            any::<u64>().prop_map(v1::histogram::ZeroCount::ZeroCountInt),
            double().prop_map(v1::histogram::ZeroCount::ZeroCountFloat),
        ]),
        (sum, zero_threshold) in (double(), double()),
        (schema, reset_hint) in (any::<i32>(), any::<i32>()),
        timestamp in any::<i64>(),
        (negative_spans, positive_spans) in (spans(), spans()),
        (negative_deltas, positive_deltas) in (vec(any::<i64>(), 0..3), vec(any::<i64>(), 0..3)),
        (negative_counts, positive_counts) in (vec(double(), 0..3), vec(double(), 0..3)),
        custom_values in vec(double(), 0..3),
    ) -> v1::Histogram {
        v1::Histogram {
            count, sum, schema, zero_threshold, zero_count, negative_spans, negative_deltas,
            negative_counts, positive_spans, positive_deltas, positive_counts, reset_hint,
            timestamp, custom_values,
        }
    }
}

/// Returns series some of which follow one another several times, as the readers compare neighbours.
fn neighbours<S: Clone + std::fmt::Debug>(
    series: impl Strategy<Value = S>,
) -> impl Strategy<Value = Vec<S>> {
    let repeated = vec((series, 1..3_usize), 0..4);
    repeated.prop_map(|series| {
        let series = series.into_iter();
        let series = series.flat_map(|(series, times)| std::iter::repeat_n(series, times));
        series.collect()
    })
}

fn v1_messages() -> impl Strategy<Value = v1::WriteRequest> {
    let label = || {
        let few = || prop::sample::select([b"a", b"b"].as_slice());
        let few = (few(), few()).prop_map(|(name, value)| (name.to_vec(), value.to_vec()));
        let labels = prop_oneof![(bytes(), bytes()), few];
        labels.prop_map(|(name, value)| v1::Label { name, value })
    };
    let sample =
        (double(), any::<i64>()).prop_map(|(value, timestamp)| v1::Sample { value, timestamp });
    let exemplar =
        (vec(label(), 0..3), double(), any::<i64>()).prop_map(|(labels, value, timestamp)| {
            v1::Exemplar {
                labels,
                value,
                timestamp,
            }
        });
    let series = (
        vec(label(), 0..4),
        vec(sample, 0..3),
        vec(exemplar, 0..2),
        vec(histograms(), 0..2),
    );
    let series = series.prop_map(|(labels, samples, exemplars, histograms)| v1::TimeSeries {
        labels,
        samples,
        exemplars,
        histograms,
    });
    let metadata = (-1..9, bytes(), bytes(), bytes());
    let metadata =
        metadata.prop_map(
            |(r#type, metric_family_name, help, unit)| v1::MetricMetadata {
                r#type,
                metric_family_name,
                help,
                unit,
            },
        );
    (neighbours(series), vec(metadata, 0..3)).prop_map(|(timeseries, metadata)| v1::WriteRequest {
        timeseries,
        metadata,
    })
}

fn v2_messages() -> impl Strategy<Value = v2::Request> {
    // Mostly pairs that lead somewhere.
    let references = || {
        let pair = prop_oneof![(0..6_u32, 0..6_u32), (1..3_u32, 1..3_u32)];
        let pairs = vec(pair, 0..4);
        let pairs = pairs.prop_map(|pairs| pairs.into_iter().flat_map(|(a, b)| [a, b]).collect());
        prop_oneof![4 => pairs, 1 => vec(any::<u32>(), 0..4)]
    };
    let sample = (double(), any::<i64>(), any::<i64>());
    let sample = sample.prop_map(|(value, timestamp, start_timestamp)| v2::Sample {
        value,
        timestamp,
        start_timestamp,
    });
    let exemplar =
        (references(), double(), any::<i64>()).prop_map(|(labels_refs, value, timestamp)| {
            v2::Exemplar {
                labels_refs,
                value,
                timestamp,
            }
        });
    let histogram = (histograms(), any::<i64>()).prop_map(|(histogram, start_timestamp)| {
        let same_fields = histogram.encode_to_vec();
        let decoded = v2::Histogram::decode(same_fields.as_slice()).unwrap();
        v2::Histogram {
            start_timestamp,
            ..decoded
        }
    });
    let metadata = (-1..9, 0..7_u32, 0..7_u32);
    let metadata = metadata.prop_map(|(r#type, help_ref, unit_ref)| v2::Metadata {
        r#type,
        help_ref,
        unit_ref,
    });
    let series = (
        references(),
        vec(sample, 0..3),
        vec(histogram, 0..2),
        vec(exemplar, 0..2),
        option::of(metadata),
    );
    let series =
        series.prop_map(
            |(labels_refs, samples, histograms, exemplars, metadata)| v2::TimeSeries {
                labels_refs,
                samples,
                histograms,
                exemplars,
                metadata,
            },
        );
    let symbols = prop_oneof![
        9 => vec(bytes(), 5).prop_map(|mut symbols| {
            symbols.insert(0, Vec::new());
            symbols
        }),
        1 => vec(bytes(), 0..2),
    ];
    (symbols, neighbours(series)).prop_map(|(symbols, timeseries)| v2::Request {
        symbols,
        timeseries,
    })
}

/// Changes of a few bytes: position (as a share of the length), kind, byte.
fn changes() -> impl Strategy<Value = Vec<(u16, u8, u8)>> {
    vec(any::<(u16, u8, u8)>(), 1..4)
}

fn changed(mut bytes: Vec<u8>, changes: &[(u16, u8, u8)]) -> Vec<u8> {
    for &(position, kind, byte) in changes {
        let position = usize::from(position) * bytes.len() / usize::from(u16::MAX);
        match kind % 6 {
            0 => bytes.truncate(position),
            1 | 2 => bytes.insert(position, byte),
            _ if position == bytes.len() => bytes.push(byte),
            3 => drop(bytes.remove(position)),
            // Near by: keys and lengths that are a little off.
            4 => bytes[position] = bytes[position].wrapping_add(byte % 3).wrapping_sub(1),
            _ => bytes[position] = byte,
        }
    }
    bytes
}

/// Fields of any number and wire type, within one another, not always well formed.
fn fields() -> impl Strategy<Value = Vec<u8>> {
    let number = || prop_oneof![9 => 1..18_u8, 1 => 0..32_u8];
    let leaf =
        (number(), 0..8_u8, vec(any::<u8>(), 0..12)).prop_map(|(number, kind, mut bytes)| {
            let (wire_type, payload) = match kind {
                0 => {
                    bytes.iter_mut().for_each(|byte| *byte |= 0x80);
                    bytes.push(1);
                    (0, bytes)
                }
                1 => {
                    bytes.resize(8, 1);
                    (1, bytes)
                }
                2 | 3 => (2, [&[bytes.len() as u8], bytes.as_slice()].concat()),
                4 => {
                    bytes.truncate(4);
                    (5, bytes)
                }
                other => (other, bytes),
            };
            field(number, wire_type, &payload)
        });
    leaf.prop_recursive(4, 24, 4, move |inner| {
        (number(), any::<bool>(), vec(inner, 0..4)).prop_map(|(number, group, inner)| {
            let inner = inner.concat();
            if group {
                [field(number, 3, &inner), field(number, 4, &[])].concat()
            } else {
                nested(number, &inner)
            }
        })
    })
}

fn field(number: u8, wire_type: u8, payload: &[u8]) -> Vec<u8> {
    let mut key = Vec::new();
    prost::encoding::encode_varint(u64::from(number) << 3 | u64::from(wire_type), &mut key);
    [key.as_slice(), payload].concat()
}

/// Returns the bytes and the `Debug` form, which together distinguish all values: NaN by its bits, -0.0 by its form.
fn distinct_form(message: &(impl Message + std::fmt::Debug)) -> (Vec<u8>, String) {
    (message.encode_to_vec(), format!("{message:?}"))
}

fn message_of(histogram: &Histogram) -> v1::Histogram {
    let spans = |buckets: &Buckets| {
        let spans = buckets.spans.iter();
        spans
            .map(|span| v1::BucketSpan {
                offset: span.offset,
                length: span.length,
            })
            .collect()
    };
    v1::Histogram {
        count: histogram.count.map(|count| match count {
            Count::Int(count) => v1::histogram::Count::CountInt(count),
            Count::Float(count) => v1::histogram::Count::CountFloat(count),
        }),
        sum: histogram.sum,
        schema: histogram.schema,
        zero_threshold: histogram.zero_threshold,
        zero_count: histogram.zero_count.map(|count| match count {
            Count::Int(count) => v1::histogram::ZeroCount::ZeroCountInt(count),
            Count::Float(count) => v1::histogram::ZeroCount::ZeroCountFloat(count),
        }),
        negative_spans: spans(&histogram.negative),
        negative_deltas: histogram.negative.deltas.clone(),
        negative_counts: histogram.negative.counts.clone(),
        positive_spans: spans(&histogram.positive),
        positive_deltas: histogram.positive.deltas.clone(),
        positive_counts: histogram.positive.counts.clone(),
        reset_hint: histogram.reset_hint,
        timestamp: histogram.timestamp_ms,
        custom_values: histogram.custom_values.clone(),
    }
}

/// Name and value of a label, of any bytes.
type RawLabel = (Vec<u8>, Vec<u8>);

/// The expected labels of a series or an exemplar, or that they cannot be read.
type Found = Option<Vec<(String, String)>>;

/// Returns the labels as strings, if all of them are UTF-8.
fn readable(labels: &[RawLabel]) -> Found {
    let text = |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).ok();
    let labels = labels.iter();
    labels
        .map(|(name, value)| Some((text(name)?, text(value)?)))
        .collect()
}

/// A series that is expected: its labels, and those of its exemplars, beside everything else.
#[derive(Debug)]
struct ExpectedSeries {
    labels: Found,
    exemplars: Vec<Found>,
    /// The rest, without any string.
    rest: v1::TimeSeries,
}

/// An entry of metadata: type, name, help text, unit and series; `None` if it cannot be read.
type Entry = Option<(MetricType, String, String, String, Option<usize>)>;

fn entry(
    metric_type: MetricType,
    [name, help, unit]: [&Vec<u8>; 3],
    series: Option<usize>,
) -> Entry {
    let [name, help, unit] = [name, help, unit].map(|bytes| String::from_utf8(bytes.clone()).ok());
    Some((metric_type, name?, help?, unit?, series))
}

fn owned(labels: &[(&str, &str)]) -> Vec<(String, String)> {
    let labels = labels.iter();
    labels
        .map(|&(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn assert_series(read: &Request<'_>, expected: &[ExpectedSeries], bytes: &[u8]) {
    assert_eq!(read.len(), expected.len(), "{bytes:02x?}");
    for (series, expected) in read.iter().zip(expected) {
        let labels: Vec<_> = series.labels.iter().collect();
        let labels = series.unreadable.is_none().then(|| owned(&labels));
        assert_eq!(labels, expected.labels, "{bytes:02x?}");
        let mut exemplars = Vec::new();
        let mut rest = v1::TimeSeries::default();
        for item in series.datapoints {
            match item {
                Datapoint::Sample(sample) => rest.samples.push(v1::Sample {
                    value: sample.value,
                    timestamp: sample.timestamp_ms,
                }),
                Datapoint::Exemplar(exemplar) => {
                    exemplars.push(exemplar.labels.as_ref().ok().map(|labels| owned(labels)));
                    rest.exemplars.push(v1::Exemplar {
                        labels: vec![],
                        value: exemplar.value,
                        timestamp: exemplar.timestamp_ms,
                    });
                }
                Datapoint::Histogram(histogram) => rest.histograms.push(message_of(histogram)),
            }
        }
        assert_eq!(exemplars, expected.exemplars, "{bytes:02x?}");
        assert_eq!(
            distinct_form(&rest),
            distinct_form(&expected.rest),
            "{bytes:02x?}"
        );
    }
}

fn assert_metadata(read: &Request<'_>, expected: Vec<Entry>, bytes: &[u8]) {
    let found = read.metadata.iter().map(|it| {
        let [name, help, unit] = [it.metric_name, it.help, it.unit].map(str::to_owned);
        (it.metric_type, name, help, unit, it.series)
    });
    let unreadable = expected.iter().filter(|entry| entry.is_none()).count();
    assert_eq!(read.unreadable_metadata.len(), unreadable, "{bytes:02x?}");
    let expected: Vec<_> = expected.into_iter().flatten().collect();
    assert_eq!(found.collect::<Vec<_>>(), expected, "{bytes:02x?}");
}

fn assert_v1(bytes: &[u8]) {
    let (read, expected) = match (read1(bytes), v1::WriteRequest::decode(bytes)) {
        (Ok(read), Ok(expected)) => (read, expected),
        (Err(MessageError::Malformed(_)), Err(_)) => return,
        (read, expected) => panic!("{bytes:02x?}\nread: {read:?}\nexpected: {expected:?}"),
    };
    let raw = |labels: Vec<v1::Label>| -> Vec<RawLabel> {
        let labels = labels.into_iter();
        labels.map(|label| (label.name, label.value)).collect()
    };
    let series = expected.timeseries.into_iter().map(|mut series| {
        let labels = raw(std::mem::take(&mut series.labels));
        let exemplars = series.exemplars.iter_mut();
        let exemplars = exemplars.map(|it| readable(&raw(std::mem::take(&mut it.labels))));
        ExpectedSeries {
            labels: readable(&labels),
            exemplars: exemplars.collect(),
            rest: series,
        }
    });
    assert_series(&read, &series.collect::<Vec<_>>(), bytes);
    let metadata = expected.metadata.iter().map(|it| {
        let metric_type = MetricType::of(it.r#type);
        entry(
            metric_type,
            [&it.metric_family_name, &it.help, &it.unit],
            None,
        )
    });
    assert_metadata(&read, metadata.collect(), bytes);
}

/// Returns the labels that references stand for; `None` if one is beyond the symbols.
fn resolved(references: &[u32], symbols: &[Vec<u8>]) -> Option<Vec<RawLabel>> {
    let text = |reference: u32| symbols.get(reference as usize).cloned();
    if !references.len().is_multiple_of(2) {
        return None;
    }
    let pairs = references.chunks_exact(2);
    pairs
        .map(|pair| Some((text(pair[0])?, text(pair[1])?)))
        .collect()
}

fn assert_v2(bytes: &[u8]) {
    let expected = v2::Request::decode(bytes).ok();
    let expected = expected.filter(|it| it.symbols.first().is_some_and(Vec::is_empty));
    let (read, expected) = match (read2(bytes), expected) {
        (Ok(read), Some(expected)) => (read, expected),
        (Err(MessageError::Malformed(_)), None) => return,
        (read, expected) => panic!("{bytes:02x?}\nread: {read:?}\nexpected: {expected:?}"),
    };
    let symbols = &expected.symbols;
    let mut metadata = Vec::new();
    let mut all = Vec::new();
    for (index, series) in expected.timeseries.iter().enumerate() {
        let said = series.metadata.unwrap_or_default();
        let [help, unit] = [said.help_ref, said.unit_ref].map(|it| symbols.get(it as usize));
        let labels = resolved(&series.labels_refs, symbols);
        let labels = labels.filter(|_| help.is_some() && unit.is_some());
        let labels = labels.and_then(|labels| readable(&labels));
        let name = labels.iter().flatten();
        let name = name.rev().find(|label| label.0 == METRIC_NAME_LABEL);
        let metric_type = MetricType::of(said.r#type);
        let silent = metric_type == MetricType::Unknown && said.help_ref == 0 && said.unit_ref == 0;
        if let (false, Some((_, name)), Some(help), Some(unit)) = (silent, name, help, unit) {
            let name = metric_type.family(name).as_bytes().to_vec();
            metadata.push(entry(metric_type, [&name, help, unit], Some(index)));
        }
        let exemplars = series.exemplars.iter();
        let found = exemplars.clone().map(|exemplar| {
            let labels = resolved(&exemplar.labels_refs, symbols);
            labels.and_then(|labels| readable(&labels))
        });
        let found = found.collect();
        let exemplars = exemplars.map(|exemplar| v1::Exemplar {
            labels: vec![],
            value: exemplar.value,
            timestamp: exemplar.timestamp,
        });
        let histograms = series
            .histograms
            .iter()
            .map(|histogram| v1::Histogram::decode(histogram.encode_to_vec().as_slice()).unwrap());
        let samples = series.samples.iter().map(|sample| v1::Sample {
            value: sample.value,
            timestamp: sample.timestamp,
        });
        all.push(ExpectedSeries {
            labels,
            exemplars: found,
            rest: v1::TimeSeries {
                labels: vec![],
                samples: samples.collect(),
                exemplars: exemplars.collect(),
                histograms: histograms.collect(),
            },
        });
    }
    assert_series(&read, &all, bytes);
    assert_metadata(&read, metadata, bytes);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn on_messages_of_version_1(message in v1_messages()) {
        let bytes = message.encode_to_vec();
        prop_assert!(read1(&bytes).is_ok());
        assert_v1(&bytes);
    }

    #[test]
    fn on_broken_messages_of_version_1(message in v1_messages(), changes in changes()) {
        assert_v1(&changed(message.encode_to_vec(), &changes));
    }

    #[test]
    fn on_messages_of_version_2(message in v2_messages()) {
        let bytes = message.encode_to_vec();
        let has_table = message.symbols.first().is_some_and(Vec::is_empty);
        prop_assert_eq!(read2(&bytes).is_ok(), has_table);
        assert_v2(&bytes);
    }

    #[test]
    fn on_broken_messages_of_version_2(message in v2_messages(), changes in changes()) {
        assert_v2(&changed(message.encode_to_vec(), &changes));
    }

    #[test]
    fn on_any_fields(fields in vec(fields(), 0..4)) {
        let fields = fields.concat();
        assert_v1(&fields);
        assert_v2(&fields);
        // The same within a series, behind a table of one symbol.
        assert_v1(&nested(1, &fields));
        assert_v2(&[nested(4, &[]), nested(5, &fields)].concat());
    }
}

#[test]
fn on_deep_groups_and_long_numbers() {
    let deep = |groups: usize, inner: &[u8]| {
        [vec![0x5b; groups], inner.to_vec(), vec![0x5c; groups]].concat()
    };
    let cases = [
        deep(99, &[0x58, 1]),
        deep(100, &[]),
        deep(100, &[0x58, 1]),
        deep(101, &[]),
        deep(100_000, &[]),
        vec![0x5b; 100_000],
        // A group that another one ends, and one that ends alone.
        vec![0x5b, 0x64],
        vec![0x5c],
        // Ten bytes: the largest number, one beyond it; an eleventh byte.
        [vec![0x58], vec![0xff; 9], vec![1]].concat(),
        [vec![0x58], vec![0xff; 9], vec![2]].concat(),
        [vec![0x58], vec![0x80; 10], vec![0]].concat(),
        // A key of more than 32 bits; field 0; wire types 6 and 7.
        vec![0xd8, 0x80, 0x80, 0x80, 0x10, 1],
        vec![0x00, 1],
        vec![0x5e],
        vec![0x5f],
    ];
    for bytes in cases {
        assert_v1(&bytes);
        assert_v1(&nested(1, &bytes));
        assert_v2(&[nested(4, &[]), nested(5, &bytes)].concat());
        assert_v2(&[nested(4, &[]), bytes].concat());
    }
}

#[test]
fn on_lists_that_are_packed_or_not_and_on_repeated_fields() {
    let number = |field_number, number: u8| field(field_number, 0, &[number]);
    // Two symbols; references 0 and 1, unpacked, packed, and half of each.
    for references in [
        [number(1, 0), number(1, 1)].concat(),
        nested(1, &[0, 1]),
        [number(1, 0), nested(1, &[1])].concat(),
    ] {
        let series = nested(5, &references);
        let symbols = [nested(4, b""), nested(4, b"a")].concat();
        // The table may follow what refers to it.
        for bytes in [
            [symbols.as_slice(), &series].concat(),
            [series.as_slice(), &symbols].concat(),
        ] {
            let request = read2(&bytes).unwrap();
            assert!(request.series(0).labels.iter().eq([("", "a")]));
            assert_v2(&bytes);
        }
    }
    // The last of two values counts, of a text, a number and one of a choice.
    let label = [nested(2, b"x"), nested(2, b"y")].concat();
    let sample = [number(2, 1), number(2, 2)].concat();
    let histogram = [number(1, 7), field(2, 1, &1.5_f64.to_le_bytes())].concat();
    let series = [nested(1, &label), nested(2, &sample), nested(4, &histogram)].concat();
    let bytes = nested(1, &series);
    assert_v1(&bytes);
    let request = read1(&bytes).unwrap();
    assert!(request.series(0).labels.iter().eq([("", "y")]));
    let [sample, Datapoint::Histogram(histogram)] = request.series(0).datapoints else {
        panic!("{request:?}")
    };
    assert_eq!(sample.timestamp_ms(), 2);
    assert_eq!(histogram.count, Some(Count::Float(1.5)));
}

/// A field that holds a message.
fn nested(number: u8, message: &[u8]) -> Vec<u8> {
    let mut length = Vec::new();
    prost::encoding::encode_varint(message.len() as u64, &mut length);
    field(number, 2, &[length.as_slice(), message].concat())
}

#[test]
fn a_request_above_a_limit_is_rejected() {
    let empty = |number| nested(number, &[]);
    let v1: [(&str, usize, &dyn Fn(usize) -> Vec<u8>); 6] = [
        ("time series", 100_000, &|count| empty(1).repeat(count)),
        ("labels", 1_000_000, &|count| {
            nested(1, &empty(1).repeat(count))
        }),
        ("labels", 1_000_000, &|count| {
            nested(1, &nested(3, &empty(1).repeat(count)))
        }),
        ("samples, histograms and exemplars", 1_000_000, &|count| {
            let others = [empty(3), empty(4)].concat();
            nested(1, &[empty(2).repeat(count - 2), others].concat())
        }),
        ("buckets of histograms", 2_000_000, &|count| {
            let spans = empty(8).repeat(1_000);
            let deltas = nested(12, &vec![0; count - 1_001]);
            nested(
                1,
                &nested(4, &[spans, deltas, nested(16, &[0; 8])].concat()),
            )
        }),
        ("metadata entries", 100_000, &|count| empty(3).repeat(count)),
    ];
    for (what, limit, message) in v1 {
        assert_eq!(read1(&message(limit)).err(), None, "{what}");
        let error = read1(&message(limit + 1)).unwrap_err();
        assert_eq!(error, MessageError::TooMany { what, limit });
    }
    let limit = 1_000_000;
    let v2 = |symbols: usize, labels: usize| {
        let series = nested(1, &vec![0; 2 * labels]);
        [empty(4).repeat(symbols), nested(5, &series)].concat()
    };
    assert_eq!(read2(&v2(limit, limit)).err(), None);
    for (symbols, labels, what) in [(limit + 1, 1, "symbols"), (1, limit + 1, "labels")] {
        let error = read2(&v2(symbols, labels)).unwrap_err();
        assert_eq!(error, MessageError::TooMany { what, limit });
    }
}

#[test]
fn what_is_not_utf8_costs_what_it_is_part_of() {
    let text = |field_number, bytes: &[u8]| nested(field_number, bytes);
    let label = |name: &[u8], value: &[u8]| nested(1, &[text(1, name), text(2, value)].concat());
    for broken in BROKEN {
        let series = [
            label(b"a", broken),
            label(broken, b"b"),
            label(b"a", b"b"),
            // The last of two values counts.
            nested(1, &[text(2, broken), text(2, b"b")].concat()),
            nested(1, &[text(2, b"b"), text(2, broken)].concat()),
        ];
        let series = series.iter().chain(&series).map(|label| nested(1, label));
        let exemplars = [
            nested(3, &label(b"a", broken)),
            nested(3, &label(b"a", b"b")),
        ];
        let metadata = [2, 4, 5].map(|of| nested(3, &[text(2, b"m"), text(of, broken)].concat()));
        let bytes = [
            series.collect::<Vec<_>>().concat(),
            nested(1, &exemplars.concat()),
            metadata.concat(),
            nested(3, &text(2, b"m")),
        ]
        .concat();
        assert_v1(&bytes);
        let request = read1(&bytes).unwrap();
        let unreadable: Vec<_> = request.iter().map(|it| it.unreadable.copied()).collect();
        let value = |name| {
            Some(Unreadable::Label {
                name,
                value: broken,
            })
        };
        let name = Some(Unreadable::Label {
            name: broken,
            value: b"b",
        });
        let half = [value(b"a"), name, None, None, value(b"")];
        assert_eq!(unreadable, [&half[..], &half, &[None]].concat());
        assert_eq!(request.distinct_labels(), 5);
        assert_eq!(
            (request.metadata.len(), request.unreadable_metadata.len()),
            (1, 3)
        );
    }
}

#[test]
fn a_symbol_that_is_not_utf8_costs_what_refers_to_it() {
    for broken in BROKEN {
        let symbols = [&b""[..], b"__name__", b"m", broken];
        let symbols = symbols.map(|symbol| nested(4, symbol)).concat();
        let series = |references: &[u8], others: &[u8]| {
            nested(5, &[nested(1, references), others.to_vec()].concat())
        };
        let help = nested(5, &field(3, 0, &[3]));
        let exemplars = [
            nested(4, &nested(1, &[1, 3])),
            nested(4, &nested(1, &[1, 9])),
        ];
        let bytes = [
            symbols,
            series(&[1, 2], &[]),
            series(&[1, 3], &help),
            series(&[1, 2, 3, 2], &[]),
            series(&[1, 2], &help),
            series(&[1, 2], &exemplars.concat()),
            // A reference that leads nowhere is what counts.
            series(&[1, 3, 9, 1], &[]),
        ]
        .concat();
        assert_v2(&bytes);
        let request = read2(&bytes).unwrap();
        let unreadable: Vec<_> = request.iter().map(|it| it.unreadable.copied()).collect();
        let label = |name, value| Some(Unreadable::Label { name, value });
        let nowhere = Unreadable::UnknownReference {
            reference: 9,
            symbols: 4,
        };
        let expected = [
            None,
            label(b"__name__", broken),
            label(broken, b"m"),
            None,
            None,
            Some(nowhere),
        ];
        assert_eq!(unreadable, expected);
        let what = "help text of a metric";
        let help = Unreadable::Metadata { what, text: broken };
        assert_eq!(request.unreadable_metadata, [help]);
        let exemplars = request.series(4).datapoints.iter().map(|item| match item {
            Datapoint::Exemplar(exemplar) => exemplar.labels.as_ref().err().copied(),
            other => panic!("{other:?}"),
        });
        assert!(exemplars.eq([label(b"__name__", broken), Some(nowhere)]));
    }
}

#[test]
fn a_label_is_one_in_whatever_way_it_is_written() {
    let (name, value) = (nested(1, b"a"), nested(2, b"b"));
    let ways = [
        [name.as_slice(), &value].concat(),
        [value.as_slice(), &name].concat(),
        [name.as_slice(), &value, &field(9, 0, &[1])].concat(),
    ];
    let series = ways.iter().chain(&ways);
    let series: Vec<_> = series.map(|label| nested(1, &nested(1, label))).collect();
    let bytes = series.concat();
    assert_v1(&bytes);
    let request = read1(&bytes).unwrap();
    assert_eq!((request.len(), request.distinct_labels()), (6, 1));
}

fn read_messages() -> impl Strategy<Value = prompb::ReadRequest> {
    let matcher = (-1..5, text(), text());
    let matcher = matcher.prop_map(|(r#type, name, value)| prompb::LabelMatcher {
        r#type,
        name,
        value,
    });
    let hints = (
        any::<(i64, i64, i64, bool, i64)>(),
        text(),
        vec(text(), 0..3),
    )
        .prop_map(
            |((step_ms, start_ms, end_ms, by, range_ms), func, grouping)| prompb::ReadHints {
                step_ms,
                func,
                start_ms,
                end_ms,
                grouping,
                by,
                range_ms,
            },
        );
    let query = (any::<(i64, i64)>(), vec(matcher, 0..4), option::of(hints)).prop_map(
        |((start_timestamp_ms, end_timestamp_ms), matchers, hints)| prompb::Query {
            start_timestamp_ms,
            end_timestamp_ms,
            matchers,
            hints,
        },
    );
    (vec(query, 0..4), vec(-1..3, 0..4)).prop_map(|(queries, accepted_response_types)| {
        prompb::ReadRequest {
            queries,
            accepted_response_types,
        }
    })
}

fn assert_read(bytes: &[u8]) {
    let read = decode_read_request(bytes, &mut MemoryBudget::unlimited().reservation());
    let generated = prompb::ReadRequest::decode(bytes);
    assert_eq!(read.ok(), generated.ok(), "{bytes:02x?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn on_read_requests(message in read_messages()) {
        let bytes = message.encode_to_vec();
        let mut reservation = MemoryBudget::unlimited().reservation();
        prop_assert_eq!(decode_read_request(&bytes, &mut reservation), Ok(message));
    }

    #[test]
    fn on_broken_read_requests(message in read_messages(), changes in changes()) {
        assert_read(&changed(message.encode_to_vec(), &changes));
    }
}

#[test]
fn a_read_request_has_limits_too() {
    let empty = |number| nested(number, &[]);
    let query = |fields: &[u8]| nested(1, fields);
    let cases: [(&str, usize, &dyn Fn(usize) -> Vec<u8>); 5] = [
        ("queries", 100, &|count| empty(1).repeat(count)),
        ("matchers in a query", 200, &|count| {
            query(&empty(3).repeat(count))
        }),
        ("grouping labels", 10_000, &|count| {
            let hints = |count| nested(4, &empty(5).repeat(count));
            [query(&hints(1)), query(&hints(count - 1))].concat()
        }),
        ("accepted response types", 100, &|count| {
            nested(2, &vec![1; count])
        }),
        ("accepted response types", 100, &|count| {
            field(2, 0, &[1]).repeat(count)
        }),
    ];
    for (what, limit, message) in cases {
        let decode = |count| {
            let mut reservation = MemoryBudget::unlimited().reservation();
            decode_read_request(&message(count), &mut reservation).map(drop)
        };
        assert_eq!(decode(limit), Ok(()), "{what}");
        let error = DecodeError::TooManyInRead { what, limit };
        assert_eq!(decode(limit + 1), Err(error));
    }
    // Each query has its own matchers.
    let two = query(&empty(3).repeat(200)).repeat(2);
    assert!(decode_read_request(&two, &mut MemoryBudget::unlimited().reservation()).is_ok());
}
