//! The parameters of requests: from the URL and from a form, as Go's `FormValue` finds them.

use std::fmt::Display;

use axum::body::Body;
use http::Method;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use jiff::civil::Date;
use prom_wire::DecodeError;
use prom_wire::budget::{BudgetExceeded, Reservation};
use promql::Text;
use tokio::time::Instant;

use super::envelope::{ApiError, ErrorType};
use crate::http::reason::Reason;
use crate::http::{App, HttpError, body};

/// Maximum size of a form, as in Go's `net/http`.
const MAX_FORM_BYTES: usize = 10 << 20;

const FORM: &str = "application/x-www-form-urlencoded";

/// Parameters of a request at most.
const MAX_PARAMETERS: usize = 10_000;

/// Bytes of the value of a parameter at most, as many as an expression may have.
const MAX_VALUE_BYTES: usize = 1 << 20;

/// Bytes of a number, a time or a duration at most.
const MAX_NUMBER_BYTES: usize = 1_000;

/// A form of more bytes takes longer to read than a thread that serves connections may be occupied.
const LONG_BYTES: usize = 256 << 10;

/// The largest time in seconds whose milliseconds are an `i64`.
const MAX_SECONDS: i64 = i64::MAX / 1_000 - 1;

/// The parameters of a request, those of its form before those of its URL.
#[derive(Clone, Debug, Default)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads the parameters of a request. Their memory is taken from `reservation`.
    pub(super) async fn receive(
        app: &App,
        parts: &Parts,
        body: Body,
        reservation: &mut Reservation,
        deadline: Instant,
    ) -> Result<Self, ApiError> {
        let mut all = Self::default();
        if parts.method == Method::POST && is_form(parts) {
            let limit = app.settings.max_request_bytes.min(MAX_FORM_BYTES);
            let deadline = deadline.min(Instant::now() + app.settings.request_timeout);
            let received = body::receive(&parts.headers, body, limit, reservation, deadline);
            let received = received.await.map_err(|error| form_error(error, limit))?;
            let is_long = received.len() > LONG_BYTES;
            let add = || all.add(&received, reservation);
            app.querier.compute().run_if(is_long, add).await?;
        }
        all.add(
            parts.uri.query().unwrap_or_default().as_bytes(),
            reservation,
        )?;
        Ok(all)
    }

    fn add(&mut self, form: &[u8], reservation: &mut Reservation) -> Result<(), ApiError> {
        for (name, value) in form_urlencoded::parse(form) {
            // Before memory, which others may occupy: a request that is invalid is not to be sent again.
            if self.0.len() == MAX_PARAMETERS {
                let text = format!(
                    "the request has more than {MAX_PARAMETERS} parameters; send several requests"
                );
                return Err(ApiError::new(ErrorType::BadData, text));
            }
            if name.len().max(value.len()) > MAX_VALUE_BYTES {
                return Err(too_long(&name, value.len(), MAX_VALUE_BYTES));
            }
            let bytes = name.len() + value.len() + 2 * size_of::<(String, String)>();
            reservation.grow(bytes).map_err(no_memory)?;
            self.0.push((name.into_owned(), value.into_owned()));
        }
        Ok(())
    }

    /// Returns the first value of a parameter, empty if there is none.
    pub(super) fn get(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or_default()
    }

    /// Returns all values of a parameter.
    pub(super) fn all<'p>(&'p self, name: &str) -> impl Iterator<Item = &'p str> {
        let of_name = self.0.iter().filter(move |(given, _)| given == name);
        of_name.map(|(_, value)| value.as_str())
    }

    /// Returns the parameter `limit`: the most elements of a result, `None` for all.
    pub(super) fn limit(&self) -> Result<Option<usize>, ApiError> {
        let text = self.number("limit")?;
        if text.is_empty() {
            return Ok(None);
        }
        match go_integer(text) {
            Ok(count) if count < 0 => {
                Err(ApiError::parameter("limit", "limit must be non-negative"))
            }
            Ok(0) => Ok(None),
            Ok(count) => Ok(usize::try_from(count).ok()),
            Err(reason) => Err(ApiError::parameter("limit", reason)),
        }
    }

    /// Returns the first value of a parameter that has to be short, since it is read at once and quoted in errors.
    fn number(&self, name: &str) -> Result<&str, ApiError> {
        let text = self.get(name);
        match text.len() {
            bytes if bytes > MAX_NUMBER_BYTES => Err(too_long(name, bytes, MAX_NUMBER_BYTES)),
            _ => Ok(text),
        }
    }

    /// Returns a time in milliseconds since the Unix epoch, `None` if the parameter is absent.
    pub(super) fn optional_time(&self, name: &str) -> Result<Option<i64>, ApiError> {
        match self.number(name)? {
            "" => Ok(None),
            text => time_ms(text).map(Some).map_err(|reason| {
                let reason = format!("invalid time value for '{name}': {reason}");
                ApiError::parameter(name, reason)
            }),
        }
    }

    /// Returns a time in milliseconds since the Unix epoch.
    pub(super) fn time(&self, name: &str) -> Result<i64, ApiError> {
        time_ms(self.number(name)?).map_err(|reason| ApiError::parameter(name, reason))
    }

    /// Returns the parameter `lookback_delta` in nanoseconds.
    pub(super) fn lookback(&self) -> Result<i64, ApiError> {
        duration_ns(self.number("lookback_delta")?).map_err(|reason| {
            let text = format!("error parsing lookback delta duration: {reason}");
            ApiError::new(ErrorType::BadData, text)
        })
    }

    /// Returns a duration in nanoseconds.
    pub(super) fn duration(&self, name: &str) -> Result<i64, ApiError> {
        duration_ns(self.number(name)?).map_err(|reason| ApiError::parameter(name, reason))
    }
}

