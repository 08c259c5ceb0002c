//! Series descriptions: a metric and its values, one for each step of time.

use std::sync::Arc;

use prom_model::{
    Buckets, Count, FloatHistogram, Histogram, Label, Labels, METRIC_NAME_LABEL,
    PROMETHEUS_NAN_BITS, ResetHint, STALE_MARKER_BITS, Span,
};
use promql::{ExprKind, MatchOp, ParserOptions};

/// A value of a series at one step.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// No sample.
    Gap,
    /// A float.
    Float(f64),
    /// A native histogram.
    Histogram {
        /// The histogram.
        histogram: Arc<FloatHistogram>,
        /// True if the hint about resets was written, so that it is compared.
        has_hint: bool,
    },
}

/// A metric and its values.
#[derive(Clone, Debug)]
pub(crate) struct Description {
    pub(crate) labels: Labels,
    pub(crate) items: Vec<Item>,
}

/// Parses `METRIC ITEM ITEM ...`.
pub(crate) fn description(line: &str) -> Result<Description, String> {
    let (metric, rest) = split_metric(line);
    let mut items = Vec::new();
    for word in words(rest, ("{{", "}}")) {
        let parsed = parse_items(word, &mut items);
        parsed.map_err(|reason| format!("invalid item `{word}`: {reason}"))?;
    }
    Ok(Description {
        labels: labels(metric)?,
        items,
    })
}

/// Parses `METRIC@st OFFSET OFFSET ...`: start timestamps in milliseconds relative to the samples. Returns `None` for
/// other lines.
pub(crate) fn start_timestamps(line: &str) -> Option<Result<(Labels, Vec<Option<i64>>), String>> {
    let (metric, rest) = line.split_once([' ', '\t'])?;
    let metric = metric.strip_suffix("@st")?;
    Some(labels(metric).and_then(|labels| {
        let mut offsets = Vec::new();
        for word in rest.split_ascii_whitespace() {
            let parsed = parse_offsets(word, &mut offsets);
            parsed.map_err(|reason| format!("invalid start timestamp `{word}`: {reason}"))?;
        }
        Ok((labels, offsets))
    }))
}

/// Parses a duration such as `1h30m`, or `0`, into milliseconds.
pub(crate) fn duration(text: &str) -> Result<i64, String> {
    const UNITS: [(&str, i64); 7] = [
        ("y", 365 * 86_400_000),
        ("w", 7 * 86_400_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ];
    let invalid = || format!("`{text}` is no duration; write it like 1h30m or 10ms");
    if text == "0" {
        return Ok(0);
    }
    let (mut rest, mut units, mut sum) = (text, UNITS.iter(), 0_i64);
    while !rest.is_empty() {
        let (digits, after) = rest.split_at(digits(rest));
        let end = after.find(|c: char| c.is_ascii_digit());
        let (unit, after) = after.split_at(end.unwrap_or(after.len()));
        let (_, milliseconds) = units.find(|(name, _)| *name == unit).ok_or_else(invalid)?;
        let count: i64 = digits.parse().map_err(|_| invalid())?;
        let part = count.checked_mul(*milliseconds).ok_or_else(invalid)?;
        sum = sum.checked_add(part).ok_or_else(invalid)?;
        rest = after;
    }
    match text.is_empty() {
        true => Err(invalid()),
        false => Ok(sum),
    }
}

/// Splits a line behind the metric, whose braces and quotes may contain blanks.
fn split_metric(line: &str) -> (&str, &str) {
    let (mut in_braces, mut quote, mut is_escaped) = (false, None, false);
    for (index, byte) in line.bytes().enumerate() {
        match (quote, byte) {
            _ if is_escaped => is_escaped = false,
            (Some(open), b'\\') if open != b'`' => is_escaped = true,
            (Some(open), _) if open == byte => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'' | b'`') => quote = Some(byte),
            (None, b'{') => in_braces = true,
            (None, b'}') => in_braces = false,
            (None, b' ' | b'\t') if !in_braces => return line.split_at(index),
            (None, _) => {}
        }
    }
    (line, "")
}

