//! The command `bootstrap run`: one definition, once, with progress, a summary and an exit status.

use std::fmt::Write as _;
use std::fs::{File, TryLockError};
use std::future::Future;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_config::SdkConfig;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::build::parts;
use super::jobs::runner;
use crate::config::Config;
use crate::dead_letter::{DeadLetterTarget, DeadLetters};
use crate::jobs::bucket::{Cause, JobRecord, LEASE};
use crate::jobs::definition::{Definition, KINDS, type_names};
use crate::jobs::job::{Progress, Report, RunError};
use crate::jobs::runner::{Caller, JobRunner, NotRun, RunOutcome};
use crate::metrics::Metrics;
use crate::state::{Folder, Memory, State};
use crate::visible::{escaped_lines, print_error};

/// How long a run waits before it asks again whether it may begin.
const BETWEEN_ATTEMPTS: Duration = Duration::from_secs(1);

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The run is complete.
    Complete = 0,
    /// It failed, or did not begin.
    Failed = 1,
    /// The definition cannot be used, or what the options name.
    Unusable = 2,
    /// It was told to stop.
    Interrupted = 130,
}

/// Runs the definition in the file `path`, until `stop` completes at most.
pub async fn run(
    config: &Config,
    path: &Path,
    shared: &SdkConfig,
    stop: impl Future<Output = ()>,
) -> Exit {
    let definition = match read(path) {
        Ok(definition) => definition,
        Err(errors) => {
            for error in errors {
                print_error(&format!("{}: {error}", path.display()));
            }
            return Exit::Unusable;
        }
    };
    let kept = match keep(config, path, shared) {
        Ok(kept) => kept,
        Err(Unkept::Running) => {
            println!(
                "{}: did not run: a run of it is still going on",
                definition.name
            );
            return Exit::Failed;
        }
        Err(Unkept::Unusable(error)) => {
            print_error(&format!("Cannot use the state (--state): {error}"));
            return Exit::Unusable;
        }
    };
    let dead_letters = match DeadLetters::open(config.dead_letter.as_ref(), shared) {
        Ok(dead_letters) => dead_letters,
        Err(error) => {
            print_error(&format!(
                "Cannot write dead letters (--dead-letter): {error}"
            ));
            return Exit::Unusable;
        }
    };
    let parts = parts(config, shared, dead_letters);
    let runner = runner(
        config,
        parts,
        kept.state,
        Arc::new(Metrics::new(type_names())),
    );
    let prepare = |record: &mut JobRecord| {
        // Whoever runs it by hand has seen what is wrong.
        record.enable();
        if kept.lock.is_some() {
            // Of a run that was killed.
            record.release();
        }
    };
    if let Err(error) = runner.registry.change(&definition.name, prepare).await {
        print_error(&error.to_string());
        return Exit::Failed;
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
    print!(
        "{}",
        escaped_lines(&describe(
            &definition,
            path,
            config.dead_letter.as_ref(),
            &outcome
        ))
    );
    match outcome {
        RunOutcome::Finished(Report { error: None, .. }) => Exit::Complete,
        RunOutcome::Finished(Report {
            error: Some(RunError::Interrupted),
            ..
        }) => Exit::Interrupted,
        _ => Exit::Failed,
    }
}

/// Reads the definition in a file.
///
/// # Errors
/// All that is wrong with it.
pub(super) fn read(path: &Path) -> Result<Definition, Vec<String>> {
    let text = std::fs::read(path).map_err(|error| vec![error.to_string()])?;
    Definition::parse(&text, KINDS).map_err(|errors| errors.messages())
}

/// Runs the definition; waits for the lease of a run that may have been killed, which ends by itself.
async fn run_when_free(
    runner: &JobRunner,
    definition: &Definition,
    caller: Caller<'_>,
) -> RunOutcome {
    let begin = Instant::now();
    let mut is_told = false;
    loop {
        let (outcome, _) = runner.run(definition, Cause::Hand, caller).await;
        if outcome != RunOutcome::NotRun(NotRun::Busy)
            || begin.elapsed() > LEASE
            || caller.stop.is_cancelled()
        {
            return outcome;
        }
        if !is_told {
            is_told = true;
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

/// Where the cursor is.
struct Kept {
    state: State,
    /// Held while nobody else runs the definition on this machine.
    lock: Option<File>,
}

/// Why there is no place for the cursor.
enum Unkept {
    Running,
    Unusable(io::Error),
}

/// The state that is configured; else a folder beside the definition, because a run that is
/// interrupted has to find its cursor again. A lock of the system tells at once whether a run there
/// was killed.
fn keep(config: &Config, path: &Path, shared: &SdkConfig) -> Result<Kept, Unkept> {
    if config.state.is_some() {
        let state = State::open(config.state.as_ref(), shared).map_err(Unkept::Unusable)?;
        return Ok(Kept { state, lock: None });
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
                "{} cannot be written ({error}): an interrupted run will start anew; set --state",
                folder.display()
            ));
            let state = State::Memory(Memory::default());
            return Ok(Kept { state, lock: None });
        }
    };
    match lock.try_lock() {
        Ok(()) => Ok(Kept {
            state: State::Folder(state),
            lock: Some(lock),
        }),
        Err(TryLockError::WouldBlock) => Err(Unkept::Running),
        Err(TryLockError::Error(error)) => Err(Unkept::Unusable(error)),
    }
}

/// A bar on standard error if that is a terminal, else a line for each tenth.
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

/// The summary, for people.
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
            let reason = match reason {
                NotRun::StateFailed(error) => error.to_string(),
                NotRun::NoMemory(error) => error.to_string(),
                NotRun::Disabled(reason) => format!("disabled: {reason}"),
                NotRun::ClaimLost | NotRun::Busy | NotRun::Paused => {
                    "a run of it is still going on".to_owned()
                }
            };
            return format!("{name}: did not run: {reason}\n");
        }
    };
    let result = match &report.error {
        None => "complete",
        Some(RunError::Interrupted) => "interrupted; run it again to go on where it was",
        Some(_) => "failed",
    };
    let mut text = format!(
        "{name}: {result}\n  {} samples received, {} stored, {} rejected, {} dead letters\n",
        report.received, report.rows, report.rejected, report.dead_lettered
    );
    let is_sink = definition.job.resends();
    if let (1.., true, Some(place)) = (report.dead_lettered, is_sink, place) {
        let path = path.display();
        writeln!(
            text,
            "  once the endpoint takes them, send these again: bootstrap replay {place} --sink={path}"
        )
        .expect("a String takes all");
    }
    let mut line = |what: &str, of: &str| {
        writeln!(text, "  {what}: {of}").expect("a String takes all");
    };
    for warning in &report.warnings {
        line("warning", warning);
    }
    if let Some(RunError::Failed(error) | RunError::Disable(error)) = &report.error {
        line("error", error);
    }
    text
}
