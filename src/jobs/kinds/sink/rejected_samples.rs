//! The samples that a receiver rejected when it stored the others.
//!
//! A receiver of remote write 2.0 stores what it can of a request to which it responds with 400. Valid samples that
//! are sent again would be "out of order", so the text of the response must name the invalid ones.

use std::collections::HashMap;

use prom_model::Labels;

use super::error_text::ErrorText;
use super::point::{Content, Point, by_series};
use super::reason::Reason;

/// A sample that is not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RejectedSample {
    /// Its position among what was sent.
    pub(super) index: usize,
    pub(super) reason: Reason,
    /// The receiver's phrase about it, if it is a known one.
    pub(super) phrase: Option<String>,
}

/// Returns the samples of `points`, which are arranged, that are not stored, if the receiver has stored
/// `written` and its text accounts for the rest; `None` if it does not.
///
/// Prometheus has a line for each sample in its order: `out of order sample for series {..}`. Times ascend, so
/// the samples of a series that it rejects for their age stand before all that it accepts, and those in the
/// future after them. A duplicate may be anywhere, as Prometheus may accept older samples; its line has its
/// time and value. So may any other sample be, and its line says no more than the series.
pub(super) fn rejected_samples(
    points: &[Point],
    written: u64,
    text: &ErrorText,
) -> Option<Vec<RejectedSample>> {
    let mut said: HashMap<&str, Vec<ErrorText>> = HashMap::new();
    for (text, series) in text.about_series()? {
        said.entry(series).or_default().push(text);
    }
    let mut rejected = Vec::new();
    let mut start = 0;
    for series in by_series(points) {
        let about = said.remove(display(&series[0].labels).as_str());
        let about = about.unwrap_or_default();
        let mut future = about.iter().filter(|text| text.is_about_future()).count();
        let mut next = 0;
        for (line, text) in about.iter().enumerate() {
            let rest = &series[next..];
            let place = match text.reason() {
                _ if text.is_about_future() => {
                    future -= 1;
                    rest.len().checked_sub(future + 1)
                }
                Reason::OutOfOrder | Reason::TooOld => (line == next).then_some(0),
                Reason::Stored | Reason::Duplicate if series.len() > 1 => duplicate(rest, text),
                _ => (series.len() == 1).then_some(0),
            };
            let place = next + place.filter(|place| *place < rest.len())?;
            next = place + 1;
            rejected.push(RejectedSample {
                index: start + place,
                reason: text.reason(),
                phrase: text.phrase(),
            });
        }
        start += series.len();
    }
    // The receiver may claim any number; there are no more of the rejected than of all.
    let is_complete = said.is_empty() && (points.len() - rejected.len()) as u64 == written;
    is_complete.then_some(rejected)
}

/// Returns the position of the duplicate that the text names; `None` if several samples or none match.
fn duplicate(points: &[Point], text: &ErrorText) -> Option<usize> {
    let (timestamp_ms, value) = text.duplicate()?;
    let is_meant = |point: &Point| {
        let Content::Float(sample) = &point.content else {
            return false;
        };
        let is_value = sample.value == value || (sample.value.is_nan() && value.is_nan());
        sample.timestamp_ms == timestamp_ms && is_value
    };
    let mut places = (0..points.len()).filter(|place| is_meant(&points[*place]));
    let place = places.next()?;
    places.next().is_none().then_some(place)
}

