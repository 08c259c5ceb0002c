//! The configuration: every option as a flag and as an environment variable of the same meaning.
//!
//! [`OPTIONS`] is the one list of names, defaults and help texts. Reading reports all faults
//! together. A flag wins over its variable; an empty value counts as not set. The environment is
//! an argument, so nothing here depends on the process it runs in.

mod parse;

use std::ffi::OsString;
use std::fmt;
use std::time::Duration;

use clap::{Arg, ArgAction, Command};

use crate::convert::series::{RoutePart, Routing, WritePolicy, is_destination_name};
use crate::timestream::{Discovery, Settings};
pub use parse::ListenAddress;

/// One option.
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
    "region" "region" "AWS_REGION, else us-east-1" "AWS region to call and sign for"
    "web.listen-address" "web_listen_address" ":9201" "Address to listen on, :port or host:port"
    "web.telemetry-path" "web_telemetry_path" "/metrics" "Path of the connector's own metrics"
    "max-retries" "max_retries" "3" "Retries of a failed read"
    "max-write-retries" "max_write_retries" "10" "Retries of a failed write, within the request timeout"
    "request-timeout" "request_timeout" "25s" "Deadline of a write request"
    "read-timeout" "read_timeout" "60s" "Deadline of a read request"
    "write-concurrency" "write_concurrency" "32" "WriteRecords calls in flight per process"
    "enable-logging" "enable_logging" "true" "Whether to log at all"
    "log.level" "log_level" "info" "Least severe level to log: debug, info, warn or error"
    "log.format" "log_format" "logfmt" "Format of the log on stderr: logfmt or json"
    "fail-on-long-label" "fail_on_long_label" "false" "For development: refuse a request and end the process when names or labels exceed Timestream's limits"
    "fail-on-invalid-sample-value" "fail_on_invalid_sample_value" "false" "For development: refuse a request and end the process when a sample cannot be stored"
    "throttling-status" "throttling_status" "503" "Status that answers a throttled write: 503 or 429 (Prometheus drops data on 429 unless retry_on_http_429 is set)"
    "max-request-bytes" "max_request_bytes" "32MiB" "Limit of a request body, and of its decompressed size"
    "endpoint-discovery" "endpoint_discovery" "auto" "Whether to ask Timestream for the endpoint of this account: auto (unless a custom endpoint is set), on or off"
    "write-base-endpoint" "write_base_endpoint" "" "URL of a custom or PrivateLink endpoint for writes"
    "query-base-endpoint" "query_base_endpoint" "" "URL of a custom or PrivateLink endpoint for queries"
};

/// Flags that are known by another name too.
const ALIASES: &[(&str, &str)] = &[("fail_on_invalid_sample_value", "fail-on-invalid-sample")];

/// A complete configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// From labels to databases and tables.
    pub routing: Routing,
    /// What to do with samples that cannot be stored.
    pub policy: WritePolicy,
    /// How Timestream is reached.
    pub timestream: Settings,
    /// Where the standalone server listens.
    pub listen_address: ListenAddress,
    /// Path of the connector's own metrics; starts with `/`.
    pub telemetry_path: String,
    /// Retries of a read.
    pub max_retries: u32,
    /// Retries of a write.
    pub max_write_retries: u32,
    /// Deadline of a write request.
    pub request_timeout: Duration,
    /// Deadline of a read request.
    pub read_timeout: Duration,
    /// WriteRecords calls in flight.
    pub write_concurrency: usize,
    /// What is logged, and how.
    pub log: LogSettings,
    /// Status that answers a throttled write: 503 or 429.
    pub throttling_status: u16,
    /// Limit of a request body and of its decompressed size, in bytes.
    pub max_request_bytes: usize,
}

/// What is logged, and how.
#[derive(Clone, Copy, Debug)]
pub struct LogSettings {
    /// The least severe level that is logged; `None` logs nothing.
    pub level: Option<tracing::Level>,
    /// The format of a line.
    pub format: LogFormat,
}

/// The format of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// `key=value` pairs.
    Logfmt,
    /// A JSON object.
    Json,
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Invocation {
    /// Serve with this configuration.
    Serve(Box<Config>),
    /// The configuration is fine and nothing more was asked.
    Checked,
}

