//! Go's syntax of regular expressions, <https://pkg.go.dev/regexp/syntax>, with the flags that
//! Prometheus sets: Perl's extensions, and a dot that matches a newline.
//!
//! What Go takes is taken and means the same, what it refuses is refused. Captures and greed are
//! read and forgotten: only whether the whole matches is asked. The parser does not recurse, as what
//! it reads is of any depth; what it makes is at most [`MAX_HEIGHT`] deep.

mod class;

use super::error::{MAX_HEIGHT, MAX_PARTS, MAX_REPEATS, RegexError, quoted};
use super::node::{Look, Node};
use super::unicode;
use class::Class;

/// Reads a pattern; also says how deep it is, at most.
///
/// # Errors
/// It is not one that Go takes, or it is too large.
pub(super) fn parse(pattern: &str) -> Result<(Node, u32), RegexError> {
    let mut parser = Parser {
        rest: pattern,
        flags: Flags {
            ignores_case: false,
            is_multi_line: false,
            dot_matches_newline: true,
        },
        groups: vec![Group::default()],
        parts: 0,
        has_no_class_end: false,
    };
    // The repeat that was just read; a second one must not follow.
    let mut last_repeat = None;
    while let Some(next) = parser.rest.chars().next() {
        last_repeat = parser.read(next, last_repeat)?;
    }
    parser.finish()
}

#[derive(Clone, Copy, Debug, Default)]
struct Flags {
    /// `i`
    ignores_case: bool,
    /// `m`
    is_multi_line: bool,
    /// `s`
    dot_matches_newline: bool,
}

/// A part of the pattern that may be repeated.
struct Piece {
    node: Node,
    /// Levels of Go's tree.
    height: u32,
    /// How often the innermost part is repeated.
    repeats: u32,
    shape: Shape,
}

/// What Go's tree has here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// A text, to which a text may be added.
    Text,
    /// One character of a class.
    Class,
    Concat,
    Alternate,
    Other,
}

