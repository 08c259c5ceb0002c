//! The commands of each page run by bash, in their order, with the real programs.
//!
//! Blocks marked `run` must succeed, and a query must find something. In blocks marked `parse` programs check their
//! arguments only; `sam` never does more.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use futures_util::StreamExt;

use crate::blocks::{Block, all};
use crate::moto::Moto;
use crate::scene::{Scene, Tools};

/// Pages that run at the same time.
const AT_ONCE: usize = 2;

/// A command, the file of its output, and the output that the page shows.
struct Step {
    command: String,
    file: String,
    expected: String,
}

/// Returns the commands of a block: all of it, or each after its prompt in a block of a console.
fn steps(block: &Block) -> Vec<Step> {
    let step = |index: usize| Step {
        command: String::new(),
        file: format!("output.{}.{index}", block.line),
        expected: String::new(),
    };
    if block.language != "console" {
        return vec![Step {
            command: block.text.clone(),
            ..step(0)
        }];
    }
    let mut steps: Vec<Step> = Vec::new();
    let mut continues = false;
    for line in block.text.lines() {
        let prompted = line.strip_prefix("$ ");
        if prompted.is_some() {
            steps.push(step(steps.len()));
        }
        let last = steps.last_mut().expect("a console begins with a prompt");
        let is_command = prompted.is_some() || continues;
        let text = if is_command {
            &mut last.command
        } else {
            &mut last.expected
        };
        writeln!(text, "{}", prompted.unwrap_or(line)).unwrap();
        continues = is_command && line.ends_with('\\');
    }
    steps
}

/// Returns the script of a page.
fn script(scene: &Scene, text: &str, blocks: &[&Block]) -> String {
    let mut script = PRELUDE.to_owned();
    if text.contains("sqs:") {
        script +=
            "aws sqs create-queue --queue-name dead-letters --endpoint-url \"$AWS_ENDPOINT_URL\"\n";
    }
    if [
        "localhost:9201",
        "localhost:9000",
        "connector.example",
        "//prometheus:9090",
    ]
    .iter()
    .any(|it| text.contains(it))
    {
        script += match text.contains("TOKEN\"") {
            true => "export bearer_token=$TOKEN\n",
            false => "",
        };
        script += START;
    }
    for block in blocks {
        let mode = if block.is("run") { RUN } else { PARSE };
        writeln!(script, "{mode}export DOC_PLACE={}", block.place()).unwrap();
        for step in steps(block) {
            let command = scene.adapted(&step.command);
            write!(
                script,
                "exec >\"$DOC_FOLDER/{}\" 2>&1\n{command}\n",
                step.file
            )
            .unwrap();
        }
    }
    script
}

const PRELUDE: &str = r#"
command_not_found_handle() {
    [[ $DOC_MODE == parse ]] && return
    echo "$1: there is no such program" >&2
    return 127
}
export DOC_PLACE=start DOC_PATH="$PATH"
trap 'status=$?; echo "$DOC_PLACE" >"$DOC_FOLDER/last"; exit $status' EXIT
export DOC_MODE=run PATH="$DOC_FOLDER/programs:$DOC_PATH"
set -euo pipefail
"#;

/// Starts what `make run` starts.
const START: &str = r#"
AWS_ENDPOINT_URL_TIMESTREAM_WRITE="$DOC_LOCAL" AWS_ENDPOINT_URL_TIMESTREAM_QUERY="$DOC_LOCAL" \
    bootstrap --default-database=prometheus --default-table=samples --state-store=file:"$DOC_FOLDER/state"
unset bearer_token
"#;

const RUN: &str =
    "export DOC_MODE=run PATH=\"$DOC_FOLDER/programs:$DOC_PATH\"; set -euo pipefail\n";
const PARSE: &str =
    "export DOC_MODE=parse PATH=\"$DOC_FOLDER/programs:$DOC_FOLDER/basic\"; set +euo pipefail\n";

/// Returns the errors of a page's commands.
async fn errors(page: &str, blocks: &[&Block], tools: &Tools) -> Vec<String> {
    let is_command = |block: &&&Block| block.is("run") || block.is("parse");
    let commands: Vec<&Block> = blocks.iter().filter(is_command).copied().collect();
    if commands.is_empty() {
        return Vec::new();
    }
    let scene = Scene::new(blocks, tools).await;
    let all: String = blocks.iter().map(|it| it.text.as_str()).collect();
    let (succeeded, text) = scene.run(&script(&scene, &all, &commands)).await;
    let mut errors: Vec<String> = scene.text("failed").lines().map(str::to_owned).collect();
    if !succeeded {
        let last = scene.text("last").trim().to_owned();
        let of_last = commands.iter().find(|it| it.place() == last);
        let outputs = of_last.map(|block| steps(block)).unwrap_or_default();
        let outputs: String = outputs.iter().map(|it| scene.text(&it.file)).collect();
        errors.push(format!(
            "{page}: a command of {last} failed:\n{outputs}{text}{}",
            scene.text("server.log")
        ));
    }
    for block in commands.iter().filter(|_| succeeded) {
        for step in steps(block) {
            let output = scene.text(&step.file);
            let expected = scene.adapted(&step.expected);
            if !expected.is_empty() && output.trim() != expected.trim() {
                errors.push(format!(
                    "{}: the output is\n{output}and not\n{expected}",
                    block.place()
                ));
            }
            if output.contains("\"result\":[]") || output.contains("\"data\":[]") {
                errors.push(format!("{}: a query finds nothing", block.place()));
            }
        }
    }
    errors
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_each_page_work() {
    let moto = Moto::start().await;
    let tools = Tools::obtain(moto.url.clone()).await;
    let all = all();
    let mut pages: BTreeMap<&str, Vec<&Block>> = BTreeMap::new();
    for block in &all {
        pages.entry(&block.page).or_default().push(block);
    }
    // One page alone, while it is written.
    let only = std::env::var("PAGE").ok();
    let chosen = pages
        .into_iter()
        .filter(|(page, _)| only.as_deref().is_none_or(|it| it == *page));
    let checks = chosen.map(|(page, blocks)| {
        let tools = &tools;
        async move { errors(page, &blocks, tools).await }
    });
    let errors: Vec<Vec<String>> = futures_util::stream::iter(checks)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let errors = errors.concat();
    assert!(errors.is_empty(), "\n{}", errors.join("\n"));
}

#[test]
fn a_console_has_commands_and_their_output() {
    let block = Block {
        language: "console".to_owned(),
        text: "$ a \\\n    b\n$ c\nd\ne\n".to_owned(),
        ..Block::default()
    };
    let steps = steps(&block);
    let parts: Vec<_> = steps
        .iter()
        .map(|it| (&*it.command, &*it.expected))
        .collect();
    assert_eq!(parts, [("a \\\n    b\n", ""), ("c\n", "d\ne\n")]);
}
