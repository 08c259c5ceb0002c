//! The checks of `bootstrap doctor` that a server makes when it starts, beside the listener.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::checks::{Examination, Targets};
use super::report::Report;
use super::targets;
use crate::config::Config;
use crate::http::{Readiness, ReadinessProbe};
use crate::timestream::Timestream;

/// The time of all checks of a start together.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The longest pause between two attempts to load credentials.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// The checks of a start.
#[derive(Debug)]
pub struct Start {
    targets: Targets,
    timestream: Timestream,
    readiness: watch::Sender<Readiness>,
}

/// Returns the checks of a server with this configuration, and the probe of its readiness.
pub fn watch_start(config: &Config, timestream: Timestream) -> (Start, ReadinessProbe) {
    let (readiness, receiver) = watch::channel(Readiness::Pending);
    let start = Start {
        targets: targets(config),
        timestream,
        readiness,
    };
    (start, ReadinessProbe::new(receiver))
}

impl Start {
    /// Loads credentials until there are some, then looks at endpoints and tables. Each thing that is wrong is in one
    /// warning.
    pub async fn run(self) {
        let mut pause = Duration::from_secs(1);
        let mut has_warned = false;
        loop {
            let mut examination = self.examination();
            if examination.credentials().await {
                self.readiness.send_replace(Readiness::Ready);
                break;
            }
            // The SDK has the reason for which it cannot use a profile only once.
            if !has_warned {
                warn(&examination.into_report().problems().unwrap_or_default());
                has_warned = true;
            }
            self.readiness.send_replace(Readiness::NoCredentials);
            sleep(pause).await;
            pause = (2 * pause).min(MAX_PAUSE);
        }
        if has_warned {
            tracing::info!("The AWS credentials are loaded.");
        }
        let mut examination = self.examination();
        examination.endpoints().await;
        examination.tables().await;
        if let Some(problems) = examination.into_report().problems() {
            warn(&problems);
        }
    }

    fn examination(&self) -> Examination {
        let deadline = Instant::now() + TIMEOUT;
        let (targets, timestream) = (self.targets.clone(), self.timestream.clone());
        Examination::new(targets, timestream, deadline, Report::default())
    }
}

fn warn(problems: &str) {
    tracing::warn!(
        error = problems,
        "The set-up in AWS is not as it should be; bootstrap doctor checks everything."
    );
}
