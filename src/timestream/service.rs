//! A service of Timestream: its SDK client and, with discovery, the client that discovers the endpoint.

use std::future::ready;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_smithy_runtime_api::client::endpoint::SharedEndpointResolver;
use aws_types::service_config::ServiceConfigKey;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use super::endpoint::{Address, Cell, Discoverer, Discovery};
use super::failure::classify;
use super::retry::{Attempts, Limits, with_retries};
use super::{ErrorKind, TimestreamError};

/// The longest time that a discovered endpoint is used, in minutes.
const MAX_CACHE_MINUTES: i64 = 24 * 60;

/// Runs operations of the SDK client `C`.
#[derive(Debug)]
pub(super) struct Service<C> {
    client: C,
    /// The custom endpoint, or else that of the region: the one that discovers, where the cell is discovered.
    endpoint: String,
    discovery: Option<(Discoverer, C)>,
}

impl<C: SdkClient> Service<C> {
    /// Builds the clients; `endpoint` is a custom one given by option.
    pub(super) fn new(shared: &SdkConfig, endpoint: Option<&str>, discovery: Discovery) -> Self {
        let custom = custom_endpoint(shared, endpoint, C::SERVICE_ID);
        let endpoint = custom.clone().unwrap_or_else(|| C::regional_url(shared));
        let discover = match discovery {
            Discovery::Auto => custom.is_none(),
            Discovery::On => true,
            Discovery::Off => false,
        };
        if !discover {
            return Self {
                client: C::build(shared, custom, None),
                endpoint,
                discovery: None,
            };
        }
        let cell = Cell::default();
        let resolver = SharedEndpointResolver::new(cell.clone());
        Self {
            client: C::build(shared, None, Some(resolver)),
            endpoint,
            discovery: Some((Discoverer::new(cell), C::build(shared, custom, None))),
        }
    }

    /// The client that operations go through.
    pub(super) fn client(&self) -> &C {
        &self.client
    }

    /// Returns the URL that operations go to; as long as none is discovered, that which discovers.
    pub(super) fn url(&self) -> String {
        let discovered = self.discovery.as_ref().and_then(|(it, _)| it.current());
        discovered.unwrap_or_else(|| self.endpoint.clone())
    }

    /// Returns the URL at which the first call arrives.
    pub(super) fn first_url(&self) -> &str {
        &self.endpoint
    }

    /// Makes sure that there is an address to call, and returns its URL.
    ///
    /// # Errors
    /// The address has to be discovered, and cannot be.
    pub(super) async fn discover(&self, limits: Limits) -> Result<String, TimestreamError> {
        let found = self.call(limits, |_| ready(Ok(())).boxed()).await;
        found.result.map(|()| self.url())
    }

    /// Returns true if the address has to be discovered.
    pub(super) fn discovers(&self) -> bool {
        self.discovery.is_some()
    }

    async fn describe(&self, regional: &C) -> Result<Address, TimestreamError> {
        let mut described = regional.describe().await;
        if let Err(error) = &mut described {
            error.name_host(&self.endpoint);
        }
        described
    }

    /// Runs `operation` with retries, on an endpoint that is known and renewed where needed.
    pub(super) async fn call<T>(
        &self,
        limits: Limits,
        operation: impl Fn(&C) -> BoxFuture<'static, Result<T, TimestreamError>>,
    ) -> Attempts<T> {
        // The endpoint of the last attempt, so that a rejected endpoint is replaced once for all calls.
        let used = Mutex::new(None);
        let (used, operation) = (&used, &operation);
        let attempt = || async move {
            if let Some((discoverer, regional)) = &self.discovery {
                discoverer.ensure(self.describe(regional)).await?;
                *used.lock() = discoverer.current();
            }
            operation(&self.client).await
        };
        let reload = || async move {
            if let Some((discoverer, regional)) = &self.discovery {
                let stale = used.lock().take();
                discoverer.replace(stale, self.describe(regional)).await;
            }
        };
        let mut attempts = with_retries(limits, fastrand::f64, attempt, reload).await;
        if let Err(error) = &mut attempts.result {
            error.name_host(&self.url());
        }
        attempts
    }
}

/// The common interface of the clients of the two services.
pub(super) trait SdkClient: Sized {
    /// The name of the service in profiles and, in capitals, in variables.
    const SERVICE_ID: &str;

