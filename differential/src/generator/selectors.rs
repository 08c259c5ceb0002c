//! Selectors, subqueries and their modifiers of time.

use promql::ValueType;

use super::{Generator, Want, operand, optional, text};
use crate::data::START_MS;
use crate::expression::{Node, Part};

const COUNTERS: [&str; 6] = [
    "requests_total",
    "errors_total",
    "latency_count",
    "latency_sum",
    "started_total",
    "typed_seconds",
];
const GAUGES: [&str; 8] = [
    "temperature",
    "load",
    "special",
    "constant",
    "large",
    "sparse",
    "restarted",
    "{\"my.metric\"",
];
pub(super) const NATIVE: [&str; 10] = [
    "rpc", "queue", "changing", "custom", "bounds", "kinds", "skewed", "hinted", "mixed", "blend",
];
const CLASSIC: [&str; 3] = ["latency_bucket", "broken_bucket", "blend"];

/// Metrics whose series have the same labels.
pub(super) const FAMILIES: [&[&str]; 3] = [
    &["requests_total", "errors_total"],
    &[
        "latency_count",
        "latency_sum",
        "rpc",
        "queue",
        "changing",
        "custom",
        "bounds",
        "kinds",
        "skewed",
        "hinted",
        "mixed",
        "temperature",
    ],
    &["load", "special"],
];

const MATCHERS: [(u32, &str); 12] = [
    (4, "instance=\"a\""),
    (4, "instance!=\"a\""),
    (4, "instance=~\"a|b\""),
    (4, "instance!~\"b.*\""),
    (4, "job=\"api\""),
    (1, "code=\"500\""),
    (1, "code=~\"4..|5..\""),
    (2, "absent=\"\""),
    (1, "absent!=\"\""),
    (1, "le=\"+Inf\""),
    (1, "device=~\"x?\""),
    (1, "instance=\"nowhere\""),
];

const RANGES: [&str; 9] = ["1m", "90s", "2m30s", "5m", "5m", "5m", "10m", "45s", "300"];
const STEPS: [&str; 6] = ["", "", "15s", "30s", "1m", "45s"];
const OFFSETS: [&str; 8] = ["30s", "1m", "-1m", "5m", "10m", "1ms", "0s", "-30"];

impl Generator {
    /// Returns a selector of an instant vector.
    pub(super) fn selector(&mut self, want: Want) -> Node {
        let mut parts = self.metric(want);
        let mut features = Vec::new();
        if self.wants("smoothed", 0.01) {
            parts.push(optional(" smoothed"));
            features.push("smoothed");
        } else if self.wants("anchored", 0.005) {
            parts.push(optional(" anchored"));
            features.push("anchored");
        }
        let mut node = Node::new(ValueType::Vector, parts);
        features
            .iter()
            .for_each(|it| node.features.push((*it).to_owned()));
        self.add_modifiers(&mut node, 0.12);
        node
    }

    /// Returns a metric name and matchers.
    fn metric(&mut self, want: Want) -> Vec<Part> {
        let fitting: &[&str] = match want {
            Want::Any => match self.random.below(4) {
                0 => &COUNTERS,
                1 => &NATIVE,
                2 if self.random.chance(0.2) => &CLASSIC,
                _ => &GAUGES,
            },
            Want::Counter => &COUNTERS,
            Want::Gauge => &GAUGES,
            Want::Native => &NATIVE,
            Want::Classic => &CLASSIC,
        };
        let name = match self.family {
            Some(family) if self.random.chance(0.9) => {
                let both: Vec<_> = fitting
                    .iter()
                    .filter(|it| FAMILIES[family].contains(it))
                    .copied()
                    .collect();
                match both.is_empty() {
                    true => self.random.pick(FAMILIES[family]),
                    false => self.random.pick(&both),
                }
            }
            _ => self.random.pick(fitting),
        };
        match name.strip_prefix('{') {
            Some(quoted) if self.random.chance(0.5) => {
                return vec![
                    text(format!("{{{quoted}")),
                    optional(",instance=\"a\""),
                    text("}"),
                ];
            }
            Some(quoted) => return vec![text(format!("{{{quoted}}}"))],
            None => {}
        }
        if self.random.chance(0.04) {
            let other = self.random.pick(fitting);
            let other = other.trim_matches(['{', '"']);
            return vec![text(format!("{{__name__=~\"{name}|{other}\"}}"))];
        }
        let mut parts = vec![text(name)];
        if self.random.chance(0.3) {
            let mut matchers = self.random.weighted(&MATCHERS).to_owned();
            if self.random.chance(0.2) {
                matchers = format!("{matchers},{}", self.random.weighted(&MATCHERS));
            }
            parts.push(optional(format!("{{{matchers}}}")));
        }
        parts
    }

