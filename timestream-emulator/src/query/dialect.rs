//! SQL text -> statements.
//!
//! The grammar is sqlparser's with a dialect that accepts as little as possible; SHOW and DESCRIBE
//! are parsed here, because the library drops parts of them.

use sqlparser::{
    ast::{DateTimeField, Expr, Ident, Interval, Query, Value},
    dialect::Dialect,
    keywords::Keyword,
    parser::{Parser, ParserError},
    tokenizer::{Location, Token, TokenWithSpan, Tokenizer, TokenizerError},
};

use super::time::Unit;
use crate::{error::ServiceError, inspect::Quoted};

/// Nesting of brackets and the like.
const MAX_DEPTH: usize = 400;
/// Operators in one statement; each deepens the tree by one.
const MAX_OPERATORS: usize = 20_000;

/// One statement.
#[derive(Debug)]
pub(crate) enum Statement {
    Select(Box<Query>),
    Show(Show),
    /// The name after DESCRIBE.
    Describe(Vec<Ident>),
}

/// Subject of a SHOW statement.
#[derive(Debug)]
pub(crate) struct Show {
    pub(crate) subject: Subject,
    /// The name after FROM, if there is one.
    pub(crate) from: Vec<Ident>,
    /// The LIKE pattern.
    pub(crate) like: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    Databases,
    Tables,
    Measures,
}

/// Reads one statement, which must be all of the text.
pub(crate) fn parse(sql: &str) -> Result<Statement, ServiceError> {
    let dialect = TimestreamDialect;
    let tokens = Tokenizer::new(&dialect, sql)
        .tokenize_with_location()
        .map_err(tokenizer_error)?;
    check_size(&tokens)?;
    let mut parser = Parser::new(&dialect)
        .with_recursion_limit(MAX_DEPTH)
        .with_tokens_with_locations(tokens);
    let start = parser.peek_token_ref().span.start;
    let statement = if next_is(&mut parser, "SHOW") {
        parse_show(&mut parser).map(Statement::Show)
    } else if next_is(&mut parser, "DESCRIBE") || next_is(&mut parser, "DESC") {
        parse_name(&mut parser).map(Statement::Describe)
    } else if starts_query(&parser) {
        parser.parse_query().map(Statement::Select)
    } else if next_is(&mut parser, "UNLOAD") {
        return Err(ServiceError::validation(format!(
            "{}UNLOAD is not supported by the emulator: there is no S3 to write to. Run the query in \
             its brackets alone and read the result page by page.",
            position(start)
        )));
    } else {
        Err(unexpected(&parser))
    };
    let statement = statement.map_err(|error| parser_error(error, sql))?;
    match parser.peek_token_ref().token {
        Token::EOF => Ok(statement),
        _ => Err(parser_error(unexpected(&parser), sql)),
    }
}

/// Returns the texts between quotes.
pub(crate) fn quoted(sql: &str) -> Result<Quoted, ServiceError> {
    let tokens = Tokenizer::new(&TimestreamDialect, sql).tokenize();
    let mut quoted = Quoted::default();
    for token in tokens.map_err(tokenizer_error)? {
        match token {
            Token::SingleQuotedString(text) => quoted.strings.push(text),
            Token::Word(word) if word.quote_style.is_some() => quoted.names.push(word.value),
            _ => {}
        }
    }
    Ok(quoted)
}

/// Returns `line 1:8: `, the form in which the service reports a position.
pub(crate) fn position(location: Location) -> String {
    format!("line {}:{}: ", location.line, location.column)
}

/// Identifiers as in Presto: `"..."` quotes, nothing else does.
#[derive(Debug)]
struct TimestreamDialect;

impl Dialect for TimestreamDialect {
    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '"'
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_ascii_alphabetic() || ch == '_'
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_ascii_alphanumeric() || ch == '_'
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    /// Parses interval literals such as `1h` and `100ms`, a number and a unit without a space; and
    /// parameters such as `@name`.
    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        let [number, unit] = parser.peek_tokens_with_location();
        if let (Token::AtSign, Token::Word(word)) = (&number.token, &unit.token)
            && number.span.end == unit.span.start
            && word.quote_style.is_none()
        {
            let name = word.value.clone();
            parser.advance_token();
            parser.advance_token();
            let parameter = Value::Placeholder(name).with_span(number.span.union(&unit.span));
            return Some(Ok(Expr::Value(parameter)));
        }
        let Token::Number(digits, false) = number.token else {
            return None;
        };
        let Token::Word(word) = unit.token else {
            return None;
        };
        let is_adjacent = number.span.end == unit.span.start && word.quote_style.is_none();
        if !is_adjacent {
            return None;
        }
        parser.advance_token();
        parser.advance_token();
        if Unit::from_name(&word.value).is_none() {
            let place = position(number.span.start);
            let text = format!(
                "{place}identifiers must not start with a digit: {digits}{}",
                word.value
            );
            return Some(Err(ParserError::ParserError(text)));
        }
        Some(Ok(Expr::Interval(Interval {
            value: Box::new(Expr::Value(
                Value::Number(digits, false).with_span(number.span),
            )),
            leading_field: Some(DateTimeField::Custom(Ident::new(word.value))),
            leading_precision: None,
            last_field: None,
            fractional_seconds_precision: None,
        })))
    }
}

