//! `make soak` and `make soak-connectors`, for seconds: a real Prometheus, faults, processes killed.

use std::path::Path;
use std::time::Duration;

use soak::phases::{Killed, PHASES, Phase};
use soak::{Plan, Setup, connectors, run};

use crate::programs;
use crate::prometheus::program;

async fn setup(folder: &Path, targets: u32, phase: Duration) -> Setup<'_> {
    Setup {
        connector: programs::bootstrap(),
        emulator: programs::emulator().await,
        prometheus: program("prometheus").await,
        folder,
        targets,
        replaced: targets / 5,
        scrape_interval: Duration::from_millis(500),
        phase,
        drain_timeout: Duration::from_secs(60),
        report: |_| {},
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_prometheus_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let of = |killed: Killed| PHASES.iter().find(|phase| phase.killed == Some(killed));
    let phases: [Phase; 4] = [
        PHASES[0],
        *of(Killed::Connector).unwrap(),
        *of(Killed::Emulator).unwrap(),
        *PHASES
            .iter()
            .max_by_key(|phase| phase.orders.len())
            .unwrap(),
    ];
    let summary = run(&Plan {
        setup: setup(folder.path(), 20, Duration::from_millis(1_500)).await,
        phases: &phases,
    })
    .await;
    assert!(summary.is_success(), "{summary}");
    assert!(summary.compared > 1_000 && summary.faults > 0, "{summary}");
    assert_eq!(summary.kills, [1, 1], "{summary}");
}

/// The connector itself is not killed: the lease of a run that is cut off lasts for a minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connectors_lose_nothing_and_repeat_nothing() {
    use connectors::{Killed, PHASES, Phase};
    let folder = tempfile::tempdir().unwrap();
    let has_faults = |phase: &&Phase| !phase.source.is_empty() || !phase.timestream.is_empty();
    let is_killed = |phase: &&Phase| {
        matches!(
            phase.killed,
            Some(Killed::Source | Killed::Receiver | Killed::Emulator)
        )
    };
    let phases = PHASES.iter().filter(|it| has_faults(it) || is_killed(it));
    let phases: Vec<_> = phases.copied().collect();
    let plan = connectors::Plan {
        setup: setup(folder.path(), 5, Duration::from_secs(2)).await,
        // A busy machine commits some scrapes seconds after their time.
        sync_lateness: Duration::from_secs(5),
        sink_lateness: Duration::from_secs(20),
        phases: &phases,
    };
    let summary = connectors::run(&plan).await;
    assert!(summary.is_success(), "{summary}");
    assert!(summary.held > 1_000 && summary.faults > 0, "{summary}");
    assert!(summary.spoiled.iter().all(|count| *count > 0), "{summary}");
}
