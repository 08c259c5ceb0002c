//! Errors of the AWS SDK as text.

use std::borrow::Cow;
use std::error::Error;

/// An error and its causes on one line, without the debug output of the SDK and the secrets of URLs.
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
    without_secrets(&text)
}

/// Returns a text without what may be secret in a URL: the user and password before its host, and its query.
pub(crate) fn without_secrets(text: &str) -> String {
    let Some((before, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    // A password can hold any character, so nothing before the last sign stays.
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    let mut shown = format!("{before}://");
    let mut parts = rest.split('?');
    shown.push_str(parts.next().unwrap_or_default());
    let is_end = |c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '`' | ')' | '>');
    for query in parts {
        shown.push_str(query.find(is_end).map_or("", |end| &query[end..]));
    }
    shown
}

/// Returns a text of the SDK on one line, without the request that some have at their end: it holds labels and queries.
fn one_line(text: &str) -> String {
    /// The beginning of a request as the SDK prints it.
    const REQUEST: &str = "Request {";
    let text = match text.split_once(REQUEST) {
        Some((before, _)) => before.trim_end_matches([' ', '`']),
        None => text,
    };
    let text = without_container_uri(text);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("; ").replace(":; ", ": ")
}

/// Returns a text of the SDK without the URI of the container's credentials, which it repeats as it is given: as it is no
/// URI, it is not known where its secrets end.
fn without_container_uri(text: &str) -> Cow<'_, str> {
    let kinds = [
        ("full", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        ("relative", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
    ];
    for (kind, variable) in kinds {
        let start = format!("invalid {kind} URI for ECS provider (");
        if let Some((before, rest)) = text.split_once(&start) {
            let reason = rest.split("): ").next().unwrap_or_default();
            return Cow::Owned(format!("{before}{variable} cannot be used: {reason}"));
        }
    }
    Cow::Borrowed(text)
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

    #[test]
    fn secrets_of_urls_are_left_out() {
        for (text, expected) in [
            ("no URL? user@host", "no URL? user@host"),
            (
                "cannot connect to http://user:hidden@host:80/a?token=hidden: refused",
                "cannot connect to http://host:80/a refused",
            ),
            (
                "'http://u:hid://den@ho@st/?k=hidden' (a)",
                "'http://st/' (a)",
            ),
            (
                "not configured: invalid full URI for ECS provider (URI was invalid): http://u:hid den@host/?k=hid den",
                "not configured: AWS_CONTAINER_CREDENTIALS_FULL_URI cannot be used: URI was invalid",
            ),
            (
                "invalid relative URI for ECS provider (invalid uri character): /a?k=hid den",
                "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI cannot be used: invalid uri character",
            ),
        ] {
            assert_eq!(causes(&std::io::Error::other(text)), expected);
        }
    }
}
