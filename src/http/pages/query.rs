//! The query page: an expression, and its result as a table or a graph.
//!
//! One response has everything: the page loads no other resources, and its script sends requests only to the query
//! API of the origin that served it. Its policy allows exactly the style and the script that are in it, so a value
//! that came into the page as markup could still do nothing.

use std::sync::LazyLock;

use super::html::policy;

const STYLE: &str = concat!(include_str!("common.css"), include_str!("query/page.css"));

/// One module: the parts share their names.
const SCRIPT: &str = concat!(
    include_str!("query/result.js"),
    include_str!("query/completion.js"),
    include_str!("query/page.js")
);

/// The page and its Content-Security-Policy.
pub(super) struct QueryPage {
    pub(super) html: String,
    pub(super) policy: String,
}

/// The page, which is the same in all responses.
pub(super) static QUERY_PAGE: LazyLock<QueryPage> = LazyLock::new(|| QueryPage {
    html: include_str!("query/page.html")
        .replace("{style}", STYLE)
        .replace("{script}", SCRIPT),
    policy: policy(STYLE, SCRIPT),
});

#[cfg(test)]
mod tests {
    use promql::{AggregateOp, BinaryOp, Function};

    use super::*;
    use crate::http::pages::html::source;

    /// Returns the sorted words of a list in the script.
    fn words(list: &str) -> Vec<&'static str> {
        let (_, rest) = SCRIPT.split_once(&format!("const {list} = `")).unwrap();
        let (words, _) = rest.split_once('`').unwrap();
        let mut words: Vec<_> = words.split_whitespace().collect();
        words.sort_unstable();
        words
    }

    #[test]
    fn completed_words_are_those_of_the_engine() {
        let functions = |is_experimental| -> Vec<_> {
            let all = Function::all().iter();
            let some = all.filter(|it| it.is_experimental == is_experimental);
            some.map(|it| it.name).collect()
        };
        assert_eq!(words("FUNCTIONS"), functions(false));
        assert_eq!(words("EXPERIMENTAL"), functions(true));
        let mut aggregations = AggregateOp::ALL.map(AggregateOp::name);
        aggregations.sort_unstable();
        assert_eq!(words("AGGREGATIONS"), aggregations);
        let operators = BinaryOp::ALL.map(BinaryOp::symbol);
        let mut keywords: Vec<_> = operators
            .into_iter()
            .filter(|it| it.starts_with(|first: char| first.is_alphabetic()))
            .chain([
                "by",
                "without",
                "on",
                "ignoring",
                "group_left",
                "group_right",
            ])
            .chain(["bool", "offset"])
            .collect();
        keywords.sort_unstable();
        assert_eq!(words("KEYWORDS"), keywords);
    }

    #[test]
    fn the_page_needs_nothing_else_and_takes_no_markup() {
        let page = &QUERY_PAGE.html;
        // The only address is the name of a namespace.
        let addresses: Vec<_> = page.match_indices("://").collect();
        assert_eq!(addresses.len(), 1, "{addresses:?}");
        assert!(page.contains("createElementNS(\"http://www.w3.org/2000/svg\""));
        for forbidden in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "DOMParser",
            "eval(",
            "srcdoc",
            " style=\"",
            " src=",
            "import ",
            "{style}",
            "{script}",
        ] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
        // Links hold under a stage or another prefix.
        assert!(page.contains("\"./api/v1/\"") && page.contains("href=\"./\""));
        // The script does not end its element.
        assert_eq!(page.matches("</script>").count(), 1);
        assert_eq!(page.matches("</style>").count(), 1);
    }

    #[test]
    fn the_policy_allows_the_style_and_the_script() {
        for (begin, end, directive) in [
            ("<script type=\"module\">", "</script>", "script-src"),
            ("<style>", "</style>", "style-src"),
        ] {
            let (_, rest) = QUERY_PAGE.html.split_once(begin).unwrap();
            let (content, _) = rest.split_once(end).unwrap();
            let directive = format!("{directive} {};", source(content));
            assert!(
                QUERY_PAGE.policy.contains(&directive),
                "{}",
                QUERY_PAGE.policy
            );
        }
        // The hash of `openssl dgst -sha256 -binary | base64`.
        assert_eq!(
            source("alert('Hello, world.');"),
            "'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='"
        );
    }
}
