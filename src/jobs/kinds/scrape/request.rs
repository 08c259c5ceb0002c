//! Builds the write request of a scrape from the samples that the target exposes.

use std::borrow::Cow;
use std::hash::BuildHasher;
use std::time::Duration;

use exposition::Exposition;
use hashbrown::{DefaultHashBuilder, HashTable};
use prom_model::{METRIC_NAME_LABEL, STALE_MARKER_BITS, Sample};
use prom_wire::request::{Datapoint, Exemplar, Label, Metadata, Request};

use super::Scrape;
use super::exemplars::Exemplars;
use super::labels::TargetLabels;

/// The outcome of a scrape, stored as series of its own.
pub(super) struct ScrapeSummary {
    /// Set if the whole body was read.
    pub(super) is_up: bool,
    /// Duration of the scrape, retries included.
    pub(super) duration: Duration,
    /// Number of samples that the target exposed.
    pub(super) samples: usize,
}

/// The write request of a scrape.
pub(super) struct RequestBuilder<'a> {
    scrape: &'a Scrape,
    target_labels: &'a TargetLabels<'a>,
    /// Scheduled time of the scrape, in milliseconds since the Unix epoch.
    timestamp_ms: i64,
    seen: HashTable<Seen>,
    hasher: DefaultHashBuilder,
    /// Buffer for the labels of one series.
    labels: Vec<(&'a str, &'a str)>,
    pub(super) request: Request<'a>,
    /// Samples dropped because an earlier one has the same series and time.
    pub(super) duplicates: u64,
    /// Positions in the request of the series that get a stale marker when the target no longer exposes them: those
    /// without timestamps of their own.
    pub(super) tracked: Vec<usize>,
    /// Selects the exemplars to store; `None` if there are none.
    exemplars: Option<&'a mut Exemplars>,
    /// Number of exemplars in the request.
    pub(super) exemplar_count: u64,
}

/// A series of the request, and the hash of its labels and time.
struct Seen {
    series: usize,
    hash: u64,
}

impl<'a> RequestBuilder<'a> {
    pub(super) fn new(
        scrape: &'a Scrape,
        target_labels: &'a TargetLabels<'a>,
        timestamp_ms: i64,
    ) -> Self {
        Self {
            scrape,
            target_labels,
            timestamp_ms,
            seen: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            labels: Vec::new(),
            request: Request::default(),
            duplicates: 0,
            tracked: Vec::new(),
            exemplars: None,
            exemplar_count: 0,
        }
    }

    /// Adds the exemplars that `exemplars` admits.
    pub(super) fn with_exemplars(mut self, exemplars: Option<&'a mut Exemplars>) -> Self {
        self.exemplars = exemplars;
        self
    }

    /// Adds the series about the scrape. This must come first, so that no series of the target can replace them.
    pub(super) fn add_summary(&mut self, summary: &ScrapeSummary) {
        let series = [
            ("up", f64::from(u8::from(summary.is_up))),
            ("scrape_duration_seconds", summary.duration.as_secs_f64()),
            ("scrape_samples_scraped", summary.samples as f64),
        ];
        for (name, value) in series {
            self.labels.clear();
            self.add_series(name, &[], value, self.timestamp_ms, None);
        }
    }

    /// Adds the samples and the metadata of the target.
    pub(super) fn add(&mut self, exposition: &'a Exposition<'a>) {
        for (index, sample) in exposition.samples.iter().enumerate() {
            let own = sample.timestamp_ms.filter(|_| self.scrape.honor_timestamps);
            let labels = exposition.labels(sample).iter();
            self.labels.clear();
            self.labels
                .extend(labels.map(|(name, value)| (&**name, &**value)));
            let time_ms = own.unwrap_or(self.timestamp_ms);
            let exemplar = sample.exemplar.as_deref();
            let (name, blank, value) = (&sample.name, exposition.empty_labels(index), sample.value);
            if self.add_series(name, blank, value, time_ms, exemplar) && own.is_none() {
                self.tracked.push(self.request.len() - 1);
            }
        }
        // Metadata goes to another table, so it is not stored with the target's samples alone.
        if self.scrape.adds_target_labels {
            let families = exposition.families.iter();
            self.request
                .metadata
                .extend(families.map(|family| Metadata {
                    metric_name: &family.name,
                    metric_type: family.metric_type,
                    help: &family.help,
                    unit: &family.unit,
                    series: None,
                }));
        }
    }

