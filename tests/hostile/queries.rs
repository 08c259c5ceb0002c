//! Hostile requests to the query API.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::bodies::{alternatives, each, filled};
use crate::group::Group;
use crate::row::Expected::{self, Always};
use crate::row::{Outcome, Route, Row};

/// A result, or an error that says what to change or when to send again.
const ENDED: Expected = Always(&[200, 400, 413, 422, 503]);
/// Requests that can never succeed, which is found before memory is reserved that others may occupy.
const INVALID: Expected = Always(&[400]);
/// The same where it is found only by parsing, and the memory for that may be occupied meanwhile.
const PARSED_INVALID: Expected = Expected::Rejected(&[400]);

/// A URL that is too long for the server.
const NO_URL: Expected = Always(&[414, 431]);

/// Maximum size of a form.
const MAX_FORM_BYTES: usize = 10 << 20;
/// Maximum size of an expression.
const MAX_EXPRESSION_BYTES: usize = 1 << 20;

/// Parameters of a range query of as many steps as one may have.
const STEPS: &str = "&start=1600000000&end=1600011000&step=1";

/// Returns a time shortly after that of the newest ordinary samples.
fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("the clock is right").as_secs() + 60
}

/// Returns a form with an expression and more parameters.
fn form(expression: impl AsRef<[u8]>, more: &str) -> Vec<u8> {
    let mut out = b"timeout=20s&query=".to_vec();
    for byte in expression.as_ref() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'*' => out.push(*byte),
            b' ' => out.push(b'+'),
            _ => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
    out.extend_from_slice(more.as_bytes());
    out
}

/// Returns a form with an expression over the time of the ordinary samples.
fn instant(expression: impl AsRef<[u8]>) -> Vec<u8> {
    form(expression, &format!("&lookback_delta=10m&time={}", now()))
}

/// Returns the same for a range of as many steps as one may have.
fn steps(expression: impl AsRef<[u8]>) -> Vec<u8> {
    let (start, end) = (now() - 11_000, now());
    form(
        expression,
        &format!("&lookback_delta=10m&step=1&start={start}&end={end}"),
    )
}

/// Returns `open` as often as `close`, around `middle`.
fn nested(open: &str, middle: &str, close: &str, count: usize) -> Vec<u8> {
    [&open.repeat(count), middle, &close.repeat(count)]
        .concat()
        .into_bytes()
}

/// Returns a selector of the ordinary series with a pattern.
fn pattern(pattern: impl AsRef<[u8]>) -> Vec<u8> {
    [b"ordinary{i=~`", pattern.as_ref(), b"`}"].concat()
}

/// The ordinary series as of now at every step.
fn always_now() -> String {
    format!("ordinary @ {}", now())
}

/// Returns the union of so many copies of all ordinary series, at every step.
fn copies(count: usize) -> Vec<u8> {
    let now = always_now();
    let copies = each(count, |out, i| {
        let copy = format!("label_replace({now},'copy','{i}','','') or ");
        out.extend_from_slice(copy.as_bytes());
    });
    [&copies[..], now.as_bytes()].concat()
}

