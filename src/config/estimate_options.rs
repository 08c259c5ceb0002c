//! The command line of `bootstrap estimate`, which has options of its own alone: nothing is stored.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command, ValueHint};
use reqwest::Url;

use super::value::{Region, Value};
use super::{DEFAULT_REGION, INVALID_OPTION, OptionError, quoted};
use crate::estimate::bill::Terms;
use crate::estimate::sink::Sending;
use crate::estimate::{CredentialsFile, Settings, Source};

/// The command that estimates the bill.
pub(super) const ESTIMATE: &str = "estimate";

const PROMETHEUS: &str = "from-prometheus";
const EXPOSITION: &str = "from-exposition";
const INTERVAL: &str = "scrape-interval";
const TARGETS: &str = "targets";
const MAX_SERIES: &str = "max-series";
const BEARER: &str = "bearer-token-file";
const BASIC: &str = "basic-auth-file";
const MAX_SAMPLES: &str = "max-samples-per-send";
const SHARDS: &str = "shards";
const SPECIAL: &str = "store-special-values";
const MEMORY: &str = "memory-retention";
const MAGNETIC: &str = "retention";
const QUERIES: &str = "queries-per-day";
const REGION: &str = "region";
const PRICES: &str = "prices";
const JSON: &str = "json";

/// Each option that has a value: name, form, default and help.
const OPTIONS: [(&str, &str, &str, &str); 14] = [
    (
        PROMETHEUS,
        "URL",
        "",
        "Estimate the series of the Prometheus server at this address",
    ),
    (
        EXPOSITION,
        "FILE|URL|-",
        "",
        "Estimate targets that expose the metrics in this file, at this address, or on standard input",
    ),
    (
        INTERVAL,
        "DURATION",
        "",
        "Interval of the scrapes of an exposition [default: 15s], or of the series of Prometheus that are of no target [default: its evaluation interval]",
    ),
    (TARGETS, "NUMBER", "1", "Targets with the same exposition"),
    (
        MAX_SERIES,
        "NUMBER",
        "100000",
        "Maximum series that are read; beyond it a sample is scaled up",
    ),
    (
        BEARER,
        "FILE",
        "",
        "File with the bearer token for the address",
    ),
    (BASIC, "FILE", "", "File with user:password for the address"),
    (
        MAX_SAMPLES,
        "NUMBER",
        "10000",
        "Setting of Prometheus' queue_config, where its own default is 2000",
    ),
    (SHARDS, "NUMBER", "1", "Shards by which Prometheus sends"),
    (MEMORY, "HOURS", "2h", "Retention of the memory store"),
    (MAGNETIC, "DAYS", "365d", "Retention of the magnetic store"),
    (
        QUERIES,
        "NUMBER",
        "100",
        "Queries of Timestream in a day, each of them alone",
    ),
    (
        REGION,
        "REGION",
        "",
        "Region of the prices; if unset, AWS_REGION, AWS_DEFAULT_REGION or us-east-1, the only one whose prices are known without --prices",
    ),
    (PRICES, "FILE", "", "JSON file with other prices"),
];

pub(super) fn command() -> Command {
    let valued = OPTIONS.map(|(name, form, default, help)| {
        let argument = Arg::new(name).long(name).value_name(form).help(help);
        let argument = match form {
            "FILE" | "FILE|URL|-" => argument.value_hint(ValueHint::FilePath),
            _ => argument,
        };
        match default {
            "" => argument,
            default => argument.default_value(default),
        }
    });
    let flags = [
        (
            SPECIAL,
            "Count NaN and infinities, as with the server's option",
        ),
        (JSON, "Write JSON instead of tables"),
    ];
    let flags = flags.map(|(name, help)| {
        let argument = Arg::new(name).long(name).action(ArgAction::SetTrue);
        argument.help(help)
    });
    Command::new(ESTIMATE)
        .about("Estimates the monthly bill of Timestream for real series; stores nothing and needs no AWS account")
        .after_help("Exit status: 0 estimated, 1 the series cannot be read, 2 the command or prices cannot be used")
        .args_override_self(true)
        .args(valued)
        .args(flags)
        .group(ArgGroup::new("source").args([PROMETHEUS, EXPOSITION]).required(true))
        .group(ArgGroup::new("credentials").args([BEARER, BASIC]))
}

