//! The configurations and documents of JSON on the pages, judged by the programs that read them.

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use saphyr::{LoadableYamlNode, Yaml};
use serde_json::{Value, json};
use tempfile::TempDir;
use timestream_prometheus_connector::jobs::definition::{Definition, KINDS};
use tokio::process::Command;

use crate::blocks::{Block, all};
use crate::moto::Moto;
use crate::tools::{aws, failure, obtained, root};

/// Files that configurations name.
const TOKENS: [&str; 4] = [
    "connector.token",
    "connector-read.token",
    "connector-write.token",
    "connector.password",
];

/// Configurations of Prometheus beside the pages.
const WHOLE_FILES: [&str; 3] = [
    "docs/compose/prometheus.yml",
    "docs/prometheus/multi-destination.yml",
    "docs/prometheus/simple.yml",
];

/// Returns the blocks of a kind, which exist.
fn of_kind(kind: &str) -> Vec<Block> {
    let found: Vec<Block> = all().into_iter().filter(|block| block.is(kind)).collect();
    assert!(!found.is_empty(), "no block is marked '{kind}'");
    found
}

/// Makes the files that stand for those in `/etc/prometheus`.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &[u8]| std::fs::write(folder.path().join(name), text).unwrap();
    for name in TOKENS {
        write(name, b"secret");
    }
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::new(["connector.example".to_owned()]).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = parameters.self_signed(&key).unwrap();
    for name in [
        "connector-ca.crt",
        "client.crt",
        "server.crt",
        "clients-ca.crt",
    ] {
        write(name, certificate.pem().as_bytes());
    }
    for name in ["client.key", "server.key"] {
        write(name, key.serialize_pem().as_bytes());
    }
    let rules = std::fs::read(root().join("docs/prometheus/alerts.yml")).unwrap();
    for name in ["rules.yml", "alerts.yml"] {
        write(name, &rules);
    }
    folder
}

/// Returns the whole configurations in the repository, as blocks.
fn whole_files() -> Vec<Block> {
    let block = |page: &str| Block {
        page: page.to_owned(),
        text: std::fs::read_to_string(root().join(page)).unwrap(),
        ..Block::default()
    };
    WHOLE_FILES.map(block).into()
}

/// Writes a block into a file of the folder.
fn written(block: &Block, folder: &TempDir) -> std::path::PathBuf {
    let here = format!("{}/", folder.path().display());
    let file = folder.path().join("block.yml");
    std::fs::write(&file, block.text.replace("/etc/prometheus/", &here)).unwrap();
    file
}

fn assert_none(errors: &[String]) {
    assert!(errors.is_empty(), "\n{}", errors.join("\n"));
}

#[tokio::test]
async fn promtool_accepts_configurations_and_rules() {
    let promtool = obtained("prometheus.sh", "promtool").await;
    let folder = folder();
    let mut errors = Vec::new();
    for (kind, check) in [("prometheus", "config"), ("rules", "rules")] {
        let blocks = match kind {
            "rules" => all().into_iter().filter(|it| it.is(kind)).collect(),
            _ => [of_kind(kind), whole_files()].concat(),
        };
        for block in blocks {
            let mut command = Command::new(&promtool);
            command.args(["check", check]).arg(written(&block, &folder));
            let failure = failure(&mut command).await;
            errors.extend(failure.map(|text| format!("{}: {text}", block.place())));
        }
    }
    assert_none(&errors);
}

#[tokio::test]
async fn the_program_accepts_files_of_web_configuration() {
    let folder = folder();
    let mut errors = Vec::new();
    for block in of_kind("web config") {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bootstrap"));
        command
            .args([
                "--default-database=d",
                "--default-table=t",
                "--check-config",
            ])
            .arg(format!(
                "--web.config.file={}",
                written(&block, &folder).display()
            ));
        let failure = failure(&mut command).await;
        errors.extend(failure.map(|text| format!("{}: {text}", block.place())));
    }
    assert_none(&errors);
}

#[test]
fn yaml_and_json_can_be_read() {
    for block in all() {
        match &*block.language {
            "yaml" => {
                let read = Yaml::load_from_str(&block.text);
                assert!(read.is_ok(), "{}: {read:?}", block.place());
            }
            // A fragment is one of an object.
            "json" if !block.is("source") => {
                let values = serde_json::Deserializer::from_str(&block.text).into_iter::<Value>();
                for value in values {
                    assert!(value.is_ok(), "{}: {value:?}", block.place());
                }
            }
            _ => {}
        }
    }
}

/// Returns the errors of a definition, or of each in a list.
fn definition_errors(value: Value) -> Vec<String> {
    let definitions = match value {
        Value::Array(list) => list,
        one => vec![one],
    };
    let parsed = definitions
        .iter()
        .map(|it| Definition::parse(it.to_string().as_bytes(), KINDS));
    parsed
        .filter_map(|it| Some(format!("{:?}", it.err()?)))
        .collect()
}

#[test]
fn the_program_accepts_definitions_and_sources() {
    let mut errors = Vec::new();
    let mut add = |block: &Block, found: Vec<String>| {
        errors.extend(
            found
                .iter()
                .map(|error| format!("{}: {error}", block.place())),
        );
    };
    for block in of_kind("definition") {
        let value = serde_json::from_str(&block.text).unwrap();
        add(&block, definition_errors(value));
    }
    for block in of_kind("source") {
        let fragment: Value = serde_json::from_str(&format!("{{{}}}", block.text)).unwrap();
        let mut definition =
            json!({"name": "s", "type": "prometheus_sink", "config": {"url": "http://r/"}});
        definition["config"]["source"] = fragment["source"].clone();
        // A query needs the names of its columns.
        if fragment["source"].get("query").is_some() {
            for (key, column) in [
                ("key_label", "labels"),
                ("key_value", "value"),
                ("key_timestamp", "time"),
            ] {
                definition["config"][key] = column.into();
            }
        }
        add(&block, definition_errors(definition));
    }
    assert_none(&errors);
    // A definition that is wrong is found.
    let wrong = json!([{"name": "s", "type": "prometheus_sink", "config": {}}]);
    assert_eq!(definition_errors(wrong).len(), 1);
}

#[tokio::test]
async fn iam_accepts_policies() {
    let (moto, aws) = (Moto::start().await, aws().await);
    let mut errors = Vec::new();
    for (index, block) in of_kind("policy").into_iter().enumerate() {
        let mut policy: Value = serde_json::from_str(&block.text).unwrap();
        if policy.get("Statement").is_none() {
            policy = json!({"Version": "2012-10-17", "Statement": [policy]});
        }
        let mut command = Command::new(&aws);
        command
            .args([
                "iam",
                "create-policy",
                "--policy-name",
                &format!("p{index}"),
            ])
            .args(["--policy-document", &policy.to_string()])
            .env("AWS_ENDPOINT_URL", &moto.url)
            .env("AWS_ACCESS_KEY_ID", "local")
            .env("AWS_SECRET_ACCESS_KEY", "local")
            .env("AWS_DEFAULT_REGION", "eu-west-1");
        let failure = failure(&mut command).await;
        errors.extend(failure.map(|text| format!("{}: {text}", block.place())));
    }
    assert_none(&errors);
}
