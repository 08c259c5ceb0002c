//! The chart of `deploy/helm`, the manifests of `deploy/kubernetes` and the file of `docs/compose`.
//!
//! Helm renders the chart. `deployments/main.go` decodes the result with Kubernetes' own types, to which unknown and
//! duplicate fields are errors, and checks it as the API server and its admission controller for restricted pods would.
//! The variables and definitions of the result are then a configuration of the real program.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use tempfile::TempDir;
use timestream_prometheus_connector::config::{self, Config, Invocation};
use tokio::process::Command;

use crate::systemd::longest_stop;
use crate::tools::{go_tool, prometheus};

const CHART: &str = "deploy/helm/timestream-prometheus-connector";
const EXAMPLES: [&str; 5] = [
    "everything",
    "jobs",
    "manifests",
    "replicated-senders",
    "tls",
];
/// The oldest version that the chart accepts.
const KUBERNETES: &str = "1.30.0";
/// The name of the release.
const RELEASE: &str = "metrics";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn example(name: &str) -> PathBuf {
    root().join(format!("deploy/helm/examples/{name}.yaml"))
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// Runs helm without any file or variable of the user.
async fn helm(arguments: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(go_tool("helm").await);
    command
        .current_dir(root())
        .env_clear()
        .env("HOME", home.path())
        .args(arguments);
    command.output().await.unwrap()
}

/// Returns what the chart makes of values, as a file.
async fn rendered(values: &[&str]) -> (TempDir, PathBuf) {
    let mut arguments = vec!["template", RELEASE, CHART, "--kube-version", KUBERNETES];
    arguments.extend(values);
    let output = helm(&arguments).await;
    let errors = text(output.stderr);
    assert!(output.status.success(), "{values:?}: {errors}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("manifests.yaml");
    std::fs::write(&path, output.stdout).unwrap();
    (folder, path)
}

/// Returns the lines of the judge, or its errors.
async fn judged(command: &str, path: &Path) -> Result<Vec<String>, String> {
    let mut judge = Command::new(go_tool("deployment-judge").await);
    let output = judge.arg(command).arg(path).output().await.unwrap();
    match output.status.success() {
        true => Ok(text(output.stdout).lines().map(str::to_owned).collect()),
        false => Err(text(output.stderr)),
    }
}

async fn accepted(command: &str, path: &Path) -> Vec<String> {
    let lines = judged(command, path).await;
    lines.unwrap_or_else(|errors| panic!("{}:\n{errors}", path.display()))
}

/// Returns what follows a word at the start of lines.
fn of<'l>(lines: &'l [String], word: &str) -> BTreeSet<&'l str> {
    let lines = lines.iter().filter_map(|line| line.strip_prefix(word));
    lines.map(str::trim_start).collect()
}

/// Returns the configuration that the program has in a rendered pod, whose files are in `folder`.
fn configuration(lines: &[String], folder: &Path) -> Config {
    let here = |path: &str| folder.join(path).display().to_string();
    let data = of(lines, "data connectors.json=");
    // A ConfigMap of the user's own.
    let definitions = data.first().map_or_else(
        || include_str!("../../docs/compose/connectors.json").to_owned(),
        |json| serde_json::from_str(json).unwrap(),
    );
    std::fs::write(here("connectors.json"), definitions).unwrap();
    let users = "basic_auth_users:\n  prometheus: $2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG\n";
    std::fs::write(here("web.yml"), users).unwrap();
    let places = [
        ("/etc/connector/jobs/", here("")),
        ("/etc/connector/web/", here("")),
        ("/etc/connector/secrets", here("secrets")),
        ("/data", here("data")),
    ];
    std::fs::create_dir_all(here("secrets")).unwrap();
    let variables: BTreeMap<&str, String> = of(lines, "variable ")
        .into_iter()
        .map(|line| {
            let (name, value) = line.split_once('=').unwrap();
            let value = places.iter().fold(value.to_owned(), |value, (from, to)| {
                value.replace(from, to)
            });
            (name, value)
        })
        .collect();
    let arguments = of(lines, "argument ");
    let arguments = std::iter::once("bootstrap").chain(arguments);
    match config::read(arguments, |name| variables.get(name).cloned()) {
        Ok(Invocation::Serve(config)) => *config,
        other => panic!("{variables:?}: {other:?}"),
    }
}

