//! The quotas of WriteRecords and of the table written to.

use aws_sdk_timestreamwrite::types::{Dimension, MeasureValueType};

use crate::{
    support::{DB, OLD, Service, T0, dimension, measure, sample, with},
    write::multi,
};

/// Developer guide, "Quotas": 100 records per WriteRecords request; the text is the framework's.
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
        let (code, message) = service.put_error(OLD, batch(count)).await;
        assert_eq!(code, "ValidationException");
        assert!(
            message.contains("'records' failed to satisfy constraint: Member must have length"),
            "{message}"
        );
        assert!(message.contains(bound), "{message}");
    }
}

/// Developer guide, "Quotas": names of 60 and 256 bytes, 2 KB per series and per record; API reference,
/// RejectedRecord: what exceeds a limit is rejected by itself.
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
    let utf8 = format!("{}é", long_name(254));
    let fits = [fits, vec![measure(&utf8, &job, T0, "1")]].concat();
    assert_eq!(service.put(OLD, fits).await, 4);
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
            "measure name in UTF-8",
            measure(&format!("{}é", long_name(255)), &job, T0, "1"),
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

/// Developer guide, "Quotas": dimensions per table.
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
    let (_, message) = service.put_error(OLD, vec![wider]).await;
    assert!(
        message.contains("'records.1.member.dimensions' failed to satisfy constraint"),
        "{message}"
    );
}

/// Developer guide, "Quotas": unique measure names per table.
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

/// Developer guide, "Quotas": measures per multi-measure record, and the size of their values.
#[tokio::test]
async fn a_multi_measure_record_has_256_measures_of_2048_bytes() {
    let service = Service::start().await;
    let names: Vec<String> = (0..257).map(|n| format!("{n}")).collect();
    let values = |count: usize| -> Vec<(&str, &str, MeasureValueType)> {
        let names = names[..count].iter();
        names
            .map(|name| (&**name, "1", MeasureValueType::Boolean))
            .collect()
    };
    let boolean = |(name, _, value_type)| (name, "true", value_type);
    let values = |count| values(count).into_iter().map(boolean).collect::<Vec<_>>();
    assert_eq!(service.put(OLD, vec![multi("m", &values(256))]).await, 1);
    let rejected = service
        .put_rejected(OLD, vec![multi("m", &values(257))])
        .await;
    assert!(
        rejected[0].1.contains("number of measure values is 257"),
        "{}",
        rejected[0].1
    );

    let long = "v".repeat(2000);
    let longer = "v".repeat(2048);
    let text = |first, second| {
        let varchar = || MeasureValueType::Varchar;
        multi("t", &[("v", first, varchar()), ("w", second, varchar())])
    };
    assert_eq!(service.put(OLD, vec![text(&long, "x")]).await, 1);
    let rejected = service.put_rejected(OLD, vec![text(&longer, "x")]).await;
    let reason = "total size of measure values is 2049";
    assert!(rejected[0].1.contains(reason), "{}", rejected[0].1);
}

/// Developer guide, "Quotas": unique multi-measure attributes per table.
#[tokio::test]
async fn a_table_holds_1024_attributes() {
    let service = Service::start().await;
    let names: Vec<String> = (0..1025).map(|n| format!("a{n}")).collect();
    let record = |range: std::ops::Range<usize>| {
        let names = names[range].iter();
        let values: Vec<_> = names
            .map(|name| (&**name, "true", MeasureValueType::Boolean))
            .collect();
        multi("m", &values)
    };
    for first in (0..1024).step_by(128) {
        let written = with(record(first..first + 128), |record| {
            record.time = Some((T0 + first as i64).to_string());
        });
        assert_eq!(service.put(OLD, vec![written]).await, 1);
    }
    let rejected = service.put_rejected(OLD, vec![record(1024..1025)]).await;
    let reason = "number of attributes of the table is 1025";
    assert!(rejected[0].1.contains(reason), "{}", rejected[0].1);
    assert_eq!(service.emulator.points(DB, OLD).len(), 8);
}
