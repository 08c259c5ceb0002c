//! Prometheus names to names that Timestream accepts, and back.
//!
//! A name of ASCII letters, digits and underscores that starts with a letter, does not end with
//! an underscore and is not reserved is stored as it is. Every other name is stored as
//! `U__` + Prometheus' values escaping + `x`: `_` becomes `__`, ASCII letters and digits stay,
//! any other character becomes `_<hex>_`, and the final `x` keeps the whole from ending in an
//! underscore. In contrast to Prometheus a colon is escaped too, because Timestream rejects it in
//! every name. Names that start with `U__` are escaped as well, so no two names share a stored
//! form.
//!
//! Reserved names and prefixes, `U__` among them, are compared without regard to case: whether the
//! service tells `time` and a column `Time` apart is not documented, and engines of its family reject
//! every query on such a table. So only labels that themselves differ in nothing but case have stored
//! forms that do.
//!
//! Reserved by the service: `time`, `measure_name` and `measure_value` (the last two also as
//! prefixes) and the prefix `ts_`
//! (<https://docs.aws.amazon.com/timestream/latest/developerguide/ts-limits.html>).

use std::borrow::Cow;
use std::fmt::Write as _;

/// Dimension that a series without labels gets, because Timestream wants at least one.
///
/// It starts with the escape prefix and does not end in `x`, so no label has it as stored form.
pub const NO_LABELS_DIMENSION: &str = "U__no_labels";

/// Value of [`NO_LABELS_DIMENSION`].
pub const NO_LABELS_VALUE: &str = "1";

/// Dimension with the exact bits of a value that Timestream does not take; reserved for the same
/// reason.
pub const VALUE_BITS_DIMENSION: &str = "U__value_bits";

/// The prefix of the measure names of native histograms; the stored form of the metric name
/// follows.
///
/// No metric has such a name as stored form, whatever follows: the escape prefix is there, and
/// `of` between underscores is neither an escaped underscore nor a hexadecimal number.
pub const HISTOGRAM_PREFIX: &str = "U__histogram_of_";

/// The prefix of the measure names of exemplars, as for [`HISTOGRAM_PREFIX`].
pub const EXEMPLAR_PREFIX: &str = "U__exemplar_of_";

/// The measure name of the test series, by which `bootstrap doctor` checks that what it writes can be read.
///
/// No metric has it as stored form, as it starts with the escape prefix and does not end in `x`. It has no value that
/// reads select, either: they select DOUBLE and VARCHAR, and its values are BIGINT.
pub const TEST_MEASURE: &str = "U__doctor";

/// The prefix of every escaped name.
pub const ESCAPE_PREFIX: &str = "U__";

const SUFFIX: char = 'x';

/// The form in which the metric or label name `name` is stored.
pub fn escape(name: &str) -> Cow<'_, str> {
    if is_storable(name) {
        return Cow::Borrowed(name);
    }
    let mut stored = String::with_capacity(name.len() + 8);
    stored.push_str(ESCAPE_PREFIX);
    for character in name.chars() {
        match character {
            '_' => stored.push_str("__"),
            c if c.is_ascii_alphanumeric() => stored.push(c),
            c => write!(stored, "_{:x}_", u32::from(c)).expect("writing to a String cannot fail"),
        }
    }
    stored.push(SUFFIX);
    Cow::Owned(stored)
}

/// The metric or label name that is stored as `stored`.
///
/// A stored name that [`escape`] never produces stands for itself: tables of other writers hold
/// such names.
pub fn unescape(stored: &str) -> Cow<'_, str> {
    match decode(stored) {
        Some(name) if escape(&name) == stored => Cow::Owned(name),
        _ => Cow::Borrowed(stored),
    }
}

