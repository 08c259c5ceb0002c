//! Bodies of requests: no bytes make the connector panic, and of what can be read each sample ends
//! in exactly one place, with its bits.

use std::collections::{BTreeMap, HashMap};

use prost::Message;
use serde_json::Value;
use timestream_prometheus_connector::convert::batch::{BatchRecord, batches};
use timestream_prometheus_connector::convert::body::write_call;
use timestream_prometheus_connector::convert::matcher::query_to_selection;
use timestream_prometheus_connector::convert::route::{RoutePart, Routing};
use timestream_prometheus_connector::convert::series::{WritePolicy, series_to_records};
use timestream_prometheus_connector::model::Destination;
use timestream_prometheus_connector::prompb::{ReadRequest, WriteRequest};
use timestream_prometheus_connector::received::Request;
use timestream_prometheus_connector::wire;

const LIMIT: usize = 1 << 20;

/// Takes `input` as the body of a request, and as what a body decompresses to.
pub(crate) fn check(input: &[u8]) {
    let compressed = snap::raw::Encoder::new().compress_vec(input);
    let compressed = compressed.expect("4 GiB fit into a block");
    for body in [input, &compressed] {
        if let Ok(request) = wire::decode::<WriteRequest>(body, LIMIT) {
            check_write(&request);
        }
        if let Ok(request) = wire::decode::<ReadRequest>(body, LIMIT) {
            for query in &request.queries {
                // Both outcomes are fine.
                let _ = query_to_selection(query, &routing());
            }
        }
    }
    let read = wire::decode::<WriteRequest>(&compressed, LIMIT).ok();
    // By their bytes: a NaN is not equal to itself.
    let bytes = |request: WriteRequest| request.encode_to_vec();
    assert_eq!(
        read.map(bytes),
        WriteRequest::decode(input).ok().map(bytes),
        "compressing changes nothing"
    );
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

fn check_write(message: &WriteRequest) {
    let request = Request::from(message);
    let routing = routing();
    let strict = WritePolicy {
        fail_on_long_label: true,
        fail_on_invalid_sample_value: true,
    };
    let refused = series_to_records(&request, &routing, strict);
    let conversion = series_to_records(&request, &routing, WritePolicy::default());
    let conversion = conversion.expect("nothing is refused without a fail_on option");
    if let Ok(accepted) = refused {
        assert_eq!(accepted.left_out, conversion.left_out);
    }
    // How often each sample is a record or left out.
    let mut found = vec![0; request.samples() as usize];
    for item in conversion.left_out.iter().flat_map(|it| it.items.each()) {
        found[item.position()] += 1;
    }
    for destination in &conversion.destinations {
        let mut last_of_series = HashMap::new();
        for batch in batches(destination).iter() {
            assert!((1..=100).contains(&batch.len()));
            check_body(&destination.destination, batch);
            for record in batch {
                found[record.item.position()] += 1;
                let series = std::ptr::from_ref(record.series);
                let before = last_of_series.insert(series, record.item.position());
                assert!(before < Some(record.item.position()), "the order is kept");
                let sample = request.resolve(record.item).samples[0];
                assert_eq!(record.timestamp_ms, sample.timestamp_ms);
                // Zeros are equal, and one of the two signs cannot be stored.
                assert_eq!(record.value, sample.value);
                assert!(record.value.is_finite() && record.value.to_bits() != (-0.0_f64).to_bits());
            }
        }
    }
    assert!(found.iter().all(|count| *count == 1), "{found:?}");
}

/// What the call says is what went into it.
fn check_body(destination: &Destination, batch: &[BatchRecord<'_>]) {
    let call = write_call(destination, batch, Some(1));
    let body: Value = serde_json::from_slice(&call.body).expect("the body is JSON");
    assert_eq!(body["DatabaseName"], destination.database);
    assert_eq!(body["TableName"], destination.table);
    let common = &body["CommonAttributes"];
    assert_eq!(common["MeasureValueType"], "DOUBLE");
    assert_eq!(common["TimeUnit"], "MILLISECONDS");
    let records = body["Records"].as_array().expect("records are an array");
    assert_eq!(records.len(), batch.len());
    for (written, record) in records.iter().zip(batch) {
        let value = written["MeasureValue"].as_str().expect("values are texts");
        let value: f64 = value.parse().expect("values are numbers");
        assert_eq!(value.to_bits(), record.value.to_bits());
        assert_eq!(
            only_one(common, written, "MeasureName"),
            record.series.measure_name
        );
        let version = written["Version"].as_i64().expect("versions are numbers");
        assert_eq!(version, 1 + record.item.position() as i64);
        assert_eq!(
            only_one(common, written, "Time"),
            record.timestamp_ms.to_string()
        );
        let mut dimensions = BTreeMap::new();
        for dimension in [common, written]
            .iter()
            .filter_map(|part| part["Dimensions"].as_array())
            .flatten()
        {
            let text = |key: &str| dimension[key].as_str().expect("dimensions are texts");
            let earlier = dimensions.insert(text("Name"), text("Value"));
            assert_eq!(earlier, None, "a dimension stands there once");
        }
        let expected = record.series.dimensions.iter();
        let expected: BTreeMap<&str, &str> =
            expected.map(|it| (it.name.as_ref(), it.value)).collect();
        assert_eq!(dimensions, expected);
    }
}

/// The text of `key`, which either the common attributes or the record give.
fn only_one<'a>(common: &'a Value, record: &'a Value, key: &str) -> &'a str {
    let [common, own] = [common, record].map(|part| part[key].as_str());
    assert!(common.is_none() || own.is_none(), "{key} is given twice");
    common.or(own).expect("one of the two gives it")
}
