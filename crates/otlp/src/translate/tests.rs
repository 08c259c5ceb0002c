//! Laws of the translation that hold for all requests, and its rejections.

use std::collections::HashMap;

use prom_wire::budget::MemoryBudget;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use prost::Message;

use super::*;
use crate::agreement::requests;
use crate::{TranslationStrategy, read_json, read_protobuf};

fn options() -> impl Strategy<Value = Options> {
    let strategy = select(TranslationStrategy::ALL.as_slice());
    let list = vec(select(["service.name", "a", "__", ""].as_slice()), 0..3);
    let list = list.prop_map(|it| it.into_iter().map(str::to_owned).collect());
    (strategy, list, any::<[bool; 6]>()).prop_map(
        |(translation_strategy, list, flags): (_, Vec<String>, _)| Options {
            translation_strategy,
            promote_resource_attributes: list,
            promote_all_resource_attributes: flags[0],
            ignore_resource_attributes: Vec::new(),
            keep_identifying_resource_attributes: flags[1],
            convert_histograms_to_nhcb: flags[2],
            promote_scope_metadata: flags[3],
            label_name_underscore_sanitization: flags[4],
            label_name_preserve_multiple_underscores: flags[5],
        },
    )
}

fn bounds() -> TargetInfoBounds {
    TargetInfoBounds {
        max_samples: 20,
        ..TargetInfoBounds::default()
    }
}

/// Asserts what holds for all translations of `metrics`.
fn assert_laws(translation: &Translation<'_>, metrics: &Metrics<'_>) {
    let points = translation.points() + translation.rejected_points();
    assert_eq!(points, metrics.point_count());
    let request = &translation.request;
    assert_eq!(request.count() as usize, translation.origins.len());
    let all = request.iter().map(|it| it.range);
    assert_eq!(translation.points_in(all), translation.points());
    let resources = metrics.resources.len();
    let mut target_info = 0;
    for series in request.iter() {
        assert!(!series.datapoints.is_empty());
        assert!(series.unreadable.is_none());
        let labels: Vec<_> = series.labels.iter().collect();
        assert!(labels.is_sorted_by(|a, b| a.0 <= b.0), "{labels:?}");
        assert!(labels.iter().all(|it| !it.1.is_empty()), "{labels:?}");
        let origins = series
            .range
            .iter()
            .map(|it| translation.origin(it.position()));
        let mut origins: Vec<_> = origins.collect();
        let samples = origins.len();
        origins.dedup();
        assert_eq!(origins.len(), 1);
        if origins == [Origin::TargetInfo] {
            target_info += samples;
        }
    }
    assert!(target_info <= 20 + resources, "{target_info}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Of bytes that are changed, too: whatever is accepted has an outcome for each data point.
    #[test]
    fn each_data_point_is_translated_or_rejected(
        request in requests(),
        changes in vec((any::<Index>(), any::<u8>()), 0..4),
        options in options(),
    ) {
        let mut body = request.encode_to_vec();
        for (index, byte) in changes {
            if !body.is_empty() {
                let index = index.index(body.len());
                body[index] = byte;
            }
        }
        let mut reservation = MemoryBudget::unlimited().reservation();
        if let Ok(metrics) = read_protobuf(&body, &mut reservation) {
            let arena = StringArena::default();
            let translation = translate(&metrics, &options, &bounds(), &arena, &mut reservation);
            assert_laws(&translation.unwrap(), &metrics);
        }
    }

    #[test]
    fn memory_is_reserved_or_the_request_ends(
        request in requests(),
        options in options(),
        budget in 0..400_000_usize,
    ) {
        let body = request.encode_to_vec();
        let metrics = read_protobuf(&body, &mut MemoryBudget::unlimited().reservation()).unwrap();
        let arena = StringArena::default();
        let budget = MemoryBudget::new(budget);
        let mut reservation = budget.reservation();
        match translate(&metrics, &options, &bounds(), &arena, &mut reservation) {
            Ok(translation) => {
                assert_laws(&translation, &metrics);
                let samples = translation.request.count() as usize;
                prop_assert!(reservation.bytes() >= 200 * samples);
            }
            Err(error) => prop_assert!(
                matches!(error, DecodeError::Busy(_) | DecodeError::TooLarge { .. }),
                "{error}"
            ),
        }
        drop(reservation);
        prop_assert_eq!(budget.reserved(), 0);
    }
}

/// Translates a request in JSON, and passes the translation to `check`.
fn with_translation(json: &str, bounds: &TargetInfoBounds, check: impl FnOnce(&Translation<'_>)) {
    let arena = StringArena::default();
    let mut reservation = MemoryBudget::unlimited().reservation();
    let metrics = read_json(json.as_bytes(), &arena, &mut reservation).unwrap();
    let options = Options::default();
    let translation = translate(&metrics, &options, bounds, &arena, &mut reservation).unwrap();
    assert_eq!(
        translation.points() + translation.rejected_points(),
        metrics.point_count()
    );
    check(&translation);
}

/// Returns a request of these metrics, of a resource with `target_info`.
fn request(metrics: &str) -> String {
    format!(
        r#"{{"resourceMetrics":[{{"resource":{{"attributes":[
        {{"key":"service.name","value":{{"stringValue":"s"}}}},{{"key":"host","value":{{"stringValue":"h"}}}}]}},
        "scopeMetrics":[{{"metrics":[{metrics}]}}]}}]}}"#
    )
}

