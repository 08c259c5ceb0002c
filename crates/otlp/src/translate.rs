//! Metrics to series, as Prometheus' receiver of OTLP makes them.
//!
//! Its whole request fails where a metric or a data point cannot be translated; here only that one is rejected.

mod labels;
mod native;
mod target_info;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::hash::{BuildHasher, Hash, Hasher};

use hashbrown::{DefaultHashBuilder, HashMap, HashSet};
use prom_model::{METRIC_NAME_LABEL, MetricType, STALE_MARKER_BITS, Sample};
use prom_wire::budget::Reservation;
use prom_wire::limits::DecodeLimits;
use prom_wire::protobuf::MessageError;
use prom_wire::request::{self, Datapoint, DatapointRange, Metadata, Request, StringArena};

use crate::DecodeError;
use crate::model::{
    Data, Exemplar, ExponentialPoint, HistogramPoint, KeyValue, Metric, Metrics, NO_RECORDED_VALUE,
    Number, NumberPoint, ResourceMetrics, SummaryPoint, Temporality, Unreadable,
};
use crate::names::{NameError, NameKind, metric_name, unit_name};
use crate::options::Options;
use crate::rejected::{
    RejectReason, Rejected, Rejections, label_name_message, metric_name_message, metric_place,
    no_data_message, scale_message, temporality_message, unreadable_message,
};
use crate::text::{decimal, value_text};
use labels::{BadLabel, Label, LabelError, LabelNames, Overlay, Scratch, push_labels};
use target_info::Period;
pub use target_info::TargetInfoBounds;

/// The series of a request, and the data points that they come from.
#[derive(Debug)]
pub struct Translation<'a> {
    /// The series. Each sample, histogram and exemplar is one of a data point, or of `target_info`.
    pub request: Request<'a>,
    /// The data point of each datapoint of the request, by position.
    origins: Vec<Origin>,
    /// Data points that became series.
    points: u32,
    /// Data points that did not, by reason.
    pub rejected: Vec<Rejected>,
    /// Exemplars without a value, with an identifier of a wrong length, or that cannot be read. Their data points are
    /// translated nevertheless.
    pub dropped_exemplars: u64,
}

/// The origin of a sample, histogram or exemplar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The translated data point with this number, counted from 0.
    Point(u32),
    /// The resource, which has `target_info`.
    TargetInfo,
}

impl Translation<'_> {
    /// Returns the number of data points that became series.
    pub fn points(&self) -> u64 {
        u64::from(self.points)
    }

    /// Returns the number of data points that did not become series.
    pub fn rejected_points(&self) -> u64 {
        self.rejected.iter().map(|it| it.points).sum()
    }

    /// Returns the origin of the datapoint at this position of the request.
    ///
    /// # Panics
    /// There is no such datapoint.
    pub fn origin(&self, position: usize) -> Origin {
        self.origins[position]
    }

    /// Returns the number of data points that have a sample or a histogram in `ranges`. A data point counts once,
    /// however many of its series are there; its exemplars and `target_info` do not count.
    pub fn points_in(&self, ranges: impl IntoIterator<Item = DatapointRange>) -> u64 {
        let mut points = HashSet::new();
        for range in ranges {
            let datapoints = self.request.resolve(range).datapoints;
            let positions = range.position()..;
            for (datapoint, position) in datapoints.iter().zip(positions) {
                match (datapoint, self.origins[position]) {
                    (Datapoint::Exemplar(_), _) | (_, Origin::TargetInfo) => {}
                    (_, Origin::Point(point)) => drop(points.insert(point)),
                }
            }
        }
        points.len() as u64
    }
}

