//! Databases and tables.

use aws_sdk_timestreamwrite::types::{
    MagneticStoreRejectedDataLocation, MagneticStoreWriteProperties, PartitionKey,
    PartitionKeyEnforcementLevel, PartitionKeyType, RetentionProperties, S3Configuration,
    S3EncryptionOption, Schema,
};

use crate::support::{DB, NEW, OLD, Service, code_and_message, now_ms, sample};

#[tokio::test]
async fn databases_come_and_go() {
    let service = Service::start().await;
    let created = service
        .write
        .create_database()
        .database_name("a.b-c_1")
        .send()
        .await
        .unwrap();
    assert_eq!(created.database().unwrap().table_count(), 0);
    assert!(created.database().unwrap().creation_time().is_some());
    let again = service
        .write
        .create_database()
        .database_name("a.b-c_1")
        .send()
        .await
        .unwrap_err();
    assert_eq!(again.raw_response().unwrap().status().as_u16(), 409);
    assert_eq!(code_and_message(&again).0, "ConflictException");
    let bad = service
        .write
        .create_database()
        .database_name("a b")
        .send()
        .await
        .unwrap_err();
    assert!(code_and_message(&bad).1.contains("[a-zA-Z0-9_.-]+"));
    let described = service
        .write
        .describe_database()
        .database_name(DB)
        .send()
        .await
        .unwrap();
    assert_eq!(described.database().unwrap().table_count(), 2);
    let full = service
        .write
        .delete_database()
        .database_name(DB)
        .send()
        .await
        .unwrap_err();
    assert_eq!(code_and_message(&full).0, "ValidationException");
    service
        .write
        .delete_database()
        .database_name("a.b-c_1")
        .send()
        .await
        .unwrap();
    let gone = service
        .write
        .describe_database()
        .database_name("a.b-c_1")
        .send()
        .await
        .unwrap_err();
    assert_eq!(code_and_message(&gone).0, "ResourceNotFoundException");
}

#[tokio::test]
async fn tables_have_settings() {
    let service = Service::start().await;
    let create = || service.write.create_table().database_name(DB);
    let made = create()
        .table_name("t")
        .send()
        .await
        .unwrap()
        .table
        .unwrap();
    let retention = made.retention_properties().unwrap();
    assert_eq!(retention.memory_store_retention_period_in_hours(), 6);
    assert_eq!(retention.magnetic_store_retention_period_in_days(), 73_000);
    let retention = |hours| {
        let properties =
            RetentionProperties::builder().memory_store_retention_period_in_hours(hours);
        properties
            .magnetic_store_retention_period_in_days(10)
            .build()
            .unwrap()
    };
    let writes = MagneticStoreWriteProperties::builder().enable_magnetic_store_writes(true);
    let update = service
        .write
        .update_table()
        .database_name(DB)
        .table_name("t");
    let update = update
        .retention_properties(retention(24))
        .magnetic_store_write_properties(writes.build().unwrap());
    update.send().await.unwrap();
    let table = service
        .write
        .describe_table()
        .database_name(DB)
        .table_name("t")
        .send()
        .await
        .unwrap()
        .table
        .unwrap();
    assert_eq!(
        table
            .retention_properties()
            .unwrap()
            .memory_store_retention_period_in_hours(),
        24
    );
    assert!(
        table
            .magnetic_store_write_properties()
            .unwrap()
            .enable_magnetic_store_writes()
    );
    assert_eq!(table.table_status().unwrap().as_str(), "ACTIVE");
    let bad = create()
        .table_name("u")
        .retention_properties(retention(8767))
        .send()
        .await
        .unwrap_err();
    assert!(
        code_and_message(&bad)
            .1
            .contains("less than or equal to 8766")
    );
    let key = || {
        PartitionKey::builder()
            .r#type(PartitionKeyType::Measure)
            .build()
            .unwrap()
    };
    let schema = Schema::builder()
        .composite_partition_key(key())
        .composite_partition_key(key())
        .build();
    let bad = create()
        .table_name("u")
        .schema(schema)
        .send()
        .await
        .unwrap_err();
    assert!(code_and_message(&bad).1.contains("Only 1 partition keys"));
    let missing = service
        .write
        .create_table()
        .database_name("none")
        .table_name("t")
        .send()
        .await
        .unwrap_err();
    assert_eq!(code_and_message(&missing).0, "ResourceNotFoundException");
    service
        .write
        .delete_table()
        .database_name(DB)
        .table_name("t")
        .send()
        .await
        .unwrap();
    let gone = service
        .write
        .describe_table()
        .database_name(DB)
        .table_name("t")
        .send()
        .await
        .unwrap_err();
    assert_eq!(code_and_message(&gone).0, "ResourceNotFoundException");
}

