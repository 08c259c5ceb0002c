//! Trees are those of Prometheus: as JSON, and by their selectors.
//!
//! The tables in `tests/golden` contain what Prometheus says, and the programs that write them.

use promql::{Expr, Matcher, ParserOptions, ast_json, parse, selectors};
use table::{rows, unescaped};

#[path = "golden/table.rs"]
mod table;

const QUERIES: &str = include_str!("golden/queries.tsv");
const TREES: &str = include_str!("golden/trees.tsv");

fn matchers_text(matchers: &[Matcher]) -> String {
    let texts: Vec<_> = matchers.iter().map(Matcher::to_string).collect();
    texts.join(",")
}

fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Calls `check` with the row of each accepted query and of its tree.
fn each_tree(mut check: impl FnMut(&Expr, &[&str]) -> Option<String>) -> Vec<String> {
    let accepted = rows(QUERIES).filter(|fields| fields[2] == "ok");
    let mut trees = rows(TREES);
    let mut wrong = Vec::new();
    for fields in accepted {
        let query = unescaped(fields[1]);
        let expr = parse(&query, &ParserOptions::everything()).unwrap();
        let tree = trees.next().expect("each accepted query has a tree");
        wrong.extend(check(&expr, &tree).map(|got| format!("{}\n  got {got}", fields[1])));
    }
    assert!(trees.next().is_none(), "there are more trees than queries");
    wrong
}

#[test]
fn trees_have_the_json_of_prometheus() {
    let mut impossible = 0;
    let wrong = each_tree(|expr, tree| {
        let json = ast_json(expr);
        if tree[0].starts_with("error v1.Response.Data: unsupported value: ") {
            impossible += 1;
            let is_text = json.contains(r#""lhs":"NaN""#) || json.contains(r#""lhs":"+Inf""#);
            return (!is_text).then_some(json);
        }
        (json != tree[0]).then(|| format!("{json}\n  not {}", tree[0]))
    });
    assert_none(&wrong);
    assert_eq!(impossible, 2);
}

#[test]
fn selectors_have_the_order_of_prometheus() {
    let wrong = each_tree(|expr, tree| {
        let all: Vec<_> = selectors(expr)
            .iter()
            .map(|matchers| format!("{{{}}}", matchers_text(matchers)))
            .collect();
        let all = all.join(";");
        (all.as_bytes() != unescaped(tree[1])).then_some(all)
    });
    assert_none(&wrong);
}

#[test]
fn the_json_of_a_chain_is_bounded_by_its_length() {
    let chain = vec!["a"; 10_000].join("+");
    let expr = parse(&chain, &ParserOptions::default()).unwrap();
    let json = ast_json(&expr);
    assert!(json.len() < 200 * chain.len(), "{}", json.len());
    assert_eq!(selectors(&expr).len(), 10_000);
}
