//! Databases and tables.

use aws_sdk_timestreamwrite::types::{
    MagneticStoreWriteProperties, PartitionKey, PartitionKeyType, RetentionProperties, Schema,
};

use crate::support::{DB, NEW, OLD, Service, code_and_message};

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
