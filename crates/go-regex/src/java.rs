//! A pattern in the syntax of Java, which Timestream's `regexp_like` takes.
//!
//! The forms written here mean the same to Java's `Pattern` and to Go: characters, classes that list
//! their characters, a dot under `(?s)`, alternatives, repeats. There are no names of classes and no
//! flag for case, as Java's Unicode is another (13.0 in JDK 17), and no conditions on places, as
//! Java's words and lines are others. `tests/golden/java.tsv` holds them to a JDK.
//!
//! Java backtracks, so that a pattern can take it time that grows exponentially with the text, or as
//! its fourth power: `.*a.*a.*a.*b`. What might is not written: see [`steps`].

use std::fmt::Write as _;

use regex_syntax::hir::ClassUnicode;

use super::node::{Node, is_never_empty, start_differently};
use super::{steps, unicode};

/// More ranges than these are not listed in a class.
const MAX_CLASS_RANGES: usize = 100;

/// Bytes of a form at most: a query has room for 256 KiB.
const MAX_BYTES: usize = 32 << 10;

/// More levels of groups are not written.
const MAX_DEPTH: usize = 50;

/// In how many places Java may have to try several ways.
const MAX_CHOICES: usize = 10;

/// `node` for Java. `None` if it has no form that means the same, or might cost too much; a long one
/// is not written either.
pub(super) fn java(node: &Node) -> Option<String> {
    if choices(node)? > MAX_CHOICES {
        return None;
    }
    let mut java = String::new();
    write(node, 0, &mut java)?;
    // After writing, which bounds the depth.
    (java.len() <= MAX_BYTES && steps::are_few(node)).then_some(java)
}

/// In how many places there are several ways to go on. `None` if there is no bound to it.
fn choices(node: &Node) -> Option<usize> {
    match node {
        Node::Empty | Node::Text(_) | Node::Class(_) | Node::Look(_) => Some(0),
        Node::Repeat { node, least, most } => {
            let ends = usize::from(Some(*least) != *most);
            match (choices(node)?, most) {
                (0, _) if is_never_empty(node) => Some(ends),
                (inside, Some(most)) => Some(inside.saturating_mul(*most as usize) + ends),
                (_, None) => None,
            }
        }
        Node::Concat(nodes) => nodes.iter().map(choices).sum(),
        Node::Alternate(nodes) => {
            let inside: usize = nodes.iter().map(choices).sum::<Option<_>>()?;
            Some(inside + usize::from(!start_differently(nodes)))
        }
    }
}

fn write(node: &Node, depth: usize, java: &mut String) -> Option<()> {
    if depth > MAX_DEPTH {
        return None;
    }
    match node {
        Node::Empty => {}
        Node::Text(text) => text
            .chars()
            .for_each(|c| push_char(c, r"\.+*?()|[]{}^$", java)),
        Node::Class(class) => write_class(class, java)?,
        Node::Look(_) => return None,
        Node::Repeat { node, least, most } => {
            let is_single = match &**node {
                Node::Class(_) => true,
                Node::Text(text) => text.chars().nth(1).is_none(),
                _ => false,
            };
            match is_single {
                true => write(node, depth + 1, java)?,
                false => write_group(node, depth, java)?,
            }
            match (least, most) {
                (0, Some(1)) => java.push('?'),
                (0, None) => java.push('*'),
                (1, None) => java.push('+'),
                (least, Some(most)) if least == most => push(java, format_args!("{{{least}}}")),
                (least, Some(most)) => push(java, format_args!("{{{least},{most}}}")),
                (least, None) => push(java, format_args!("{{{least},}}")),
            }
        }
        Node::Concat(nodes) => {
            for node in nodes {
                match node {
                    Node::Alternate(_) => write_group(node, depth, java)?,
                    node => write(node, depth, java)?,
                }
            }
        }
        Node::Alternate(nodes) => {
            for (index, node) in nodes.iter().enumerate() {
                if index > 0 {
                    java.push('|');
                }
                write(node, depth, java)?;
            }
        }
    }
    Some(())
}

