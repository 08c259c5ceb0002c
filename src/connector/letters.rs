//! What a delivery left over, as dead letters.

use jiff::Timestamp;

use super::deliver::{Failed, Undelivered, Why};
use crate::convert::route::{Routing, destination};
use crate::dead_letter::Letter;
use crate::received::{Item, Request};

/// One letter for all samples of a series that have the same fate.
pub(super) fn letters<'u>(
    undelivered: impl IntoIterator<Item = &'u Undelivered>,
    request: &Request<'_>,
    routing: &Routing,
    now: Timestamp,
) -> Vec<Letter> {
    let mut undelivered: Vec<_> = undelivered.into_iter().collect();
    undelivered.sort_by_key(|missing| missing.items);
    undelivered
        .chunk_by(|a, b| a.items.series() == b.items.series() && a.why == b.why)
        .map(|same| letter(same, request, routing, now))
        .collect()
}

fn letter(
    same: &[&Undelivered],
    request: &Request<'_>,
    routing: &Routing,
    now: Timestamp,
) -> Letter {
    let why = &same[0].why;
    let series = request.resolve(same[0].items);
    let mut letter = Letter::new(now, why.reason());
    [letter.database, letter.table] =
        destination(&series, routing).map(|name| name.map(str::to_owned));
    match why {
        Why::Ignored(_) => {}
        Why::Faulty(fault) => letter.message = fault.describe(&series, routing),
        Why::Failed(Failed {
            message,
            existing_version,
            ..
        }) => {
            letter.message = message.to_string();
            letter.existing_version = *existing_version;
        }
    }
    let text = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
    letter.labels = series.labels.0.iter().map(text).collect();
    for missing in same {
        let content = request.resolve(missing.items).content.iter();
        let samples = content.filter_map(|item| match item {
            Item::Sample(sample) => Some(*sample),
            Item::Histogram(_) | Item::Exemplar(_) => None,
        });
        letter.samples.extend(samples);
    }
    letter
}
