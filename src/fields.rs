//! The errors of the fields of a configuration, collected so that all are reported together, and a
//! reader of fields in JSON.
//!
//! No error repeats a value: any of them may be a secret, also one under the wrong key. An error names
//! the path of the field and the form that was expected.

use std::fmt;
use std::ops::{Deref, RangeInclusive};

use reqwest::Url;
use serde::de::{DeserializeOwned, Error as _};
use serde_json::{Map, Value};

/// An error in one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The path of the field, `config.timeout_ms` for instance; empty for the whole.
    pub path: String,
    /// The error and the expected form; never a secret.
    pub message: String,
}

impl FieldError {
    /// Returns an error of the field at `path`.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            message: message.into(),
        }
    }

    /// Returns the error as a sentence about the field, for messages such as `is missing`.
    pub fn sentence(&self) -> String {
        match self.path.as_str() {
            "" => self.message.clone(),
            path => format!("{path} {}", self.message),
        }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.message),
            path => write!(f, "{path}: {}", self.message),
        }
    }
}

/// All errors of a configuration, in the order in which they were found.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct FieldErrors(Vec<FieldError>);

impl fmt::Display for FieldErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.messages().join("; "))
    }
}

impl Deref for FieldErrors {
    type Target = [FieldError];

    fn deref(&self) -> &[FieldError] {
        &self.0
    }
}

impl FieldErrors {
    /// Returns the one error of the field at `path`.
    pub fn one(path: impl Into<String>, message: impl fmt::Display) -> Self {
        Self(vec![FieldError::new(path, message.to_string())])
    }

    /// Adds an error of the field at `path`.
    pub fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.0.push(FieldError::new(path, message));
    }

    /// Adds the errors of a value within the field at `path`.
    pub fn add_within(&mut self, path: &str, errors: Self) {
        for FieldError {
            path: inner,
            message,
        } in errors.0
        {
            self.add(join(path, &inner), message);
        }
    }

    /// Adds the errors of another part of the same configuration.
    pub fn extend(&mut self, errors: Self) {
        self.0.extend(errors.0);
    }

    /// Returns `value` if there is no error.
    ///
    /// # Errors
    /// These.
    pub fn into_result<T>(self, value: T) -> Result<T, Self> {
        match self.is_empty() {
            true => Ok(value),
            false => Err(self),
        }
    }

    /// Returns each error as a line.
    pub fn messages(&self) -> Vec<String> {
        self.iter().map(ToString::to_string).collect()
    }
}

/// Reads fields and collects their errors.
#[derive(Debug, Default)]
pub struct FieldReader {
    /// The path of the object that the fields are in; empty for the whole.
    path: &'static str,
    /// If true, numbers and booleans may be strings, and an empty string or a placeholder counts as absent:
    /// files made for other programs are like that.
    is_lenient: bool,
    /// The errors so far.
    pub errors: FieldErrors,
}

/// Reads an object whose fields are all `Option<Value>`, so that the only errors are that `value` is no
/// object, or that it has a key that `T` does not have.
///
/// # Errors
/// A text that repeats no value, whatever serde says of the error.
pub fn object<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
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

impl FieldReader {
    /// Returns a reader of the object at `path`.
    pub fn strict(path: &'static str) -> Self {
        Self {
            path,
            ..Self::default()
        }
    }

    /// Returns a reader of the object at `path` that accepts strings as numbers and booleans, and
    /// ignores empty strings and placeholders.
    pub fn lenient(path: &'static str) -> Self {
        Self {
            path,
            is_lenient: true,
            ..Self::default()
        }
    }

    /// Adds an error of the field `key`; an empty key is the object itself.
    pub fn error(&mut self, key: &str, message: impl Into<String>) {
        self.errors.add(join(self.path, key), message);
    }

    /// Adds an error of `key` unless `is_valid`, which it returns.
    pub fn check(&mut self, key: &str, is_valid: bool, expected: &str) -> bool {
        if !is_valid {
            self.error(key, expected);
        }
        is_valid
    }

