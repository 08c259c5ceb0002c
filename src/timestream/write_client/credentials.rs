//! Credentials that calls share until they are about to expire.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use parking_lot::Mutex;

use super::super::failure::without_credentials;

/// The time before their end at which credentials are renewed, as in the SDK.
const MARGIN: Duration = Duration::from_secs(10);
/// The time after which credentials without an end are read again, as in the SDK: a file may have changed.
const DEFAULT_LIFE: Duration = Duration::from_secs(15 * 60);
/// The pause after a failure to renew credentials that are still valid.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest time that a provider may take, as in the SDK.
const LOAD_TIMEOUT: Duration = Duration::from_secs(5);

/// A provider of credentials with those that it returned last.
#[derive(Debug)]
pub(super) struct CredentialsCache {
    provider: Option<SharedCredentialsProvider>,
    current: Mutex<Option<Current>>,
    // Held while credentials are loaded, so that many calls share one load.
    loading: tokio::sync::Mutex<()>,
}

#[derive(Clone, Debug)]
struct Current {
    credentials: Arc<Credentials>,
    renew_at: SystemTime,
}

impl Current {
    fn is_fresh(&self, now: SystemTime) -> bool {
        now < self.renew_at
    }

    fn is_valid(&self, now: SystemTime) -> bool {
        self.credentials.expiry().is_none_or(|expiry| now < expiry)
    }
}

impl CredentialsCache {
    /// Returns a cache in which nothing is loaded yet.
    pub(super) fn new(provider: Option<SharedCredentialsProvider>) -> Self {
        Self {
            provider,
            current: Mutex::new(None),
            loading: tokio::sync::Mutex::new(()),
        }
    }

    /// Returns credentials that are valid at `now`. Valid ones outlive a failure to renew them.
    ///
    /// # Errors
    /// The provider has none.
    pub(super) async fn get(&self, now: SystemTime) -> Result<Arc<Credentials>, CredentialsError> {
        if let Some(fresh) = self.fresh(now) {
            return Ok(fresh);
        }
        let _loading = self.loading.lock().await;
        if let Some(fresh) = self.fresh(now) {
            return Ok(fresh);
        }
        let loaded = match self.load().await {
            Ok(credentials) => {
                let end = credentials.expiry();
                let renew_at = end.map_or(now + DEFAULT_LIFE, |end| {
                    end.checked_sub(MARGIN).unwrap_or(end)
                });
                Current {
                    credentials: Arc::new(credentials),
                    // A provider that returns old credentials is queried once a second.
                    renew_at: renew_at.max(now + PAUSE),
                }
            }
            Err(error) => {
                let valid = self.current.lock().clone().filter(|it| it.is_valid(now));
                let Some(valid) = valid else {
                    return Err(error);
                };
                tracing::warn!(
                    error = without_credentials(&error),
                    "Cannot renew the AWS credentials; the old ones stay in use until they expire."
                );
                Current {
                    renew_at: now + PAUSE,
                    ..valid
                }
            }
        };
        let credentials = Arc::clone(&loaded.credentials);
        *self.current.lock() = Some(loaded);
        Ok(credentials)
    }

    fn fresh(&self, now: SystemTime) -> Option<Arc<Credentials>> {
        let current = self.current.lock();
        let fresh = current.as_ref().filter(|current| current.is_fresh(now))?;
        Some(Arc::clone(&fresh.credentials))
    }

    async fn load(&self) -> Result<Credentials, CredentialsError> {
        let Some(provider) = &self.provider else {
            return Err(CredentialsError::not_loaded_no_source());
        };
        tokio::time::timeout(LOAD_TIMEOUT, provider.provide_credentials())
            .await
            .unwrap_or_else(|_| Err(CredentialsError::provider_timed_out(LOAD_TIMEOUT)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use aws_credential_types::provider::future;

    use super::*;

    /// Returns each of the results once.
    #[derive(Debug)]
    struct Script(Mutex<VecDeque<Result<Credentials, CredentialsError>>>);

    impl ProvideCredentials for Script {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let next = self.0.lock().pop_front();
            future::ProvideCredentials::ready(next.expect("no further load is expected"))
        }
    }

    fn cache(
        script: impl IntoIterator<Item = Result<Credentials, CredentialsError>>,
    ) -> CredentialsCache {
        let script = Script(Mutex::new(script.into_iter().collect()));
        CredentialsCache::new(Some(SharedCredentialsProvider::new(script)))
    }

    fn credentials(key: &str, end: Option<SystemTime>) -> Credentials {
        Credentials::new(key, "secret", None, end, "test")
    }

    async fn key(cache: &CredentialsCache, now: SystemTime) -> Result<String, CredentialsError> {
        let credentials = cache.get(now).await?;
        Ok(credentials.access_key_id().to_owned())
    }

    #[tokio::test]
    async fn credentials_are_loaded_once_and_renewed_before_their_end() {
        let start = SystemTime::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let cache = cache([
            Ok(credentials("one", Some(after(3600)))),
            Ok(credentials("two", None)),
            Ok(credentials("three", None)),
        ]);
        for (seconds, expected) in [
            (0, "one"),
            (3589, "one"),
            (3590, "two"),
            (3590 + 899, "two"),
            (3590 + 900, "three"),
        ] {
            assert_eq!(key(&cache, after(seconds)).await.unwrap(), expected);
        }
    }

    #[tokio::test]
    async fn valid_credentials_outlive_a_failure() {
        let start = SystemTime::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let failure = || Err(CredentialsError::provider_error("down"));
        let cache = cache([
            Ok(credentials("one", Some(after(60)))),
            failure(),
            failure(),
            Ok(credentials("two", None)),
        ]);
        assert_eq!(key(&cache, start).await.unwrap(), "one");
        assert_eq!(key(&cache, after(55)).await.unwrap(), "one");
        // The provider is not queried for each call.
        assert_eq!(key(&cache, after(55)).await.unwrap(), "one");
        assert!(key(&cache, after(60)).await.is_err());
        assert_eq!(key(&cache, after(60)).await.unwrap(), "two");
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_hangs_is_an_error() {
        #[derive(Debug)]
        struct Hangs;
        impl ProvideCredentials for Hangs {
            fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
            where
                Self: 'a,
            {
                future::ProvideCredentials::new(std::future::pending())
            }
        }
        let cache = CredentialsCache::new(Some(SharedCredentialsProvider::new(Hangs)));
        let error = cache.get(SystemTime::now()).await.unwrap_err();
        assert!(
            matches!(error, CredentialsError::ProviderTimedOut(_)),
            "{error:?}"
        );
    }
}
