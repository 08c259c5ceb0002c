//! The port to Timestream over the AWS SDK; the structs of the SDK stop here.

use std::sync::Arc;

use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_sdk_timestreamquery as query_sdk;
use aws_sdk_timestreamwrite as write_sdk;
use aws_smithy_http_client::tls;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::RetryConfig;
use bytes::Bytes;
use futures_util::FutureExt;

use super::endpoint::Discovery;
use super::failure::{classify, write_error};
use super::query_page::{QueryPageReader, QueryStatus};
use super::retry::{Attempts, Limits};
use super::roots::TrustedRoots;
use super::service::Service;
use super::{ErrorKind, Rejection, TimestreamError};
use crate::storage::read::datum::Row;

/// The settings of the clients.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The region whose endpoints are called and that requests are signed for.
    pub region: String,
    /// Endpoint for writes instead of the regional one.
    pub write_endpoint: Option<String>,
    /// Endpoint for queries instead of the regional one.
    pub query_endpoint: Option<String>,
    /// The use of endpoint discovery.
    pub discovery: Discovery,
    /// The authorities whose certificates are trusted.
    pub roots: TrustedRoots,
}

/// Clients of both services, built once for the whole process.
#[derive(Clone, Debug)]
pub struct Timestream {
    write: Arc<Service<write_sdk::Client>>,
    query: Arc<Service<query_sdk::Client>>,
}

/// Returns the configuration that both clients share: region, HTTP client, and the SDK's default chain of credentials, which
/// is queried at the first call.
pub fn sdk_config(settings: &Settings) -> ConfigLoader {
    let http_client = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(
            tls::rustls_provider::CryptoMode::Ring,
        ))
        .tls_context(settings.roots.tls_context())
        .build_https();
    aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(settings.region.clone()))
        .http_client(http_client)
        // Retries are this crate's: the SDK's retry quota, shared by all calls, runs dry just
        // when throttling needs it.
        .retry_config(RetryConfig::disabled())
        // Every call has a deadline, and a query may be held for a minute without a byte.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
}

impl Timestream {
    /// Builds the clients. Nothing is called yet.
    pub fn new(settings: &Settings, shared: &SdkConfig) -> Self {
        let write = Service::new(
            shared,
            settings.write_endpoint.as_deref(),
            settings.discovery,
        );
        let query = Service::new(
            shared,
            settings.query_endpoint.as_deref(),
            settings.discovery,
        );
        Self {
            write: Arc::new(write),
            query: Arc::new(query),
        }
    }

    /// Writes a batch whose JSON `body` is complete, database and table included.
    ///
    /// The body is shared by all attempts, not copied. A response that does not say that all of its
    /// `records` are stored is an error, after which the same may be sent again.
    pub async fn write_records(&self, body: Bytes, records: usize, limits: Limits) -> Attempts<()> {
        self.write
            .call(limits, |client| {
                let body = body.clone();
                // Signed as it is: the SDK calls this between serialisation and signing.
                let operation = client.write_records().customize();
                let operation = operation.mutate_request(move |request| {
                    let length = body.len().to_string();
                    request.headers_mut().insert("content-length", length);
                    *request.body_mut() = SdkBody::from(body.clone());
                });
                async move {
                    match operation.send().await {
                        Ok(output) => check_stored(output.records_ingested(), records),
                        Err(error) => Err(check_rejections(write_error(error), records)),
                    }
                }
                .boxed()
            })
            .await
    }

    /// The service that writes and has the tables.
    pub(super) fn write_service(&self) -> &Service<write_sdk::Client> {
        &self.write
    }

    /// Starts a query; its pages come from [`Pages::next`].
    pub fn query(&self, text: String) -> Pages {
        Pages {
            service: Arc::clone(&self.query),
            text,
            next_token: None,
            query_id: None,
            counted: QueryBytes::default(),
            finished: false,
        }
    }
}

/// Checks that the response to WriteRecords counts all of the records that were sent as stored.
///
/// A success without a body, from something that stands between, would lose them otherwise.
fn check_stored(
    ingested: Option<&write_sdk::types::RecordsIngested>,
    records: usize,
) -> Result<(), TimestreamError> {
    let message = match ingested.map(|it| it.total()) {
        None => format!("the response to WriteRecords of {records} records has no RecordsIngested"),
        Some(total) if usize::try_from(total).is_ok_and(|total| total >= records) => return Ok(()),
        Some(total) => format!(
            "the response to WriteRecords says that {total} of {records} records are stored, and \
             rejects none"
        ),
    };
    Err(TimestreamError::new(ErrorKind::UnexpectedResponse, message))
}

/// Returns an error that says which of the records are rejected as it is, and another one where this
/// cannot be known.
fn check_rejections(error: TimestreamError, records: usize) -> TimestreamError {
    let is_known = |rejection: &Rejection| rejection.index < records;
    if error.kind != ErrorKind::Rejected
        || !error.rejections.is_empty() && error.rejections.iter().all(is_known)
    {
        return error;
    }
    let which = match error.rejections.iter().find(|it| !is_known(it)) {
        Some(rejection) => format!("at position {}", rejection.index),
        None => "that it does not name".to_owned(),
    };
    let message = format!("the response to WriteRecords of {records} records rejects some {which}");
    TimestreamError::new(ErrorKind::UnexpectedResponse, message)
}

