//! WriteRecords, rule by rule.

use aws_sdk_timestreamwrite::types::{Dimension, MeasureValue, MeasureValueType, Record, TimeUnit};
use timestream_emulator::Value;

use crate::support::{
    DB, NEW, OLD, Service, T0, code_and_message, dimension, measure, now_ms, sample, with,
};

const HOUR: i64 = 3_600_000;
const REASON_SAME_VERSION: &str = "A record already exists with the same time, dimensions, measure name, and record version. A higher record version must be specified in order to update the measure value. Specifying record version is supported by the latest SDKs.";

fn versioned(time: i64, value: &str, version: i64) -> Record {
    with(sample(&[("job", "a")], time, value), |record| {
        record.version = Some(version)
    })
}

fn typed(value: &str, value_type: MeasureValueType) -> Record {
    with(measure("m", &[("job", "a")], T0, value), |record| {
        record.measure_value_type = Some(value_type);
    })
}

fn multi(name: &str, values: &[(&str, &str, MeasureValueType)]) -> Record {
    let values = values.iter().map(|(name, value, value_type)| {
        let value = MeasureValue::builder()
            .name(*name)
            .value(*value)
            .r#type(value_type.clone());
        value.build().expect("name, value and type are set")
    });
    Record::builder()
        .dimensions(dimension("job", "a"))
        .measure_name(name)
        .measure_value_type(MeasureValueType::Multi)
        .set_measure_values(Some(values.collect()))
        .time(T0.to_string())
        .build()
}

#[tokio::test]
async fn a_record_is_stored_as_it_was_sent() {
    let service = Service::start().await;
    let dimensions = [("job", "it's \"q\" \\ ü\n地"), ("instance", " ")];
    assert_eq!(
        service
            .put(OLD, vec![sample(&dimensions, T0 + 1, "0.1")])
            .await,
        1
    );
    let points = service.emulator.points(DB, OLD);
    assert_eq!(points.len(), 1);
    assert_eq!(points[0].measure_name, "up");
    assert_eq!(points[0].dimensions["job"], "it's \"q\" \\ ü\n地");
    assert_eq!(points[0].dimensions["instance"], " ");
    assert_eq!(points[0].time_ns, (T0 + 1) * 1_000_000);
    assert_eq!(
        (&points[0].value, points[0].version),
        (&Value::Double(0.1), 1)
    );
}

#[tokio::test]
async fn common_attributes_are_merged_and_the_record_wins() {
    let service = Service::start().await;
    let common = Record::builder()
        .dimensions(dimension("job", "a"))
        .measure_name("common")
        .measure_value("1")
        .measure_value_type(MeasureValueType::Bigint)
        .time("1600000000")
        .time_unit(TimeUnit::Seconds)
        .version(7)
        .build();
    let own = Record::builder()
        .dimensions(dimension("instance", "x"))
        .measure_name("own")
        .measure_value("2.5")
        .measure_value_type(MeasureValueType::Double)
        .time("5")
        .time_unit(TimeUnit::Microseconds)
        .version(8)
        .build();
    let call = service
        .write
        .write_records()
        .database_name(DB)
        .table_name(OLD);
    call.common_attributes(common)
        .records(Record::builder().build())
        .records(own)
        .send()
        .await
        .unwrap();
    let points = service.emulator.points(DB, OLD);
    assert_eq!(points[0].measure_name, "common");
    assert_eq!(
        (&points[0].value, points[0].version),
        (&Value::Bigint(1), 7)
    );
    assert_eq!(points[0].time_ns, T0 * 1_000_000);
    assert_eq!(points[1].measure_name, "own");
    assert_eq!(
        (&points[1].value, points[1].version),
        (&Value::Double(2.5), 8)
    );
    assert_eq!(points[1].time_ns, 5000);
    assert_eq!(points[1].dimensions.len(), 2);
}

