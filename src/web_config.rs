//! The web configuration: users, bearer tokens, TLS, headers of all responses.
//!
//! Users and tokens are options; a web configuration file in the format of Prometheus' exporter
//! toolkit has users, TLS and headers. The toolkit reads that file for each request, so a change takes effect
//! without a restart: [`WebConfig::refreshed`] checks the files' stamps and reads changed files.
//! A new version that cannot be used leaves the old one in force. So does a version that would switch off TLS or
//! remove the last credential: a file read half written must not open the server.

mod client_cert;
mod fair_semaphore;
mod file;
mod sources;
mod tls;
mod users;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::HeaderMap;
use parking_lot::Mutex;
use tokio_rustls::rustls::ServerConfig;

pub use fair_semaphore::{Origin, QueueFull};
use sources::Sources;
pub use users::{BearerToken, Grant, Tokens, UserError, Users, Verifier};

/// The web configuration; cheap to clone, and all clones see a changed file.
#[derive(Clone)]
pub struct WebConfig(Arc<Shared>);

struct Shared {
    users: Users,
    tokens: Tokens,
    path: Option<PathBuf>,
    state: Mutex<State>,
}

struct State {
    sources: Sources,
    current: Arc<WebConfigSnapshot>,
}

/// The web configuration at one time.
#[derive(Default)]
pub struct WebConfigSnapshot {
    /// The TLS configuration; `None` without TLS.
    pub tls: Option<Arc<ServerConfig>>,
    /// True if every client needs a certificate of a known authority.
    pub verifies_clients: bool,
    /// Headers of every response.
    pub headers: HeaderMap,
    /// Users of basic authentication.
    pub users: Users,
    /// The accepted bearer tokens.
    pub tokens: Tokens,
}

impl WebConfigSnapshot {
    /// Returns true if requests need a credential.
    pub fn has_credentials(&self) -> bool {
        !self.users.is_empty() || !self.tokens.is_empty()
    }

    /// Returns a warning if there are credentials and none opens one of the sides, for reading or for writing.
    pub fn closed_side(&self) -> Option<&'static str> {
        let Tokens {
            all, read, write, ..
        } = &self.tokens;
        if !self.users.is_empty() || all.is_some() {
            return None;
        }
        match (read, write) {
            (None, None) if self.tokens.admin.is_some() => Some(
                "No credential opens the routes that read or write: set bearer_token, or read_bearer_token and \
                 write_bearer_token, or a user.",
            ),
            (None, Some(_)) => Some(
                "No credential opens the routes that read: set read_bearer_token, bearer_token or a user.",
            ),
            (Some(_), None) => Some(
                "No credential opens the routes that write: set write_bearer_token, bearer_token or a user.",
            ),
            _ => None,
        }
    }
}

impl WebConfig {
    /// Combines the options with the content of the file.
    ///
    /// # Errors
    /// All errors of the file.
    pub fn open(users: Users, tokens: Tokens, path: Option<&Path>) -> Result<Self, Vec<String>> {
        let mut sources = Sources::default();
        let current = load(&users, &tokens, path, &mut sources)?;
        let state = Mutex::new(State {
            sources,
            current: Arc::new(current),
        });
        Ok(Self(Arc::new(Shared {
            users,
            tokens,
            path: path.map(Path::to_owned),
            state,
        })))
    }

    /// Returns the present configuration, without checking the files.
    pub fn current(&self) -> Arc<WebConfigSnapshot> {
        Arc::clone(&self.0.state.lock().current)
    }

    /// Returns the present configuration, after checking the files.
    pub fn refreshed(&self) -> Arc<WebConfigSnapshot> {
        let mut state = self.0.state.lock();
        if !state.sources.are_unchanged() {
            self.reload(&mut state);
        }
        Arc::clone(&state.current)
    }

    fn reload(&self, state: &mut State) {
        let shared = &self.0;
        let mut sources = Sources::default();
        let loaded = load(
            &shared.users,
            &shared.tokens,
            shared.path.as_deref(),
            &mut sources,
        );
        // Also after a failure: it is logged once, and the next change is the next attempt.
        state.sources = sources;
        let file = shared.path.as_deref().map(Path::display);
        let file = file.map_or_else(String::new, |path| path.to_string());
        match loaded.and_then(|new| admit(&state.current, new)) {
            Ok(version) => {
                state.current = Arc::new(version);
                tracing::info!(file, "The changed web configuration is in force.");
            }
            Err(errors) => tracing::error!(
                error = errors.join("; "),
                file,
                "Cannot use the changed web configuration; the previous one stays in force."
            ),
        }
    }
}

impl fmt::Debug for WebConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let current = self.current();
        f.debug_struct("WebConfig")
            .field("path", &self.0.path)
            .field("users", &current.users)
            .field("tokens", &current.tokens)
            .field("tls", &current.tls.is_some())
            .finish()
    }
}

fn load(
    users: &Users,
    tokens: &Tokens,
    path: Option<&Path>,
    sources: &mut Sources,
) -> Result<WebConfigSnapshot, Vec<String>> {
    let mut version = WebConfigSnapshot {
        users: users.clone(),
        tokens: tokens.clone(),
        ..WebConfigSnapshot::default()
    };
    let Some(path) = path else {
        return Ok(version);
    };
    let bytes = sources
        .read(path)
        .map_err(|error| vec![format!("cannot be read: {error}")])?;
    let text = String::from_utf8(bytes).map_err(|_| vec!["is not UTF-8".to_owned()])?;
    let directory = path.parent().unwrap_or(Path::new(""));
    let file = file::parse(&text, directory)?;
    let mut errors = Vec::new();
    if let Err(error) = version.users.extend(&file.users) {
        errors.push(format!(
            "basic_auth_users: {error}; expected users who are not in --basic-auth-users"
        ));
    }
    if let Some(settings) = &file.tls {
        version.verifies_clients =
            settings.client_auth.verifies() && settings.client_auth.requires();
        match tls::server_config(settings, sources) {
            Ok(config) => version.tls = Some(Arc::new(config)),
            Err(found) => errors.extend(found),
        }
    }
    version.headers = file.headers;
    if errors.is_empty() {
        Ok(version)
    } else {
        Err(errors)
    }
}

/// Returns the new configuration if a running server may change to it.
fn admit(
    old: &WebConfigSnapshot,
    new: WebConfigSnapshot,
) -> Result<WebConfigSnapshot, Vec<String>> {
    let mut errors = Vec::new();
    if old.tls.is_some() != new.tls.is_some() {
        errors.push(
            "TLS cannot be switched on or off without a restart; restart the connector".to_owned(),
        );
    }
    if old.has_credentials() && !new.has_credentials() {
        errors.push(
            "the last user cannot be removed without a restart; restart the connector".to_owned(),
        );
    }
    if old.verifies_clients && !new.verifies_clients {
        errors.push(
            "client certificates cannot become optional without a restart; restart the connector"
                .to_owned(),
        );
    }
    if errors.is_empty() {
        Ok(new)
    } else {
        Err(errors)
    }
}
