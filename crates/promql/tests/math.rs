//! Functions of one float have the results of Prometheus on amd64.
//!
//! The table in `tests/golden` contains what Prometheus' engine returns, and the program that writes it.

use prom_model::{Label, Labels, METRIC_NAME_LABEL};
use promql::{Engine, EngineOptions, MemoryStorage, SampleValue, Value};

const MATH: &str = include_str!("golden/math.tsv");

/// Returns true if the result may differ in the last bits: Go takes powers of e, and angles from 2^29 on, by another
/// method.
fn is_inexact(function: &str, value: f64) -> bool {
    match function {
        "exp" | "sinh" | "cosh" | "tanh" => true,
        "sin" | "cos" | "tan" => value.abs() >= 536_870_912.0,
        _ => false,
    }
}

/// Returns true if a result is the expected one; zeros have to have the same sign.
fn is_equal(result: f64, expected: f64, is_inexact: bool) -> bool {
    if result.to_bits() == expected.to_bits() || result.is_nan() && expected.is_nan() {
        return true;
    }
    let smallest = f64::from_bits(1);
    is_inexact && (result - expected).abs() <= (expected.abs() * 1e-12).max(smallest)
}

#[test]
fn functions_of_floats_have_the_results_of_prometheus() {
    let mut rows = MATH
        .lines()
        .map(|line| line.split('\t').collect::<Vec<_>>());
    let expressions = rows.next().unwrap();
    let rows: Vec<_> = rows.collect();
    let labels = Labels::new(vec![Label {
        name: METRIC_NAME_LABEL.to_owned(),
        value: "m".to_owned(),
    }]);
    let mut storage = MemoryStorage::default();
    // A sample each millisecond, so that a range query looks at each of them.
    for (time, row) in (0..).zip(&rows) {
        let value: f64 = row[0].parse().unwrap();
        storage
            .append(&labels, time, SampleValue::Float(value))
            .unwrap();
    }
    let engine = Engine::new(EngineOptions::default());
    let mut wrong = Vec::new();
    for (column, expression) in expressions.iter().enumerate().skip(1) {
        let query = engine
            .range(expression, 0, rows.len() as i64 - 1, 1)
            .unwrap();
        let Value::Matrix(matrix) = query.run(&storage).unwrap().value.unwrap() else {
            panic!("{expression} is no matrix");
        };
        let mut results = vec![None; rows.len()];
        for sample in matrix.iter().flat_map(|series| &series.floats) {
            results[sample.timestamp_ms as usize] = Some(sample.value);
        }
        let function = expression.split('(').next().unwrap();
        for (row, result) in rows.iter().zip(results) {
            let value: f64 = row[0].parse().unwrap();
            let expected: Option<f64> = row[column].parse().ok();
            let is_right = match (result, expected) {
                (Some(result), Some(expected)) => {
                    is_equal(result, expected, is_inexact(function, value))
                }
                (result, expected) => result.is_none() && expected.is_none(),
            };
            if !is_right {
                let (input, expected) = (row[0], row[column]);
                wrong.push(format!(
                    "{expression}, m = {input}: {result:?}, not {expected}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(rows.len() > 400 && expressions.len() > 40);
}
