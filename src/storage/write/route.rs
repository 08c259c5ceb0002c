//! The destination of a series, by the labels that name database and table.

use std::borrow::Cow;

use prom_model::visible::truncate;
use prom_wire::request::{Datapoint, Label, Series, Unreadable};

use super::labels::{Metric, Parts};
use crate::storage::limits::MAX_DESTINATION_NAME_BYTES;
use crate::storage::routing::{RoutePart, Routing};

/// The error of a series that cannot be routed or understood; the sender must fix it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SeriesError {
    /// The series refers to texts that the request does not hold.
    BadReference,
    /// A label name or a label value is not UTF-8.
    NotUtf8,
    /// A label has an empty name.
    EmptyLabelName,
    /// The series has no metric name.
    NoMetricName,
    /// A label name occurs twice.
    RepeatedLabel,
    /// The series names no database and there is no default one.
    MissingDatabase,
    /// The series names no table and there is no default one.
    MissingTable,
    /// The database or table cannot exist under this name.
    InvalidDestination,
    /// A native histogram breaks the rules.
    InvalidHistogram,
    /// The labels of an exemplar cannot be read; the samples of the series are stored.
    UnreadableExemplar,
}

impl SeriesError {
    /// All errors.
    pub const ALL: [Self; 10] = [
        Self::BadReference,
        Self::NotUtf8,
        Self::EmptyLabelName,
        Self::NoMetricName,
        Self::RepeatedLabel,
        Self::MissingDatabase,
        Self::MissingTable,
        Self::InvalidDestination,
        Self::InvalidHistogram,
        Self::UnreadableExemplar,
    ];

    /// Returns the error of a series that cannot be read.
    pub fn of_series(error: &Unreadable<'_>) -> Self {
        match error {
            Unreadable::OddReferences { .. } | Unreadable::UnknownReference { .. } => {
                Self::BadReference
            }
            Unreadable::Label { .. } | Unreadable::Metadata { .. } | Unreadable::Other { .. } => {
                Self::NotUtf8
            }
        }
    }

    /// Returns true if the labels are known, so that a dead letter can hold the series.
    pub fn has_labels(self) -> bool {
        !matches!(self, Self::BadReference | Self::UnreadableExemplar)
    }

