//! A bound on the steps in which a backtracking matcher, such as Java's, matches a pattern against a whole string.
//!
//! A step is a test of one character, or a repetition that gives one character back. The matcher enters a part of the
//! pattern and leaves it by one or more ways; for each way it enters the rest of the pattern, until all of it matches
//! or every way has failed. So the steps are a sum over the parts: the number of entries of a part, multiplied by the
//! steps of one entry. [`Bound`] walks a pattern from left to right with the entries. Three properties keep them few,
//! and so make common patterns cheap:
//!
//! - A repetition gives back only characters that it matched. If the rest of the pattern cannot start with any of
//!   these (`[a-z]+/`), it fails at once everywhere except behind the last one: one way, and [`Follow::tests`] steps
//!   for each of the others. The end of the string starts with no character.
//! - A repetition of any character at the end of the pattern (`/api/.*`) never fails, so the whole pattern matches
//!   the first time that it is entered with enough characters left.
//! - The ways of a repetition of one character end in different places, and a literal (`.*prod.*`) matches in no more
//!   of them than its period allows: see [`Run`].
//!
//! A part with an unbounded number of ways in an unbounded repetition (`(a+)+`), and a part that can be empty in any
//! repetition, have no bound here.

use std::rc::Rc;

use regex_syntax::hir::ClassUnicode;

use super::MAX_JAVA_STRING_CHARS;
use super::node::{Node, have_disjoint_starts, is_never_empty};
use super::unicode;

/// The lengths of strings for which the steps are bounded: a long value of a label, and the longest one.
const STRING_LENGTHS: [u64; 2] = [256, MAX_JAVA_STRING_CHARS as u64];

/// Maximum steps of a cheap pattern, in squares of the length of the string. Two repetitions that compete for the
/// same characters, as in `.*a.*b`, need three squares.
const MAX_SQUARES: u64 = 4;

/// Maximum characters of the start of a literal that determine its period.
const MAX_RUN: usize = 16;

/// Returns true if a backtracking matcher needs at most [`MAX_SQUARES`] squares of steps for each of the
/// [`STRING_LENGTHS`].
pub(super) fn are_few(node: &Node) -> bool {
    STRING_LENGTHS.iter().all(|&length| {
        max_steps(node, length).is_some_and(|steps| steps <= MAX_SQUARES * length * length)
    })
}

/// Returns a bound on the steps for a string of at most `length` characters. `None` if there is none.
fn max_steps(node: &Node, length: u64) -> Option<u64> {
    let cost = Bound { length }.walk(node, Entries::ONE, &Rc::new(Follow::end()))?;
    Some(cost.steps)
}

/// The number of times that a part of the pattern is entered.
#[derive(Clone, Copy)]
struct Entries {
    /// Sets of entries, each of which is in different places of the string.
    sets: u64,
    /// Entries of each set.
    places: u64,
}

impl Entries {
    const ONE: Self = Self { sets: 1, places: 1 };

    /// Returns entries that can all be in the same place.
    fn anywhere(count: u64) -> Self {
        Self {
            sets: count,
            places: 1,
        }
    }

    fn count(self) -> u64 {
        self.sets.saturating_mul(self.places)
    }
}

/// The cost of a part for a number of entries.
struct Cost {
    steps: u64,
    /// Entries of the next part that can match its first character.
    exits: Entries,
    /// Maximum exits of a single entry.
    ways: u64,
}

/// The rest of the pattern after a part.
struct Follow {
    /// Its first characters. It fails before any other character.
    first: ClassUnicode,
    /// Maximum steps of such a failure.
    tests: u64,
    /// Only the end of the string follows.
    is_end: bool,
}

impl Follow {
    fn end() -> Self {
        Self {
            first: ClassUnicode::empty(),
            tests: 0,
            is_end: true,
        }
    }

    fn one(first: ClassUnicode) -> Rc<Self> {
        Rc::new(Self {
            first,
            tests: 1,
            is_end: false,
        })
    }

    fn either(options: &[Rc<Self>]) -> Rc<Self> {
        let ranges = options.iter().flat_map(|it| it.first.ranges());
        Rc::new(Self {
            first: ClassUnicode::new(ranges.copied()),
            tests: options.iter().map(|it| it.tests).fold(0, sum),
            is_end: false,
        })
    }

