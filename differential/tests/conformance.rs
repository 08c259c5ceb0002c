//! Our engine has the results of Prometheus' own for 20,000 random queries: values to the last bit, errors and
//! annotations with their positions.

use differential::judge::Judge;
use differential::run::{Settings, run};

/// Always the same, so that a failure follows from a change; the variable `SEED` selects other queries.
const SEED: u64 = 315;

#[test]
fn random_queries_have_the_results_of_prometheus_own_engine() {
    let settings = Settings::from_environment(SEED, 20_000);
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
