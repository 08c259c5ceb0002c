//! Endpoint discovery: which cell of Timestream serves this account.
//!
//! The regional host serves only DescribeEndpoints; every other call goes to a cell that it
//! names, until the name expires or the cell responds with InvalidEndpointException
//! (<https://docs.aws.amazon.com/timestream/latest/developerguide/Using-API.endpoint-discovery.html>).
//! The SDK's own discovery needs a background task, which Lambda freezes, and always speaks TLS;
//! this one looks at the clock before a call and takes an address that carries a scheme as it is.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_smithy_runtime_api::client::endpoint::{
    EndpointFuture, EndpointResolverParams, ResolveEndpoint,
};
use aws_smithy_types::endpoint::Endpoint;
use parking_lot::Mutex;

use super::{ErrorKind, TimestreamError};

/// The use of endpoint discovery.
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

/// The time before its end at which an address is renewed.
const MARGIN: Duration = Duration::from_secs(120);

/// An address in a response to DescribeEndpoints.
#[derive(Clone, Debug)]
pub(super) struct Address {
    /// Host, or URL with a scheme.
    pub(super) address: String,
    /// The time for which it may be used.
    pub(super) valid_for: Duration,
}

/// The cell in use, shared by the SDK client that resolves it and the one that discovers it.
#[derive(Clone, Debug, Default)]
pub(super) struct Cell(Arc<Mutex<Option<Known>>>);

#[derive(Clone, Debug)]
struct Known {
    url: String,
    expires: Instant,
}

impl Cell {
    fn known(&self) -> Option<Known> {
        self.0.lock().clone()
    }

    fn set(&self, known: Known) {
        *self.0.lock() = Some(known);
    }
}

impl ResolveEndpoint for Cell {
    fn resolve_endpoint<'a>(&'a self, _params: &'a EndpointResolverParams) -> EndpointFuture<'a> {
        EndpointFuture::ready(match self.known() {
            Some(known) => Ok(Endpoint::builder().url(known.url).build()),
            None => Err("no Timestream endpoint has been discovered yet".into()),
        })
    }
}

/// Keeps a [`Cell`] up to date.
#[derive(Debug)]
pub(super) struct Discoverer {
    cell: Cell,
    // Held during discovery, so that many calls share one.
    discovering: tokio::sync::Mutex<()>,
}

impl Discoverer {
    pub(super) fn new(cell: Cell) -> Self {
        Self {
            cell,
            discovering: tokio::sync::Mutex::new(()),
        }
    }

    /// Makes sure that there is an address to call; runs `describe` if there is none or it is
    /// about to expire. An old address outlives a failure to get a new one.
    pub(super) async fn ensure(
        &self,
        describe: impl Future<Output = Result<Address, TimestreamError>>,
    ) -> Result<(), TimestreamError> {
        let fresh = |known: &Known| known.expires > Instant::now() + MARGIN;
        if self.cell.known().as_ref().is_some_and(fresh) {
            return Ok(());
        }
        let _discovering = self.discovering.lock().await;
        let known = self.cell.known();
        if known.as_ref().is_some_and(fresh) {
            return Ok(());
        }
        match describe.await {
            Ok(address) => self.cell.set(Known::new(&address)?),
            Err(error) if known.is_none() => return Err(error),
            Err(error) => tracing::warn!(
                error = %error,
                "Cannot renew the Timestream endpoint; the old one stays in use."
            ),
        }
        Ok(())
    }

    /// Returns the address in use, for [`Self::replace`] if it turns out wrong.
    pub(super) fn current(&self) -> Option<String> {
        self.cell.known().map(|known| known.url)
    }

    /// Discovers a new address because the service rejected `stale`; does nothing if another
    /// call has replaced it already. If discovery fails the old address stays.
    pub(super) async fn replace(
        &self,
        stale: Option<String>,
        describe: impl Future<Output = Result<Address, TimestreamError>>,
    ) {
        let _discovering = self.discovering.lock().await;
        if self.current() != stale {
            return;
        }
        match describe.await.and_then(|address| Known::new(&address)) {
            Ok(known) => self.cell.set(known),
            Err(error) => tracing::warn!(error = %error, "Cannot reload the Timestream endpoint."),
        }
    }
}