/// Parses a metric as the selector that it looks like.
fn labels(metric: &str) -> Result<Labels, String> {
    if metric == "{}" {
        return Ok(Labels::default());
    }
    let invalid = |reason: &str| format!("`{metric}` is no metric: {reason}");
    let expr = promql::parse(metric, &ParserOptions::everything())
        .map_err(|error| invalid(&error.to_string()))?;
    let ExprKind::Vector(selector) = expr.kind else {
        return Err(invalid("write it like name{label=\"value\"}"));
    };
    let mut labels = Vec::new();
    for matcher in &selector.matchers {
        let (Some(name), Some(value)) = (matcher.name.as_str(), matcher.value.as_str()) else {
            return Err(invalid("its labels must be UTF-8"));
        };
        if matcher.op != MatchOp::Equal {
            return Err(invalid("labels are set by `=`"));
        }
        labels.push(Label {
            name: name.to_owned(),
            value: value.to_owned(),
        });
    }
    // The name is the last condition.
    labels.sort_by_key(|label| label.name != METRIC_NAME_LABEL);
    Ok(Labels::new(labels))
}

/// Splits at blanks that are not between the brackets.
fn words<'a>(text: &'a str, (open, close): (&str, &str)) -> Vec<&'a str> {
    let (mut words, mut start, mut is_open) = (Vec::new(), 0, false);
    for (index, byte) in text.bytes().enumerate() {
        let rest = &text.as_bytes()[index..];
        if rest.starts_with(open.as_bytes()) {
            is_open = true;
        } else if rest.starts_with(close.as_bytes()) {
            is_open = false;
        } else if matches!(byte, b' ' | b'\t') && !is_open {
            words.push(&text[start..index]);
            start = index + 1;
        }
    }
    words.push(&text[start..]);
    words.retain(|word| !word.is_empty());
    words
}

fn parse_items(word: &str, items: &mut Vec<Item>) -> Result<(), String> {
    if let Some(repeated) = word.strip_prefix('_') {
        let count = match repeated {
            "" => 1,
            _ => times(repeated)?,
        };
        items.extend(std::iter::repeat_n(Item::Gap, count));
        return Ok(());
    }
    match word.starts_with("{{") {
        true => parse_histograms(word, items),
        false => parse_floats(word, items),
    }
}

/// Parses `A`, `AxN`, `A+BxN` or `A-BxN`.
fn parse_floats(word: &str, items: &mut Vec<Item>) -> Result<(), String> {
    let (first, rest) = match word {
        "stale" => (f64::from_bits(STALE_MARKER_BITS), ""),
        _ => float_prefix(word)?,
    };
    items.push(Item::Float(first));
    if rest.is_empty() {
        return Ok(());
    }
    let (change, rest) = match rest.starts_with('x') {
        true => (None, rest),
        false => {
            let (change, rest) = float_prefix(rest)?;
            (Some(change), rest)
        }
    };
    let mut value = first;
    for _ in 0..times(rest)? {
        // A sum and not a product: rounding adds up.
        value += change.unwrap_or(0.0);
        let next = change.map_or(first, |_| value);
        items.push(Item::Float(next));
    }
    Ok(())
}

/// Parses `{{..}}`, `{{..}}xN`, `{{..}}+{{..}}xN` or `{{..}}-{{..}}xN`.
fn parse_histograms(word: &str, items: &mut Vec<Item>) -> Result<(), String> {
    let (first, has_hint, rest) = histogram_prefix(word)?;
    if rest.is_empty() || rest.starts_with('x') {
        let count = match rest {
            "" => 0,
            _ => times(rest)?,
        };
        let item = Item::Histogram {
            histogram: Arc::new(first),
            has_hint,
        };
        items.extend(std::iter::repeat_n(item, count + 1));
        return Ok(());
    }
    let is_sum = rest.starts_with('+');
    let rest = rest.strip_prefix(['+', '-']);
    let rest = rest.ok_or("a sign or `x` follows a histogram")?;
    // The hint of the second histogram says if the hint is compared.
    let (change, has_hint, rest) = histogram_prefix(rest)?;
    if first.schema() > change.schema() {
        return Err("the second histogram has a coarser schema than the first".to_owned());
    }
    let mut value = first;
    for _ in 0..times(rest)? {
        let next = value.clone();
        items.push(Item::Histogram {
            histogram: Arc::new(std::mem::replace(&mut value, next)),
            has_hint,
        });
        let combined = match is_sum {
            true => value.add(&change),
            false => value.sub(&change),
        };
        combined.map(drop).map_err(|error| error.to_string())?;
    }
    items.push(Item::Histogram {
        histogram: Arc::new(value),
        has_hint,
    });
    Ok(())
}

