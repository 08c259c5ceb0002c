//! Contents of a data folder after a restart.

use timestream_emulator::{Config, Emulator, StartError, StoreError, TableSpec};

use crate::support::{DB, OLD, Service, T0, sample};

#[tokio::test]
async fn everything_survives_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = Service::start_in(Some(folder.path())).await;
    service
        .put(
            OLD,
            vec![
                sample(&[("job", "a")], T0, "1.5"),
                sample(&[("zone", "z")], T0, "2"),
            ],
        )
        .await;
    let before = service.emulator.points(DB, OLD);
    service.emulator.stop().await;

    let service = Service::start_in(Some(folder.path())).await;
    assert_eq!(service.emulator.points(DB, OLD), before);
    assert_eq!(service.emulator.counters().points_stored, 2);
    assert_eq!(
        service
            .value("SELECT count(*) FROM db.old WHERE zone = 'z'")
            .await,
        "1"
    );
    service
        .put(OLD, vec![sample(&[("job", "a")], T0, "1.5")])
        .await;
    assert_eq!(
        service.emulator.points(DB, OLD),
        before,
        "a duplicate is still one"
    );
}

#[tokio::test]
async fn settings_of_an_existing_table_do_not_change() {
    let folder = tempfile::tempdir().expect("a folder");
    let start = |hours| {
        let table = TableSpec {
            memory_hours: hours,
            ..TableSpec::new(DB, "existing")
        };
        let data_dir = Some(folder.path().to_owned());
        Emulator::start(Config {
            data_dir,
            tables: vec![table],
            ..Config::default()
        })
    };
    start(24).await.expect("the first start").stop().await;
    let emulator = start(48).await.expect("the second start");
    let (write, _) = crate::support::clients(&emulator.url(), "local", "local");
    let table = write
        .describe_table()
        .database_name(DB)
        .table_name("existing")
        .send()
        .await
        .unwrap();
    let retention = table.table().unwrap().retention_properties().unwrap();
    assert_eq!(retention.memory_store_retention_period_in_hours(), 24);
}

#[tokio::test]
async fn a_folder_has_one_emulator() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = Service::start_in(Some(folder.path())).await;
    let config = Config {
        data_dir: Some(folder.path().to_owned()),
        ..Config::default()
    };
    let error = Emulator::start(config.clone())
        .await
        .expect_err("the folder is in use");
    assert!(
        matches!(&error, StartError::Store(StoreError::InUse(_))),
        "{error}"
    );
    assert!(error.to_string().contains("in use by another emulator"));
    service.emulator.stop().await;
    Emulator::start(config)
        .await
        .expect("the folder is free")
        .stop()
        .await;
}
