//! The readers agree with generated decoders and with one another: over messages, messages with changed bytes and
//! arbitrary fields they accept and reject the same bytes and find the same values in them.

use prom_wire::budget::MemoryBudget;
use prom_wire::request::StringArena;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use prost::Message;
use serde_json::{Value, json};

use crate::messages::{self, any_value, exemplar, metric, number_data_point};
use crate::model::{
    AnyValue, Data, Exemplar, ExponentialBuckets, ExponentialPoint, HistogramPoint, KeyValue,
    Metric, Metrics, Number, NumberPoint, QuantileValue, ResourceMetrics, ScopeMetrics,
    SummaryPoint, Temporality,
};
use crate::{DecodeError, read_json, read_protobuf};

type Request = messages::ExportMetricsServiceRequest;

/// Enough to find a wrong bit in each field; they take some seconds.
const CASES: u32 = 2_000;

fn read(body: &[u8]) -> Result<Metrics<'_>, DecodeError> {
    read_protobuf(body, &mut MemoryBudget::unlimited().reservation())
}

fn double() -> impl Strategy<Value = f64> {
    prop_oneof![
        select(
            [
                0.0,
                -0.0,
                1.5,
                f64::NAN,
                f64::INFINITY,
                f64::NEG_INFINITY,
                1e300,
                5e-324
            ]
            .as_slice()
        ),
        any::<f64>()
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        select(["", "service.name", "a\"b\\\n", "caf\u{e9}\u{1f600}"].as_slice())
            .prop_map(str::to_owned),
        "[a-z._]{0,6}",
    ]
}

fn value() -> impl Strategy<Value = messages::AnyValue> {
    use any_value::Value;
    let some = |value| messages::AnyValue { value: Some(value) };
    let leaf = prop_oneof![
        Just(messages::AnyValue { value: None }),
        text().prop_map(move |it| some(Value::StringValue(it))),
        any::<bool>().prop_map(move |it| some(Value::BoolValue(it))),
        any::<i64>().prop_map(move |it| some(Value::IntValue(it))),
        double().prop_map(move |it| some(Value::DoubleValue(it))),
        vec(any::<u8>(), 0..5).prop_map(move |it| some(Value::BytesValue(it))),
    ];
    leaf.prop_recursive(3, 8, 3, move |inner| {
        let entry = (text(), inner.clone());
        let entry = entry.prop_map(|(key, value)| messages::KeyValue {
            key,
            value: Some(value),
        });
        let array = vec(inner, 0..3).prop_map(|values| messages::ArrayValue { values });
        let list = vec(entry, 0..3).prop_map(|values| messages::KeyValueList { values });
        prop_oneof![
            array.prop_map(move |it| some(Value::ArrayValue(it))),
            list.prop_map(move |it| some(Value::KvlistValue(it))),
        ]
    })
}

fn attributes() -> impl Strategy<Value = Vec<messages::KeyValue>> {
    let attribute = (text(), option::of(value()));
    vec(
        attribute.prop_map(|(key, value)| messages::KeyValue { key, value }),
        0..3,
    )
}

fn exemplars() -> impl Strategy<Value = Vec<messages::Exemplar>> {
    let value = option::of(prop_oneof![
        double().prop_map(exemplar::Value::AsDouble),
        any::<i64>().prop_map(exemplar::Value::AsInt),
    ]);
    let id = || vec(any::<u8>(), 0..17);
    let exemplar = (any::<u64>(), value, id(), id(), attributes());
    let exemplar = exemplar.prop_map(
        |(time_unix_nano, value, span_id, trace_id, filtered_attributes)| messages::Exemplar {
            time_unix_nano,
            value,
            span_id,
            trace_id,
            filtered_attributes,
        },
    );
    vec(exemplar, 0..2)
}

fn numbers() -> impl Strategy<Value = Vec<messages::NumberDataPoint>> {
    let value = option::of(prop_oneof![
        double().prop_map(number_data_point::Value::AsDouble),
        any::<i64>().prop_map(number_data_point::Value::AsInt),
    ]);
    let point = (
        any::<[u64; 2]>(),
        value,
        exemplars(),
        attributes(),
        any::<u32>(),
    );
    let point =
        point.prop_map(
            |(times, value, exemplars, attributes, flags)| messages::NumberDataPoint {
                start_time_unix_nano: times[0],
                time_unix_nano: times[1],
                value,
                exemplars,
                attributes,
                flags,
            },
        );
    vec(point, 0..3)
}

fn histograms() -> impl Strategy<Value = Vec<messages::HistogramDataPoint>> {
    let point = (
        any::<[u64; 3]>(),
        (option::of(double()), option::of(double())),
        vec(any::<u64>(), 0..4),
        vec(double(), 0..4),
        exemplars(),
        attributes(),
        any::<u32>(),
    );
    let point = point.prop_map(
        |(times, (sum, min), bucket_counts, explicit_bounds, exemplars, attributes, flags)| {
            messages::HistogramDataPoint {
                start_time_unix_nano: times[0],
                time_unix_nano: times[1],
                count: times[2],
                sum,
                bucket_counts,
                explicit_bounds,
                exemplars,
                attributes,
                flags,
                min,
                max: min,
            }
        },
    );
    vec(point, 0..3)
}

