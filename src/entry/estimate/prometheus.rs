//! Reads the series of a running Prometheus: those that have a sample now, by target.
//!
//! The number of series of each job and instance is one query. If there are more than may be read, some targets of
//! each job are, and stand for the others.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::RangeInclusive;

use prom_model::visible::truncate;
use prom_model::{Buckets, Count, Histogram, METRIC_NAME_LABEL, Span};
use promql::parse_duration_ms;
use reqwest::Url;
use serde_json::Value as Json;

use super::{below, fetch};
use crate::estimate::Settings;
use crate::estimate::plan::{Instance, plan};
use crate::estimate::series::{Input, Label, MAX_LABELS, Series, Target, Texts, Value};
use crate::jobs::client::Session;
use crate::json::tree_bytes;
use crate::yaml;

/// The most bytes of all responses together, which also bounds the texts in memory.
const MAX_ALL_BYTES: usize = 1 << 30;
/// The most bytes that a response may occupy as a tree. That of series as they are is ten times as large as its text.
const MAX_TREE_BYTES: usize = 1 << 30;
/// The series that a server may have, which is more than any has.
const SIZES: RangeInclusive<f64> = 1.0..=1e12;
/// Milliseconds of an interval: a year at most.
const INTERVALS_MS: RangeInclusive<f64> = 1.0..=31_536_000_000.0;
/// Prometheus' default of `evaluation_interval`.
const EVALUATION_MS: f64 = 60_000.0;
/// The most bytes of a server's text that an error repeats.
const MAX_SHOWN_BYTES: usize = 60;
/// Whole numbers up to this are exact.
const MAX_WHOLE: f64 = (1_u64 << 53) as f64;

/// Job and instance.
type Group = (String, String);

struct Server<'s> {
    session: &'s Session,
    url: &'s Url,
    /// Bytes that all further responses may have.
    left: usize,
}

/// The parts of Prometheus' configuration that matter here.
struct Config {
    external_labels: Vec<(String, String)>,
    evaluation_ms: f64,
    relabels: bool,
    /// The reason for which it could not be read.
    error: Option<String>,
}

/// Reads the series that the server at `url` stores now, all or some of them.
pub(super) async fn read(
    session: &Session,
    url: &Url,
    settings: &Settings,
) -> Result<Input, String> {
    let mut server = Server {
        session,
        url,
        left: MAX_ALL_BYTES,
    };
    let head = head(&server.get("status/tsdb", &[]).await?)?;
    let config = Config::read(&server.get("status/config", &[]).await?["yaml"])?;
    let targets = server.get("targets", &[("state", "active")]).await?;
    let intervals = intervals(&targets["activeTargets"])?;
    let sizes = r#"count by (job, instance) ({__name__!=""})"#;
    let sizes = server.get("query", &[("query", sizes)]).await?;
    let jobs = sizes_of(&sizes["result"])?;
    let total: f64 = jobs.values().flatten().map(|it| it.1).sum();
    let groups: usize = jobs.values().map(Vec::len).sum();
    let jobs = plan(jobs, settings.max_series);

    let fallback = settings
        .scrape_interval
        .map(|it| it.as_secs_f64() * 1_000.0);
    let fallback = fallback.unwrap_or(config.evaluation_ms);
    let mut texts = Texts::default();
    let (mut all, mut without_target) = (Vec::new(), 0.0);
    let mut read_series = 0;
    for job in jobs {
        let mut of_job = Vec::new();
        for instance in &job.read {
            let group = (job.name.clone(), instance.name.clone());
            let series = server.series(&group, instance, &config, &mut texts).await?;
            let interval = intervals.get(&group).copied();
            if interval.is_none() {
                without_target += instance.size * job.instances as f64 / job.read.len() as f64;
            }
            let target = Target {
                interval_ms: interval.unwrap_or(fallback),
                weight: 1.0,
                series,
            };
            of_job.push((hash(&group), target));
        }
        let read: usize = of_job.iter().map(|it| it.1.series.len()).sum();
        read_series += read;
        for (_, target) in &mut of_job {
            target.weight = job.size / read.max(1) as f64;
        }
        all.append(&mut of_job);
    }
    // Prometheus spreads targets over the interval by a hash of their labels.
    all.sort_by_key(|it| it.0);
    let mut input = Input {
        targets: all.into_iter().map(|it| it.1).collect(),
        all_targets: groups as f64,
        notes: Vec::new(),
    };
    let represented: f64 = input
        .targets
        .iter()
        .map(|it| it.series.len() as f64 * it.weight)
        .sum();
    for target in &mut input.targets {
        target.weight *= total / represented.max(1.0);
    }
    input.notes = notes(
        head,
        total,
        read_series,
        (without_target, fallback),
        &config,
    );
    Ok(input)
}