/// One page of a result.
#[derive(Debug, Default)]
pub struct Page {
    /// The names of the columns; empty for one without a name.
    pub columns: Vec<String>,
    /// Its rows, which may be none.
    pub rows: Vec<Row>,
    /// The bytes that the query read since the page before.
    pub bytes: QueryBytes,
}

/// The bytes that a query read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryBytes {
    /// Bytes that Timestream scanned.
    pub scanned: u64,
    /// Bytes that AWS charges for, where it charges by bytes.
    pub metered: u64,
}

impl QueryBytes {
    /// The service's numbers count from the start of the query.
    fn total(status: Option<QueryStatus>) -> Self {
        status.map_or_else(Self::default, |status| Self {
            scanned: status.cumulative_bytes_scanned,
            metered: status.cumulative_bytes_metered,
        })
    }

    /// Replaces the count so far by `total` and returns what is new in it.
    fn advance_to(&mut self, total: Self) -> Self {
        let new = Self {
            scanned: total.scanned.saturating_sub(self.scanned),
            metered: total.metered.saturating_sub(self.metered),
        };
        self.scanned += new.scanned;
        self.metered += new.metered;
        new
    }
}

/// The pages of one query. If it is dropped before the last page, the query is cancelled.
#[derive(Debug)]
pub struct Pages {
    service: Arc<Service<query_sdk::Client>>,
    text: String,
    next_token: Option<String>,
    query_id: Option<String>,
    counted: QueryBytes,
    finished: bool,
}

impl Pages {
    /// The next page, or `None` after the last one.
    pub async fn next(&mut self, limits: Limits) -> Attempts<Option<Page>> {
        if self.finished {
            return Attempts {
                result: Ok(None),
                retries: 0,
            };
        }
        let call = |client: &query_sdk::Client| {
            let request = client
                .query()
                .query_string(&self.text)
                .set_next_token(self.next_token.clone());
            async {
                let reader = QueryPageReader::default();
                let operation = request.customize().interceptor(reader.clone());
                operation.send().await.map_err(classify)?;
                reader.take().ok_or_else(|| {
                    let message =
                        "the response to Query has another status than 200, without an error";
                    TimestreamError::new(ErrorKind::UnexpectedResponse, message)
                })
            }
            .boxed()
        };
        let Attempts { result, retries } = self.service.call(limits, call).await;
        let result = result.map(|page| {
            self.query_id = Some(page.query_id);
            self.finished = page.next_token.is_none();
            self.next_token = page.next_token;
            let total = QueryBytes::total(page.query_status);
            Some(Page {
                columns: page.column_info,
                rows: page.rows,
                bytes: self.counted.advance_to(total),
            })
        });
        // A query that failed is over; only one that is running can be cancelled.
        self.finished |= result
            .as_ref()
            .is_err_and(|error| error.kind != ErrorKind::Timeout);
        Attempts { result, retries }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        let (false, Some(query_id)) = (self.finished, self.query_id.take()) else {
            return;
        };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let service = Arc::clone(&self.service);
        runtime.spawn(async move {
            if let Err(error) = service.client().cancel_query().query_id(query_id).send().await {
                tracing::debug!(error = %classify(error), "Cannot cancel a query that no request waits for.");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timestream::RejectReason;

    #[test]
    fn records_count_as_stored_where_the_response_says_so() {
        use write_sdk::types::RecordsIngested;
        let ingested = |total| RecordsIngested::builder().total(total).build();
        for (ingested, is_stored) in [
            (None, false),
            (Some(RecordsIngested::builder().build()), false),
            (Some(ingested(-1)), false),
            (Some(ingested(2)), false),
            (Some(ingested(3)), true),
            (Some(ingested(4)), true),
        ] {
            let checked = check_stored(ingested.as_ref(), 3);
            let kind = checked.err().map(|error| error.kind);
            let expected = (!is_stored).then_some(ErrorKind::UnexpectedResponse);
            assert_eq!(kind, expected, "{ingested:?}");
        }
    }

    #[test]
    fn rejected_records_are_those_that_were_sent() {
        use ErrorKind::{NotFound, Rejected, UnexpectedResponse};
        let cases: [(ErrorKind, &[usize], ErrorKind); 6] = [
            (Rejected, &[0, 2], Rejected),
            (Rejected, &[], UnexpectedResponse),
            (Rejected, &[3], UnexpectedResponse),
            (Rejected, &[0, usize::MAX], UnexpectedResponse),
            (NotFound, &[], NotFound),
            (Rejected, &[2, 2], Rejected),
        ];
        for (kind, indexes, expected) in cases {
            let mut error = TimestreamError::new(kind, "words");
            error.rejections = indexes
                .iter()
                .map(|&index| Rejection {
                    index,
                    reason: RejectReason::Other,
                    message: "words".to_owned(),
                    existing_version: None,
                })
                .collect();
            assert_eq!(check_rejections(error, 3).kind, expected, "{indexes:?}");
        }
    }

    #[test]
    fn cumulative_bytes_are_counted_once() {
        let bytes = |scanned, metered| QueryBytes { scanned, metered };
        let mut counted = QueryBytes::default();
        let cases = [
            (bytes(10, 100), bytes(10, 100)),
            (bytes(25, 100), bytes(15, 0)),
            // A page without a status.
            (bytes(0, 0), bytes(0, 0)),
            (bytes(30, 130), bytes(5, 30)),
        ];
        for (total, new) in cases {
            assert_eq!(counted.advance_to(total), new, "{total:?}");
        }
    }
}