/// The kind of records that a measure holds, with the metric that they belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Measure<'a> {
    /// Float samples.
    Samples(Cow<'a, str>),
    /// Native histograms.
    Histograms(Cow<'a, str>),
    /// Exemplars.
    Exemplars(Cow<'a, str>),
    /// Values of the test series, which no read returns.
    Test,
}

impl<'a> Measure<'a> {
    /// Returns what the measure name `stored` stands for.
    pub fn of(stored: &'a str) -> Self {
        if let Some(metric) = stored.strip_prefix(HISTOGRAM_PREFIX) {
            Self::Histograms(unescape(metric))
        } else if let Some(metric) = stored.strip_prefix(EXEMPLAR_PREFIX) {
            Self::Exemplars(unescape(metric))
        } else if stored == TEST_MEASURE {
            Self::Test
        } else {
            Self::Samples(unescape(stored))
        }
    }
}

/// The content of a dimension column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dimension<'a> {
    /// The values of the label of this name.
    Label(Cow<'a, str>),
    /// [`NO_LABELS_VALUE`] where a series has no label. Any other value is one of a label of this name,
    /// which a table of another writer may hold.
    NoLabels,
    /// The bits of special values. Any other value is one of a label of this name, as above.
    ValueBits,
}

impl<'a> Dimension<'a> {
    /// Returns what the column `stored` holds.
    pub fn of(stored: &'a str) -> Self {
        match stored {
            NO_LABELS_DIMENSION => Self::NoLabels,
            VALUE_BITS_DIMENSION => Self::ValueBits,
            stored => Self::Label(unescape(stored)),
        }
    }
}

/// Returns all measure names under which float samples of the metric `name` are stored: the one that
/// this connector writes, then the name itself where a table of another writer may hold it unescaped.
///
/// A name that is read as something else is none of them, whichever form is reserved.
pub fn stored_forms(name: &str) -> Vec<String> {
    let escaped = escape(name);
    let is_verbatim = escaped != name
        // Timestream has never accepted a colon, so no table holds one.
        && !name.contains(':')
        && Measure::of(name) == Measure::Samples(Cow::Borrowed(name));
    let mut forms = vec![escaped.into_owned()];
    forms.extend(is_verbatim.then(|| name.to_owned()));
    forms
}

fn is_storable(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.last() != Some(&b'_')
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || *b == b'_')
        && !name.eq_ignore_ascii_case("time")
        && !["ts_", "measure_name", "measure_value", ESCAPE_PREFIX]
            .iter()
            .any(|prefix| starts_with_in_any_case(name, prefix))
}

fn starts_with_in_any_case(name: &str, prefix: &str) -> bool {
    let start = name.as_bytes().get(..prefix.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
}

fn decode(stored: &str) -> Option<String> {
    let mut rest = stored.strip_prefix(ESCAPE_PREFIX)?.strip_suffix(SUFFIX)?;
    let mut name = String::with_capacity(rest.len());
    while let Some(start) = rest.find('_') {
        name.push_str(&rest[..start]);
        let (hex, tail) = rest[start + 1..].split_once('_')?;
        if hex.is_empty() {
            name.push('_');
        } else {
            name.push(char::from_u32(u32::from_str_radix(hex, 16).ok()?)?);
        }
        rest = tail;
    }
    name.push_str(rest);
    Some(name)
}

/// Returns true if Timestream rejects the value: it is not finite, or `-0.0`.
pub(super) fn is_special(value: f64) -> bool {
    !value.is_finite() || value.to_bits() == (-0.0_f64).to_bits()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_and_their_stored_forms() {
        let cases = [
            ("job", "job"),
            ("a_b_1", "a_b_1"),
            ("Times", "Times"),
            ("timestamp", "timestamp"),
            ("u_a", "u_a"),
            ("Time", "U__Timex"),
            ("TIME", "U__TIMEx"),
            ("Ts_x", "U__Ts__xx"),
            ("Measure_Name", "U__Measure__Namex"),
            ("MEASURE_VALUES", "U__MEASURE__VALUESx"),
            ("u__a", "U__u____ax"),
            ("time", "U__timex"),
            ("ts_x", "U__ts__xx"),
            ("measure_name", "U__measure__namex"),
            ("measure_value_a", "U__measure__value__ax"),
            ("job:up:rate5m", "U__job_3a_up_3a_rate5mx"),
            ("http.status_code", "U__http_2e_status__codex"),
            ("_x", "U____xx"),
            ("x_", "U__x__x"),
            ("1abc", "U__1abcx"),
            ("日本", "U___65e5__672c_x"),
            ("U__a", "U__U____ax"),
            ("", "U__x"),
            ("\u{10ffff}", "U___10ffff_x"),
        ];
        for (name, stored) in cases {
            assert_eq!(escape(name), stored, "escape {name:?}");
            assert_eq!(unescape(stored), name, "unescape {stored:?}");
        }
    }

    #[test]
    fn what_escape_never_produces_stands_for_itself() {
        for stored in [
            "_x",
            "x_",
            "U__",
            "U__a",
            "U__a_b",
            "U__a_2e",
            "U__a_zz_x",
            "U__a_d800_x",
            "U__a_2E_x",
            "U__plainx",
            "u__timex",
            "Time",
            NO_LABELS_DIMENSION,
            VALUE_BITS_DIMENSION,
            "U__histogram_of_a_x",
            "U__exemplar_of_U__a_2e_x",
            TEST_MEASURE,
        ] {
            assert_eq!(unescape(stored), stored);
        }
    }

    #[test]
    fn unescaped_forms_of_other_writers_are_looked_up_too() {
        assert_eq!(stored_forms("job"), ["job"]);
        assert_eq!(stored_forms("_x"), ["U____xx", "_x"]);
        assert_eq!(stored_forms("a:b"), ["U__a_3a_bx"]);
        assert_eq!(stored_forms("U__timex"), ["U__U____timexx"]);
        assert_eq!(stored_forms("Ts_x"), ["U__Ts__xx", "Ts_x"]);
        assert_eq!(stored_forms("u__timex"), ["U__u____timexx", "u__timex"]);
        // Dimensions of these names are reserved, measures are not.
        assert_eq!(
            stored_forms(NO_LABELS_DIMENSION),
            ["U__U____no__labelsx", NO_LABELS_DIMENSION]
        );
    }

    #[test]
    fn no_reserved_form_is_taken_for_a_metric_that_looks_like_it() {
        for prefix in [HISTOGRAM_PREFIX, EXEMPLAR_PREFIX] {
            for metric in ["m", "U__timex", "time", "", "a x"] {
                let name = format!("{prefix}{metric}");
                assert_eq!(stored_forms(&name), [escape(&name)]);
            }
        }
    }

    #[test]
    fn the_test_series_is_no_metric() {
        assert_eq!(Measure::of(TEST_MEASURE), Measure::Test);
        // Not even one of this name.
        assert_eq!(stored_forms(TEST_MEASURE), ["U__U____doctorx"]);
        let stored = escape(TEST_MEASURE);
        assert_eq!(Measure::of(&stored), Measure::Samples(TEST_MEASURE.into()));
    }

    #[test]
    fn reserved_columns_are_no_labels() {
        assert_eq!(Dimension::of("U__no_labels"), Dimension::NoLabels);
        assert_eq!(Dimension::of("U__value_bits"), Dimension::ValueBits);
        for name in ["U__no_labels", "U__value_bits", "u__value_bits", "time"] {
            let stored = escape(name);
            assert_eq!(Dimension::of(&stored), Dimension::Label(name.into()));
        }
    }

    fn any_near_the_escape() -> impl Strategy<Value = String> {
        let reserved = "[Tt][Ii][Mm][Ee]|[Tt][Ss]_|[Mm]easure_([Nn]ame|[Vv]alue)|[Uu]__(histogram_of_|exemplar_of_)?";
        const FORMS: [&str; 7] = [
            "no_labels",
            "value_bits",
            "doctor",
            "timex",
            "_2e_x",
            "_2E_x",
            "",
        ];
        let near = (
            prop_oneof![Just(String::new()), reserved],
            prop_oneof![
                "[_a-cA-CxX:0-9.é]{0,8}",
                proptest::sample::select(&FORMS[..]).prop_map(str::to_owned)
            ],
        );
        prop_oneof![any::<String>(), near.prop_map(|(start, end)| start + &end)]
    }

    proptest! {
        #[test]
        fn every_name_survives(name in any::<String>()) {
            let stored = escape(&name);
            prop_assert_eq!(unescape(&stored), name.as_str());
        }

        #[test]
        fn reserved_measures_are_those_of_one_metric_and_no_metric_itself(name in any::<String>()) {
            let stored = format!("{HISTOGRAM_PREFIX}{}", escape(&name));
            prop_assert_eq!(Measure::of(&stored), Measure::Histograms(name.as_str().into()));
            let stored = format!("{EXEMPLAR_PREFIX}{}", escape(&name));
            prop_assert_eq!(Measure::of(&stored), Measure::Exemplars(name.as_str().into()));
            for prefix in [HISTOGRAM_PREFIX, EXEMPLAR_PREFIX] {
                let stored = format!("{prefix}{}", escape(&name));
                prop_assert_eq!(unescape(&stored), stored.as_str());
                // Not even one that looks like it.
                prop_assert!(!escape(&stored).starts_with(prefix));
            }
            let stored = escape(&name);
            prop_assert_eq!(Measure::of(&stored), Measure::Samples(name.as_str().into()));
        }

        /// A name that a query selects is read as the queried one, and only one of the forms is written.
        #[test]
        fn every_form_of_a_name_stands_for_it(name in any_near_the_escape()) {
            for form in stored_forms(&name) {
                prop_assert_eq!(Measure::of(&form), Measure::Samples(name.as_str().into()));
            }
        }

        #[test]
        fn forms_differ_in_case_alone_where_names_do(
            name in any_near_the_escape(),
            flips in any::<u64>(),
            other in any_near_the_escape(),
        ) {
            let (stored, of_other) = (escape(&name), escape(&other));
            prop_assert_eq!(
                stored.to_lowercase() == of_other.to_lowercase(),
                name.eq_ignore_ascii_case(&other)
            );
            for reserved in ["time", "measure_name", NO_LABELS_DIMENSION, VALUE_BITS_DIMENSION] {
                prop_assert_ne!(stored.to_lowercase(), reserved.to_lowercase());
            }
            // The same name with other cases is escaped if this one is.
            let flipped: String = name
                .chars()
                .enumerate()
                .map(|(index, c)| match flips >> (index % 64) & 1 {
                    1 if c.is_ascii_lowercase() => c.to_ascii_uppercase(),
                    1 => c.to_ascii_lowercase(),
                    _ => c,
                })
                .collect();
            let of_flipped = escape(&flipped);
            prop_assert_eq!(unescape(&of_flipped), flipped.as_str());
            prop_assert!(stored.eq_ignore_ascii_case(&of_flipped));
        }

        /// Any text: what no name is stored as stands for itself.
        #[test]
        fn a_stored_form_stands_for_one_name(stored in any_near_the_escape()) {
            let name = unescape(&stored);
            if escape(&name) != stored {
                prop_assert_eq!(name, stored.as_str());
            }
        }

        #[test]
        fn names_near_the_escape_survive_and_are_accepted(name in "(U__)?[_a-cx:0-9.]{0,12}") {
            let stored = escape(&name);
            prop_assert!(stored.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
            prop_assert!(stored.as_bytes()[0].is_ascii_alphabetic());
            prop_assert!(!stored.ends_with('_'));
            prop_assert_ne!(stored.as_ref(), NO_LABELS_DIMENSION);
            prop_assert_ne!(stored.as_ref(), VALUE_BITS_DIMENSION);
            prop_assert_eq!(unescape(&stored), name.as_str());
        }
    }
}