fn check_size(tokens: &[TokenWithSpan]) -> Result<(), ServiceError> {
    let is_plain = |token: &Token| {
        matches!(
            token,
            Token::Whitespace(_) | Token::Comma | Token::SingleQuotedString(_) | Token::Number(..)
        )
    };
    let is_quoted =
        |token: &Token| matches!(token, Token::Word(word) if word.keyword == Keyword::NoKeyword);
    let operators = tokens
        .iter()
        .filter(|token| !is_plain(&token.token) && !is_quoted(&token.token))
        .count();
    if operators > MAX_OPERATORS {
        return Err(ServiceError::validation(format!(
            "The query has {operators} operators; the emulator takes {MAX_OPERATORS}."
        )));
    }
    Ok(())
}

fn starts_query(parser: &Parser<'_>) -> bool {
    match &parser.peek_token_ref().token {
        Token::Word(word) => {
            let keywords = [Keyword::SELECT, Keyword::WITH, Keyword::VALUES];
            keywords.contains(&word.keyword)
        }
        Token::LParen => true,
        _ => false,
    }
}

/// Parses `SHOW DATABASES | TABLES | MEASURES [FROM name] [LIKE 'pattern']`.
fn parse_show(parser: &mut Parser<'_>) -> Result<Show, ParserError> {
    let subject = if next_is(parser, "DATABASES") {
        Subject::Databases
    } else if next_is(parser, "TABLES") {
        Subject::Tables
    } else if next_is(parser, "MEASURES") {
        Subject::Measures
    } else {
        return Err(unexpected(parser));
    };
    let takes_from = subject != Subject::Databases;
    let has_from = takes_from && (next_is(parser, "FROM") || next_is(parser, "IN"));
    let from = if has_from {
        parse_name(parser)?
    } else {
        Vec::new()
    };
    if subject == Subject::Measures && !has_from {
        return Err(unexpected(parser));
    }
    let like = if next_is(parser, "LIKE") {
        match parser.next_token().token {
            Token::SingleQuotedString(pattern) => Some(pattern),
            _ => {
                parser.prev_token();
                return Err(unexpected(parser));
            }
        }
    } else {
        None
    };
    Ok(Show {
        subject,
        from,
        like,
    })
}

/// Parses `a` or `a.b`, each part quoted or not.
fn parse_name(parser: &mut Parser<'_>) -> Result<Vec<Ident>, ParserError> {
    let mut name = vec![parser.parse_identifier()?];
    while parser.consume_token(&Token::Period) {
        name.push(parser.parse_identifier()?);
    }
    Ok(name)
}

/// Consumes the next token if it is this word, unquoted, in any case.
fn next_is(parser: &mut Parser<'_>, wanted: &str) -> bool {
    let is_wanted = match &parser.peek_token_ref().token {
        Token::Word(word) => word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted),
        _ => false,
    };
    if is_wanted {
        parser.advance_token();
    }
    is_wanted
}

fn unexpected(parser: &Parser<'_>) -> ParserError {
    let token = parser.peek_token_ref();
    let found = match &token.token {
        Token::EOF => "<EOF>".to_owned(),
        other => other.to_string(),
    };
    let place = match token.token {
        Token::EOF => String::new(),
        _ => position(token.span.start),
    };
    ParserError::ParserError(format!("{place}mismatched input '{found}'"))
}

fn tokenizer_error(error: TokenizerError) -> ServiceError {
    ServiceError::validation(format!("{}{}", position(error.location), error.message))
}

/// Moves the position to the front. The library puts it last, "... at Line: 1, Column: 8", and
/// omits that of the end.
fn parser_error(error: ParserError, sql: &str) -> ServiceError {
    let text = match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
        ParserError::RecursionLimitExceeded => "the query is nested too deeply".to_owned(),
    };
    let moved = text.rsplit_once(" at Line: ").and_then(|(what, place)| {
        let (line, column) = place.split_once(", Column: ")?;
        Some(format!("line {line}:{column}: {what}"))
    });
    let placed = moved.unwrap_or_else(|| {
        if text.starts_with("line ") {
            text
        } else {
            format!("{}{text}", position(end_of(sql)))
        }
    });
    ServiceError::validation(placed)
}

/// Returns the end of the text.
fn end_of(sql: &str) -> Location {
    let line = sql.matches('\n').count() + 1;
    let last = sql.rsplit('\n').next().unwrap_or_default();
    Location {
        line: line as u64,
        column: last.chars().count() as u64 + 1,
    }
}
