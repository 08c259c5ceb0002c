//! A target for the connector's own scrapes, and the samples of it that may be stored.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::samples::Samples;

/// Series that the target exposes, all with the number of the scrape.
const SERIES: usize = 20;

/// A target that counts its scrapes; its server ends with the runtime.
pub struct Ticks {
    /// The address of its metrics.
    pub url: String,
    served: Arc<AtomicU64>,
}

/// The scrapes in a table.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Scrapes {
    /// Scrapes that are stored with all of their series.
    pub whole: usize,
    /// Scrapes of a target that was not up.
    pub down: usize,
    /// Impossible ones: parts of scrapes, and scrapes that are stored twice or were never served.
    pub wrong: Vec<String>,
}

impl Ticks {
    /// Serves it.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("the loopback interface has free ports");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let served = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&served);
        let show = move || async move { metrics(counter.fetch_add(1, Ordering::Relaxed) + 1) };
        let router = Router::new().route("/metrics", get(show));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, served }
    }

    /// Returns the stored samples of its scrapes.
    pub fn scrapes(&self, stored: &Samples) -> Scrapes {
        scrapes(stored, self.served.load(Ordering::Relaxed))
    }
}

fn metrics(scrape: u64) -> ([(&'static str, &'static str); 1], String) {
    let mut text = String::new();
    for part in 0..SERIES {
        writeln!(text, "ticks{{part=\"{part}\"}} {scrape}").expect("a String takes all");
    }
    ([("content-type", "text/plain; version=0.0.4")], text)
}

fn scrapes(stored: &Samples, served: u64) -> Scrapes {
    let mut ticks: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
    let mut ups: BTreeMap<i64, f64> = BTreeMap::new();
    for (labels, values) in &stored.0 {
        for (time_ms, bits) in values {
            let value = f64::from_bits(*bits);
            match labels["__name__"].as_str() {
                "ticks" => ticks.entry(*time_ms).or_default().push(value),
                "up" => drop(ups.insert(*time_ms, value)),
                _ => {}
            }
        }
    }
    let mut found = Scrapes::default();
    let mut last = 0.0;
    for (time_ms, up) in ups {
        let values = ticks.remove(&time_ms).unwrap_or_default();
        let first = values.first().copied().unwrap_or(0.0);
        let is_whole = values.len() == SERIES && values.iter().all(|value| *value == first);
        let is_later = first > last && first <= served as f64;
        match (up == 1.0, values.is_empty()) {
            (true, _) if is_whole && is_later => {
                found.whole += 1;
                last = first;
            }
            (false, true) => found.down += 1,
            _ => found.wrong.push(format!(
                "at {time_ms} up is {up} with {} series, the first {first} after {last}",
                values.len()
            )),
        }
    }
    let without = ticks
        .keys()
        .map(|time_ms| format!("at {time_ms} without up"));
    found.wrong.extend(without);
    found
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn stored(of_part: impl Fn(usize) -> Value, ups: Value) -> Scrapes {
        let mut samples = Samples::default();
        for part in 0..SERIES {
            let metric = json!({"__name__": "ticks", "part": part.to_string()});
            samples.add_matrix(&json!([{"metric": metric, "values": of_part(part)}]));
        }
        samples.add_matrix(&json!([{"metric": {"__name__": "up"}, "values": ups}]));
        scrapes(&samples, 2)
    }

    #[test]
    fn whole_scrapes_and_failed_ones_are_right_and_nothing_else() {
        let right = stored(
            |_| json!([[1, "1"], [3, "2"]]),
            json!([[1, "1"], [2, "0"], [3, "1"]]),
        );
        assert_eq!((right.whole, right.down, right.wrong.len()), (2, 1, 0));
        for (of_part, ups) in [
            // A part of it, twice the same, never served, two scrapes in one, without up, up without.
            (json!([[1, "1"]]), json!([[1, "0"]])),
            (json!([[1, "1"], [2, "1"]]), json!([[1, "1"], [2, "1"]])),
            (json!([[1, "3"]]), json!([[1, "1"]])),
            (json!([[1, "1"]]), json!([])),
            (json!([]), json!([[1, "1"]])),
        ] {
            let wrong = stored(|_| of_part.clone(), ups.clone()).wrong;
            assert_eq!(wrong.len(), 1, "{of_part} {ups} {wrong:?}");
        }
        let of_part = |part: usize| match part {
            0 => json!([[1, "2"]]),
            _ => json!([[1, "1"]]),
        };
        assert_eq!(stored(of_part, json!([[1, "1"]])).wrong.len(), 1);
    }
}
