//! `bootstrap completions` and `bootstrap man`, which serve the shell and the manual.

use std::process::{Command, Output};

use timestream_prometheus_connector::config::options::OPTIONS;

const PROGRAM: &str = env!("CARGO_BIN_EXE_bootstrap");

fn text(output: Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn printed(arguments: &[&str]) -> String {
    text(Command::new(PROGRAM).args(arguments).output().unwrap())
}

/// Returns the words that bash offers after a line that ends in a part of one.
fn completed(name: &str, words: &[&str]) -> Vec<String> {
    // The program is found on the PATH under this name.
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(PROGRAM, folder.path().join(name)).unwrap();
    let script = r#"PATH=$1:$PATH; source <("$2" completions bash)
        COMP_WORDS=("${@:2}"); COMP_CWORD=$(($# - 2))
        function=$(complete -p "$2" | sed 's/.*-F \([^ ]*\).*/\1/')
        "$function" "$2" "${@: -1}" "${@: -2:1}"
        printf '%s\n' "${COMPREPLY[@]}""#;
    let mut command = Command::new("bash");
    command
        .args(["-c", script, "-"])
        .arg(folder.path())
        .arg(name)
        .args(words);
    let words = text(command.output().unwrap());
    words.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_flags_and_commands_under_either_name() {
    for name in ["bootstrap", "timestream-prometheus-connector"] {
        assert_eq!(completed(name, &["--log.l"]), ["--log.level"], "{name}");
        assert_eq!(completed(name, &["heal"]), ["healthcheck"], "{name}");
        assert_eq!(
            completed(name, &["run", "--state-s"]),
            ["--state-store"],
            "{name}"
        );
    }
}

#[test]
fn every_shell_has_a_script_with_every_flag() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = printed(&["completions", shell]);
        for option in OPTIONS {
            assert!(script.contains(option.flag), "{shell}: {option}");
        }
    }
    let output = Command::new(PROGRAM)
        .args(["completions", "cmd"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(
        errors.contains("bash, elvish, fish, powershell, zsh"),
        "{errors}"
    );
}

#[test]
fn the_man_page_explains_every_option_and_command() {
    let page = printed(&["man"]);
    for option in OPTIONS {
        let flag = format!("\\-\\-{}", option.flag.replace('-', "\\-"));
        assert!(page.contains(&flag), "{option}");
        assert!(
            page.contains(&format!("[variable: {}]", option.variable)),
            "{option}"
        );
    }
    for command in [
        "replay",
        "run",
        "healthcheck",
        "estimate",
        "completions",
        "man",
    ] {
        assert!(page.contains(&format!("\n\\fB{command}\\fR")), "{command}");
    }
    // Text that begins like a request of roff would vanish.
    let requests = [".ie", ".el", ".TH", ".SH", ".TP", ".B", ".br"];
    for line in page.lines().filter(|line| line.starts_with(['.', '\''])) {
        let request = line.split(' ').next().unwrap();
        assert!(requests.contains(&request), "{line}");
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let script = r#"set -o pipefail; "$1" completions zsh | head -n 1"#;
    let mut command = Command::new("bash");
    assert_eq!(
        text(command.args(["-c", script, "-", PROGRAM]).output().unwrap()),
        "#compdef bootstrap\n"
    );
}
