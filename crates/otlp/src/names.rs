//! Names of metrics, units and attributes to those that Prometheus gives them.
//!
//! Specification: <https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/>; where it and
//! Prometheus' receiver differ, the receiver counts.

use std::borrow::Cow;

use crate::options::{Options, TranslationStrategy};

/// The kind of a metric, as far as its name depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NameKind {
    /// A sum that only grows.
    Counter,
    /// A gauge.
    Gauge,
    /// Any other metric.
    Other,
}

/// A name of which nothing is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name is empty, or has no character that a name may have.
    #[error("nothing is left of the name")]
    Empty,
    /// Only underscores are left.
    #[error("only underscores are left of the name")]
    Underscores,
    /// The suffix that is replaced begins within a character.
    #[error("the character before the suffix of the name is not ASCII")]
    Delimiter,
}

/// Returns the name of a metric family.
///
/// # Errors
/// Nothing is left of the name.
pub fn metric_name<'a>(
    name: &'a str,
    unit: &str,
    kind: NameKind,
    strategy: TranslationStrategy,
) -> Result<Cow<'a, str>, NameError> {
    match strategy {
        TranslationStrategy::NoTranslation => Ok(Cow::Borrowed(name)),
        TranslationStrategy::NoUtf8EscapingWithSuffixes => with_suffixes(name, unit, kind),
        TranslationStrategy::UnderscoreEscapingWithoutSuffixes => {
            let is_name = |it: char| is_metric_character(it) || it == '_';
            let parts: Vec<&str> = name
                .split(|it| !is_name(it))
                .filter(|it| !it.is_empty())
                .collect();
            checked(name, join(&parts))
        }
        TranslationStrategy::UnderscoreEscapingWithSuffixes => {
            checked(name, escaped_with_suffixes(name, unit, kind))
        }
    }
}

/// Returns the escaped form of a name, if something is left of it. An unchanged name is always accepted.
fn checked<'a>(name: &'a str, escaped: String) -> Result<Cow<'a, str>, NameError> {
    match escaped.as_str() {
        "" => Err(NameError::Empty),
        it if it == name => Ok(Cow::Borrowed(name)),
        it if has_underscores_only(it) => Err(NameError::Underscores),
        _ => Ok(Cow::Owned(escaped)),
    }
}

/// Joins the parts of a metric name, which may not begin with a digit.
fn join(parts: &[&str]) -> String {
    let joined = parts.join("_");
    match joined.starts_with(|it: char| it.is_ascii_digit()) {
        true => format!("_{joined}"),
        false => joined,
    }
}

fn is_metric_character(it: char) -> bool {
    it.is_ascii_alphanumeric() || it == ':'
}

fn has_underscores_only(text: &str) -> bool {
    text.bytes().all(|it| it == b'_')
}

fn escaped_with_suffixes(name: &str, unit: &str, kind: NameKind) -> String {
    let parts = name.split(|it| !is_metric_character(it));
    let mut parts: Vec<&str> = parts.filter(|it| !it.is_empty()).collect();
    let suffixes = UnitSuffixes::of(unit);
    let (main, per) = (clean(suffixes.main), clean(&suffixes.per()));
    let mut main = main.as_str();
    if parts.contains(&main) {
        main = "";
    }
    let mut per = match per.as_str() {
        "per_" => "",
        per => per.strip_suffix('_').unwrap_or(per),
    };
    if parts.contains(&per) {
        per = "";
    }
    if !per.is_empty() {
        main = main.strip_suffix('_').unwrap_or(main);
    }
    parts.extend([main, per].into_iter().filter(|it| !it.is_empty()));
    // The suffix of the type is at the end, wherever the name has it.
    if let Some(suffix) = type_suffix(unit, kind) {
        parts.retain(|it| *it != suffix);
        parts.push(suffix);
    }
    join(&parts)
}

fn with_suffixes<'a>(name: &'a str, unit: &str, kind: NameKind) -> Result<Cow<'a, str>, NameError> {
    let suffixes = UnitSuffixes::of(unit);
    let per = suffixes.per();
    let type_suffix = type_suffix(unit, kind).unwrap_or_default();
    let mut base = name;
    // A suffix that the name has is moved behind the others.
    for suffix in [type_suffix, &per] {
        if !suffix.is_empty() {
            base = without_suffix(base, suffix)?;
        }
    }
    // The innermost suffix needs no move.
    let main = match base.ends_with(suffixes.main) {
        true => "",
        false => suffixes.main,
    };
    let mut result = Cow::Borrowed(base);
    for suffix in [main, &per, type_suffix] {
        if !suffix.is_empty() {
            let result = result.to_mut();
            result.push('_');
            result.push_str(suffix);
        }
    }
    Ok(result)
}

/// Returns the name without a suffix and the byte before it, if it has both and something before them.
fn without_suffix<'a>(name: &'a str, suffix: &str) -> Result<&'a str, NameError> {
    match name.strip_suffix(suffix) {
        Some(rest) if rest.len() > 1 => name.get(..rest.len() - 1).ok_or(NameError::Delimiter),
        _ => Ok(name),
    }
}

fn type_suffix(unit: &str, kind: NameKind) -> Option<&'static str> {
    match kind {
        NameKind::Counter => Some("total"),
        NameKind::Gauge if unit == "1" => Some("ratio"),
        NameKind::Gauge | NameKind::Other => None,
    }
}

