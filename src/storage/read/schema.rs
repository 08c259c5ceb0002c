//! The columns of a table that can hold labels, from the results of `SHOW MEASURES` and
//! `DESCRIBE`, and the metrics a query is about.
//!
//! Shapes of the results:
//! <https://docs.aws.amazon.com/timestream/latest/developerguide/supported-sql-constructs.SHOW.html>,
//! <https://docs.aws.amazon.com/timestream/latest/developerguide/supported-sql-constructs.DESCRIBE.html>.

use prom_model::METRIC_NAME_LABEL;

use super::rows::RowError;
use crate::storage::limits::MAX_MEASURE_NAME_BYTES;
use crate::storage::names::{Dimension, HISTOGRAM_PREFIX, escape, stored_forms};
use crate::storage::read::datum::{Datum, Row};
use crate::storage::read::selection::Selection;

/// The measures that can hold the selected samples.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Measures {
    /// Measures with float samples.
    pub doubles: Vec<String>,
    /// Measures with native histograms.
    pub histograms: Vec<String>,
}

impl Measures {
    /// Returns true if there are none, so that nothing can match.
    pub fn is_empty(&self) -> bool {
        self.doubles.is_empty() && self.histograms.is_empty()
    }

    /// Patterns for `SHOW MEASURES ... LIKE` that together list all of them.
    ///
    /// The names of a metric's histograms end with the one of its samples, so one pattern lists
    /// both. It lists strangers too, as does every `_`, which LIKE takes as a wildcard.
    pub fn patterns(&self) -> Vec<String> {
        let pattern = |double: &String| match self.has_histograms_of(double) {
            true => format!("%{double}"),
            false => double.clone(),
        };
        self.doubles.iter().map(pattern).collect()
    }

    fn has_histograms_of(&self, double: &str) -> bool {
        let names = self.histograms.iter();
        names
            .filter_map(|name| name.strip_prefix(HISTOGRAM_PREFIX))
            .any(|name| name == double)
    }
}

/// More metrics than these are not listed: a list that long would have to be looked through again and
/// again, and Timestream's statements take no such.
const MAX_METRICS: usize = 1_000;

/// The measures of the metrics that a selection can match, if they can be listed.
///
/// `None` means those of any metric.
pub fn measures(selection: &Selection) -> Option<Measures> {
    let on_name = selection
        .matchers
        .iter()
        .filter(|matcher| matcher.name == METRIC_NAME_LABEL);
    let lists = on_name
        .clone()
        .filter_map(|matcher| Some((matcher.value_count()?, matcher)));
    let (_, listing) = lists
        .min_by_key(|(count, _)| *count)
        .filter(|(count, _)| *count <= MAX_METRICS)?;
    let names = listing.values()?;
    let mut measures = Measures::default();
    // No measure has a longer name, so nothing can match there.
    let fits = |name: &String| name.len() <= MAX_MEASURE_NAME_BYTES;
    // The other matchers on the name are checked before anything is queried.
    let is_wanted = |name: &&String| {
        !name.is_empty() && fits(name) && on_name.clone().all(|matcher| matcher.may_match(name))
    };
    for name in names.iter().filter(is_wanted) {
        measures
            .doubles
            .extend(stored_forms(name).into_iter().filter(fits));
        let histograms = format!("{HISTOGRAM_PREFIX}{}", escape(name));
        measures.histograms.extend(Some(histograms).filter(fits));
    }
    Some(measures)
}

/// The measures and columns of a table that a query may name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    /// Names of the dimension columns, sorted, each once.
    dimensions: Vec<String>,
    /// True if any DOUBLE has been written.
    has_doubles: bool,
    /// True if any histogram may have been written.
    has_histograms: bool,
}