/// Translates metrics to series. Strings are borrowed from where `metrics` has them, or from `arena`, in which names
/// and values are stored that are made here. The memory of the series, and of what a receiver makes of them, is added to
/// `reservation` before it is allocated.
///
/// # Errors
/// The series exceed a limit of requests, or there is no memory for them.
pub fn translate<'a>(
    metrics: &Metrics<'a>,
    options: &Options,
    bounds: &TargetInfoBounds,
    arena: &'a StringArena,
    reservation: &mut Reservation,
) -> Result<Translation<'a>, DecodeError> {
    let mut translator = Translator {
        options,
        bounds,
        series: SeriesWriter {
            arena,
            limits: DecodeLimits::new(reservation),
            request: Request::default(),
            origins: Vec::new(),
            point: Origin::TargetInfo,
            dropped_exemplars: 0,
            numbers: HashMap::new(),
            scratch: Scratch::default(),
        },
        names: LabelNames::new(options, arena),
        families: HashMap::new(),
        points: 0,
        rejections: Rejections::default(),
        target_info_left: bounds.max_samples,
        target_info: HashSet::new(),
        hashes: DefaultHashBuilder::default(),
    };
    for resource in &metrics.resources {
        translator.add_resource(resource)?;
    }
    Ok(Translation {
        request: translator.series.request,
        origins: translator.series.origins,
        points: translator.points,
        rejected: translator.rejections.into_vec(),
        dropped_exemplars: translator.series.dropped_exemplars,
    })
}

/// Returns the time in milliseconds, truncated.
fn time_ms(nanos: u64) -> i64 {
    nanos.cast_signed() / 1_000_000
}

struct Translator<'a, 'm, 'o> {
    options: &'o Options,
    bounds: &'o TargetInfoBounds,
    series: SeriesWriter<'a, 'm>,
    names: LabelNames<'a, 'o>,
    /// The names of families by name, unit and kind of the metric.
    families: HashMap<(&'a str, &'a str, NameKind), Result<&'a str, NameError>>,
    points: u32,
    rejections: Rejections,
    /// Samples of `target_info` that the request may still get between data points.
    target_info_left: usize,
    /// The samples of `target_info` by the hash of their labels, and time.
    target_info: HashSet<(u64, i64)>,
    hashes: DefaultHashBuilder,
}

/// The parts of a metric that all of its series need.
struct Family<'a> {
    /// The name of the metric as it was sent.
    metric: &'a str,
    name: &'a str,
    metadata: Option<Metadata<'a>>,
    unreadable_description: Option<Unreadable<'a>>,
}

impl<'a> Translator<'a, '_, '_> {
    fn add_resource(&mut self, resource: &ResourceMetrics<'a>) -> Result<(), MessageError> {
        if let Some(reason) = &resource.unreadable {
            self.reject_unreadable(resource.point_count(), "the resource", reason);
            return Ok(());
        }
        let made = self.names.of_resource(resource, &mut self.series.limits);
        let mut shared = match made {
            Ok(overlay) => overlay,
            Err(LabelError::Fatal(error)) => return Err(error),
            Err(LabelError::Bad(bad)) => {
                self.reject_label(resource.point_count(), "the resource", bad);
                return Ok(());
            }
        };
        let mut period = None;
        for scope in &resource.scopes {
            let mut promoted = None;
            if self.options.promote_scope_metadata {
                if let Some(reason) = &scope.unreadable {
                    self.reject_unreadable(scope.point_count(), "the scope", reason);
                    continue;
                }
                let limits = &mut self.series.limits;
                match self.names.of_promoted(&shared, scope, limits) {
                    Ok(overlay) => promoted = Some(overlay),
                    Err(LabelError::Fatal(error)) => return Err(error),
                    Err(LabelError::Bad(bad)) => {
                        self.reject_label(scope.point_count(), "the scope", bad);
                        continue;
                    }
                }
            }
            let overlay = promoted.as_mut().unwrap_or(&mut shared);
            for metric in &scope.metrics {
                Period::add(&mut period, metric, self.bounds);
                self.add_metric(metric, overlay)?;
            }
        }
        match period {
            Some(period) => self.add_target_info(resource, period),
            None => Ok(()),
        }
    }

    fn reject_unreadable(&mut self, points: u64, place: &str, reason: &Unreadable<'a>) {
        let message = || unreadable_message(place, reason);
        self.rejections
            .add(RejectReason::Unreadable, points, message);
    }

