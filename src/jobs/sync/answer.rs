//! The answers of Prometheus' HTTP API.
//!
//! <https://prometheus.io/docs/prometheus/latest/querying/api/>

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

use crate::model::{
    Histogram, Label, Labels, METRIC_NAME_LABEL, MetricType, PROMETHEUS_NAN_BITS, Sample,
};

/// A series of a result.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Series {
    pub(super) labels: Labels,
    /// In the order of time.
    pub(super) samples: Vec<Sample>,
    /// In the order of time.
    pub(super) histograms: Vec<Histogram>,
}

impl Series {
    pub(super) fn len(&self) -> usize {
        self.samples.len() + self.histograms.len()
    }
}

/// What an answer says, and what it adds to it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer<T> {
    pub(super) data: T,
    /// Warnings and notes, such as those that the result is not complete.
    pub(super) warnings: Vec<String>,
}

/// An answer that is no success, or none at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct NoSuccess(pub(super) String);

#[derive(Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
struct Envelope<'a, T> {
    #[serde(borrow)]
    status: Cow<'a, str>,
    data: Option<T>,
    #[serde(rename = "errorType", default)]
    error_type: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    warnings: Vec<String>,
    #[serde(default)]
    infos: Vec<String>,
}

#[derive(Deserialize)]
struct Matrix<'a> {
    #[serde(borrow)]
    result: Vec<WireSeries<'a>>,
}

#[derive(Deserialize)]
struct WireSeries<'a> {
    metric: BTreeMap<String, String>,
    #[serde(borrow, default)]
    values: Vec<(f64, Cow<'a, str>)>,
    #[serde(default)]
    histograms: Vec<serde::de::IgnoredAny>,
}

fn data<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<Answer<T>, NoSuccess> {
    let envelope: Envelope<'_, T> = serde_json::from_slice(body).map_err(|error| {
        // Its own text may quote the response.
        let (line, column) = (error.line(), error.column());
        NoSuccess(format!(
            "the response is not one of Prometheus' API: line {line}, column {column}"
        ))
    })?;
    match envelope.data {
        Some(data) if envelope.status == "success" => {
            let mut warnings = envelope.warnings;
            warnings.extend(envelope.infos);
            Ok(Answer { data, warnings })
        }
        _ if envelope.status == "error" => Err(NoSuccess(format!(
            "status error: {} {}",
            envelope.error_type, envelope.error
        ))),
        _ => Err(NoSuccess(
            "the response is not one of Prometheus' API: no status or data that is known"
                .to_owned(),
        )),
    }
}

/// The series of a range query, sorted by labels.
pub(super) fn matrix(body: &[u8]) -> Result<Answer<Vec<Series>>, NoSuccess> {
    let Answer { data, mut warnings } = data::<Matrix<'_>>(body)?;
    let mut all = Vec::with_capacity(data.result.len());
    for WireSeries {
        metric,
        values,
        histograms,
    } in data.result
    {
        if !histograms.is_empty() {
            let text = "native histograms have no steps; set raw to true to read them";
            if !warnings.iter().any(|it| it == text) {
                warnings.push(text.to_owned());
            }
        }
        let labels = metric
            .into_iter()
            .map(|(name, value)| Label { name, value });
        let samples = values.iter().map(|(seconds, text)| {
            let value = value(text).ok_or_else(|| NoSuccess("a value is no number".to_owned()))?;
            Ok(Sample {
                timestamp_ms: (seconds * 1e3).round() as i64,
                value,
            })
        });
        all.push(Series {
            labels: Labels::new(labels.collect()),
            samples: samples.collect::<Result<_, _>>()?,
            histograms: Vec::new(),
        });
    }
    all.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
    Ok(Answer {
        data: all,
        warnings,
    })
}

/// `NaN`, `+Inf`, `-Inf`, or a number.
fn value(text: &str) -> Option<f64> {
    match text {
        // What bits it had the API does not tell.
        "NaN" => Some(f64::from_bits(PROMETHEUS_NAN_BITS)),
        number => number.parse().ok(),
    }
}

/// Names of metrics, or other values of a label.
pub(super) fn names(body: &[u8]) -> Result<Answer<Vec<String>>, NoSuccess> {
    data(body)
}

/// What is known about a metric family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Family {
    pub(super) name: String,
    pub(super) metric_type: MetricType,
    pub(super) help: String,
    pub(super) unit: String,
}

#[derive(Deserialize)]
struct WireFamily {
    #[serde(default)]
    metric: String,
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    help: String,
    #[serde(default)]
    unit: String,
}

