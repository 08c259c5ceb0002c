//! Tags of databases and tables.
//!
//! Bounds: the service model. Unique keys and the reserved prefix: developer guide, "Tagging
//! restrictions".

use std::collections::BTreeMap;

use super::{ARN_PREFIX, quota};
use crate::{
    error::ServiceError,
    limits,
    protocol::{ListTagsResponse, Tag, TagsRequest},
    store::{
        Writer,
        catalog::{Catalog, Resource, Tags},
    },
    write::Violations,
};

pub(crate) fn tag(writer: &mut Writer, request: &TagsRequest) -> Result<(), ServiceError> {
    let mut violations = check_arn(request);
    if request.tags.is_none() {
        violations.required("tags", None);
    }
    violations.into_result()?;
    let added = checked_tags(request.tags.as_deref())?;
    let resource = resource(request)?;
    let mut tags = writer.catalog.tags(&resource)?.clone();
    tags.extend(added);
    if tags.len() > limits::MAX_TAGS {
        return Err(quota("tags", limits::MAX_TAGS));
    }
    writer.set_tags(&resource, tags)
}

pub(crate) fn untag(writer: &mut Writer, request: &TagsRequest) -> Result<(), ServiceError> {
    let mut violations = check_arn(request);
    match &request.tag_keys {
        None => violations.required("tagKeys", None),
        Some(keys) => {
            violations.count("tagKeys", keys.len(), 0..=limits::MAX_TAGS);
            for (index, key) in keys.iter().enumerate() {
                let path = format!("tagKeys.{}.member", index + 1);
                violations.length(&path, key, limits::TAG_KEY_CHARS);
            }
        }
    }
    violations.into_result()?;
    let resource = resource(request)?;
    let mut tags = writer.catalog.tags(&resource)?.clone();
    tags.retain(|key, _| !request.tag_keys.iter().flatten().any(|gone| gone == key));
    writer.set_tags(&resource, tags)
}

pub(crate) fn list(
    catalog: &Catalog,
    request: &TagsRequest,
) -> Result<ListTagsResponse, ServiceError> {
    check_arn(request).into_result()?;
    let tags = catalog.tags(&resource(request)?)?.iter();
    let tags = tags.map(|(key, value)| Tag {
        key: Some(key.clone()),
        value: Some(value.clone()),
    });
    Ok(ListTagsResponse {
        tags: tags.collect(),
    })
}

/// Returns the tags of a request by key; a request without tags has an empty map.
pub(super) fn checked_tags(tags: Option<&[Tag]>) -> Result<Tags, ServiceError> {
    let mut violations = Violations::default();
    let tags = tags.unwrap_or_default();
    violations.count("tags", tags.len(), 0..=limits::MAX_TAGS);
    for (index, tag) in tags.iter().enumerate() {
        let at = |member: &str| format!("tags.{}.member.{member}", index + 1);
        violations.required(at("key"), tag.key.as_deref());
        violations.required(at("value"), tag.value.as_deref());
        if let Some(key) = &tag.key {
            violations.length(at("key"), key, limits::TAG_KEY_CHARS);
        }
        if let Some(value) = &tag.value {
            violations.length(at("value"), value, limits::TAG_VALUE_CHARS);
        }
    }
    violations.into_result()?;
    let mut by_key = BTreeMap::new();
    for Tag { key, value } in tags.iter().cloned() {
        let (key, value) = (key.unwrap_or_default(), value.unwrap_or_default());
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(ServiceError::validation(format!(
                "The tag key '{key}' is invalid. The prefix aws: is reserved."
            )));
        }
        if let Some(_replaced) = by_key.insert(key.clone(), value) {
            return Err(ServiceError::validation(format!(
                "Duplicate tag key '{key}'. Tag keys must be unique."
            )));
        }
    }
    Ok(by_key)
}

fn check_arn(request: &TagsRequest) -> Violations {
    let mut violations = Violations::default();
    let arn = request.resource_arn.as_deref();
    violations.required("resourceARN", arn);
    if let Some(arn) = arn {
        violations.length("resourceARN", arn, limits::ARN_CHARS);
    }
    violations
}

/// Returns the database or table that the ARN names, which may not exist.
fn resource(request: &TagsRequest) -> Result<Resource<'_>, ServiceError> {
    let arn = request.resource_arn.as_deref().unwrap_or_default();
    let path = arn.strip_prefix(ARN_PREFIX);
    let resource = path.and_then(|path| match path.split('/').collect::<Vec<_>>()[..] {
        [database] => Some(Resource {
            database,
            table: None,
        }),
        [database, "table", table] => Some(Resource {
            database,
            table: Some(table),
        }),
        _ => None,
    });
    resource.ok_or_else(|| {
        ServiceError::validation(format!(
            "The resource ARN {arn} is not that of a database or table of this account."
        ))
    })
}
