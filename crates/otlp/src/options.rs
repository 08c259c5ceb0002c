//! The options of the translation, under the names that the section `otlp` of Prometheus' configuration has.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

/// The options of the translation. The defaults are Prometheus'.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The form of metric and label names.
    pub translation_strategy: TranslationStrategy,
    /// Resource attributes that become labels of all series of the resource.
    pub promote_resource_attributes: Vec<String>,
    /// True if all resource attributes but those of `ignore_resource_attributes` become labels.
    pub promote_all_resource_attributes: bool,
    /// Resource attributes that `promote_all_resource_attributes` excludes.
    pub ignore_resource_attributes: Vec<String>,
    /// True if `target_info` also has the attributes that make `job` and `instance`.
    pub keep_identifying_resource_attributes: bool,
    /// True if histograms with listed boundaries become native histograms with custom buckets.
    pub convert_histograms_to_nhcb: bool,
    /// True if name, version, schema URL and attributes of a scope become labels.
    pub promote_scope_metadata: bool,
    /// True if a label name that starts with one underscore gets `key` before it.
    pub label_name_underscore_sanitization: bool,
    /// False if several underscores in a row become one in label names.
    pub label_name_preserve_multiple_underscores: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            translation_strategy: TranslationStrategy::default(),
            promote_resource_attributes: Vec::new(),
            promote_all_resource_attributes: false,
            ignore_resource_attributes: Vec::new(),
            keep_identifying_resource_attributes: false,
            convert_histograms_to_nhcb: false,
            promote_scope_metadata: false,
            label_name_underscore_sanitization: true,
            label_name_preserve_multiple_underscores: true,
        }
    }
}

/// Options that cannot be used together, or a value that an option cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// The strategy does not exist.
    #[error(
        "unknown translation_strategy '{0}'; expected UnderscoreEscapingWithSuffixes, \
         UnderscoreEscapingWithoutSuffixes, NoUTF8EscapingWithSuffixes or NoTranslation"
    )]
    Strategy(String),
    /// All attributes are promoted, so a list has no effect.
    #[error(
        "promote_resource_attributes has no effect with promote_all_resource_attributes; set only one of them"
    )]
    PromotedTwice,
    /// Attributes are excluded from a promotion that is off.
    #[error(
        "ignore_resource_attributes needs promote_all_resource_attributes; set both or neither"
    )]
    IgnoredWithoutAll,
    /// A list has an empty name.
    #[error("{option} has an empty name")]
    EmptyAttribute {
        /// The name of the list.
        option: &'static str,
    },
    /// A list has a name twice.
    #[error("{option} has '{attribute}' twice")]
    DuplicateAttribute {
        /// The name of the list.
        option: &'static str,
        /// The name of the attribute.
        attribute: String,
    },
}

impl Options {
    /// Checks the rules that Prometheus checks when it loads its configuration.
    ///
    /// # Errors
    /// Returns the first rule that the options break.
    pub fn validate(&self) -> Result<(), OptionsError> {
        let promoted = &self.promote_resource_attributes;
        let ignored = &self.ignore_resource_attributes;
        match self.promote_all_resource_attributes {
            true if !promoted.is_empty() => return Err(OptionsError::PromotedTwice),
            false if !ignored.is_empty() => return Err(OptionsError::IgnoredWithoutAll),
            _ => {}
        }
        let lists = [
            ("promote_resource_attributes", promoted),
            ("ignore_resource_attributes", ignored),
        ];
        for (option, attributes) in lists {
            let mut seen = HashSet::new();
            for attribute in attributes {
                if attribute.is_empty() {
                    return Err(OptionsError::EmptyAttribute { option });
                }
                if !seen.insert(attribute) {
                    let attribute = attribute.clone();
                    return Err(OptionsError::DuplicateAttribute { option, attribute });
                }
            }
        }
        Ok(())
    }

    /// Returns true if this resource attribute becomes a label of all series of the resource.
    pub(crate) fn promotes(&self, attribute: &str) -> bool {
        let has = |list: &[String]| list.iter().any(|it| it == attribute);
        match self.promote_all_resource_attributes {
            true => !has(&self.ignore_resource_attributes),
            false => has(&self.promote_resource_attributes),
        }
    }
}

