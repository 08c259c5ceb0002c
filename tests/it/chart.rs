//! The Helm chart and the files of `deploy/systemd` agree with the program.

use std::collections::BTreeSet;

use serde_json::Value;
use timestream_prometheus_connector::config::options::OPTIONS;

const CHART: &str = include_str!("../../deploy/helm/timestream-prometheus-connector/Chart.yaml");
const VALUES: &str = include_str!("../../deploy/helm/timestream-prometheus-connector/values.yaml");
const SCHEMA: &str =
    include_str!("../../deploy/helm/timestream-prometheus-connector/values.schema.json");
const README: &str = include_str!("../../deploy/helm/timestream-prometheus-connector/README.md");
const EVERYTHING: &str = include_str!("../../deploy/helm/examples/everything.yaml");
const VARIABLES: &str = include_str!("../../deploy/systemd/connector.env");

/// One value of the chart.
#[derive(Debug)]
struct ChartValue {
    key: String,
    /// The line of the value, empty if it is a map of several.
    default: &'static str,
    meaning: &'static str,
}

/// Returns the values by their comments, each in the line before its value; a group has none.
fn chart_values() -> Vec<ChartValue> {
    let mut values = Vec::new();
    let mut group = "";
    let mut meaning = None;
    let mut lines = VALUES.lines().peekable();
    while let Some(line) = lines.next() {
        let text = line.trim_start();
        if let Some(text) = text.strip_prefix("# -- ") {
            meaning = Some(text);
            continue;
        }
        let indent = line.len() - text.len();
        let Some((name, value)) = text.split_once(':').filter(|_| !text.starts_with('#')) else {
            continue;
        };
        if indent == 0 && meaning.is_none() {
            assert!(value.is_empty(), "{line} has no description");
            group = name;
            continue;
        }
        let key = match indent {
            0 => name.to_owned(),
            _ => format!("{group}.{name}"),
        };
        let mut default = value.trim();
        // The lines of a map.
        while lines
            .next_if(|it| it.len() - it.trim_start().len() > indent)
            .is_some()
        {
            default = "";
        }
        let meaning = meaning.take();
        let meaning = meaning.unwrap_or_else(|| panic!("{key} has no description"));
        values.push(ChartValue {
            key,
            default,
            meaning,
        });
    }
    values
}

#[test]
fn the_table_of_the_chart_has_its_values() {
    let values = chart_values();
    assert!(values.len() > 60, "{}", values.len());
    let rows = values.iter().map(|it| {
        let ChartValue {
            key,
            default,
            meaning,
        } = it;
        match *default {
            "" => format!("| `{key}` | in values.yaml | {meaning} |\n"),
            default => format!("| `{key}` | `{default}` | {meaning} |\n"),
        }
    });
    let expected: String = rows.collect();
    let (_, table) = README.split_once("|---|---|---|\n").unwrap();
    assert_eq!(table, expected, "put these rows into the page:\n{expected}");
}

/// Returns the keys of the schema, those of its objects with a dot.
fn keys_of_schema() -> BTreeSet<String> {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let mut keys = BTreeSet::new();
    for (name, value) in schema["properties"].as_object().unwrap() {
        match value["properties"].as_object() {
            Some(parts) if name != "config" => {
                assert_eq!(value["additionalProperties"], false, "{name}");
                keys.extend(parts.keys().map(|part| format!("{name}.{part}")));
            }
            _ => drop(keys.insert(name.clone())),
        }
    }
    keys
}

#[test]
fn the_schema_has_every_value_and_every_option() {
    let mut expected: BTreeSet<String> = chart_values().into_iter().map(|it| it.key).collect();
    // Of charts that contain this one.
    expected.insert("global".to_owned());
    assert_eq!(keys_of_schema(), expected);

    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    assert_eq!(schema["additionalProperties"], false);
    let config = &schema["properties"]["config"];
    assert_eq!(config["additionalProperties"], false);
    let known = config["properties"].as_object().unwrap();
    let known: BTreeSet<&str> = known.keys().map(String::as_str).collect();
    let variables = OPTIONS.iter().map(|option| option.variable);
    let variables = variables.filter(|it| !is_secret(it)).collect();
    assert_eq!(known, variables);
}

/// Returns true for the options that the chart takes from a Secret alone.
fn is_secret(variable: &str) -> bool {
    variable.ends_with("bearer_token") || variable == "basic_auth_users"
}

/// Returns the lines of a group.
fn section<'t>(text: &'t str, group: &str) -> &'t str {
    let (_, rest) = text.split_once(&format!("\n{group}:\n")).unwrap();
    let end = rest.match_indices('\n').find(|(at, _)| {
        let next = &rest[at + 1..];
        !next.starts_with(' ')
    });
    end.map_or(rest, |(at, _)| &rest[..at])
}

#[test]
fn the_example_of_every_value_has_each_with_another_one() {
    for ChartValue { key, default, .. } in chart_values() {
        // Those that cannot differ if everything is on.
        if ["podDisruptionBudget.enabled", "jobs.definitions"].contains(&&*key) {
            continue;
        }
        let (group, name) = key.split_once('.').unwrap_or(("", &key));
        let (section, indent) = match group {
            "" => (EVERYTHING, ""),
            group => (section(EVERYTHING, group), "  "),
        };
        let start = format!("{indent}{name}:");
        let line = section.lines().find_map(|line| line.strip_prefix(&start));
        let line = line.unwrap_or_else(|| panic!("no {key}")).trim();
        assert!(line.is_empty() || line != default, "{key} is {line}");
    }
}

#[test]
fn the_chart_deploys_this_version() {
    let version = format!("appVersion: {}\n", env!("CARGO_PKG_VERSION"));
    assert!(CHART.contains(&version), "no {version}");
    for file in ["deployment.yaml", "service.yaml"] {
        let path = format!("{}/deploy/kubernetes/{file}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let version = format!("version: \"{}\"", env!("CARGO_PKG_VERSION"));
        assert!(text.contains(&version), "{file}: run make manifests");
    }
}

#[test]
fn the_page_has_the_values_of_the_manifests() {
    let page = include_str!("../../docs/servers.md");
    let values = include_str!("../../deploy/helm/examples/manifests.yaml");
    let (_, values) = values.split_once('\n').unwrap();
    assert!(page.contains(&format!("```yaml\n{values}```")), "{values}");
}

#[test]
fn the_variables_of_the_service_are_options() {
    let lines = VARIABLES.lines().filter(|line| !line.is_empty());
    let lines = lines.filter(|line| !line.starts_with("# ") && *line != "#");
    let lines = lines.filter(|line| !line.starts_with("#  "));
    let mut count = 0;
    for line in lines {
        let (name, _) = line.trim_start_matches('#').split_once('=').unwrap();
        let is_option = OPTIONS.iter().any(|option| option.variable == name);
        assert!(is_option || name.starts_with("AWS_"), "{line}");
        count += 1;
    }
    assert!(count > 8, "{count}");
}
