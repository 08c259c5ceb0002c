//! Trees as JSON, as Prometheus' HTTP API shows them in `parse_query`.
//!
//! Keys have the order of Go's maps in JSON, that of their bytes.

use std::fmt::{self, Write};

use crate::ast::{
    Aggregate, At, Binary, BinaryStep, Call, Cardinality, DurationExpr, DurationKind, DurationSpec,
    Expr, ExprKind, Fill, MatrixSelector, Modifiers, Number, Sign, Subquery, VectorMatching,
    VectorSelector,
};
use crate::functions::{Function, Variadic};
use crate::number::{format_number, json_number};
use crate::text::decode;

/// Returns an expression as the JSON that Prometheus' HTTP API has for it in `/api/v1/parse_query`, byte for byte.
///
/// The text is at most some 200 times as long as the query; [`write_ast_json`] writes it to something with a limit.
///
/// ```
/// use promql::{ParserOptions, ast_json, parse};
///
/// let expr = parse("-(1)", &ParserOptions::default())?;
/// let json = r#"{"expr":{"expr":{"type":"numberLiteral","val":"1"},"type":"parenExpr"},"op":"-","type":"unaryExpr"}"#;
/// assert_eq!(ast_json(&expr), json);
/// # Ok::<(), promql::ParseError>(())
/// ```
pub fn ast_json(expr: &Expr) -> String {
    let mut json = String::new();
    write_ast_json(expr, &mut json).expect("a string grows");
    json
}

/// Writes what [`ast_json`] returns.
///
/// A number that JSON does not have, which Prometheus cannot write at all, is a string.
///
/// ```
/// use promql::{ParserOptions, parse, write_ast_json};
///
/// let mut json = String::new();
/// write_ast_json(&parse("'<'", &ParserOptions::default())?, &mut json).unwrap();
/// assert_eq!(json, r#"{"type":"stringLiteral","val":"\u003c"}"#);
/// # Ok::<(), promql::ParseError>(())
/// ```
///
/// # Errors
/// `out` returned one.
pub fn write_ast_json(expr: &Expr, out: &mut dyn Write) -> fmt::Result {
    Json(out).expr(expr)
}

struct Json<'a>(&'a mut dyn Write);

