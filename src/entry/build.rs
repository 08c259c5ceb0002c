//! The parts that every way of running the program shares, built from the configuration.

use std::fmt::Display;
use std::io;
use std::sync::Arc;

use aws_config::SdkConfig;
use jiff::Timestamp;

use crate::compute::ComputePool;
use crate::config::{Config, OptionError};
use crate::dead_letter::DeadLetters;
use crate::http::App;
use crate::ingest::Ingester;
use crate::jobs::client::Client;
use crate::jobs::definition::KINDS;
use crate::jobs::registry::Registry;
use crate::jobs::runner::JobRunner;
use crate::jobs::secret::Secrets;
use crate::metrics::Metrics;
use crate::query::Querier;
use crate::replicas::{Clock, Tracker};
use crate::state::State;
use crate::timestream::Timestream;

/// The way in and the way out of samples, which share clients and threads.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Stores samples.
    pub ingester: Ingester,
    /// Reads them.
    pub querier: Querier,
}

/// Builds both from the configuration.
pub fn parts(config: &Config, shared: &SdkConfig, dead_letters: DeadLetters) -> Parts {
    let timestream = Timestream::new(&config.timestream, shared);
    let compute = ComputePool::default();
    let querier = Querier::new(&config.query, timestream.clone(), compute.clone());
    let ingester = Ingester::new(&config.ingest, timestream, dead_letters, compute);
    Parts { ingester, querier }
}

/// Builds the runner of the jobs of `config`, whose state is in `state`.
pub fn runner(
    config: &Config,
    Parts { ingester, querier }: Parts,
    state: State,
    metrics: Arc<Metrics>,
) -> Arc<JobRunner> {
    let environment = |name: &str| std::env::var(name).ok();
    Arc::new(JobRunner {
        registry: Arc::new(Registry::new(state, KINDS, config.connectors.clone())),
        ingester,
        querier,
        http: Client::new(config.timestream.roots, environment),
        secrets: Secrets::new(config.secrets_dir.clone(), environment),
        metrics,
        now: Timestamp::now,
    })
}

/// Builds the tracker of replicated senders, if the configuration has some; their state is in `state`.
pub fn tracker(config: &Config, state: State) -> Option<Tracker> {
    let settings = config.replicas.clone()?;
    let random = fastrand::f64();
    Some(Tracker::new(settings, state, random, Clock::default()))
}

/// The parts of a process that serves requests, of a socket or of Lambda.
#[derive(Debug)]
pub struct Service {
    /// The state of the router.
    pub app: App,
    /// Runs jobs.
    pub runner: Arc<JobRunner>,
    /// True if the state of jobs outlives the process.
    pub is_state_persistent: bool,
}

/// Builds the parts of a process that serves requests.
///
/// # Errors
/// The dead-letter target or the state store cannot be used.
pub fn service(config: &Config, shared: &SdkConfig) -> Result<Service, OptionError> {
    let target = config.dead_letter.as_ref();
    let dead_letters = DeadLetters::open(target, shared)
        .map_err(|error| unusable("dead_letter", target, &error))?;
    let store = config.state.as_ref();
    let state =
        State::open(store, shared).map_err(|error| unusable("state_store", store, &error))?;
    let parts = parts(config, shared, dead_letters);
    let app = App::new(
        config.http.clone(),
        config.web.clone(),
        parts.ingester.clone(),
        parts.querier.clone(),
    );
    let app = app.with_replicas(tracker(config, state.clone()));
    let is_state_persistent = state.is_persistent();
    let runner = runner(config, parts, state, Arc::clone(app.metrics()));
    Ok(Service {
        app,
        runner,
        is_state_persistent,
    })
}

fn unusable(variable: &str, value: Option<&impl Display>, error: &io::Error) -> OptionError {
    let value = value.map(ToString::to_string).unwrap_or_default();
    OptionError::unusable(variable, &value, error)
}
