//! Tokens to a tree, by recursive descent with binding powers.
//!
//! A token is read only when the next decision needs it, because an error of the lexer must not come before an error
//! of what was complete without the token. Functions that read nested expressions leave building the node to others
//! (`new_call`), so that a level of nesting needs less stack.

mod duration;
mod selector;

use go_regex::MAX_COMPILED_BYTES;

use crate::ast::{
    Aggregate, AggregateOp, Binary, BinaryOp, BinaryStep, Call, Cardinality, Expr, ExprKind, Fill,
    Matcher, Number, POW_BINDING_POWER, Sign, VectorMatching,
};
use crate::check::check;
use crate::error::{ParseError, Step, failure};
use crate::functions::Function;
use crate::lexer::{Keyword, Lexer, Token, TokenKind};
use crate::number;
use crate::position::Span;
use crate::text::{Text, quote, unquote};
use crate::value_type::ValueType;

/// Maximum height of the tree of a query, and of the nesting that the parser follows. A chain of operators counts as
/// one level.
///
/// ```
/// use promql::{MAX_DEPTH, ParserOptions, parse};
///
/// let nested = |depth: usize| "(".repeat(depth) + "1" + &")".repeat(depth);
/// assert!(parse(&nested(MAX_DEPTH as usize), &ParserOptions::default()).is_err());
/// assert!(parse(&nested(MAX_DEPTH as usize / 2), &ParserOptions::default()).is_ok());
/// ```
pub const MAX_DEPTH: u32 = 250;

/// The parts of the language that Prometheus switches on by flags, and the limit of the length.
///
/// The default is Prometheus 3.15 without flags: duration expressions only.
///
/// ```
/// use promql::{ParserOptions, parse};
///
/// let options = ParserOptions { fill_modifiers: true, ..ParserOptions::default() };
/// assert!(parse("a + fill(0) b", &options).is_ok());
/// assert!(parse("a + fill(0) b", &ParserOptions::default()).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParserOptions {
    /// Accepts experimental functions and the aggregations `limitk` and `limit_ratio`
    /// (`promql-experimental-functions`).
    pub experimental_functions: bool,
    /// Accepts operators and functions in durations (`promql-duration-expr`).
    pub duration_expressions: bool,
    /// Accepts `anchored` and `smoothed` (`promql-extended-range-selectors`).
    pub extended_range_selectors: bool,
    /// Accepts `fill`, `fill_left` and `fill_right` (`promql-binop-fill-modifiers`).
    pub fill_modifiers: bool,
    /// Maximum length of a query in bytes.
    pub max_bytes: usize,
    /// Maximum size of the compiled patterns of all selectors of a query together, in bytes.
    pub max_compiled_bytes: usize,
}

impl Default for ParserOptions {
    fn default() -> Self {
        Self {
            experimental_functions: false,
            duration_expressions: true,
            extended_range_selectors: false,
            fill_modifiers: false,
            max_bytes: 1 << 20,
            max_compiled_bytes: MAX_COMPILED_BYTES,
        }
    }
}

impl ParserOptions {
    /// Returns options that accept the whole language.
    ///
    /// ```
    /// use promql::{ParserOptions, parse};
    ///
    /// assert!(parse("limitk(2, up)", &ParserOptions::everything()).is_ok());
    /// assert!(parse("limitk(2, up)", &ParserOptions::default()).is_err());
    /// ```
    pub fn everything() -> Self {
        Self {
            experimental_functions: true,
            duration_expressions: true,
            extended_range_selectors: true,
            fill_modifiers: true,
            ..Self::default()
        }
    }
}

