//! The port to Timestream over the AWS SDK; the structs of the SDK stop here.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_timestreamquery as query_sdk;
use aws_sdk_timestreamwrite as write_sdk;
use aws_smithy_http_client::tls;
use aws_smithy_runtime_api::client::endpoint::SharedEndpointResolver;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::retry::RetryConfig;
use aws_types::service_config::ServiceConfigKey;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use write_sdk::operation::write_records::WriteRecordsError;

use super::endpoint::{Address, Cell, Discoverer};
use super::prepared::PreparedBody;
use super::retry::{Limits, Tried, with_retries};
use super::{ErrorKind, Rejection, TimestreamError};
use crate::model::{Datum, Row};

/// How to reach Timestream.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The region whose endpoints are called and that requests are signed for.
    pub region: String,
    /// Endpoint for writes instead of the regional one.
    pub write_endpoint: Option<String>,
    /// Endpoint for queries instead of the regional one.
    pub query_endpoint: Option<String>,
    /// Whether the cell is asked for.
    pub discovery: Discovery,
}

/// Whether the service is asked which cell to call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Discovery {
    /// Only where no custom endpoint is configured, by option, variable or profile.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// Clients of both services, built once for the whole process.
#[derive(Clone, Debug)]
pub struct Timestream {
    write: Arc<Service<write_sdk::Client>>,
    query: Arc<Service<query_sdk::Client>>,
}

/// A service: the client that is used and, with discovery, the one that asks where to call.
#[derive(Debug)]
struct Service<C> {
    client: C,
    discovery: Option<(Discoverer, C)>,
}

/// What both clients share: region, HTTP client, and the SDK's default chain of credentials, which
/// is asked at the first call.
pub fn sdk_config(settings: &Settings) -> ConfigLoader {
    let http_client = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(
            tls::rustls_provider::CryptoMode::Ring,
        ))
        .build_https();
    aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(settings.region.clone()))
        .http_client(http_client)
        // Retries are this crate's: the SDK's retry quota, shared by all calls, runs dry just
        // when throttling needs it.
        .retry_config(RetryConfig::disabled())
}

impl Timestream {
    /// Builds the clients. Nothing is called yet.
    pub fn new(settings: &Settings, shared: &SdkConfig) -> Self {
        let endpoint = custom_endpoint(
            shared,
            settings.write_endpoint.as_deref(),
            "Timestream Write",
        );
        let mut config = write_sdk::config::Builder::from(shared);
        config.set_endpoint_url(endpoint.clone());
        let write = Service::new(settings.discovery, endpoint.is_some(), |resolver| {
            let mut config = config.clone();
            if resolver.is_some() {
                config.set_endpoint_resolver(resolver);
            }
            write_sdk::Client::from_conf(config.build())
        });

        let endpoint = custom_endpoint(
            shared,
            settings.query_endpoint.as_deref(),
            "Timestream Query",
        );
        let mut config = query_sdk::config::Builder::from(shared);
        config.set_endpoint_url(endpoint.clone());
        let query = Service::new(settings.discovery, endpoint.is_some(), |resolver| {
            let mut config = config.clone();
            if resolver.is_some() {
                config.set_endpoint_resolver(resolver);
            }
            query_sdk::Client::from_conf(config.build())
        });
        Self {
            write: Arc::new(write),
            query: Arc::new(query),
        }
    }

    /// Writes a batch whose JSON `body` is complete, database and table included.
    ///
    /// The body is shared by all attempts, not copied.
    pub async fn write_records(&self, body: Bytes, limits: Limits) -> Tried<()> {
        self.write
            .call(limits, |client| {
                let body = PreparedBody(body.clone());
                let operation = client.write_records().customize().interceptor(body);
                async { operation.send().await.map(drop).map_err(write_error) }.boxed()
            })
            .await
    }

    /// Starts a query; its pages come from [`Pages::next`].
    pub fn query(&self, text: String) -> Pages {
        Pages {
            service: Arc::clone(&self.query),
            text,
            next_token: None,
            query_id: None,
            finished: false,
        }
    }
}

/// The pages of one query. If it is dropped before the last page, the query is cancelled.
#[derive(Debug)]
pub struct Pages {
    service: Arc<Service<query_sdk::Client>>,
    text: String,
    next_token: Option<String>,
    query_id: Option<String>,
    finished: bool,
}

