//! Test scripts: commands that load series and evaluate expressions, with what is expected of the results.
//!
//! A command is a line and the lines after it up to an empty one or a comment. Indentation means nothing.

use go_regex::Pattern;
use prom_model::Labels;
use promql::{ExprKind, ParserOptions, Text};

use crate::series::{Item, description, duration, start_timestamps};

/// A command of a script.
#[derive(Debug)]
pub(crate) enum Command {
    /// Empties the storage.
    Clear,
    /// Stores samples.
    Load(Load),
    /// Evaluates an expression.
    Eval(Box<Eval>),
}

/// Series to store, whose first samples are at the time 0.
#[derive(Debug)]
pub(crate) struct Load {
    /// The line of the command, from 1.
    pub(crate) line: usize,
    /// The time between samples.
    pub(crate) step_ms: i64,
    /// True if classic histograms are also stored as native ones with custom buckets.
    pub(crate) with_nhcb: bool,
    /// The series; of equal label sets the last one.
    pub(crate) series: Vec<LoadSeries>,
}

/// A series to store.
#[derive(Debug)]
pub(crate) struct LoadSeries {
    pub(crate) labels: Labels,
    pub(crate) items: Vec<Item>,
    /// The start timestamps relative to the samples, as many as items.
    pub(crate) starts: Option<Vec<Option<i64>>>,
}

/// An evaluation and what is expected of it.
#[derive(Debug)]
pub(crate) struct Eval {
    /// The line of the command, from 1.
    pub(crate) line: usize,
    /// The expression.
    pub(crate) expr: String,
    /// True for a range query.
    pub(crate) is_range: bool,
    /// The first time of the result.
    pub(crate) start_ms: i64,
    /// The last time of the result.
    pub(crate) end_ms: i64,
    /// The time between values of the result.
    pub(crate) step_ms: i64,
    /// The time of an instant query.
    pub(crate) time_ms: i64,
    /// True if an instant query is not also run as a range query: its result is a range vector or a string.
    pub(crate) is_instant_only: bool,
    /// The error, if one is expected.
    pub(crate) failure: Option<Condition>,
    /// True if the order of the result matters.
    pub(crate) is_ordered: bool,
    /// The warnings.
    pub(crate) warnings: Annotated,
    /// The infos.
    pub(crate) infos: Annotated,
    /// The result.
    pub(crate) result: Expected,
}

/// The expected annotations of one kind.
#[derive(Debug, Default)]
pub(crate) struct Annotated {
    /// Each has to be fulfilled by an annotation, and each annotation has to fulfil one. If there is none, all
    /// annotations are accepted.
    pub(crate) conditions: Vec<Condition>,
    /// True if there must be no annotation.
    pub(crate) is_forbidden: bool,
}

/// A condition on a text.
#[derive(Debug)]
pub(crate) enum Condition {
    /// Any text.
    Any,
    /// This text.
    Text(String),
    /// A text with a part that matches the pattern; the pattern as it was written.
    Pattern(Pattern, String),
}

impl Condition {
    /// Returns true if the text fulfils the condition.
    pub(crate) fn accepts(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Text(expected) => expected == text,
            Self::Pattern(pattern, _) => pattern.matches(text),
        }
    }
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => f.write_str("any text"),
            Self::Text(text) => write!(f, "`{text}`"),
            Self::Pattern(_, pattern) => write!(f, "a text that matches `{pattern}`"),
        }
    }
}

/// An expected result.
#[derive(Debug)]
pub(crate) enum Expected {
    /// A scalar.
    Scalar(f64),
    /// A string.
    String(Text),
    /// Series, in the order of the script; their values are those of the steps from the start.
    Series(Vec<ExpectedSeries>),
}

/// An expected series.
#[derive(Debug)]
pub(crate) struct ExpectedSeries {
    pub(crate) labels: Labels,
    pub(crate) items: Vec<Item>,
    /// The place in an ordered result.
    pub(crate) position: usize,
}

/// Parses a script.
pub(crate) fn parse(text: &str) -> Result<Vec<Command>, String> {
    let mut lines = Lines {
        lines: text.split('\n').map(significant).collect(),
        next: 0,
    };
    let mut commands = Vec::new();
    while lines.next < lines.lines.len() {
        if let Some(line) = lines.in_block() {
            let parsed = command(line, &mut lines);
            commands.push(parsed.map_err(|reason| format!("line {}: {reason}", lines.next))?);
        } else {
            lines.next += 1;
        }
    }
    Ok(commands)
}

