//! The response to Query, read from its bytes.
//!
//! The SDK would make two texts and three structs of each sample; that took most of the time of a large
//! read. So it is given an empty output instead, and what matters is read here. Errors stay the
//! SDK's. Shape of the response:
//! <https://docs.aws.amazon.com/timestream/latest/developerguide/API_query_Query.html>.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use aws_sdk_timestreamquery::operation::query::QueryOutput;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeDeserializationInterceptorContextMut, Output, OutputOrError,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::client::ser_de::{DeserializeResponse, SharedResponseDeserializer};
use aws_smithy_types::config_bag::ConfigBag;
use parking_lot::Mutex;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};

use crate::storage::read::datum::{Datum, Row, TimeSeries};

/// A page of a result.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct QueryPage {
    pub(super) query_id: String,
    /// `None` on the last page.
    #[serde(default, deserialize_with = "next_token")]
    pub(super) next_token: Option<String>,
    pub(super) query_status: Option<QueryStatus>,
    /// The names of the columns; empty for one without a name.
    #[serde(default, deserialize_with = "names")]
    pub(super) column_info: Vec<String>,
    #[serde(default, deserialize_with = "rows")]
    pub(super) rows: Vec<Row>,
}

/// The progress of the query; the numbers count from its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct QueryStatus {
    #[serde(deserialize_with = "bytes")]
    pub(super) cumulative_bytes_scanned: u64,
    #[serde(deserialize_with = "bytes")]
    pub(super) cumulative_bytes_metered: u64,
}

/// Reads a number of bytes, which is written as a decimal one by some.
fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = Option::<serde_json::Number>::deserialize(deserializer)?;
    let whole = |number: serde_json::Number| {
        let decimal = || number.as_f64().map(|number| number as u64);
        number.as_u64().or_else(decimal)
    };
    Ok(number.and_then(whole).unwrap_or(0))
}

fn next_token<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let token = Option::<String>::deserialize(deserializer).map_err(within("NextToken"))?;
    Ok(token.filter(|token| !token.is_empty()))
}

/// Says in which part of a page an error is.
fn within<E: serde::de::Error>(part: &str) -> impl Fn(E) -> E {
    move |error| E::custom(format_args!("{part}: {error}"))
}

fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct WireColumn {
        #[serde(default)]
        name: Option<String>,
    }
    let columns = Option::<Vec<WireColumn>>::deserialize(deserializer);
    let columns = columns.map_err(within("ColumnInfo"))?.into_iter().flatten();
    Ok(columns.map(|it| it.name.unwrap_or_default()).collect())
}

fn rows<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Row>, D::Error> {
    let rows = Option::<Vec<WireRow>>::deserialize(deserializer).map_err(within("Rows"))?;
    let rows = rows.into_iter().flatten();
    Ok(rows.map(WireRow::into_row).collect())
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct WireRow {
    data: Vec<WireDatum>,
}

/// Has one of the fields.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct WireDatum {
    scalar_value: Option<String>,
    #[serde(deserialize_with = "time_series")]
    time_series_value: Option<TimeSeries>,
    array_value: Option<Vec<WireDatum>>,
    row_value: Option<WireRow>,
}

impl WireRow {
    fn into_row(self) -> Row {
        self.data.into_iter().map(WireDatum::into_datum).collect()
    }
}

impl WireDatum {
    fn into_datum(self) -> Datum {
        if let Some(text) = self.scalar_value {
            Datum::Scalar(text)
        } else if let Some(points) = self.time_series_value {
            Datum::TimeSeries(points)
        } else if let Some(array) = self.array_value {
            Datum::Array(array.into_iter().map(Self::into_datum).collect())
        } else if let Some(row) = self.row_value {
            Datum::Row(row.into_row())
        } else {
            Datum::Null
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WirePoint<'a> {
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(borrow, default)]
    value: PointValue<'a>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PointValue<'a> {
    #[serde(borrow, default, deserialize_with = "text")]
    scalar_value: Option<Cow<'a, str>>,
}

/// A text that is borrowed where it has no escapes; by itself serde borrows none in an [`Option`].
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Cow<'de, str>>, D::Error> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    Ok(Option::<Text>::deserialize(deserializer)?.map(|Text(text)| text))
}

fn time_series<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<TimeSeries>, D::Error> {
    struct Points;

    impl<'de> Visitor<'de> for Points {
        type Value = Option<TimeSeries>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a time series")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut points: A) -> Result<Self::Value, A::Error> {
            let mut series = TimeSeries::default();
            while let Some(point) = points.next_element::<WirePoint>()? {
                if let Some(value) = point.value.scalar_value {
                    series.push(&point.time, &value);
                }
            }
            Ok(Some(series))
        }
    }

    deserializer.deserialize_any(Points)
}

/// A response that is no page of a result.
#[derive(Debug, thiserror::Error)]
#[error(
    "the response to Query is no page of a result: {reason} (it has {length} bytes of the type {content_type})"
)]
pub(super) struct MalformedPage {
    reason: serde_json::Error,
    length: usize,
    content_type: String,
}

/// Reads the response of the operation that it intercepts.
#[derive(Clone, Debug, Default)]
pub(super) struct QueryPageReader(Arc<Mutex<Option<QueryPage>>>);

impl QueryPageReader {
    /// Returns the page that the operation has read, once.
    pub(super) fn take(&self) -> Option<QueryPage> {
        self.0.lock().take()
    }
}

impl Intercept for QueryPageReader {
    fn name(&self) -> &'static str {
        "QueryPageReader"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if context.response().status().as_u16() == 200 {
            let state = config.interceptor_state();
            state.store_put(SharedResponseDeserializer::new(self.clone()));
        }
        Ok(())
    }
}

