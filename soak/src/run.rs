//! One run from the start of the programs to the comparison.

use std::fmt;
use std::time::{Duration, Instant};

use crate::phases::{Killed, Phase};
use crate::programs::{Emulator, Program, start_connector};
use crate::prometheus::{Prometheus, Sender};
use crate::samples::{Difference, Samples, compare};
use crate::setup::{MAX_ABSENCE, Setup};
use crate::targets::Targets;

const TABLE: &str = "db/t";

/// The plan of a run.
pub struct Plan<'a> {
    /// Programs, targets and times.
    pub setup: Setup<'a>,
    /// The failures, one phase after the other.
    pub phases: &'a [Phase],
}

/// Result of a run.
#[derive(Debug)]
pub struct Summary {
    /// Samples that Prometheus holds.
    pub compared: usize,
    /// Series that Prometheus holds.
    pub series: usize,
    /// Difference between Timestream and Prometheus.
    pub difference: Difference,
    /// Counters of Prometheus' sender, or the reason why the queue did not drain.
    pub sender: Result<Sender, String>,
    /// Faults carried out.
    pub faults: u64,
    /// Number of kills of Timestream and of the connector.
    pub kills: [u32; 2],
    /// The most memory that the connector has had, in KiB.
    pub peak_memory_kib: u64,
}

impl Summary {
    /// Returns true if nothing is lost, changed or invented.
    pub fn is_success(&self) -> bool {
        let sender = self.sender.as_ref();
        self.compared > 0
            && self.difference.is_none()
            && sender.is_ok_and(|it| it.failed == 0.0 && it.dropped == 0.0)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let difference = &self.difference;
        writeln!(
            f,
            "samples compared     {} of {} series",
            self.compared, self.series
        )?;
        writeln!(f, "missing              {}", difference.missing)?;
        writeln!(f, "different            {}", difference.different)?;
        writeln!(f, "never sent           {}", difference.invented)?;
        for example in &difference.examples {
            writeln!(f, "  {example}")?;
        }
        match &self.sender {
            Ok(sender) => writeln!(
                f,
                "Prometheus           sent again {}, gave up {}",
                sender.retried,
                sender.failed + sender.dropped
            )?,
            Err(left) => writeln!(f, "Prometheus           {left}")?,
        }
        let [emulator, connector] = self.kills;
        writeln!(f, "faults               {}", self.faults)?;
        writeln!(
            f,
            "killed               Timestream {emulator}, connector {connector} times"
        )?;
        write!(
            f,
            "connector's memory   {} MiB at most",
            self.peak_memory_kib.div_ceil(1024)
        )
    }
}

/// Carries out the plan.
pub async fn run(plan: &Plan<'_>) -> Summary {
    let start = Instant::now();
    let table = format!("--table={TABLE},magnetic_writes=true");
    let mut emulator = Emulator::start(plan.setup.emulator, plan.setup.folder, &[&table]).await;
    let (database, table) = TABLE.split_once('/').expect("database/table");
    let flags = [
        format!("--default-database={database}"),
        format!("--default-table={table}"),
    ];
    let flags = flags.each_ref().map(String::as_str);
    let mut connector =
        start_connector(plan.setup.connector, plan.setup.folder, &emulator, &flags).await;
    let targets = Targets::start(plan.setup.targets).await;
    let mut prometheus = Prometheus::start(
        &plan.setup.prometheus,
        plan.setup.folder,
        plan.setup.scrape_interval,
        &targets,
        &connector,
    )
    .await;
    for phase in plan.phases {
        (plan.setup.report)(phase.name);
        targets.replace(plan.setup.replaced);
        play(phase, plan.setup.phase, &mut emulator, &mut connector).await;
    }
    (plan.setup.report)("draining");
    targets.clear();
    let sender = prometheus
        .drained(Instant::now() + plan.setup.drain_timeout)
        .await;
    connector.assert_running();
    (plan.setup.report)("comparing");
    // Range selectors ignore samples older than their length.
    let sent = prometheus
        .samples(start.elapsed() + Duration::from_secs(60))
        .await;
    let faults = emulator.faults().await;
    let kills = [emulator.program.kills(), connector.kills()];
    let points = emulator.into_points(&[TABLE]).await.swap_remove(0);
    Summary {
        compared: sent.count(),
        series: sent.0.len(),
        difference: compare(&sent, &Samples::of_points(points)),
        sender,
        faults,
        kills,
        peak_memory_kib: connector.peak_memory_kib(),
    }
}

/// Orders the faults of the phase, and cancels them at its end.
async fn play(phase: &Phase, duration: Duration, emulator: &mut Emulator, connector: &mut Program) {
    let end = tokio::time::Instant::now() + duration;
    for order in phase.orders {
        emulator.order(order).await;
    }
    let absence = MAX_ABSENCE.min(duration / 2);
    match phase.killed {
        None => {}
        Some(Killed::Emulator) => {
            emulator.kill().await;
            tokio::time::sleep(absence).await;
            emulator.program.start_again().await;
        }
        Some(Killed::Connector) => {
            // Until calls are under way that the orders hold up.
            tokio::time::sleep(absence).await;
            connector.kill().await;
            tokio::time::sleep(absence / 2).await;
            connector.start_again().await;
        }
    }
    tokio::time::sleep_until(end).await;
    emulator.program.assert_running();
    connector.assert_running();
    emulator.withdraw_orders().await;
}
