//! Parses responses of Prometheus' HTTP API, in the dialects of the servers that implement it.
//!
//! <https://prometheus.io/docs/prometheus/latest/querying/api/>

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Deserializer};

use prom_model::visible::truncate;
use prom_model::{
    Histogram, Label, Labels, METRIC_NAME_LABEL, MetricType, PROMETHEUS_NAN_BITS, Sample,
};

/// Maximum bytes of an error or a warning that are repeated.
const MAX_TEXT_BYTES: usize = 300;

/// A series of a result.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Series {
    pub(super) labels: Labels,
    /// Sorted by time.
    pub(super) samples: Vec<Sample>,
    /// Sorted by time.
    pub(super) histograms: Vec<Histogram>,
}

impl Series {
    pub(super) fn len(&self) -> usize {
        self.samples.len() + self.histograms.len()
    }
}

/// The data of a successful response, and its annotations.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Response<T> {
    pub(super) data: T,
    /// Warnings and infos of a complete result.
    pub(super) warnings: Vec<String>,
    /// The reason, if the server reports that the result may be partial.
    pub(super) partial: Option<String>,
}

impl<T> Response<T> {
    fn map<U>(self, to: impl FnOnce(T) -> U) -> Response<U> {
        Response {
            data: to(self.data),
            warnings: self.warnings,
            partial: self.partial,
        }
    }
}

/// An error in a response, or a response that is not one of this API.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ResponseError {
    /// An error of the API in a response with the status of a success.
    #[error("{0}")]
    Api(String),
    /// The response ends early.
    #[error("the response ends early")]
    Truncated,
    /// The response has another form; the message quotes nothing of it.
    #[error("the response is not one of Prometheus' API: {0}")]
    Unrecognized(String),
}

/// Reads null as the default value, because some servers write it for an empty list.
fn null_as_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads null as the default value, but requires the key.
fn required_or_null<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    null_as_default(deserializer).map(Some)
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de> + Default"))]
struct Envelope<'a, T> {
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(default = "no_data", deserialize_with = "required_or_null")]
    data: Option<T>,
    #[serde(rename = "errorType", default, deserialize_with = "null_as_default")]
    error_type: String,
    #[serde(default, deserialize_with = "null_as_default")]
    error: String,
    #[serde(default, deserialize_with = "null_as_default")]
    warnings: Vec<String>,
    #[serde(default, deserialize_with = "null_as_default")]
    infos: Vec<String>,
    /// Set by VictoriaMetrics if some of its storage nodes did not respond.
    #[serde(rename = "isPartial", default, deserialize_with = "null_as_default")]
    is_partial: bool,
}

fn no_data<T>() -> Option<T> {
    None
}

#[derive(Default, Deserialize)]
struct Matrix<'a> {
    #[serde(rename = "resultType", borrow, default)]
    result_type: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    result: Vec<WireSeries<'a>>,
}

/// A result of which only the type is read.
#[derive(Default, Deserialize)]
struct Untyped<'a> {
    #[serde(rename = "resultType", borrow, default)]
    result_type: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct WireSeries<'a> {
    #[serde(default, deserialize_with = "null_as_default")]
    metric: BTreeMap<String, String>,
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    values: Vec<(f64, Cow<'a, str>)>,
    #[serde(default, deserialize_with = "null_as_default")]
    histograms: Vec<serde::de::IgnoredAny>,
}

/// Returns true if a result with this warning is complete.
///
/// Prometheus annotates the evaluation of expressions, which leaves the samples of a selector complete. Thanos used to
/// warn of a window before the first data. All other warnings name a part of the server that did not respond: a store,
/// an ingester, a tenant, a server of remote read.
fn is_harmless(warning: &str) -> bool {
    let warning = warning.trim_start();
    ["PromQL warning", "PromQL info"]
        .iter()
        .any(|it| warning.starts_with(it))
        || warning == "No StoreAPIs matched for this query"
}

