//! The operations on databases, tables, their tags and the account's settings.

pub(crate) mod account;
pub(crate) mod databases;
mod partition_key;
pub(crate) mod tables;
pub(crate) mod tags;

use crate::{
    error::{ErrorKind, ServiceError},
    limits,
    protocol::ListRequest,
    store::catalog::{Catalog, Database, no_database},
    write::Violations,
};

const ARN_PREFIX: &str = "arn:aws:timestream:us-east-1:000000000000:database/";
const NAME_PATTERN: &str = "[a-zA-Z0-9_.-]+";

fn database<'a>(catalog: &'a Catalog, name: &str) -> Result<&'a Database, ServiceError> {
    catalog.databases.get(name).ok_or_else(|| no_database(name))
}

/// Returns the entries after the token's, and the token of the next page if there is one.
fn list_page<T>(
    all: impl Iterator<Item = T>,
    request: &ListRequest,
    key: impl Fn(&T) -> String,
) -> Result<(std::vec::IntoIter<T>, Option<String>), ServiceError> {
    let limit = request.max_results.unwrap_or(limits::MAX_LIST_RESULTS);
    let mut violations = Violations::default();
    violations.range("maxResults", limit, 1..=limits::MAX_LIST_RESULTS);
    violations.into_result()?;
    let after = request.next_token.as_deref().map(last_key).transpose()?;
    let mut rest: Vec<T> = all
        .filter(|entry| after.as_ref().is_none_or(|after| key(entry) > *after))
        .collect();
    rest.sort_by_key(&key);
    let has_more = rest.len() > limit as usize;
    rest.truncate(limit as usize);
    let next_token = rest
        .last()
        .filter(|_| has_more)
        .map(|last| hex::encode(key(last)));
    Ok((rest.into_iter(), next_token))
}

fn last_key(token: &str) -> Result<String, ServiceError> {
    hex::decode(token)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| ServiceError::validation("Invalid pagination token."))
}

fn checked_name<'a>(path: &str, name: Option<&'a str>) -> Result<&'a str, ServiceError> {
    let name = required(path, name)?;
    let mut violations = Violations::default();
    violations.pattern(
        path,
        name,
        NAME_PATTERN,
        crate::config::is_catalog_name(name),
    );
    violations.into_result()?;
    Ok(name)
}

fn required<'a>(path: &str, value: Option<&'a str>) -> Result<&'a str, ServiceError> {
    let mut violations = Violations::default();
    violations.required(path, value);
    violations.into_result()?;
    Ok(value.unwrap_or_default())
}

fn conflict(message: String) -> ServiceError {
    ServiceError::new(ErrorKind::Conflict, message)
}

fn quota(what: &str, limit: usize) -> ServiceError {
    ServiceError::new(
        ErrorKind::ServiceQuotaExceeded,
        format!("The number of {what} exceeds the limit of {limit}."),
    )
}

/// Returns the time as responses have it, to the millisecond.
fn epoch_seconds(now_ns: i64) -> f64 {
    (now_ns / 1_000_000) as f64 / 1000.0
}
