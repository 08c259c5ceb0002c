//! Replay of a sink's dead letters to its endpoint.
//!
//! The caller stores the letters that are left, and nothing is stored here: a letter is in one place until
//! the endpoint has its samples.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use prom_model::Label;

use super::config::Settings;
use super::point::{Content, Point, arrange};
use super::row::checked;
use super::send::{Origin, Outcome, Sender, letters_of};
use crate::dead_letter::Letter;
use crate::ingest::Replayed;
use crate::jobs::job::JobContext;

/// Sends the samples of `letters`.
pub(super) async fn resend(
    settings: &Settings,
    run: &JobContext<'_>,
    letters: &[Letter],
) -> Replayed {
    let mut replayed = Replayed::default();
    let mut points = Vec::new();
    // By the address of the labels that its points share.
    let mut origins: HashMap<usize, usize> = HashMap::new();
    for (index, letter) in letters.iter().enumerate() {
        match points_of(letter) {
            Ok(some) => {
                if let Some(point) = some.first() {
                    origins.insert(Arc::as_ptr(&point.labels).addr(), index);
                }
                points.extend(some);
            }
            Err(reason) => {
                // A row that is not a sample counts as one, as when it was pushed.
                let samples = letter.count().max(1);
                replayed.samples += samples;
                *replayed.rejected.entry(reason.to_owned()).or_default() += samples;
                replayed.left.push(letter.clone());
            }
        }
    }
    // A letter may occur twice.
    arrange(&mut points);
    replayed.samples += points.len() as u64;
    let outcome = match Sender::new(settings, run, Origin::Letters) {
        Ok(mut sender) => sender.send_letters(&points).await,
        Err(error) => Outcome {
            undelivered: points.clone(),
            error: Some(error),
            ..Outcome::default()
        },
    };
    let left = outcome.permanent.len() + outcome.undelivered.len();
    replayed.stored = (points.len() - left) as u64;
    for it in &outcome.permanent {
        let count = replayed.rejected.entry(it.reason.as_str().to_owned());
        *count.or_default() += 1;
    }
    if let Some(error) = &outcome.error {
        let count = replayed.failed.entry(error.to_string());
        *count.or_default() += outcome.undelivered.len() as u64;
    }
    replayed.left.extend(letters_of(&outcome.permanent, run));
    let mut undelivered: BTreeMap<usize, Letter> = BTreeMap::new();
    for point in &outcome.undelivered {
        let index = origins[&Arc::as_ptr(&point.labels).addr()];
        let letter = undelivered.entry(index).or_insert_with(|| {
            let mut letter = letters[index].clone();
            letter.samples.clear();
            letter.histograms.clear();
            letter
        });
        point.add_to(letter);
    }
    replayed.left.extend(undelivered.into_values());
    replayed
}

/// Returns the samples of a letter, which share their labels, or the reason for which none can be sent.
fn points_of(letter: &Letter) -> Result<Vec<Point>, &str> {
    if letter.not_utf8 {
        return Err("not_utf8");
    }
    if letter.count() == 0 {
        // That of a row, for instance.
        return Err(&letter.reason);
    }
    if !letter.exemplars.is_empty() {
        return Err("exemplars, which a sink does not send");
    }
    let labels = letter.labels.iter().map(|(name, value)| Label {
        name: name.clone(),
        value: value.clone(),
    });
    let labels = checked(labels.collect()).map_err(|_| "bad_labels")?;
    let labels = Arc::new(labels);
    let point = |content| Point {
        labels: Arc::clone(&labels),
        content,
    };
    let samples = letter.samples.iter().map(|it| point(Content::Float(*it)));
    let histograms = letter.histograms.iter().cloned();
    let histograms = histograms.map(|it| point(Content::Histogram(Arc::new(it.into()))));
    Ok(samples.chain(histograms).collect())
}
