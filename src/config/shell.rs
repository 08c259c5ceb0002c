//! Completion scripts and the man page, made from the command line.

use std::ffi::OsString;
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
    let script = String::from_utf8_lossy(&script).into_owned();
    match started_as.and_then(|path| Path::new(path).file_stem()?.to_str()) {
        Some(name) if name != PROGRAM => {
            REGISTRATIONS.iter().fold(script, |script, registration| {
                script.replace(registration, &registration.replace(PROGRAM, name))
            })
        }
        _ => script,
    }
}

/// The places at which the scripts name the program, in bash, zsh (twice), fish, elvish and PowerShell.
const REGISTRATIONS: [&str; 6] = [
    "-o default bootstrap\n",
    "#compdef bootstrap\n",
    "bootstrap\nfi",
    "complete -c bootstrap ",
    "arg-completer[bootstrap]",
    "-CommandName 'bootstrap'",
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