    fn reject_label(&mut self, points: u64, place: &str, bad: BadLabel<'a>) {
        let message = || label_name_message(place, bad.attribute, bad.error);
        self.rejections
            .add(RejectReason::LabelName, points, message);
    }

    fn add_metric(
        &mut self,
        metric: &Metric<'a>,
        overlay: &mut Overlay<'a>,
    ) -> Result<(), MessageError> {
        let points = metric.point_count();
        if let Some(reason) = &metric.unreadable {
            self.reject_unreadable(points, &metric_place(metric.name), reason);
            return Ok(());
        }
        let (temporality, metric_type, kind) = match &metric.data {
            Data::None => {
                let message = || no_data_message(metric.name);
                self.rejections.add(RejectReason::NoData, points, message);
                return Ok(());
            }
            Data::Gauge(_) => (None, MetricType::Gauge, NameKind::Gauge),
            Data::Sum {
                temporality,
                is_monotonic: true,
                ..
            } => (Some(*temporality), MetricType::Counter, NameKind::Counter),
            Data::Sum { temporality, .. } => {
                (Some(*temporality), MetricType::Gauge, NameKind::Other)
            }
            Data::Histogram { temporality, .. } | Data::Exponential { temporality, .. } => {
                (Some(*temporality), MetricType::Histogram, NameKind::Other)
            }
            Data::Summary(_) => (None, MetricType::Summary, NameKind::Other),
        };
        if let Some(temporality) = temporality.filter(|it| *it != Temporality::Cumulative) {
            let message = || temporality_message(metric.name, temporality);
            self.rejections
                .add(RejectReason::Temporality, points, message);
            return Ok(());
        }
        let name = match self.family_name(metric, kind)? {
            Ok(name) => name,
            Err(error) => {
                let message = || metric_name_message(metric.name, error);
                self.rejections
                    .add(RejectReason::MetricName, points, message);
                return Ok(());
            }
        };
        if points == 0 {
            return Ok(());
        }
        if let Some(first) = metric.unreadable_points.first() {
            let points = metric.unreadable_points.len() as u64;
            let place = || format!("a data point of {}", metric_place(metric.name));
            self.reject_unreadable(points, &place(), first);
        }
        self.series.dropped_exemplars += metric.unreadable_exemplars;
        let metadata = Metadata {
            metric_name: name,
            metric_type,
            help: metric.description,
            unit: self.series.arena.store(unit_name(metric.unit)),
            series: None,
        };
        let mut family = Family {
            metric: metric.name,
            name,
            metadata: Some(metadata).filter(|it| !it.metric_name.is_empty()),
            unreadable_description: metric.unreadable_description,
        };
        self.add_points(&metric.data, &mut family, overlay)
    }