impl Piece {
    fn leaf(node: Node) -> Self {
        let shape = match &node {
            Node::Text(_) => Shape::Text,
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

    /// `pieces` as one, by `join`; parts of the same shape count as parts of it.
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
    alternatives: Vec<Piece>,
    /// The alternative that is being read.
    pieces: Vec<Piece>,
}

impl Group {
    fn push(&mut self, piece: Piece) {
        self.join_texts();
        self.pieces.push(piece);
    }

    /// Joins the last two pieces if they are texts. The last alone may still be repeated.
    fn join_texts(&mut self) {
        if let [.., before, last] = &mut self.pieces[..]
            && let (Node::Text(before_text), Node::Text(text)) = (&mut before.node, &last.node)
            && (before.shape, last.shape) == (Shape::Text, Shape::Text)
        {
            before_text.push_str(text);
            self.pieces.pop();
        }
    }

    fn end_alternative(&mut self) {
        self.join_texts();
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
        piece
    }
}

pub(super) struct Parser<'p> {
    /// What is not read yet.
    pub(super) rest: &'p str,
    flags: Flags,
    groups: Vec<Group>,
    parts: usize,
    /// Whether the rest is known to have no `:]`, so that it is not searched again.
    pub(super) has_no_class_end: bool,
}

impl<'p> Parser<'p> {
    /// Reads one element, which starts with `next`; returns where it starts if it is a repeat.
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
            '^' => self.look(1, [Look::Start, Look::LineStart])?,
            '$' => self.look(1, [Look::End, Look::LineEnd])?,
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
                let (least, most) = match next {
                    '*' => (0, None),
                    '+' => (1, None),
                    _ => (0, Some(1)),
                };
                self.repeat(least, most, before, last_repeat)?;
                return Ok(Some(before));
            }
            '{' => match counts(before) {
                Some((least, most, rest)) => {
                    self.rest = rest;
                    if least.max(most.unwrap_or(least)) > MAX_REPEATS
                        || most.is_some_and(|most| most < least)
                    {
                        return Err(RegexError::RepeatCount(self.since(before)));
                    }
                    self.repeat(least, most, before, last_repeat)?;
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

    /// An element that starts with a backslash.
    fn backslash(&mut self) -> Result<(), RegexError> {
        let before = self.rest;
        match before[1..].chars().next() {
            Some('A') => self.look(2, [Look::Start; 2]),
            Some('z') => self.look(2, [Look::End; 2]),
            Some('b') => self.look(2, [Look::WordEdge; 2]),
            Some('B') => self.look(2, [Look::NoWordEdge; 2]),
            Some('Q') => {
                let (text, rest) = match before[2..].split_once(r"\E") {
                    Some(parts) => parts,
                    None => (&before[2..], ""),
                };
                self.rest = rest;
                text.chars().try_for_each(|c| self.push_char(c))
            }
            _ => {
                let mut class = Class::new(self.flags.ignores_case);
                if self.perl_class(&mut class)? {
                    return self.push_class(class);
                }
                match char::from_u32(self.escaped()?) {
                    Some(c) => self.push_char(c),
                    // A surrogate, which no text has.
                    None => self.push_class(class),
                }
            }
        }
    }

    fn open_group(&mut self) -> Result<(), RegexError> {
        let before = self.rest;
        self.add_parts(1)?;
        let outer = self.flags;
        let captures = match before.strip_prefix("(?") {
            None => {
                self.skip(1);
                true
            }
            Some(rest) => match group_name(before, rest)? {
                Some(rest) => {
                    self.rest = rest;
                    true
                }
                None => {
                    if !self.read_flags(before, rest)? {
                        return Ok(());
                    }
                    false
                }
            },
        };
        self.groups.push(Group {
            outer,
            captures,
            ..Group::default()
        });
        Ok(())
    }

    /// What follows `(?`: flags and the end of them. Whether a group starts with them.
    fn read_flags(&mut self, before: &str, rest: &'p str) -> Result<bool, RegexError> {
        let mut flags = self.flags;
        let (mut is_set, mut is_complete) = (true, true);
        let mut letters = rest.chars();
        while let Some(letter) = letters.next() {
            match letter {
                'i' => flags.ignores_case = is_set,
                'm' => flags.is_multi_line = is_set,
                's' => flags.dot_matches_newline = is_set,
                'U' => {}
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
        Err(RegexError::Group(self.since(before)))
    }

    fn close_group(&mut self) -> Result<(), RegexError> {
        if self.groups.len() == 1 {
            return Err(RegexError::ClosedGroup);
        }
        self.skip(1);
        let group = self.groups.pop().ok_or(RegexError::ClosedGroup)?;
        self.flags = group.outer;
        let piece = group.finish();
        self.push_piece(piece)
    }

    fn finish(mut self) -> Result<(Node, u32), RegexError> {
        match (self.groups.pop(), self.groups.is_empty()) {
            (Some(whole), true) => {
                let whole = whole.finish();
                // The anchors that Prometheus puts around it count, too.
                let below = whole.height - u32::from(whole.shape == Shape::Concat);
                match below < MAX_HEIGHT {
                    true => Ok((whole.node, whole.height)),
                    false => Err(RegexError::Depth),
                }
            }
            _ => Err(RegexError::OpenGroup),
        }
    }

    /// Repeats the last piece, as what stands between `before` and the rest says.
    fn repeat(
        &mut self,
        least: u32,
        most: Option<u32>,
        before: &'p str,
        last_repeat: Option<&'p str>,
    ) -> Result<(), RegexError> {
        // Greed does not change whether the whole matches.
        self.rest = self.rest.strip_prefix('?').unwrap_or(self.rest);
        if let Some(last) = last_repeat {
            return Err(RegexError::RepeatedRepeat(self.since(last)));
        }
        let Some(piece) = self.group().pieces.pop() else {
            return Err(RegexError::NothingRepeated(self.since(before)));
        };
        let repeats = match most {
            Some(0) => 0,
            _ => piece.repeats.saturating_mul(most.unwrap_or(least).max(1)),
        };
        if repeats > MAX_REPEATS {
            return Err(RegexError::RepeatCount(self.since(before)));
        }
        let repeated = Piece {
            node: Node::Repeat {
                node: Box::new(piece.node),
                least,
                most,
            },
            height: piece.height + 1,
            repeats,
            shape: Shape::Other,
        };
        let repeated = checked(repeated)?;
        self.group().pieces.push(repeated);
        self.add_parts(1)
    }

    fn look(&mut self, bytes: usize, [look, in_lines]: [Look; 2]) -> Result<(), RegexError> {
        self.skip(bytes);
        self.push(Node::Look(match self.flags.is_multi_line {
            true => in_lines,
            false => look,
        }))
    }

    fn push_char(&mut self, c: char) -> Result<(), RegexError> {
        if !self.flags.ignores_case {
            // Texts take no more memory than in the pattern, and are limited with it.
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
        let piece = checked(piece)?;
        self.group().push(piece);
        self.add_parts(1)
    }

    fn group(&mut self) -> &mut Group {
        self.groups.last_mut().expect("the whole pattern is one")
    }

    pub(super) fn ignores_case(&self) -> bool {
        self.flags.ignores_case
    }

    /// Counts parts of the pattern.
    pub(super) fn add_parts(&mut self, parts: usize) -> Result<(), RegexError> {
        self.parts += parts;
        match self.parts > MAX_PARTS {
            true => Err(RegexError::Parts),
            false => Ok(()),
        }
    }

    /// Passes over this many bytes.
    pub(super) fn skip(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    /// What was read since `before`, for an error.
    pub(super) fn since(&self, before: &str) -> String {
        quoted(&before[..before.len() - self.rest.len()])
    }
}

fn checked(piece: Piece) -> Result<Piece, RegexError> {
    match piece.height > MAX_HEIGHT {
        true => Err(RegexError::Depth),
        false => Ok(piece),
    }
}

/// `?P<name>` or `?<name>` after the parenthesis with which `before` starts: what follows it.
fn group_name<'p>(before: &str, rest: &'p str) -> Result<Option<&'p str>, RegexError> {
    let named = rest.strip_prefix("P<").or_else(|| rest.strip_prefix('<'));
    // Go takes these for flags if nothing follows, and refuses them as such.
    let Some(named) = named.filter(|named| !named.is_empty()) else {
        return Ok(None);
    };
    let refused = |end: usize| Err(RegexError::GroupName(quoted(&before[..end])));
    let Some((name, rest)) = named.split_once('>') else {
        return refused(before.len());
    };
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    match !name.is_empty() && name.chars().all(is_word) {
        true => Ok(Some(rest)),
        false => refused(before.len() - rest.len()),
    }
}

/// `{n}`, `{n,}` or `{n,m}` at the start of `text`, and what follows; anything else is no repeat.
fn counts(text: &str) -> Option<(u32, Option<u32>, &str)> {
    let (least, rest) = count(text.strip_prefix('{')?)?;
    let Some(rest) = rest.strip_prefix(',') else {
        return Some((least, Some(least), rest.strip_prefix('}')?));
    };
    if let Some(rest) = rest.strip_prefix('}') {
        return Some((least, None, rest));
    }
    let (most, rest) = count(rest)?;
    Some((least, Some(most), rest.strip_prefix('}')?))
}

/// A decimal number without leading zeros; one that is far too large is [`u32::MAX`].
fn count(text: &str) -> Option<(u32, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    let is_number = digits > 0 && (digits == 1 || !number.starts_with('0'));
    is_number.then(|| (number.parse().unwrap_or(u32::MAX), rest))
}
