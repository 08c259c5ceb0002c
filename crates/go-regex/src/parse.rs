//! Go's syntax of regular expressions, <https://pkg.go.dev/regexp/syntax>, with the flags that
//! Prometheus sets: Perl's extensions, and a dot that matches a newline.
//!
//! A pattern is accepted if Go accepts it, with the same meaning, and rejected if Go rejects it. If only a match of the
//! whole string counts, captures and greediness are dropped. The parser does not recurse, as its input can nest to any
//! depth; its result is at most [`MAX_DEPTH`] deep.

mod class;

use super::error::{MAX_DEPTH, MAX_PARTS, MAX_REPEATS, RegexError, quoted};
use super::node::{Look, Node};
use super::unicode;
use class::Class;

/// Parses a pattern that has to match whole strings; also returns an upper bound of its depth.
///
/// # Errors
/// Go rejects the pattern, or it is too large.
pub(super) fn parse(pattern: &str) -> Result<(Node, u32), RegexError> {
    let (piece, _) = Parser::new(pattern, Purpose::Whole).parse()?;
    // The anchors that Prometheus adds count, too.
    let below = piece.height - u32::from(piece.shape == Shape::Concat);
    match below < MAX_DEPTH {
        true => Ok((piece.node, piece.height)),
        false => Err(RegexError::NestingDepth),
    }
}

/// A pattern that is searched, as Go's package `regexp` does without further flags.
pub(super) struct Searched {
    pub(super) node: Node,
    /// An upper bound of its depth.
    pub(super) depth: u32,
    /// The names of its groups, empty for those without one, from group 0.
    pub(super) names: Vec<String>,
}

/// Parses a pattern that is searched in strings.
///
/// # Errors
/// Go rejects the pattern, or it is too large.
pub(super) fn parse_searched(pattern: &str) -> Result<Searched, RegexError> {
    let (piece, names) = Parser::new(pattern, Purpose::Search).parse()?;
    let piece = checked_depth(piece)?;
    Ok(Searched {
        node: piece.node,
        depth: piece.height,
        names,
    })
}

/// The use of a pattern.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// It matches whole strings, and a dot matches a newline.
    Whole,
    /// It is searched, with captures and greediness.
    Search,
}

impl<'p> Parser<'p> {
    fn new(pattern: &'p str, purpose: Purpose) -> Self {
        Self {
            rest: pattern,
            flags: Flags {
                dot_matches_newline: purpose == Purpose::Whole,
                ..Flags::default()
            },
            groups: vec![Group::default()],
            purpose,
            names: vec![String::new()],
            parts: 0,
            has_no_class_end: false,
        }
    }