#[tokio::test]
async fn every_example_makes_manifests_for_kubernetes_and_the_program() {
    let always = ["Deployment", "Service"];
    let sets: [(&str, &[&str], &[&str]); 5] = [
        (
            "everything",
            &[
                "HorizontalPodAutoscaler",
                "Ingress",
                "NetworkPolicy",
                "PodDisruptionBudget",
                "ServiceMonitor",
            ],
            &[
                "ConfigMap connector-extra",
                "ConfigMap connector-jobs",
                "PersistentVolumeClaim connector-data",
                "Secret connector",
                "Secret connector-read",
                "Secret connector-targets",
                "Secret connector-web",
                "ServiceAccount metrics",
            ],
        ),
        (
            "jobs",
            &[
                "ConfigMap",
                "NetworkPolicy",
                "PersistentVolumeClaim",
                "ServiceAccount",
            ],
            &["Secret connector", "Secret targets"],
        ),
        (
            "manifests",
            &[
                "NetworkPolicy",
                "PodDisruptionBudget",
                "ServiceAccount",
                "ServiceMonitor",
            ],
            &["Secret timestream-prometheus-connector"],
        ),
        (
            "replicated-senders",
            &[
                "HorizontalPodAutoscaler",
                "PodDisruptionBudget",
                "ServiceAccount",
            ],
            &["Secret connector"],
        ),
        (
            "tls",
            &[
                "Ingress",
                "PodDisruptionBudget",
                "ServiceAccount",
                "ServiceMonitor",
            ],
            &["Secret connector-web"],
        ),
    ];
    assert_eq!(sets.map(|(name, ..)| name), EXAMPLES);
    for (name, kinds, references) in sets {
        let values = example(name);
        let values = ["--values", values.to_str().unwrap()];
        let mut lint = vec!["lint", "--strict", CHART, "--kube-version", KUBERNETES];
        lint.extend(values);
        let output = helm(&lint).await;
        assert!(output.status.success(), "{name}: {}", text(output.stdout));

        let (folder, manifests) = rendered(&values).await;
        let lines = accepted("manifests", &manifests).await;
        let objects = of(&lines, "object ");
        let made: BTreeSet<&str> = objects
            .iter()
            .map(|it| it.split(' ').next().unwrap())
            .collect();
        assert_eq!(
            made,
            kinds.iter().copied().chain(always).collect(),
            "{name}"
        );
        assert_eq!(
            of(&lines, "reference "),
            references.iter().copied().collect(),
            "{name}"
        );
        assert!(
            of(&lines, "probe readiness ")
                .iter()
                .all(|it| it.ends_with(" /-/ready"))
        );
        let config = configuration(&lines, folder.path());
        assert_eq!(
            config.connectors.is_empty(),
            !["jobs", "everything"].contains(&name)
        );
        let seconds = of(&lines, "seconds-to-stop ");
        let seconds: u64 = seconds.first().unwrap().parse().unwrap();
        assert!(
            Duration::from_secs(seconds) > longest_stop(&config),
            "{name}: {seconds}"
        );
    }
}

#[tokio::test]
async fn all_values_of_everything_arrive() {
    let values = example("everything");
    let (_folder, manifests) = rendered(&["--values", values.to_str().unwrap()]).await;
    let made = std::fs::read_to_string(manifests).unwrap();
    for expected in [
        "team: observability",
        "registry.example/observability/timestream-prometheus-connector@sha256:9f86",
        "imagePullPolicy: Always",
        "imagePullSecrets:",
        "containerPort: 9301",
        "port: 443",
        "type: LoadBalancer",
        "aws-load-balancer-scheme: internal",
        "ingressClassName: alb",
        "host: \"store.example\"",
        "path: /telemetry",
        "interval: 30s",
        "scrapeTimeout: 10s",
        "key: read_bearer_token",
        "insecureSkipVerify: true",
        "action: labeldrop",
        "regex: process_.+",
        "app.kubernetes.io/name: prometheus",
        "namespaceSelector: {}",
        "maxUnavailable: 50%",
        "minReplicas: 3",
        "maxReplicas: 20",
        "averageUtilization: 60",
        "averageUtilization: 80",
        "stabilizationWindowSeconds: 600",
        "memory: 2Gi",
        "example.com/owner: observability",
        "example.com/rollout: \"2\"",
        "tier: storage",
        "priorityClassName: high",
        "revisionHistoryLimit: 1",
        "runAsUser: 10001",
        "runAsGroup: 10001",
        "- /usr/local/bin/bootstrap",
        "scheme: HTTPS",
        "seconds: 10",
        "terminationGracePeriodSeconds: 180",
        "kubernetes.io/arch: arm64",
        "operator: Exists",
        "podAntiAffinity:",
        "whenUnsatisfiable: DoNotSchedule",
        "mountPath: /tmp",
    ] {
        assert!(made.contains(expected), "no {expected} in\n{made}");
    }
    assert!(!made.contains("name: log_level"), "null removes an option");
    assert!(
        !made.contains("  replicas:"),
        "the autoscaler sets the number"
    );
}

