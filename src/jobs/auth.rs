//! The credentials that a job sends to the server it calls.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use serde::Deserialize;
use serde_json::Value;

use super::secret::{Secret, SecretRef, Secrets, Unresolved};
use crate::fields::{FieldReader, object};

/// The credentials of a definition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// None.
    #[default]
    None,
    /// A bearer token (RFC 6750).
    Bearer {
        /// The token.
        token: Secret,
    },
    /// User and password (RFC 7617).
    Basic {
        /// The user; no colon.
        username: String,
        /// The password.
        password: Secret,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum AuthType {
    None,
    Basic,
    Bearer,
}

const TYPES: [(&str, AuthType); 3] = [
    ("none", AuthType::None),
    ("basic", AuthType::Basic),
    ("bearer", AuthType::Bearer),
];

/// The key `auth`, where secrets are references.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Object {
    r#type: Option<Value>,
    token_ref: Option<Value>,
    username: Option<Value>,
    password_ref: Option<Value>,
}

/// The same keys side by side in a `config`, as configuration files of other programs have them. Secrets
/// are references or plain.
#[derive(Default)]
pub(super) struct FlatKeys<'v> {
    pub(super) auth_type: Option<&'v Value>,
    pub(super) username: Option<&'v Value>,
    pub(super) password: Option<&'v Value>,
    pub(super) bearer_token: Option<&'v Value>,
    /// Another name of `username`.
    pub(super) basic_auth_user: Option<&'v Value>,
    /// Another name of `password`.
    pub(super) basic_auth_pass: Option<&'v Value>,
}

impl Auth {
    /// Reads the key `auth`.
    pub(super) fn read(values: &mut FieldReader, value: Option<&Value>) -> Self {
        let Some(value) = values.given(value) else {
            return Self::None;
        };
        let given: Object = match object(value) {
            Ok(given) => given,
            Err(text) => {
                let form = r#"such as {"type": "bearer", "token_ref": "$env:NAME"}"#;
                values.error("auth", format!("{text}, {form}"));
                return Self::None;
            }
        };
        let key_of_type = "auth.type";
        if given.r#type.is_none() {
            values.error(key_of_type, "missing: none, basic or bearer");
        }
        let Some(kind) = values.choice(key_of_type, given.r#type.as_ref(), &TYPES) else {
            return Self::None;
        };
        for (name, value, needs) in [
            ("token_ref", &given.token_ref, AuthType::Bearer),
            ("username", &given.username, AuthType::Basic),
            ("password_ref", &given.password_ref, AuthType::Basic),
        ] {
            if value.is_some() && kind != needs {
                let name_of = |it| {
                    TYPES
                        .iter()
                        .find(|(_, kind)| *kind == it)
                        .map(|(name, _)| *name)
                };
                let text = format!(
                    "belongs to the type {}, and the type is {}",
                    name_of(needs).unwrap_or_default(),
                    name_of(kind).unwrap_or_default()
                );
                values.error(&format!("auth.{name}"), text);
            }
        }
        let auth = match kind {
            AuthType::None => None,
            AuthType::Bearer => reference(values, "auth.token_ref", given.token_ref.as_ref())
                .map(|token| Self::Bearer { token }),
            AuthType::Basic => {
                let username = username(values, "auth.username", given.username.as_ref());
                let password = reference(values, "auth.password_ref", given.password_ref.as_ref());
                basic_of(username, password)
            }
        };
        auth.unwrap_or_default()
    }

    /// Reads the keys side by side. Credentials without `auth_type` imply it; credentials
    /// that `auth_type` does not use contradict it.
    pub(super) fn read_flat(values: &mut FieldReader, keys: &FlatKeys<'_>) -> Self {
        let username = one_of(
            values,
            ("username", keys.username),
            ("basic_auth_user", keys.basic_auth_user),
        );
        let password = one_of(
            values,
            ("password", keys.password),
            ("basic_auth_pass", keys.basic_auth_pass),
        );
        let token = ("bearer_token", values.given(keys.bearer_token));
        let basic = [username, password].into_iter().find(|it| it.1.is_some());
        let bearer = Some(token).filter(|it| it.1.is_some());
        let kind = match values.given(keys.auth_type) {
            Some(given) => match values.choice("auth_type", Some(given), &TYPES) {
                Some(kind) => kind,
                None => return Self::None,
            },
            None => match (basic, bearer) {
                (Some((key, _)), Some(_)) => {
                    let text = format!(
                        "missing: {key} and bearer_token are given, of which one request can have one; \
                         set it to basic or bearer and leave the other out"
                    );
                    values.error("auth_type", text);
                    return Self::None;
                }
                (Some(_), None) => AuthType::Basic,
                (None, Some(_)) => AuthType::Bearer,
                (None, None) => AuthType::None,
            },
        };
        let unused = match kind {
            AuthType::None => basic.or(bearer),
            AuthType::Basic => bearer,
            AuthType::Bearer => basic,
        };
        if let Some((key, _)) = unused {
            let text = format!("does not use {key}, which is given; set the one that is meant");
            values.error("auth_type", text);
        }
        let auth = match kind {
            AuthType::None => None,
            AuthType::Bearer => {
                plain(values, token, "the token").map(|token| Self::Bearer { token })
            }
            AuthType::Basic => {
                let password = plain(values, password, "the password");
                let username = self::username(values, username.0, username.1);
                basic_of(username, password)
            }
        };
        auth.unwrap_or_default()
    }

    /// Returns the value of the header `Authorization`, hidden from logs.
    ///
    /// # Errors
    /// The secret could not be resolved, or cannot be sent in a header.
    pub fn header(&self, secrets: &Secrets) -> Result<Option<HeaderValue>, Unresolved> {
        match self {
            Self::None => Ok(None),
            Self::Bearer { token } => {
                let text = format!("Bearer {}", token.resolve("token", secrets)?);
                token.header("token", &text).map(Some)
            }
            Self::Basic { username, password } => {
                let password = password.resolve("password", secrets)?;
                Ok(Some(basic(username, &password)))
            }
        }
    }
}

