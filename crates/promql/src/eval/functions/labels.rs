//! Functions that change labels.

use std::sync::Arc;

use go_regex::Regexp;
use prom_model::METRIC_NAME_LABEL;

use crate::eval::grid::{self, GridSeries};
use crate::eval::{Evaluated, Evaluator, fail};
use crate::plan::{Call, Node, NodeKind};
use crate::text::Text;

/// Sets a label to what a pattern makes of another one.
pub(super) fn replace<'a>(ev: &mut Evaluator<'a>, call: &'a Call) -> Evaluated<Vec<GridSeries>> {
    let [vector, destination, template, source, pattern] = &call.arguments[..] else {
        return fail("label_replace() needs five arguments");
    };
    let (template, source, pattern) = (string(template)?, string(source)?, string(pattern)?);
    let compiled = pattern
        .as_str()
        .and_then(|pattern| Regexp::new(&format!("^(?s:{pattern})$")).ok());
    let Some(regexp) = compiled else {
        let pattern = pattern.to_string_lossy();
        return fail(format!(
            "invalid regular expression in label_replace(): {pattern}"
        ));
    };
    let destination = label_name(string(destination)?, "destination", "label_replace")?;
    let mut series = ev.vector(vector)?;
    for one in &mut series {
        ev.check_interrupt()?;
        let value = source.as_str().map_or("", |name| one.labels.get(name));
        if let Some(value) = regexp.expand(value, template.as_bytes()) {
            set(one, destination, &Text::from(value));
        }
    }
    grid::merged(series)
}

/// Sets a label to the values of others with a separator between them.
pub(super) fn join<'a>(ev: &mut Evaluator<'a>, call: &'a Call) -> Evaluated<Vec<GridSeries>> {
    let [vector, destination, separator, sources @ ..] = &call.arguments[..] else {
        return fail("label_join() needs at least three arguments");
    };
    let sources = sources
        .iter()
        .map(|source| label_name(string(source)?, "source", "label_join"))
        .collect::<Evaluated<Vec<&str>>>()?;
    let destination = label_name(string(destination)?, "destination", "label_join")?;
    let separator = string(separator)?.as_bytes();
    let mut series = ev.vector(vector)?;
    for one in &mut series {
        ev.check_interrupt()?;
        let values = sources.iter().map(|name| one.labels.get(name).as_bytes());
        let joined = values.collect::<Vec<_>>().join(separator);
        set(one, destination, &Text::from(joined));
    }
    grid::merged(series)
}

/// Sets a label. A metric name that is set is not removed at the end of the evaluation.
fn set(series: &mut GridSeries, name: &str, value: &Text) {
    Arc::make_mut(&mut series.labels).set(name, &value.to_string_lossy());
    if name == METRIC_NAME_LABEL {
        series.drop_name = false;
    }
}

fn string(argument: &Node) -> Evaluated<&Text> {
    match &argument.kind {
        NodeKind::String(text) => Ok(text),
        _ => fail("an argument is no string"),
    }
}

/// Returns the name of a label: any characters, but at least one.
fn label_name<'a>(name: &'a Text, role: &str, function: &str) -> Evaluated<&'a str> {
    match name.as_str() {
        Some(name) if !name.is_empty() => Ok(name),
        _ => fail(format!(
            "invalid {role} label name in {function}(): {}",
            name.to_string_lossy()
        )),
    }
}
