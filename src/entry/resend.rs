//! Replay of sinks' dead letters to their endpoints, by `bootstrap replay --sink` and by a queue's events.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::dead_letter::Letter;
use crate::ingest::Replayed;
use crate::jobs::definition::Definition;
use crate::jobs::registry::Entry;
use crate::jobs::runner::JobRunner;
use crate::replay::{Target, ToTimestream};

/// The reason for which a letter without the name of its sink stays.
const UNNAMED: &str =
    "the letter is of a sink and does not name it; add \"connector\":\"NAME\" to it";

/// The letters of one sink, to its endpoint.
#[derive(Debug)]
pub(super) struct ToSink<'r> {
    definition: Arc<Definition>,
    sender: Sender<'r>,
}

/// The target of each letter: the endpoints of the sinks that a process knows, and Timestream for all others.
#[derive(Debug)]
pub(super) struct ToAll<'r> {
    timestream: ToTimestream<'r>,
    sender: Sender<'r>,
}

#[derive(Debug)]
struct Sender<'r> {
    runner: &'r JobRunner,
    /// The error after which nothing more is sent to an endpoint, by the name of the sink.
    failed: Mutex<BTreeMap<String, String>>,
}

impl<'r> ToSink<'r> {
    pub(super) fn new(runner: &'r JobRunner, definition: Arc<Definition>) -> Self {
        Self {
            definition,
            sender: Sender::new(runner),
        }
    }
}

impl<'r> ToAll<'r> {
    pub(super) fn new(timestream: ToTimestream<'r>, runner: &'r JobRunner) -> Self {
        Self {
            timestream,
            sender: Sender::new(runner),
        }
    }
}

impl Target for ToSink<'_> {
    fn accepts(&self, letter: &Letter) -> bool {
        letter.connector.as_ref() == Some(&self.definition.name)
    }

    fn write<'a>(
        &'a self,
        letters: &'a [Letter],
        deadline: Option<Instant>,
    ) -> BoxFuture<'a, Replayed> {
        self.sender
            .send(&self.definition, letters, deadline)
            .boxed()
    }
}

impl Target for ToAll<'_> {
    fn accepts(&self, _letter: &Letter) -> bool {
        true
    }

    fn write<'a>(
        &'a self,
        letters: &'a [Letter],
        deadline: Option<Instant>,
    ) -> BoxFuture<'a, Replayed> {
        async move {
            let mut all = Replayed::default();
            let is_same = |a: &Letter, b: &Letter| {
                a.connector == b.connector && a.is_of_unnamed_sink() == b.is_of_unnamed_sink()
            };
            for letters in letters.chunk_by(is_same) {
                all.add(match &letters[0].connector {
                    None if letters[0].is_of_unnamed_sink() => failed(letters, UNNAMED),
                    None => self.timestream.write(letters, deadline).await,
                    Some(name) => self.sender.send_by_name(name, letters, deadline).await,
                });
            }
            all
        }
        .boxed()
    }
}

impl<'r> Sender<'r> {
    fn new(runner: &'r JobRunner) -> Self {
        Self {
            runner,
            failed: Mutex::default(),
        }
    }

    async fn send_by_name(
        &self,
        name: &str,
        letters: &[Letter],
        deadline: Option<Instant>,
    ) -> Replayed {
        let reason = match self.runner.registry.get(name).await {
            Ok(Entry { record, .. }) if record.paused || record.disabled_reason.is_some() => {
                format!("the job {name} is paused or disabled; resume it")
            }
            Ok(entry) => match entry.definition {
                Some(definition) => return self.send(&definition, letters, deadline).await,
                None => format!("the definition of the job {name} is invalid; update or delete it"),
            },
            Err(error) => error.to_string(),
        };
        failed(letters, &reason)
    }

    /// Sends letters, unless the endpoint has failed: each further try would wait as long.
    async fn send(
        &self,
        definition: &Definition,
        letters: &[Letter],
        deadline: Option<Instant>,
    ) -> Replayed {
        let lock = || self.failed.lock();
        let before = lock().get(&definition.name).cloned();
        if let Some(error) = before {
            return failed(letters, &error);
        }
        let stop = CancellationToken::new();
        let resent = self.runner.resend(definition, letters, deadline, &stop);
        let Some(replayed) = resent.await else {
            return failed(letters, &format!("{} is no sink", definition.name));
        };
        if let Some(error) = replayed.failed.keys().next() {
            lock().insert(definition.name.clone(), error.clone());
        }
        replayed
    }
}

/// Returns an outcome in which all letters stay, for this reason.
fn failed(letters: &[Letter], error: &str) -> Replayed {
    let samples = letters.iter().map(Letter::count).sum();
    Replayed {
        samples,
        failed: [(error.to_owned(), samples)].into(),
        left: letters.to_vec(),
        ..Replayed::default()
    }
}
