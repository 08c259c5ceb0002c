//! Results of queries, wherever they come from.

use std::fmt::{self, Display, Formatter};

use prom_model::{Count, Histogram, Labels};

use crate::data::Series;

/// The result of a query.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryResult {
    /// The value, or the text of the error.
    pub value: Result<Value, String>,
    /// The warnings, sorted.
    pub warnings: Vec<String>,
    /// The informations, sorted.
    pub infos: Vec<String>,
    /// The samples that selectors handed to the evaluation, if that is known.
    pub samples: Option<Samples>,
}

/// The samples that selectors handed to an evaluation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Samples {
    /// All.
    pub total: u64,
    /// Those that no step before has had.
    pub read: u64,
    /// The time of each step with its number of all and of read samples; empty if steps were not counted.
    pub per_step: Vec<(i64, u64, u64)>,
}

/// The value of a query.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A time in milliseconds and a number.
    Scalar(i64, f64),
    /// A time in milliseconds and a string.
    String(i64, String),
    /// Series with one sample.
    Vector(Vec<Series>),
    /// Series.
    Matrix(Vec<Series>),
}

impl QueryResult {
    /// Returns the result of a query that failed.
    pub fn error(text: String) -> Self {
        Self {
            value: Err(text),
            warnings: Vec::new(),
            infos: Vec::new(),
            samples: None,
        }
    }

    /// Returns true if there is a value that is neither an empty list nor a NaN alone.
    pub fn is_substantial(&self) -> bool {
        match &self.value {
            Ok(Value::Scalar(_, value)) => !value.is_nan(),
            Ok(Value::String(..)) => true,
            Ok(Value::Vector(all) | Value::Matrix(all)) => !all.is_empty(),
            Err(_) => false,
        }
    }
}

/// Most series of a printed result.
const PRINTED_SERIES: usize = 20;
/// Most characters of each.
const PRINTED_CHARACTERS: usize = 600;

impl Display for QueryResult {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.value {
            Err(text) => writeln!(f, "    error {text}")?,
            Ok(Value::Scalar(time, value)) => writeln!(f, "    scalar {value:?} @{time}")?,
            Ok(Value::String(time, value)) => writeln!(f, "    string {value:?} @{time}")?,
            Ok(Value::Vector(all)) => write_series(f, "vector", all)?,
            Ok(Value::Matrix(all)) => write_series(f, "matrix", all)?,
        }
        let mut annotations = self.warnings.iter().chain(&self.infos);
        annotations.try_for_each(|it| writeln!(f, "    {it}"))
    }
}

fn write_series(f: &mut Formatter<'_>, kind: &str, all: &[Series]) -> fmt::Result {
    writeln!(f, "    {kind} of {} series", all.len())?;
    for series in all.iter().take(PRINTED_SERIES) {
        let mut line = labels_text(&series.labels);
        for it in &series.floats {
            line += &format!(" {:?}@{}", it.value, it.time_ms);
        }
        for it in &series.histograms {
            line += &format!(" {}", histogram_text(&it.histogram));
        }
        let shown: String = line.chars().take(PRINTED_CHARACTERS).collect();
        let rest = if shown.len() < line.len() { " ..." } else { "" };
        writeln!(f, "      {shown}{rest}")?;
    }
    Ok(())
}

/// Returns labels as PromQL writes them.
pub fn labels_text(labels: &Labels) -> String {
    let all = labels
        .iter()
        .map(|it| format!("{}={:?}", it.name, it.value));
    format!("{{{}}}", all.collect::<Vec<_>>().join(","))
}

fn histogram_text(of: &Histogram) -> String {
    format!(
        "[hint {} schema {} threshold {:?} zero {:?} count {:?} sum {:?} + {:?} - {:?} bounds {:?}]@{}",
        of.reset_hint,
        of.schema,
        of.zero_threshold,
        float(of.zero_count),
        float(of.count),
        of.sum,
        filled(&of.positive),
        filled(&of.negative),
        of.custom_values,
        of.timestamp_ms
    )
}

/// Returns a count as a float.
pub fn float(count: Option<Count>) -> f64 {
    match count {
        None => 0.0,
        Some(Count::Int(count)) => count as f64,
        Some(Count::Float(count)) => count,
    }
}

/// Returns the index and the count of each bucket that is not empty.
pub fn filled(buckets: &prom_model::Buckets) -> Vec<(i32, f64)> {
    let mut index = 0;
    let mut counts = buckets.counts.iter();
    let mut all = Vec::new();
    for span in &buckets.spans {
        index += span.offset;
        for _ in 0..span.length {
            let count = *counts.next().expect("spans describe the buckets");
            if count != 0.0 {
                all.push((index, count));
            }
            index += 1;
        }
    }
    all
}
