//! Calls of functions, with arguments that fit.

use promql::{Function, ValueType, Variadic};

use super::{Generator, Want, optional, text};
use crate::expression::{Node, Part};

/// The functions that occur more often than the others: their rules are long.
const FREQUENT: [&str; 16] = [
    "rate",
    "increase",
    "delta",
    "irate",
    "sum_over_time",
    "avg_over_time",
    "histogram_quantile",
    "histogram_fraction",
    "label_replace",
    "info",
    "changes",
    "resets",
    "quantile_over_time",
    "predict_linear",
    "absent",
    "double_exponential_smoothing",
];
/// The functions whose results are histograms if their arguments are.
const OF_HISTOGRAMS: [&str; 11] = [
    "rate",
    "increase",
    "delta",
    "idelta",
    "irate",
    "sum_over_time",
    "avg_over_time",
    "last_over_time",
    "first_over_time",
    "label_replace",
    "sort_by_label",
];
const OF_CLASSIC: [&str; 4] = ["rate", "increase", "sum_over_time", "last_over_time"];

const QUANTILES: [&str; 12] = [
    "0.5", "0.9", "0.99", "0", "1", "0.25", "-1", "1.5", "NaN", "0.1", "1e-9", "Inf",
];
const LABELS: [&str; 8] = [
    "instance", "job", "code", "le", "device", "__name__", "new", "my.label",
];

