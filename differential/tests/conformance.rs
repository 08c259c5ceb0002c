//! Our engine has the results of Prometheus' own for 20,000 random queries: values to the last bit, errors and
//! annotations with their positions.

use std::time::{SystemTime, UNIX_EPOCH};

use differential::judge::Judge;
use differential::run::{Settings, run};

#[test]
fn random_queries_have_the_results_of_prometheus_own_engine() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let settings = Settings::from_environment(now.as_secs(), 20_000);
    println!("SEED={} N={}", settings.seed, settings.queries);
    let report = run(&Judge::obtain(), &settings);
    println!("{}", report.summary());
    for difference in &report.differences {
        println!("{difference}");
    }
    assert_eq!(report.differing, 0, "SEED={}", settings.seed);
    assert!(
        report.uncertain * 1_000 <= report.queries,
        "SEED={}",
        settings.seed
    );
    if settings.only.is_empty() {
        assert!(report.never().is_empty(), "never: {:?}", report.never());
    }
}
