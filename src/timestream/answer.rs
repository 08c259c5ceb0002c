//! The answer of Query, read from its bytes.
//!
//! The SDK would make two texts and three structs of each sample; that took most of the time of a large
//! read. So it is given an empty output instead, and what matters is read here. Errors stay the
//! SDK's. Shape of the answer:
//! <https://docs.aws.amazon.com/timestream/latest/developerguide/API_query_Query.html>.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

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
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};

use crate::model::{Datum, Row, TimeSeries};

/// A page of a result.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Answer {
    pub(super) query_id: String,
    pub(super) next_token: Option<String>,
    pub(super) query_status: Option<QueryStatus>,
    /// The names of the columns; empty for one without a name.
    #[serde(default, deserialize_with = "names")]
    pub(super) column_info: Vec<String>,
    #[serde(deserialize_with = "rows")]
    pub(super) rows: Vec<Row>,
}

/// How far the query is; the numbers count from its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct QueryStatus {
    pub(super) cumulative_bytes_scanned: i64,
    pub(super) cumulative_bytes_metered: i64,
}

fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct WireColumn {
        #[serde(default)]
        name: Option<String>,
    }
    let columns = Vec::<WireColumn>::deserialize(deserializer)?.into_iter();
    Ok(columns.map(|it| it.name.unwrap_or_default()).collect())
}

fn rows<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Row>, D::Error> {
    let rows = Vec::<WireRow>::deserialize(deserializer)?;
    Ok(rows.into_iter().map(WireRow::into_row).collect())
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

/// Reads the answer of the operation it is given to.
#[derive(Clone, Debug, Default)]
pub(super) struct AnswerReader(Arc<Mutex<Option<Answer>>>);

impl AnswerReader {
    /// What the operation has answered, once.
    pub(super) fn take(&self) -> Option<Answer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Intercept for AnswerReader {
    fn name(&self) -> &'static str {
        "AnswerReader"
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

impl DeserializeResponse for AnswerReader {
    fn deserialize_nonstreaming_with_config(
        &self,
        response: &HttpResponse,
        _config: &ConfigBag,
    ) -> OutputOrError {
        let body = response.body().bytes().unwrap_or_default();
        let answer: Answer = serde_json::from_slice(body)
            .map_err(|error| OrchestratorError::response(error.into()))?;
        let output = QueryOutput::builder()
            .query_id(&answer.query_id)
            .set_rows(Some(Vec::new()))
            .set_column_info(Some(Vec::new()))
            .build()
            .map_err(|error| OrchestratorError::response(error.into()))?;
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *place = Some(answer);
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
        let expected = Answer {
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
        assert_eq!(serde_json::from_str::<Answer>(body).unwrap(), expected);
        let empty: Answer = serde_json::from_str(r#"{"QueryId": "Q", "Rows": []}"#).unwrap();
        assert_eq!((empty.next_token, empty.rows), (None, vec![]));
        // What lacks a part is no empty result.
        for text in [
            "",
            "{}",
            "{",
            r#"{"QueryId": "Q"}"#,
            r#"{"Rows": []}"#,
            r#"{"QueryId": "Q", "Rows": [{"Data": 1}]}"#,
        ] {
            assert!(serde_json::from_str::<Answer>(text).is_err(), "{text}");
        }
    }
}
