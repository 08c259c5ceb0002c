//! The text form of a dead letter: one JSON object on one line.
//!
//! ```json
//! {"dead_letter":1,"time":"2026-11-21T10:00:00.000Z","reason":"duplicate_version","message":"A record already exists ...",
//!  "existing_version":1,"database":"prometheus","table":"metrics","labels":[["__name__","up"],["job","a"]],
//!  "samples":[[1600000000000,"1.5"]]}
//! ```
//!
//! `labels` are those received, in their order, so that a series with invalid labels stays as it was. Labels
//! that are not UTF-8 have replacement characters, and the letter has `"not_utf8":true`: a replay stores it only
//! after the labels were corrected and the mark removed. A value is the shortest decimal text that reads back to
//! the same bits; a value without a decimal text (NaN) is `bits:` and 16 hexadecimal digits. A letter of a sink has its name, as
//! `"connector":"NAME"`, in place of database and table. Where there are any, native histograms
//! follow, as `"histograms":[[1600000000000,"CBsZ..."]]` with the text under which they are stored, and
//! exemplars, as `"exemplars":[[1600000000000,"0.25",[["trace_id","ab12"]]]]`.

use std::fmt;

use jiff::Timestamp;
use prom_model::{Histogram, Sample};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::storage::destination::Destination;
use crate::storage::histogram;

/// The version of the form.
const VERSION: u32 = 1;
/// The key that starts every letter, and by which it is found in a log line.
pub const KEY: &str = "dead_letter";

/// Samples of one series that can never be stored as they are, and the reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Letter {
    #[serde(rename = "dead_letter")]
    version: Version,
    /// The time at which it was written.
    pub time: Timestamp,
    /// The reason, as in the metrics: one of `ignored_samples_total`, `rejected_samples_total` or
    /// `failed_samples_total`.
    pub reason: String,
    /// The error message of Timestream or of the connector.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The version that Timestream holds, where a version was the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub existing_version: Option<i64>,
    /// The sink whose endpoint it was to go to; without one it was to go to Timestream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connector: Option<String>,
    /// The database it was to go to, if that was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The table it was to go to, if that was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// True if labels were received that are not UTF-8; they have replacement characters here. A replay leaves
    /// such a letter where it is until the labels are corrected and this is removed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub not_utf8: bool,
    /// The labels received, destination labels included.
    pub labels: Vec<(String, String)>,
    /// The samples.
    #[serde(serialize_with = "write_samples", deserialize_with = "read_samples")]
    pub samples: Vec<Sample>,
    /// The native histograms.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        serialize_with = "write_histograms",
        deserialize_with = "read_histograms"
    )]
    pub histograms: Vec<Histogram>,
    /// The exemplars.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exemplars: Vec<LetterExemplar>,
}

/// An exemplar in a letter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LetterExemplar(
    /// Milliseconds since the Unix epoch.
    pub i64,
    /// The value.
    #[serde(serialize_with = "write_value", deserialize_with = "read_value")]
    pub f64,
    /// Its own labels.
    pub Vec<(String, String)>,
);