/// Parses a query and checks its types. Bytes are accepted because a query need not be UTF-8 to be rejected as
/// Prometheus rejects it.
///
/// ```
/// use promql::{ParserOptions, ValueType, parse};
///
/// let expr = parse("sum by (job) (rate(http_requests_total[5m])) > 10", &ParserOptions::default())?;
/// assert_eq!(expr.value_type, ValueType::Vector);
///
/// let error = parse("rate(up)", &ParserOptions::default()).unwrap_err();
/// let text = "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector";
/// assert_eq!(error.to_string(), text);
/// # Ok::<(), promql::ParseError>(())
/// ```
///
/// # Errors
/// Prometheus rejects the query, it nests deeper than [`MAX_DEPTH`], or it is longer than
/// [`ParserOptions::max_bytes`].
pub fn parse<Q: AsRef<[u8]> + ?Sized>(
    query: &Q,
    options: &ParserOptions,
) -> Result<Expr, ParseError> {
    let query = query.as_ref();
    parse_and_check(query, options).map_err(|failure| ParseError::new(query, *failure))
}

fn parse_and_check(query: &[u8], options: &ParserOptions) -> Step<Expr> {
    let mut expr = Parser::new(query, options)?.query()?;
    check(&mut expr, query)?;
    Ok(expr)
}

/// Parses a selector of series such as `up{job="api"}`, without a range and modifiers, and returns its conditions. As in
/// Prometheus' `ParseMetricSelector`, it may match all series.
///
/// ```
/// use promql::{ParserOptions, parse_selector};
///
/// let matchers = parse_selector("up{job='api'}", &ParserOptions::default())?;
/// assert!(matchers[0].name == *"job" && matchers[1].value == *"up");
/// let error = parse_selector("up[5m]", &ParserOptions::default()).unwrap_err();
/// assert_eq!(error.to_string(), r#"1:3: parse error: unexpected "[""#);
/// # Ok::<(), promql::ParseError>(())
/// ```
///
/// # Errors
/// Prometheus rejects the selector, or it is longer than [`ParserOptions::max_bytes`].
pub fn parse_selector<Q: AsRef<[u8]> + ?Sized>(
    selector: &Q,
    options: &ParserOptions,
) -> Result<Vec<Matcher>, ParseError> {
    let selector = selector.as_ref();
    let parsed = Parser::new(selector, options).and_then(|mut parser| parser.selector());
    parsed.map_err(|failure| ParseError::new(selector, *failure))
}

/// Parses selectors of series, as Prometheus' `ParseMetricSelectors`.
///
/// ```
/// use promql::{ParserOptions, parse_selectors};
///
/// let options = ParserOptions::default();
/// assert_eq!(parse_selectors(["up", "{job='api'}"], &options)?.len(), 2);
/// assert!(parse_selectors(["up", "{"], &options).is_err());
/// # Ok::<(), promql::ParseError>(())
/// ```
///
/// The limits of patterns hold for all of them together.
///
/// # Errors
/// One is rejected; the error is that of the first.
pub fn parse_selectors<Q: AsRef<[u8]>>(
    selectors: impl IntoIterator<Item = Q>,
    options: &ParserOptions,
) -> Result<Vec<Vec<Matcher>>, ParseError> {
    let mut left = PatternsLeft::new(options);
    let selectors = selectors.into_iter().map(|selector| {
        let selector = selector.as_ref();
        let parsed = Parser::new(selector, options).and_then(|mut parser| {
            parser.patterns = left;
            let matchers = parser.selector()?;
            left = parser.patterns;
            Ok(matchers)
        });
        parsed.map_err(|failure| ParseError::new(selector, *failure))
    });
    selectors.collect()
}

/// The text of an error beside the unexpected token: that of the innermost construct that has one.
#[derive(Clone, Copy, Default)]
struct Context {
    place: &'static str,
    expected: &'static str,
}

struct Parser<'a> {
    query: &'a [u8],
    options: &'a ParserOptions,
    lexer: Lexer<'a>,
    peeked: Option<Token>,
    /// The end of the last number, duration or closing bracket.
    last_end: usize,
    depth: u32,
    context: Context,
    patterns: PatternsLeft,
}

/// The rest of the limits of patterns.
#[derive(Clone, Copy)]
struct PatternsLeft {
    compiled_bytes: usize,
    count: usize,
}

impl PatternsLeft {
    fn new(options: &ParserOptions) -> Self {
        Self {
            compiled_bytes: options.max_compiled_bytes,
            count: MAX_PATTERNS,
        }
    }
}

