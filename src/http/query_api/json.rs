//! Results of queries as the JSON of Prometheus' HTTP API, byte for byte.
//!
//! Its forms are those of `web/api/v1/json_codec.go` and `util/jsonutil/marshal.go` of Prometheus 3.15: values are
//! strings, times are seconds with three decimals or none, empty buckets are absent. Labels are written as they are,
//! while other strings have HTML characters escaped.

use std::io::Write;

use prom_model::go_math::Digits;
use prom_model::{Bucket, FloatHistogram, Labels, Sample};
use promql::{HistogramSample, SampleValue, Series, Value, VectorSample};

/// Writes the data of a result piece by piece: `{"resultType":...,"result":...`, without the closing brace.
pub(super) struct ValueWriter<'v> {
    value: &'v Value,
    /// The next element of a vector or matrix; `None` before the first piece.
    next: Option<usize>,
}

impl<'v> ValueWriter<'v> {
    pub(super) fn new(value: &'v Value) -> Self {
        Self { value, next: None }
    }

    /// Writes the next piece, which has at most one series. Returns false after the last one.
    pub(super) fn write_piece(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(next) = self.next else {
            self.begin(out);
            self.next = Some(0);
            return self.len().is_some();
        };
        let is_within = self.len().is_some_and(|len| next < len);
        if is_within && next > 0 {
            out.push(b',');
        }
        match self.value {
            Value::Vector(samples) if is_within => write_sample(&samples[next], out),
            Value::Matrix(series) if is_within => write_series(&series[next], out),
            _ => out.push(b']'),
        }
        self.next = Some(next + 1);
        is_within
    }

    /// Returns the number of elements; `None` of a scalar or string, which is one piece.
    fn len(&self) -> Option<usize> {
        match self.value {
            Value::Scalar { .. } | Value::String { .. } => None,
            Value::Vector(samples) => Some(samples.len()),
            Value::Matrix(series) => Some(series.len()),
        }
    }

    fn begin(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"resultType\":\"");
        out.extend_from_slice(self.value.value_type().name().as_bytes());
        out.extend_from_slice(b"\",\"result\":");
        match self.value {
            Value::Scalar {
                timestamp_ms,
                value,
            } => write_alone(*timestamp_ms, out, |out| write_digits(*value, out)),
            Value::String {
                timestamp_ms,
                value,
            } => write_alone(*timestamp_ms, out, |out| {
                write_string(&value.to_string_lossy(), out);
            }),
            Value::Vector(_) | Value::Matrix(_) => out.push(b'['),
        }
    }
}

/// Writes the field of a list of strings, unless it is empty: `,"NAME":[...]`.
pub(super) fn write_strings_field(name: &str, strings: &[String], out: &mut Vec<u8>) {
    if !strings.is_empty() {
        write!(out, ",\"{name}\":").expect("a vector grows");
        write_list(strings, out, |text, out| write_string(text, out));
    }
}

/// Writes a list with the elements separated by commas.
pub(super) fn write_list<T>(
    elements: impl IntoIterator<Item = T>,
    out: &mut Vec<u8>,
    mut write: impl FnMut(T, &mut Vec<u8>),
) {
    out.push(b'[');
    for (index, element) in elements.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(element, out);
    }
    out.push(b']');
}

fn write_sample(sample: &VectorSample, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"metric\":");
    write_labels(&sample.labels, out);
    match &sample.value {
        SampleValue::Float(value) => {
            out.extend_from_slice(b",\"value\":");
            write_pair(sample.timestamp_ms, out, |out| write_float(*value, out));
        }
        SampleValue::Histogram(histogram) => {
            out.extend_from_slice(b",\"histogram\":");
            write_pair(sample.timestamp_ms, out, |out| {
                write_histogram(histogram, out)
            });
        }
    }
    out.push(b'}');
}

fn write_series(series: &Series, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"metric\":");
    write_labels(&series.labels, out);
    if !series.floats.is_empty() {
        out.extend_from_slice(b",\"values\":");
        write_list(&series.floats, out, |sample: &Sample, out| {
            write_pair(sample.timestamp_ms, out, |out| {
                write_float(sample.value, out)
            });
        });
    }
    if !series.histograms.is_empty() {
        out.extend_from_slice(b",\"histograms\":");
        write_list(&series.histograms, out, |sample: &HistogramSample, out| {
            write_pair(sample.timestamp_ms, out, |out| {
                write_histogram(&sample.histogram, out)
            });
        });
    }
    out.push(b'}');
}

/// Writes labels as an object.
pub(super) fn write_labels(labels: &Labels, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, label) in labels.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_label(&label.name, out);
        out.push(b':');
        write_label(&label.value, out);
    }
    out.push(b'}');
}

