//! Bodies of write requests: no bytes make the connector panic, and each sample that can be read ends in exactly one
//! place, with its bits.

use std::collections::{BTreeMap, HashMap};

use prom_wire::RemoteWrite;
use prom_wire::budget::MemoryBudget;
use prom_wire::request::{Datapoint, Request};
use serde_json::Value as Json;
use timestream_prometheus_connector::storage::names::VALUE_BITS_DIMENSION;
use timestream_prometheus_connector::storage::routing::{RoutePart, Routing};
use timestream_prometheus_connector::storage::write::batch::{Batch, BatchRecord, batches};
use timestream_prometheus_connector::storage::write::body::{Versions, write_call};
use timestream_prometheus_connector::storage::write::series::{
    Conversion, DropReason, WritePolicy, series_to_records,
};
use timestream_prometheus_connector::storage::write::stored::{SeriesId, StoredSeries};
use timestream_prometheus_connector::storage::write::value::Value;

const LIMIT: usize = 1 << 20;

/// Reads `input` as the body of a request, and as its decompressed bytes.
pub(crate) fn check(input: &[u8]) {
    check_message(input);
    if let Ok(message) = prom_wire::decompress(input, LIMIT) {
        check_message(&message);
    }
}

/// Reads `message` as a write request of each version.
fn check_message(message: &[u8]) {
    for version in [RemoteWrite::V1, RemoteWrite::V2] {
        if let Ok(request) = prom_wire::read_request(
            version,
            message,
            &mut MemoryBudget::unlimited().reservation(),
        ) {
            check_write(&request);
        }
    }
}

/// A default database, so that most series are stored, and tables by label alone.
fn routing() -> Routing {
    let label = |name: &str| Some(name.to_owned());
    Routing {
        database: RoutePart {
            label: label("d"),
            default: Some("db".to_owned()),
        },
        table: RoutePart {
            label: label("t"),
            default: None,
        },
    }
}

fn check_write(request: &Request<'_>) {
    let routing = routing();
    for store_special_values in [false, true] {
        let lenient = WritePolicy {
            store_special_values,
            ..WritePolicy::default()
        };
        let strict = WritePolicy {
            fail_on_long_label: true,
            fail_on_invalid_sample_value: true,
            ..lenient
        };
        let refused = series_to_records(request, &routing, strict);
        let conversion = series_to_records(request, &routing, lenient);
        let conversion = conversion.expect("nothing is refused without a fail_on option");
        if let Ok(accepted) = refused {
            assert_eq!(accepted.dropped, conversion.dropped);
        }
        check_conversion(request, &conversion);
    }
}

/// Each item is a record or left out, once.
fn check_conversion(request: &Request<'_>, conversion: &Conversion<'_>) {
    let mut found = vec![0; request.count() as usize];
    for item in conversion.dropped.iter().flat_map(|it| it.items.iter()) {
        found[item.position()] += 1;
    }
    for dropped in &conversion.dropped {
        let is_unreadable = request.series(dropped.items.series()).unreadable.is_some();
        assert!(!is_unreadable || matches!(dropped.reason, DropReason::Invalid(_)));
    }
    let mut last_of_series = HashMap::new();
    for batches in batches(&conversion.stored, &conversion.destinations) {
        for batch in batches.iter() {
            assert!((1..=100).contains(&batch.records.len()));
            check_body(batch);
            for &BatchRecord { record, series } in batch.records {
                found[record.item.position()] += 1;
                let before = last_of_series.insert(series, record.item.position());
                assert!(before < Some(record.item.position()), "the order stays");
                let of = request.resolve(record.item);
                assert_eq!(of.unreadable, None, "what cannot be read is no record");
                let item = &of.datapoints[0];
                assert_eq!(record.timestamp_ms, item.timestamp_ms());
                check_value(item, &record.value, dimensions(batch.stored, series));
            }
        }
    }
    assert!(found.iter().all(|count| *count == 1), "{found:?}");
}

