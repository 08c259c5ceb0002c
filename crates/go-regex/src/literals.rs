//! The strings that a pattern matches, if they can be listed.

use super::node::Node;

/// Maximum number of strings, and of their bytes, that a shorter part of a pattern expands to.
const MAX_EXPANDED: usize = 256;
const MAX_EXPANDED_BYTES: usize = 64 << 10;

/// Returns the strings that match, sorted, each once. `None` if there is none or if there are too many.
///
/// Alternatives of plain strings are listed however many there are. Classes, and alternatives with something before
/// or after them, are expanded up to [`MAX_EXPANDED`] strings.
pub(super) fn literals(node: &Node) -> Option<Vec<String>> {
    let alternatives = match node {
        Node::Alternate(nodes) => nodes,
        node => std::slice::from_ref(node),
    };
    let mut literals = Vec::with_capacity(alternatives.len());
    let mut expansions = Vec::new();
    for alternative in alternatives {
        match alternative {
            Node::Literal(literal) => literals.push(literal.clone()),
            other => expansions.extend(expanded(other)?),
        }
        limited(&expansions)?;
    }
    literals.append(&mut expansions);
    literals.sort_unstable();
    literals.dedup();
    (!literals.is_empty()).then_some(literals)
}

/// Returns the strings that match `node`, in any order.
fn expanded(node: &Node) -> Option<Vec<String>> {
    match node {
        Node::Empty => Some(vec![String::new()]),
        Node::Literal(literal) => Some(vec![literal.clone()]),
        Node::Class(class) => {
            let chars: usize = class.ranges().iter().map(|range| range.len()).sum();
            (chars <= MAX_EXPANDED).then(|| {
                let chars = class.ranges().iter();
                let chars = chars.flat_map(|range| range.start()..=range.end());
                chars.map(String::from).collect()
            })
        }
        Node::Alternate(nodes) => {
            let mut all = Vec::new();
            for node in nodes {
                all.extend(expanded(node)?);
                limited(&all)?;
            }
            Some(all)
        }
        Node::Concat(nodes) => {
            let mut starts = vec![String::new()];
            for node in nodes {
                let ends = expanded(node)?;
                let bytes = |strings: &[String]| strings.iter().map(String::len).sum::<usize>();
                let combined_bytes = bytes(&starts) * ends.len() + bytes(&ends) * starts.len();
                if starts.len() * ends.len() > MAX_EXPANDED || combined_bytes > MAX_EXPANDED_BYTES {
                    return None;
                }
                let with_ends = |start: &String| {
                    let ends = ends.iter();
                    ends.map(|end| format!("{start}{end}")).collect::<Vec<_>>()
                };
                starts = starts.iter().flat_map(with_ends).collect();
            }
            Some(starts)
        }
        Node::Look(_) | Node::Repeat { .. } | Node::Lazy(_) => None,
        Node::Capture(_, node) => expanded(node),
    }
}

/// Returns `None` if these are too many.
fn limited(strings: &[String]) -> Option<()> {
    let bytes = || strings.iter().map(String::len).sum::<usize>();
    (strings.len() <= MAX_EXPANDED && bytes() <= MAX_EXPANDED_BYTES).then_some(())
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::*;

    #[test]
    fn literals_are_listed() {
        let cases: &[(&str, Option<&[&str]>)] = &[
            ("a", Some(&["a"])),
            ("b|a|b", Some(&["a", "b"])),
            ("(?:a|b)", Some(&["a", "b"])),
            (r"a\.b|", Some(&["", "a.b"])),
            ("", Some(&[""])),
            ("^a$|^b", Some(&["a", "b"])),
            (r"\Qa.b\E|c", Some(&["a.b", "c"])),
            ("x(_sum|_count|)", Some(&["x", "x_count", "x_sum"])),
            (
                "[ab][.][1-3]",
                Some(&["a.1", "a.2", "a.3", "b.1", "b.2", "b.3"]),
            ),
            ("(?i)a1", Some(&["A1", "a1"])),
            ("(?i)k", Some(&["K", "k", "\u{212a}"])),
            (r"[^\x00-\x{10FFFF}]", None),
            ("a.b", None),
            ("a+", None),
            ("[^a]", None),
            (r"a\b", None),
            ("a^b", None),
            ("[a-z][a-z]", None),
        ];
        for (pattern, expected) in cases {
            let (node, _) = parse(pattern).unwrap();
            let expected: Option<Vec<_>> =
                expected.map(|strings| strings.iter().map(|&it| it.to_owned()).collect());
            assert_eq!(
                literals(&node.without_outer_anchors()),
                expected,
                "{pattern}"
            );
        }
        let many: Vec<_> = (0..1_000).map(|n| format!("pod-{n:03}")).collect();
        let (node, _) = parse(&many.join("|")).unwrap();
        assert_eq!(literals(&node), Some(many));
    }
}
