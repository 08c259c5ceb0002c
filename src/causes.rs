//! Errors of the AWS SDK as text.

use std::error::Error;

/// An error and its causes on one line, without the debug output of the SDK.
pub(crate) fn causes(error: &dyn Error) -> String {
    let mut text = one_line(&error.to_string());
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = one_line(&cause.to_string());
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// Returns a text of the SDK on one line, without the request that some have at their end: it holds labels and queries.
fn one_line(text: &str) -> String {
    /// The beginning of a request as the SDK prints it.
    const REQUEST: &str = "Request {";
    let text = match text.split_once(REQUEST) {
        Some((before, _)) => before.trim_end_matches([' ', '`']),
        None => text,
    };
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("; ").replace(":; ", ": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_on_one_line_and_have_no_request() {
        for (text, expected) in [
            ("dispatch failure", "dispatch failure"),
            (
                "no credentials:\n  set them\n\n  or a role\n",
                "no credentials: set them; or a role",
            ),
            (
                "failed to apply endpoint `foo` to request `Request { body: SdkBody { inner: \"SELECT\" } }`",
                "failed to apply endpoint `foo` to request",
            ),
        ] {
            assert_eq!(causes(&std::io::Error::other(text)), expected);
        }
    }
}
