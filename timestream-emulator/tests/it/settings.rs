//! Settings that change how the whole service behaves.

use std::time::Duration;

use crate::support::{DB, NEW, OLD, Service, T0, TestClock, code_and_message, now_ms, sample};

/// Developer guide, "Quotas": 1 change and 5 look-ups of databases and tables per second.
#[tokio::test]
async fn rates_are_limited_on_request() {
    let time = TestClock::new();
    let clock = time.clock();
    let service = Service::start_with(|config| {
        config.rate_limits = true;
        config.clock = clock;
    })
    .await;
    let create = async |name: &str| {
        let call = service.write.create_database().database_name(name);
        call.send().await.map_err(|error| {
            let status = error.raw_response().map(|raw| raw.status().as_u16());
            (status, code_and_message(&error).0)
        })
    };
    let throttled = (Some(429), "ThrottlingException".to_owned());
    create("a").await.expect("the first of a second");
    assert_eq!(create("b").await.unwrap_err(), throttled);
    time.advance(Duration::from_millis(999));
    assert_eq!(create("b").await.unwrap_err(), throttled);
    time.advance(Duration::from_millis(1));
    create("b").await.expect("the first of the next second");
    for _ in 0..5 {
        service
            .write
            .list_databases()
            .send()
            .await
            .expect("five look-ups");
    }
    let error = service
        .write
        .describe_database()
        .database_name("a")
        .send()
        .await;
    assert_eq!(
        code_and_message(&error.unwrap_err()).0,
        "ThrottlingException"
    );
    for n in 0..10 {
        assert_eq!(
            service
                .put(OLD, vec![sample(&[("job", "a")], T0 + n, "1")])
                .await,
            1
        );
    }
}

#[tokio::test]
async fn retention_goes_by_the_given_clock() {
    let time = TestClock::new();
    let clock = time.clock();
    let service = Service::start_with(|config| config.clock = clock).await;
    let now = now_ms();
    let record = || vec![sample(&[("job", "a")], now, "1")];
    assert_eq!(service.put(NEW, record()).await, 1);
    time.advance(Duration::from_hours(7));
    assert_eq!(service.put_rejected(NEW, record()).await[0].0, 0);
}

#[tokio::test]
async fn a_null_sink_judges_and_meters_but_stores_nothing() {
    let service = Service::start_with(|config| config.null_sink = true).await;
    let job = [("job", "a")];
    let now = now_ms();
    assert_eq!(service.put(NEW, vec![sample(&job, now, "1"); 2]).await, 2);
    assert_eq!(service.put(NEW, vec![sample(&job, now, "2")]).await, 1);
    let old = sample(&job, now - 7 * 3_600_000, "1");
    assert_eq!(
        service
            .put_rejected(NEW, vec![sample(&job, now, "1"), old])
            .await[0]
            .0,
        1
    );
    let error = service.put_error(NEW, vec![sample(&job, now, "NaN")]).await;
    assert_eq!(error.0, "ValidationException");
    let error = service
        .put_error("none", vec![sample(&job, now, "1")])
        .await;
    assert_eq!(error.0, "ResourceNotFoundException");
    assert!(service.emulator.points(DB, NEW).is_empty());
    let counters = service.emulator.counters();
    assert_eq!(
        (counters.records_accepted, counters.records_rejected),
        (4, 1)
    );
    assert_eq!((counters.write_units, counters.points_stored), (3, 0));
}
