//! No secret of a connector definition is exposed: types that hold one have no derived `Debug`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use timestream_prometheus_connector::jobs::definition::{Definition, KINDS};

/// Types that hold a possible secret and expose it by `Debug`: a definition or a state as it is
/// stored, or bytes of a file. Headers expose a value unless each is marked as sensitive, so that
/// they count as well.
const REVEALING: [&str; 4] = ["Value", "HeaderMap", "PrivateKeyDer", "HeaderValue"];

/// A type of the sources.
struct Type {
    name: String,
    derives_debug: bool,
    /// All between its braces or parentheses.
    body: String,
    file: String,
}

fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            // Tests hold no secrets of anybody.
            let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            found.push((path.display().to_string(), text.to_owned()));
        }
    }
}

/// Returns the types that a file defines, with the attributes before them.
fn types(file: &str, text: &str) -> Vec<Type> {
    let mut found = Vec::new();
    let mut attributes = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let code = line.trim_start();
        if code.starts_with("#[") || code.starts_with("///") {
            attributes += code;
            // An attribute may go over several lines.
            while attributes.matches('[').count() > attributes.matches(']').count() {
                attributes += lines.next().unwrap_or("]");
            }
            continue;
        }
        let mut words = code.split(|c: char| !(c.is_alphanumeric() || c == '_'));
        let is_type = |word: &&str| matches!(*word, "struct" | "enum");
        let is_definition =
            code.starts_with("pub") || code.starts_with("struct") || code.starts_with("enum");
        if is_definition && words.by_ref().any(|word| is_type(&word)) {
            let name = words.next().unwrap_or_default().to_owned();
            let mut body = code.to_owned();
            let is_open = |body: &str| {
                let count = |c| body.matches(c).count();
                count('{') > count('}') || count('(') > count(')')
            };
            while is_open(&body) {
                let Some(line) = lines.next() else { break };
                // Words of comments name types, too.
                body += line.split("//").next().unwrap_or_default();
                body += "\n";
            }
            let derives = attributes.split("derive(").skip(1);
            let derives_debug = derives
                .filter_map(|rest| rest.split(')').next())
                .any(|list| list.split(',').any(|it| it.trim() == "Debug"));
            found.push(Type {
                name,
                derives_debug,
                body,
                file: file.to_owned(),
            });
        }
        attributes.clear();
    }
    found
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_'))
}

#[test]
fn no_type_that_holds_a_secret_derives_debug() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    for part in ["jobs", "state"] {
        sources(&root.join(part), &mut files);
        let file = format!("{part}.rs");
        let text = fs::read_to_string(root.join(&file)).unwrap();
        files.push((file, text));
    }
    let all: Vec<Type> = files
        .iter()
        .flat_map(|(file, text)| types(file, text))
        .collect();
    let by_name: BTreeMap<&str, &Type> = all.iter().map(|it| (it.name.as_str(), it)).collect();
    // The search finds what there is.
    for (name, derives) in [
        ("Secret", false),
        ("Definition", false),
        ("Item", false),
        ("Auth", true),
        ("Outgoing", true),
        ("Settings", true),
        ("Registry", true),
    ] {
        assert_eq!(by_name[name].derives_debug, derives, "{name}");
    }
    let mut errors = Vec::new();
    for it in all.iter().filter(|it| it.derives_debug) {
        // The fields alone: a parsing function receives a value, and stores none.
        let fields = it.body.replace("fn(&Value)", "");
        if let Some(word) = words(&fields).find(|word| REVEALING.contains(word)) {
            errors.push(format!(
                "{}: {} derives Debug over {word}",
                it.file, it.name
            ));
        }
        // A secret is a `Secret`, whose `Debug` exposes nothing, not a string.
        let mut lines = fields.lines().map(str::trim);
        let is_secret = |line: &str| {
            let name = line.split(':').next().unwrap_or_default();
            ["password", "token", "secret"]
                .iter()
                .any(|it| name.contains(it))
                && words(line).any(|word| matches!(word, "String" | "str" | "Bytes" | "Vec"))
        };
        if let Some(line) = lines.find(|line| is_secret(line)) {
            errors.push(format!("{}: {} has {line}", it.file, it.name));
        }
    }
    assert_eq!(errors, [""; 0]);
    // The search does find such types.
    let planted = "/// A type.\n#[derive(\n    Clone,\n    Debug,\n)]\npub(super) struct Planted {\n    \
                   /// Some.\n    source: Map<String, Value>,\n}\n";
    let planted = types("x", planted);
    assert!(planted[0].derives_debug && words(&planted[0].body).any(|it| it == "Value"));
}

