//! `docs/grafana.md` and the example dashboard agree with the program.

use std::collections::BTreeSet;
use std::path::Path;

use http::StatusCode;
use prom_wire::prompb::{Sample, TimeSeries};
use saphyr::{LoadableYamlNode, Yaml};
use serde_json::Value;

use crate::support::{START_MS, TestApp, now_ms, series};

const DOCUMENT: &str = include_str!("../../docs/grafana.md");
const DASHBOARD: &str = include_str!("../../docs/grafana/node-exporter.json");
const EXPORTER: &str = include_str!("../data/exporters/node_exporter.txt");

/// Returns the blocks of YAML in the document, without their indentation in lists.
fn yaml_blocks() -> Vec<String> {
    let blocks = DOCUMENT.split("```yaml\n").skip(1);
    let blocks = blocks.map(|rest| rest.split_once("```").expect("a block ends").0);
    let unindented = |block: &str| {
        let indent = block.len() - block.trim_start().len();
        let lines = block
            .lines()
            .map(|line| line.get(indent..).unwrap_or_default());
        lines.collect::<Vec<_>>().join("\n")
    };
    blocks.map(unindented).collect()
}

#[test]
fn the_provisioning_files_are_valid_and_name_no_secret() {
    let blocks = yaml_blocks();
    assert_eq!(blocks.len(), 3);
    let sources: Vec<Yaml<'_>> = blocks[..2]
        .iter()
        .map(|block| Yaml::load_from_str(block).unwrap().remove(0))
        .collect();
    for file in &sources {
        assert_eq!(file["apiVersion"].as_integer(), Some(1));
        let list = file["datasources"].as_sequence().unwrap();
        assert_eq!(list.len(), 1);
        let source = &list[0];
        assert_eq!(source["type"].as_str(), Some("prometheus"));
        assert_eq!(source["access"].as_str(), Some("proxy"));
        assert!(source["url"].as_str().unwrap().starts_with("https://"));
        let json = &source["jsonData"];
        assert_eq!(json["httpMethod"].as_str(), Some("POST"));
        assert_eq!(json["manageAlerts"].as_bool(), Some(false));
        assert!(json["timeout"].as_integer().is_some());
        let secrets = source["secureJsonData"].as_mapping().unwrap();
        for (name, value) in secrets {
            let value = value.as_str().unwrap();
            let value = value.strip_prefix("Bearer ").unwrap_or(value);
            assert!(value.starts_with('$'), "{name:?}");
        }
    }
    let source = &sources[0]["datasources"][0];
    assert_eq!(
        source["jsonData"]["httpHeaderName1"].as_str(),
        Some("Authorization")
    );
    let header = source["secureJsonData"]["httpHeaderValue1"].as_str();
    assert!(header.unwrap().starts_with("Bearer $"));
    let source = &sources[1]["datasources"][0];
    assert_eq!(source["basicAuth"].as_bool(), Some(true));
    assert!(source["basicAuthUser"].as_str().is_some());
    assert!(
        source["secureJsonData"]["basicAuthPassword"]
            .as_str()
            .is_some()
    );
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn prometheus_accepts_the_configuration_of_a_rule_evaluator() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = yaml_blocks().remove(2);
    for file in ["connector-read.token", "connector-write.token", "rules.yml"] {
        let path = folder.path().join(file);
        std::fs::write(
            &path,
            if file == "rules.yml" {
                "groups: []"
            } else {
                "t0ken"
            },
        )
        .unwrap();
        let named = format!("/etc/prometheus/{file}");
        assert!(config.contains(&named), "{named}");
        config = config.replace(&named, path.to_str().unwrap());
    }
    let path = folder.path().join("prometheus.yml");
    std::fs::write(&path, config).unwrap();
    let output = tokio::process::Command::new(crate::prometheus::program("promtool").await)
        .args(["check", "config"])
        .arg(&path)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{said}");
}

/// Returns all sources of the program, with texts that go on over several lines joined.
fn sources(folder: &Path, all: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|it| it == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let mut parts = text.split("\\\n");
            all.push_str(parts.next().unwrap_or_default());
            parts.for_each(|part| all.push_str(part.trim_start()));
        }
    }
}

#[test]
fn the_texts_to_look_up_are_those_of_the_program() {
    let mut program = String::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["src", "crates/promql/src"] {
        sources(&root.join(folder), &mut program);
    }
    let (_, section) = DOCUMENT.split_once("## Troubleshooting\n").unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    // Those in braces are of the gateway.
    let texts = rows.map(|row| row.split('`').nth(1).unwrap());
    let texts: Vec<&str> = texts.filter(|text| !text.starts_with('{')).collect();
    assert!(texts.len() > 10, "{texts:?}");
    for text in texts {
        assert!(program.contains(text), "{text}");
    }
}

