//! Selectors, ranges, subqueries and their modifiers.

use go_regex::{Pattern, RegexError};

use super::{MAX_PATTERNS, Parser, new_expr};
use crate::ast::{
    At, BinaryOp, DurationSpec, Expr, ExprKind, MatchOp, Matcher, MatrixSelector, Modifiers, Sign,
    Subquery, VectorSelector,
};
use crate::error::{Step, failure};
use crate::lexer::{Keyword, Token, TokenKind};
use crate::number::{format_number, to_i64};
use crate::position::Span;
use crate::text::{Text, unquote};
use crate::value_type::ValueType;

/// The label that holds the metric name.
const NAME_LABEL: &str = prom_model::METRIC_NAME_LABEL;

impl Parser<'_> {
    /// Reads a selector, whose name is already read if it has one.
    pub(super) fn vector_selector(&mut self, name: Option<Token>) -> Step<Expr> {
        let (matchers, span) = self.name_and_matchers(name)?;
        let selector = VectorSelector {
            name: name
                .map(|token| self.word(token).to_owned())
                .unwrap_or_default(),
            matchers,
            ..VectorSelector::default()
        };
        let kind = ExprKind::Vector(Box::new(selector));
        new_expr(kind, span, ValueType::Vector, 1)
    }

    /// Reads the conditions of a selector, whose name is already read if it has one.
    pub(super) fn name_and_matchers(&mut self, name: Option<Token>) -> Step<(Vec<Matcher>, Span)> {
        let (mut matchers, mut span) = (Vec::new(), name.map(|token| token.span));
        if self.peek_kind()? == TokenKind::LeftBrace {
            let (in_braces, braces) = self.matchers()?;
            matchers = in_braces;
            span = Some(span.map_or(braces, |name| name.to(braces)));
        }
        if let Some(token) = name {
            matchers.push(name_matcher(Text::from(self.word(token))));
        }
        Ok((matchers, span.unwrap_or_default()))
    }

    /// Reads conditions in braces.
    fn matchers(&mut self) -> Step<(Vec<Matcher>, Span)> {
        const PLACE: &str = "label matching";
        let open = self.next()?;
        let mut matchers = Vec::new();
        loop {
            if let Some(close) = self.accept(TokenKind::RightBrace)? {
                return Ok((matchers, open.span.to(close.span)));
            }
            matchers.push(self.matcher()?);
            match self.peek_kind()? {
                TokenKind::Comma => {
                    self.next()?;
                }
                TokenKind::RightBrace => {}
                _ => return self.unexpected_in(PLACE, "\",\" or \"}\""),
            }
        }
    }

    fn matcher(&mut self) -> Step<Matcher> {
        const PLACE: &str = "label matching";
        let token = self.peek()?;
        let name = match token.kind {
            TokenKind::Identifier => Text::from(self.word(token)),
            TokenKind::String => unquote(self.bytes(token)),
            _ => return self.unexpected_in(PLACE, "identifier or \"}\""),
        };
        self.next()?;
        let op = match self.peek_kind()? {
            TokenKind::Equal => MatchOp::Equal,
            TokenKind::Operator(BinaryOp::NotEqual) => MatchOp::NotEqual,
            TokenKind::MatchRegex => MatchOp::Regex,
            TokenKind::MatchNotRegex => MatchOp::NotRegex,
            _ if token.kind == TokenKind::String => return Ok(name_matcher(name)),
            _ => return self.unexpected_in(PLACE, "label matching operator"),
        };
        self.next()?;
        let Some(literal) = self.accept(TokenKind::String)? else {
            return self.unexpected_in(PLACE, "string");
        };
        let value = unquote(self.bytes(literal));
        let pattern = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => match self.compile(&value) {
                Ok(pattern) => Some(pattern),
                Err(error) => {
                    let message = format!("error parsing regexp: {error}");
                    return failure(token.span.to(literal.span), message);
                }
            },
        };
        Ok(Matcher {
            name,
            op,
            value,
            pattern,
        })
    }

    /// Compiles a pattern within the limits of the query.
    fn compile(&mut self, value: &Text) -> Result<Pattern, String> {
        let pattern = compile(value, self.patterns.compiled_bytes)?;
        if pattern.literals().is_none() {
            let count = self.patterns.count.checked_sub(1);
            self.patterns.count = count.ok_or_else(|| {
                format!(
                    "the query has more than {MAX_PATTERNS} patterns that are not lists of alternatives; use fewer"
                )
            })?;
            // The forward and the backward form are about as large.
            let bytes = pattern.compiled_bytes() / 2;
            let left = &mut self.patterns.compiled_bytes;
            *left = left.saturating_sub(bytes);
        }
        Ok(pattern)
    }

    /// Reads ranges, `@`, `offset`, `anchored` and `smoothed` after an operand.
    pub(super) fn modifiers(&mut self, mut expr: Expr) -> Step<Expr> {
        loop {
            expr = match self.peek_kind()? {
                TokenKind::LeftBracket => self.range(expr)?,
                TokenKind::At => {
                    self.next()?;
                    self.within("@", "timestamp", |parser| parser.at(expr))?
                }
                TokenKind::Keyword(Keyword::Offset) => {
                    self.next()?;
                    let expected = "number, duration, step(), or range()";
                    let offset = self.within("offset", expected, Self::offset_duration)?;
                    self.set_offset(expr, offset)?
                }
                TokenKind::Keyword(keyword @ (Keyword::Anchored | Keyword::Smoothed)) => {
                    self.next()?;
                    self.set_extension(expr, keyword)?
                }
                _ => return Ok(expr),
            };
        }
    }

    /// Reads a range or the times of a subquery.
    fn range(&mut self, expr: Expr) -> Step<Expr> {
        let open = self.next()?;
        let expected = "number, duration, step(), or range()";
        let range = self.within(
            "subquery or range selector",
            expected,
            Self::positive_duration,
        )?;
        match self.peek_kind()? {
            TokenKind::RightBracket => {
                let close = self.next()?;
                matrix_selector(expr, range, open.span.to(close.span))
            }
            TokenKind::Colon => {
                self.next()?;
                self.subquery(expr, range)
            }
            _ => self.unexpected_in("subquery or range", "\":\" or \"]\""),
        }
    }

    fn subquery(&mut self, expr: Expr, range: DurationSpec) -> Step<Expr> {
        const PLACE: &str = "subquery selector";
        let step = match self.peek_kind()? {
            TokenKind::RightBracket => None,
            _ => {
                let expected = "number, duration, step(), range(), or \"]\"";
                Some(self.within(PLACE, expected, Self::positive_duration)?)
            }
        };
        let Some(close) = self.accept(TokenKind::RightBracket)? else {
            return self.unexpected_in(PLACE, "\"]\"");
        };
        let (span, height) = (expr.span.to(close.span), expr.height + 1);
        let subquery = Subquery {
            expr,
            range,
            step,
            modifiers: Modifiers::default(),
        };
        let kind = ExprKind::Subquery(Box::new(subquery));
        new_expr(kind, span, ValueType::Matrix, height)
    }

    /// Reads the time of `@`.
    fn at(&mut self, mut expr: Expr) -> Step<Expr> {
        let at = match self.peek_kind()? {
            TokenKind::Keyword(keyword @ (Keyword::Start | Keyword::End)) => {
                self.next()?;
                self.expect(TokenKind::LeftParen)?;
                self.expect(TokenKind::RightParen)?;
                match keyword {
                    Keyword::Start => At::Start,
                    _ => At::End,
                }
            }
            _ => {
                let sign = self.accept_sign()?;
                let (number, _) = self.number()?;
                let seconds = match sign {
                    Some((Sign::Minus, _)) => -number.value,
                    _ => number.value,
                };
                if seconds.is_nan() || seconds.abs() >= i64::MAX as f64 {
                    let shown = match seconds.is_finite() {
                        true => format!("{seconds:.6}"),
                        false => format_number(seconds),
                    };
                    let message = format!("timestamp out of bounds for @ modifier: {shown}");
                    return failure(expr.span, message);
                }
                At::Time(to_i64((seconds * 1000.0).round()))
            }
        };
        let span = expr.span;
        let Some(modifiers) = time_modifiers(&mut expr) else {
            return failure(
                span,
                "@ modifier must be preceded by an instant vector selector or range vector selector or a subquery",
            );
        };
        if modifiers.at.is_some() {
            return failure(span, "@ <timestamp> may not be set multiple times");
        }
        modifiers.at = Some(at);
        expr.span.end = self.last_end;
        Ok(expr)
    }

    fn set_offset(&self, mut expr: Expr, offset: DurationSpec) -> Step<Expr> {
        let span = expr.span;
        let Some(modifiers) = time_modifiers(&mut expr) else {
            return failure(
                span,
                "offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
            );
        };
        if modifiers.offset.is_some() {
            return failure(span, "offset may not be set multiple times");
        }
        modifiers.offset = Some(offset).filter(|offset| *offset != DurationSpec::Fixed(0));
        expr.span.end = self.last_end;
        Ok(expr)
    }

    /// Sets `anchored` or `smoothed`.
    fn set_extension(&self, mut expr: Expr, keyword: Keyword) -> Step<Expr> {
        let is_anchored = keyword == Keyword::Anchored;
        let name = if is_anchored { "anchored" } else { "smoothed" };
        let fail = |reason: &str| failure(expr.span, format!("{name} modifier {reason}"));
        if !self.options.extended_range_selectors {
            return fail("is experimental and not enabled");
        }
        let selector = match &mut expr.kind {
            ExprKind::Vector(selector) => selector,
            ExprKind::Matrix(matrix) => &mut matrix.selector,
            ExprKind::Subquery(_) => return fail("is not supported for subqueries"),
            _ => return fail("not implemented"),
        };
        match is_anchored {
            true => selector.anchored = true,
            false => selector.smoothed = true,
        }
        if selector.anchored && selector.smoothed {
            return failure(
                expr.span,
                "anchored and smoothed modifiers cannot be used together",
            );
        }
        Ok(expr)
    }
}