impl Schema {
    /// Reads the results of `SHOW MEASURES ... LIKE` for the measures `wanted`.
    ///
    /// A result may list other measures; they are skipped, as are measures of another type
    /// than the wanted one.
    ///
    /// # Errors
    /// A row has another shape.
    pub fn from_show_measures(rows: &[Row], wanted: &Measures) -> Result<Self, RowError> {
        let mut schema = Self::default();
        for row in rows {
            let [
                Datum::Scalar(measure),
                Datum::Scalar(data_type),
                dimensions,
                ..,
            ] = row.as_slice()
            else {
                return Err(RowError::Shape(
                    "expected the name, type and dimensions of a measure from SHOW MEASURES",
                ));
            };
            let is = |name: &str| data_type.eq_ignore_ascii_case(name);
            if is("double") && wanted.doubles.contains(measure) {
                schema.has_doubles = true;
            } else if is("varchar") && wanted.histograms.contains(measure) {
                schema.has_histograms = true;
            } else {
                continue;
            }
            let dimensions = match dimensions {
                Datum::Array(dimensions) => &dimensions[..],
                Datum::Null => &[],
                _ => {
                    return Err(RowError::Shape(
                        "expected a list of dimensions from SHOW MEASURES",
                    ));
                }
            };
            for dimension in dimensions {
                let name = match dimension {
                    Datum::Row(fields) => fields.first().and_then(Datum::as_scalar),
                    _ => None,
                };
                let name = name.ok_or(RowError::Shape(
                    "expected the name of a dimension from SHOW MEASURES",
                ))?;
                schema.dimensions.push(name.to_owned());
            }
        }
        Ok(schema.tidied())
    }

    /// Reads the result of `DESCRIBE`.
    ///
    /// # Errors
    /// A row has another shape.
    pub fn from_describe(rows: &[Row]) -> Result<Self, RowError> {
        let mut schema = Self::default();
        for row in rows {
            let [Datum::Scalar(column), _, Datum::Scalar(kind), ..] = row.as_slice() else {
                return Err(RowError::Shape(
                    "expected the name, type and attribute type of a column from DESCRIBE",
                ));
            };
            let is_column = |name: &str| column.eq_ignore_ascii_case(name);
            if kind.eq_ignore_ascii_case("DIMENSION") {
                schema.dimensions.push(column.clone());
            } else if is_column("measure_value::double") {
                schema.has_doubles = true;
            } else if is_column("measure_value::varchar") {
                schema.has_histograms = true;
            }
        }
        Ok(schema.tidied())
    }

    fn tidied(mut self) -> Self {
        self.dimensions.sort_unstable();
        self.dimensions.dedup();
        self
    }

    /// Returns true if a query can have float samples as its result.
    pub fn has_doubles(&self) -> bool {
        self.has_doubles
    }

    /// Returns true if a query can have native histograms as its result.
    pub fn has_histograms(&self) -> bool {
        self.has_histograms
    }

    /// Names of the dimension columns, sorted, the reserved ones among them: a table of another writer
    /// may hold labels there, which only the values tell.
    pub fn dimensions(&self) -> &[String] {
        &self.dimensions
    }

