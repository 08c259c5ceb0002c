//! OTLP as an SDK sends it to a Collector, in JSON.

use serde_json::{Value, json};

/// Returns the counter and the gauge at the times, in milliseconds.
pub(crate) fn request(times_ms: &[i64]) -> Value {
    let points = |values: &dyn Fn(usize) -> f64| -> Vec<Value> {
        let times = times_ms.iter().enumerate();
        let point = |(index, time): (usize, &i64)| {
            json!({
                "attributes": [{ "key": "route", "value": { "stringValue": "/a b" } }],
                "startTimeUnixNano": format!("{}000000", times_ms[0] - 1000),
                "timeUnixNano": format!("{time}000000"),
                "asDouble": values(index),
            })
        };
        times.map(point).collect()
    };
    let gauge = points(&gauge);
    let counter = points(&counter);
    json!({ "resourceMetrics": [{
        "resource": { "attributes": [{ "key": "service.name", "value": { "stringValue": "shop" } }] },
        "scopeMetrics": [{ "metrics": [
            { "name": "queue.length", "gauge": { "dataPoints": gauge } },
            { "name": "orders", "sum": {
                "aggregationTemporality": 2, "isMonotonic": true, "dataPoints": counter,
            } },
        ] }],
    }] })
}

/// Returns the value of the gauge at a time.
pub(crate) fn gauge(index: usize) -> f64 {
    0.5 - index as f64
}

/// Returns the value of the counter at a time.
pub(crate) fn counter(index: usize) -> f64 {
    10.25 * index as f64
}
