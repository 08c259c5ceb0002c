//! The web configuration file: nothing makes its reader panic, and no secret is exposed.

use std::cell::OnceCell;
use std::path::PathBuf;

use timestream_prometheus_connector::web_config::{Tokens, Users, WebConfig};

/// A text that is part of each secret, and of nothing else.
const SECRET: &str = "s3cr3t";

thread_local! {
    static FILE: OnceCell<PathBuf> = const { OnceCell::new() };
}

/// Reads `input` as a file, and as the text around secrets in one.
pub(crate) fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    // Files it names are read: nothing of the system, please, that never ends.
    if ["dev", "proc", "sys"].iter().any(|it| text.contains(it)) {
        return;
    }
    let _ = open(text);
    if text.contains(SECRET) {
        return;
    }
    let mut parts = text.splitn(4, '\x1c');
    let mut part = || parts.next().unwrap_or_default();
    let [user, hash, key, rest] = [part(), part(), part(), part()].map(quoted);
    let with_secrets = format!(
        "tls_server_config:\n  cert: {rest}\n  key: {}\n  client_auth_type: {rest}\n\
         basic_auth_users:\n  {user}: {}\n  u: {}\nhttp_server_config:\n  headers: {{{rest}: a}}\n",
        around_secret(&key),
        around_secret(&hash),
        quoted(SECRET),
    );
    let shown = open(&with_secrets);
    assert!(!shown.contains(SECRET), "{shown}");
}

/// Returns the texts that a configuration with this file shows to an operator.
fn open(text: &str) -> String {
    let file = FILE.with(|file| {
        let path = || {
            let thread = std::thread::current().id();
            let name = format!("web-file-{}-{thread:?}.yml", std::process::id());
            std::env::temp_dir().join(name)
        };
        file.get_or_init(path).clone()
    });
    std::fs::write(&file, text).expect("the temporary folder can be written to");
    let opened = WebConfig::open(Users::default(), Tokens::default(), Some(&file));
    std::fs::remove_file(&file).expect("the file is there");
    match opened {
        Ok(web) => format!("{web:?}"),
        Err(errors) => {
            assert!(!errors.is_empty(), "an error has a reason");
            errors.join("\n")
        }
    }
}

/// Returns the text as YAML.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn around_secret(quoted: &str) -> String {
    format!("{}{SECRET}\"", &quoted[..quoted.len() - 1])
}
