//! Synthetic targets: one server plays all of them and gives Prometheus their list.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use serde_json::json;
use tokio::net::TcpListener;

/// Upper bounds of the buckets of the histogram.
const BUCKETS: [f64; 6] = [0.005, 0.05, 0.5, 1.0, 2.5, 10.0];

/// The targets; the server ends with the runtime.
pub struct Targets {
    /// Address whose `/sd` lists them.
    pub url: String,
    state: Arc<Mutex<Present>>,
}

/// The targets that are there now.
struct Present {
    ids: Range<u32>,
    /// Number of scrapes of each.
    scrapes: HashMap<u32, u64>,
    address: String,
}

impl Targets {
    /// Serves this many targets.
    pub async fn start(count: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("the loopback interface has free ports");
        let address = listener.local_addr().expect("it is bound").to_string();
        let url = format!("http://{address}");
        let state = Arc::new(Mutex::new(Present {
            ids: 0..count,
            scrapes: HashMap::new(),
            address,
        }));
        let router = Router::new()
            .route("/sd", get(list))
            .route("/targets/{id}", get(scrape))
            .with_state(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, state }
    }

    /// Lets this many of them go and as many new ones come.
    pub fn replace(&self, count: u32) {
        let mut present = lock(&self.state);
        present.ids = present.ids.start + count..present.ids.end + count;
    }

    /// Lets all of them go.
    pub fn clear(&self) {
        let mut present = lock(&self.state);
        present.ids = present.ids.end..present.ids.end;
    }
}

fn lock(state: &Mutex<Present>) -> MutexGuard<'_, Present> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

type Shared = State<Arc<Mutex<Present>>>;

/// Serves <https://prometheus.io/docs/prometheus/latest/http_sd/>.
async fn list(State(state): Shared) -> axum::response::Response<String> {
    let present = lock(&state);
    let groups = present.ids.clone().map(|id| {
        json!({
            "targets": [present.address],
            "labels": {
                "__metrics_path__": format!("/targets/{id}"),
                "instance": format!("target-{id}"),
                "zone": format!("zone-{}", id % 3),
            }
        })
    });
    let body = groups.collect::<serde_json::Value>().to_string();
    axum::response::Response::builder()
        .header("content-type", "application/json")
        .body(body)
        .expect("the header is valid")
}

async fn scrape(State(state): Shared, Path(id): Path<u32>) -> String {
    let scrapes = {
        let mut present = lock(&state);
        let scrapes = present.scrapes.entry(id).or_default();
        *scrapes += 1;
        *scrapes
    };
    exposition(id, scrapes)
}

/// Returns the metrics of the target `id` at its scrape number `scrape`; the same for every
/// request.
fn exposition(id: u32, scrape: u64) -> String {
    let mut random = fastrand::Rng::with_seed(u64::from(id) << 32 | scrape);
    let mut text = String::new();
    let mut line = |name: &str, labels: &str, value: f64| {
        let value = match value {
            f64::INFINITY => "+Inf".to_owned(),
            value => value.to_string(),
        };
        writeln!(text, "{name}{{{labels}}} {value}").expect("a String takes all");
    };
    let count = scrape as f64;
    for (index, code) in ["200", "404", "500"].iter().enumerate() {
        for method in ["get", "post"] {
            let labels = format!(
                "code=\"{code}\",method=\"{method}\",_internal=\"{}\"",
                id % 2
            );
            // They start again from 0 now and then, as those of a restarted program do.
            line(
                "requests_total",
                &labels,
                (scrape % 50 * (index as u64 + 1)) as f64,
            );
        }
    }
    for sensor in 0..4 {
        let labels = format!("sensor=\"{sensor}\",place=\"Zürich \\\"{id}\\\" \\\\ a\\nb\"");
        line("temperature_celsius", &labels, random.f64() * 80.0 - 40.0);
    }
    // Every exponent, subnormal numbers, both signs; infinities and NaN are not stored.
    line("any_value", "", f64::from_bits(random.u64(..)));
    let sign = if scrape.is_multiple_of(2) { 1.0 } else { -1.0 };
    line("zero_of_either_sign", "", 0.0 * sign);
    line(
        "not_finite_at_times",
        "",
        if scrape.is_multiple_of(3) {
            f64::INFINITY
        } else {
            count
        },
    );
    line("job:requests:rate", "", random.f64());
    for bound in BUCKETS {
        let labels = format!("le=\"{bound}\"");
        line("duration_seconds_bucket", &labels, (count * bound).floor());
    }
    line("duration_seconds_bucket", "le=\"+Inf\"", count * 10.0);
    line("duration_seconds_sum", "", count * random.f64());
    line("duration_seconds_count", "", count * 10.0);
    let many: Vec<String> = (0..30)
        .map(|label| format!("label_{label}=\"value {id}\""))
        .collect();
    line("build_info", &many.join(","), 1.0);
    text
}