impl DeserializeResponse for QueryPageReader {
    fn deserialize_nonstreaming_with_config(
        &self,
        response: &HttpResponse,
        _config: &ConfigBag,
    ) -> OutputOrError {
        let body = response.body().bytes().unwrap_or_default();
        let malformed = |reason| MalformedPage {
            reason,
            length: body.len(),
            content_type: response
                .headers()
                .get("content-type")
                .map_or_else(|| "(none)".to_owned(), |it| it.chars().take(60).collect()),
        };
        let page: QueryPage = serde_json::from_slice(body)
            .map_err(|error| OrchestratorError::response(malformed(error).into()))?;
        let output = QueryOutput::builder()
            .query_id(&page.query_id)
            .set_rows(Some(Vec::new()))
            .set_column_info(Some(Vec::new()))
            .build()
            .map_err(|error| OrchestratorError::response(error.into()))?;
        let mut place = self.0.lock();
        *place = Some(page);
        Ok(Output::erase(output))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_datum() {
        let body = r#"{
            "QueryId": "Q", "NextToken": "N",
            "QueryStatus": {"CumulativeBytesMetered": 10, "CumulativeBytesScanned": 7, "ProgressPercentage": 50.0},
            "ColumnInfo": [{"Name": "a", "Type": {"ScalarType": "VARCHAR"}}, {"Type": {}}],
            "Rows": [
                {"Data": [{"ScalarValue": "a\n\u00fc"}, {"NullValue": true}]},
                {"Data": [
                    {"TimeSeriesValue": [
                        {"Time": "t1", "Value": {"ScalarValue": "1.0"}},
                        {"Time": "t2", "Value": {"NullValue": true}},
                        {"Time": "t\u0033", "Value": {"ScalarValue": "\"3\""}}
                    ]},
                    {"TimeSeriesValue": null, "ScalarValue": null},
                    {"ArrayValue": [{"RowValue": {"Data": [{"ScalarValue": "x"}]}}]}
                ]}
            ]
        }"#;
        let scalar = |text: &str| Datum::Scalar(text.to_owned());
        let points = [("t1", "1.0"), ("t3", "\"3\"")];
        let expected = QueryPage {
            query_id: "Q".to_owned(),
            next_token: Some("N".to_owned()),
            query_status: Some(QueryStatus {
                cumulative_bytes_scanned: 7,
                cumulative_bytes_metered: 10,
            }),
            column_info: vec!["a".to_owned(), String::new()],
            rows: vec![
                vec![scalar("a\nü"), Datum::Null],
                vec![
                    Datum::TimeSeries(points.into_iter().collect()),
                    Datum::Null,
                    Datum::Array(vec![Datum::Row(vec![scalar("x")])]),
                ],
            ],
        };
        assert_eq!(serde_json::from_str::<QueryPage>(body).unwrap(), expected);
    }

    #[test]
    fn parts_may_be_absent_or_in_another_form() {
        let empty = r#"{"QueryId": "Q", "Rows": []}"#;
        let empty: QueryPage = serde_json::from_str(empty).unwrap();
        assert_eq!((&empty.next_token, &empty.rows), (&None, &vec![]));
        for text in [
            r#"{"QueryId": "Q"}"#,
            r#"{"QueryId": "Q", "Rows": null, "ColumnInfo": null, "NextToken": null, "QueryStatus": null}"#,
            r#"{"QueryId": "Q", "NextToken": "", "New": {"Rows": 1}}"#,
        ] {
            assert_eq!(
                serde_json::from_str::<QueryPage>(text).unwrap(),
                empty,
                "{text}"
            );
        }
        for (count, expected) in [
            ("7", 7),
            ("7.0", 7),
            ("7.9", 7),
            ("1.0E7", 10_000_000),
            ("18446744073709551615", u64::MAX),
            ("1e300", u64::MAX),
            ("-1", 0),
            ("null", 0),
        ] {
            let status = format!(r#"{{"CumulativeBytesScanned": {count}}}"#);
            let status: QueryStatus = serde_json::from_str(&status).unwrap();
            assert_eq!(status.cumulative_bytes_scanned, expected, "{count}");
        }
    }

    #[test]
    fn what_is_malformed_is_named() {
        for (text, reason) in [
            ("", "EOF while parsing a value at line 1 column 0"),
            ("{}", "missing field `QueryId` at line 1 column 2"),
            ("{", "EOF while parsing an object"),
            ("<html>", "expected value at line 1 column 1"),
            (r#"{"Rows": []}"#, "missing field `QueryId`"),
            (
                r#"{"QueryId": "Q", "Rows": [{"Data": 1}]}"#,
                "Rows: invalid type: integer `1`, expected a sequence at line 1 column 36",
            ),
            (
                r#"{"QueryId": "Q", "Rows": 1}"#,
                "Rows: invalid type: integer `1`",
            ),
            (
                r#"{"QueryId": "Q", "Rows": [{"Data": [{"TimeSeriesValue": [{}]}]}]}"#,
                "Rows: missing field `Time`",
            ),
            (
                r#"{"QueryId": "Q", "ColumnInfo": [1]}"#,
                "ColumnInfo: invalid type",
            ),
            (
                r#"{"QueryId": "Q", "NextToken": 1}"#,
                "NextToken: invalid type",
            ),
            (
                r#"{"QueryId": "Q", "QueryStatus": {"CumulativeBytesScanned": "7"}}"#,
                "invalid type: string",
            ),
        ] {
            let error = serde_json::from_str::<QueryPage>(text)
                .unwrap_err()
                .to_string();
            assert!(error.starts_with(reason), "{text}: {error}");
        }
    }
}
