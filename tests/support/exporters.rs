//! Metrics of exporters, as a shard of Prometheus sends them: data sets for speed and for the bill.

use prom_wire::prompb::{Label, Sample, TimeSeries};

/// When the first target is scraped, in milliseconds.
const START_MS: i64 = 1_600_000_000_000;
/// Targets are spread over the interval; this is between two of them.
const BETWEEN_TARGETS_MS: i64 = 137;

/// One round of scrapes.
pub(crate) struct DataSet {
    pub(crate) name: &'static str,
    /// In the order in which they are scraped, a sample each.
    pub(crate) series: Vec<TimeSeries>,
}

/// Returns the sets for the bill.
pub(crate) fn data_sets() -> [DataSet; 3] {
    [node_exporters(20), prometheus_servers(10), pods(300)]
}

/// Returns the series of so many machines.
pub(crate) fn node_exporters(targets: usize) -> DataSet {
    const TEXT: &str = include_str!("../data/exporters/node_exporter.txt");
    DataSet {
        name: "node exporter",
        series: exposed_by(targets, TEXT, "node", 9100),
    }
}

/// Returns the series of so many Prometheus servers, which scrape themselves.
pub(crate) fn prometheus_servers(targets: usize) -> DataSet {
    const TEXT: &str = include_str!("../data/exporters/prometheus.txt");
    DataSet {
        name: "Prometheus",
        series: exposed_by(targets, TEXT, "prometheus", 9090),
    }
}

/// Returns the series of `targets` instances that expose `text`.
fn exposed_by(targets: usize, text: &str, job: &str, port: u16) -> Vec<TimeSeries> {
    let instances = (0..targets).map(|target| format!("10.0.{}.{}:{port}", target / 10, target));
    instances
        .enumerate()
        .flat_map(|(target, instance)| {
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            lines.filter_map(move |line| {
                let (mut labels, value) = read_line(line);
                labels.push(("instance".to_owned(), instance.clone()));
                labels.push(("job".to_owned(), job.to_owned()));
                // Samples that are not stored would count for one side of a comparison only.
                value.is_finite().then(|| sample(labels, target, value))
            })
        })
        .collect()
}

/// Returns the series of so many pods, whose kubelets are the targets: 9 or 11 stored labels, 30
/// series for each pod, which cAdvisor exposes metric by metric.
pub(crate) fn pods(pods: usize) -> DataSet {
    const PODS_PER_NODE: usize = 30;
    const METRICS: usize = 30;
    let nodes = pods.div_ceil(PODS_PER_NODE);
    let of_node = |node: usize| (0..pods).filter(move |pod| pod % nodes == node);
    let series = (0..nodes).flat_map(|node| {
        (0..METRICS).flat_map(move |metric| {
            of_node(node).map(move |pod| {
                let app = format!("app-{}", pod % 17);
                let id = format!(
                    "{:016x}",
                    0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(pod as u64 + 1)
                );
                let mut labels = vec![
                    (
                        "__name__",
                        format!("container_{}_total", METRIC_NAMES[metric % 6]),
                    ),
                    ("cluster", "production-eu-west-1".to_owned()),
                    ("container", app.clone()),
                    ("id", format!("/kubepods/burstable/pod{id}/{id}{id}")),
                    (
                        "image",
                        format!("registry.example/team/{app}:v1.{}.3", pod % 17),
                    ),
                    ("instance", format!("10.1.{node}.1:10250")),
                    ("job", "kubelet".to_owned()),
                    ("namespace", format!("team-{}", pod % 5)),
                    (
                        "node",
                        format!("ip-10-1-{node}-1.eu-west-1.compute.internal"),
                    ),
                    ("pod", format!("{app}-{}-{}", &id[..10], &id[10..15])),
                ];
                match metric / 6 {
                    0 => {}
                    kind => labels.extend([
                        ("device", format!("/dev/nvme{}n1", kind - 1)),
                        (
                            "operation",
                            ["Read", "Write", "Sync", "Async"][kind - 1].to_owned(),
                        ),
                    ]),
                }
                let labels = labels
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value));
                sample(labels.collect(), node, (pod * 1_000 + metric) as f64)
            })
        })
    });
    DataSet {
        name: "pods",
        series: series.collect(),
    }
}

/// Subjects of a container's metrics.
const METRIC_NAMES: [&str; 6] = [
    "cpu_usage_seconds",
    "fs_reads_bytes",
    "fs_writes_bytes",
    "memory_failures",
    "network_receive_bytes",
    "network_transmit_bytes",
];

/// Returns so many series of nine stored labels, in metrics of a thousand series.
pub(crate) fn synthetic(series: usize) -> Vec<TimeSeries> {
    (0..series)
        .map(|i| {
            let labels = [
                (
                    "__name__",
                    format!("http_request_duration_seconds_{}", i / 1_000),
                ),
                ("cluster", "production-eu-west-1".to_owned()),
                ("code", ["200", "404", "500"][i % 3].to_owned()),
                ("handler", format!("/api/v1/resource/{}", i % 40)),
                (
                    "instance",
                    format!("10.0.{}.{}:8080", i / 200 % 250, i / 50_000),
                ),
                ("job", "api-server".to_owned()),
                ("method", ["GET", "POST"][i % 2].to_owned()),
                ("namespace", format!("team-{}", i % 5)),
                ("pod", format!("api-server-6d5f7c9b8-{:05}", i / 200)),
                ("zone", format!("eu-west-1{}", ["a", "b", "c"][i / 200 % 3])),
            ];
            let labels = labels.map(|(name, value)| (name.to_owned(), value));
            sample(labels.into(), i / 200, i as f64 * 1.37)
        })
        .collect()
}

fn sample(mut labels: Vec<(String, String)>, target: usize, value: f64) -> TimeSeries {
    // To Prometheus an empty value is none.
    labels.retain(|(_, value)| !value.is_empty());
    labels.sort();
    let labels = labels.into_iter();
    TimeSeries {
        labels: labels.map(|(name, value)| Label { name, value }).collect(),
        samples: vec![Sample {
            value,
            timestamp: START_MS + target as i64 * BETWEEN_TARGETS_MS,
        }],
        ..TimeSeries::default()
    }
}

/// Labels, with the metric's name, and value of a line such as `up{job="a"} 1`.
fn read_line(line: &str) -> (Vec<(String, String)>, f64) {
    let (series, value) = line.rsplit_once(' ').expect("a line ends with a value");
    let value = value.parse().expect("a value is a number");
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let mut all = vec![("__name__".to_owned(), name.to_owned())];
    let mut rest = labels.strip_suffix('}').expect("labels end with a brace");
    while let Some((name, after)) = rest.split_once("=\"") {
        let end = after.find('"').expect("a label value is quoted");
        assert!(
            !after[..end].contains('\\'),
            "no value has an escape: {line}"
        );
        all.push((name.to_owned(), after[..end].to_owned()));
        rest = after[end + 1..].trim_start_matches(',');
    }
    (all, value)
}