#[test]
fn the_costs_follow_the_formula() {
    // A TCU-hour, and the hours of a month.
    let (price, hours) = (0.518, 730.0);
    let half_minute = 4.0 * 30.0 / 3600.0 * price;
    assert!(DOCUMENT.contains(&format!("${half_minute:.4}")));
    let dollars = |amount: f64| match amount {
        amount if amount >= 1_000.0 => {
            format!("${},{:03.0}", amount as u64 / 1_000, amount % 1_000.0)
        }
        amount => format!("${amount:.0}"),
    };
    let (_, section) = DOCUMENT.split_once("## What queries cost\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let rows: Vec<Vec<&str>> = section
        .lines()
        .filter(|line| line.starts_with("| "))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .skip(1)
        .collect();
    let mut checked = 0;
    for row in &rows {
        let Ok(per_hour) = row[1].parse::<f64>() else {
            continue;
        };
        let hours = match row[0].contains("working hours") || row[0].starts_with("the same") {
            true => 176.0,
            false => hours,
        };
        let expected = dollars(per_hour * hours * half_minute);
        assert_eq!(row[2].trim_matches('*'), expected, "{row:?}");
        checked += 1;
    }
    assert_eq!(checked, 8);
}

#[tokio::test]
async fn an_alert_sends_the_statements_that_its_cost_is_computed_from() {
    assert!(DOCUMENT.contains("An evaluation sends two statements for each different selector"));
    let app = TestApp::start().await;
    let now = now_ms();
    let all = ["errors_total", "requests_total"].map(|name| {
        let labels = [("__name__", name), ("job", "a")];
        series(&labels, &[(now - 90_000, 1.0), (now - 30_000, 2.0)])
    });
    app.write_ok(all.to_vec()).await;
    let query =
        "rate(errors_total[5m]) / rate(requests_total[5m]) > 0 and rate(errors_total[5m]) > 0";
    let query: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
    let mut statements = Vec::new();
    for i in 0..3 {
        let name = "timestream_connector_query_statements_total";
        let before = app.metric(name).await;
        let time = now / 1_000 + i;
        let path = format!("/api/v1/query?query={query}&time={time}");
        let response = app.get(&path).await;
        assert!(
            response.text().contains(r#""job":"a""#),
            "{}",
            response.text()
        );
        statements.push(app.metric(name).await - before);
    }
    // Two different selectors; the first time their columns are not known yet.
    assert_eq!(statements[1..], [4.0, 4.0], "{statements:?}");
    assert!(statements[0] <= 6.0, "{statements:?}");
}

/// Returns the queries of the dashboard's panels and annotations, with values for what Grafana puts in.
fn expressions(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().unwrap());
    let annotations = dashboard["annotations"]["list"].as_array().unwrap();
    let all = targets.chain(annotations).map(|query| {
        assert_eq!(query["datasource"]["uid"], "${datasource}", "{query}");
        query["expr"].as_str().unwrap()
    });
    let replaced = all.map(|expression| {
        let variables = [
            ("$__rate_interval", "2m"),
            ("$job", ".+"),
            ("$instance", "a|b"),
        ];
        let put_in = |text: String, (name, value): (&str, &str)| text.replace(name, value);
        let expression = variables.into_iter().fold(expression.to_owned(), put_in);
        assert!(
            !expression.replace("\"$", "").contains("$_"),
            "{expression}"
        );
        expression
    });
    replaced.collect()
}

/// Returns the samples of a node exporter at several times, as two instances send them.
fn samples() -> Vec<TimeSeries> {
    let mut all = Vec::new();
    let kept = [
        "node_cpu",
        "node_memory",
        "node_filesystem",
        "node_disk",
        "node_network",
        "node_load",
    ];
    let kept = |name: &str| {
        let others = ["node_boot_time", "node_filefd", "node_procs", "node_uname"];
        kept.iter()
            .chain(&others)
            .any(|prefix| name.starts_with(prefix))
    };
    for line in EXPORTER
        .lines()
        .filter(|line| !line.starts_with('#') && kept(line))
    {
        let (name, value) = line.rsplit_once(' ').unwrap();
        let value: f64 = value.parse().unwrap();
        let (name, labels) = name.split_once('{').unwrap_or((name, ""));
        let mut labels: Vec<(&str, String)> = labels
            .trim_end_matches('}')
            .split_terminator("\",")
            .map(|label| label.split_once("=\"").unwrap())
            .map(|(name, value)| (name, value.trim_end_matches('"').to_owned()))
            .collect();
        labels.push(("__name__", name.to_owned()));
        labels.push(("job", "node".to_owned()));
        for instance in ["a", "b"] {
            let mut labels = labels.clone();
            labels.push(("instance", instance.to_owned()));
            let mut labels: Vec<(&str, &str)> = labels.iter().map(|(n, v)| (*n, &**v)).collect();
            labels.sort_unstable();
            let mut series = series(&labels, &[]);
            series.samples = (0..4)
                .map(|i| Sample {
                    value: value + f64::from(i),
                    timestamp: START_MS + 30_000 * i64::from(i),
                })
                .collect();
            all.push(series);
        }
    }
    let up = [("__name__", "up"), ("instance", "a"), ("job", "node")];
    all.push(series(&up, &[(START_MS + 90_000, 1.0)]));
    all
}

#[tokio::test]
async fn each_panel_of_the_dashboard_has_data_of_a_node_exporter() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!((10..=16).contains(&panels.len()));
    let ids: BTreeSet<u64> = panels.iter().map(|it| it["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    let app = TestApp::start().await;
    for part in samples().chunks(500) {
        app.write_ok(part.to_vec()).await;
    }
    let time = (START_MS + 90_000) / 1_000;
    for expression in expressions(&dashboard) {
        promql::parse(&expression, &promql::ParserOptions::default()).unwrap();
        let parameters = form_urlencoded::Serializer::new(String::new())
            .append_pair("query", &expression)
            .append_pair("time", &time.to_string())
            .finish();
        let response = app.get(&format!("/api/v1/query?{parameters}")).await;
        assert_eq!(
            response.status,
            StatusCode::OK,
            "{expression}: {}",
            response.text()
        );
        let value: Value = serde_json::from_str(&response.text()).unwrap();
        assert!(
            value["warnings"].is_null(),
            "{expression}: {}",
            value["warnings"]
        );
        let result = value["data"]["result"].as_array().unwrap();
        // Nothing fills up, and restarts are rare.
        let is_filter = expression.ends_with("< 0") || expression.ends_with("> 0");
        assert!(is_filter || !result.is_empty(), "{expression}");
    }
}
