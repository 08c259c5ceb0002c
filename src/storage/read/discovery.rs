//! Rows of metric names, metadata and exemplars.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::size_of_val;

use prom_model::{Label, Labels, PROMETHEUS_NAN_BITS};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::rows::{RowError, row_labels};
use crate::storage::names::Measure;
use crate::storage::read::datum::{Datum, Row};
use crate::storage::read::selection::Selection;

/// The names of metrics with samples or native histograms, from the result of `SHOW MEASURES`.
///
/// # Errors
/// A row has another shape.
pub fn metric_names(rows: &[Row]) -> Result<BTreeSet<String>, RowError> {
    let mut names = BTreeSet::new();
    for row in rows {
        let [Datum::Scalar(measure), Datum::Scalar(data_type), ..] = row.as_slice() else {
            return Err(RowError::Shape(
                "expected the name and type of a measure from SHOW MEASURES",
            ));
        };
        let is = |name: &str| data_type.eq_ignore_ascii_case(name);
        match Measure::of(measure) {
            Measure::Samples(name) if is("double") => names.insert(name.into_owned()),
            Measure::Histograms(name) if is("varchar") => names.insert(name.into_owned()),
            _ => continue,
        };
    }
    Ok(names)
}

/// The names of the columns that `DESCRIBE` lists.
///
/// # Errors
/// A row has another shape.
pub fn column_names(rows: &[Row]) -> Result<BTreeSet<String>, RowError> {
    let names = rows.iter().map(|row| {
        let name = row.first().and_then(Datum::as_scalar);
        name.map(str::to_owned).ok_or(RowError::Shape(
            "expected the name of a column from DESCRIBE",
        ))
    });
    names.collect()
}

/// The value of a row of one string; `None` if there is none.
///
/// # Errors
/// The row has another shape.
pub fn single_string(mut row: Row) -> Result<Option<String>, RowError> {
    match (row.pop(), row.len()) {
        (Some(Datum::Scalar(value)), 0) => Ok(Some(value).filter(|value| !value.is_empty())),
        (Some(Datum::Null), 0) => Ok(None),
        _ => Err(RowError::Shape("expected one string")),
    }
}

/// The stored metadata of a metric family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricMetadata {
    /// The name of the family.
    pub name: String,
    /// The type, as Prometheus names it.
    pub metric_type: String,
    /// The help text.
    pub help: String,
    /// The unit.
    pub unit: String,
}

impl MetricMetadata {
    /// The columns of a table of metadata.
    pub const COLUMNS: [&'static str; 4] = ["metric_name", "metric_type", "help_text", "unit"];

    /// Reads a row of these columns, of which there may be fewer than four.
    ///
    /// # Errors
    /// The row has another shape.
    pub fn from_row(columns: &[String], row: &[Datum]) -> Result<Self, RowError> {
        let mut found = Self::default();
        for (column, value) in columns.iter().zip(row) {
            let value = match value {
                Datum::Scalar(value) => value.clone(),
                Datum::Null => String::new(),
                _ => return Err(RowError::Shape("expected a text of metadata")),
            };
            match column.as_str() {
                "metric_name" => found.name = value,
                "metric_type" => found.metric_type = value,
                "help_text" => found.help = value,
                _ => found.unit = value,
            }
        }
        Ok(found)
    }

    /// Returns the bytes of memory that it occupies.
    pub fn bytes(&self) -> usize {
        size_of_val(self)
            + self.name.len()
            + self.metric_type.len()
            + self.help.len()
            + self.unit.len()
    }
}

/// A stored exemplar.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// Its own labels.
    pub labels: Labels,
    /// The value.
    pub value: f64,
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
}

#[derive(Deserialize)]
struct ExemplarText<'t> {
    labels: BTreeMap<String, String>,
    #[serde(borrow)]
    value: &'t RawValue,
    timestamp: i64,
}