/// The error of a line that is not a dead letter.
#[derive(Debug, thiserror::Error)]
#[error("not a dead letter: {0}")]
pub struct LetterError(#[from] serde_json::Error);

impl Letter {
    /// Returns a letter without samples and labels.
    pub fn new(time: Timestamp, reason: &str) -> Self {
        Self {
            version: Version,
            // Milliseconds suffice.
            time: Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time),
            reason: reason.to_owned(),
            message: String::new(),
            existing_version: None,
            connector: None,
            database: None,
            table: None,
            not_utf8: false,
            labels: Vec::new(),
            samples: Vec::new(),
            histograms: Vec::new(),
            exemplars: Vec::new(),
        }
    }

    /// Returns the number of samples, histograms and exemplars.
    pub fn count(&self) -> u64 {
        (self.samples.len() + self.histograms.len() + self.exemplars.len()) as u64
    }

    /// Returns true for a letter of a sink that lacks the sink's name, because an earlier version wrote it. Only
    /// sinks have these reasons, and no sink has a table.
    pub fn is_of_unnamed_sink(&self) -> bool {
        const REASONS: [&str; 6] = [
            "duplicate",
            "out_of_order",
            "too_old",
            "rejected",
            "refused",
            "bad_row",
        ];
        let has_place = self.connector.is_some() || self.database.is_some() || self.table.is_some();
        !has_place && REASONS.contains(&self.reason.as_str())
    }

    /// Returns the destination, if it was known.
    pub fn destination(&self) -> Option<Destination> {
        Some(Destination {
            database: self.database.clone()?,
            table: self.table.clone()?,
        })
    }

    /// Cuts a letter into several, each with the same words and labels and some of the samples, so that
    /// the line of each has at most `max_bytes`. A sample that alone needs more has a letter of its own;
    /// where labels and words need more than half of that, the letter stays whole, as most of what is
    /// sent would be copies of them. `bytes_of` says how many bytes a text has where it goes.
    pub fn split(mut self, max_bytes: usize, bytes_of: impl Fn(&str) -> usize) -> Vec<Self> {
        /// The keys of the lists; an empty list has none.
        const KEYS: usize = r#","histograms":[],"exemplars":[]"#.len();
        let samples = std::mem::take(&mut self.samples);
        let histograms = std::mem::take(&mut self.histograms);
        let exemplars = std::mem::take(&mut self.exemplars);
        let base = bytes_of(&self.to_string()) + KEYS;
        if base > max_bytes / 2 {
            self.samples = samples;
            self.histograms = histograms;
            self.exemplars = exemplars;
            return vec![self];
        }
        let mut parts = Parts {
            empty: self,
            base,
            max_bytes,
            bytes: base,
            done: Vec::new(),
            current: None,
        };
        let size = |text: Result<String, serde_json::Error>| {
            bytes_of(&text.expect("texts and numbers are always valid JSON")) + 1
        };
        for it in samples {
            let text = serde_json::to_string(&(it.timestamp_ms, value_text(it.value)));
            parts.with_room(size(text)).samples.push(it);
        }
        for it in histograms {
            let text = serde_json::to_string(&(it.timestamp_ms, histogram::to_text(&it)));
            parts.with_room(size(text)).histograms.push(it);
        }
        for it in exemplars {
            let text = serde_json::to_string(&it);
            parts.with_room(size(text)).exemplars.push(it);
        }
        let Parts {
            mut done,
            current,
            empty,
            ..
        } = parts;
        done.push(current.unwrap_or(empty));
        done
    }

    /// Reads one line.
    ///
    /// # Errors
    /// The line is not a letter of this version.
    pub fn parse(line: &str) -> Result<Self, LetterError> {
        Ok(serde_json::from_str(line)?)
    }

    /// Reads the letter that a line of a log holds, whatever stands before or after it; `None` if
    /// the line holds none.
    pub fn find(line: &str) -> Option<Result<Self, LetterError>> {
        // The log quotes it as a JSON string, in logfmt and in JSON.
        let quoted = [format!("{KEY}=\""), format!("\"{KEY}\":\"")];
        let start = quoted
            .iter()
            .find_map(|mark| Some(line.find(mark)? + mark.len() - 1))?;
        let text = serde_json::Deserializer::from_str(&line[start..])
            .into_iter::<String>()
            .next()?;
        Some(
            text.map_err(LetterError)
                .and_then(|text| Self::parse(&text)),
        )
    }
}

/// The parts of a letter while it is cut.
struct Parts {
    /// A letter without samples.
    empty: Letter,
    /// Its bytes.
    base: usize,
    max_bytes: usize,
    done: Vec<Letter>,
    current: Option<Letter>,
    /// Those of the current part.
    bytes: usize,
}

impl Parts {
    /// The part that something of so many bytes goes to.
    fn with_room(&mut self, bytes: usize) -> &mut Letter {
        if self.bytes + bytes > self.max_bytes {
            self.done.extend(self.current.take());
            self.bytes = self.base;
        }
        self.bytes += bytes;
        self.current.get_or_insert_with(|| self.empty.clone())
    }
}

/// The letter as one line, without its end.
impl fmt::Display for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = serde_json::to_string(self).expect("texts and numbers are always valid JSON");
        f.write_str(&line)
    }
}

