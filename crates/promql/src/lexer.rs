//! Bytes to tokens.
//!
//! The rules depend on what surrounds a token: in braces keywords are names, and in brackets only durations and
//! their operators occur, up to the first number with other errors than after it.

use crate::ast::{AggregateOp, BinaryOp};
use crate::error::{Step, failure};
use crate::position::Span;
use crate::text::{decode, is_printable, quote, quote_character, quote_start};

/// A token and its place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) span: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    EndOfInput,
    Comma,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    Colon,
    Equal,
    MatchRegex,
    MatchNotRegex,
    At,
    Operator(BinaryOp),
    Aggregate(AggregateOp),
    Keyword(Keyword),
    Identifier,
    /// An identifier with a colon.
    MetricIdentifier,
    Number,
    Duration,
    String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keyword {
    Anchored,
    Bool,
    By,
    Fill,
    FillLeft,
    FillRight,
    GroupLeft,
    GroupRight,
    Ignoring,
    Offset,
    On,
    Smoothed,
    Without,
    End,
    MaxOf,
    MinOf,
    Range,
    Start,
    Step,
}

const KEYWORDS: [(&str, Keyword); 19] = [
    ("anchored", Keyword::Anchored),
    ("bool", Keyword::Bool),
    ("by", Keyword::By),
    ("fill", Keyword::Fill),
    ("fill_left", Keyword::FillLeft),
    ("fill_right", Keyword::FillRight),
    ("group_left", Keyword::GroupLeft),
    ("group_right", Keyword::GroupRight),
    ("ignoring", Keyword::Ignoring),
    ("offset", Keyword::Offset),
    ("on", Keyword::On),
    ("smoothed", Keyword::Smoothed),
    ("without", Keyword::Without),
    ("end", Keyword::End),
    ("max_of", Keyword::MaxOf),
    ("min_of", Keyword::MinOf),
    ("range", Keyword::Range),
    ("start", Keyword::Start),
    ("step", Keyword::Step),
];

impl Keyword {
    /// Returns true if the keyword is also a function.
    pub(crate) fn is_function(self) -> bool {
        matches!(
            self,
            Self::End | Self::MaxOf | Self::MinOf | Self::Range | Self::Start | Self::Step
        )
    }

    fn is_duration_function(self) -> bool {
        self.is_function() && !matches!(self, Self::Start | Self::End)
    }
}

/// Returns the token of a word, in any case.
fn word_kind(word: &[u8]) -> Option<TokenKind> {
    let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    if let Some((_, keyword)) = KEYWORDS.iter().find(|(name, _)| is(name)) {
        return Some(TokenKind::Keyword(*keyword));
    }
    if let Some(op) = AggregateOp::ALL.iter().find(|op| is(op.name())) {
        return Some(TokenKind::Aggregate(*op));
    }
    let words = [
        BinaryOp::And,
        BinaryOp::Or,
        BinaryOp::Unless,
        BinaryOp::Atan2,
    ];
    if let Some(op) = words.iter().find(|op| is(op.symbol())) {
        return Some(TokenKind::Operator(*op));
    }
    (is("inf") || is("nan")).then_some(TokenKind::Number)
}

/// The rules for the next token.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Statement,
    /// In brackets, before the first number.
    DurationStart,
}

pub(crate) struct Lexer<'a> {
    input: &'a [u8],
    position: usize,
    /// The start of the token.
    start: usize,
    mode: Mode,
    paren_depth: usize,
    in_braces: bool,
    in_brackets: bool,
    has_colon: bool,
    has_duration: bool,
}

const DECIMAL: &[u8] = b"0123456789";
const HEXADECIMAL: &[u8] = b"0123456789abcdefABCDEF";

