//! The command `bootstrap run`: runs one job once, with progress, a summary and an exit status.

use std::fmt::Write as _;
use std::fs::{File, TryLockError};
use std::future::Future;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_config::SdkConfig;
use indicatif::{ProgressBar, ProgressStyle};
use prom_model::visible::escaped_lines;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::build::{parts, runner};
use crate::config::Config;
use crate::dead_letter::{DeadLetterTarget, DeadLetters};
use crate::jobs::bucket::{Cause, JobRecord, LEASE};
use crate::jobs::definition::{Definition, KINDS, type_names};
use crate::jobs::job::{Progress, Report, RunError};
use crate::jobs::runner::{Caller, JobRunner, NotRun, RunOutcome};
use crate::metrics::Metrics;
use crate::state::{Folder, Memory, State};
use crate::telemetry::print_error;

/// The pause before the next attempt to begin a run.
const BETWEEN_ATTEMPTS: Duration = Duration::from_secs(1);

/// The exit status of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The run is complete.
    Complete = 0,
    /// It failed, or did not begin.
    Failed = 1,
    /// The definition is invalid, or an option names something unusable.
    Unusable = 2,
    /// It was interrupted.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Runs the job that the file `path` defines, at most until `stop` completes.
pub async fn run(
    config: &Config,
    path: &Path,
    shared: &SdkConfig,
    stop: impl Future<Output = ()>,
) -> ExitCode {
    let definition = match read(path) {
        Ok(definition) => definition,
        Err(errors) => {
            for error in errors {
                print_error(&format!("{}: {error}", path.display()));
            }
            return Exit::Unusable.into();
        }
    };
    let opened = match open_state(config, path, shared) {
        Ok(opened) => opened,
        Err(RunStateError::Running) => {
            let text = format!(
                "{}: did not run: another run of it has not ended\n",
                definition.name
            );
            return super::print(&text, Exit::Failed.into());
        }
        Err(RunStateError::Unusable(error)) => {
            print_error(&format!("Cannot use the state (--state-store): {error}"));
            return Exit::Unusable.into();
        }
    };
    let dead_letters = match DeadLetters::open(config.dead_letter.as_ref(), shared) {
        Ok(dead_letters) => dead_letters,
        Err(error) => {
            print_error(&format!(
                "Cannot write dead letters (--dead-letter): {error}"
            ));
            return Exit::Unusable.into();
        }
    };
    let parts = parts(config, shared, dead_letters);
    let runner = runner(
        config,
        parts,
        opened.state,
        Arc::new(Metrics::new(type_names())),
    );
    let prepare = |record: &mut JobRecord| {
        // The user has seen the reason for which it was disabled.
        record.enable();
        if opened.lock.is_some() {
            // The lease is of a run that was killed.
            record.release();
        }
    };
    if let Err(error) = runner.registry.change(&definition.name, prepare).await {
        print_error(&error.to_string());
        return Exit::Failed.into();
    }
    let watcher = Watcher::new(&definition.name);
    let interrupt = CancellationToken::new();
    let caller = Caller {
        deadline: None,
        stop: &interrupt,
        progress: &watcher,
    };
    let mut running = std::pin::pin!(run_when_free(&runner, &definition, caller));
    let outcome = tokio::select! {
        outcome = &mut running => outcome,
        () = stop => {
            watcher.line("stopping after the present call");
            interrupt.cancel();
            running.await
        }
    };
    watcher.finish();
    let text = describe(&definition, path, config.dead_letter.as_ref(), &outcome);
    let exit = match outcome {
        RunOutcome::Finished(Report { error: None, .. }) => Exit::Complete,
        RunOutcome::Finished(Report {
            error: Some(RunError::Interrupted),
            ..
        }) => Exit::Interrupted,
        _ => Exit::Failed,
    };
    super::print(&escaped_lines(&text), exit.into())
}

/// Reads the definition in a file.
///
/// # Errors
/// All its errors.
pub(super) fn read(path: &Path) -> Result<Definition, Vec<String>> {
    let text = std::fs::read(path).map_err(|error| vec![error.to_string()])?;
    Definition::parse(&text, KINDS).map_err(|errors| errors.messages())
}

/// Runs the job; waits until the lease of another run ends, which may have been killed.
async fn run_when_free(
    runner: &JobRunner,
    definition: &Definition,
    caller: Caller<'_>,
) -> RunOutcome {
    let begin = Instant::now();
    let mut is_reported = false;
    loop {
        let (outcome, _) = runner.run(definition, Cause::Hand, caller).await;
        if outcome != RunOutcome::NotRun(NotRun::Busy)
            || begin.elapsed() > LEASE
            || caller.stop.is_cancelled()
        {
            return outcome;
        }
        if !is_reported {
            is_reported = true;
            caller
                .progress
                .line("another run has the lease; if it was killed, that ends within a minute");
        }
        tokio::select! {
            () = sleep(BETWEEN_ATTEMPTS) => {}
            () = caller.stop.cancelled() => {}
        }
    }
}

/// The state of the run.
struct RunState {
    state: State,
    /// A lock against other runs of the same definition on this machine.
    lock: Option<File>,
}

/// The reason for which the state could not be opened.
enum RunStateError {
    Running,
    Unusable(io::Error),
}

