//! The query API has the responses of Prometheus for random queries over the same data. More of them are in
//! `make conformance`.

use differential::api::Api;
use differential::over_http::{self, Pair};
use differential::prometheus::{FEATURES, Prometheus};
use differential::run::Settings;

use crate::standalone::Connector;
use crate::support::{start_emulator, table};

/// Always the same, so that a failure follows from a change; the variable `SEED` selects other data and queries.
const SEED: u64 = 316;
const QUERIES: usize = 300;

#[tokio::test(flavor = "multi_thread")]
async fn random_queries_have_the_responses_of_prometheus() {
    let emulator = start_emulator(vec![table("db", "t")]).await;
    let features = format!("--enable-feature={FEATURES}");
    let connector = Connector::start(&emulator, &["--store-special-values", &features]).await;
    let ours = Api::new(connector.url.trim_start_matches("http://"), "/write");
    let compare = move || {
        let settings = Settings::from_environment(SEED, QUERIES);
        println!("SEED={} N={}", settings.seed, settings.queries);
        let theirs = Prometheus::start(FEATURES);
        let data = over_http::data(settings.seed);
        let pair = Pair::new(&ours, &theirs.api, FEATURES, &data);
        let requests = over_http::compare_requests(&ours, &theirs.api);
        (pair.run(&settings), requests)
    };
    let (report, requests) = tokio::task::spawn_blocking(compare).await.unwrap();
    assert!(requests.is_empty(), "{}", requests.join("\n"));
    println!("{}", report.summary());
    for difference in &report.differences {
        println!("{difference}");
    }
    assert_eq!(report.differing, 0);
    assert!(report.substantial * 5 >= report.queries * 2);
}