/// Compiles a pattern. Like Prometheus, accepts bytes that are not UTF-8 only among alternatives of literals; values
/// of labels are UTF-8, so that such an alternative never matches.
fn compile(value: &Text, max_compiled_bytes: usize) -> Result<Pattern, String> {
    const NOTHING: &str = r"[^\x{0}-\x{10FFFF}]";
    let new = |pattern: &str| {
        Pattern::with_size_limit(pattern, max_compiled_bytes).map_err(|error| match error {
            // Go quotes the pattern before the remedy.
            RegexError::UnclosedGroup | RegexError::UnexpectedClosingParenthesis => error
                .to_string()
                .replacen("): ", &format!("): `{pattern}`; "), 1),
            error => error.to_string(),
        })
    };
    if let Some(pattern) = value.as_str() {
        return new(pattern);
    }
    let bytes = value.as_bytes();
    if bytes.iter().any(|byte| br"\.+*?()[]{}^$".contains(byte)) {
        let shown = String::from_utf8_lossy(bytes);
        return Err(format!("invalid UTF-8: `{shown}`"));
    }
    let alternatives: Vec<_> = bytes
        .split(|&byte| byte == b'|')
        .filter_map(|literal| std::str::from_utf8(literal).ok())
        .collect();
    match alternatives.is_empty() {
        true => new(NOTHING),
        false => new(&alternatives.join("|")),
    }
}

