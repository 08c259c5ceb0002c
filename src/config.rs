//! The configuration: every option as a flag and as an environment variable of the same meaning.
//!
//! [`options`] is the one list of names, defaults and help texts, and `value` parses the values. All errors are
//! reported together. A flag wins over its variable; an empty value counts as not set. The environment is an
//! argument, so nothing here depends on the process; it also determines the [`Mode`].

mod estimate_options;
pub mod options;
mod profile;
mod shell;
mod value;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ::http::StatusCode;
use clap::ArgMatches;
use clap::error::{ContextKind, ContextValue};
use otlp::OptionsError;
use prom_model::visible::without_userinfo;
use promql::{EngineOptions, ParserOptions};

use crate::dead_letter::DeadLetterTarget;
use crate::estimate;
use crate::http;
use crate::ingest;
use crate::jobs::definition::{Definition, KINDS};
use crate::query::{self, CacheSettings, ReadLimits};
use crate::replay::{Fallback, Source};
use crate::replicas;
use crate::state::StateStore;
use crate::storage::routing::{RoutePart, Routing};
use crate::storage::write::series::WritePolicy;
use crate::telemetry;
use crate::timestream::{self, TrustedRoots};
use crate::web_config::{Tokens, Users, WebConfig};
use estimate_options::ESTIMATE;
use options::{
    CHECK_CONFIG, COMPLETIONS, DEFINITION, DOCTOR, FALLBACKS, FormerName, HEALTHCHECK, JSON, MAN,
    NO_WRITE, OPTIONS, OptionSpec, REPLAY, RUN, SHELL, SINK, SOURCES, TIMEOUT, command,
};
use profile::ProfileFiles;
pub use value::ListenAddress;
use value::{
    Attributes, Bytes, CacheBytes, Clusters, Concurrency, DestinationName, EndpointUrl, Features,
    Folder, HaLabel, OptionalTable, QuerySamples, Region, Retries, SampleLimit, TelemetryPath,
    ThrottledWriteStatus, Value,
};

/// The way in which requests reach the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Through a socket of its own.
    Standalone,
    /// As events of AWS Lambda's runtime API, that of `cargo lambda watch` included.
    Lambda,
}

impl Mode {
    /// Returns the mode of an environment: Lambda sets the address of its runtime API.
    pub fn of(environment: impl Fn(&str) -> Option<String>) -> Self {
        match environment("AWS_LAMBDA_RUNTIME_API") {
            Some(address) if !address.is_empty() => Self::Lambda,
            _ => Self::Standalone,
        }
    }
}

/// The source of the region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegionSource {
    /// The option.
    Option,
    /// `AWS_REGION`, which Lambda always sets.
    Environment,
    /// `AWS_DEFAULT_REGION`, that of the AWS command line.
    DefaultEnvironment,
    /// The selected profile, or that with the name `default`.
    Profile,
    /// None of them: it is the default.
    Default,
}

impl RegionSource {
    /// Returns the name in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Option => "region",
            Self::Environment => "AWS_REGION",
            Self::DefaultEnvironment => "AWS_DEFAULT_REGION",
            Self::Profile => "profile",
            Self::Default => "default",
        }
    }
}

/// A complete configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The way in which requests reach the program.
    pub mode: Mode,
    /// Options that are set but have no meaning in this mode.
    pub ignored_options: Vec<&'static OptionSpec>,
    /// The source of the region.
    pub region_source: RegionSource,
    /// Writes.
    pub ingest: ingest::Settings,
    /// Reads.
    pub query: query::Settings,
    /// Region, endpoints and TLS of Timestream.
    pub timestream: timestream::Settings,
    /// The address of the standalone server.
    pub listen_address: ListenAddress,
    /// The HTTP interface.
    pub http: http::Settings,
    /// Authentication, TLS and headers.
    pub web: WebConfig,
    /// Level and format of the log.
    pub log: telemetry::Settings,
    /// The target of samples that can never be stored.
    pub dead_letter: Option<DeadLetterTarget>,
    /// Connector definitions of the file.
    pub connectors: Vec<Arc<Definition>>,
    /// Replicated senders; `None` if all samples are stored.
    pub replicas: Option<replicas::Settings>,
    /// The store of connector definitions, claims and cursors, and of elected replicas.
    pub state: Option<StateStore>,
    /// The folder of files with secrets of connector definitions.
    pub secrets_dir: Option<PathBuf>,
}

/// The task of the process.
#[derive(Debug)]
pub enum Invocation {
    /// Serve with this configuration.
    Serve(Box<Config>),
    /// Check the health of the server with this configuration.
    CheckHealth(Box<Config>),
    /// Only check the configuration, which is valid.
    Checked,
    /// Print this text: a completion script or the man page.
    Print(String),
    /// Write dead letters again.
    Replay(Box<Config>, Replaying),
    /// Run the connector definition in this file once.
    Run(Box<Config>, PathBuf),
    /// Check what the connector needs; an invalid configuration is a result, too.
    Doctor(Result<Box<Config>, Vec<OptionError>>, Doctoring),
    /// Estimate a bill, with these authorities for the server that has the series.
    Estimate(Box<estimate::Settings>, TrustedRoots),
}

/// The form of the checks of a set-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doctoring {
    /// True if a test record is written.
    pub writes: bool,
    /// True if the report is JSON.
    pub is_json: bool,
    /// The time of all checks together.
    pub timeout: Duration,
}

/// The dead letters to replay, and their targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaying {
    /// The sources of the letters.
    pub sources: Vec<Source>,
    /// The destination of samples that neither name one nor had one.
    pub fallback: Fallback,
    /// The file with the definition of the sink whose letters go to its endpoint; without one those for
    /// Timestream are written.
    pub sink: Option<PathBuf>,
}

/// The reason why there is no configuration.
#[derive(Debug)]
pub enum ConfigError {
    /// The command line cannot be parsed, or requests help or the version.
    CommandLine(clap::Error),
    /// Options that cannot be used.
    Options(Vec<OptionError>),
}

/// The name of an error that leaves a series or query without a destination.
const MISSING_DESTINATION: &str = "MissingDestinationError";

/// An option that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionError {
    name: &'static str,
    text: String,
}

impl OptionError {
    /// Returns the error of a value that failed when it was used.
    pub fn unusable(variable: &str, value: &str, error: &io::Error) -> Self {
        let option = OptionSpec::of(variable);
        Self {
            name: INVALID_OPTION,
            text: format!("{option} is {}: {error}", quoted(value)),
        }
    }

    /// Returns true if no option names a destination.
    pub fn is_missing_destination(&self) -> bool {
        self.name == MISSING_DESTINATION
    }
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.text)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine(error) => error.fmt(f),
            Self::Options(errors) => {
                let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
                f.write_str(&lines.join("\n"))
            }
        }
    }
}

impl std::error::Error for ConfigError {}

/// The option that names a file of connector definitions.
const CONNECTORS_FILE: &str = "connectors_file";
/// The options of bearer tokens.
const TOKENS: [&str; 4] = [
    "bearer_token",
    "read_bearer_token",
    "write_bearer_token",
    "admin_bearer_token",
];
/// The option whose effect does not depend on a socket.
const CORS_ORIGIN: &str = "web_cors_origin";