impl Json<'_> {
    fn raw(&mut self, json: &str) -> fmt::Result {
        self.0.write_str(json)
    }

    fn expr(&mut self, expr: &Expr) -> fmt::Result {
        match &expr.kind {
            ExprKind::Number(number) => {
                write!(
                    self.0,
                    r#"{{"type":"numberLiteral","val":"{}"}}"#,
                    format_number(number.value)
                )
            }
            ExprKind::String(text) => {
                self.raw(r#"{"type":"stringLiteral","val":"#)?;
                self.string(text.as_bytes())?;
                self.raw("}")
            }
            ExprKind::Vector(selector) => {
                self.raw("{")?;
                self.selector(selector)?;
                self.time_of_selector(selector)?;
                self.raw(r#","type":"vectorSelector"}"#)
            }
            ExprKind::Matrix(matrix) => self.matrix(matrix),
            ExprKind::Subquery(subquery) => self.subquery(subquery),
            ExprKind::Call(call) => self.call(call),
            ExprKind::Aggregate(aggregate) => self.aggregate(aggregate),
            ExprKind::Binary(binary) => self.binary(binary),
            ExprKind::Unary(sign, inner) => {
                self.raw(r#"{"expr":"#)?;
                self.expr(inner)?;
                let op = sign.symbol();
                write!(self.0, r#","op":"{op}","type":"unaryExpr"}}"#)
            }
            ExprKind::Paren(inner) => {
                self.raw(r#"{"expr":"#)?;
                self.expr(inner)?;
                self.raw(r#","type":"parenExpr"}"#)
            }
        }
    }

    /// Writes the fields of a selector up to its offset.
    fn selector(&mut self, selector: &VectorSelector) -> fmt::Result {
        write!(self.0, r#""anchored":{},"matchers":["#, selector.anchored)?;
        for (index, matcher) in selector.matchers.iter().enumerate() {
            self.raw(if index > 0 {
                r#",{"name":"#
            } else {
                r#"{"name":"#
            })?;
            self.string(matcher.name.as_bytes())?;
            write!(self.0, r#","type":"{}","value":"#, matcher.op.symbol())?;
            self.string(matcher.value.as_bytes())?;
            self.raw("}")?;
        }
        self.raw(r#"],"name":"#)?;
        self.string(selector.name.as_bytes())?;
        self.duration("offset", selector.modifiers.offset.as_ref())
    }

    /// Writes the fields of a selector after those of durations.
    fn time_of_selector(&mut self, selector: &VectorSelector) -> fmt::Result {
        write!(self.0, r#","smoothed":{}"#, selector.smoothed)?;
        self.start_or_end(&selector.modifiers)?;
        self.timestamp(&selector.modifiers)
    }

    /// Writes the function of `@` as a field after others.
    fn start_or_end(&mut self, modifiers: &Modifiers) -> fmt::Result {
        self.raw(match modifiers.at {
            Some(At::Start) => r#","startOrEnd":"start""#,
            Some(At::End) => r#","startOrEnd":"end""#,
            Some(At::Time(_)) | None => r#","startOrEnd":null"#,
        })
    }

    /// Writes the time of `@` as a field after others.
    fn timestamp(&mut self, modifiers: &Modifiers) -> fmt::Result {
        match modifiers.at {
            Some(At::Time(milliseconds)) => write!(self.0, r#","timestamp":{milliseconds}"#),
            _ => self.raw(r#","timestamp":null"#),
        }
    }

    /// Writes a duration as two fields after others: its milliseconds, and its expression.
    fn duration(&mut self, name: &str, duration: Option<&DurationSpec>) -> fmt::Result {
        let milliseconds = match duration {
            Some(DurationSpec::Fixed(nanoseconds)) => nanoseconds / 1_000_000,
            Some(DurationSpec::Computed(_)) | None => 0,
        };
        write!(self.0, r#","{name}":{milliseconds},"{name}Expr":"#)?;
        match duration {
            Some(DurationSpec::Computed(computed)) => self.duration_expr(computed),
            Some(DurationSpec::Fixed(_)) | None => self.raw("null"),
        }
    }

    fn matrix(&mut self, matrix: &MatrixSelector) -> fmt::Result {
        self.raw("{")?;
        self.selector(&matrix.selector)?;
        self.duration("range", Some(&matrix.range))?;
        self.time_of_selector(&matrix.selector)?;
        self.raw(r#","type":"matrixSelector"}"#)
    }

    fn subquery(&mut self, subquery: &Subquery) -> fmt::Result {
        self.raw(r#"{"expr":"#)?;
        self.expr(&subquery.expr)?;
        self.duration("offset", subquery.modifiers.offset.as_ref())?;
        self.duration("range", Some(&subquery.range))?;
        self.start_or_end(&subquery.modifiers)?;
        self.duration("step", subquery.step.as_ref())?;
        self.timestamp(&subquery.modifiers)?;
        self.raw(r#","type":"subquery"}"#)
    }

    fn call(&mut self, call: &Call) -> fmt::Result {
        self.raw(r#"{"args":["#)?;
        for (index, argument) in call.arguments.iter().enumerate() {
            self.raw(if index > 0 { "," } else { "" })?;
            self.expr(argument)?;
        }
        self.raw("],")?;
        self.function(call.function)?;
        self.raw(r#","type":"call"}"#)
    }

    fn function(&mut self, function: &Function) -> fmt::Result {
        self.raw(r#""func":{"argTypes":["#)?;
        for (index, argument) in function.arguments.iter().enumerate() {
            let separator = if index > 0 { "," } else { "" };
            write!(self.0, "{separator}\"{argument}\"")?;
        }
        let variadic = match function.variadic {
            Variadic::No => 0,
            Variadic::UpTo(count) => i64::try_from(count).unwrap_or(i64::MAX),
            Variadic::Unlimited => -1,
        };
        let (name, returns) = (function.name, function.returns);
        write!(
            self.0,
            r#"],"name":"{name}","returnType":"{returns}","variadic":{variadic}}}"#
        )
    }

    fn aggregate(&mut self, aggregate: &Aggregate) -> fmt::Result {
        self.raw(r#"{"expr":"#)?;
        self.expr(&aggregate.expr)?;
        self.labels("grouping", &aggregate.grouping)?;
        write!(self.0, r#","op":"{}","param":"#, aggregate.op.name())?;
        match &aggregate.parameter {
            Some(parameter) => self.expr(parameter)?,
            None => self.raw("null")?,
        }
        let without = aggregate.without;
        write!(self.0, r#","type":"aggregation","without":{without}}}"#)
    }

    /// Writes a chain of operators, in whose tree the last one is the root.
    fn binary(&mut self, binary: &Binary) -> fmt::Result {
        for step in binary.steps.iter().rev() {
            write!(self.0, r#"{{"bool":{},"lhs":"#, step.return_bool)?;
        }
        self.expr(&binary.first)?;
        let mut steps = binary.steps.iter();
        steps.try_for_each(|step| self.after_left_operand(step))
    }

    fn after_left_operand(&mut self, step: &BinaryStep) -> fmt::Result {
        self.raw(r#","matching":"#)?;
        match &step.matching {
            Some(matching) => self.matching(matching)?,
            None => self.raw("null")?,
        }
        write!(self.0, r#","op":"{}","rhs":"#, escaped_operator(step))?;
        self.expr(&step.right)?;
        self.raw(r#","type":"binaryExpr"}"#)
    }

    fn matching(&mut self, matching: &VectorMatching) -> fmt::Result {
        let cardinality = match matching.cardinality {
            Cardinality::OneToOne => "one-to-one",
            Cardinality::ManyToOne => "many-to-one",
            Cardinality::OneToMany => "one-to-many",
            Cardinality::ManyToMany => "many-to-many",
        };
        write!(self.0, r#"{{"card":"{cardinality}","fillValues":{{"lhs":"#)?;
        self.fill(matching.fill_left)?;
        self.raw(r#","rhs":"#)?;
        self.fill(matching.fill_right)?;
        self.raw("}")?;
        self.labels("include", &matching.include)?;
        self.labels("labels", &matching.labels)?;
        write!(self.0, r#","on":{}}}"#, matching.on)
    }

    fn fill(&mut self, fill: Option<Fill>) -> fmt::Result {
        match fill {
            Some(Fill(number)) if number.is_finite() => self.raw(&json_number(number)),
            Some(Fill(number)) => write!(self.0, "\"{}\"", format_number(number)),
            None => self.raw("null"),
        }
    }

    /// Writes labels as a field after others.
    fn labels(&mut self, name: &str, labels: &[String]) -> fmt::Result {
        write!(self.0, r#","{name}":["#)?;
        for (index, label) in labels.iter().enumerate() {
            self.raw(if index > 0 { "," } else { "" })?;
            self.string(label.as_bytes())?;
        }
        self.raw("]")
    }

    fn duration_expr(&mut self, duration: &DurationExpr) -> fmt::Result {
        let is_wrapped = duration.is_wrapped;
        match &duration.kind {
            DurationKind::Number(Number { value, is_duration }) => {
                let value = format_number(*value);
                write!(
                    self.0,
                    r#"{{"duration":{is_duration},"type":"numberLiteral","val":"{value}"}}"#
                )
            }
            DurationKind::Step => self.duration_operation(None, "step", None, is_wrapped),
            DurationKind::Range => self.duration_operation(None, "range", None, is_wrapped),
            DurationKind::Unary(sign, inner) => {
                self.duration_operation(None, Sign::symbol(*sign), Some(inner), is_wrapped)
            }
            DurationKind::Binary(op, left, right) => {
                self.duration_operation(Some(left), op.symbol(), Some(right), is_wrapped)
            }
        }
    }

    fn duration_operation(
        &mut self,
        left: Option<&DurationExpr>,
        op: &str,
        right: Option<&DurationExpr>,
        is_wrapped: bool,
    ) -> fmt::Result {
        self.raw(r#"{"lhs":"#)?;
        self.duration_operand(left)?;
        write!(self.0, r#","op":"{op}","rhs":"#)?;
        self.duration_operand(right)?;
        write!(self.0, r#","type":"durationExpr","wrapped":{is_wrapped}}}"#)
    }

    fn duration_operand(&mut self, operand: Option<&DurationExpr>) -> fmt::Result {
        match operand {
            Some(operand) => self.duration_expr(operand),
            None => self.raw("null"),
        }
    }

    /// Writes a string with the escapes of Go, those for HTML among them.
    fn string(&mut self, mut bytes: &[u8]) -> fmt::Result {
        self.raw("\"")?;
        while !bytes.is_empty() {
            let plain = bytes.iter().position(|&byte| !is_plain(byte));
            let (plain, rest) = bytes.split_at(plain.unwrap_or(bytes.len()));
            self.raw(std::str::from_utf8(plain).unwrap_or_default())?;
            bytes = rest;
            if let Some((character, length)) = decode(bytes) {
                self.escaped(character, length)?;
                bytes = &bytes[length..];
            }
        }
        self.raw("\"")
    }

    fn escaped(&mut self, character: char, length: usize) -> fmt::Result {
        match character {
            '"' => self.raw("\\\""),
            '\\' => self.raw("\\\\"),
            '\n' => self.raw("\\n"),
            '\r' => self.raw("\\r"),
            '\t' => self.raw("\\t"),
            // A byte that is part of no character.
            char::REPLACEMENT_CHARACTER if length == 1 => self.raw("\\ufffd"),
            '\u{2028}' | '\u{2029}' | '\0'..='\x7f' => {
                write!(self.0, "\\u{:04x}", u32::from(character))
            }
            _ => self.0.write_char(character),
        }
    }
}

/// Returns true for bytes that are the same in JSON.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=0x7f) && !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&')
}

fn escaped_operator(step: &BinaryStep) -> String {
    let symbol = step.op.symbol();
    symbol.replace('<', "\\u003c").replace('>', "\\u003e")
}
