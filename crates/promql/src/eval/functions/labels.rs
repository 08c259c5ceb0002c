//! Functions that change labels.

use std::sync::Arc;

use go_regex::Regexp;
use prom_model::{METRIC_NAME_LABEL, Sample};

use crate::eval::grid::{self, COMMON_VALUE_BYTES, GridSeries};
use crate::eval::{Evaluated, Evaluator, fail};
use crate::plan::{Call, Node, NodeKind};
use crate::text::Text;

/// The longest value that a label is set to. A short query could make values that fill the memory: by a template of many
/// groups, by many labels with a long separator, or by calls within calls.
const MAX_VALUE_BYTES: usize = 64 << 10;

/// The compiled form of a pattern that does not count.
const SMALL_PATTERN_BYTES: usize = 64 << 10;

/// Sets a label to what a pattern makes of another one.
pub(super) fn replace<'a>(ev: &mut Evaluator<'a>, call: &'a Call) -> Evaluated<Vec<GridSeries>> {
    let [vector, destination, template, source, pattern] = &call.arguments[..] else {
        return fail("label_replace() needs five arguments");
    };
    let (template, source, pattern) = (string(template)?, string(source)?, string(pattern)?);
    let compiled = pattern
        .as_str()
        .and_then(|pattern| Regexp::new(&format!("^(?s:{pattern})$")).ok());
    let Some(regexp) = compiled else {
        let pattern = pattern.to_string_lossy();
        return fail(format!(
            "invalid regular expression in label_replace(): {pattern}"
        ));
    };
    // Those of calls within calls are held at the same time, with what matching needs.
    let large = regexp.compiled_bytes().saturating_sub(SMALL_PATTERN_BYTES);
    ev.samples.add(2 * large / size_of::<Sample>())?;
    let destination = label_name(string(destination)?, "destination", "label_replace")?;
    let groups = template.as_bytes().iter().filter(|it| **it == b'$').count();
    let mut series = ev.vector(vector)?;
    for one in &mut series {
        ev.check_interrupt()?;
        let value = source.as_str().map_or("", |name| one.labels.get(name));
        // No group is longer than the value.
        let longest = groups.saturating_mul(value.len());
        reserve(ev, longest.saturating_add(template.as_bytes().len()), call)?;
        if let Some(value) = regexp.expand(value, template.as_bytes()) {
            set(one, destination, &Text::from(value));
        }
    }
    // As in Prometheus, as at the end of a query.
    grid::merged_at_end(series)
}

/// Sets a label to the values of others with a separator between them.
pub(super) fn join<'a>(ev: &mut Evaluator<'a>, call: &'a Call) -> Evaluated<Vec<GridSeries>> {
    let [vector, destination, separator, sources @ ..] = &call.arguments[..] else {
        return fail("label_join() needs at least three arguments");
    };
    let sources = sources
        .iter()
        .map(|source| label_name(string(source)?, "source", "label_join"))
        .collect::<Evaluated<Vec<&str>>>()?;
    let destination = label_name(string(destination)?, "destination", "label_join")?;
    let separator = string(separator)?.as_bytes();
    let mut series = ev.vector(vector)?;
    for one in &mut series {
        ev.check_interrupt()?;
        let values = sources.iter().map(|name| one.labels.get(name).as_bytes());
        let separators = separator.len().saturating_mul(sources.len());
        let longest = values.clone().map(<[u8]>::len).sum::<usize>();
        reserve(ev, longest.saturating_add(separators), call)?;
        let joined = values.collect::<Vec<_>>().join(separator);
        set(one, destination, &Text::from(joined));
    }
    // As in Prometheus, as at the end of a query.
    grid::merged_at_end(series)
}