fn write_group(node: &Node, depth: usize, java: &mut String) -> Option<()> {
    java.push_str("(?:");
    write(node, depth + 1, java)?;
    java.push(')');
    Some(())
}

/// The class or what it leaves out, whichever is shorter.
fn write_class(class: &ClassUnicode, java: &mut String) -> Option<()> {
    let others = unicode::others(class);
    let (ranges, others) = (class.ranges(), others.ranges());
    if ranges.is_empty() {
        return None;
    }
    if others.is_empty() {
        java.push('.');
        return Some(());
    }
    let is_negated = others.len() < ranges.len();
    let listed = if is_negated { others } else { ranges };
    if listed.len() > MAX_CLASS_RANGES {
        return None;
    }
    java.push_str(if is_negated { "[^" } else { "[" });
    for range in listed {
        let (first, last) = (range.start(), range.end());
        push_char(first, r"\[]^-&", java);
        if first < last {
            java.push('-');
            push_char(last, r"\[]^-&", java);
        }
    }
    java.push(']');
    Some(())
}

fn push_char(c: char, special: &str, java: &mut String) {
    if c.is_ascii_control() {
        push(java, format_args!(r"\x{:02x}", u32::from(c)));
        return;
    }
    if special.contains(c) {
        java.push('\\');
    }
    java.push(c);
}

fn push(java: &mut String, text: std::fmt::Arguments<'_>) {
    java.write_fmt(text).expect("a string takes any text");
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::*;

    fn of(pattern: &str) -> Option<String> {
        let (node, _) = parse(pattern).unwrap();
        java(&node.without_outer_anchors())
    }

    #[test]
    fn what_means_the_same_is_written() {
        let cases = [
            (r"/api/.*\.html", Some(r"/api/.*\.html")),
            ("(?P<name>a|b)+?", Some("(?:a|b)+")),
            ("(?:ab|cd)*x", Some("(?:ab|cd)*x")),
            ("[a-z0-9_-]{2,}", Some(r"[\-0-9_a-z]{2,}")),
            (r"[^/\]]", Some(r"[^/\]]")),
            (r"\d+\s", Some(r"[0-9]+[\x09-\x0a\x0c-\x0d ]")),
            ("(?i)up", Some("[Uu][Pp]")),
            ("(?i)k", Some("[Kk\u{212a}]")),
            ("^up$", Some("up")),
            (r"\Qa.b\E", Some(r"a\.b")),
            ("a{", Some(r"a\{")),
            ("(?-s).", Some(r"[^\x0a]")),
            ("[äö]", Some("[äö]")),
            (r"\bup", None),
            ("a^b", None),
            ("(?m)a$\n", None),
            // Long.
            (r"\pL", None),
        ];
        for (pattern, expected) in cases {
            assert_eq!(of(pattern).as_deref(), expected, "{pattern}");
        }
        let deep = |depth| format!("{}a{}", "(?:".repeat(depth), "b)?".repeat(depth));
        assert!(of(&deep(5)).is_some() && of(&deep(60)).is_none());
    }

    #[test]
    fn what_could_take_java_very_long_is_not_written() {
        let cases = [
            (r"\d{1,3}(?:\.\d{1,3}){3}", true),
            (".*a.*b.*", true),
            ("(?:foo|bar)+", true),
            ("(?:a|ab)?c", true),
            ("(a+)+b", false),
            ("(a*)*", false),
            ("(a|ab)*c", false),
            ("(|a)+b", false),
            ("(.*a){20}", false),
            ("a?a?a?a?a?a?a?a?a?a?a?a?aaaaaaaaaaaa", false),
            ("(?:a?){12}a{12}", false),
        ];
        for (pattern, expected) in cases {
            assert_eq!(of(pattern).is_some(), expected, "{pattern}");
        }
    }
}
