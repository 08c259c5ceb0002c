//! Delivery of samples to the endpoint: in batches, with retries, in halves where the receiver rejects some.
//! Samples that it will never accept become dead letters.
//!
//! Requests are sent one after the other: a receiver rejects a sample that is older than the last one of its
//! series.

use std::collections::BTreeMap;
use std::time::Duration;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName};
use prom_model::Label;
use prom_model::visible::truncate;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::body::body;
use super::config::{Protocol, Settings};
use super::point::{Content, Point, arrange, by_series};
use super::reason::Reason;
use super::rejected_samples::{RejectedSample, rejected_samples};
use super::response::{WriteResponse, write_response};
use crate::dead_letter::Letter;
use crate::jobs::client::{CallError, Session, next_piece};
use crate::jobs::job::{JobContext, Report, RunError};

const VERSION: HeaderName = HeaderName::from_static("x-prometheus-remote-write-version");
const ATTEMPT: HeaderName = HeaderName::from_static("retry-attempt");
/// Bytes of a response that are read; it may have a line for each sample.
const MAX_RESPONSE_BYTES: usize = 1 << 20;
/// Bytes of the text in a dead letter.
const MAX_TEXT_BYTES: usize = 400;

/// Sends the samples of one run.
pub(super) struct Sender<'r> {
    settings: &'r Settings,
    run: &'r JobContext<'r>,
    origin: Origin,
    session: Session,
    protocol: Protocol,
    /// Samples that wait for a full batch.
    buffer: Vec<Point>,
    /// The time at which the first of them came.
    since: Instant,
    counts: Counts,
    /// Samples that [`Self::deliver`] did not reach, or could not deliver.
    undelivered: Vec<Point>,
}

/// The origin of the samples of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A source that still has them after a failure.
    Source,
    /// Rows that were pushed.
    Pushed,
    /// Dead letters, which stay where they are as long as their samples are not delivered.
    Letters,
}

/// The outcome of the samples of a run.
#[derive(Debug, Default)]
struct Counts {
    received: u64,
    delivered: u64,
    /// Samples that the receiver will never accept, by reason.
    rejected: BTreeMap<Reason, u64>,
    dead_lettered: u64,
    /// The error of the first of them.
    first_rejection: Option<String>,
    warnings: Vec<String>,
}

/// A sample that the receiver will never accept.
pub(super) struct PermanentFailure {
    point: Point,
    pub(super) reason: Reason,
    /// The error, as far as a user may see it.
    text: String,
}

/// Samples of one request.
#[derive(Clone, Copy)]
struct Part<'p> {
    points: &'p [Point],
    /// True if the receiver may have stored some of them, as a part of a larger request.
    is_partial: bool,
    /// The sample behind them in that.
    next: Option<&'p Point>,
}

/// The outcome of the samples of letters.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) permanent: Vec<PermanentFailure>,
    pub(super) undelivered: Vec<Point>,
    /// The error for which some are not delivered.
    pub(super) error: Option<RunError>,
}

impl<'r> Sender<'r> {
    /// Returns a sender without samples.
    ///
    /// # Errors
    /// A secret cannot be read.
    pub(super) fn new(
        settings: &'r Settings,
        run: &'r JobContext<'r>,
        origin: Origin,
    ) -> Result<Self, RunError> {
        let session = run.http.session(&settings.outgoing, run.secrets)?;
        Ok(Self {
            settings,
            run,
            origin,
            session: session.for_sending(settings.connect_timeout),
            protocol: settings.protocol,
            buffer: Vec::new(),
            since: Instant::now(),
            counts: Counts::default(),
            undelivered: Vec::new(),
        })
    }

    /// Adds a sample, and delivers the batch once it is full.
    pub(super) async fn push(&mut self, point: Point) -> Result<(), RunError> {
        if self.buffer.is_empty() {
            self.since = Instant::now();
        }
        self.counts.received += 1;
        self.buffer.push(point);
        if self.buffer.len() >= self.settings.batch_size {
            self.flush().await?;
        }
        Ok(())
    }

