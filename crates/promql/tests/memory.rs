//! Samples that are read from the storage in memory are those of Prometheus' database.
//!
//! `golden/chunks.txt` has random series, written by the program beside it.

use std::sync::Arc;

use prom_model::{
    Buckets, Count, FloatHistogram, Histogram, Label, Labels, STALE_MARKER_BITS, Span,
};
use promql::{Engine, EngineOptions, MemoryStorage, SampleValue, Storage};

fn float(text: &str) -> f64 {
    match text {
        "stale" => f64::from_bits(STALE_MARKER_BITS),
        _ => text.parse().unwrap(),
    }
}

fn float_text(value: f64) -> String {
    match value.to_bits() {
        STALE_MARKER_BITS => "stale".to_owned(),
        _ => value.to_string(),
    }
}

fn sample(text: &str) -> SampleValue {
    let fields: Vec<_> = text.split(';').collect();
    let [
        schema,
        threshold,
        zero,
        count,
        sum,
        hint,
        custom,
        positive,
        negative,
    ] = fields.as_slice()
    else {
        return SampleValue::Float(float(text));
    };
    let bounds = custom.split(',').filter(|it| !it.is_empty());
    let histogram = FloatHistogram::try_from(&Histogram {
        schema: schema.parse().unwrap(),
        zero_threshold: float(threshold),
        zero_count: Some(Count::Float(float(zero))),
        count: Some(Count::Float(float(count))),
        sum: float(sum),
        reset_hint: hint.parse().unwrap(),
        custom_values: bounds.map(float).collect(),
        positive: buckets(positive),
        negative: buckets(negative),
        ..Histogram::default()
    });
    SampleValue::Histogram(Arc::new(histogram.unwrap()))
}

fn buckets(text: &str) -> Buckets {
    let (mut buckets, mut end) = (Buckets::default(), 0);
    for bucket in text.split(',').filter(|it| !it.is_empty()) {
        let (index, count) = bucket.split_once('=').unwrap();
        let index: i32 = index.parse().unwrap();
        buckets.spans.push(Span {
            offset: index - end,
            length: 1,
        });
        buckets.counts.push(float(count));
        end = index + 1;
    }
    buckets
}

fn histogram_text(histogram: &FloatHistogram) -> String {
    let plain = histogram.to_histogram(0);
    let bounds: Vec<_> = plain
        .custom_values
        .iter()
        .map(|&it| float_text(it))
        .collect();
    let fields = [
        plain.schema.to_string(),
        float_text(plain.zero_threshold),
        float_text(plain.float_zero_count()),
        float_text(plain.float_count()),
        float_text(plain.sum),
        plain.reset_hint.to_string(),
        bounds.join(","),
        buckets_text(&plain.positive),
        buckets_text(&plain.negative),
    ];
    fields.join(";")
}

fn buckets_text(buckets: &Buckets) -> String {
    let (mut texts, mut index) = (Vec::new(), 0);
    for span in &buckets.spans {
        index += span.offset;
        for _ in 0..span.length {
            let count = float_text(buckets.counts[texts.len()]);
            texts.push(format!("{index}={count}"));
            index += 1;
        }
    }
    texts.join(",")
}

#[test]
fn series_are_read_as_from_the_database_of_prometheus() {
    let lines: Vec<_> = include_str!("golden/chunks.txt").lines().collect();
    assert_eq!(lines.len(), 800);
    let labels = Labels::new(vec![Label {
        name: "__name__".to_owned(),
        value: "m".to_owned(),
    }]);
    for pair in lines.chunks(2) {
        let mut storage = MemoryStorage::default();
        let mut time = 0;
        for text in pair[0].split('\t') {
            storage.append(&labels, time, sample(text)).unwrap();
            time += 1;
        }
        let query = Engine::new(EngineOptions::default()).instant("m[1m]", time);
        let Ok(series) = storage.select(&query.unwrap().selections()[0]);
        let floats = series[0].floats.iter();
        let floats = floats.map(|it| (it.timestamp_ms, float_text(it.value)));
        let histograms = series[0].histograms.iter();
        let histograms = histograms.map(|it| (it.timestamp_ms, histogram_text(&it.histogram)));
        let mut texts: Vec<_> = floats.chain(histograms).collect();
        texts.sort();
        let texts: Vec<_> = texts.into_iter().map(|it| it.1).collect();
        assert_eq!(texts.join("\t"), pair[1], "{}", pair[0]);
    }
}
