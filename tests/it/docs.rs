//! The documentation agrees with the program.

use saphyr::{LoadableYamlNode, Yaml};
use serde_json::{Value, json};
use timestream_prometheus_connector::config::options::{OPTIONS, OptionSpec};
use timestream_prometheus_connector::config::{Invocation, read};
use timestream_prometheus_connector::fields::FieldErrors;
use timestream_prometheus_connector::jobs::definition::{Definition, KINDS};
use timestream_prometheus_connector::jobs::job::Job;
use timestream_prometheus_connector::jobs::kinds::{scrape, sink, sync};

#[test]
fn the_option_tables_are_those_of_the_program() {
    let page = include_str!("../../docs/configuration.md");
    let (_, rest) = page
        .split_once("<!-- options: held equal to the program by a test -->\n")
        .unwrap();
    let (tables, _) = rest.split_once("<!-- /options -->").unwrap();
    let subjects = OPTIONS.chunk_by(|a, b| a.subject == b.subject);
    let table = |options: &[OptionSpec]| {
        let rows = options.iter().map(|option| {
            let default = match option.default {
                "" => "none".to_owned(),
                default => format!("`{default}`"),
            };
            format!(
                "| `--{}` | `{}` | {default} | {} |\n",
                option.flag, option.variable, option.help
            )
        });
        format!(
            "### {}\n\n| flag | variable | default | meaning |\n|---|---|---|---|\n{}",
            options[0].subject,
            rows.collect::<String>()
        )
    };
    let expected = subjects.map(table).collect::<Vec<_>>().join("\n");
    assert_eq!(
        tables, expected,
        "put these tables into the page:\n{expected}"
    );
}

/// Returns the blocks of JSON in a document.
fn json_blocks(text: &str) -> Vec<&str> {
    let blocks = text.split("```json\n").skip(1);
    blocks
        .map(|rest| rest.split_once("```").expect("a block ends").0)
        .collect()
}

/// Checks that each definition in a text, or in the list of them, is one that the program accepts.
fn assert_definitions(json: &str) {
    let value: Value = serde_json::from_str(json).unwrap();
    let definitions = match value {
        Value::Array(list) => list,
        one => vec![one],
    };
    assert!(!definitions.is_empty());
    for definition in definitions {
        let parsed = Definition::parse(definition.to_string().as_bytes(), KINDS);
        assert!(parsed.is_ok(), "{parsed:?}");
    }
}

#[test]
fn definitions_in_files_are_accepted() {
    assert_definitions(include_str!("../../docs/compose/connectors.json"));
    let (_, rest) = include_str!("../../scripts/run.sh")
        .split_once("<<JSON\n")
        .unwrap();
    let (json, _) = rest.split_once("JSON\n").unwrap();
    assert_definitions(&json.replace("$exporter_port", "9203"));
}

/// Adds the tables that definitions in a value name, at any depth: targets and sources.
fn add_tables(value: &Value, tables: &mut Vec<String>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| add_tables(value, tables)),
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str() {
                    Some(table) if ["target_table", "table"].contains(&name.as_str()) => {
                        tables.push(table.to_owned());
                    }
                    _ => add_tables(value, tables),
                }
            }
        }
        _ => {}
    }
}

#[test]
fn nothing_shipped_writes_to_the_table_of_metadata() {
    let metadata = OPTIONS.iter().find(|it| it.variable == "metadata_table");
    let metadata = metadata.expect("the option").default;
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts = vec![include_str!("../../docs/compose/connectors.json").to_owned()];
    for folder in ["docs", "docs/connectors", "events"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let text = || std::fs::read_to_string(&path).unwrap();
            match path.extension().and_then(|it| it.to_str()) {
                Some("md") => texts.extend(json_blocks(&text()).into_iter().map(str::to_owned)),
                Some("json") => texts.push(text()),
                _ => {}
            }
        }
    }
    // Definitions within a script and within the template.
    let script = include_str!("../../scripts/run.sh");
    let template = include_str!("../../template.yaml");
    for (text, start, end) in [
        (script, "<<JSON\n", "JSON\n"),
        (template, "Input: !Sub |\n", "\n\n"),
    ] {
        for rest in text.split(start).skip(1) {
            let (json, _) = rest.split_once(end).expect("it ends");
            let json = json.replace("${ConnectorsManageTables}", "true");
            texts.push(json.replace("$exporter_port", "9203"));
        }
    }
    let mut tables = Vec::new();
    for text in texts {
        // Fragments of documents are no whole values.
        if let Ok(value) = serde_json::from_str(&text) {
            add_tables(&value, &mut tables);
        }
    }
    assert!(tables.len() > 15, "{tables:?}");
    assert!(tables.contains(&"${DefaultTable}".to_owned()), "{tables:?}");
    assert!(!tables.contains(&metadata.to_owned()), "{tables:?}");
    // The requests of the example events name theirs by labels.
    let labels = include_str!("../../events/shapes.rs");
    let named: Vec<&str> = labels
        .split("\"PrometheusTableLabel\", \"")
        .skip(1)
        .collect();
    assert_eq!(named.len(), 2);
    for rest in named {
        assert!(rest.starts_with("samples\""), "{rest:.40}");
    }
}