/// Returns the line without blanks around it; a comment is an empty line.
fn significant(line: &str) -> &str {
    let line = line.trim();
    match line.starts_with('#') {
        true => "",
        false => line,
    }
}

/// The lines of a script and the next one to read.
struct Lines<'a> {
    lines: Vec<&'a str>,
    next: usize,
}

impl<'a> Lines<'a> {
    /// Returns the next line unless the block ends.
    fn in_block(&mut self) -> Option<&'a str> {
        let line = *self.lines.get(self.next)?;
        if line.is_empty() {
            return None;
        }
        self.next += 1;
        Some(line)
    }
}

fn command(line: &str, lines: &mut Lines) -> Result<Command, String> {
    let (word, rest) = split_word(line);
    match word.to_ascii_lowercase().as_str() {
        "clear" => Ok(Command::Clear),
        "load" => Ok(Command::Load(load(rest, false, lines)?)),
        "load_with_nhcb" => Ok(Command::Load(load(rest, true, lines)?)),
        "eval" => Ok(Command::Eval(Box::new(eval(rest, None, lines)?))),
        "eval_fail" => {
            let failure = Some(Condition::Any);
            Ok(Command::Eval(Box::new(eval(rest, failure, lines)?)))
        }
        _ => Err(format!("there is no command `{word}`")),
    }
}

/// Splits a line behind its first word.
fn split_word(line: &str) -> (&str, &str) {
    let end = line.find([' ', '\t']).unwrap_or(line.len());
    (&line[..end], line[end..].trim_start())
}

fn load(step: &str, with_nhcb: bool, lines: &mut Lines) -> Result<Load, String> {
    let mut load = Load {
        line: lines.next,
        step_ms: duration(step)?,
        with_nhcb,
        series: Vec::new(),
    };
    while let Some(mut line) = lines.in_block() {
        let mut starts = None;
        if let Some(parsed) = start_timestamps(line) {
            starts = Some(parsed?);
            line = lines
                .in_block()
                .ok_or("no samples follow the start timestamps")?;
        }
        let series = description(line)?;
        if let Some((labels, offsets)) = &starts
            && (*labels != series.labels || offsets.len() != series.items.len())
        {
            return Err("the start timestamps are not those of the samples after them".to_owned());
        }
        load.series
            .retain(|earlier| earlier.labels != series.labels);
        load.series.push(LoadSeries {
            labels: series.labels,
            items: series.items,
            starts: starts.map(|(_, offsets)| offsets),
        });
    }
    Ok(load)
}

fn eval(rest: &str, failure: Option<Condition>, lines: &mut Lines) -> Result<Eval, String> {
    let line = lines.next;
    let (kind, rest) = split_word(rest);
    let (is_range, [start_ms, end_ms, step_ms], expr) = match kind {
        "instant" => {
            let (time, expr) = after_word(rest, "at")?;
            let time_ms = duration(time)?;
            (false, [time_ms, time_ms, 0], expr)
        }
        "range" => {
            let (times, expr) = times(rest)?;
            (true, times, expr)
        }
        _ => return Err(format!("`{kind}` is neither instant nor range")),
    };
    promql::parse(expr, &ParserOptions::everything()).map_err(|error| error.to_string())?;
    let mut eval = Eval {
        line,
        expr: expr.to_owned(),
        is_range,
        start_ms,
        end_ms,
        step_ms,
        time_ms: end_ms,
        is_instant_only: false,
        failure,
        is_ordered: false,
        warnings: Annotated::default(),
        infos: Annotated::default(),
        result: Expected::Series(Vec::new()),
    };
    while let Some(line) = lines.in_block() {
        if eval.expect(line)? == Block::Ends {
            break;
        }
    }
    eval.check()?;
    Ok(eval)
}

/// Parses `from A to B step S` and returns the rest.
fn times(text: &str) -> Result<([i64; 3], &str), String> {
    let (start, rest) = after_word(text, "from")?;
    let (end, rest) = after_word(rest, "to")?;
    let (step, rest) = after_word(rest, "step")?;
    let times = [duration(start)?, duration(end)?, duration(step)?];
    match times[1] < times[0] {
        true => Err(format!("{end} is before {start}")),
        false => Ok((times, rest)),
    }
}