/// Returns the data of a successful response. The data is required, but may be null for the default value.
fn data<'a, T: Deserialize<'a> + Default>(body: &'a [u8]) -> Result<Response<T>, ResponseError> {
    let envelope: Envelope<'_, T> = serde_json::from_slice(body).map_err(|error| {
        if error.is_eof() {
            return ResponseError::Truncated;
        }
        // The message of serde_json may quote the response.
        let problem = if error.is_data() {
            "not of the expected form"
        } else {
            "not JSON"
        };
        let (line, column) = (error.line(), error.column());
        ResponseError::Unrecognized(format!("{problem} at line {line}, column {column}"))
    })?;
    match (&*envelope.status, envelope.data) {
        ("success", Some(data)) => {
            let short = |it: &String| truncate(it, MAX_TEXT_BYTES).into_owned();
            let (harmless, incomplete): (Vec<_>, Vec<_>) =
                envelope.warnings.iter().partition(|it| is_harmless(it));
            let warnings = harmless.into_iter().chain(&envelope.infos);
            let by_mark = envelope.is_partial.then(|| "isPartial".to_owned());
            Ok(Response {
                data,
                warnings: warnings.map(short).collect(),
                partial: incomplete.first().map(|it| short(it)).or(by_mark),
            })
        }
        ("success", None) => Err(ResponseError::Unrecognized("it has no data".to_owned())),
        ("error", _) => {
            let text = truncate(envelope.error.trim(), MAX_TEXT_BYTES);
            let class = truncate(&envelope.error_type, MAX_TEXT_BYTES);
            Err(ResponseError::Api(format!("status error: {class}: {text}")))
        }
        _ => Err(ResponseError::Unrecognized(
            "its status is neither success nor error".to_owned(),
        )),
    }
}

/// Fails if a result is not that of a range query.
fn check_type(result_type: Option<&str>) -> Result<(), ResponseError> {
    match result_type {
        None | Some("matrix") => Ok(()),
        Some(word @ ("vector" | "scalar" | "string" | "streams")) => {
            Err(ResponseError::Unrecognized(format!(
                "the result of a range query must be a matrix, not a {word}"
            )))
        }
        Some(_) => Err(ResponseError::Unrecognized(
            "the result of a range query must be a matrix, not of a type of another API".to_owned(),
        )),
    }
}

/// Parses the response of a range query; returns series sorted by labels.
pub(super) fn matrix(body: &[u8]) -> Result<Response<Vec<Series>>, ResponseError> {
    let response = data::<Matrix<'_>>(body).map_err(|error| {
        // Results of other types differ in form.
        let result_type = match data::<Untyped<'_>>(body) {
            Ok(response) => response.data.result_type,
            Err(_) => None,
        };
        check_type(result_type.as_deref()).err().unwrap_or(error)
    })?;
    check_type(response.data.result_type.as_deref())?;
    let Response {
        data,
        mut warnings,
        partial,
    } = response;
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
            let not_a_number = || ResponseError::Unrecognized("a value is not a number".to_owned());
            let value = value(text).ok_or_else(not_a_number)?;
            Ok(Sample {
                timestamp_ms: (seconds * 1e3).round() as i64,
                value,
            })
        });
        all.push(Series {
            labels: Labels::new(labels.collect()),
            samples: samples.collect::<Result<Vec<_>, _>>()?,
            histograms: Vec::new(),
        });
    }
    Ok(Response {
        data: merged(all),
        warnings,
        partial,
    })
}

/// Sorts series by labels and their points by time, because a cursor saves the last stored series and time. Merges
/// the pieces of a series, which a cluster of servers may return.
pub(super) fn merged(mut all: Vec<Series>) -> Vec<Series> {
    all.sort_by(|a, b| a.labels.cmp(&b.labels));
    all.dedup_by(|piece, series| {
        let is_same = piece.labels == series.labels;
        if is_same {
            series.samples.append(&mut piece.samples);
            series.histograms.append(&mut piece.histograms);
        }
        is_same
    });
    for Series {
        samples,
        histograms,
        ..
    } in &mut all
    {
        if !samples.is_sorted_by_key(|it| it.timestamp_ms) {
            samples.sort_by_key(|it| it.timestamp_ms);
        }
        // Two servers of a cluster may return the same sample.
        samples.dedup_by_key(|it| (it.timestamp_ms, it.value.to_bits()));
        if !histograms.is_sorted_by_key(|it| it.timestamp_ms) {
            histograms.sort_by_key(|it| it.timestamp_ms);
        }
        histograms.dedup();
    }
    all
}