impl<'a> Lexer<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Self {
            input,
            position: 0,
            start: 0,
            mode: Mode::Statement,
            paren_depth: 0,
            in_braces: false,
            in_brackets: false,
            has_colon: false,
            has_duration: false,
        }
    }

    /// Returns the next token. Comments are skipped.
    pub(crate) fn next_token(&mut self) -> Step<Token> {
        loop {
            self.start = self.position;
            let kind = match self.mode {
                Mode::DurationStart => self.duration_start()?,
                Mode::Statement if self.in_braces => self.in_braces()?,
                Mode::Statement => self.statement()?,
            };
            if let Some(kind) = kind {
                let span = Span {
                    start: self.start,
                    end: self.position,
                };
                return Ok(Token { kind, span });
            }
        }
    }

    /// Describes a token as an error about an unexpected one does.
    pub(crate) fn describe(&self, token: Token) -> String {
        let bytes = &self.input[token.span.start..token.span.end];
        let quoted = match bytes.len() > 10 {
            true => format!("{}...", quote_start(bytes, 10)),
            false => quote(bytes),
        };
        let word = String::from_utf8_lossy(bytes);
        match token.kind {
            TokenKind::EndOfInput => "end of input".to_owned(),
            TokenKind::Identifier => format!("identifier {}", quote(bytes)),
            TokenKind::MetricIdentifier => format!("metric identifier {}", quote(bytes)),
            TokenKind::Number => format!("number {quoted}"),
            TokenKind::Duration => format!("duration {quoted}"),
            TokenKind::String => format!("string {quoted}"),
            TokenKind::Keyword(keyword) if !keyword.is_function() => format!("<{word}>"),
            TokenKind::Aggregate(_) => format!("<aggr:{word}>"),
            TokenKind::Operator(_)
            | TokenKind::At
            | TokenKind::MatchRegex
            | TokenKind::MatchNotRegex => format!("<op:{word}>"),
            _ => quoted,
        }
    }

    fn error<T>(&self, message: impl Into<String>) -> Step<T> {
        let span = Span {
            start: self.start,
            end: self.input.len(),
        };
        failure(span, message)
    }

    fn peek(&self) -> Option<char> {
        decode(&self.input[self.position..]).map(|(character, _)| character)
    }

    fn next(&mut self) -> Option<char> {
        let (character, length) = decode(&self.input[self.position..])?;
        self.position += length;
        Some(character)
    }

    fn is(&self, bytes: &[u8]) -> bool {
        self.input
            .get(self.position)
            .is_some_and(|byte| bytes.contains(byte))
    }

    fn accept(&mut self, bytes: &[u8]) -> bool {
        let accepted = self.is(bytes);
        self.position += usize::from(accepted);
        accepted
    }

    fn skip_while(&mut self, accepts: impl Fn(u8) -> bool) {
        let rest = &self.input[self.position..];
        self.position += rest
            .iter()
            .position(|&byte| !accepts(byte))
            .unwrap_or(rest.len());
    }

    fn skip_spaces(&mut self) {
        self.skip_while(is_space);
    }

    fn is_digit_next(&self) -> bool {
        self.is(DECIMAL)
    }

    /// Skips a comment or returns false.
    fn skip_comment(&mut self) -> bool {
        let is_comment = self.is(b"#");
        if is_comment {
            self.skip_while(|byte| !matches!(byte, b'\r' | b'\n'));
        }
        is_comment
    }

    /// Returns a token, or `None` after spaces and comments.
    fn statement(&mut self) -> Step<Option<TokenKind>> {
        if self.skip_comment() {
            return Ok(None);
        }
        let Some(character) = self.next() else {
            return match (self.paren_depth, self.in_brackets) {
                (0, false) => Ok(Some(TokenKind::EndOfInput)),
                (0, true) => self.error("unclosed left bracket"),
                _ => self.error("unclosed left parenthesis"),
            };
        };
        let kind = match character {
            ',' => TokenKind::Comma,
            ' ' | '\t' | '\n' | '\r' => {
                self.skip_spaces();
                return Ok(None);
            }
            '*' => TokenKind::Operator(BinaryOp::Mul),
            '/' => TokenKind::Operator(BinaryOp::Div),
            '%' => TokenKind::Operator(BinaryOp::Mod),
            '+' => TokenKind::Operator(BinaryOp::Add),
            '-' => TokenKind::Operator(BinaryOp::Sub),
            '^' => TokenKind::Operator(BinaryOp::Pow),
            '=' if self.accept(b"=") => TokenKind::Operator(BinaryOp::Equal),
            '=' if self.is(b"~") => return self.error("unexpected character after '=': '~'"),
            '=' => TokenKind::Equal,
            '!' if self.accept(b"=") => TokenKind::Operator(BinaryOp::NotEqual),
            '!' => {
                let found = quote_character(self.peek());
                return self.error(format!("unexpected character after '!': {found}"));
            }
            '<' if self.accept(b"=") => TokenKind::Operator(BinaryOp::LessEqual),
            '<' if self.accept(b"/") => TokenKind::Operator(BinaryOp::TrimUpper),
            '<' => TokenKind::Operator(BinaryOp::Less),
            '>' if self.accept(b"=") => TokenKind::Operator(BinaryOp::GreaterEqual),
            '>' if self.accept(b"/") => TokenKind::Operator(BinaryOp::TrimLower),
            '>' => TokenKind::Operator(BinaryOp::Greater),
            '0'..='9' => return self.number_or_duration(),
            '.' if self.is_digit_next() => return self.number_or_duration(),
            '"' | '\'' => return self.string(character),
            '`' => return self.raw_string(),
            '_' | 'a'..='z' | 'A'..='Z' | ':' if !self.in_brackets => self.word(),
            ':' if self.has_colon => return self.error("unexpected colon ':'"),
            ':' => {
                self.has_colon = true;
                TokenKind::Colon
            }
            '_' | 'a'..='z' | 'A'..='Z' => match self.duration_function(character) {
                Some(keyword) => keyword,
                None => {
                    let found = quote_character(Some(character));
                    return self.error(format!("unexpected character: {found}, expected ':'"));
                }
            },
            '(' => self.left_paren(),
            ')' => self.right_paren()?,
            '{' => {
                self.in_braces = true;
                TokenKind::LeftBrace
            }
            '[' if self.in_brackets => return self.error("unexpected left bracket '['"),
            '[' => {
                self.has_colon = false;
                self.in_brackets = true;
                self.mode = Mode::DurationStart;
                TokenKind::LeftBracket
            }
            ']' if !self.in_brackets => return self.error("unexpected right bracket ']'"),
            ']' => {
                self.in_brackets = false;
                TokenKind::RightBracket
            }
            '@' => TokenKind::At,
            other => {
                let found = quote_character(Some(other));
                return self.error(format!("unexpected character: {found}"));
            }
        };
        Ok(Some(kind))
    }

    fn left_paren(&mut self) -> TokenKind {
        self.paren_depth += 1;
        TokenKind::LeftParen
    }

    fn right_paren(&mut self) -> Step<TokenKind> {
        match self.paren_depth.checked_sub(1) {
            Some(depth) => {
                self.paren_depth = depth;
                Ok(TokenKind::RightParen)
            }
            None => {
                self.start = self.position;
                self.error("unexpected right parenthesis ')'")
            }
        }
    }

    fn in_braces(&mut self) -> Step<Option<TokenKind>> {
        if self.skip_comment() {
            return Ok(None);
        }
        let Some(character) = self.next() else {
            return self.error("unexpected end of input inside braces");
        };
        let kind = match character {
            ' ' | '\t' | '\n' | '\r' => {
                self.skip_spaces();
                return Ok(None);
            }
            '_' | 'a'..='z' | 'A'..='Z' => {
                self.skip_while(is_alphanumeric);
                TokenKind::Identifier
            }
            ',' => TokenKind::Comma,
            '"' | '\'' => return self.string(character),
            '`' => return self.raw_string(),
            '=' if self.accept(b"~") => TokenKind::MatchRegex,
            '=' => TokenKind::Equal,
            '!' if self.accept(b"~") => TokenKind::MatchNotRegex,
            '!' if self.accept(b"=") => TokenKind::Operator(BinaryOp::NotEqual),
            '!' => {
                let found = quote_character(self.peek());
                return self.error(format!(
                    "unexpected character after '!' inside braces: {found}"
                ));
            }
            '{' => return self.error("unexpected left brace '{'"),
            '}' => {
                self.in_braces = false;
                TokenKind::RightBrace
            }
            other => {
                let found = quote_character(Some(other));
                return self.error(format!("unexpected character inside braces: {found}"));
            }
        };
        Ok(Some(kind))
    }

    /// Returns a token in brackets before the first number.
    fn duration_start(&mut self) -> Step<Option<TokenKind>> {
        let Some(character) = self.next() else {
            return self.error("unexpected end of input in duration expression");
        };
        let kind = match character {
            ']' => {
                self.in_brackets = false;
                self.has_colon = false;
                self.mode = Mode::Statement;
                TokenKind::RightBracket
            }
            ':' => {
                if !self.has_duration {
                    self.start = self.position;
                    return self.error("unexpected colon before duration in duration expression");
                }
                if self.has_colon {
                    self.start = self.position;
                    return self.error("unexpected repeated colon in duration expression");
                }
                self.has_colon = true;
                TokenKind::Colon
            }
            '(' => self.left_paren(),
            ')' => self.right_paren()?,
            ' ' | '\t' | '\n' | '\r' => {
                self.skip_spaces();
                return Ok(None);
            }
            '+' => TokenKind::Operator(BinaryOp::Add),
            '-' => TokenKind::Operator(BinaryOp::Sub),
            '*' => TokenKind::Operator(BinaryOp::Mul),
            '/' => TokenKind::Operator(BinaryOp::Div),
            '%' => TokenKind::Operator(BinaryOp::Mod),
            '^' => TokenKind::Operator(BinaryOp::Pow),
            ',' => TokenKind::Comma,
            '0'..='9' => return self.first_duration(),
            '.' if self.is_digit_next() => return self.first_duration(),
            other => match self.duration_function(other) {
                Some(keyword) => keyword,
                None => {
                    let found = quote_character(Some(other));
                    return self.error(format!(
                        "unexpected character in duration expression: {found}"
                    ));
                }
            },
        };
        Ok(Some(kind))
    }

    fn first_duration(&mut self) -> Step<Option<TokenKind>> {
        self.has_duration = true;
        self.mode = Mode::Statement;
        self.number_or_duration()
    }

    /// Returns the token of a function of durations that starts with a letter already read, if it is one.
    fn duration_function(&mut self, first: char) -> Option<TokenKind> {
        if !matches!(first.to_ascii_lowercase(), 's' | 'r' | 'm') {
            return None;
        }
        self.skip_while(is_alphabetic);
        match word_kind(&self.input[self.start..self.position]) {
            Some(TokenKind::Keyword(keyword)) if keyword.is_duration_function() => {
                Some(TokenKind::Keyword(keyword))
            }
            _ => None,
        }
    }

    fn word(&mut self) -> TokenKind {
        self.skip_while(|byte| is_alphanumeric(byte) || byte == b':');
        let word = &self.input[self.start..self.position];
        let is_before_paren = || {
            let mut rest = self.input[self.position..].iter();
            rest.find(|&&byte| !is_space(byte)) == Some(&b'(')
        };
        match word_kind(word) {
            Some(TokenKind::Keyword(Keyword::Fill | Keyword::FillLeft | Keyword::FillRight))
                if !is_before_paren() =>
            {
                TokenKind::Identifier
            }
            Some(kind) => kind,
            None if word.contains(&b':') => TokenKind::MetricIdentifier,
            None => TokenKind::Identifier,
        }
    }

    /// Returns a number or duration whose first character is already read.
    fn number_or_duration(&mut self) -> Step<Option<TokenKind>> {
        self.position = self.start;
        if self.accept_number() {
            return Ok(Some(TokenKind::Number));
        }
        if self.accept_rest_of_duration() {
            return Ok(Some(TokenKind::Duration));
        }
        let found = quote(&self.input[self.start..self.position]);
        self.error(format!("bad number or duration syntax: {found}"))
    }

    /// Accepts more than valid numbers: the parser rejects what is none.
    fn accept_number(&mut self) -> bool {
        let start = self.position;
        let mut digits = DECIMAL;
        if self.accept(b"0") && self.accept(b"xX") {
            self.accept(b"_");
            digits = HEXADECIMAL;
        }
        let is_hexadecimal = digits.len() > DECIMAL.len();
        let (mut has_dot, mut has_exponent) = (false, false);
        self.accept(b".");
        self.accept(digits);
        while self.is(digits) || self.is(b"._eE") {
            if has_dot && self.accept(b".") {
                return false;
            }
            if has_exponent && self.accept(b"eE") {
                return false;
            }
            if self.accept(b".") {
                has_dot = true;
                if self.accept(b"_.") || is_hexadecimal {
                    return false;
                }
            } else if self.accept(b"eE") {
                has_exponent = true;
                self.accept(b"+-");
                if self.accept(b"._eE") || self.peek().is_none() {
                    return false;
                }
            } else if self.accept(b"_") {
                if self.accept(b"._eE") || self.peek().is_none() {
                    return false;
                }
            } else {
                self.skip_while(|byte| digits.contains(&byte));
            }
        }
        self.position > start && !self.is_alphanumeric_next()
    }

    fn is_alphanumeric_next(&self) -> bool {
        self.input
            .get(self.position)
            .is_some_and(|&byte| is_alphanumeric(byte))
    }

    /// Accepts units and more numbers with units, in any order.
    fn accept_rest_of_duration(&mut self) -> bool {
        if !self.accept(b"smhdwy") {
            return false;
        }
        self.accept(b"s");
        while self.accept(DECIMAL) {
            self.skip_while(|byte| byte.is_ascii_digit());
            if !self.accept(b"smhdw") {
                return false;
            }
            self.accept(b"s");
        }
        let is_end = !self.is_alphanumeric_next();
        // The error shows the character that is too much.
        self.position += usize::from(!is_end);
        is_end
    }

    fn string(&mut self, quote: char) -> Step<Option<TokenKind>> {
        loop {
            match self.next() {
                Some('\\') => self.escape(quote)?,
                Some(char::REPLACEMENT_CHARACTER) => return self.error("invalid UTF-8 rune"),
                None | Some('\n') => return self.error("unterminated quoted string"),
                Some(character) if character == quote => return Ok(Some(TokenKind::String)),
                Some(_) => {}
            }
        }
    }

    fn raw_string(&mut self) -> Step<Option<TokenKind>> {
        loop {
            match self.next() {
                Some(char::REPLACEMENT_CHARACTER) => return self.error("invalid UTF-8 rune"),
                None => return self.error("unterminated raw string"),
                Some('`') => return Ok(Some(TokenKind::String)),
                Some(_) => {}
            }
        }
    }

    /// Checks an escape whose backslash is already read.
    fn escape(&mut self, quote: char) -> Step<()> {
        let unterminated = "escape sequence not terminated";
        let (count, radix, max) = match self.next() {
            Some('a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\') => return Ok(()),
            Some(character) if character == quote => return Ok(()),
            Some('0'..='7') => {
                self.position -= 1;
                (3, 8, 255)
            }
            Some('x') => (2, 16, 255),
            Some('u') => (4, 16, u32::from(char::MAX)),
            Some('U') => (8, 16, u32::from(char::MAX)),
            None => return self.error(unterminated),
            Some(other) => {
                return self.error(format!("unknown escape sequence {}", code_point(other)));
            }
        };
        let mut code = 0_u32;
        for _ in 0..count {
            let Some(character) = self.next() else {
                return self.error(unterminated);
            };
            let Some(digit) = character.to_digit(radix) else {
                let found = code_point(character);
                return self.error(format!("illegal character {found} in escape sequence"));
            };
            code = code.wrapping_mul(radix) + digit;
        }
        if code > max || (0xd800..0xe000).contains(&code) {
            return self.error("escape sequence is an invalid Unicode code point");
        }
        Ok(())
    }
}

