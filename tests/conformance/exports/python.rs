//! The OpenTelemetry SDK for Python: its messages in protobuf, and what it exports.

use std::io::Write;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::pair::Pair;
use crate::tools;

/// Encodes requests that are JSON in protobuf.
pub(super) async fn protobuf(requests: &[&str]) -> Vec<Vec<u8>> {
    let mut process = Command::new(tools::python("otlp").await)
        .args(["-c", include_str!("protobuf.py")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = process.stdin.take().unwrap();
    let lines = requests.join("\n") + "\n";
    // Its output may have to be read before it reads everything.
    let written = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = process.wait_with_output().unwrap();
    written.join().unwrap().unwrap();
    assert!(output.status.success(), "see above");
    let text = String::from_utf8(output.stdout).unwrap();
    let messages: Vec<_> = text
        .lines()
        .map(|it| STANDARD.decode(it).unwrap())
        .collect();
    assert_eq!(messages.len(), requests.len());
    messages
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sdk_for_python_exports_to_both() {
    let python = tools::python("otlp").await;
    for settings in [
        vec![],
        vec![("convert_histograms_to_nhcb", "true".to_owned())],
    ] {
        let pair = Pair::start(&settings).await;
        let mut command = Command::new(&python);
        command.args(["-c", include_str!("sdk.py")]);
        let output = command.args(pair.destinations()).output().unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(output.status.success(), "{text}");
        let (series, exemplars) = tokio::task::block_in_place(|| pair.assert_equal());
        println!("{} series and {exemplars} exemplars", series.len());
        assert!(
            series.len() > 20 && exemplars > 30,
            "{series:?} {exemplars}"
        );
    }
}