#[test]
fn one_bad_metric_or_data_point_costs_itself() {
    let metrics = [
        r#"{"name":"good","gauge":{"dataPoints":[{"asInt":1},{"asInt":2,"attributes":[{"key":"__"}]},{"asInt":3}]}}"#,
        r#"{"name":"delta","sum":{"aggregationTemporality":1,"dataPoints":[{"asInt":1},{"asInt":2}]}}"#,
        r#"{"name":"none","histogram":{"dataPoints":[{}]}}"#,
        r#"{"name":"scale","exponentialHistogram":{"aggregationTemporality":2,"dataPoints":[{"scale":-5},{"scale":-4},{"scale":-6}]}}"#,
        r#"{"name":"-","gauge":{"dataPoints":[{"asInt":1}]}}"#,
        r#"{"name":"unknown","newKind":{"dataPoints":[{"asInt":1}]}}"#,
        r#"{"name":"exemplars","sum":{"aggregationTemporality":2,"dataPoints":[{"asInt":1,"exemplars":[{"asInt":1},{},{"asInt":1,"traceId":"ab"}]}]}}"#,
    ];
    with_translation(&request(&metrics.join(",")), &bounds(), |translation| {
        assert_eq!(translation.points(), 4);
        let rejected: Vec<_> = translation
            .rejected
            .iter()
            .map(ToString::to_string)
            .collect();
        let expected = [
            "3 data points, for example: metric 'delta' has delta temporality, and only cumulative is accepted; set \
             OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=cumulative in the SDK, or add the processor \
             deltatocumulative to the Collector",
            "2 data points, for example: exponential histogram 'scale' has the scale -5, and the least is -4; raise the \
             maximum number of buckets of its aggregation",
            "1 data point: metric '-': nothing is left of the name; rename it",
            "1 data point: attribute '__' of metric 'good': only underscores are left of the name; rename it",
            "metric 'unknown' has data of no known kind; gauges, sums, histograms and summaries are accepted",
        ];
        assert_eq!(rejected, expected);
        let reasons = translation.rejected.iter().map(|it| it.reason.as_str());
        let expected = [
            "temporality",
            "scale",
            "metric_name",
            "label_name",
            "no_data",
        ];
        assert!(reasons.eq(expected));
        assert_eq!(translation.dropped_exemplars, 2);
    });
}

#[test]
fn what_cannot_be_read_is_rejected_with_the_reason() {
    let json = request(
        r#"{"name":"aa","description":"dd","gauge":{"dataPoints":[{"asInt":1},{"asInt":2,"attributes":[{"key":"kk"}]}]}}"#,
    );
    let arena = StringArena::default();
    let mut reservation = MemoryBudget::unlimited().reservation();
    let metrics = read_json(json.as_bytes(), &arena, &mut reservation).unwrap();
    let translated = |change: &dyn Fn(&mut Metrics<'_>)| {
        let mut metrics = metrics.clone();
        change(&mut metrics);
        let mut reservation = MemoryBudget::unlimited().reservation();
        let arena = StringArena::default();
        let translation = translate(
            &metrics,
            &Options::default(),
            &bounds(),
            &arena,
            &mut reservation,
        )
        .unwrap();
        assert_laws(&translation, &metrics);
        let rejected: Vec<_> = translation
            .rejected
            .iter()
            .map(ToString::to_string)
            .collect();
        let unreadable = translation.request.unreadable_metadata.iter();
        let unreadable: Vec<_> = unreadable.map(ToString::to_string).collect();
        [rejected, unreadable].concat().join("; ")
    };
    let broken = Unreadable::NotUtf8 {
        what: "name of something",
        text: b"caf\xe9",
    };
    let reason = "the name of something 'caf\\xe9' is not UTF-8; fix the sender";
    let metric = |metrics: &mut Metrics<'_>, change: &dyn Fn(&mut Metric<'_>)| {
        change(&mut metrics.resources[0].scopes[0].metrics[0]);
    };
    assert_eq!(translated(&|_| {}), "");
    assert_eq!(
        translated(&|it| it.resources[0].unreadable = Some(broken)),
        format!("2 data points, for example: the resource cannot be read: {reason}")
    );
    assert_eq!(
        translated(&|it| metric(it, &|it| it.unreadable = Some(broken))),
        format!("2 data points, for example: metric 'aa' cannot be read: {reason}")
    );
    assert_eq!(
        translated(&|it| metric(it, &|it| it.unreadable_points.push(broken))),
        format!("1 data point: a data point of metric 'aa' cannot be read: {reason}")
    );
    assert_eq!(
        translated(&|it| metric(it, &|it| it.unreadable_description = Some(broken))),
        "the help text of a metric 'caf\\xe9' is not UTF-8"
    );
    // Only where the scope becomes labels do its properties matter.
    assert_eq!(
        translated(&|it| it.resources[0].scopes[0].unreadable = Some(broken)),
        ""
    );
}