fn exponential() -> impl Strategy<Value = Vec<messages::ExponentialHistogramDataPoint>> {
    let buckets = || {
        let buckets = (any::<i32>(), vec(any::<u64>(), 0..4));
        option::of(buckets.prop_map(|(offset, bucket_counts)| {
            messages::exponential_histogram_data_point::Buckets {
                offset,
                bucket_counts,
            }
        }))
    };
    let point = (
        any::<[u64; 4]>(),
        (option::of(double()), double()),
        any::<i32>(),
        (buckets(), buckets()),
        exemplars(),
        attributes(),
        any::<u32>(),
    );
    let point = point.prop_map(
        |(
            times,
            (sum, zero_threshold),
            scale,
            (positive, negative),
            exemplars,
            attributes,
            flags,
        )| {
            messages::ExponentialHistogramDataPoint {
                start_time_unix_nano: times[0],
                time_unix_nano: times[1],
                count: times[2],
                zero_count: times[3],
                sum,
                scale,
                positive,
                negative,
                exemplars,
                attributes,
                flags,
                min: sum,
                max: sum,
                zero_threshold,
            }
        },
    );
    vec(point, 0..3)
}

fn summaries() -> impl Strategy<Value = Vec<messages::SummaryDataPoint>> {
    let quantile = (double(), double()).prop_map(|(quantile, value)| {
        messages::summary_data_point::ValueAtQuantile { quantile, value }
    });
    let point = (
        any::<[u64; 3]>(),
        double(),
        vec(quantile, 0..3),
        attributes(),
        any::<u32>(),
    );
    let point = point.prop_map(|(times, sum, quantile_values, attributes, flags)| {
        messages::SummaryDataPoint {
            start_time_unix_nano: times[0],
            time_unix_nano: times[1],
            count: times[2],
            sum,
            quantile_values,
            attributes,
            flags,
        }
    });
    vec(point, 0..3)
}

fn metrics() -> impl Strategy<Value = Vec<messages::Metric>> {
    use metric::Data;
    let temporality = || -1..4_i32;
    let data = prop_oneof![
        numbers().prop_map(|data_points| Data::Gauge(messages::Gauge { data_points })),
        (numbers(), temporality(), any::<bool>()).prop_map(
            |(data_points, aggregation_temporality, is_monotonic)| {
                Data::Sum(messages::Sum {
                    data_points,
                    aggregation_temporality,
                    is_monotonic,
                })
            }
        ),
        (histograms(), temporality()).prop_map(|(data_points, aggregation_temporality)| {
            Data::Histogram(messages::Histogram {
                data_points,
                aggregation_temporality,
            })
        }),
        (exponential(), temporality()).prop_map(|(data_points, aggregation_temporality)| {
            Data::ExponentialHistogram(messages::ExponentialHistogram {
                data_points,
                aggregation_temporality,
            })
        }),
        summaries().prop_map(|data_points| Data::Summary(messages::Summary { data_points })),
    ];
    let metric = (text(), text(), text(), option::of(data));
    let metric = metric.prop_map(|(name, description, unit, data)| messages::Metric {
        name,
        description,
        unit,
        data,
    });
    vec(metric, 0..3)
}

/// Arbitrary messages.
pub(crate) fn requests() -> impl Strategy<Value = Request> {
    let scope = (text(), text(), attributes());
    let scope = scope.prop_map(
        |(name, version, attributes)| messages::InstrumentationScope {
            name,
            version,
            attributes,
        },
    );
    let scopes = (option::of(scope), metrics(), text());
    let scopes = scopes.prop_map(|(scope, metrics, schema_url)| messages::ScopeMetrics {
        scope,
        metrics,
        schema_url,
    });
    let resource = attributes().prop_map(|attributes| messages::Resource { attributes });
    let resources = (option::of(resource), vec(scopes, 0..3), text());
    let resources =
        resources.prop_map(
            |(resource, scope_metrics, schema_url)| messages::ResourceMetrics {
                resource,
                scope_metrics,
                schema_url,
            },
        );
    vec(resources, 0..3).prop_map(|resource_metrics| Request { resource_metrics })
}

/// Returns the model of a message of generated code.
fn model(request: &Request) -> Metrics<'_> {
    Metrics {
        resources: request
            .resource_metrics
            .iter()
            .map(resource_model)
            .collect(),
    }
}

fn resource_model(it: &messages::ResourceMetrics) -> ResourceMetrics<'_> {
    let attributes = it
        .resource
        .as_ref()
        .map(|it| attributes_model(&it.attributes));
    ResourceMetrics {
        attributes: attributes.unwrap_or_default(),
        unreadable: None,
        scopes: it.scope_metrics.iter().map(scope_model).collect(),
    }
}

fn scope_model(it: &messages::ScopeMetrics) -> ScopeMetrics<'_> {
    let metrics = it.metrics.iter().map(metric_model).collect();
    match &it.scope {
        Some(scope) => ScopeMetrics {
            name: &scope.name,
            version: &scope.version,
            schema_url: &it.schema_url,
            attributes: attributes_model(&scope.attributes),
            unreadable: None,
            metrics,
        },
        None => ScopeMetrics {
            schema_url: &it.schema_url,
            metrics,
            ..ScopeMetrics::default()
        },
    }
}