#[test]
fn the_keys_of_each_type_are_those_of_the_program() {
    type Parse = fn(&Value) -> Result<Box<dyn Job>, FieldErrors>;
    let types: [(&str, Parse); 3] = [
        (
            include_str!("../../docs/connectors/scrape.md"),
            scrape::parse,
        ),
        (
            include_str!("../../docs/connectors/prometheus-api.md"),
            sync::parse,
        ),
        (include_str!("../../docs/connectors/sink.md"), sink::parse),
    ];
    for (text, parse) in types {
        let (_, rest) = text.split_once("|---|---|---|\n").unwrap();
        let (table, _) = rest.split_once("\n\n").unwrap();
        // A row may have several keys.
        let cells = table.lines().map(|row| row.split(" | ").next().unwrap());
        let keys = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
        let mut documented: Vec<&str> = keys.collect();
        documented.sort_unstable();
        // serde names all keys that there are.
        let errors = parse(&json!({"no_such_key": 1})).unwrap_err();
        let (_, known) = errors[0].message.split_once("expected one of ").unwrap();
        let mut known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
        known.sort_unstable();
        assert_eq!(documented, known);
    }
}

/// Flags and variables of a service of the compose file.
fn service<'y>(compose: &'y Yaml<'y>, name: &str) -> (Vec<String>, Vec<(String, String)>) {
    let service = &compose["services"][name];
    let text = |value: &Yaml<'_>| value.as_str().expect("a text").to_owned();
    let command = service["command"].as_sequence().expect("a list");
    let variables = service
        .as_mapping()
        .and_then(|it| it.get(&Yaml::value_from_str("environment")));
    let variables = variables.and_then(Yaml::as_mapping).into_iter().flatten();
    let variables = variables.map(|(name, value)| (text(name), text(value)));
    (command.iter().map(text).collect(), variables.collect())
}

#[test]
fn the_compose_file_says_what_the_programs_understand() {
    let documents = Yaml::load_from_str(include_str!("../../docs/compose/compose.yml")).unwrap();
    let compose = &documents[0];
    let services: Vec<&str> = compose["services"]
        .as_mapping()
        .expect("services")
        .keys()
        .map(|name| name.as_str().unwrap())
        .collect();
    assert_eq!(
        services,
        ["emulator", "exporter", "connector", "prometheus"]
    );

    let (command, variables) = service(compose, "connector");
    assert_eq!(command[0], "bootstrap");
    // The file is where the compose file puts it, which is not here.
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/compose/connectors.json");
    let flags = command
        .iter()
        .map(|flag| flag.replace("/etc/connector/connectors.json", here));
    let environment = |name: &str| {
        let mut variables = variables.iter();
        variables
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.clone())
    };
    match read(flags, environment) {
        Ok(Invocation::Serve(config)) => assert_eq!(config.connectors.len(), 1),
        other => panic!("{other:?}"),
    }
    let volumes = compose["services"]["connector"]["volumes"].as_sequence();
    let volumes: Vec<_> = volumes
        .unwrap()
        .iter()
        .map(|it| it.as_str().unwrap())
        .collect();
    assert_eq!(
        volumes[0],
        "./connectors.json:/etc/connector/connectors.json:ro"
    );
    // The host name that Prometheus uses.
    let prometheus = include_str!("../../docs/compose/prometheus.yml");
    assert!(prometheus.contains("http://connector:9201/write"));
    assert!(Yaml::load_from_str(prometheus).is_ok());
    let (emulator, _) = service(compose, "emulator");
    assert!(emulator.contains(&"--listen=0.0.0.0:9202".to_owned()));
    let endpoint = environment("AWS_ENDPOINT_URL");
    assert_eq!(endpoint.as_deref(), Some("http://emulator:9202"));
    assert_eq!(service(compose, "exporter").0, ["exporter", "0.0.0.0:9203"]);
}

#[test]
fn every_queue_in_the_documents_sends_large_requests_of_few_shards() {
    let texts = [
        include_str!("../../README.md"),
        include_str!("../../scripts/deploy.sh"),
        include_str!("../../docs/deploying.md"),
        include_str!("../../deploy/helm/timestream-prometheus-connector/templates/NOTES.txt"),
        include_str!("../../docs/senders.md"),
        include_str!("../../docs/compose/prometheus.yml"),
        include_str!("../../docs/prometheus/multi-destination.yml"),
        include_str!("../../docs/prometheus/simple.yml"),
        include_str!("../../scripts/run.sh"),
    ];
    for text in texts {
        let queues: Vec<&str> = text.split("queue_config").skip(1).collect();
        assert!(!queues.is_empty(), "{text}");
        for queue in queues {
            // Alloy has `capacity = 50000`.
            let settings = queue.replace(' ', "").replace('=', ":");
            let settings = settings.split(|c: char| !c.is_alphanumeric() && !"_:".contains(c));
            let settings: Vec<&str> = settings.take(40).collect();
            for setting in [
                "capacity:50000",
                "max_shards:4",
                "max_samples_per_send:10000",
            ] {
                assert!(settings.contains(&setting), "no {setting}: {settings:?}");
            }
        }
    }
}