#[tokio::test]
async fn versions_decide_between_writes_of_one_point() {
    let service = Service::start().await;
    let now = now_ms();
    assert_eq!(service.put(NEW, vec![versioned(now, "1", 5)]).await, 1);
    assert_eq!(
        service.put(NEW, vec![versioned(now, "1", 5)]).await,
        1,
        "a duplicate is accepted"
    );
    let same = service
        .put_rejected(NEW, vec![versioned(now, "2", 5)])
        .await;
    assert_eq!(same, [(0, REASON_SAME_VERSION.to_owned(), Some(5))]);
    for value in ["2", "1"] {
        let lower = service
            .put_rejected(NEW, vec![versioned(now, value, 4)])
            .await;
        let reason = "The record version 4 is lower than the existing version 5. A higher version is required to update the measure value.";
        assert_eq!(lower, [(0, reason.to_owned(), Some(5))]);
    }
    assert_eq!(service.put(NEW, vec![versioned(now, "2", 6)]).await, 1);
    assert_eq!(
        service.put(NEW, vec![versioned(now, "2", 9)]).await,
        1,
        "only the version changes"
    );
    let points = service.emulator.points(DB, NEW);
    assert_eq!(points.len(), 1);
    assert_eq!(
        (&points[0].value, points[0].version),
        (&Value::Double(2.0), 9)
    );
}

#[tokio::test]
async fn one_request_may_contradict_itself() {
    let service = Service::start().await;
    let now = now_ms();
    let records = vec![
        versioned(now, "1", 1),
        versioned(now, "1", 1),
        versioned(now, "2", 1),
    ];
    let rejected = service.put_rejected(NEW, records).await;
    assert_eq!(rejected, [(2, REASON_SAME_VERSION.to_owned(), Some(1))]);
    assert_eq!(
        service.emulator.points(DB, NEW)[0].value,
        Value::Double(1.0)
    );
}

#[tokio::test]
async fn records_that_are_not_rejected_are_stored() {
    let service = Service::start().await;
    let now = now_ms();
    let job = [("job", "a")];
    let records = vec![
        sample(&job, now, "1"),
        sample(&job, now - 7 * HOUR, "2"),
        sample(&job, now - HOUR, "3"),
        sample(&job, now + 16 * 60_000, "4"),
    ];
    let rejected = service.put_rejected(NEW, records).await;
    assert_eq!(
        rejected
            .iter()
            .map(|(index, ..)| *index)
            .collect::<Vec<_>>(),
        [1, 3]
    );
    for (_, reason, existing) in rejected {
        assert!(
            reason.starts_with("The record timestamp is outside the time range ["),
            "{reason}"
        );
        assert!(reason.ends_with(") of the memory store."), "{reason}");
        assert_eq!(existing, None);
    }
    assert_eq!(service.emulator.points(DB, NEW).len(), 2);
    let counters = service.emulator.counters();
    assert_eq!(
        (counters.records_accepted, counters.records_rejected),
        (2, 2)
    );
    assert_eq!((counters.points_stored, counters.write_units), (2, 1));
}

#[tokio::test]
async fn the_magnetic_store_keeps_conflicts_to_itself() {
    let service = Service::start().await;
    service.put(OLD, vec![versioned(T0, "1", 1)]).await;
    let call = service
        .write
        .write_records()
        .database_name(DB)
        .table_name(OLD);
    let answer = call
        .records(versioned(T0, "2", 1))
        .records(versioned(now_ms(), "3", 1))
        .send()
        .await;
    let ingested = answer.unwrap().records_ingested.unwrap();
    assert_eq!(
        (
            ingested.total(),
            ingested.memory_store(),
            ingested.magnetic_store()
        ),
        (2, 1, 1)
    );
    assert_eq!(
        service.emulator.points(DB, OLD)[0].value,
        Value::Double(1.0)
    );
    assert_eq!(
        service
            .emulator
            .counters()
            .records_dropped_in_magnetic_store,
        1
    );
}