    /// Returns the name of the family of a metric.
    fn family_name(
        &mut self,
        metric: &Metric<'a>,
        kind: NameKind,
    ) -> Result<Result<&'a str, NameError>, MessageError> {
        let key = (metric.name, metric.unit, kind);
        if let Some(&name) = self.families.get(&key) {
            return Ok(name);
        }
        const ENTRY_BYTES: usize = 240;
        let bytes = 2 * (metric.name.len() + metric.unit.len());
        self.series.limits.text(ENTRY_BYTES + bytes)?;
        let strategy = self.options.translation_strategy;
        let name = metric_name(metric.name, metric.unit, kind, strategy);
        let name = name.map(|it| self.series.arena.store(it));
        self.families.insert(key, name);
        Ok(name)
    }

    fn add_points(
        &mut self,
        data: &Data<'a>,
        family: &mut Family<'a>,
        overlay: &mut Overlay<'a>,
    ) -> Result<(), MessageError> {
        let mut labels = Vec::new();
        let label = |suffix: &str| {
            let name = match suffix {
                "" => Cow::Borrowed(family.name),
                suffix => Cow::Owned(format!("{}{suffix}", family.name)),
            };
            Label::new(METRIC_NAME_LABEL, name)
        };
        let mut name = label("");
        match data {
            Data::None => {}
            Data::Gauge(points) => {
                for point in points {
                    if self.start_point(&point.attributes, family, overlay, &mut labels)? {
                        self.series.number(point, &mut labels, &mut name)?;
                        self.end_point(family, overlay, &labels)?;
                    }
                }
            }
            Data::Sum { points, .. } => {
                for point in points {
                    if self.start_point(&point.attributes, family, overlay, &mut labels)? {
                        self.series.number(point, &mut labels, &mut name)?;
                        let exemplars = self.series.exemplars(&point.exemplars)?;
                        self.series.add_exemplars(exemplars);
                        self.end_point(family, overlay, &labels)?;
                    }
                }
            }
            Data::Histogram { points, .. } if self.options.convert_histograms_to_nhcb => {
                for point in points {
                    if self.start_point(&point.attributes, family, overlay, &mut labels)? {
                        self.series.custom_buckets(point, &mut labels, &mut name)?;
                        self.end_point(family, overlay, &labels)?;
                    }
                }
            }
            Data::Histogram { points, .. } => {
                let mut names = [label("_sum"), label("_count"), label("_bucket")];
                for point in points {
                    if self.start_point(&point.attributes, family, overlay, &mut labels)? {
                        self.series.histogram(point, &mut labels, &mut names)?;
                        self.end_point(family, overlay, &labels)?;
                    }
                }
            }
            Data::Exponential { points, .. } => {
                for point in points {
                    self.add_exponential(point, family, overlay, &mut labels, &mut name)?;
                }
            }
            Data::Summary(points) => {
                let mut names = [label("_sum"), label("_count"), name];
                for point in points {
                    if self.start_point(&point.attributes, family, overlay, &mut labels)? {
                        self.series.summary(point, &mut labels, &mut names)?;
                        self.end_point(family, overlay, &labels)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn add_exponential(
        &mut self,
        point: &ExponentialPoint<'a>,
        family: &mut Family<'a>,
        overlay: &mut Overlay<'a>,
        labels: &mut Vec<Label<'a>>,
        name: &mut Label<'a>,
    ) -> Result<(), MessageError> {
        let numbers = 2 * (point.positive.counts.len() + point.negative.counts.len());
        native::charge(&mut self.series.limits, numbers)?;
        let histogram = match native::of_exponential(point) {
            Ok(histogram) => histogram,
            Err(scale) => {
                let message = || scale_message(family.metric, scale);
                self.rejections.add(RejectReason::Scale, 1, message);
                return Ok(());
            }
        };
        if self.start_point(&point.attributes, family, overlay, labels)? {
            let histogram = Datapoint::Histogram(Box::new(histogram));
            self.series.start_series(labels, &mut [name])?;
            self.series.push(histogram);
            let exemplars = self.series.exemplars(&point.exemplars)?;
            self.series.add_exemplars(exemplars);
            self.end_point(family, overlay, labels)?;
        }
        Ok(())
    }

    /// Makes the labels of a data point; returns false if it is rejected.
    fn start_point(
        &mut self,
        attributes: &[KeyValue<'a>],
        family: &Family<'a>,
        overlay: &Overlay<'a>,
        labels: &mut Vec<Label<'a>>,
    ) -> Result<bool, MessageError> {
        let is_ignored = |key: &str| key == METRIC_NAME_LABEL;
        let limits = &mut self.series.limits;
        match self
            .names
            .of_attributes(attributes, is_ignored, limits, labels)
        {
            Ok(()) => {}
            Err(LabelError::Fatal(error)) => return Err(error),
            Err(LabelError::Bad(bad)) => {
                self.reject_label(1, &metric_place(family.metric), bad);
                return Ok(false);
            }
        }
        overlay.add_to(labels);
        self.series.point = Origin::Point(self.points);
        Ok(true)
    }

    /// Ends the last series of a data point.
    fn end_point(
        &mut self,
        family: &mut Family<'a>,
        overlay: &mut Overlay<'a>,
        labels: &[Label<'a>],
    ) -> Result<(), MessageError> {
        self.series.request.end_series();
        self.points += 1;
        overlay.learn(labels);
        if let Some(metadata) = family.metadata.take() {
            let series = self.series.request.len() - 1;
            self.series
                .metadata(metadata, series, family.unreadable_description)?;
        }
        Ok(())
    }

    fn add_target_info(
        &mut self,
        resource: &ResourceMetrics<'a>,
        period: Period,
    ) -> Result<(), MessageError> {
        const NAME: &str = "target_info";
        let mut labels = Vec::new();
        let limits = &mut self.series.limits;
        match self.names.of_target_info(resource, limits, &mut labels) {
            Ok(Some(())) => {}
            Ok(None) => return Ok(()),
            Err(LabelError::Fatal(error)) => return Err(error),
            Err(LabelError::Bad(bad)) => {
                // Its data points have their series.
                self.reject_label(0, "the resource, which has no target_info without it", bad);
                return Ok(());
            }
        }
        let mut hasher = self.hashes.build_hasher();
        for label in &labels {
            (label.name, label.value()).hash(&mut hasher);
        }
        let hash = hasher.finish();
        // Resources with equal labels have each sample once.
        let times = period.times_ms(&mut self.target_info_left);
        let times: Vec<i64> = times
            .filter(|time| self.target_info.insert((hash, *time)))
            .collect();
        if times.is_empty() {
            return Ok(());
        }
        self.series.point = Origin::TargetInfo;
        let mut name = Label::new(METRIC_NAME_LABEL, NAME);
        self.series.start_series(&mut labels, &mut [&mut name])?;
        for timestamp_ms in times {
            self.series.sample(timestamp_ms, 1.0)?;
        }
        self.series.request.end_series();
        let metadata = Metadata {
            metric_name: NAME,
            metric_type: MetricType::Gauge,
            help: "Target metadata",
            unit: "",
            series: None,
        };
        let series = self.series.request.len() - 1;
        self.series.metadata(metadata, series, None)
    }
}

/// Writes series within the limits.
struct SeriesWriter<'a, 'm> {
    arena: &'a StringArena,
    limits: DecodeLimits<'m>,
    request: Request<'a>,
    origins: Vec<Origin>,
    /// The origin of what is written.
    point: Origin,
    dropped_exemplars: u64,
    /// The labels that are numbers, by name and bits: most histograms have the same boundaries.
    numbers: HashMap<(&'static str, u64), Label<'a>>,
    scratch: Scratch,
}

impl<'a> SeriesWriter<'a, '_> {
    /// Starts a series of a boundary or a quantile, which is the label `own`.
    fn start_number_series(
        &mut self,
        labels: &mut [Label<'a>],
        name: &mut Label<'a>,
        own: &'static str,
        number: f64,
    ) -> Result<(), MessageError> {
        const ENTRY_BYTES: usize = 200;
        let key = (own, number.to_bits());
        if let Some(known) = self.numbers.get(&key) {
            let mut known = known.clone();
            return self.start_series(labels, &mut [name, &mut known]);
        }
        self.limits.text(ENTRY_BYTES)?;
        let mut new = Label::new(own, decimal(number));
        self.start_series(labels, &mut [name, &mut new])?;
        self.numbers.insert(key, new);
        Ok(())
    }

    /// Starts a series with the labels of the point and its own.
    fn start_series(
        &mut self,
        labels: &mut [Label<'a>],
        own: &mut [&mut Label<'a>],
    ) -> Result<(), MessageError> {
        self.limits.series()?;
        push_labels(&mut self.request, self.arena, &mut self.limits, labels, own)
    }

    fn push(&mut self, datapoint: Datapoint<'a>) {
        self.request.push_datapoint(datapoint);
        self.origins.push(self.point);
    }

    fn sample(&mut self, timestamp_ms: i64, value: f64) -> Result<(), MessageError> {
        self.limits.sample()?;
        self.push(Datapoint::Sample(Sample {
            timestamp_ms,
            value,
        }));
        Ok(())
    }

    fn number(
        &mut self,
        point: &NumberPoint<'a>,
        labels: &mut [Label<'a>],
        name: &mut Label<'a>,
    ) -> Result<(), MessageError> {
        let value = match point.value {
            _ if is_stale(point.flags) => f64::from_bits(STALE_MARKER_BITS),
            Some(value) => float(value),
            None => 0.0,
        };
        self.start_series(labels, &mut [name])?;
        self.sample(time_ms(point.time_unix_nano), value)
    }

    /// Writes a histogram with listed boundaries; the last series is not ended.
    fn histogram(
        &mut self,
        point: &HistogramPoint<'a>,
        labels: &mut [Label<'a>],
        [sum, count, bucket]: &mut [Label<'a>; 3],
    ) -> Result<(), MessageError> {
        let timestamp_ms = time_ms(point.time_unix_nano);
        let value = |value: f64| match is_stale(point.flags) {
            true => f64::from_bits(STALE_MARKER_BITS),
            false => value,
        };
        if let Some(it) = point.sum {
            self.start_series(labels, &mut [sum])?;
            self.sample(timestamp_ms, value(it))?;
            self.request.end_series();
        }
        self.start_series(labels, &mut [count])?;
        self.sample(timestamp_ms, value(point.count as f64))?;
        self.request.end_series();
        // Both are ordered, so an exemplar belongs to the first bucket that it fits into.
        let mut exemplars = self.exemplars(&point.exemplars)?.into_iter().peekable();
        let mut cumulative = 0_u64;
        for (&bound, &count) in point.explicit_bounds.iter().zip(&point.bucket_counts) {
            cumulative = cumulative.wrapping_add(count);
            self.start_number_series(labels, bucket, "le", bound)?;
            self.sample(timestamp_ms, value(cumulative as f64))?;
            while let Some(exemplar) = exemplars.next_if(|it| !is_above(it.value, bound)) {
                self.add_exemplars([exemplar]);
            }
            self.request.end_series();
        }
        self.start_number_series(labels, bucket, "le", f64::INFINITY)?;
        self.sample(timestamp_ms, value(point.count as f64))?;
        self.add_exemplars(exemplars);
        Ok(())
    }

    /// Writes a native histogram with custom buckets; the series is not ended.
    fn custom_buckets(
        &mut self,
        point: &HistogramPoint<'a>,
        labels: &mut [Label<'a>],
        name: &mut Label<'a>,
    ) -> Result<(), MessageError> {
        let numbers = 2 * point.bucket_counts.len() + point.explicit_bounds.len();
        native::charge(&mut self.limits, numbers)?;
        let histogram = native::of_boundaries(point);
        self.start_series(labels, &mut [name])?;
        self.push(Datapoint::Histogram(Box::new(histogram)));
        let exemplars = self.exemplars(&point.exemplars)?;
        self.add_exemplars(exemplars);
        Ok(())
    }

    /// Writes a summary; the last series is not ended.
    fn summary(
        &mut self,
        point: &SummaryPoint<'a>,
        labels: &mut [Label<'a>],
        [sum, count, name]: &mut [Label<'a>; 3],
    ) -> Result<(), MessageError> {
        let timestamp_ms = time_ms(point.time_unix_nano);
        let value = |value: f64| match is_stale(point.flags) {
            true => f64::from_bits(STALE_MARKER_BITS),
            false => value,
        };
        self.start_series(labels, &mut [sum])?;
        self.sample(timestamp_ms, value(point.sum))?;
        self.request.end_series();
        self.start_series(labels, &mut [count])?;
        self.sample(timestamp_ms, value(point.count as f64))?;
        for it in &point.quantiles {
            self.request.end_series();
            self.start_number_series(labels, name, "quantile", it.quantile)?;
            self.sample(timestamp_ms, value(it.value))?;
        }
        Ok(())
    }

    /// Translates exemplars; those that cannot be are counted.
    fn exemplars(
        &mut self,
        exemplars: &[Exemplar<'a>],
    ) -> Result<Vec<request::Exemplar<'a>>, MessageError> {
        let mut translated = Vec::new();
        for exemplar in exemplars {
            match self.exemplar(exemplar)? {
                Some(exemplar) => translated.push(exemplar),
                None => self.dropped_exemplars += 1,
            }
        }
        Ok(translated)
    }

    fn exemplar(
        &mut self,
        exemplar: &Exemplar<'a>,
    ) -> Result<Option<request::Exemplar<'a>>, MessageError> {
        /// The most characters of all labels of an exemplar, as OpenMetrics demands.
        const MAX_CHARACTERS: usize = 128;
        let Some(value) = exemplar.value else {
            return Ok(None);
        };
        self.limits.exemplar()?;
        let mut labels = Vec::new();
        let mut characters = 0;
        let ids = [
            ("trace_id", &exemplar.trace_id, 16),
            ("span_id", &exemplar.span_id, 8),
        ];
        for (name, id, len) in ids {
            if !id.is_empty() && id.len() != len {
                return Ok(None);
            }
            if id.iter().any(|byte| *byte != 0) {
                let hex = hex(id);
                characters += name.len() + hex.len();
                self.exemplar_label(&mut labels, name, Cow::Owned(hex))?;
            }
        }
        self.scratch
            .charge(&exemplar.filtered_attributes, &mut self.limits)?;
        let attributes = exemplar.filtered_attributes.iter();
        let attributes: Vec<_> = attributes
            .map(|it| (it.key, value_text(&it.value)))
            .collect();
        let counts = attributes
            .iter()
            .map(|(key, value)| key.chars().count() + value.chars().count());
        if characters + counts.sum::<usize>() <= MAX_CHARACTERS {
            for (key, value) in attributes {
                self.exemplar_label(&mut labels, key, value)?;
            }
        }
        labels.sort_by_key(|it| it.0);
        Ok(Some(request::Exemplar {
            labels: Ok(labels),
            timestamp_ms: exemplar.time_unix_nano.cast_signed().div_euclid(1_000_000),
            value: float(value),
        }))
    }

    fn exemplar_label(
        &mut self,
        labels: &mut Vec<request::Label<'a>>,
        name: &'a str,
        value: Cow<'a, str>,
    ) -> Result<(), MessageError> {
        self.limits.label()?;
        self.limits.exemplar_label(name, &value)?;
        labels.push((name, self.arena.store(value)));
        Ok(())
    }

    /// Adds exemplars to the series that is being built.
    fn add_exemplars(&mut self, exemplars: impl IntoIterator<Item = request::Exemplar<'a>>) {
        for exemplar in exemplars {
            self.push(Datapoint::Exemplar(Box::new(exemplar)));
        }
    }

    /// Adds the metadata of a series.
    fn metadata(
        &mut self,
        metadata: Metadata<'a>,
        series: usize,
        unreadable: Option<Unreadable<'a>>,
    ) -> Result<(), MessageError> {
        let texts = [metadata.metric_name, metadata.help, metadata.unit];
        self.limits
            .metadata(texts.iter().map(|it| it.len()).sum())?;
        match unreadable {
            Some(Unreadable::NotUtf8 { text, .. }) => {
                let what = "help text of a metric";
                let unreadable = request::Unreadable::Metadata { what, text };
                self.request.unreadable_metadata.push(unreadable);
            }
            _ => self.request.metadata.push(Metadata {
                series: Some(series),
                ..metadata
            }),
        }
        Ok(())
    }
}

/// Returns true if an exemplar belongs to a later bucket than that with this boundary; NaN does not.
fn is_above(value: f64, bound: f64) -> bool {
    value > bound
}

fn is_stale(flags: u32) -> bool {
    flags & NO_RECORDED_VALUE != 0
}

fn float(value: Number) -> f64 {
    match value {
        Number::Double(value) => value,
        Number::Int(value) => value as f64,
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |digit: u8| char::from(DIGITS[usize::from(digit)]);
    let digits = bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
    digits.collect()
}
