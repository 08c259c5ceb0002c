//! PrepareQuery: the columns and parameters of a query, without running it (service model,
//! PrepareQuery).

use aws_sdk_timestreamquery::operation::prepare_query::PrepareQueryOutput;

use super::{data::filled, type_name};
use crate::support::{Service, code_and_message};

async fn prepared(service: &Service, sql: &str) -> Result<PrepareQueryOutput, String> {
    let call = service.query.prepare_query().query_string(sql);
    call.validate_only(true).send().await.map_err(|error| {
        let (code, message) = code_and_message(&error);
        assert_eq!(code, "ValidationException", "{sql}: {message}");
        message
    })
}

/// Returns `name TYPE database.table aliased`, and `@name TYPE`.
fn described(response: &PrepareQueryOutput) -> Vec<String> {
    let columns = response.columns().iter().map(|column| {
        let name = column.name().unwrap_or("(none)");
        let of = type_name(column.r#type());
        let database = column.database_name().unwrap_or_default();
        let table = column.table_name().unwrap_or_default();
        let aliased = if column.aliased() == Some(true) {
            " aliased"
        } else {
            ""
        };
        format!("{name} {of} {database}.{table}{aliased}")
    });
    let parameters = response
        .parameters()
        .iter()
        .map(|parameter| format!("@{} {}", parameter.name(), type_name(parameter.r#type())));
    columns.chain(parameters).collect()
}

#[tokio::test]
async fn columns_and_parameters() {
    let service = filled().await;
    let cases: &[(&str, &[&str])] = &[
        (
            "SELECT host, time AS t, 1, upper(region) AS r, measure_value::double FROM db.old",
            &[
                "host VARCHAR db.old",
                "t TIMESTAMP db.old aliased",
                "_col2 INTEGER .",
                "r VARCHAR . aliased",
                "measure_value::double DOUBLE db.old",
            ],
        ),
        (
            "SELECT * FROM db.new",
            &["measure_name VARCHAR db.new", "time TIMESTAMP db.new"],
        ),
        (
            "SELECT host, count(*) AS n FROM db.old GROUP BY host",
            &["host VARCHAR db.old", "n BIGINT . aliased"],
        ),
        (
            "SELECT host FROM db.old WHERE time > @since AND measure_value::double * 2 >= @least AND host = @host",
            &[
                "host VARCHAR db.old",
                "@since TIMESTAMP",
                "@least DOUBLE",
                "@host VARCHAR",
            ],
        ),
        (
            "SELECT bin(time, 1h) FROM db.old WHERE time BETWEEN @scheduled_runtime - 1h AND @scheduled_runtime",
            &["_col0 TIMESTAMP .", "@scheduled_runtime TIMESTAMP"],
        ),
        // Nothing is read, so what only fails on rows does not fail.
        (
            "SELECT 1 / count(*), (SELECT host FROM db.old) FROM db.new",
            &["_col0 BIGINT .", "_col1 VARCHAR ."],
        ),
    ];
    for (sql, expected) in cases {
        let response = prepared(&service, sql).await.expect(sql);
        assert_eq!(described(&response), *expected, "{sql}");
        assert_eq!(response.query_string(), *sql);
    }
}

#[tokio::test]
async fn invalid_statements() {
    let service = filled().await;
    let cases = [
        (
            "SELECT nothere FROM db.old",
            "line 1:8: Column 'nothere' does not exist",
        ),
        (
            "SELECT host FROM db.old WHERE host > 1",
            "line 1:31: '>' cannot be applied to varchar, integer",
        ),
        (
            "SHOW DATABASES",
            "PrepareQuery takes only queries, not SHOW or DESCRIBE.",
        ),
        ("SELECT", "line 1:7: Expected: an expression, found: EOF"),
    ];
    for (sql, expected) in cases {
        let message = prepared(&service, sql).await.expect_err(sql);
        assert_eq!(message, expected, "{sql}");
    }
    let only = "PrepareQuery is only supported with ValidateOnly set to true.";
    for validate_only in [None, Some(false)] {
        let call = service.query.prepare_query().query_string("SELECT 1");
        let outcome = call.set_validate_only(validate_only).send().await;
        let error = outcome.expect_err("a query cannot be stored");
        assert_eq!(
            code_and_message(&error),
            ("ValidationException".to_owned(), only.to_owned())
        );
    }
}