/// Returns the error of a parameter whose value, or name, is longer than `max_bytes`.
fn too_long(name: &str, bytes: usize, max_bytes: usize) -> ApiError {
    if name.len() > max_bytes {
        let text = format!(
            "the name of a parameter has {} bytes, and may have {max_bytes}; check how the request is encoded",
            name.len()
        );
        return ApiError::new(ErrorType::BadData, text);
    }
    let reason = format!("the value has {bytes} bytes, and may have {max_bytes}; shorten it");
    ApiError::parameter(name, reason)
}

/// Returns the error of a form that cannot be received, whose text on other routes is for senders of remote write.
fn form_error(error: HttpError, limit: usize) -> ApiError {
    if error == HttpError::from(DecodeError::TooLarge { limit }) {
        let option = match limit {
            MAX_FORM_BYTES => "",
            _ => ", or raise max_request_bytes",
        };
        let text = format!(
            "the form has more than {limit} bytes; shorten its parameters, or send several requests{option}"
        );
        return ApiError::new(ErrorType::TooLarge, text);
    }
    if error == HttpError::slow_body() {
        let text = "the form did not arrive in time; send it again, without pauses, or raise request_timeout";
        return ApiError::new(ErrorType::Unavailable, text).because(Reason::SlowBody);
    }
    error.into()
}

/// Returns the error of parameters that find no memory.
fn no_memory(exceeded: BudgetExceeded) -> ApiError {
    match exceeded {
        BudgetExceeded::Busy { .. } => ApiError::no_memory(exceeded),
        BudgetExceeded::TooLarge { limit } => {
            let text = format!(
                "the parameters need more than the {limit} bytes that one request may occupy; shorten them, send \
                 several requests, or raise max_in_flight_bytes"
            );
            ApiError::new(ErrorType::TooLarge, text).because(Reason::MemoryLimit)
        }
    }
}

fn is_form(parts: &Parts) -> bool {
    let content_type = parts.headers.get(CONTENT_TYPE);
    let content_type = content_type
        .and_then(|it| it.to_str().ok())
        .unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case(FORM)
}

/// Reads an integer with the errors of Go's `strconv.Atoi`.
pub(super) fn go_integer(text: &str) -> Result<i64, String> {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    text.parse().map_err(|error: std::num::ParseIntError| {
        let reason = match error.kind() {
            PosOverflow | NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        format!("strconv.Atoi: parsing {}: {reason}", quoted(text))
    })
}

/// Reads a time: seconds as a float, rounded to milliseconds, or RFC 3339.
fn time_ms(text: &str) -> Result<i64, String> {
    let error = || format!("cannot parse {} to a valid timestamp", quoted(text));
    if let Some(seconds) = promql::parse_float(text) {
        let (whole, fraction) = (seconds.trunc(), seconds.fract());
        if !whole.is_finite() || whole.abs() >= MAX_SECONDS as f64 {
            return Err(error());
        }
        let nanoseconds = ((fraction * 1_000.0).round() / 1_000.0 * 1e9) as i64;
        return Ok(whole as i64 * 1_000 + nanoseconds.div_euclid(1_000_000));
    }
    // The bounds of time of Go's clients, whose years have more than four digits.
    if text == "-292273086-05-16T16:47:06Z" {
        return Ok(i64::MIN / 1_000 * 1_000);
    }
    if text == "292277025-08-18T07:12:54.999999999Z" {
        return Ok(i64::MAX);
    }
    rfc3339_ms(text).ok_or_else(error)
}

/// Reads a time in RFC 3339 as Go does: the letters are upper case, an hour may have one digit, and a comma may be
/// before the fraction, which is rounded towards the past.
fn rfc3339_ms(text: &str) -> Option<i64> {
    let (date, time) = text.split_once('T')?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let date = Date::new(
        i16::try_from(year).ok()?,
        i8::try_from(month).ok()?,
        i8::try_from(day).ok()?,
    );
    let days = Date::constant(1970, 1, 1)
        .until(date.ok()?)
        .ok()?
        .get_days();
    let end = time.find(['Z', '+', '-'])?;
    let (time, zone) = time.split_at(end);
    let (time, fraction) = match time.split_once(['.', ',']) {
        Some((time, fraction)) => (time, Some(fraction)),
        None => (time, None),
    };
    let hour_digits = time.find(':').filter(|&it| it == 1).unwrap_or(2);
    let [hour, minute, second] = numbers(time, ':', [hour_digits, 2, 2])?;
    let fraction_ms = match fraction {
        None => 0,
        Some(digits) if is_digits(digits) => format!("{digits}00").get(..3)?.parse().ok()?,
        Some(_) => return None,
    };
    let offset_minutes = match zone.split_at(1) {
        ("Z", "") => 0,
        (sign, offset) => {
            let [hours, minutes] = numbers(offset, ':', [2, 2])?;
            // As Go has it, where some write offsets of 24 hours.
            if sign == "Z" || hours > 24 || minutes > 60 {
                return None;
            }
            let minutes = hours * 60 + minutes;
            if sign == "-" { -minutes } else { minutes }
        }
    };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let minutes = (i64::from(days) * 24 + hour) * 60 + minute - offset_minutes;
    Some((minutes * 60 + second) * 1_000 + fraction_ms)
}

/// Returns the numbers with as many digits each that `separator` separates.
fn numbers<const N: usize>(text: &str, separator: char, digits: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(separator);
    let mut numbers = [0; N];
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts
            .next()
            .filter(|it| it.len() == digits && is_digits(it));
        *number = part?.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit())
}