/// The number [`VERSION`].
#[derive(Clone, Copy, Debug, PartialEq)]
struct Version;

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(VERSION)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u32::deserialize(deserializer)? {
            VERSION => Ok(Self),
            other => Err(serde::de::Error::custom(format!(
                "version {other} of the form; this program reads version {VERSION}"
            ))),
        }
    }
}

const BITS: &str = "bits:";

fn value_text(value: f64) -> String {
    match value.is_nan() {
        true => format!("{BITS}{:016x}", value.to_bits()),
        false => format!("{value:?}"),
    }
}

fn parse_value<E: serde::de::Error>(text: &str) -> Result<f64, E> {
    let value = match text.strip_prefix(BITS) {
        Some(bits) => u64::from_str_radix(bits, 16).ok().map(f64::from_bits),
        None => text.parse().ok(),
    };
    value.ok_or_else(|| E::custom(format!("{text:?} is no sample value")))
}

fn write_value<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&value_text(*value))
}

fn read_value<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    parse_value(&String::deserialize(deserializer)?)
}

fn write_samples<S: Serializer>(samples: &[Sample], serializer: S) -> Result<S::Ok, S::Error> {
    let sample = |sample: &Sample| (sample.timestamp_ms, value_text(sample.value));
    serializer.collect_seq(samples.iter().map(sample))
}

fn read_samples<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Sample>, D::Error> {
    let samples = Vec::<(i64, String)>::deserialize(deserializer)?.into_iter();
    samples
        .map(|(timestamp_ms, text)| {
            Ok(Sample {
                timestamp_ms,
                value: parse_value(&text)?,
            })
        })
        .collect()
}

fn write_histograms<S: Serializer>(all: &[Histogram], serializer: S) -> Result<S::Ok, S::Error> {
    let text = |it: &Histogram| (it.timestamp_ms, histogram::to_text(it));
    serializer.collect_seq(all.iter().map(text))
}