/// Returns the statements about the series.
fn notes(
    head: Option<f64>,
    total: f64,
    read: usize,
    (without_target, interval_ms): (f64, f64),
    config: &Config,
) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(head) = head {
        notes.push(format!(
            "{total:.0} of the {head:.0} series in Prometheus' head have a sample now; only these are counted."
        ));
    }
    if (read as f64) < total * 0.99 {
        notes.push(format!(
            "{read} series were read, by targets of each job, and stand for all of them (--max-series)."
        ));
    }
    if without_target >= 0.5 {
        notes.push(format!(
            "{without_target:.0} series are of no target (rules, pushed samples); one sample each {} s is counted \
             (--scrape-interval).",
            interval_ms / 1_000.0
        ));
    }
    if let Some(error) = &config.error {
        notes.push(format!(
            "The configuration (/api/v1/status/config) cannot be read, so external labels are not counted: {error}"
        ));
    }
    if config.relabels {
        notes.push(
            "The configuration has write_relabel_configs, which are not applied: drop what they drop from the bill."
                .to_owned(),
        );
    }
    notes
}

impl Server<'_> {
    /// Returns the data of a response of the API.
    async fn get(&mut self, path: &str, parameters: &[(&str, &str)]) -> Result<Json, String> {
        let url = below(self.url, &format!("api/v1/{path}"), parameters);
        let fetched = fetch(self.session, url, "application/json").await;
        let (_, body) = fetched.map_err(|error| format!("{error} (/api/v1/{path})"))?;
        self.left =
            left_after(self.left, &body).map_err(|error| format!("/api/v1/{path}: {error}"))?;
        let response: Result<Json, _> = serde_json::from_slice(&body);
        match response {
            Ok(mut response) if response["status"] == "success" => Ok(response["data"].take()),
            _ => Err(format!(
                "/api/v1/{path}: the response is not one of Prometheus' API; expected the address of a Prometheus \
                 server"
            )),
        }
    }

    /// Returns the series of a target, the first ones if it has more than its limit.
    async fn series(
        &mut self,
        (job, instance): &Group,
        planned: &Instance,
        config: &Config,
        texts: &mut Texts,
    ) -> Result<Vec<Series>, String> {
        let query = format!(
            r#"{{__name__!="",job={},instance={}}}"#,
            quoted(job),
            quoted(instance)
        );
        let limit = ((planned.limit as f64) < planned.size).then(|| planned.limit.to_string());
        let mut parameters = vec![("query", &*query)];
        parameters.extend(limit.as_deref().map(|it| ("limit", it)));
        let data = self.get("query", &parameters).await?;
        let mut target = Target {
            interval_ms: 0.0,
            weight: 0.0,
            series: Vec::new(),
        };
        let result = data["result"].as_array().into_iter().flatten();
        // Servers before 2.55, and others that speak its API, ignore the limit.
        for it in result.take(planned.limit) {
            let value = match number(&it["value"][1]) {
                Some(value) => Value::Float(value),
                None => Value::Histogram(Box::new(histogram(&it["histogram"][1]))),
            };
            let own = it["metric"].as_object().into_iter().flatten();
            let own = own.map(|(name, value)| (&**name, value.as_str().unwrap_or_default()));
            let mut labels: Vec<Label> = own
                .map(|(name, value)| (texts.get(name), texts.get(value)))
                .collect();
            for (name, value) in &config.external_labels {
                if labels.iter().all(|it| *it.0 != **name) {
                    labels.push((texts.get(name), texts.get(value)));
                }
            }
            if labels.iter().any(|it| &*it.0 == METRIC_NAME_LABEL) {
                target.series.push(Series::new(labels, value, None));
            }
        }
        target.sort();
        Ok(target.series)
    }
}

/// Returns the bytes that further responses may have after one with this body.
fn left_after(left: usize, body: &[u8]) -> Result<usize, String> {
    let remedy = "use a lower --max-series";
    if tree_bytes(body) > MAX_TREE_BYTES {
        return Err(format!(
            "the response would occupy more than {MAX_TREE_BYTES} bytes of memory; {remedy}"
        ));
    }
    left.checked_sub(body.len()).ok_or_else(|| {
        format!("the responses have more than {MAX_ALL_BYTES} bytes together; {remedy}")
    })
}

impl Config {
    fn read(yaml: &Json) -> Result<Self, String> {
        let text = yaml.as_str().unwrap_or_default();
        let read = yaml::read(text);
        let error = read.as_ref().err().cloned();
        let documents = read.unwrap_or_default();
        let global = documents.first().and_then(|it| it.as_mapping_get("global"));
        let interval = global.and_then(|it| it.as_mapping_get("evaluation_interval"));
        let interval = interval.and_then(|it| it.as_str()).map(|text| {
            milliseconds(text, || {
                "/api/v1/status/config: evaluation_interval".to_owned()
            })
        });
        let labels = global.and_then(|it| it.as_mapping_get("external_labels"));
        let labels = labels.and_then(|it| it.as_mapping()).into_iter().flatten();
        let labels = labels.filter_map(|(name, value)| {
            Some((name.as_str()?.to_owned(), value.as_str()?.to_owned()))
        });
        Ok(Self {
            external_labels: labels.take(MAX_LABELS).collect(),
            evaluation_ms: interval.transpose()?.unwrap_or(EVALUATION_MS),
            relabels: text.contains("write_relabel_configs:"),
            error,
        })
    }
}

