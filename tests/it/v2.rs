//! Requests of remote write 2.0, as senders make them.

use std::collections::BTreeMap;

use prom_wire::RemoteWrite;
pub(crate) use prom_wire::prompb::v2 as message;
pub(crate) use prom_wire::prompb::v2::metadata::MetricType;
use prom_wire::prompb::v2::{Exemplar, Histogram, Metadata, Request, Sample, TimeSeries};
use prost::Message;

use crate::support::{HttpResponse, TestApp};

/// Returns the content type of the version, as Prometheus writes it.
pub(crate) fn content_type(version: RemoteWrite) -> &'static str {
    match version {
        RemoteWrite::V1 => "application/x-protobuf",
        RemoteWrite::V2 => "application/x-protobuf;proto=io.prometheus.write.v2.Request",
    }
}

/// A series that is being put together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series {
    labels: Texts,
    samples: Vec<Sample>,
    histograms: Vec<Histogram>,
    exemplars: Vec<(Texts, f64, i64)>,
    metadata: Option<(MetricType, String, String)>,
    created_ms: Option<i64>,
}

type Texts = Vec<(String, String)>;

/// Returns a series with these labels, in this order.
pub(crate) fn series(labels: &[(&str, &str)]) -> Series {
    Series {
        labels: texts(labels),
        ..Series::default()
    }
}

fn texts(labels: &[(&str, &str)]) -> Texts {
    let texts = labels.iter();
    texts
        .map(|&(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

impl Series {
    pub(crate) fn sample(mut self, timestamp: i64, value: f64) -> Self {
        self.samples.push(Sample {
            value,
            timestamp,
            start_timestamp: 0,
        });
        self
    }

    pub(crate) fn histogram(mut self, histogram: Histogram) -> Self {
        self.histograms.push(histogram);
        self
    }

    pub(crate) fn exemplar(mut self, labels: &[(&str, &str)], timestamp: i64, value: f64) -> Self {
        self.exemplars.push((texts(labels), value, timestamp));
        self
    }

    pub(crate) fn metadata(mut self, metric_type: MetricType, help: &str, unit: &str) -> Self {
        self.metadata = Some((metric_type, help.to_owned(), unit.to_owned()));
        self
    }

    /// Returns the values of the samples.
    pub(crate) fn values(&self) -> impl Iterator<Item = f64> {
        self.samples.iter().map(|sample| sample.value)
    }

    /// Returns the start of a whole series, which the protocol had once and senders still send.
    pub(crate) fn created(mut self, timestamp_ms: i64) -> Self {
        self.created_ms = Some(timestamp_ms);
        self
    }
}

/// A table of symbols that grows.
struct Symbols(BTreeMap<String, u32>);

impl Symbols {
    fn reference(&mut self, text: &str) -> u32 {
        let next = u32::try_from(self.0.len()).unwrap();
        *self.0.entry(text.to_owned()).or_insert(next)
    }

    fn references(&mut self, labels: &Texts) -> Vec<u32> {
        let pairs = labels.iter();
        pairs
            .flat_map(|(name, value)| [self.reference(name), self.reference(value)])
            .collect()
    }
}

/// Returns the message that carries these series.
pub(crate) fn request(all: &[Series]) -> Vec<u8> {
    let mut symbols = Symbols(BTreeMap::new());
    symbols.reference("");
    let mut bytes = Vec::new();
    for series in all {
        let message = TimeSeries {
            labels_refs: symbols.references(&series.labels),
            samples: series.samples.clone(),
            histograms: series.histograms.clone(),
            exemplars: series
                .exemplars
                .iter()
                .map(|(labels, value, timestamp)| Exemplar {
                    labels_refs: symbols.references(labels),
                    value: *value,
                    timestamp: *timestamp,
                })
                .collect(),
            metadata: series
                .metadata
                .as_ref()
                .map(|(metric_type, help, unit)| Metadata {
                    r#type: (*metric_type).into(),
                    help_ref: symbols.reference(help),
                    unit_ref: symbols.reference(unit),
                }),
        };
        let mut message = message.encode_to_vec();
        if let Some(created) = series.created_ms {
            prost::encoding::int64::encode(6, &created, &mut message);
        }
        prost::encoding::bytes::encode(5, &message, &mut bytes);
    }
    let mut table: Vec<_> = symbols.0.into_iter().collect();
    table.sort_by_key(|(_, reference)| *reference);
    let table = Request {
        symbols: table.into_iter().map(|(text, _)| text).collect(),
        timeseries: vec![],
    };
    [table.encode_to_vec(), bytes].concat()
}

/// Returns the compressed body that carries these series.
pub(crate) fn body(series: &[Series]) -> Vec<u8> {
    compressed(&request(series))
}

pub(crate) fn compressed(message: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(message).unwrap()
}

impl TestApp {
    /// Sends a request of remote write 2.0 with the headers that Prometheus sends.
    pub(crate) async fn write_v2(&self, series: &[Series]) -> HttpResponse {
        self.post_v2(body(series)).await
    }

    pub(crate) async fn post_v2(&self, body: Vec<u8>) -> HttpResponse {
        let headers = [
            ("content-type", content_type(RemoteWrite::V2)),
            ("content-encoding", "snappy"),
            ("x-prometheus-remote-write-version", "2.0.0"),
        ];
        self.post("/write", &headers, body).await
    }
}

impl HttpResponse {
    /// Returns the written samples, histograms and exemplars of the response headers, if there are
    /// any.
    pub(crate) fn written(&self) -> Option<[u64; 3]> {
        let names = ["samples", "histograms", "exemplars"];
        let counts = names.map(|kind| {
            let name = format!("x-prometheus-remote-write-{kind}-written");
            let count = self.headers.get(name)?;
            Some(count.to_str().unwrap().parse().unwrap())
        });
        let [Some(samples), Some(histograms), Some(exemplars)] = counts else {
            assert_eq!(counts, [None; 3], "all of them or none");
            return None;
        };
        Some([samples, histograms, exemplars])
    }
}