    /// A client with a custom endpoint, or with a resolver of endpoints.
    fn build(
        shared: &SdkConfig,
        endpoint: Option<String>,
        resolver: Option<SharedEndpointResolver>,
    ) -> Self;

    /// Returns the URL of the region's endpoint by the rules of the SDK. It is empty if they know none.
    fn regional_url(shared: &SdkConfig) -> String;

    /// Discovers the endpoint of this account.
    fn describe(&self) -> BoxFuture<'static, Result<Address, TimestreamError>>;
}

/// The two crates have equal types under different paths.
macro_rules! sdk_client {
    ($sdk:ident, $service_id:literal) => {
        impl SdkClient for $sdk::Client {
            const SERVICE_ID: &str = $service_id;

            fn build(
                shared: &SdkConfig,
                endpoint: Option<String>,
                resolver: Option<SharedEndpointResolver>,
            ) -> Self {
                let mut config = $sdk::config::Builder::from(shared);
                config.set_endpoint_url(endpoint);
                if resolver.is_some() {
                    config.set_endpoint_resolver(resolver);
                }
                Self::from_conf(config.build())
            }

            fn regional_url(shared: &SdkConfig) -> String {
                let params = $sdk::config::endpoint::Params::builder()
                    .set_region(shared.region().map(ToString::to_string))
                    .use_fips(shared.use_fips().unwrap_or(false))
                    .use_dual_stack(shared.use_dual_stack().unwrap_or(false))
                    .build();
                let endpoint = params.ok().and_then(|params| {
                    let rules = $sdk::config::endpoint::DefaultResolver::new();
                    let resolved =
                        $sdk::config::endpoint::ResolveEndpoint::resolve_endpoint(&rules, &params);
                    resolved.now_or_never()?.ok()
                });
                endpoint.map_or_else(String::new, |endpoint| endpoint.url().to_owned())
            }

            fn describe(&self) -> BoxFuture<'static, Result<Address, TimestreamError>> {
                let request = self.describe_endpoints();
                async {
                    let output = request.send().await.map_err(classify)?;
                    let first = output.endpoints.into_iter().next();
                    first_address(first.map(|it| (it.address, it.cache_period_in_minutes)))
                }
                .boxed()
            }
        }
    };
}

sdk_client!(aws_sdk_timestreamwrite, "Timestream Write");
sdk_client!(aws_sdk_timestreamquery, "Timestream Query");

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
            ErrorKind::UnexpectedResponse,
            "the response to DescribeEndpoints lists no endpoint",
        )
    })?;
    // A day is what the service says; a time without bound would overflow.
    let minutes = minutes.clamp(0, MAX_CACHE_MINUTES);
    let valid_for = Duration::from_secs(60 * minutes.unsigned_abs());
    Ok(Address { address, valid_for })
}

#[cfg(test)]
mod tests {
    use aws_config::Region;

    use super::*;

    #[test]
    fn endpoints_are_used_for_a_day_at_most() {
        for (minutes, seconds) in [
            (i64::MIN, 0),
            (-1, 0),
            (10, 600),
            (1_440, 86_400),
            (1_441, 86_400),
            (i64::MAX, 86_400),
        ] {
            let address = first_address(Some(("cell".to_owned(), minutes))).unwrap();
            assert_eq!(address.valid_for.as_secs(), seconds, "{minutes}");
        }
    }

    #[test]
    fn regional_endpoints_are_those_of_the_sdk() {
        let shared = |region: &'static str, use_fips| {
            let shared = SdkConfig::builder().region(Region::new(region));
            shared.use_fips(use_fips).build()
        };
        let write =
            |region, fips| aws_sdk_timestreamwrite::Client::regional_url(&shared(region, fips));
        let query =
            |region, fips| aws_sdk_timestreamquery::Client::regional_url(&shared(region, fips));
        for (found, expected) in [
            (
                write("eu-west-1", false),
                "https://ingest.timestream.eu-west-1.amazonaws.com",
            ),
            (
                query("eu-west-1", false),
                "https://query.timestream.eu-west-1.amazonaws.com",
            ),
            (
                write("us-gov-west-1", false),
                "https://ingest.timestream.us-gov-west-1.amazonaws.com",
            ),
            (
                write("us-east-1", true),
                "https://ingest.timestream-fips.us-east-1.amazonaws.com",
            ),
        ] {
            assert_eq!(found, expected);
        }
    }
}