/// Parses the histogram at the start of `text`; returns it, true if its hint is written, and the rest.
fn histogram_prefix(text: &str) -> Result<(FloatHistogram, bool, &str), String> {
    let inner = text
        .strip_prefix("{{")
        .ok_or("a histogram starts with {{")?;
    let (inner, rest) = inner.split_once("}}").ok_or("a histogram ends with }}")?;
    let mut histogram = Histogram {
        count: Some(Count::Float(0.0)),
        zero_count: Some(Count::Float(0.0)),
        ..Histogram::default()
    };
    let (mut offset, mut negative_offset, mut has_hint) = (0, 0, false);
    for word in words(inner, ("[", "]")) {
        let field = word.split_once(':');
        let (key, value) = field.ok_or_else(|| format!("`{word}` is no KEY:VALUE"))?;
        let integer = || {
            let parsed = value.parse::<i32>();
            parsed.map_err(|_| format!("`{value}` is no integer"))
        };
        match key.to_ascii_lowercase().as_str() {
            "schema" => histogram.schema = integer()?,
            "sum" => histogram.sum = float(value)?,
            "count" => histogram.count = Some(Count::Float(float(value)?)),
            "z_bucket" => histogram.zero_count = Some(Count::Float(float(value)?)),
            "z_bucket_w" => histogram.zero_threshold = float(value)?,
            "custom_values" => histogram.custom_values = floats(value)?,
            "buckets" => histogram.positive.counts = floats(value)?,
            "n_buckets" => histogram.negative.counts = floats(value)?,
            "offset" => offset = integer()?,
            "n_offset" => negative_offset = integer()?,
            "counter_reset_hint" => {
                histogram.reset_hint = hint(value)?.to_number();
                has_hint = true;
            }
            _ => return Err(format!("histograms have no `{key}`")),
        }
    }
    place(&mut histogram.positive, offset);
    place(&mut histogram.negative, negative_offset);
    let histogram = FloatHistogram::try_from(&histogram).map_err(|error| error.to_string())?;
    Ok((histogram, has_hint, rest))
}

/// Puts all buckets into one span.
fn place(buckets: &mut Buckets, offset: i32) {
    let length = u32::try_from(buckets.counts.len()).expect("a line is short");
    if length > 0 {
        buckets.spans = vec![Span { offset, length }];
    }
}

fn hint(text: &str) -> Result<ResetHint, String> {
    match text {
        "unknown" => Ok(ResetHint::Unknown),
        "reset" => Ok(ResetHint::Reset),
        "not_reset" => Ok(ResetHint::NotReset),
        "gauge" => Ok(ResetHint::Gauge),
        _ => Err(format!(
            "`{text}` is none of unknown, reset, not_reset and gauge"
        )),
    }
}

fn floats(list: &str) -> Result<Vec<f64>, String> {
    let inner = list.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let inner = inner.ok_or_else(|| format!("`{list}` is not in brackets"))?;
    inner.split_ascii_whitespace().map(float).collect()
}

fn float(text: &str) -> Result<f64, String> {
    match float_prefix(text)? {
        (number, "") => Ok(number),
        _ => Err(format!("`{text}` is no number")),
    }
}

/// Parses the number at the start of `text`, which may have a sign; returns the rest too.
fn float_prefix(text: &str) -> Result<(f64, &str), String> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let word = unsigned.get(..3).unwrap_or("").to_ascii_lowercase();
    let length = match word.as_str() {
        "inf" | "nan" => 3,
        _ => {
            let mantissa = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.');
            let mantissa = mantissa.unwrap_or(unsigned.len());
            mantissa + exponent(&unsigned[mantissa..])
        }
    };
    let (number, rest) = unsigned.split_at(length);
    let is_integer = number.bytes().all(|byte| byte.is_ascii_digit());
    // As in Go, an integer that starts with 0 has the base 8 if it can.
    let octal = match is_integer && number.starts_with('0') {
        true => i64::from_str_radix(number, 8).ok().map(|it| it as f64),
        false => None,
    };
    let value = match octal {
        Some(value) => value,
        None if word == "nan" => f64::from_bits(PROMETHEUS_NAN_BITS),
        None => number
            .parse()
            .map_err(|_| format!("`{text}` starts with no number"))?,
    };
    match text.starts_with('-') {
        true => Ok((-value, rest)),
        false => Ok((value, rest)),
    }
}

