//! Classic histograms as native histograms with custom buckets.

use std::collections::BTreeMap;

use prom_model::{
    Buckets, CUSTOM_BUCKETS_SCHEMA, Count, FloatHistogram, Histogram, Label, Labels,
    METRIC_NAME_LABEL, Span,
};

const BUCKET_LABEL: &str = "le";

/// Native histograms of one label set, by time.
pub(crate) type NativeSeries = (Labels, Vec<(i64, FloatHistogram)>);

/// The samples of a classic histogram at one time.
#[derive(Debug, Default)]
struct Classic {
    /// Upper boundaries and the number of observations up to them.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

/// Returns a native histogram for each time at which the label sets have samples of a classic one.
pub(crate) fn convert<'a>(
    series: impl IntoIterator<Item = (&'a Labels, Vec<(i64, f64)>)>,
) -> Result<Vec<NativeSeries>, String> {
    let mut histograms: Vec<(Labels, BTreeMap<i64, Classic>)> = Vec::new();
    for (labels, samples) in series {
        let Some((part, base)) = Part::of(labels)? else {
            continue;
        };
        let index = histograms.iter().position(|(known, _)| *known == base);
        let index = index.unwrap_or_else(|| {
            histograms.push((base, BTreeMap::new()));
            histograms.len() - 1
        });
        for (timestamp_ms, value) in samples {
            let classic = histograms[index].1.entry(timestamp_ms).or_default();
            classic.set(part, value)?;
        }
    }
    let converted = histograms.into_iter().map(|(labels, classics)| {
        let native = classics
            .into_iter()
            .map(|(timestamp_ms, classic)| Ok((timestamp_ms, classic.native()?)));
        Ok((labels, native.collect::<Result<_, String>>()?))
    });
    converted.collect()
}

/// The part of a classic histogram that a series has.
#[derive(Clone, Copy, Debug)]
enum Part {
    Bucket(f64),
    Count,
    Sum,
}

impl Part {
    /// Returns the part and the labels of the histogram, if the series is one of a histogram.
    fn of(labels: &Labels) -> Result<Option<(Self, Labels)>, String> {
        let name = labels.get(METRIC_NAME_LABEL);
        let bound = labels.get(BUCKET_LABEL);
        let (part, base) = if let Some(base) = name.strip_suffix("_bucket") {
            let bound: f64 = match bound {
                "" => return Err(format!("`{name}` has no label `{BUCKET_LABEL}`")),
                _ => bound.parse().unwrap_or(f64::NAN),
            };
            if bound.is_nan() {
                return Ok(None);
            }
            (Self::Bucket(bound), base)
        } else if let Some(base) = name.strip_suffix("_count") {
            (Self::Count, base)
        } else if let Some(base) = name.strip_suffix("_sum") {
            (Self::Sum, base)
        } else {
            return Ok(None);
        };
        let mut rest: Vec<Label> = labels.iter().cloned().collect();
        rest.retain(|label| label.name != BUCKET_LABEL && label.name != METRIC_NAME_LABEL);
        rest.push(Label {
            name: METRIC_NAME_LABEL.to_owned(),
            value: base.to_owned(),
        });
        Ok(Some((part, Labels::new(rest))))
    }
}

impl Classic {
    fn set(&mut self, part: Part, value: f64) -> Result<(), String> {
        match part {
            Part::Sum => self.sum = value,
            _ if value < 0.0 => return Err(format!("a classic histogram has the count {value}")),
            Part::Count => self.count = Some(value),
            Part::Bucket(bound) => {
                let index = self.buckets.partition_point(|&(other, _)| other < bound);
                let is_known = self.buckets.get(index).is_some_and(|it| it.0 == bound);
                if !is_known {
                    self.buckets.insert(index, (bound, value));
                }
            }
        }
        Ok(())
    }

