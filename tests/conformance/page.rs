//! The configurations of `docs/senders.md` and other pages, exactly as written there.

pub(crate) const SENDERS: &str = include_str!("../../docs/senders.md");
pub(crate) const HA: &str = include_str!("../../docs/ha.md");
pub(crate) const LEAVING: &str = include_str!("../../docs/leaving-timestream.md");

/// Returns the one block of the section that is written in the language.
pub(crate) fn block(page: &str, section: &str, language: &str) -> String {
    let of_heading = |it: &&str| it.trim_start_matches('#').lines().next() == Some(section);
    let headings = ["\n## ", "\n### "];
    let text = headings
        .iter()
        .find_map(|heading| page.split(heading).find(of_heading));
    let text = text.unwrap_or_else(|| panic!("the page has no section '{section}'"));
    let fence = format!("```{language}\n");
    let mut blocks = text.split(&fence).skip(1);
    let (Some(block), None) = (blocks.next(), blocks.next()) else {
        panic!("section '{section}' has not one block of {language}");
    };
    let (block, _) = block.split_once("```").expect("a block ends");
    block.to_owned()
}

/// Replaces each first text by the second one; each must be there.
pub(crate) fn adapted(text: &str, replaced: &[(&str, &str)]) -> String {
    let mut adapted = text.to_owned();
    for (from, to) in replaced {
        assert!(adapted.contains(from), "there is no {from} in\n{text}");
        adapted = adapted.replace(from, to);
    }
    adapted
}

/// Returns the arguments of the one command in a block for a shell, which has neither quotes nor variables.
pub(crate) fn arguments(block: &str, program: &str) -> Vec<String> {
    let command = block.replace("\\\n", " ");
    assert!(!command.contains(['\'', '"', '$']), "{command}");
    assert_eq!(command.trim_end().lines().count(), 1, "{command}");
    let mut words = command.split_whitespace().map(str::to_owned);
    assert_eq!(words.next().as_deref(), Some(program), "{command}");
    words.collect()
}