/// Counts the bytes of a value that a label is set to.
///
/// # Errors
/// They are too many.
fn reserve(ev: &mut Evaluator<'_>, bytes: usize, call: &Call) -> Evaluated<()> {
    if bytes > MAX_VALUE_BYTES {
        let name = call.function.name;
        return fail(format!(
            "a label value in {name}() could have {bytes} bytes, and may have {MAX_VALUE_BYTES}; use fewer or shorter parts"
        ));
    }
    match bytes > COMMON_VALUE_BYTES {
        true => ev.samples.add(bytes / size_of::<Sample>()),
        false => Ok(()),
    }
}

/// Sets a label. A metric name that is set is not removed at the end of the evaluation.
fn set(series: &mut GridSeries, name: &str, value: &Text) {
    Arc::make_mut(&mut series.labels).set(name, &value.to_string_lossy());
    if name == METRIC_NAME_LABEL {
        series.drop_name = false;
    }
}

fn string(argument: &Node) -> Evaluated<&Text> {
    match &argument.kind {
        NodeKind::String(text) => Ok(text),
        _ => fail("an argument is no string"),
    }
}

/// Returns the name of a label: any characters, but at least one.
fn label_name<'a>(name: &'a Text, role: &str, function: &str) -> Evaluated<&'a str> {
    match name.as_str() {
        Some(name) if !name.is_empty() => Ok(name),
        _ => fail(format!(
            "invalid {role} label name in {function}(): {}",
            name.to_string_lossy()
        )),
    }
}

#[cfg(test)]
mod tests {
    use crate::eval::testing::{Database, histogram};

    fn database() -> Database {
        Database::default()
            .samples("m{host='a:80', b='x'}", &[(0, 1.0)])
            .samples("m{host='b', b='y'}", &[(0, 2.0)])
            .histograms("h{host='c:1'}", &[(0, histogram(1.0, &[1.0]))])
    }

