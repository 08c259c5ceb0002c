//! Values and types -> the JSON of a query's response.

use std::{fmt::Write, rc::Rc};

use super::{
    time,
    types::{Datum, Type},
};

/// A column of a result.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) data_type: Type,
    /// Database and table, of a column that a table has.
    pub(crate) table: Option<Rc<(String, String)>>,
    /// True if AS gave it its name.
    pub(crate) is_aliased: bool,
}

impl Column {
    /// Returns a computed column.
    pub(crate) fn new(name: impl Into<String>, data_type: Type) -> Column {
        Column {
            name: name.into(),
            data_type,
            table: None,
            is_aliased: false,
        }
    }
}

/// Returns `[{"Name":...,"Type":...}]`.
pub(crate) fn column_info(columns: &[Column]) -> String {
    let infos: Vec<String> = columns
        .iter()
        .map(|column| {
            format!(
                r#"{{"Name":{},"Type":{}}}"#,
                quoted(&column.name),
                type_json(&column.data_type)
            )
        })
        .collect();
    format!("[{}]", infos.join(","))
}

/// Returns `{"Data":[...]}`.
pub(crate) fn row_json(row: &[Datum]) -> String {
    let mut out = String::new();
    write_row(&mut out, row);
    out
}

pub(crate) fn type_json(data_type: &Type) -> String {
    let scalar = match data_type {
        Type::Unknown => "UNKNOWN",
        Type::Boolean => "BOOLEAN",
        Type::Integer => "INTEGER",
        Type::Bigint => "BIGINT",
        Type::Double => "DOUBLE",
        Type::Varchar => "VARCHAR",
        Type::Timestamp => "TIMESTAMP",
        Type::Date => "DATE",
        Type::Time => "TIME",
        Type::Interval => "INTERVAL_DAY_TO_SECOND",
        Type::Months => "INTERVAL_YEAR_TO_MONTH",
        Type::Array(element) => {
            return format!(r#"{{"ArrayColumnInfo":{{"Type":{}}}}}"#, type_json(element));
        }
        Type::Row(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(name, field)| format!(r#"{{"Name":"{name}","Type":{}}}"#, type_json(field)))
                .collect();
            return format!(r#"{{"RowColumnInfo":[{}]}}"#, fields.join(","));
        }
        Type::TimeSeries(value) => {
            return format!(
                r#"{{"TimeSeriesMeasureValueColumnInfo":{{"Type":{}}}}}"#,
                type_json(value)
            );
        }
    };
    format!(r#"{{"ScalarType":"{scalar}"}}"#)
}

fn write_row(out: &mut String, row: &[Datum]) {
    out.push_str(r#"{"Data":["#);
    write_list(out, row);
    out.push_str("]}");
}

fn write_list(out: &mut String, list: &[Datum]) {
    for (index, datum) in list.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_datum(out, datum);
    }
}

fn write_datum(out: &mut String, datum: &Datum) {
    match datum {
        Datum::Null => out.push_str(r#"{"NullValue":true}"#),
        Datum::Array(elements) => {
            out.push_str(r#"{"ArrayValue":["#);
            write_list(out, elements);
            out.push_str("]}");
        }
        Datum::Row(fields) => {
            out.push_str(r#"{"RowValue":"#);
            write_row(out, fields);
            out.push('}');
        }
        Datum::TimeSeries(points) => {
            out.push_str(r#"{"TimeSeriesValue":["#);
            for (index, (time_ns, value)) in points.iter().enumerate() {
                out.push_str(if index > 0 {
                    r#",{"Time":""#
                } else {
                    r#"{"Time":""#
                });
                time::write_timestamp(out, *time_ns);
                out.push_str(r#"","Value":"#);
                write_datum(out, value);
                out.push('}');
            }
            out.push_str("]}");
        }
        Datum::Text(text) => {
            out.push_str(r#"{"ScalarValue":"#);
            out.push_str(&quoted(text));
            out.push('}');
        }
        scalar => {
            out.push_str(r#"{"ScalarValue":""#);
            write_scalar(out, scalar);
            out.push_str(r#""}"#);
        }
    }
}

/// Returns the text of a scalar, which is also the result of a cast to VARCHAR.
pub(crate) fn scalar_text(datum: &Datum) -> String {
    let mut out = String::new();
    write_scalar(&mut out, datum);
    out
}

fn write_scalar(out: &mut String, datum: &Datum) {
    match datum {
        Datum::Boolean(truth) => write!(out, "{truth}").expect("a string takes all text"),
        Datum::Int(number) => write!(out, "{number}").expect("a string takes all text"),
        Datum::Double(number) => write_double(out, *number),
        Datum::Text(text) => out.push_str(text),
        Datum::Timestamp(time_ns) => time::write_timestamp(out, *time_ns),
        Datum::Date(days) => time::write_date(out, *days),
        Datum::Time(nanoseconds) => time::write_clock(out, *nanoseconds),
        Datum::Interval(nanoseconds) => time::write_interval(out, *nanoseconds),
        Datum::Months(months) => time::write_months(out, *months),
        Datum::Null | Datum::Array(_) | Datum::Row(_) | Datum::TimeSeries(_) => {}
    }
}

/// Writes a number in the form of Java's `Double.toString`, with the shortest digits that read back
/// to the same bits.
fn write_double(out: &mut String, number: f64) {
    if number.is_nan() {
        out.push_str("NaN");
    } else if number.is_infinite() {
        out.push_str(if number > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        });
    } else if number == 0.0 || (1e-3..1e7).contains(&number.abs()) {
        // `Debug` writes whole numbers with ".0" and has no exponent in this range.
        write!(out, "{number:?}").expect("a string takes all text");
    } else {
        let scientific = format!("{number:e}");
        let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        let fraction = if mantissa.contains('.') { "" } else { ".0" };
        write!(out, "{mantissa}{fraction}E{exponent}").expect("a string takes all text");
    }
}

pub(crate) fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string is JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_as_text() {
        let cases = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-1.5, "-1.5"),
            (34.840635191284385, "34.840635191284385"),
            (0.001, "0.001"),
            (0.0009, "9.0E-4"),
            (9_999_999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (1.5e10, "1.5E10"),
            (123_456_789.0, "1.23456789E8"),
            (5e-324, "5.0E-324"),
            (f64::MAX, "1.7976931348623157E308"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (number, expected) in cases {
            assert_eq!(scalar_text(&Datum::Double(number)), expected);
        }
    }

    #[test]
    fn rows() {
        let row = [
            Datum::text("a\"b"),
            Datum::Null,
            Datum::TimeSeries(vec![(0, Datum::Double(1.0)), (1, Datum::Double(2.0))]),
            Datum::Array(vec![Datum::Row(vec![Datum::text("x")])]),
        ];
        assert_eq!(
            row_json(&row),
            concat!(
                r#"{"Data":[{"ScalarValue":"a\"b"},{"NullValue":true},{"TimeSeriesValue":["#,
                r#"{"Time":"1970-01-01 00:00:00.000000000","Value":{"ScalarValue":"1.0"}},"#,
                r#"{"Time":"1970-01-01 00:00:00.000000001","Value":{"ScalarValue":"2.0"}}]},"#,
                r#"{"ArrayValue":[{"RowValue":{"Data":[{"ScalarValue":"x"}]}}]}]}"#
            )
        );
    }

    #[test]
    fn types() {
        let series = Type::TimeSeries(Box::new(Type::Double));
        let column = Column::new("samples", series);
        assert_eq!(
            column_info(&[column]),
            r#"[{"Name":"samples","Type":{"TimeSeriesMeasureValueColumnInfo":{"Type":{"ScalarType":"DOUBLE"}}}}]"#
        );
    }
}