    /// Returns the rest of the pattern from `node` on, if `self` is the rest after it.
    fn preceded_by(self: &Rc<Self>, node: &Node) -> Rc<Self> {
        match node {
            Node::Empty | Node::Look(_) => self.clone(),
            Node::Literal(literal) => {
                let first = literal.chars().next().map(|c| unicode::class(&[(c, c)]));
                Self::one(first.unwrap_or_else(ClassUnicode::empty))
            }
            Node::Class(class) => Self::one(class.clone()),
            Node::Repeat { max: Some(0), .. } => self.clone(),
            Node::Repeat { node, min, .. } if *min > 0 => self.preceded_by(node),
            Node::Repeat { node, .. } => Self::either(&[self.preceded_by(node), self.clone()]),
            Node::Concat(nodes) => {
                // A part that is never empty hides the parts after it.
                let visible = nodes.iter().position(is_never_empty);
                let visible = &nodes[..visible.map_or(nodes.len(), |last| last + 1)];
                let follow = self.clone();
                visible
                    .iter()
                    .rfold(follow, |follow, node| follow.preceded_by(node))
            }
            Node::Alternate(nodes) => {
                let options: Vec<_> = nodes.iter().map(|node| self.preceded_by(node)).collect();
                Self::either(&options)
            }
            Node::Lazy(node) | Node::Capture(_, node) => self.preceded_by(node),
        }
    }
}

struct Bound {
    /// Characters of the string.
    length: u64,
}

impl Bound {
    fn walk(&self, node: &Node, entries: Entries, follow: &Rc<Follow>) -> Option<Cost> {
        match node {
            Node::Lazy(node) | Node::Capture(_, node) => self.walk(node, entries, follow),
            // Conditions on positions test at most two characters.
            Node::Look(_) => Some(Cost {
                steps: product(entries.count(), 2),
                exits: entries,
                ways: 1,
            }),
            Node::Empty => Some(Cost {
                steps: 0,
                exits: entries,
                ways: 1,
            }),
            Node::Literal(_) | Node::Class(_) => {
                Some(Run::of(std::slice::from_ref(node)).walk(self.length, entries))
            }
            Node::Repeat { node, min, max } => {
                let max = max.map(u64::from);
                match single(node) {
                    Some(class) => {
                        Some(self.repeat_one(&class, (*min).into(), max, entries, follow))
                    }
                    None => self.repeat(node, (*min).into(), max, entries, follow),
                }
            }
            Node::Concat(nodes) => self.concat(nodes, entries, follow),
            Node::Alternate(nodes) => self.alternate(nodes, entries, follow),
        }
    }

    fn concat(&self, nodes: &[Node], entries: Entries, follow: &Rc<Follow>) -> Option<Cost> {
        let mut follows = vec![follow.clone()];
        for node in nodes[1..].iter().rev() {
            let follow = follows.last().expect("there is one").preceded_by(node);
            follows.push(follow);
        }
        let mut whole = Cost {
            steps: 0,
            exits: entries,
            ways: 1,
        };
        let is_run = |node: &Node| matches!(node, Node::Literal(_) | Node::Class(_));
        let mut rest = nodes;
        while let Some(node) = rest.first() {
            let run = rest.iter().take_while(|node| is_run(node)).count();
            let (part, after) = rest.split_at(run.max(1));
            let cost = match run {
                0 => self.walk(node, whole.exits, &follows[after.len()])?,
                _ => Run::of(part).walk(self.length, whole.exits),
            };
            whole.steps = sum(whole.steps, cost.steps);
            whole.exits = cost.exits;
            whole.ways = product(whole.ways, cost.ways);
            rest = after;
        }
        Some(whole)
    }

    fn alternate(&self, nodes: &[Node], entries: Entries, follow: &Rc<Follow>) -> Option<Cost> {
        let is_one_of_them = have_disjoint_starts(nodes);
        let (mut steps, mut exits, mut ways) = (0, 0, 0);
        for node in nodes {
            let cost = self.walk(node, entries, follow)?;
            steps = sum(steps, cost.steps);
            exits = sum(exits, cost.exits.count());
            ways = match is_one_of_them {
                true => cost.ways.max(ways),
                false => sum(cost.ways, ways),
            };
        }
        Some(Cost {
            steps,
            exits: Entries::anywhere(exits.min(product(entries.count(), ways))),
            ways,
        })
    }

