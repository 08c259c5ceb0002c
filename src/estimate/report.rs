//! The bill beside that of the Go connector, the changes that would make it less, and the most expensive metrics.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use hashbrown::HashMap;
use prom_model::METRIC_NAME_LABEL;
use prom_model::visible::{escaped, truncate};
use serde_json::{Value, json};

use super::Settings;
use super::bill::{Bill, QUERY_SECONDS, SCANNED_MB, TCU, Terms, scanned, share};
use super::series::{Input, Target};
use super::sink::{Change, Rates, Sending, rates};
use crate::prices::Prices;

/// Metrics that are listed, and those whose removal is a change.
const METRICS: usize = 10;
const DROPPED_METRICS: usize = 5;
/// Labels whose removal is a change.
const LABELS: usize = 3;
/// Labels that are tried for it, so that many labels take no longer than the same series with few.
const TRIED_LABELS: usize = 64;
/// Labels that every scrape or every histogram has, and needs.
const NEEDED_LABELS: [&str; 5] = [METRIC_NAME_LABEL, "instance", "job", "le", "quantile"];
/// The other sizes of requests: Prometheus' default and ours.
const SIZES: [usize; 2] = [2_000, 10_000];
/// The most bytes of a name, or of another string from elsewhere, in a table.
const MAX_SHOWN_BYTES: usize = 200;
/// The most columns of a line of text.
const WIDTH: usize = 100;
/// The shortest retention that costs no samples of an ordinary outage (`docs/cost.md`).
const MEMORY_HOURS: f64 = 2.0;
const MAGNETIC_DAYS: f64 = 90.0;

/// The outcome of an estimate.
#[derive(Debug)]
pub struct Report {
    prices: Prices,
    terms: Terms,
    sending: Sending,
    targets: f64,
    series: f64,
    /// The counts.
    pub rates: Rates,
    /// The bill.
    pub bill: Bill,
    /// That of the Go connector.
    pub go: Bill,
    /// Changes, with the dollars by which they change the bill, those that save most first.
    pub changes: Vec<(String, f64)>,
    /// The most expensive metrics: name, series and dollars.
    pub metrics: Vec<(Arc<str>, f64, f64)>,
    notes: Vec<String>,
}

impl Report {
    /// Estimates the bill of the series.
    pub fn new(input: &Input, settings: &Settings, prices: Prices) -> Self {
        let Settings { terms, sending, .. } = *settings;
        let mut by_metric: HashMap<Arc<str>, f64> = HashMap::new();
        let mut each = |series: &super::series::Series, units: f64, bytes: f64| {
            let dollars = share(units, bytes, terms, &prices);
            if let Some((_, name)) = series.labels.iter().find(|it| &*it.0 == METRIC_NAME_LABEL) {
                *by_metric.entry(Arc::clone(name)).or_default() += dollars;
            }
        };
        let rates = rates(&input.targets, sending, Change::NONE, &mut each);
        let series_of = |name: &str| -> f64 {
            let of_target = |target: &Target| {
                let series = target.series.iter().filter(|it| it.metric() == name);
                series.count() as f64 * target.weight
            };
            input.targets.iter().map(of_target).sum()
        };
        let mut metrics: Vec<_> = by_metric.into_iter().collect();
        metrics.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        metrics.truncate(METRICS);
        let metrics = metrics.into_iter();
        let metrics = metrics.map(|(name, dollars)| (Arc::clone(&name), series_of(&name), dollars));
        let of_target = |it: &Target| it.series.len() as f64 * it.weight;
        let mut notes = input.notes.clone();
        if rates.dropped > 0.0 {
            notes.push(format!(
                "{:.1} samples a second are not stored: NaN and infinities, without --store-special-values, or beyond \
                 Timestream's limits.",
                rates.dropped
            ));
        }
        let mut report = Self {
            bill: Bill::new(&rates, rates.units, terms, &prices),
            go: Bill::new(&rates, rates.go_units, terms, &prices),
            prices,
            terms,
            sending,
            targets: input.all_targets,
            series: input.targets.iter().map(of_target).sum(),
            rates,
            changes: Vec::new(),
            metrics: metrics.collect(),
            notes,
        };
        report.add_changes(&input.targets);
        report
    }

