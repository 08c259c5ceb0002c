//! The routes and the state of their handlers.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{any, get, post};
use prom_wire::budget::MemoryBudget;
use tokio::sync::{Notify, Semaphore};

use super::auth::Access;
use super::backpressure::Backpressure;
use super::readiness::ReadinessProbe;
use super::recent_errors::RecentErrors;
use super::settings::Settings;
use super::{auth, error, guard, pages};
use crate::http::jobs;
use crate::http::jobs::JobsApi;
use crate::http::pages::JobList;
use crate::http::{fallback, otlp, query_api, remote_read, remote_write};
use crate::ingest::Ingester;
use crate::jobs::definition::type_names;
use crate::log_limiter::LogLimiter;
use crate::metrics::Metrics;
use crate::query::Querier;
use crate::replicas::Tracker;
use crate::timestream::Timestream;
use crate::web_config::{Verifier, WebConfig};

/// The least time between two log lines about strangers.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// The state of the handlers; cheap to clone.
#[derive(Clone, Debug)]
pub struct App {
    pub(super) ingester: Ingester,
    /// `None` if senders have no replicas.
    pub(super) replicas: Option<Tracker>,
    pub(super) querier: Querier,
    pub(super) metrics: Arc<Metrics>,
    pub(super) settings: Settings,
    pub(super) budget: MemoryBudget,
    /// The semaphore of large requests that are decoded, one at a time.
    pub(super) decoding: Arc<Semaphore>,
    pub(super) backpressure: Arc<Backpressure>,
    pub(super) fatal_rejection: Arc<Notify>,
    pub(super) web: WebConfig,
    pub(super) verifier: Arc<Verifier>,
    /// Limits the log lines of rejected credentials.
    pub(super) rejected_credentials: Arc<LogLimiter>,
    /// Limits the log lines of requests that foreign pages or proxies may have sent.
    pub(super) foreign_requests: Arc<LogLimiter>,
    /// `None` if no definitions are stored.
    pub(super) jobs: Option<JobsApi>,
    /// True if only this machine can reach the server.
    pub(super) is_local: bool,
    pub(super) readiness: ReadinessProbe,
    pub(super) recent_errors: Arc<RecentErrors>,
    /// The jobs as the start page last read them.
    pub(super) job_list: Arc<JobList>,
}

impl App {
    /// Puts the parts together.
    pub fn new(settings: Settings, web: WebConfig, ingester: Ingester, querier: Querier) -> Self {
        Self {
            ingester,
            replicas: None,
            querier,
            metrics: Arc::new(Metrics::new(type_names())),
            budget: MemoryBudget::new(settings.max_in_flight_bytes),
            settings,
            decoding: Arc::new(Semaphore::new(1)),
            backpressure: Arc::default(),
            fatal_rejection: Arc::new(Notify::new()),
            web,
            verifier: Arc::default(),
            rejected_credentials: Arc::new(LogLimiter::new(LOG_INTERVAL)),
            foreign_requests: Arc::new(LogLimiter::new(LOG_INTERVAL)),
            jobs: None,
            is_local: false,
            readiness: ReadinessProbe::default(),
            recent_errors: Arc::default(),
            job_list: Arc::default(),
        }
    }

    /// Sets if only this machine can reach the server: then requests without a credential must come directly from
    /// this machine.
    #[must_use]
    pub fn reached_locally(self, is_local: bool) -> Self {
        Self { is_local, ..self }
    }

    /// Adds the probe of readiness; without one the process is always ready.
    #[must_use]
    pub fn with_readiness(self, readiness: ReadinessProbe) -> Self {
        Self { readiness, ..self }
    }

    /// Adds the tracker of replicated senders.
    #[must_use]
    pub fn with_replicas(self, replicas: Option<Tracker>) -> Self {
        Self { replicas, ..self }
    }

    /// Adds `/v1/connectors`.
    #[must_use]
    pub fn with_jobs(self, jobs: JobsApi) -> Self {
        Self {
            jobs: Some(jobs),
            ..self
        }
    }

    /// Returns the port through which samples are stored.
    pub fn timestream(&self) -> &Timestream {
        self.ingester.timestream()
    }

    /// Returns the metrics of the process.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Returns the memory budget that requests share.
    pub fn budget(&self) -> &MemoryBudget {
        &self.budget
    }

    /// Returns the web configuration.
    pub fn web(&self) -> &WebConfig {
        &self.web
    }

    /// Returns once a `fail_on_*` option has rejected a request: the process should end.
    pub async fn rejected(&self) {
        self.fatal_rejection.notified().await;
    }
}

/// The paths of single routes; [`jobs`] has more.
const WRITE: &str = "/write";
const READ: &str = "/read";
const START: &str = "/";
const QUERY: &str = "/query";
const HEALTHY: &str = "/-/healthy";
const READY: &str = "/-/ready";

/// Returns true if a path is one of the connector's own, so that metrics cannot be there.
pub fn is_own_path(path: &str) -> bool {
    [WRITE, READ, otlp::METRICS, START, QUERY, HEALTHY, READY].contains(&path)
        || jobs::owns(path)
        || query_api::owns(path)
}

/// Returns all routes: `/write`, `/read`, OTLP metrics, the query API, `/v1/connectors`, the connector's own metrics,
/// health, a start page and a query page. POST requests to other paths are served by their header.
///
/// Each route is in the group of the access that it needs.
pub fn router(app: App) -> Router {
    let telemetry_path = &app.settings.telemetry_path;
    let read = post(remote_read::read).fallback(error::post_only);
    let write = post(remote_write::write).fallback(error::post_only);
    let reading = Router::new()
        .route(READ, read)
        .route(telemetry_path, get(pages::metrics))
        .route(START, get(pages::start))
        .route(QUERY, get(pages::query))
        .route(query_api::READ, query_api::post_only(remote_read::read))
        .merge(query_api::routes());
    let writing = Router::new()
        .route(WRITE, write)
        .route(query_api::WRITE, query_api::post_only(remote_write::write))
        .merge(otlp::routes());
    let by_protocol = Router::new()
        .route(telemetry_path, post(fallback::serve))
        .route(START, post(fallback::serve))
        .route(QUERY, post(fallback::serve))
        .route(query_api::OTHERS, any(query_api::serve_other))
        .fallback(fallback::serve);
    // Load balancers and kubelets send no credentials.
    let open = Router::new()
        .route(HEALTHY, get(pages::healthy))
        .route(READY, get(pages::ready));
    open.merge(protected(&app, Access::Read, reading))
        .merge(protected(&app, Access::Write, writing))
        .merge(protected(&app, Access::Admin, jobs::routes(&app)))
        .merge(protected(&app, Access::OfProtocol, by_protocol))
        .layer(from_fn_with_state(app.clone(), query_api::add_cors_headers))
        .layer(from_fn_with_state(app.clone(), auth::add_headers))
        .with_state(app)
}

/// Returns the routes behind the layers that demand a credential with `access` and reject foreign requests.
fn protected(app: &App, access: Access, routes: Router<App>) -> Router<App> {
    routes
        .layer(from_fn_with_state(app.clone(), guard::require))
        .layer(from_fn_with_state((app.clone(), access), auth::require))
}