/// Patterns of a query at most that are not lists of literals. Each has a cache while it matches.
const MAX_PATTERNS: usize = 200;

/// Operands are read as long as operators bind at least this strongly.
const ANY_BINDING_POWER: u8 = 1;

impl<'a> Parser<'a> {
    fn new(query: &'a [u8], options: &'a ParserOptions) -> Step<Self> {
        if query.len() > options.max_bytes {
            let (length, limit) = (query.len(), options.max_bytes);
            return failure(
                Span::default(),
                format!(
                    "the query has {length} bytes, but at most {limit} are accepted; shorten it"
                ),
            );
        }
        Ok(Self {
            query,
            options,
            lexer: Lexer::new(query),
            peeked: None,
            last_end: 0,
            depth: 0,
            context: Context::default(),
            patterns: PatternsLeft::new(options),
        })
    }

    fn query(&mut self) -> Step<Expr> {
        if self.peek()?.kind == TokenKind::EndOfInput {
            return failure(Span::default(), "no expression found in input");
        }
        let expr = self.expr(ANY_BINDING_POWER)?;
        match self.peek()?.kind {
            TokenKind::EndOfInput => Ok(expr),
            _ => self.unexpected(),
        }
    }

    /// Reads a selector that is all of the text.
    fn selector(&mut self) -> Step<Vec<Matcher>> {
        let token = self.peek()?;
        let name = match token.kind {
            TokenKind::LeftBrace => None,
            kind if is_metric_name(kind) => Some(self.next()?),
            _ => return self.unexpected(),
        };
        let (matchers, _) = self.name_and_matchers(name)?;
        match self.peek_kind()? {
            TokenKind::EndOfInput => Ok(matchers),
            _ => self.unexpected(),
        }
    }

    fn peek(&mut self) -> Step<Token> {
        match self.peeked {
            Some(token) => Ok(token),
            None => {
                let token = self.lexer.next_token()?;
                self.peeked = Some(token);
                Ok(token)
            }
        }
    }

    fn peek_kind(&mut self) -> Step<TokenKind> {
        Ok(self.peek()?.kind)
    }

    fn next(&mut self) -> Step<Token> {
        let token = self.peek()?;
        self.peeked = None;
        if matches!(
            token.kind,
            TokenKind::RightBrace
                | TokenKind::RightParen
                | TokenKind::RightBracket
                | TokenKind::Duration
                | TokenKind::Number
        ) {
            self.last_end = token.span.end;
        }
        Ok(token)
    }

    fn accept(&mut self, kind: TokenKind) -> Step<Option<Token>> {
        match self.peek()?.kind == kind {
            true => self.next().map(Some),
            false => Ok(None),
        }
    }

    fn expect(&mut self, kind: TokenKind) -> Step<Token> {
        match self.accept(kind)? {
            Some(token) => Ok(token),
            None => self.unexpected(),
        }
    }

    /// Reports the next token as unexpected in the construct that is being read.
    fn unexpected<T>(&mut self) -> Step<T> {
        let token = self.peek()?;
        let mut message = format!("unexpected {}", self.lexer.describe(token));
        let Context { place, expected } = self.context;
        for (separator, part) in [(" in ", place), (", expected ", expected)] {
            if !part.is_empty() {
                message.push_str(separator);
                message.push_str(part);
            }
        }
        failure(token.span, message)
    }

    fn unexpected_in<T>(&mut self, place: &'static str, expected: &'static str) -> Step<T> {
        self.context = Context { place, expected };
        self.unexpected()
    }

    /// Runs `parse` with the text for unexpected tokens of a construct.
    fn within<T>(
        &mut self,
        place: &'static str,
        expected: &'static str,
        parse: impl FnOnce(&mut Self) -> Step<T>,
    ) -> Step<T> {
        let outer = std::mem::replace(&mut self.context, Context { place, expected });
        let parsed = parse(self)?;
        self.context = outer;
        Ok(parsed)
    }

