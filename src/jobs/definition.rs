//! The definition of a job: reads one JSON object and reports all its errors together.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

use super::job::Job;
use super::secret::SecretRef;
use crate::fields::{FieldErrors, FieldReader, whole_number};
use crate::storage::destination::Destination;
use crate::storage::write::route::is_destination_name;

/// The keys of a definition.
const KEYS: &[&str] = &[
    "name",
    "type",
    "target_database",
    "target_table",
    "schedule_ms",
    "config",
];
/// The mask of a secret in responses.
pub const MASK: &str = "***";
/// The most bytes of a name: those of a schedule's name in EventBridge Scheduler
/// (<https://docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html>).
const MAX_NAME_BYTES: usize = 64;
/// The shortest and the longest schedule, in milliseconds.
const SCHEDULE_MS: std::ops::RangeInclusive<u64> = 100..=86_400_000;

/// A type of definition.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// The value of the key `type`.
    pub name: &'static str,
    /// The parts of the destination that a definition must name.
    pub needs: Needs,
    /// Checks a `config`.
    pub parse: fn(&Value) -> Result<Box<dyn Job>, FieldErrors>,
}

/// The parts of a destination that a type needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Database and table.
    Table,
    /// The database.
    Database,
    /// Nothing.
    Nothing,
}

/// All types.
pub const KINDS: &[Kind] = &[
    Kind {
        name: "prometheus",
        needs: Needs::Table,
        parse: crate::jobs::kinds::scrape::parse,
    },
    Kind {
        name: "prometheus_api",
        needs: Needs::Table,
        parse: crate::jobs::kinds::sync::parse,
    },
    Kind {
        name: "prometheus_sink",
        needs: Needs::Nothing,
        parse: crate::jobs::kinds::sink::parse,
    },
];

/// Returns the names of all types.
pub fn type_names() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|kind| kind.name)
}

/// A definition that can run.
pub struct Definition {
    /// Its name, which is its identifier too.
    pub name: String,
    /// The name of its type.
    pub kind: &'static str,
    /// The destination of samples; parts that the type does not need may be empty.
    pub destination: Destination,
    /// The interval of runs; `None` if it runs on request only.
    pub schedule: Option<Duration>,
    /// The job itself.
    pub job: Box<dyn Job>,
    /// The definition as it was received, secrets included.
    source: Map<String, Value>,
}

/// Without the source, which may hold secrets.
impl fmt::Debug for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Definition")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("destination", &self.destination)
            .field("schedule", &self.schedule)
            .field("job", &self.job)
            .finish_non_exhaustive()
    }
}

impl Definition {
    /// Reads a definition of one of `kinds`.
    ///
    /// # Errors
    /// All its errors.
    pub fn parse(json: &[u8], kinds: &'static [Kind]) -> Result<Self, FieldErrors> {
        let value: Value =
            serde_json::from_slice(json).map_err(|error| FieldErrors::one("", error))?;
        Self::of(value, kinds)
    }

    /// Reads a list of definitions of `kinds`, whose names must differ.
    ///
    /// # Errors
    /// All errors of all of them.
    pub fn parse_list(json: &[u8], kinds: &'static [Kind]) -> Result<Vec<Self>, FieldErrors> {
        let expected = "expected a list of definitions";
        let list: Value = serde_json::from_slice(json)
            .map_err(|error| FieldErrors::one("", format_args!("{expected}: {error}")))?;
        let Value::Array(values) = list else {
            return Err(FieldErrors::one("", expected));
        };
        let mut definitions: Vec<Self> = Vec::new();
        let mut errors = FieldErrors::default();
        for (index, value) in values.into_iter().enumerate() {
            let path = format!("[{index}]");
            match Self::of(value, kinds) {
                Ok(definition) => {
                    if definitions.iter().any(|it| it.name == definition.name) {
                        let text = format!("the name {:?} is given twice", definition.name);
                        errors.add_within(&path, FieldErrors::one("name", text));
                    }
                    definitions.push(definition);
                }
                Err(found) => errors.add_within(&path, found),
            }
        }
        errors.into_result(definitions)
    }