/// Returns the word after `expected` and the rest.
fn after_word<'a>(text: &'a str, expected: &str) -> Result<(&'a str, &'a str), String> {
    match split_word(text) {
        (word, rest) if word == expected => Ok(split_word(rest)),
        (word, _) => Err(format!("`{expected}` is expected instead of `{word}`")),
    }
}

/// The place after a line of a block.
#[derive(PartialEq, Eq)]
enum Block {
    Continues,
    Ends,
}

impl Eval {
    /// Adds what a line expects.
    fn expect(&mut self, line: &str) -> Result<Block, String> {
        let (word, rest) = split_word(line);
        if word == "expect" {
            return self.expect_fact(rest).map(|()| Block::Continues);
        }
        if let Some(number) = number(line) {
            self.result = Expected::Scalar(number);
            return Ok(Block::Ends);
        }
        let Expected::Series(expected) = &mut self.result else {
            return Err("the result is no series".to_owned());
        };
        let series = description(line)?;
        let is_instant = !self.is_range && !self.is_instant_only;
        if series.items.is_empty() || is_instant && series.items.len() != 1 {
            let count = series.items.len();
            return Err(format!("{count} values are expected of an instant vector"));
        }
        let position = expected.len();
        expected.push(ExpectedSeries {
            labels: series.labels,
            items: series.items,
            position,
        });
        Ok(Block::Continues)
    }

    /// Adds the fact after `expect`.
    fn expect_fact(&mut self, fact: &str) -> Result<(), String> {
        let (word, rest) = split_word(fact);
        match word {
            "ordered" => self.is_ordered = true,
            "string" => {
                self.result = Expected::String(string(rest)?);
                self.is_instant_only = true;
            }
            "range" => {
                let (_, rest) = after_word(fact, "range")?;
                let (times, _) = times(rest)?;
                [self.start_ms, self.end_ms, self.step_ms] = times;
                self.time_ms = self.end_ms;
                self.is_instant_only = true;
            }
            "fail" if self.failure.is_none() => self.failure = Some(condition(rest)?),
            "warn" => self.warnings.conditions.push(condition(rest)?),
            "info" => self.infos.conditions.push(condition(rest)?),
            "no_warn" => self.warnings.is_forbidden = true,
            "no_info" => self.infos.is_forbidden = true,
            _ => return Err(format!("`{fact}` cannot be expected here")),
        }
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        for annotated in [&self.warnings, &self.infos] {
            if annotated.is_forbidden && !annotated.conditions.is_empty() {
                return Err("annotations are both expected and forbidden".to_owned());
            }
        }
        Ok(())
    }
}

/// Parses `msg:TEXT`, `regex:PATTERN` or nothing.
fn condition(text: &str) -> Result<Condition, String> {
    if text.is_empty() {
        return Ok(Condition::Any);
    }
    if let Some(text) = text.strip_prefix("msg:") {
        return Ok(Condition::Text(text.trim().to_owned()));
    }
    let pattern = text.strip_prefix("regex:");
    let pattern = pattern.ok_or_else(|| format!("`{text}` is neither msg: nor regex:"))?;
    let pattern = pattern.trim();
    // It may match anywhere in the text.
    let anywhere = Pattern::new(&format!("(?s:.*)(?:{pattern})(?s:.*)"));
    let anywhere = anywhere.map_err(|error| error.to_string())?;
    Ok(Condition::Pattern(anywhere, pattern.to_owned()))
}

/// Parses a string with Go's escapes.
fn string(literal: &str) -> Result<Text, String> {
    match promql::parse(literal, &ParserOptions::everything()).map(|expr| expr.kind) {
        Ok(ExprKind::String(text)) => Ok(text),
        _ => Err(format!("`{literal}` is no string; put it in quotes")),
    }
}