    /// Returns a range vector.
    pub(super) fn matrix(&mut self, depth: u32, want: Want) -> Node {
        self.matrix_with(depth, want, &[])
    }

    /// Returns a range vector, with one of the extensions now and then.
    pub(super) fn matrix_with(&mut self, depth: u32, want: Want, extensions: &[&str]) -> Node {
        let probability = if self.is_in_subquery { 0.05 } else { 0.2 };
        if depth > 0 && self.wants("subquery", probability) {
            return self.subquery(depth, want);
        }
        let mut node = Node::new(ValueType::Matrix, self.metric(want));
        node.parts.push(text("["));
        let range = self.duration(&RANGES, &mut node.features);
        node.parts.push(text(format!("{range}]")));
        if !extensions.is_empty() {
            let extension = self.random.pick(extensions);
            if self.wants(extension, 0.15) {
                node.parts.push(optional(format!(" {extension}")));
                node.features.push(extension.to_owned());
            }
        }
        self.add_modifiers(&mut node, 0.12);
        node
    }

    fn subquery(&mut self, depth: u32, want: Want) -> Node {
        let outer = std::mem::replace(&mut self.is_in_subquery, true);
        let inner = match self.random.chance(0.1) {
            true => self.call_of("vector", depth - 1),
            false => self.vector(depth - 1, want),
        };
        self.is_in_subquery = outer;
        let mut node = Node::new(ValueType::Matrix, vec![operand(inner)]).with("subquery");
        let range = self.duration(&RANGES, &mut node.features);
        let step = match self.random.pick(&STEPS) {
            "" => String::new(),
            _ => self.duration(&STEPS[2..], &mut node.features),
        };
        node.parts.push(text(format!("[{range}:{step}]")));
        self.add_modifiers(&mut node, 0.15);
        node
    }

    /// Returns one of the durations, now and then one that is computed.
    fn duration(&mut self, all: &[&str], features: &mut Vec<String>) -> String {
        if !self.wants("duration expression", 0.06) {
            return self.random.pick(all).to_owned();
        }
        features.push("duration expression".to_owned());
        let (a, b) = (self.random.pick(all), self.random.pick(all));
        let expressions = [
            (3, format!("{a} + {b}")),
            (3, format!("({a} - 10s)")),
            (2, format!("{a} * 2")),
            (2, format!("{a} / 3")),
            (1, format!("2 ^ 5 + {a} % 7")),
            (2, format!("step() + {a}")),
            (1, format!("range() + {a}")),
            (2, format!("min_of({a}, {b})")),
            (2, format!("max_of({a}, step() * 3)")),
            (1, "step()".to_owned()),
            (1, format!("-{a} + 6m")),
        ];
        self.random.weighted(&expressions)
    }

    fn add_modifiers(&mut self, node: &mut Node, probability: f64) {
        let mut modifiers = Vec::new();
        if self.wants("offset", probability) {
            let offset = match self.duration(&OFFSETS, &mut node.features) {
                // Operators bind less than the modifier.
                it if it.contains(' ') && !it.starts_with(['(', 'm']) => format!("({it})"),
                it => it,
            };
            modifiers.push(("offset", format!(" offset {offset}")));
        }
        let at = match self.random.below(4) {
            0 => "@ start()",
            1 => "@ end()",
            _ => "@",
        };
        if self.wants(at, probability) && !self.is_in_parameter {
            let modifier = match at {
                "@" => {
                    let ms = START_MS + self.random.within(0, 2_000_000);
                    format!(" @ {}.{:03}", ms / 1000, ms % 1000)
                }
                _ => format!(" {at}"),
            };
            modifiers.push((at, modifier));
        }
        if self.random.chance(0.5) {
            modifiers.reverse();
        }
        for (feature, modifier) in modifiers {
            node.parts.push(optional(modifier));
            node.features.push(feature.to_owned());
        }
    }
}
