//! The type `prometheus_sink`: rows to a remote-write endpoint.
//!
//! Rows are handed over ([`Job::take_rows`]) or read from Timestream (`source`). `row` and `source` make
//! samples of them, `point` puts these in order, `body` into requests, which `send` delivers;
//! `verdict` and `blame` read the answers.

mod blame;
mod body;
mod config;
mod point;
mod row;
mod send;
mod source;
mod verdict;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;

use super::run::{Fault, Job, Report, Run, RunError};
use config::Settings;
use row::read_rows;
use send::{Origin, Sender};

/// A sink, its settings checked.
#[derive(Debug)]
struct Sink(Settings);

/// Reads the `config` of a sink.
///
/// # Errors
/// All that is wrong with it.
pub fn parse(config: &Value) -> Result<Box<dyn Job>, Vec<Fault>> {
    Ok(Box::new(Sink(Settings::parse(config)?)))
}

impl Job for Sink {
    fn run<'a>(&'a self, run: &'a Run<'a>) -> BoxFuture<'a, Report> {
        async {
            let mut sender = match Sender::new(&self.0, run, Origin::Source) {
                Ok(sender) => sender,
                Err(error) => return Report::failed(error),
            };
            let ended = source::deliver(&self.0, run, &mut sender).await;
            sender.report(ended)
        }
        .boxed()
    }

    fn take_rows<'a>(&'a self, run: &'a Run<'a>, rows: &'a [u8]) -> Option<BoxFuture<'a, Report>> {
        Some(self.take(run, rows).boxed())
    }
}

impl Sink {
    /// Delivers rows that somebody hands over; when this returns each is delivered, kept as a dead
    /// letter, or told as not delivered.
    async fn take(&self, run: &Run<'_>, rows: &[u8]) -> Report {
        let mut sender = match Sender::new(&self.0, run, Origin::HandedOver) {
            Ok(sender) => sender,
            Err(error) => return Report::failed(error),
        };
        let now_ms = (run.now)().as_millisecond();
        let (points, bad) = match read_rows(rows, &self.0.fields, now_ms) {
            Ok(read) => read,
            Err(why) => {
                let text = format!(
                    "the rows cannot be read: {why}; expected a JSON array of objects, or one on each line"
                );
                return Report::failed(RunError::Failed(text));
            }
        };
        let ended = async {
            for point in points {
                sender.push(point).await?;
            }
            sender.flush().await?;
            let bad: Vec<_> = bad.iter().map(ToString::to_string).collect();
            sender.keep_bad_rows(&bad).await
        }
        .await;
        sender.report(ended)
    }
}