/// Returns the number of series in the head, if the server says it.
fn head(status: &Json) -> Result<Option<f64>, String> {
    let value = &status["headStats"]["numSeries"];
    let size = value.as_f64();
    match size.is_none_or(|size| (0.0..=*SIZES.end()).contains(&size)) {
        true => Ok(size),
        false => Err(unusable(
            "/api/v1/status/tsdb: headStats.numSeries",
            &value.to_string(),
            "a number from 0 to 1000000000000",
        )),
    }
}

/// Returns the instances of each job, with the number of their series.
fn sizes_of(result: &Json) -> Result<BTreeMap<String, Vec<(String, f64)>>, String> {
    let mut jobs: BTreeMap<String, Vec<(String, f64)>> = BTreeMap::new();
    for it in result.as_array().into_iter().flatten() {
        let group = group_of(&it["metric"]);
        let size = number(&it["value"][1]).filter(|size| SIZES.contains(size));
        let size = size.ok_or_else(|| {
            let name = format!("/api/v1/query: the number of series of {}", named(&group));
            unusable(
                &name,
                &it["value"][1].to_string(),
                "a number from 1 to 1000000000000",
            )
        })?;
        let (job, instance) = group;
        jobs.entry(job).or_default().push((instance, size));
    }
    Ok(jobs)
}

/// Returns the interval of each target, in milliseconds.
fn intervals(targets: &Json) -> Result<HashMap<Group, f64>, String> {
    let targets = targets.as_array().into_iter().flatten();
    let interval = |it: &Json| {
        let interval = it["scrapeInterval"].as_str();
        // Older servers have it here alone.
        let interval = interval.or_else(|| it["discoveredLabels"]["__scrape_interval__"].as_str());
        let group = group_of(&it["labels"]);
        let name = || format!("/api/v1/targets: the scrapeInterval of {}", named(&group));
        let milliseconds = milliseconds(interval?, name);
        Some(milliseconds.map(|it| (group, it)))
    };
    targets.filter_map(interval).collect()
}

/// Returns the milliseconds of a duration such as `1m30s`, with the name `name` in errors.
fn milliseconds(text: &str, name: impl Fn() -> String) -> Result<f64, String> {
    let milliseconds = parse_duration_ms(text).ok().map(|it| it as f64);
    let milliseconds = milliseconds.filter(|it| INTERVALS_MS.contains(it));
    milliseconds.ok_or_else(|| unusable(&name(), text, "a duration from 1ms to 365d"))
}

/// Returns the error of a value that a server sent.
fn unusable(name: &str, value: &str, expected: &str) -> String {
    let value = truncate(value, MAX_SHOWN_BYTES);
    format!("{name} is {value}; expected {expected}")
}

/// Returns the name of a target for messages.
fn named((job, instance): &Group) -> String {
    let [job, instance] = [job, instance].map(|it| truncate(it, MAX_SHOWN_BYTES));
    format!("job {job:?}, instance {instance:?}")
}

fn group_of(labels: &Json) -> Group {
    let text = |name: &str| labels[name].as_str().unwrap_or_default().to_owned();
    (text("job"), text("instance"))
}

fn number(value: &Json) -> Option<f64> {
    value.as_str()?.parse().ok()
}

/// Returns a string of PromQL.
fn quoted(text: &str) -> String {
    Json::from(text).to_string()
}

fn hash(group: &Group) -> u64 {
    let mut hasher = DefaultHasher::new();
    group.hash(&mut hasher);
    hasher.finish()
}

/// Returns a histogram of about the size of one in the API, which has no spans.
fn histogram(json: &Json) -> Histogram {
    let buckets = json["buckets"].as_array().into_iter().flatten();
    let counts: Vec<f64> = buckets.filter_map(|it| number(&it[3])).collect();
    let count = number(&json["count"]).unwrap_or(0.0);
    let span = Span {
        offset: 0,
        length: counts.len() as u32,
    };
    let is_whole = |it: &f64| it.fract() == 0.0 && (0.0..=MAX_WHOLE).contains(it);
    let is_float = !counts.iter().chain([&count]).all(is_whole);
    let mut before = 0.0;
    let mut delta = |count: f64| (count - std::mem::replace(&mut before, count)) as i64;
    Histogram {
        count: Some(match is_float {
            true => Count::Float(count),
            false => Count::Int(count as u64),
        }),
        sum: number(&json["sum"]).unwrap_or(0.0),
        schema: 3,
        positive: Buckets {
            spans: vec![span],
            deltas: match is_float {
                true => Vec::new(),
                false => counts.iter().map(|it| delta(*it)).collect(),
            },
            counts: if is_float { counts } else { Vec::new() },
        },
        ..Histogram::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_that_cannot_be_read_is_noted() {
        let deep = format!(
            "global: {{ external_labels: {{ a: b }} }}\nx: {}",
            "- ".repeat(5_000)
        );
        let config = Config::read(&deep.into()).unwrap();
        assert!(config.external_labels.is_empty());
        let notes = notes(None, 1.0, 1, (0.0, 0.0), &config);
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].contains("cannot be read, so external labels are not counted: line 2"));
    }
}
