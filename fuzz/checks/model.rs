//! The data model: labels are a set, a valid histogram has the count of its buckets, nothing hidden stays in a message.

use prom_model::visible::{escaped, is_hidden, truncate};
use prom_model::{Buckets, Count, Histogram, HistogramError, Label, Labels, Span};

/// Reads `input` as labels, as a histogram and as a string.
pub(crate) fn check(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    check_labels(&text);
    let histogram = histogram(input);
    assert!(histogram.bytes() <= size_of::<Histogram>() + 8 * input.len());
    check_histogram(&histogram);
    check_visible(&text, input.first().copied().unwrap_or_default().into());
}

/// Reads `text` as names and values, such as `job=a,code=`.
fn check_labels(text: &str) {
    let label = |part: &str| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let (name, value) = (name.to_owned(), value.to_owned());
        Label { name, value }
    };
    let list: Vec<_> = text.split(',').take(100).map(label).collect();
    let labels = Labels::new(list.clone());
    assert!(labels.iter().all(|label| !label.value.is_empty()));
    assert!(labels.iter().is_sorted_by(|a, b| a.name < b.name));
    for label in list.iter().chain(labels.iter()) {
        let is_first = |it: &&Label| it.name == label.name && !it.value.is_empty();
        let expected = list.iter().find(is_first).map_or("", |first| &first.value);
        assert_eq!(labels.get(&label.name), expected, "{label:?}");
    }
    assert!(labels.bytes() <= list.len() * size_of::<Label>() + text.len());
    assert_eq!(Labels::new(labels.clone().into_vec()), labels);
}

fn check_histogram(histogram: &Histogram) {
    let (total, count) = (total(histogram), i128::from(histogram.int_count()));
    let fits = total.is_some_and(|it| it == count || histogram.sum.is_nan() && it < count);
    match histogram.validate() {
        Ok(()) if histogram.is_float() || histogram.is_stale() => {}
        Ok(()) => assert!(fits, "{histogram:?}"),
        Err(HistogramError::Count { .. }) => assert!(!fits, "{histogram:?}"),
        Err(error) => assert!(error.to_string().len() < 200, "{error}"),
    }
}

/// Returns the number of observations in an integer histogram, unless a bucket has less than none.
fn total(histogram: &Histogram) -> Option<i128> {
    let mut total = i128::from(histogram.int_zero_count());
    for buckets in [&histogram.positive, &histogram.negative] {
        let mut count = 0;
        for delta in &buckets.deltas {
            count += i128::from(*delta);
            total += i128::from(u64::try_from(count).ok()?);
        }
    }
    Some(total)
}

fn check_visible(text: &str, max_bytes: usize) {
    let shown = escaped(text);
    let is_obeyed = shown.contains(is_hidden) || shown.contains(char::is_control);
    assert!(!is_obeyed, "{shown}");
    assert_eq!(escaped(&shown), shown);
    let hidden = text.chars().filter(|c| is_hidden(*c)).count();
    assert_eq!(shown.chars().count(), text.chars().count() + 5 * hidden);
    let truncated = truncate(text, max_bytes);
    if text.len() <= max_bytes {
        return assert_eq!(truncated, text);
    }
    let start = truncated.strip_suffix("...").expect("dots follow");
    assert!(text.starts_with(start) && start.len() <= max_bytes);
    let next = text[start.len()..].chars().next().map_or(0, char::len_utf8);
    assert!(start.len() + next > max_bytes, "{start:?} could be longer");
}

/// Makes a histogram of lists with commas between them; each byte is an element of at most 8 bytes.
fn histogram(input: &[u8]) -> Histogram {
    // The ends of 64 bits and small numbers.
    let number = |byte: u8| i64::from(byte.cast_signed()).pow(9);
    let float = |byte: u8| match byte {
        b'!' => f64::NAN,
        b'#' => f64::from_bits(prom_model::STALE_MARKER_BITS),
        _ => f64::from(byte.cast_signed()) / 2.0,
    };
    let span = |byte: u8| Span {
        offset: (byte.cast_signed() >> 4).into(),
        length: (byte % 16).into(),
    };
    let mut parts = input.split(|byte| *byte == b',');
    let mut part = || parts.next().unwrap_or_default().iter().copied();
    let mut fields = part();
    let mut field = || fields.next().unwrap_or_default();
    let mut buckets = || Buckets {
        spans: part().map(span).collect(),
        deltas: part().map(number).collect(),
        counts: part().map(float).collect(),
    };
    let mut histogram = Histogram {
        positive: buckets(),
        negative: buckets(),
        custom_values: part().map(float).collect(),
        schema: field().cast_signed().into(),
        sum: float(field()),
        ..Histogram::default()
    };
    let count = |kind: u8, byte: u8| match kind % 4 {
        0 => None,
        1 => Some(Count::Float(float(byte))),
        _ => Some(Count::Int(number(byte).unsigned_abs())),
    };
    histogram.count = count(field(), field());
    histogram.zero_count = count(field(), field());
    // Few counts are those of the buckets by chance.
    if let (true, Some(Ok(total))) = (field() == b'=', total(&histogram).map(u64::try_from)) {
        histogram.count = Some(Count::Int(total));
    }
    histogram
}
