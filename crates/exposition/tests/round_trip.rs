//! An exposition that is written and parsed is the same as before.

use std::fmt::Write;

use exposition::{Format, Label, parse};
use prom_model::PROMETHEUS_NAN_BITS;
use proptest::prelude::*;

/// Names and values of labels.
type Labels = Vec<(String, String)>;

#[derive(Clone, Debug, PartialEq)]
struct Line {
    name: String,
    labels: Labels,
    value: u64,
    timestamp_ms: Option<i64>,
    exemplar: Option<(Labels, u64, Option<i64>)>,
}

#[derive(Clone, Debug, PartialEq)]
struct Help {
    name: String,
    text: String,
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zA-Z_][a-zA-Z0-9_]{0,8}", "\\PC{1,6}", any::<String>()]
        .prop_filter("a name", |name| !name.is_empty() && name != "__name__")
}

fn labels() -> impl Strategy<Value = Labels> {
    let value = any::<String>().prop_filter("a value", |it| !it.is_empty());
    proptest::collection::btree_map(name(), value, 0..5)
        .prop_map(|labels| labels.into_iter().collect())
}

fn value() -> impl Strategy<Value = u64> {
    any::<f64>().prop_map(|value| match value.is_nan() {
        true => PROMETHEUS_NAN_BITS,
        false => value.to_bits(),
    })
}

fn lines(with_exemplars: bool) -> impl Strategy<Value = Vec<Line>> {
    let time = -1_000_000_000_000_i64..4_000_000_000_000;
    let exemplar = (labels(), value(), proptest::option::of(time.clone()));
    let share = if with_exemplars {
        0.3
    } else {
        f64::MIN_POSITIVE
    };
    let exemplar = proptest::option::weighted(share, exemplar);
    let line = (
        name(),
        labels(),
        value(),
        proptest::option::of(time),
        exemplar,
    )
        .prop_map(move |(name, labels, value, timestamp_ms, exemplar)| Line {
            name,
            labels,
            value,
            timestamp_ms,
            exemplar: exemplar.filter(|_| with_exemplars),
        });
    proptest::collection::vec(line, 0..5)
}

fn helps() -> impl Strategy<Value = Vec<Help>> {
    proptest::collection::btree_map(name(), any::<String>(), 0..4).prop_map(|helps| {
        let helps = helps.into_iter();
        helps.map(|(name, text)| Help { name, text }).collect()
    })
}

fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', r"\\").replace('"', r#"\""#);
    format!("\"{}\"", escaped.replace('\n', r"\n"))
}

fn is_bare(name: &str, colons: bool) -> bool {
    name.bytes().enumerate().all(|(index, byte)| {
        byte.is_ascii_alphabetic()
            || byte == b'_'
            || (colons && byte == b':')
            || (index > 0 && byte.is_ascii_digit())
    })
}

fn number(bits: u64) -> String {
    match f64::from_bits(bits) {
        value if value.is_nan() => "NaN".to_owned(),
        value if value == f64::INFINITY => "+Inf".to_owned(),
        value if value == f64::NEG_INFINITY => "-Inf".to_owned(),
        value => format!("{value:e}"),
    }
}

fn time(format: Format, milliseconds: i64) -> String {
    match format {
        Format::Text => milliseconds.to_string(),
        Format::OpenMetrics => {
            // Half a millisecond more, as the parser cuts off fractions and a float may be slightly less.
            let sign = if milliseconds < 0 { "-" } else { "" };
            let (whole, rest) = (milliseconds.abs() / 1000, milliseconds.abs() % 1000);
            format!("{sign}{whole}.{rest:03}5")
        }
    }
}

fn braces(labels: &[(String, String)], name: Option<&str>) -> String {
    let label = |(name, value): &(String, String)| {
        let name = match is_bare(name, false) {
            true => name.clone(),
            false => quoted(name),
        };
        format!("{name}={}", quoted(value))
    };
    let all: Vec<_> = name
        .map(quoted)
        .into_iter()
        .chain(labels.iter().map(label))
        .collect();
    format!("{{{}}}", all.join(","))
}

