//! The list of options, and the command line made from it.

use std::fmt;
use std::time::Duration;

use clap::builder::EnumValueParser;
use clap::{Arg, ArgAction, Command, ValueHint};
use clap_complete::Shell;

use super::estimate_options;
use super::value::Value;

/// One option.
#[derive(Debug)]
pub struct OptionSpec {
    /// The subject, under which `--help` lists it.
    pub subject: &'static str,
    /// The flag, without its dashes.
    pub flag: &'static str,
    /// The environment variable; its case matters.
    pub variable: &'static str,
    /// The default as a user would write it, empty if there is none.
    pub default: &'static str,
    /// The meaning of the option, in one line.
    pub help: &'static str,
}

impl OptionSpec {
    /// Returns the option whose variable has this name.
    pub(super) fn of(variable: &str) -> &'static Self {
        let option = OPTIONS.iter().find(|option| option.variable == variable);
        option.expect("every variable that is read is in the list")
    }
}

impl fmt::Display for OptionSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--{} ({})", self.flag, self.variable)
    }
}

macro_rules! options {
    ($([$subject:literal] $($flag:literal $variable:literal $default:literal $help:literal)*)*) => {
        &[$($(OptionSpec {
            subject: $subject,
            flag: $flag,
            variable: $variable,
            default: $default,
            help: $help,
        }),*),*]
    };
}