/// Returns the length of the exponent at the start of `text`.
fn exponent(text: &str) -> usize {
    let Some(power) = text.strip_prefix(['e', 'E']) else {
        return 0;
    };
    let unsigned = power.strip_prefix(['+', '-']).unwrap_or(power);
    text.len() - unsigned.len() + digits(unsigned)
}

/// Returns the number of digits at the start of `text`.
fn digits(text: &str) -> usize {
    let end = text.find(|c: char| !c.is_ascii_digit());
    end.unwrap_or(text.len())
}

/// Parses `xN`.
fn times(text: &str) -> Result<usize, String> {
    let count = text.strip_prefix('x').and_then(|it| it.parse().ok());
    count.ok_or_else(|| format!("`{text}` is no number of repetitions like x5"))
}

/// Parses `_`, `_xN`, `D`, `DxN`, `D+DxN` or `D-DxN`.
fn parse_offsets(word: &str, offsets: &mut Vec<Option<i64>>) -> Result<(), String> {
    if let Some(repeated) = word.strip_prefix('_') {
        let count = match repeated {
            "" => 1,
            _ => times(repeated)?,
        };
        offsets.extend(std::iter::repeat_n(None, count));
        return Ok(());
    }
    let (mut offset, rest) = offset_prefix(word)?;
    offsets.push(Some(offset));
    if rest.is_empty() {
        return Ok(());
    }
    let (change, rest) = match rest.starts_with('x') {
        true => (0, rest),
        false => offset_prefix(rest)?,
    };
    for _ in 0..times(rest)? {
        offset += change;
        offsets.push(Some(offset));
    }
    Ok(())
}

