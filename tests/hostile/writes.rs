//! Hostile write requests of both versions.

use crate::bodies::{
    MAX_BODY_BYTES, MAX_CONTENT_BYTES, bytes, double, each, filled, key, number, put_bytes,
    put_varint, varint,
};
use crate::row::Expected::{self, Always, Definite, Rejected};
use crate::row::Route::{self, Raw, Write1, Write2, WriteAlias};
use crate::row::{REJECTED, Row};

/// A time that data of the tests starts at, in milliseconds.
const START_MS: u64 = 1_600_000_000_000;
/// The same in nanoseconds, which is no time in milliseconds.
const START_NS: u64 = START_MS * 1_000_000;
/// A request that is not snappy.
const NOT_SNAPPY: Expected = Rejected(&[400]);

/// Returns a label as a field of a series or of an exemplar.
fn label(name: &str, value: impl AsRef<[u8]>) -> Vec<u8> {
    bytes(1, [bytes(1, name), bytes(2, value)].concat())
}

/// Returns a series of remote write 1.0 as a field of a request.
fn series(name: &str, more: &[u8]) -> Vec<u8> {
    bytes(1, [&label("__name__", name), more].concat())
}

/// Returns a sample as a field of a series.
fn sample(value: f64, timestamp: u64) -> Vec<u8> {
    bytes(2, [double(1, value), number(2, timestamp)].concat())
}

/// Returns samples of this value, each `step` after the one before.
fn samples(count: usize, value: f64, start: u64, step: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(count * 24);
    let value = double(1, value);
    let (mut content, mut time) = (Vec::new(), start);
    for _ in 0..count {
        content.clear();
        content.extend_from_slice(&value);
        content.push(2 << 3);
        put_varint(&mut content, time);
        put_bytes(&mut out, 2, &content);
        time += step;
    }
    out
}

/// Returns symbols of remote write 2.0: the empty one, and the texts.
fn symbols(texts: &[&[u8]]) -> Vec<u8> {
    let texts = texts.iter().map(|text| bytes(4, text));
    let all: Vec<_> = [bytes(4, "")].into_iter().chain(texts).collect();
    all.concat()
}

/// Returns a request of remote write 2.0 with one series of the metric `m`.
fn series2(more: &[u8]) -> Vec<u8> {
    let series = [&bytes(1, [1, 2]), more].concat();
    [symbols(&[b"__name__", b"m"]), bytes(5, series)].concat()
}

/// Returns a body that claims to decompress to so many bytes, and goes on with `rest`.
fn claiming(len: u64, rest: &[u8]) -> Vec<u8> {
    [&varint(len), rest].concat()
}

/// Returns series with labels of their own for each, by number.
fn many(count: usize, labels: impl Fn(&mut Vec<u8>, usize)) -> Vec<u8> {
    let (name, sample) = (label("__name__", "m"), sample(1.0, START_MS));
    each(count, |out, i| {
        let mut content = name.clone();
        labels(&mut content, i);
        content.extend_from_slice(&sample);
        put_bytes(out, 1, &content);
    })
}