/// Opens the configured state, else a folder beside the definition, because an interrupted run must find
/// its cursor again. A lock of the system shows at once if an earlier run there was killed.
fn open_state(config: &Config, path: &Path, shared: &SdkConfig) -> Result<RunState, RunStateError> {
    if config.state.is_some() {
        let state = State::open(config.state.as_ref(), shared).map_err(RunStateError::Unusable)?;
        return Ok(RunState { state, lock: None });
    }
    let mut folder = path.as_os_str().to_owned();
    folder.push(".state");
    let folder = PathBuf::from(folder);
    let opened = Folder::open(&folder).and_then(|state| {
        let lock = File::create(folder.join("running"))?;
        Ok((state, lock))
    });
    let (state, lock) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            print_error(&format!(
                "{} cannot be written ({error}): an interrupted run will start over; set --state-store",
                folder.display()
            ));
            let state = State::Memory(Memory::default());
            return Ok(RunState { state, lock: None });
        }
    };
    match lock.try_lock() {
        Ok(()) => Ok(RunState {
            state: State::Folder(state),
            lock: Some(lock),
        }),
        Err(TryLockError::WouldBlock) => Err(RunStateError::Running),
        Err(TryLockError::Error(error)) => Err(RunStateError::Unusable(error)),
    }
}

/// Shows the progress: a bar on standard error if that is a terminal, else a line for each tenth.
struct Watcher {
    name: String,
    bar: Option<ProgressBar>,
    expected: AtomicU64,
    done: AtomicU64,
}

impl Watcher {
    fn new(name: &str) -> Self {
        let style = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len}, {eta} left");
        let style = style.expect("the template is valid");
        let bar = io::stderr().is_terminal().then(|| {
            ProgressBar::new(0)
                .with_style(style)
                .with_prefix(name.to_owned())
        });
        Self {
            name: name.to_owned(),
            bar,
            expected: AtomicU64::new(0),
            done: AtomicU64::new(0),
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Progress for Watcher {
    fn expect(&self, units: u64) {
        self.expected.fetch_add(units, Ordering::Relaxed);
        if let Some(bar) = &self.bar {
            bar.inc_length(units);
        }
    }

    fn advance(&self, units: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(units);
            return;
        }
        let before = self.done.fetch_add(units, Ordering::Relaxed);
        let expected = self.expected.load(Ordering::Relaxed).max(1);
        let tenth = |done: u64| (u128::from(done) * 10 / u128::from(expected)).min(10);
        if tenth(before + units) > tenth(before) {
            self.line(&format!("{} of {expected}", before + units));
        }
    }

    fn line(&self, text: &str) {
        let line = format!("{}: {text}", self.name);
        match &self.bar {
            Some(bar) => bar.suspend(|| print_error(&line)),
            None => print_error(&line),
        }
    }
}

/// Returns the summary, for people.
fn describe(
    definition: &Definition,
    path: &Path,
    place: Option<&DeadLetterTarget>,
    outcome: &RunOutcome,
) -> String {
    let name = &definition.name;
    let report = match outcome {
        RunOutcome::Finished(report) => report,
        RunOutcome::NotRun(reason) => {
            return format!("{name}: did not run: {reason}\n");
        }
    };
    let result = match &report.error {
        None => "complete",
        Some(RunError::Interrupted) => "interrupted; run it again to go on where it was",
        Some(_) => "failed",
    };
    let added = match report.added {
        0 => String::new(),
        added => format!(" and {added} added"),
    };
    let reasons = report.ignored.iter();
    let reasons: Vec<_> = reasons
        .map(|(reason, count)| format!("{count} {}", reason.as_str()))
        .collect();
    let reasons = match reasons.join(", ") {
        reasons if reasons.is_empty() => reasons,
        reasons => format!(" ({reasons})"),
    };
    let mut text = format!(
        "{name}: {result}\n  {} samples received{added}, {} stored, {} rejected{reasons}, {} dead letters\n",
        report.received, report.rows, report.rejected, report.dead_lettered
    );
    let is_sink = definition.job.resends();
    if let (1.., true, Some(place)) = (report.dead_lettered, is_sink, place) {
        let path = path.display();
        writeln!(
            text,
            "  once the endpoint accepts them, send these again: bootstrap replay {place} --sink={path}"
        )
        .expect("writing to a String cannot fail");
    }
    let mut line = |what: &str, of: &str| {
        writeln!(text, "  {what}: {of}").expect("writing to a String cannot fail");
    };
    for warning in &report.warnings {
        line("warning", warning);
    }
    if let Some(RunError::Failed(error) | RunError::Disable(error)) = &report.error {
        line("error", error);
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::jobs::definition::KINDS;
    use crate::jobs::job::Report;
    use crate::storage::write::series::IgnoreReason;

    #[test]
    fn the_numbers_of_a_summary_add_up_and_have_reasons() {
        let definition = json!({
            "name": "node", "type": "prometheus", "target_database": "db", "target_table": "t",
            "config": {"endpoint": "http://localhost:9100/metrics"}
        });
        let definition = Definition::parse(definition.to_string().as_bytes(), KINDS).unwrap();
        let report = Report {
            received: 47,
            added: 3,
            rows: 48,
            rejected: 2,
            ignored: [(IgnoreReason::ValueNotFinite, 2)].into(),
            ..Report::default()
        };
        let text = describe(
            &definition,
            Path::new("node.json"),
            None,
            &RunOutcome::Finished(report),
        );
        assert_eq!(
            text,
            "node: complete\n  47 samples received and 3 added, 48 stored, 2 rejected (2 value_not_finite), 0 dead letters\n"
        );
    }
}