    /// Returns true if samples have waited for the flush interval.
    pub(super) fn is_due(&self) -> bool {
        !self.buffer.is_empty() && self.since.elapsed() >= self.settings.flush_interval
    }

    /// Returns the number of samples that wait.
    pub(super) fn waiting(&self) -> usize {
        self.buffer.len()
    }

    /// Delivers the samples that wait. After an error they still wait.
    pub(super) async fn flush(&mut self) -> Result<(), RunError> {
        let mut points = self.buffer.clone();
        let repeated = arrange(&mut points);
        let mut permanent = Vec::new();
        let sent = self.deliver(&points, &mut permanent).await;
        let stored = self.store(&permanent).await;
        if stored.is_err() {
            // The next run sends them again.
            for it in &permanent {
                let count = self.counts.rejected.entry(it.reason).or_default();
                *count = count.saturating_sub(1);
            }
        }
        sent?;
        stored?;
        self.counts.delivered += repeated;
        self.buffer.clear();
        self.update_tally();
        Ok(())
    }

    /// Notes rows that are not samples, and stores them as dead letters.
    pub(super) async fn store_bad_rows(&mut self, rows: &[impl ToString]) -> Result<(), RunError> {
        let Some(first) = rows.first() else {
            return Ok(());
        };
        let now = (self.run.now)();
        let letter = |row: &_| {
            let mut letter = Letter::new(now, Reason::BadRow.as_str());
            letter.message = ToString::to_string(row);
            letter.connector = Some(self.run.name.to_owned());
            letter
        };
        let before = self.counts.rejected.get(&Reason::BadRow);
        // The log has the first of them; the report has the count of all.
        let is_stored = self.run.ingester.keeps_letters() || before.is_none();
        let count = rows.len() as u64;
        self.counts.received += count;
        if is_stored {
            let letters: Vec<_> = rows.iter().map(letter).collect();
            self.store_letters(&letters, count).await?;
        }
        *self.counts.rejected.entry(Reason::BadRow).or_default() += count;
        self.counts
            .first_rejection
            .get_or_insert_with(|| first.to_string());
        self.update_tally();
        Ok(())
    }

    /// Updates the tally, for a run that does not reach its report.
    fn update_tally(&self) {
        let counts = &self.counts;
        let rejected = counts.rejected.values().sum();
        self.run
            .tally
            .set(counts.delivered, counts.received, rejected);
    }

    /// Returns the report of the run. Samples that the receiver will never accept make it a failure.
    pub(super) fn report(self, ended: Result<(), RunError>) -> Report {
        let Counts {
            received,
            delivered,
            rejected: mut by_reason,
            dead_lettered,
            first_rejection,
            warnings,
        } = self.counts;
        by_reason.retain(|_, samples| *samples > 0);
        let rejected = by_reason.values().sum();
        let reasons = by_reason
            .iter()
            .map(|(reason, samples)| format!("{samples} {}", reason.as_str()));
        let reasons = reasons.collect::<Vec<_>>().join(", ");
        let of_rejected = || {
            let remedy = match by_reason.keys().any(|it| it.is_about_time()) {
                true => {
                    "; to accept older samples, set out_of_order_time_window in the receiver's storage.tsdb"
                }
                false => "",
            };
            let first = first_rejection.unwrap_or_default();
            RunError::Failed(format!(
                "the endpoint does not accept {rejected} samples ({reasons}): {first}{remedy}"
            ))
        };
        Report {
            rows: delivered,
            received,
            rejected,
            dead_lettered,
            error: match ended {
                Err(error) => Some(error),
                Ok(()) => (rejected > 0).then(of_rejected),
            },
            warnings,
            ..Report::default()
        }
    }

    /// Sends `points`, which are arranged, once, and stores no dead letters.
    pub(super) async fn send_letters(&mut self, points: &[Point]) -> Outcome {
        let mut outcome = Outcome::default();
        for batch in points.chunks(self.settings.batch_size) {
            if outcome.error.is_some() {
                outcome.undelivered.extend_from_slice(batch);
                continue;
            }
            let delivered = self.deliver(batch, &mut outcome.permanent).await;
            outcome.undelivered.append(&mut self.undelivered);
            outcome.error = delivered.err();
        }
        outcome
    }