    /// Adds a stale marker for a series that has disappeared.
    pub(super) fn add_stale_marker(&mut self, labels: &[Label<'a>]) {
        for (name, value) in labels {
            self.request.push_label(name, value);
        }
        self.request.push_sample(Sample {
            timestamp_ms: self.timestamp_ms,
            value: f64::from_bits(STALE_MARKER_BITS),
        });
        self.request.end_series();
    }

    /// Adds a sample of the series with this name and the labels in `self.labels`; `blank` holds the names of its
    /// labels without a value. Returns false for a duplicate.
    fn add_series(
        &mut self,
        name: &'a str,
        blank: &[Cow<'_, str>],
        value: f64,
        timestamp_ms: i64,
        exemplar: Option<&'a exposition::Exemplar<'a>>,
    ) -> bool {
        self.labels.push((METRIC_NAME_LABEL, name));
        let honored = self.scrape.honor_labels.then_some(blank);
        self.target_labels.apply(&mut self.labels, honored);
        let hash = self.hasher.hash_one((&self.labels, timestamp_ms));
        let is_same = |seen: &Seen| {
            let known = self.request.series(seen.series);
            known.datapoints[0].timestamp_ms() == timestamp_ms
                && known.labels.iter().eq(self.labels.iter().copied())
        };
        if self.seen.find(hash, is_same).is_some() {
            self.duplicates += 1;
            return false;
        }
        let seen = Seen {
            series: self.request.len(),
            hash,
        };
        self.seen.insert_unique(hash, seen, |seen| seen.hash);
        for (name, value) in &self.labels {
            self.request.push_label(name, value);
        }
        let sample = Sample {
            timestamp_ms,
            value,
        };
        self.request.push_sample(sample);
        if let (Some(exemplar), Some(exemplars)) = (exemplar, &mut self.exemplars)
            && let Some(time_ms) = exemplars.admit(&self.labels, exemplar, timestamp_ms)
        {
            let labels = exemplar.labels.iter();
            let labels = labels.map(|(name, value)| (&**name, &**value)).collect();
            self.request
                .push_datapoint(Datapoint::Exemplar(Box::new(Exemplar {
                    labels: Ok(labels),
                    timestamp_ms: time_ms,
                    value: exemplar.value,
                })));
            self.exemplar_count += 1;
        }
        self.request.end_series();
        true
    }
}

#[cfg(test)]
mod tests {
    use exposition::{Format, parse};
    use serde_json::{Value, json};

    use super::*;

    const TICK_MS: i64 = 1_600_000_000_000;

    /// Returns the series as strings, and the number of duplicates.
    fn series(body: &str, format: Format, config: &Value) -> (Vec<String>, u64) {
        let mut config = config.clone();
        config["endpoint"] = json!("http://t:1/metrics");
        let scrape = Scrape::parse(&config).unwrap();
        let exposition = parse(body.as_bytes(), format).unwrap();
        let target = scrape.target_labels("n");
        let target_labels = TargetLabels::new(&target, &exposition);
        let mut builder = RequestBuilder::new(&scrape, &target_labels, TICK_MS);
        builder.add(&exposition);
        let series = builder.request.iter().map(|series| {
            let item = &series.datapoints[0];
            let after = item.timestamp_ms() - TICK_MS;
            format!("{} {} {after:+}", series.labels, item.value())
        });
        (series.collect(), builder.duplicates)
    }

    #[test]
    fn samples_have_the_scheduled_time() {
        let body = "a 1\nb{x=\"2\"} NaN 5\n";
        let (found, _) = series(body, Format::Text, &json!({}));
        let expected = [
            r#"{__name__="a", instance="t:1", job="n"} 1 +0"#,
            r#"{__name__="b", instance="t:1", job="n", x="2"} NaN +0"#,
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn labels_without_a_value_are_those_of_their_sample() {
        let body = "a 1\nb{instance=\"\"} 2\nc{job=\"\",x=\"y\"} 3\n";
        let (found, _) = series(body, Format::Text, &json!({"honor_labels": true}));
        let expected = [
            r#"{__name__="a", instance="t:1", job="n"} 1 +0"#,
            r#"{__name__="b", job="n"} 2 +0"#,
            r#"{__name__="c", instance="t:1", x="y"} 3 +0"#,
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn timestamps_of_the_target_are_stored_if_they_are_honored() {
        let body = "a 1\nb 2 1600000000007\n";
        let (found, _) = series(body, Format::Text, &json!({"honor_timestamps": true}));
        let expected = [
            r#"{__name__="a", instance="t:1", job="n"} 1 +0"#,
            r#"{__name__="b", instance="t:1", job="n"} 2 +7"#,
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn the_first_of_duplicate_samples_is_stored() {
        let body =
            "a{x=\"1\",y=\"2\"} 1\na{y=\"2\",x=\"1\"} 2\na{x=\"1\",y=\"2\",z=\"\"} 3 5\nb 4\n";
        let config = json!({"target_labels": false});
        let (found, duplicates) = series(body, Format::Text, &config);
        let expected = [
            r#"{__name__="a", x="1", y="2"} 1 +0"#,
            r#"{__name__="b"} 4 +0"#,
        ];
        assert_eq!(
            (found.as_slice(), duplicates),
            (expected.map(str::to_owned).as_slice(), 2)
        );
        let config = json!({"target_labels": false, "honor_timestamps": true});
        assert_eq!(series(body, Format::Text, &config).1, 1);
    }

    #[test]
    fn metadata_of_families_is_added() {
        let body = b"# TYPE a_seconds gauge\n# UNIT a_seconds seconds\n# HELP a_seconds How long.\n# EOF\n";
        let exposition = parse(body, Format::OpenMetrics).unwrap();
        for (target_labels, count) in [(true, 1), (false, 0)] {
            let config = json!({"endpoint": "http://a", "target_labels": target_labels});
            let scrape = Scrape::parse(&config).unwrap();
            let target = scrape.target_labels("n");
            let target_labels = TargetLabels::new(&target, &exposition);
            let mut builder = RequestBuilder::new(&scrape, &target_labels, TICK_MS);
            builder.add(&exposition);
            assert_eq!(builder.request.metadata.len(), count);
            for known in &builder.request.metadata {
                let texts = (known.metric_name, known.help, known.unit);
                assert_eq!(texts, ("a_seconds", "How long.", "seconds"));
            }
        }
    }

    #[test]
    fn a_series_of_the_target_does_not_replace_ours() {
        let scrape = Scrape::parse(&json!({"endpoint": "http://t:1"})).unwrap();
        let exposition = parse(b"up 0\n", Format::Text).unwrap();
        let target = scrape.target_labels("n");
        let target_labels = TargetLabels::new(&target, &exposition);
        let mut builder = RequestBuilder::new(&scrape, &target_labels, TICK_MS);
        let summary = ScrapeSummary {
            is_up: true,
            duration: Duration::from_millis(1500),
            samples: 1,
        };
        builder.add_summary(&summary);
        builder.add(&exposition);
        let values: Vec<_> = builder
            .request
            .iter()
            .map(|it| it.datapoints[0].value())
            .collect();
        assert_eq!(
            (values.as_slice(), builder.duplicates),
            ([1.0, 1.5, 1.0].as_slice(), 1)
        );
    }
}
