//! References to secrets: `$env:NAME`, a variable of this process, and `$file:NAME`, a file under
//! `secrets_dir`.
//!
//! A user who may define a job chooses the endpoint that a secret is sent to, so a reference reaches
//! neither the keys of this process (`AWS_*`, the options that are secrets) nor a file
//! elsewhere.

use std::fmt;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use http::HeaderValue;
use serde::Deserialize;

/// Options whose values are secrets of this program.
pub const OWN: [&str; 5] = [
    "basic_auth_users",
    "bearer_token",
    "read_bearer_token",
    "write_bearer_token",
    "admin_bearer_token",
];
/// The most bytes of a secret.
const MAX_BYTES: u64 = 64 << 10;
const ENV: &str = "$env:";
const FILE: &str = "$file:";

/// A reference to a secret.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum SecretRef {
    /// A variable of this process.
    Env(String),
    /// A file, by its path under `secrets_dir`.
    File(String),
}

/// A secret in a definition, or a reference to one.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// The secret itself.
    Plain(String),
    /// A reference to it.
    Reference(SecretRef),
}

/// A string that is not a reference to a secret. No error repeats it: it may be the secret itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidReference(String);

/// A secret that could not be resolved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} resolve: {reason}")]
pub struct Unresolved {
    /// `token` or `password`, for instance.
    pub what: &'static str,
    /// The reason and the remedy.
    pub reason: String,
}

/// Resolves references.
#[derive(Clone)]
pub struct Secrets {
    folder: Option<PathBuf>,
    environment: fn(&str) -> Option<String>,
}

impl SecretRef {
    /// Reads a reference.
    ///
    /// # Errors
    /// It is none, or one to a secret that no definition may have.
    pub fn parse(text: &str) -> Result<Self, InvalidReference> {
        let invalid = |reason: String| Err(InvalidReference(reason));
        if let Some(name) = text.strip_prefix(ENV) {
            let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if !starts_well || !name.chars().all(is_name) {
                return invalid(format!(
                    "expected a variable after {ENV}: letters, digits and _, no digit first"
                ));
            }
            let upper = name.to_ascii_uppercase();
            if upper.starts_with("AWS_") || OWN.iter().any(|own| name.eq_ignore_ascii_case(own)) {
                return invalid(format!(
                    "{ENV}{name} is not for definitions: it would hand keys of the connector itself \
                     to the endpoint; put the secret into a variable of its own"
                ));
            }
            return Ok(Self::Env(name.to_owned()));
        }
        if let Some(name) = text.strip_prefix(FILE) {
            let parts = Path::new(name).components();
            let is_inside = parts
                .clone()
                .all(|part| matches!(part, Component::Normal(_)));
            if name.is_empty() || !is_inside || name.contains(['\\', '\0']) {
                return invalid(format!(
                    "expected the name of a file under secrets_dir after {FILE}, without .. and \
                     without a leading /"
                ));
            }
            return Ok(Self::File(name.to_owned()));
        }
        invalid(format!(
            "expected a reference to a secret, {ENV}NAME or {FILE}NAME, not the secret itself"
        ))
    }
}

impl TryFrom<String> for SecretRef {
    type Error = InvalidReference;

    fn try_from(text: String) -> Result<Self, InvalidReference> {
        Self::parse(&text)
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "{ENV}{name}"),
            Self::File(name) => write!(f, "{FILE}{name}"),
        }
    }
}

impl Secret {
    /// Returns the secret; the error begins with `what` it is.
    ///
    /// # Errors
    /// It could not be resolved, see [`Secrets::resolve`].
    pub fn resolve(&self, what: &'static str, secrets: &Secrets) -> Result<String, Unresolved> {
        match self {
            Self::Plain(text) => Ok(text.clone()),
            Self::Reference(reference) => secrets.resolve(what, reference),
        }
    }
}