    /// Sends `points`, which are arranged; samples that the receiver will never accept go to `permanent`.
    async fn deliver(
        &mut self,
        points: &[Point],
        permanent: &mut Vec<PermanentFailure>,
    ) -> Result<(), RunError> {
        self.undelivered.clear();
        let mut parts = match points.is_empty() {
            true => Vec::new(),
            false => vec![Part {
                points,
                is_partial: false,
                next: None,
            }],
        };
        while let Some(part) = parts.pop() {
            let delivered = self.deliver_part(part, &mut parts, permanent).await;
            if delivered.is_err() {
                if self.origin == Origin::Letters {
                    let rest = parts.iter().rev().chain([&part]);
                    let rest = rest.flat_map(|part| part.points);
                    self.undelivered.extend(rest.cloned());
                }
                return delivered;
            }
        }
        Ok(())
    }

    /// Sends one part; what must be sent again in halves, or with another protocol, goes to `parts`.
    async fn deliver_part<'p>(
        &mut self,
        part: Part<'p>,
        parts: &mut Vec<Part<'p>>,
        permanent: &mut Vec<PermanentFailure>,
    ) -> Result<(), RunError> {
        let points = part.points;
        match self.send(points).await? {
            WriteResponse::Stored { unconfirmed } => {
                self.counts.delivered += points.len() as u64;
                self.update_tally();
                if unconfirmed > 0 {
                    self.warn(format!(
                        "the endpoint responded with success but does not report that {unconfirmed} samples are written"
                    ));
                }
            }
            WriteResponse::Rejected {
                written,
                is_partial,
                status,
                text,
                message,
            } => {
                if written > 0
                    && let Some(rejected) = rejected_samples(points, written, &text)
                {
                    self.counts.delivered += written;
                    for RejectedSample {
                        index,
                        reason,
                        phrase,
                    } in rejected
                    {
                        let phrase = phrase.as_deref().unwrap_or(reason.as_str());
                        let text = format!("{status}: {phrase}");
                        self.note(&points[index], reason, &text, permanent);
                    }
                } else if points.len() > 1 {
                    parts.extend(part.halves(is_partial || written > 0));
                } else {
                    let reason = text.reason();
                    let message = match part.may_be_stored(reason) {
                        true => format!(
                            "{message}; it may be stored, as part of a larger request of which the endpoint stored the rest"
                        ),
                        false => message,
                    };
                    self.note(&points[0], reason, &message, permanent);
                }
            }
            WriteResponse::WrongVersion(error) => {
                self.protocol = Protocol::V1;
                self.warn(format!(
                    "the endpoint does not accept remote write 2.0 ({error}), so 1.0 is used; set protobuf_message to 1.0"
                ));
                parts.push(part);
            }
            WriteResponse::Denied(error) => {
                // Samples that can be read again stay where they are; so do those that have no other place.
                let has_place = self.origin == Origin::Pushed && self.run.ingester.keeps_letters();
                if !has_place {
                    return Err(RunError::Failed(format!(
                        "the endpoint accepts nothing from this sender: {error}"
                    )));
                }
                for point in points {
                    self.note(point, Reason::Denied, &error, permanent);
                }
            }
            WriteResponse::Unclear(error) => {
                return Err(RunError::Failed(format!(
                    "{} samples are not delivered, and the next try sends them again, because the response does not say that they can never be stored: {error}",
                    count(part, parts)
                )));
            }
            WriteResponse::Retry { error, .. } => {
                return Err(RunError::Failed(format!(
                    "{} samples are not delivered after {} tries: {error}",
                    count(part, parts),
                    self.settings.backoff.max_retries + 1,
                )));
            }
        }
        Ok(())
    }

    /// Notes a sample that is not stored, unless the receiver already has it.
    fn note(
        &mut self,
        point: &Point,
        reason: Reason,
        text: &str,
        permanent: &mut Vec<PermanentFailure>,
    ) {
        let reason = match (&point.content, reason) {
            // Of histograms Prometheus says no more than this where they differ.
            (Content::Histogram(_), Reason::Stored) => Reason::Duplicate,
            (_, reason) => reason,
        };
        if reason == Reason::Stored {
            self.counts.delivered += 1;
            return;
        }
        *self.counts.rejected.entry(reason).or_default() += 1;
        let text = truncate(text, MAX_TEXT_BYTES).into_owned();
        self.counts
            .first_rejection
            .get_or_insert_with(|| text.clone());
        permanent.push(PermanentFailure {
            point: point.clone(),
            reason,
            text,
        });
    }

    fn warn(&mut self, text: String) {
        if !self.counts.warnings.contains(&text) && self.counts.warnings.len() < 10 {
            self.counts.warnings.push(text);
        }
    }

    /// Sends one request, again as often as the settings say, and returns the last response.
    async fn send(&self, part: &[Point]) -> Result<WriteResponse, RunError> {
        let body = bytes::Bytes::from(body(part, self.protocol));
        let mut retries = self.settings.backoff.start();
        loop {
            let attempt = retries.made();
            let response = self.post(body.clone(), part.len() as u64, attempt).await?;
            let WriteResponse::Retry { after, error } = &response else {
                return Ok(response);
            };
            let Ok(pause) = retries.next_pause(fastrand::f64(), *after, self.left()) else {
                return Ok(response);
            };
            tracing::debug!(
                connector = self.run.name,
                error = error,
                pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
                "Sending a batch again."
            );
            tokio::select! {
                () = sleep(pause) => {}
                () = self.run.stop.cancelled() => return Err(RunError::Interrupted),
            }
        }
    }

    /// Returns the time that is left for the run.
    fn left(&self) -> Option<Duration> {
        let deadline = self.run.deadline?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }

    /// Sends a request once.
    async fn post(
        &self,
        body: bytes::Bytes,
        sent: u64,
        attempt: u32,
    ) -> Result<WriteResponse, RunError> {
        if self.run.stop.is_cancelled() {
            return Err(RunError::Interrupted);
        }
        let limit = self.settings.connect_timeout + self.settings.socket_timeout;
        let limit = self.left().map_or(limit, |left| left.min(limit));
        if limit.is_zero() {
            return Err(RunError::Interrupted);
        }
        let mut request = self
            .session
            .post(self.settings.url.clone())
            .header(CONTENT_TYPE, self.protocol.content_type())
            .header(CONTENT_ENCODING, "snappy")
            .header(VERSION, self.protocol.version())
            .body(body);
        if attempt > 0 {
            request = request.header(ATTEMPT, attempt);
        }
        let exchange = async {
            let mut response = request.send().await?;
            let (status, headers) = (response.status(), response.headers().clone());
            let mut body = Vec::new();
            while let Some(chunk) = next_piece(&mut response).await? {
                body.extend_from_slice(&chunk);
                if body.len() >= MAX_RESPONSE_BYTES {
                    break;
                }
            }
            Ok::<_, CallError>((status, headers, body))
        };
        let error = match timeout(limit, exchange).await {
            Ok(Ok((status, headers, body))) => {
                let now = (self.run.now)();
                return Ok(write_response(
                    status,
                    &headers,
                    &body,
                    sent,
                    self.protocol,
                    now,
                ));
            }
            // No request was sent.
            Ok(Err(error)) if error.is_lasting() => {
                return Err(RunError::Failed(error.to_string()));
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no response within {} ms", limit.as_millis()),
        };
        Ok(WriteResponse::Retry { error, after: None })
    }

    /// Stores samples as dead letters, one letter for those of a series with the same reason.
    async fn store(&mut self, permanent: &[PermanentFailure]) -> Result<(), RunError> {
        if permanent.is_empty() {
            return Ok(());
        }
        let letters = letters_of(permanent, self.run);
        self.store_letters(&letters, permanent.len() as u64).await
    }

    async fn store_letters(&mut self, letters: &[Letter], samples: u64) -> Result<(), RunError> {
        let storing = self.run.ingester.keep_letters(letters);
        let stored = match self.run.deadline {
            Some(deadline) => timeout_at(deadline, storing)
                .await
                .map_err(|_| RunError::Interrupted)?,
            None => storing.await,
        };
        if stored.map_err(|error| RunError::Failed(error.to_string()))? {
            self.counts.dead_lettered += samples;
        }
        Ok(())
    }
}

