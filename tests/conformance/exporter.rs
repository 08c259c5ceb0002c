//! A target that is scraped a fixed number of times, with the number of the scrape in its values.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use http::StatusCode;
use tokio::net::TcpListener;

use crate::stage::Stage;

/// The most times that it can be scraped.
const SCRAPES: u32 = 5;
const SERIES: u32 = 40;
/// The metric that it exposes.
const METRIC: &str = "conformance_value";

/// The target; its server ends with the runtime.
pub(crate) struct Exporter {
    /// Its host and port, as targets are given.
    pub(crate) address: String,
}

impl Exporter {
    /// Serves it.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let router = Router::new().route("/metrics", get(metrics));
        let router = router.with_state(Arc::new(AtomicU32::new(0)));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address }
    }

    /// Returns the scrape configurations of a sender that scrapes it several times a second.
    pub(crate) fn scrape_config(&self) -> String {
        format!(
            "scrape_configs:\n\
             - job_name: conformance\n\
             \x20 scrape_interval: 300ms\n\
             \x20 scrape_timeout: 300ms\n\
             \x20 static_configs: [{{ targets: ['{}'] }}]\n",
            self.address
        )
    }
}

/// Returns the value of a series at a scrape.
fn value(series: u32, scrape: u32) -> f64 {
    f64::from(series) + f64::from(scrape) * 1000.25
}

async fn metrics(State(scrapes): State<Arc<AtomicU32>>) -> (StatusCode, String) {
    let scrape = scrapes.fetch_add(1, Ordering::Relaxed);
    if scrape >= SCRAPES {
        return (StatusCode::SERVICE_UNAVAILABLE, String::new());
    }
    let mut text = format!("# HELP {METRIC} A value.\n# TYPE {METRIC} gauge\n");
    for series in 0..SERIES {
        let value = value(series, scrape);
        writeln!(text, "{METRIC}{{series=\"{series}\"}} {value}").unwrap();
    }
    (StatusCode::OK, text)
}

/// Waits until all that was scraped is stored, and compares it: every value of every series once, in the order
/// of scrapes.
pub(crate) async fn assert_stored(stage: &Stage) {
    let count = (SCRAPES * SERIES) as usize;
    let stored = stage.stored(METRIC, count).await;
    let mut by_series: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for point in stored {
        let series = point.dimensions["series"].parse().unwrap();
        by_series.entry(series).or_default().push(point.value);
        assert_eq!(point.dimensions["job"], "conformance", "{point:?}");
    }
    let expected = (0..SERIES).map(|series| {
        let values = (0..SCRAPES).map(|scrape| value(series, scrape));
        (series, values.collect())
    });
    assert_eq!(by_series, expected.collect());
}

/// The query that counts the samples, and the result of each series.
pub(crate) const COUNT: (&str, u32, u32) =
    ("count_over_time(conformance_value[10m])", SERIES, SCRAPES);
