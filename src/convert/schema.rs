//! The columns of a table that can hold labels, from the answers of `SHOW MEASURES` and
//! `DESCRIBE`, and the metrics a query is about.
//!
//! Shapes of the answers:
//! <https://docs.aws.amazon.com/timestream/latest/developerguide/supported-sql-constructs.SHOW.html>,
//! <https://docs.aws.amazon.com/timestream/latest/developerguide/supported-sql-constructs.DESCRIBE.html>.

use super::matcher::Selection;
use super::names::{NO_LABELS_DIMENSION, stored_forms, unescape};
use crate::model::{Datum, METRIC_NAME_LABEL, Row};

/// The stored forms of the metrics that a selection can match, if they can be listed.
///
/// `None` means any metric; an empty list means none at all.
pub fn measures(selection: &Selection) -> Option<Vec<String>> {
    let on_name = selection
        .matchers
        .iter()
        .filter(|matcher| matcher.name == METRIC_NAME_LABEL);
    let names = on_name.clone().find_map(|matcher| matcher.values())?;
    let forms = names
        .iter()
        // The other matchers on the name are checked before anything is asked.
        .filter(|name| !name.is_empty() && on_name.clone().all(|matcher| matcher.matches(name)))
        .flat_map(|name| stored_forms(name))
        .collect();
    Some(forms)
}

/// What a query may name in a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    /// Names of the dimension columns that hold labels, sorted, each once.
    dimensions: Vec<String>,
    /// Whether any DOUBLE has been written.
    has_doubles: bool,
}

impl Schema {
    /// Reads the answers of `SHOW MEASURES ... LIKE` for the measures `wanted`.
    ///
    /// LIKE takes `_` as a wildcard, so an answer may list other measures; they are passed over,
    /// as are measures of another type than DOUBLE.
    pub fn from_show_measures(rows: &[Row], wanted: &[String]) -> Self {
        let mut schema = Self::default();
        for row in rows {
            let [measure, data_type, Datum::Array(dimensions)] = row.as_slice() else {
                continue;
            };
            let wanted = measure
                .as_scalar()
                .is_some_and(|name| wanted.iter().any(|w| w == name));
            if !wanted || data_type.as_scalar() != Some("double") {
                continue;
            }
            schema.has_doubles = true;
            schema
                .dimensions
                .extend(dimensions.iter().filter_map(|dimension| match dimension {
                    Datum::Row(fields) => fields.first()?.as_scalar().map(str::to_owned),
                    _ => None,
                }));
        }
        schema.tidied()
    }

    /// Reads the answer of `DESCRIBE`.
    pub fn from_describe(rows: &[Row]) -> Self {
        let mut schema = Self::default();
        for row in rows {
            let mut fields = row
                .iter()
                .map(|field| field.as_scalar().unwrap_or_default());
            let (Some(column), Some(_), Some(kind)) = (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            match kind {
                "DIMENSION" => schema.dimensions.push(column.to_owned()),
                _ => schema.has_doubles |= column == "measure_value::double",
            }
        }
        schema.tidied()
    }

    fn tidied(mut self) -> Self {
        self.dimensions
            .retain(|column| column != NO_LABELS_DIMENSION);
        self.dimensions.sort_unstable();
        self.dimensions.dedup();
        self
    }

    /// Whether a query can have any result.
    pub fn has_doubles(&self) -> bool {
        self.has_doubles
    }

    /// Names of the dimension columns that hold labels, sorted.
    pub fn dimensions(&self) -> &[String] {
        &self.dimensions
    }

    /// All columns that stand for the label `name`.
    pub fn columns_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.dimensions
            .iter()
            .map(String::as_str)
            .filter(move |column| unescape(column) == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::matcher::Matcher;
    use crate::model::MatchOp;

    fn scalar(text: &str) -> Datum {
        Datum::Scalar(text.to_owned())
    }

    fn measure(name: &str, data_type: &str, dimensions: &[&str]) -> Row {
        let dimensions = dimensions
            .iter()
            .map(|d| Datum::Row(vec![scalar(d), scalar("varchar")]))
            .collect();
        vec![scalar(name), scalar(data_type), Datum::Array(dimensions)]
    }

    fn selection(matchers: &[(MatchOp, &str)]) -> Selection {
        let matchers = matchers
            .iter()
            .map(|&(op, value)| Matcher::new(op, METRIC_NAME_LABEL, value).unwrap())
            .collect();
        Selection {
            destinations: vec![],
            matchers,
            range: None,
            labels_only: false,
        }
    }

    #[test]
    fn show_measures_lists_the_wanted_measures_only() {
        let rows = [
            measure("a_b", "double", &["job", "_x", NO_LABELS_DIMENSION]),
            measure("axb", "double", &["other"]),
            measure("a_b", "varchar", &["text"]),
        ];
        let schema = Schema::from_show_measures(&rows, &["a_b".to_owned()]);
        assert_eq!(schema.dimensions(), ["_x", "job"]);
        assert!(schema.has_doubles());
        let none = Schema::from_show_measures(&rows, &["c".to_owned()]);
        assert!(!none.has_doubles());
    }

    #[test]
    fn describe_tells_labels_from_values() {
        let column = |name, data_type, kind| vec![scalar(name), scalar(data_type), scalar(kind)];
        let mut rows = vec![
            column("job", "varchar", "DIMENSION"),
            column("U____xx", "varchar", "DIMENSION"),
            column("_x", "varchar", "DIMENSION"),
            column("measure_name", "varchar", "MEASURE_NAME"),
            column("time", "timestamp", "TIMESTAMP"),
        ];
        assert!(!Schema::from_describe(&rows).has_doubles());
        rows.push(column("measure_value::double", "double", "MEASURE_VALUE"));
        let schema = Schema::from_describe(&rows);
        assert!(schema.has_doubles());
        assert_eq!(
            schema.columns_of("_x").collect::<Vec<_>>(),
            ["U____xx", "_x"]
        );
        assert_eq!(schema.columns_of("zone").count(), 0);
    }

    #[test]
    fn measures_of_a_selection() {
        use MatchOp::{Equal, NotEqual, Regex};
        let cases: [(&[(MatchOp, &str)], Option<&[&str]>); 7] = [
            (&[(Equal, "up")], Some(&["up"])),
            (&[(Equal, "a:b")], Some(&["U__a_3a_bx"])),
            (&[(Regex, "up|_x")], Some(&["U____xx", "_x", "up"])),
            (&[(Regex, "up|down"), (NotEqual, "up")], Some(&["down"])),
            (&[(Equal, "")], Some(&[])),
            (&[(Regex, "up.*")], None),
            (&[], None),
        ];
        for (matchers, expected) in cases {
            let expected = expected.map(|names| names.iter().map(|&n| n.to_owned()).collect());
            assert_eq!(measures(&selection(matchers)), expected, "{matchers:?}");
        }
    }
}