#[tokio::test]
async fn lists_have_pages() {
    let service = Service::start().await;
    for n in 0..25 {
        service
            .write
            .create_database()
            .database_name(format!("x{n:02}"))
            .send()
            .await
            .unwrap();
    }
    let first = service.write.list_databases().send().await.unwrap();
    assert_eq!(first.databases().len(), 20);
    let second = service
        .write
        .list_databases()
        .set_next_token(first.next_token)
        .send()
        .await
        .unwrap();
    assert_eq!((second.databases().len(), second.next_token()), (6, None));
    let tables = service
        .write
        .list_tables()
        .database_name(DB)
        .max_results(1)
        .send()
        .await
        .unwrap();
    assert_eq!(tables.tables()[0].table_name(), Some(NEW));
    let rest = service
        .write
        .list_tables()
        .database_name(DB)
        .set_next_token(tables.next_token)
        .send()
        .await
        .unwrap();
    assert_eq!(rest.tables()[0].table_name(), Some(OLD));
    let bad = service
        .write
        .list_tables()
        .max_results(21)
        .send()
        .await
        .unwrap_err();
    assert_eq!(code_and_message(&bad).0, "ValidationException");
}

fn schema(keys: Vec<PartitionKey>) -> Schema {
    Schema::builder()
        .set_composite_partition_key(Some(keys))
        .build()
}

fn dimension_key(name: &str, enforcement: Option<PartitionKeyEnforcementLevel>) -> PartitionKey {
    let key = PartitionKey::builder().r#type(PartitionKeyType::Dimension);
    let key = key.name(name).set_enforcement_in_record(enforcement);
    key.build().expect("the type is set")
}

/// API reference, PartitionKey; the text about too many keys was seen from the service.
#[tokio::test]
async fn partition_keys_are_checked() {
    use PartitionKeyEnforcementLevel::{Optional, Required};
    let service = Service::start().await;
    let of_type = |key_type| PartitionKey::builder().r#type(key_type);
    let measure = || of_type(PartitionKeyType::Measure);
    let cases = [
        ("none", vec![], "greater than or equal to 1"),
        (
            "two",
            vec![dimension_key("a", None), dimension_key("b", None)],
            "You have specified too many partition keys to be used in your composite partition \
             key. Only 1 partition keys can be specified.",
        ),
        (
            "no name",
            vec![of_type(PartitionKeyType::Dimension).build().unwrap()],
            "needs a name",
        ),
        (
            "bad name",
            vec![dimension_key("a-b", None)],
            "The dimension name is invalid.",
        ),
        (
            "measure",
            vec![measure().name("a").build().unwrap()],
            "has no name",
        ),
        (
            "enforced measure",
            vec![measure().enforcement_in_record(Required).build().unwrap()],
            "no enforcement",
        ),
        (
            "type",
            vec![of_type("OTHER".into()).build().unwrap()],
            "[DIMENSION, MEASURE]",
        ),
        (
            "enforcement",
            vec![dimension_key("a", Some("SOME".into()))],
            "[REQUIRED, OPTIONAL]",
        ),
    ];
    for (name, keys, expected) in cases {
        let call = service
            .write
            .create_table()
            .database_name(DB)
            .table_name("t");
        let error = call.schema(schema(keys)).send().await;
        let (code, message) = code_and_message(&error.expect_err(name));
        assert_eq!(code, "ValidationException", "{name}");
        assert!(message.contains(expected), "{name}: {message}");
    }
    let call = service
        .write
        .create_table()
        .database_name(DB)
        .table_name("t");
    let call = call.schema(schema(vec![dimension_key("host", Some(Optional))]));
    let table = call.send().await.expect("a table").table.expect("a table");
    let keys = table.schema.expect("a schema").composite_partition_key;
    assert_eq!(keys, Some(vec![dimension_key("host", Some(Optional))]));
}