    /// The name that starts its text, and the value of the label `reason` of metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::BadReference => "BadSymbolReference",
            Self::NotUtf8 => "InvalidUtf8",
            Self::EmptyLabelName => "EmptyLabelName",
            Self::NoMetricName => "MissingMetricName",
            Self::RepeatedLabel => "RepeatedLabelName",
            Self::MissingDatabase => "MissingDatabaseWithWriteError",
            Self::MissingTable => "MissingTableWithWriteError",
            Self::InvalidDestination => "InvalidDestinationName",
            Self::InvalidHistogram => "InvalidNativeHistogram",
            Self::UnreadableExemplar => "UnreadableExemplar",
        }
    }

    /// Returns the remedy.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::BadReference
            | Self::NotUtf8
            | Self::EmptyLabelName
            | Self::InvalidHistogram
            | Self::UnreadableExemplar => "correct the sender",
            Self::NoMetricName => "give it a metric name",
            Self::RepeatedLabel => "send each label once",
            Self::MissingDatabase => {
                "add it with write_relabel_configs or external_labels, or set default_database"
            }
            Self::MissingTable => {
                "add it with write_relabel_configs or external_labels, or set default_table"
            }
            Self::InvalidDestination => "use 1 to 256 letters, digits, '_', '.' or '-'",
        }
    }

    /// Returns the error message for `series`, with the remedy.
    pub fn describe(self, series: &Series<'_, '_>, routing: &Routing) -> String {
        let (name, labels, remedy) = (self.name(), series.labels, self.remedy());
        let missing = |part: &RoutePart, what: &str| {
            let label = part.label.as_deref().unwrap_or_default();
            format!(
                "{name}: the given {what} label name: {label} cannot be found in the labels of the \
                 time series {labels}; {remedy}"
            )
        };
        match self {
            Self::BadReference | Self::NotUtf8 => match series.unreadable {
                // It has all of this already.
                Some(Unreadable::Other { message }) => (*message).to_owned(),
                error => {
                    let error = error.map(|error| error.to_string()).unwrap_or_default();
                    format!("{name}: {error} in the time series {labels}; {remedy}")
                }
            },
            Self::EmptyLabelName => {
                format!("{name}: a label of the time series {labels} has an empty name; {remedy}")
            }
            Self::NoMetricName => {
                format!("{name}: the time series {labels} has no label __name__; {remedy}")
            }
            Self::RepeatedLabel => {
                let repeated = repeated_name(&sorted(series)).unwrap_or_default();
                format!(
                    "{name}: label name '{}' occurs more than once in the time series {labels}; \
                     {remedy}",
                    truncate(repeated, 80)
                )
            }
            Self::MissingDatabase => missing(&routing.database, "database"),
            Self::MissingTable => missing(&routing.table, "table"),
            Self::InvalidDestination => {
                let destination = [&routing.database, &routing.table].map(|part| {
                    let label = part.label.as_deref();
                    let named = label.and_then(|label| series.labels.get(label));
                    named.map_or(Cow::Borrowed(""), |value| truncate(value, 64))
                });
                let impossible = destination
                    .into_iter()
                    .find(|name| !name.is_empty() && !is_destination_name(name))
                    .unwrap_or_default();
                format!(
                    "{name}: '{impossible}' of the time series {labels} cannot be the name of a \
                     Timestream database or table; {remedy}"
                )
            }
            Self::InvalidHistogram => {
                let error = series.datapoints.iter().find_map(|item| match item {
                    Datapoint::Histogram(histogram) => histogram.validate().err(),
                    Datapoint::Sample(_) | Datapoint::Exemplar(_) => None,
                });
                let error = error.map(|error| error.to_string()).unwrap_or_default();
                format!(
                    "{name}: the native histogram of the time series {labels} is not valid: \
                     {error}; {remedy}"
                )
            }
            Self::UnreadableExemplar => {
                let error = series.datapoints.iter().find_map(|item| match item {
                    Datapoint::Exemplar(exemplar) => exemplar.labels.as_ref().err(),
                    Datapoint::Sample(_) | Datapoint::Histogram(_) => None,
                });
                let error = error.map(|error| error.to_string()).unwrap_or_default();
                format!("{name}: {error} in an exemplar of the time series {labels}; {remedy}")
            }
        }
    }
}

/// The database and the table that a series is for, as far as it has them; whatever else is wrong
/// with it.
pub fn destination<'r, 'a: 'r>(
    series: &Series<'_, 'a>,
    routing: &'r Routing,
) -> [Option<&'r str>; 2] {
    [&routing.database, &routing.table]
        .map(|part| part.of(series).filter(|name| is_destination_name(name)))
}

/// The destination of a series, and its name there.
pub(super) struct Routed<'r, 'a> {
    pub(super) database: &'r str,
    pub(super) table: &'r str,
    pub(super) metric: Metric<'a>,
}

/// Decides by the labels of a series, which are `parts`.
///
/// # Errors
/// The series has an empty or a repeated label name, no metric name, or no destination.
pub(super) fn route<'r, 'a: 'r>(
    parts: &Parts<'_, 'a>,
    routing: &'r Routing,
) -> Result<Routed<'r, 'a>, SeriesError> {
    if parts.has_empty_name {
        return Err(SeriesError::EmptyLabelName);
    }
    if parts.is_repeated {
        return Err(SeriesError::RepeatedLabel);
    }
    let metric = parts.metric.ok_or(SeriesError::NoMetricName)?;
    let database = parts.database.or(routing.database.default.as_deref());
    let table = parts.table.or(routing.table.default.as_deref());
    Ok(Routed {
        database: database.ok_or(SeriesError::MissingDatabase)?,
        table: table.ok_or(SeriesError::MissingTable)?,
        metric,
    })
}

fn sorted<'a>(series: &Series<'_, 'a>) -> Vec<Label<'a>> {
    let mut labels: Vec<_> = series.labels.iter().collect();
    labels.sort_unstable();
    labels
}

/// The first name that occurs twice in sorted labels.
fn repeated_name<'a>(labels: &[Label<'a>]) -> Option<&'a str> {
    let pair = labels.windows(2).find(|pair| pair[0].0 == pair[1].0);
    pair.map(|pair| pair[0].0)
}

/// Returns true if a Timestream database or table can have this name.
pub(crate) fn is_destination_name(name: &str) -> bool {
    (1..=MAX_DESTINATION_NAME_BYTES).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}
