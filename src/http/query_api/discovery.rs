//! `series`, `labels` and `label/NAME/values`: the series and labels that there are.

use axum::extract::{Request, State};
use axum::response::Response;
use prom_model::Labels;
use promql::{Matcher, ParserOptions, Text};

use super::endpoint::{Call, Data, Reply, serve};
use super::envelope::{ApiError, ErrorType};
use super::expressions::parsed;
use super::json::{write_labels, write_list, write_string};
use crate::http::App;
use crate::http::invocation_limits::OptionalLimits;
use crate::query::{Scope, now_ms};

/// Selectors of a request at most, each of which is a query of its own.
pub(super) const MAX_SELECTORS: usize = 200;
/// Bytes of all selectors at most, as many as one query may have.
const MAX_SELECTOR_BYTES: usize = 1 << 20;
/// Matchers of all selectors at most; each may be compared with every series.
const MAX_MATCHERS: usize = 2_000;

/// Without a start everything from this time before the end, or before now, is searched: all of a table would be
/// scanned, and paid for, otherwise.
const DEFAULT_RANGE_MS: i64 = 86_400_000;

/// Elements of a result that are not written in the thread that serves connections.
const LONG_RESULT: usize = 10_000;

/// `GET` and `POST /api/v1/series`.
pub(in crate::http) async fn series(
    State(app): State<App>,
    limits: OptionalLimits,
    request: Request,
) -> Response {
    serve(app, limits, request, "series", |call| {
        Box::pin(async move {
            if call.parameters.all("match[]").next().is_none() {
                let text = "no match[] parameter provided";
                return Err(ApiError::new(ErrorType::BadData, text));
            }
            let limit = call.parameters.limit()?;
            let range_ms = range_ms(call)?;
            let selectors = selectors(call).await;
            let selectors =
                selectors.map_err(|error| ApiError::parameter("match[]", error.text))?;
            let scope = scope(call, selectors, range_ms);
            let reads = call.record.begin_reads(&call.app.querier, call.deadline);
            let found = reads.label_sets_of(&scope, call.reservation).await?;
            let write = |labels: &Labels, json: &mut Vec<u8>| write_labels(labels, json);
            list(call, found, limit, write).await
        })
    })
    .await
}

/// `GET` and `POST /api/v1/labels`.
pub(in crate::http) async fn names(
    State(app): State<App>,
    limits: OptionalLimits,
    request: Request,
) -> Response {
    serve(app, limits, request, "labels", |call| {
        Box::pin(async move {
            let limit = call.parameters.limit()?;
            let range_ms = range_ms(call)?;
            let scope = {
                let selectors = selectors(call).await?;
                scope(call, selectors, range_ms)
            };
            let reads = call.record.begin_reads(&call.app.querier, call.deadline);
            let found = reads.label_names(&scope, call.reservation).await?;
            list(call, found, limit, |name, json| write_string(name, json)).await
        })
    })
    .await
}

/// `GET /api/v1/label/NAME/values`.
pub(in crate::http) async fn values(
    State(app): State<App>,
    limits: OptionalLimits,
    request: Request,
) -> Response {
    serve(app, limits, request, "label_values", |call| {
        Box::pin(async move {
            let name = label_name(&call.path).map_err(|name| {
                let text = format!("invalid label name: {}", Text::from(name).quoted());
                ApiError::new(ErrorType::BadData, text)
            })?;
            let limit = call.parameters.limit()?;
            let range_ms = range_ms(call)?;
            let scope = {
                let selectors = selectors(call).await?;
                scope(call, selectors, range_ms)
            };
            let reads = call.record.begin_reads(&call.app.querier, call.deadline);
            let found = reads.label_values(&name, &scope, call.reservation);
            let found = found.await?;
            list(call, found, limit, |value, json| write_string(value, json)).await
        })
    })
    .await
}

/// Returns the name in the path of a request for values.
///
/// # Errors
/// It is no name of a label; the bytes are returned.
fn label_name(path: &str) -> Result<String, Vec<u8>> {
    let name = path.strip_suffix("/values").unwrap_or(path);
    let name = name.rsplit('/').next().unwrap_or_default();
    let name = String::from_utf8(percent_decoded(name)).map_err(|error| error.into_bytes())?;
    match unescaped(&name) {
        name if name.is_empty() => Err(Vec::new()),
        name => Ok(name),
    }
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    while let [first, tail @ ..] = rest {
        rest = tail;
        let byte = match (first, tail) {
            (b'%', [high, low, tail @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    rest = tail;
                    (16 * high + low) as u8
                }
                _ => b'%',
            },
            (byte, _) => *byte,
        };
        decoded.push(byte);
    }
    decoded
}

/// Returns the name that has Prometheus' escaped form `U__...`, the text itself if it has no such form.
fn unescaped(text: &str) -> String {
    let decoded = || {
        let mut rest = text.strip_prefix("U__")?;
        let mut name = String::with_capacity(rest.len());
        while let Some((plain, escaped)) = rest.split_once('_') {
            name.push_str(plain);
            let (code, tail) = escaped.split_once('_')?;
            match code {
                "" => name.push('_'),
                code if code.len() <= 6 && !code.starts_with('+') => {
                    name.push(char::from_u32(u32::from_str_radix(code, 16).ok()?)?);
                }
                _ => return None,
            }
            rest = tail;
        }
        name.push_str(rest);
        Some(name)
    };
    decoded().unwrap_or_else(|| text.to_owned())
}

