//! The text in which data, queries and results go to and from the program `promql-judge`, which describes it.

use std::fmt::Write as _;

use prom_model::{Buckets, Count, Histogram, Label, Labels, Span};

use crate::data::{Float, Point, Series};
use crate::query::{Query, Times};
use crate::result::{QueryResult, Samples, Value, float};

/// Returns the lines of the data.
pub(crate) fn data_lines(all: &[Series]) -> String {
    let mut text = String::new();
    for series in all {
        text.push('S');
        for label in series.labels.iter() {
            let (name, value) = (escaped(&label.name), escaped(&label.value));
            write!(text, "\t{name}\t{value}").expect("strings can be written to");
        }
        text.push('\n');
        let mut lines: Vec<(i64, String)> = Vec::new();
        for it in &series.floats {
            let (time, value) = (it.time_ms, bits(it.value));
            lines.push((time, format!("F\t{time}\t{value}\t{}\n", it.start_ms)));
        }
        for it in &series.histograms {
            let time = it.histogram.timestamp_ms;
            let fields = histogram_fields(&it.histogram);
            lines.push((time, format!("H\t{time}\t{}\t{fields}\n", it.start_ms)));
        }
        lines.sort_by_key(|(time, _)| *time);
        text.extend(lines.into_iter().map(|(_, line)| line));
    }
    text
}

/// Returns the line of a query.
pub(crate) fn query_line(id: usize, query: &Query, text: &str) -> String {
    let mut flags = String::new();
    let options = [
        (query.delayed_name_removal, 'd'),
        (query.per_step_statistics, 'p'),
        (query.start_timestamps, 's'),
        (query.type_and_unit_labels, 't'),
    ];
    flags.extend(options.iter().filter(|it| it.0).map(|it| it.1));
    if flags.is_empty() {
        flags.push('-');
    }
    let (kind, times) = match query.times {
        Times::Instant(time) => ('Q', time.to_string()),
        Times::Range { start, end, step } => ('R', format!("{start}\t{end}\t{step}")),
    };
    let lookback = query.lookback_ms;
    format!(
        "{kind}\t{id}\t{flags}\t{lookback}\t{times}\t{}\n",
        escaped(text)
    )
}

/// Reads the lines of a result up to the end line. `next` returns the next line without its end.
pub(crate) fn read_result(id: usize, mut next: impl FnMut() -> String) -> QueryResult {
    let head = next();
    let [">", read_id, kind] = fields(&head)[..] else {
        panic!("not the head of a result: {head:?}")
    };
    assert_eq!(read_id, id.to_string(), "the results are out of order");
    let mut result = QueryResult::error(String::new());
    let mut series: Vec<Series> = Vec::new();
    let mut alone = None;
    loop {
        let line = next();
        let fields = fields(&line);
        match fields[0] {
            "." => break,
            "E" => result.value = Err(restored(fields[1])),
            "W" => result.warnings.push(restored(fields[1])),
            "I" => result.infos.push(restored(fields[1])),
            "C" => {
                result.samples = Some(Samples {
                    total: integer(fields[1]) as u64,
                    read: integer(fields[3]) as u64,
                    per_step: Vec::new(),
                });
            }
            "P" => {
                let samples = result.samples.as_mut();
                let of_step = fields[1..].iter().map(|it| integer(it));
                let [time_ms, total, read] = of_step.collect::<Vec<_>>()[..] else {
                    panic!("no samples of a step: {line:?}")
                };
                let samples = samples.expect("those of the query come first");
                samples.per_step.push((time_ms, total as u64, read as u64));
            }
            "T" => alone = Some(Value::String(integer(fields[1]), restored(fields[2]))),
            "S" => series.push(Series {
                labels: read_labels(&fields[1..]),
                floats: Vec::new(),
                histograms: Vec::new(),
            }),
            "F" => {
                let (time_ms, value) = (integer(fields[1]), number(fields[2]));
                match series.last_mut() {
                    None => alone = Some(Value::Scalar(time_ms, value)),
                    Some(series) => series.floats.push(Float {
                        time_ms,
                        value,
                        start_ms: 0,
                    }),
                }
            }
            "H" => {
                let series = series.last_mut().expect("a histogram is of a series");
                series.histograms.push(Point {
                    histogram: read_histogram(integer(fields[1]), &fields[3..]),
                    start_ms: 0,
                });
            }
            _ => panic!("no line of a result: {line:?}"),
        }
    }
    match kind {
        "vector" => result.value = Ok(Value::Vector(series)),
        "matrix" => result.value = Ok(Value::Matrix(series)),
        "scalar" | "string" => result.value = Ok(alone.expect("there is a value")),
        _ => assert_eq!(kind, "error", "no kind of a result"),
    }
    result.warnings.sort_unstable();
    result.infos.sort_unstable();
    result
}

