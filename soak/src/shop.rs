//! The metrics of a shop that does not exist, one of each type, for the program `exporter`.

use std::fmt::Write;

/// Upper bounds of the buckets, in seconds.
const BUCKETS: [f64; 5] = [0.01, 0.05, 0.1, 0.5, 1.0];

/// Returns the metrics after so many seconds, in Prometheus' text format: some ten orders a second.
pub fn metrics(seconds: f64) -> String {
    let mut text = String::new();
    let mut add = |line: String| writeln!(text, "{line}").expect("a text takes everything");
    add("# HELP shop_orders_total Orders since the start.".to_owned());
    add("# TYPE shop_orders_total counter".to_owned());
    for (country, rate) in [("de", 6.0), ("fr", 3.0), ("nl", 1.0)] {
        let orders = (seconds * rate).floor();
        add(format!(
            "shop_orders_total{{country=\"{country}\"}} {orders}"
        ));
    }
    add("# HELP shop_queue_length Orders that wait.".to_owned());
    add("# TYPE shop_queue_length gauge".to_owned());
    let waiting = (20.0 + 15.0 * (seconds / 30.0).sin()).round();
    add(format!("shop_queue_length {waiting}"));

    let requests = (seconds * 10.0).floor();
    add("# HELP shop_request_seconds Time that requests took.".to_owned());
    add("# TYPE shop_request_seconds histogram".to_owned());
    for (bound, share) in BUCKETS.iter().zip([0.2, 0.6, 0.8, 0.95, 0.99]) {
        let below = (requests * share).floor();
        add(format!(
            "shop_request_seconds_bucket{{le=\"{bound}\"}} {below}"
        ));
    }
    add(format!(
        "shop_request_seconds_bucket{{le=\"+Inf\"}} {requests}"
    ));
    add(format!("shop_request_seconds_sum {}", requests * 0.08));
    add(format!("shop_request_seconds_count {requests}"));

    add("# HELP shop_picking_seconds Time that picking the goods took.".to_owned());
    add("# TYPE shop_picking_seconds summary".to_owned());
    let wave = 1.0 + 0.2 * (seconds / 60.0).sin();
    for (quantile, picking) in [(0.5, 40.0), (0.9, 75.0), (0.99, 130.0)] {
        let picking = picking * wave;
        add(format!(
            "shop_picking_seconds{{quantile=\"{quantile}\"}} {picking}"
        ));
    }
    let picked = (requests * 0.9).floor();
    add(format!("shop_picking_seconds_sum {}", picked * 45.0));
    add(format!("shop_picking_seconds_count {picked}"));
    text
}

#[cfg(test)]
mod tests {
    use exposition::{Format, parse};
    use prom_model::MetricType;

    use super::*;

    #[test]
    fn each_type_is_there_and_can_be_read() {
        for seconds in [0.0, 0.3, 1e6] {
            let text = metrics(seconds);
            let exposition = parse(text.as_bytes(), Format::Text).unwrap();
            let types: Vec<_> = exposition
                .families
                .iter()
                .map(|it| it.metric_type)
                .collect();
            use MetricType::{Counter, Gauge, Histogram, Summary};
            assert_eq!(types, [Counter, Gauge, Histogram, Summary]);
            assert_eq!(exposition.samples.len(), 17);
            assert!(exposition.families.iter().all(|it| !it.help.is_empty()));
        }
    }
}
