//! The command `bootstrap run`: one definition, once, with progress, a summary and an exit status.

use std::fmt::Write as _;
use std::future::Future;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_config::SdkConfig;
use indicatif::{ProgressBar, ProgressStyle};

use super::connectors::runner;
use crate::config::Config;
use crate::connector::Connector;
use crate::dead_letter::DeadLetters;
use crate::jobs::bucket::Cause;
use crate::jobs::definition::{Definition, KINDS};
use crate::jobs::run::{Progress, Report, RunError, Stop};
use crate::jobs::runner::{Caller, Ran};
use crate::jobs::state::{Folder, Memory, State};
use crate::metrics::Metrics;
use crate::timestream::Timestream;

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
        Err(faults) => {
            for fault in faults {
                eprintln!("{}: {fault}", path.display());
            }
            return Exit::Unusable;
        }
    };
    let opened = open_state(config, path, shared);
    let dead_letters = DeadLetters::open(config.dead_letter.as_ref(), shared);
    let (state, dead_letters) = match (opened, dead_letters) {
        (Ok(state), Ok(dead_letters)) => (state, dead_letters),
        (state, dead_letters) => {
            let faults = [state.err(), dead_letters.err()];
            for error in faults.into_iter().flatten() {
                eprintln!(
                    "Cannot use the state (--state) or dead letters (--dead-letter): {error}"
                );
            }
            return Exit::Unusable;
        }
    };
    let timestream = Timestream::new(&config.timestream, shared);
    let connector = Connector::new(config, timestream, dead_letters);
    let runner = runner(config, connector, state, Arc::new(Metrics::new()));
    // Whoever runs it by hand has seen what is wrong.
    if let Err(error) = runner
        .registry
        .change(&definition.name, |it| it.enable())
        .await
    {
        eprintln!("{error}");
        return Exit::Failed;
    }
    let watcher = Watcher::new(&definition.name);
    let (stopper, told) = Stop::new();
    let caller = Caller {
        deadline: None,
        stop: &told,
        progress: &watcher,
    };
    let mut running = std::pin::pin!(runner.run(&definition, Cause::Hand, caller));
    let (ran, _) = tokio::select! {
        done = &mut running => done,
        () = stop => {
            watcher.line("stopping after the present call");
            stopper.stop();
            running.await
        }
    };
    watcher.finish();
    print!("{}", describe(&definition, &ran));
    match ran {
        Ran::Run(Report { error: None, .. }) => Exit::Complete,
        Ran::Run(Report {
            error: Some(RunError::Interrupted),
            ..
        }) => Exit::Interrupted,
        _ => Exit::Failed,
    }
}

fn read(path: &Path) -> Result<Definition, Vec<String>> {
    let text = std::fs::read(path).map_err(|error| vec![error.to_string()])?;
    Definition::parse(&text, KINDS)
        .map_err(|faults| faults.0.iter().map(ToString::to_string).collect())
}

/// The state that is configured; else a folder beside the definition, because a run that is
/// interrupted has to find its cursor again.
fn open_state(config: &Config, path: &Path, shared: &SdkConfig) -> io::Result<State> {
    if config.state.is_some() {
        return State::open(config.state.as_ref(), shared);
    }
    let mut folder = path.as_os_str().to_owned();
    folder.push(".state");
    let folder = PathBuf::from(folder);
    Ok(match Folder::open(&folder) {
        Ok(folder) => State::Folder(folder),
        Err(error) => {
            eprintln!(
                "{} cannot be written ({error}): an interrupted run will start anew; set --state",
                folder.display()
            );
            State::Memory(Memory::default())
        }
    })
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
            eprintln!("{}: {} of {expected}", self.name, before + units);
        }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{}: {text}", self.name)),
            None => eprintln!("{}: {text}", self.name),
        }
    }
}

/// The summary, for people.
fn describe(definition: &Definition, ran: &Ran) -> String {
    let name = &definition.name;
    let report = match ran {
        Ran::Run(report) => report,
        Ran::Unknown(error) => return format!("{name}: did not run: {error}\n"),
        Ran::Disabled(reason) => return format!("{name}: did not run: disabled: {reason}\n"),
        Ran::ClaimLost | Ran::Busy | Ran::Paused => {
            return format!("{name}: did not run: a run of it is still going on\n");
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