    /// Reads a definition that is JSON already.
    ///
    /// # Errors
    /// All its errors.
    pub fn of(value: Value, kinds: &'static [Kind]) -> Result<Self, FieldErrors> {
        let Value::Object(source) = value else {
            return Err(FieldErrors::one(
                "",
                "expected a JSON object, a connector definition",
            ));
        };
        let mut fields = FieldReader::strict("");
        fields.unknown_keys(&source, KEYS);
        let name = fields.required("name", source.get("name"));
        let name = name.filter(|name| fields.check("name", is_name(name), NAME_EXPECTED));
        let kind = fields.required("type", source.get("type"));
        let kind = kind.and_then(|name| {
            let kind = kinds.iter().find(|kind| kind.name == name);
            let known = || kinds.iter().map(|kind| kind.name).collect::<Vec<_>>();
            if kind.is_none() {
                fields.error("type", format!("expected one of {}", known().join(", ")));
            }
            kind
        });
        let needs = kind.map_or(Needs::Nothing, |kind| kind.needs);
        let mut destination = |key, is_required| {
            let value = source.get(key);
            let name = match is_required {
                true => fields.required(key, value),
                false => fields.string(key, value),
            };
            let expected = "expected a name that Timestream can have: 1 to 256 letters, digits, '_', \
                            '.' and '-'";
            name.filter(|name| fields.check(key, is_destination_name(name), expected))
                .unwrap_or_default()
        };
        let database = destination("target_database", needs != Needs::Nothing);
        let table = destination("target_table", needs == Needs::Table);
        let schedule = fields.given(source.get("schedule_ms")).and_then(|value| {
            let schedule = whole_number(value).filter(|it| SCHEDULE_MS.contains(it));
            let expected = "expected milliseconds, 100 to 86400000 (a day)";
            fields.check("schedule_ms", schedule.is_some(), expected);
            schedule
        });
        let empty = Value::Object(Map::new());
        let config = source.get("config").unwrap_or(&empty);
        let job = kind.map(|kind| (kind.parse)(config));
        let mut errors = fields.errors;
        match (name, kind, job) {
            (Some(name), Some(kind), Some(Ok(job))) if errors.is_empty() => Ok(Self {
                name,
                kind: kind.name,
                destination: Destination { database, table },
                schedule: schedule.map(Duration::from_millis),
                job,
                source,
            }),
            (_, _, job) => {
                if let Some(Err(found)) = job {
                    errors.extend(found);
                }
                Err(errors)
            }
        }
    }

    /// Returns the definition as it was received, as the text that is stored.
    pub fn text(&self) -> String {
        serde_json::to_string(&self.source).expect("what was JSON is JSON")
    }

    /// Returns the definition as it was received, secrets included.
    pub fn source(&self) -> &Map<String, Value> {
        &self.source
    }

    /// Returns the definition with its secrets masked, except references.
    pub fn masked(&self) -> Map<String, Value> {
        let mut masked = self.source.clone();
        if let Some(config) = masked.get_mut("config") {
            mask(config, false);
        }
        masked
    }
}

/// Returns a definition changed by `patch`, a JSON merge patch (RFC 7396). A string stays as it is where
/// `patch` has its mask.
pub fn patched(source: &Map<String, Value>, patch: Map<String, Value>) -> Map<String, Value> {
    let mut target = source.clone();
    for (key, value) in patch {
        let patched = match (target.remove(&key), value) {
            (_, Value::Null) => continue,
            (Some(Value::String(old)), Value::String(new)) if is_mask_of(&new, &old) => {
                Value::String(old)
            }
            (Some(Value::Object(old)), Value::Object(new)) => Value::Object(patched(&old, new)),
            (_, Value::Object(new)) => Value::Object(patched(&Map::new(), new)),
            (_, other) => other,
        };
        target.insert(key, patched);
    }
    target
}

/// The error of an invalid name.
const NAME_EXPECTED: &str = "expected 1 to 64 letters, digits, '.', '-' and '_', a letter or digit \
                             first";

/// Returns true if a definition may have this name.
pub fn is_name(name: &str) -> bool {
    name.len() <= MAX_NAME_BYTES
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
}

/// Returns true if the values of `key` are secrets in any type of definition.
fn is_secret(key: &str) -> bool {
    const PARTS: [&str; 8] = [
        "pass",
        "token",
        "secret",
        "authorization",
        "credential",
        "api_key",
        "apikey",
        "headers",
    ];
    let key = key.to_ascii_lowercase().replace('-', "_");
    PARTS.iter().any(|part| key.contains(part))
}

fn mask(value: &mut Value, is_within_secret: bool) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                mask(value, is_within_secret || is_secret(key));
            }
        }
        Value::Array(elements) => {
            for element in elements {
                mask(element, is_within_secret);
            }
        }
        Value::String(text) if is_within_secret => {
            if !text.is_empty() && SecretRef::parse(text).is_err() {
                MASK.clone_into(text);
            }
        }
        Value::String(text) => {
            if let Some(masked) = masked_url(text) {
                *text = masked;
            }
        }
        Value::Number(_) if is_within_secret => *value = MASK.into(),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Returns a URL with its password masked; `None` if it has none.
