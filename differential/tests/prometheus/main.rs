//! Our engine has the results of a running Prometheus for random queries: every function, aggregation, operator and
//! modifier occurs. The data is written to Prometheus, and our engine has it as Prometheus' remote read returns it.

use differential::api::Form;
use differential::compare::{self, Difference};
use differential::data;
use differential::engine::{Memory, evaluate};
use differential::generator::{Generator, features};
use differential::over_http::with_signs;
use differential::prometheus::{FEATURES, Prometheus};
use differential::response;
use differential::run::Settings;

/// The seed of the data and the queries.
const SEED: u64 = 315;
/// Queries for each feature.
const QUERIES: usize = 3;

#[test]
fn random_queries_have_the_results_of_a_running_prometheus() {
    let settings = Settings::from_environment(SEED, QUERIES);
    println!("SEED={} N={}", settings.seed, settings.queries);
    let data = data::series(settings.seed);
    let prometheus = Prometheus::start(FEATURES);
    prometheus.api.write(&data);
    let memory = Memory::in_order(&with_signs(prometheus.api.read(), &data));

    let (mut queries, mut substantial) = (0, 0);
    let mut differences = Vec::new();
    for (at, feature) in features().into_iter().enumerate() {
        let seed = settings.seed.wrapping_add(at as u64);
        let mut generator = Generator::new(seed, settings.depth, &[feature]);
        for _ in 0..settings.queries {
            let mut query = generator.query();
            // Prometheus runs without the flags for them.
            query.delayed_name_removal = false;
            query.start_timestamps = false;
            query.type_and_unit_labels = false;
            let text = query.expression.to_string();
            let evaluate_theirs = || {
                let response = prometheus.api.query(&query, &text, &Form::default());
                response::read(&response.body)
            };
            let theirs = evaluate_theirs();
            let ours = response::visible(&evaluate(&memory, &query, &text));
            queries += 1;
            substantial += usize::from(theirs.is_substantial());
            let difference =
                compare::difference(&query.expression, &ours, &theirs, evaluate_theirs);
            if let Some(Difference {
                text: difference, ..
            }) = difference
            {
                let times = query.times;
                let lookback = query.lookback_ms;
                differences.push(format!(
                    "{text}\n  {difference}\n  {times:?}, lookback {lookback} ms\n  ours\n{ours}  theirs\n{theirs}"
                ));
            }
        }
    }
    println!("{queries} queries, {substantial} with a result that is not empty");
    for difference in differences.iter().take(settings.printed) {
        println!("{difference}");
    }
    assert!(substantial * 3 > queries, "{substantial} of {queries}");
    assert_eq!(differences.len(), 0, "SEED={}", settings.seed);
}
