//! OTLP metrics in both encodings: no bytes make the readers panic, each data point of what they accept is translated or
//! rejected, each sample leads back to one, and all of it occupies no more memory than is reserved.

use otlp::model::Metrics;
use otlp::{Options, Origin, TargetInfoBounds, TranslationStrategy, translate};
use otlp::{read_json, read_protobuf};
use prom_wire::budget::{MemoryBudget, Reservation};
use prom_wire::request::StringArena;

/// Memory of all requests, twice that of a default server.
const BUDGET_BYTES: usize = 256 << 20;
/// Samples of `target_info` between data points.
const MAX_TARGET_INFO: usize = 20;

/// Reads `input` as a request in protobuf and in JSON.
pub(crate) fn check(input: &[u8]) {
    let budget = MemoryBudget::new(BUDGET_BYTES);
    let mut reservation = budget.reservation();
    if let Ok(metrics) = read_protobuf(input, &mut reservation) {
        check_translations(&metrics, &mut reservation);
    }
    drop(reservation);
    let arena = StringArena::default();
    let mut reservation = budget.reservation();
    if let Ok(metrics) = read_json(input, &arena, &mut reservation) {
        check_translations(&metrics, &mut reservation);
    }
    drop(reservation);
    assert_eq!(budget.reserved(), 0, "all memory is released");
}

/// Translates metrics with options that differ from one another.
fn check_translations(metrics: &Metrics<'_>, reservation: &mut Reservation) {
    for translation_strategy in TranslationStrategy::ALL {
        let is_default = translation_strategy == TranslationStrategy::default();
        let options = Options {
            translation_strategy,
            promote_all_resource_attributes: !is_default,
            convert_histograms_to_nhcb: !is_default,
            promote_scope_metadata: !is_default,
            label_name_preserve_multiple_underscores: is_default,
            ..Options::default()
        };
        check_translation(metrics, &options, reservation);
    }
}

fn check_translation(metrics: &Metrics<'_>, options: &Options, reservation: &mut Reservation) {
    let bounds = TargetInfoBounds {
        max_samples: MAX_TARGET_INFO,
        ..TargetInfoBounds::default()
    };
    let arena = StringArena::default();
    let before = reservation.bytes();
    let Ok(translation) = translate(metrics, options, &bounds, &arena, reservation) else {
        reservation.shrink(reservation.bytes() - before);
        return;
    };
    let points = translation.points() + translation.rejected_points();
    assert_eq!(points, metrics.point_count());
    let request = &translation.request;
    let all = request.iter().map(|it| it.range);
    assert_eq!(translation.points_in(all), translation.points());
    let mut target_info = 0;
    for series in request.iter() {
        assert!(!series.datapoints.is_empty());
        let labels: Vec<_> = series.labels.iter().collect();
        assert!(labels.is_sorted_by(|a, b| a.0 <= b.0), "{labels:?}");
        assert!(labels.iter().all(|it| !it.1.is_empty()), "{labels:?}");
        for item in series.range.iter() {
            match translation.origin(item.position()) {
                Origin::TargetInfo => target_info += 1,
                Origin::Point(point) => assert!(u64::from(point) < translation.points()),
            }
        }
    }
    assert!(target_info <= MAX_TARGET_INFO + metrics.resources.len());
    let reserved = reservation.bytes() - before;
    assert!(reserved >= 20 * request.count() as usize, "{reserved}");
    reservation.shrink(reserved);
}
