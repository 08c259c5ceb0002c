//! Expressions over several lines, as Prometheus' `Pretty` writes them.
//!
//! An expression of more than 100 bytes is divided, and its parts stand on lines of their own, indented by two
//! spaces for each level. Whether an expression is too long is decided after at most 101 bytes of it, so the time is
//! linear in the length of the result.

use std::fmt::{self, Display, Write};

use crate::ast::{Aggregate, Binary, Expr, ExprKind};
use crate::parser::MAX_DEPTH;
use crate::printer::{AggregateHead, StepHead, SubqueryTimes};

/// The longest expression that is not divided, in bytes.
const MAX_LINE: usize = 100;

impl Expr {
    /// Returns the expression over several lines if it has more than 100 bytes, as Prometheus formats queries.
    ///
    /// Lines are indented by at most 500 spaces: a chain of thousands of operators would else be indented by as
    /// many levels.
    ///
    /// ```
    /// use promql::{ParserOptions, parse};
    ///
    /// let query = format!("sum({} + {})", "a".repeat(60), "b".repeat(60));
    /// let expr = parse(&query, &ParserOptions::default())?;
    /// let (a, b) = ("a".repeat(60), "b".repeat(60));
    /// assert_eq!(expr.pretty(), format!("sum(\n    {a}\n  +\n    {b}\n)"));
    /// # Ok::<(), promql::ParseError>(())
    /// ```
    pub fn pretty(&self) -> String {
        let unlimited = self.pretty_within(usize::MAX);
        unlimited.expect("no string is longer")
    }

    /// Returns the same if it has at most `max_bytes`: the indentation of a long chain of operators can have 250 times
    /// as many as the query.
    ///
    /// ```
    /// use promql::{ParserOptions, parse};
    ///
    /// let expr = parse("sum(up)by(job)", &ParserOptions::default())?;
    /// assert_eq!(expr.pretty_within(100).as_deref(), Some("sum by (job) (up)"));
    /// assert_eq!(expr.pretty_within(10), None);
    /// # Ok::<(), promql::ParseError>(())
    /// ```
    pub fn pretty_within(&self, max_bytes: usize) -> Option<String> {
        let mut pretty = Lines {
            text: String::new(),
            max_bytes,
        };
        write_expr(&mut pretty, self, 0);
        (!pretty.is_full()).then_some(pretty.text)
    }
}

/// Lines that are written until they have more than a number of bytes.
struct Lines {
    text: String,
    max_bytes: usize,
}

impl Lines {
    fn is_full(&self) -> bool {
        self.text.len() > self.max_bytes
    }

    fn push_str(&mut self, part: &str) {
        if !self.is_full() {
            self.text.push_str(part);
        }
    }

    fn push(&mut self, part: char) {
        if !self.is_full() {
            self.text.push(part);
        }
    }
}

impl fmt::Write for Lines {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        self.push_str(part);
        Ok(())
    }
}

fn push(pretty: &mut Lines, part: impl Display) {
    if !pretty.is_full() {
        write!(pretty, "{part}").expect("a string grows");
    }
}

fn indent(pretty: &mut Lines, level: usize) {
    let width = 2 * level.min(MAX_DEPTH as usize);
    push(pretty, format_args!("{:width$}", ""));
}