/// The form of metric and label names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TranslationStrategy {
    /// Characters outside of Prometheus' classic ones become underscores; metric names get unit and type as suffixes.
    #[default]
    UnderscoreEscapingWithSuffixes,
    /// Characters outside of Prometheus' classic ones become underscores.
    UnderscoreEscapingWithoutSuffixes,
    /// Names stay as they are, but metric names get unit and type as suffixes.
    NoUtf8EscapingWithSuffixes,
    /// Names stay as they are.
    NoTranslation,
}

impl TranslationStrategy {
    /// All strategies.
    pub const ALL: [Self; 4] = [
        Self::UnderscoreEscapingWithSuffixes,
        Self::UnderscoreEscapingWithoutSuffixes,
        Self::NoUtf8EscapingWithSuffixes,
        Self::NoTranslation,
    ];

    /// Returns the name of the strategy in Prometheus' configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnderscoreEscapingWithSuffixes => "UnderscoreEscapingWithSuffixes",
            Self::UnderscoreEscapingWithoutSuffixes => "UnderscoreEscapingWithoutSuffixes",
            Self::NoUtf8EscapingWithSuffixes => "NoUTF8EscapingWithSuffixes",
            Self::NoTranslation => "NoTranslation",
        }
    }

    /// Returns true if names are escaped.
    pub fn escapes(self) -> bool {
        match self {
            Self::UnderscoreEscapingWithSuffixes | Self::UnderscoreEscapingWithoutSuffixes => true,
            Self::NoUtf8EscapingWithSuffixes | Self::NoTranslation => false,
        }
    }

    /// Returns true if metric names get suffixes.
    pub fn adds_suffixes(self) -> bool {
        match self {
            Self::UnderscoreEscapingWithSuffixes | Self::NoUtf8EscapingWithSuffixes => true,
            Self::UnderscoreEscapingWithoutSuffixes | Self::NoTranslation => false,
        }
    }
}

impl FromStr for TranslationStrategy {
    type Err = OptionsError;

    fn from_str(name: &str) -> Result<Self, OptionsError> {
        let found = Self::ALL.into_iter().find(|it| it.as_str() == name);
        found.ok_or_else(|| OptionsError::Strategy(name.to_owned()))
    }
}

impl fmt::Display for TranslationStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strategies_have_prometheus_names() {
        for strategy in TranslationStrategy::ALL {
            assert_eq!(strategy.to_string().parse(), Ok(strategy));
        }
        let error = "underscore".parse::<TranslationStrategy>().unwrap_err();
        assert!(
            error.to_string().contains("'underscore'; expected Under"),
            "{error}"
        );
    }

    #[test]
    fn options_that_contradict_one_another() {
        let list = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect();
        let options = |promoted: &[&str], all, ignored: &[&str]| Options {
            promote_resource_attributes: list(promoted),
            promote_all_resource_attributes: all,
            ignore_resource_attributes: list(ignored),
            ..Options::default()
        };
        let cases = [
            (options(&[], false, &[]), ""),
            (options(&["a", "b"], false, &[]), ""),
            (options(&[], true, &["a"]), ""),
            (options(&["a"], true, &[]), "set only one of them"),
            (options(&[], false, &["a"]), "set both or neither"),
            (
                options(&["a", ""], false, &[]),
                "promote_resource_attributes has an empty name",
            ),
            (
                options(&[], true, &["a", "a"]),
                "ignore_resource_attributes has 'a' twice",
            ),
        ];
        for (options, expected) in cases {
            let error = options
                .validate()
                .map_or_else(|it| it.to_string(), |()| String::new());
            assert!(error.contains(expected), "{options:?}: {error}");
            assert_eq!(error.is_empty(), expected.is_empty());
        }
        let all = options(&[], true, &["a"]);
        assert_eq!((all.promotes("a"), all.promotes("b")), (false, true));
        let some = options(&["a"], false, &[]);
        assert_eq!((some.promotes("a"), some.promotes("b")), (true, false));
    }
}