    /// All columns that stand for the label `name`.
    pub fn columns_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let columns = self.dimensions.iter().map(String::as_str);
        columns.filter(move |column| Dimension::of(column) == Dimension::Label(name.into()))
    }

    /// Returns true if there is a reserved column of this name, in which labels of another writer may be.
    pub fn has_reserved(&self, name: &str) -> bool {
        !matches!(Dimension::of(name), Dimension::Label(_))
            && self.dimensions.iter().any(|column| column == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::names::{NO_LABELS_DIMENSION, VALUE_BITS_DIMENSION};
    use crate::storage::read::selection::Matcher;
    use crate::storage::read::windows::Wanted;
    use prom_model::MatchOp;

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
            wanted: Wanted::All,
        }
    }

    #[test]
    fn show_measures_lists_the_wanted_measures_only() {
        let rows = [
            measure("a_b", "double", &["job", "_x", NO_LABELS_DIMENSION]),
            measure("axb", "double", &["other"]),
            measure("a_b", "varchar", &["text"]),
            measure("U__histogram_of_a_b", "varchar", &["job", "zone"]),
            measure("U__exemplar_of_a_b", "varchar", &["exemplars"]),
            measure("U__U____histogram__of__a__bx", "double", &["like"]),
            measure("b", "double", &["job", VALUE_BITS_DIMENSION]),
        ];
        let of = |name: &str| {
            let wanted = measures(&selection(&[(MatchOp::Equal, name)])).unwrap();
            Schema::from_show_measures(&rows, &wanted).unwrap()
        };
        let schema = of("a_b");
        let dimensions = [NO_LABELS_DIMENSION, "_x", "job", "zone"];
        assert_eq!(schema.dimensions(), dimensions);
        assert!(schema.has_doubles() && schema.has_histograms());
        let schema = of("b");
        assert_eq!(schema.dimensions(), [VALUE_BITS_DIMENSION, "job"]);
        assert!(schema.has_doubles() && !schema.has_histograms());
        assert_eq!(of("c"), Schema::default());
        // One that looks like a reserved form is found under its own.
        let schema = of("U__histogram_of_a_b");
        assert_eq!(schema.dimensions(), ["like"]);
        assert!(schema.has_doubles() && !schema.has_histograms());
    }

    #[test]
    fn patterns_list_all_forms_of_a_name() {
        let measures = measures(&selection(&[(MatchOp::Regex, "up|_x")])).unwrap();
        assert_eq!(measures.patterns(), ["%U____xx", "_x", "%up"]);
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
        assert!(!Schema::from_describe(&rows).unwrap().has_doubles());
        rows.push(column("measure_value::double", "double", "MEASURE_VALUE"));
        let schema = Schema::from_describe(&rows).unwrap();
        assert!(schema.has_doubles() && !schema.has_histograms());
        assert_eq!(
            schema.columns_of("_x").collect::<Vec<_>>(),
            ["U____xx", "_x"]
        );
        assert_eq!(schema.columns_of("zone").count(), 0);

        rows.push(column(VALUE_BITS_DIMENSION, "varchar", "DIMENSION"));
        rows.push(column("measure_value::varchar", "varchar", "MEASURE_VALUE"));
        let schema = Schema::from_describe(&rows).unwrap();
        assert!(schema.has_histograms());
        // No label has this column for itself, not even one of its name.
        assert_eq!(schema.columns_of(VALUE_BITS_DIMENSION).count(), 0);
        assert!(schema.has_reserved(VALUE_BITS_DIMENSION));
        assert!(!schema.has_reserved(NO_LABELS_DIMENSION) && !schema.has_reserved("job"));
    }

    #[test]
    fn types_may_be_in_capitals_and_more_may_follow() {
        let mut row = measure("up", "DOUBLE", &["job"]);
        row.push(scalar("new"));
        let wanted = measures(&selection(&[(MatchOp::Equal, "up")])).unwrap();
        let schema = Schema::from_show_measures(&[row], &wanted).unwrap();
        assert!(schema.has_doubles());
        assert_eq!(schema.dimensions(), ["job"]);
        let column = |texts: [&str; 4]| texts.map(scalar).to_vec();
        let rows = [
            column(["job", "VARCHAR", "dimension", "new"]),
            column(["measure_value::DOUBLE", "DOUBLE", "measure_value", "new"]),
        ];
        assert_eq!(Schema::from_describe(&rows), Ok(schema));
    }

    #[test]
    fn rows_of_another_shape_are_no_absent_columns() {
        let wanted = measures(&selection(&[(MatchOp::Equal, "up")])).unwrap();
        let dimensions = |of: Datum| vec![scalar("up"), scalar("double"), of];
        let bad = [
            vec![],
            vec![scalar("up"), scalar("double")],
            vec![Datum::Null, scalar("double"), Datum::Array(vec![])],
            dimensions(scalar("job")),
            dimensions(Datum::Array(vec![scalar("job")])),
            dimensions(Datum::Array(vec![Datum::Row(vec![])])),
            dimensions(Datum::Array(vec![Datum::Row(vec![Datum::Null])])),
        ];
        for row in bad {
            let read = Schema::from_show_measures(std::slice::from_ref(&row), &wanted);
            assert!(matches!(read, Err(RowError::Shape(_))), "{row:?}");
        }
        let none = Schema::from_show_measures(&[dimensions(Datum::Null)], &wanted).unwrap();
        assert!(none.has_doubles() && none.dimensions().is_empty());
        for row in [
            vec![],
            vec![scalar("job"), scalar("varchar")],
            vec![Datum::Null, scalar("varchar"), scalar("DIMENSION")],
            vec![scalar("job"), scalar("varchar"), Datum::Null],
        ] {
            let read = Schema::from_describe(std::slice::from_ref(&row));
            assert!(matches!(read, Err(RowError::Shape(_))), "{row:?}");
        }
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
            let found = measures(&selection(matchers));
            assert_eq!(found.map(|all| all.doubles), expected, "{matchers:?}");
        }
        let found = measures(&selection(&[(Regex, "up|_x")])).unwrap();
        assert_eq!(
            found.histograms,
            ["U__histogram_of_U____xx", "U__histogram_of_up"]
        );
    }
}