#[tokio::test]
async fn values_of_all_types_are_stored() {
    let service = Service::start().await;
    let cases = [
        ("1.5", MeasureValueType::Double, Value::Double(1.5)),
        (
            "-9223372036854775808",
            MeasureValueType::Bigint,
            Value::Bigint(i64::MIN),
        ),
        (
            "x",
            MeasureValueType::Varchar,
            Value::Varchar("x".to_owned()),
        ),
        ("TRUE", MeasureValueType::Boolean, Value::Boolean(true)),
    ];
    for (index, (text, value_type, expected)) in cases.into_iter().enumerate() {
        let name = format!("m{index}");
        let record = with(typed(text, value_type), |record| {
            record.measure_name = Some(name)
        });
        service.put(OLD, vec![record]).await;
        assert_eq!(service.emulator.points(DB, OLD)[index].value, expected);
    }
    let values = [
        ("a", "1.5", MeasureValueType::Double),
        ("b", "1600000000001", MeasureValueType::Timestamp),
        ("c", "x", MeasureValueType::Varchar),
    ];
    service.put(OLD, vec![multi("z", &values)]).await;
    let point = service.emulator.points(DB, OLD).pop().unwrap();
    let Value::Multi(attributes) = point.value else {
        panic!("not a multi-measure value")
    };
    assert_eq!(attributes["b"], Value::Timestamp((T0 + 1) * 1_000_000));
    let row = service
        .rows("SELECT a, b, c, measure_value::double FROM db.old WHERE measure_name = 'z'")
        .await;
    assert_eq!(row, [["1.5", "2020-09-13 12:26:40.001000000", "x", "NULL"]]);
}

#[tokio::test]
async fn malformed_records_refuse_the_whole_request() {
    let service = Service::start().await;
    let job = [("job", "a")];
    let good = || sample(&job, T0, "1");
    let cases: Vec<(&str, Record, &str)> = vec![
        (
            "no dimension",
            sample(&[], T0, "1"),
            "At least one dimension is required for a record.",
        ),
        ("empty value", sample(&[("job", "")], T0, "1"), "empty"),
        (
            "leading underscore",
            sample(&[("_job", "a")], T0, "1"),
            "The dimension name is invalid.",
        ),
        (
            "trailing underscore",
            sample(&[("job_", "a")], T0, "1"),
            "The dimension name is invalid.",
        ),
        (
            "colon",
            sample(&[("a:b", "a")], T0, "1"),
            "The dimension name is invalid.",
        ),
        (
            "not ASCII",
            sample(&[("é", "a")], T0, "1"),
            "The dimension name is invalid.",
        ),
        (
            "reserved name",
            sample(&[("time", "a")], T0, "1"),
            "reserved",
        ),
        (
            "reserved prefix",
            sample(&[("ts_x", "a")], T0, "1"),
            "reserved",
        ),
        (
            "repeated",
            sample(&[("job", "a"), ("job", "b")], T0, "1"),
            "unique",
        ),
        ("measure colon", measure("a:b", &job, T0, "1"), "colon"),
        (
            "measure prefix",
            measure("measure_value_x", &job, T0, "1"),
            "reserved",
        ),
        ("NaN", sample(&job, T0, "NaN"), "IEEE"),
        ("infinity", sample(&job, T0, "Infinity"), "IEEE"),
        ("negative zero", sample(&job, T0, "-0.0"), "Negative zero"),
        (
            "negative time",
            sample(&job, -1, "1"),
            "Invalid time for record.",
        ),
        (
            "time",
            with(good(), |r| r.time = Some("1.5".into())),
            "Invalid time for record.",
        ),
        (
            "no time",
            with(good(), |r| r.time = None),
            "Invalid time for record.",
        ),
        ("version", with(good(), |r| r.version = Some(0)), "version"),
        (
            "no name",
            with(good(), |r| r.measure_name = None),
            "measure name is required",
        ),
        (
            "no value",
            with(good(), |r| r.measure_value = None),
            "needs a MeasureValue",
        ),
        (
            "timestamp",
            typed("1", MeasureValueType::Timestamp),
            "TIMESTAMP is an invalid measure value type.",
        ),
        (
            "bigint",
            typed("1.0", MeasureValueType::Bigint),
            "not a valid BIGINT",
        ),
        (
            "boolean",
            typed("1", MeasureValueType::Boolean),
            "not a valid BOOLEAN",
        ),
        (
            "type",
            typed("1", MeasureValueType::from("FLOAT")),
            "Value 'FLOAT' at 'records.2.member.measureValueType' failed to satisfy constraint: Member must satisfy enum value set: [",
        ),
        (
            "empty measure value",
            sample(&job, T0, ""),
            "Value '' at 'records.2.member.measureValue' failed to satisfy constraint: Member must have length greater than or equal to 1",
        ),
        (
            "long value",
            typed(&"x".repeat(2049), MeasureValueType::Varchar),
            "less than or equal to 2048",
        ),
        ("multi without values", multi("m", &[]), "MeasureValues"),
        (
            "multi in multi",
            multi("m", &[("a", "1", MeasureValueType::Multi)]),
            "MULTI is an invalid",
        ),
    ];
    for (name, record, expected) in cases {
        let (code, message) = service.put_refused(OLD, vec![good(), record]).await;
        assert_eq!(code, "ValidationException", "{name}");
        assert!(message.contains(expected), "{name}: {message}");
    }
    assert!(
        service.emulator.points(DB, OLD).is_empty(),
        "nothing was stored"
    );
    assert_eq!(service.emulator.counters().write_units, 0);
}