/// Returns letters for samples in their order, one for those of a series with the same reason.
pub(super) fn letters_of(permanent: &[PermanentFailure], run: &JobContext<'_>) -> Vec<Letter> {
    let points: Vec<Point> = permanent.iter().map(|it| it.point.clone()).collect();
    let now = (run.now)();
    let mut letters = Vec::new();
    let mut start = 0;
    for series in by_series(&points) {
        let same = &permanent[start..start + series.len()];
        start += series.len();
        for same in same.chunk_by(|a, b| a.reason == b.reason) {
            let first = &same[0];
            let label = |label: &Label| (label.name.clone(), label.value.clone());
            let mut letter = Letter::new(now, first.reason.as_str());
            letter.message = first.text.clone();
            letter.connector = Some(run.name.to_owned());
            letter.labels = first.point.labels.iter().map(label).collect();
            for permanent in same {
                permanent.point.add_to(&mut letter);
            }
            letters.push(letter);
        }
    }
    letters
}

/// Returns the number of samples that a run that ends with `part` does not reach.
fn count(part: Part<'_>, rest: &[Part<'_>]) -> usize {
    let all = rest.iter().chain([&part]);
    all.map(|part| part.points.len()).sum()
}

impl Point {
    /// Adds the sample to a letter of its series.
    pub(super) fn add_to(&self, letter: &mut Letter) {
        match &self.content {
            Content::Float(sample) => letter.samples.push(*sample),
            Content::Histogram(it) => letter.histograms.push((**it).clone().into()),
        }
    }
}