/// Every option, by subject and in the order of `--help`.
pub const OPTIONS: &[OptionSpec] = options! {
    ["Destination"]
    "database-label" "database_label" "" "Label whose value is the database; required unless a default database is set"
    "table-label" "table_label" "" "Label whose value is the table; required unless a default table is set"
    "default-database" "default_database" "" "Database of series and queries without the database label"
    "default-table" "default_table" "" "Table of series and queries without the table label"
    "metadata-table" "metadata_table" "metrics" "Table of each database for metric types, help texts and units, or off; off by default if default_table is metrics"
    ["HTTP"]
    "web.listen-address" "web_listen_address" ":9201" "Address to listen on, :port or host:port; ignored in Lambda, like all web.* options but web.cors.origin"
    "web.telemetry-path" "web_telemetry_path" "/metrics" "Path of the connector's own metrics"
    "web.config.file" "web_config_file" "" "File with TLS settings, users and headers, in the format of Prometheus' exporter toolkit"
    "web.cors.origin" "web_cors_origin" "" "Regular expression for whole origins whose pages may use the query API, such as https://.*\\.example\\.com; none may if unset"
    ["Authentication"]
    "bearer-token" "bearer_token" "" "Bearer token that opens every route, alone or beside users; not /v1/connectors if admin_bearer_token is set"
    "read-bearer-token" "read_bearer_token" "" "Bearer token that opens the routes that read, such as /api/v1/query, /read and the metrics: the token for Grafana"
    "write-bearer-token" "write_bearer_token" "" "Bearer token that opens the routes that write, such as /write"
    "admin-bearer-token" "admin_bearer_token" "" "Bearer token that alone opens /v1/connectors, which bearer_token and users open otherwise"
    "basic-auth-users" "basic_auth_users" "" "Basic-auth users, as comma-separated user:bcrypt-hash pairs"
    ["AWS"]
    "region" "region" "that of the SDK, else us-east-1" "AWS region to call and sign for; if unset AWS_REGION, else AWS_DEFAULT_REGION, else the region of the profile"
    "endpoint-discovery" "endpoint_discovery" "auto" "Discovery of the account's Timestream endpoint: auto (on unless a custom endpoint is set), on or off"
    "write-base-endpoint" "write_base_endpoint" "" "URL of a custom or PrivateLink endpoint for writes"
    "query-base-endpoint" "query_base_endpoint" "" "URL of a custom or PrivateLink endpoint for queries"
    ["Writes"]
    "request-timeout" "request_timeout" "25s" "Deadline of a write request; in Lambda at most half a second before the deadline of the invocation"
    "max-write-retries" "max_write_retries" "10" "Maximum retries of a failed write, within the request timeout"
    "write-concurrency" "write_concurrency" "128" "WriteRecords calls in flight per process"
    "on-duplicate" "on_duplicate" "reject" "Handling of a second, different value for the same time: reject (Timestream keeps the first) or overwrite (the later one wins)"
    "store-special-values" "store_special_values" "false" "Store values that Timestream does not accept: NaN, infinities, stale markers and -0"
    "throttled-write-status" "throttled_write_status" "503" "Status returned for a throttled write: 503 or 429 (Prometheus drops data on 429 unless retry_on_http_429 is set)"
    "permanent-error-status" "permanent_error_status" "auto" "Status returned for a write that Timestream rejects permanently: aws (also 402, 403, 404, 409 and 419), 400, or auto (aws for senders whose User-Agent begins with Prometheus/, 400 for all others)"
    "dead-letter" "dead_letter" "" "Dead-letter target for samples that can never be stored: file:DIR or sqs:QUEUE_URL (a standard queue); if unset they are logged, up to 100 lines per request"
    ["Reads and queries"]
    "read-timeout" "read_timeout" "60s" "Deadline of a read request; in Lambda it defaults to request_timeout, with the same upper bound"
    "query-timeout" "query_timeout" "2m" "Deadline of a request to the query API; in Lambda it defaults to read_timeout, with the same upper bound"
    "max-retries" "max_retries" "3" "Maximum retries of a failed read"
    "query-max-samples" "query_max_samples" "50000000" "Maximum samples that one PromQL query may hold at the same time, as in Prometheus; beyond it the response is 422. They take up to 32 bytes each of max_in_flight_bytes, which usually is the lower limit"
    "query-lookback-delta" "query_lookback_delta" "5m" "Age at which a sample stops being the current one in PromQL"
    "query-default-subquery-step" "query_default_subquery_step" "1m" "Step of PromQL subqueries that have none; what evaluation_interval is in Prometheus"
    "enable-feature" "enable_feature" "" "Comma-separated PromQL features of Prometheus: promql-experimental-functions, promql-extended-range-selectors, promql-binop-fill-modifiers, promql-delayed-name-removal, promql-per-step-stats, type-and-unit-labels"
    "query-cache-bytes" "query_cache_bytes" "64MiB" "Maximum memory of the cache of samples of the query API, 0 switches it off; in Lambda it defaults to a sixteenth of the function's memory"
    "query-cache-settle" "query_cache_settle" "15m" "Age from which samples are cached; those that arrive later are read after query_cache_ttl"
    "query-cache-ttl" "query_cache_ttl" "1h" "Time after which cached samples are fetched again"
    "query-log-slow" "query_log_slow" "10s" "Log queries that take as long, at info, with expression, time, samples and bytes"
    ["Limits"]
    "max-request-bytes" "max_request_bytes" "32MiB" "Maximum request body size, before and after decompression"
    "max-in-flight-bytes" "max_in_flight_bytes" "128MiB" "Maximum memory of all in-flight requests and events, including their bodies and decoded data, at least twice max_request_bytes; beyond it the response is 503 with Retry-After"
    "max-read-samples" "max_read_samples" "50000000" "Maximum samples in the result of a read; beyond it the response is 400 and the query is cancelled"
    "max-read-bytes" "max_read_bytes" "256MiB" "Maximum memory for the result of a read, with samples in encoded form; in Lambda it defaults to a quarter of the function's memory"
    ["OTLP"]
    "otlp.translation-strategy" "otlp_translation_strategy" "UnderscoreEscapingWithSuffixes" "Names of OTLP metrics and labels: UnderscoreEscapingWithSuffixes, UnderscoreEscapingWithoutSuffixes, NoUTF8EscapingWithSuffixes or NoTranslation. This and the following are the settings of otlp in Prometheus' configuration"
    "otlp.promote-resource-attributes" "otlp_promote_resource_attributes" "" "Comma-separated resource attributes of OTLP that become labels of all series of the resource"
    "otlp.promote-all-resource-attributes" "otlp_promote_all_resource_attributes" "false" "All resource attributes of OTLP become labels, except those of otlp_ignore_resource_attributes"
    "otlp.ignore-resource-attributes" "otlp_ignore_resource_attributes" "" "Comma-separated resource attributes of OTLP that otlp_promote_all_resource_attributes excludes"
    "otlp.keep-identifying-resource-attributes" "otlp_keep_identifying_resource_attributes" "false" "target_info also has service.name, service.namespace and service.instance.id as labels"
    "otlp.convert-histograms-to-nhcb" "otlp_convert_histograms_to_nhcb" "false" "Histograms of OTLP become native histograms with custom buckets, one sample each"
    "otlp.promote-scope-metadata" "otlp_promote_scope_metadata" "false" "Name, version, schema URL and attributes of OTLP's scopes become labels that begin with otel_scope_"
    "otlp.label-name-underscore-sanitization" "otlp_label_name_underscore_sanitization" "true" "Labels of OTLP whose names begin with one underscore get key before it"
    "otlp.label-name-preserve-multiple-underscores" "otlp_label_name_preserve_multiple_underscores" "true" "Underscores in a row stay in label names of OTLP; otherwise they become one"
    ["Replicated servers"]
    "ha-tracking" "ha_tracking" "false" "Store the samples of one replica of each cluster of senders and drop those of the others; in Lambda this needs state_store"
    "ha-cluster-label" "ha_cluster_label" "cluster" "Label whose value is the same at all replicas of a cluster of senders"
    "ha-replica-label" "ha_replica_label" "__replica__" "Label that tells the replicas of a cluster apart; it is not stored"
    "ha-update" "ha_update" "15s" "Age at which the stored time of the elected replica is updated, 1s to 60s"
    "ha-failover" "ha_failover" "30s" "Age of that time at which another replica is elected, at least 6s more than ha_update"
    "ha-max-clusters" "ha_max_clusters" "100" "Clusters that a process tracks; the samples of all replicas of others are stored"
    ["Jobs"]
    "connectors.file" "connectors_file" "" "File with a list of connector definitions to run; ignored in Lambda, where schedules send them"
    "state-store" "state_store" "" "Storage of connector definitions, claims and cursors: file:DIR or dynamodb:TABLE; in memory if unset"
    "secrets-dir" "secrets_dir" "" "Folder of the files that connector definitions reference by $file:NAME"
    ["Logging"]
    "enable-logging" "enable_logging" "true" "Enables logging"
    "log.level" "log_level" "info" "Minimum severity to log: debug, info, warn or error"
    "log.format" "log_format" "logfmt" "Format of the log on stderr: logfmt or json"
    ["Development"]
    "fail-on-long-label" "fail_on_long_label" "false" "For development: reject a request and end the process (not in Lambda) when names or labels exceed Timestream's limits"
    "fail-on-invalid-sample-value" "fail_on_invalid_sample_value" "false" "For development: reject a request and end the process (not in Lambda) when a sample cannot be stored"
};

