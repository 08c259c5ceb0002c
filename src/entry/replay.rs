//! The command `bootstrap replay`: progress on a terminal, a summary, an exit status.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use aws_config::SdkConfig;
use indicatif::{ProgressBar, ProgressStyle};
use prom_model::visible::escaped_lines;

use super::build::{parts, runner};
use super::resend::ToSink;
use super::run::{Exit, read};
use crate::config::{Config, Replaying};
use crate::dead_letter::{DeadLetters, Queue};
use crate::jobs::definition;
use crate::metrics::Metrics;
use crate::replay::{Progress, Replay, Source, Summary, Target, ToTimestream};
use crate::state::{Memory, State};
use crate::telemetry::print_error;

/// Replays all sources and prints the outcome.
pub async fn run(config: &Config, replaying: &Replaying, shared: &SdkConfig) -> ExitCode {
    let mut config = config.clone();
    // They stop a server; here they would only block valid letters.
    config.ingest.policy.fail_on_long_label = false;
    config.ingest.policy.fail_on_invalid_sample_value = false;
    // Letters that fail again stay in the source.
    let parts = parts(&config, shared, DeadLetters::Log);
    let Some(path) = &replaying.sink else {
        let fallback = replaying.fallback.clone();
        let target = ToTimestream::new(&parts.ingester, fallback, config.http.request_timeout);
        return replay(target, &replaying.sources, shared).await;
    };
    let definition = match read(path) {
        Ok(definition) if definition.job.resends() => Arc::new(definition),
        Ok(_) => {
            print_error(&format!(
                "{} (--sink): the job is not a sink; expected the type prometheus_sink",
                path.display()
            ));
            return Exit::Unusable.into();
        }
        Err(errors) => {
            for error in errors {
                print_error(&format!("{} (--sink): {error}", path.display()));
            }
            return Exit::Unusable.into();
        }
    };
    // There is no run, so it has no state.
    let state = State::Memory(Memory::default());
    let runner = runner(
        &config,
        parts,
        state,
        Arc::new(Metrics::new(definition::type_names())),
    );
    replay(ToSink::new(&runner, definition), &replaying.sources, shared).await
}

async fn replay(target: impl Target, sources: &[Source], shared: &SdkConfig) -> ExitCode {
    let bar = bar();
    let replay = Replay::new(target, &bar);
    let mut summary = Summary::default();
    for source in sources {
        match source {
            Source::File(path) => replay.file(path, &mut summary).await,
            Source::Folder(path) => replay.folder(path, &mut summary).await,
            Source::Queue(url) => replay.queue(&Queue::new(shared, url), &mut summary).await,
        }
    }
    bar.finish_and_clear();
    let exit = match summary.is_complete() {
        true => Exit::Complete,
        false => Exit::Failed,
    };
    super::print(&escaped_lines(&describe(&summary)), exit.into())
}

/// Returns a progress bar on standard error if that is a terminal, else a hidden one.
fn bar() -> ProgressBar {
    let style =
        ProgressStyle::with_template("replaying {wide_bar} {bytes}/{total_bytes}, {eta} left");
    ProgressBar::new(0).with_style(style.expect("the template is valid"))
}

impl Progress for &ProgressBar {
    fn expect(&self, bytes: u64) {
        self.inc_length(bytes);
    }

    fn advance(&self, bytes: u64) {
        self.inc(bytes);
    }
}

/// Returns the summary as text.
fn describe(summary: &Summary) -> String {
    let replayed = &summary.replayed;
    let left = replayed.samples - replayed.stored;
    let mut text = format!(
        "replayed {} samples: {} stored, {left} not stored\n",
        replayed.samples, replayed.stored
    );
    let mut reasons = |counts: &BTreeMap<String, u64>, what: &str| {
        for (reason, samples) in counts {
            writeln!(text, "  {samples} {what}: {reason}").expect("a String takes all");
        }
    };
    reasons(&replayed.rejected, "rejected again");
    reasons(&replayed.failed, "failed for now, replay once more");
    for (name, letters) in &summary.others {
        let line = match name {
            Some(name) => {
                format!("{letters} letters stay for the sink {name}: replay them with --sink")
            }
            None => format!("{letters} letters stay for Timestream: replay them without --sink"),
        };
        writeln!(text, "  {line}").expect("a String takes all");
    }
    if summary.unnamed > 0 {
        writeln!(
            text,
            "  {} letters of sinks stay because an earlier version wrote them without a name: add \
             \"connector\":\"NAME\" to them, then replay them with --sink",
            summary.unnamed
        )
        .expect("a String takes all");
    }
    if let Some(first) = &summary.first_unreadable {
        let count = summary.unreadable;
        writeln!(text, "  {count} lines cannot be read, the first at {first}")
            .expect("a String takes all");
    }
    for problem in &summary.problems {
        writeln!(text, "  {problem}").expect("a String takes all");
    }
    if let Some(letter) = replayed
        .left
        .iter()
        .find(|letter| !letter.message.is_empty())
    {
        writeln!(text, "  for instance: {}", letter.message).expect("a String takes all");
    }
    text
}
