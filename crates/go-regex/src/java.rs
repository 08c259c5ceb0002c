//! Patterns in the syntax of Java's `java.util.regex`.
//!
//! The forms use only constructs with the same meaning in Java and in Go: characters, classes that list their
//! characters, a dot under `(?s)`, alternatives, repetitions. They have no names of classes and no flag for case, as
//! Java has another version of Unicode (13.0 in JDK 17), and no conditions on positions, as Java defines words and
//! lines differently. `tests/golden/java.tsv` contains the results of a JDK.
//!
//! Java backtracks, so the time for a pattern can grow exponentially with the length of the string, or with its
//! fourth power: `.*a.*a.*a.*b`. Such patterns have no form: see [`steps`].

use std::fmt::Write as _;

use regex_syntax::hir::ClassUnicode;

use super::node::{Node, have_disjoint_starts, is_never_empty};
use super::{steps, unicode};

/// Maximum ranges of characters that a class lists.
const MAX_CLASS_RANGES: usize = 100;

/// Maximum bytes of a form: a query of Timestream has room for 256 KiB.
const MAX_BYTES: usize = 32 << 10;

/// Maximum depth of groups in a form.
const MAX_GROUP_DEPTH: usize = 50;

/// Maximum places in which Java has to try several ways.
const MAX_CHOICES: usize = 10;

/// Returns the form of `node` for Java. `None` if no form has the same meaning, or if it would be too long or too
/// costly.
pub(super) fn to_java(node: &Node) -> Option<String> {
    if choices(node)? > MAX_CHOICES {
        return None;
    }
    let mut java = String::new();
    write(node, 0, &mut java)?;
    // Only after writing, which limits the depth.
    (java.len() <= MAX_BYTES && steps::are_few(node)).then_some(java)
}

/// Returns the number of places with several ways to continue. `None` if it has no bound.
fn choices(node: &Node) -> Option<usize> {
    match node {
        Node::Empty | Node::Literal(_) | Node::Class(_) | Node::Look(_) => Some(0),
        Node::Repeat { node, min, max } => {
            let ends = usize::from(Some(*min) != *max);
            match (choices(node)?, max) {
                (0, _) if is_never_empty(node) => Some(ends),
                (inside, Some(max)) => Some(inside.saturating_mul(*max as usize) + ends),
                (_, None) => None,
            }
        }
        Node::Concat(nodes) => nodes.iter().map(choices).sum(),
        Node::Alternate(nodes) => {
            let inside: usize = nodes.iter().map(choices).sum::<Option<_>>()?;
            Some(inside + usize::from(!have_disjoint_starts(nodes)))
        }
        Node::Lazy(node) | Node::Capture(_, node) => choices(node),
    }
}

fn write(node: &Node, depth: usize, java: &mut String) -> Option<()> {
    if depth > MAX_GROUP_DEPTH {
        return None;
    }
    match node {
        Node::Empty => {}
        Node::Literal(literal) => literal
            .chars()
            .for_each(|c| push_char(c, r"\.+*?()|[]{}^$", java)),
        Node::Class(class) => write_class(class, java)?,
        Node::Look(_) | Node::Lazy(_) | Node::Capture(..) => return None,
        Node::Repeat { node, min, max } => {
            let is_single = match &**node {
                Node::Class(_) => true,
                Node::Literal(literal) => literal.chars().nth(1).is_none(),
                _ => false,
            };
            match is_single {
                true => write(node, depth + 1, java)?,
                false => write_group(node, depth, java)?,
            }
            match (min, max) {
                (0, Some(1)) => java.push('?'),
                (0, None) => java.push('*'),
                (1, None) => java.push('+'),
                (min, Some(max)) if min == max => push(java, format_args!("{{{min}}}")),
                (min, Some(max)) => push(java, format_args!("{{{min},{max}}}")),
                (min, None) => push(java, format_args!("{{{min},}}")),
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

/// Writes the class or its complement, whichever has fewer ranges.
fn write_class(class: &ClassUnicode, java: &mut String) -> Option<()> {
    let complement = unicode::complement(class);
    let (ranges, others) = (class.ranges(), complement.ranges());
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

fn push(java: &mut String, part: std::fmt::Arguments<'_>) {
    java.write_fmt(part)
        .expect("writing to a string never fails");
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::*;

    fn of(pattern: &str) -> Option<String> {
        let (node, _) = parse(pattern).unwrap();
        to_java(&node.without_outer_anchors())
    }

    #[test]
    fn forms_mean_the_same() {
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
            // Too many ranges.
            (r"\pL", None),
        ];
        for (pattern, expected) in cases {
            assert_eq!(of(pattern).as_deref(), expected, "{pattern}");
        }
        let deep = |depth| format!("{}a{}", "(?:".repeat(depth), "b)?".repeat(depth));
        assert!(of(&deep(5)).is_some() && of(&deep(60)).is_none());
    }

    #[test]
    fn costly_patterns_have_no_form() {
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