#[tokio::test]
async fn values_without_a_working_connector_are_rejected() {
    for (settings, reason) in [
        (vec![], "clients need a credential"),
        (
            vec!["extraEnv[0].name=RUST_BACKTRACE"],
            "clients need a credential",
        ),
        (
            vec!["existingSecret=a", "image.tag=latest"],
            "image.tag must be a version",
        ),
        (
            vec!["existingSecret=a", "persistence.enabled=true"],
            "several pods cannot share the volume",
        ),
        (
            vec!["existingSecret=a", "jobs.existingConfigMap=b"],
            "every pod would run every job",
        ),
        (
            vec!["existingSecret=a", "config.ha_tracking=true"],
            "every pod would elect replicas of its own",
        ),
        (
            vec!["existingSecret=a", "config.default_tables=b"],
            "default_tables",
        ),
        (vec!["config.bearer_token=secret"], "bearer_token"),
        (vec!["existingSecret=a", "replica=3"], "replica"),
        (vec!["existingSecret=a", "webConfig.scheme=ftp"], "scheme"),
        (
            vec!["existingSecret=a", "config.max_retries=1.5"],
            "max_retries",
        ),
    ] {
        let mut arguments = vec!["template", RELEASE, CHART, "--kube-version", KUBERNETES];
        let flags = settings.iter().flat_map(|setting| {
            let is_fraction = setting.ends_with(".5");
            [if is_fraction { "--set-json" } else { "--set" }, *setting]
        });
        arguments.extend(flags);
        let output = helm(&arguments).await;
        let errors = text(output.stderr);
        assert!(!output.status.success(), "{settings:?}");
        assert!(errors.contains(reason), "{settings:?}: {errors}");
    }
    let old = [
        "template",
        RELEASE,
        CHART,
        "--kube-version",
        "1.29.9",
        "--set",
        "existingSecret=a",
    ];
    let output = helm(&old).await;
    assert!(text(output.stderr).contains("requires kubeVersion"));
}

#[tokio::test]
async fn one_pod_may_have_what_several_may_not() {
    for settings in [
        "replicas=1,existingSecret=a,persistence.enabled=true",
        "replicas=1,existingSecret=a,config.ha_tracking=true",
        "existingSecret=a,jobs.existingConfigMap=b,config.state_store=dynamodb:jobs",
        "allowUnauthenticated=true",
        "extraEnv[0].name=write_bearer_token",
    ] {
        let (_folder, manifests) = rendered(&["--set", settings]).await;
        accepted("manifests", &manifests).await;
    }
}

/// helm prints notes only with a cluster, so a copy of the chart has them in an object.
#[tokio::test]
async fn prometheus_accepts_the_section_of_the_notes() {
    let folder = tempfile::tempdir().unwrap();
    let chart = folder.path().join("chart");
    let mut copy = Command::new("cp");
    let copied = copy.arg("-r").arg(root().join(CHART)).arg(&chart).status();
    assert!(copied.await.unwrap().success());
    let notes = std::fs::read_to_string(chart.join("templates/NOTES.txt")).unwrap();
    let object = format!(
        "{{{{- define \"notes\" }}}}\n{notes}{{{{ end }}}}apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: notes\n  namespace: {{{{ .Release.Namespace }}}}\n\
         data:\n  notes: |\n    {{{{- include \"notes\" . | nindent 4 }}}}\n"
    );
    std::fs::write(chart.join("templates/notes.yaml"), object).unwrap();
    let chart = chart.to_str().unwrap();
    let values = ["--set", "allowUnauthenticated=true,webConfig.scheme=HTTPS"];
    let arguments = [
        "template",
        RELEASE,
        chart,
        "--kube-version",
        KUBERNETES,
        "--namespace",
        "shop",
    ];
    let output = helm(&[&arguments[..], &values].concat()).await;
    assert!(output.status.success(), "{}", text(output.stderr));
    let manifests = folder.path().join("manifests.yaml");
    std::fs::write(&manifests, output.stdout).unwrap();
    let lines = accepted("manifests", &manifests).await;
    let notes: String = serde_json::from_str(of(&lines, "data notes=").first().unwrap()).unwrap();
    assert!(notes.contains("WARNING"), "{notes}");
    let url = "https://metrics-timestream-prometheus-connector.shop.svc:9201/write";
    assert!(notes.contains(url), "{notes}");
    let (_, section) = notes.split_once("\n\n").unwrap();
    let (section, _) = section.split_once("\n\nThe pods").unwrap();
    let token = folder.path().join("connector.token");
    std::fs::write(&token, "token").unwrap();
    let section = section.replace("/etc/prometheus/connector.token", token.to_str().unwrap());
    let file = folder.path().join("prometheus.yml");
    std::fs::write(&file, section).unwrap();
    let mut promtool = Command::new(prometheus("promtool").await);
    let output = promtool.args(["check", "config"]).arg(&file).output();
    let output = output.await.unwrap();
    assert!(output.status.success(), "{}", text(output.stderr));
}