/// Why there is no configuration.
#[derive(Debug)]
pub enum ConfigError {
    /// The command line cannot be parsed, or help or the version was asked for.
    CommandLine(clap::Error),
    /// Options that cannot be used, one text each.
    Faults(Vec<String>),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine(error) => error.fmt(f),
            Self::Faults(faults) => f.write_str(&faults.join("\n")),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Reads the configuration from the arguments (the program's name first) and the environment.
///
/// # Errors
/// All faults of the configuration, each with option, value and what was expected.
pub fn read(
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Invocation, ConfigError> {
    let matches = command()
        .try_get_matches_from(arguments)
        .map_err(ConfigError::CommandLine)?;
    let mut reader = Reader {
        value: |variable: &str| {
            let flag = matches.get_one::<String>(variable).cloned();
            flag.or_else(|| environment(variable))
                .filter(|value| !value.is_empty())
        },
        faults: Vec::new(),
    };
    let region = environment("AWS_REGION").filter(|region| !region.is_empty());
    let config = reader.config(region);
    match (reader.faults.is_empty(), matches.get_flag(CHECK_CONFIG)) {
        (false, _) => Err(ConfigError::Faults(reader.faults)),
        (true, true) => Ok(Invocation::Checked),
        (true, false) => Ok(Invocation::Serve(Box::new(config))),
    }
}

const CHECK_CONFIG: &str = "check-config";

fn command() -> Command {
    let check = Arg::new(CHECK_CONFIG)
        .long(CHECK_CONFIG)
        .action(ArgAction::SetTrue)
        .help("Report whether the configuration can be used, and exit");
    let options = OPTIONS.iter().map(|option| {
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
    });
    Command::new("bootstrap")
        .version(env!("CARGO_PKG_VERSION"))
        // A later flag wins, so that wrappers can set defaults.
        .args_override_self(true)
        .about("Lets Prometheus keep its metrics in Amazon Timestream for LiveAnalytics")
        .args(options)
        .arg(check)
}

/// Reads typed values and gathers what is wrong with them.
struct Reader<F> {
    value: F,
    faults: Vec<String>,
}

impl<F: Fn(&str) -> Option<String>> Reader<F> {
    fn config(&mut self, aws_region: Option<String>) -> Config {
        let routing = self.routing();
        let logging = self.parsed(
            "enable_logging",
            "ParseEnableLoggingError",
            parse::BOOLEANS,
            parse::boolean,
        );
        let level = self.parsed(
            "log_level",
            "InvalidOptionError",
            "debug, info, warn or error",
            parse::level,
        );
        Config {
            routing,
            policy: WritePolicy {
                fail_on_long_label: self
                    .parsed(
                        "fail_on_long_label",
                        "ParseMetricLabelError",
                        parse::BOOLEANS,
                        parse::boolean,
                    )
                    .unwrap_or(false),
                fail_on_invalid_sample_value: self
                    .parsed(
                        "fail_on_invalid_sample_value",
                        "ParseSampleOptionError",
                        parse::BOOLEANS,
                        parse::boolean,
                    )
                    .unwrap_or(false),
            },
            timestream: Settings {
                region: (self.value)("region")
                    .or(aws_region)
                    .unwrap_or_else(|| "us-east-1".to_owned()),
                write_endpoint: self.url("write_base_endpoint"),
                query_endpoint: self.url("query_base_endpoint"),
                discovery: self
                    .parsed(
                        "endpoint_discovery",
                        "InvalidOptionError",
                        "auto, on or off",
                        |text| match text {
                            "auto" => Some(Discovery::Auto),
                            "on" => Some(Discovery::On),
                            "off" => Some(Discovery::Off),
                            _ => None,
                        },
                    )
                    .unwrap_or_default(),
            },
            listen_address: self
                .parsed(
                    "web_listen_address",
                    "InvalidOptionError",
                    "a form like :9201 or 127.0.0.1:9201",
                    parse::listen_address,
                )
                .unwrap_or_else(ListenAddress::default_port),
            telemetry_path: self
                .parsed(
                    "web_telemetry_path",
                    "InvalidOptionError",
                    "a path that starts with / and is not one of the connector's own",
                    parse::telemetry_path,
                )
                .unwrap_or_else(|| "/metrics".to_owned()),
            max_retries: self
                .number("max_retries", "ParseRetriesError", 0..=1_000)
                .unwrap_or(3),
            max_write_retries: self
                .number("max_write_retries", "ParseRetriesError", 0..=1_000)
                .unwrap_or(10),
            request_timeout: self
                .duration("request_timeout")
                .unwrap_or(Duration::from_secs(25)),
            read_timeout: self
                .duration("read_timeout")
                .unwrap_or(Duration::from_secs(60)),
            write_concurrency: self
                .number("write_concurrency", "InvalidOptionError", 1..=10_000)
                .map_or(32, |number| number as usize),
            log: LogSettings {
                level: logging
                    .unwrap_or(true)
                    .then_some(level.unwrap_or(tracing::Level::INFO)),
                format: self
                    .parsed(
                        "log_format",
                        "InvalidOptionError",
                        "logfmt or json",
                        |text| match text {
                            "logfmt" => Some(LogFormat::Logfmt),
                            "json" => Some(LogFormat::Json),
                            _ => None,
                        },
                    )
                    .unwrap_or(LogFormat::Logfmt),
            },
            throttling_status: self
                .parsed(
                    "throttling_status",
                    "InvalidOptionError",
                    "503 or 429",
                    |text| match text {
                        "503" => Some(503),
                        "429" => Some(429),
                        _ => None,
                    },
                )
                .unwrap_or(503),
            max_request_bytes: self
                .parsed(
                    "max_request_bytes",
                    "InvalidOptionError",
                    "a size from 1KiB to 1GiB, such as 32MiB",
                    parse::bytes,
                )
                .unwrap_or(32 << 20),
        }
    }

    fn routing(&mut self) -> Routing {
        let database = self.route_part("database_label", "default_database");
        let table = self.route_part("table_label", "default_table");
        if database.label.is_some() && database.label == table.label {
            self.faults.push(format!(
                "InvalidOptionError: --database-label (database_label) and --table-label (table_label) are both \"{}\"; expected two different labels",
                database.label.as_deref().unwrap_or_default()
            ));
        }
        Routing { database, table }
    }

    fn route_part(&mut self, label: &'static str, default: &'static str) -> RoutePart {
        let part = RoutePart {
            label: (self.value)(label),
            default: self.parsed(
                default,
                "InvalidOptionError",
                "1 to 256 letters, digits, '_', '.' or '-'",
                |text| is_destination_name(text).then(|| text.to_owned()),
            ),
        };
        if part.label.is_none() && (self.value)(default).is_none() {
            self.faults.push(format!(
                "MissingDestinationError: neither {} nor {} is set; expected at least one of them",
                name(label),
                name(default)
            ));
        }
        part
    }

    fn url(&mut self, variable: &'static str) -> Option<String> {
        self.parsed(
            variable,
            "InvalidOptionError",
            "a URL such as https://host",
            |text| {
                let uri: http::Uri = text.parse().ok()?;
                let usable =
                    matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some();
                usable.then(|| text.to_owned())
            },
        )
    }

    fn duration(&mut self, variable: &'static str) -> Option<Duration> {
        self.parsed(
            variable,
            "InvalidOptionError",
            "a duration above zero, such as 25s or 1m30s",
            parse::duration,
        )
    }

    fn number(
        &mut self,
        variable: &'static str,
        error: &str,
        range: std::ops::RangeInclusive<u32>,
    ) -> Option<u32> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        self.parsed(variable, error, &expected, |text| {
            text.parse().ok().filter(|number| range.contains(number))
        })
    }

    /// The value of an option, parsed; a value that cannot be parsed becomes a fault.
    fn parsed<T>(
        &mut self,
        variable: &'static str,
        error: &str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = (self.value)(variable)?;
        let parsed = parse(&text);
        if parsed.is_none() {
            self.faults.push(format!(
                "{error}: {} is {text:?}; expected {expected}",
                name(variable)
            ));
        }
        parsed
    }
}

/// An option as both names, for messages.
fn name(variable: &str) -> String {
    let option = OPTIONS.iter().find(|option| option.variable == variable);
    let flag = option.map_or("", |option| option.flag);
    format!("--{flag} ({variable})")
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn read_from(
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Invocation, ConfigError> {
        let environment: HashMap<_, _> = environment.iter().copied().collect();
        let arguments = ["bootstrap"].iter().chain(arguments).copied();
        read(arguments, |name| {
            environment.get(name).map(|&value| value.to_owned())
        })
    }

    fn config(arguments: &[&str], environment: &[(&str, &str)]) -> Config {
        match read_from(arguments, environment) {
            Ok(Invocation::Serve(config)) => *config,
            other => panic!("{other:?}"),
        }
    }

    fn faults(arguments: &[&str], environment: &[(&str, &str)]) -> Vec<String> {
        match read_from(arguments, environment) {
            Err(ConfigError::Faults(faults)) => faults,
            other => panic!("{other:?}"),
        }
    }

    const DEFAULTS: [&str; 2] = ["--default-database=db", "--default-table=t"];

    #[test]
    fn defaults() {
        let config = config(&DEFAULTS, &[]);
        assert_eq!(config.timestream.region, "us-east-1");
        assert_eq!(config.listen_address.to_string(), ":9201");
        assert_eq!((config.max_retries, config.max_write_retries), (3, 10));
        assert_eq!(config.request_timeout, Duration::from_secs(25));
        assert_eq!(config.max_request_bytes, 33_554_432);
        assert_eq!(config.log.level, Some(tracing::Level::INFO));
        assert_eq!(config.throttling_status, 503);
    }

    #[test]
    fn flags_win_over_variables_and_empty_is_not_set() {
        let config = config(
            &[
                "--table-label",
                "t",
                "--max-retries=7",
                "--fail-on-invalid-sample",
            ],
            &[
                ("database_label", "d"),
                ("table_label", "other"),
                ("default_table", ""),
                ("max_retries", "1"),
                ("enable_logging", "F"),
                ("AWS_REGION", "eu-west-1"),
                ("Region", "case-matters"),
                ("request_timeout", "1m30s"),
                ("max_request_bytes", "1MiB"),
            ],
        );
        assert_eq!(config.routing.database.label.as_deref(), Some("d"));
        assert_eq!(
            config.routing.table,
            RoutePart {
                label: Some("t".to_owned()),
                default: None
            }
        );
        assert_eq!(config.max_retries, 7);
        assert!(config.policy.fail_on_invalid_sample_value);
        assert_eq!(config.log.level, None);
        assert_eq!(config.timestream.region, "eu-west-1");
        assert_eq!(config.request_timeout, Duration::from_secs(90));
        assert_eq!(config.max_request_bytes, 1 << 20);
    }

    #[test]
    fn all_faults_are_reported_together() {
        let found = faults(
            &[
                "--max-retries=-1",
                "--enable-logging=yes",
                "--log.format=xml",
            ],
            &[
                ("fail_on_long_label", "maybe"),
                ("fail_on_invalid_sample_value", "TrUe"),
                ("throttling_status", "500"),
                ("request_timeout", "0s"),
                ("write_base_endpoint", "host"),
                ("web_listen_address", "9201"),
                ("default_table", "a b"),
            ],
        );
        let starts = [
            "MissingDestinationError: neither --database-label (database_label) nor --default-database",
            "InvalidOptionError: --default-table (default_table) is \"a b\"",
            "ParseEnableLoggingError: --enable-logging (enable_logging) is \"yes\"; expected one of 1,",
            "ParseMetricLabelError: --fail-on-long-label (fail_on_long_label) is \"maybe\"",
            "ParseSampleOptionError: --fail-on-invalid-sample-value (fail_on_invalid_sample_value) is \"TrUe\"",
            "InvalidOptionError: --write-base-endpoint",
            "InvalidOptionError: --web.listen-address (web_listen_address) is \"9201\"",
            "ParseRetriesError: --max-retries (max_retries) is \"-1\"; expected a whole number from 0",
            "InvalidOptionError: --request-timeout",
            "InvalidOptionError: --log.format",
            "InvalidOptionError: --throttling-status",
        ];
        for start in starts {
            assert!(
                found.iter().any(|fault| fault.starts_with(start)),
                "{start}\n{found:#?}"
            );
        }
        assert_eq!(found.len(), starts.len(), "{found:#?}");
    }

    #[test]
    fn one_label_cannot_name_both() {
        let found = faults(&["--database-label=x", "--table-label=x"], &[]);
        assert!(
            found[0].contains("expected two different labels"),
            "{found:?}"
        );
    }

    #[test]
    fn checking_reads_everything_and_serves_nothing() {
        assert!(matches!(
            read_from(&["--check-config", DEFAULTS[0], DEFAULTS[1]], &[]),
            Ok(Invocation::Checked)
        ));
        assert_eq!(faults(&["--check-config"], &[]).len(), 2);
    }

    #[test]
    fn help_names_every_option_with_its_variable() {
        let help = command().render_long_help().to_string();
        for option in OPTIONS {
            assert!(
                help.contains(&format!("--{}", option.flag)),
                "{}",
                option.flag
            );
            assert!(
                help.contains(&format!("[variable: {}]", option.variable)),
                "{}",
                option.variable
            );
        }
    }
}