/// Returns the labels as Prometheus writes them.
fn display(labels: &Labels) -> String {
    let labels = labels.iter().map(|label| {
        let is_legacy = |(place, c): (usize, char)| {
            c == '_' || c.is_ascii_alphabetic() || (place > 0 && c.is_ascii_digit())
        };
        match label.name.chars().enumerate().all(is_legacy) {
            true => format!("{}={:?}", label.name, label.value),
            false => format!("{:?}={:?}", label.name, label.value),
        }
    });
    format!("{{{}}}", labels.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::point::tests::point;
    use super::*;

    #[test]
    fn the_oldest_of_a_series_are_meant() {
        let points = [
            point("a", "1", 1, 1.0),
            point("a", "1", 2, 1.0),
            point("a", "1", 3, 1.0),
            point("b", "it's \"x\"", 1, 1.0),
        ];
        let text = "out of order sample for series {__name__=\"a\", x=\"1\"}\n\
            duplicate sample for timestamp 2; overrides not allowed: existing 7, new value 1 for series {__name__=\"a\", x=\"1\"}\n";
        let rejected = rejected_samples(&points, 2, &ErrorText::new(text.as_bytes())).unwrap();
        let seen: Vec<_> = rejected.iter().map(|it| (it.index, it.reason)).collect();
        assert_eq!(seen, [(0, Reason::OutOfOrder), (1, Reason::Duplicate)]);
        let text = r#"too old sample for series {__name__="b", x="it's \"x\""}"#;
        let words = ErrorText::new(text.as_bytes());
        assert_eq!(rejected_samples(&points, 3, &words).unwrap()[0].index, 3);
    }

    /// A receiver that accepts old samples rejects only the one that it has with another value; one that
    /// accepts no future samples rejects the last ones.
    #[test]
    fn samples_amid_a_series_are_found_or_nothing_is_trusted() {
        let points = [
            point("a", "1", 1, 1.0),
            point("a", "1", 3, 1.5),
            point("a", "1", 3, 2.0),
            point("a", "1", 3, f64::NAN),
            point("a", "1", 4, 1.0),
        ];
        let line = |text: &str| format!("{text} for series {{__name__=\"a\", x=\"1\"}}\n");
        let duplicate = |timestamp_ms, value| {
            let text = format!(
                "duplicate sample for timestamp {timestamp_ms}; overrides not allowed: existing 7, new value {value}"
            );
            line(&text)
        };
        let future =
            |count| line("out of bounds: timestamp is too far in the future").repeat(count);
        for (text, expected) in [
            (duplicate(3, "2"), Some(vec![2])),
            (duplicate(3, "NaN") + &duplicate(4, "1"), Some(vec![3, 4])),
            (
                line("too old sample") + &duplicate(3, "1.5"),
                Some(vec![0, 1]),
            ),
            (future(1), Some(vec![4])),
            (
                line("too old sample") + &duplicate(3, "2") + &future(2),
                Some(vec![0, 2, 3, 4]),
            ),
            (future(6), None),
            (future(4) + &duplicate(3, "2"), None),
            // Any of them may be meant, or none is.
            (line("invalid sample"), None),
            (duplicate(3, "2") + &line("out of order sample"), None),
            (line("duplicate sample for timestamp"), None),
            (duplicate(3, "9"), None),
            (duplicate(2, "1"), None),
            (duplicate(4, "1") + &duplicate(3, "2"), None),
        ] {
            let written = 5_u64.saturating_sub(text.lines().count() as u64);
            let rejected = rejected_samples(&points, written, &ErrorText::new(text.as_bytes()));
            let places =
                |all: Vec<RejectedSample>| all.iter().map(|it| it.index).collect::<Vec<_>>();
            assert_eq!(rejected.map(places), expected, "{text}");
        }
    }

    #[test]
    fn words_that_do_not_account_for_all_are_not_trusted() {
        let points = [point("a", "1", 1, 1.0), point("b", "1", 1, 1.0)];
        let about = |name: &str| {
            format!("out of order sample for series {{__name__=\"{name}\", x=\"1\"}}\n")
        };
        for (written, text) in [
            (0, about("a")),
            (1, about("c")),
            (1, "out of order sample".to_owned()),
            (1, String::new()),
            (0, about("a") + &about("a")),
            (u64::MAX, about("a")),
        ] {
            let words = ErrorText::new(text.as_bytes());
            assert_eq!(rejected_samples(&points, written, &words), None, "{text}");
        }
    }
}