impl Generator {
    /// Returns a call whose result is an instant vector.
    pub(super) fn call(&mut self, depth: u32, want: Want) -> Node {
        let names: Vec<&'static str> = match want {
            Want::Native => OF_HISTOGRAMS.to_vec(),
            Want::Classic => OF_CLASSIC.to_vec(),
            _ => {
                let all = Function::all().iter();
                let vectors = all.filter(|it| it.returns == ValueType::Vector);
                vectors.map(|it| it.name).chain(FREQUENT).collect()
            }
        };
        let name = self.preferred(&names);
        self.call_with(name, depth, want)
    }

    /// Returns a call of the function of this name.
    pub(super) fn call_of(&mut self, name: &'static str, depth: u32) -> Node {
        self.call_with(name, depth, Want::Any)
    }

    fn call_with(&mut self, name: &'static str, depth: u32, want: Want) -> Node {
        let function = Function::named(name).expect("it is a function");
        let arguments = self.arguments(function, depth, want);
        let mut parts = vec![text(format!("{name}("))];
        for (at, argument) in arguments.into_iter().enumerate() {
            if at > 0 {
                parts.push(text(","));
                parts.push(text(self.blank()));
            }
            parts.push(argument);
        }
        parts.push(text(")"));
        Node::new(function.returns, parts).with(name)
    }

    fn arguments(&mut self, function: &Function, depth: u32, want: Want) -> Vec<Part> {
        let name = function.name;
        let want = match want {
            Want::Any => self.fitting(name),
            other => other,
        };
        match name {
            "label_replace" => {
                let replacements = ["$1", "x", "$1-$0", "${a}", "", "$9", "$1$1"];
                let patterns = [
                    "(.*)",
                    "(.)",
                    "(?P<a>a|b)",
                    "nothing",
                    ".*",
                    "(.*)(.+)",
                    "(",
                ];
                let [target, source] = [self.label(), self.label()];
                let replacement = self.random.pick(&replacements);
                let pattern = self.random.pick(&patterns);
                let rest = format!("{target}, \"{replacement}\", {source}, \"{pattern}\"");
                vec![self.vector_part(depth, want), text(rest)]
            }
            "label_join" => {
                let [target, first, second] = [self.label(), self.label(), self.label()];
                let separator = self.random.pick(&["-", "", ","]);
                vec![
                    self.vector_part(depth, want),
                    text(format!("{target}, \"{separator}\"")),
                    text(first),
                    text(second),
                ]
            }
            "sort_by_label" | "sort_by_label_desc" => {
                vec![
                    self.vector_part(depth, want),
                    text(self.label()),
                    text(self.label()),
                ]
            }
            "histogram_quantile" => {
                vec![self.quantile(depth), self.histogram_vector(depth, want)]
            }
            "histogram_quantiles" => {
                let quantiles = [self.quantile(0), self.quantile(0)];
                let mut all = vec![self.histogram_vector(depth, want), text(self.label())];
                all.extend(quantiles);
                all
            }
            "histogram_fraction" => {
                let bounds = [
                    "0", "0.5", "2", "-Inf", "+Inf", "1", "-1", "5", "NaN", "0.3",
                ];
                vec![
                    text(self.random.pick(&bounds)),
                    text(self.random.pick(&bounds)),
                    self.histogram_vector(depth, want),
                ]
            }
            "quantile_over_time" => vec![self.quantile(depth), self.matrix_part(depth, want)],
            "double_exponential_smoothing" => {
                let factors = ["0.3", "0.5", "0.9", "0.01", "0.7", "0.99", "1", "0", "2"];
                vec![
                    self.matrix_part(depth, want),
                    text(self.random.pick(&factors)),
                    text(self.random.pick(&factors[..6])),
                ]
            }
            "predict_linear" => {
                let seconds = ["60", "3600", "-60", "0", "1d", "0.5"];
                let seconds = self.random.pick(&seconds);
                vec![self.matrix_part(depth, want), text(seconds)]
            }
            "info" => {
                let selectors = [
                    "{version=~\".+\"}",
                    "{__name__=\"build_info\"}",
                    "{__name__=~\".*_info\"}",
                    "{region=\"eu\"}",
                    "{version!=\"1.0\"}",
                    "{__name__=~\"(build|target)_info\", commit=~\".*\"}",
                    "{absent=\"\"}",
                ];
                let mut all = vec![self.vector_part(depth, want)];
                if self.random.chance(0.6) {
                    all.push(text(self.random.pick(&selectors)));
                }
                all
            }
            "rate" | "increase" | "delta" => {
                let node = self.matrix_with(depth, want, &["smoothed", "anchored"]);
                vec![Part::Node(node)]
            }
            "changes" | "resets" => {
                let node = self.matrix_with(depth, want, &["anchored"]);
                vec![Part::Node(node)]
            }
            "timestamp" | "start_timestamp" | "absent" | "scalar" if self.random.chance(0.5) => {
                vec![Part::Node(self.selector(want))]
            }
            _ => self.plain_arguments(function, depth, want),
        }
    }

    /// Returns arguments of the declared types.
    fn plain_arguments(&mut self, function: &Function, depth: u32, want: Want) -> Vec<Part> {
        let mut types = function.arguments.to_vec();
        if let Variadic::UpTo(_) = function.variadic {
            let is_absent = self.random.chance(0.4);
            if is_absent {
                types.pop();
            }
        }
        let all = types.into_iter().map(|it| match it {
            ValueType::Vector => self.vector_part(depth, want),
            ValueType::Matrix => self.matrix_part(depth, want),
            ValueType::Scalar => {
                let depth = if self.random.chance(0.6) { 0 } else { depth };
                Part::Node(self.scalar(depth))
            }
            ValueType::String => text(self.label()),
        });
        all.collect()
    }

    /// Returns the samples that a function is for.
    fn fitting(&mut self, name: &str) -> Want {
        let is_usual = self.random.chance(0.8);
        match name {
            _ if !is_usual => Want::Any,
            "rate" | "increase" | "irate" | "resets" => {
                self.random
                    .pick(&[Want::Counter, Want::Counter, Want::Native])
            }
            "histogram_quantile" | "histogram_quantiles" | "histogram_fraction" => {
                self.random.pick(&[Want::Native, Want::Classic])
            }
            "delta" | "idelta" | "deriv" | "predict_linear" => Want::Gauge,
            _ if name.starts_with("histogram_") => Want::Native,
            _ => Want::Any,
        }
    }

    fn vector_part(&mut self, depth: u32, want: Want) -> Part {
        Part::Node(self.vector(depth, want))
    }

    fn matrix_part(&mut self, depth: u32, want: Want) -> Part {
        Part::Node(self.matrix(depth, want))
    }

    /// Returns native histograms, or classic ones that are whole more often than not.
    fn histogram_vector(&mut self, depth: u32, want: Want) -> Part {
        if want == Want::Classic && self.random.chance(0.3) {
            let inner = self.call_with("rate", 0, Want::Classic);
            let labels = self.random.pick(&["le", "le, instance", "job, le"]);
            let op = self.random.pick(&["sum", "avg", "max"]);
            let parts = vec![
                text(op),
                optional(format!(" by ({labels}) ")),
                text("("),
                Part::Node(inner),
                text(")"),
            ];
            let node = Node::new(ValueType::Vector, parts);
            return Part::Node(node.with(op).with("by"));
        }
        self.vector_part(depth, want)
    }

    /// Returns a number that is a quantile more often than not.
    pub(super) fn quantile(&mut self, depth: u32) -> Part {
        match self.random.chance(0.1) {
            true => Part::Node(self.scalar(depth)),
            false => text(self.random.pick(&QUANTILES)),
        }
    }

    fn label(&mut self) -> String {
        format!("\"{}\"", self.random.pick(&LABELS))
    }
}
