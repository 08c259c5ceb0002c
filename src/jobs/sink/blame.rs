//! Which samples a receiver means that has stored the others.
//!
//! A receiver of remote write 2.0 stores what it can of a request that it answers with 400. To send
//! the good ones again would make them "out of order", so its words have to tell which are bad.

use std::collections::HashMap;

use super::point::{Point, by_series};
use super::verdict::Reason;
use super::words::Words;
use crate::model::Labels;

/// A sample that is not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Blamed {
    /// Its position among what was sent.
    pub(super) index: usize,
    pub(super) reason: Reason,
    /// The receiver's words about it, as far as they are known ones.
    pub(super) phrase: Option<String>,
}

/// The samples of `points`, which are arranged, that are not stored, if the receiver has stored
/// `written` and its words account for the rest; `None` if they do not.
///
/// Prometheus has a line for each sample in its order: `out of order sample for series {..}`. What it
/// refuses of a series stands before what it takes: times ascend, and what it refuses is older than
/// what it has.
pub(super) fn blame(points: &[Point], written: u64, words: &Words) -> Option<Vec<Blamed>> {
    let mut said: HashMap<&str, Vec<Words>> = HashMap::new();
    for (why, series) in words.about_series()? {
        said.entry(series).or_default().push(why);
    }
    let mut blamed = Vec::new();
    let mut start = 0;
    for series in by_series(points) {
        let about = said.remove(shown(&series[0].labels).as_str());
        for (place, why) in about.into_iter().flatten().enumerate() {
            if place >= series.len() {
                return None;
            }
            blamed.push(Blamed {
                index: start + place,
                reason: why.reason(),
                phrase: why.phrase(),
            });
        }
        start += series.len();
    }
    // The receiver may claim any number; there are no more of the blamed than of all.
    let is_complete = said.is_empty() && (points.len() - blamed.len()) as u64 == written;
    is_complete.then_some(blamed)
}

/// The labels as Prometheus writes them.
fn shown(labels: &Labels) -> String {
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
        let blamed = blame(&points, 2, &Words::new(text.as_bytes())).unwrap();
        let seen: Vec<_> = blamed.iter().map(|it| (it.index, it.reason)).collect();
        assert_eq!(seen, [(0, Reason::OutOfOrder), (1, Reason::Duplicate)]);
        let text = r#"too old sample for series {__name__="b", x="it's \"x\""}"#;
        let words = Words::new(text.as_bytes());
        assert_eq!(blame(&points, 3, &words).unwrap()[0].index, 3);
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
            let words = Words::new(text.as_bytes());
            assert_eq!(blame(&points, written, &words), None, "{text}");
        }
    }
}