fn without_password(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (user, host) = authority.rsplit_once('@')?;
    let name = user.split_once(':').map_or("", |(name, _)| name);
    Some(format!("{scheme}://{name}:{MASK}@{host}{path}"))
}

/// Returns a URL with its password and the values of its query masked, any of which may be a key; `None` if
/// it has neither.
fn masked_url(text: &str) -> Option<String> {
    let without_password = without_password(text);
    let url = without_password.as_deref().unwrap_or(text);
    without_values(url).or(without_password)
}

fn without_values(text: &str) -> Option<String> {
    let (scheme, _) = text.trim_start().split_once("://")?;
    let is_called = ["http", "https"]
        .iter()
        .any(|it| scheme.eq_ignore_ascii_case(it));
    let (path, query) = text.split_once('?').filter(|_| is_called)?;
    let masked = query.split('&').map(|pair| match pair.split_once('=') {
        Some((_, "")) => pair.to_owned(),
        Some((name, _)) => format!("{name}={MASK}"),
        None if pair.is_empty() => String::new(),
        None => MASK.to_owned(),
    });
    Some(format!("{path}?{}", masked.collect::<Vec<_>>().join("&")))
}

fn is_mask_of(new: &str, old: &str) -> bool {
    new == MASK || masked_url(old).as_deref() == Some(new)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::KINDS;
    use super::*;

    fn valid() -> Value {
        json!({
            "name": "node-exporter-1",
            "type": "echo",
            "target_database": "default",
            "target_table": "metrics",
            "schedule_ms": 15_000,
            "config": {"rows": 3}
        })
    }

    fn errors(value: Value) -> Vec<String> {
        Definition::of(value, KINDS).unwrap_err().messages()
    }

    fn with(key: &str, value: Value) -> Value {
        let mut definition = valid();
        definition[key] = value;
        definition
    }

    #[test]
    fn a_definition() {
        let definition = Definition::of(valid(), KINDS).unwrap();
        assert_eq!(definition.name, "node-exporter-1");
        assert_eq!(definition.kind, "echo");
        assert_eq!(definition.destination.to_string(), "default/metrics");
        assert_eq!(definition.schedule, Some(Duration::from_secs(15)));
        let again = Definition::parse(definition.text().as_bytes(), KINDS).unwrap();
        assert_eq!(Value::Object(again.masked()), valid());
        let mut least = valid();
        least.as_object_mut().unwrap().remove("schedule_ms");
        least.as_object_mut().unwrap().remove("config");
        assert_eq!(Definition::of(least, KINDS).unwrap().schedule, None);
    }

    #[test]
    fn every_error_is_reported_and_repeats_no_value() {
        let all = json!({
            "name": "a/b", "type": "echo", "target_database": "", "schedule_ms": 99,
            "schedule": 1, "config": {"rows": -1, "row": 1}
        });
        assert_eq!(
            errors(all),
            [
                "unknown field `schedule`, expected one of `name`, `type`, `target_database`, \
                 `target_table`, `schedule_ms`, `config`",
                "name: expected 1 to 64 letters, digits, '.', '-' and '_', a letter or digit first",
                "target_database: expected a name that Timestream can have: 1 to 256 letters, digits, \
                 '_', '.' and '-'",
                "missing field `target_table`",
                "schedule_ms: expected milliseconds, 100 to 86400000 (a day)",
                "config: unknown field `row`, expected one of `rows`, `fail`, `token_ref`, `step_ms`",
            ]
        );
        let cases = [
            (with("type", json!("hunter2")), "type: expected one of echo"),
            (with("type", Value::Null), "missing field `type`"),
            (with("type", json!(["hunter2"])), "type: expected a string"),
            (with("name", json!(4_711)), "name: expected a string"),
            (with("name", json!("")), "name: expected 1 to 64"),
            (with("name", json!("hunter2!")), "name: expected 1 to 64"),
            (
                with("name", json!("x".repeat(65))),
                "name: expected 1 to 64",
            ),
            (
                with("schedule_ms", json!(86_400_001)),
                "schedule_ms: expected milliseconds, 100 to 86400000 (a day)",
            ),
            (
                with("schedule_ms", json!(1_500.5)),
                "schedule_ms: expected milliseconds",
            ),
            (
                with("schedule_ms", json!("hunter2")),
                "schedule_ms: expected milliseconds",
            ),
            (
                with("config", json!("hunter2")),
                "config: expected an object",
            ),
            (json!(["hunter2"]), "expected a JSON object"),
            (json!("hunter2"), "expected a JSON object"),
        ];
        for (value, start) in cases {
            let found = errors(value);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].starts_with(start), "{found:?}");
            assert!(!found[0].contains("hunter2"), "{found:?}");
            assert!(!found[0].contains("4711"), "{found:?}");
        }
        for schedule in [json!(100), json!(86_400_000), json!(15_000.0)] {
            assert!(Definition::of(with("schedule_ms", schedule), KINDS).is_ok());
        }
        let broken = Definition::parse(b"{\"name\": }", KINDS).unwrap_err();
        assert_eq!(broken.to_string(), "expected value at line 1 column 10");
    }

    #[test]
    fn lists() {
        let list = json!([valid(), with("name", json!("b"))]).to_string();
        let read = Definition::parse_list(list.as_bytes(), KINDS).unwrap();
        assert_eq!(read.len(), 2);
        let list = json!([valid(), valid(), with("schedule_ms", json!(1)), 7]).to_string();
        let error = Definition::parse_list(list.as_bytes(), KINDS).unwrap_err();
        assert_eq!(
            error.to_string(),
            "[1].name: the name \"node-exporter-1\" is given twice; [2].schedule_ms: expected \
             milliseconds, 100 to 86400000 (a day); [3]: expected a JSON object, a connector \
             definition"
        );
        for (list, expected) in [
            (valid().to_string(), "expected a list of definitions"),
            (r#""hunter2""#.to_owned(), "expected a list of definitions"),
            ("[".to_owned(), "expected a list of definitions: EOF while"),
        ] {
            let error = Definition::parse_list(list.as_bytes(), KINDS).unwrap_err();
            assert!(error.to_string().starts_with(expected), "{error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn secrets_are_masked_unless_they_are_references() {
        let mut config = json!({
            "url": "https://me:hunter2@example.com:9090/x?hunter2",
            "key": " HTTPS://example.com/write?key=hunter2&&b=hunter2=&c=#hunter2",
            "base": "http://tok@example.com",
            "plain": "http://example.com/a@b",
            "query": "SELECT 'http://a?b=c'",
            "password": "hunter2",
            "basic_auth_pass": "",
            "bearer_token": "$env:TOKEN",
            "pin_token": 7,
            "auth": {"type": "bearer", "token_ref": "$file:x"},
            "headers": {"X-Scope-OrgID": "tenant", "Authorization": ["a", "$env:B"]},
            "metrics": ["up", 1, true, null]
        });
        mask(&mut config, false);
        assert_eq!(
            config,
            json!({
                "url": "https://me:***@example.com:9090/x?***",
                "key": " HTTPS://example.com/write?key=***&&b=***&c=***",
                "base": "http://:***@example.com",
                "plain": "http://example.com/a@b",
                "query": "SELECT 'http://a?b=c'",
                "password": "***",
                "basic_auth_pass": "",
                "bearer_token": "$env:TOKEN",
                "pin_token": "***",
                "auth": {"type": "bearer", "token_ref": "$file:x"},
                "headers": {"X-Scope-OrgID": "***", "Authorization": ["***", "$env:B"]},
                "metrics": ["up", 1, true, null]
            })
        );
    }

    /// The examples of RFC 7396, appendix A, whose original and patch are objects, and masks.
    #[test]
    fn merge_patches() {
        let cases = [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (
                json!({"a":"b","b":"c"}),
                json!({"a":null}),
                json!({"b":"c"}),
            ),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]})),
            (
                json!({"a":{"b":"c"}}),
                json!({"a":{"b":"d","c":null}}),
                json!({"a":{"b":"d"}}),
            ),
            (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (
                json!({}),
                json!({"a":{"bb":{"ccc":null}}}),
                json!({"a":{"bb":{}}}),
            ),
            (
                json!({"config":{"password":"hunter2","url":"http://a:b@c/?key=x"}}),
                json!({"config":{"password":"***","url":"http://a:***@c/?key=***"}}),
                json!({"config":{"password":"hunter2","url":"http://a:b@c/?key=x"}}),
            ),
        ];
        for (source, patch, expected) in cases {
            let (Value::Object(source), Value::Object(patch)) = (source, patch) else {
                panic!("both are objects");
            };
            assert_eq!(Value::Object(patched(&source, patch)), expected);
        }
    }
}