impl<'p> Part<'p> {
    /// Returns two halves, the first one last, after the receiver rejected the whole, and perhaps
    /// stored some of it.
    fn halves(self, is_partial: bool) -> [Self; 2] {
        let (first, second) = halves(self.points);
        let is_partial = is_partial || self.is_partial;
        let half = |points, next| Self {
            points,
            is_partial,
            next,
        };
        [half(second, self.next), half(first, second.first())]
    }

    /// Returns true if a single sample that is rejected now may have been stored before: a receiver that accepts
    /// samples only in the order of time rejects it because it has a later one of the same request.
    fn may_be_stored(self, reason: Reason) -> bool {
        self.is_partial
            && matches!(reason, Reason::OutOfOrder | Reason::Other)
            && self
                .next
                .is_some_and(|next| next.is_same_series(&self.points[0]))
    }
}

/// Returns two halves of arranged points, cut between series if there are several.
fn halves(points: &[Point]) -> (&[Point], &[Point]) {
    let middle = points.len() / 2;
    let mut ends: Vec<usize> = Vec::new();
    for series in by_series(points) {
        ends.push(ends.last().copied().unwrap_or(0) + series.len());
    }
    // The last one is the end of all.
    ends.pop();
    let nearest = ends.into_iter().min_by_key(|end| end.abs_diff(middle));
    points.split_at(nearest.unwrap_or(middle))
}

#[cfg(test)]
mod tests {
    use super::super::point::tests::point;
    use super::*;

    #[test]
    fn halves_are_cut_between_series_as_long_as_there_are_several() {
        let series =
            |name: &str, count: i64| (0..count).map(|time| point(name, "1", time, 0.0)).collect();
        let cut = |points: Vec<Vec<Point>>| {
            let points = points.concat();
            let (first, second) = halves(&points);
            (first.len(), second.len())
        };
        assert_eq!(cut(vec![series("a", 7)]), (3, 4));
        assert_eq!(cut(vec![series("a", 1), series("b", 7)]), (1, 7));
        assert_eq!(
            cut(vec![series("a", 3), series("b", 3), series("c", 3)]),
            (3, 6)
        );
        assert_eq!(cut(vec![series("a", 1), series("b", 1)]), (1, 1));
        assert_eq!(cut(vec![series("a", 2)]), (1, 1));
    }
}
