//! The command `bootstrap estimate`: reads real series and writes the bill of a month.

mod prometheus;

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use exposition::{Format, parse};
use prom_model::visible::{escaped_lines, without_userinfo};
use reqwest::Url;

use crate::estimate::report::Report;
use crate::estimate::series::Input;
use crate::estimate::{CredentialsFile, Settings, Source};
use crate::jobs::auth::Auth;
use crate::jobs::client::{Client, REMEDIES_OF_JOBS, Session};
use crate::jobs::secret::Secret;
use crate::prices::{PRICES, Prices};
use crate::telemetry::print_error;
use crate::timestream::TrustedRoots;

/// The most bytes of an exposition or a response.
const MAX_BYTES: usize = 64 << 20;
/// The most bytes of a file with prices or credentials.
const MAX_FILE_BYTES: usize = 64 << 10;
/// The most time until all series are read.
const MAX_TIME: Duration = Duration::from_secs(600);
/// Interval of the scrapes of an exposition, if none is given.
const INTERVAL_MS: f64 = 15_000.0;
/// The formats that Prometheus accepts of a target.
const ACCEPT: &str =
    "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
/// The status if the command or its prices cannot be used.
const UNUSABLE: u8 = 2;

/// Writes the bill to standard output.
pub async fn run(settings: &Settings, roots: TrustedRoots) -> ExitCode {
    let prices = match prices(settings) {
        Ok(prices) => prices,
        Err(error) => {
            print_error(&error);
            return ExitCode::from(UNUSABLE);
        }
    };
    let input = in_time(read(settings, roots)).await.and_then(|input| {
        let is_empty = input.targets.iter().all(|it| it.series.is_empty());
        let error = || "there are no series; expected a source that has some now".to_owned();
        (!is_empty).then_some(input).ok_or_else(error)
    });
    let input = match input {
        Ok(input) => input,
        Err(error) => {
            print_error(&format!("Cannot estimate: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let report = Report::new(&input, settings, prices);
    let text = match settings.is_json {
        // The ends of lines are none of a string, so all else may be escaped as JSON has it.
        true => escaped_lines(&format!("{:#}\n", report.json())),
        false => report.text(),
    };
    super::print(&text, ExitCode::SUCCESS)
}

/// Returns the prices of the region, with those of the file.
fn prices(settings: &Settings) -> Result<Prices, String> {
    let region = &settings.region;
    let known = Prices::of(region);
    let mut prices = known.clone().unwrap_or_else(|| PRICES[0].clone());
    if let Some(path) = &settings.prices {
        let json = read_file(path, MAX_FILE_BYTES);
        let replaced = json.and_then(|json| prices.replace(&json));
        replaced.map_err(|error| format!("--prices is {}: {error}", shown(path)))?;
    } else if known.is_none() {
        print_error(&format!(
            "The prices of {region} are not known: these are those of {}; --prices FILE has others.",
            prices.region
        ));
    }
    Ok(prices)
}

async fn read(settings: &Settings, roots: TrustedRoots) -> Result<Input, String> {
    let session = || session(settings.credentials.as_ref(), roots);
    let exposed = match &settings.source {
        Source::Prometheus(url) => return prometheus::read(&session()?, url, settings).await,
        Source::Url(url) => fetch(&session()?, url.clone(), ACCEPT).await,
        Source::File(path) => read_file(path, MAX_BYTES)
            .map(|body| (String::new(), body))
            .map_err(|error| format!("{}: {error}", shown(path))),
        Source::Input => limited(std::io::stdin().lock(), MAX_BYTES)
            .map(|body| (String::new(), body))
            .map_err(|error| format!("standard input: {error}")),
    };
    let (content_type, body) = exposed?;
    // A file has no content type. OpenMetrics ends with a line that the other format reads as a comment.
    let is_open_metrics = body.trim_ascii_end().ends_with(b"# EOF");
    let format = Format::from_content_type(&content_type).unwrap_or(match is_open_metrics {
        true => Format::OpenMetrics,
        false => Format::Text,
    });
    let exposition = parse(&body, format).map_err(|error| format!("the exposition: {error}"))?;
    let interval = settings.scrape_interval;
    let interval_ms = interval.map_or(INTERVAL_MS, |it| it.as_secs_f64() * 1_000.0);
    if exposition.samples.is_empty() {
        return Ok(Input::default());
    }
    let (targets, max_series) = (settings.targets, settings.max_series);
    Ok(Input::of_exposition(
        &exposition,
        targets,
        interval_ms,
        max_series,
    ))
}

/// Returns the content type and the body of the resource at `url`.
async fn fetch(
    session: &Session,
    url: Url,
    accept: &'static str,
) -> Result<(String, Vec<u8>), String> {
    let fetched = session.fetch(url, accept, MAX_BYTES).await;
    fetched.map_err(|error| of_command(&error))
}

/// Returns the error of a call for a command: its remedy is no definition, as there is none.
fn of_command(error: &str) -> String {
    let reason = REMEDIES_OF_JOBS
        .iter()
        .find_map(|end| error.strip_suffix(end));
    match reason {
        Some(reason) => format!(
            "{reason}; use the address of the server itself, which is none of these and redirects to none"
        ),
        None => error.to_owned(),
    }
}

/// Returns what a reader returns, or an error if that takes too long.
async fn in_time<T>(reader: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let timed = tokio::time::timeout(MAX_TIME, reader).await;
    timed.unwrap_or_else(|_| {
        let seconds = MAX_TIME.as_secs();
        Err(format!(
            "not all series are read after {seconds} seconds; use a lower --max-series, or a server that responds sooner"
        ))
    })
}

/// Begins a session with the server that has the series.
fn session(file: Option<&CredentialsFile>, roots: TrustedRoots) -> Result<Session, String> {
    let secret = |path: &Path| {
        let text = read_file(path, MAX_FILE_BYTES)
            .and_then(|bytes| String::from_utf8(bytes).map_err(|_| "expected UTF-8".to_owned()));
        let text = text.map_err(|error| format!("{}: {error}", shown(path)))?;
        Ok::<_, String>(text.trim_end_matches(['\r', '\n']).to_owned())
    };
    let auth = match file {
        None => Auth::None,
        Some(CredentialsFile::Bearer(path)) => {
            let token = secret(path)?;
            let is_in_headers = |c: char| matches!(c, '\t' | ' '..='~');
            if token.is_empty() || !token.chars().all(is_in_headers) {
                return Err(format!(
                    "{}: is empty, or has several lines or characters that no header can have; expected one line \
                     with the token alone",
                    shown(path)
                ));
            }
            Auth::Bearer {
                token: Secret::Plain(token),
            }
        }
        Some(CredentialsFile::Basic(path)) => {
            let text = secret(path)?;
            let parts = text.split_once(':');
            let (username, password) =
                parts.ok_or_else(|| format!("{}: expected user:password", shown(path)))?;
            Auth::Basic {
                username: username.to_owned(),
                password: Secret::Plain(password.to_owned()),
            }
        }
    };
    let client = Client::new(roots, |name| std::env::var(name).ok());
    client.session_for(auth).map_err(|error| error.to_string())
}

/// Returns a path for messages: given for one may be a URL without its scheme, with a password.
fn shown(path: &Path) -> String {
    without_userinfo(&path.to_string_lossy()).into_owned()
}

fn read_file(path: &Path, limit: usize) -> Result<Vec<u8>, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    limited(file, limit)
}

fn limited(source: impl Read, limit: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = source.take(limit as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| error.to_string())?;
    match bytes.len() > limit {
        true => Err(format!(
            "more than {limit} bytes; expected less, of one target"
        )),
        false => Ok(bytes),
    }
}

/// Returns the URL of a path below that of a server.
fn below(base: &Url, path: &str, parameters: &[(&str, &str)]) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url.query_pairs_mut().clear().extend_pairs(parameters);
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocked_address_has_the_remedy_of_a_command() {
        let ends = [
            "it is a link-local address; set allow_link_local to true if it is meant",
            "it is the address of a metadata service, which hands out credentials; no definition may call it",
        ];
        for end in ends {
            let error = of_command(&format!("h:1: 169.254.0.1 is not called: {end}"));
            assert!(
                error.contains("; use the address of the server itself"),
                "{error}"
            );
            assert!(!error.contains("definition") && !error.contains("allow_link_local"));
        }
        assert_eq!(of_command("h: 401 Unauthorized"), "h: 401 Unauthorized");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_never_ends_is_left() {
        let error = in_time(std::future::pending::<Result<(), String>>()).await;
        let error = error.unwrap_err();
        assert!(error.starts_with("not all series are read after 600 seconds; use a lower"));
        assert_eq!(in_time(std::future::ready(Ok(1))).await, Ok(1));
    }
}