/// Returns `Basic` with user and password.
fn basic(username: &str, password: &str) -> HeaderValue {
    let encoded = STANDARD.encode(format!("{username}:{password}"));
    let mut value = HeaderValue::from_str(&format!("Basic {encoded}"))
        .expect("Base64 is made of characters that headers may have");
    value.set_sensitive(true);
    value
}

fn basic_of(username: Option<String>, password: Option<Secret>) -> Option<Auth> {
    let (username, password) = username.zip(password)?;
    Some(Auth::Basic { username, password })
}

fn reference(values: &mut FieldReader, key: &str, value: Option<&Value>) -> Option<Secret> {
    let text = value.and_then(Value::as_str).unwrap_or_default();
    match SecretRef::parse(text) {
        Ok(reference) => Some(reference.into()),
        Err(error) => {
            values.error(key, error.to_string());
            None
        }
    }
}

fn username(values: &mut FieldReader, key: &str, value: Option<&Value>) -> Option<String> {
    let name = value.and_then(Value::as_str).unwrap_or_default();
    if name.is_empty() || name.contains(':') {
        values.error(
            key,
            "expected the name of a user, not empty and without a colon",
        );
        return None;
    }
    Some(name.to_owned())
}

/// Reads a secret that may be in the definition itself; the error says `what` is missing.
fn plain(
    values: &mut FieldReader,
    (key, value): (&'static str, Option<&Value>),
    what: &str,
) -> Option<Secret> {
    let Some(text) = value.and_then(Value::as_str) else {
        values.error(
            key,
            format!("expected {what} as a text, or a reference such as $env:NAME"),
        );
        return None;
    };
    if !text.starts_with('$') {
        return Some(Secret::Plain(text.to_owned()));
    }
    reference(values, key, value)
}

/// Returns the one of two synonymous keys that is given.
fn one_of<'v>(
    values: &mut FieldReader,
    (key, value): (&'static str, Option<&'v Value>),
    (other_key, other): (&'static str, Option<&'v Value>),
) -> (&'static str, Option<&'v Value>) {
    match (values.given(value), values.given(other)) {
        (Some(one), Some(other)) if one != other => {
            let text = format!("is another name of {key}, and they differ; give one");
            values.error(other_key, text);
            (key, Some(one))
        }
        (None, Some(other)) => (other_key, Some(other)),
        (one, _) => (key, one),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(value: Value) -> Result<Auth, String> {
        let mut values = FieldReader::strict("config");
        let auth = Auth::read(&mut values, Some(&value));
        match values.errors.iter().next() {
            None => Ok(auth),
            Some(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn kinds() {
        assert_eq!(read(json!({"type": "none"})), Ok(Auth::None));
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
            (
                json!({"type": "bearer"}),
                "config.auth.token_ref: expected a reference to a secret",
            ),
            (
                json!({"type": "bearer", "token_ref": "hunter2"}),
                "expected a reference to a secret",
            ),
            (
                json!({"type": "bearer", "token_ref": 4_711}),
                "expected a reference to a secret",
            ),
            (
                json!({"type": "hunter2"}),
                "config.auth.type: expected one of none, basic, bearer",
            ),
            (json!({"token_ref": "$env:T"}), "config.auth.type: missing"),
            (
                json!("Bearer hunter2"),
                r#"config.auth: expected an object, such as {"type": "bearer""#,
            ),
            (json!(["hunter2"]), "config.auth: expected an object"),
            (
                json!({"type": "basic", "username": "a:b", "password_ref": "$env:P"}),
                "without a colon",
            ),
            (
                json!({"type": "none", "token_ref": "$env:T"}),
                "config.auth.token_ref: belongs to the type bearer, and the type is none",
            ),
        ] {
            let error = read(value).unwrap_err();
            assert!(error.contains(text), "{error}");
            assert!(
                !error.contains("hunter2") && !error.contains("4711"),
                "{error}"
            );
        }
    }

    #[test]
    fn credentials_imply_their_type_and_contradictions_are_errors() {
        let read = |config: Value| {
            let mut values = FieldReader::lenient("config");
            let keys = FlatKeys {
                auth_type: config.get("auth_type"),
                username: config.get("username"),
                password: config.get("password"),
                bearer_token: config.get("bearer_token"),
                basic_auth_user: config.get("basic_auth_user"),
                basic_auth_pass: config.get("basic_auth_pass"),
            };
            let auth = Auth::read_flat(&mut values, &keys);
            let errors = values.errors.messages();
            match errors.is_empty() {
                true => Ok(auth),
                false => Err(errors.join("; ")),
            }
        };
        let basic = Auth::Basic {
            username: "u".to_owned(),
            password: Secret::Plain("hunter2".to_owned()),
        };
        let bearer = Auth::Bearer {
            token: Secret::Plain("hunter2".to_owned()),
        };
        for (config, expected) in [
            (json!({}), Auth::None),
            (
                json!({"auth_type": "none", "username": "", "password": " ", "bearer_token": null}),
                Auth::None,
            ),
            (
                json!({"basic_auth_user": "", "basic_auth_pass": ""}),
                Auth::None,
            ),
            (
                json!({"basic_auth_user": "u", "basic_auth_pass": "hunter2"}),
                basic.clone(),
            ),
            (
                json!({"username": "u", "password": "hunter2", "auth_type": ""}),
                basic.clone(),
            ),
            (
                json!({"username": "u", "basic_auth_user": "u", "password": "hunter2"}),
                basic.clone(),
            ),
            (json!({"bearer_token": "hunter2"}), bearer.clone()),
            (
                json!({"auth_type": "bearer", "bearer_token": "hunter2", "username": ""}),
                bearer,
            ),
        ] {
            assert_eq!(read(config), Ok(expected));
        }
        for (config, expected) in [
            (
                json!({"auth_type": "none", "basic_auth_user": "u", "basic_auth_pass": "hunter2"}),
                "config.auth_type: does not use basic_auth_user",
            ),
            (
                json!({"auth_type": "none", "bearer_token": "hunter2"}),
                "config.auth_type: does not use bearer_token",
            ),
            (
                json!({"auth_type": "basic", "username": "u", "password": "p", "bearer_token": "hunter2"}),
                "config.auth_type: does not use bearer_token",
            ),
            (
                json!({"auth_type": "bearer", "password": "hunter2", "bearer_token": "t"}),
                "config.auth_type: does not use password",
            ),
            (
                json!({"username": "u", "password": "hunter2", "bearer_token": "t"}),
                "config.auth_type: missing: username and bearer_token are given",
            ),
            (
                json!({"username": "a", "basic_auth_user": "b", "password": "hunter2"}),
                "config.basic_auth_user: is another name of username",
            ),
            (json!({"basic_auth_user": "u"}), "config.password: expected"),
            (json!({"password": "hunter2"}), "config.username: expected"),
            (
                json!({"auth_type": "bearer"}),
                "config.bearer_token: expected the token",
            ),
            (
                json!({"auth_type": "Bearer hunter2"}),
                "config.auth_type: expected one of none, basic, bearer",
            ),
            (
                json!({"bearer_token": 4_711}),
                "config.bearer_token: expected the token",
            ),
            (
                json!({"bearer_token": "$hunter2"}),
                "config.bearer_token: expected a reference",
            ),
        ] {
            let error = read(config).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
            assert!(
                !error.contains("hunter2") && !error.contains("4711"),
                "{error}"
            );
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