fn metric_model(it: &messages::Metric) -> Metric<'_> {
    let data = match &it.data {
        None => Data::None,
        Some(metric::Data::Gauge(it)) => {
            Data::Gauge(it.data_points.iter().map(number_model).collect())
        }
        Some(metric::Data::Sum(it)) => Data::Sum {
            points: it.data_points.iter().map(number_model).collect(),
            temporality: Temporality::of(it.aggregation_temporality),
            is_monotonic: it.is_monotonic,
        },
        Some(metric::Data::Histogram(it)) => Data::Histogram {
            points: it.data_points.iter().map(histogram_model).collect(),
            temporality: Temporality::of(it.aggregation_temporality),
        },
        Some(metric::Data::ExponentialHistogram(it)) => Data::Exponential {
            points: it.data_points.iter().map(exponential_model).collect(),
            temporality: Temporality::of(it.aggregation_temporality),
        },
        Some(metric::Data::Summary(it)) => {
            Data::Summary(it.data_points.iter().map(summary_model).collect())
        }
    };
    Metric {
        name: &it.name,
        description: &it.description,
        unit: &it.unit,
        data,
        ..Metric::default()
    }
}

fn number_model(it: &messages::NumberDataPoint) -> NumberPoint<'_> {
    NumberPoint {
        attributes: attributes_model(&it.attributes),
        time_unix_nano: it.time_unix_nano,
        value: it.value.map(|value| match value {
            number_data_point::Value::AsDouble(it) => Number::Double(it),
            number_data_point::Value::AsInt(it) => Number::Int(it),
        }),
        exemplars: it.exemplars.iter().map(exemplar_model).collect(),
        flags: it.flags,
    }
}

fn histogram_model(it: &messages::HistogramDataPoint) -> HistogramPoint<'_> {
    HistogramPoint {
        attributes: attributes_model(&it.attributes),
        time_unix_nano: it.time_unix_nano,
        count: it.count,
        sum: it.sum,
        bucket_counts: it.bucket_counts.clone(),
        explicit_bounds: it.explicit_bounds.clone(),
        exemplars: it.exemplars.iter().map(exemplar_model).collect(),
        flags: it.flags,
    }
}

fn exponential_model(it: &messages::ExponentialHistogramDataPoint) -> ExponentialPoint<'_> {
    let buckets = |it: &Option<messages::exponential_histogram_data_point::Buckets>| {
        it.as_ref()
            .map_or_else(ExponentialBuckets::default, |it| ExponentialBuckets {
                offset: it.offset,
                counts: it.bucket_counts.clone(),
            })
    };
    ExponentialPoint {
        attributes: attributes_model(&it.attributes),
        time_unix_nano: it.time_unix_nano,
        count: it.count,
        sum: it.sum,
        scale: it.scale,
        zero_count: it.zero_count,
        positive: buckets(&it.positive),
        negative: buckets(&it.negative),
        exemplars: it.exemplars.iter().map(exemplar_model).collect(),
        flags: it.flags,
    }
}

fn summary_model(it: &messages::SummaryDataPoint) -> SummaryPoint<'_> {
    let quantile = |it: &messages::summary_data_point::ValueAtQuantile| QuantileValue {
        quantile: it.quantile,
        value: it.value,
    };
    SummaryPoint {
        attributes: attributes_model(&it.attributes),
        time_unix_nano: it.time_unix_nano,
        count: it.count,
        sum: it.sum,
        quantiles: it.quantile_values.iter().map(quantile).collect(),
        flags: it.flags,
    }
}

fn exemplar_model(it: &messages::Exemplar) -> Exemplar<'_> {
    Exemplar {
        filtered_attributes: attributes_model(&it.filtered_attributes),
        time_unix_nano: it.time_unix_nano,
        value: it.value.map(|value| match value {
            exemplar::Value::AsDouble(it) => Number::Double(it),
            exemplar::Value::AsInt(it) => Number::Int(it),
        }),
        span_id: it.span_id.as_slice().into(),
        trace_id: it.trace_id.as_slice().into(),
    }
}

fn attributes_model(attributes: &[messages::KeyValue]) -> Vec<KeyValue<'_>> {
    attributes.iter().map(attribute_model).collect()
}

fn attribute_model(it: &messages::KeyValue) -> KeyValue<'_> {
    KeyValue {
        key: &it.key,
        value: it.value.as_ref().map(value_model).unwrap_or_default(),
    }
}

fn value_model(it: &messages::AnyValue) -> AnyValue<'_> {
    use any_value::Value;
    match &it.value {
        None => AnyValue::Empty,
        Some(Value::StringValue(it)) => AnyValue::String(it),
        Some(Value::BoolValue(it)) => AnyValue::Bool(*it),
        Some(Value::IntValue(it)) => AnyValue::Int(*it),
        Some(Value::DoubleValue(it)) => AnyValue::Double(*it),
        Some(Value::ArrayValue(it)) => AnyValue::Array(it.values.iter().map(value_model).collect()),
        Some(Value::KvlistValue(it)) => AnyValue::Map(attributes_model(&it.values)),
        Some(Value::BytesValue(it)) => AnyValue::Bytes(it.as_slice().into()),
    }
}

