//! The list of options, and the command line made from it.

use std::fmt;

use clap::{Arg, ArgAction, Command};

/// One option.
#[derive(Debug)]
pub struct OptionSpec {
    /// The flag, without its dashes.
    pub flag: &'static str,
    /// The environment variable; its case matters.
    pub variable: &'static str,
    /// The default as a user would write it, empty if there is none.
    pub default: &'static str,
    /// What the option means.
    pub help: &'static str,
}

impl OptionSpec {
    /// The option whose variable has this name.
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
    ($($flag:literal $variable:literal $default:literal $help:literal)*) => {
        &[$(OptionSpec { flag: $flag, variable: $variable, default: $default, help: $help }),*]
    };
}

/// Every option, in the order of `--help`.
pub const OPTIONS: &[OptionSpec] = options! {
    "database-label" "database_label" "" "Label whose value is the database; required unless a default database is set"
    "table-label" "table_label" "" "Label whose value is the table; required unless a default table is set"
    "default-database" "default_database" "" "Database of series and queries without the database label"
    "default-table" "default_table" "" "Table of series and queries without the table label"
    "metadata-table" "metadata_table" "metrics" "Table of each database for types, help texts and units of metrics, or off; off too where it is the default table"
    "region" "region" "AWS_REGION, else us-east-1" "AWS region to call and sign for"
    "web.listen-address" "web_listen_address" ":9201" "Address to listen on, :port or host:port; ignored in Lambda, as all of web.*"
    "web.telemetry-path" "web_telemetry_path" "/metrics" "Path of the connector's own metrics"
    "web.config.file" "web_config_file" "" "File with TLS settings, users and headers, in the format of Prometheus' exporter toolkit"
    "basic-auth-users" "basic_auth_users" "" "Who may ask: user:bcrypt-hash, comma separated"
    "bearer-token" "bearer_token" "" "Token that may ask, as an alternative to users"
    "max-retries" "max_retries" "3" "Retries of a failed read"
    "max-write-retries" "max_write_retries" "10" "Retries of a failed write, within the request timeout"
    "request-timeout" "request_timeout" "25s" "Deadline of a write request; in Lambda also the deadline of the invocation, less half a second"
    "read-timeout" "read_timeout" "60s" "Deadline of a read request; in Lambda it is request_timeout by default, with the same bound"
    "write-concurrency" "write_concurrency" "32" "WriteRecords calls in flight per process"
    "enable-logging" "enable_logging" "true" "Whether to log at all"
    "log.level" "log_level" "info" "Least severe level to log: debug, info, warn or error"
    "log.format" "log_format" "logfmt" "Format of the log on stderr: logfmt or json"
    "fail-on-long-label" "fail_on_long_label" "false" "For development: refuse a request and end the process (not in Lambda) when names or labels exceed Timestream's limits"
    "fail-on-invalid-sample-value" "fail_on_invalid_sample_value" "false" "For development: refuse a request and end the process (not in Lambda) when a sample cannot be stored"
        "store-special-values" "store_special_values" "false" "Keep values that Timestream does not take: NaN, infinities, stale markers and -0"
    "throttling-status" "throttling_status" "503" "Status that answers a throttled write: 503 or 429 (Prometheus drops data on 429 unless retry_on_http_429 is set)"
    "permanent-error-status" "permanent_error_status" "auto" "Status of a write that Timestream refuses for good: aws (402, 403, 404, 409 and 419 too), 400, or auto (aws for senders whose User-Agent begins with Prometheus/, 400 for all others)"
    "max-request-bytes" "max_request_bytes" "32MiB" "Limit of a request body, and of its decompressed size"
    "max-in-flight-bytes" "max_in_flight_bytes" "128MiB" "Limit of the memory of all requests and events in flight, their bodies and their decoded form, at least twice max_request_bytes; beyond it the response is 503 with Retry-After"
    "max-read-samples" "max_read_samples" "50000000" "Limit of the samples of a read; beyond it the answer is 400 and the query is cancelled"
    "max-read-bytes" "max_read_bytes" "256MiB" "Limit of the memory for what a read has found, samples in their encoded form; by default a quarter of the function's memory in Lambda"
    "on-duplicate" "on_duplicate" "reject" "What happens to a value for a time at which another one is stored: reject (Timestream keeps the first), or overwrite (the later one wins)"
    "dead-letter" "dead_letter" "" "Where samples are kept that cannot be stored: file:DIR or sqs:QUEUE_URL (a standard queue); otherwise they go to the log, as far as a bound"
    "connectors.file" "connectors_file" "" "File with a list of connector definitions to run; ignored in Lambda, where schedules bring them"
    "state" "state" "" "Where connector definitions, claims and cursors are kept: file:DIR or dynamodb:TABLE; otherwise in memory"
    "secrets-dir" "secrets_dir" "" "Folder of the files that connector definitions mean by $file:NAME"
    "endpoint-discovery" "endpoint_discovery" "auto" "Whether to ask Timestream for the endpoint of this account: auto (unless a custom endpoint is set), on or off"
    "write-base-endpoint" "write_base_endpoint" "" "URL of a custom or PrivateLink endpoint for writes"
    "query-base-endpoint" "query_base_endpoint" "" "URL of a custom or PrivateLink endpoint for queries"
};