/// Definitions of all types with a plain secret wherever one can be.
fn definitions() -> Vec<Value> {
    let with = |kind: &str, config: Value| {
        json!({
            "name": "x", "type": kind, "target_database": "db", "target_table": "t", "config": config,
        })
    };
    vec![
        with(
            "prometheus",
            json!({"endpoint": "http://a/metrics", "headers": {"X-Api-Key": "hunter2"}}),
        ),
        with(
            "prometheus_api",
            json!({
                "prometheus_url": "http://a", "username": "u", "password": "hunter2",
                "headers": {"X-Api-Key": "hunter2"},
            }),
        ),
        with(
            "prometheus_api",
            json!({"prometheus_url": "http://a", "bearer_token": "hunter2"}),
        ),
        with(
            "prometheus_sink",
            json!({
                "url": "http://a/write", "key_label": "l", "key_value": "v",
                "headers": {"X-Api-Key": "hunter2", "token": "hunter2"},
            }),
        ),
    ]
}

#[test]
fn a_definition_shows_its_secrets_neither_by_debug_nor_to_others() {
    for value in definitions() {
        assert!(value.to_string().contains("hunter2"));
        let definition = Definition::of(value, KINDS).unwrap();
        let shown = format!("{definition:?} {definition:#?}");
        assert!(
            shown.contains("\"x\"") && !shown.contains("hunter2"),
            "{shown}"
        );
        let masked = Value::Object(definition.masked()).to_string();
        assert!(
            masked.contains("***") && !masked.contains("hunter2"),
            "{masked}"
        );
    }
}

/// No error repeats the value of a key, whatever it is.
#[test]
fn no_error_of_a_definition_repeats_a_value() {
    let wrong = [
        json!("hunter2"),
        json!("hunter2\n"),
        json!("http://u:hunter2@a/"),
        json!("$env:hunter2 "),
        json!("$file:/hunter2"),
        json!(4_711_471_147_114_711_u64),
        json!(-4_711_471_147_114_711_i64),
        json!(4_711_471_147.114_711),
        json!(["hunter2"]),
        json!([4_711_471_147_114_711_u64]),
        json!({"type": "hunter2", "token_ref": "hunter2", "metrics": "hunter2"}),
        json!({"type": "bearer", "token_ref": 4_711_471_147_114_711_u64}),
        json!({"query": 4_711_471_147_114_711_u64, "start": "hunter2", "database": "hunter2 "}),
        json!([{"database": "hunter2 ", "table": "hunter2!", "start": "hunter2"}]),
        json!({"X-A": ["hunter2"], "ca_file": "../hunter2"}),
        json!({"ca_file": 4_711_471_147_114_711_u64, "server_name": "hunter2 "}),
    ];
    let keys = |text: &str| -> Vec<String> {
        let (_, list) = text.split_once("expected one of ").unwrap();
        let keys = list.split('`').skip(1).step_by(2);
        keys.map(str::to_owned).collect()
    };
    let mut count = 0;
    for kind in KINDS {
        let errors = (kind.parse)(&json!({"no_such_key": 1})).err().unwrap();
        for key in keys(&errors[0].message) {
            for value in &wrong {
                let config = json!({key.as_str(): value});
                let definition = json!({
                    "name": "x", "type": kind.name, "target_database": "db", "target_table": "t",
                    "config": config,
                });
                let Err(errors) = Definition::of(definition, KINDS) else {
                    continue;
                };
                count += 1;
                let text = errors.to_string().replace("$env:hunter2 ", "");
                assert!(
                    !text.contains("hunter2") && !text.contains("4711"),
                    "{key}: {value}: {text}"
                );
            }
        }
    }
    for key in [
        "name",
        "type",
        "target_database",
        "target_table",
        "schedule_ms",
        "config",
    ] {
        for value in &wrong {
            let mut definition = json!({
                "name": "x", "type": "prometheus", "target_database": "db", "target_table": "t",
                "config": {"endpoint": "http://a"},
            });
            definition[key] = value.clone();
            if let Err(errors) = Definition::of(definition, KINDS) {
                count += 1;
                let text = errors.to_string();
                assert!(
                    !text.contains("hunter2") && !text.contains("4711"),
                    "{key}: {value}: {text}"
                );
            }
        }
    }
    assert!(count > 300, "{count}");
}
