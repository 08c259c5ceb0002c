//! The exporters of OpenTelemetry for JavaScript.

use std::process::Command;

use super::pair::Pair;
use crate::tools;

#[tokio::test(flavor = "multi_thread")]
async fn the_exporters_for_javascript_export_to_both() {
    let pair = Pair::start(&[]).await;
    let mut command = Command::new("node");
    command.current_dir(tools::javascript().await);
    let output = command.arg("export.js").args(pair.destinations()).output();
    let output = output.unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{text}");
    let (series, _) = tokio::task::block_in_place(|| pair.assert_equal());
    println!("{} series", series.len());
    for encoding in ["json", "protobuf"] {
        let job = format!(r#""job":"{encoding}""#);
        let count = series.iter().filter(|it| it.contains(&job)).count();
        assert!(count > 20, "{encoding}: {series:#?}");
    }
}