/// Flags that have another name too.
const ALIASES: &[(&str, &str)] = &[("fail_on_invalid_sample_value", "fail-on-invalid-sample")];

/// The former name of an option. It still parses, but `--help` does not list it.
#[derive(Debug)]
pub struct FormerName {
    /// The variable of the option.
    pub option: &'static str,
    /// The former flag, without its dashes.
    pub flag: &'static str,
    /// The former variable.
    pub variable: &'static str,
}

/// Every former name.
pub const FORMER_NAMES: &[FormerName] = &[
    FormerName {
        option: "throttled_write_status",
        flag: "throttling-status",
        variable: "throttling_status",
    },
    FormerName {
        option: "state_store",
        flag: "state",
        variable: "state",
    },
];

impl FormerName {
    /// Returns the former name of the option with this variable, if it had another one.
    pub(super) fn of(option: &str) -> Option<&'static Self> {
        FORMER_NAMES.iter().find(|former| former.option == option)
    }
}

impl fmt::Display for FormerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--{} ({})", self.flag, self.variable)
    }
}

/// The flag that only checks the configuration.
pub(super) const CHECK_CONFIG: &str = "check-config";

/// The command that replays dead letters.
pub(super) const REPLAY: &str = "replay";
/// Its argument: the sources of the dead letters.
pub(super) const SOURCES: &str = "sources";
/// Its flags for samples without a destination.
pub(super) const FALLBACKS: [&str; 2] = ["database", "table"];