/// A unit in words.
struct UnitSuffixes<'a> {
    main: &'a str,
    /// The unit that it is divided by.
    divisor: &'a str,
}

impl<'a> UnitSuffixes<'a> {
    fn of(unit: &'a str) -> Self {
        let (main, divisor) = unit.split_once('/').unwrap_or((unit, ""));
        // Curly brackets hold annotations.
        let part = |it: &'a str| match it.contains(['{', '}']) {
            true => "",
            false => it.trim(),
        };
        Self {
            main: main_unit(part(main)),
            divisor: divisor_unit(part(divisor)),
        }
    }

    fn per(&self) -> String {
        match self.divisor {
            "" => String::new(),
            divisor => format!("per_{divisor}"),
        }
    }
}

/// Returns the unit with this UCUM code in words; a code that is not known stands for itself.
fn main_unit(code: &str) -> &str {
    match code {
        "d" => "days",
        "h" => "hours",
        "min" => "minutes",
        "s" => "seconds",
        "ms" => "milliseconds",
        "us" => "microseconds",
        "ns" => "nanoseconds",
        "By" => "bytes",
        "KiBy" => "kibibytes",
        "MiBy" => "mebibytes",
        "GiBy" => "gibibytes",
        "TiBy" => "tibibytes",
        "KBy" => "kilobytes",
        "MBy" => "megabytes",
        "GBy" => "gigabytes",
        "TBy" => "terabytes",
        "m" => "meters",
        "V" => "volts",
        "A" => "amperes",
        "J" => "joules",
        "W" => "watts",
        "g" => "grams",
        "Cel" => "celsius",
        "Hz" => "hertz",
        "1" => "",
        "%" => "percent",
        other => other,
    }
}

/// Returns the unit by which others are divided with this UCUM code in words, in the singular.
fn divisor_unit(code: &str) -> &str {
    match code {
        "s" => "second",
        "m" => "minute",
        "h" => "hour",
        "d" => "day",
        "w" => "week",
        "mo" => "month",
        "y" => "year",
        other => other,
    }
}

/// Returns a unit with underscores in place of what a name cannot have, never two in a row and none at the start.
fn clean(unit: &str) -> String {
    let mut cleaned = String::with_capacity(unit.len());
    push_escaped(&mut cleaned, unit, is_metric_character, true);
    match cleaned.strip_prefix('_') {
        Some(rest) => rest.to_owned(),
        None => cleaned,
    }
}

/// Adds `text` with an underscore in place of each character that a name cannot have, or of all in a row.
fn push_escaped(
    escaped: &mut String,
    text: &str,
    is_allowed: impl Fn(char) -> bool,
    collapses: bool,
) {
    let mut is_after_underscore = false;
    for it in text.chars() {
        let is_allowed = is_allowed(it);
        if is_allowed {
            escaped.push(it);
        } else if !(collapses && is_after_underscore) {
            escaped.push('_');
        }
        is_after_underscore = !is_allowed;
    }
}

/// Returns the unit of a metric as its metadata has it.
pub fn unit_name(unit: &str) -> String {
    let suffixes = UnitSuffixes::of(unit);
    let (main, per) = (clean(suffixes.main), clean(&suffixes.per()));
    let joined = match (main.is_empty(), per.is_empty()) {
        (false, false) => format!("{main}_{per}"),
        (false, true) => main,
        (true, _) => per,
    };
    let name = joined.strip_prefix('_').unwrap_or(&joined);
    name.strip_suffix('_').unwrap_or(name).to_owned()
}

/// Returns the name of the label that an attribute becomes.
///
/// # Errors
/// Nothing but underscores is left of the key.
pub fn label_name<'a>(key: &'a str, options: &Options) -> Result<Cow<'a, str>, NameError> {
    if key.is_empty() {
        return Err(NameError::Empty);
    }
    let is_allowed = |it: char| it.is_ascii_alphanumeric();
    let preserves = options.label_name_preserve_multiple_underscores;
    // Most keys are names, or have dots between names.
    let starts_well = key.starts_with(|it: char| it.is_ascii_alphabetic());
    let is_simple = |it: u8| it.is_ascii_alphanumeric() || preserves && it == b'_';
    if !options.translation_strategy.escapes() || starts_well && key.bytes().all(is_simple) {
        return match has_underscores_only(key) {
            true => Err(NameError::Underscores),
            false => Ok(Cow::Borrowed(key)),
        };
    }
    let mut name = String::with_capacity(key.len() + 4);
    let reserved = key.strip_prefix("__").and_then(|it| it.strip_suffix("__"));
    match reserved {
        Some(inner) if !preserves => {
            name.push_str("__");
            push_escaped(&mut name, inner, is_allowed, true);
            name.push_str("__");
        }
        _ => push_escaped(&mut name, key, is_allowed, !preserves),
    }
    let starts_with_one_underscore = name.starts_with('_') && !name.starts_with("__");
    if name.starts_with(|it: char| it.is_ascii_digit()) {
        name.insert_str(0, "key_");
    } else if options.label_name_underscore_sanitization && starts_with_one_underscore {
        name.insert_str(0, "key");
    }
    match has_underscores_only(&name) {
        true => Err(NameError::Underscores),
        false => Ok(Cow::Owned(name)),
    }
}