fn write(format: Format, helps: &[Help], lines: &[Line]) -> String {
    let mut body = String::new();
    for Help { name, text } in helps {
        let name = match is_bare(name, true) {
            true => name.clone(),
            false => quoted(name),
        };
        let mut text = text.replace('\\', r"\\").replace('\n', r"\n");
        if format == Format::OpenMetrics {
            text = text.replace('"', r#"\""#);
        }
        writeln!(body, "# HELP {name} {text}").unwrap();
    }
    for line in lines {
        match is_bare(&line.name, true) {
            true if line.labels.is_empty() => body += &line.name,
            true => body += &format!("{}{}", line.name, braces(&line.labels, None)),
            false => body += &braces(&line.labels, Some(&line.name)),
        }
        write!(body, " {}", number(line.value)).unwrap();
        if let Some(milliseconds) = line.timestamp_ms {
            write!(body, " {}", time(format, milliseconds)).unwrap();
        }
        if let Some((labels, value, milliseconds)) = &line.exemplar {
            write!(body, " # {} {}", braces(labels, None), number(*value)).unwrap();
            if let Some(milliseconds) = milliseconds {
                write!(body, " {}", time(format, *milliseconds)).unwrap();
            }
        }
        body.push('\n');
    }
    if format == Format::OpenMetrics {
        body += "# EOF\n";
    }
    body
}

fn owned(labels: &[Label<'_>]) -> Labels {
    let owned = labels
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()));
    owned.collect()
}

fn read(body: &str, format: Format) -> (Vec<Help>, Vec<Line>) {
    let exposition =
        parse(body.as_bytes(), format).unwrap_or_else(|error| panic!("{error}\n{body}"));
    let lines = exposition.samples.iter().map(|sample| Line {
        name: sample.name.to_string(),
        labels: owned(exposition.labels(sample)),
        value: sample.value.to_bits(),
        timestamp_ms: sample.timestamp_ms,
        exemplar: sample.exemplar.as_ref().map(|exemplar| {
            (
                owned(&exemplar.labels),
                exemplar.value.to_bits(),
                exemplar.timestamp_ms,
            )
        }),
    });
    let helps = exposition.families.iter().map(|family| Help {
        name: family.name.to_string(),
        text: family.help.to_string(),
    });
    (helps.collect(), lines.collect())
}

/// Returns the help texts as the text format can express them: it has no help text of blanks alone.
fn expressible(helps: &[Help]) -> Vec<Help> {
    let mut helps = helps.to_vec();
    for help in &mut helps {
        if help.text.bytes().all(|byte| byte == b' ' || byte == b'\t') {
            help.text.clear();
        }
    }
    helps
}

proptest! {
    #[test]
    fn text_survives_a_round_trip(helps in helps(), lines in lines(false)) {
        let body = write(Format::Text, &helps, &lines);
        prop_assert_eq!(read(&body, Format::Text), (expressible(&helps), lines));
    }

    #[test]
    fn openmetrics_survives_a_round_trip(helps in helps(), lines in lines(true)) {
        let body = write(Format::OpenMetrics, &helps, &lines);
        prop_assert_eq!(read(&body, Format::OpenMetrics), (helps, lines));
    }

    #[test]
    fn a_body_that_is_cut_is_rejected(lines in lines(true), share in 0.0..1.0) {
        let body = write(Format::OpenMetrics, &[], &lines);
        let end = "# EOF\n".len();
        let cut = ((body.len() - end) as f64 * share) as usize + end - 1;
        prop_assume!(cut < body.len() - 1);
        prop_assert!(parse(&body.as_bytes()[..cut], Format::OpenMetrics).is_err());
    }

    #[test]
    fn any_bytes_are_accepted_or_rejected(body in any::<Vec<u8>>()) {
        for format in [Format::Text, Format::OpenMetrics] {
            if let Err(error) = parse(&body, format) {
                let lines: Vec<_> = body.split(|byte| *byte == b'\n').collect();
                prop_assert!(error.offset <= lines[error.line - 1].len());
            }
        }
    }
}