    fn add_changes(&mut self, targets: &[Target]) {
        let Self { terms, sending, .. } = *self;
        let change = Change::NONE;
        let mut add = |text: String, sending: Sending, change: Change<'_>, terms: Terms| {
            let rates = match (sending, change) {
                (
                    same,
                    Change {
                        interval: 1.0,
                        label: "",
                        metrics: [],
                    },
                ) if same == self.sending => self.rates,
                _ => rates(targets, sending, change, &mut |_, _, _| {}),
            };
            let bill = Bill::new(&rates, rates.units, terms, &self.prices);
            self.changes.push((text, bill.total() - self.bill.total()));
        };
        let doubled = Change {
            interval: 2.0,
            ..change
        };
        add(
            "scrape intervals twice as long".to_owned(),
            sending,
            doubled,
            terms,
        );
        for max_samples in SIZES.into_iter().filter(|it| *it != sending.max_samples) {
            let text = format!("max_samples_per_send: {max_samples}");
            add(
                text,
                Sending {
                    max_samples,
                    ..sending
                },
                change,
                terms,
            );
        }
        if sending.shards > 1 {
            let text = "one shard (max_shards: 1)".to_owned();
            add(
                text,
                Sending {
                    shards: 1,
                    ..sending
                },
                change,
                terms,
            );
        }
        if sending.stores_special_values {
            let lost = Sending {
                stores_special_values: false,
                ..sending
            };
            add(
                "without store_special_values".to_owned(),
                lost,
                change,
                terms,
            );
        }
        if terms.memory_hours > MEMORY_HOURS {
            let memory_hours = MEMORY_HOURS;
            let text = format!("memory store of {memory_hours} h");
            add(
                text,
                sending,
                change,
                Terms {
                    memory_hours,
                    ..terms
                },
            );
        }
        if terms.magnetic_days > MAGNETIC_DAYS {
            let magnetic_days = MAGNETIC_DAYS;
            let text = format!("magnetic store of {magnetic_days} days");
            add(
                text,
                sending,
                change,
                Terms {
                    magnetic_days,
                    ..terms
                },
            );
        }
        let dropped = self.metrics.iter().take(DROPPED_METRICS);
        let dropped: Vec<_> = dropped.map(|it| Arc::clone(&it.0)).collect();
        if self.metrics.len() > DROPPED_METRICS {
            let text = format!("without the {DROPPED_METRICS} most expensive metrics");
            let metrics = &*dropped;
            add(text, sending, Change { metrics, ..change }, terms);
        }
        for label in long_labels(targets) {
            let text = format!("without the label {} (labeldrop)", shown(&label));
            let label = &*label;
            add(text, sending, Change { label, ..change }, terms);
        }
        self.changes.retain(|it| it.1.abs() >= 0.005);
        self.changes.sort_by(|a, b| a.1.total_cmp(&b.1));
    }

    /// Returns the report as tables.
    pub fn text(&self) -> String {
        let Self {
            prices,
            terms,
            rates,
            bill,
            go,
            ..
        } = self;
        let mut text = format!(
            "Timestream in {}, a month of 730 hours, once the data has reached its retention.\n\
             {} series of {} targets, {:.1} samples a second, in requests of at most {} samples by {}.\n\n",
            shown(&prices.region),
            whole(self.series),
            whole(self.targets),
            rates.samples,
            self.sending.max_samples,
            match self.sending.shards {
                1 => "one shard".to_owned(),
                shards => format!("{shards} shards"),
            },
        );
        let mut line = |cells: [&str; 3]| {
            let [name, ours, go] = cells;
            text_line(&mut text, format_args!("{name:<32}{ours:>16}{go:>16}"));
        };
        line(["", "this connector", "Go connector"]);
        for (name, of) in self.rows() {
            line([&name, &dollars(of(bill)), &dollars(of(go))]);
        }
        let per_thousand = |it: f64| format!("{:.1}", it / rates.samples * 1_000.0);
        let units = [rates.units, rates.go_units].map(per_thousand);
        line(["write units of 1,000 samples", &units[0], &units[1]]);
        line(["calls of 1,000 samples", &per_thousand(rates.calls), ""]);
        let bytes = format!(
            "{:.0}",
            rates.stored_bytes / (rates.samples - rates.dropped)
        );
        line(["stored bytes of a sample", &bytes, &bytes]);
        text.push_str("\nChanges of this bill a month\n");
        for (name, change) in &self.changes {
            text_line(&mut text, format_args!("{:>12}  {name}", signed(*change)));
        }
        text.push_str("\nThe most expensive metrics: dollars, series\n");
        for (name, series, of) in &self.metrics {
            let (of, series) = (dollars(*of), whole(*series));
            let name = shown(name);
            text_line(&mut text, format_args!("{of:>12}{series:>10}  {name}"));
        }
        text.push_str("\nAssumptions\n");
        let queries = whole(terms.queries_per_day);
        let assumptions = [
            format!(
                "Prices of {} by {}: ${} per million write units, ${} per GB-hour of memory, ${} per GB-month of \
                 magnetic store, ${} per TCU-hour (--prices replaces them).",
                shown(&prices.date),
                shown(&prices.source),
                prices.writes_per_million,
                prices.memory_gb_hour,
                prices.magnetic_gb_month,
                prices.tcu_hour
            ),
            format!(
                "{queries} queries a day occupy {TCU} TCU for {QUERY_SECONDS} seconds each. Accounts that pay for \
                 scanned bytes pay {} instead, if each scans {SCANNED_MB} MB.",
                dollars(scanned(*terms, prices)),
            ),
            "Names of labels and metrics count as their values do, as in AWS' developer guide; AWS announced in July \
             2022 that they no longer do, and then all but the queries costs less."
                .to_owned(),
            "Neither free tier, Lambda, data transfer, metadata, exemplars nor stale markers are counted; a second \
             Prometheus with the same targets doubles all but the queries."
                .to_owned(),
        ];
        let notes = self.notes.iter().chain(&assumptions);
        for note in notes {
            push_wrapped(&mut text, &escaped(note));
        }
        text
    }

    /// Returns the rows of the bill.
    fn rows(&self) -> [(String, fn(&Bill) -> f64); 5] {
        let Terms {
            memory_hours,
            magnetic_days,
            queries_per_day,
        } = self.terms;
        [
            ("writes".to_owned(), |it| it.writes),
            (format!("memory store, {memory_hours} h"), |it| it.memory),
            (format!("magnetic store, {magnetic_days} days"), |it| {
                it.magnetic
            }),
            (format!("queries, {} a day", whole(queries_per_day)), |it| {
                it.queries
            }),
            ("together".to_owned(), Bill::total),
        ]
    }

    /// Returns the report as JSON.
    pub fn json(&self) -> Value {
        let Self {
            prices,
            terms,
            rates,
            ..
        } = self;
        let bill = |it: &Bill| {
            json!({
                "writes": it.writes,
                "memory_store": it.memory,
                "magnetic_store": it.magnetic,
                "queries": it.queries,
                "together": it.total(),
            })
        };
        let changes = self.changes.iter();
        let changes = changes.map(|(name, change)| json!({"change": name, "dollars": change}));
        let metrics = self.metrics.iter().map(|(name, series, dollars)| {
            json!({"metric": &**name, "series": series, "dollars": dollars})
        });
        json!({
            "series": self.series,
            "targets": self.targets,
            "max_samples_per_send": self.sending.max_samples,
            "shards": self.sending.shards,
            "memory_retention_hours": terms.memory_hours,
            "retention_days": terms.magnetic_days,
            "queries_per_day": terms.queries_per_day,
            "prices": {
                "region": prices.region,
                "date": prices.date,
                "source": prices.source,
                "writes_per_million": prices.writes_per_million,
                "memory_gb_hour": prices.memory_gb_hour,
                "magnetic_gb_month": prices.magnetic_gb_month,
                "tcu_hour": prices.tcu_hour,
                "scanned_gb": prices.scanned_gb,
            },
            "per_second": {
                "samples": rates.samples,
                "dropped_samples": rates.dropped,
                "requests": rates.requests,
                "calls": rates.calls,
                "body_bytes": rates.body_bytes,
                "write_units": rates.units,
                "go_write_units": rates.go_units,
                "stored_bytes": rates.stored_bytes,
            },
            "dollars": bill(&self.bill),
            "go_dollars": bill(&self.go),
            "dollars_of_queries_by_scanned_bytes": scanned(*terms, prices),
            "changes": changes.collect::<Vec<_>>(),
            "metrics": metrics.collect::<Vec<_>>(),
            "notes": self.notes,
        })
    }
}

