//! Command line and environment: nothing makes the reader panic, and no secret is exposed.

use timestream_prometheus_connector::config::read;

/// A text that is part of a secret wherever it occurs in one.
const SECRET: &str = "s3cr3t";

/// Options whose values are secret.
const SECRET_OPTIONS: [(&str, &str); 5] = [
    ("--basic-auth-users=", "basic_auth_users="),
    ("--bearer-token=", "bearer_token="),
    ("--read-bearer-token=", "read_bearer_token="),
    ("--write-bearer-token=", "write_bearer_token="),
    ("--admin-bearer-token=", "admin_bearer_token="),
];

/// Reads `input` as texts separated by bytes that UTF-8 does not have: what starts with a dash is
/// an argument, the others are variables, `name=value`.
pub(crate) fn check(input: &[u8]) {
    let parts: Result<Vec<&str>, _> = input
        .split(|byte| *byte == 0xff)
        .map(std::str::from_utf8)
        .collect();
    let Ok(parts) = parts else { return };
    // Files are for another target: this one must not open a file by chance.
    if parts
        .iter()
        .any(|part| part.contains("web.config") || part.contains("web_config"))
    {
        return;
    }
    let (arguments, variables): (Vec<&str>, Vec<&str>) =
        parts.iter().partition(|part| part.starts_with('-'));
    let environment = |name: &str| {
        let mut variables = variables.iter();
        let value = variables.find_map(|it| it.strip_prefix(name)?.strip_prefix('='));
        value.map(str::to_owned)
    };
    let result = read(["bootstrap"].iter().chain(&arguments), environment);
    let shown = match &result {
        Ok(invocation) => format!("{invocation:?}"),
        Err(error) => format!("{error}\n{error:?}"),
    };
    if parts.iter().all(|part| is_secret_only(part)) {
        assert!(!shown.contains(SECRET), "{shown}");
    }
}

/// Returns true if the text is in secret places of `part` only: a token, or the hashes of users.
fn is_secret_only(part: &str) -> bool {
    let [users, tokens @ ..] = SECRET_OPTIONS.map(|(flag, variable)| {
        part.strip_prefix(flag)
            .or_else(|| part.strip_prefix(variable))
    });
    let elsewhere = match users {
        _ if tokens.iter().any(Option::is_some) => return true,
        Some(users) => users.split(',').any(|entry| {
            entry
                .split_once(':')
                .is_some_and(|it| it.0.contains(SECRET))
        }),
        None => part.contains(SECRET),
    };
    !elsewhere
}