/// Writes JSON in one of the ways that protobuf's mapping allows.
#[derive(Clone, Copy, Debug)]
struct Style {
    snake_case: bool,
    numbers_as_strings: bool,
    enum_names: bool,
    upper_hex: bool,
}

fn styles() -> impl Strategy<Value = Style> {
    any::<[bool; 4]>().prop_map(
        |[snake_case, numbers_as_strings, enum_names, upper_hex]| Style {
            snake_case,
            numbers_as_strings,
            enum_names,
            upper_hex,
        },
    )
}

impl Style {
    fn key(self, camel: &str) -> String {
        match self.snake_case {
            false => camel.to_owned(),
            true => camel
                .chars()
                .flat_map(|it| match it.is_ascii_uppercase() {
                    true => vec!['_', it.to_ascii_lowercase()],
                    false => vec![it],
                })
                .collect(),
        }
    }

    fn object<const N: usize>(self, fields: [(&str, Value); N]) -> Value {
        let present = fields.into_iter().filter(|(_, value)| !value.is_null());
        // A key that no message has is skipped.
        let unknown = [("unknownKey".to_owned(), json!({"a": [1, {}]}))];
        present
            .map(|(key, value)| (self.key(key), value))
            .chain(unknown)
            .collect()
    }

    fn list<T>(self, list: &[T], write: impl Fn(Self, &T) -> Value) -> Value {
        list.iter().map(|it| write(self, it)).collect()
    }

    fn int(self, value: impl Into<serde_json::Number>) -> Value {
        let value = value.into();
        match self.numbers_as_strings {
            true => Value::String(value.to_string()),
            false => Value::Number(value),
        }
    }

    fn double(self, value: f64) -> Value {
        let special = if value.is_nan() {
            "NaN"
        } else if value == f64::INFINITY {
            "Infinity"
        } else if value == f64::NEG_INFINITY {
            "-Infinity"
        } else if self.numbers_as_strings {
            return Value::String(format!("{value:e}"));
        } else {
            return json!(value);
        };
        Value::String(special.to_owned())
    }

    fn optional_double(self, value: Option<f64>) -> Value {
        value.map_or(Value::Null, |it| self.double(it))
    }

    fn hex(self, bytes: &[u8]) -> Value {
        let digits = bytes.iter().map(|byte| match self.upper_hex {
            true => format!("{byte:02X}"),
            false => format!("{byte:02x}"),
        });
        Value::String(digits.collect())
    }

    fn temporality(self, number: i32) -> Value {
        let names = ["UNSPECIFIED", "DELTA", "CUMULATIVE"];
        match names.get(number as usize) {
            Some(name) if self.enum_names => json!(format!("AGGREGATION_TEMPORALITY_{name}")),
            _ => self.int(number),
        }
    }

    fn request(self, it: &Request) -> Value {
        let resource = |style: Self, it: &messages::ResourceMetrics| {
            let resource = it.resource.as_ref().map_or(Value::Null, |it| {
                style.object([("attributes", style.attributes(&it.attributes))])
            });
            style.object([
                ("resource", resource),
                ("scopeMetrics", style.list(&it.scope_metrics, Self::scope)),
                ("schemaUrl", json!(it.schema_url)),
            ])
        };
        self.object([("resourceMetrics", self.list(&it.resource_metrics, resource))])
    }

    fn scope(self, it: &messages::ScopeMetrics) -> Value {
        let scope = it.scope.as_ref().map_or(Value::Null, |it| {
            self.object([
                ("name", json!(it.name)),
                ("version", json!(it.version)),
                ("attributes", self.attributes(&it.attributes)),
            ])
        });
        self.object([
            ("scope", scope),
            ("metrics", self.list(&it.metrics, Self::metric)),
            ("schemaUrl", json!(it.schema_url)),
        ])
    }

    fn metric(self, it: &messages::Metric) -> Value {
        let (kind, data) = match &it.data {
            None => ("gauge", Value::Null),
            Some(metric::Data::Gauge(it)) => {
                let points = self.list(&it.data_points, Self::number);
                ("gauge", self.object([("dataPoints", points)]))
            }
            Some(metric::Data::Sum(it)) => {
                let sum = self.object([
                    ("dataPoints", self.list(&it.data_points, Self::number)),
                    (
                        "aggregationTemporality",
                        self.temporality(it.aggregation_temporality),
                    ),
                    ("isMonotonic", json!(it.is_monotonic)),
                ]);
                ("sum", sum)
            }
            Some(metric::Data::Histogram(it)) => {
                let histogram = self.object([
                    ("dataPoints", self.list(&it.data_points, Self::histogram)),
                    (
                        "aggregationTemporality",
                        self.temporality(it.aggregation_temporality),
                    ),
                ]);
                ("histogram", histogram)
            }
            Some(metric::Data::ExponentialHistogram(it)) => {
                let histogram = self.object([
                    ("dataPoints", self.list(&it.data_points, Self::exponential)),
                    (
                        "aggregationTemporality",
                        self.temporality(it.aggregation_temporality),
                    ),
                ]);
                ("exponentialHistogram", histogram)
            }
            Some(metric::Data::Summary(it)) => {
                let points = self.list(&it.data_points, Self::summary);
                ("summary", self.object([("dataPoints", points)]))
            }
        };
        self.object([
            ("name", json!(it.name)),
            ("description", json!(it.description)),
            ("unit", json!(it.unit)),
            (kind, data),
        ])
    }

