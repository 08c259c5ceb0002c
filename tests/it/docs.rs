//! The documentation says what the program does.

use timestream_prometheus_connector::config::options::OPTIONS;

#[test]
fn the_option_table_of_the_readme_is_that_of_the_program() {
    let readme = include_str!("../../README.md");
    let (_, rest) = readme
        .split_once("<!-- options: held equal to the program by a test -->\n")
        .unwrap();
    let (table, _) = rest.split_once("<!-- /options -->").unwrap();
    let mut expected = String::from("| flag | variable | default | meaning |\n|---|---|---|---|\n");
    for option in OPTIONS {
        let default = match option.default {
            "" => "none".to_owned(),
            default => format!("`{default}`"),
        };
        expected += &format!(
            "| `--{}` | `{}` | {default} | {} |\n",
            option.flag, option.variable, option.help
        );
    }
    assert_eq!(
        table, expected,
        "put this table into the README:\n{expected}"
    );
}