/// Reads the options of the command.
///
/// # Errors
/// All that cannot be used.
pub(super) fn settings(
    matches: &ArgMatches,
    aws_region: Option<(&'static str, String)>,
) -> Result<Settings, Vec<OptionError>> {
    let mut errors = Vec::new();
    let given = |name: &str| matches.get_one::<String>(name).map(String::as_str);
    let mut error = |name: &str, text: &str, expected: &str| {
        errors.push(OptionError {
            name: INVALID_OPTION,
            text: format!("--{name} is {text}; expected {expected}"),
        });
    };
    let mut number = |name: &str, unit: &str, min: u64, max: u64| {
        let text = given(name).unwrap_or_default();
        let number = text.strip_suffix(unit).and_then(|it| it.parse().ok());
        let number = number.filter(|number| (min..=max).contains(number));
        number.unwrap_or_else(|| {
            let expected = format!("a whole number from {min}{unit} to {max}{unit}");
            error(name, &quoted(text), &expected);
            min
        })
    };
    let terms = Terms {
        memory_hours: number(MEMORY, "h", 1, 8_766) as f64,
        magnetic_days: number(MAGNETIC, "d", 1, 73_000) as f64,
        queries_per_day: number(QUERIES, "", 0, 1_000_000_000) as f64,
    };
    let sending = Sending {
        max_samples: number(MAX_SAMPLES, "", 1, 100_000) as usize,
        shards: number(SHARDS, "", 1, 1_000) as usize,
        stores_special_values: matches.get_flag(SPECIAL),
    };
    let targets = number(TARGETS, "", 1, 1_000_000);
    let max_series = number(MAX_SERIES, "", 100, 1_000_000) as usize;
    let mut url = |name: &str, text: &str| {
        let url = Url::parse(text).ok();
        let is_usable = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
        let url = url.filter(is_usable);
        // An address may hold a password.
        if !url
            .as_ref()
            .is_some_and(|it| it.username().is_empty() && it.password().is_none())
        {
            let expected = format!(
                "a URL such as http://localhost:9090, without credentials (--{BASIC} has them)"
            );
            error(name, "not valid (its value is not shown)", &expected);
        }
        url
    };
    let source = match (given(PROMETHEUS), given(EXPOSITION).unwrap_or_default()) {
        (Some(text), _) => url(PROMETHEUS, text).map(Source::Prometheus),
        (None, "-") => Some(Source::Input),
        (None, text) if text.contains("://") => url(EXPOSITION, text).map(Source::Url),
        (None, text) => Some(Source::File(text.into())),
    };
    let scrape_interval = given(INTERVAL).and_then(|text| {
        let interval = Duration::parse(text);
        if interval.is_none() {
            error(INTERVAL, &quoted(text), Duration::EXPECTED);
        }
        interval
    });
    let by_flag = given(REGION).map(|region| ("--region", region.to_owned()));
    let default = || ("--region", DEFAULT_REGION.to_owned());
    let (name, region) = by_flag.or(aws_region).unwrap_or_else(default);
    if Region::parse(&region).is_none() {
        errors.push(OptionError {
            name: INVALID_OPTION,
            text: format!(
                "{name} is {}; expected {}",
                quoted(&region),
                Region::EXPECTED
            ),
        });
    }
    let credentials = given(BEARER).map(|it| CredentialsFile::Bearer(it.into()));
    let basic = given(BASIC).map(|it| CredentialsFile::Basic(it.into()));
    match source {
        Some(source) if errors.is_empty() => Ok(Settings {
            source,
            scrape_interval,
            targets,
            max_series,
            credentials: credentials.or(basic),
            sending,
            terms,
            region,
            prices: given(PRICES).map(PathBuf::from),
            is_json: matches.get_flag(JSON),
        }),
        _ => Err(errors),
    }
}