    fn number(self, it: &messages::NumberDataPoint) -> Value {
        let (key, value) = match it.value {
            None => ("asDouble", Value::Null),
            Some(number_data_point::Value::AsDouble(it)) => ("asDouble", self.double(it)),
            Some(number_data_point::Value::AsInt(it)) => ("asInt", self.int(it)),
        };
        self.object([
            ("startTimeUnixNano", self.int(it.start_time_unix_nano)),
            ("timeUnixNano", self.int(it.time_unix_nano)),
            (key, value),
            ("exemplars", self.list(&it.exemplars, Self::exemplar)),
            ("attributes", self.attributes(&it.attributes)),
            ("flags", self.int(it.flags)),
        ])
    }

    fn histogram(self, it: &messages::HistogramDataPoint) -> Value {
        self.object([
            ("startTimeUnixNano", self.int(it.start_time_unix_nano)),
            ("timeUnixNano", self.int(it.time_unix_nano)),
            ("count", self.int(it.count)),
            ("sum", self.optional_double(it.sum)),
            (
                "bucketCounts",
                self.list(&it.bucket_counts, |style, it| style.int(*it)),
            ),
            (
                "explicitBounds",
                self.list(&it.explicit_bounds, |style, it| style.double(*it)),
            ),
            ("exemplars", self.list(&it.exemplars, Self::exemplar)),
            ("attributes", self.attributes(&it.attributes)),
            ("flags", self.int(it.flags)),
            ("min", self.optional_double(it.min)),
            ("max", self.optional_double(it.max)),
        ])
    }

    fn exponential(self, it: &messages::ExponentialHistogramDataPoint) -> Value {
        let buckets = |it: &Option<messages::exponential_histogram_data_point::Buckets>| {
            it.as_ref().map_or(Value::Null, |it| {
                self.object([
                    ("offset", self.int(it.offset)),
                    (
                        "bucketCounts",
                        self.list(&it.bucket_counts, |style, it| style.int(*it)),
                    ),
                ])
            })
        };
        self.object([
            ("attributes", self.attributes(&it.attributes)),
            ("startTimeUnixNano", self.int(it.start_time_unix_nano)),
            ("timeUnixNano", self.int(it.time_unix_nano)),
            ("count", self.int(it.count)),
            ("sum", self.optional_double(it.sum)),
            ("scale", self.int(it.scale)),
            ("zeroCount", self.int(it.zero_count)),
            ("positive", buckets(&it.positive)),
            ("negative", buckets(&it.negative)),
            ("flags", self.int(it.flags)),
            ("exemplars", self.list(&it.exemplars, Self::exemplar)),
            ("min", self.optional_double(it.min)),
            ("max", self.optional_double(it.max)),
            ("zeroThreshold", self.double(it.zero_threshold)),
        ])
    }

    fn summary(self, it: &messages::SummaryDataPoint) -> Value {
        let quantile = |style: Self, it: &messages::summary_data_point::ValueAtQuantile| {
            style.object([
                ("quantile", style.double(it.quantile)),
                ("value", style.double(it.value)),
            ])
        };
        self.object([
            ("startTimeUnixNano", self.int(it.start_time_unix_nano)),
            ("timeUnixNano", self.int(it.time_unix_nano)),
            ("count", self.int(it.count)),
            ("sum", self.double(it.sum)),
            ("quantileValues", self.list(&it.quantile_values, quantile)),
            ("attributes", self.attributes(&it.attributes)),
            ("flags", self.int(it.flags)),
        ])
    }

    fn exemplar(self, it: &messages::Exemplar) -> Value {
        let (key, value) = match it.value {
            None => ("asDouble", Value::Null),
            Some(exemplar::Value::AsDouble(it)) => ("asDouble", self.double(it)),
            Some(exemplar::Value::AsInt(it)) => ("asInt", self.int(it)),
        };
        self.object([
            (
                "filteredAttributes",
                self.attributes(&it.filtered_attributes),
            ),
            ("timeUnixNano", self.int(it.time_unix_nano)),
            (key, value),
            ("spanId", self.hex(&it.span_id)),
            ("traceId", self.hex(&it.trace_id)),
        ])
    }

    fn attributes(self, attributes: &[messages::KeyValue]) -> Value {
        self.list(attributes, |style, it| {
            let value = it.value.as_ref().map_or(Value::Null, |it| style.value(it));
            style.object([("key", json!(it.key)), ("value", value)])
        })
    }

