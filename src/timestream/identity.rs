//! Credentials as a user can compare them with what was meant.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_credential_types::credential_feature::AwsCredentialFeature;

/// The origin of credentials, and what of them is no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The part of the default chain that has them.
    pub source: &'static str,
    /// The identifier of the access key, shortened.
    pub access_key: String,
    /// The account, if the source knows it.
    pub account: Option<String>,
    /// The time at which they expire.
    pub expires: Option<SystemTime>,
}

impl Identity {
    pub(super) fn of(credentials: &Credentials) -> Self {
        let features = credentials.get_property::<Vec<AwsCredentialFeature>>();
        Self {
            source: source(features.map_or(&[], Vec::as_slice)),
            access_key: shortened(credentials.access_key_id()),
            account: credentials
                .account_id()
                .map(|it| it.as_str().to_owned())
                .filter(|it| is_account(it)),
            expires: credentials.expiry(),
        }
    }
}

/// Returns true if a text is the number of an account.
pub fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|it| it.is_ascii_digit())
}

/// Returns the words for the features by which the SDK marks credentials. A profile can lead to any of the others,
/// which say more.
fn source(features: &[AwsCredentialFeature]) -> &'static str {
    use AwsCredentialFeature as Feature;
    let sources: [(&[Feature], &str); 8] = [
        (
            &[
                Feature::CredentialsEnvVarsStsWebIdToken,
                Feature::CredentialsProfileStsWebIdToken,
                Feature::CredentialsStsAssumeRoleWebId,
            ],
            "a role by a web identity token",
        ),
        (
            &[Feature::CredentialsStsAssumeRole],
            "a profile that assumes a role",
        ),
        (
            &[Feature::CredentialsSso, Feature::CredentialsProfileSso],
            "a profile of IAM Identity Center",
        ),
        (
            &[
                Feature::CredentialsProcess,
                Feature::CredentialsProfileProcess,
            ],
            "the process that a profile names",
        ),
        (
            &[Feature::CredentialsImds],
            "the role of this machine (instance metadata)",
        ),
        (
            &[Feature::CredentialsHttp],
            "the role of this container or pod (HTTP endpoint)",
        ),
        (
            &[Feature::CredentialsEnvVars],
            "environment variables (AWS_ACCESS_KEY_ID)",
        ),
        (
            &[Feature::CredentialsProfile],
            "a profile in the shared files",
        ),
    ];
    let is_marked = |marks: &[Feature]| marks.iter().any(|mark| features.contains(mark));
    let found = sources.iter().find(|(marks, _)| is_marked(marks));
    found.map_or("another provider", |(_, words)| words)
}

/// Returns the ends of an identifier.
fn shortened(id: &str) -> String {
    let characters: Vec<char> = id.chars().collect();
    let (first, last) = match characters.len() {
        12.. => (4, 4),
        _ => (2, 0),
    };
    let first: String = characters.iter().take(first).collect();
    let last: String = characters.iter().rev().take(last).rev().collect();
    format!("{first}...{last}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_without_their_secrets() {
        let features = vec![
            AwsCredentialFeature::CredentialsSso,
            AwsCredentialFeature::CredentialsProfile,
        ];
        let mut credentials = Credentials::builder()
            .access_key_id("AKIDEXAMPLEEXAMPLE12")
            .secret_access_key("secret")
            .account_id("123456789012")
            .provider_name("test")
            .build();
        credentials.set_property(features);
        let identity = Identity::of(&credentials);
        assert_eq!(identity.source, "a profile of IAM Identity Center");
        assert_eq!(identity.access_key, "AKID...LE12");
        assert_eq!(identity.account.as_deref(), Some("123456789012"));
        assert_eq!(source(&[]), "another provider");
        assert_eq!(shortened("local"), "lo...");
        assert_eq!(shortened(""), "...");
    }
}
