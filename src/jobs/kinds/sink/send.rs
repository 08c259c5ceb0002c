//! Samples to the endpoint: in batches, again after failures, halved where the receiver refuses some,
//! and what it never takes to the dead letters.
//!
//! Requests go one after the other: a receiver refuses a sample that is older than the last one of its
//! series.

use std::collections::BTreeMap;
use std::time::Duration;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::blame::{Blamed, blame};
use super::body::body;
use super::config::{Protocol, Settings};
use super::point::{Content, Point, arrange, by_series};
use super::reason::Reason;
use super::verdict::{Verdict, verdict};
use crate::dead_letter::Letter;
use crate::jobs::client::{CallError, Session, next_piece};
use crate::jobs::run::{Report, Run, RunError};
use crate::model::Label;
use crate::received::cut;
use crate::storage::histogram::from_message;

const VERSION: HeaderName = HeaderName::from_static("x-prometheus-remote-write-version");
const ATTEMPT: HeaderName = HeaderName::from_static("retry-attempt");
/// Bytes of an answer that are read; it may have a line for each sample.
const MAX_ANSWER_BYTES: usize = 1 << 20;
/// Bytes of the text in a dead letter.
const MAX_TEXT_BYTES: usize = 400;

/// Sends the samples of one run.
pub(super) struct Sender<'r> {
    settings: &'r Settings,
    run: &'r Run<'r>,
    origin: Origin,
    session: Session,
    protocol: Protocol,
    /// What waits for a full batch.
    buffer: Vec<Point>,
    /// When the first of them came.
    since: Instant,
    counts: Counts,
    /// Samples that [`Self::deliver`] did not come to, or sent in vain.
    undelivered: Vec<Point>,
}

/// Where the samples of a run come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A source that has them still, whatever becomes of them.
    Source,
    /// Somebody hands them over.
    HandedOver,
    /// Dead letters, which stay where they are as long as their samples are not delivered.
    Letters,
}

/// What became of the samples of a run.
#[derive(Debug, Default)]
struct Counts {
    received: u64,
    delivered: u64,
    /// Samples that the receiver never takes, by reason.
    refused: BTreeMap<Reason, u64>,
    dead_lettered: u64,
    /// The reason for which the first of them was refused.
    first_refusal: Option<String>,
    warnings: Vec<String>,
}

/// A sample that the receiver never takes.
pub(super) struct Hopeless {
    point: Point,
    pub(super) reason: Reason,
    /// The reason, as far as it may be shown.
    text: String,
}

/// Samples of one request.
#[derive(Clone, Copy)]
struct Part<'p> {
    points: &'p [Point],
    /// Whether the receiver may have stored some of them, as a part of a larger request.
    is_partial: bool,
    /// The sample behind them in that.
    next: Option<&'p Point>,
}

/// The fate of the samples of letters.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) hopeless: Vec<Hopeless>,
    pub(super) undelivered: Vec<Point>,
    /// The error for which some are not delivered.
    pub(super) error: Option<RunError>,
}