/// Developer guide, "Customer-defined partition keys": a required key must be in every record; only
/// the enforcement can be changed.
#[tokio::test]
async fn a_required_partition_key_must_be_in_the_record() {
    use PartitionKeyEnforcementLevel::{Optional, Required};
    let service = Service::start().await;
    let call = service
        .write
        .create_table()
        .database_name(DB)
        .table_name("t");
    let call = call.schema(schema(vec![dimension_key("host", Some(Required))]));
    call.send().await.expect("a table");
    let update = |keys| {
        let call = service
            .write
            .update_table()
            .database_name(DB)
            .table_name("t");
        call.schema(schema(keys)).send()
    };
    let now = now_ms();
    let records = || {
        let with = sample(&[("host", "a"), ("job", "a")], now, "1");
        vec![with, sample(&[("job", "a")], now, "1")]
    };
    let rejected = service.put_rejected("t", records()).await;
    assert_eq!((rejected.len(), rejected[0].0), (1, 1));
    assert!(rejected[0].1.contains("'host'"), "{}", rejected[0].1);
    assert_eq!(service.emulator.points(DB, "t").len(), 1);

    let measure = PartitionKey::builder().r#type(PartitionKeyType::Measure);
    for other in [
        dimension_key("job", Some(Required)),
        measure.build().unwrap(),
    ] {
        let error = update(vec![other]).await.expect_err("another key");
        assert_eq!(code_and_message(&error).0, "ValidationException");
    }
    update(vec![dimension_key("host", Some(Optional))])
        .await
        .expect("an update");
    assert_eq!(service.put("t", records()).await, 2);
}

/// Service model: the location of a table's error reports is stored as it was given.
#[tokio::test]
async fn the_location_of_error_reports_is_stored() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = Service::start_in(Some(folder.path())).await;
    let properties = |bucket: &str| {
        let s3 = S3Configuration::builder()
            .bucket_name(bucket)
            .object_key_prefix("p");
        let s3 = s3.encryption_option(S3EncryptionOption::SseS3).build();
        let place = MagneticStoreRejectedDataLocation::builder().s3_configuration(s3);
        let properties = MagneticStoreWriteProperties::builder();
        let properties = properties.magnetic_store_rejected_data_location(place.build());
        properties
            .enable_magnetic_store_writes(true)
            .build()
            .expect("complete")
    };
    let create = |bucket| {
        let call = service
            .write
            .create_table()
            .database_name(DB)
            .table_name("t");
        call.magnetic_store_write_properties(properties(bucket))
            .send()
    };
    let error = create("b").await.expect_err("too short a name");
    let (_, message) = code_and_message(&error);
    assert!(message.contains("s3Configuration.bucketName"), "{message}");
    create("bucket").await.expect("a table");
    service.emulator.stop().await;

    let service = Service::start_in(Some(folder.path())).await;
    let call = service
        .write
        .describe_table()
        .database_name(DB)
        .table_name("t");
    let table = call
        .send()
        .await
        .expect("the table")
        .table
        .expect("the table");
    assert_eq!(
        table.magnetic_store_write_properties,
        Some(properties("bucket"))
    );
}

/// Service model, RetentionProperties: 1 to 8766 hours, 1 to 73000 days, both or none.
#[tokio::test]
async fn retention_has_bounds() {
    let service = Service::start().await;
    let cases = [
        (1, 1, true),
        (8766, 73_000, true),
        (0, 1, false),
        (8767, 1, false),
        (1, 0, false),
        (1, 73_001, false),
        (-1, -1, false),
    ];
    for (hours, days, is_taken) in cases {
        let retention = RetentionProperties::builder()
            .memory_store_retention_period_in_hours(hours)
            .magnetic_store_retention_period_in_days(days)
            .build()
            .expect("both are set");
        let call = service
            .write
            .update_table()
            .database_name(DB)
            .table_name(NEW);
        let outcome = call.retention_properties(retention).send().await;
        assert_eq!(outcome.is_ok(), is_taken, "{hours} {days}");
        if let Err(error) = outcome {
            assert_eq!(code_and_message(&error).0, "ValidationException");
        }
    }
}

