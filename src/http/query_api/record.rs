//! The record of a request of the query API.

use std::time::Duration;

use promql::Statistics;
use tokio::time::Instant;

use crate::http::log;
use crate::http::recent_errors::Source;
use crate::http::recorder::{End, Record};
use crate::metrics::Metrics;
use crate::metrics::emf::EmfRecord;
use crate::query::{Querier, ReadOutcome, Reads};

/// The bytes of an expression in a log line at most.
const MAX_EXPRESSION_BYTES: usize = 1_024;

/// The numbers of a request so far.
#[derive(Debug)]
pub(super) struct ApiRecord {
    /// The last part of the path.
    endpoint: &'static str,
    began: Instant,
    /// A query that takes as long is logged.
    slow: Duration,
    /// The start of the expression, empty if there is none.
    expression: String,
    /// The queries, once they have begun.
    reads: Option<Reads>,
    /// Those of the evaluation, once it is complete.
    pub(super) statistics: Option<Statistics>,
}

impl ApiRecord {
    pub(super) fn new(endpoint: &'static str, slow: Duration) -> Self {
        Self {
            endpoint,
            began: Instant::now(),
            slow,
            expression: String::new(),
            reads: None,
            statistics: None,
        }
    }

    /// Begins the queries of the request, whose results have to be there by `deadline`.
    pub(super) fn begin_reads(&mut self, querier: &Querier, deadline: Instant) -> &mut Reads {
        self.reads.insert(querier.reads(deadline))
    }

    fn outcome(&self) -> Option<ReadOutcome> {
        self.reads.as_ref().map(Reads::outcome)
    }

    /// Sets the expression of which the start is logged.
    pub(super) fn set_expression(&mut self, text: &str) {
        let end = text.floor_char_boundary(MAX_EXPRESSION_BYTES);
        text[..end].clone_into(&mut self.expression);
    }

    /// Returns the expression for the log, `None` if there is none.
    fn expression(&self) -> Option<&str> {
        (!self.expression.is_empty()).then_some(&*self.expression)
    }
}

impl Record for ApiRecord {
    const SOURCE: Source = Source::Query;

    fn count(&mut self, metrics: &Metrics, status: u16, duration: Duration) -> EmfRecord {
        metrics.add_query(self.outcome().as_ref(), status, duration)
    }

    fn log(&mut self, end: End<'_>) {
        if let Some(reads) = &mut self.reads {
            reads.take_counts();
        }
        let outcome = self.outcome();
        let destinations = log::destinations(outcome.iter().flat_map(|it| &it.destinations));
        let counts = outcome.as_ref().map(|outcome| outcome.counts);
        let duration = self.began.elapsed();
        // One list of fields for every level, which has to be known when the program is built.
        macro_rules! log {
            ($level:ident, $status:expr, $error:expr, $text:literal) => {
                tracing::$level!(
                    endpoint = self.endpoint,
                    status = $status,
                    error = $error,
                    expression = self.expression(),
                    seconds = duration.as_secs_f64(),
                    destinations,
                    series = outcome.as_ref().map(|outcome| outcome.series),
                    samples = outcome.as_ref().map(|outcome| outcome.samples),
                    cached_samples = outcome
                        .as_ref()
                        .and_then(|outcome| outcome.cache)
                        .map(|cache| cache.samples),
                    evaluated_samples = self.statistics.map(|it| it.total_samples),
                    statements = counts.map(|counts| counts.statements),
                    pages = counts.map(|counts| counts.pages),
                    retries = counts.map(|counts| counts.retries),
                    scanned_bytes = counts.map(|counts| counts.bytes_scanned),
                    $text
                )
            };
        }
        let none = None::<&str>;
        match end {
            End::Completed(status) if duration >= self.slow => {
                log!(info, status.as_u16(), none, "Slow query completed.");
            }
            End::Completed(status) => log!(debug, status.as_u16(), none, "Query completed."),
            // Errors of the expression or of a parameter are the client's.
            End::Failed(error) if error.status().is_client_error() => {
                log!(
                    info,
                    error.status().as_u16(),
                    Some(error.text()),
                    "Rejected a query."
                );
            }
            End::Failed(error) => {
                log!(
                    error,
                    error.status().as_u16(),
                    Some(error.text()),
                    "Query failed."
                );
            }
            End::Aborted => log!(
                debug,
                none,
                none,
                "The client of a query left before its response was complete."
            ),
            End::Panicked => log!(error, none, none, "The handler of a query panicked."),
        }
    }
}
