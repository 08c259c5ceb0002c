//! Credentials that requests can hold.
//!
//! The SDK panics when it signs with an access key that no header can hold, so none of its clients gets such a one.

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};

use super::failure::PRINTABLE;

/// Returns the configuration with the same provider of credentials, and a check of what it returns.
pub(super) fn checked(shared: SdkConfig) -> SdkConfig {
    let provider = shared.credentials_provider();
    let provider = provider.map(|it| SharedCredentialsProvider::new(Checked(it)));
    let mut builder = shared.into_builder();
    builder.set_credentials_provider(provider);
    builder.build()
}

#[derive(Debug)]
struct Checked(SharedCredentialsProvider);

impl ProvideCredentials for Checked {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            let credentials = self.0.provide_credentials().await?;
            check(&credentials).map(|()| credentials)
        })
    }

    fn fallback_on_interrupt(&self) -> Option<Credentials> {
        let credentials = self.0.fallback_on_interrupt();
        credentials.filter(|it| check(it).is_ok())
    }
}

/// Checks the credentials. The secret key is in no header, but with a line end its signatures are never valid.
fn check(credentials: &Credentials) -> Result<(), CredentialsError> {
    let parts = [
        ("access key", credentials.access_key_id()),
        ("secret access key", credentials.secret_access_key()),
        (
            "session token",
            credentials.session_token().unwrap_or_default(),
        ),
    ];
    let unusable = parts
        .into_iter()
        .find(|(_, text)| text.contains(char::is_control));
    let Some((part, _)) = unusable else {
        return Ok(());
    };
    let text = format!("the AWS {part} has characters that no header can hold: {PRINTABLE}");
    Err(CredentialsError::invalid_configuration(text))
}

#[cfg(test)]
mod tests {
    use super::super::failure::{credentials_remedy, without_credentials};
    use super::*;

    #[tokio::test]
    async fn a_part_that_no_header_can_hold_is_named_with_the_remedy() {
        let cases = [
            (("AKID", "secret", Some("token/+=")), None),
            (("AKID\n", "secret", None), Some("access key")),
            (("AK\u{1b}ID", "secret", None), Some("access key")),
            (("AKID", "hidden\r\n", None), Some("secret access key")),
            (("AKID", "s", Some("hid\nden")), Some("session token")),
        ];
        for ((key, secret, token), part) in cases {
            let token = token.map(str::to_owned);
            let credentials = Credentials::new(key, secret, token, None, "test");
            let shared = SdkConfig::builder()
                .credentials_provider(SharedCredentialsProvider::new(credentials))
                .build();
            let provider = checked(shared).credentials_provider().unwrap();
            let provided = provider.provide_credentials().await;
            let found = provided.err().map(|error| without_credentials(&error));
            let expected =
                part.map(|part| format!("the AWS {part} has characters that no header can hold"));
            let words = found.as_deref().map(|it| credentials_remedy(it).unwrap());
            assert_eq!(words, expected.as_deref().map(|it| (it, PRINTABLE)));
        }
    }
}