/// Writes a scalar or string, whose time has the fewest digits.
fn write_alone(timestamp_ms: i64, out: &mut Vec<u8>, write_value: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'[');
    write_number(timestamp_ms as f64 / 1000.0, out);
    out.push(b',');
    write_value(out);
    out.push(b']');
}

/// Writes the value of a scalar: a float as a string with the fewest digits, never with an exponent.
fn write_digits(value: f64, out: &mut Vec<u8>) {
    if value.is_finite() {
        write!(out, "\"{value}\"").expect("a vector grows");
    } else {
        write_float(value, out);
    }
}

fn write_pair(timestamp_ms: i64, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'[');
    write_time(timestamp_ms, out);
    out.push(b',');
    write(out);
    out.push(b']');
}

/// Writes a time as seconds, with three decimals unless it is a whole second.
pub(super) fn write_time(timestamp_ms: i64, out: &mut Vec<u8>) {
    if timestamp_ms < 0 {
        out.push(b'-');
    }
    let milliseconds = timestamp_ms.unsigned_abs();
    let (seconds, fraction) = (milliseconds / 1000, milliseconds % 1000);
    let written = match fraction {
        0 => write!(out, "{seconds}"),
        _ => write!(out, "{seconds}.{fraction:03}"),
    };
    written.expect("a vector grows");
}

/// Writes a float as a string.
pub(super) fn write_float(value: f64, out: &mut Vec<u8>) {
    out.push(b'"');
    write_number(value, out);
    out.push(b'"');
}

/// Writes a float with the fewest digits; with an exponent below 1e-6 and from 1e21 on.
pub(super) fn write_number(value: f64, out: &mut Vec<u8>) {
    /// Integers up to it are exact, and faster to write than floats.
    const MAX_EXACT: f64 = 9_007_199_254_740_992.0;
    let size = value.abs();
    let written = if value.is_nan() {
        write!(out, "NaN")
    } else if value.is_infinite() {
        write!(out, "{}Inf", if value > 0.0 { '+' } else { '-' })
    } else if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{:e}", Digits(value));
        match text.split_once('e') {
            Some((digits, exponent)) => {
                let (sign, exponent) = match exponent.strip_prefix('-') {
                    Some(exponent) => ('-', exponent),
                    None => ('+', exponent),
                };
                write!(out, "{digits}e{sign}{exponent:0>2}")
            }
            None => write!(out, "{text}"),
        }
    } else if size != 0.0 && size <= MAX_EXACT && value.trunc() == value {
        write!(out, "{}", value as i64)
    } else {
        write!(out, "{}", Digits(value))
    };
    written.expect("a vector grows");
}

fn write_histogram(histogram: &FloatHistogram, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"count\":");
    write_float(histogram.count(), out);
    out.extend_from_slice(b",\"sum\":");
    write_float(histogram.sum(), out);
    let mut buckets = histogram
        .all_buckets()
        .filter(|it| it.count != 0.0)
        .peekable();
    if buckets.peek().is_some() {
        out.extend_from_slice(b",\"buckets\":");
        write_list(buckets, out, write_bucket);
    }
    out.push(b'}');
}

fn write_bucket(bucket: Bucket, out: &mut Vec<u8>) {
    let boundaries = match (bucket.is_lower_inclusive, bucket.is_upper_inclusive) {
        (false, true) => b'0',
        (true, false) => b'1',
        (false, false) => b'2',
        (true, true) => b'3',
    };
    out.extend_from_slice(&[b'[', boundaries]);
    for value in [bucket.lower, bucket.upper, bucket.count] {
        out.push(b',');
        write_float(value, out);
    }
    out.push(b']');
}

/// Writes a string whose HTML characters and line separators are escaped.
pub(super) fn write_string(text: &str, out: &mut Vec<u8>) {
    write_escaped(text, true, out);
}

/// Writes a name or value of a label.
fn write_label(text: &str, out: &mut Vec<u8>) {
    write_escaped(text, false, out);
}

