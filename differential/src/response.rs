//! Responses of Prometheus' HTTP API. They have of a histogram what a client sees: count, sum and buckets that are not
//! empty.

use crate::data::{Float, Point, Series};
use crate::result::{QueryResult, Samples, Value};
use prom_model::{Buckets, Count, FloatHistogram, Histogram, Label, Labels, Span};
use serde_json::Value as Json;

/// The numbers of a bucket in a response: the kind of its boundaries, both boundaries, the count.
const NUMBERS: usize = 4;
/// The most annotations of each kind in a response. More are counted only.
const ANNOTATIONS: usize = 10;

/// Reads the body of a response.
///
/// # Panics
/// It has another form.
pub fn read(body: &[u8]) -> QueryResult {
    let response: Json = serde_json::from_slice(body).expect("responses have this form");
    let texts = |kind: &str| {
        let all = response[kind].as_array().into_iter().flatten();
        sorted(
            all.map(|it| it.as_str().expect("responses have this form").to_owned())
                .collect(),
        )
    };
    let value = match response["status"].as_str() {
        Some("success") => Ok(value(&response["data"])),
        _ => {
            let text = response["error"]
                .as_str()
                .expect("responses have this form");
            let parameter = "invalid parameter \"query\": ";
            Err(text.strip_prefix(parameter).unwrap_or(text).to_owned())
        }
    };
    QueryResult {
        value,
        warnings: texts("warnings"),
        infos: texts("infos"),
        samples: samples(&response["data"]["stats"]["samples"]),
    }
}

/// Reads the numbers of samples of a response with statistics.
fn samples(json: &Json) -> Option<Samples> {
    let total = json["totalQueryableSamples"].as_u64()?;
    let read = json["samplesRead"].as_u64().unwrap_or_default();
    let steps = |name: &str| -> Vec<(i64, u64)> {
        let all = json[name].as_array().into_iter().flatten();
        all.map(|it| (time(it), it[1].as_u64().expect("responses have this form")))
            .collect()
    };
    let read_of_steps = steps("samplesReadPerStep");
    let per_step = steps("totalQueryableSamplesPerStep");
    let per_step = per_step.into_iter().enumerate().map(|(at, (time, total))| {
        let read = read_of_steps.get(at).map_or(0, |it| it.1);
        (time, total, read)
    });
    Some(Samples {
        total,
        read,
        per_step: per_step.collect(),
    })
}

fn value(data: &Json) -> Value {
    let result = &data["result"];
    let list = || result.as_array().expect("responses have this form").iter();
    match data["resultType"]
        .as_str()
        .expect("responses have this form")
    {
        "scalar" => Value::Scalar(time(result), number(&result[1])),
        "string" => Value::String(
            time(result),
            result[1]
                .as_str()
                .expect("responses have this form")
                .to_owned(),
        ),
        "vector" => Value::Vector(list().map(|it| series(it, "value", "histogram")).collect()),
        "matrix" => Value::Matrix(
            list()
                .map(|it| series(it, "values", "histograms"))
                .collect(),
        ),
        other => panic!("no type of a result: {other}"),
    }
}

/// Reads a series, whose samples are one or a list.
fn series(json: &Json, floats: &str, histograms: &str) -> Series {
    let labels = json["metric"]
        .as_object()
        .expect("responses have this form")
        .iter();
    let labels = labels.map(|(name, value)| Label {
        name: name.clone(),
        value: value.as_str().expect("responses have this form").to_owned(),
    });
    let samples = |name: &str| -> Vec<Json> {
        match &json[name] {
            Json::Array(all) if all[0].is_array() => all.clone(),
            Json::Array(_) => vec![json[name].clone()],
            _ => vec![],
        }
    };
    let floats = samples(floats).into_iter().map(|it| Float {
        time_ms: time(&it),
        value: number(&it[1]),
        start_ms: 0,
    });
    let histograms = samples(histograms).into_iter().map(|it| {
        let buckets = it[1]["buckets"].as_array().into_iter().flatten();
        let numbers = buckets.flat_map(|bucket| {
            let kind = bucket[0].as_f64().expect("responses have this form");
            [
                kind,
                number(&bucket[1]),
                number(&bucket[2]),
                number(&bucket[3]),
            ]
        });
        let (count, sum) = (number(&it[1]["count"]), number(&it[1]["sum"]));
        point(time(&it), count, sum, numbers.collect())
    });
    Series {
        labels: Labels::new(labels.collect()),
        floats: floats.collect(),
        histograms: histograms.collect(),
    }
}

fn time(sample: &Json) -> i64 {
    (sample[0].as_f64().expect("responses have this form") * 1000.0).round() as i64
}

fn number(json: &Json) -> f64 {
    let text = json.as_str().expect("responses have this form");
    text.trim_start_matches('+')
        .parse()
        .expect("responses have this form")
}

/// Returns a histogram whose positive side is the numbers of its buckets.
fn point(timestamp_ms: i64, count: f64, sum: f64, numbers: Vec<f64>) -> Point {
    let length = numbers.len();
    assert_eq!(length % NUMBERS, 0);
    Point {
        histogram: Histogram {
            timestamp_ms,
            count: Some(Count::Float(count)),
            sum,
            positive: Buckets {
                spans: vec![Span {
                    offset: 0,
                    length: length as u32,
                }],
                deltas: vec![],
                counts: numbers,
            },
            ..Histogram::default()
        },
        start_ms: 0,
    }
}

/// Returns of a result what a response has of it.
///
/// # Panics
/// It has more annotations than a response.
pub fn visible(result: &QueryResult) -> QueryResult {
    let mut result = result.clone();
    if let Ok(Value::Vector(all) | Value::Matrix(all)) = &mut result.value {
        let points = all.iter_mut().flat_map(|it| &mut it.histograms);
        for it in points {
            *it = visible_point(&it.histogram);
        }
    }
    if result.value.is_err() {
        // An error is all that a response has.
        result.warnings.clear();
        result.infos.clear();
    }
    for (all, kind) in [
        (&mut result.warnings, "warning"),
        (&mut result.infos, "info"),
    ] {
        assert!(all.len() <= ANNOTATIONS, "{} {kind}s", all.len());
    }
    result
}

/// Returns of a histogram what a response has of it.
pub(crate) fn visible_point(histogram: &Histogram) -> Point {
    let floats = FloatHistogram::try_from(histogram).expect("responses have this form");
    let buckets = floats.all_buckets().filter(|it| it.count != 0.0);
    let numbers = buckets.flat_map(|it| {
        let kind = match (it.is_lower_inclusive, it.is_upper_inclusive) {
            (false, true) => 0.0,
            (true, false) => 1.0,
            (false, false) => 2.0,
            (true, true) => 3.0,
        };
        [kind, it.lower, it.upper, it.count]
    });
    let (count, sum) = (floats.count(), floats.sum());
    point(histogram.timestamp_ms, count, sum, numbers.collect())
}

fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort_unstable();
    texts
}