/// Parses a line that is a number.
fn number(line: &str) -> Option<f64> {
    let unsigned = line.strip_prefix(['+', '-']).unwrap_or(line);
    let hexadecimal = unsigned.strip_prefix("0x").or(unsigned.strip_prefix("0X"));
    let number = match hexadecimal {
        Some(digits) => i64::from_str_radix(digits, 16).ok()? as f64,
        None => unsigned.parse().ok()?,
    };
    match line.starts_with('-') {
        true => Some(-number),
        false => Some(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eval(text: &str) -> Eval {
        let mut commands = parse(text).unwrap();
        match commands.pop() {
            Some(Command::Eval(eval)) => *eval,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn commands_are_blocks_of_lines() {
        let commands = parse(
            "# One\nload 5m\n\tup{a=\"b\"} 1 2\n  # ends it\n\nCLEAR\nload_with_nhcb 10s\n    a@st -1s\n    a 1\n\
             a 5\n\nclear",
        )
        .unwrap();
        let [
            Command::Load(first),
            Command::Clear,
            Command::Load(second),
            Command::Clear,
        ] = commands.as_slice()
        else {
            panic!("{commands:?}");
        };
        assert_eq!(
            (first.line, first.step_ms, first.with_nhcb),
            (2, 300_000, false)
        );
        assert_eq!(first.series[0].labels.get("a"), "b");
        assert_eq!((second.step_ms, second.with_nhcb), (10_000, true));
        // The last description of a label set replaces those before it.
        assert_eq!((second.series.len(), &second.series[0].starts), (1, &None));
    }

    #[test]
    fn an_evaluation_has_times_and_expectations() {
        let instant =
            eval("eval instant at 1m30s  sum(a) + b\n expect no_info\n {x=\"y\"} 5\n a 7");
        assert_eq!(instant.expr, "sum(a) + b");
        assert_eq!((instant.time_ms, instant.is_range), (90_000, false));
        assert!(instant.infos.is_forbidden && !instant.warnings.is_forbidden);
        let Expected::Series(series) = &instant.result else {
            panic!("{instant:?}");
        };
        assert_eq!((series.len(), series[1].position), (2, 1));

        let range = eval("eval range from 0 to 10m step 1m5s rate(a[5m])\n\ta _x2 1");
        let times = (range.start_ms, range.end_ms, range.step_ms);
        assert_eq!((range.is_range, times), (true, (0, 600_000, 65_000)));

        let matrix =
            eval("eval instant at 5m a[2m]\nexpect range vector from 3m10s to 5m step 1m\na 1 2");
        let times = (
            matrix.start_ms,
            matrix.end_ms,
            matrix.step_ms,
            matrix.time_ms,
        );
        assert_eq!(times, (190_000, 300_000, 60_000, 300_000));
        assert!(matrix.is_instant_only);

        let string = eval("eval instant at 0 \"a\"\nexpect string `a`");
        assert!(matches!(string.result, Expected::String(text) if text == *"a"));
        for (line, number) in [
            ("-0x10", -16.0),
            ("1e3", 1000.0),
            ("-Inf", f64::NEG_INFINITY),
        ] {
            let scalar = eval(&format!("eval instant at 0 1\n{line}"));
            assert!(matches!(scalar.result, Expected::Scalar(it) if it == number));
        }
    }

    #[test]
    fn texts_are_compared_as_a_whole_and_patterns_with_any_part() {
        let eval = eval(
            "eval instant at 0 a\nexpect warn msg: two words (1:1)\nexpect warn regex:^o.e|b$\nexpect fail",
        );
        let [text, pattern] = eval.warnings.conditions.as_slice() else {
            panic!("{eval:?}");
        };
        assert!(text.accepts("two words (1:1)") && !text.accepts("two words"));
        for (text, is_accepted) in [("one more", true), ("a b", true), ("a one", false)] {
            assert_eq!(pattern.accepts(text), is_accepted, "{text}");
        }
        assert!(matches!(eval.failure, Some(Condition::Any)));
    }

    #[test]
    fn the_line_of_an_error_is_named() {
        for (text, line) in [
            ("\nnothing", 2),
            ("load 5\na 1", 1),
            ("load 5m\na b", 2),
            ("load 5m\na@st 5m\n\na 1", 2),
            ("load 5m\na@st 5m\nb 1", 3),
            ("eval at 5m a", 1),
            ("eval instant 5m a", 1),
            ("eval instant at 5m a +", 1),
            ("eval range from 5m to 1m step 1m a", 1),
            ("eval instant at 5m a\na 1 2", 2),
            ("eval instant at 5m a\nexpect nothing", 2),
            ("eval instant at 5m a\nexpect fail\nexpect fail", 3),
            ("eval instant at 5m a\nexpect info\nexpect no_info", 3),
            ("eval instant at 5m a\nexpect info text", 2),
            ("eval instant at 5m a\nexpect string a", 2),
        ] {
            let error = parse(text).unwrap_err();
            assert!(
                error.starts_with(&format!("line {line}: ")),
                "{text}: {error}"
            );
        }
    }
}