    fn value(self, it: &messages::AnyValue) -> Value {
        use any_value::Value as Any;
        match &it.value {
            None => json!({}),
            Some(Any::StringValue(it)) => self.object([("stringValue", json!(it))]),
            Some(Any::BoolValue(it)) => self.object([("boolValue", json!(it))]),
            Some(Any::IntValue(it)) => self.object([("intValue", self.int(*it))]),
            Some(Any::DoubleValue(it)) => self.object([("doubleValue", self.double(*it))]),
            Some(Any::ArrayValue(it)) => {
                let array = self.object([("values", self.list(&it.values, Self::value))]);
                self.object([("arrayValue", array)])
            }
            Some(Any::KvlistValue(it)) => {
                let list = self.object([("values", self.attributes(&it.values))]);
                self.object([("kvlistValue", list)])
            }
            Some(Any::BytesValue(it)) => {
                use base64::Engine;
                use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
                let text = match self.snake_case {
                    true => URL_SAFE_NO_PAD.encode(it),
                    false => STANDARD.encode(it),
                };
                self.object([("bytesValue", json!(text))])
            }
        }
    }
}

/// Fields of any number and wire type, as bytes, with messages in them.
fn fields() -> impl Strategy<Value = Vec<u8>> {
    let fields = |value: BoxedStrategy<Vec<u8>>| {
        let key = (1..15_u8, 0..6_u8);
        let field = (key, value).prop_map(|((number, wire_type), value)| {
            let mut field = vec![number << 3 | wire_type];
            match wire_type {
                0 => field.push(7),
                1 => field.extend([1; 8]),
                2 => {
                    field.push(value.len() as u8);
                    field.extend(value);
                }
                5 => field.extend([1; 4]),
                _ => {}
            }
            field
        });
        let field = prop_oneof![20 => field, 1 => vec(any::<u8>(), 0..3)];
        vec(field, 0..4).prop_map(|fields| fields.concat()).boxed()
    };
    let mut value = Just(b"a".to_vec()).boxed();
    for _ in 0..6 {
        // Most fields that matter are messages of a low number.
        let message = fields(value).prop_map(|mut it| {
            it.truncate(100);
            it
        });
        value = message.boxed();
    }
    value
}