/// Parses `NaN`, `+Inf`, `-Inf`, or a number.
fn value(text: &str) -> Option<f64> {
    match text {
        // The API does not expose the bits of a NaN.
        "NaN" => Some(f64::from_bits(PROMETHEUS_NAN_BITS)),
        number => number.parse().ok(),
    }
}

/// Parses names of metrics, or other values of a label.
pub(super) fn names(body: &[u8]) -> Result<Response<Vec<String>>, ResponseError> {
    data(body)
}

/// The metadata of a metric family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Family {
    pub(super) name: String,
    pub(super) metric_type: MetricType,
    pub(super) help: String,
    pub(super) unit: String,
}

#[derive(Deserialize)]
struct WireFamily {
    #[serde(default, deserialize_with = "null_as_default")]
    metric: String,
    #[serde(default, deserialize_with = "null_as_default")]
    r#type: String,
    #[serde(default, deserialize_with = "null_as_default")]
    help: String,
    #[serde(default, deserialize_with = "null_as_default")]
    unit: String,
}

/// The families of a name; null means none.
#[derive(Default)]
struct WireFamilies(Vec<WireFamily>);

impl<'de> Deserialize<'de> for WireFamilies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        null_as_default(deserializer).map(Self)
    }
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

/// Parses the response of `/api/v1/targets/metadata`; returns the first entry of each family.
pub(super) fn targets_metadata(body: &[u8]) -> Result<Response<Vec<Family>>, ResponseError> {
    let response = data::<Vec<WireFamily>>(body)?;
    Ok(response.map(|data| {
        let mut families = BTreeMap::new();
        for mut entry in data {
            let name = std::mem::take(&mut entry.metric);
            if !name.is_empty() {
                families
                    .entry(name.clone())
                    .or_insert_with(|| entry.named(name));
            }
        }
        families.into_values().collect()
    }))
}

/// Parses the response of `/api/v1/metadata`; returns the first entry of each family.
pub(super) fn metadata(body: &[u8]) -> Result<Response<Vec<Family>>, ResponseError> {
    let response = data::<BTreeMap<String, WireFamilies>>(body)?;
    let first = |(name, WireFamilies(entries)): (String, WireFamilies)| {
        entries.into_iter().next().map(|entry| entry.named(name))
    };
    Ok(response.map(|data| data.into_iter().filter_map(first).collect()))
}

fn metric_type(word: &str) -> MetricType {
    let all = (0..8).map(MetricType::of);
    all.into_iter()
        .find(|it| it.as_str() == word)
        .unwrap_or_default()
}

/// Returns true if one of `metrics` is a series of this family.
pub(super) fn is_wanted(family: &Family, metrics: &HashSet<&str>) -> bool {
    const SUFFIXES: [&str; 8] = [
        "", "_bucket", "_count", "_sum", "_gcount", "_gsum", "_total", "_info",
    ];
    let is_of_family = |metric: &str| {
        let counted = metric.strip_suffix("_total");
        let described = metric.strip_suffix("_info");
        [Some(family.metric_type.family(metric)), counted, described]
            .into_iter()
            .any(|name| name == Some(family.name.as_str()))
    };
    // Servers have very many families and metrics, so the possible names are looked up.
    SUFFIXES.iter().any(|suffix| {
        let metric = format!("{}{suffix}", family.name);
        metrics.contains(metric.as_str()) && is_of_family(&metric)
    })
}

/// Returns a label set in the form that cursors save.
pub(super) fn pairs(labels: &Labels) -> Vec<(String, String)> {
    let pairs = labels.iter();
    pairs
        .map(|it| (it.name.clone(), it.value.clone()))
        .collect()
}