impl WireFamily {
    fn named(self, name: String) -> Family {
        Family {
            name,
            metric_type: metric_type(&self.r#type),
            help: self.help,
            unit: self.unit,
        }
    }
}

/// The answer of `/api/v1/targets/metadata`: of each family the first entry.
pub(super) fn targets_metadata(body: &[u8]) -> Result<Answer<Vec<Family>>, NoSuccess> {
    let Answer { data, warnings } = data::<Vec<WireFamily>>(body)?;
    let mut families = BTreeMap::new();
    for mut entry in data {
        let name = std::mem::take(&mut entry.metric);
        if !name.is_empty() {
            families
                .entry(name.clone())
                .or_insert_with(|| entry.named(name));
        }
    }
    Ok(Answer {
        data: families.into_values().collect(),
        warnings,
    })
}

/// The answer of `/api/v1/metadata`: of each family the first entry.
pub(super) fn metadata(body: &[u8]) -> Result<Answer<Vec<Family>>, NoSuccess> {
    let Answer { data, warnings } = data::<BTreeMap<String, Vec<WireFamily>>>(body)?;
    let first = |(name, entries): (String, Vec<WireFamily>)| {
        entries.into_iter().next().map(|entry| entry.named(name))
    };
    Ok(Answer {
        data: data.into_iter().filter_map(first).collect(),
        warnings,
    })
}

fn metric_type(word: &str) -> MetricType {
    let all = (0..8).map(MetricType::of);
    all.into_iter()
        .find(|it| it.as_str() == word)
        .unwrap_or_default()
}

/// Whether a series of this metric, or of a family of this name, is one of `metrics`.
pub(super) fn is_wanted(family: &Family, metrics: &[String]) -> bool {
    let is_of_family = |metric: &String| {
        let counted = metric.strip_suffix("_total");
        let described = metric.strip_suffix("_info");
        [Some(family.metric_type.family(metric)), counted, described]
            .into_iter()
            .any(|name| name == Some(family.name.as_str()))
    };
    metrics.iter().any(is_of_family)
}

/// The label set as it is remembered.
pub(super) fn pairs(labels: &Labels) -> Vec<(String, String)> {
    let pairs = labels.iter();
    pairs
        .map(|it| (it.name.clone(), it.value.clone()))
        .collect()
}

/// A selector of the series of `metric`, whatever its name is made of.
pub(super) fn selector(metric: &str) -> String {
    let mut text = format!("{{{METRIC_NAME_LABEL}=\"");
    for character in metric.chars() {
        match character {
            '"' | '\\' => text.extend(['\\', character]),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
    text.push_str("\"}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix() {
        let body = br#"{"status":"success","data":{"resultType":"matrix","result":[
            {"metric":{"__name__":"up","job":"b"},"values":[[1600000000.001,"1"],[1600000015,"NaN"]]},
            {"metric":{"__name__":"up","job":"a"},"values":[[1600000000,"+Inf"],[1600000015.5,"-1.5e-7"]]},
            {"metric":{"__name__":"h"},"histograms":[[1600000000,{"count":"1","sum":"1"}]]}]},
            "warnings":["w"],"infos":["i"]}"#;
        let answer = matrix(body).unwrap();
        let histograms = "native histograms have no steps; set raw to true to read them";
        assert_eq!(answer.warnings, ["w", "i", histograms]);
        let seen: Vec<_> = answer
            .data
            .iter()
            .map(|series| {
                let samples = series.samples.iter();
                let samples = samples.map(|it| (it.timestamp_ms, it.value.to_bits()));
                (series.labels.get("job"), samples.collect::<Vec<_>>())
            })
            .collect();
        let expected = [
            ("", vec![]),
            (
                "a",
                vec![
                    (1_600_000_000_000, f64::INFINITY.to_bits()),
                    (1_600_000_015_500, (-1.5e-7_f64).to_bits()),
                ],
            ),
            (
                "b",
                vec![
                    (1_600_000_000_001, 1_f64.to_bits()),
                    (1_600_000_015_000, PROMETHEUS_NAN_BITS),
                ],
            ),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn what_is_no_success_is_told() {
        let error = br#"{"status":"error","errorType":"bad_data","error":"no"}"#;
        assert_eq!(matrix(error).unwrap_err().0, "status error: bad_data no");
        for (body, why) in [
            ("<html>", "is not one of Prometheus' API: line 1, column 1"),
            ("{}", "is not one of Prometheus' API: line 1, column 2"),
            (r#"{"status":"success"}"#, "no status or data that is known"),
            (
                r#"{"status":"partial","data":{"result":[]}}"#,
                "no status or data that is known",
            ),
            (
                r#"{"status":"success","data":{"result":[{"metric":{},"values":[[1,"x"]]}]}}"#,
                "a value is no number",
            ),
        ] {
            let error = matrix(body.as_bytes()).unwrap_err().0;
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn metadata_of_both_forms() {
        let family = |name: &str, metric_type, help: &str, unit: &str| Family {
            name: name.to_owned(),
            metric_type,
            help: help.to_owned(),
            unit: unit.to_owned(),
        };
        let expected = [
            family("a", MetricType::Counter, "Help.", ""),
            family("b_seconds", MetricType::Histogram, "", "seconds"),
        ];
        let targets = br#"{"status":"success","data":[
            {"target":{"job":"x"},"metric":"b_seconds","type":"histogram","help":"","unit":"seconds"},
            {"target":{"job":"x"},"metric":"a","type":"counter","help":"Help.","unit":""},
            {"target":{"job":"y"},"metric":"a","type":"gauge","help":"Other.","unit":""}]}"#;
        assert_eq!(targets_metadata(targets).unwrap().data, expected);
        let all = br#"{"status":"success","data":{
            "a":[{"type":"counter","help":"Help.","unit":""},{"type":"gauge","help":"","unit":""}],
            "b_seconds":[{"type":"histogram","help":"","unit":"seconds"}]}}"#;
        assert_eq!(metadata(all).unwrap().data, expected);
        let metrics = |names: &[&str]| names.iter().map(|&it| it.to_owned()).collect::<Vec<_>>();
        for (names, wanted) in [
            (&["a_total"][..], [true, false]),
            (&["b_seconds_bucket"], [false, true]),
            (&["a", "b_seconds_sum"], [true, true]),
            (&["b", "aa"], [false, false]),
        ] {
            let found = [0, 1].map(|it| is_wanted(&expected[it], &metrics(names)));
            assert_eq!(found, wanted, "{names:?}");
        }
    }

    #[test]
    fn selectors_quote_names() {
        assert_eq!(selector("a:b"), r#"{__name__="a:b"}"#);
        assert_eq!(selector("a\"\\\n"), r#"{__name__="a\"\\\n"}"#);
    }
}
