//! The points that all statements are about.
//!
//! | measure | series | 12:00 | 12:01 | 12:02 |
//! |---|---|---|---|---|
//! | `cpu`, DOUBLE | host a, region eu | 1.5 | 2.5 | 4 |
//! | | host b, region us | 10 | 20 | |
//! | | host c | | 100 | |
//! | `memory`, BIGINT | host a, region eu | 7 | -3 | |
//! | `status`, VARCHAR | host b, region us | `it's` | `100%_\` | |
//! | `alive`, BOOLEAN | host a, region eu | true | | |
//! | | host c | false | | |
//! | `sensor`, MULTI | host a, region eu | temp 21.5, label x | temp 22 | |
//!
//! The day is 2020-09-13. A second table, `new`, has never been written to.

use aws_sdk_timestreamwrite::types::{MeasureValue, MeasureValueType, Record};

use crate::support::{OLD, Service, measure, with};

/// 2020-09-13 12:00:00 UTC, in milliseconds.
const NOON: i64 = 1_599_998_400_000;
const MINUTE: i64 = 60_000;

const A: &[(&str, &str)] = &[("host", "a"), ("region", "eu")];
const B: &[(&str, &str)] = &[("host", "b"), ("region", "us")];
const C: &[(&str, &str)] = &[("host", "c")];

pub(super) async fn filled() -> Service {
    let service = Service::start().await;
    let at = |minute: i64| NOON + minute * MINUTE;
    let typed = |record: Record, of: MeasureValueType| {
        with(record, |record| record.measure_value_type = Some(of))
    };
    let bigint = |minute, value| {
        let record = measure("memory", A, at(minute), value);
        typed(record, MeasureValueType::Bigint)
    };
    let varchar = |minute, value| {
        let record = measure("status", B, at(minute), value);
        typed(record, MeasureValueType::Varchar)
    };
    let boolean = |dimensions, value| {
        let record = measure("alive", dimensions, at(0), value);
        typed(record, MeasureValueType::Boolean)
    };
    let multi = |minute, values: &[(&str, &str, MeasureValueType)]| {
        let values = values.iter().map(|(name, value, of)| {
            let value = MeasureValue::builder().name(*name).value(*value);
            value.r#type(of.clone()).build().expect("all is set")
        });
        let values = values.collect();
        with(measure("sensor", A, at(minute), "1"), |record| {
            record.measure_value = None;
            record.measure_value_type = Some(MeasureValueType::Multi);
            record.measure_values = Some(values);
        })
    };
    let records = vec![
        measure("cpu", A, at(0), "1.5"),
        measure("cpu", A, at(1), "2.5"),
        measure("cpu", A, at(2), "4"),
        measure("cpu", B, at(0), "10"),
        measure("cpu", B, at(1), "20"),
        measure("cpu", C, at(1), "100"),
        bigint(0, "7"),
        bigint(1, "-3"),
        varchar(0, "it's"),
        varchar(1, "100%_\\"),
        boolean(A, "true"),
        boolean(C, "false"),
        multi(
            0,
            &[
                ("temp", "21.5", MeasureValueType::Double),
                ("label", "x", MeasureValueType::Varchar),
            ],
        ),
        multi(1, &[("temp", "22", MeasureValueType::Double)]),
    ];
    assert_eq!(service.put(OLD, records).await, 14);
    service
}