/// Flags that are known by another name too.
const ALIASES: &[(&str, &str)] = &[("fail_on_invalid_sample_value", "fail-on-invalid-sample")];

/// The flag that only checks the configuration.
pub(super) const CHECK_CONFIG: &str = "check-config";

/// The command that replays dead letters.
pub(super) const REPLAY: &str = "replay";
/// Its argument: what is replayed.
pub(super) const SOURCES: &str = "sources";
/// Its flags for samples without a destination.
pub(super) const FALLBACKS: [&str; 2] = ["database", "table"];

/// Its flag for the letters of a sink.
pub(super) const SINK: &str = "sink";

/// The command that runs a connector definition once.
pub(super) const RUN: &str = "run";
/// Its argument: the file with the definition.
pub(super) const DEFINITION: &str = "definition";

/// The command that asks a running server for its health.
pub(super) const HEALTHCHECK: &str = "healthcheck";

/// What `--version` prints; `-V` prints the first line.
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

/// The command line: every option and [`CHECK_CONFIG`], or [`REPLAY`], [`RUN`] or
/// [`HEALTHCHECK`] with every option.
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
            "Send the letters of the sink that this file defines to its endpoint; those of others stay",
        );
    let replay = Command::new(REPLAY)
        .about(
            "Writes dead letters to Timestream again, or those of a sink to its endpoint; what is refused \
             again stays where it was",
        )
        .after_help(
            "Exit status: 0 everything is stored, 1 something is not, 2 the command or configuration \
             cannot be used",
        )
        .args_override_self(true)
        .arg(sources)
        .arg(sink)
        .args(fallbacks)
        .args(arguments());
    let definition = Arg::new(DEFINITION)
        .value_name("DEFINITION.json")
        .required(true)
        .help("File with one connector definition");
    let run = Command::new(RUN)
        .about("Runs a connector definition once; after an interruption it goes on where it was")
        .after_help(
            "Without --state, cursors are kept in the folder DEFINITION.json.state.\n\
             Exit status: 0 the run is complete, 1 it failed, 2 the definition or configuration \
             cannot be used, 130 it was interrupted",
        )
        .args_override_self(true)
        .arg(definition)
        .args(arguments());
    let healthcheck = Command::new(HEALTHCHECK)
        .about("Asks the server with this configuration, on this machine, whether it is healthy")
        .after_help("Exit status: 0 it is, 1 it is not, 2 the configuration cannot be used")
        .args_override_self(true)
        .args(arguments());
    let check = Arg::new(CHECK_CONFIG)
        .long(CHECK_CONFIG)
        .action(ArgAction::SetTrue)
        .help("Report whether the configuration can be used, and exit");
    Command::new("bootstrap")
        .version(env!("CARGO_PKG_VERSION"))
        .long_version(BUILD)
        // A later flag wins, so that wrappers can set defaults.
        .args_override_self(true)
        .about("Lets Prometheus keep its metrics in Amazon Timestream for LiveAnalytics")
        .args(arguments())
        .arg(check)
        .subcommand(replay)
        .subcommand(run)
        .subcommand(healthcheck)
}

/// One argument for each option.
fn arguments() -> impl Iterator<Item = Arg> {
    OPTIONS.iter().map(|option| {
        let default = match option.default {
            "" => String::new(),
            default => format!(" [default: {default}]"),
        };
        let mut argument = Arg::new(option.variable)
            .long(option.flag)
            .value_name("VALUE")
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
        for (_, alias) in ALIASES
            .iter()
            .filter(|(variable, _)| *variable == option.variable)
        {
            argument = argument.alias(*alias);
        }
        argument
    })
}
