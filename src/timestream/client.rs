//! The port to Timestream over the AWS SDK; the structs of the SDK stop here.

use std::sync::Arc;

use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_sdk_timestreamquery as query_sdk;
use aws_sdk_timestreamwrite as write_sdk;
use aws_smithy_http_client::tls;
use aws_smithy_types::retry::RetryConfig;
use bytes::Bytes;
use futures_util::FutureExt;

use super::checked_credentials::checked;
use super::endpoint::Discovery;
use super::failure::classify;
use super::identity::Identity;
use super::query_page::{QueryPageReader, QueryStatus};
use super::retry::{Attempts, Limits};
use super::roots::TrustedRoots;
use super::service::Service;
use super::write_client::WriteClient;
use super::{ErrorKind, TimestreamError};
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

/// One of the two services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// That which stores records and has the tables.
    Writes,
    /// That which runs queries.
    Queries,
}

/// Clients of both services, built once for the whole process.
#[derive(Clone, Debug)]
pub struct Timestream {
    write: Arc<Service<write_sdk::Client>>,
    write_client: Arc<WriteClient>,
    query: Arc<Service<query_sdk::Client>>,
}

/// Returns the configuration that both clients share: region, HTTP client, and the SDK's default chain of credentials, which
/// is queried at the first call. [`load_sdk_config`] loads it.
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

/// Loads the configuration of all clients of AWS. Credentials that requests cannot hold are an error of each call.
pub async fn load_sdk_config(settings: &Settings) -> SdkConfig {
    checked(sdk_config(settings).load().await)
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
            write_client: Arc::new(WriteClient::new(settings, shared)),
            query: Arc::new(query),
        }
    }

    /// Writes a batch whose JSON `body` is complete, database and table included.
    ///
    /// The body is shared by all attempts, not copied. A response that does not say that all of its
    /// `records` are stored is an error, after which the same may be sent again.
    pub async fn write_records(&self, body: Bytes, records: usize, limits: Limits) -> Attempts<()> {
        self.write
            .call(limits, |_| {
                let client = Arc::clone(&self.write_client);
                let (url, body) = (self.write.url(), body.clone());
                async move { client.write_records(&url, body, records).await }.boxed()
            })
            .await
    }

    /// Returns the URL at which the first call of a service arrives: where endpoints are discovered, that which
    /// discovers.
    pub fn first_url(&self, side: Side) -> &str {
        match side {
            Side::Writes => self.write.first_url(),
            Side::Queries => self.query.first_url(),
        }
    }

    /// Returns the URL that calls of a service go to; as long as none is discovered, that which discovers.
    pub fn url(&self, side: Side) -> String {
        match side {
            Side::Writes => self.write.url(),
            Side::Queries => self.query.url(),
        }
    }

    /// Returns true if the endpoint of a service is discovered.
    pub fn discovers(&self, side: Side) -> bool {
        match side {
            Side::Writes => self.write.discovers(),
            Side::Queries => self.query.discovers(),
        }
    }

    /// Returns the URL that the calls of a service go to, which is discovered where it has to be.
    ///
    /// # Errors
    /// It cannot be discovered.
    pub async fn discover(&self, side: Side, limits: Limits) -> Result<String, TimestreamError> {
        match side {
            Side::Writes => self.write.discover(limits).await,
            Side::Queries => self.query.discover(limits).await,
        }
    }

    /// Returns the milliseconds by which the clock of the server at `url` is ahead of ours, to the second; `None` if
    /// its response names no time.
    ///
    /// # Errors
    /// The server does not respond.
    pub async fn clock_skew_ms(&self, url: &str) -> Result<Option<i64>, TimestreamError> {
        self.write_client.clock_skew_ms(url).await
    }

    /// Returns the origin of the credentials that calls are signed with. They are loaded if none are remembered.
    ///
    /// # Errors
    /// There are none.
    pub async fn identity(&self) -> Result<Identity, TimestreamError> {
        let credentials = self.write_client.credentials().await?;
        Ok(Identity::of(&credentials))
    }

    /// Cancels a query.
    ///
    /// # Errors
    /// The call fails, also for a query that has ended.
    pub async fn cancel_query(&self, id: &str, limits: Limits) -> Result<(), TimestreamError> {
        let cancelled = self.query.call(limits, |client| {
            let request = client.cancel_query().query_id(id);
            async { request.send().await.map(drop).map_err(classify) }.boxed()
        });
        cancelled.await.result
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
    /// Returns the identifier of the query, once there was a page.
    pub fn query_id(&self) -> Option<&str> {
        self.query_id.as_deref()
    }

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