impl Known {
    fn new(address: &Address) -> Result<Self, TimestreamError> {
        let url = if address.address.contains("://") {
            address.address.clone()
        } else {
            format!("https://{}", address.address)
        };
        let parsed: Result<http::Uri, _> = url.parse();
        let is_url = |uri: http::Uri| {
            let host = uri.host().is_some_and(|host| !host.is_empty());
            host && matches!(uri.scheme_str(), Some("http" | "https"))
        };
        if !parsed.is_ok_and(is_url) {
            let message = format!(
                "the response to DescribeEndpoints has an address that is no host: '{}'",
                address.address
            );
            return Err(TimestreamError::new(ErrorKind::UnexpectedResponse, message));
        }
        // An hour at least, should the service ever say 0.
        let valid_for = address.valid_for.max(Duration::from_secs(3600));
        Ok(Self {
            url,
            expires: Instant::now() + valid_for,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    fn address(address: &str) -> Address {
        Address {
            address: address.to_owned(),
            valid_for: Duration::from_secs(86_400),
        }
    }

    fn failure() -> TimestreamError {
        TimestreamError::new(ErrorKind::Unavailable, "down")
    }

    #[tokio::test]
    async fn an_address_is_requested_once() {
        let discoverer = Discoverer::new(Cell::default());
        assert!(discoverer.ensure(ready(Err(failure()))).await.is_err());
        discoverer
            .ensure(ready(Ok(address("cell1"))))
            .await
            .unwrap();
        assert_eq!(discoverer.current().as_deref(), Some("https://cell1"));
        discoverer
            .ensure(async { panic!("discovered again") })
            .await
            .unwrap();
    }

    #[test]
    fn addresses() {
        for (text, url) in [
            ("cell1.example", "https://cell1.example"),
            ("cell1.example:8443", "https://cell1.example:8443"),
            ("http://127.0.0.1:9203", "http://127.0.0.1:9203"),
        ] {
            assert_eq!(Known::new(&address(text)).unwrap().url, url);
        }
        for text in [
            "",
            "a b",
            "://",
            "ftp://cell1",
            "http://",
            "https://:1",
            "<html>",
        ] {
            let error = Known::new(&address(text)).unwrap_err();
            assert_eq!(error.kind, ErrorKind::UnexpectedResponse, "{text}");
        }
    }

    #[tokio::test]
    async fn an_address_about_to_expire_is_renewed_and_outlives_a_failure() {
        let discoverer = Discoverer::new(Cell::default());
        discoverer.cell.set(Known {
            url: "http://old".to_owned(),
            expires: Instant::now() + MARGIN / 2,
        });
        discoverer.ensure(ready(Err(failure()))).await.unwrap();
        assert_eq!(discoverer.current().as_deref(), Some("http://old"));
        discoverer
            .ensure(ready(Ok(address("http://new"))))
            .await
            .unwrap();
        assert_eq!(discoverer.current().as_deref(), Some("http://new"));
    }

    #[tokio::test]
    async fn a_rejected_address_is_replaced_once() {
        let discoverer = Discoverer::new(Cell::default());
        discoverer
            .ensure(ready(Ok(address("cell1"))))
            .await
            .unwrap();
        let stale = discoverer.current();
        discoverer
            .replace(stale.clone(), ready(Ok(address("cell2"))))
            .await;
        discoverer
            .replace(stale, async { panic!("replaced one that is gone") })
            .await;
        assert_eq!(discoverer.current().as_deref(), Some("https://cell2"));
        discoverer
            .replace(discoverer.current(), ready(Err(failure())))
            .await;
        assert_eq!(discoverer.current().as_deref(), Some("https://cell2"));
    }
}