/// The variables by which the SDK takes endpoints.
const ENDPOINTS: [&str; 6] = [
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_TIMESTREAM_WRITE",
    "AWS_ENDPOINT_URL_TIMESTREAM_QUERY",
    "AWS_ENDPOINT_URL_DYNAMODB",
    "AWS_ENDPOINT_URL_SQS",
    "AWS_ENDPOINT_URL_STS",
];

/// The region if neither an option, a variable nor a profile names one.
const DEFAULT_REGION: &str = "us-east-1";

/// Reads the configuration from the arguments (the program's name first) and the environment.
///
/// # Errors
/// All errors of the configuration, each with option, value and expected form.
pub fn read(
    arguments: impl IntoIterator<Item = impl Into<OsString>>,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Invocation, ConfigError> {
    let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    let matches = command()
        .try_get_matches_from(&arguments)
        .map_err(|error| ConfigError::CommandLine(without_value(error)))?;
    if let Some(matches) = matches.subcommand_matches(COMPLETIONS) {
        let shell = *matches.get_one(SHELL).expect("clap demands it");
        let script = shell::completions(command(), shell, arguments.first());
        return Ok(Invocation::Print(script));
    }
    if matches.subcommand_matches(MAN).is_some() {
        return Ok(Invocation::Print(shell::man_page(command())));
    }
    let given = |name: &str| environment(name).filter(|value| !value.is_empty());
    let roots = match given("SSL_CERT_FILE").or_else(|| given("SSL_CERT_DIR")) {
        Some(_) => TrustedRoots::System,
        None => TrustedRoots::Bundled,
    };
    if let Some(matches) = matches.subcommand_matches(ESTIMATE) {
        let variables = ["AWS_REGION", "AWS_DEFAULT_REGION"];
        let region = variables.into_iter().find_map(|it| Some((it, given(it)?)));
        let settings = estimate_options::settings(matches, region);
        let settings = settings.map_err(ConfigError::Options)?;
        return Ok(Invocation::Estimate(Box::new(settings), roots));
    }
    let replay = matches.subcommand_matches(REPLAY);
    let run = matches.subcommand_matches(RUN);
    let healthcheck = matches.subcommand_matches(HEALTHCHECK);
    let doctor = matches.subcommand_matches(DOCTOR);
    let matches = replay
        .or(healthcheck)
        .or(run)
        .or(doctor)
        .unwrap_or(&matches);
    let mode = Mode::of(&environment);
    let flag = |variable: &str| matches.get_one::<String>(variable).cloned();
    let named = |variable: &str| {
        let value = flag(variable).or_else(|| environment(variable));
        value.filter(|value| !value.is_empty())
    };
    let by_former_name = |option: &str| named(FormerName::of(option)?.variable);
    // An empty flag switches off, also what a variable of the former name sets.
    let set = |option: &str| match named(option) {
        None if flag(option).is_none() => by_former_name(option),
        value => value,
    };
    // In Lambda the process has no socket of its own, and none runs until the next tick.
    let is_ignored = |variable: &str| {
        let is_of_server = variable.starts_with("web_") && variable != CORS_ORIGIN;
        mode == Mode::Lambda && (is_of_server || variable == CONNECTORS_FILE)
    };
    let mut reader = Reader {
        value: |variable: &str| set(variable).filter(|_| !is_ignored(variable)),
        errors: Vec::new(),
        // Letters and definitions have their destinations, and a health check writes nothing.
        needs_destination: replay.or(healthcheck).or(run).is_none(),
    };
    let surroundings = Surroundings {
        mode,
        ignored_options: OPTIONS
            .iter()
            .filter(|option| is_ignored(option.variable) && set(option.variable).is_some())
            .collect(),
        regions: [
            ("AWS_REGION", given("AWS_REGION")),
            ("AWS_DEFAULT_REGION", given("AWS_DEFAULT_REGION")),
        ],
        endpoints: ENDPOINTS
            .into_iter()
            .filter_map(|variable| Some((variable, given(variable)?)))
            .collect(),
        profile: given("AWS_PROFILE"),
        profile_files: ProfileFiles::of(given),
        function_mib: given("AWS_LAMBDA_FUNCTION_MEMORY_SIZE").and_then(|mib| mib.parse().ok()),
        roots,
    };
    for option in OPTIONS {
        if named(option.variable).is_some() && by_former_name(option.variable).is_some() {
            reader.add_both_names(option);
        }
    }
    let config = reader.config(surroundings);
    let replaying = replay.map(|matches| reader.replaying(matches));
    if let Some(doctor) = doctor {
        let doctoring = Doctoring {
            writes: !doctor.get_flag(NO_WRITE),
            is_json: doctor.get_flag(JSON),
            timeout: *doctor.get_one(TIMEOUT).expect("it has a default"),
        };
        let is_valid = reader.errors.is_empty();
        let config = is_valid.then(|| Box::new(config)).ok_or(reader.errors);
        return Ok(Invocation::Doctor(config, doctoring));
    }
    if !reader.errors.is_empty() {
        return Err(ConfigError::Options(reader.errors));
    }
    Ok(match replaying {
        Some(replaying) => Invocation::Replay(Box::new(config), replaying),
        None if run.is_some() => {
            let path = run.and_then(|matches| matches.get_one::<String>(DEFINITION));
            let path = path.expect("clap demands it");
            Invocation::Run(Box::new(config), path.into())
        }
        None if healthcheck.is_some() => Invocation::CheckHealth(Box::new(config)),
        None if matches.get_flag(CHECK_CONFIG) => Invocation::Checked,
        None => Invocation::Serve(Box::new(config)),
    })
}

/// The parts of the environment beside the options.
struct Surroundings {
    mode: Mode,
    ignored_options: Vec<&'static OptionSpec>,
    /// The variables that may name the region, first that which wins.
    regions: [(&'static str, Option<String>); 2],
    /// The values of [`ENDPOINTS`].
    endpoints: Vec<(&'static str, String)>,
    /// The selected profile.
    profile: Option<String>,
    /// The files that should have it.
    profile_files: Option<ProfileFiles>,
    /// Memory of the function, in MiB, in Lambda.
    function_mib: Option<usize>,
    roots: TrustedRoots,
}

/// Removes the value of an unexpected argument from an error: it may be a secret.
fn without_value(mut error: clap::Error) -> clap::Error {
    for kind in [
        ContextKind::InvalidArg,
        ContextKind::InvalidSubcommand,
        ContextKind::InvalidValue,
    ] {
        if let Some(ContextValue::String(argument)) = error.get(kind) {
            let is_name = |text: &str| !text.contains([':', '/', '@']);
            let argument = match argument.split_once('=') {
                Some((name, _)) if is_name(name) => argument.into(),
                _ => without_userinfo(argument),
            };
            let shown = match argument.split_once('=') {
                Some((name, _)) => format!("{name}=..."),
                None => argument.into_owned(),
            };
            error.insert(kind, ContextValue::String(shown));
        }
    }
    error
}

/// Returns a value in quotes, for messages. Of a URL it may be, user and password are not shown.
fn quoted(value: &str) -> String {
    format!("{:?}", without_userinfo(value))
}

/// Returns a duration of an option, which has at most a day.
fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).expect("a day has few milliseconds")
}

/// Reads typed values and collects their errors.
struct Reader<F> {
    value: F,
    errors: Vec<OptionError>,
    needs_destination: bool,
}

impl<F: Fn(&str) -> Option<String>> Reader<F> {
    fn config(&mut self, surroundings: Surroundings) -> Config {
        let logging = self.setting::<bool>("enable_logging");
        let level = self.setting("log_level");
        let max_request_bytes = self.setting::<Bytes>("max_request_bytes").0;
        let max_in_flight_bytes = self.setting::<Bytes>("max_in_flight_bytes").0;
        let max_read_bytes = match (surroundings.mode, surroundings.function_mib) {
            (Mode::Lambda, Some(mib)) => {
                let given = self.optional::<Bytes>("max_read_bytes");
                given.map_or((mib << 20) / 4, |Bytes(bytes)| bytes)
            }
            _ => self.setting::<Bytes>("max_read_bytes").0,
        };
        let cache_bytes = match (surroundings.mode, surroundings.function_mib) {
            (Mode::Lambda, Some(mib)) => {
                let given = self.optional::<CacheBytes>("query_cache_bytes");
                given.map_or((mib << 20) / 16, |CacheBytes(bytes)| bytes)
            }
            _ => self.setting::<CacheBytes>("query_cache_bytes").0,
        };
        let (region, region_source) = self.region(&surroundings);
        for (variable, url) in surroundings.endpoints {
            if EndpointUrl::parse(&url).is_none() {
                let expected = EndpointUrl::EXPECTED;
                let text = format!("{variable} is {}; expected {expected}", quoted(&url));
                self.add_error(INVALID_OPTION, text);
            }
        }
        if let Some(profile) = &surroundings.profile
            && let Some(files) = &surroundings.profile_files
            && let Err(text) = files.check(profile)
        {
            self.add_error(INVALID_OPTION, text);
        }
        let request_timeout = self.setting("request_timeout");
        // A gateway in front of a function has the same timeout for reads and writes.
        let read_timeout = match surroundings.mode {
            Mode::Lambda => self.optional("read_timeout").unwrap_or(request_timeout),
            Mode::Standalone => self.setting("read_timeout"),
        };
        let query_timeout = match surroundings.mode {
            Mode::Lambda => self.optional("query_timeout").unwrap_or(read_timeout),
            Mode::Standalone => self.setting("query_timeout"),
        };
        // One request of the allowed size, body and content, has to fit.
        let max_in_flight_bytes = max_in_flight_bytes.max(2 * max_request_bytes);
        let routing = self.routing();
        let metadata_table = self.metadata_table(routing.table.default.as_deref());
        let throttled_write_status = self
            .setting::<ThrottledWriteStatus>("throttled_write_status")
            .0;
        Config {
            mode: surroundings.mode,
            ignored_options: surroundings.ignored_options,
            region_source,
            query: query::Settings {
                routing: routing.clone(),
                metadata_table: metadata_table.clone(),
                max_retries: self.setting::<Retries>("max_retries").0,
                read_limits: ReadLimits {
                    max_samples: self.setting::<SampleLimit>("max_read_samples").0,
                    max_bytes: max_read_bytes as u64,
                },
                cache: CacheSettings {
                    max_bytes: cache_bytes,
                    settle: self.setting("query_cache_settle"),
                    ttl: self.setting("query_cache_ttl"),
                },
            },
            ingest: ingest::Settings {
                metadata_table,
                routing,
                policy: WritePolicy {
                    fail_on_long_label: self.setting("fail_on_long_label"),
                    fail_on_invalid_sample_value: self.setting("fail_on_invalid_sample_value"),
                    store_special_values: self.setting("store_special_values"),
                },
                on_duplicate: self.setting("on_duplicate"),
                throttled_may_be_dropped: throttled_write_status == StatusCode::TOO_MANY_REQUESTS,
                max_retries: self.setting::<Retries>("max_write_retries").0,
                write_concurrency: self.setting::<Concurrency>("write_concurrency").0,
            },
            timestream: timestream::Settings {
                region: region.clone(),
                write_endpoint: self
                    .optional("write_base_endpoint")
                    .map(|EndpointUrl(url)| url),
                query_endpoint: self
                    .optional("query_base_endpoint")
                    .map(|EndpointUrl(url)| url),
                discovery: self.setting("endpoint_discovery"),
                roots: surroundings.roots,
            },
            listen_address: self.setting("web_listen_address"),
            http: http::Settings {
                region,
                telemetry_path: self.setting::<TelemetryPath>("web_telemetry_path").0,
                request_timeout,
                read_timeout,
                query_timeout,
                query_log_slow: self.setting("query_log_slow"),
                promql: self.promql(),
                cors_origin: self.optional(CORS_ORIGIN),
                throttled_write_status,
                permanent_error_status: self.setting("permanent_error_status"),
                otlp: self.otlp(),
                max_request_bytes,
                max_in_flight_bytes,
            },
            web: self.web(),
            log: telemetry::Settings {
                level: logging.then_some(level),
                format: self.setting("log_format"),
            },
            dead_letter: self.optional("dead_letter"),
            connectors: self.connectors(),
            replicas: self.replicas(surroundings.mode),
            state: self.optional("state_store"),
            secrets_dir: self.optional("secrets_dir").map(|Folder(path)| path),
        }
    }

    /// Returns the region and its source, in the order of the SDKs.
    fn region(&mut self, surroundings: &Surroundings) -> (String, RegionSource) {
        if let Some(Region(region)) = self.optional("region") {
            return (region, RegionSource::Option);
        }
        let sources = [RegionSource::Environment, RegionSource::DefaultEnvironment];
        let variables = surroundings.regions.iter().zip(sources);
        let mut named = variables.filter_map(|((variable, value), source)| {
            Some(((*variable).to_owned(), value.clone()?, source))
        });
        let of_profile = || {
            let profile = surroundings.profile.as_deref().unwrap_or("default");
            let region = surroundings.profile_files.as_ref()?.region(profile)?;
            let shown = format!("the region of the profile {}", quoted(profile));
            Some((shown, region, RegionSource::Profile))
        };
        let Some((shown, region, source)) = named.next().or_else(of_profile) else {
            return (DEFAULT_REGION.to_owned(), RegionSource::Default);
        };
        if Region::parse(&region).is_none() {
            let expected = Region::EXPECTED;
            let text = format!("{shown} is {}; expected {expected}", quoted(&region));
            self.add_error(INVALID_OPTION, text);
        }
        (region, source)
    }

    fn replicas(&mut self, mode: Mode) -> Option<replicas::Settings> {
        let is_on = self.setting::<bool>("ha_tracking");
        let settings = replicas::Settings {
            cluster_label: self.setting::<HaLabel>("ha_cluster_label").0,
            replica_label: self.setting::<HaLabel>("ha_replica_label").0,
            update: self.setting("ha_update"),
            failover: self.setting("ha_failover"),
            max_clusters: self.setting::<Clusters>("ha_max_clusters").0,
        };
        let [tracking, cluster, replica, update, failover, store] = [
            "ha_tracking",
            "ha_cluster_label",
            "ha_replica_label",
            "ha_update",
            "ha_failover",
            "state_store",
        ]
        .map(OptionSpec::of);
        if settings.cluster_label == settings.replica_label {
            let text = format!("{cluster} and {replica} are equal; expected different labels");
            self.add_error(INVALID_OPTION, text);
        }
        let (least, most) = (replicas::MIN_UPDATE, replicas::MAX_UPDATE);
        if !(least..=most).contains(&settings.update) {
            let given = settings.update;
            let text = format!("{update} is {given:?}; expected {least:?} to {most:?}");
            self.add_error(INVALID_OPTION, text);
            return None;
        }
        let least = settings.update + replicas::MIN_MARGIN;
        if settings.failover < least {
            let given = settings.failover;
            let text = format!(
                "{failover} is {given:?}; expected {least:?} or more, 6s more than {update}"
            );
            self.add_error(INVALID_OPTION, text);
        }
        if is_on && mode == Mode::Lambda && (self.value)("state_store").is_none() {
            let text = format!(
                "{tracking} is set without {store}; expected dynamodb:TABLE, as the memory of a function is not \
                 shared by its instances"
            );
            self.add_error(INVALID_OPTION, text);
        }
        is_on.then_some(settings)
    }

    fn promql(&mut self) -> EngineOptions {
        let features: Features = self.optional("enable_feature").unwrap_or_default();
        let defaults = EngineOptions::default();
        EngineOptions {
            parser: ParserOptions {
                experimental_functions: features.experimental_functions,
                extended_range_selectors: features.extended_range_selectors,
                fill_modifiers: features.fill_modifiers,
                ..defaults.parser
            },
            lookback_ms: milliseconds(self.setting("query_lookback_delta")),
            max_samples: self.setting::<QuerySamples>("query_max_samples").0,
            default_subquery_step_ms: milliseconds(self.setting("query_default_subquery_step")),
            delayed_name_removal: features.delayed_name_removal,
            type_and_unit_labels: features.type_and_unit_labels,
            per_step_statistics: features.per_step_statistics,
            ..defaults
        }
    }

    fn otlp(&mut self) -> otlp::Options {
        const ALL: &str = "otlp_promote_all_resource_attributes";
        const PROMOTED: &str = "otlp_promote_resource_attributes";
        const IGNORED: &str = "otlp_ignore_resource_attributes";
        let Attributes(promoted) = self.optional(PROMOTED).unwrap_or_default();
        let Attributes(ignored) = self.optional(IGNORED).unwrap_or_default();
        let options = otlp::Options {
            translation_strategy: self.setting("otlp_translation_strategy"),
            promote_resource_attributes: promoted,
            promote_all_resource_attributes: self.setting(ALL),
            ignore_resource_attributes: ignored,
            keep_identifying_resource_attributes: self
                .setting("otlp_keep_identifying_resource_attributes"),
            convert_histograms_to_nhcb: self.setting("otlp_convert_histograms_to_nhcb"),
            promote_scope_metadata: self.setting("otlp_promote_scope_metadata"),
            label_name_underscore_sanitization: self
                .setting("otlp_label_name_underscore_sanitization"),
            label_name_preserve_multiple_underscores: self
                .setting("otlp_label_name_preserve_multiple_underscores"),
        };
        let [all, promoted, ignored] = [ALL, PROMOTED, IGNORED].map(OptionSpec::of);
        let text = match options.validate() {
            Ok(()) => return options,
            Err(OptionsError::PromotedTwice) => {
                format!("{promoted} and {all} are both set; expected at most one of them")
            }
            Err(OptionsError::IgnoredWithoutAll) => {
                format!("{ignored} is set without {all}; expected both or neither")
            }
            Err(error) => error.to_string(),
        };
        self.add_error(INVALID_OPTION, text);
        options
    }

    fn replaying(&mut self, matches: &ArgMatches) -> Replaying {
        let [database, table] = FALLBACKS.map(|name| {
            let text = matches.get_one::<String>(name)?;
            let parsed = DestinationName::parse(text).map(|DestinationName(name)| name);
            if parsed.is_none() {
                let expected = DestinationName::EXPECTED;
                let text = format!("--{name} is {}; expected {expected}", quoted(text));
                self.add_error(INVALID_OPTION, text);
            }
            parsed
        });
        let sources = matches.get_many::<String>(SOURCES).into_iter().flatten();
        Replaying {
            sources: sources.map(|source| Source::of(source)).collect(),
            fallback: Fallback { database, table },
            sink: matches.get_one::<String>(SINK).map(PathBuf::from),
        }
    }

    fn connectors(&mut self) -> Vec<Arc<Definition>> {
        let Some(path) = (self.value)(CONNECTORS_FILE) else {
            return Vec::new();
        };
        let read = std::fs::read(&path).map_err(|error| vec![error.to_string()]);
        let definitions = read.and_then(|text| {
            let parsed = Definition::parse_list(&text, KINDS);
            parsed.map_err(|errors| errors.messages())
        });
        match definitions {
            Ok(definitions) => definitions.into_iter().map(Arc::new).collect(),
            Err(errors) => {
                for error in errors {
                    let option = OptionSpec::of(CONNECTORS_FILE);
                    let text = format!("{option} is {}: {error}", quoted(&path));
                    self.add_error(INVALID_OPTION, text);
                }
                Vec::new()
            }
        }
    }

    fn web(&mut self) -> WebConfig {
        let users = self.optional("basic_auth_users").unwrap_or_default();
        let tokens = Tokens {
            all: self.optional("bearer_token"),
            read: self.optional("read_bearer_token"),
            write: self.optional("write_bearer_token"),
            admin: self.optional("admin_bearer_token"),
        };
        if tokens.has_equal() {
            let [all, read, write, admin] = TOKENS.map(OptionSpec::of);
            let text = format!(
                "two of {all}, {read}, {write} and {admin} are equal; expected different tokens"
            );
            self.add_error(INVALID_OPTION, text);
        }
        let path = (self.value)("web_config_file");
        let opened = WebConfig::open(users, tokens, path.as_deref().map(Path::new));
        opened.unwrap_or_else(|errors| {
            let path = path.unwrap_or_default();
            self.errors.extend(errors.into_iter().map(|error| {
                let option = OptionSpec::of("web_config_file");
                OptionError {
                    name: INVALID_OPTION,
                    text: format!("{option} is {}: {error}", quoted(&path)),
                }
            }));
            // Never used, as there are errors.
            WebConfig::open(Users::default(), Tokens::default(), None)
                .expect("without a file there are no errors")
        })
    }

    fn routing(&mut self) -> Routing {
        let database = self.route_part("database_label", "default_database");
        let table = self.route_part("table_label", "default_table");
        if database.label.is_some() && database.label == table.label {
            let text = format!(
                "{} and {} are both {}; expected two different labels",
                OptionSpec::of("database_label"),
                OptionSpec::of("table_label"),
                quoted(database.label.as_deref().unwrap_or_default())
            );
            self.add_error(INVALID_OPTION, text);
        }
        Routing { database, table }
    }

    /// Returns the table of metadata; none if it is also the default table of samples, because their labels could
    /// clash with columns of metadata.
    fn metadata_table(&mut self, default_table: Option<&str>) -> Option<String> {
        let OptionalTable(table) = self.setting("metadata_table");
        if table.is_none() || table.as_deref() != default_table {
            return table;
        }
        if (self.value)("metadata_table").is_some() {
            let text = format!(
                "{} and {} are both {}; expected two different tables, or off",
                OptionSpec::of("metadata_table"),
                OptionSpec::of("default_table"),
                quoted(&table.unwrap_or_default())
            );
            self.add_error(INVALID_OPTION, text);
        }
        None
    }

    fn route_part(&mut self, label: &'static str, default: &'static str) -> RoutePart {
        let part = RoutePart {
            label: (self.value)(label),
            default: self.optional(default).map(|DestinationName(name)| name),
        };
        // A default that cannot be used is an error of its own.
        if self.needs_destination && part.label.is_none() && (self.value)(default).is_none() {
            let text = format!(
                "neither {} nor {} is set; expected at least one of them",
                OptionSpec::of(label),
                OptionSpec::of(default)
            );
            self.add_error(MISSING_DESTINATION, text);
        }
        part
    }

    /// Returns the value of an option, or its default; an invalid value becomes an error.
    fn setting<T: Value>(&mut self, variable: &'static str) -> T {
        self.optional(variable).unwrap_or_else(|| {
            T::parse(OptionSpec::of(variable).default).expect("every default is an accepted value")
        })
    }

    /// Returns the value of an option, if it has one; an invalid value becomes an error.
    fn optional<T: Value>(&mut self, variable: &'static str) -> Option<T> {
        let text = (self.value)(variable)?;
        let parsed = T::parse(&text);
        if parsed.is_none() {
            let shown = if T::SECRET {
                "not valid (its value is not shown)".to_owned()
            } else {
                quoted(&text)
            };
            let text = format!(
                "{} is {shown}; expected {}",
                OptionSpec::of(variable),
                T::EXPECTED
            );
            self.add_error(error_name(variable), text);
        }
        parsed
    }

    fn add_both_names(&mut self, option: &OptionSpec) {
        let former = FormerName::of(option.variable).expect("it is set by its former name");
        let text = format!(
            "{option} is set, and also by its former name {former}; expected only {option}"
        );
        self.add_error(INVALID_OPTION, text);
    }

    fn add_error(&mut self, name: &'static str, text: String) {
        self.errors.push(OptionError { name, text });
    }
}

/// The name of an error that the Go connector had no name for.
const INVALID_OPTION: &str = "InvalidOptionError";

/// Returns the name of an error of this option, as in the Go connector, so that its documentation still applies.
fn error_name(variable: &str) -> &'static str {
    match variable {
        "enable_logging" => "ParseEnableLoggingError",
        "fail_on_long_label" => "ParseMetricLabelError",
        "fail_on_invalid_sample_value" => "ParseSampleOptionError",
        "max_retries" | "max_write_retries" => "ParseRetriesError",
        _ => INVALID_OPTION,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::options::command;
    use std::time::Duration;

    use super::*;
    use crate::http::PermanentErrorStatus;
    use crate::web_config::BearerToken;

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

    fn errors(arguments: &[&str], environment: &[(&str, &str)]) -> Vec<String> {
        match read_from(arguments, environment) {
            Err(ConfigError::Options(errors)) => errors.iter().map(ToString::to_string).collect(),
            other => panic!("{other:?}"),
        }
    }

    const DEFAULTS: [&str; 2] = ["--default-database=db", "--default-table=t"];

    #[test]
    fn defaults() {
        let config = config(&DEFAULTS, &[]);
        assert_eq!(config.timestream.region, "us-east-1");
        assert_eq!(config.listen_address.to_string(), ":9201");
        assert_eq!(
            (config.query.max_retries, config.ingest.max_retries),
            (3, 10)
        );
        assert_eq!(config.http.request_timeout, Duration::from_secs(25));
        assert_eq!(config.http.max_request_bytes, 33_554_432);
        let limits = ReadLimits {
            max_samples: 50_000_000,
            max_bytes: 256 << 20,
        };
        assert_eq!(config.query.read_limits, limits);
        assert_eq!(config.log.level, Some(tracing::Level::INFO));
        assert_eq!(config.http.throttled_write_status, 503);
        assert_eq!(
            config.http.permanent_error_status,
            PermanentErrorStatus::Auto
        );
    }

    #[test]
    fn otlp_has_prometheus_settings() {
        let none = config(&DEFAULTS, &[]);
        assert_eq!(none.http.otlp, otlp::Options::default());
        let all = [
            ("otlp_translation_strategy", "NoTranslation"),
            (
                "otlp_promote_resource_attributes",
                "k8s.pod.name, service.name",
            ),
            ("otlp_keep_identifying_resource_attributes", "true"),
            ("otlp_convert_histograms_to_nhcb", "true"),
            ("otlp_promote_scope_metadata", "true"),
            ("otlp_label_name_underscore_sanitization", "false"),
            ("otlp_label_name_preserve_multiple_underscores", "false"),
        ];
        let expected = otlp::Options {
            translation_strategy: otlp::TranslationStrategy::NoTranslation,
            promote_resource_attributes: vec!["k8s.pod.name".to_owned(), "service.name".to_owned()],
            promote_all_resource_attributes: false,
            ignore_resource_attributes: vec![],
            keep_identifying_resource_attributes: true,
            convert_histograms_to_nhcb: true,
            promote_scope_metadata: true,
            label_name_underscore_sanitization: false,
            label_name_preserve_multiple_underscores: false,
        };
        assert_eq!(config(&DEFAULTS, &all).http.otlp, expected);
        let everything = [
            "--default-database=db",
            "--default-table=t",
            "--otlp.promote-all-resource-attributes",
            "--otlp.ignore-resource-attributes=host.id",
        ];
        let otlp = config(&everything, &[]).http.otlp;
        assert!(otlp.promote_all_resource_attributes);
        assert_eq!(otlp.ignore_resource_attributes, ["host.id"]);
        for (name, value, expected) in [
            (
                "otlp_translation_strategy",
                "none",
                "is \"none\"; expected UnderscoreEscapingWithSuffixes,",
            ),
            (
                "otlp_promote_resource_attributes",
                "a,,b",
                "expected a comma-separated list of different names",
            ),
            (
                "otlp_promote_resource_attributes",
                "a,a",
                "expected a comma-separated list of different names",
            ),
            (
                "otlp_ignore_resource_attributes",
                "a",
                "is set without --otlp.promote-all-resource-attributes",
            ),
        ] {
            let errors = errors(&DEFAULTS, &[(name, value)]);
            assert_eq!(errors.len(), 1, "{errors:?}");
            assert!(errors[0].contains(expected), "{errors:?}");
        }
        let both = [
            ("otlp_promote_resource_attributes", "a"),
            ("otlp_promote_all_resource_attributes", "true"),
        ];
        let errors = errors(&DEFAULTS, &both);
        assert!(errors[0].contains("are both set"), "{errors:?}");
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
        assert_eq!(config.ingest.routing.database.label.as_deref(), Some("d"));
        assert_eq!(
            config.ingest.routing.table,
            RoutePart {
                label: Some("t".to_owned()),
                default: None
            }
        );
        assert_eq!(config.query.max_retries, 7);
        assert!(config.ingest.policy.fail_on_invalid_sample_value);
        assert_eq!(config.log.level, None);
        assert_eq!(config.timestream.region, "eu-west-1");
        assert_eq!(config.http.request_timeout, Duration::from_secs(90));
        assert_eq!(config.http.max_request_bytes, 1 << 20);
    }

    #[test]
    fn defaults_in_lambda() {
        let lambda = [("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001")];
        let set = [
            ("request_timeout", "10s"),
            ("web_listen_address", "nonsense"),
            ("web_config_file", "/does/not/exist"),
            ("AWS_REGION", "eu-west-1"),
        ];
        let config = config(&DEFAULTS, &[&lambda[..], &set].concat());
        assert_eq!(config.mode, Mode::Lambda);
        assert_eq!(config.http.read_timeout, Duration::from_secs(10));
        assert_eq!(config.region_source, RegionSource::Environment);
        let ignored: Vec<&str> = config
            .ignored_options
            .iter()
            .map(|it| it.variable)
            .collect();
        assert_eq!(ignored, ["web_listen_address", "web_config_file"]);
    }

    #[test]
    fn replicas_are_tracked_if_that_is_said() {
        assert_eq!(config(&DEFAULTS, &[]).replicas, None);
        let on = config(&DEFAULTS, &[("ha_tracking", "true")]).replicas;
        let settings = replicas::Settings {
            cluster_label: "cluster".to_owned(),
            replica_label: "__replica__".to_owned(),
            update: Duration::from_secs(15),
            failover: Duration::from_secs(30),
            max_clusters: 100,
        };
        assert_eq!(on, Some(settings));
        let set = [
            ("ha_tracking", "true"),
            ("ha_cluster_label", "prometheus"),
            ("ha_replica_label", "prometheus_replica"),
            ("ha_update", "1s"),
            ("ha_failover", "7s"),
            ("ha_max_clusters", "3"),
            ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001"),
            ("state_store", "dynamodb:state"),
        ];
        let settings = config(&DEFAULTS, &set).replicas.unwrap();
        assert_eq!(settings.cluster_label, "prometheus");
        assert_eq!(settings.replica_label, "prometheus_replica");
        assert_eq!(settings.failover, Duration::from_secs(7));
        assert_eq!(
            (settings.update, settings.max_clusters),
            (Duration::from_secs(1), 3)
        );
        for (set, expected) in [
            (
                ("ha_failover", "20s"),
                "--ha-failover (ha_failover) is 20s; expected 21s or more, 6s more than --ha-update (ha_update)",
            ),
            (
                ("ha_update", "999ms"),
                "--ha-update (ha_update) is 999ms; expected 1s to 60s",
            ),
            (
                ("ha_update", "61s"),
                "--ha-update (ha_update) is 61s; expected 1s to 60s",
            ),
            (
                ("ha_cluster_label", "__replica__"),
                "--ha-cluster-label (ha_cluster_label) and --ha-replica-label (ha_replica_label) are equal; expected \
                 different labels",
            ),
            (
                ("ha_replica_label", "__name__"),
                "--ha-replica-label (ha_replica_label) is \"__name__\"; expected the name of a label other than __name__",
            ),
            (
                ("ha_max_clusters", "0"),
                "--ha-max-clusters (ha_max_clusters) is \"0\"; expected a whole number from 1 to 10000",
            ),
            (
                ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001"),
                "--ha-tracking (ha_tracking) is set without --state-store (state_store); expected dynamodb:TABLE, as \
                 the memory of a function is not shared by its instances",
            ),
        ] {
            let expected = format!("InvalidOptionError: {expected}");
            let set = [("ha_tracking", "true"), set];
            assert_eq!(errors(&DEFAULTS, &set), [expected], "{set:?}");
        }
    }

    #[test]
    fn state_and_secrets() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let flags = [
            "--state-store=dynamodb:state",
            &format!("--secrets-dir={path}"),
        ];
        let config = config(&[&DEFAULTS[..], &flags].concat(), &[]);
        assert_eq!(config.state, Some(StateStore::DynamoDb("state".to_owned())));
        assert_eq!(config.secrets_dir.as_deref(), Some(folder.path()));
        let found = errors(
            &[
                DEFAULTS[0],
                DEFAULTS[1],
                "--state-store=state",
                "--secrets-dir=/none",
            ],
            &[],
        );
        assert_eq!(
            found,
            [
                "InvalidOptionError: --state-store (state_store) is \"state\"; expected file:DIR, or dynamodb: \
                 and the name or ARN of a table",
                "InvalidOptionError: --secrets-dir (secrets_dir) is \"/none\"; expected a folder \
                 that exists",
            ]
        );
    }

    #[test]
    fn former_names_are_accepted_alone() {
        let state = |arguments: &[&str], environment: &[(&str, &str)]| {
            config(&[&DEFAULTS, arguments].concat(), environment).state
        };
        assert_eq!(state(&["--state-store="], &[("state", "file:x")]), None);
        let expected = Some(StateStore::DynamoDb("state".to_owned()));
        for names in [["--state=dynamodb:state"], ["--state-store=dynamodb:state"]] {
            assert_eq!(state(&names, &[]), expected, "{names:?}");
        }
        for variable in ["state", "state_store"] {
            let environment = [(variable, "dynamodb:state")];
            assert_eq!(state(&[], &environment), expected, "{variable}");
        }
        // A flag wins over a variable, by either name.
        assert_eq!(
            state(&["--state=dynamodb:state"], &[("state", "dynamodb:other")]),
            expected
        );
        for (arguments, environment) in [
            (&["--throttling-status=429"][..], &[][..]),
            (&["--throttled-write-status=429"], &[]),
            (&[], &[("throttling_status", "429")]),
            (&[], &[("throttled_write_status", "429")]),
            (
                &["--throttling-status=429"],
                &[("throttled_write_status", "")],
            ),
        ] {
            let config = config(&[&DEFAULTS, arguments].concat(), environment);
            assert_eq!(config.http.throttled_write_status, 429, "{arguments:?}");
        }
    }

    #[test]
    fn both_names_of_an_option_are_an_error() {
        for (arguments, environment) in [
            (
                &["--state=dynamodb:state", "--state-store=dynamodb:state"][..],
                &[][..],
            ),
            (
                &["--state=dynamodb:state"],
                &[("state_store", "dynamodb:state")],
            ),
            (
                &["--state-store=dynamodb:state"],
                &[("state", "dynamodb:state")],
            ),
            (
                &[],
                &[
                    ("state_store", "dynamodb:state"),
                    ("state", "dynamodb:state"),
                ],
            ),
        ] {
            let found = errors(&[&DEFAULTS, arguments].concat(), environment);
            let expected = "InvalidOptionError: --state-store (state_store) is set, and also by its \
                            former name --state (state); expected only --state-store (state_store)";
            assert_eq!(found, [expected], "{arguments:?} {environment:?}");
        }
    }

    #[test]
    fn former_names_are_of_options_and_hidden() {
        let help = command().render_long_help().to_string();
        for former in super::options::FORMER_NAMES {
            assert_ne!(OptionSpec::of(former.option).flag, former.flag);
            assert!(!help.contains(&format!("--{} ", former.flag)), "{former}");
            assert!(
                !help.contains(&format!("[variable: {}]", former.variable)),
                "{former}"
            );
        }
    }

    #[test]
    fn every_error_of_a_file_of_connectors_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("connectors.json");
        let flag = format!("--connectors.file={}", path.display());
        let read = || errors(&[DEFAULTS[0], DEFAULTS[1], &flag], &[]);
        assert!(read()[0].contains("No such file"), "{:?}", read());
        std::fs::write(&path, r#"[{"name": "a"}, {"type": "none"}]"#).unwrap();
        let found = read();
        let option = format!(
            "InvalidOptionError: --connectors.file (connectors_file) is {:?}: ",
            path.display().to_string()
        );
        assert!(
            found.iter().all(|error| error.starts_with(&option)),
            "{found:?}"
        );
        let messages: Vec<&str> = found.iter().map(|error| &error[option.len()..]).collect();
        assert_eq!(
            messages[..2],
            ["[0]: missing field `type`", "[1]: missing field `name`"]
        );
        assert!(
            messages[2].starts_with("[1].type: expected one of "),
            "{messages:?}"
        );
        std::fs::write(&path, "[]").unwrap();
        assert!(
            config(&[DEFAULTS[0], DEFAULTS[1], &flag], &[])
                .connectors
                .is_empty()
        );
    }

    #[test]
    fn options_that_are_secrets_are_none_of_a_definition() {
        use crate::jobs::secret::{OWN, SecretRef};
        let is_secret = |variable: &str| match variable {
            "basic_auth_users" => Users::SECRET,
            name if TOKENS.contains(&name) => BearerToken::SECRET,
            _ => false,
        };
        for option in OPTIONS {
            let is_own = OWN.contains(&option.variable);
            assert_eq!(is_secret(option.variable), is_own, "{}", option.variable);
            let reference = SecretRef::parse(&format!("$env:{}", option.variable));
            assert_eq!(reference.is_err(), is_own, "{}", option.variable);
        }
    }

    #[test]
    fn the_query_cache_has_a_sixteenth_of_the_memory_of_a_function() {
        let memory = ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512");
        let lambda = ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001");
        let cache = |environment: &[(&str, &str)]| config(&DEFAULTS, environment).query.cache;
        let defaults = CacheSettings {
            max_bytes: 64 << 20,
            settle: Duration::from_secs(15 * 60),
            ttl: Duration::from_secs(60 * 60),
        };
        assert_eq!(cache(&[]), defaults);
        assert_eq!(cache(&[memory]), defaults);
        assert_eq!(cache(&[lambda, memory]).max_bytes, 32 << 20);
        for (text, bytes) in [("0", 0), ("9MiB", 9 << 20)] {
            let given = ("query_cache_bytes", text);
            assert_eq!(cache(&[given]).max_bytes, bytes);
            assert_eq!(cache(&[lambda, memory, given]).max_bytes, bytes);
        }
        let errors = errors(&DEFAULTS, &[("query_cache_bytes", "5")]);
        assert!(
            errors[0].contains("expected 0, or a size from 1KiB to 1GiB"),
            "{errors:?}"
        );
    }

    #[test]
    fn a_function_may_hold_what_a_quarter_of_its_memory_takes() {
        let max_bytes = |variables: &[(&str, &str)]| {
            let lambda = [("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001")];
            let config = config(&DEFAULTS, &[&lambda[..], variables].concat());
            config.query.read_limits.max_bytes
        };
        let memory = ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512");
        assert_eq!(max_bytes(&[memory]), 128 << 20);
        assert_eq!(max_bytes(&[memory, ("max_read_bytes", "9MiB")]), 9 << 20);
        assert_eq!(max_bytes(&[]), 256 << 20);
    }

    #[test]
    fn defaults_with_an_empty_runtime_api() {
        let empty = [("AWS_LAMBDA_RUNTIME_API", "")];
        let config = config(&DEFAULTS, &empty);
        assert_eq!(config.mode, Mode::Standalone);
        assert_eq!(config.http.read_timeout, Duration::from_secs(60));
        assert_eq!(config.region_source, RegionSource::Default);
        assert_eq!(config.timestream.roots, TrustedRoots::Bundled);
        assert!(config.ignored_options.is_empty());
        let found = errors(
            &["--web.listen-address=nonsense", DEFAULTS[0], DEFAULTS[1]],
            &[],
        );
        assert_eq!(found.len(), 1, "{found:?}");
    }

    #[test]
    fn a_variable_selects_the_roots_of_the_system() {
        for variable in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
            let config = config(&DEFAULTS, &[(variable, "/etc/ssl/x")]);
            assert_eq!(config.timestream.roots, TrustedRoots::System, "{variable}");
        }
    }

    #[test]
    fn the_log_is_set_as_the_options_say_by_default() {
        let (read, assumed) = (config(&DEFAULTS, &[]).log, telemetry::Settings::default());
        assert_eq!((read.level, read.format), (assumed.level, assumed.format));
    }

    #[test]
    fn all_errors_are_reported_together() {
        let found = errors(
            &[
                "--max-retries=-1",
                "--enable-logging=yes",
                "--log.format=xml",
            ],
            &[
                ("fail_on_long_label", "maybe"),
                ("fail_on_invalid_sample_value", "TrUe"),
                ("throttled_write_status", "500"),
                ("permanent_error_status", "404"),
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
            "InvalidOptionError: --throttled-write-status",
            "InvalidOptionError: --permanent-error-status",
        ];
        for start in starts {
            assert!(
                found.iter().any(|error| error.starts_with(start)),
                "{start}\n{found:#?}"
            );
        }
        assert_eq!(found.len(), starts.len(), "{found:#?}");
    }

    #[test]
    fn the_region_is_that_of_the_sdks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        let text = "[default]\nregion = eu-west-1\n[profile prod]\nregion = eu-west-2\n[profile bad]\nregion = x\n";
        std::fs::write(&path, text).unwrap();
        let path = path.to_str().unwrap();
        let files = [("AWS_CONFIG_FILE", path), ("HOME", "/nosuch")];
        let region = |variables: &[(&str, &str)]| {
            let config = config(&DEFAULTS, &[&files, variables].concat());
            (config.timestream.region, config.region_source)
        };
        let of_variables = [
            ("region", "ap-south-1"),
            ("AWS_REGION", "us-west-1"),
            ("AWS_DEFAULT_REGION", "us-west-2"),
            ("AWS_PROFILE", "prod"),
        ];
        for (from, expected, source) in [
            (0, "ap-south-1", RegionSource::Option),
            (1, "us-west-1", RegionSource::Environment),
            (2, "us-west-2", RegionSource::DefaultEnvironment),
            (3, "eu-west-2", RegionSource::Profile),
            (4, "eu-west-1", RegionSource::Profile),
        ] {
            let expected = (expected.to_owned(), source);
            assert_eq!(region(&of_variables[from..]), expected);
        }
        // Empty values count as not set.
        let expected = ("eu-west-1".to_owned(), RegionSource::Profile);
        assert_eq!(region(&[("AWS_REGION", ""), ("AWS_PROFILE", "")]), expected);
        let bad = [&files[..], &[("AWS_PROFILE", "bad")]].concat();
        let expected = "InvalidOptionError: the region of the profile \"bad\" is \"x\"; expected the name of a region, \
                        such as eu-west-1";
        assert_eq!(errors(&DEFAULTS, &bad), [expected]);
    }

    #[test]
    fn regions_and_endpoints_have_their_form() {
        for region in [
            "us-east-1",
            "eu-central-2",
            "us-gov-west-1",
            "us-isob-east-1",
            "cn-northwest-1",
        ] {
            let config = config(&DEFAULTS, &[("AWS_REGION", region)]);
            assert_eq!(config.timestream.region, region);
            let config = self::config(&DEFAULTS, &[("region", region)]);
            assert_eq!(config.timestream.region, region);
        }
        for region in [
            "Ireland",
            "eu west 1",
            "eu-west1",
            "eu_west_1",
            "EU-WEST-1",
            "us-east-1a",
            "us-1",
            "-1",
            "us-east-",
        ] {
            let expected = format!(
                "InvalidOptionError: --region (region) is {region:?}; expected the name of a region, such as eu-west-1"
            );
            assert_eq!(errors(&DEFAULTS, &[("region", region)]), [expected]);
            let expected = format!(
                "InvalidOptionError: AWS_REGION is {region:?}; expected the name of a region, such as eu-west-1"
            );
            assert_eq!(errors(&DEFAULTS, &[("AWS_REGION", region)]), [expected]);
        }
        for variable in ENDPOINTS {
            for url in ["localhost:9202", "foo", "ftp://host", "https://"] {
                let expected = format!(
                    "InvalidOptionError: {variable} is {url:?}; expected a URL such as https://host"
                );
                assert_eq!(errors(&DEFAULTS, &[(variable, url)]), [expected]);
            }
            config(&DEFAULTS, &[(variable, "http://localhost:9202")]);
        }
    }

    #[test]
    fn secrets_are_read_and_not_shown() {
        let hash = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG";
        let users = format!("alice:{hash}");
        let config = config(
            &DEFAULTS,
            &[
                ("basic_auth_users", &users),
                ("bearer_token", "t0ken"),
                ("read_bearer_token", "t0ken-r"),
                ("write_bearer_token", "t0ken-w"),
                ("admin_bearer_token", "t0ken-a"),
            ],
        );
        let web = config.web.current();
        assert!(!web.users.is_empty() && web.tokens.all.is_some());
        assert!(web.tokens.read.is_some() && web.tokens.write.is_some());
        assert!(web.tokens.admin.is_some());
        let shown = format!("{config:?}");
        assert!(shown.contains("alice"), "{shown}");
        assert!(
            !shown.contains("$2y$") && !shown.contains("t0ken"),
            "{shown}"
        );
    }

    #[test]
    fn equal_tokens_would_give_the_access_of_both() {
        for (first, second) in [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)] {
            let found = errors(
                &DEFAULTS,
                &[(TOKENS[first], "t0ken"), (TOKENS[second], "t0ken")],
            );
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(
                found[0].ends_with("are equal; expected different tokens"),
                "{found:?}"
            );
            assert!(!found[0].contains("t0ken"), "{found:?}");
        }
    }

    #[test]
    fn a_secret_in_a_wrong_place_is_not_shown() {
        for arguments in [&["--", "--bearer-token=t0ken"][..], &["bearer_token=t0ken"]] {
            let error = read_from(arguments, &[]).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(shown.contains("token=..."), "{shown}");
            assert!(!shown.contains("t0ken"), "{shown}");
        }
    }

    #[test]
    fn the_region_of_an_estimate_is_named_by_its_source() {
        let arguments = ["estimate", "--from-exposition=-"];
        for (variable, flag, expected) in [
            ("AWS_REGION", None, "AWS_REGION is \"Ireland\""),
            (
                "AWS_DEFAULT_REGION",
                None,
                "AWS_DEFAULT_REGION is \"Ireland\"",
            ),
            (
                "AWS_REGION",
                Some("--region=Oregon"),
                "--region is \"Oregon\"",
            ),
        ] {
            let arguments: Vec<_> = arguments.into_iter().chain(flag).collect();
            let found = errors(&arguments, &[(variable, "Ireland")]);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains(expected), "{found:?}");
        }
    }

    #[test]
    fn user_and_password_of_a_url_are_not_shown() {
        let url = "http://user:t0ken=x@host/p?a=b";
        for option in OPTIONS {
            if let Err(error) = read_from(&DEFAULTS, &[(option.variable, url)]) {
                assert!(!error.to_string().contains("t0ken"), "{error}");
            }
        }
        let others = ENDPOINTS
            .iter()
            .chain(&["AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"]);
        for variable in others {
            let url = format!("u:t0ken@{variable}");
            let home = ("HOME", "/none");
            let found = errors(&DEFAULTS, &[(*variable, &*url), home]);
            let expected = format!("is \"...@{variable}\"");
            assert!(found[0].contains(&expected), "{found:?}");
            assert!(!found[0].contains("t0ken"), "{found:?}");
        }
        for arguments in [
            &[url][..],
            &["--", url],
            &["--bearer_token=x@t0ken"],
            &["bearer_token=x@t0ken"],
            &["completions", url],
            &["doctor", "--timeout", url],
            &["estimate", url],
            &["estimate", "--from-prometheus=u:t0ken@h"],
            &["estimate", "--from-exposition=-", "--region", url],
            &["estimate", "--from-exposition=-", "--targets", url],
            &["estimate", "--from-exposition=-", "--scrape-interval", url],
            &["replay", "--database", url],
        ] {
            let error = read_from(arguments, &[]).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("t0ken"), "{arguments:?}: {shown}");
        }
    }

    #[test]
    fn one_label_cannot_name_both() {
        let found = errors(&["--database-label=x", "--table-label=x"], &[]);
        assert!(
            found[0].contains("expected two different labels"),
            "{found:?}"
        );
    }

    #[test]
    fn metadata_has_a_table_of_its_own_or_none() {
        let table = |flags: &[&str]| {
            config(&[&DEFAULTS, flags].concat(), &[])
                .ingest
                .metadata_table
        };
        assert_eq!(table(&[]).as_deref(), Some("metrics"));
        assert_eq!(table(&["--metadata-table="]).as_deref(), Some("metrics"));
        assert_eq!(table(&["--metadata-table=about"]).as_deref(), Some("about"));
        assert_eq!(table(&["--metadata-table=off"]), None);
        assert_eq!(table(&["--default-table=metrics"]), None);
        let found = errors(&[DEFAULTS[0], DEFAULTS[1], "--metadata-table=t"], &[]);
        assert!(
            found[0].contains("expected two different tables, or off"),
            "{found:?}"
        );
        let found = errors(&[DEFAULTS[0], DEFAULTS[1], "--metadata-table=a b"], &[]);
        assert!(found[0].contains("or off"), "{found:?}");
    }

    #[test]
    fn checking_reads_everything_and_serves_nothing() {
        assert!(matches!(
            read_from(&["--check-config", DEFAULTS[0], DEFAULTS[1]], &[]),
            Ok(Invocation::Checked)
        ));
        assert_eq!(errors(&["--check-config"], &[]).len(), 2);
    }

    #[test]
    fn help_names_every_option_with_its_variable() {
        let text = command().render_help().to_string();
        assert!(
            text.lines().all(|line| line.chars().count() <= 100),
            "{text}"
        );
        // It is wrapped.
        let words: Vec<_> = text.split_whitespace().collect();
        let help = words.join(" ");
        for option in OPTIONS {
            let (flag, variable) = (option.flag, option.variable);
            assert!(text.contains(&format!("\n{}:\n", option.subject)));
            assert!(help.contains(&format!("--{flag}")), "{flag}");
            let variable = format!("[variable: {variable}]");
            assert!(help.contains(&variable), "{variable}");
        }
    }

    #[test]
    fn commands_explain_their_own_options_and_name_the_others() {
        for (name, own) in [
            (REPLAY, "--sink <"),
            (RUN, "<DEFINITION.json>"),
            (HEALTHCHECK, ""),
        ] {
            let mut command = command();
            let command = command.find_subcommand_mut(name).unwrap();
            let text = command.render_help().to_string();
            assert!(text.contains(own), "{text}");
            assert!(text.lines().count() < 60, "{text}");
            let words: Vec<_> = text.split([' ', '\n', ',']).collect();
            for option in OPTIONS {
                assert!(words.contains(&&*format!("--{}", option.flag)), "{text}");
            }
        }
    }

    #[test]
    fn a_misspelled_flag_has_a_suggestion() {
        let error = read_from(&["--defualt-table=t"], &[]).unwrap_err();
        assert!(error.to_string().contains("'--default-table'"), "{error}");
    }
}
