//! Replicated senders: one copy of what several replicas send.

use std::time::Duration;

use prom_wire::prompb::TimeSeries;
use prom_wire::prompb::label_matcher::Type;
use timestream_emulator::{Emulator, Fault, FaultKind};

use crate::standalone::Connector;
use crate::state::{Dynamo, TABLE};
use crate::support::{START_MS, TestApp, now_ms, query, series, start_emulator, table, write_body};
use crate::v2;

/// Returns a series of a replica.
fn of(cluster: &str, replica: &str, name: &str, time: i64) -> TimeSeries {
    let labels = [
        ("__name__", name),
        ("__replica__", replica),
        ("cluster", cluster),
    ];
    series(&labels, &[(time, 1.0)])
}

/// Returns the same in remote write 2.0.
fn of_v2(replica: &str, name: &str, time: i64) -> v2::Series {
    let labels = [
        ("__name__", name),
        ("__replica__", replica),
        ("cluster", "c"),
    ];
    v2::series(&labels).sample(time, 1.0)
}

/// Returns what is stored: names, clusters and milliseconds since the start.
fn stored(emulator: &Emulator) -> Vec<(String, String, i64)> {
    let points = emulator.points("db", "t").into_iter();
    let mut stored: Vec<_> = points
        .map(|mut point| {
            let cluster = point.dimensions.remove("cluster").unwrap_or_default();
            assert_eq!(point.dimensions.len(), 0, "{point:?}");
            let time = point.time_ns / 1_000_000 - START_MS;
            (point.measure_name, cluster, time)
        })
        .collect();
    stored.sort();
    stored
}

#[tokio::test]
async fn the_second_replica_gets_202_and_is_not_stored() {
    let app = TestApp::start_with(&["--ha-tracking=true"]).await;
    let first = app.write(vec![of("c", "a", "up", START_MS)]).await;
    assert_eq!(first.status, 204);
    let calls = "timestream_connector_write_calls_total";
    assert_eq!(app.metric(calls).await, 1.0);
    let second = app.write(vec![of("c", "b", "up", START_MS + 1)]).await;
    assert_eq!(
        (second.status.as_u16(), second.text()),
        (202, String::new())
    );
    assert_eq!(
        second
            .headers
            .get("x-prometheus-remote-write-samples-written"),
        None
    );
    assert_eq!(app.metric(calls).await, 1.0);
    // In 2.0 a response without written samples would count as lost data.
    let second = app
        .write_v2(&[
            of_v2("b", "up", START_MS + 1).sample(START_MS + 2, 1.0),
            of_v2("b", "down", START_MS + 1).exemplar(&[("trace", "x")], START_MS + 1, 1.0),
        ])
        .await;
    assert_eq!(second.status, 202);
    assert_eq!(second.written(), Some([3, 0, 1]));
    let all = [("up".to_owned(), "c".to_owned(), 0)];
    assert_eq!(stored(&app.emulator), all);
    for (name, value) in [
        ("received_samples_total", 6.0),
        ("written_samples_total", 1.0),
        ("ignored_samples_total{reason=\"other_replica\"}", 5.0),
        ("ha_dropped_samples_total{cluster=\"c\"}", 5.0),
        ("ha_elections_total{cluster=\"c\"}", 1.0),
        ("ha_elected_replica{cluster=\"c\",replica=\"a\"}", 1.0),
        ("ha_state_calls_total", 2.0),
        ("write_requests_total{code=\"202\"}", 2.0),
        ("dead_letter_samples_total", 0.0),
    ] {
        let name = format!("timestream_connector_{name}");
        assert_eq!(app.metric(&name).await, value, "{name}");
    }
    let elected_at = app
        .metric("timestream_connector_ha_elected_timestamp_seconds{cluster=\"c\"}")
        .await;
    assert!(
        (elected_at - now_ms() as f64 / 1_000.0).abs() < 60.0,
        "{elected_at}"
    );
    let page = app.get("/").await.text();
    assert!(page.contains("Samples of other replicas"), "{page}");
}

#[tokio::test]
async fn each_replica_reads_what_any_of_them_has_sent() {
    let app = TestApp::start_with(&["--ha-tracking=true"]).await;
    assert_eq!(
        app.write(vec![of("c", "a", "up", START_MS)]).await.status,
        204
    );
    let read = |replica| {
        query(&[
            (Type::Eq, "__name__", "up"),
            (Type::Eq, "cluster", "c"),
            (Type::Eq, "__replica__", replica),
        ])
    };
    for series in app.read(vec![read("a"), read("b")]).await {
        assert_eq!(series.len(), 1);
        assert!(series[0].labels.iter().all(|it| it.name != "__replica__"));
    }
    let without = TestApp::start().await;
    assert_eq!(without.read(vec![read("a")]).await, [vec![]]);
}

