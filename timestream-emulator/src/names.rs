//! Dimension and measure names that the service accepts.
//!
//! Sources: developer guide, "Quotas" (naming constraints, system identifiers); AWS IoT API
//! reference, TimestreamDimension. The allowed characters of a dimension name are not established:
//! the service stated a rule in 2021, and data that breaks it has been written since. Both readings
//! are here, the stricter one by default.

use crate::error::ServiceError;

const RESERVED_NAMES: [&str; 4] = [
    "time",
    "measure_name",
    "measure_value",
    "ts_non_existent_col",
];
const RESERVED_PREFIXES: [&str; 3] = ["ts_", "measure_name", "measure_value"];

/// Characters allowed in a dimension name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameRule {
    /// ASCII letters, digits and underscores; a letter first, no underscore last.
    Of2021,
    /// Any but colons.
    Wide,
}

impl NameRule {
    fn allows(self, name: &str) -> bool {
        match self {
            NameRule::Of2021 => {
                name.starts_with(|first: char| first.is_ascii_alphabetic())
                    && name
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
                    && !name.ends_with('_')
            }
            NameRule::Wide => !name.is_empty() && !name.contains(':'),
        }
    }
}

/// Rejects a dimension name that breaks the rule of its characters or is reserved.
pub(crate) fn check_dimension_name(name: &str, rule: NameRule) -> Result<(), ServiceError> {
    if !rule.allows(name) {
        return Err(ServiceError::validation(
            "The dimension name is invalid. Dimension name can only contain alphanumeric characters \
             and underscores. It can only start with an alphabet and cannot end with an underscore.",
        ));
    }
    check_not_reserved("dimension", name)
}

/// Rejects a measure name (or the name of a multi-measure attribute) that has a colon or is
/// reserved.
pub(crate) fn check_measure_name(name: &str) -> Result<(), ServiceError> {
    if name.contains(':') {
        return Err(ServiceError::validation(format!(
            "The measure name '{name}' is invalid. A measure name cannot contain a colon."
        )));
    }
    check_not_reserved("measure", name)
}

fn check_not_reserved(what: &str, name: &str) -> Result<(), ServiceError> {
    let is_reserved = RESERVED_NAMES.contains(&name)
        || RESERVED_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix));
    if is_reserved {
        return Err(ServiceError::validation(format!(
            "The {what} name '{name}' is invalid. It is reserved or starts with a reserved prefix."
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dimension_names() {
        let accepted = [
            "a",
            "A1",
            "job",
            "le_x",
            "timestamp",
            "times",
            "tsx",
            "U__5f_x",
        ];
        let invalid = [
            "",
            "_a",
            "1a",
            "a_",
            "a-b",
            "a.b",
            "a b",
            "a:b",
            "地区",
            "é",
            "time",
            "measure_name",
            "measure_names",
            "measure_value",
            "measure_value_x",
            "ts_x",
            "ts_non_existent_col",
        ];
        for name in accepted {
            assert!(
                check_dimension_name(name, NameRule::Of2021).is_ok(),
                "{name}"
            );
        }
        for name in invalid {
            assert!(
                check_dimension_name(name, NameRule::Of2021).is_err(),
                "{name}"
            );
        }
    }

    #[test]
    fn measure_names() {
        for name in [
            "up",
            "_x",
            "1",
            "fuel-reading",
            "地区",
            "a b",
            "x_",
            "it's \"q\"",
        ] {
            assert!(check_measure_name(name).is_ok(), "{name}");
        }
        for name in [
            "job:x:rate5m",
            "time",
            "ts_x",
            "measure_value",
            "measure_value::double",
        ] {
            assert!(check_measure_name(name).is_err(), "{name}");
        }
    }
}
