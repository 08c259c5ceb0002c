//! The keys of a `config`, read one by one, so that all faults are told together.

use std::ops::RangeInclusive;

use reqwest::Url;
use serde_json::Value;

use super::client::{self, UrlFault};
use super::run::Fault;

/// Reads keys and gathers what is wrong with them.
#[derive(Debug, Default)]
pub(super) struct Values {
    /// Whether numbers and booleans may be texts, and an empty text counts as absent: files made for
    /// other programs are like that.
    pub(super) lenient: bool,
    pub(super) faults: Vec<Fault>,
}

impl Values {
    pub(super) fn fault(&mut self, key: &str, text: impl Into<String>) {
        self.faults.push(Fault::new(format!("config.{key}"), text));
    }

    fn wrong(&mut self, key: &str, value: &Value, expected: &str) {
        self.fault(key, format!("invalid value {value}: expected {expected}"));
    }

    /// `value`, unless it counts as absent.
    fn given<'v>(&self, value: Option<&'v Value>) -> Option<&'v Value> {
        let is_blank = |it: &Value| it.as_str().is_some_and(|text| text.trim().is_empty());
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
            Value::String(text) if self.lenient => text.trim().parse().ok(),
            other => other.as_u64(),
        };
        match number {
            Some(number) if range.contains(&number) => Some(number),
            _ => {
                let expected = format!("a whole number from {} to {}", range.start(), range.end());
                self.wrong(key, value, &expected);
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
            self.wrong(key, value, "true or false");
        }
        flag
    }

    /// A text that is not empty.
    pub(super) fn text(&mut self, key: &str, value: Option<&Value>) -> Option<String> {
        let value = self.given(value)?;
        match value.as_str() {
            Some(text) if !text.is_empty() => Some(text.to_owned()),
            _ => {
                self.wrong(key, value, "a text that is not empty");
                None
            }
        }
    }

    /// A text that no fault repeats.
    pub(super) fn secret(&mut self, key: &str, value: Option<&Value>) -> Option<String> {
        let value = self.given(value)?;
        match value.as_str() {
            Some(text) if !text.is_empty() => Some(text.to_owned()),
            _ => {
                self.fault(key, "expected a text that is not empty");
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
            self.wrong(key, value, &words.join(", "));
        }
        chosen.map(|(_, it)| *it)
    }

    /// An address to call. What is wrong with one is told without the address: it may hold a
    /// password.
    pub(super) fn url(&mut self, key: &str, value: Option<&Value>) -> Option<Url> {
        let text = self.secret(key, value)?;
        match url(&text) {
            Ok(url) => Some(url),
            Err(why) => {
                self.fault(key, why);
                None
            }
        }
    }
}

fn url(text: &str) -> Result<Url, String> {
    client::url(text.trim()).map_err(|fault| match fault {
        UrlFault::Invalid(error) => {
            format!("not a URL: {error}; expected a form like http://prometheus:9090")
        }
        UrlFault::Scheme(scheme) => format!("the scheme is {scheme}; expected http or https"),
        UrlFault::Credentials => {
            "user and password do not belong into the URL; use authentication".to_owned()
        }
        UrlFault::Fragment => "a URL to call has no fragment (#)".to_owned(),
    })
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
            "config.n: invalid value \"24\": expected a whole number from 1 to 100",
            "config.n: invalid value 0: expected a whole number from 1 to 100",
            "config.n: invalid value 1.5: expected a whole number from 1 to 100",
            "config.t: invalid value \"\": expected a text that is not empty",
            "config.f: invalid value \"true\": expected true or false",
        ];
        assert_eq!(texts, expected);
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
            ("a:9090", "the scheme is a"),
            ("localhost", "not a URL"),
            ("ftp://a", "the scheme is ftp"),
            ("http://u:hunter2@a", "do not belong into the URL"),
            ("http://a/#x", "no fragment"),
        ] {
            let error = url(bad).unwrap_err();
            assert!(error.contains(why) && !error.contains("hunter2"), "{error}");
        }
    }
}
