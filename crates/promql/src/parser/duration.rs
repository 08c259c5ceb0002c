//! Durations after `offset` and in brackets.

use super::{ANY_BINDING_POWER, MAX_DEPTH, Parser, too_deep};
use crate::ast::{BinaryOp, DurationExpr, DurationKind, DurationOp, DurationSpec, Number, Sign};
use crate::error::{Step, failure};
use crate::lexer::{Keyword, TokenKind};
use crate::number::to_i64;
use crate::position::Span;

/// The binding power of a sign: that of `*`.
const SIGN_BINDING_POWER: u8 = 5;

impl Parser<'_> {
    /// Reads a duration that must be greater than 0.
    pub(super) fn positive_duration(&mut self) -> Step<DurationSpec> {
        let duration = self.duration(ANY_BINDING_POWER)?;
        match &duration.kind {
            DurationKind::Number(number) if number.value <= 0.0 => {
                failure(duration.span, "duration must be greater than 0")
            }
            _ => Ok(into_spec(duration)),
        }
    }

    /// Reads the duration of `offset`: a single literal or call with a sign ends before an operator, because the
    /// operator belongs to what has the offset. Anything else continues.
    pub(super) fn offset_duration(&mut self) -> Step<DurationSpec> {
        let Some((sign, sign_span)) = self.accept_sign()? else {
            let duration = match self.peek_kind()? {
                TokenKind::LeftParen => self.duration(ANY_BINDING_POWER)?,
                _ => self.duration_primary()?,
            };
            return Ok(into_spec(duration));
        };
        let duration = match self.peek_kind()? {
            TokenKind::Number | TokenKind::Duration => {
                let (mut number, span) = self.number()?;
                if sign == Sign::Minus {
                    number.value = -number.value;
                }
                if is_out_of_range(number.value) {
                    return failure(sign_span, "duration out of range");
                }
                literal(number, sign_span.to(span))
            }
            TokenKind::LeftParen => {
                self.next()?;
                let inner = self.duration(ANY_BINDING_POWER)?;
                self.expect(TokenKind::RightParen)?;
                let span = inner.span;
                self.signed(sign, sign_span, wrapped(inner, span))?
            }
            TokenKind::Operator(_) => {
                let operand = self.duration(SIGN_BINDING_POWER + 1)?;
                let left = self.signed(sign, sign_span, operand)?;
                self.duration_after(left, ANY_BINDING_POWER)?
            }
            _ => {
                let inner = self.duration_call()?;
                let span = sign_span.to(inner.span);
                self.check_enabled(span)?;
                let height = inner.height + 1;
                new_duration(DurationKind::Unary(sign, Box::new(inner)), span, height)?
            }
        };
        Ok(into_spec(duration))
    }

    fn duration(&mut self, min_power: u8) -> Step<DurationExpr> {
        self.deeper(|parser| {
            let left = parser.duration_operand()?;
            parser.duration_after(left, min_power)
        })
    }

    /// Reads operators and right operands after a left operand.
    fn duration_after(&mut self, mut left: DurationExpr, min_power: u8) -> Step<DurationExpr> {
        while let TokenKind::Operator(token) = self.peek_kind()? {
            let (op, right_power) = match token {
                BinaryOp::Add => (DurationOp::Add, token.binding_power() + 1),
                BinaryOp::Sub => (DurationOp::Sub, token.binding_power() + 1),
                BinaryOp::Mul => (DurationOp::Mul, token.binding_power() + 1),
                BinaryOp::Div => (DurationOp::Div, token.binding_power() + 1),
                BinaryOp::Mod => (DurationOp::Mod, token.binding_power() + 1),
                BinaryOp::Pow => (DurationOp::Pow, token.binding_power()),
                _ => break,
            };
            if token.binding_power() < min_power {
                break;
            }
            let operator = self.next()?;
            let right = self.duration(right_power)?;
            self.check_enabled(left.span)?;
            let divides_by_zero = match &right.kind {
                DurationKind::Number(number) => number.value == 0.0,
                _ => false,
            };
            match op {
                DurationOp::Div if divides_by_zero => {
                    return failure(operator.span, "division by zero");
                }
                DurationOp::Mod if divides_by_zero => {
                    return failure(operator.span, "modulo by zero");
                }
                _ => {}
            }
            left = binary(op, left, right)?;
        }
        Ok(left)
    }

    fn duration_operand(&mut self) -> Step<DurationExpr> {
        let Some((sign, sign_span)) = self.accept_sign()? else {
            return self.duration_primary();
        };
        let operand = self.duration(SIGN_BINDING_POWER + 1)?;
        self.signed(sign, sign_span, operand)
    }

    /// Puts a sign before a duration.
    fn signed(&self, sign: Sign, sign_span: Span, operand: DurationExpr) -> Step<DurationExpr> {
        let span = sign_span.to(operand.span);
        match operand.kind {
            DurationKind::Number(mut number) => {
                if sign == Sign::Minus {
                    number.value = -number.value;
                }
                match is_out_of_range(number.value) {
                    true => failure(sign_span, "duration out of range"),
                    false => Ok(literal(number, span)),
                }
            }
            _ if sign == Sign::Plus => Ok(operand),
            _ => {
                let height = operand.height + 1;
                new_duration(DurationKind::Unary(sign, Box::new(operand)), span, height)
            }
        }
    }

    /// Reads a literal, a call, or a duration in parentheses.
    fn duration_primary(&mut self) -> Step<DurationExpr> {
        let token = self.peek()?;
        match token.kind {
            TokenKind::Number | TokenKind::Duration => {
                let (number, span) = self.number()?;
                match is_out_of_range(number.value) {
                    true => failure(span, "duration out of range"),
                    false => Ok(literal(number, span)),
                }
            }
            TokenKind::Keyword(_) => {
                let call = self.duration_call()?;
                self.check_enabled(call.span)?;
                Ok(call)
            }
            TokenKind::LeftParen => {
                let open = self.next()?;
                let inner = self.duration(ANY_BINDING_POWER)?;
                let close = self.expect(TokenKind::RightParen)?;
                self.check_enabled(inner.span)?;
                Ok(wrapped(inner, open.span.to(close.span)))
            }
            _ => self.unexpected(),
        }
    }

    /// Reads a call, which the caller checks to be enabled.
    fn duration_call(&mut self) -> Step<DurationExpr> {
        let token = self.peek()?;
        match token.kind {
            TokenKind::Keyword(keyword @ (Keyword::Step | Keyword::Range)) => {
                self.next()?;
                self.expect(TokenKind::LeftParen)?;
                let close = self.expect(TokenKind::RightParen)?;
                let kind = match keyword {
                    Keyword::Step => DurationKind::Step,
                    _ => DurationKind::Range,
                };
                new_duration(kind, token.span.to(close.span), 1)
            }
            TokenKind::Keyword(keyword @ (Keyword::MaxOf | Keyword::MinOf)) => {
                self.next()?;
                self.expect(TokenKind::LeftParen)?;
                let left = self.duration(ANY_BINDING_POWER)?;
                self.expect(TokenKind::Comma)?;
                let right = self.duration(ANY_BINDING_POWER)?;
                self.expect(TokenKind::RightParen)?;
                let op = match keyword {
                    Keyword::MaxOf => DurationOp::MaxOf,
                    _ => DurationOp::MinOf,
                };
                binary(op, left, right)
            }
            _ => self.unexpected(),
        }
    }

    fn check_enabled(&self, span: Span) -> Step<()> {
        match self.options.duration_expressions {
            true => Ok(()),
            false => failure(span, "experimental duration expression is not enabled"),
        }
    }
}

