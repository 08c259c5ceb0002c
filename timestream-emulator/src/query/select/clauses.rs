//! The clauses of a query that the emulator rejects.

use sqlparser::ast::{Distinct, Query, Select, SelectFlavor};

use crate::error::ServiceError;

pub(super) fn check_query(query: &Query) -> Result<(), ServiceError> {
    let is_plain = query.fetch.is_none()
        && query.locks.is_empty()
        && query.for_clause.is_none()
        && query.settings.is_none()
        && query.format_clause.is_none()
        && query.pipe_operators.is_empty();
    if is_plain {
        Ok(())
    } else {
        Err(unsupported("a clause at the end of the query"))
    }
}

pub(super) fn check_select(select: &Select) -> Result<(), ServiceError> {
    let clauses = [
        (!select.optimizer_hints.is_empty(), "an optimizer hint"),
        (select.select_modifiers.is_some(), "a modifier of SELECT"),
        (select.top.is_some(), "TOP"),
        (select.exclude.is_some(), "EXCLUDE"),
        (select.into.is_some(), "INTO"),
        (!select.lateral_views.is_empty(), "LATERAL VIEW"),
        (select.prewhere.is_some(), "PREWHERE"),
        (!select.connect_by.is_empty(), "CONNECT BY"),
        (!select.cluster_by.is_empty(), "CLUSTER BY"),
        (!select.distribute_by.is_empty(), "DISTRIBUTE BY"),
        (!select.sort_by.is_empty(), "SORT BY"),
        (!select.named_window.is_empty(), "WINDOW"),
        (select.qualify.is_some(), "QUALIFY"),
        (select.value_table_mode.is_some(), "SELECT AS"),
        (
            select.flavor != SelectFlavor::Standard,
            "FROM before SELECT",
        ),
        (
            matches!(select.distinct, Some(Distinct::On(_))),
            "DISTINCT ON",
        ),
    ];
    match clauses.into_iter().find(|(is_used, _)| *is_used) {
        Some((_, what)) => Err(unsupported(what)),
        None => Ok(()),
    }
}

pub(super) fn unsupported(what: &str) -> ServiceError {
    ServiceError::validation(format!("{what} is not supported by the emulator"))
}