fn fields(line: &str) -> Vec<&str> {
    line.split('\t').collect()
}

fn read_labels(fields: &[&str]) -> Labels {
    let pairs = fields.chunks_exact(2).map(|pair| Label {
        name: restored(pair[0]),
        value: restored(pair[1]),
    });
    Labels::new(pairs.collect())
}

fn histogram_fields(of: &Histogram) -> String {
    let fields = [
        of.reset_hint.to_string(),
        of.schema.to_string(),
        bits(of.zero_threshold),
        bits(float(of.zero_count)),
        bits(float(of.count)),
        bits(of.sum),
        spans(&of.positive),
        list(&of.positive.counts),
        spans(&of.negative),
        list(&of.negative.counts),
        list(&of.custom_values),
    ];
    fields.join("\t")
}

fn read_histogram(timestamp_ms: i64, fields: &[&str]) -> Histogram {
    Histogram {
        timestamp_ms,
        reset_hint: integer(fields[0]) as i32,
        schema: integer(fields[1]) as i32,
        zero_threshold: number(fields[2]),
        zero_count: Some(Count::Float(number(fields[3]))),
        count: Some(Count::Float(number(fields[4]))),
        sum: number(fields[5]),
        positive: read_buckets(fields[6], fields[7]),
        negative: read_buckets(fields[8], fields[9]),
        custom_values: read_list(fields[10]),
    }
}

fn read_buckets(spans: &str, counts: &str) -> Buckets {
    let spans = parts(spans).map(|part| {
        let (offset, length) = part.split_once(':').expect("a span has two parts");
        Span {
            offset: integer(offset) as i32,
            length: integer(length) as u32,
        }
    });
    Buckets {
        spans: spans.collect(),
        deltas: Vec::new(),
        counts: read_list(counts),
    }
}

fn read_list(text: &str) -> Vec<f64> {
    parts(text).map(number).collect()
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').filter(|part| !part.is_empty())
}

fn spans(buckets: &Buckets) -> String {
    let spans = buckets.spans.iter();
    let texts = spans.map(|it| format!("{}:{}", it.offset, it.length));
    texts.collect::<Vec<_>>().join(",")
}

fn list(values: &[f64]) -> String {
    let texts: Vec<_> = values.iter().map(|&it| bits(it)).collect();
    texts.join(",")
}

fn bits(value: f64) -> String {
    format!("{:016x}", value.to_bits())
}

fn number(text: &str) -> f64 {
    f64::from_bits(u64::from_str_radix(text, 16).expect("a float is hexadecimal digits"))
}

fn integer(text: &str) -> i64 {
    text.parse().expect("an integer is decimal digits")
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('\t', "\\t")
        .replace('\n', "\\n")
}

fn restored(text: &str) -> String {
    let mut restored = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        restored.push(match character {
            '\\' => match characters.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                _ => '\\',
            },
            other => other,
        });
    }
    restored
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data;

    #[test]
    fn what_is_written_is_read() {
        for text in ["", "a\tb\nc\\d", "\\t", "\\\\n"] {
            assert_eq!(restored(&escaped(text)), text);
        }
        let all = data::series(1);
        let histograms = all.iter().flat_map(|it| &it.histograms);
        for histogram in histograms.map(|it| &it.histogram) {
            let text = histogram_fields(histogram);
            let fields: Vec<_> = text.split('\t').collect();
            let read = read_histogram(histogram.timestamp_ms, &fields);
            // NaN is unequal to itself.
            assert_eq!(format!("{read:?}"), format!("{histogram:?}"));
        }
    }
}
