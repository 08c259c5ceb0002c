//! The keys of a `config`, read one by one, so that all faults are reported together.
//!
//! No fault repeats a value: any of them may be a secret, also one that stands under the wrong key.
//! A fault names the key and the form that was expected.

use std::ops::RangeInclusive;

use reqwest::Url;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::fault::Fault;

/// Reads keys and gathers what is wrong with them.
#[derive(Debug, Default)]
pub(super) struct Values {
    /// Whether numbers and booleans may be texts, and an empty text or a placeholder counts as absent:
    /// files made for other programs are like that.
    pub(super) lenient: bool,
    pub(super) faults: Vec<Fault>,
}

/// Reads an object whose fields are all `Option<Value>`, so that the only faults are that `value` is no
/// object, or that it has a key that `T` does not have.
///
/// # Errors
/// A text that repeats no value, whatever serde says of the error.
pub(super) fn object<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    if !value.is_object() {
        return Err("expected an object".to_owned());
    }
    T::deserialize(value).map_err(|error| {
        let text = error.to_string();
        match text.starts_with("unknown field `") {
            true => text,
            false => "expected an object with other types of values".to_owned(),
        }
    })
}

impl Values {
    pub(super) fn fault(&mut self, key: &str, text: impl Into<String>) {
        self.faults.push(Fault::new(format!("config.{key}"), text));
    }

    fn expected(&mut self, key: &str, expected: &str) {
        self.fault(key, format!("expected {expected}"));
    }

    /// `value`, unless it counts as absent.
    pub(super) fn given<'v>(&self, value: Option<&'v Value>) -> Option<&'v Value> {
        let is_blank = |it: &Value| {
            it.as_str()
                .is_some_and(|text| text.trim().is_empty() || is_placeholder(text))
        };
        let is_absent = |it: &Value| it.is_null() || (self.lenient && is_blank(it));
        value.filter(|it| !is_absent(it))
    }

    /// A whole number within `range`.
    pub(super) fn number(
        &mut self,
        key: &str,
        value: Option<&Value>,
        range: RangeInclusive<u64>,
    ) -> Option<u64> {
        let value = self.given(value)?;
        let number = match value {
            Value::String(text) if self.lenient => whole(text.trim()),
            other => whole_number(other),
        };
        match number {
            Some(number) if range.contains(&number) => Some(number),
            _ => {
                let expected = format!("a whole number from {} to {}", range.start(), range.end());
                self.expected(key, &expected);
                None
            }
        }
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, key: &str, value: Option<&Value>) -> Option<bool> {
        let value = self.given(value)?;
        let flag = match value {
            Value::String(text) if self.lenient => text.trim().to_ascii_lowercase().parse().ok(),
            other => other.as_bool(),
        };
        if flag.is_none() {
            self.expected(key, "true or false");
        }
        flag
    }

    /// A text that is not empty.
    pub(super) fn text(&mut self, key: &str, value: Option<&Value>) -> Option<String> {
        let value = self.given(value)?;
        match value.as_str() {
            Some(text) if !text.is_empty() => Some(text.to_owned()),
            _ => {
                self.expected(key, "a text that is not empty");
                None
            }
        }
    }

    /// One of the words of a list.
    pub(super) fn choice<T: Copy>(
        &mut self,
        key: &str,
        value: Option<&Value>,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let value = self.given(value)?;
        let chosen = choices
            .iter()
            .find(|(word, _)| value.as_str() == Some(*word));
        if chosen.is_none() {
            let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
            self.expected(key, &format!("one of {}", words.join(", ")));
        }
        chosen.map(|(_, it)| *it)
    }

    /// An address to call.
    pub(super) fn url(&mut self, key: &str, value: Option<&Value>) -> Option<Url> {
        let text = self.text(key, value)?;
        match url(&text) {
            Ok(url) => Some(url),
            Err(why) => {
                self.fault(key, why);
                None
            }
        }
    }
}

/// Whether a text is what a template has for a value: `<YOUR_BEARER_TOKEN>`.
fn is_placeholder(text: &str) -> bool {
    let name = text.strip_prefix('<').and_then(|it| it.strip_suffix('>'));
    let is_upper = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    name.is_some_and(|name| name.contains('_') && name.chars().all(is_upper))
}

/// The whole number that a number is, also one that is written as a float.
pub(super) fn whole_number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| whole_float(value.as_f64()?))
}

/// The same of a text.
fn whole(text: &str) -> Option<u64> {
    text.parse()
        .ok()
        .or_else(|| whole_float(text.parse().ok()?))
}