    /// Returns the whole pattern and the names of its groups.
    fn parse(mut self) -> Result<(Piece, Vec<String>), RegexError> {
        // The repetition that was just parsed; another one must not follow directly.
        let mut last_repeat = None;
        while let Some(next) = self.rest.chars().next() {
            last_repeat = self.read(next, last_repeat)?;
        }
        match (self.groups.pop(), self.groups.is_empty()) {
            (Some(whole), true) => Ok((whole.finish(), self.names)),
            _ => Err(RegexError::UnclosedGroup),
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Flags {
    /// `i`
    ignores_case: bool,
    /// `m`
    is_multi_line: bool,
    /// `s`
    dot_matches_newline: bool,
    /// `U`
    is_lazy: bool,
}

/// A part of the pattern that may be repeated.
struct Piece {
    node: Node,
    /// Levels of Go's tree.
    height: u32,
    /// Maximum repetitions of the innermost part.
    repeats: u32,
    shape: Shape,
}

/// The kind of node in Go's tree.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// A literal, to which another one can be appended.
    Literal,
    /// One character of a class.
    Class,
    Concat,
    Alternate,
    Other,
}

impl Piece {
    fn leaf(node: Node) -> Self {
        let shape = match &node {
            Node::Literal(_) => Shape::Literal,
            Node::Class(_) => Shape::Class,
            _ => Shape::Other,
        };
        Self {
            node,
            height: 1,
            repeats: 1,
            shape,
        }
    }

    /// Joins `pieces` by `join`; in pieces of the same shape their parts are joined.
    fn of(mut pieces: Vec<Piece>, shape: Shape, join: fn(Vec<Node>) -> Node) -> Self {
        if pieces.len() == 1 {
            return pieces.remove(0);
        }
        let below = |piece: &Piece| piece.height - u32::from(piece.shape == shape);
        Self {
            height: 1 + pieces.iter().map(below).max().unwrap_or(0),
            repeats: pieces.iter().map(|piece| piece.repeats).max().unwrap_or(1),
            node: join(pieces.into_iter().map(|piece| piece.node).collect()),
            shape,
        }
    }
}

/// A group that is not closed yet, or the whole pattern.
#[derive(Default)]
struct Group {
    /// The flags around it.
    outer: Flags,
    captures: bool,
    /// The number of a group that captures, if the pattern is searched.
    number: Option<u32>,
    alternatives: Vec<Piece>,
    /// The alternative that is being read.
    pieces: Vec<Piece>,
}

impl Group {
    fn push(&mut self, piece: Piece) {
        self.join_literals();
        self.pieces.push(piece);
    }

    /// Joins the last two pieces if they are literals. Before that, the last one alone could be repeated.
    fn join_literals(&mut self) {
        if let [.., before, last] = &mut self.pieces[..]
            && let (Node::Literal(before_literal), Node::Literal(literal)) =
                (&mut before.node, &last.node)
            && (before.shape, last.shape) == (Shape::Literal, Shape::Literal)
        {
            before_literal.push_str(literal);
            self.pieces.pop();
        }
    }

    fn end_alternative(&mut self) {
        self.join_literals();
        let pieces = std::mem::take(&mut self.pieces);
        let alternative = match pieces.is_empty() {
            true => Piece::leaf(Node::Empty),
            false => Piece::of(pieces, Shape::Concat, Node::concat),
        };
        self.alternatives.push(alternative);
    }

    fn finish(mut self) -> Piece {
        self.end_alternative();
        let mut piece = Piece::of(self.alternatives, Shape::Alternate, Node::alternate);
        if self.captures {
            piece.height += 1;
            piece.shape = Shape::Other;
        }
        if let Some(number) = self.number {
            piece.node = Node::Capture(number, Box::new(piece.node));
        }
        piece
    }
}

pub(super) struct Parser<'p> {
    /// The rest of the pattern.
    pub(super) rest: &'p str,
    flags: Flags,
    groups: Vec<Group>,
    purpose: Purpose,
    names: Vec<String>,
    parts: usize,
    /// True once the rest is known to have no `:]`, so that it is not searched again.
    pub(super) has_no_class_end: bool,
}

impl<'p> Parser<'p> {
    /// Parses one element, which starts with `next`; returns the rest from its start if it is a repetition.
    fn read(
        &mut self,
        next: char,
        last_repeat: Option<&'p str>,
    ) -> Result<Option<&'p str>, RegexError> {
        let before = self.rest;
        match next {
            '(' => self.open_group()?,
            ')' => self.close_group()?,
            '|' => {
                self.skip(1);
                self.add_parts(1)?;
                self.group().end_alternative();
            }
            '^' => self.push_look(1, [Look::Start, Look::LineStart])?,
            '$' => self.push_look(1, [Look::End, Look::LineEnd])?,
            '.' => {
                self.skip(1);
                let class = match self.flags.dot_matches_newline {
                    true => unicode::any(),
                    false => unicode::class(&[('\0', '\t'), ('\x0b', char::MAX)]),
                };
                self.push(Node::Class(class))?;
            }
            '[' => {
                let class = self.bracketed_class()?;
                self.push_class(class)?;
            }
            '*' | '+' | '?' => {
                self.skip(1);
                let (min, max) = match next {
                    '*' => (0, None),
                    '+' => (1, None),
                    _ => (0, Some(1)),
                };
                self.repeat(min, max, before, last_repeat)?;
                return Ok(Some(before));
            }
            '{' => match repeat_counts(before) {
                Some((min, max, rest)) => {
                    self.rest = rest;
                    if min.max(max.unwrap_or(min)) > MAX_REPEATS || max.is_some_and(|max| max < min)
                    {
                        return Err(RegexError::RepeatCount(self.since(before)));
                    }
                    self.repeat(min, max, before, last_repeat)?;
                    return Ok(Some(before));
                }
                None => {
                    self.skip(1);
                    self.push_char('{')?;
                }
            },
            '\\' => self.backslash()?,
            c => {
                self.skip(c.len_utf8());
                self.push_char(c)?;
            }
        }
        Ok(None)
    }

