//! Translations, held equal to those of Prometheus' receiver; `golden/translations.go` writes the tables.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use otlp::names::{NameKind, label_name, metric_name, unit_name};
use otlp::{
    Options, Origin, TargetInfoBounds, Translation, TranslationStrategy, read_json, read_protobuf,
    translate,
};
use prom_model::{Buckets, Count, Histogram};
use prom_wire::budget::MemoryBudget;
use prom_wire::request::{Datapoint, Exemplar, Label, StringArena};

/// Prometheus bounds nothing.
fn unbounded() -> TargetInfoBounds {
    TargetInfoBounds {
        max_samples: usize::MAX,
        ..TargetInfoBounds::default()
    }
}

/// Reads options such as `strategy=NoTranslation;keep`.
fn options(text: &str) -> Options {
    let mut options = Options::default();
    let list = |value: &str| value.split(',').map(str::to_owned).collect();
    for option in text.split(';').filter(|it| !it.is_empty()) {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        match name {
            "strategy" => options.translation_strategy = value.parse().unwrap(),
            "promote" => options.promote_resource_attributes = list(value),
            "promote_all" => options.promote_all_resource_attributes = true,
            "ignore" => options.ignore_resource_attributes = list(value),
            "keep" => options.keep_identifying_resource_attributes = true,
            "nhcb" => options.convert_histograms_to_nhcb = true,
            "scope" => options.promote_scope_metadata = true,
            "unsanitized" => options.label_name_underscore_sanitization = false,
            "collapsed" => options.label_name_preserve_multiple_underscores = false,
            _ => panic!("{option}"),
        }
    }
    options.validate().unwrap();
    options
}

/// Writes the series as the tables have them.
fn series_text(translation: &Translation<'_>) -> String {
    let mut parts: Vec<String> = Vec::new();
    for series in translation.request.iter() {
        let labels: Vec<_> = series.labels.iter().collect();
        let labels = labels_text(&labels);
        for datapoint in series.datapoints {
            let time = datapoint.timestamp_ms();
            match datapoint {
                Datapoint::Sample(sample) => {
                    parts.push(format!("{labels} {time} {}", bits(sample.value)));
                }
                Datapoint::Histogram(histogram) => {
                    parts.push(format!("{labels} {time} {}", histogram_text(histogram)));
                }
                Datapoint::Exemplar(exemplar) => {
                    let sample = parts.last_mut().unwrap();
                    sample.push_str(&exemplar_text(exemplar));
                }
            }
        }
    }
    let metadata = translation.request.metadata.iter();
    let mut metadata: Vec<_> = metadata
        .map(|it| {
            format!(
                "meta {} {} unit={} help={}",
                escaped(it.metric_name),
                it.metric_type.as_str(),
                escaped(it.unit),
                escaped(it.help)
            )
        })
        .collect();
    metadata.sort();
    metadata.dedup();
    parts.extend(metadata);
    parts.join(" | ")
}

fn labels_text(labels: &[Label<'_>]) -> String {
    let texts = labels
        .iter()
        .map(|(name, value)| format!("{}={}", escaped(name), escaped(value)));
    format!("{{{}}}", texts.collect::<Vec<_>>().join(","))
}

fn exemplar_text(exemplar: &Exemplar<'_>) -> String {
    let labels = labels_text(exemplar.labels.as_ref().unwrap());
    format!(
        " # {labels} {} {}",
        exemplar.timestamp_ms,
        bits(exemplar.value)
    )
}

fn histogram_text(histogram: &Histogram) -> String {
    let count = |count| match count {
        Some(Count::Int(count)) => count,
        _ => panic!("{histogram:?}"),
    };
    let buckets = |buckets: &Buckets| {
        let spans = buckets
            .spans
            .iter()
            .map(|it| format!("{}:{}", it.offset, it.length));
        let deltas = buckets.deltas.iter().map(ToString::to_string);
        let (spans, deltas): (Vec<_>, Vec<_>) = (spans.collect(), deltas.collect());
        format!("{}/{}", spans.join(","), deltas.join(","))
    };
    let bounds: Vec<_> = histogram.custom_values.iter().map(|it| bits(*it)).collect();
    format!(
        "schema={} count={} sum={} zero={}/{} hint={} negative={} positive={} custom={}",
        histogram.schema,
        count(histogram.count),
        bits(histogram.sum),
        count(histogram.zero_count),
        bits(histogram.zero_threshold),
        histogram.reset_hint,
        buckets(&histogram.negative),
        buckets(&histogram.positive),
        bounds.join(",")
    )
}

fn bits(value: f64) -> String {
    format!("{:016x}", value.to_bits())
}

fn escaped(text: &str) -> String {
    let bytes = text.bytes();
    let escaped = bytes.map(
        |byte| match byte.is_ascii_alphanumeric() || b"._:/".contains(&byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02x}"),
        },
    );
    escaped.collect()
}

fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut parts = text.split('%');
    bytes.extend(parts.next().unwrap().bytes());
    for part in parts {
        let (digits, rest) = part.split_at(2);
        bytes.push(u8::from_str_radix(digits, 16).unwrap());
        bytes.extend(rest.bytes());
    }
    String::from_utf8(bytes).unwrap()
}

fn fnv(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    format!("{hash:016x}")
}

/// Asserts that each data point is in exactly one of translated, rejected, and that each sample has an origin.
fn assert_accounts(translation: &Translation<'_>, points: u64) {
    assert_eq!(translation.points() + translation.rejected_points(), points);
    let request = &translation.request;
    let all = request.iter().map(|it| it.range);
    assert_eq!(translation.points_in(all), translation.points());
    for series in request.iter() {
        let is_target_info = series.labels.get("__name__") == Some("target_info");
        for range in series.range.iter() {
            let origin = translation.origin(range.position());
            assert_eq!(origin == Origin::TargetInfo, is_target_info, "{origin:?}");
        }
    }
}

#[test]
fn single_metrics_become_the_series_of_prometheus() {
    let table = include_str!("golden/cases.tsv");
    let mut cases = 0;
    for row in table.lines().filter(|it| !it.starts_with("# ")) {
        let fields: Vec<&str> = row.split('\t').collect();
        let [title, options_text, request, expected] = fields[..] else {
            panic!("{row}");
        };
        let arena = StringArena::default();
        let mut reservation = MemoryBudget::unlimited().reservation();
        let metrics = read_json(request.as_bytes(), &arena, &mut reservation).unwrap();
        let options = options(options_text);
        let translated = translate(&metrics, &options, &unbounded(), &arena, &mut reservation);
        let translation = translated.unwrap();
        match expected.starts_with("error: ") {
            true => assert!(
                !translation.rejected.is_empty() || translation.dropped_exemplars > 0,
                "{title}: {expected}"
            ),
            false => {
                assert_eq!(series_text(&translation), expected, "{title}");
                assert_eq!(translation.rejected, [], "{title}");
                assert_eq!(translation.dropped_exemplars, 0, "{title}");
            }
        }
        assert_accounts(&translation, metrics.point_count());
        cases += 1;
    }
    assert!(cases > 100, "{cases}");
}

#[test]
fn random_requests_become_the_series_of_prometheus() {
    let table = include_str!("golden/random.tsv");
    let mut equal = 0;
    for row in table.lines() {
        let fields: Vec<&str> = row.split('\t').collect();
        let [options_text, request, expected] = fields[..] else {
            panic!("{row}");
        };
        let body = STANDARD.decode(request).unwrap();
        let arena = StringArena::default();
        let mut reservation = MemoryBudget::unlimited().reservation();
        let metrics = read_protobuf(&body, &mut reservation).unwrap();
        assert!(metrics.is_readable());
        let options = options(options_text);
        let translated = translate(&metrics, &options, &unbounded(), &arena, &mut reservation);
        let translation = translated.unwrap();
        let text = series_text(&translation);
        match expected {
            "error" => assert!(!translation.rejected.is_empty(), "{row}"),
            expected => {
                let parts = text.replace(" | ", "\n");
                assert_eq!(fnv(&text), expected, "{options_text} {request}\n{parts}");
                assert_eq!(translation.rejected, [], "{row}");
                equal += 1;
            }
        }
        assert_eq!(translation.dropped_exemplars, 0);
        assert_accounts(&translation, metrics.point_count());
    }
    assert!(equal > 1_700, "{equal}");
}

#[test]
fn names_are_those_of_prometheus() {
    let table = include_str!("golden/names.tsv");
    for row in table.lines() {
        let fields: Vec<&str> = row.split('\t').collect();
        let result = match fields[..] {
            ["metric", name, unit, kind, strategy, _] => {
                let kind = match kind {
                    "counter" => NameKind::Counter,
                    "gauge" => NameKind::Gauge,
                    _ => NameKind::Other,
                };
                let (name, unit) = (unescaped(name), unescaped(unit));
                let strategy: TranslationStrategy = strategy.parse().unwrap();
                let result = metric_name(&name, &unit, kind, strategy);
                result.map(|it| it.into_owned()).ok()
            }
            ["unit", unit, _] => Some(unit_name(&unescaped(unit))),
            ["label", key, settings, _] => {
                let is_on = |name: &str| settings.contains(&format!("{name}=true"));
                let options = Options {
                    translation_strategy: match is_on("utf8") {
                        true => TranslationStrategy::NoTranslation,
                        false => TranslationStrategy::default(),
                    },
                    label_name_underscore_sanitization: is_on("sanitization"),
                    label_name_preserve_multiple_underscores: is_on("preserve"),
                    ..Options::default()
                };
                let key = unescaped(key);
                let result = label_name(&key, &options);
                result.map(|it| it.into_owned()).ok()
            }
            _ => panic!("{row}"),
        };
        let result = result.map_or("error".to_owned(), |it| format!("={}", escaped(&it)));
        assert_eq!(result, *fields.last().unwrap(), "{row}");
    }
}
