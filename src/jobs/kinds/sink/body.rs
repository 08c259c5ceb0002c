//! Samples to the body of a remote write request.
//!
//! <https://prometheus.io/docs/specs/prw/remote_write_spec/>,
//! <https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/>.

use std::collections::HashMap;

use prom_wire::prompb;
use prom_wire::prompb::v2;

use super::config::Protocol;
use super::point::{Content, Point, by_series};

impl Protocol {
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::V1 => "application/x-protobuf",
            Self::V2 => "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        }
    }

    /// The value of `X-Prometheus-Remote-Write-Version`.
    pub(super) fn version(self) -> &'static str {
        match self {
            Self::V1 => "0.1.0",
            Self::V2 => "2.0.0",
        }
    }
}

/// The body that carries `points`, which are arranged.
pub(super) fn body(points: &[Point], protocol: Protocol) -> Vec<u8> {
    let encoded = match protocol {
        Protocol::V1 => prom_wire::encode(&version1(points)),
        Protocol::V2 => prom_wire::encode(&version2(points)),
    };
    encoded.expect("a batch has far less than 4 GiB")
}

fn version1(points: &[Point]) -> prompb::WriteRequest {
    let series = by_series(points).map(|points| {
        let mut series = prompb::TimeSeries::default();
        let labels = points[0].labels.iter();
        series.labels = labels
            .map(|label| prompb::Label {
                name: label.name.clone(),
                value: label.value.clone(),
            })
            .collect();
        for point in points {
            match &point.content {
                Content::Float(sample) => series.samples.push(prompb::Sample {
                    value: sample.value,
                    timestamp: sample.timestamp_ms,
                }),
                Content::Histogram(histogram) => series.histograms.push((**histogram).clone()),
            }
        }
        series
    });
    prompb::WriteRequest {
        timeseries: series.collect(),
        metadata: Vec::new(),
    }
}

/// The texts of a request, each once; the first is the empty one.
struct Symbols<'a> {
    texts: Vec<String>,
    places: HashMap<&'a str, u32>,
}

impl<'a> Symbols<'a> {
    fn place(&mut self, text: &'a str) -> u32 {
        *self.places.entry(text).or_insert_with(|| {
            self.texts.push(text.to_owned());
            u32::try_from(self.texts.len() - 1).expect("a batch has few texts")
        })
    }
}

fn version2(points: &[Point]) -> v2::Request {
    let mut symbols = Symbols {
        texts: vec![String::new()],
        places: HashMap::from([("", 0)]),
    };
    let mut all = Vec::new();
    for points in by_series(points) {
        let labels = points[0].labels.iter();
        let labels_refs: Vec<u32> = labels
            .flat_map(|label| [label.name.as_str(), label.value.as_str()])
            .map(|text| symbols.place(text))
            .collect();
        // A series of a request has either samples or histograms.
        let is_float = |point: &Point| matches!(point.content, Content::Float(_));
        for points in points.chunk_by(|a, b| is_float(a) == is_float(b)) {
            let mut series = v2::TimeSeries {
                labels_refs: labels_refs.clone(),
                ..v2::TimeSeries::default()
            };
            for point in points {
                match &point.content {
                    Content::Float(sample) => series.samples.push(v2::Sample {
                        value: sample.value,
                        timestamp: sample.timestamp_ms,
                        ..v2::Sample::default()
                    }),
                    Content::Histogram(it) => series.histograms.push(histogram(it)),
                }
            }
            all.push(series);
        }
    }
    v2::Request {
        symbols: symbols.texts,
        timeseries: all,
    }
}

/// The messages have the same fields by the same numbers, but for the start of counting.
fn histogram(message: &prompb::Histogram) -> v2::Histogram {
    use prost::Message;
    v2::Histogram::decode(message.encode_to_vec().as_slice()).expect("it was encoded here")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::point::tests::point;
    use super::*;
    use prom_wire::budget::MemoryBudget;
    use prom_wire::request::Datapoint;
    use prom_wire::{RemoteWrite, decompress, read_request};

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn bodies_are_those_of_prometheus() {
        let mut up = point("up", "", 1_600_000_000_000, 1.0);
        up.labels = Arc::new(prom_model::Labels::new(up.labels.iter().cloned().collect()));
        let v1 = "248c0a220a0e0a085f5f6e616d655f5f12027570121009000000000000f03f108080babbc82e";
        assert_eq!(hex(&body(&[up.clone()], Protocol::V1)), v1);
        let v2 =
            "289c220022085f5f6e616d655f5f220275702a160a020102121009000000000000f03f108080babbc82e";
        assert_eq!(hex(&body(&[up], Protocol::V2)), v2);
    }

    #[test]
    fn both_versions_say_the_same() {
        let histogram = Point {
            content: Content::Histogram(Arc::new(prompb::Histogram {
                timestamp: 9,
                sum: 2.5,
                schema: 3,
                count: Some(prompb::histogram::Count::CountInt(2)),
                positive_deltas: vec![1, 0],
                positive_spans: vec![prompb::BucketSpan {
                    offset: -3,
                    length: 2,
                }],
                ..prompb::Histogram::default()
            })),
            ..point("h", "1", 0, 0.0)
        };
        let points = [
            point("a", "1", 1, -0.0),
            point("a", "1", 2, f64::from_bits(prom_model::STALE_MARKER_BITS)),
            point("a", "2", 1, f64::INFINITY),
            point("h", "1", 8, 1.0),
            histogram,
        ];
        let read = |protocol, version| {
            let message = decompress(&body(&points, protocol), 1 << 20).unwrap();
            let request = read_request(
                version,
                &message,
                &mut MemoryBudget::unlimited().reservation(),
            )
            .unwrap();
            let mut seen = Vec::new();
            for series in request.iter() {
                for item in series.datapoints {
                    let bits = match item {
                        Datapoint::Sample(sample) => sample.value.to_bits(),
                        other => other.value().to_bits(),
                    };
                    seen.push((series.labels.to_string(), item.timestamp_ms(), bits));
                }
            }
            let kinds = request.kinds();
            assert_eq!((kinds.samples, kinds.histograms), (4, 1));
            seen
        };
        let first = read(Protocol::V1, RemoteWrite::V1);
        assert_eq!(first.len(), points.len());
        assert_eq!(first, read(Protocol::V2, RemoteWrite::V2));
    }
}