    #[test]
    fn labels_are_replaced() {
        let database = database();
        let first = "m{host='a:80'}";
        for (call, line) in [
            (
                "'p', '$1-$2', 'host', '(.*):(.*)'",
                r#"m{b="x", host="a:80", p="a-80"} 1"#,
            ),
            (
                "'p', '$$${1}x$1x', 'host', '(.).*'",
                r#"m{b="x", host="a:80", p="$ax"} 1"#,
            ),
            ("'b', '', 'host', '.*'", r#"m{host="a:80"} 1"#),
            (
                "'b', '$name', 'host', '(?P<name>.).*'",
                r#"m{b="a", host="a:80"} 1"#,
            ),
            ("'b', 'z', 'host', 'a'", r#"m{b="x", host="a:80"} 1"#),
            ("'b', 'z$1', 'absent', '()'", r#"m{b="z", host="a:80"} 1"#),
            ("'b', 'z', '\\xff', ''", r#"m{b="z", host="a:80"} 1"#),
            (
                "'ä.b', '$1', 'b', '(.*)'",
                r#"m{b="x", host="a:80", ä.b="x"} 1"#,
            ),
            (
                "'b', '\\xff$1', 'b', '(.*)'",
                "m{b=\"\u{fffd}x\", host=\"a:80\"} 1",
            ),
            // The pattern is put between anchors as text.
            (
                "'b', '<$1>', 'host', 'a)|(8'",
                r#"m{b="<>", host="a:80"} 1"#,
            ),
        ] {
            let query = format!("label_replace({first}, {call})");
            assert_eq!(database.instant(&query, 0).lines(), [line], "{query}");
        }
        let tested = database.instant("label_replace(h, 'host', '', '', '')", 0);
        assert_eq!(tested.lines(), ["h {count:1, sum:1, (0.5,1]:1}"]);
    }

    #[test]
    fn labels_are_joined() {
        let database = database();
        for (call, line) in [
            (
                "'j', '-', 'b', 'host', 'absent'",
                r#"m{b="x", host="a:80", j="x-a:80-"} 1"#,
            ),
            ("'j', '', 'b', 'b'", r#"m{b="x", host="a:80", j="xx"} 1"#),
            ("'b', '-'", r#"m{host="a:80"} 1"#),
            (
                "'b', '\\xff', 'b', 'b'",
                "m{b=\"x\u{fffd}x\", host=\"a:80\"} 1",
            ),
        ] {
            let query = format!("label_join(m{{host='a:80'}}, {call})");
            assert_eq!(database.instant(&query, 0).lines(), [line], "{query}");
        }
    }

    #[test]
    fn arguments_have_to_be_valid() {
        let database = database();
        for (query, error) in [
            (
                "label_replace(m, '', '', '', '(')",
                "invalid regular expression in label_replace(): (",
            ),
            (
                "label_replace(m, 'a', '', '', '\\xff')",
                "invalid regular expression in label_replace(): \u{fffd}",
            ),
            (
                "label_replace(m, '', '', '', '')",
                "invalid destination label name in label_replace(): ",
            ),
            (
                "label_replace(m, 'a\\xff', '', '', '')",
                "invalid destination label name in label_replace(): a\u{fffd}",
            ),
            (
                "label_join(m, '', '', '')",
                "invalid source label name in label_join(): ",
            ),
            (
                "label_join(m, '', '')",
                "invalid destination label name in label_join(): ",
            ),
        ] {
            assert_eq!(database.instant(query, 0).error(), error, "{query}");
        }
    }

    #[test]
    fn values_have_a_bounded_length() {
        let database = database();
        let groups = "$1".repeat(16_000);
        let query = format!("label_replace(m, 'a', '{groups}', 'host', '(.*)')");
        let error = "a label value in label_replace() could have 96000 bytes, and may have 65536; use fewer or shorter parts";
        assert_eq!(database.instant(&query, 0).error(), error);
        let (separator, sources) = ("-".repeat(200_000), ", 'b'".repeat(100_000));
        let query = format!("label_join(m, 'a', '{separator}'{sources})");
        let error = "a label value in label_join() could have 20000100000 bytes, and may have 65536; use fewer or shorter parts";
        assert_eq!(database.instant(&query, 0).error(), error);
        // Each call makes the value four times as long.
        let mut query = "m".to_owned();
        for _ in 0..20 {
            query = format!("label_replace({query}, 'host', '$1$1$1$1', 'host', '(.*)')");
        }
        assert!(
            database
                .instant(&query, 0)
                .error()
                .ends_with("use fewer or shorter parts")
        );
    }

    #[test]
    fn series_that_become_equal_are_merged() {
        let database = Database::default()
            .samples("m{a='1'}", &[(0, 1.0)])
            .samples("m{a='2'}", &[(400_000, 2.0)]);
        let query = "label_replace(m, 'a', '', '', '')";
        let tested = database.range(query, 0, 400_000, 400_000);
        assert_eq!(tested.lines(), ["m 1@0 2@400000"]);
        let error = "vector cannot contain metrics with the same labelset";
        assert_eq!(database.range(query, 0, 400_000, 200_000).lines().len(), 1);
        let both = Database::default()
            .samples("m{a='1'}", &[(0, 1.0)])
            .samples("m{a='2'}", &[(0, 2.0)]);
        assert_eq!(both.instant(query, 0).error(), error);
    }

    #[test]
    fn a_name_that_is_set_stays() {
        for mut database in [Database::default(), Database::with_delayed_name_removal()] {
            database = database.samples("m{a='1'}", &[(0, 1.0)]);
            let query = "label_replace(rate(m[1m] offset -1m) or m * 2, '__name__', 'n', '', '')";
            assert_eq!(database.instant(query, 0).lines(), [r#"n{a="1"} 2"#]);
            let query = "label_join(m * 2, 'b', '', 'a')";
            assert_eq!(database.instant(query, 0).lines(), [r#"{a="1", b="1"} 2"#]);
        }
        // The name is still there when labels are joined.
        let database = Database::with_delayed_name_removal().samples("m", &[(0, 1.0)]);
        let query = "label_join(-m, 'b', '', '__name__')";
        assert_eq!(database.instant(query, 0).lines(), [r#"{b="m"} -1"#]);
    }
}
