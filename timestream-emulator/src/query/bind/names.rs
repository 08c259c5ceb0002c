//! Names of columns.

use sqlparser::{
    ast::{CastKind, Expr as Ast, Ident},
    tokenizer::Location,
};

use crate::{error::ServiceError, query::dialect::position};

/// Words that are names only in quotes ("Quotas", reserved keywords).
const RESERVED: [&str; 69] = [
    "ALTER",
    "AND",
    "AS",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "CONSTRAINT",
    "CREATE",
    "CROSS",
    "CUBE",
    "CURRENT_DATE",
    "CURRENT_TIME",
    "CURRENT_TIMESTAMP",
    "CURRENT_USER",
    "DEALLOCATE",
    "DELETE",
    "DESCRIBE",
    "DISTINCT",
    "DROP",
    "ELSE",
    "END",
    "ESCAPE",
    "EXCEPT",
    "EXECUTE",
    "EXISTS",
    "EXTRACT",
    "FALSE",
    "FOR",
    "FROM",
    "FULL",
    "GROUP",
    "GROUPING",
    "HAVING",
    "IN",
    "INNER",
    "INSERT",
    "INTERSECT",
    "INTO",
    "IS",
    "JOIN",
    "LEFT",
    "LIKE",
    "LOCALTIME",
    "LOCALTIMESTAMP",
    "NATURAL",
    "NORMALIZE",
    "NOT",
    "NULL",
    "ON",
    "OR",
    "ORDER",
    "OUTER",
    "PREPARE",
    "RECURSIVE",
    "RIGHT",
    "ROLLUP",
    "SELECT",
    "TABLE",
    "THEN",
    "TRUE",
    "UESCAPE",
    "UNION",
    "UNNEST",
    "USING",
    "VALUES",
    "WHEN",
    "WHERE",
    "WITH",
];

/// Checks that a name is in double quotes, or is not a reserved word.
pub(crate) fn check_name(name: &Ident) -> Result<(), ServiceError> {
    let is_name = match name.quote_style {
        None => !RESERVED.contains(&name.value.to_ascii_uppercase().as_str()),
        Some(quote) => quote == '"',
    };
    if is_name {
        return Ok(());
    }
    // The library has no place of a text that it has read as a name.
    let start = name.span.start;
    let place = if start == Location::empty() {
        String::new()
    } else {
        position(start)
    };
    let shown = name.to_string();
    let shown = shown.trim_matches('\'');
    Err(ServiceError::validation(format!(
        "{place}mismatched input '{shown}'"
    )))
}

/// Returns the identifiers that a column's name consists of.
pub(super) fn identifiers(ast: &Ast) -> &[Ident] {
    match ast {
        Ast::Identifier(name) => std::slice::from_ref(name),
        Ast::CompoundIdentifier(parts) => parts,
        Ast::Cast { expr, .. } => identifiers(expr),
        _ => &[],
    }
}

/// Returns the name of the column an expression is, if it is one. `measure_value::double` is one
/// name.
pub(crate) fn column_name(ast: &Ast) -> Option<String> {
    match ast {
        Ast::Identifier(name) => Some(name.value.clone()),
        Ast::CompoundIdentifier(parts) => Some(parts.last()?.value.clone()),
        Ast::Cast {
            kind: CastKind::DoubleColon,
            expr,
            data_type,
            format: None,
        } => {
            let name = match &**expr {
                Ast::Identifier(name) => name,
                Ast::CompoundIdentifier(parts) => parts.last()?,
                _ => return None,
            };
            let type_name = data_type.to_string().to_ascii_lowercase();
            let is_measure = name.value == "measure_value" && name.quote_style.is_none();
            let is_type = ["double", "bigint", "varchar", "boolean"].contains(&type_name.as_str());
            (is_measure && is_type).then(|| format!("measure_value::{type_name}"))
        }
        _ => None,
    }
}

/// Returns the names before a column's.
pub(super) fn qualifier(ast: &Ast) -> Vec<String> {
    match ast {
        Ast::CompoundIdentifier(parts) => {
            let values = parts.iter().map(|part: &Ident| part.value.clone());
            values.take(parts.len().saturating_sub(1)).collect()
        }
        Ast::Cast { expr, .. } => qualifier(expr),
        _ => Vec::new(),
    }
}