pub(crate) fn rows() -> Vec<Row> {
    const INSTANT: Route = Route::Form("/api/v1/query");
    const RANGE: Route = Route::Form("/api/v1/query_range");
    const FORMAT: Route = Route::Form("/api/v1/format_query");
    const PARSE: Route = Route::Form("/api/v1/parse_query");
    const EXEMPLARS: Route = Route::Form("/api/v1/query_exemplars");
    const SERIES: Route = Route::Form("/api/v1/series");
    const LABELS: Route = Route::Form("/api/v1/labels");
    const VALUES: Route = Route::Get("/api/v1/label/");
    const METADATA: Route = Route::Get("/api/v1/metadata?");
    let rows: [(Route, &str, Expected, fn() -> Vec<u8>); _] = [
        // Texts.
        (INSTANT, "query: 1,000,000 parentheses", INVALID, || {
            form(nested("(", "1", ")", 500_000), "")
        }),
        (
            FORMAT,
            "format_query: 1,000,000 parentheses",
            INVALID,
            || form(nested("(", "1", ")", 500_000), ""),
        ),
        (FORMAT, "format_query: 240 parentheses", ENDED, || {
            form(nested("sum(", "up", ")", 240), "")
        }),
        (INSTANT, "query: 1 MB of signs", ENDED, || {
            form([filled("-", 1_000_000), b"1".to_vec()].concat(), "")
        }),
        (INSTANT, "query: 1 MB of 1+1+...", ENDED, || {
            form([filled("1+", 1_000_000), b"1".to_vec()].concat(), "")
        }),
        (RANGE, "query_range: 1 MB of 1+1+...", ENDED, || {
            form([filled("1+", 1_000_000), b"1".to_vec()].concat(), STEPS)
        }),
        (FORMAT, "format_query: 1 MB of 1+1+...", ENDED, || {
            form([filled("1+", 1_000_000), b"1".to_vec()].concat(), "")
        }),
        (INSTANT, "query: 10 MB of 1+1+...", INVALID, || {
            form([filled("1+", 3_000_000), b"1".to_vec()].concat(), "")
        }),
        (INSTANT, "query: 1 MB of 2^2^...", ENDED, || {
            form([filled("2^", 1_000_000), b"2".to_vec()].concat(), "")
        }),
        (INSTANT, "query: 1 MB of a string", ENDED, || {
            form(["'", &"a".repeat(1_000_000), "'"].concat(), "")
        }),
        (INSTANT, "query: 1 MB of comments", ENDED, || {
            form([filled("#\n", 1_000_000), b"1".to_vec()].concat(), "")
        }),
        (INSTANT, "query: 300,000 label names", ENDED, || {
            let names = filled("a,", 900_000);
            form([b"sum by(", &names[..], b"b)(ordinary)"].concat(), "")
        }),
        (INSTANT, "query: 1 MB of zeros", INVALID, || {
            form(vec![0; 300_000], "")
        }),
        // Selectors.
        (INSTANT, "query: 100,000 conditions", ENDED, || {
            let conditions = each(50_000, |out, i| {
                out.extend_from_slice(format!("l{i}!='x',").as_bytes());
            });
            instant([b"ordinary{", &conditions[..], b"}"].concat())
        }),
        (INSTANT, "query: 10,000 selectors", ENDED, || {
            let selectors = each(10_000, |out, i| {
                out.extend_from_slice(format!("ordinary{{i='{i}'}} or ").as_bytes());
            });
            instant([&selectors[..], b"ordinary"].concat())
        }),
        (INSTANT, "query: 30,000 absent tables", ENDED, || {
            let selectors = each(30_000, |out, i| {
                out.extend_from_slice(format!("m{{table='t{i}'}} or ").as_bytes());
            });
            instant([&selectors[..], b"ordinary"].concat())
        }),
        (INSTANT, "query: 10,000 equal selectors", ENDED, || {
            instant([filled("ordinary or ", 120_000), b"ordinary".to_vec()].concat())
        }),
        (INSTANT, "query: 10,000 offsets", ENDED, || {
            let selectors = each(10_000, |out, i| {
                out.extend_from_slice(format!("ordinary offset {i}s or ").as_bytes());
            });
            instant([&selectors[..], b"ordinary"].concat())
        }),
        // Patterns.
        (INSTANT, r"query: ((\pL{10}){10}){10}", ENDED, || {
            instant(pattern(r"((\pL{10}){10}){10}"))
        }),
        (INSTANT, r"query: 80 x \pL{150}", ENDED, || {
            let conditions = each(80, |out, i| {
                out.extend_from_slice(format!(r"i=~`\pL{{150}}{i}`,").as_bytes());
            });
            instant([b"ordinary{", &conditions[..], b"}"].concat())
        }),
        (INSTANT, r"query: 20,000 x \pL{150}", ENDED, || {
            let conditions = each(20_000, |out, i| {
                out.extend_from_slice(format!(r"i=~`\pL{{150}}{i}`,").as_bytes());
            });
            instant([b"ordinary{", &conditions[..], b"}"].concat())
        }),
        (INSTANT, "query: 20,000 x (.?){1000}x", ENDED, || {
            let conditions = each(20_000, |out, i| {
                out.extend_from_slice(format!("i=~`(.?){{1000}}x{i}`,").as_bytes());
            });
            instant([b"ordinary{", &conditions[..], b"}"].concat())
        }),
        (INSTANT, "query: 1 MB of a|b|...", ENDED, || {
            instant(pattern(alternatives("a", 1_000_000)))
        }),
        (INSTANT, "query: 1 MB of nested groups", ENDED, || {
            instant(pattern(nested("(", "a", ")", 500_000)))
        }),
        (INSTANT, r"query: 1 MB of [\pL\PN...]", ENDED, || {
            instant(pattern(
                [b"[", &filled(r"\pL\PN", 1_000_000)[..], b"]"].concat(),
            ))
        }),
        (INSTANT, "query: label_replace of (.?){1000}", ENDED, || {
            let one = "label_replace(";
            let end = ",'a','$1','i','((.?){500}){2}')";
            instant(nested(one, "ordinary", end, 200))
        }),
        // Steps and subqueries.
        (RANGE, "query_range: 1,000,000 steps", INVALID, || {
            form("up", "&start=1600000000&end=1601000000&step=1")
        }),
        (RANGE, "query_range: 10^15 steps", INVALID, || {
            form("up", "&start=-1e15&end=1e15&step=0.001")
        }),
        (RANGE, "query_range: all of time", ENDED, || {
            form("ordinary", "&start=-9e13&end=9e13&step=1e11")
        }),
        (RANGE, "query_range: 11,000 steps of series", ENDED, || {
            steps("ordinary")
        }),
        (INSTANT, "query: a subquery of 10^9 steps", ENDED, || {
            form("sum_over_time(vector(1)[1000000000s:1s])", "")
        }),
        (RANGE, "query_range: 11,000 x 10^9 steps", ENDED, || {
            form("sum_over_time(vector(time())[1000000000s:1s])", STEPS)
        }),
        (
            RANGE,
            "query_range: 11,000 x 1,000,000 steps",
            ENDED,
            || form("sum_over_time(vector(time())[1000000s:1s])", STEPS),
        ),
        (RANGE, "query_range: 100,000 x 200,000 steps", ENDED, || {
            form(
                "max_over_time(deriv(vector(time())[200000s:1s])[100000s:1s])",
                STEPS,
            )
        }),
        (
            RANGE,
            "query_range: 11,000 windows of series",
            ENDED,
            || steps(format!("stddev_over_time({}[3000s:1s])", always_now())),
        ),
        (INSTANT, "query: nested subqueries", ENDED, || {
            form(
                nested("max_over_time(", "vector(time())", "[1h:1s])", 100),
                "",
            )
        }),
        (RANGE, "query_range: nested subqueries", ENDED, || {
            form(
                nested("max_over_time(", "vector(time())", "[1d:1s])", 100),
                STEPS,
            )
        }),
        (INSTANT, "query: distant times", ENDED, || {
            form(
                "ordinary offset 290y or ordinary @ 9e12 or ordinary[290y:1h] offset -290y",
                "&time=9e12",
            )
        }),
        (INSTANT, "query: 290 years of series", ENDED, || {
            instant("count_over_time(ordinary[290y])")
        }),
        // Labels.
        (
            INSTANT,
            "query: label_replace, doubled 240 times",
            ENDED,
            || {
                let end = ",'i','$1$1','i','(.*)')";
                instant(nested("label_replace(", "ordinary", end, 240))
            },
        ),
        (
            INSTANT,
            "query: label_join, doubled 240 times",
            ENDED,
            || {
                let end = ",'i',',','i','i','i','i')";
                instant(nested("label_join(", "ordinary", end, 240))
            },
        ),
        (
            RANGE,
            "query_range: label_join at 11,000 steps",
            ENDED,
            || {
                let end = ",'i',',','i','i','i','i')";
                steps(nested("label_join(", &always_now(), end, 200))
            },
        ),
        (INSTANT, "query: 200 new labels of 60 KB", ENDED, || {
            let value = "a".repeat(4_000);
            let parts = each(200, |out, i| {
                let one = format!("label_join(label_replace(ordinary,'x','{value}','',''),'y{i}'");
                let end = ",'x'".repeat(15) + ",'x') or ";
                let all = [one, ",''".to_owned(), end].concat();
                // The expression has a limit.
                if out.len() + all.len() < MAX_EXPRESSION_BYTES - 100 {
                    out.extend_from_slice(all.as_bytes());
                }
            });
            instant([&parts[..], b"ordinary"].concat())
        }),
        // Operators and functions.
        (RANGE, "query_range: 1,000 x and", ENDED, || {
            let now = always_now();
            steps([filled(format!("{now} and "), 30_000), now.into_bytes()].concat())
        }),
        (RANGE, "query_range: 5,000 x + of series", ENDED, || {
            let now = always_now();
            steps([filled(format!("{now} + "), 150_000), now.into_bytes()].concat())
        }),
        (RANGE, "query_range: many to one", ENDED, || {
            let now = always_now();
            steps(format!("{now} * on(job) group_left() sum by(job)({now})"))
        }),
        (RANGE, "query_range: sorted in many ways", ENDED, || {
            let now = always_now();
            steps(format!(
                "topk(99,{now}) or bottomk(99,{now}) or limitk(99,{now})"
            ))
        }),
        (RANGE, "query_range: count_values", ENDED, || {
            steps("count_values('v',vector(time()))")
        }),
        (RANGE, "query_range: count_values of series", ENDED, || {
            let now = always_now();
            steps(format!(
                "count_values('v',{now} + on() group_left() vector(time()))"
            ))
        }),
        (INSTANT, "query: info", ENDED, || {
            instant("info(ordinary,{__name__=~'.+'})")
        }),
        // Results.
        (RANGE, "query_range: a result of 32 MB", ENDED, || {
            steps(always_now())
        }),
        (RANGE, "query_range: a result of 300 MB", ENDED, || {
            steps(copies(9))
        }),
        (RANGE, "query_range: a result of 10 GB", ENDED, || {
            steps(copies(300))
        }),
        (RANGE, "query_range: labels of 300 MB", ENDED, || {
            let value = "a".repeat(60_000);
            steps(format!(
                "label_replace({},'x','{value}','','')",
                always_now()
            ))
        }),
        (INSTANT, "query: 300 labels of 60 KB", ENDED, || {
            let now = always_now();
            let long = "a".repeat(50_000);
            let all = each(16, |out, i| {
                let one = format!("label_replace({now},'x{i}','{long}','','') or ");
                out.extend_from_slice(one.as_bytes());
            });
            instant([&all[..], now.as_bytes()].concat())
        }),
        // Trees, selectors of series and exemplars.
        (PARSE, "parse_query: 1 MB of 1+1+...", ENDED, || {
            form([filled("1+", 1_000_000), b"1".to_vec()].concat(), "")
        }),
        (PARSE, "parse_query: 100 KB of 1+1+...", ENDED, || {
            form([filled("1+", 100_000), b"1".to_vec()].concat(), "")
        }),
        (PARSE, "parse_query: 240 parentheses", ENDED, || {
            form(nested("sum(", "up", ")", 240), "")
        }),
        (
            EXEMPLARS,
            "query_exemplars: 10,000 selectors",
            PARSED_INVALID,
            || {
                let selectors = each(10_000, |out, i| {
                    out.extend_from_slice(format!("m{i} or ").as_bytes());
                });
                form([&selectors[..], b"m"].concat(), "")
            },
        ),
        (EXEMPLARS, "query_exemplars: all of time", ENDED, || {
            form("ordinary", "&start=-9e13&end=9e13")
        }),
        (SERIES, "series: 100,000 match[]", INVALID, || {
            filled("match[]=ordinary&", 17 * 100_000)
        }),
        (LABELS, "labels: 100,000 match[]", INVALID, || {
            filled("match[]=ordinary&", 17 * 100_000)
        }),
        (SERIES, "series: 9,000 match[]", INVALID, || {
            filled("match[]=ordinary&", 17 * 9_000)
        }),
        (SERIES, "series: 200 match[]", ENDED, || {
            each(200, |out, i| {
                out.extend_from_slice(format!("match[]=ordinary%7Bi=%22{i}%22%7D&").as_bytes());
            })
        }),
        (LABELS, "labels: 200 match[]", ENDED, || {
            each(200, |out, i| {
                out.extend_from_slice(format!("match[]=ordinary%7Bi=%22{i}%22%7D&").as_bytes());
            })
        }),
        (SERIES, r"series: 200 x \pL{150}", ENDED, || {
            each(200, |out, i| {
                let selector = format!(r"match[]=%7Bi=~%60\pL%7B150%7D{i}%60%7D&");
                out.extend_from_slice(selector.as_bytes());
            })
        }),
        (LABELS, "labels: 200 x (.?){1000}x", ENDED, || {
            each(200, |out, i| {
                let selector = format!("match[]=%7Bi=~%60(.?)%7B1000%7Dx{i}%60%7D&");
                out.extend_from_slice(selector.as_bytes());
            })
        }),
        (SERIES, "series: 10 MB of a selector", INVALID, || {
            [b"match[]=", &filled("a", MAX_FORM_BYTES - 10)[..]].concat()
        }),
        (SERIES, "series: all of time", ENDED, || {
            b"match[]=%7B__name__!=%22%22%7D&start=-9e13&end=9e13".to_vec()
        }),
        (LABELS, "labels: all of time", ENDED, || {
            b"start=-9e13&end=9e13".to_vec()
        }),
        // Forms.
        (INSTANT, "query: 10 MB of &&&", INVALID, || {
            filled("&", MAX_FORM_BYTES)
        }),
        (INSTANT, "query: 10 MB of a&a&...", INVALID, || {
            filled("a&", MAX_FORM_BYTES)
        }),
        (INSTANT, "query: 10 MB of a=&b=&...", INVALID, || {
            each(1_200_000, |out, i| {
                out.extend_from_slice(format!("a{i}&").as_bytes());
            })
        }),
        (INSTANT, "query: 10 MB of %41", INVALID, || {
            [b"query=", &filled("%41", MAX_FORM_BYTES - 6)[..]].concat()
        }),
        (INSTANT, "query: 11 MB of a form", Always(&[413]), || {
            filled("a", MAX_FORM_BYTES + 1)
        }),
        (INSTANT, "query: 10 MB of a time", INVALID, || {
            [b"query=1&time=", &filled("1", MAX_FORM_BYTES - 20)[..]].concat()
        }),
        (RANGE, "query_range: 10 MB of a duration", INVALID, || {
            let start = b"query=1&start=1&end=2&step=";
            [start, &filled("1d", MAX_FORM_BYTES - 50)[..]].concat()
        }),
        // Parameters in the URL, which hyper limits to 64 KiB.
        (VALUES, "label values: 100,000 match[]", NO_URL, || {
            [b"i/values?", &filled("match[]=ordinary&", 17 * 100_000)[..]].concat()
        }),
        (VALUES, "label values: 3,700 match[]", INVALID, || {
            [b"i/values?", &filled("match[]=ordinary&", 17 * 3_700)[..]].concat()
        }),
        (VALUES, "label values: 200 match[]", ENDED, || {
            let selectors = each(200, |out, i| {
                out.extend_from_slice(format!("match[]=ordinary%7Bi=%22{i}%22%7D&").as_bytes());
            });
            [b"i/values?", &selectors[..]].concat()
        }),
        (VALUES, r"label values: 200 x \pL{150}", ENDED, || {
            let selectors = each(200, |out, i| {
                let selector = format!(r"match[]=%7Bi=~%60%5CpL%7B150%7D{i}%60%7D&");
                out.extend_from_slice(selector.as_bytes());
            });
            [b"i/values?", &selectors[..]].concat()
        }),
        (VALUES, "label values: all of time", ENDED, || {
            b"i/values?start=-9e13&end=9e13".to_vec()
        }),
        (VALUES, "label values: names, all of time", ENDED, || {
            b"__name__/values?start=-9e13&end=9e13".to_vec()
        }),
        (VALUES, "label values: a huge limit", ENDED, || {
            b"i/values?limit=9223372036854775807".to_vec()
        }),
        (VALUES, "label values: too huge a limit", INVALID, || {
            b"i/values?limit=1000000000000000000000".to_vec()
        }),
        (VALUES, "label values: a name of 60 KB", ENDED, || {
            [&filled("a", 60_000)[..], b"/values"].concat()
        }),
        (
            VALUES,
            "label values: an escaped name of 60 KB",
            ENDED,
            || [b"U__", &filled("_1F600_", 59_999)[..], b"/values"].concat(),
        ),
        (METADATA, "metadata: 100,000 parameters", NO_URL, || {
            filled("a&", 200_000)
        }),
        (METADATA, "metadata: 32,000 parameters", INVALID, || {
            filled("a&", 64_000)
        }),
        (METADATA, "metadata: huge limits", ENDED, || {
            let huge = i64::MAX;
            format!("limit={huge}&limit_per_metric={huge}&metric=ordinary").into_bytes()
        }),
        (METADATA, "metadata: a limit of 60 KB", INVALID, || {
            [b"limit=", &filled("9", 60_000)[..]].concat()
        }),
        (METADATA, "metadata: a metric of 60 KB", ENDED, || {
            [b"metric=", &filled("%F0%9F%98%80", 60_000)[..]].concat()
        }),
    ];
    let rows = rows.into_iter();
    rows.map(|(route, name, expected, content)| Row::new(route, name, expected, content))
        .collect()
}

/// Checks that the ordinary series are found, so that the rows have what they cost.
pub(crate) fn check_ordinary(group: &Group) {
    // An error, unless there are several.
    let body = instant("ordinary + on() ordinary");
    let outcome = group.post(Route::Form("/api/v1/query"), &body);
    assert_eq!(outcome, Outcome::Status(422), "{}", group.server.log());
    let outcome = group.post(Route::Form("/api/v1/query"), &instant("count(ordinary)"));
    assert_eq!(outcome, Outcome::Status(200), "{}", group.server.log());
}