/// Parses one number with its unit, which may have a sign, at the start of `text`.
fn offset_prefix(text: &str) -> Result<(i64, &str), String> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let number = digits(unsigned);
    let unit = unsigned[number..].find(|c: char| !c.is_ascii_alphabetic() || c == 'x');
    let length = unit.map_or(unsigned.len(), |unit| number + unit);
    let (offset, rest) = unsigned.split_at(length);
    let offset = duration(offset)?;
    match text.starts_with('-') {
        true => Ok((-offset, rest)),
        false => Ok((offset, rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the items as text.
    fn texts(line: &str) -> Vec<String> {
        let items = description(line).unwrap().items.into_iter();
        let texts = items.map(|item| match item {
            Item::Gap => "_".to_owned(),
            Item::Float(value) if value.to_bits() == STALE_MARKER_BITS => "stale".to_owned(),
            Item::Float(value) => value.to_string(),
            Item::Histogram {
                histogram,
                has_hint,
            } => {
                let hint = has_hint.then(|| format!("{:?}", histogram.reset_hint()));
                format!("{histogram}{}", hint.unwrap_or_default())
            }
        });
        texts.collect()
    }

    #[test]
    fn metrics_are_those_of_selectors() {
        let text = |line| {
            let labels = description(line).unwrap().labels;
            let labels = labels.iter().map(|it| format!("{}={};", it.name, it.value));
            labels.collect::<String>()
        };
        assert_eq!(text(r#"up{job="a b",x='}'} 1"#), "__name__=up;job=a b;x=};");
        assert_eq!(text(r#"{"a.b", "c d"="\" "}"#), "__name__=a.b;c d=\" ;");
        assert_eq!(text("{} 5"), "");
        assert_eq!(text("sum 5"), "__name__=sum;");
        assert!(description("up{job=~\"a\"} 1").is_err());
        assert!(description("up{}1").is_err());
    }

    #[test]
    fn floats_are_repeated_and_changed() {
        assert_eq!(
            texts("m 1 -2.5e1 .5 0x2 _ _x2"),
            texts("m 1 -25 0.5 0 0 0 _ _ _")
        );
        assert_eq!(
            texts("m 1+2x2 5-1x1 -1-2x1"),
            ["1", "3", "5", "5", "4", "-1", "-3"]
        );
        assert_eq!(texts("m stale stale"), ["stale"; 2]);
        assert_eq!(texts("m NaN Inf -inf +Inf"), ["NaN", "inf", "-inf", "inf"]);
        let items = description("m nan").unwrap().items;
        assert!(matches!(items[0], Item::Float(it) if it.to_bits() == PROMETHEUS_NAN_BITS));
        assert_eq!(texts("m 010 08 1e2x1"), ["8", "8", "100", "100"]);
        assert_eq!(texts("m 1e-2+1x1"), ["0.01", "1.01"]);
        // Each step is rounded.
        assert_eq!(
            texts("m 0+0.1x3"),
            ["0", "0.1", "0.2", "0.30000000000000004"]
        );
        for word in [
            "1x", "1+x2", "1 +", "abc", "1xx", "_1", "1+1", "1e", "stalex1", "1--1x1",
        ] {
            assert!(description(&format!("m {word}")).is_err(), "{word}");
        }
    }

    #[test]
    fn histograms_have_fields_and_arithmetic() {
        assert_eq!(texts("m {{}}"), ["{count:0, sum:0}"]);
        let line = "m {{count:4 sum:-5.5 buckets:[1 2] offset:1 n_buckets:[1] z_bucket:0}}";
        assert_eq!(
            texts(line),
            ["{count:4, sum:-5.5, [-1,-0.5):1, (1,2]:1, (2,4]:2}"]
        );
        let line = "m {{schema:-53 count:3 custom_values:[1 2.5] buckets:[1 2]}}x1";
        assert_eq!(texts(line), ["{count:3, sum:0, [-Inf,1]:1, (1,2.5]:2}"; 2]);
        let line = "m {{count:1 buckets:[1]}}+{{count:2 buckets:[2]}}x2";
        let counts = ["count:1", "count:3", "count:5"];
        for (text, count) in texts(line).iter().zip(counts) {
            assert!(text.contains(count), "{text}");
        }
        let line = "m {{count:5 counter_reset_hint:gauge}}-{{count:2 counter_reset_hint:gauge}}x1";
        assert_eq!(
            texts(line),
            ["{count:5, sum:0}Gauge", "{count:3, sum:0}Gauge"]
        );
        for word in [
            "{{count:1",
            "{{count}}",
            "{{height:1}}",
            "{{schema:9.5}}",
            "{{schema:-53 custom_values:[2 1]}}",
            "{{}}+{{}}",
            "{{}}*{{}}x2",
            "{{schema:1}}+{{schema:0}}x1",
            "{{counter_reset_hint:maybe}}",
            "{{buckets:1}}",
        ] {
            assert!(description(&format!("m {word}")).is_err(), "{word}");
        }
    }

    #[test]
    fn start_timestamps_are_relative_to_samples() {
        let (labels, offsets) = start_timestamps("m{a=\"b\"}@st _ -1m _x2 -30s-1mx2 -1sx1 0s")
            .unwrap()
            .unwrap();
        assert_eq!(labels.get("a"), "b");
        let milliseconds = [
            None,
            Some(-60_000),
            None,
            None,
            Some(-30_000),
            Some(-90_000),
            Some(-150_000),
            Some(-1000),
            Some(-1000),
            Some(0),
        ];
        assert_eq!(offsets, milliseconds);
        assert!(start_timestamps("m 1 2").is_none());
        assert!(start_timestamps("m@st 5").unwrap().is_err());
        assert!(start_timestamps("m@st 5s+x2").unwrap().is_err());
    }

    #[test]
    fn durations_have_falling_units() {
        assert_eq!(duration("0"), Ok(0));
        assert_eq!(duration("1h30m10ms"), Ok(5_400_010));
        assert_eq!(duration("1w"), Ok(604_800_000));
        for text in ["", "1", "m", "1m1h", "1m1m", "-1m", "99999999999y"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