impl<'r> Sender<'r> {
    /// Starts without anything to send.
    ///
    /// # Errors
    /// A secret cannot be had.
    pub(super) fn new(
        settings: &'r Settings,
        run: &'r Run<'r>,
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

    /// Takes a sample. When this returns a full batch is delivered.
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

    /// Whether samples wait that nobody may hold back any longer.
    pub(super) fn is_due(&self) -> bool {
        !self.buffer.is_empty() && self.since.elapsed() >= self.settings.flush_interval
    }

    /// How many samples wait.
    pub(super) fn waiting(&self) -> usize {
        self.buffer.len()
    }

    /// Delivers what waits. After an error it still waits.
    pub(super) async fn flush(&mut self) -> Result<(), RunError> {
        let mut points = self.buffer.clone();
        let repeated = arrange(&mut points);
        let mut hopeless = Vec::new();
        let sent = self.deliver(&points, &mut hopeless).await;
        let kept = self.keep(&hopeless).await;
        if kept.is_err() {
            // Nothing has become of them.
            for it in &hopeless {
                let count = self.counts.refused.entry(it.reason).or_default();
                *count = count.saturating_sub(1);
            }
        }
        sent?;
        kept?;
        self.counts.delivered += repeated;
        self.buffer.clear();
        self.tell();
        Ok(())
    }

    /// Notes rows that are no samples, and keeps them as dead letters.
    pub(super) async fn keep_bad_rows(&mut self, rows: &[impl ToString]) -> Result<(), RunError> {
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
        let before = self.counts.refused.get(&Reason::BadRow);
        // The log has the first of them; the report has the count of all.
        let are_kept = self.run.ingester.keeps_letters() || before.is_none();
        let count = rows.len() as u64;
        self.counts.received += count;
        if are_kept {
            let letters: Vec<_> = rows.iter().map(letter).collect();
            self.keep_letters(&letters, count).await?;
        }
        *self.counts.refused.entry(Reason::BadRow).or_default() += count;
        self.counts
            .first_refusal
            .get_or_insert_with(|| first.to_string());
        self.tell();
        Ok(())
    }

    /// Tells how much is settled, for a run that does not get to its report.
    fn tell(&self) {
        let counts = &self.counts;
        let rejected = counts.refused.values().sum();
        self.run
            .tally
            .set(counts.delivered, counts.received, rejected);
    }

    /// What the run came to. Samples that the receiver never takes make it a failure.
    pub(super) fn report(self, ended: Result<(), RunError>) -> Report {
        let Counts {
            received,
            delivered,
            mut refused,
            dead_lettered,
            first_refusal,
            warnings,
        } = self.counts;
        refused.retain(|_, samples| *samples > 0);
        let rejected = refused.values().sum();
        let reasons = refused
            .iter()
            .map(|(reason, samples)| format!("{samples} {}", reason.as_str()));
        let reasons = reasons.collect::<Vec<_>>().join(", ");
        let of_refused = || {
            let remedy = match refused.keys().any(|it| it.is_about_time()) {
                true => {
                    "; a receiver that takes older samples has out_of_order_time_window in its storage.tsdb"
                }
                false => "",
            };
            let first = first_refusal.unwrap_or_default();
            RunError::Failed(format!(
                "the endpoint does not take {rejected} samples ({reasons}): {first}{remedy}"
            ))
        };
        Report {
            rows: delivered,
            received,
            rejected,
            dead_lettered,
            error: match ended {
                Err(error) => Some(error),
                Ok(()) => (rejected > 0).then(of_refused),
            },
            warnings,
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
            let delivered = self.deliver(batch, &mut outcome.hopeless).await;
            outcome.undelivered.append(&mut self.undelivered);
            outcome.error = delivered.err();
        }
        outcome
    }

    /// Sends `points`, which are arranged; what the receiver never takes goes to `hopeless`.
    async fn deliver(
        &mut self,
        points: &[Point],
        hopeless: &mut Vec<Hopeless>,
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
            let delivered = self.deliver_part(part, &mut parts, hopeless).await;
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

    /// Sends one part; what has to be sent of it in smaller ones, or otherwise, goes to `parts`.
    async fn deliver_part<'p>(
        &mut self,
        part: Part<'p>,
        parts: &mut Vec<Part<'p>>,
        hopeless: &mut Vec<Hopeless>,
    ) -> Result<(), RunError> {
        let points = part.points;
        match self.send(points).await? {
            Verdict::Stored { unconfirmed } => {
                self.counts.delivered += points.len() as u64;
                self.tell();
                if unconfirmed > 0 {
                    self.warn(format!(
                        "the endpoint answered success but does not say that {unconfirmed} samples are written"
                    ));
                }
            }
            Verdict::Rejected {
                written,
                is_partial,
                status,
                words,
                shown,
            } => {
                if written > 0
                    && let Some(blamed) = blame(points, written, &words)
                {
                    self.counts.delivered += written;
                    for Blamed {
                        index,
                        reason,
                        phrase,
                    } in blamed
                    {
                        let phrase = phrase.as_deref().unwrap_or(reason.as_str());
                        let text = format!("{status}: {phrase}");
                        self.note(&points[index], reason, &text, hopeless);
                    }
                } else if points.len() > 1 {
                    parts.extend(part.halves(is_partial || written > 0));
                } else {
                    let reason = words.reason();
                    let text = match part.may_be_stored(reason) {
                        true => format!(
                            "{shown}; it may be stored, as part of a larger request of which the endpoint stored the rest"
                        ),
                        false => shown,
                    };
                    self.note(&points[0], reason, &text, hopeless);
                }
            }
            Verdict::WrongVersion(why) => {
                self.protocol = Protocol::V1;
                self.warn(format!(
                    "the endpoint does not take remote write 2.0 ({why}), so 1.0 is used; set protobuf_message to 1.0"
                ));
                parts.push(part);
            }
            Verdict::Refused(why) => {
                // What can be read again stays where it is; so does what has no other place.
                let has_place =
                    self.origin == Origin::HandedOver && self.run.ingester.keeps_letters();
                if !has_place {
                    return Err(RunError::Failed(format!(
                        "the endpoint takes nothing from this sender: {why}"
                    )));
                }
                for point in points {
                    self.note(point, Reason::Refused, &why, hopeless);
                }
            }
            Verdict::Unclear(why) => {
                return Err(RunError::Failed(format!(
                    "{} samples are not delivered, and the next try sends them again, because the response does not say that they can never be stored: {why}",
                    count(part, parts)
                )));
            }
            Verdict::Retry { why, .. } => {
                return Err(RunError::Failed(format!(
                    "{} samples are not delivered after {} tries: {why}",
                    count(part, parts),
                    self.settings.retries.max + 1,
                )));
            }
        }
        Ok(())
    }

    /// Notes a sample that is not stored, unless the receiver has it already.
    fn note(&mut self, point: &Point, reason: Reason, text: &str, hopeless: &mut Vec<Hopeless>) {
        let reason = match (&point.content, reason) {
            // Of histograms Prometheus says no more than this where they differ.
            (Content::Histogram(_), Reason::Stored) => Reason::Duplicate,
            (_, reason) => reason,
        };
        if reason == Reason::Stored {
            self.counts.delivered += 1;
            return;
        }
        *self.counts.refused.entry(reason).or_default() += 1;
        let text = cut(text, MAX_TEXT_BYTES).into_owned();
        self.counts
            .first_refusal
            .get_or_insert_with(|| text.clone());
        hopeless.push(Hopeless {
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

    /// One request, sent again as often as the settings say; the last verdict.
    async fn send(&self, part: &[Point]) -> Result<Verdict, RunError> {
        let body = bytes::Bytes::from(body(part, self.protocol));
        let mut retries = 0;
        loop {
            let verdict = self.post(body.clone(), part.len() as u64, retries).await?;
            let Verdict::Retry { after, why } = &verdict else {
                return Ok(verdict);
            };
            if retries >= self.settings.retries.max {
                return Ok(verdict);
            }
            let pause = self.settings.retries.pause(retries, *after);
            tracing::debug!(
                connector = self.run.name,
                error = why,
                pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
                "A batch is sent again."
            );
            if self.left().is_some_and(|left| left <= pause) {
                return Ok(verdict);
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = self.run.stop.wait() => return Err(RunError::Interrupted),
            }
            retries += 1;
        }
    }

    /// The time that is left for the run.
    fn left(&self) -> Option<Duration> {
        let deadline = self.run.deadline?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }

    /// One try.
    async fn post(&self, body: bytes::Bytes, sent: u64, attempt: u32) -> Result<Verdict, RunError> {
        if self.run.stop.is_set() {
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
            let mut answer = Vec::new();
            while let Some(chunk) = next_piece(&mut response).await? {
                answer.extend_from_slice(&chunk);
                if answer.len() >= MAX_ANSWER_BYTES {
                    break;
                }
            }
            Ok::<_, CallError>((status, headers, answer))
        };
        let why = match timeout(limit, exchange).await {
            Ok(Ok((status, headers, answer))) => {
                let now = (self.run.now)();
                return Ok(verdict(status, &headers, &answer, sent, self.protocol, now));
            }
            // No request has left, so nothing has become of the samples.
            Ok(Err(error)) if error.is_lasting() => {
                return Err(RunError::Failed(error.to_string()));
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} ms", limit.as_millis()),
        };
        Ok(Verdict::Retry { why, after: None })
    }

    /// Keeps samples as dead letters, one letter for those of a series with the same reason.
    async fn keep(&mut self, hopeless: &[Hopeless]) -> Result<(), RunError> {
        if hopeless.is_empty() {
            return Ok(());
        }
        let letters = letters_of(hopeless, self.run);
        self.keep_letters(&letters, hopeless.len() as u64).await
    }

    async fn keep_letters(&mut self, letters: &[Letter], samples: u64) -> Result<(), RunError> {
        let keeping = self.run.ingester.keep_letters(letters);
        let kept = match self.run.deadline {
            Some(deadline) => timeout_at(deadline, keeping)
                .await
                .map_err(|_| RunError::Interrupted)?,
            None => keeping.await,
        };
        if kept.map_err(|error| RunError::Failed(error.to_string()))? {
            self.counts.dead_lettered += samples;
        }
        Ok(())
    }
}

/// Returns letters for samples in their order, one for those of a series with the same reason.
pub(super) fn letters_of(hopeless: &[Hopeless], run: &Run<'_>) -> Vec<Letter> {
    let points: Vec<Point> = hopeless.iter().map(|it| it.point.clone()).collect();
    let now = (run.now)();
    let mut letters = Vec::new();
    let mut start = 0;
    for series in by_series(&points) {
        let same = &hopeless[start..start + series.len()];
        start += series.len();
        for same in same.chunk_by(|a, b| a.reason == b.reason) {
            let first = &same[0];
            let label = |label: &Label| (label.name.clone(), label.value.clone());
            let mut letter = Letter::new(now, first.reason.as_str());
            letter.message = first.text.clone();
            letter.connector = Some(run.name.to_owned());
            letter.labels = first.point.labels.iter().map(label).collect();
            for hopeless in same {
                hopeless.point.add_to(&mut letter);
            }
            letters.push(letter);
        }
    }
    letters
}

/// Returns the number of samples that a run that ends with `part` does not come to.
fn count(part: Part<'_>, rest: &[Part<'_>]) -> usize {
    let all = rest.iter().chain([&part]);
    all.map(|part| part.points.len()).sum()
}

impl Point {
    /// Adds the sample to a letter of its series.
    pub(super) fn add_to(&self, letter: &mut Letter) {
        match &self.content {
            Content::Float(sample) => letter.samples.push(*sample),
            Content::Histogram(it) => letter.histograms.push(from_message((**it).clone())),
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

    /// Whether a single sample that is rejected now may have been stored before: a receiver that takes
    /// samples in the order of time only then rejects it because it has a later one of the same request.
    fn may_be_stored(self, reason: Reason) -> bool {
        self.is_partial
            && matches!(reason, Reason::OutOfOrder | Reason::Other)
            && self
                .next
                .is_some_and(|next| next.is_same_series(&self.points[0]))
    }
}

/// Two halves of arranged points, cut between series if there are several.
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