/// Returns the labels that take most bytes of those without which all series of a target still differ.
fn long_labels(targets: &[Target]) -> Vec<Arc<str>> {
    let mut bytes: HashMap<Arc<str>, f64> = HashMap::new();
    for target in targets {
        for (name, value) in target.series.iter().flat_map(|it| &it.labels) {
            if NEEDED_LABELS.contains(&&**name) {
                continue;
            }
            let rate = target.weight / target.interval_ms;
            *bytes.entry(Arc::clone(name)).or_default() += (name.len() + value.len()) as f64 * rate;
        }
    }
    let mut labels: Vec<_> = bytes.into_iter().collect();
    labels.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let labels = labels.into_iter().take(TRIED_LABELS).map(|(name, _)| name);
    let removable = labels.filter(|name| targets.iter().all(|it| differ_without(it, name)));
    removable.take(LABELS).collect()
}

/// Returns true if the series of a target differ without a label.
fn differ_without(target: &Target, label: &str) -> bool {
    let mut seen = HashSet::new();
    target.series.iter().all(|series| {
        let mut hasher = DefaultHasher::new();
        let labels = series.labels.iter().filter(|(name, _)| **name != *label);
        labels.for_each(|it| it.hash(&mut hasher));
        seen.insert(hasher.finish())
    })
}