#[tokio::test]
async fn the_manifests_are_made_of_the_chart() {
    let folder = tempfile::tempdir().unwrap();
    let mut script = Command::new(root().join("scripts/manifests.sh"));
    let status = script.arg(folder.path()).status().await.unwrap();
    assert!(status.success());
    let files = |folder: &Path| -> BTreeMap<String, String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let entries = entries.map(|it| it.unwrap().path());
        let files = entries.map(|it| {
            let name = it.file_name().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(it).unwrap())
        });
        files.collect()
    };
    let mut stored = files(&root().join("deploy/kubernetes"));
    let kustomization = stored.remove("kustomization.yaml").unwrap();
    assert_eq!(stored, files(folder.path()), "run make manifests");

    let lines = accepted("kustomize", &root().join("deploy/kubernetes")).await;
    assert_eq!(of(&lines, "object ").len(), stored.len(), "{kustomization}");
    let image = of(&lines, "image ");
    let image = image.first().unwrap();
    assert!(image.starts_with("registry.example/"), "{image}");
}

#[tokio::test]
async fn the_judge_finds_errors_of_manifests() {
    let values = example("everything");
    let (_folder, good) = rendered(&["--values", values.to_str().unwrap()]).await;
    let good_text = std::fs::read_to_string(&good).unwrap();
    for (from, to, reason) in [
        ("revisionHistoryLimit:", "revisionHistory:", "unknown field"),
        (
            "terminationGracePeriodSeconds: 180",
            "terminationGracePeriodSeconds: soon",
            "cannot unmarshal",
        ),
        (
            "  minReplicas: 3",
            "  minReplicas: 3\n  minReplicas: 4",
            "already set",
        ),
        (
            "targetPort: http",
            "targetPort: https",
            "no container has the port",
        ),
        (
            "              port: http\n",
            "              port: web\n",
            "no container has the port",
        ),
        (
            "    - port: http\n      path:",
            "    - port: web\n      path:",
            "has the port",
        ),
        (
            "readOnlyRootFilesystem: true",
            "privileged: true",
            "privileged",
        ),
        (
            "drop:\n              - ALL",
            "add:\n              - SYS_TIME",
            "capabilities",
        ),
        ("runAsNonRoot: true", "runAsNonRoot: false", "runAsNonRoot"),
        ("mountPath: /tmp", "mountPath: /data", "two volumes at"),
        ("name: scratch\n", "name: other\n", "no volume"),
        ("memory: 1Gi", "memory: 4Gi", "requested"),
        ("name: metrics-store\n", "name: Metrics_Store\n", "name: "),
        ("tier: storage", "tier: 'not a label!'", "labels"),
        (
            "cidr: 169.254.170.23/32",
            "cidr: 169.254.170.23/24",
            "no network",
        ),
        ("- name: region", "- name: log_format", "two variables"),
        (
            "    kind: Deployment\n    name: metrics-store",
            "    kind: Deployment\n    name: other",
            "no Deployment other",
        ),
    ] {
        assert!(good_text.contains(from), "{from}");
        let bad = good.with_file_name("bad.yaml");
        std::fs::write(&bad, good_text.replacen(from, to, 1)).unwrap();
        let errors = judged("manifests", &bad).await;
        let errors = errors.expect_err(&format!("{from} -> {to}"));
        assert!(errors.contains(reason), "{from} -> {to}: {errors}");
    }
}

#[tokio::test]
async fn compose_accepts_its_file() {
    let path = root().join("docs/compose/compose.yml");
    let lines = accepted("compose", &path).await;
    assert_eq!(of(&lines, "object service ").len(), 4);
    let good = std::fs::read_to_string(&path).unwrap();
    for (from, to, reason) in [
        (
            "depends_on: [emulator, exporter]",
            "depends: [emulator]",
            "services.connector.depends",
        ),
        (
            "depends_on: [connector]",
            "depends_on: [connectors]",
            "connectors",
        ),
        ("- connectors:/data", "- connector:/data", "connector"),
        ("prom/prometheus:v3.5.0", "prom/prometheus", "no version"),
        ("./connectors.json:/etc", "./connector.json:/etc", "no file"),
    ] {
        assert!(good.contains(from), "{from}");
        // Its paths begin at its folder.
        let bad = tempfile::Builder::new()
            .suffix(".yml")
            .tempfile_in(path.parent().unwrap());
        let bad = bad.unwrap();
        std::fs::write(bad.path(), good.replacen(from, to, 1)).unwrap();
        let errors = judged("compose", bad.path()).await;
        let errors = errors.expect_err(&format!("{from} -> {to}"));
        assert!(errors.contains(reason), "{from} -> {to}: {errors}");
    }
}