    /// Runs `parse` one level deeper.
    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Step<T>) -> Step<T> {
        if self.depth >= MAX_DEPTH {
            let token = self.peek()?;
            return too_deep(token.span);
        }
        self.depth += 1;
        let parsed = parse(self)?;
        self.depth -= 1;
        Ok(parsed)
    }

    fn bytes(&self, token: Token) -> &'a [u8] {
        &self.query[token.span.start..token.span.end]
    }

    /// Returns a token that consists of ASCII.
    fn word(&self, token: Token) -> &'a str {
        std::str::from_utf8(self.bytes(token)).unwrap_or_default()
    }

    /// Reads operands and the operators between them that bind at least as strongly as `min_power`.
    fn expr(&mut self, min_power: u8) -> Step<Expr> {
        self.deeper(|parser| {
            let mut left = parser.operand()?;
            while let TokenKind::Operator(op) = parser.peek_kind()? {
                if op.binding_power() < min_power {
                    break;
                }
                left = parser.operation(left, op)?;
            }
            Ok(left)
        })
    }

    /// Reads what follows a left operand, whose operator is the next token.
    fn operation(&mut self, left: Expr, op: BinaryOp) -> Step<Expr> {
        self.next()?;
        let return_bool = self.accept_keyword(Keyword::Bool)?;
        let matching = self.matching()?;
        let right_power = match op {
            BinaryOp::Pow => POW_BINDING_POWER,
            _ => op.binding_power() + 1,
        };
        let right = self.expr(right_power)?;
        self.new_binary(left, op, return_bool, matching, right)
    }

    fn new_binary(
        &self,
        left: Expr,
        op: BinaryOp,
        return_bool: bool,
        matching: Box<VectorMatching>,
        right: Expr,
    ) -> Step<Expr> {
        let span = left.span.to(right.span);
        let has_fill = matching.fill_left.is_some() || matching.fill_right.is_some();
        if has_fill && !self.options.fill_modifiers {
            let message = "binop fill modifiers are experimental and not enabled";
            return failure(span, message);
        }
        let value_type = match (left.value_type, right.value_type) {
            (ValueType::Scalar, ValueType::Scalar) => ValueType::Scalar,
            _ => ValueType::Vector,
        };
        let height = right.height + 1;
        let step = BinaryStep {
            op,
            return_bool,
            matching: Some(matching),
            right,
            span,
            value_type,
        };
        let (chain, left_height) = match left {
            Expr {
                kind: ExprKind::Binary(mut chain),
                height,
                ..
            } => {
                chain.steps.push(step);
                (chain, height)
            }
            first => {
                let height = first.height + 1;
                let steps = vec![step];
                (Box::new(Binary { first, steps }), height)
            }
        };
        let height = height.max(left_height);
        new_expr(ExprKind::Binary(chain), span, value_type, height)
    }

    fn accept_keyword(&mut self, keyword: Keyword) -> Step<bool> {
        Ok(self.accept(TokenKind::Keyword(keyword))?.is_some())
    }

    /// Reads `on`, `ignoring`, `group_left`, `group_right` and values for absent series.
    fn matching(&mut self) -> Step<Box<VectorMatching>> {
        let mut matching = Box::new(VectorMatching {
            cardinality: Cardinality::OneToOne,
            labels: Vec::new(),
            on: false,
            include: Vec::new(),
            fill_left: None,
            fill_right: None,
        });
        let on = self.accept_keyword(Keyword::On)?;
        if on || self.accept_keyword(Keyword::Ignoring)? {
            matching.on = on;
            matching.labels = self.grouping()?;
            if self.accept_keyword(Keyword::GroupLeft)? {
                matching.cardinality = Cardinality::ManyToOne;
            } else if self.accept_keyword(Keyword::GroupRight)? {
                matching.cardinality = Cardinality::OneToMany;
            }
            if matching.cardinality != Cardinality::OneToOne {
                let next = self.peek_kind()?;
                // Labels may be absent before `fill` and operands, but nowhere else.
                if next == TokenKind::LeftParen || !can_begin_expr(next) {
                    matching.include = self.grouping()?;
                }
            }
        }
        if self.accept_keyword(Keyword::Fill)? {
            matching.fill_left = Some(self.fill_value()?);
            matching.fill_right = matching.fill_left;
        } else if self.accept_keyword(Keyword::FillLeft)? {
            matching.fill_left = Some(self.fill_value()?);
            if self.accept_keyword(Keyword::FillRight)? {
                matching.fill_right = Some(self.fill_value()?);
            }
        } else if self.accept_keyword(Keyword::FillRight)? {
            matching.fill_right = Some(self.fill_value()?);
            if self.accept_keyword(Keyword::FillLeft)? {
                matching.fill_left = Some(self.fill_value()?);
            }
        }
        Ok(matching)
    }

    fn fill_value(&mut self) -> Step<Fill> {
        self.expect(TokenKind::LeftParen)?;
        let sign = self.accept_sign()?;
        let number = self.number()?;
        self.expect(TokenKind::RightParen)?;
        Ok(Fill(match sign {
            Some((Sign::Minus, _)) => -number.0.value,
            _ => number.0.value,
        }))
    }

    fn accept_sign(&mut self) -> Step<Option<(Sign, Span)>> {
        let sign = match self.peek_kind()? {
            TokenKind::Operator(BinaryOp::Add) => Sign::Plus,
            TokenKind::Operator(BinaryOp::Sub) => Sign::Minus,
            _ => return Ok(None),
        };
        Ok(Some((sign, self.next()?.span)))
    }

    /// Reads a number or a duration literal.
    fn number(&mut self) -> Step<(Number, Span)> {
        let token = self.peek()?;
        if !matches!(token.kind, TokenKind::Number | TokenKind::Duration) {
            return self.unexpected();
        }
        self.next()?;
        let word = self.word(token);
        let is_duration = token.kind == TokenKind::Duration;
        let value = match is_duration {
            true => number::parse_duration(word).map(seconds),
            false => number::parse_number(word).map_err(|e| format!("error parsing number: {e}")),
        };
        match value {
            Ok(value) => Ok((Number { value, is_duration }, token.span)),
            Err(message) => failure(token.span, message),
        }
    }

    /// Reads labels in parentheses.
    fn grouping(&mut self) -> Step<Vec<String>> {
        const PLACE: &str = "grouping opts";
        if self.accept(TokenKind::LeftParen)?.is_none() {
            return self.unexpected_in(PLACE, "\"(\"");
        }
        let mut labels = Vec::new();
        while self.accept(TokenKind::RightParen)?.is_none() {
            labels.push(self.grouping_label()?);
            match self.peek_kind()? {
                TokenKind::Comma => {
                    self.next()?;
                }
                TokenKind::RightParen => {}
                _ => return self.unexpected_in(PLACE, "\",\" or \")\""),
            }
        }
        Ok(labels)
    }

    fn grouping_label(&mut self) -> Step<String> {
        let token = self.peek()?;
        let name = match token.kind {
            TokenKind::Identifier
            | TokenKind::MetricIdentifier
            | TokenKind::Aggregate(_)
            | TokenKind::Operator(
                BinaryOp::And | BinaryOp::Or | BinaryOp::Unless | BinaryOp::Atan2,
            ) => Text::from(self.word(token)),
            TokenKind::Keyword(keyword) if keyword != Keyword::Without => {
                Text::from(self.word(token))
            }
            TokenKind::String => unquote(self.bytes(token)),
            _ => return self.unexpected_in("grouping opts", "label"),
        };
        self.next()?;
        match name.as_str() {
            Some(label) if !label.is_empty() => Ok(label.to_owned()),
            _ => failure(
                token.span,
                format!("invalid label name for grouping: {}", name.quoted()),
            ),
        }
    }

    /// Reads an operand with its signs and modifiers.
    fn operand(&mut self) -> Step<Expr> {
        let Some((sign, sign_span)) = self.accept_sign()? else {
            let primary = self.primary()?;
            return self.modifiers(primary);
        };
        let mut expr = self.expr(POW_BINDING_POWER)?;
        let span = sign_span.to(expr.span);
        if let ExprKind::Number(number) = &mut expr.kind {
            if sign == Sign::Minus {
                number.value = -number.value;
            }
            expr.span = span;
            return Ok(expr);
        }
        let (value_type, height) = (expr.value_type, expr.height + 1);
        new_expr(
            ExprKind::Unary(sign, Box::new(expr)),
            span,
            value_type,
            height,
        )
    }

    /// Reads an operand without signs and modifiers.
    fn primary(&mut self) -> Step<Expr> {
        let token = self.peek()?;
        match token.kind {
            TokenKind::Number | TokenKind::Duration => {
                let (number, span) = self.number()?;
                new_expr(ExprKind::Number(number), span, ValueType::Scalar, 1)
            }
            TokenKind::String => {
                self.next()?;
                let string = unquote(self.bytes(token));
                new_expr(ExprKind::String(string), token.span, ValueType::String, 1)
            }
            TokenKind::LeftParen => self.paren(),
            TokenKind::LeftBrace => self.vector_selector(None),
            TokenKind::Aggregate(op) => self.aggregate_or_selector(op),
            TokenKind::Identifier => {
                self.next()?;
                self.call_or_selector(token)
            }
            TokenKind::Keyword(keyword) if keyword.is_function() => {
                self.next()?;
                self.call_or_selector(token)
            }
            _ if is_metric_name(token.kind) => {
                self.next()?;
                self.vector_selector(Some(token))
            }
            _ => self.unexpected(),
        }
    }

    fn paren(&mut self) -> Step<Expr> {
        let open = self.next()?;
        let expr = self.expr(ANY_BINDING_POWER)?;
        let close = self.expect(TokenKind::RightParen)?;
        let (value_type, height) = (expr.value_type, expr.height + 1);
        let span = open.span.to(close.span);
        new_expr(ExprKind::Paren(Box::new(expr)), span, value_type, height)
    }

    fn call_or_selector(&mut self, name: Token) -> Step<Expr> {
        if self.peek_kind()? != TokenKind::LeftParen {
            return self.vector_selector(Some(name));
        }
        let arguments = self.arguments()?;
        self.new_call(name, arguments)
    }

    fn new_call(&self, name: Token, arguments: Vec<Expr>) -> Step<Expr> {
        let word = self.word(name);
        let Some(function) = Function::named(word) else {
            let quoted = quote(word.as_bytes());
            return failure(name.span, format!("unknown function with name {quoted}"));
        };
        if function.is_experimental && !self.options.experimental_functions {
            let message = format!("function {} is not enabled", quote(word.as_bytes()));
            return failure(name.span, message);
        }
        let height = arguments.iter().map(|e| e.height).max().unwrap_or(0) + 1;
        let span = Span {
            start: name.span.start,
            end: self.last_end,
        };
        let call = Call {
            function,
            arguments,
        };
        new_expr(ExprKind::Call(call), span, function.returns, height)
    }

    /// Reads expressions in parentheses.
    fn arguments(&mut self) -> Step<Vec<Expr>> {
        self.expect(TokenKind::LeftParen)?;
        let mut arguments = Vec::new();
        if self.accept(TokenKind::RightParen)?.is_some() {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.expr(ANY_BINDING_POWER)?);
            match self.peek_kind()? {
                TokenKind::Comma => {
                    let comma = self.next()?;
                    if !can_begin_expr(self.peek_kind()?) {
                        let message = "trailing commas not allowed in function call args";
                        return failure(comma.span, message);
                    }
                }
                TokenKind::RightParen => {
                    self.next()?;
                    return Ok(arguments);
                }
                _ => return self.unexpected(),
            }
        }
    }

    /// Reads an aggregation, or a selector of a metric with the name of one.
    fn aggregate_or_selector(&mut self, op: AggregateOp) -> Step<Expr> {
        let name = self.next()?;
        match self.peek_kind()? {
            TokenKind::LeftParen | TokenKind::Keyword(Keyword::By | Keyword::Without) => {
                self.within("aggregation", "", |parser| parser.aggregate(name, op))
            }
            _ => self.vector_selector(Some(name)),
        }
    }

    fn aggregate(&mut self, name: Token, op: AggregateOp) -> Step<Expr> {
        let modifier_first = self.aggregate_modifier()?;
        let arguments = self.arguments()?;
        let modifier = match modifier_first {
            Some(modifier) => Some(modifier),
            None => self.aggregate_modifier()?,
        };
        let span = Span {
            start: name.span.start,
            end: self.last_end,
        };
        self.new_aggregate(op, span, arguments, modifier.unwrap_or_default())
    }

    fn new_aggregate(
        &self,
        op: AggregateOp,
        span: Span,
        arguments: Vec<Expr>,
        (grouping, without): (Vec<String>, bool),
    ) -> Step<Expr> {
        if arguments.is_empty() {
            return failure(span, "no arguments for aggregate expression provided");
        }
        if op.is_experimental() && !self.options.experimental_functions {
            let name = op.name();
            return failure(
                span,
                format!(
                    "{name}() is experimental and must be enabled with --enable-feature=promql-experimental-functions"
                ),
            );
        }
        let height = arguments.iter().map(|e| e.height).max().unwrap_or(0) + 1;
        let (expected, got) = (
            1 + usize::from(op.parameter_type().is_some()),
            arguments.len(),
        );
        let mut arguments = arguments.into_iter();
        let (parameter, expr) = match (expected, got) {
            (1, 1) => (None, arguments.next()),
            (2, 2) => (arguments.next(), arguments.next()),
            _ => (None, None),
        };
        let Some(expr) = expr else {
            return failure(
                span,
                format!(
                    "wrong number of arguments for aggregate expression provided, expected {expected}, got {got}"
                ),
            );
        };
        let aggregate = Aggregate {
            op,
            expr,
            parameter,
            grouping,
            without,
        };
        let kind = ExprKind::Aggregate(Box::new(aggregate));
        new_expr(kind, span, ValueType::Vector, height)
    }

    /// Reads `by` or `without` and its labels.
    fn aggregate_modifier(&mut self) -> Step<Option<(Vec<String>, bool)>> {
        let without = match self.peek_kind()? {
            TokenKind::Keyword(Keyword::By) => false,
            TokenKind::Keyword(Keyword::Without) => true,
            _ => return Ok(None),
        };
        self.next()?;
        Ok(Some((self.grouping()?, without)))
    }
}

