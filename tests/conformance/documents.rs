//! Configurations of the documents whose judge is a Go program of others.

use tokio::process::Command;

use crate::blocks::all;
use crate::tools;

#[tokio::test]
async fn amtool_accepts_configurations_of_alertmanager() {
    let program = tools::go_tool("amtool").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("alertmanager.yml");
    let blocks = all().into_iter().filter(|block| block.is("alertmanager"));
    let mut count = 0;
    for block in blocks {
        std::fs::write(&file, &block.text).unwrap();
        let output = Command::new(&program)
            .arg("check-config")
            .arg(&file)
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "{}: {output:?}", block.place());
        count += 1;
    }
    assert!(count > 0, "no block is marked 'alertmanager'");
}