    fn native(mut self) -> Result<FloatHistogram, String> {
        let last = self.buckets.last().copied();
        let count = self.count.or(last.map(|it| it.1)).unwrap_or(0.0);
        if last.is_none_or(|(bound, _)| bound != f64::INFINITY) {
            self.buckets.push((f64::INFINITY, count));
        }
        let is_integer = |number: f64| number == number.round() && number.is_finite();
        let integers = is_integer(count) && self.buckets.iter().all(|it| is_integer(it.1));
        let mut before = 0.0;
        let mut counts = Vec::with_capacity(self.buckets.len());
        for &(bound, up_to) in &self.buckets {
            if up_to < before {
                return Err(format!(
                    "fewer observations are up to {bound} than to the bound before"
                ));
            }
            counts.push(up_to - before);
            before = up_to;
        }
        if before != count {
            return Err(format!("the buckets have {before} observations of {count}"));
        }
        let bounds = self.buckets.iter().map(|it| it.0);
        let length = u32::try_from(counts.len()).expect("a script is short");
        let mut histogram = FloatHistogram::try_from(&Histogram {
            count: Some(Count::Float(count)),
            sum: self.sum,
            schema: CUSTOM_BUCKETS_SCHEMA,
            positive: Buckets {
                spans: vec![Span { offset: 0, length }],
                deltas: Vec::new(),
                counts,
            },
            custom_values: bounds.filter(|it| it.is_finite()).collect(),
            ..Histogram::default()
        })
        .map_err(|error| error.to_string())?;
        // Integers keep gaps of up to two empty buckets.
        histogram.compact(if integers { 2 } else { 0 });
        Ok(histogram)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::description;

    /// Converts series with one sample at the time 0 each.
    fn natives(lines: &[&str]) -> Result<Vec<(Labels, String)>, String> {
        let series: Vec<_> = lines
            .iter()
            .map(|line| {
                let (metric, value) = line.rsplit_once(' ').unwrap();
                (description(metric).unwrap().labels, value.parse().unwrap())
            })
            .collect();
        let converted = convert(
            series
                .iter()
                .map(|(labels, value)| (labels, vec![(0, *value)])),
        )?;
        Ok(converted
            .into_iter()
            .map(|(labels, samples)| (labels, samples[0].1.to_string()))
            .collect())
    }

    #[test]
    fn series_of_a_label_set_are_one_histogram() {
        let converted = natives(&[
            "a_bucket{le=\"2\",x=\"y\"} 3",
            "a_bucket{le=\"1\",x=\"y\"} 1",
            "a_bucket{le=\"+Inf\",x=\"y\"} 4.5",
            "a_bucket{le=\"none\",x=\"y\"} 9",
            "a_sum{x=\"y\"} 7",
            "a_count{x=\"y\"} 4.5",
            "b_count 2",
            "up 1",
        ])
        .unwrap();
        let [(first, a), (second, b)] = converted.as_slice() else {
            panic!("{converted:?}");
        };
        assert_eq!(
            (first.get("__name__"), first.get("x"), first.get("le")),
            ("a", "y", "")
        );
        assert_eq!(a, "{count:4.5, sum:7, [-Inf,1]:1, (1,2]:2, (2,+Inf]:1.5}");
        assert_eq!(
            (second.get("__name__"), b.as_str()),
            ("b", "{count:2, sum:0, [-Inf,+Inf]:2}")
        );
    }

    #[test]
    fn the_highest_bucket_is_the_count_if_there_is_none() {
        let converted = natives(&["a_bucket{le=\"1\"} 1", "a_bucket{le=\"2\"} 3"]).unwrap();
        assert_eq!(converted[0].1, "{count:3, sum:0, [-Inf,1]:1, (1,2]:2}");
    }

    #[test]
    fn contradictions_are_errors() {
        for lines in [
            ["a_bucket{le=\"1\"} 2", "a_bucket{le=\"2\"} 1"],
            ["a_bucket{le=\"+Inf\"} 2", "a_count 1"],
            ["a_bucket 2", "a_count 2"],
            ["a_bucket{le=\"1\"} -1", "a_count 2"],
        ] {
            assert!(natives(&lines).is_err(), "{lines:?}");
        }
    }
}