    /// Returns the cost of a repetition of one character.
    fn repeat_one(
        &self,
        class: &ClassUnicode,
        min: u64,
        max: Option<u64>,
        entries: Entries,
        follow: &Follow,
    ) -> Cost {
        let count = entries.count();
        if max == Some(min) {
            return Cost {
                steps: product(count, min.min(self.length + 1)),
                exits: entries,
                ways: 1,
            };
        }
        if max.is_none() && follow.is_end && unicode::complement(class).ranges().is_empty() {
            // This matches the rest of the string, once, and fails only if the string is too short.
            let failing = product(count, min.saturating_sub(1).min(self.length));
            return Cost {
                steps: sum(failing, 2 * self.length),
                exits: Entries::ONE,
                ways: 1,
            };
        }
        let max = max.unwrap_or(self.length).min(self.length);
        let given_back = max.saturating_sub(min);
        let steps = product(count, max + 1 + given_back);
        if are_disjoint(class, &follow.first) {
            let failing = product(product(count, given_back), follow.tests);
            return Cost {
                steps: sum(steps, failing),
                exits: Entries::anywhere(count),
                ways: 1,
            };
        }
        Cost {
            steps,
            exits: Entries {
                sets: count,
                places: given_back + 1,
            },
            ways: given_back + 1,
        }
    }

    /// Returns the cost of a repetition of any other part.
    fn repeat(
        &self,
        node: &Node,
        min: u64,
        max: Option<u64>,
        entries: Entries,
        follow: &Rc<Follow>,
    ) -> Option<Cost> {
        match (min, max) {
            (_, Some(0)) => self.walk(&Node::Empty, entries, follow),
            (1, Some(1)) => self.walk(node, entries, follow),
            (0, Some(1)) => self.optional(node, entries, follow),
            _ if is_never_empty(node) => self.rounds(node, min, max, entries, follow),
            _ => None,
        }
    }

    fn optional(&self, node: &Node, entries: Entries, follow: &Rc<Follow>) -> Option<Cost> {
        let count = entries.count();
        let present = self.walk(node, entries, follow)?;
        let first = follow.preceded_by(node);
        let exits = sum(present.exits.count(), count);
        // Either this part or the next one can start here, never both.
        if is_never_empty(node) && are_disjoint(&first.first, &follow.first) {
            let ways = present.ways.max(1);
            return Some(Cost {
                steps: sum(present.steps, product(count, follow.tests)),
                exits: Entries::anywhere(exits.min(product(count, ways))),
                ways,
            });
        }
        Some(Cost {
            steps: present.steps,
            exits: Entries::anywhere(exits),
            ways: sum(present.ways, 1),
        })
    }

    /// Returns the cost of a repetition, up to more than once, of a part that is never empty.
    fn rounds(
        &self,
        node: &Node,
        min: u64,
        max: Option<u64>,
        entries: Entries,
        follow: &Rc<Follow>,
    ) -> Option<Cost> {
        let count = entries.count();
        let again = follow.preceded_by(node);
        let is_exact = max == Some(min);
        let in_rounds = Follow::either(&[again.clone(), follow.clone()]);
        let round = self.walk(node, Entries::ONE, &in_rounds)?;
        if round.ways > 1 {
            // A round for each way of the previous round, and an exit after each.
            let (mut tried, mut behind, mut ways) = (0, 1, 0);
            for rounds in 0..=max? {
                if rounds >= min {
                    ways = sum(ways, behind);
                }
                if Some(rounds) < max {
                    tried = sum(tried, behind);
                }
                behind = product(behind, round.ways);
            }
            return Some(Cost {
                steps: product(product(count, tried), round.steps),
                exits: Entries::anywhere(product(count, ways)),
                ways,
            });
        }
        let fit = self.length / shortest(node).max(1);
        let rounds = max.unwrap_or(fit).min(fit);
        let steps = product(product(count, rounds + 1), round.steps);
        if is_exact {
            return Some(Cost {
                steps,
                exits: Entries::anywhere(count),
                ways: 1,
            });
        }
        if are_disjoint(&again.first, &follow.first) {
            let failing = product(product(count, rounds), follow.tests);
            return Some(Cost {
                steps: sum(steps, failing),
                exits: Entries::anywhere(count),
                ways: 1,
            });
        }
        let ways = rounds.saturating_sub(min) + 1;
        Some(Cost {
            steps,
            exits: Entries {
                sets: count,
                places: ways,
            },
            ways,
        })
    }
}

