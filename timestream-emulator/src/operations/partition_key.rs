//! The partition key of a table, as CreateTable and UpdateTable give it.
//!
//! Developer guide, "Customer-defined partition keys"; API reference, PartitionKey. One key, by
//! measure name (the default) or by a dimension; of a table's key only the enforcement can change.

use crate::{
    error::ServiceError,
    names::{self, NameRule},
    protocol::PartitionKeyShape,
    protocol::Schema,
    store::catalog::PartitionKey,
    write::Violations,
};

/// Returns the key of a request, if it has one; `current` is that of the table.
pub(super) fn requested(
    schema: Option<&Schema>,
    current: Option<&PartitionKey>,
) -> Result<Option<PartitionKey>, ServiceError> {
    let Some(keys) = schema.and_then(|schema| schema.composite_partition_key.as_deref()) else {
        return Ok(None);
    };
    check_shape(keys)?;
    let [key] = keys else {
        return Err(ServiceError::validation(
            "You have specified too many partition keys to be used in your composite partition \
             key. Only 1 partition keys can be specified.",
        ));
    };
    let requested = parse(key)?;
    if current.is_some_and(|current| !current.has_attribute_of(&requested)) {
        return Err(ServiceError::validation(
            "The partition key of a table cannot be changed, only its enforcement.",
        ));
    }
    Ok(Some(requested))
}

/// Returns the key as DescribeTable has it.
pub(super) fn schema(key: &PartitionKey) -> Schema {
    let key = match key {
        PartitionKey::Measure => PartitionKeyShape {
            r#type: Some("MEASURE".to_owned()),
            name: None,
            enforcement_in_record: None,
        },
        PartitionKey::Dimension { name, is_required } => PartitionKeyShape {
            r#type: Some("DIMENSION".to_owned()),
            name: Some(name.clone()),
            enforcement_in_record: Some(
                if *is_required { "REQUIRED" } else { "OPTIONAL" }.to_owned(),
            ),
        },
    };
    Schema {
        composite_partition_key: Some(vec![key]),
    }
}

fn check_shape(keys: &[PartitionKeyShape]) -> Result<(), ServiceError> {
    let mut violations = Violations::default();
    let path = "schema.compositePartitionKey";
    violations.count(path, keys.len(), 1..=usize::MAX);
    for (index, key) in keys.iter().enumerate() {
        let at = |member: &str| format!("{path}.{}.member.{member}", index + 1);
        violations.required(at("type"), key.r#type.as_deref());
        violations.one_of(at("type"), key.r#type.as_deref(), &["DIMENSION", "MEASURE"]);
        if let Some(name) = &key.name {
            violations.length(at("name"), name, 1..=usize::MAX);
        }
        violations.one_of(
            at("enforcementInRecord"),
            key.enforcement_in_record.as_deref(),
            &["REQUIRED", "OPTIONAL"],
        );
    }
    violations.into_result()
}

fn parse(key: &PartitionKeyShape) -> Result<PartitionKey, ServiceError> {
    let PartitionKeyShape {
        r#type,
        name,
        enforcement_in_record,
    } = key;
    match (r#type.as_deref(), name) {
        (Some("MEASURE"), None) if enforcement_in_record.is_none() => Ok(PartitionKey::Measure),
        (Some("MEASURE"), _) => Err(ServiceError::validation(
            "A partition key of type MEASURE has no name and no enforcement.",
        )),
        (_, None) => Err(ServiceError::validation(
            "A partition key of type DIMENSION needs a name.",
        )),
        (_, Some(name)) => {
            names::check_dimension_name(name, NameRule::Of2021)?;
            Ok(PartitionKey::Dimension {
                name: name.clone(),
                // The default is not established: the stricter one is used.
                is_required: enforcement_in_record.as_deref() != Some("OPTIONAL"),
            })
        }
    }
}