#[tokio::test]
async fn the_same_dimension_in_common_and_record_is_refused() {
    let service = Service::start().await;
    let call = service
        .write
        .write_records()
        .database_name(DB)
        .table_name(OLD);
    let common = Record::builder().dimensions(dimension("job", "a")).build();
    let error = call
        .common_attributes(common)
        .records(sample(&[("job", "a")], T0, "1"))
        .send()
        .await;
    assert!(
        code_and_message(&error.unwrap_err())
            .1
            .contains("Duplicate dimension name 'job'")
    );
}

#[tokio::test]
async fn between_1_and_100_records_are_taken() {
    let service = Service::start().await;
    let batch = |count: i64| {
        (0..count)
            .map(|n| sample(&[("job", "a")], T0 + n, "1"))
            .collect()
    };
    assert_eq!(service.put(OLD, batch(100)).await, 100);
    for (count, bound) in [
        (101, "less than or equal to 100"),
        (0, "greater than or equal to 1"),
    ] {
        let (code, message) = service.put_refused(OLD, batch(count)).await;
        assert_eq!(code, "ValidationException");
        assert!(
            message.contains("'records' failed to satisfy constraint: Member must have length"),
            "{message}"
        );
        assert!(message.contains(bound), "{message}");
    }
}

#[tokio::test]
async fn records_beyond_a_limit_are_rejected_alone() {
    let service = Service::start().await;
    let job = [("job", "a")];
    let long_name = |bytes: usize| "n".repeat(bytes);
    let fits = vec![
        sample(&[(&*long_name(60), "a")], T0, "1"),
        measure(&long_name(256), &job, T0, "1"),
        sample(&[("job", &*"v".repeat(2000))], T0, "1"),
    ];
    assert_eq!(service.put(OLD, fits).await, 3);
    let cases = [
        (
            "dimension name",
            sample(&[(&*long_name(61), "a")], T0, "1"),
            "dimension name is 61",
        ),
        (
            "measure name",
            measure(&long_name(257), &job, T0, "1"),
            "measure name is 257",
        ),
        (
            "series",
            sample(&[("job", &*"v".repeat(2046))], T0, "1"),
            "2049",
        ),
        (
            "record",
            sample(&[("job", &*"v".repeat(2040))], T0, "1"),
            "record size is 2061",
        ),
    ];
    for (name, record, expected) in cases {
        let rejected = service
            .put_rejected(OLD, vec![sample(&job, T0 + 1, "1"), record])
            .await;
        assert_eq!(rejected.len(), 1, "{name}");
        assert_eq!(rejected[0].0, 1, "{name}");
        assert!(
            rejected[0].1.contains(expected),
            "{name}: {}",
            rejected[0].1
        );
    }
}