    /// Adds an error for each key of the object that is not `known`.
    pub fn unknown_keys(&mut self, object: &Map<String, Value>, known: &'static [&'static str]) {
        for key in object.keys() {
            if !known.contains(&key.as_str()) {
                let error = serde_json::Error::unknown_field(key, known);
                self.error("", error.to_string());
            }
        }
    }

    fn expected(&mut self, key: &str, expected: &str) {
        self.error(key, format!("expected {expected}"));
    }

    /// Returns `value`, unless it counts as absent.
    pub fn given<'v>(&self, value: Option<&'v Value>) -> Option<&'v Value> {
        let is_blank = |it: &Value| {
            it.as_str()
                .is_some_and(|text| text.trim().is_empty() || is_placeholder(text))
        };
        let is_absent = |it: &Value| it.is_null() || (self.is_lenient && is_blank(it));
        value.filter(|it| !is_absent(it))
    }

    /// Reads a string, which may be empty.
    pub fn string(&mut self, key: &str, value: Option<&Value>) -> Option<String> {
        let string = self.given(value)?.as_str();
        self.check(key, string.is_some(), "expected a string");
        string.map(str::to_owned)
    }

    /// Reads a string that must be given.
    pub fn required(&mut self, key: &'static str, value: Option<&Value>) -> Option<String> {
        if self.given(value).is_none() {
            let error = serde_json::Error::missing_field(key);
            self.error("", error.to_string());
        }
        self.string(key, value)
    }

    /// Reads a whole number within `range`.
    pub fn number(
        &mut self,
        key: &str,
        value: Option<&Value>,
        range: RangeInclusive<u64>,
    ) -> Option<u64> {
        let value = self.given(value)?;
        let number = match value {
            Value::String(text) if self.is_lenient => whole(text.trim()),
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

    /// Reads `true` or `false`.
    pub fn flag(&mut self, key: &str, value: Option<&Value>) -> Option<bool> {
        let value = self.given(value)?;
        let flag = match value {
            Value::String(text) if self.is_lenient => text.trim().to_ascii_lowercase().parse().ok(),
            other => other.as_bool(),
        };
        if flag.is_none() {
            self.expected(key, "true or false");
        }
        flag
    }

    /// Reads a string that is not empty.
    pub fn text(&mut self, key: &str, value: Option<&Value>) -> Option<String> {
        let value = self.given(value)?;
        match value.as_str() {
            Some(text) if !text.is_empty() => Some(text.to_owned()),
            _ => {
                self.expected(key, "a non-empty string");
                None
            }
        }
    }

    /// Reads one of the words of a list.
    pub fn choice<T: Copy>(
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

    /// Reads an address to call.
    pub fn url(&mut self, key: &str, value: Option<&Value>) -> Option<Url> {
        let text = self.text(key, value)?;
        match url(&text) {
            Ok(url) => Some(url),
            Err(error) => {
                self.error(key, error);
                None
            }
        }
    }
}

/// Returns the path of `key` within the object at `path`; an empty one adds nothing.
pub(crate) fn join(path: &str, key: &str) -> String {
    match (path, key) {
        ("", key) => key.to_owned(),
        (path, "") => path.to_owned(),
        (path, key) => format!("{path}.{key}"),
    }
}

/// Returns true if a string is the placeholder of a template: `<YOUR_BEARER_TOKEN>`.
fn is_placeholder(text: &str) -> bool {
    let name = text.strip_prefix('<').and_then(|it| it.strip_suffix('>'));
    let is_upper = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    name.is_some_and(|name| name.contains('_') && name.chars().all(is_upper))
}

/// Returns the whole number that a number is, also one that is written as a float.
pub fn whole_number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| whole_float(value.as_f64()?))
}

/// Returns the same of a string.
fn whole(text: &str) -> Option<u64> {
    text.parse()
        .ok()
        .or_else(|| whole_float(text.parse().ok()?))
}

/// Returns the whole number that a float is: files of other programs have 3600.0 for 3600.
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
    let invalid = if !matches!(url.scheme(), "http" | "https") {
        "expected a URL that begins with http:// or https://"
    } else if !url.username().is_empty() || url.password().is_some() {
        "user and password do not belong into the URL; use authentication"
    } else if url.fragment().is_some() {
        "a URL to call has no fragment (#)"
    } else {
        return Ok(url);
    };
    Err(invalid.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_count_as_numbers_where_that_is_allowed() {
        let mut strict = FieldReader::strict("config");
        let mut lenient = FieldReader::lenient("config");
        let number =
            |values: &mut FieldReader, value: Value| values.number("n", Some(&value), 1..=100);
        assert_eq!(number(&mut lenient, json!(" 24 ")), Some(24));
        assert_eq!(number(&mut lenient, json!("")), None);
        assert_eq!(lenient.flag("f", Some(&json!("True"))), Some(true));
        assert_eq!(lenient.text("t", Some(&json!(""))), None);
        assert_eq!(lenient.text("t", Some(&json!("<YOUR_TOKEN>"))), None);
        for value in ["<your_token>", "<TOKEN>", "x<YOUR_TOKEN>"] {
            assert!(lenient.text("t", Some(&json!(value))).is_some(), "{value}");
        }
        assert!(lenient.errors.is_empty(), "{:?}", lenient.errors);
        assert_eq!(number(&mut strict, json!(24)), Some(24));
        assert!(strict.errors.is_empty());
        assert_eq!(number(&mut strict, json!("24")), None);
        assert_eq!(number(&mut strict, json!(0)), None);
        assert_eq!(number(&mut strict, json!(1.5)), None);
        assert_eq!(strict.text("t", Some(&json!(""))), None);
        assert_eq!(strict.flag("f", Some(&json!("true"))), None);
        let texts = strict.errors.messages();
        let expected = [
            "config.n: expected a whole number from 1 to 100",
            "config.n: expected a whole number from 1 to 100",
            "config.n: expected a whole number from 1 to 100",
            "config.t: expected a non-empty string",
            "config.f: expected true or false",
        ];
        assert_eq!(texts, expected);
    }

    #[test]
    fn a_float_without_a_fraction_is_a_whole_number() {
        let mut lenient = FieldReader::lenient("config");
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
        assert_eq!(lenient.errors.len(), 5);
    }

    #[test]
    fn no_error_of_an_object_repeats_a_value() {
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
        for (bad, expected) in [
            ("a:9090", "begins with http://"),
            ("localhost", "not a URL"),
            ("ftp://a", "begins with http://"),
            ("http://u:hunter2@a", "do not belong into the URL"),
            ("http://a/#x", "no fragment"),
        ] {
            let error = url(bad).unwrap_err();
            assert!(
                error.contains(expected) && !error.contains("hunter2"),
                "{error}"
            );
        }
    }
}
