//! Hostile read requests.

use crate::bodies::{MAX_CONTENT_BYTES, alternatives, bytes, each, filled, key, number, put_bytes};
use crate::row::Expected::{self, Always, Definite};
use crate::row::{REJECTED, Route, Row};

const EQ: u64 = 0;
const RE: u64 = 2;
const NOT_RE: u64 = 3;
/// The largest number of a signed 64-bit field, and the smallest.
const HUGE: [u64; 2] = [i64::MAX as u64, i64::MIN as u64];

/// Returns a matcher as a field of a query.
fn matcher(op: u64, name: &str, value: impl AsRef<[u8]>) -> Vec<u8> {
    bytes(3, [number(1, op), bytes(2, name), bytes(3, value)].concat())
}

/// Returns a query over an hour of the ordinary metric as a field of a request.
fn query(more: &[u8]) -> Vec<u8> {
    let range = [
        number(1, 1_600_000_000_000),
        number(2, 1_600_003_600_000),
        matcher(EQ, "__name__", "ordinary"),
    ];
    bytes(1, [&range.concat(), more].concat())
}

/// Returns a request of one query with the matcher `i =~ pattern`.
fn pattern(pattern: impl AsRef<[u8]>) -> Vec<u8> {
    query(&matcher(RE, "i", pattern))
}

/// Returns `open` as often as `close`, around an `a`.
fn nested(open: &str, close: &str, len: usize) -> Vec<u8> {
    let count = len / (open.len() + close.len());
    [open.repeat(count), "a".to_owned(), close.repeat(count)]
        .concat()
        .into_bytes()
}

/// Returns one of the patterns in each of `count` matchers, made different by its number.
fn patterns(count: usize, start: &str) -> Vec<u8> {
    let matchers = each(count, |out, i| {
        let value = [bytes(2, "i"), bytes(3, format!("{start}{i}"))].concat();
        put_bytes(out, 3, &[number(1, RE), value].concat());
    });
    query(&matchers)
}

fn row(name: &'static str, expected: Expected, message: fn() -> Vec<u8>) -> Row {
    Row::new(Route::Read, name, expected, message)
}

