//! The configured way from labels to databases and tables.

use prom_wire::request::Series;

use crate::storage::destination::Destination;

/// The labels that name the destination of a series, and the default without them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routing {
    /// The way to the database.
    pub database: RoutePart,
    /// The way to the table.
    pub table: RoutePart,
}

/// One half of a destination: the label that names it and the value of series without the label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoutePart {
    /// The label whose value is the name; it is never stored.
    pub label: Option<String>,
    /// The name for series and queries without that label.
    pub default: Option<String>,
}

impl Routing {
    /// All series go to `destination`, whatever their labels say.
    pub fn fixed(destination: &Destination) -> Self {
        let part = |name: &String| RoutePart {
            label: None,
            default: Some(name.clone()),
        };
        Self {
            database: part(&destination.database),
            table: part(&destination.table),
        }
    }
}

impl RoutePart {
    /// The name that this part has for `series`, whatever else is wrong with the series.
    pub fn of<'r, 'a: 'r>(&'r self, series: &Series<'_, 'a>) -> Option<&'r str> {
        let label = self.label.as_deref();
        let named = label.and_then(|label| series.labels.get(label));
        named
            .filter(|value| !value.is_empty())
            .or(self.default.as_deref())
    }
}
