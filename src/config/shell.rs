//! Completion scripts and the man page, made from the command line.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;

use clap::{Arg, Command};
use clap_complete::Shell;
use clap_mangen::Man;

use super::options::PROGRAM;

/// Returns the completion script of a shell, for the program under the name by which it was started.
///
/// The names of functions in the script are those of [`PROGRAM`]: of a name with hyphens, `clap_complete` makes names that do
/// not fit each other.
pub(super) fn completions(
    mut command: Command,
    shell: Shell,
    started_as: Option<&OsString>,
) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, PROGRAM, &mut script);
    let script = String::from_utf8_lossy(&script);
    let name = started_as.and_then(|path| name_of(path));
    renamed(&script, name.unwrap_or(PROGRAM))
}

/// Returns the name of a program without the ending that Windows adds. A shell runs the script, so a name that could be
/// more than a word of it is none.
fn name_of(path: &OsStr) -> Option<&str> {
    let name = Path::new(path).file_name()?.to_str()?;
    let name = name.strip_suffix(".exe").unwrap_or(name);
    let is_in_words = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '+' | '-');
    let is_word =
        name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(is_in_words);
    is_word.then_some(name)
}

/// Returns the script with another name of the program in each of its registrations.
fn renamed(script: &str, name: &str) -> String {
    let mut renamed = String::with_capacity(script.len());
    let mut end = 0;
    for (start, _) in script.match_indices(PROGRAM) {
        let (before, after) = (&script[..start], &script[start + PROGRAM.len()..]);
        let is_registration = REGISTRATIONS
            .iter()
            .any(|(head, tail)| before.ends_with(head) && after.starts_with(tail));
        if is_registration {
            renamed.push_str(&script[end..start]);
            renamed.push_str(name);
            end = start + PROGRAM.len();
        }
    }
    renamed + &script[end..]
}

/// The texts around the program's name in the scripts, in bash, zsh (twice), fish, elvish and PowerShell.
const REGISTRATIONS: [(&str, &str); 6] = [
    ("-o default ", "\n"),
    ("#compdef ", "\n"),
    ("", "\nfi"),
    ("complete -c ", " "),
    ("arg-completer[", "]"),
    ("-CommandName '", "'"),
];

/// Returns the man page, in roff.
pub(super) fn man_page(command: Command) -> String {
    let synopsis = format!(
        ".SH SYNOPSIS\n.B {PROGRAM}\n[\\fIOPTION\\fR]...\n.br\n.B {PROGRAM}\n\\fICOMMAND\\fR [\\fIOPTION\\fR]...\n"
    );
    let mut commands = String::from(".SH COMMANDS\n");
    for command in command.get_subcommands() {
        let arguments = command.get_positionals().filter_map(Arg::get_value_names);
        let arguments: Vec<_> = arguments.flatten().map(|name| name.as_str()).collect();
        commands.push_str(&format!(
            ".TP\n\\fB{}\\fR \\fI{}\\fR\n{}\n",
            command.get_name(),
            roff(&arguments.join(" ")),
            roff(&command.get_about().unwrap_or_default().to_string()),
        ));
    }
    let mut page = Vec::new();
    let man = Man::new(command);
    let mut render = || -> io::Result<()> {
        man.render_title(&mut page)?;
        man.render_name_section(&mut page)?;
        page.extend_from_slice(synopsis.as_bytes());
        man.render_description_section(&mut page)?;
        page.extend_from_slice(ENVIRONMENT.as_bytes());
        page.extend_from_slice(commands.as_bytes());
        man.render_options_section(&mut page)
    };
    render().expect("memory takes everything");
    String::from_utf8_lossy(&page).into_owned()
}

/// The remark that holds for all options.
const ENVIRONMENT: &str = ".SH ENVIRONMENT\nEach option is an environment variable, too, which its entry names; a flag \
    wins over the variable. AWS credentials come from the default chain of the AWS SDKs.\n";

/// Returns a text of one line for a page in roff.
fn roff(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

#[cfg(test)]
mod tests {
    use super::super::options::command;
    use super::*;

    const SHELLS: [Shell; 5] = [
        Shell::Bash,
        Shell::Elvish,
        Shell::Fish,
        Shell::PowerShell,
        Shell::Zsh,
    ];

    fn script(shell: Shell, started_as: &str) -> String {
        completions(command(), shell, Some(&started_as.into()))
    }

    #[test]
    fn a_name_that_is_no_word_is_not_in_a_script() {
        for shell in SHELLS {
            let expected = script(shell, PROGRAM);
            for name in [
                "$(id)", "a;id", "a b", "a'b", "a\nid", "`id`", "-rf", ".hidden", "", "/", "..",
                "b\u{fc}", ".exe",
            ] {
                assert_eq!(script(shell, name), expected, "{shell}: {name:?}");
            }
        }
    }

    fn renamed_back(script: &str, name: &str) -> String {
        REGISTRATIONS
            .iter()
            .fold(script.to_owned(), |script, (head, tail)| {
                script.replace(
                    &format!("{head}{name}{tail}"),
                    &format!("{head}{PROGRAM}{tail}"),
                )
            })
    }

    #[test]
    fn a_word_is_the_name_of_the_file_once_in_each_place() {
        for shell in SHELLS {
            let expected = script(shell, PROGRAM);
            for (path, name) in [
                ("/usr/bin/tsp-1.0+a_b", "tsp-1.0+a_b"),
                ("./connector.exe", "connector"),
                // A name that has the former one within is not replaced again.
                ("bootstrap-bootstrap", "bootstrap-bootstrap"),
                ("my-bootstrap", "my-bootstrap"),
            ] {
                let script = script(shell, path);
                assert_ne!(script, expected, "{shell}: {path}");
                let registrations = REGISTRATIONS.iter().map(|(head, tail)| {
                    let of = |name: &str, script: &str| {
                        script.matches(&format!("{head}{name}{tail}")).count()
                    };
                    (of(name, &script), of(PROGRAM, &expected))
                });
                for (renamed, before) in registrations {
                    assert_eq!(renamed, before, "{shell}: {path}");
                }
                // Nothing else has changed.
                let restored = renamed_back(&script, name);
                assert_eq!(restored, expected, "{shell}: {path}");
            }
        }
    }
}