/// Returns the parameters `start` and `end` in milliseconds since the Unix epoch.
pub(super) fn range_ms(call: &Call<'_>) -> Result<(i64, i64), ApiError> {
    let start_ms = call.parameters.optional_time("start")?;
    let end_ms = call.parameters.optional_time("end")?;
    let start_ms = start_ms.unwrap_or_else(|| {
        let end_ms = end_ms.unwrap_or_else(now_ms);
        end_ms.saturating_sub(DEFAULT_RANGE_MS)
    });
    Ok((start_ms, end_ms.unwrap_or(i64::MAX)))
}

/// Returns the parameters `match[]`.
async fn selectors(call: &mut Call<'_>) -> Result<Vec<Vec<Matcher>>, ApiError> {
    let bad_data = |text: &dyn std::fmt::Display| ApiError::new(ErrorType::BadData, text);
    let texts: Vec<&str> = call.parameters.all("match[]").collect();
    if texts.len() > MAX_SELECTORS {
        let text = format!(
            "a request may have at most {MAX_SELECTORS} parameters match[], this one has {}; send several requests, or \
             join selectors by a regular expression",
            texts.len()
        );
        return Err(bad_data(&text));
    }
    let bytes: usize = texts.iter().map(|text| text.len()).sum();
    if bytes > MAX_SELECTOR_BYTES {
        let text = format!(
            "the parameters match[] of a request may have at most {MAX_SELECTOR_BYTES} bytes together, these have \
             {bytes}; send several requests"
        );
        return Err(bad_data(&text));
    }
    let parse = |parser: &ParserOptions| promql::parse_selectors(&texts, parser);
    let selectors = parsed(call.app, &texts, call.reservation, parse).await?;
    let selectors = limited(selectors.map_err(|error| bad_data(&error))?)?;
    let is_open = |matchers: &Vec<Matcher>| matchers.iter().all(|matcher| matcher.matches(""));
    match selectors.iter().any(is_open) {
        true => Err(bad_data(
            &"match[] must contain at least one non-empty matcher",
        )),
        false => Ok(selectors),
    }
}

/// Returns selectors unless they are more than a request may have.
pub(super) fn limited(selectors: Vec<Vec<Matcher>>) -> Result<Vec<Vec<Matcher>>, ApiError> {
    let count = selectors.len();
    let matchers: usize = selectors.iter().map(Vec::len).sum();
    if count <= MAX_SELECTORS && matchers <= MAX_MATCHERS {
        return Ok(selectors);
    }
    let text = format!(
        "a request may have at most {MAX_SELECTORS} selectors with {MAX_MATCHERS} matchers together, this one has \
         {count} with {matchers}; send several requests, or join matchers by a regular expression"
    );
    Err(ApiError::new(ErrorType::BadData, text))
}

fn scope(call: &Call<'_>, selectors: Vec<Vec<Matcher>>, range_ms: (i64, i64)) -> Scope {
    Scope {
        selectors,
        range_ms,
        is_fresh: call.no_store,
    }
}

/// Returns the reply with the first elements of a list.
async fn list<T>(
    call: &mut Call<'_>,
    mut elements: Vec<T>,
    limit: Option<usize>,
    write: impl Fn(&T, &mut Vec<u8>),
) -> Result<Reply, ApiError> {
    let mut warnings = Vec::new();
    if let Some(limit) = limit
        && elements.len() > limit
    {
        elements.truncate(limit);
        warnings.push("results truncated due to limit".to_owned());
    }
    let encode = || {
        let mut json = Vec::new();
        write_list(&elements, &mut json, |element, json| write(element, json));
        json
    };
    let compute = call.app.querier.compute();
    let json = compute.run_if(elements.len() > LONG_RESULT, encode).await;
    call.reservation
        .grow(json.len())
        .map_err(ApiError::no_memory)?;
    Ok(Reply {
        data: Data::Json(json),
        warnings,
        infos: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_labels_are_unescaped() {
        let cases = [
            ("job", "job"),
            ("U__a_2e_b", "a.b"),
            ("U__a__b", "a_b"),
            ("U__", ""),
            ("U__a_", "U__a_"),
            ("U__a_zz_", "U__a_zz_"),
            ("U__a_d800_", "U__a_d800_"),
            ("U__a_1F600_", "a😀"),
            ("U__a_0000061_", "U__a_0000061_"),
            ("U__a_+1_", "U__a_+1_"),
        ];
        for (text, expected) in cases {
            assert_eq!(unescaped(text), expected, "{text}");
        }
    }

    #[test]
    fn names_are_in_the_path() {
        let of = |name: &str| label_name(&format!("/api/v1/label/{name}/values"));
        assert_eq!(of("a%20b%2"), Ok("a b%2".to_owned()));
        assert_eq!(of("a+b"), Ok("a+b".to_owned()));
        assert_eq!(of("%C3%BC"), Ok("ü".to_owned()));
        assert_eq!(of("%00%FF"), Err(vec![0, 0xff]));
        assert_eq!(of("U__"), Err(vec![]));
    }
}