    /// Parses an element that starts with a backslash.
    fn backslash(&mut self) -> Result<(), RegexError> {
        let before = self.rest;
        match before[1..].chars().next() {
            Some('A') => self.push_look(2, [Look::Start; 2]),
            Some('z') => self.push_look(2, [Look::End; 2]),
            Some('b') => self.push_look(2, [Look::WordBoundary; 2]),
            Some('B') => self.push_look(2, [Look::NotWordBoundary; 2]),
            Some('Q') => {
                let (literal, rest) = match before[2..].split_once(r"\E") {
                    Some(parts) => parts,
                    None => (&before[2..], ""),
                };
                self.rest = rest;
                literal.chars().try_for_each(|c| self.push_char(c))
            }
            _ => {
                let mut class = Class::new(self.flags.ignores_case);
                if self.perl_class(&mut class)? {
                    return self.push_class(class);
                }
                match char::from_u32(self.escaped()?) {
                    Some(c) => self.push_char(c),
                    // A surrogate, which no string has.
                    None => self.push_class(class),
                }
            }
        }
    }

    fn open_group(&mut self) -> Result<(), RegexError> {
        let before = self.rest;
        self.add_parts(1)?;
        let outer = self.flags;
        let name = match before.strip_prefix("(?") {
            None => {
                self.skip(1);
                Some("")
            }
            Some(rest) => match group_name(before, rest)? {
                Some((name, rest)) => {
                    self.rest = rest;
                    Some(name)
                }
                None => {
                    if !self.read_flags(before, rest)? {
                        return Ok(());
                    }
                    None
                }
            },
        };
        let name_of_capture = name.filter(|_| self.purpose == Purpose::Search);
        let number = name_of_capture.map(|name| {
            self.names.push(name.to_owned());
            // There are fewer than the parts of a pattern may be.
            self.names.len() as u32 - 1
        });
        self.groups.push(Group {
            outer,
            captures: name.is_some(),
            number,
            ..Group::default()
        });
        Ok(())
    }

    /// Parses flags after `(?` and their end. Returns true if a group starts with them.
    fn read_flags(&mut self, before: &str, rest: &'p str) -> Result<bool, RegexError> {
        let mut flags = self.flags;
        let (mut is_set, mut is_complete) = (true, true);
        let mut letters = rest.chars();
        while let Some(letter) = letters.next() {
            match letter {
                'i' => flags.ignores_case = is_set,
                'm' => flags.is_multi_line = is_set,
                's' => flags.dot_matches_newline = is_set,
                'U' => flags.is_lazy = is_set,
                '-' if is_set => {
                    is_set = false;
                    is_complete = false;
                    continue;
                }
                ':' | ')' if is_complete => {
                    self.flags = flags;
                    self.rest = letters.as_str();
                    return Ok(letter == ':');
                }
                _ => break,
            }
            is_complete = true;
        }
        self.rest = letters.as_str();
        Err(RegexError::GroupSyntax(self.since(before)))
    }

    fn close_group(&mut self) -> Result<(), RegexError> {
        if self.groups.len() == 1 {
            return Err(RegexError::UnexpectedClosingParenthesis);
        }
        self.skip(1);
        let group = self
            .groups
            .pop()
            .ok_or(RegexError::UnexpectedClosingParenthesis)?;
        self.flags = group.outer;
        let piece = group.finish();
        self.push_piece(piece)
    }

    /// Repeats the last piece. The operator is between `before` and the rest.
    fn repeat(
        &mut self,
        min: u32,
        max: Option<u32>,
        before: &'p str,
        last_repeat: Option<&'p str>,
    ) -> Result<(), RegexError> {
        let without_mark = self.rest.strip_prefix('?');
        self.rest = without_mark.unwrap_or(self.rest);
        let is_lazy = without_mark.is_some() != self.flags.is_lazy;
        if let Some(last) = last_repeat {
            return Err(RegexError::NestedRepeat(self.since(last)));
        }
        let Some(piece) = self.group().pieces.pop() else {
            return Err(RegexError::MissingRepeatArgument(self.since(before)));
        };
        let repeats = match max {
            Some(0) => 0,
            _ => piece.repeats.saturating_mul(max.unwrap_or(min).max(1)),
        };
        if repeats > MAX_REPEATS {
            return Err(RegexError::RepeatCount(self.since(before)));
        }
        let repeat = Node::Repeat {
            node: Box::new(piece.node),
            min,
            max,
        };
        let repeated = Piece {
            // Greediness does not change the result for the whole string.
            node: match is_lazy && self.purpose == Purpose::Search {
                true => Node::Lazy(Box::new(repeat)),
                false => repeat,
            },
            height: piece.height + 1,
            repeats,
            shape: Shape::Other,
        };
        let repeated = checked_depth(repeated)?;
        self.group().pieces.push(repeated);
        self.add_parts(1)
    }