pub(crate) fn rows() -> Vec<Row> {
    let rows: [(&str, Expected, fn() -> Vec<u8>); _] = [
        // Queries.
        ("100,000 empty queries", Always(&[400]), || {
            bytes(1, "").repeat(100_000)
        }),
        ("4,000,000 empty queries", REJECTED, || {
            bytes(1, "").repeat(4_000_000)
        }),
        ("32 MiB of empty queries", REJECTED, || {
            filled(bytes(1, ""), MAX_CONTENT_BYTES)
        }),
        ("1,000 ordinary queries", Definite, || {
            query(b"").repeat(1_000)
        }),
        ("32 MiB of ordinary queries", REJECTED, || {
            filled(query(b""), MAX_CONTENT_BYTES)
        }),
        // Destinations.
        ("4,000 x 4,000 destinations", Always(&[400]), || {
            let names = |prefix| {
                let names: Vec<String> = (0..4_000).map(|i| format!("{prefix}{i}")).collect();
                names.join("|")
            };
            let matchers = [
                matcher(RE, "database", names("d")),
                matcher(RE, "table", names("t")),
            ];
            query(&matchers.concat())
        }),
        ("32 MiB of destinations", REJECTED, || {
            let names = |prefix| alternatives(prefix, MAX_CONTENT_BYTES / 2);
            let matchers = [
                matcher(RE, "database", names("d")),
                matcher(RE, "table", names("t")),
            ];
            query(&matchers.concat())
        }),
        // Patterns.
        (r"80 x \pL{150}", Definite, || patterns(80, r"\pL{150}")),
        ("80 x (.?){1000}x", Definite, || patterns(80, "(.?){1000}x")),
        (r"32 MiB of \pL{150}", REJECTED, || {
            let matchers = matcher(RE, "i", r"\pL{150}");
            query(&filled(matchers, MAX_CONTENT_BYTES))
        }),
        ("32 MiB of (.?){1000}x", REJECTED, || {
            let matchers = matcher(RE, "i", "(.?){1000}x");
            query(&filled(matchers, MAX_CONTENT_BYTES))
        }),
        (r"((\pL{10}){10}){10}", Definite, || {
            pattern(r"((\pL{10}){10}){10}")
        }),
        ("1 MB of a|b|...", Definite, || {
            pattern(alternatives("a", 1_000_000))
        }),
        ("1 MB of a|b|... not matched", Definite, || {
            query(&matcher(NOT_RE, "i", alternatives("a", 1_000_000)))
        }),
        ("1 MB of a|a|...", Definite, || {
            pattern([&filled("a|", 1_000_000)[..], b"b"].concat())
        }),
        ("32 MiB of a|b|...", Definite, || {
            pattern(alternatives("a", MAX_CONTENT_BYTES))
        }),
        ("1 MB of |||", Definite, || pattern("|".repeat(1_000_000))),
        ("1 MB of a?b?...", Definite, || {
            pattern(filled("a?b?", 1_000_000))
        }),
        ("1,000 nested groups", Definite, || {
            pattern(nested("(", ")", 2_000))
        }),
        ("1 MB of nested groups", REJECTED, || {
            pattern(nested("(", ")", 1_000_000))
        }),
        ("32 MiB of nested groups", REJECTED, || {
            pattern(nested("(?:", ")*", MAX_CONTENT_BYTES))
        }),
        ("1 MB of opened groups", REJECTED, || {
            pattern("(".repeat(1_000_000))
        }),
        ("1 MB of a class", Definite, || {
            let ranges = each(100_000, |out, i| {
                let start = char::from_u32(0x1_0000 + 3 * i as u32).expect("it is no surrogate");
                let end = char::from_u32(0x1_0000 + 3 * i as u32 + 1).expect("as above");
                out.extend_from_slice(format!("{start}-{end}").as_bytes());
            });
            pattern([b"[", &ranges[..], b"]"].concat())
        }),
        (r"1 MB of [\pL\PN...]", Definite, || {
            pattern([b"[", &filled(r"\pL\PN", 1_000_000)[..], b"]"].concat())
        }),
        (r"1 MB of (?i)\pL\pL...", Definite, || {
            pattern([b"(?i)", &filled(r"\pL", 1_000_000)[..]].concat())
        }),
        (r"32 MiB of [\pL\PN...]", Definite, || {
            pattern([b"[", &filled(r"\pL\PN", MAX_CONTENT_BYTES)[..], b"]"].concat())
        }),
        ("32 MiB of [a][a]...", Definite, || {
            pattern(filled("[a-c]", MAX_CONTENT_BYTES))
        }),
        ("30 MB pattern of a letter", Definite, || {
            pattern("a".repeat(30_000_000))
        }),
        ("30 MB pattern of dots", Definite, || {
            pattern(".".repeat(30_000_000))
        }),
        // Matchers.
        ("500,000 empty matchers", Definite, || {
            query(&bytes(3, "").repeat(500_000))
        }),
        ("32 MiB of empty matchers", Definite, || {
            query(&filled(bytes(3, ""), MAX_CONTENT_BYTES))
        }),
        ("32 MiB of different matchers", Definite, || {
            query(&each(1_000_000, |out, i| {
                out.extend_from_slice(&matcher(EQ, &format!("a{i}"), "b"));
            }))
        }),
        ("30 MB value", Definite, || {
            query(&matcher(EQ, "i", "a".repeat(30_000_000)))
        }),
        ("30 MB value of quotes", Definite, || {
            query(&matcher(EQ, "i", "'".repeat(30_000_000)))
        }),
        ("30 MB metric name of dots", Definite, || {
            bytes(1, matcher(EQ, "__name__", ".".repeat(30_000_000)))
        }),
        ("30 MB label name", Definite, || {
            query(&matcher(EQ, &"a".repeat(30_000_000), "b"))
        }),
        // The rest of the message.
        ("30,000,000 packed response types", Definite, || {
            [query(b""), bytes(2, vec![0; 30_000_000])].concat()
        }),
        ("32 MiB of response types", Definite, || {
            [query(b""), filled(number(2, 0), MAX_CONTENT_BYTES)].concat()
        }),
        ("32 MiB of unknown response types", Definite, || {
            [query(b""), filled(number(2, 9), MAX_CONTENT_BYTES)].concat()
        }),
        ("hints of huge numbers", Definite, || {
            let hints = HUGE.map(|huge| {
                let numbers = [1, 3, 4, 7].map(|field| number(field, huge));
                query(&bytes(4, numbers.concat()))
            });
            let ranges = [number(1, HUGE[1]), number(2, HUGE[0])].concat();
            let whole = bytes(1, [ranges, matcher(EQ, "__name__", "ordinary")].concat());
            [hints.concat(), whole].concat()
        }),
        ("32 MiB of groupings", Definite, || {
            query(&bytes(4, filled(bytes(5, ""), MAX_CONTENT_BYTES)))
        }),
        ("32 MiB of unknown fields", Definite, || {
            filled(number(9, 1), MAX_CONTENT_BYTES)
        }),
        ("99 nested groups of fields, often", Definite, || {
            let groups = [key(9, 3).repeat(99), key(9, 4).repeat(99)];
            filled(groups.concat(), MAX_CONTENT_BYTES)
        }),
        ("32 MiB of opened groups of fields", REJECTED, || {
            filled(key(9, 3), MAX_CONTENT_BYTES)
        }),
        ("32 MiB of zeros", REJECTED, || vec![0; MAX_CONTENT_BYTES]),
    ];
    let mut rows: Vec<_> = rows
        .map(|(name, expected, message)| row(name, expected, message))
        .into();
    rows.push(Row::new(
        Route::ReadAlias,
        "api/v1/read: 32 MiB of ordinary queries",
        REJECTED,
        || filled(query(b""), MAX_CONTENT_BYTES),
    ));
    rows
}