/// Asserts that the reader and the generated decoder treat `body` alike.
fn assert_agreement(body: &[u8]) {
    let decoded = Request::decode(body);
    let read = read(body);
    match (&decoded, &read) {
        (Ok(decoded), Ok(read)) if read.is_readable() => {
            assert_eq!(format!("{read:?}"), format!("{:?}", model(decoded)));
        }
        (Err(_), Err(_)) => {}
        (Err(_), Ok(read)) if !read.is_readable() => {}
        _ => panic!("{decoded:?} {read:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn protobuf_is_read_as_generated_code_reads_it(request in requests()) {
        let body = request.encode_to_vec();
        let read = read(&body).unwrap();
        prop_assert!(read.is_readable());
        prop_assert_eq!(format!("{read:?}"), format!("{:?}", model(&request)));
    }

    #[test]
    fn changed_bytes_are_accepted_and_rejected_alike(
        request in requests(),
        changes in vec((any::<Index>(), any::<u8>()), 1..4),
        length in any::<Index>(),
        is_cut in any::<bool>(),
    ) {
        let mut body = request.encode_to_vec();
        // A third of the requests are empty.
        if !body.is_empty() {
            for (index, byte) in changes {
                let index = index.index(body.len());
                body[index] = byte;
            }
            if is_cut {
                body.truncate(length.index(body.len()));
            }
        }
        assert_agreement(&body);
    }

    #[test]
    fn arbitrary_fields_are_accepted_and_rejected_alike(body in fields()) {
        assert_agreement(&body);
    }

    /// A repeated message is merged by both.
    #[test]
    fn messages_that_follow_one_another_are_one(first in requests(), second in requests()) {
        let mut body = first.encode_to_vec();
        second.encode(&mut body).unwrap();
        assert_agreement(&body);
        let merge = |field: u8, parts: [Vec<u8>; 2]| {
            let mut merged = Vec::new();
            for part in parts {
                merged.push(field << 3 | 2);
                prost::encoding::encode_varint(part.len() as u64, &mut merged);
                merged.extend(part);
            }
            merged
        };
        let metrics = |request: &Request| -> Vec<u8> {
            let scopes = request.resource_metrics.iter().flat_map(|it| &it.scope_metrics);
            let metrics = scopes.flat_map(|it| &it.metrics);
            metrics.flat_map(Message::encode_to_vec).collect()
        };
        // The fields of several metrics as one metric of a scope of a resource.
        let metric = merge(2, [metrics(&first), metrics(&second)]);
        let scope = merge(2, [metric, Vec::new()]);
        assert_agreement(&merge(1, [scope, Vec::new()]));
    }

    #[test]
    fn json_is_the_same_model(request in requests(), style in styles(), is_pretty in any::<bool>()) {
        let json = style.request(&request);
        let text = match is_pretty {
            true => serde_json::to_string_pretty(&json).unwrap(),
            false => json.to_string(),
        };
        let arena = StringArena::default();
        let read = read_json(
            text.as_bytes(),
            &arena,
            &mut MemoryBudget::unlimited().reservation(),
        );
        let read = read.unwrap_or_else(|error| panic!("{error}: {text}"));
        prop_assert_eq!(format!("{read:?}"), format!("{:?}", model(&request)));
    }

    #[test]
    fn no_bytes_panic(body in vec(any::<u8>(), 0..200)) {
        assert_agreement(&body);
        let arena = StringArena::default();
        let _ = read_json(&body, &arena, &mut MemoryBudget::unlimited().reservation());
    }

    #[test]
    fn no_changed_json_panics(
        request in requests(),
        style in styles(),
        changes in vec((any::<Index>(), any::<u8>()), 1..4),
    ) {
        let mut body = style.request(&request).to_string().into_bytes();
        for (index, byte) in changes {
            let index = index.index(body.len());
            body[index] = byte;
        }
        let arena = StringArena::default();
        let _ = read_json(&body, &arena, &mut MemoryBudget::unlimited().reservation());
    }

    /// Nothing is created before its memory is reserved.
    #[test]
    fn memory_is_bounded(request in requests(), style in styles(), budget in 0..200_000_usize) {
        let budget = MemoryBudget::new(budget);
        let body = request.encode_to_vec();
        let mut reservation = budget.reservation();
        match read_protobuf(&body, &mut reservation) {
            Ok(read) => prop_assert_eq!(format!("{read:?}"), format!("{:?}", model(&request))),
            Err(error) => prop_assert!(
                matches!(error, DecodeError::Busy(_) | DecodeError::TooLarge { .. }),
                "{error}"
            ),
        }
        drop(reservation);
        let arena = StringArena::default();
        let json = style.request(&request).to_string();
        let mut reservation = budget.reservation();
        match read_json(json.as_bytes(), &arena, &mut reservation) {
            Ok(read) => prop_assert_eq!(format!("{read:?}"), format!("{:?}", model(&request))),
            Err(error) => prop_assert!(
                matches!(error, DecodeError::Busy(_) | DecodeError::TooLarge { .. }),
                "{error}"
            ),
        }
        drop(reservation);
        prop_assert_eq!(budget.reserved(), 0);
    }
}

/// A gauge and the bytes that are changed in it, and the number of points that can be read after that.
#[test]
fn a_broken_part_costs_itself() {
    let number = |value: f64, key: &str| messages::NumberDataPoint {
        value: Some(number_data_point::Value::AsDouble(value)),
        attributes: vec![messages::KeyValue {
            key: key.to_owned(),
            value: None,
        }],
        exemplars: vec![messages::Exemplar {
            span_id: b"spanspan".to_vec(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let metric = |name: &str| messages::Metric {
        name: name.to_owned(),
        description: format!("about {name}"),
        unit: format!("unit of {name}"),
        data: Some(metric::Data::Gauge(messages::Gauge {
            data_points: vec![
                number(1.0, &format!("{name}1")),
                number(2.0, &format!("{name}2")),
            ],
        })),
    };
    let request = Request {
        resource_metrics: vec![messages::ResourceMetrics {
            resource: Some(messages::Resource {
                attributes: vec![messages::KeyValue {
                    key: "host".to_owned(),
                    value: None,
                }],
            }),
            scope_metrics: vec![messages::ScopeMetrics {
                scope: Some(messages::InstrumentationScope {
                    name: "scope".to_owned(),
                    ..Default::default()
                }),
                metrics: vec![metric("aa"), metric("bb")],
                schema_url: String::new(),
            }],
            schema_url: String::new(),
        }],
    };
    let body = request.encode_to_vec();
    // Each replaces the first occurrence of a text by bytes of the same length.
    let cases: [(&[u8], &[u8], &str); 7] = [
        (b"aa1", b"a\xff1", "points [1, 2] unreadable [1, 0]"),
        // The tag of the value has the wire type 0.
        (
            b"\x21\0\0\0\0\0\0\xf0\x3f",
            b"\x20\0\0\0\0\0\0\xf0\x3f",
            "points [1, 2] unreadable [1, 0]",
        ),
        (
            b"about aa",
            b"about a\xff",
            "points [2, 2] unreadable [0, 0] description",
        ),
        (
            b"unit of aa",
            b"unit of a\xff",
            "points [2, 2] unreadable [0, 0] metric",
        ),
        (
            b"\x0a\x02aa",
            b"\x0a\x02a\xff",
            "points [2, 2] unreadable [0, 0] metric",
        ),
        (
            b"host",
            b"hos\xff",
            "points [2, 2] unreadable [0, 0] resource",
        ),
        (
            b"scope",
            b"scop\xff",
            "points [2, 2] unreadable [0, 0] scope",
        ),
    ];
    for (from, to, expected) in cases {
        let at = body.windows(from.len()).position(|it| it == from).unwrap();
        let mut body = body.clone();
        body[at..at + to.len()].copy_from_slice(to);
        let read = read(&body).unwrap();
        assert_eq!(read.point_count(), 4);
        let resource = &read.resources[0];
        let scope = &resource.scopes[0];
        let [first, second] = scope.metrics.as_slice() else {
            panic!("{read:?}");
        };
        let points = [first.data.len(), second.data.len()];
        let unreadable = [
            first.unreadable_points.len(),
            second.unreadable_points.len(),
        ];
        let mut found = format!("points {points:?} unreadable {unreadable:?}");
        let flags = [
            (first.unreadable_description.is_some(), " description"),
            (first.unreadable.is_some(), " metric"),
            (resource.unreadable.is_some(), " resource"),
            (scope.unreadable.is_some(), " scope"),
        ];
        for (_, name) in flags.into_iter().filter(|it| it.0) {
            found.push_str(name);
        }
        assert_eq!(found, expected, "{from:?}");
    }
    // An exemplar whose wire format is broken costs itself: its first field has an unknown wire type.
    let at = body.windows(8).position(|it| it == b"spanspan").unwrap();
    let mut changed = body.clone();
    changed[at - 2] = 0x27;
    let read = read(&changed).unwrap();
    let metric = &read.resources[0].scopes[0].metrics[0];
    assert_eq!((metric.data.len(), metric.unreadable_exemplars), (2, 1));
    // What is around the metrics cannot be separated from the rest.
    let mut changed = body;
    changed[0] = 0x0b;
    let error = self::read(&changed).unwrap_err().to_string();
    assert!(
        error.contains("not a valid ExportMetricsServiceRequest"),
        "{error}"
    );
}

#[test]
fn json_values_that_do_not_fit_are_named_with_their_path() {
    let point = |text: &str| {
        format!(
            r#"{{"resourceMetrics":[{{}},{{"scopeMetrics":[{{"metrics":[{{"sum":{{"dataPoints":[{text}]}}}}]}}]}}]}}"#
        )
    };
    let at = "resourceMetrics[1].scopeMetrics[0].metrics[0].sum.dataPoints[0]";
    let cases = [
        (point(r#"{"asDouble":"nan"}"#), format!("{at}.asDouble: \"nan\" is not a number, \"NaN\"")),
        (point(r#"{"asDouble":true}"#), format!("{at}.asDouble: true is not a number")),
        (point(r#"{"asInt":"1.5"}"#), format!("{at}.asInt: \"1.5\" is not an integer of 64 bits")),
        (point(r#"{"asInt":9223372036854775808}"#), format!("{at}.asInt: 9223372036854775808 is not an integer")),
        (point(r#"{"timeUnixNano":-1}"#), format!("{at}.timeUnixNano: -1 is not an integer from 0")),
        (point(r#"{"flags":"4294967296"}"#), format!("{at}.flags: \"4294967296\" is not an integer")),
        (point(r#"{"attributes":{}}"#), format!("{at}.attributes: invalid type: map, expected a list")),
        (point(r#"{"attributes":[{"key":1}]}"#), format!("{at}.attributes[0].key: 1 is not a string")),
        (point(r#"{"attributes":[{"value":"a"}]}"#), format!("{at}.attributes[0].value: invalid type: string, expected an object")),
        (point(r#"{"attributes":"\n"}"#), format!("{at}.attributes: invalid type: string, expected a list")),
        (point(r#"{"attributes":[{"value":{"boolValue":"true"}}]}"#), format!("{at}.attributes[0].value.boolValue: \"true\" is not true or false")),
        (point(r#"{"attributes":[{"value":{"bytesValue":"*"}}]}"#), format!("{at}.attributes[0].value.bytesValue: \"*\" is not base64")),
        (point(r#"{"exemplars":[{"traceId":"abc"}]}"#), format!("{at}.exemplars[0].traceId: \"abc\" is not an even number of hexadecimal digits")),
        (point(r#"{"exemplars":[{"traceId":"zz"}]}"#), format!("{at}.exemplars[0].traceId: \"zz\" is not")),
        (r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"sum":{"aggregationTemporality":"CUMULATIVE"}}]}]}]}"#.to_owned(),
            "sum.aggregationTemporality: \"CUMULATIVE\" is not 1, 2 or a name such as AGGREGATION_TEMPORALITY_CUMULATIVE".to_owned()),
        ("[]".to_owned(), "(the whole body): invalid type: sequence, expected an object".to_owned()),
        ("{} {}".to_owned(), "(the whole body): trailing characters".to_owned()),
        ("{\"resourceMetrics\":[".to_owned(), "resourceMetrics[0]: EOF while parsing".to_owned()),
        (point(&format!(r#"{{"attributes":[{{"value":{}}}]}}"#, r#"{"arrayValue":{"values":["#.repeat(200))), "recursion limit exceeded".to_owned()),
    ];
    for (text, expected) in cases {
        let arena = StringArena::default();
        let read = read_json(
            text.as_bytes(),
            &arena,
            &mut MemoryBudget::unlimited().reservation(),
        );
        let error = read.unwrap_err().to_string();
        assert!(error.contains(&expected), "{text}: {error}");
    }
}

#[test]
fn json_values_may_be_null_and_integers_have_fractions() {
    let text = br#"{"resourceMetrics":[{"resource":null,"scopeMetrics":[{"scope":null,"metrics":[
        null, {"name":"a","gauge":null,"sum":{"dataPoints":[
        {"attributes":null,"asDouble":null,"asInt":"1e3","timeUnixNano":2.0,"exemplars":[null]}]}}]}]}]}"#;
    let arena = StringArena::default();
    let read = read_json(text, &arena, &mut MemoryBudget::unlimited().reservation()).unwrap();
    let metrics = &read.resources[0].scopes[0].metrics;
    assert_eq!(metrics[0], Metric::default());
    let Data::Sum { points, .. } = &metrics[1].data else {
        panic!("{metrics:?}");
    };
    assert_eq!(points[0].value, Some(Number::Int(1_000)));
    assert_eq!(points[0].time_unix_nano, 2);
    assert_eq!(points[0].exemplars, [Exemplar::default()]);
}
