//! Prometheus' own test scripts judge the engine.
//!
//! `make conformance` runs them, `cargo test` does not, because Go obtains them. `PROMQL_TEST_ONLY=functions.test` runs
//! one script, and `PROMQL_TEST_ONLY=functions.test:15` the evaluation of one line.

mod at;
mod check;
mod compare;
mod corpus;
mod needed;
mod nhcb;
mod run;
mod script;
mod series;

use std::collections::BTreeSet;

use promql::{EngineOptions, ParserOptions};

use needed::Returned;
use script::{Command, Expected};
use series::Item;

/// The evaluations that fail in Prometheus with other switches.
const FAILURES: &str = include_str!("golden/failures.txt");

/// The number of evaluations of all scripts.
const EVALUATIONS: usize = 2_243;

/// The variable that limits the run.
const ONLY: &str = "PROMQL_TEST_ONLY";

/// Evaluations by script and line.
type Places = BTreeSet<(String, usize)>;

/// Runs the scripts, prints the outcome, and returns all evaluations and those that failed.
fn run(options: EngineOptions, returned: Returned) -> (Places, Places) {
    let only = std::env::var(ONLY).unwrap_or_default();
    let (only_script, only_line) = match only.split_once(':') {
        Some((script, line)) => (script, Some(line.parse().expect("a line is a number"))),
        None => (only.as_str(), None),
    };
    let (mut all, mut failed, mut differences) = (Places::new(), Places::new(), Vec::new());
    for (name, text) in corpus::scripts() {
        if !name.starts_with(only_script) {
            continue;
        }
        let evaluated = run::run(&text, options, returned, only_line)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let count = evaluated.len();
        let mut passed = 0;
        for evaluation in evaluated {
            let place = (name.clone(), evaluation.line);
            match evaluation.difference {
                None => passed += 1,
                Some(difference) => {
                    let (line, expr) = (evaluation.line, evaluation.expr);
                    differences.push(format!("{name}:{line}: {expr}\n    {difference}"));
                    failed.insert(place.clone());
                }
            }
            all.insert(place);
        }
        println!("{name}: {passed} of {count} evaluations");
    }
    println!(
        "total: {} of {} evaluations",
        all.len() - failed.len(),
        all.len()
    );
    for difference in differences {
        println!("{difference}");
    }
    match only.as_str() {
        "" => assert_eq!(all.len(), EVALUATIONS),
        _ => assert!(
            !all.is_empty(),
            "{ONLY} selects no evaluation: write SCRIPT or SCRIPT:LINE"
        ),
    }
    (all, failed)
}

/// Checks that the evaluations fail that fail in Prometheus with these switches.
fn assert_same_failures(switches: &str, options: EngineOptions) {
    let (all, failed) = run(options, Returned::All);
    let expected = FAILURES.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        (fields.next() == Some(switches)).then_some(())?;
        let (script, line) = (fields.next()?, fields.next()?);
        Some((script.to_owned(), line.parse().ok()?))
    });
    let expected: Places = expected.filter(|place| all.contains(place)).collect();
    let only_here: Vec<_> = failed.difference(&expected).collect();
    let only_there: Vec<_> = expected.difference(&failed).collect();
    assert!(
        only_here.is_empty(),
        "fail here and not in Prometheus: {only_here:?}"
    );
    assert!(
        only_there.is_empty(),
        "fail in Prometheus and not here: {only_there:?}"
    );
}

#[test]
fn all_evaluations_have_the_results_of_prometheus() {
    let (all, failed) = run(run::options(), Returned::All);
    let (failed, all) = (failed.len(), all.len());
    assert_eq!(failed, 0, "of {all} evaluations, see above");
}

#[test]
fn samples_that_the_selections_do_not_need_do_not_matter() {
    let (all, failed) = run(run::options(), Returned::Needed);
    let (failed, all) = (failed.len(), all.len());
    assert_eq!(failed, 0, "of {all} evaluations, see above");
}

#[test]
fn without_delayed_name_removal_the_same_evaluations_fail_as_in_prometheus() {
    let options = EngineOptions {
        delayed_name_removal: false,
        ..run::options()
    };
    assert_same_failures("without_delayed_name_removal", options);
}

#[test]
fn as_shipped_the_same_evaluations_fail_as_in_prometheus() {
    let options = EngineOptions {
        parser: ParserOptions::default(),
        delayed_name_removal: false,
        start_timestamps: false,
        ..run::options()
    };
    assert_same_failures("as_shipped", options);
}

/// The runner would pass what it does not read.
#[test]
fn the_scripts_are_read_as_a_whole() {
    let mut counts = std::collections::BTreeMap::new();
    let mut add = |name: &'static str, number: usize| *counts.entry(name).or_insert(0) += number;
    for (name, text) in corpus::scripts() {
        let commands = script::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        add("scripts", 1);
        for command in commands {
            match command {
                Command::Clear => add("clear", 1),
                Command::Load(load) => {
                    add("load", 1);
                    add("with_nhcb", usize::from(load.with_nhcb));
                    let starts = load.series.iter().filter(|it| it.starts.is_some());
                    add("@st", starts.count());
                }
                Command::Eval(eval) => {
                    add(if eval.is_range { "range" } else { "instant" }, 1);
                    add("expect ordered", usize::from(eval.is_ordered));
                    add("expect fail", usize::from(eval.failure.is_some()));
                    add("expect warn", eval.warnings.conditions.len());
                    add("expect no_warn", usize::from(eval.warnings.is_forbidden));
                    add("expect info", eval.infos.conditions.len());
                    add("expect no_info", usize::from(eval.infos.is_forbidden));
                    match eval.result {
                        Expected::Scalar(_) => add("scalar", 1),
                        Expected::String(_) => add("expect string", 1),
                        Expected::Series(series) => {
                            let items = series.iter().flat_map(|it| &it.items);
                            let has_hint = |item: &&Item| {
                                matches!(item, Item::Histogram { has_hint: true, .. })
                            };
                            add("hint", items.filter(has_hint).count());
                        }
                    }
                }
            }
        }
    }
    let expected = [
        ("@st", 37),
        ("clear", 235),
        ("expect fail", 35),
        ("expect info", 132),
        ("expect no_info", 149),
        ("expect no_warn", 265),
        ("expect ordered", 24),
        ("expect string", 5),
        ("expect warn", 90),
        ("hint", 46),
        ("instant", 1_900),
        ("load", 314),
        ("range", 343),
        ("scalar", 54),
        ("scripts", 21),
        ("with_nhcb", 33),
    ];
    assert_eq!(counts.into_iter().collect::<Vec<_>>(), expected);
}
