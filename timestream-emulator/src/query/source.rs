//! The source of a SELECT: a table, the rows of a sub-select, or one row without columns.

use std::{ops::RangeInclusive, rc::Rc};

use rusqlite::types::ValueRef;

use super::{
    output::Column,
    types::{Datum, Type},
};
use crate::{
    error::ServiceError,
    store::{
        Snapshot,
        catalog::{Measure, Table},
        decode,
        value::{Value, ValueType},
    },
};

/// Rows with their columns.
#[derive(Debug, Default, Clone)]
pub(crate) struct Rows {
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Vec<Datum>>,
}

/// Origin of rows.
pub(crate) enum Source<'a> {
    Table(TableSource<'a>),
    Rows(Rc<Rows>),
    /// SELECT without FROM.
    SingleRow,
}

pub(crate) struct TableSource<'a> {
    pub(crate) store: &'a Snapshot,
    pub(crate) table: &'a Table,
    pub(crate) layout: Layout,
    /// Older points have left the magnetic store.
    pub(crate) oldest_ns: i64,
}

/// Values that a scan must read.
#[derive(Debug, Clone)]
pub(crate) struct Demand {
    pub(crate) times: RangeInclusive<i64>,
    /// True if any value column is used.
    pub(crate) values: bool,
    /// True if one row stands for all of a series.
    pub(crate) one_row_per_series: bool,
}

/// Visitor of the rows of a scan.
pub(crate) trait Visitor {
    /// Receives a series before its rows, with its dimensions and measure name set; returns false
    /// to skip the series.
    fn series(&mut self, row: &[Datum]) -> Result<bool, ServiceError>;
    /// Receives each row; returns false to end the scan.
    fn row(&mut self, row: &[Datum]) -> Result<bool, ServiceError>;
}

/// The columns of a table: dimensions, measure_name, time, measure values, attributes.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) columns: Vec<Column>,
    dimensions: usize,
    value_types: Vec<ValueType>,
}

impl Layout {
    /// Returns the layout of a table; `names` are those of the table and its database.
    pub(crate) fn of(table: &Table, names: &Rc<(String, String)>) -> Layout {
        let column = |name: &str, data_type| Column {
            table: Some(Rc::clone(names)),
            ..Column::new(name, data_type)
        };
        let mut columns: Vec<Column> = table
            .dimension_names
            .iter()
            .map(|name| column(name, Type::Varchar))
            .collect();
        let dimensions = columns.len();
        columns.push(column("measure_name", Type::Varchar));
        columns.push(column("time", Type::Timestamp));
        let value_types: Vec<ValueType> = table.value_types().into_iter().collect();
        for value_type in &value_types {
            let name = format!("measure_value::{}", value_type.sql_name());
            columns.push(column(&name, sql_type(*value_type)));
        }
        for (name, value_type) in &table.attributes {
            columns.push(column(name, sql_type(*value_type)));
        }
        Layout {
            columns,
            dimensions,
            value_types,
        }
    }

    /// Columns before this one have one value for all points of a series.
    pub(crate) fn first_point_column(&self) -> usize {
        self.time()
    }

    pub(crate) fn measure_name(&self) -> usize {
        self.dimensions
    }

    pub(crate) fn time(&self) -> usize {
        self.dimensions + 1
    }

    fn value_column(&self, value_type: ValueType) -> Option<usize> {
        let offset = self
            .value_types
            .iter()
            .position(|known| *known == value_type)?;
        Some(self.time() + 1 + offset)
    }
}

fn sql_type(value_type: ValueType) -> Type {
    match value_type {
        ValueType::Bigint => Type::Bigint,
        ValueType::Boolean => Type::Boolean,
        ValueType::Double => Type::Double,
        ValueType::Timestamp => Type::Timestamp,
        ValueType::Varchar | ValueType::Multi => Type::Varchar,
    }
}

impl Source<'_> {
    /// Columns before this one are constant between two calls of [`Visitor::series`].
    pub(crate) fn first_point_column(&self) -> usize {
        match self {
            Source::Table(source) => source.layout.first_point_column(),
            Source::Rows(rows) => rows.columns.len(),
            Source::SingleRow => 0,
        }
    }

    /// Gives every row to the visitor.
    pub(crate) fn scan(
        &self,
        demand: &Demand,
        visitor: &mut impl Visitor,
    ) -> Result<(), ServiceError> {
        match self {
            Source::SingleRow => visit_single(&[], visitor).map(drop),
            Source::Rows(rows) => {
                for row in &rows.rows {
                    if !visit_single(row, visitor)? {
                        break;
                    }
                }
                Ok(())
            }
            Source::Table(source) => source.scan(demand, visitor),
        }
    }
}

fn visit_single(row: &[Datum], visitor: &mut impl Visitor) -> Result<bool, ServiceError> {
    if visitor.series(row)? {
        visitor.row(row)
    } else {
        Ok(true)
    }
}

impl TableSource<'_> {
    fn scan(&self, demand: &Demand, visitor: &mut impl Visitor) -> Result<(), ServiceError> {
        for (name, measure) in &self.table.measures {
            let mut row = vec![Datum::Null; self.layout.columns.len()];
            row[self.layout.measure_name()] = Datum::text(name);
            for series in &measure.series {
                for (cell, column) in row
                    .iter_mut()
                    .zip(&self.layout.columns[..self.layout.dimensions])
                {
                    let value = series.dimensions.get(&column.name);
                    *cell = value.map_or(Datum::Null, |value| Datum::text(value));
                }
                if visitor.series(&row)?
                    && !self.scan_series(demand, measure, series.id, &mut row, visitor)?
                {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Reads a series; returns false once the visitor has ended the scan.
    fn scan_series(
        &self,
        demand: &Demand,
        measure: &Measure,
        series: i64,
        row: &mut [Datum],
        visitor: &mut impl Visitor,
    ) -> Result<bool, ServiceError> {
        let from = self.oldest_ns.max(*demand.times.start());
        let mut wants_more = true;
        self.store
            .visit_points(series, from, *demand.times.end(), |time_ns, stored, _| {
                row[self.layout.time()] = Datum::Timestamp(time_ns);
                if demand.values {
                    self.set_values(row, measure.value_type, stored)?;
                }
                wants_more = visitor.row(row)?;
                Ok(wants_more && !demand.one_row_per_series)
            })?;
        Ok(wants_more)
    }

    fn set_values(
        &self,
        row: &mut [Datum],
        value_type: ValueType,
        stored: ValueRef<'_>,
    ) -> Result<(), ServiceError> {
        let value = decode(value_type, stored)?;
        if let Value::Multi(attributes) = value {
            let first = self.layout.time() + 1 + self.layout.value_types.len();
            for (cell, column) in row[first..].iter_mut().zip(&self.layout.columns[first..]) {
                *cell = attributes.get(&column.name).map_or(Datum::Null, to_datum);
            }
        } else if let Some(column) = self.layout.value_column(value_type) {
            row[column] = to_datum(&value);
        }
        Ok(())
    }
}

fn to_datum(value: &Value) -> Datum {
    match value {
        Value::Double(number) => Datum::Double(*number),
        Value::Bigint(number) => Datum::Int(*number),
        Value::Varchar(text) => Datum::text(text),
        Value::Boolean(truth) => Datum::Boolean(*truth),
        Value::Timestamp(time_ns) => Datum::Timestamp(*time_ns),
        Value::Multi(_) => Datum::Null,
    }
}