/// Reads a duration: seconds as a float, or a duration of Prometheus such as `5m`.
fn duration_ns(text: &str) -> Result<i64, String> {
    if let Some(seconds) = promql::parse_float(text) {
        let nanoseconds = seconds * 1e9;
        // As Go compares: the limit itself, 2^63 as a float, passes.
        if nanoseconds > i64::MAX as f64 || nanoseconds < i64::MIN as f64 {
            return Err(format!(
                "cannot parse {} to a valid duration. It overflows int64",
                quoted(text)
            ));
        }
        return Ok(nanoseconds as i64);
    }
    let invalid = |_| format!("cannot parse {} to a valid duration", quoted(text));
    promql::parse_duration(text).map_err(invalid)
}

/// Returns a text as Go quotes it.
pub(super) fn quoted(text: impl Display) -> String {
    Text::from(text.to_string().as_str()).quoted()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_prometheus_reads_them() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1.5", Some(1_500)),
            ("-1.5", Some(-1_500)),
            ("1435781430.781", Some(1_435_781_430_781)),
            ("0.0004", Some(0)),
            ("0.0006", Some(1)),
            ("0.029", Some(29)),
            ("1e3", Some(1_000_000)),
            ("2015-07-01T20:10:30.781Z", Some(1_435_781_430_781)),
            ("2015-07-01T22:10:30.781+02:00", Some(1_435_781_430_781)),
            ("1969-12-31T23:59:59.9999Z", Some(-1)),
            ("2015-07-01T2:10:30Z", Some(1_435_716_630_000)),
            ("2015-07-01T20:10:30,5-24:60", Some(1_435_871_430_500)),
            ("0000-01-01T00:00:00Z", Some(-62_167_219_200_000)),
            ("9999-12-31T23:59:59Z", Some(253_402_300_799_000)),
            ("0x1p4", Some(16_000)),
            ("1_000", Some(1_000_000)),
            ("2015-07-01 20:10:30Z", None),
            ("2015-07-01T20:10:30z", None),
            ("2015-07-01T20:10:60Z", None),
            ("2015-07-01T20:10Z", None),
            ("2015-07-01T20:10:30.Z", None),
            ("2015-07-01T20:10:30+0100", None),
            ("2015-07-01T20:10:30", None),
            ("2015-02-29T20:10:30Z", None),
            ("20150701T201030Z", None),
            ("2015-07-01T20:10:30Z[UTC]", None),
            ("é015-07-01T20:10:30Z", None),
            ("", None),
            ("5m", None),
            ("NaN", None),
            (
                "-292273086-05-16T16:47:06Z",
                Some(-9_223_372_036_854_775_000),
            ),
            ("292277025-08-18T07:12:54.999999999Z", Some(i64::MAX)),
            ("1e300", None),
            ("2015-07-01", None),
        ] {
            assert_eq!(time_ms(text).ok(), expected, "{text}");
        }
        let error = time_ms("a\"b").unwrap_err();
        assert_eq!(error, "cannot parse \"a\\\"b\" to a valid timestamp");
    }

    #[test]
    fn durations_are_seconds_or_prometheus_own() {
        for (text, expected) in [
            ("15", Some(15_000_000_000)),
            ("0.5", Some(500_000_000)),
            ("5m", Some(300_000_000_000)),
            ("1h30m", Some(5_400_000_000_000)),
            ("-1", Some(-1_000_000_000)),
            ("-1s", None),
            ("", None),
            ("5", Some(5_000_000_000)),
            ("1e30", None),
            ("5x", None),
        ] {
            assert_eq!(duration_ns(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn integers_have_the_errors_of_go() {
        assert_eq!(go_integer("-3"), Ok(-3));
        let error = go_integer("x").unwrap_err();
        assert_eq!(error, "strconv.Atoi: parsing \"x\": invalid syntax");
        let error = go_integer("99999999999999999999").unwrap_err();
        assert!(error.ends_with("value out of range"), "{error}");
    }
}