    fn push_look(&mut self, bytes: usize, [look, in_lines]: [Look; 2]) -> Result<(), RegexError> {
        self.skip(bytes);
        self.push(Node::Look(match self.flags.is_multi_line {
            true => in_lines,
            false => look,
        }))
    }

    fn push_char(&mut self, c: char) -> Result<(), RegexError> {
        if !self.flags.ignores_case {
            // Literals need no more memory than in the pattern, and are limited with it.
            self.group().push(Piece::leaf(Node::char(c)));
            return Ok(());
        }
        let mut class = Class::new(true);
        class.add_range(u32::from(c), u32::from(c));
        self.push_class(class)
    }

    fn push_class(&mut self, mut class: Class) -> Result<(), RegexError> {
        self.add_parts(class.take_parts().max(1))?;
        let piece = Piece::leaf(Node::class(class.finish()));
        self.group().push(piece);
        Ok(())
    }

    fn push(&mut self, node: Node) -> Result<(), RegexError> {
        self.push_piece(Piece::leaf(node))
    }

    fn push_piece(&mut self, piece: Piece) -> Result<(), RegexError> {
        let piece = checked_depth(piece)?;
        self.group().push(piece);
        self.add_parts(1)
    }

    fn group(&mut self) -> &mut Group {
        self.groups.last_mut().expect("the whole pattern is one")
    }

    pub(super) fn ignores_case(&self) -> bool {
        self.flags.ignores_case
    }

    /// Counts parts of the pattern against the limit.
    pub(super) fn add_parts(&mut self, parts: usize) -> Result<(), RegexError> {
        self.parts += parts;
        match self.parts > MAX_PARTS {
            true => Err(RegexError::TooManyParts),
            false => Ok(()),
        }
    }

    /// Skips this many bytes.
    pub(super) fn skip(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    /// Returns the part of the pattern between `before` and the rest, for an error.
    pub(super) fn since(&self, before: &str) -> String {
        quoted(&before[..before.len() - self.rest.len()])
    }
}

fn checked_depth(piece: Piece) -> Result<Piece, RegexError> {
    match piece.height > MAX_DEPTH {
        true => Err(RegexError::NestingDepth),
        false => Ok(piece),
    }
}

/// Reads `?P<name>` or `?<name>` after the parenthesis with which `before` starts; returns the name and the rest.
fn group_name<'p>(before: &str, rest: &'p str) -> Result<Option<(&'p str, &'p str)>, RegexError> {
    let named = rest.strip_prefix("P<").or_else(|| rest.strip_prefix('<'));
    // If nothing follows, Go parses these as flags, and rejects them as such.
    let Some(named) = named.filter(|named| !named.is_empty()) else {
        return Ok(None);
    };
    let invalid = |end: usize| Err(RegexError::GroupName(quoted(&before[..end])));
    let Some((name, rest)) = named.split_once('>') else {
        return invalid(before.len());
    };
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    match !name.is_empty() && name.chars().all(is_word) {
        true => Ok(Some((name, rest))),
        false => invalid(before.len() - rest.len()),
    }
}

/// Parses `{n}`, `{n,}` or `{n,m}` at the start of `input`; returns the counts and the rest. Anything else is not a
/// repetition.
fn repeat_counts(input: &str) -> Option<(u32, Option<u32>, &str)> {
    let (min, rest) = decimal(input.strip_prefix('{')?)?;
    let Some(rest) = rest.strip_prefix(',') else {
        return Some((min, Some(min), rest.strip_prefix('}')?));
    };
    if let Some(rest) = rest.strip_prefix('}') {
        return Some((min, None, rest));
    }
    let (max, rest) = decimal(rest)?;
    Some((min, Some(max), rest.strip_prefix('}')?))
}

/// Parses a decimal number without leading zeros; a number that is far too large becomes [`u32::MAX`].
fn decimal(input: &str) -> Option<(u32, &str)> {
    let digits = input.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = input.split_at(digits);
    let is_number = digits > 0 && (digits == 1 || !number.starts_with('0'));
    is_number.then(|| (number.parse().unwrap_or(u32::MAX), rest))
}