impl Pages {
    /// The rows of the next page, which may be none, or `None` after the last page.
    pub async fn next(&mut self, limits: Limits) -> Tried<Option<Vec<Row>>> {
        if self.finished {
            return Tried {
                result: Ok(None),
                retries: 0,
            };
        }
        let call = |client: &query_sdk::Client| {
            let request = client
                .query()
                .query_string(&self.text)
                .set_next_token(self.next_token.clone());
            async { request.send().await.map_err(|error| classify(&error)) }.boxed()
        };
        let Tried { result, retries } = self.service.call(limits, call).await;
        let result = result.map(|output| {
            self.query_id = Some(output.query_id);
            self.finished = output.next_token.is_none();
            self.next_token = output.next_token;
            Some(
                output
                    .rows
                    .into_iter()
                    .map(|row| row.data.into_iter().map(datum).collect())
                    .collect(),
            )
        });
        // A query that failed is over; only one that is running can be cancelled.
        self.finished |= result
            .as_ref()
            .is_err_and(|error| error.kind != ErrorKind::Timeout);
        Tried { result, retries }
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
            if let Err(error) = service.client.cancel_query().query_id(query_id).send().await {
                tracing::debug!(error = %classify(&error), "Cannot cancel a query that nobody waits for.");
            }
        });
    }
}

impl<C: Describe> Service<C> {
    fn new(
        discovery: Discovery,
        has_custom_endpoint: bool,
        build: impl Fn(Option<SharedEndpointResolver>) -> C,
    ) -> Self {
        let discover = match discovery {
            Discovery::Auto => !has_custom_endpoint,
            Discovery::On => true,
            Discovery::Off => false,
        };
        if !discover {
            return Self {
                client: build(None),
                discovery: None,
            };
        }
        let cell = Cell::default();
        Self {
            client: build(Some(SharedEndpointResolver::new(cell.clone()))),
            discovery: Some((Discoverer::new(cell), build(None))),
        }
    }

    /// Runs `operation` with retries, on an endpoint that is known and renewed where needed.
    async fn call<T>(
        &self,
        limits: Limits,
        operation: impl Fn(&C) -> BoxFuture<'static, Result<T, TimestreamError>>,
    ) -> Tried<T> {
        // What the last attempt called, so that a refused endpoint is replaced once for all calls.
        let used = Mutex::new(None);
        let (used, operation) = (&used, &operation);
        let attempt = || async move {
            if let Some((discoverer, asking)) = &self.discovery {
                discoverer.ensure(asking.describe()).await?;
                *used.lock().expect("nothing panics while it holds the lock") =
                    discoverer.current();
            }
            operation(&self.client).await
        };
        let reload = || async move {
            if let Some((discoverer, asking)) = &self.discovery {
                let stale = used
                    .lock()
                    .expect("nothing panics while it holds the lock")
                    .take();
                discoverer.replace(stale, asking.describe()).await;
            }
        };
        with_retries(limits, fastrand::f64, attempt, reload).await
    }
}

/// A client that can ask for the endpoint of this account.
trait Describe {
    fn describe(&self) -> BoxFuture<'static, Result<Address, TimestreamError>>;
}

impl Describe for write_sdk::Client {
    fn describe(&self) -> BoxFuture<'static, Result<Address, TimestreamError>> {
        let request = self.describe_endpoints();
        async {
            let output = request.send().await.map_err(|error| classify(&error))?;
            let first = output.endpoints.into_iter().next();
            first_address(
                first.map(|endpoint| (endpoint.address, endpoint.cache_period_in_minutes)),
            )
        }
        .boxed()
    }
}

impl Describe for query_sdk::Client {
    fn describe(&self) -> BoxFuture<'static, Result<Address, TimestreamError>> {
        let request = self.describe_endpoints();
        async {
            let output = request.send().await.map_err(|error| classify(&error))?;
            let first = output.endpoints.into_iter().next();
            first_address(
                first.map(|endpoint| (endpoint.address, endpoint.cache_period_in_minutes)),
            )
        }
        .boxed()
    }
}

/// The custom endpoint that is in force: the option, else the service's variable or profile
/// entry, else the general one.
fn custom_endpoint(shared: &SdkConfig, option: Option<&str>, service_id: &str) -> Option<String> {
    let key = ServiceConfigKey::builder()
        .service_id(service_id)
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build()
        .expect("all three parts are given");
    option
        .map(str::to_owned)
        .or_else(|| shared.service_config()?.load_config(key))
        .or_else(|| shared.endpoint_url().map(str::to_owned))
}

fn first_address(first: Option<(String, i64)>) -> Result<Address, TimestreamError> {
    let (address, minutes) = first.ok_or_else(|| {
        TimestreamError::new(
            ErrorKind::Unavailable,
            "DescribeEndpoints answered no endpoint",
        )
    })?;
    let valid_for = Duration::from_secs(60 * u64::try_from(minutes).unwrap_or(0));
    Ok(Address { address, valid_for })
}

