//! Metric types and metric families.

/// The type of a metric family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MetricType {
    /// The sender has not given one.
    #[default]
    Unknown,
    /// A number that only grows, until it starts again.
    Counter,
    /// A number that goes up and down.
    Gauge,
    /// Observations in buckets.
    Histogram,
    /// Observations in buckets that may lose some again.
    GaugeHistogram,
    /// Quantiles.
    Summary,
    /// Labels that describe something, the value is 1.
    Info,
    /// A set of booleans.
    StateSet,
}

impl MetricType {
    /// Returns the type with this number in remote write; a number that the protocol does not define is
    /// [`Self::Unknown`].
    pub fn of(number: i32) -> Self {
        match number {
            1 => Self::Counter,
            2 => Self::Gauge,
            3 => Self::Histogram,
            4 => Self::GaugeHistogram,
            5 => Self::Summary,
            6 => Self::Info,
            7 => Self::StateSet,
            _ => Self::Unknown,
        }
    }

    /// Returns the name of the family to which a metric of this name and type belongs: histograms and summaries
    /// have metrics of several names.
    pub fn family(self, metric_name: &str) -> &str {
        let suffixes: &[&str] = match self {
            Self::Histogram => &["_bucket", "_count", "_sum"],
            Self::GaugeHistogram => &["_bucket", "_gcount", "_gsum"],
            Self::Summary => &["_count", "_sum"],
            Self::Unknown | Self::Counter | Self::Gauge | Self::Info | Self::StateSet => &[],
        };
        let family = suffixes
            .iter()
            .find_map(|suffix| metric_name.strip_suffix(suffix));
        family.unwrap_or(metric_name)
    }

    /// Returns the name of the type, as Prometheus writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet => "stateset",
        }
    }
}