/// A double is the sample's, and always one that Timestream takes; the bits of special ones stand in
/// a dimension.
fn check_value(item: &Datapoint<'_>, value: &Value<'_>, dimensions: BTreeMap<&str, &str>) {
    let (Datapoint::Sample(sample), Value::Double(stored)) = (item, value) else {
        assert!(!matches!(item, Datapoint::Sample(_)), "samples are doubles");
        return;
    };
    assert!(stored.is_finite() && stored.to_bits() != (-0.0_f64).to_bits());
    match dimensions.get(VALUE_BITS_DIMENSION) {
        Some(bits) => assert_eq!(u64::from_str_radix(bits, 16), Ok(sample.value.to_bits())),
        // Zeros are equal, and one of the two signs cannot be stored.
        None => assert_eq!(*stored, sample.value),
    }
}

/// Names and values of the dimensions of a series.
fn dimensions<'s>(stored: &'s StoredSeries<'_>, series: SeriesId) -> BTreeMap<&'s str, &'s str> {
    let dimensions = stored.dimensions(series).iter();
    let dimensions = dimensions.map(|&id| stored.attribute(id));
    dimensions
        .map(|it| (it.name.as_ref(), it.value.as_ref()))
        .collect()
}

/// The JSON of a call has the data of its records.
fn check_body(batch: Batch<'_>) {
    let call = write_call(batch, Some(Versions::From(1)));
    let body: Json = serde_json::from_slice(&call.body).expect("the body is JSON");
    assert_eq!(body["DatabaseName"], batch.destination.database);
    assert_eq!(body["TableName"], batch.destination.table);
    let common = &body["CommonAttributes"];
    let nanoseconds = batch.records.iter().any(|it| it.record.nanos > 0);
    let unit = if nanoseconds {
        "NANOSECONDS"
    } else {
        "MILLISECONDS"
    };
    assert_eq!(common["TimeUnit"], unit);
    let records = body["Records"].as_array().expect("records are an array");
    assert_eq!(records.len(), batch.records.len());
    for (written, &BatchRecord { record, series }) in records.iter().zip(batch.records) {
        let text = written["MeasureValue"].as_str();
        let text = text.expect("series have values of their own");
        match &record.value {
            Value::Double(value) => {
                let read: f64 = text.parse().expect("doubles are numbers");
                assert_eq!(read.to_bits(), value.to_bits());
            }
            Value::Varchar(value) => assert_eq!(text, &**value),
            Value::Multi(_) => panic!("series have one value at a time"),
        }
        let value_type = only_one(common, written, "MeasureValueType");
        assert_eq!(value_type, record.value.type_name());
        assert_eq!(
            only_one(common, written, "MeasureName"),
            batch.stored.attribute(batch.stored.measure(series)).value
        );
        let version = written["Version"].as_i64().expect("versions are numbers");
        assert_eq!(version, 1 + record.item.position() as i64);
        assert_eq!(
            only_one(common, written, "Time"),
            match nanoseconds {
                true => i128::from(record.timestamp_ms) * 1_000_000 + i128::from(record.nanos),
                false => i128::from(record.timestamp_ms),
            }
            .to_string()
        );
        let mut written_dimensions = BTreeMap::new();
        for dimension in [common, written]
            .iter()
            .filter_map(|part| part["Dimensions"].as_array())
            .flatten()
        {
            let text = |key: &str| dimension[key].as_str().expect("dimensions are texts");
            let earlier = written_dimensions.insert(text("Name"), text("Value"));
            assert_eq!(earlier, None, "a dimension stands there once");
        }
        assert_eq!(written_dimensions, dimensions(batch.stored, series));
    }
}

/// The text of `key`, which either the common attributes or the record give.
fn only_one<'a>(common: &'a Json, record: &'a Json, key: &str) -> &'a str {
    let [common, own] = [common, record].map(|part| part[key].as_str());
    assert!(common.is_none() || own.is_none(), "{key} is given twice");
    common.or(own).expect("one of the two gives it")
}