fn write_error(error: SdkError<WriteRecordsError, HttpResponse>) -> TimestreamError {
    let mut classified = classify(&error);
    if let Some(WriteRecordsError::RejectedRecordsException(rejected)) = error.as_service_error() {
        classified.rejections = rejected
            .rejected_records()
            .iter()
            .map(|record| Rejection {
                index: usize::try_from(record.record_index).unwrap_or(usize::MAX),
                reason: record.reason.clone().unwrap_or_default(),
                existing_version: record.existing_version,
            })
            .collect();
    }
    classified
}

fn classify<E>(error: &SdkError<E, HttpResponse>) -> TimestreamError
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    let kind = match error {
        SdkError::ServiceError(service) => {
            let status = service.raw().status().as_u16();
            service_kind(service.err().meta().code().unwrap_or_default(), status)
        }
        SdkError::TimeoutError(_) => ErrorKind::Timeout,
        SdkError::DispatchFailure(failure) if failure.is_timeout() => ErrorKind::Timeout,
        // The SDK reports a chain that yields no credentials as a failure to dispatch.
        SdkError::DispatchFailure(_) | SdkError::ConstructionFailure(_)
            if is_caused_by_credentials(error) =>
        {
            ErrorKind::Credentials
        }
        _ => ErrorKind::Unavailable,
    };
    let message = error
        .as_service_error()
        .and_then(|service| service.meta().message())
        .map_or_else(|| causes(error), str::to_owned);
    TimestreamError::new(kind, message)
}

fn is_caused_by_credentials(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source())
        .any(|error| error.is::<CredentialsError>())
}

/// The kind of an error that the service answered.
fn service_kind(code: &str, status: u16) -> ErrorKind {
    match code {
        "ThrottlingException" => ErrorKind::Throttled,
        "InternalServerException" => ErrorKind::InternalServer,
        // The last one is what the regional host answers where discovery was needed.
        "InvalidEndpointException" | "UnknownOperationException" => ErrorKind::InvalidEndpoint,
        "ValidationException" | "SerializationException" => ErrorKind::Validation,
        "QueryExecutionException" => ErrorKind::QueryExecution,
        "ServiceQuotaExceededException" => ErrorKind::QuotaExceeded,
        "AccessDeniedException" => ErrorKind::AccessDenied,
        "ResourceNotFoundException" => ErrorKind::NotFound,
        "ConflictException" => ErrorKind::Conflict,
        "RejectedRecordsException" => ErrorKind::Rejected,
        "ExpiredTokenException"
        | "ExpiredToken"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignatureException"
        | "IncompleteSignature"
        | "MissingAuthenticationTokenException"
        | "MissingAuthenticationToken"
        | "RequestExpired"
        | "RequestTimeTooSkewed" => ErrorKind::Credentials,
        _ if status == 429 => ErrorKind::Throttled,
        _ if status >= 500 => ErrorKind::InternalServer,
        // An answer that nobody has described: data is not given up for it.
        _ => ErrorKind::Unavailable,
    }
}

/// An error and its causes on one line, without the debug output of the SDK.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

fn datum(datum: query_sdk::types::Datum) -> Datum {
    if let Some(text) = datum.scalar_value {
        Datum::Scalar(text)
    } else if let Some(points) = datum.time_series_value {
        let value =
            |value: Option<query_sdk::types::Datum>| value.and_then(|datum| datum.scalar_value);
        Datum::TimeSeries(
            points
                .into_iter()
                .filter_map(|point| Some((point.time, value(point.value)?)))
                .collect(),
        )
    } else if let Some(array) = datum.array_value {
        Datum::Array(array.into_iter().map(self::datum).collect())
    } else if let Some(row) = datum.row_value {
        Datum::Row(row.data.into_iter().map(self::datum).collect())
    } else {
        Datum::Null
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_answer_means() {
        let cases = [
            ("ThrottlingException", 429, ErrorKind::Throttled),
            ("RejectedRecordsException", 419, ErrorKind::Rejected),
            ("ExpiredTokenException", 403, ErrorKind::Credentials),
            ("UnknownOperationException", 404, ErrorKind::InvalidEndpoint),
            ("", 429, ErrorKind::Throttled),
            ("", 502, ErrorKind::InternalServer),
            ("SomethingNew", 400, ErrorKind::Unavailable),
        ];
        for (code, status, expected) in cases {
            assert_eq!(service_kind(code, status), expected, "{code} {status}");
        }
    }
}