/// Its flag for the letters of a sink.
pub(super) const SINK: &str = "sink";

/// The command that runs a connector definition once.
pub(super) const RUN: &str = "run";
/// Its argument: the file with the definition.
pub(super) const DEFINITION: &str = "definition";

/// The command that checks the health of a running server.
pub(super) const HEALTHCHECK: &str = "healthcheck";

/// The command that prints the completion script of a shell.
pub(super) const COMPLETIONS: &str = "completions";
/// Its argument: the shell.
pub(super) const SHELL: &str = "shell";

/// The command that prints the man page.
pub(super) const MAN: &str = "man";

/// The name of the program, by which Lambda starts it.
pub(super) const PROGRAM: &str = "bootstrap";

/// The command that checks everything that the connector needs.
pub(super) const DOCTOR: &str = "doctor";
/// Its flag that leaves out the test record.
pub(super) const NO_WRITE: &str = "no-write";
/// Its flag for the report as JSON.
pub(super) const JSON: &str = "json";
/// Its flag for the time that it may take.
pub(super) const TIMEOUT: &str = "timeout";

/// The output of `--version`; `-V` prints its first line.
const BUILD: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\nrevision: ",
    env!("SOURCE_REVISION"),
    "\ntarget: ",
    env!("BUILD_TARGET"),
    "\nprofile: ",
    env!("BUILD_PROFILE"),
    "\ncompiler: ",
    env!("BUILD_COMPILER"),
);

/// The command line: every option and [`CHECK_CONFIG`], or [`REPLAY`], [`RUN`], [`HEALTHCHECK`] or [`DOCTOR`]
/// with every option, or the command of [`estimate_options`].
pub(super) fn command() -> Command {
    let sources = Arg::new(SOURCES)
        .value_name("FILE|DIR|sqs:QUEUE_URL")
        .required(true)
        .num_args(1..)
        .help("Files of dead letters, logs that hold some, folders of such files, or a queue");
    let fallbacks = FALLBACKS.map(|name| {
        Arg::new(name).long(name).value_name("NAME").help(format!(
            "The {name} of samples that neither name one nor had one"
        ))
    });
    let sink = Arg::new(SINK)
        .long(SINK)
        .value_name("DEFINITION.json")
        .conflicts_with_all(FALLBACKS)
        .help(
            "Send the dead letters of the sink that this file defines to its endpoint; other letters stay in place",
        );
    let replay = Command::new(REPLAY)
        .about(
            "Writes dead letters to Timestream again, or those of a sink to its endpoint; letters that are \
             rejected again stay in place",
        )
        .after_help(after_help(
            "Exit status: 0 everything is stored, 1 something is not stored, 2 the command or configuration \
             cannot be used",
        ))
        .args_override_self(true)
        .arg(sources)
        .arg(sink)
        .args(fallbacks)
        .args(shared());
    let definition = Arg::new(DEFINITION)
        .value_name("DEFINITION.json")
        .value_hint(ValueHint::FilePath)
        .required(true)
        .help("File with one connector definition");
    let run = Command::new(RUN)
        .about(
            "Runs a connector definition once; after an interruption it resumes where it stopped",
        )
        .after_help(after_help(
            "Without --state-store, cursors are stored in the folder DEFINITION.json.state.\n\
             Exit status: 0 the run is complete, 1 it failed, 2 the definition or configuration \
             cannot be used, 130 it was interrupted",
        ))
        .args_override_self(true)
        .arg(definition)
        .args(shared());
    let healthcheck = Command::new(HEALTHCHECK)
        .about("Checks the health of the server that runs with this configuration on this machine")
        .after_help(after_help(
            "Exit status: 0 healthy, 1 not healthy, 2 the configuration cannot be used",
        ))
        .args_override_self(true)
        .args(shared());
    let shell = Arg::new(SHELL)
        .value_name("SHELL")
        .required(true)
        .value_parser(EnumValueParser::<Shell>::new())
        .help("The shell");
    let completions = Command::new(COMPLETIONS)
        .about("Prints the completion script of a shell, for the name by which the program was started")
        .after_help("For bash, in ~/.bashrc: source <(bootstrap completions bash)")
        .arg(shell);
    let man = Command::new(MAN).about("Prints the man page: bootstrap man | man -l -");
    let check = Arg::new(CHECK_CONFIG)
        .long(CHECK_CONFIG)
        .action(ArgAction::SetTrue)
        .help("Check the configuration, report all errors, and exit");
    Command::new(PROGRAM)
        .version(env!("CARGO_PKG_VERSION"))
        .long_version(BUILD)
        // A later flag wins, so that wrappers can set defaults.
        .args_override_self(true)
        .about("Stores Prometheus metrics in Amazon Timestream for LiveAnalytics")
        .args(arguments())
        .arg(check)
        .subcommand(replay)
        .subcommand(run)
        .subcommand(healthcheck)
        .subcommand(doctor())
        .subcommand(estimate_options::command())
        .subcommand(completions)
        .subcommand(man)
}

