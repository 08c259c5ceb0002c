//! Metrics of exporters, as a shard of Prometheus sends them: data sets for speed and for the bill.

use prom_wire::prompb::{Label, Sample, TimeSeries};

/// Maximum number of samples in one request of Prometheus, by default.
pub(crate) const SAMPLES_PER_SEND: usize = 2_000;
/// When the first target is scraped, in milliseconds.
const START_MS: i64 = 1_600_000_000_000;
/// Targets are spread over the interval; this is between two of them.
const BETWEEN_TARGETS_MS: i64 = 137;

/// One round of scrapes of any number of targets.
pub(crate) struct DataSet {
    pub(crate) name: &'static str,
    /// The series of a number, with its sample. Numbers are those of Prometheus: in the order in which the
    /// series are scraped.
    series: Box<dyn Fn(usize) -> TimeSeries>,
}

impl DataSet {
    /// Returns the first series in the order in which they are scraped.
    pub(crate) fn first(&self, series: usize) -> Vec<TimeSeries> {
        (0..series).map(&self.series).collect()
    }

    /// Returns the series of so many full requests, one after the other.
    pub(crate) fn requests(&self, order: Order, requests: usize) -> Vec<Vec<TimeSeries>> {
        let numbers: Vec<_> = order.numbers().take(requests * SAMPLES_PER_SEND).collect();
        let requests = numbers.chunks(SAMPLES_PER_SEND);
        let series = |numbers: &[usize]| numbers.iter().copied().map(&self.series).collect();
        requests.map(series).collect()
    }
}

/// The series that one sender of Prometheus has, in their order.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    /// All of them, as they are scraped.
    Scrape,
    /// Those of one shard of so many, after a start or an outage: series number modulo shards.
    Shard(usize),
    /// The same after churn, when the numbers of a target's series no longer follow one another.
    Hash(usize),
}

impl Order {
    pub(crate) const ALL: [Self; 5] = [
        Self::Scrape,
        Self::Shard(3),
        Self::Shard(8),
        Self::Shard(16),
        Self::Hash(8),
    ];

    pub(crate) fn name(self) -> String {
        match self {
            Self::Scrape => "scrape".to_owned(),
            Self::Shard(shards) => format!("shard-{shards}"),
            Self::Hash(shards) => format!("hash-{shards}"),
        }
    }

    /// Returns the numbers of its series, endlessly.
    fn numbers(self) -> Box<dyn Iterator<Item = usize>> {
        match self {
            Self::Scrape => Box::new(0..),
            Self::Shard(shards) => Box::new((0..).step_by(shards)),
            Self::Hash(shards) => {
                Box::new((0..).filter(move |&it| random(it).is_multiple_of(shards)))
            }
        }
    }
}

/// Returns the number that a series of this number may have after churn, always the same (SplitMix64).
fn random(number: usize) -> usize {
    let mut bits = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (bits ^ bits >> 31) as usize
}

/// Returns the sets for the bill.
pub(crate) fn data_sets() -> [DataSet; 5] {
    [
        node_exporters(),
        prometheus_servers(),
        pods(),
        full_nodes(),
        long_pods(),
    ]
}

/// Machines with a node exporter each.
pub(crate) fn node_exporters() -> DataSet {
    const TEXT: &str = include_str!("../data/exporters/node_exporter.txt");
    exposed("node", TEXT, 9100)
}

/// Prometheus servers, which scrape themselves.
pub(crate) fn prometheus_servers() -> DataSet {
    const TEXT: &str = include_str!("../data/exporters/prometheus.txt");
    exposed("prometheus", TEXT, 9090)
}

/// Instances of the job `name` that expose `text`.
fn exposed(name: &'static str, text: &str, port: u16) -> DataSet {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let lines = lines.map(read_line);
    // Samples that are not stored would count for one side of a comparison only.
    let lines: Vec<_> = lines.filter(|(_, value)| value.is_finite()).collect();
    let series = move |number: usize| {
        let target = number / lines.len();
        let (mut labels, value) = lines[number % lines.len()].clone();
        let instance = format!("10.0.{}.{target}:{port}", target / 10);
        labels.push(("instance".to_owned(), instance));
        labels.push(("job".to_owned(), name.to_owned()));
        sample(labels, target, value)
    };
    DataSet {
        name,
        series: Box::new(series),
    }
}

/// Pods: 9 or 11 stored labels, 30 series for each pod, 30 pods a node.
pub(crate) fn pods() -> DataSet {
    kubelets("pods", 30, 30, short_labels)
}

/// Pods of the same labels, 120 a node: a request has most of the 20 metrics of each.
pub(crate) fn full_nodes() -> DataSet {
    kubelets("full-nodes", 120, PLAIN_METRICS.len(), plain_labels)
}

/// Pods of ten long labels, with the paths and hashes of a real container runtime: about 480 stored bytes a
/// sample, 20 metrics of two devices for each pod, 25 pods a node.
pub(crate) fn long_pods() -> DataSet {
    kubelets("long-pods", 25, 2 * DEVICE_METRICS.len(), long_labels)
}