/// Returns a selector of the series of `metric`, with its name quoted.
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
            {"metric":{"__name__":"up","job":"a"},"values":[[1600000015.5,"-1.5e-7"],[1600000000,"+Inf"]]},
            {"metric":{"__name__":"h"},"histograms":[[1600000000,{"count":"1","sum":"1"}]]}]},
            "warnings":["PromQL warning: w"],"infos":["i"]}"#;
        let response = matrix(body).unwrap();
        let histograms = "native histograms have no steps; set raw to true to read them";
        assert_eq!(response.warnings, ["PromQL warning: w", "i", histograms]);
        let seen: Vec<_> = response
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
    fn errors_quote_nothing_of_an_unrecognized_response() {
        let error = |body: &str| matrix(body.as_bytes()).unwrap_err();
        let of_api = r#"{"status":"error","errorType":"bad_data","error":" no "}"#;
        assert_eq!(error(of_api).to_string(), "status error: bad_data: no");
        let null = r#"{"status":"error","errorType":null,"error":"no","warnings":null}"#;
        assert_eq!(error(null).to_string(), "status error: : no");
        let long = format!(r#"{{"status":"error","error":"{}"}}"#, "x".repeat(9_999));
        assert!(error(&long).to_string().len() < 400);
        for body in [
            "",
            r#"{"status":"success","data":{"resultType":"matrix","resu"#,
        ] {
            assert_eq!(error(body), ResponseError::Truncated);
        }
        for (body, expected) in [
            ("<html>hunter2", "not JSON at line 1, column 1"),
            ("\n{hunter2", "not JSON at line 2, column 2"),
            ("{}", "not of the expected form at line 1, column 2"),
            (
                r#""hunter2""#,
                "not of the expected form at line 1, column 9",
            ),
            (r#"{"status":"success"}"#, "it has no data"),
            (
                r#"{"status":"hunter2","data":null}"#,
                "its status is neither",
            ),
            (r#"{"status":["hunter2"]}"#, "not of the expected form"),
            (
                r#"{"status":"success","data":{"result":[{"metric":{},"values":[[1,"hunter2"]]}]}}"#,
                "a value is not a number",
            ),
            (
                r#"{"status":"success","data":{"result":[{"metric":{},"values":[["hunter2","1"]]}]}}"#,
                "not of the expected form",
            ),
            (
                r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"hunter2"]}]}}"#,
                "must be a matrix, not a vector",
            ),
            (
                r#"{"status":"success","data":{"resultType":"vector","result":null}}"#,
                "must be a matrix, not a vector",
            ),
            (
                r#"{"status":"success","data":{"result":[1,"hunter2"],"resultType":"scalar"}}"#,
                "must be a matrix, not a scalar",
            ),
            (
                r#"{"status":"success","data":{"result":["hunter2"],"resultType":"hunter2"}}"#,
                "must be a matrix, not of a type of another API",
            ),
        ] {
            let error = error(body);
            assert!(matches!(error, ResponseError::Unrecognized(_)), "{error}");
            let text = error.to_string();
            assert!(text.contains(expected), "{text}, not {expected}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn null_is_an_empty_list() {
        let success = |rest: &str| format!(r#"{{"status":"success",{rest}}}"#).into_bytes();
        let notes =
            r#""errorType":null,"error":null,"warnings":null,"infos":null,"isPartial":null"#;
        for data in [
            "null",
            r#"{"resultType":"matrix","result":null}"#,
            r#"{"resultType":"matrix","result":[]}"#,
            r#"{"resultType":null,"result":null}"#,
            "{}",
        ] {
            let response = matrix(&success(&format!(r#""data":{data},{notes}"#))).unwrap();
            assert_eq!(
                response,
                Response {
                    data: vec![],
                    warnings: vec![],
                    partial: None
                }
            );
        }
        let body =
            success(r#""data":{"result":[{"metric":null,"values":null,"histograms":null}]}"#);
        assert_eq!(matrix(&body).unwrap().data, [Series::default()]);
        assert!(names(&success(r#""data":null"#)).unwrap().data.is_empty());
        let targets = |body: &str| targets_metadata(&success(body)).unwrap().data;
        assert!(targets(r#""data":null"#).is_empty());
        let entry = r#""data":[{"target":null,"metric":"a","type":null,"help":null,"unit":null}]"#;
        assert_eq!(targets(entry)[0].name, "a");
        assert!(
            metadata(&success(r#""data":null"#))
                .unwrap()
                .data
                .is_empty()
        );
        let body = success(r#""data":{"a":null,"b":[{"type":"gauge","help":null}]}"#);
        let families = metadata(&body).unwrap().data;
        assert_eq!((families.len(), &*families[0].name), (1, "b"));
    }

    #[test]
    fn warnings_may_mean_that_the_result_is_partial() {
        let partial = |rest: &str| {
            let data = r#""data":{"resultType":"matrix","result":[]}"#;
            let body = format!(r#"{{"status":"success",{rest},{data}}}"#);
            let response = matrix(body.as_bytes()).unwrap();
            (response.partial, response.warnings)
        };
        let store = "receive series from Addr: 10.0.0.1:10901: rpc error: code = Unavailable";
        for text in [
            store,
            "query result may contain partial data",
            "failed to query tenant __tenant_id__ a (partial data returned): no",
            "remote_read: remote server http://a/api/v1/read returned HTTP status 500",
            "results truncated due to limit",
            "3 more warning annotations omitted",
        ] {
            let (reason, warnings) =
                partial(&format!(r#""warnings":["PromQL warning: w","{text}"]"#));
            assert_eq!(reason.as_deref(), Some(text));
            assert_eq!(warnings, ["PromQL warning: w"]);
        }
        for text in [
            "PromQL warning: encountered a mix of histograms and floats for metric name",
            "PromQL info: metric might not be a counter",
            "No StoreAPIs matched for this query",
        ] {
            let notes = format!(r#""warnings":["{text}"],"infos":["i"],"isPartial":false"#);
            assert_eq!(
                partial(&notes),
                (None, vec![text.to_owned(), "i".to_owned()])
            );
        }
        let (reason, _) = partial(r#""isPartial":true"#);
        assert_eq!(reason.as_deref(), Some("isPartial"));
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
        for (names, wanted) in [
            (&["a_total"][..], [true, false]),
            (&["b_seconds_bucket"], [false, true]),
            (&["a", "b_seconds_sum"], [true, true]),
            (&["b", "aa"], [false, false]),
        ] {
            let found = [0, 1].map(|it| is_wanted(&expected[it], &names.iter().copied().collect()));
            assert_eq!(found, wanted, "{names:?}");
        }
    }

    #[test]
    fn series_in_pieces_are_one() {
        let body = br#"{"status":"success","data":{"resultType":"matrix","result":[
            {"metric":{"__name__":"up","job":"a"},"values":[[30,"3"],[15,"1"]]},
            {"metric":{"__name__":"up","job":"b"},"values":[[15,"7"]]},
            {"metric":{"job":"a","__name__":"up"},"values":[[15,"1"],[0,"0"],[30,"4"]]}]}}"#;
        let found = matrix(body).unwrap().data;
        let found: Vec<_> = found
            .iter()
            .map(|series| {
                let samples = series.samples.iter();
                let samples = samples.map(|it| (it.timestamp_ms, it.value));
                (series.labels.get("job"), samples.collect::<Vec<_>>())
            })
            .collect();
        let a = vec![(0, 0.0), (15_000, 1.0), (30_000, 3.0), (30_000, 4.0)];
        assert_eq!(found, [("a", a), ("b", vec![(15_000, 7.0)])]);
    }

    #[test]
    fn selectors_quote_names() {
        assert_eq!(selector("a:b"), r#"{__name__="a:b"}"#);
        assert_eq!(selector("a\"\\\n"), r#"{__name__="a\"\\\n"}"#);
    }
}
