//! Bodies of requests: no bytes make the connector panic, and each sample of a valid request ends
//! in exactly one place, with its bits.

use std::collections::HashMap;

use prom_wire::budget::MemoryBudget;
use prom_wire::chunk::{Chunk, Decoder, Encoder, HistogramChunks, MAX_SAMPLES, decode_histograms};
use prom_wire::request::{Datapoint, Request};
use prom_wire::{
    DecodeError, RemoteWrite, decode, decode_read_request, decompress, prompb, read_request,
};

const LIMIT: usize = 1 << 20;
/// Memory of all requests, twice that of a default server.
const BUDGET_BYTES: usize = 256 << 20;

/// Reads `input` as the body of a request, and as a decompressed body.
pub(crate) fn check(input: &[u8]) {
    let compressed = snap::raw::Encoder::new().compress_vec(input);
    let compressed = compressed.expect("4 GiB fit into a block");
    assert_eq!(
        decompress(&compressed, LIMIT).ok(),
        (input.len() <= LIMIT).then(|| input.to_vec()),
        "compression changes nothing"
    );
    check_message(input);
    if let Ok(message) = decompress(input, LIMIT) {
        check_message(&message);
    }
    check_floats(input);
    for is_float in [false, true] {
        check_histograms(is_float, input);
    }
}

/// Reads `message` as a write request of each version.
fn check_message(message: &[u8]) {
    let budget = MemoryBudget::new(BUDGET_BYTES);
    for version in [RemoteWrite::V1, RemoteWrite::V2] {
        let mut reservation = budget.reservation();
        let request = read_request(version, message, &mut reservation);
        if let Ok(request) = &request {
            check_request(request, reservation.bytes());
        }
        if version == RemoteWrite::V1 {
            check_agreement(message, &request);
        }
    }
    let mut reservation = budget.reservation();
    if let Ok(request) = decode_read_request(message, &mut reservation) {
        assert_eq!(Ok(request), decode(message));
    }
    drop(reservation);
    assert_eq!(budget.reserved(), 0, "all memory is released");
}

/// Returns a default database, so that most series are stored, and tables by label alone.
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
        let strictly = series_to_records(request, &routing, strict);
        let conversion = series_to_records(request, &routing, lenient);
        let conversion = conversion.expect("nothing is rejected without a fail_on option");
        if let Ok(accepted) = strictly {
            assert_eq!(accepted.left_out, conversion.left_out);
        }
        check_conversion(request, &conversion);
    }
}

/// Checks that each item is a record or dropped, once.
fn check_conversion(request: &Request<'_>, conversion: &Conversion<'_>) {
    let mut found = vec![0; request.count() as usize];
    for item in conversion.left_out.iter().flat_map(|it| it.items.each()) {
        found[item.position()] += 1;
    }
    for left_out in &conversion.left_out {
        let is_unreadable = request.series(left_out.items.series()).unreadable.is_some();
        assert!(!is_unreadable || matches!(left_out.why, WhyLeftOut::Faulty(_)));
    }
    let mut last_of_series = HashMap::new();
    for batches in batches(&conversion.stored, &conversion.destinations) {
        for batch in batches.iter() {
            assert!((1..=100).contains(&batch.records.len()));
            check_body(batch);
            for &BatchRecord { record, series } in batch.records {
                found[record.item.position()] += 1;
                let before = last_of_series.insert(series, record.item.position());
                assert!(
                    before < Some(record.item.position()),
                    "the order is the same"
                );
                let of = request.resolve(record.item);
                assert_eq!(of.unreadable, None, "what cannot be read is no record");
                let item = &of.content[0];
                assert_eq!(record.timestamp_ms, item.timestamp_ms());
                check_value(item, &record.value, dimensions(batch.stored, series));
            }
        }
    }
    assert!(found.iter().all(|count| *count == 1), "{found:?}");
}

/// Checks that a double is the sample's, and one that Timestream accepts; the bits of special ones
/// are in a dimension.
fn check_value(item: &Item<'_>, value: &Value<'_>, dimensions: BTreeMap<&str, &str>) {
    let (Item::Sample(sample), Value::Double(stored)) = (item, value) else {
        assert!(!matches!(item, Item::Sample(_)), "samples are doubles");
        return;
    };
    assert!(stored.is_finite() && stored.to_bits() != (-0.0_f64).to_bits());
    match dimensions.get(VALUE_BITS_DIMENSION) {
        Some(bits) => assert_eq!(u64::from_str_radix(bits, 16), Ok(sample.value.to_bits())),
        // Zeros are equal, and one of the two signs cannot be stored.
        None => assert_eq!(*stored, sample.value),
    }
}

/// Returns the names and values of the dimensions of a series.
fn dimensions<'s>(stored: &'s StoredSeries<'_>, series: SeriesId) -> BTreeMap<&'s str, &'s str> {
    let dimensions = stored.dimensions(series).iter();
    let dimensions = dimensions.map(|&id| stored.attribute(id));
    dimensions
        .map(|it| (it.name.as_ref(), it.value.as_ref()))
        .collect()
}

/// Checks that the body of the call has the records that went into it.
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
    assert_eq!(request.len(), generated.timeseries.len());
    assert_eq!(request.metadata.len(), generated.metadata.len());
    for (read, generated) in request.iter().zip(&generated.timeseries) {
        assert_eq!(read.unreadable, None);
        let labels = generated.labels.iter();
        let labels = labels.map(|label| (label.name.as_str(), label.value.as_str()));
        assert!(read.labels.iter().eq(labels));
    }
}

/// Returns the text of `key`, which either the common attributes or the record give.
fn only_one<'a>(common: &'a Json, record: &'a Json, key: &str) -> &'a str {
    let [common, own] = [common, record].map(|part| part[key].as_str());
    assert!(common.is_none() || own.is_none(), "{key} is given twice");
    common.or(own).expect("one of the two gives it")
}
