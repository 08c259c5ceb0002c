//! The query API has the responses of Prometheus for thousands of random queries over the same data.

use differential::api::Api;
use differential::over_http::{self, Pair, Report};
use differential::prometheus::{FEATURES, Prometheus};
use differential::run::Settings;

use crate::stage::{Stage, TOKEN};

/// Always the same, so that a failure follows from a change; the variable `SEED` selects other data and queries.
const SEED: u64 = 315;
/// Queries of each pair.
const QUERIES: usize = 3_000;

/// Compares a connector and a Prometheus with these features.
async fn compare(features: &'static str, seed: u64) -> Report {
    let flags = [
        "--store-special-values",
        &format!("--enable-feature={features}"),
    ];
    let stage = Stage::start(vec![], &flags).await;
    let address = stage.connector.url.trim_start_matches("http://");
    let ours = Api::new(address, "/write").with_token(TOKEN);
    let compare = move || {
        let mut settings = Settings::from_environment(seed, QUERIES);
        // Steps of the seed that is given give other data as well.
        settings.seed = settings.seed.wrapping_add(seed - SEED);
        println!("SEED={} N={} {features}", settings.seed, settings.queries);
        let theirs = Prometheus::start(features);
        let data = over_http::data(settings.seed);
        ours.write(&data);
        theirs.api.write(&data);
        let pair = Pair {
            ours: &ours,
            theirs: &theirs.api,
            delayed_name_removal: features.contains("delayed-name-removal"),
        };
        let requests = over_http::compare_requests(&ours, &theirs.api);
        (pair.run(&settings), requests)
    };
    let (report, requests) = tokio::task::spawn_blocking(compare).await.unwrap();
    for difference in &requests {
        println!("{difference}");
    }
    println!("{}", report.summary());
    for text in &report.tolerated_expressions {
        println!("tolerated: {text}");
    }
    for difference in &report.differences {
        println!("{difference}");
    }
    assert!(requests.is_empty(), "{features}");
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn random_queries_have_the_responses_of_prometheus() {
    let delayed = "promql-experimental-functions,promql-extended-range-selectors,promql-binop-fill-modifiers,\
                   promql-delayed-name-removal,type-and-unit-labels";
    for (features, seed) in [(FEATURES, SEED), (delayed, SEED + 1)] {
        let report = compare(features, seed).await;
        assert_eq!(report.differing, 0, "{features}");
        assert!(report.uncertain * 50 <= report.queries, "{features}");
        assert!(report.substantial * 5 >= report.queries * 2, "{features}");
    }
}
