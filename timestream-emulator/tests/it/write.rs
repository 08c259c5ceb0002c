//! WriteRecords, rule by rule.

use aws_sdk_timestreamwrite::types::{MeasureValue, MeasureValueType, Record, TimeUnit};
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

pub(crate) fn multi(name: &str, values: &[(&str, &str, MeasureValueType)]) -> Record {
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

/// Developer guide, "Data modeling": a dimension value may be any UTF-8.
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

/// API reference, WriteRecords, CommonAttributes: merged into each record. That the record wins over
/// them is not established.
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
    let call = service.write_to(OLD);
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

/// API reference, WriteRecords, "Upserts"; the texts were seen from the service. A lower version with
/// the same value is not established.
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

/// Developer guide, "Data modeling": a point is its dimensions, measure name and time. What one request
/// does to itself is not established; later records meet the earlier ones here.
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

/// Developer guide, "Data ingestion", best practices: only the rejected records must be sent again.
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

/// Developer guide, "Writes", late arriving data: conflicts in the magnetic store are not in the
/// response.
#[tokio::test]
async fn the_magnetic_store_keeps_conflicts_to_itself() {
    let service = Service::start().await;
    service.put(OLD, vec![versioned(T0, "1", 1)]).await;
    let call = service.write_to(OLD);
    let response = call
        .records(versioned(T0, "2", 1))
        .records(versioned(now_ms(), "3", 1))
        .send()
        .await;
    let ingested = response.unwrap().records_ingested.unwrap();
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

/// API reference, Record, MeasureValueType; developer guide, "Supported data types".
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

/// API reference, WriteRecords: a ValidationException is about the whole request. Names: developer
/// guide, "Quotas", naming constraints and system identifiers; values: "Supported data types"; bounds
/// and enumerations: the service model. Texts without quotation of the service are the emulator's.
#[tokio::test]
async fn malformed_records_fail_the_whole_request() {
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
        let (code, message) = service.put_error(OLD, vec![good(), record]).await;
        assert_eq!(code, "ValidationException", "{name}");
        assert!(message.contains(expected), "{name}: {message}");
    }
    assert!(
        service.emulator.points(DB, OLD).is_empty(),
        "nothing was stored"
    );
    assert_eq!(service.emulator.counters().write_units, 0);
}

/// API reference, WriteRecords, CommonAttributes: dimensions may not overlap.
#[tokio::test]
async fn the_same_dimension_in_common_and_record_is_an_error() {
    let service = Service::start().await;
    let call = service.write_to(OLD);
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

/// Developer guide, "Data modeling": a measure has one type; "Quotas": names of columns are unique.
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

/// API reference, WriteRecords, ResourceNotFoundException; developer guide, "Quotas": case counts.
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

/// Developer guide, "Data modeling": a point is its dimensions (in any order), measure name and time;
/// "Quotas": names are compared as bytes, case counts.
#[tokio::test]
async fn points_differ_by_dimensions_measure_and_time() {
    let service = Service::start().await;
    let records = vec![
        sample(&[("a", "1"), ("b", "2")], T0, "1"),
        sample(&[("a", "1")], T0, "2"),
        sample(&[("a", "1"), ("b", "3")], T0, "3"),
        sample(&[("A", "1"), ("b", "2")], T0, "4"),
        sample(&[("a", "1"), ("b", "2")], T0 + 1, "5"),
        measure("Up", &[("a", "1"), ("b", "2")], T0, "6"),
    ];
    let count = records.len();
    service.put(OLD, records).await;
    assert_eq!(service.emulator.points(DB, OLD).len(), count);
    let reordered = sample(&[("b", "2"), ("a", "1")], T0, "1");
    service.put(OLD, vec![reordered]).await;
    assert_eq!(service.emulator.points(DB, OLD).len(), count);
    assert_eq!(
        service
            .emulator
            .counters()
            .records_dropped_in_magnetic_store,
        0
    );
}

/// API reference, WriteRecords: Version is 1 unless given, and at least 1.
#[tokio::test]
async fn the_version_is_1_unless_given() {
    let service = Service::start().await;
    let now = now_ms();
    let plain = |value| sample(&[("job", "a")], now, value);
    service.put(NEW, vec![plain("1")]).await;
    let rejected = service.put_rejected(NEW, vec![plain("2")]).await;
    assert_eq!(rejected, [(0, REASON_SAME_VERSION.to_owned(), Some(1))]);
    assert_eq!(service.put(NEW, vec![versioned(now, "2", 2)]).await, 1);
    assert_eq!(
        service.put(NEW, vec![versioned(now, "3", i64::MAX)]).await,
        1
    );
    for version in [0, -1, i64::MIN] {
        let error = service
            .put_error(NEW, vec![versioned(now, "4", version)])
            .await;
        assert_eq!(error.0, "ValidationException", "{version}");
    }
    assert_eq!(service.emulator.points(DB, NEW)[0].version, i64::MAX);
}

/// API reference, Record, TimeUnit: milliseconds unless given; a TIMESTAMP of a multi-measure record
/// was seen to be in the unit of the record.
#[tokio::test]
async fn times_are_in_the_unit_of_the_record() {
    let service = Service::start().await;
    let cases = [
        (TimeUnit::Seconds, 1_600_000_000),
        (TimeUnit::Milliseconds, T0),
        (TimeUnit::Microseconds, T0 * 1000),
        (TimeUnit::Nanoseconds, T0 * 1_000_000),
    ];
    for (index, (unit, time)) in cases.into_iter().enumerate() {
        let text = time.to_string();
        let values = [("at", &*text, MeasureValueType::Timestamp)];
        let record = with(multi(&format!("m{index}"), &values), |record| {
            record.time = Some(text.clone());
            record.time_unit = Some(unit);
        });
        service.put(OLD, vec![record]).await;
        let point = service.emulator.points(DB, OLD).remove(index);
        assert_eq!(point.time_ns, T0 * 1_000_000, "{time}");
        let Value::Multi(values) = point.value else {
            panic!("not a multi-measure value");
        };
        assert_eq!(values["at"], Value::Timestamp(T0 * 1_000_000), "{time}");
    }
}

/// Several violations of the service model are named in one response.
#[tokio::test]
async fn all_broken_constraints_are_named() {
    let service = Service::start().await;
    let record = with(sample(&[("a", "1")], T0, ""), |record| {
        record.time_unit = Some("HOURS".into());
        record.time = Some(String::new());
    });
    let (code, message) = service.put_error(OLD, vec![record]).await;
    assert_eq!(code, "ValidationException");
    assert!(
        message.starts_with("3 validation errors detected: "),
        "{message}"
    );
    for path in ["measureValue'", "time'", "timeUnit'"] {
        assert!(
            message.contains(&format!("'records.1.member.{path}")),
            "{message}"
        );
    }
}

/// API reference, WriteRecords: an error in the common attributes is an error of the request.
#[tokio::test]
async fn common_attributes_keep_to_the_rules() {
    let service = Service::start().await;
    let common = || Record::builder();
    let cases = [
        (
            "name",
            common().dimensions(dimension("ts_x", "1")),
            "reserved",
        ),
        ("value", common().dimensions(dimension("x", "")), "empty"),
        ("version", common().version(0), "version"),
        ("time", common().time("x"), "Invalid time for record."),
        ("measure", common().measure_name("a:b"), "colon"),
        (
            "type",
            common().measure_value_type("X".into()),
            "commonAttributes.measureValueType",
        ),
    ];
    for (name, common, expected) in cases {
        let record = with(sample(&[("job", "a")], T0, "1"), |record| {
            record.measure_name = (name != "measure").then(|| "up".to_owned());
            record.time = (name != "time").then(|| T0.to_string());
            record.measure_value_type = None;
        });
        let call = service.write_to(OLD);
        let call = call.common_attributes(common.build()).records(record);
        let (code, message) = code_and_message(&call.send().await.expect_err(name));
        assert_eq!(code, "ValidationException", "{name}");
        assert!(message.contains(expected), "{name}: {message}");
    }
}
