//! The documented configuration for several destinations, with a real Prometheus.

use std::time::{Duration, Instant};

use crate::prometheus::{Prometheus, program};
use crate::standalone::Connector;
use crate::support::{start_emulator, table};

/// Each destination with the prefix of its metric names.
const DESTINATIONS: [(&str, &str, &str); 3] = [
    ("golang", "golang", "go_"),
    ("prometheus", "prometheus", "prometheus_"),
    ("prometheus", "promhttp", "promhttp_"),
];

#[tokio::test]
async fn each_metric_goes_where_the_documented_rules_send_it() {
    let program = program("prometheus").await;
    let mut tables: Vec<_> = DESTINATIONS
        .iter()
        .map(|(database, name, _)| table(database, name))
        .collect();
    tables.push(table("exampleDatabase", "exampleTable"));
    let emulator = start_emulator(tables).await;
    let labels = [
        "--database-label=PrometheusDatabaseLabel",
        "--table-label=PrometheusTableLabel",
    ];
    let connector = Connector::start_bare(&emulator, &labels).await;
    let prometheus = Prometheus::start_with(
        &program,
        &[],
        |port| {
            include_str!("../../docs/prometheus/multi-destination.yml")
                .replace("http://localhost:9201", &connector.url)
                .replace("localhost:9090", &format!("127.0.0.1:{port}"))
                .replace("15s", "1s")
                .replace(
                    "retry_on_http_429: true",
                    "retry_on_http_429: true\n      batch_send_deadline: 200ms",
                )
        },
        async |_| {},
    )
    .await;

    let names = |database: &str, table: &str| -> Vec<String> {
        let points = emulator.points(database, table);
        points.into_iter().map(|point| point.measure_name).collect()
    };
    let arrived = || {
        let mut all = DESTINATIONS.iter();
        all.all(|(database, table, _)| !names(database, table).is_empty())
            && names("exampleDatabase", "exampleTable").contains(&"up".to_owned())
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    while !arrived() {
        assert!(Instant::now() < deadline, "some destination gets nothing");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for (database, table, prefix) in DESTINATIONS {
        for name in names(database, table) {
            assert!(name.starts_with(prefix), "{name} is in {database}/{table}");
        }
    }
    for name in names("exampleDatabase", "exampleTable") {
        let elsewhere = DESTINATIONS
            .iter()
            .any(|(_, _, prefix)| name.starts_with(prefix));
        assert!(!elsewhere, "{name} is in exampleDatabase/exampleTable");
    }
    // Destination labels are not stored, and a query that has them is served.
    for point in emulator.points("golang", "golang") {
        assert!(
            !point
                .dimensions
                .keys()
                .any(|name| name.starts_with("Prometheus")),
            "{point:?}"
        );
    }
    let query =
        "count(go_goroutines{PrometheusDatabaseLabel=\"golang\",PrometheusTableLabel=\"golang\"})";
    let series = Prometheus::read_only(&program, &connector.url).await;
    let response = series.api("query", &[("query", query)]).await;
    assert_eq!(response["data"]["result"][0]["value"][1], "1", "{response}");
    drop(prometheus);
}