type Labels = Vec<(&'static str, String)>;

/// Kubelets, which expose their pods metric by metric. `labels` are those of a pod and a metric that not every
/// set has.
fn kubelets(
    name: &'static str,
    pods_per_node: usize,
    metrics: usize,
    labels: fn(usize, usize) -> Labels,
) -> DataSet {
    /// Nodes of a cluster.
    const NODES: usize = 12;
    let series_per_node = metrics * pods_per_node;
    let series = move |number: usize| {
        let (node, on_node) = (number / series_per_node, number % series_per_node);
        let (metric, pod) = (on_node / pods_per_node, on_node % pods_per_node);
        // Pods of an application are on different nodes.
        let pod = (node / NODES * pods_per_node + pod) * NODES + node % NODES;
        let (app, id) = (app(pod), id(pod));
        let mut labels = labels(pod, metric);
        labels.extend([
            ("cluster", "production-eu-west-1".to_owned()),
            ("instance", format!("10.1.{node}.1:10250")),
            ("job", "kubelet".to_owned()),
            ("namespace", format!("team-{}", pod % 5)),
            (
                "node",
                format!("ip-10-1-{node}-1.eu-west-1.compute.internal"),
            ),
            ("pod", format!("{app}-{}-{}", &id[..10], &id[10..15])),
            (
                "image",
                format!("registry.example/team/{app}:v1.{}.3", pod % APPS),
            ),
            ("container", app),
        ]);
        let labels = labels
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        sample(labels.collect(), node, (pod * 1_000 + metric) as f64)
    };
    DataSet {
        name,
        series: Box::new(series),
    }
}

/// Applications of a cluster.
const APPS: usize = 17;

fn app(pod: usize) -> String {
    format!("app-{}", pod % APPS)
}

/// Returns 16 hexadecimal digits.
fn id(pod: usize) -> String {
    let id = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(pod as u64 + 1);
    format!("{id:016x}")
}

fn path(id: &str) -> String {
    format!("/kubepods/burstable/pod{id}/{id}{id}")
}

fn short_labels(pod: usize, metric: usize) -> Labels {
    let subject = SHORT_METRICS[metric % SHORT_METRICS.len()];
    let mut labels = vec![
        ("__name__", format!("container_{subject}_total")),
        ("id", path(&id(pod))),
    ];
    match metric / SHORT_METRICS.len() {
        0 => {}
        kind => labels.extend([
            ("device", format!("/dev/nvme{}n1", kind - 1)),
            (
                "operation",
                ["Read", "Write", "Sync", "Async"][kind - 1].to_owned(),
            ),
        ]),
    }
    labels
}

fn plain_labels(pod: usize, metric: usize) -> Labels {
    vec![
        ("__name__", format!("container_{}", PLAIN_METRICS[metric])),
        ("id", path(&id(pod))),
    ]
}

fn long_labels(pod: usize, metric: usize) -> Labels {
    let id = id(pod);
    let name = id.repeat(4);
    let (a, b, c) = (&id[..8], &id[8..12], &id[12..]);
    let unit = format!("kubepods-pod{a}_{b}_{c}_{b}_{a}{c}.slice/cri-containerd-{name}.scope");
    vec![
        (
            "__name__",
            format!("container_fs_{}", DEVICE_METRICS[metric / 2]),
        ),
        ("device", format!("/dev/nvme{}n1", metric % 2)),
        ("id", format!("/kubepods.slice/{unit}")),
        ("name", name),
    ]
}

/// Subjects of a container's metrics.
const SHORT_METRICS: [&str; 6] = [
    "cpu_usage_seconds",
    "fs_reads_bytes",
    "fs_writes_bytes",
    "memory_failures",
    "network_receive_bytes",
    "network_transmit_bytes",
];

/// Metrics of a container without labels of their own.
const PLAIN_METRICS: [&str; 20] = [
    "cpu_cfs_periods_total",
    "cpu_cfs_throttled_periods_total",
    "cpu_cfs_throttled_seconds_total",
    "cpu_usage_seconds_total",
    "file_descriptors",
    "last_seen",
    "memory_cache",
    "memory_failcnt",
    "memory_mapped_file",
    "memory_max_usage_bytes",
    "memory_rss",
    "memory_swap",
    "memory_usage_bytes",
    "memory_working_set_bytes",
    "processes",
    "sockets",
    "spec_memory_limit_bytes",
    "start_time_seconds",
    "threads",
    "ulimits_soft",
];

/// Metrics of the file systems of a container.
const DEVICE_METRICS: [&str; 20] = [
    "discards_bytes_total",
    "discards_total",
    "inodes_free",
    "inodes_total",
    "io_current",
    "io_time_seconds_total",
    "io_time_weighted_seconds_total",
    "limit_bytes",
    "read_seconds_total",
    "reads_bytes_total",
    "reads_merged_total",
    "reads_total",
    "sector_reads_total",
    "sector_writes_total",
    "usage_bytes",
    "write_seconds_total",
    "writes_bytes_total",
    "writes_merged_total",
    "writes_requests_total",
    "writes_total",
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
