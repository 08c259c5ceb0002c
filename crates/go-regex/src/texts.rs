//! The texts that a pattern matches, if they can be listed.

use super::node::Node;

/// How many texts are listed of what is written shorter than them, and their bytes.
const MAX_COMBINED: usize = 256;
const MAX_COMBINED_BYTES: usize = 64 << 10;

/// The texts that match, sorted, each once. `None` if there is none, or too many of them.
///
/// Texts that stand there as alternatives are listed however many they are, those that come from
/// classes and from alternatives with something before or after them up to [`MAX_COMBINED`].
pub(super) fn texts(node: &Node) -> Option<Vec<String>> {
    let alternatives = match node {
        Node::Alternate(nodes) => nodes,
        node => std::slice::from_ref(node),
    };
    let mut texts = Vec::with_capacity(alternatives.len());
    let mut combinations = Vec::new();
    for alternative in alternatives {
        match alternative {
            Node::Text(text) => texts.push(text.clone()),
            other => combinations.extend(combined(other)?),
        }
        limited(&combinations)?;
    }
    texts.append(&mut combinations);
    texts.sort_unstable();
    texts.dedup();
    (!texts.is_empty()).then_some(texts)
}

fn combined(node: &Node) -> Option<Vec<String>> {
    match node {
        Node::Empty => Some(vec![String::new()]),
        Node::Text(text) => Some(vec![text.clone()]),
        Node::Class(class) => {
            let chars: usize = class.ranges().iter().map(|range| range.len()).sum();
            (chars <= MAX_COMBINED).then(|| {
                let chars = class.ranges().iter();
                let chars = chars.flat_map(|range| range.start()..=range.end());
                chars.map(String::from).collect()
            })
        }
        Node::Alternate(nodes) => {
            let mut all = Vec::new();
            for node in nodes {
                all.extend(combined(node)?);
                limited(&all)?;
            }
            Some(all)
        }
        Node::Concat(nodes) => {
            let mut starts = vec![String::new()];
            for node in nodes {
                let ends = combined(node)?;
                let bytes = |texts: &[String]| texts.iter().map(String::len).sum::<usize>();
                let combined_bytes = bytes(&starts) * ends.len() + bytes(&ends) * starts.len();
                if starts.len() * ends.len() > MAX_COMBINED || combined_bytes > MAX_COMBINED_BYTES {
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
        Node::Look(_) | Node::Repeat { .. } => None,
    }
}

fn limited(texts: &[String]) -> Option<()> {
    let bytes = || texts.iter().map(String::len).sum::<usize>();
    (texts.len() <= MAX_COMBINED && bytes() <= MAX_COMBINED_BYTES).then_some(())
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::*;

    #[test]
    fn what_can_be_listed_is() {
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
                expected.map(|texts| texts.iter().map(|&text| text.to_owned()).collect());
            assert_eq!(texts(&node.without_outer_anchors()), expected, "{pattern}");
        }
        let many: Vec<_> = (0..1_000).map(|n| format!("pod-{n:03}")).collect();
        let (node, _) = parse(&many.join("|")).unwrap();
        assert_eq!(texts(&node), Some(many));
    }
}
