//! Bodies of responses, in the encoding of the request.

use prost::Message;
use serde_json::json;

use crate::messages;

/// The encodings of OTLP over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `application/x-protobuf`
    Protobuf,
    /// `application/json`
    Json,
}

impl Encoding {
    /// Returns the content type of requests and responses in this encoding.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }
}

/// Returns the body of a response to a request that is not to be sent again: an `ExportMetricsServiceResponse`.
///
/// Without rejected data points and a message all is well. A message without rejected data points is a warning.
pub fn export_response(
    encoding: Encoding,
    rejected_data_points: u64,
    error_message: &str,
) -> Vec<u8> {
    let is_success = rejected_data_points == 0 && error_message.is_empty();
    let rejected = i64::try_from(rejected_data_points).unwrap_or(i64::MAX);
    match encoding {
        Encoding::Protobuf => {
            let partial_success = messages::ExportMetricsPartialSuccess {
                rejected_data_points: rejected,
                error_message: error_message.to_owned(),
            };
            let response = messages::ExportMetricsServiceResponse {
                partial_success: (!is_success).then_some(partial_success),
            };
            response.encode_to_vec()
        }
        Encoding::Json if is_success => b"{}".to_vec(),
        Encoding::Json => {
            // Integers of 64 bits are strings in protobuf's JSON.
            let partial_success = json!({
                "rejectedDataPoints": rejected.to_string(),
                "errorMessage": error_message,
            });
            json!({ "partialSuccess": partial_success })
                .to_string()
                .into_bytes()
        }
    }
}

/// Returns the body of a response that is an error: a `google.rpc.Status`. Exporters show the message and decide by the
/// status of HTTP, so the code is left out.
pub fn status(encoding: Encoding, message: &str) -> Vec<u8> {
    match encoding {
        Encoding::Protobuf => {
            let status = messages::Status {
                code: 0,
                message: message.to_owned(),
            };
            status.encode_to_vec()
        }
        Encoding::Json => json!({ "message": message }).to_string().into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_as_exporters_read_them() {
        let cases = [
            (0, "", "", "{}"),
            (
                3,
                "bad",
                "\x0a\x07\x08\x03\x12\x03bad",
                r#"{"partialSuccess":{"errorMessage":"bad","rejectedDataPoints":"3"}}"#,
            ),
            (
                0,
                "look \"here\"",
                "\x0a\x0d\x12\x0blook \"here\"",
                r#"{"partialSuccess":{"errorMessage":"look \"here\"","rejectedDataPoints":"0"}}"#,
            ),
        ];
        for (rejected, message, protobuf, json) in cases {
            let response = |encoding| export_response(encoding, rejected, message);
            assert_eq!(response(Encoding::Protobuf), protobuf.as_bytes());
            assert_eq!(response(Encoding::Json), json.as_bytes());
        }
        assert_eq!(status(Encoding::Protobuf, "no"), b"\x12\x02no");
        assert_eq!(status(Encoding::Json, "no"), br#"{"message":"no"}"#);
        assert_eq!(Encoding::Json.content_type(), "application/json");
    }
}
