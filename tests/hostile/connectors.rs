//! Hostile connector definitions, patches of them, and rows for a sink.

use serde_json::json;

use crate::bodies::{MAX_BODY_BYTES, filled};
use crate::group::Group;
use crate::row::Expected::{self, Always, Definite, Rejected};
use crate::row::Outcome;
use crate::row::Route::{self, Create, Patch, Rows};
use crate::row::{REJECTED, Row};

/// Maximum size of a definition.
const MAX_DEFINITION_BYTES: usize = 256 << 10;
/// Rows that can never be delivered.
const NO_ROWS: Expected = Rejected(&[400, 413]);

/// Creates the sink that the rows of the table are for.
pub(crate) fn create_sink(group: &Group) {
    let config = json!({
        "url": group.endpoint, "key_label": "labels", "key_value": "value", "key_timestamp": "time",
        "retry": 0,
    });
    let definition = json!({"name": "sink", "type": "prometheus_sink", "config": config});
    let outcome = group.post(Create, definition.to_string().as_bytes());
    assert_eq!(outcome, Outcome::Status(201), "{}", group.server.log());
}

/// Returns an array of the elements, of `len` bytes or a little less.
fn array(element: &str, len: usize) -> Vec<u8> {
    let elements = filled(format!("{element},"), len - element.len() - 2);
    [b"[", &elements[..], element.as_bytes(), b"]"].concat()
}

/// Returns `{"a":{"a":...`, closed.
fn nested(len: usize) -> Vec<u8> {
    let count = len / 6 - 1;
    [r#"{"a":"#.repeat(count), "0".to_owned(), "}".repeat(count)]
        .concat()
        .into_bytes()
}

/// Returns a definition that has `config` as the value of its key `config`, or a part of one.
fn definition(config: &[u8]) -> Vec<u8> {
    let start = br#"{"name":"hostile","type":"prometheus_sink","config":"#;
    [start, config, b"}"].concat()
}

/// Returns an object with as many different keys as fit into `len` bytes.
fn object(len: usize) -> Vec<u8> {
    let mut out = b"{".to_vec();
    for i in 0.. {
        let next = format!(r#""{i}":0,"#);
        if out.len() + next.len() > len {
            break;
        }
        out.extend_from_slice(next.as_bytes());
    }
    out.extend_from_slice(br#""":0}"#);
    out
}

/// Returns the text of a row with so many labels beside the metric name.
fn row_of(labels: usize) -> String {
    let labels: String = (0..labels).map(|i| format!(r#","l{i}":"a""#)).collect();
    format!(r#"{{"labels":{{"__name__":"m"{labels}}},"value":1,"time":1600000000000}}"#)
}

pub(crate) fn rows() -> Vec<Row> {
    const MB_10: usize = 10_000_000;
    const MB_30: usize = 30_000_000;
    const MOST: usize = MAX_DEFINITION_BYTES;
    let rows: [(Route, &str, Expected, fn() -> Vec<u8>); _] = [
        (Create, "create: [0,0,...]", Always(&[400]), || {
            array("0", MOST)
        }),
        (Create, "create: [[],[],...]", Always(&[400]), || {
            array("[]", MOST)
        }),
        (Create, "create: nested objects", REJECTED, || nested(MOST)),
        (Create, "create: many keys", Always(&[400]), || {
            object(MOST - 100)
        }),
        (Create, "create: config [[],[],...]", Always(&[400]), || {
            definition(&array("[]", MOST - 100))
        }),
        (
            Create,
            "create: config of many keys",
            Always(&[400]),
            || definition(&object(MOST - 200)),
        ),
        (Create, "create: opened arrays", Always(&[400]), || {
            b"[".repeat(MOST)
        }),
        (
            Create,
            "create: a byte more than 256 KiB",
            Always(&[413]),
            || b" ".repeat(MOST + 1),
        ),
        (Create, "create: 32 MiB", Always(&[413]), || {
            array("0", MAX_BODY_BYTES)
        }),
        (Patch, "patch: [0,0,...]", Always(&[400]), || {
            array("0", MOST)
        }),
        (Patch, "patch: [[],[],...]", Always(&[400]), || {
            array("[]", MOST)
        }),
        (Patch, "patch: nested objects", REJECTED, || nested(MOST)),
        // The patch, the definition and the result of both are charged: eight may not fit at once.
        (
            Patch,
            "patch: config of many keys",
            Rejected(&[400]),
            || [br#"{"config":"#, &object(MOST - 100)[..], b"}"].concat(),
        ),
        (Patch, "patch: config of nulls", Definite, || {
            let keys = (0..20_000).map(|i| format!(r#""{i}":null"#));
            let keys = keys.collect::<Vec<_>>().join(",");
            format!(r#"{{"config":{{{keys}}}}}"#).into_bytes()
        }),
        (Rows, "rows: 10 MB of [0,0,...]", NO_ROWS, || {
            array("0", MB_10)
        }),
        (Rows, "rows: 32 MiB of [0,0,...]", NO_ROWS, || {
            array("0", MAX_BODY_BYTES)
        }),
        (Rows, "rows: 10 MB of 0 0 0", NO_ROWS, || {
            filled("0 ", MB_10)
        }),
        (Rows, "rows: 32 MiB of 0 0 0", NO_ROWS, || {
            filled("0 ", MAX_BODY_BYTES)
        }),
        (Rows, "rows: 10 MB of [{},{},...]", NO_ROWS, || {
            array("{}", MB_10)
        }),
        (Rows, "rows: 32 MiB of [{},{},...]", NO_ROWS, || {
            array("{}", MAX_BODY_BYTES)
        }),
        (Rows, "rows: 32 MiB of [[],[],...]", NO_ROWS, || {
            array("[]", MAX_BODY_BYTES)
        }),
        (Rows, "rows: 32 MiB of [[[]],...]", NO_ROWS, || {
            array("[[[[]]]]", MAX_BODY_BYTES)
        }),
        (Rows, "rows: 10 MB of small rows", Definite, || {
            filled(row_of(0), MB_10)
        }),
        (Rows, "rows: 10 MB of 1,000 labels each", Definite, || {
            array(&row_of(1_000), MB_10)
        }),
        (Rows, "rows: 32 MiB of 1,000 labels each", Definite, || {
            array(&row_of(1_000), MAX_BODY_BYTES)
        }),
        (Rows, "rows: a row of 3,000,000 keys", Definite, || {
            object(MB_30)
        }),
        (Rows, "rows: a row of 30 MB", Definite, || {
            let value = "a".repeat(MB_30);
            format!(r#"{{"labels":{{"__name__":"m","v":"{value}"}},"value":1}}"#).into_bytes()
        }),
        (Rows, "rows: a bad row of 30 MB", NO_ROWS, || {
            let value = r"\u0001".repeat(MB_30 / 6);
            format!(r#"{{"labels":"{value}","value":1}}"#).into_bytes()
        }),
        (Rows, "rows: a text of 30 MB", NO_ROWS, || {
            format!(r#""{}""#, r"\n".repeat(MB_30 / 2)).into_bytes()
        }),
        (Rows, "rows: nested objects", NO_ROWS, || nested(MB_10)),
        (Rows, "rows: 32 MiB of spaces", Definite, || {
            b" ".repeat(MAX_BODY_BYTES)
        }),
        (
            Rows,
            "rows: a byte more than 32 MiB",
            Always(&[413]),
            || b" ".repeat(MAX_BODY_BYTES + 1),
        ),
    ];
    rows.map(|(route, name, expected, content)| Row::new(route, name, expected, content))
        .into()
}
