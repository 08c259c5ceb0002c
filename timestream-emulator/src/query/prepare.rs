//! PrepareQuery: checks a query without running it.

use super::{
    context::Context,
    dialect::{self, Statement},
    output::{self, Column, quoted},
    select,
};
use crate::{
    config::ColumnCase, error::ServiceError, limits, protocol::PrepareQueryRequest,
    store::Snapshot, write::Violations,
};

/// Returns the response's JSON: columns of the result and parameters with their types.
///
/// # Errors
///
/// ValidationException for a statement that Query would reject before it reads anything.
pub(crate) fn prepare(
    store: &Snapshot,
    request: &PrepareQueryRequest,
    column_case: ColumnCase,
    now_ns: i64,
) -> Result<Vec<u8>, ServiceError> {
    let mut violations = Violations::default();
    violations.required("queryString", request.query_string.as_deref());
    let sql = request.query_string.as_deref().unwrap_or_default();
    if request.query_string.is_some() {
        violations.length("queryString", sql, 1..=limits::MAX_QUERY_CHARS);
    }
    violations.into_result()?;
    if request.validate_only != Some(true) {
        return Err(ServiceError::validation(
            "PrepareQuery is only supported with ValidateOnly set to true.",
        ));
    }
    let Statement::Select(query) = dialect::parse(sql)? else {
        return Err(ServiceError::validation(
            "PrepareQuery takes only queries, not SHOW or DESCRIBE.",
        ));
    };
    let context = Context::for_preparation(store, column_case, now_ns);
    let result = select::run(&context, &query)?;
    let columns: Vec<String> = result.columns.iter().map(column_json).collect();
    let parameters: Vec<String> = context
        .parameters()
        .iter()
        .map(|parameter| {
            format!(
                r#"{{"Name":{},"Type":{}}}"#,
                quoted(&parameter.name),
                output::type_json(&parameter.data_type.borrow())
            )
        })
        .collect();
    let body = format!(
        r#"{{"QueryString":{},"Columns":[{}],"Parameters":[{}]}}"#,
        quoted(sql),
        columns.join(","),
        parameters.join(",")
    );
    Ok(body.into_bytes())
}

fn column_json(column: &Column) -> String {
    let table = column.table.as_ref().map_or(String::new(), |names| {
        let (database, table) = &**names;
        format!(
            r#""DatabaseName":{},"TableName":{},"#,
            quoted(database),
            quoted(table)
        )
    });
    format!(
        r#"{{"Name":{},"Type":{},{table}"Aliased":{}}}"#,
        quoted(&column.name),
        output::type_json(&column.data_type),
        column.is_aliased
    )
}