/// Names a character as Go's `%#U`.
fn code_point(character: char) -> String {
    let code = format!("U+{:04X}", u32::from(character));
    match is_printable(character) {
        true => format!("{code} '{character}'"),
        false => code,
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn is_alphabetic(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

fn is_alphanumeric(byte: u8) -> bool {
    is_alphabetic(byte) || byte.is_ascii_digit()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(input: &str) -> Vec<TokenKind> {
        let mut lexer = Lexer::new(input.as_bytes());
        let tokens = std::iter::from_fn(|| lexer.next_token().ok());
        tokens
            .map(|token| token.kind)
            .take_while(|&kind| kind != TokenKind::EndOfInput)
            .collect()
    }

    #[test]
    fn keywords_are_names_in_braces() {
        let in_braces = [TokenKind::LeftBrace, TokenKind::Identifier];
        assert_eq!(kinds("{by")[..2], in_braces);
        assert_eq!(kinds("BY"), [TokenKind::Keyword(Keyword::By)]);
    }

    #[test]
    fn fill_is_a_keyword_before_a_parenthesis() {
        assert_eq!(kinds("fill"), [TokenKind::Identifier]);
        assert_eq!(kinds("fill \n (")[0], TokenKind::Keyword(Keyword::Fill));
    }

    #[test]
    fn every_token_has_its_place() {
        let mut lexer = Lexer::new("a # b\n >/c:d".as_bytes());
        let spans: Vec<_> = std::iter::from_fn(|| lexer.next_token().ok())
            .map(|token| (token.span.start, token.span.end))
            .take(4)
            .collect();
        assert_eq!(spans, [(0, 1), (7, 9), (9, 12), (12, 12)]);
    }
}