impl Secret {
    /// Returns the value of a header with the secret, hidden from logs; the error begins with `what` the secret
    /// is.
    ///
    /// # Errors
    /// No header can have it.
    pub(super) fn header(&self, what: &'static str, text: &str) -> Result<HeaderValue, Unresolved> {
        let mut value = HeaderValue::from_str(text).map_err(|_| Unresolved {
            what,
            reason: format!(
                "{self} holds what no header can have: line ends or control characters"
            ),
        })?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl From<SecretRef> for Secret {
    fn from(reference: SecretRef) -> Self {
        Self::Reference(reference)
    }
}

/// Never the secret.
impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(_) => f.write_str("the text in the definition"),
            Self::Reference(reference) => reference.fmt(f),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Secrets {
    /// Returns a resolver of files under `folder`, and of variables by `environment`.
    pub fn new(folder: Option<PathBuf>, environment: fn(&str) -> Option<String>) -> Self {
        Self {
            folder,
            environment,
        }
    }

    /// Returns the secret; the error begins with `what` it is. A file's final line end is not part of it.
    ///
    /// # Errors
    /// The variable is not set or empty, or the file cannot be read, is empty, too large or lies
    /// elsewhere.
    pub fn resolve(&self, what: &'static str, from: &SecretRef) -> Result<String, Unresolved> {
        let found = match from {
            SecretRef::Env(name) => (self.environment)(name)
                .filter(|value| !value.is_empty())
                .ok_or_else(|| format!("the variable {name} is not set, or empty")),
            SecretRef::File(name) => self.read(name),
        };
        found.map_err(|reason| Unresolved { what, reason })
    }

    /// Returns the bytes of a file that is not a secret itself, a certificate for instance; the error begins
    /// with `what` it is. A definition opens only files under `secrets_dir`: a user who may define a job must
    /// not read other files through this process.
    ///
    /// # Errors
    /// It cannot be read, is empty, has more than `limit` bytes or lies elsewhere.
    pub(super) fn file(
        &self,
        what: &'static str,
        name: &str,
        limit: u64,
    ) -> Result<Vec<u8>, Unresolved> {
        self.bytes(&format!("the file {name}"), name, limit)
            .map_err(|reason| Unresolved { what, reason })
    }

    fn read(&self, name: &str) -> Result<String, String> {
        let path = || self.folder.as_deref().unwrap_or(Path::new("")).join(name);
        let bytes = self.bytes(&format!("{FILE}{name}"), name, MAX_BYTES)?;
        let text =
            String::from_utf8(bytes).map_err(|_| format!("{} is not UTF-8", path().display()))?;
        let secret = text.strip_suffix('\n').unwrap_or(&text);
        let secret = secret.strip_suffix('\r').unwrap_or(secret);
        if secret.is_empty() {
            return Err(format!("{} is empty", path().display()));
        }
        Ok(secret.to_owned())
    }

    /// Returns the bytes of the file `name`, which a definition gives as `given`.
    fn bytes(&self, given: &str, name: &str, limit: u64) -> Result<Vec<u8>, String> {
        let Some(folder) = &self.folder else {
            return Err(format!(
                "{given} needs a folder of secrets: set --secrets-dir (secrets_dir)"
            ));
        };
        let path = folder.join(name);
        let failed = |error| format!("{} cannot be read: {error}", path.display());
        let named = folder;
        let folder = folder.canonicalize().map_err(failed)?;
        // Of what lies elsewhere no error says whether it is there.
        if !path.starts_with(named) && !path.starts_with(&folder) {
            return Err(format!("{} leads out of secrets_dir", path.display()));
        }
        // Links inside the folder are how Kubernetes mounts secrets; those that leave it are rejected.
        let real = path.canonicalize().map_err(failed)?;
        if !real.starts_with(&folder) {
            return Err(format!("{} leads out of secrets_dir", path.display()));
        }
        let file = std::fs::File::open(real).map_err(failed)?;
        let mut bytes = Vec::new();
        let mut limited = file.take(limit + 1);
        limited.read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > limit {
            let path = path.display();
            return Err(format!("{path} has more than {limit} bytes"));
        }
        if bytes.is_empty() {
            return Err(format!("{} is empty", path.display()));
        }
        Ok(bytes)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references() {
        let cases = [
            ("$env:TOKEN_1", Ok("$env:TOKEN_1")),
            ("$env:_x", Ok("$env:_x")),
            ("$file:token", Ok("$file:token")),
            ("$file:prod/token", Ok("$file:prod/token")),
            ("$env:", Err("expected a variable")),
            ("$env:1A", Err("expected a variable")),
            ("$env:A B", Err("expected a variable")),
            ("$env:A=B", Err("expected a variable")),
            ("$env:AWS_SECRET_ACCESS_KEY", Err("is not for definitions")),
            ("$env:aws_session_token", Err("is not for definitions")),
            ("$env:bearer_token", Err("is not for definitions")),
            ("$env:BASIC_AUTH_USERS", Err("is not for definitions")),
            ("$file:", Err("expected the name of a file")),
            ("$file:/etc/passwd", Err("expected the name of a file")),
            ("$file:../x", Err("expected the name of a file")),
            ("$file:a/../../x", Err("expected the name of a file")),
            ("$file:./x", Err("expected the name of a file")),
            ("$file:a\\..\\x", Err("expected the name of a file")),
            ("hunter2", Err("expected a reference")),
            ("$ENV:X", Err("expected a reference")),
            ("", Err("expected a reference")),
        ];
        for (text, expected) in cases {
            match (SecretRef::parse(text), expected) {
                (Ok(reference), Ok(same)) => assert_eq!(reference.to_string(), same),
                (Err(error), Err(start)) => {
                    let error = error.to_string();
                    assert!(error.contains(start), "{text}: {error}");
                    assert!(!error.contains("hunter2"), "{error}");
                }
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
    }

    fn environment(name: &str) -> Option<String> {
        match name {
            "TOKEN" => Some("t0ken".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn secrets_come_from_variables_and_files() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "from file\r\n").unwrap();
        std::fs::write(folder.path().join("empty"), "\n").unwrap();
        std::fs::write(folder.path().join("large"), vec![b'x'; 70_000]).unwrap();
        let secrets = Secrets::new(Some(folder.path().to_owned()), environment);
        let resolve = |text: &str| secrets.resolve("token", &SecretRef::parse(text).unwrap());
        assert_eq!(resolve("$env:TOKEN").unwrap(), "t0ken");
        assert_eq!(resolve("$file:token").unwrap(), "from file");
        for (text, start) in [
            ("$env:EMPTY", "token resolve: the variable EMPTY is not set"),
            ("$env:NONE", "token resolve: the variable NONE is not set"),
            ("$file:none", "token resolve: "),
            ("$file:empty", "token resolve: "),
            ("$file:large", "token resolve: "),
        ] {
            let error = resolve(text).unwrap_err().to_string();
            assert!(error.starts_with(start), "{error}");
        }
        let without = Secrets::new(None, environment);
        let error = without.resolve("password", &SecretRef::File("x".to_owned()));
        let error = error.unwrap_err().to_string();
        assert!(error.starts_with("password resolve: "), "{error}");
        assert!(error.contains("secrets_dir"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_may_lead_about_the_folder_but_not_out_of_it() {
        use std::os::unix::fs::symlink;
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("key"), "secret").unwrap();
        let folder = tempfile::tempdir().unwrap();
        // As Kubernetes mounts them.
        std::fs::create_dir(folder.path().join("..data")).unwrap();
        std::fs::write(folder.path().join("..data/token"), "mounted").unwrap();
        symlink("..data/token", folder.path().join("token")).unwrap();
        symlink(outside.path().join("key"), folder.path().join("key")).unwrap();
        symlink(outside.path(), folder.path().join("other")).unwrap();
        let secrets = Secrets::new(Some(folder.path().to_owned()), |_| None);
        let resolve = |name: &str| secrets.resolve("token", &SecretRef::File(name.to_owned()));
        assert_eq!(resolve("token").unwrap(), "mounted");
        for name in ["key", "other/key", "../x"] {
            assert!(resolve(name).is_err(), "{name}");
        }
        let error = resolve("key").unwrap_err().to_string();
        assert!(error.ends_with("leads out of secrets_dir"), "{error}");
        // A whole path is one of the folder, or is not looked at.
        let file = |path: PathBuf| secrets.file("ca_file", path.to_str().unwrap(), 100);
        assert_eq!(file(folder.path().join("token")).unwrap(), b"mounted");
        for name in ["key", "none"] {
            let error = file(outside.path().join(name)).unwrap_err().to_string();
            assert!(error.ends_with("leads out of secrets_dir"), "{error}");
        }
    }
}