fn new_expr(kind: ExprKind, span: Span, value_type: ValueType, height: u32) -> Step<Expr> {
    if height > MAX_DEPTH {
        return too_deep(span);
    }
    Ok(Expr {
        kind,
        span,
        value_type,
        height,
    })
}

fn too_deep<T>(span: Span) -> Step<T> {
    failure(
        span,
        format!("expression nests too deeply: more than {MAX_DEPTH} levels; use fewer parentheses"),
    )
}

fn seconds(nanoseconds: i64) -> f64 {
    const SECOND: i64 = 1_000_000_000;
    (nanoseconds / SECOND) as f64 + (nanoseconds % SECOND) as f64 / SECOND as f64
}

fn is_metric_name(kind: TokenKind) -> bool {
    match kind {
        TokenKind::Identifier | TokenKind::MetricIdentifier | TokenKind::Aggregate(_) => true,
        TokenKind::Operator(op) => op.is_set_operator(),
        TokenKind::Keyword(keyword) => !matches!(
            keyword,
            Keyword::Bool
                | Keyword::On
                | Keyword::Ignoring
                | Keyword::GroupLeft
                | Keyword::GroupRight
        ),
        _ => false,
    }
}

fn can_begin_expr(kind: TokenKind) -> bool {
    is_metric_name(kind)
        || matches!(
            kind,
            TokenKind::Number
                | TokenKind::Duration
                | TokenKind::String
                | TokenKind::LeftParen
                | TokenKind::LeftBrace
                | TokenKind::Operator(BinaryOp::Add | BinaryOp::Sub)
        )
}