fn write_escaped(text: &str, escapes_html: bool, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut written = 0;
    for (place, character) in text.char_indices() {
        let short: &[u8] = match character {
            '"' => b"\\\"",
            '\\' => b"\\\\",
            '\n' => b"\\n",
            '\r' => b"\\r",
            '\t' => b"\\t",
            '\0'..='\x1f' => b"",
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' if escapes_html => b"",
            _ => continue,
        };
        out.extend_from_slice(&text.as_bytes()[written..place]);
        match short {
            b"" => write!(out, "\\u{:04x}", u32::from(character)).expect("a vector grows"),
            _ => out.extend_from_slice(short),
        }
        written = place + character.len_utf8();
    }
    out.extend_from_slice(&text.as_bytes()[written..]);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use prom_model::{Buckets, Count, Histogram, Label, Span};

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn written_value(value: &Value) -> String {
        written(|out| {
            let mut writer = ValueWriter::new(value);
            while writer.write_piece(out) {}
        })
    }

    #[test]
    fn values_are_written_in_pieces() {
        let vector = |len: usize| {
            let sample = VectorSample {
                labels: Arc::default(),
                timestamp_ms: 1_000,
                value: SampleValue::Float(2.0),
            };
            Value::Vector(vec![sample; len])
        };
        let element = "{\"metric\":{},\"value\":[1,\"2\"]}";
        for (len, elements) in [
            (0, String::new()),
            (1, element.to_owned()),
            (2, format!("{element},{element}")),
        ] {
            let expected = format!("{{\"resultType\":\"vector\",\"result\":[{elements}]");
            assert_eq!(written_value(&vector(len)), expected);
        }
        let scalar = Value::Scalar {
            timestamp_ms: 4_000,
            value: 2.0,
        };
        assert_eq!(
            written_value(&scalar),
            "{\"resultType\":\"scalar\",\"result\":[4,\"2\"]"
        );
        // Unlike those of series.
        for (value, text) in [
            (-0.0, "-0"),
            (1e-7, "0.0000001"),
            (1.5e22, "15000000000000000000000"),
            (f64::INFINITY, "+Inf"),
            (f64::NAN, "NaN"),
        ] {
            let scalar = Value::Scalar {
                timestamp_ms: 4_070,
                value,
            };
            let expected = format!("{{\"resultType\":\"scalar\",\"result\":[4.07,\"{text}\"]");
            assert_eq!(written_value(&scalar), expected);
        }
    }

    #[test]
    fn floats_have_the_digits_of_go() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-42.0, "-42"),
            (0.1, "0.1"),
            (1e-6, "0.000001"),
            (9.99e-7, "9.99e-07"),
            (1e-320, "1e-320"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (-1.5e300, "-1.5e+300"),
            (147.999_053_955_078_12, "147.99905395507812"),
            (9_007_199_254_740_993.0, "9007199254740992"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(
                written(|out| write_float(value, out)),
                format!("\"{text}\"")
            );
        }
    }

    #[test]
    fn times_are_seconds() {
        for (time, text) in [
            (0, "0"),
            (1_500, "1.500"),
            (-1_500, "-1.500"),
            (-1, "-0.001"),
            (1_435_781_451_781, "1435781451.781"),
            (i64::MIN, "-9223372036854775.808"),
        ] {
            assert_eq!(written(|out| write_time(time, out)), text);
        }
    }

    #[test]
    fn labels_keep_what_other_strings_escape() {
        let text = "<b>&\u{2028}é\"\\\u{1}\u{7f}\n";
        assert_eq!(
            written(|out| write_label(text, out)),
            "\"<b>&\u{2028}é\\\"\\\\\\u0001\u{7f}\\n\""
        );
        assert_eq!(
            written(|out| write_string(text, out)),
            "\"\\u003cb\\u003e\\u0026\\u2028é\\\"\\\\\\u0001\u{7f}\\n\""
        );
    }

    #[test]
    fn a_series_has_floats_and_histograms() {
        let histogram = FloatHistogram::try_from(&Histogram {
            count: Some(Count::Float(3.5)),
            sum: 7.0,
            zero_count: Some(Count::Float(0.5)),
            zero_threshold: 0.25,
            positive: Buckets {
                spans: vec![Span {
                    offset: 1,
                    length: 3,
                }],
                deltas: vec![],
                counts: vec![1.0, 0.0, 2.0],
            },
            ..Histogram::default()
        });
        let label = Label {
            name: "job".to_owned(),
            value: "a".to_owned(),
        };
        let series = Series {
            labels: Labels::new(vec![label]).into(),
            floats: vec![Sample {
                timestamp_ms: 1_000,
                value: 2.0,
            }],
            histograms: vec![HistogramSample {
                timestamp_ms: 2_001,
                histogram: histogram.unwrap().into(),
            }],
        };
        let text = written_value(&Value::Matrix(vec![series]));
        let expected = concat!(
            r#"{"resultType":"matrix","result":[{"metric":{"job":"a"},"values":[[1,"2"]],"#,
            r#""histograms":[[2.001,{"count":"3.5","sum":"7","#,
            r#""buckets":[[3,"-0.25","0.25","0.5"],[0,"1","2","1"],[0,"4","8","2"]]}]]}]"#,
        );
        assert_eq!(text, expected);
    }
}