/// A sequence of characters and classes.
///
/// If it is entered in different places then few of them match more than its start: two places in which the first
/// characters match are at least a period apart, the distance by which a copy of these characters must be moved to
/// agree with itself. `foo` is in a string at most once in three characters.
struct Run {
    /// The periods of the starts of 1, 2, ... characters, up to [`MAX_RUN`].
    periods: Vec<u64>,
    /// Total number of characters.
    length: u64,
}

impl Run {
    fn of(nodes: &[Node]) -> Self {
        let chars = nodes.iter().flat_map(|node| {
            let literal = match node {
                Node::Literal(literal) => literal,
                _ => "",
            };
            let class = match node {
                Node::Class(class) => Some(class.clone()),
                _ => None,
            };
            let chars = literal.chars().map(|c| unicode::class(&[(c, c)]));
            chars.chain(class)
        });
        let start: Vec<_> = chars.take(MAX_RUN).collect();
        let length = nodes.iter().map(|node| match node {
            Node::Literal(literal) => literal.chars().count() as u64,
            _ => 1,
        });
        let mut period = 1;
        let periods = (1..=start.len()).map(|end| {
            let agrees = |period: usize| {
                let mut pairs = start[..end].iter().zip(&start[period..end]);
                pairs.all(|(left, right)| !are_disjoint(left, right))
            };
            while period < end && !agrees(period) {
                period += 1;
            }
            period as u64
        });
        Self {
            periods: periods.collect(),
            length: length.sum(),
        }
    }

    fn walk(&self, string_length: u64, entries: Entries) -> Cost {
        let matching = self.periods.iter().map(|period| {
            let places = string_length / period + 1;
            entries.places.min(places)
        });
        // The first character is tested in all places, any other one only after those before it match.
        let (mut tests, mut places) = (0, entries.places);
        for matching in matching {
            tests = sum(tests, places);
            places = matching;
        }
        let rest = self.length - self.periods.len() as u64;
        tests = sum(tests, product(places, rest));
        Cost {
            steps: product(entries.sets, tests),
            exits: Entries {
                sets: entries.sets,
                places,
            },
            ways: 1,
        }
    }
}

/// Returns the class of a part that is always one character.
fn single(node: &Node) -> Option<ClassUnicode> {
    match node {
        Node::Class(class) => Some(class.clone()),
        Node::Literal(literal) => {
            let mut chars = literal.chars();
            let only = chars.next().filter(|_| chars.next().is_none())?;
            Some(unicode::class(&[(only, only)]))
        }
        _ => None,
    }
}

/// Returns the minimum number of characters of a part.
fn shortest(node: &Node) -> u64 {
    match node {
        Node::Empty | Node::Look(_) => 0,
        Node::Literal(literal) => literal.chars().count() as u64,
        Node::Class(_) => 1,
        Node::Repeat { node, min, .. } => product(shortest(node), (*min).into()),
        Node::Concat(nodes) => nodes.iter().map(shortest).fold(0, sum),
        Node::Alternate(nodes) => nodes.iter().map(shortest).min().unwrap_or(0),
        Node::Lazy(node) | Node::Capture(_, node) => shortest(node),
    }
}

fn are_disjoint(left: &ClassUnicode, right: &ClassUnicode) -> bool {
    let mut rights = right.ranges().iter().peekable();
    left.ranges().iter().all(|range| {
        while rights.next_if(|it| it.end() < range.start()).is_some() {}
        rights.peek().is_none_or(|it| it.start() > range.end())
    })
}

fn sum(left: u64, right: u64) -> u64 {
    left.saturating_add(right)
}