fn name_matcher(name: Text) -> Matcher {
    Matcher {
        name: Text::from(NAME_LABEL),
        op: MatchOp::Equal,
        value: name,
        pattern: None,
    }
}

fn matrix_selector(expr: Expr, range: DurationSpec, brackets: Span) -> Step<Expr> {
    let ExprKind::Vector(selector) = expr.kind else {
        return failure(brackets, "ranges only allowed for vector selectors");
    };
    if selector.modifiers.offset.is_some() {
        return failure(brackets, "no offset modifiers allowed before range");
    }
    if selector.modifiers.at.is_some() {
        return failure(brackets, "no @ modifiers allowed before range");
    }
    let matrix = MatrixSelector {
        selector: *selector,
        selector_span: expr.span,
        range,
    };
    let span = expr.span.to(brackets);
    let height = expr.height + 1;
    new_expr(
        ExprKind::Matrix(Box::new(matrix)),
        span,
        ValueType::Matrix,
        height,
    )
}

/// Returns where the time modifiers of an expression stand, if it can have any.
fn time_modifiers(expr: &mut Expr) -> Option<&mut Modifiers> {
    match &mut expr.kind {
        ExprKind::Vector(selector) => Some(&mut selector.modifiers),
        ExprKind::Matrix(matrix) => Some(&mut matrix.selector.modifiers),
        ExprKind::Subquery(subquery) => Some(&mut subquery.modifiers),
        _ => None,
    }
}
