//! How a connector shows who it is to the server it calls.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use serde::Deserialize;

use super::secret::{Secret, SecretRef, Secrets, Unresolved};

/// How it shows that; the key `auth` of a definition, where secrets are references.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum Auth {
    /// Nothing is shown. Not a unit variant: serde would take unknown keys beside its tag.
    None {},
    /// A bearer token (RFC 6750).
    Bearer {
        /// The token.
        #[serde(rename = "token_ref", deserialize_with = "reference")]
        token: Secret,
    },
    /// User and password (RFC 7617).
    Basic {
        /// The user; no colon.
        #[serde(deserialize_with = "username")]
        username: String,
        /// The password.
        #[serde(rename = "password_ref", deserialize_with = "reference")]
        password: Secret,
    },
}

impl Default for Auth {
    fn default() -> Self {
        Self::None {}
    }
}

impl Auth {
    /// The value of the header `Authorization`, which logs do not show.
    ///
    /// # Errors
    /// The secret cannot be had, or cannot be sent in a header.
    pub fn header(&self, secrets: &Secrets) -> Result<Option<HeaderValue>, Unresolved> {
        match self {
            Self::None {} => Ok(None),
            Self::Bearer { token: from } => {
                let token = from.resolve("token", secrets)?;
                bearer(&token).map(Some).ok_or_else(|| Unresolved {
                    what: "token",
                    why: format!(
                        "{from} holds what no header can have: line ends or control characters"
                    ),
                })
            }
            Self::Basic { username, password } => {
                let password = password.resolve("password", secrets)?;
                Ok(Some(basic(username, &password)))
            }
        }
    }
}

/// `Bearer` and a token; `None` if no header can hold it.
fn bearer(token: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// `Basic` with user and password.
fn basic(username: &str, password: &str) -> HeaderValue {
    let encoded = STANDARD.encode(format!("{username}:{password}"));
    let mut value = HeaderValue::from_str(&format!("Basic {encoded}"))
        .expect("Base64 is made of characters that headers may have");
    value.set_sensitive(true);
    value
}

fn reference<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    SecretRef::deserialize(deserializer).map(Secret::from)
}

fn username<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    if name.is_empty() || name.contains(':') {
        let text = "invalid username: expected a name that is not empty and has no colon";
        return Err(serde::de::Error::custom(text));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(value: Value) -> Result<Auth, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn kinds() {
        assert_eq!(read(json!({"type": "none"})), Ok(Auth::None {}));
        let bearer = read(json!({"type": "bearer", "token_ref": "$env:T"}));
        let token = SecretRef::Env("T".to_owned()).into();
        assert_eq!(bearer, Ok(Auth::Bearer { token }));
        let basic = json!({"type": "basic", "username": "u", "password_ref": "$file:p"});
        assert!(matches!(read(basic), Ok(Auth::Basic { .. })));
        for (value, text) in [
            (json!({"type": "none", "x": 1}), "unknown field `x`"),
            (
                json!({"type": "bearer", "token": "t"}),
                "unknown field `token`",
            ),
            (json!({"type": "bearer"}), "missing field `token_ref`"),
            (
                json!({"type": "bearer", "token_ref": "hunter2"}),
                "expected a reference to a secret",
            ),
            (json!({"type": "digest"}), "unknown variant `digest`"),
            (
                json!({"type": "basic", "username": "a:b", "password_ref": "$env:P"}),
                "no colon",
            ),
        ] {
            let error = read(value).unwrap_err();
            assert!(error.contains(text), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn headers() {
        let secrets = Secrets::new(None, |name| match name {
            "T" => Some("t0ken".to_owned()),
            "P" => Some("open sesame".to_owned()),
            "BAD" => Some("a\nb".to_owned()),
            _ => None,
        });
        let header = |auth: Auth| auth.header(&secrets);
        let bearer = |name: &str| Auth::Bearer {
            token: SecretRef::Env(name.to_owned()).into(),
        };
        let basic = |name: &str| Auth::Basic {
            username: "Aladdin".to_owned(),
            password: SecretRef::Env(name.to_owned()).into(),
        };
        assert_eq!(header(Auth::default()), Ok(None));
        let value = header(bearer("T")).unwrap().unwrap();
        assert_eq!(value, "Bearer t0ken");
        assert!(value.is_sensitive());
        // The example of RFC 7617.
        let value = header(basic("P")).unwrap().unwrap();
        assert_eq!(value, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(value.is_sensitive());
        for (auth, text) in [
            (
                bearer("NONE"),
                "token resolve: the variable NONE is not set, or empty",
            ),
            (
                basic("NONE"),
                "password resolve: the variable NONE is not set, or empty",
            ),
        ] {
            assert_eq!(header(auth).unwrap_err().to_string(), text);
        }
        let error = header(bearer("BAD")).unwrap_err().to_string();
        assert!(
            error.starts_with("token resolve: $env:BAD holds"),
            "{error}"
        );
        let token = Secret::Plain("hunter2\n".to_owned());
        let error = header(Auth::Bearer { token }).unwrap_err().to_string();
        assert!(
            error.starts_with("token resolve: the text in the definition holds"),
            "{error}"
        );
    }
}
