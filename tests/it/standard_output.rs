//! Commands whose output cannot be written: they end with a status, and none panics.

use std::fs::{File, OpenOptions};
use std::process::Stdio;

use crate::standalone::{DEFAULTS, command};
use crate::support::{start_emulator, table};

fn full() -> File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

/// Returns the status and the errors of a command with this output.
async fn run(flags: &[&str], url: &str, output: impl Into<Stdio>) -> (Option<i32>, String) {
    let mut command = command(flags);
    command
        .env("AWS_ENDPOINT_URL", url)
        .env("AWS_ACCESS_KEY_ID", "local")
        .env("AWS_SECRET_ACCESS_KEY", "local")
        .stdout(output);
    let output = command.spawn().unwrap().wait_with_output().await.unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[tokio::test]
async fn output_that_cannot_be_written_is_an_error_and_a_reader_that_leaves_is_none() {
    let emulator = start_emulator(vec![table("db", "t"), table("db", "metrics")]).await;
    let url = emulator.url();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (letters, exposed, job) = (path("letters"), path("exposed"), path("job.json"));
    std::fs::create_dir(&letters).unwrap();
    std::fs::write(&exposed, "up 1\n").unwrap();
    let definition = r#"{"name": "a", "type": "prometheus", "target_database": "db",
        "target_table": "t", "config": {"endpoint": "http://127.0.0.1:1/metrics"}}"#;
    std::fs::write(&job, definition).unwrap();
    let exposition = format!("--from-exposition={exposed}");
    // The status is that of the command, if its reader has left.
    let cases: [(&[&str], i32); 8] = [
        (&["doctor"], 0),
        (&["doctor", "--json"], 0),
        (&["--check-config"], 0),
        (&["replay", &letters], 0),
        (&["run", &job], 1),
        (&["completions", "bash"], 0),
        (&["man"], 0),
        (&["estimate", &exposition], 0),
    ];
    for (arguments, status) in cases {
        let takes_options = !matches!(arguments[0], "completions" | "man" | "estimate");
        let options: &[&str] = if takes_options { &DEFAULTS } else { &[] };
        let arguments = [arguments, options].concat();
        let (found, errors) = run(&arguments, &url, full()).await;
        assert_eq!(found, Some(1), "{arguments:?}: {errors}");
        let text = "Cannot write to standard output";
        assert!(errors.contains(text), "{arguments:?}: {errors}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let (found, errors) = run(&arguments, &url, writer).await;
        assert_eq!(found, Some(status), "{arguments:?}: {errors}");
        assert!(!errors.contains("panicked"), "{errors}");
        assert!(!errors.contains(text), "{errors}");
    }
}

#[tokio::test]
async fn errors_that_cannot_be_written_leave_the_status() {
    for (flags, status) in [(&["--region=eu west"][..], 2), (&["run", "/nosuch"], 2)] {
        let mut command = command(&[&DEFAULTS[..], flags].concat());
        if flags[0] == "run" {
            command = self::command(&[flags, &DEFAULTS].concat());
        }
        let ended = command.stderr(full()).status().await.unwrap();
        assert_eq!(ended.code(), Some(status), "{flags:?}");
    }
}