/// Marks a duration as written in parentheses. A literal cannot be marked: a sign that is not printed holds it.
fn wrapped(mut inner: DurationExpr, span: Span) -> DurationExpr {
    if !matches!(inner.kind, DurationKind::Number(_)) {
        inner.is_wrapped = true;
        return inner;
    }
    let span = Span {
        start: span.start,
        end: inner.span.end,
    };
    DurationExpr {
        height: inner.height + 1,
        kind: DurationKind::Unary(Sign::Plus, Box::new(inner)),
        is_wrapped: true,
        span,
    }
}

fn binary(op: DurationOp, left: DurationExpr, right: DurationExpr) -> Step<DurationExpr> {
    let span = left.span.to(right.span);
    let height = left.height.max(right.height) + 1;
    let kind = DurationKind::Binary(op, Box::new(left), Box::new(right));
    new_duration(kind, span, height)
}

fn new_duration(kind: DurationKind, span: Span, height: u32) -> Step<DurationExpr> {
    if height > MAX_DEPTH {
        return too_deep(span);
    }
    Ok(DurationExpr {
        kind,
        is_wrapped: false,
        span,
        height,
    })
}

fn literal(number: Number, span: Span) -> DurationExpr {
    DurationExpr {
        kind: DurationKind::Number(number),
        is_wrapped: false,
        span,
        height: 1,
    }
}

fn into_spec(duration: DurationExpr) -> DurationSpec {
    match duration.kind {
        DurationKind::Number(number) => DurationSpec::Fixed(to_i64((number.value * 1e9).round())),
        _ => DurationSpec::Computed(Box::new(duration)),
    }
}

/// Returns true if a number of seconds does not fit into 64 bits of nanoseconds.
fn is_out_of_range(seconds: f64) -> bool {
    const MAX_SECONDS: f64 = 9_223_372_036.854_776;
    seconds.abs() > MAX_SECONDS
}
