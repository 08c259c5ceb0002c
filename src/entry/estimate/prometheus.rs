//! Reads the series of a running Prometheus: those that have a sample now, by target.
//!
//! The number of series of each job and instance is one query. If there are more than may be read, some targets of
//! each job are, and stand for the others.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use prom_model::{Buckets, Count, Histogram, METRIC_NAME_LABEL, Span};
use promql::parse_duration_ms;
use reqwest::Url;
use serde_json::Value as Json;

use super::{MAX_BYTES, below};
use crate::estimate::Settings;
use crate::estimate::series::{Input, Label, Series, Target, Texts, Value};
use crate::jobs::client::Session;
use crate::yaml;

/// The most targets that are read.
const MAX_TARGETS: usize = 1_000;
/// The least series of a target that are read.
const LEAST_SERIES: f64 = 100.0;
/// Prometheus' default of `evaluation_interval`.
const EVALUATION_MS: f64 = 60_000.0;

/// Job and instance.
type Group = (String, String);

struct Server<'s> {
    session: &'s Session,
    url: &'s Url,
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
    let server = Server { session, url };
    let head = server.get("status/tsdb", &[]).await?;
    let head = head["headStats"]["numSeries"].as_f64();
    let config = Config::read(&server.get("status/config", &[]).await?["yaml"]);
    let targets = server.get("targets", &[("state", "active")]).await?;
    let intervals = intervals(&targets["activeTargets"]);
    let sizes = r#"count by (job, instance) ({__name__!=""})"#;
    let sizes = server.get("query", &[("query", sizes)]).await?;
    let mut jobs: BTreeMap<String, Vec<(String, f64)>> = BTreeMap::new();
    for it in sizes["result"].as_array().into_iter().flatten() {
        let (job, instance) = group_of(&it["metric"]);
        let size = number(&it["value"][1]).unwrap_or(0.0);
        jobs.entry(job).or_default().push((instance, size));
    }
    let total: f64 = jobs.values().flatten().map(|it| it.1).sum();
    let groups: usize = jobs.values().map(Vec::len).sum();
    let fraction = (settings.max_series as f64 / total.max(1.0))
        .min(MAX_TARGETS as f64 / groups.max(1) as f64)
        .min(1.0);
    let mut jobs: Vec<_> = jobs.into_iter().collect();
    if jobs.len() > MAX_TARGETS {
        let size = |job: &(String, Vec<(String, f64)>)| job.1.iter().map(|it| it.1).sum::<f64>();
        jobs.sort_by(|a, b| size(b).total_cmp(&size(a)));
        jobs.truncate(MAX_TARGETS);
    }

    let fallback = settings
        .scrape_interval
        .map(|it| it.as_secs_f64() * 1_000.0);
    let fallback = fallback.unwrap_or(config.evaluation_ms);
    let mut texts = Texts::default();
    let (mut all, mut without_target) = (Vec::new(), 0.0);
    let mut read_series = 0;
    for (job, mut instances) in jobs {
        instances.sort_by(|a, b| a.0.cmp(&b.0));
        let size: f64 = instances.iter().map(|it| it.1).sum();
        let count = ((instances.len() as f64 * fraction).ceil() as usize).clamp(1, instances.len());
        let limit = (size * fraction / count as f64).max(LEAST_SERIES);
        let mut of_job = Vec::new();
        for number in 0..count {
            let (instance, size) = &instances[number * instances.len() / count];
            let group = (job.clone(), instance.clone());
            // A little more than its share is no reason to read a part of a target.
            let limit = (*size > 2.0 * limit).then_some(limit);
            let series = server.series(&group, limit, &config, &mut texts).await?;
            let interval = intervals.get(&group).copied();
            if interval.is_none() {
                without_target += size * instances.len() as f64 / count as f64;
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
            target.weight = size / read.max(1) as f64;
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
    async fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Json, String> {
        let url = below(self.url, &format!("api/v1/{path}"), parameters);
        let fetched = self.session.fetch(url, "application/json", MAX_BYTES).await;
        let (_, body) = fetched.map_err(|error| format!("{error} (/api/v1/{path})"))?;
        let response: Result<Json, _> = serde_json::from_slice(&body);
        match response {
            Ok(mut response) if response["status"] == "success" => Ok(response["data"].take()),
            _ => Err(format!(
                "/api/v1/{path}: the response is not one of Prometheus' API; expected the address of a Prometheus \
                 server"
            )),
        }
    }

    /// Returns the series of a target, the first ones if there is a limit.
    async fn series(
        &self,
        (job, instance): &Group,
        limit: Option<f64>,
        config: &Config,
        texts: &mut Texts,
    ) -> Result<Vec<Series>, String> {
        let query = format!(
            r#"{{__name__!="",job={},instance={}}}"#,
            quoted(job),
            quoted(instance)
        );
        let limit = limit.map(|it| format!("{it:.0}"));
        let mut parameters = vec![("query", &*query)];
        parameters.extend(limit.as_deref().map(|it| ("limit", it)));
        let data = self.get("query", &parameters).await?;
        let mut target = Target {
            interval_ms: 0.0,
            weight: 0.0,
            series: Vec::new(),
        };
        let result = data["result"].as_array().into_iter().flatten();
        for it in result {
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

impl Config {
    fn read(yaml: &Json) -> Self {
        let text = yaml.as_str().unwrap_or_default();
        let read = yaml::read(text);
        let error = read.as_ref().err().cloned();
        let documents = read.unwrap_or_default();
        let global = documents.first().and_then(|it| it.as_mapping_get("global"));
        let interval = global.and_then(|it| it.as_mapping_get("evaluation_interval"));
        let interval = interval.and_then(|it| it.as_str()).and_then(milliseconds);
        let labels = global.and_then(|it| it.as_mapping_get("external_labels"));
        let labels = labels.and_then(|it| it.as_mapping()).into_iter().flatten();
        Self {
            external_labels: labels
                .filter_map(|(name, value)| {
                    Some((name.as_str()?.to_owned(), value.as_str()?.to_owned()))
                })
                .collect(),
            evaluation_ms: interval.unwrap_or(EVALUATION_MS),
            relabels: text.contains("write_relabel_configs:"),
            error,
        }
    }
}

/// Returns the interval of each target, in milliseconds.
fn intervals(targets: &Json) -> HashMap<Group, f64> {
    let targets = targets.as_array().into_iter().flatten();
    let interval = |it: &Json| {
        let interval = it["scrapeInterval"].as_str();
        // Older servers have it here alone.
        let interval = interval.or_else(|| it["discoveredLabels"]["__scrape_interval__"].as_str());
        Some((group_of(&it["labels"]), milliseconds(interval?)?))
    };
    targets.filter_map(interval).collect()
}

/// Returns the milliseconds of a duration such as `1m30s`.
fn milliseconds(text: &str) -> Option<f64> {
    let milliseconds = parse_duration_ms(text).ok()?;
    (milliseconds > 0).then_some(milliseconds as f64)
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
    let is_float = counts.iter().chain([&count]).any(|it| it.fract() != 0.0);
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
        let config = Config::read(&deep.into());
        assert!(config.external_labels.is_empty());
        let notes = notes(None, 1.0, 1, (0.0, 0.0), &config);
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].contains("cannot be read, so external labels are not counted: line 2"));
    }
}