impl Exemplar {
    /// Reads the text under which an exemplar is stored.
    fn from_text(text: &str) -> Option<Self> {
        let read: ExemplarText<'_> = serde_json::from_str(text).ok()?;
        let labels = read.labels.into_iter();
        let labels = labels.map(|(name, value)| Label { name, value });
        let value = match read.value.get().trim_matches('"') {
            "NaN" => f64::from_bits(PROMETHEUS_NAN_BITS),
            "+Inf" => f64::INFINITY,
            "-Inf" => f64::NEG_INFINITY,
            text => match text.strip_prefix("NaN:") {
                Some(bits) => f64::from_bits(u64::from_str_radix(bits, 16).ok()?),
                None => text.parse().ok()?,
            },
        };
        Some(Self {
            labels: Labels::new(labels.collect()),
            value,
            timestamp_ms: read.timestamp,
        })
    }

    /// Returns the bytes of memory that it occupies.
    pub fn bytes(&self) -> usize {
        size_of_val(self) + self.labels.bytes()
    }
}

/// Reads a row of [`exemplars`](super::sql::exemplars): the labels of the series and the exemplar; `None` if the
/// selection does not match them.
///
/// # Errors
/// The row has another shape.
pub fn exemplar_of_row(
    selection: &Selection,
    dimensions: &[String],
    row: &[Datum],
) -> Result<Option<(Labels, Exemplar)>, RowError> {
    let fields = row.split_at_checked(dimensions.len());
    let Some((values, [Datum::Scalar(measure), Datum::Scalar(text)])) = fields else {
        return Err(RowError::Shape("expected a measure name and an exemplar"));
    };
    let Measure::Exemplars(metric) = Measure::of(measure) else {
        return Ok(None);
    };
    let (labels, _) = row_labels(dimensions, values, &metric)?;
    // A text of another writer is none of the connector's.
    let Some(exemplar) = Exemplar::from_text(text) else {
        return Ok(None);
    };
    let (start, end) = selection.range.unwrap_or((0, -1));
    let is_selected = (start..=end).contains(&exemplar.timestamp_ms) && selection.matches(&labels);
    Ok(is_selected.then_some((labels, exemplar)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::write::exemplar::to_text;

    fn scalar(text: &str) -> Datum {
        Datum::Scalar(text.to_owned())
    }

    #[test]
    fn metrics_are_listed_without_what_is_reserved() {
        let rows: Vec<Row> = [
            ("up", "double"),
            ("U__a_3a_bx", "DOUBLE"),
            ("U__histogram_of_sizes", "varchar"),
            ("U__exemplar_of_up", "varchar"),
            ("metadata", "multi"),
            ("text", "varchar"),
        ]
        .map(|(name, data_type)| vec![scalar(name), scalar(data_type), Datum::Null])
        .into();
        let names = metric_names(&rows).unwrap();
        assert_eq!(names.iter().collect::<Vec<_>>(), ["a:b", "sizes", "up"]);
        assert!(metric_names(&[vec![scalar("up")]]).is_err());
    }

    #[test]
    fn exemplars_are_read_as_they_are_written() {
        let labels = vec![("trace_id", "ab\"<"), ("ü", "1")];
        for value in [
            0.1,
            -0.0,
            5e-324,
            1e300,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::from_bits(PROMETHEUS_NAN_BITS),
            f64::from_bits(0x7ff0_0000_0000_0002),
        ] {
            let read = Exemplar::from_text(&to_text(&labels, value, 7)).unwrap();
            assert_eq!(read.value.to_bits(), value.to_bits());
            assert_eq!(
                (read.timestamp_ms, read.labels.get("trace_id")),
                (7, "ab\"<")
            );
        }
        assert_eq!(Exemplar::from_text("text"), None);
    }

    #[test]
    fn metadata_without_all_columns() {
        let columns = ["metric_name", "unit"].map(str::to_owned);
        let row = [scalar("up"), Datum::Null, scalar("a time")];
        let found = MetricMetadata::from_row(&columns, &row).unwrap();
        assert_eq!((&*found.name, &*found.unit, &*found.help), ("up", "", ""));
    }

    #[test]
    fn strings_of_rows() {
        assert_eq!(single_string(vec![scalar("a")]), Ok(Some("a".to_owned())));
        assert_eq!(single_string(vec![scalar("")]), Ok(None));
        assert_eq!(single_string(vec![Datum::Null]), Ok(None));
        assert!(single_string(vec![]).is_err());
        assert!(single_string(vec![scalar("a"), scalar("b")]).is_err());
    }
}
