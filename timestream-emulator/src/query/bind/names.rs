//! Names of columns.

use sqlparser::ast::{CastKind, Expr as Ast, Ident};

/// Name of the column an expression is, if it is one. `measure_value::double` is one name.
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

/// The column is only known to be called `measure_value::double` without quotes.
pub(super) fn is_quoted_measure_value(ast: &Ast) -> bool {
    let name = match ast {
        Ast::Identifier(name) => Some(name),
        Ast::CompoundIdentifier(parts) => parts.last(),
        _ => None,
    };
    name.is_some_and(|name| name.value.starts_with("measure_value::"))
}

/// The names before a column's.
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