/// Service model: a name is `[a-zA-Z0-9_.-]+`; developer guide, "Quotas": at most 256 bytes, case
/// counts.
#[tokio::test]
async fn names_of_databases_and_tables() {
    let service = Service::start().await;
    let long = "n".repeat(256);
    for (name, is_taken) in [
        ("A.b-c_1", true),
        (&*long, true),
        (&*format!("{long}n"), false),
        ("", false),
        ("a b", false),
        ("é", false),
        ("a/b", false),
    ] {
        let database = service
            .write
            .create_database()
            .database_name(name)
            .send()
            .await;
        assert_eq!(database.is_ok(), is_taken, "database {name}");
        let table = service
            .write
            .create_table()
            .database_name(DB)
            .table_name(name);
        assert_eq!(table.send().await.is_ok(), is_taken, "table {name}");
    }
    let other_case = service
        .write
        .describe_database()
        .database_name("a.b-c_1")
        .send()
        .await;
    let error = other_case.expect_err("another name");
    assert_eq!(code_and_message(&error).0, "ResourceNotFoundException");
}

/// Service model: the id of a key has 1 to 2048 characters, and UpdateDatabase needs one.
#[tokio::test]
async fn databases_have_a_key() {
    let service = Service::start().await;
    let create = service
        .write
        .create_database()
        .database_name("k")
        .kms_key_id("mine");
    let made = create
        .send()
        .await
        .expect("a database")
        .database
        .expect("a database");
    assert_eq!(made.kms_key_id(), Some("mine"));
    let update = |key: &str| {
        let call = service.write.update_database().database_name("k");
        call.kms_key_id(key).send()
    };
    let updated = update("other").await.expect("an update").database;
    assert_eq!(updated.expect("a database").kms_key_id(), Some("other"));
    for key in ["", &"k".repeat(2049)] {
        let error = update(key).await.expect_err("out of bounds");
        assert_eq!(code_and_message(&error).0, "ValidationException");
    }
    let missing = service
        .write
        .update_database()
        .database_name("none")
        .kms_key_id("k");
    let error = missing.send().await.expect_err("no such database");
    assert_eq!(code_and_message(&error).0, "ResourceNotFoundException");
}

/// Developer guide, "Quotas": 500 databases.
#[tokio::test]
async fn an_account_has_500_databases() {
    let service = Service::start().await;
    let create = |n: u32| {
        service
            .write
            .create_database()
            .database_name(format!("x{n}"))
            .send()
    };
    for n in 1..500 {
        create(n).await.expect("one of 500");
    }
    let error = create(500).await.expect_err("the 501st");
    assert_eq!(error.raw_response().unwrap().status().as_u16(), 402);
    assert_eq!(code_and_message(&error).0, "ServiceQuotaExceededException");
}

/// Service model: MaxResults is 1 to 20.
#[tokio::test]
async fn lists_have_bounds() {
    let service = Service::start().await;
    for (max_results, is_taken) in [(0, false), (1, true), (20, true), (21, false)] {
        let databases = service.write.list_databases().max_results(max_results);
        assert_eq!(databases.send().await.is_ok(), is_taken, "{max_results}");
        let tables = service.write.list_tables().max_results(max_results);
        assert_eq!(tables.send().await.is_ok(), is_taken, "{max_results}");
    }
    let error = service.write.list_tables().next_token("x").send().await;
    assert_eq!(
        code_and_message(&error.unwrap_err()).0,
        "ValidationException"
    );
    let error = service
        .write
        .list_tables()
        .database_name("none")
        .send()
        .await;
    assert_eq!(
        code_and_message(&error.unwrap_err()).0,
        "ResourceNotFoundException"
    );
    let all = service
        .write
        .list_tables()
        .send()
        .await
        .expect("all tables");
    assert_eq!(all.tables().len(), 2);
}

/// Conflicts and missing resources, for tables as for databases.
#[tokio::test]
async fn tables_conflict_or_are_missing() {
    let service = Service::start().await;
    let create = service
        .write
        .create_table()
        .database_name(DB)
        .table_name(OLD);
    let error = create.send().await.expect_err("it exists");
    assert_eq!(error.raw_response().unwrap().status().as_u16(), 409);
    assert_eq!(code_and_message(&error).0, "ConflictException");
    let update = service
        .write
        .update_table()
        .database_name(DB)
        .table_name("none");
    let error = update.send().await.expect_err("no such table");
    assert_eq!(code_and_message(&error).0, "ResourceNotFoundException");
    let delete = service
        .write
        .delete_table()
        .database_name(DB)
        .table_name("none");
    let error = delete.send().await.expect_err("no such table");
    assert_eq!(error.raw_response().unwrap().status().as_u16(), 404);
    let delete = service.write.delete_database().database_name("none");
    let error = delete.send().await.expect_err("no such database");
    assert_eq!(code_and_message(&error).0, "ResourceNotFoundException");
}
