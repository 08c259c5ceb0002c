//! State shared by all parts of one query.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use super::{
    bind::{Found, Scope, Typed},
    expr::Expr,
    source::Rows,
    types::{Datum, Type},
};
use crate::{config::ColumnCase, store::Snapshot};

/// The store, the clock, and the names that a query can refer to beyond its own FROM.
#[derive(Clone)]
pub(crate) struct Context<'a> {
    pub(crate) store: &'a Snapshot,
    pub(crate) now_ns: i64,
    pub(crate) column_case: ColumnCase,
    /// Rows of the names that WITH has introduced so far.
    pub(crate) with: Vec<(String, Rc<Rows>)>,
    /// Names and types are bound, but nothing is read: every source is empty.
    pub(crate) is_dry: bool,
    /// The queries around a sub-query, the outermost first.
    outer: Vec<Outer>,
    /// The parameters found so far; none where they are not allowed.
    parameters: Option<Rc<RefCell<Vec<Rc<Parameter>>>>>,
}

/// A query around a sub-query.
#[derive(Clone)]
struct Outer {
    scope: Rc<Scope>,
    /// The row for which the sub-query runs; none while it is only bound.
    row: Option<Rc<[Datum]>>,
    /// True once the sub-query has named one of its columns.
    is_used: Rc<Cell<bool>>,
}

/// `@name` in the text of a prepared query.
#[derive(Debug, PartialEq)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    /// That of the first place where a type is wanted.
    pub(crate) data_type: RefCell<Type>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(store: &'a Snapshot, column_case: ColumnCase, now_ns: i64) -> Self {
        Context {
            store,
            now_ns,
            column_case,
            with: Vec::new(),
            is_dry: false,
            outer: Vec::new(),
            parameters: None,
        }
    }

    /// Returns a context for a query that is checked, not run, and may have parameters.
    pub(crate) fn for_preparation(
        store: &'a Snapshot,
        column_case: ColumnCase,
        now_ns: i64,
    ) -> Self {
        Context {
            is_dry: true,
            parameters: Some(Rc::default()),
            ..Context::new(store, column_case, now_ns)
        }
    }

    /// Returns a context for a sub-query that is only bound, and a flag that is set when it uses a
    /// column of `scope`.
    pub(crate) fn probe(&self, scope: &Rc<Scope>) -> (Self, Rc<Cell<bool>>) {
        let mut context = self.clone();
        let is_used = Rc::new(Cell::new(false));
        context.is_dry = true;
        context.outer.push(Outer {
            scope: Rc::clone(scope),
            row: None,
            is_used: Rc::clone(&is_used),
        });
        (context, is_used)
    }

    /// Returns the context of a sub-query that runs for one row.
    pub(crate) fn for_row(&self, scope: &Rc<Scope>, row: &[Datum]) -> Self {
        let mut context = self.clone();
        context.outer.push(Outer {
            scope: Rc::clone(scope),
            row: Some(row.into()),
            is_used: Rc::default(),
        });
        context
    }

    /// Returns a column of a query around this one: for its current row it is a constant.
    pub(crate) fn outer_column(&self, qualifier: &[String], name: &str) -> Option<Typed> {
        self.outer.iter().rev().find_map(|outer| {
            let Found::One(index, column) = outer.scope.find(self.column_case, qualifier, name)
            else {
                return None;
            };
            outer.is_used.set(true);
            let datum = outer
                .row
                .as_ref()
                .map_or(Datum::Null, |row| row[index].clone());
            Some(Typed {
                expr: Expr::Constant(datum),
                data_type: column.data_type.clone(),
            })
        })
    }

    /// Returns the parameter of this name; none where none are allowed.
    pub(crate) fn parameter(&self, name: &str) -> Option<Rc<Parameter>> {
        let mut parameters = self.parameters.as_ref()?.borrow_mut();
        let known = parameters.iter().find(|known| known.name == name);
        if let Some(known) = known {
            return Some(Rc::clone(known));
        }
        let parameter = Rc::new(Parameter {
            name: name.to_owned(),
            data_type: RefCell::new(Type::Unknown),
        });
        parameters.push(Rc::clone(&parameter));
        Some(parameter)
    }

    /// Returns all parameters found, in the order of their first use.
    pub(crate) fn parameters(&self) -> Vec<Rc<Parameter>> {
        let parameters = self.parameters.as_ref();
        parameters.map_or_else(Vec::new, |parameters| parameters.borrow().clone())
    }
}