pub(crate) fn rows() -> Vec<Row> {
    let rows: [(Route, &str, Expected, fn() -> Vec<u8>); _] = [
        // Samples.
        (Write1, "1,000,000 empty samples", Definite, || {
            series("m", &bytes(2, "").repeat(1_000_000))
        }),
        (Write1, "32 MiB of empty samples", REJECTED, || {
            series("m", &filled(bytes(2, ""), MAX_CONTENT_BYTES))
        }),
        (Write1, "1,000,000 samples", Definite, || {
            series("m", &samples(1_000_000, 1.0, START_MS, 1))
        }),
        (Write1, "2,000 samples in ns", Definite, || {
            series("m", &samples(2_000, 1.0, START_NS, 1_000_000))
        }),
        (Write1, "100,000 samples in ns", Definite, || {
            series("m", &samples(100_000, 1.0, START_NS, 1_000_000))
        }),
        (Write1, "1,000,000 samples in ns", Definite, || {
            series("m", &samples(1_000_000, 1.0, START_NS, 1_000_000))
        }),
        (Write1, "100,000 NaN", Definite, || {
            series("m", &samples(100_000, f64::NAN, START_MS, 1))
        }),
        (Write1, "1,000,000 NaN", Definite, || {
            series("m", &samples(1_000_000, f64::NAN, START_MS, 1))
        }),
        (Write2, "v2: 1,000,000 empty samples", Definite, || {
            series2(&bytes(2, "").repeat(1_000_000))
        }),
        (Write2, "v2: 32 MiB of empty samples", REJECTED, || {
            series2(&filled(bytes(2, ""), MAX_CONTENT_BYTES))
        }),
        (Write2, "v2: 100,000 NaN in ns", Definite, || {
            series2(&samples(100_000, f64::NAN, START_NS, 1_000_000))
        }),
        // Histograms.
        (Write1, "500,000 empty histograms", Definite, || {
            series("m", &bytes(4, "").repeat(500_000))
        }),
        (Write1, "32 MiB of empty histograms", REJECTED, || {
            series("m", &filled(bytes(4, ""), MAX_CONTENT_BYTES))
        }),
        (Write1, "2,000,000 empty spans", Definite, || {
            let histogram = [number(1, 1), bytes(11, "").repeat(2_000_000)].concat();
            series("m", &bytes(4, histogram))
        }),
        (Write1, "2,000,000 deltas", Definite, || {
            let span = bytes(11, number(2, 2_000_000));
            let histogram = [number(1, 1), span, bytes(12, vec![0; 2_000_000])].concat();
            series("m", &bytes(4, histogram))
        }),
        (
            Write1,
            "1,000 histograms of 1,000 buckets",
            Definite,
            || {
                let buckets = [bytes(11, number(2, 1_000)), bytes(12, vec![2; 1_000])].concat();
                let time = number(15, START_MS);
                let histogram = [number(1, 500_500), buckets, time].concat();
                series("m", &bytes(4, histogram).repeat(1_000))
            },
        ),
        (Write1, "32 MiB of empty spans", REJECTED, || {
            series("m", &bytes(4, filled(bytes(8, ""), MAX_CONTENT_BYTES)))
        }),
        (Write1, "32 MiB of deltas", REJECTED, || {
            series("m", &bytes(4, bytes(9, vec![0; MAX_CONTENT_BYTES])))
        }),
        (Write1, "a span of 4,294,967,295 buckets", Definite, || {
            let span = bytes(11, number(2, u64::from(u32::MAX)));
            series("m", &bytes(4, [number(1, 1), span].concat()).repeat(1_000))
        }),
        (Write2, "v2: 500,000 empty histograms", Definite, || {
            series2(&bytes(3, "").repeat(500_000))
        }),
        (Write2, "v2: 2,000,000 empty spans", Definite, || {
            let histogram = [number(1, 1), bytes(11, "").repeat(2_000_000)].concat();
            series2(&bytes(3, histogram))
        }),
        // Exemplars.
        (Write1, "1,000,000 empty exemplars", Definite, || {
            series("m", &bytes(3, "").repeat(1_000_000))
        }),
        (
            Write1,
            "an exemplar of 900,000 empty labels",
            Definite,
            || series("m", &bytes(3, bytes(1, "").repeat(900_000))),
        ),
        (
            Write1,
            "100,000 exemplars of 9 empty labels",
            Definite,
            || series("m", &bytes(3, bytes(1, "").repeat(9)).repeat(100_000)),
        ),
        (Write1, "32 MiB of exemplar labels", REJECTED, || {
            series("m", &bytes(3, filled(bytes(1, ""), MAX_CONTENT_BYTES)))
        }),
        // Labels and series.
        (Write1, "100,000 labels of a series", Definite, || {
            let labels = each(100_000, |out, i| {
                out.extend_from_slice(&label(&format!("a{i}"), "b"));
            });
            let labels = [label("table", "wide"), labels].concat();
            series("m", &[labels, sample(1.0, START_MS)].concat())
        }),
        (Write1, "1,000,000 labels of a series", Definite, || {
            let labels = each(999_998, |out, i| {
                out.extend_from_slice(&label(&format!("a{i}"), "b"));
            });
            let labels = [label("table", "wide"), labels].concat();
            series("m", &[labels, sample(1.0, START_MS)].concat())
        }),
        (
            Write1,
            "100,000 series of different labels",
            Definite,
            || {
                many(100_000, |out, i| {
                    out.extend_from_slice(&label("table", "wide"));
                    out.extend_from_slice(&label(&format!("a{i}"), "b"));
                })
            },
        ),
        (Write1, "20,000 series of 48 labels", Definite, || {
            let labels = each(48, |out, i| {
                out.extend_from_slice(&label(&format!("label_{i}"), "a value"));
            });
            let series = series("m", &[labels, sample(1.0, START_MS)].concat());
            series.repeat(20_000)
        }),
        (Write1, "100,000 destinations", Definite, || {
            many(100_000, |out, i| {
                out.extend_from_slice(&label("database", format!("d{i}")));
                out.extend_from_slice(&label("table", format!("t{i}")));
            })
        }),
        (Write1, "100,000 tables", Definite, || {
            many(100_000, |out, i| {
                out.extend_from_slice(&label("table", format!("t{i}")));
            })
        }),
        (Write1, "32 MiB of empty series", REJECTED, || {
            filled(bytes(1, ""), MAX_CONTENT_BYTES)
        }),
        (Write1, "32 MiB of empty labels", REJECTED, || {
            bytes(1, filled(bytes(1, ""), MAX_CONTENT_BYTES))
        }),
        (Write1, "30 MB label value", Definite, || {
            let value = label("i", "a".repeat(30_000_000));
            series("m", &[value, sample(1.0, START_MS)].concat())
        }),
        (Write1, "30 MB of control characters", Definite, || {
            let value = label("i", "\u{1}".repeat(30_000_000));
            series("m", &[value, sample(1.0, START_MS)].concat())
        }),
        (Write1, "30 MB metric name", Definite, || {
            series(&".".repeat(30_000_000), &sample(1.0, START_MS))
        }),
        (Write1, "30 MB value, 1,000,000 NaN", Definite, || {
            let value = label("i", "\u{1}".repeat(10_000_000));
            let nan = samples(1_000_000, f64::NAN, START_MS, 1);
            series("m", &[value, nan].concat())
        }),
        (
            Write1,
            "15,000 values of control characters",
            Definite,
            || {
                let value = label("v", "\u{1}".repeat(2_000));
                many(15_000, |out, i| {
                    out.extend_from_slice(&label("i", i.to_string()));
                    out.extend_from_slice(&value);
                })
            },
        ),
        // Symbols and references.
        (Write2, "v2: 5,000,000 symbols", REJECTED, || {
            bytes(4, "").repeat(5_000_000)
        }),
        (Write2, "v2: 1,000,000 different symbols", Definite, || {
            let texts = each(999_000, |out, i| {
                put_bytes(out, 4, i.to_string().as_bytes());
            });
            [series2(&sample(1.0, START_MS)), texts].concat()
        }),
        (Write2, "v2: 32 MiB of symbols", REJECTED, || {
            filled(bytes(4, ""), MAX_CONTENT_BYTES)
        }),
        (Write2, "v2: 1,000,000 references", Definite, || {
            series2(&bytes(1, vec![1; 1_000_000]))
        }),
        (Write2, "v2: 32 MiB of references", REJECTED, || {
            series2(&bytes(1, vec![0; MAX_CONTENT_BYTES]))
        }),
        (
            Write2,
            "v2: references to no symbol",
            Always(&[400]),
            || series2(&number(1, u64::from(u32::MAX)).repeat(100_000)),
        ),
        (
            Write2,
            "v2: 100,000 series of a 300 KB label",
            Definite,
            || {
                let value = vec![1; 300_000];
                let series = [bytes(1, [1, 2, 3, 4]), sample(1.0, START_MS)].concat();
                let symbols = symbols(&[b"__name__", b"m", b"i", &value]);
                [symbols, bytes(5, series).repeat(100_000)].concat()
            },
        ),
        (
            Write2,
            "v2: 100,000 series of a 2 KB label",
            Definite,
            || {
                let value = vec![1; 2_000];
                let series = each(100_000, |out, i| {
                    let time = number(2, START_MS + i as u64);
                    let sample = bytes(2, [double(1, 1.0), time].concat());
                    put_bytes(out, 5, &[bytes(1, [1, 2, 3, 4]), sample].concat());
                });
                [symbols(&[b"__name__", b"m", b"i", &value]), series].concat()
            },
        ),
        (
            Write2,
            "v2: 30 MB symbol of control characters",
            Definite,
            || {
                let series = [bytes(1, [1, 2, 3, 4]), sample(1.0, START_MS)].concat();
                let value = vec![1; 30_000_000];
                let symbols = symbols(&[b"__name__", b"m", b"i", &value]);
                [symbols, bytes(5, series)].concat()
            },
        ),
        // Metadata.
        (Write1, "100,000 metadata entries", Definite, || {
            each(100_000, |out, i| {
                let name = bytes(2, format!("m{i}"));
                put_bytes(out, 3, &[number(1, 1), name, bytes(4, "help")].concat());
            })
        }),
        (Write1, "32 MiB of empty metadata", REJECTED, || {
            filled(bytes(3, ""), MAX_CONTENT_BYTES)
        }),
        (Write1, "30 MB help text", Definite, || {
            let help = bytes(4, "\u{1}".repeat(30_000_000));
            bytes(3, [number(1, 1), bytes(2, "m"), help].concat())
        }),
        (Write2, "v2: 100,000 series of metadata", Definite, || {
            let metadata = [number(1, 1), number(3, 2), number(4, 2)].concat();
            let series = [bytes(1, [1, 2]), bytes(5, metadata)].concat();
            [
                symbols(&[b"__name__", b"m"]),
                bytes(5, series).repeat(100_000),
            ]
            .concat()
        }),
        // The other name of the path.
        (
            WriteAlias,
            "api/v1/write: 32 MiB of empty series",
            REJECTED,
            || filled(bytes(1, ""), MAX_CONTENT_BYTES),
        ),
        // Bodies that are not messages.
        (Write1, "32 MiB of unknown fields", Definite, || {
            filled(number(9, 1), MAX_CONTENT_BYTES)
        }),
        (
            Write1,
            "99 nested groups of fields, often",
            Definite,
            || {
                let groups = [key(9, 3).repeat(99), key(9, 4).repeat(99)];
                filled(groups.concat(), MAX_CONTENT_BYTES)
            },
        ),
        (Write1, "32 MiB of opened groups", REJECTED, || {
            filled(key(9, 3), MAX_CONTENT_BYTES)
        }),
        (Write1, "32 MiB of zeros", REJECTED, || {
            vec![0; MAX_BODY_BYTES]
        }),
        (Raw, "claims 32 MiB, holds nothing", NOT_SNAPPY, || {
            claiming(MAX_BODY_BYTES as u64, &[])
        }),
        (
            Raw,
            "claims 32 MiB, holds 1 MB of no snappy",
            NOT_SNAPPY,
            || claiming(MAX_BODY_BYTES as u64, &[0xff; 1_000_000]),
        ),
        (
            Raw,
            "claims a byte more than 32 MiB",
            Always(&[400, 413]),
            || claiming(MAX_BODY_BYTES as u64 + 1, &[0; 100]),
        ),
        (Raw, "claims 4 GiB", Always(&[400, 413]), || {
            claiming(u64::from(u32::MAX), &[0; 100])
        }),
        (Raw, "a byte more than 32 MiB", Always(&[413]), || {
            vec![0; MAX_BODY_BYTES + 1]
        }),
    ];
    rows.map(|(route, name, expected, content)| Row::new(route, name, expected, content))
        .into()
}