/// The whole number that a float is: files of other programs have 3600.0 for 3600.
fn whole_float(number: f64) -> Option<u64> {
    // Up to here every whole number is a float.
    const MAX: f64 = 9_007_199_254_740_992.0;
    let is_whole = number.fract() == 0.0 && (0.0..=MAX).contains(&number);
    is_whole.then_some(number as u64)
}

/// Reads an address to call. An error repeats nothing of it: it may be a password.
fn url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text.trim()).map_err(|error| {
        format!("not a URL: {error}; expected a form like http://prometheus:9090")
    })?;
    let refused = if !matches!(url.scheme(), "http" | "https") {
        "expected a URL that begins with http:// or https://"
    } else if !url.username().is_empty() || url.password().is_some() {
        "user and password do not belong into the URL; use authentication"
    } else if url.fragment().is_some() {
        "a URL to call has no fragment (#)"
    } else {
        return Ok(url);
    };
    Err(refused.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_count_as_numbers_where_that_is_allowed() {
        let mut strict = Values::default();
        let mut lenient = Values {
            lenient: true,
            ..Values::default()
        };
        let number = |values: &mut Values, value: Value| values.number("n", Some(&value), 1..=100);
        assert_eq!(number(&mut lenient, json!(" 24 ")), Some(24));
        assert_eq!(number(&mut lenient, json!("")), None);
        assert_eq!(lenient.flag("f", Some(&json!("True"))), Some(true));
        assert_eq!(lenient.text("t", Some(&json!(""))), None);
        assert_eq!(lenient.text("t", Some(&json!("<YOUR_TOKEN>"))), None);
        for kept in ["<your_token>", "<TOKEN>", "x<YOUR_TOKEN>"] {
            assert!(lenient.text("t", Some(&json!(kept))).is_some(), "{kept}");
        }
        assert!(lenient.faults.is_empty(), "{:?}", lenient.faults);
        assert_eq!(number(&mut strict, json!(24)), Some(24));
        assert!(strict.faults.is_empty());
        assert_eq!(number(&mut strict, json!("24")), None);
        assert_eq!(number(&mut strict, json!(0)), None);
        assert_eq!(number(&mut strict, json!(1.5)), None);
        assert_eq!(strict.text("t", Some(&json!(""))), None);
        assert_eq!(strict.flag("f", Some(&json!("true"))), None);
        let texts: Vec<_> = strict.faults.iter().map(ToString::to_string).collect();
        let expected = [
            "config.n: expected a whole number from 1 to 100",
            "config.n: expected a whole number from 1 to 100",
            "config.n: expected a whole number from 1 to 100",
            "config.t: expected a text that is not empty",
            "config.f: expected true or false",
        ];
        assert_eq!(texts, expected);
    }

    #[test]
    fn a_float_without_a_fraction_is_a_whole_number() {
        let mut lenient = Values {
            lenient: true,
            ..Values::default()
        };
        let mut number = |value| lenient.number("n", Some(&value), 0..=u64::MAX);
        assert_eq!(number(json!(3600.0)), Some(3_600));
        assert_eq!(number(json!("3600.0")), Some(3_600));
        assert_eq!(number(json!(3.6e3)), Some(3_600));
        assert_eq!(number(json!(0.0)), Some(0));
        for value in [
            json!(0.5),
            json!(-1.0),
            json!(1e300),
            json!("NaN"),
            json!("inf"),
        ] {
            assert_eq!(number(value), None);
        }
        assert_eq!(lenient.faults.len(), 5);
    }

    #[test]
    fn no_fault_of_an_object_repeats_a_value() {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Typed {
            #[serde(rename = "number")]
            _number: Option<u64>,
        }
        for (value, expected) in [
            (json!("hunter2"), "expected an object"),
            (json!(["hunter2"]), "expected an object"),
            (
                json!({"nummer": "hunter2"}),
                "unknown field `nummer`, expected `number`",
            ),
            // No such field is meant to be here; a mistake must not show a secret either.
            (
                json!({"number": "hunter2"}),
                "expected an object with other types of values",
            ),
        ] {
            assert_eq!(object::<Typed>(&value).err().unwrap(), expected);
        }
    }

    #[test]
    fn urls() {
        for good in [
            "http://a:9090",
            "https://a/b/api/v1/write?x=1",
            " http://a ",
        ] {
            assert!(url(good).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("a:9090", "begins with http://"),
            ("localhost", "not a URL"),
            ("ftp://a", "begins with http://"),
            ("http://u:hunter2@a", "do not belong into the URL"),
            ("http://a/#x", "no fragment"),
        ] {
            let error = url(bad).unwrap_err();
            assert!(error.contains(why) && !error.contains("hunter2"), "{error}");
        }
    }
}
