//! What `make soak` runs for minutes, for seconds: a real Prometheus, faults, processes killed.

use std::time::Duration;

use soak::phases::{Killed, PHASES, Phase};
use soak::{Plan, run};

use crate::programs;
use crate::prometheus::program;

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
        connector: programs::bootstrap(),
        emulator: programs::emulator().await,
        prometheus: program("prometheus").await,
        folder: folder.path(),
        targets: 20,
        replaced: 4,
        scrape_interval: Duration::from_millis(500),
        phases: &phases,
        phase: Duration::from_millis(1_500),
        patience: Duration::from_secs(60),
        tell: |_| {},
    })
    .await;
    assert!(summary.is_success(), "{summary}");
    assert!(summary.compared > 1_000 && summary.faults > 0, "{summary}");
    assert_eq!(summary.kills, [1, 1], "{summary}");
}