#[test]
fn target_info_is_bounded() {
    let points = |times: &[i64]| {
        let points = times.iter().map(|time| {
            let nanos = time * 1_000_000;
            format!(r#"{{"asInt":1,"timeUnixNano":"{nanos}"}}"#)
        });
        let points: Vec<_> = points.collect();
        request(&format!(
            r#"{{"name":"g","gauge":{{"dataPoints":[{}]}}}}"#,
            points.join(",")
        ))
    };
    const NOW: i64 = 1_700_000_000_000;
    const STEP: i64 = 150_000;
    let bounds = |times_ms, max_samples| TargetInfoBounds {
        times_ms,
        max_samples,
    };
    let any = i64::MIN..=i64::MAX;
    let cases = [
        (vec![NOW], bounds(any.clone(), 10), vec![NOW]),
        (
            vec![NOW, NOW + 2 * STEP],
            bounds(any.clone(), 10),
            vec![NOW, NOW + STEP, NOW + 2 * STEP],
        ),
        (
            vec![NOW + 2 * STEP + 1, NOW],
            bounds(any.clone(), 10),
            vec![NOW, NOW + STEP, NOW + 2 * STEP, NOW + 2 * STEP + 1],
        ),
        // The last ones remain.
        (
            vec![NOW, NOW + 5 * STEP],
            bounds(any.clone(), 2),
            vec![NOW + 3 * STEP, NOW + 4 * STEP, NOW + 5 * STEP],
        ),
        (
            vec![NOW, NOW + STEP],
            bounds(any.clone(), 0),
            vec![NOW + STEP],
        ),
        // 11 million steps.
        (vec![0, NOW], bounds(any, 1), vec![NOW / STEP * STEP, NOW]),
        // A time that cannot be stored has no part in it.
        (vec![0, NOW], bounds(NOW - 1..=NOW, 100), vec![NOW]),
        (vec![0], bounds(NOW - 1..=NOW, 100), vec![]),
    ];
    for (times, bounds, expected) in cases {
        with_translation(&points(&times), &bounds, |translation| {
            let series = translation.request.iter();
            let target_info = series
                .filter(|it| it.labels.get("__name__") == Some("target_info"))
                .flat_map(|it| it.datapoints.iter().map(Datapoint::timestamp_ms));
            assert_eq!(target_info.collect::<Vec<_>>(), expected, "{times:?}");
        });
    }
}

#[test]
fn samples_lead_back_to_data_points() {
    let metrics = [
        r#"{"name":"bad","gauge":{"dataPoints":[{"asInt":1,"attributes":[{"key":""}]}]}}"#,
        r#"{"name":"h","histogram":{"aggregationTemporality":2,"dataPoints":[
            {"sum":1,"count":2,"bucketCounts":[1,1],"explicitBounds":[1],"exemplars":[{"asInt":1}]},{"count":1}]}}"#,
        r#"{"name":"g","gauge":{"dataPoints":[{"asInt":1}]}}"#,
    ];
    with_translation(&request(&metrics.join(",")), &bounds(), |translation| {
        let mut series: HashMap<Origin, usize> = HashMap::new();
        for it in &translation.origins {
            *series.entry(*it).or_default() += 1;
        }
        // The first has an exemplar beside its four series.
        let expected = [
            (Origin::Point(0), 5),
            (Origin::Point(1), 2),
            (Origin::Point(2), 1),
            (Origin::TargetInfo, 1),
        ];
        assert_eq!(series, expected.into());
        let ranges: Vec<_> = translation.request.iter().map(|it| it.range).collect();
        let points_in =
            |positions: &[usize]| translation.points_in(positions.iter().map(|it| ranges[*it]));
        assert_eq!(points_in(&[0, 1, 2]), 1);
        assert_eq!(points_in(&[3, 4, 6]), 3);
        assert_eq!(points_in(&[7]), 0);
        // An exemplar by itself is no data point.
        let exemplar = ranges[2].iter().nth(1).unwrap();
        assert_eq!(translation.points_in([exemplar]), 0);
    });
}