fn doctor() -> Command {
    let flag = |name: &'static str, help: &'static str| {
        let flag = Arg::new(name).long(name).action(ArgAction::SetTrue);
        flag.help(help)
    };
    let timeout = Arg::new(TIMEOUT)
        .long(TIMEOUT)
        .value_name("DURATION")
        .default_value("60s")
        .value_parser(|text: &str| Duration::parse(text).ok_or(Duration::EXPECTED))
        .help("Time that all checks may take together; what is left then is skipped");
    Command::new(DOCTOR)
        .about(
            "Checks what the connector needs with this configuration: credentials, endpoints, clock, tables, \
             permissions, and a record that is written and read back; says what to do about each failure",
        )
        .after_help(after_help(
            "The record is of a reserved series, which no read or query returns.\n\
             Exit status: 0 nothing failed, 1 something failed, 2 the command cannot be used",
        ))
        .args_override_self(true)
        .arg(flag(NO_WRITE, "Write nothing: leave out the test record"))
        .arg(flag(JSON, "Print the report as JSON"))
        .arg(timeout)
        .args(shared())
}

/// Returns the arguments of a command beside its own ones; its help names them.
fn shared() -> impl Iterator<Item = Arg> {
    arguments().map(|argument| argument.hide(true))
}

/// Returns the end of the help of a command.
fn after_help(text: &str) -> String {
    let flags: Vec<_> = OPTIONS.iter().map(|it| format!("--{}", it.flag)).collect();
    format!(
        "{text}\n\nThe options of the server count as well (bootstrap --help explains them): {}",
        flags.join(", ")
    )
}

/// Returns an argument for each option, and a hidden one for each former name.
fn arguments() -> impl Iterator<Item = Arg> {
    let former = FORMER_NAMES.iter().map(|former| {
        let argument = Arg::new(former.variable).long(former.flag);
        argument.value_name("VALUE").hide(true)
    });
    let arguments = OPTIONS.iter().map(|option| {
        let default = match option.default {
            "" => String::new(),
            default => format!(" [default: {default}]"),
        };
        let mut argument = Arg::new(option.variable)
            .long(option.flag)
            .value_name("VALUE")
            .help_heading(option.subject)
            .help(format!(
                "{} [variable: {}]{default}",
                option.help, option.variable
            ));
        if matches!(option.default, "true" | "false") {
            argument = argument
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true");
        }
        argument = match option.variable {
            name if name.ends_with("_file") => argument.value_hint(ValueHint::FilePath),
            name if name.ends_with("_dir") => argument.value_hint(ValueHint::DirPath),
            _ => argument,
        };
        for (_, alias) in ALIASES
            .iter()
            .filter(|(variable, _)| *variable == option.variable)
        {
            argument = argument.alias(*alias);
        }
        argument
    });
    arguments.chain(former)
}