fn product(left: u64, right: u64) -> u64 {
    left.saturating_mul(right)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::parse::parse;
    use super::*;

    const MEASURED: &str = include_str!("../tests/golden/steps.tsv");

    fn node(pattern: &str) -> Node {
        let (node, _) = parse(pattern).unwrap();
        node.without_outer_anchors()
    }

    #[test]
    fn bounds() {
        let cases = [
            ("", Some(0)),
            ("abc", Some(3)),
            ("[ab]c", Some(2)),
            // The rest of the string, forth and at most back.
            (".*", Some(20)),
            ("x.*", Some(21)),
            // All of it, one test more, back, and a test in each place.
            (".*a", Some(10 + 1 + 10 + 11)),
            ("[a-z]*/", Some(10 + 1 + 10 + 10 + 1)),
            // In 11 places, but `b` only after every second character.
            (".*ab", Some(21 + 11 + 11)),
            (".*abc", Some(21 + 11 + 11 + 6)),
            (".*[Aa][Bb][Cc]", Some(21 + 11 + 11 + 6)),
            // It ends with the first `a`, as it cannot fail then.
            (".*a.*", Some(32 + 20)),
            (".*a.*b", Some(32 + 11 * 21 + 11 * 11)),
            (".*a.*b.*", Some(32 + 11 * 21 + 11 * 11 + 20)),
            (".*a.+", Some(32 + 20)),
            (".*a.{3}.*", Some(32 + 11 * 3 + 20)),
            (".*a.{3,}", Some(32 + 11 * 2 + 20)),
            ("(?:ab|cd){2}", Some(3 * 4)),
            ("(?:a|ab)(?:c|cd)", Some(3 + 2 * 3)),
            ("(?:-[a-z]+)*", Some(6 * (1 + 20 + 9))),
            ("(a+)+b", None),
            ("(?:a?b?)*", None),
            ("(?:a?){2}", None),
        ];
        for (pattern, expected) in cases {
            assert_eq!(max_steps(&node(pattern), 10), expected, "{pattern}");
        }
    }

    #[test]
    fn bounds_hold_for_java() {
        let rows = MEASURED.lines().filter(|line| !line.starts_with("# "));
        for row in rows {
            let fields: Vec<_> = row.split('\t').collect();
            let [pattern, _, steps] = fields[..] else {
                panic!("{row}")
            };
            let steps: u64 = steps.parse().unwrap();
            let bound = max_steps(&node(pattern), STRING_LENGTHS[0]);
            assert!(
                bound.is_none_or(|bound| steps <= bound),
                "{pattern}: {steps} steps, not {bound:?}"
            );
        }
    }

    /// A matcher that works like Java's, and counts the steps up to a limit.
    struct Matcher<'t> {
        string: &'t [char],
        steps: u64,
    }

    const TOO_MANY: u64 = 100_000;

    type Next<'n, 't> = &'n mut dyn FnMut(&mut Matcher<'t>, usize) -> bool;

    impl<'t> Matcher<'t> {
        fn steps_of(node: &Node, string: &'t [char]) -> u64 {
            let mut matcher = Self { string, steps: 0 };
            matcher.find(node, 0, &mut |matcher, at| at == matcher.string.len());
            matcher.steps
        }

        fn find(&mut self, node: &Node, at: usize, next: Next<'_, 't>) -> bool {
            match node {
                Node::Empty => next(self, at),
                Node::Look(_) | Node::Lazy(_) | Node::Capture(..) => {
                    unreachable!("patterns with these have no form for Java")
                }
                Node::Literal(literal) => {
                    let mut end = at;
                    for c in literal.chars() {
                        if !self.is_at(&unicode::class(&[(c, c)]), end) {
                            return false;
                        }
                        end += 1;
                    }
                    next(self, end)
                }
                Node::Class(class) => self.is_at(class, at) && next(self, at + 1),
                Node::Concat(nodes) => self.find_all(nodes, at, next),
                Node::Alternate(nodes) => nodes.iter().any(|node| self.find(node, at, next)),
                Node::Repeat { node, min, max } => match single(node) {
                    Some(class) => self.find_many(&class, (*min, *max), at, next),
                    None => self.find_rounds(node, (*min, *max), 0, at, next),
                },
            }
        }

        fn find_all(&mut self, nodes: &[Node], at: usize, next: Next<'_, 't>) -> bool {
            match nodes {
                [] => next(self, at),
                [first, rest @ ..] => self.find(first, at, &mut |matcher, at| {
                    matcher.find_all(rest, at, next)
                }),
            }
        }

        fn find_many(
            &mut self,
            class: &ClassUnicode,
            (min, max): (u32, Option<u32>),
            at: usize,
            next: Next<'_, 't>,
        ) -> bool {
            let mut end = at;
            let max = max.map_or(usize::MAX, |max| at + max as usize);
            while end < max && self.is_at(class, end) {
                end += 1;
            }
            loop {
                if end < at + min as usize {
                    return false;
                }
                if next(self, end) {
                    return true;
                }
                if end == at + min as usize {
                    return false;
                }
                end -= 1;
                self.steps += 1;
            }
        }

        fn find_rounds(
            &mut self,
            node: &Node,
            (min, max): (u32, Option<u32>),
            rounds: u32,
            at: usize,
            next: Next<'_, 't>,
        ) -> bool {
            let again = max.is_none_or(|max| rounds < max)
                && self.find(node, at, &mut |matcher, end| {
                    // An empty round is the last one.
                    let rounds = if end == at { u32::MAX - 1 } else { rounds };
                    matcher.find_rounds(node, (min, max), rounds + 1, end, next)
                });
            again || rounds >= min && next(self, at)
        }

        /// Returns false for every character once there are too many steps, which soon ends the match.
        fn is_at(&mut self, class: &ClassUnicode, at: usize) -> bool {
            let Some(c) = self.string.get(at) else {
                return false;
            };
            self.steps += 1;
            let mut ranges = class.ranges().iter();
            self.steps <= TOO_MANY && ranges.any(|it| it.start() <= *c && *c <= it.end())
        }
    }

    fn nodes() -> impl Strategy<Value = Node> {
        let single = prop_oneof![
            "[abc]{1,3}".prop_map(Node::Literal),
            "[ab]".prop_map(Node::Literal),
            Just(Node::Class(unicode::any())),
            Just(Node::Class(unicode::class(&[('a', 'b')]))),
            Just(Node::Class(unicode::class(&[('b', 'c')]))),
            Just(Node::Class(unicode::complement(&unicode::class(&[(
                'a', 'a'
            )])))),
        ];
        let counts = prop_oneof![
            Just((0, None)),
            Just((1, None)),
            Just((0, Some(1))),
            (0..4_u32, 0..3_u32).prop_map(|(min, more)| (min, Some(min + more))),
        ];
        let repeat = |(node, (min, max))| Node::Repeat {
            node: Box::new(node),
            min,
            max,
        };
        let leaf = prop_oneof![
            1 => Just(Node::Empty),
            4 => single.clone(),
            4 => (single, counts.clone()).prop_map(repeat),
        ];
        leaf.prop_recursive(4, 16, 5, move |inner| {
            prop_oneof![
                4 => prop::collection::vec(inner.clone(), 2..6).prop_map(Node::concat),
                1 => prop::collection::vec(inner.clone(), 2..4).prop_map(Node::alternate),
                2 => (inner, counts.clone()).prop_map(repeat),
            ]
        })
    }

    fn strings() -> impl Strategy<Value = Vec<char>> {
        let repeated =
            ("[abc]{1,3}", "[abcd]{0,4}", "[abcd]{0,4}").prop_map(|(part, start, end)| {
                let middle = part.repeat(64);
                let text = start.chars().chain(middle.chars().take(56));
                text.chain(end.chars()).collect()
            });
        let any = "[abcd]{0,64}".prop_map(|text| text.chars().collect());
        prop_oneof![3 => repeated, 1 => any]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn bounds_hold(node in nodes(), strings in prop::collection::vec(strings(), 8)) {
            let Some(bound) = max_steps(&node, 64) else {
                return Ok(());
            };
            for string in strings {
                let steps = Matcher::steps_of(&node, &string).min(TOO_MANY);
                prop_assert!(steps <= bound, "{} of {bound} steps on {string:?}", steps);
            }
        }
    }
}