fn read_histograms<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Histogram>, D::Error> {
    let all = Vec::<(i64, String)>::deserialize(deserializer)?.into_iter();
    all.map(|(timestamp_ms, text)| {
        let histogram = histogram::from_text(&text, timestamp_ms);
        histogram
            .ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no native histogram")))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn letter(labels: Vec<(String, String)>, samples: Vec<Sample>) -> Letter {
        Letter {
            message: "words \"in\" 'quotes'\n".to_owned(),
            existing_version: Some(7),
            database: Some("db".to_owned()),
            labels,
            samples,
            ..Letter::new(Timestamp::UNIX_EPOCH, "duplicate_version")
        }
    }

    #[test]
    fn the_form_is_fixed() {
        let sample = Sample {
            timestamp_ms: 1_600_000_000_000,
            value: 1.5,
        };
        let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let letter = Letter {
            table: Some("t".to_owned()),
            message: "words".to_owned(),
            ..letter(vec![label("__name__", "up"), label("a", "1")], vec![sample])
        };
        let text = r#"{"dead_letter":1,"time":"1970-01-01T00:00:00Z","reason":"duplicate_version","message":"words","existing_version":7,"database":"db","table":"t","labels":[["__name__","up"],["a","1"]],"samples":[[1600000000000,"1.5"]]}"#;
        assert_eq!(letter.to_string(), text);
        assert_eq!(Letter::parse(text).unwrap(), letter);
    }

    #[test]
    fn a_letter_is_cut_into_lines_that_fit() {
        let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut whole = letter(vec![label("__name__", "up"), label("a", "ü\"")], vec![]);
        whole.samples = (0..10_000)
            .map(|i| Sample {
                timestamp_ms: 1_600_000_000_000 + i,
                value: f64::from_bits(i.unsigned_abs().wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            })
            .collect();
        whole.exemplars = (0..100)
            .map(|i| LetterExemplar(i, 0.5, vec![label("trace_id", "\u{1}x")]))
            .collect();
        let max_bytes = 4_000;
        let parts = whole.clone().split(max_bytes, str::len);
        let sizes: Vec<usize> = parts.iter().map(|part| part.to_string().len()).collect();
        assert!(sizes.iter().all(|size| *size <= max_bytes), "{sizes:?}");
        // All but the last are nearly full.
        let (_, full) = sizes.split_last().unwrap();
        assert!(full.iter().all(|size| *size > max_bytes - 200), "{sizes:?}");
        let samples = parts.iter().flat_map(|part| part.samples.clone());
        let bits = |sample: Sample| (sample.timestamp_ms, sample.value.to_bits());
        assert!(
            samples
                .map(bits)
                .eq(whole.samples.iter().copied().map(bits))
        );
        let exemplars: Vec<_> = parts
            .iter()
            .flat_map(|part| part.exemplars.clone())
            .collect();
        assert_eq!(exemplars, whole.exemplars);
        for part in &parts {
            assert_eq!(
                (&part.labels, &part.message),
                (&whole.labels, &whole.message)
            );
            assert!(part.count() > 0);
        }

        // What needs more than a line is alone in one, and long labels are not copied.
        whole.samples.truncate(2);
        whole.exemplars = vec![LetterExemplar(1, 0.5, vec![label("a", &"x".repeat(5_000))])];
        let counts = |letter: &Letter| (letter.samples.len(), letter.exemplars.len());
        let cut = whole.clone().split(max_bytes, str::len);
        assert_eq!(cut.iter().map(counts).collect::<Vec<_>>(), [(2, 0), (0, 1)]);
        whole.labels.push(label("long", &"x".repeat(2_000)));
        assert_eq!(whole.clone().split(max_bytes, str::len).len(), 1);
    }

    #[test]
    fn what_is_no_letter_is_refused_with_the_reason() {
        let cases = [
            ("{}", "missing field"),
            ("", "EOF"),
            (
                r#"{"dead_letter":2,"time":"1970-01-01T00:00:00Z","reason":"","labels":[],"samples":[]}"#,
                "version 2 of the form",
            ),
            (
                r#"{"dead_letter":1,"time":"1970-01-01T00:00:00Z","reason":"","labels":[],"samples":[[1,"x"]]}"#,
                "\"x\" is no sample value",
            ),
            (
                r#"{"dead_letter":1,"time":"1970-01-01T00:00:00Z","reason":"","labels":[],"samples":[],"histograms":[[1,"?"]]}"#,
                "\"?\" is no native histogram",
            ),
        ];
        for (text, expected) in cases {
            let error = Letter::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn letters_are_found_in_the_lines_of_a_log() {
        let letter = letter(vec![], vec![]);
        let quoted = serde_json::Value::from(letter.to_string());
        let lines = [
            format!("level=error ts=x message=\"Sample not stored.\" dead_letter={quoted}"),
            format!("2026-01-01 host app[3]: level=error dead_letter={quoted} request_id=7"),
            format!(r#"{{"level":"error","dead_letter":{quoted},"request_id":"7"}}"#),
        ];
        for line in lines {
            assert_eq!(Letter::find(&line).unwrap().unwrap(), letter, "{line}");
        }
        for line in [
            "",
            "level=error message=\"about dead_letter\"",
            &letter.to_string(),
        ] {
            assert!(Letter::find(line).is_none(), "{line}");
        }
        // A line that was cut.
        assert!(Letter::find("dead_letter=\"{\\\"dead").unwrap().is_err());
    }

    proptest! {
        #[test]
        fn every_series_survives(
            labels in prop::collection::vec(any::<(String, String)>(), 0..4),
            samples in prop::collection::vec((any::<i64>(), any::<u64>()), 0..4),
        ) {
            let samples: Vec<_> = samples
                .into_iter()
                .map(|(timestamp_ms, bits)| Sample { timestamp_ms, value: f64::from_bits(bits) })
                .collect();
            let letter = letter(labels, samples);
            let text = letter.to_string();
            prop_assert!(!text.contains('\n'));
            let read = Letter::parse(&text).unwrap();
            let bits = |letter: &Letter| -> Vec<_> {
                letter.samples.iter().map(|s| (s.timestamp_ms, s.value.to_bits())).collect()
            };
            prop_assert_eq!(bits(&read), bits(&letter));
            prop_assert_eq!(read.labels, letter.labels);
        }
    }
}