/// Returns a string of a server or a file for a table: no terminal obeys it, and it is not long.
fn shown(text: &str) -> String {
    truncate(&escaped(text), MAX_SHOWN_BYTES).into_owned()
}

fn text_line(text: &mut String, line: std::fmt::Arguments<'_>) {
    let start = text.len();
    text.write_fmt(line)
        .expect("writing to a String cannot fail");
    text.truncate(start + text[start..].trim_end().len());
    text.push('\n');
}

/// Writes an item of a list in lines of bounded width.
fn push_wrapped(text: &mut String, item: &str) {
    let mut width = WIDTH;
    for word in item.split(' ') {
        width += 1 + word.chars().count();
        let before = match (width > WIDTH, text.ends_with('\n')) {
            (true, true) => "- ",
            (true, false) => "\n  ",
            (false, _) => " ",
        };
        if width > WIDTH {
            width = 2 + word.chars().count();
        }
        text.push_str(before);
        text.push_str(word);
    }
    text.push('\n');
}

/// Returns a number with a comma after each thousand.
fn whole(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns dollars with cents, from $100 on without them.
fn dollars(amount: f64) -> String {
    match amount {
        ..99.995 => format!("${amount:.2}"),
        _ => format!("${}", whole(amount)),
    }
}

fn signed(amount: f64) -> String {
    let sign = if amount < 0.0 { '-' } else { '+' };
    format!("{sign}{}", dollars(amount.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimate::Source;
    use crate::estimate::series::{MAX_LABELS, Series, Texts, Value};
    use crate::prices::PRICES;

    /// A target with a series of each of these labels, beside its name.
    fn target(series: &[&[(&str, &str)]]) -> Target {
        let mut texts = Texts::default();
        let of = |labels: &&[(&str, &str)]| {
            let labels = labels.iter().chain(&[("__name__", "m"), ("job", "j")]);
            let labels = labels.map(|(name, value)| (texts.get(name), texts.get(value)));
            Series::new(labels.collect(), Value::Float(1.0), None)
        };
        Target {
            interval_ms: 1_000.0,
            weight: 2.0,
            series: series.iter().map(of).collect(),
        }
    }

    fn settings() -> Settings {
        Settings {
            source: Source::Input,
            scrape_interval: None,
            targets: 1,
            max_series: 1_000,
            credentials: None,
            sending: Sending {
                max_samples: 2_000,
                shards: 1,
                stores_special_values: false,
            },
            terms: Terms {
                memory_hours: 24.0,
                magnetic_days: 73_000.0,
                queries_per_day: 0.0,
            },
            region: "us-east-1".to_owned(),
            prices: None,
            is_json: false,
        }
    }

    #[test]
    fn labels_are_dropped_only_if_all_series_still_differ() {
        let long = "x".repeat(50);
        let target = target(&[&[("a", "1"), ("b", &long)], &[("a", "2"), ("b", &long)]]);
        let labels = long_labels(&[target]);
        assert_eq!(labels, ["b".into()]);
    }

    #[test]
    fn a_bill_is_that_of_one_call_computed_by_hand() {
        let input = Input {
            targets: vec![target(&[&[("a", "1")], &[("a", "2")]])],
            all_targets: 2.0,
            notes: Vec::new(),
        };
        let report = Report::new(&input, &settings(), PRICES[0].clone());
        // Two targets of two series a second, each of 8 + 8 + 1 + 4 + 2 bytes.
        let Rates {
            samples,
            stored_bytes,
            ..
        } = report.rates;
        assert_eq!((samples.round(), stored_bytes.round()), (4.0, 92.0));
        // A request each five seconds has ten scrapes of two series: name and job are common, time, value and `a` are
        // not: 5 + 20 x 18 bytes, a unit in a call.
        let Rates { units, calls, .. } = report.rates;
        assert!((units - 0.2).abs() < 1e-9 && (calls - 0.2).abs() < 1e-9);
        assert_eq!(report.metrics.len(), 1);
        assert_eq!((&*report.metrics[0].0, report.metrics[0].1), ("m", 4.0));
        let changes: Vec<_> = report.changes.iter().map(|it| &*it.0).collect();
        let expected = [
            "magnetic store of 90 days",
            "scrape intervals twice as long",
            "memory store of 2 h",
        ];
        assert_eq!(changes, expected, "{:?}", report.changes);
    }

    #[test]
    fn no_terminal_obeys_a_report() {
        let bad = "a\u{1b}[2J\u{9b}\u{202e}\nb\rc";
        let long = "x".repeat(250);
        let series: &[&[(&str, &str)]] = &[
            &[("__name__", bad), (bad, &long), ("n", "1")],
            &[("__name__", &long), (bad, &long), ("n", "2")],
        ];
        let mut input = Input {
            targets: vec![target(series)],
            all_targets: 2.0,
            notes: vec![format!("A note {bad}")],
        };
        for it in &mut input.targets[0].series {
            it.labels
                .retain(|(name, value)| &**name != METRIC_NAME_LABEL || &**value != "m");
        }
        let mut prices = PRICES[0].clone();
        prices.region = bad.into();
        prices.date = bad.into();
        prices.source = long.clone().into();
        let report = Report::new(&input, &settings(), prices);
        let text = report.text();
        let seen = "a\\u001b[2J\\u009b\\u202e\\u000ab\\u000dc";
        for expected in [
            format!("Timestream in {seen}, a month"),
            format!("  without the label {seen} (labeldrop)\n"),
            format!("  {seen}\n"),
            format!("  {}...\n", &long[..200]),
            format!("A note {seen}"),
            format!("Prices of {seen} by"),
        ] {
            assert!(text.contains(&expected), "{expected}\n{text}");
        }
        let is_hidden = |c: char| prom_model::visible::is_hidden(c) && c != '\n';
        assert!(!text.contains(is_hidden), "{text:?}");
        assert!(text.lines().all(|line| line.len() < 400), "{text}");
        // As JSON, names are those of the metrics.
        let json = report.json();
        assert!(
            json["metrics"]
                .as_array()
                .unwrap()
                .iter()
                .any(|it| it["metric"] == bad)
        );
    }

    #[test]
    fn many_labels_take_little_time_and_memory() {
        let mut texts = Texts::default();
        let mut series = |number: usize| {
            let labels = (0..MAX_LABELS * 3).map(|it| {
                let name = format!("Label_{number}_{it}");
                (texts.get(&name), texts.get("v"))
            });
            let mut labels: Vec<_> = labels.collect();
            labels.push((texts.get("__name__"), texts.get("m")));
            Series::new(labels, Value::Float(1.0), None)
        };
        // The last two are equal, so none can be dropped, and each that is tried takes all of them.
        let series: Vec<_> = (0..300).chain([299]).map(&mut series).collect();
        assert!(
            series
                .iter()
                .all(|it| it.labels.len() == MAX_LABELS && it.metric() == "m")
        );
        let target = Target {
            interval_ms: 1_000.0,
            weight: 1.0,
            series,
        };
        let began = std::time::Instant::now();
        assert!(long_labels(&[target]).is_empty());
        assert!(began.elapsed().as_secs() < 20);
    }

    #[test]
    fn numbers_have_commas_and_dollars_cents_up_to_a_hundred() {
        assert_eq!(whole(1_234_567.0), "1,234,567");
        assert_eq!(whole(123.4), "123");
        assert_eq!(dollars(0.004), "$0.00");
        assert_eq!(dollars(99.994), "$99.99");
        assert_eq!(dollars(99.996), "$100");
        assert_eq!(signed(-1_000.4), "-$1,000");
        assert_eq!(signed(0.5), "+$0.50");
    }
}
