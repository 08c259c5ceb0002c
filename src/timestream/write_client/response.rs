//! The response to WriteRecords, read as the SDK reads it: a test compares the two.
//!
//! Shapes: <https://docs.aws.amazon.com/timestream/latest/developerguide/API_WriteRecords.html>.

use bytes::Bytes;
use http::Response;
use serde::Deserialize;
use serde_json::Value;

use crate::timestream::failure::service_kind;
use crate::timestream::{ErrorKind, RejectReason, Rejection, TimestreamError};

/// The header with the name of an exception.
const ERROR_TYPE: &str = "x-amzn-errortype";

/// The body of a success.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Output {
    records_ingested: Option<RecordsIngested>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RecordsIngested {
    total: Option<i64>,
}

/// The body of an error. A field of another type than documented counts as absent.
#[derive(Debug, Default, Deserialize)]
struct Failure {
    #[serde(default, rename = "__type")]
    type_name: Value,
    #[serde(default)]
    code: Value,
    #[serde(default, rename = "message", alias = "Message", alias = "errorMessage")]
    message: Value,
    #[serde(default, rename = "RejectedRecords")]
    rejected_records: Value,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RejectedRecord {
    #[serde(default)]
    record_index: i64,
    reason: Option<String>,
    existing_version: Option<i64>,
}

/// Checks that the response says that all of the `records` that were sent are stored.
///
/// # Errors
/// The error in the response; or it does not count all records, as a success from something that stands
/// between would.
pub(super) fn check(response: &Response<Bytes>, records: usize) -> Result<(), TimestreamError> {
    match response.status().is_success() {
        true => check_stored(response.body(), records),
        false => Err(failure(response, records)),
    }
}

fn check_stored(body: &[u8], records: usize) -> Result<(), TimestreamError> {
    let output = match body {
        // As the SDK: nothing is an empty object.
        [] => Ok(Output::default()),
        body => serde_json::from_slice::<Output>(body),
    };
    let message = match output.map(|output| output.records_ingested) {
        Err(error) => format!("the response cannot be read: {error}"),
        Ok(None) => {
            format!("the response to WriteRecords of {records} records has no RecordsIngested")
        }
        Ok(Some(ingested)) => match ingested.total.unwrap_or(0) {
            total if usize::try_from(total).is_ok_and(|total| total >= records) => return Ok(()),
            total => format!(
                "the response to WriteRecords says that {total} of {records} records are stored, \
                 and rejects none"
            ),
        },
    };
    Err(TimestreamError::new(ErrorKind::UnexpectedResponse, message))
}

/// Returns the error of a response whose status is no success.
fn failure(response: &Response<Bytes>, records: usize) -> TimestreamError {
    let status = response.status().as_u16();
    let (failure, unreadable) = match response.body().as_ref() {
        [] => (Failure::default(), None),
        body => match serde_json::from_slice::<Failure>(body) {
            Ok(failure) => (failure, None),
            Err(error) => (Failure::default(), Some(error)),
        },
    };
    let header = response.headers().get(ERROR_TYPE);
    let header = header.and_then(|value| value.to_str().ok());
    let code = header
        .or(failure.code.as_str())
        .or(failure.type_name.as_str());
    let code = match unreadable {
        Some(_) => "",
        None => exception_name(code.unwrap_or_default()),
    };
    let kind = service_kind(code, status);
    let message = match (failure.message, unreadable) {
        (Value::String(message), _) => message,
        (_, Some(error)) => {
            format!("the response has the status {status} and is no error of Timestream: {error}")
        }
        (_, None) if code.is_empty() => format!(
            "the response has the status {status} and is no error of Timestream: it names none"
        ),
        (_, None) => format!("{code} without a message, status {status}"),
    };
    let error = TimestreamError::new(kind, message);
    match kind {
        ErrorKind::Rejected => rejected(error, failure.rejected_records, records),
        _ => error,
    }
}

/// Returns the name of an exception without the namespace before and the address after it.
fn exception_name(code: &str) -> &str {
    let code = code.split_once(':').map_or(code, |(code, _)| code);
    code.split_once('#').map_or(code, |(_, code)| code)
}

/// Returns the error with the rejected records, or another one where it cannot be known which they are.
fn rejected(error: TimestreamError, list: Value, records: usize) -> TimestreamError {
    let list = serde_json::from_value::<Vec<RejectedRecord>>(list).unwrap_or_default();
    let rejections: Vec<_> = list.into_iter().map(Rejection::from).collect();
    let is_known = |rejection: &Rejection| rejection.index < records;
    let which = match rejections.iter().find(|it| !is_known(it)) {
        Some(rejection) => format!("at position {}", rejection.index),
        None if rejections.is_empty() => "that it does not name".to_owned(),
        None => {
            return TimestreamError {
                rejections,
                ..error
            };
        }
    };
    let message = format!("the response to WriteRecords of {records} records rejects some {which}");
    TimestreamError::new(ErrorKind::UnexpectedResponse, message)
}

impl From<RejectedRecord> for Rejection {
    fn from(record: RejectedRecord) -> Self {
        let message = record.reason.unwrap_or_default();
        Self {
            index: usize::try_from(record.record_index).unwrap_or(usize::MAX),
            reason: RejectReason::of(&message),
            message,
            existing_version: record.existing_version,
        }
    }
}