#[tokio::test]
async fn of_a_mixed_request_the_rest_decides_the_response() {
    let app = TestApp::start_with(&["--ha-tracking=true", "--max-write-retries=0"]).await;
    app.write_ok(vec![
        of("c", "a", "up", START_MS),
        of("d", "b", "up", START_MS),
    ])
    .await;
    let alone = series(
        &[("__name__", "alone"), ("cluster", "c")],
        &[(START_MS, 1.0)],
    );
    let mixed = vec![
        of("c", "b", "up", START_MS + 1),
        of("d", "b", "up", START_MS + 1),
        of("e", "b", "up", START_MS + 1),
        alone,
    ];
    // The dropped series do not hide that the rest has to come again.
    app.emulator
        .order_fault(Fault::next("WriteRecords", 1, FaultKind::Throttle));
    assert_eq!(app.write(mixed.clone()).await.status, 503);
    assert_eq!(app.write(mixed).await.status, 204);
    let expected = [
        ("alone", "c", 0),
        ("up", "c", 0),
        ("up", "d", 0),
        ("up", "d", 1),
        ("up", "e", 1),
    ];
    let expected =
        expected.map(|(name, cluster, time)| (name.to_owned(), cluster.to_owned(), time));
    assert_eq!(stored(&app.emulator), expected);
    // Of a permanent failure, too; what was dropped counts as written.
    let invalid = v2::series(&[("cluster", "c"), ("__replica__", "a")]).sample(START_MS, 1.0);
    let response = app
        .write_v2(&[of_v2("b", "up", START_MS + 2), invalid])
        .await;
    assert_eq!(
        (response.status.as_u16(), response.written()),
        (400, Some([1, 0, 0]))
    );
}

#[tokio::test]
async fn without_the_option_replicas_are_two_senders() {
    let app = TestApp::start().await;
    for replica in ["a", "b"] {
        app.write_ok(vec![of("c", replica, "up", START_MS)]).await;
    }
    let points = app.emulator.points("db", "t");
    let values = points.iter().flat_map(|it| it.dimensions.values());
    let mut replicas: Vec<_> = values.filter(|it| *it != "c").collect();
    replicas.sort_unstable();
    assert_eq!(replicas, ["a", "b"]);
}

/// Sends a sample of a replica; returns the status.
async fn send(connector: &Connector, replica: &str, time: i64) -> u16 {
    let body = write_body(vec![of("c", replica, "up", time)]);
    connector.post("/write", body).await
}

#[tokio::test]
async fn two_processes_on_one_table_elect_one_replica() {
    let dynamo = Dynamo::start().await;
    let emulator = start_emulator(vec![table("db", "t")]).await;
    let store = format!("--state-store=dynamodb:{TABLE}");
    let flags = [
        "--default-database=db",
        "--default-table=t",
        "--ha-tracking=true",
        "--ha-update=1s",
        "--ha-failover=7s",
        &store,
    ];
    let variables = [
        ("AWS_ENDPOINT_URL_DYNAMODB", dynamo.moto.url.as_str()),
        ("AWS_ACCESS_KEY_ID", "local"),
        ("AWS_SECRET_ACCESS_KEY", "local"),
    ];
    let one = Connector::start_with(&emulator, &flags, &variables).await;
    let two = Connector::start_with(&emulator, &flags, &variables).await;
    // Both send for longer than an update, to both processes in turn.
    let mut time = START_MS;
    let mut elected = None;
    let begin = std::time::Instant::now();
    while begin.elapsed() < Duration::from_secs(3) {
        let (of_a, of_b) = if time % 2 == 0 {
            (&one, &two)
        } else {
            (&two, &one)
        };
        let statuses = tokio::join!(send(of_a, "a", time), send(of_b, "b", time));
        let winner = match statuses {
            (204, 202) => "a",
            (202, 204) => "b",
            other => panic!("{other:?}"),
        };
        assert_eq!(*elected.get_or_insert(winner), winner);
        time += 1;
    }
    let elected = elected.unwrap();
    let other = if elected == "a" { "b" } else { "a" };
    let gone = std::time::Instant::now();
    // The elected one is silent: the other one is elected by either process, and both know it.
    while send(&one, other, time).await == 202 {
        assert!(gone.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(
        gone.elapsed() > Duration::from_secs(4),
        "{:?}",
        gone.elapsed()
    );
    assert_eq!(send(&two, elected, time + 1).await, 202);
    assert_eq!(send(&two, other, time + 1).await, 204);
    let mut times: Vec<_> = stored(&emulator).into_iter().map(|it| it.2).collect();
    times.dedup();
    assert_eq!(times, (0..=time + 1 - START_MS).collect::<Vec<_>>());
    let (_, log) = one.terminate().await;
    assert!(log.contains("A replica was elected"), "{log}");
}