fn write_expr(pretty: &mut Lines, expr: &Expr, level: usize) {
    if pretty.is_full() {
        return;
    }
    let is_divisible = matches!(
        expr.kind,
        ExprKind::Call(_)
            | ExprKind::Aggregate(_)
            | ExprKind::Binary(_)
            | ExprKind::Paren(_)
            | ExprKind::Subquery(_)
            | ExprKind::Unary(..)
    );
    if !is_divisible || fits(expr) && !matches!(expr.kind, ExprKind::Unary(..)) {
        // As by Prometheus, a short subquery is not indented.
        if !matches!(expr.kind, ExprKind::Subquery(_)) {
            indent(pretty, level);
        }
        push(pretty, expr);
        return;
    }
    match &expr.kind {
        ExprKind::Call(call) => {
            indent(pretty, level);
            push(pretty, call.function.name);
            write_block(pretty, level, |pretty| {
                for (index, argument) in call.arguments.iter().enumerate() {
                    if index > 0 {
                        pretty.push_str(",\n");
                    }
                    write_expr(pretty, argument, level + 1);
                }
            });
        }
        ExprKind::Aggregate(aggregate) => write_aggregate(pretty, aggregate, level),
        ExprKind::Binary(chain) => write_chain(pretty, chain, level),
        ExprKind::Paren(inner) => {
            indent(pretty, level);
            write_block(pretty, level, |pretty| write_expr(pretty, inner, level + 1));
        }
        ExprKind::Subquery(subquery) => {
            write_expr(pretty, &subquery.expr, level);
            push(pretty, SubqueryTimes(subquery));
        }
        ExprKind::Unary(sign, inner) => {
            indent(pretty, level);
            push(pretty, sign.symbol());
            let mut operand = Lines {
                text: String::new(),
                max_bytes: pretty.max_bytes,
            };
            write_expr(&mut operand, inner, level);
            pretty.push_str(operand.text.trim());
            if operand.is_full() {
                pretty.max_bytes = 0;
            }
        }
        ExprKind::Number(_) | ExprKind::String(_) | ExprKind::Vector(_) | ExprKind::Matrix(_) => {}
    }
}

/// Writes parentheses around lines that end without a newline.
fn write_block(pretty: &mut Lines, level: usize, write_lines: impl FnOnce(&mut Lines)) {
    pretty.push_str("(\n");
    write_lines(pretty);
    pretty.push('\n');
    indent(pretty, level);
    pretty.push(')');
}

fn write_aggregate(pretty: &mut Lines, aggregate: &Aggregate, level: usize) {
    indent(pretty, level);
    push(pretty, AggregateHead(aggregate));
    write_block(pretty, level, |pretty| {
        if let Some(parameter) = &aggregate.parameter {
            write_expr(pretty, parameter, level + 1);
            pretty.push_str(",\n");
        }
        write_expr(pretty, &aggregate.expr, level + 1);
    });
}

/// Writes a chain. The left operand of each operator is a level deeper than the operator, so the first operand of a
/// long chain is the deepest.
fn write_chain(pretty: &mut Lines, chain: &Binary, level: usize) {
    let count = chain.steps.len();
    let level_after = |steps: usize| level + count - steps;
    let undivided = steps_that_fit(chain);
    match undivided {
        0 => write_expr(pretty, &chain.first, level_after(0)),
        _ => {
            indent(pretty, level_after(undivided));
            push(pretty, &chain.first);
            for step in &chain.steps[..undivided] {
                push(pretty, format_args!(" {} {}", StepHead(step), step.right));
            }
        }
    }
    for (index, step) in chain.steps.iter().enumerate().skip(undivided) {
        if pretty.is_full() {
            return;
        }
        let level = level_after(index + 1);
        pretty.push('\n');
        indent(pretty, level);
        push(pretty, StepHead(step));
        pretty.push('\n');
        write_expr(pretty, &step.right, level + 1);
    }
}

/// Returns the number of operators at the start of a chain that need not be divided.
fn steps_that_fit(chain: &Binary) -> usize {
    let mut line = Line { left: MAX_LINE };
    if write!(line, "{}", chain.first).is_err() {
        return 0;
    }
    let mut steps = chain.steps.iter();
    let too_long =
        steps.position(|step| write!(line, " {} {}", StepHead(step), step.right).is_err());
    too_long.unwrap_or(chain.steps.len())
}

fn fits(expr: &Expr) -> bool {
    write!(Line { left: MAX_LINE }, "{expr}").is_ok()
}

/// Fails as soon as a line is too long.
struct Line {
    left: usize,
}

impl fmt::Write for Line {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        self.left = self.left.checked_sub(part.len()).ok_or(fmt::Error)?;
        Ok(())
    }
}