#[tokio::test]
async fn a_table_holds_128_dimension_names() {
    let service = Service::start().await;
    let names: Vec<String> = (0..128).map(|n| format!("d{n}")).collect();
    let dimensions: Vec<Dimension> = names.iter().map(|name| dimension(name, "x")).collect();
    let wide = with(sample(&[], T0, "1"), |record| {
        record.dimensions = Some(dimensions.clone())
    });
    assert_eq!(service.put(OLD, vec![wide]).await, 1);
    let rejected = service
        .put_rejected(OLD, vec![sample(&[("other", "x")], T0, "1")])
        .await;
    assert!(
        rejected[0]
            .1
            .contains("number of dimensions of the table is 129"),
        "{}",
        rejected[0].1
    );
    let wider = with(sample(&[("other", "x")], T0, "1"), |record| {
        record.dimensions.as_mut().unwrap().extend(dimensions);
    });
    let (_, message) = service.put_refused(OLD, vec![wider]).await;
    assert!(
        message.contains("'records.1.member.dimensions' failed to satisfy constraint"),
        "{message}"
    );
}

#[tokio::test]
async fn a_table_holds_8192_measure_names() {
    let service = Service::start().await;
    for batch in 0..82 {
        let count = if batch == 81 { 92 } else { 100 };
        let name = |n: i64| format!("m{}", batch * 100 + n);
        let records = (0..count)
            .map(|n| measure(&name(n), &[("job", "a")], T0, "1"))
            .collect();
        assert_eq!(
            service.put(OLD, records).await,
            i32::try_from(count).unwrap()
        );
    }
    let rejected = service
        .put_rejected(OLD, vec![sample(&[("job", "a")], T0, "1")])
        .await;
    assert!(
        rejected[0]
            .1
            .contains("number of measures of the table is 8193"),
        "{}",
        rejected[0].1
    );
}

#[tokio::test]
async fn a_measure_and_an_attribute_keep_their_type() {
    let service = Service::start().await;
    service
        .put(OLD, vec![typed("1", MeasureValueType::Double)])
        .await;
    let rejected = service
        .put_rejected(OLD, vec![typed("1", MeasureValueType::Bigint)])
        .await;
    assert!(
        rejected[0].1.contains("already exists with type DOUBLE"),
        "{}",
        rejected[0].1
    );
    service
        .put(
            OLD,
            vec![multi(
                "multi",
                &[("attribute", "1", MeasureValueType::Double)],
            )],
        )
        .await;
    let other = multi("multi", &[("attribute", "1", MeasureValueType::Bigint)]);
    let rejected = service.put_rejected(OLD, vec![other]).await;
    assert!(
        rejected[0]
            .1
            .contains("'attribute' already exists with type DOUBLE"),
        "{}",
        rejected[0].1
    );
    let clash = sample(&[("attribute", "x")], T0, "1");
    let rejected = service.put_rejected(OLD, vec![clash]).await;
    assert!(
        rejected[0].1.contains("multi-measure attribute"),
        "{}",
        rejected[0].1
    );
    let clash = multi("multi", &[("job", "1", MeasureValueType::Double)]);
    let rejected = service.put_rejected(OLD, vec![clash]).await;
    assert!(rejected[0].1.contains("'job'"), "{}", rejected[0].1);
}

#[tokio::test]
async fn unknown_tables_are_not_found() {
    let service = Service::start().await;
    for (database, table) in [("none", OLD), (DB, "none"), ("DB", OLD), (DB, "Old")] {
        let call = service
            .write
            .write_records()
            .database_name(database)
            .table_name(table);
        let error = call
            .records(sample(&[("job", "a")], T0, "1"))
            .send()
            .await
            .unwrap_err();
        assert_eq!(
            error.raw_response().map(|raw| raw.status().as_u16()),
            Some(404)
        );
        assert_eq!(code_and_message(&error).0, "ResourceNotFoundException");
    }
}
