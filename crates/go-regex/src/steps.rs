//! A bound on the steps that a backtracking matcher such as Java's takes to match a pattern against
//! the whole of a text.
//!
//! A step is a test of one character, or a repeat that gives one character back. The matcher enters a
//! part of the pattern, and leaves it by one or more ways; for each way it enters what follows, until
//! all of it matches or every way has failed. So the steps are a sum over the parts: how often a part
//! is entered, times the steps of one entry. [`Bound`] walks a pattern from left to right with the
//! entries. What keeps them few, and so makes common patterns cheap:
//!
//! - A repeat gives back only characters that it took. If what follows cannot start with any of
//!   these (`[a-z]+/`), it fails at once wherever it is tried but behind the last: one way, and
//!   [`Follow::tests`] steps for each of the others. The end of the text starts with no character.
//! - A repeat of any character that ends the pattern (`/api/.*`) never fails, so that the whole
//!   matches the first time it is entered with enough characters left.
//! - The ways of a repeat of one character end in different places, and at no more of them than
//!   its period allows does a literal match (`.*prod.*`): see [`Run`].
//!
//! A part of unbounded ways in an unbounded repeat (`(a+)+`), and one that may be empty in any
//! repeat, have no bound here.

use std::rc::Rc;

use regex_syntax::hir::ClassUnicode;

use super::MAX_JAVA_TEXT_CHARS;
use super::node::{Node, is_never_empty, start_differently};
use super::unicode;

/// The lengths of text for which the steps are bounded: a long value of a label, and the longest.
const TEXT_LENGTHS: [u64; 2] = [256, MAX_JAVA_TEXT_CHARS as u64];

/// The most steps that are accepted, in squares of the length of the text. Two repeats that compete for the
/// same characters, as in `.*a.*b`, need three squares.
const MAX_SQUARES: u64 = 4;

/// The start of a literal that counts towards its period.
const MAX_RUN: usize = 16;

/// Returns true if a backtracking matcher takes at most [`MAX_SQUARES`] squares of steps for each of
/// the [`TEXT_LENGTHS`].
pub(super) fn are_few(node: &Node) -> bool {
    TEXT_LENGTHS.iter().all(|&length| {
        max_steps(node, length).is_some_and(|steps| steps <= MAX_SQUARES * length * length)
    })
}

/// Returns a bound on the steps for a text of at most `length` characters. `None` if there is none.
fn max_steps(node: &Node, length: u64) -> Option<u64> {
    let walked = Bound { length }.walk(node, Entries::ONE, &Rc::new(Follow::end()))?;
    Some(walked.steps)
}

/// The number of times that a part of the pattern is entered.
#[derive(Clone, Copy)]
struct Entries {
    /// Sets of entries, each of which is in different places of the text.
    sets: u64,
    /// Entries of each set.
    places: u64,
}

impl Entries {
    const ONE: Self = Self { sets: 1, places: 1 };

    /// Entries that may all be in the same place.
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

/// The cost of a part for the entries it was given.
struct Walked {
    steps: u64,
    /// Entries of what follows that can get beyond its first character.
    exits: Entries,
    /// Those of a single entry, at most.
    ways: u64,
}

/// All that follows a part, to the end of the pattern.
struct Follow {
    /// Its first characters. Where another character comes next, it fails.
    first: ClassUnicode,
    /// The steps that such a failure takes, at most.
    tests: u64,
    /// Nothing but the end of the text follows.
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

    /// Returns what follows a part that is followed by `node`, and that by `self`.
    fn behind(self: &Rc<Self>, node: &Node) -> Rc<Self> {
        match node {
            Node::Empty | Node::Look(_) => self.clone(),
            Node::Text(text) => {
                let first = text.chars().next().map(|c| unicode::class(&[(c, c)]));
                Self::one(first.unwrap_or_else(ClassUnicode::empty))
            }
            Node::Class(class) => Self::one(class.clone()),
            Node::Repeat { most: Some(0), .. } => self.clone(),
            Node::Repeat { node, least, .. } if *least > 0 => self.behind(node),
            Node::Repeat { node, .. } => Self::either(&[self.behind(node), self.clone()]),
            Node::Concat(nodes) => {
                // What comes after a part that is never empty does not show.
                let shown = nodes.iter().position(is_never_empty);
                let shown = &nodes[..shown.map_or(nodes.len(), |last| last + 1)];
                let follow = self.clone();
                shown
                    .iter()
                    .rfold(follow, |follow, node| follow.behind(node))
            }
            Node::Alternate(nodes) => {
                let options: Vec<_> = nodes.iter().map(|node| self.behind(node)).collect();
                Self::either(&options)
            }
        }
    }
}

struct Bound {
    /// Of the text, in characters.
    length: u64,
}

impl Bound {
    fn walk(&self, node: &Node, entries: Entries, follow: &Rc<Follow>) -> Option<Walked> {
        match node {
            // Conditions on places test at most two characters.
            Node::Look(_) => Some(Walked {
                steps: product(entries.count(), 2),
                exits: entries,
                ways: 1,
            }),
            Node::Empty => Some(Walked {
                steps: 0,
                exits: entries,
                ways: 1,
            }),
            Node::Text(_) | Node::Class(_) => {
                Some(Run::of(std::slice::from_ref(node)).walk(self.length, entries))
            }
            Node::Repeat { node, least, most } => {
                let most = most.map(u64::from);
                match single(node) {
                    Some(class) => {
                        Some(self.repeat_one(&class, (*least).into(), most, entries, follow))
                    }
                    None => self.repeat(node, (*least).into(), most, entries, follow),
                }
            }
            Node::Concat(nodes) => self.concat(nodes, entries, follow),
            Node::Alternate(nodes) => self.alternate(nodes, entries, follow),
        }
    }

    fn concat(&self, nodes: &[Node], entries: Entries, follow: &Rc<Follow>) -> Option<Walked> {
        let mut follows = vec![follow.clone()];
        for node in nodes[1..].iter().rev() {
            let follow = follows.last().expect("there is one").behind(node);
            follows.push(follow);
        }
        let mut whole = Walked {
            steps: 0,
            exits: entries,
            ways: 1,
        };
        let is_run = |node: &Node| matches!(node, Node::Text(_) | Node::Class(_));
        let mut rest = nodes;
        while let Some(node) = rest.first() {
            let run = rest.iter().take_while(|node| is_run(node)).count();
            let (part, after) = rest.split_at(run.max(1));
            let walked = match run {
                0 => self.walk(node, whole.exits, &follows[after.len()])?,
                _ => Run::of(part).walk(self.length, whole.exits),
            };
            whole.steps = sum(whole.steps, walked.steps);
            whole.exits = walked.exits;
            whole.ways = product(whole.ways, walked.ways);
            rest = after;
        }
        Some(whole)
    }

    fn alternate(&self, nodes: &[Node], entries: Entries, follow: &Rc<Follow>) -> Option<Walked> {
        let is_one_of_them = start_differently(nodes);
        let (mut steps, mut exits, mut ways) = (0, 0, 0);
        for node in nodes {
            let walked = self.walk(node, entries, follow)?;
            steps = sum(steps, walked.steps);
            exits = sum(exits, walked.exits.count());
            ways = match is_one_of_them {
                true => walked.ways.max(ways),
                false => sum(walked.ways, ways),
            };
        }
        Some(Walked {
            steps,
            exits: Entries::anywhere(exits.min(product(entries.count(), ways))),
            ways,
        })
    }

    /// A repeat of one character.
    fn repeat_one(
        &self,
        class: &ClassUnicode,
        least: u64,
        most: Option<u64>,
        entries: Entries,
        follow: &Follow,
    ) -> Walked {
        let count = entries.count();
        if most == Some(least) {
            return Walked {
                steps: product(count, least.min(self.length + 1)),
                exits: entries,
                ways: 1,
            };
        }
        if most.is_none() && follow.is_end && unicode::others(class).ranges().is_empty() {
            // This takes the rest of the text, once, and fails only where the text ends before.
            let failing = product(count, least.saturating_sub(1).min(self.length));
            return Walked {
                steps: sum(failing, 2 * self.length),
                exits: Entries::ONE,
                ways: 1,
            };
        }
        let most = most.unwrap_or(self.length).min(self.length);
        let given_back = most.saturating_sub(least);
        let steps = product(count, most + 1 + given_back);
        if are_disjoint(class, &follow.first) {
            let failing = product(product(count, given_back), follow.tests);
            return Walked {
                steps: sum(steps, failing),
                exits: Entries::anywhere(count),
                ways: 1,
            };
        }
        Walked {
            steps,
            exits: Entries {
                sets: count,
                places: given_back + 1,
            },
            ways: given_back + 1,
        }
    }

    /// A repeat of something else.
    fn repeat(
        &self,
        node: &Node,
        least: u64,
        most: Option<u64>,
        entries: Entries,
        follow: &Rc<Follow>,
    ) -> Option<Walked> {
        match (least, most) {
            (_, Some(0)) => self.walk(&Node::Empty, entries, follow),
            (1, Some(1)) => self.walk(node, entries, follow),
            (0, Some(1)) => self.optional(node, entries, follow),
            _ if is_never_empty(node) => self.rounds(node, least, most, entries, follow),
            _ => None,
        }
    }

    fn optional(&self, node: &Node, entries: Entries, follow: &Rc<Follow>) -> Option<Walked> {
        let count = entries.count();
        let present = self.walk(node, entries, follow)?;
        let first = follow.behind(node);
        let exits = sum(present.exits.count(), count);
        // If it starts here then what follows does not, and the reverse.
        if is_never_empty(node) && are_disjoint(&first.first, &follow.first) {
            let ways = present.ways.max(1);
            return Some(Walked {
                steps: sum(present.steps, product(count, follow.tests)),
                exits: Entries::anywhere(exits.min(product(count, ways))),
                ways,
            });
        }
        Some(Walked {
            steps: present.steps,
            exits: Entries::anywhere(exits),
            ways: sum(present.ways, 1),
        })
    }

    /// A repeat of what is never empty, more often than once.
    fn rounds(
        &self,
        node: &Node,
        least: u64,
        most: Option<u64>,
        entries: Entries,
        follow: &Rc<Follow>,
    ) -> Option<Walked> {
        let count = entries.count();
        let again = follow.behind(node);
        let is_exact = most == Some(least);
        let in_rounds = Follow::either(&[again.clone(), follow.clone()]);
        let round = self.walk(node, Entries::ONE, &in_rounds)?;
        if round.ways > 1 {
            // A round for each way of the one before it, and an exit behind each.
            let (mut tried, mut behind, mut ways) = (0, 1, 0);
            for rounds in 0..=most? {
                if rounds >= least {
                    ways = sum(ways, behind);
                }
                if Some(rounds) < most {
                    tried = sum(tried, behind);
                }
                behind = product(behind, round.ways);
            }
            return Some(Walked {
                steps: product(product(count, tried), round.steps),
                exits: Entries::anywhere(product(count, ways)),
                ways,
            });
        }
        let fit = self.length / shortest(node).max(1);
        let rounds = most.unwrap_or(fit).min(fit);
        let steps = product(product(count, rounds + 1), round.steps);
        if is_exact {
            return Some(Walked {
                steps,
                exits: Entries::anywhere(count),
                ways: 1,
            });
        }
        if are_disjoint(&again.first, &follow.first) {
            let failing = product(product(count, rounds), follow.tests);
            return Some(Walked {
                steps: sum(steps, failing),
                exits: Entries::anywhere(count),
                ways: 1,
            });
        }
        let ways = rounds.saturating_sub(least) + 1;
        Some(Walked {
            steps,
            exits: Entries {
                sets: count,
                places: ways,
            },
            ways,
        })
    }
}

/// Characters and classes one after the other, all of which have to match.
///
/// If it is entered in different places then few of them match more than its start: two places
/// where the first characters match are as far apart as a copy of these has to be moved to agree
/// with itself, their period. `foo` is in a text at most once in three characters.
struct Run {
    /// The periods of the starts of 1, 2, ... characters, [`MAX_RUN`] at most.
    periods: Vec<u64>,
    /// Characters in all.
    length: u64,
}

impl Run {
    fn of(nodes: &[Node]) -> Self {
        let chars = nodes.iter().flat_map(|node| {
            let text = match node {
                Node::Text(text) => text,
                _ => "",
            };
            let class = match node {
                Node::Class(class) => Some(class.clone()),
                _ => None,
            };
            let chars = text.chars().map(|c| unicode::class(&[(c, c)]));
            chars.chain(class)
        });
        let start: Vec<_> = chars.take(MAX_RUN).collect();
        let length = nodes.iter().map(|node| match node {
            Node::Text(text) => text.chars().count() as u64,
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

    fn walk(&self, text_length: u64, entries: Entries) -> Walked {
        let matching = self.periods.iter().map(|period| {
            let places = text_length / period + 1;
            entries.places.min(places)
        });
        // The first character is tested in all places, each other one where those before it match.
        let (mut tests, mut places) = (0, entries.places);
        for matching in matching {
            tests = sum(tests, places);
            places = matching;
        }
        let rest = self.length - self.periods.len() as u64;
        tests = sum(tests, product(places, rest));
        Walked {
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
        Node::Text(text) => {
            let mut chars = text.chars();
            let only = chars.next().filter(|_| chars.next().is_none())?;
            Some(unicode::class(&[(only, only)]))
        }
        _ => None,
    }
}

/// Returns how many characters a part takes at least.
fn shortest(node: &Node) -> u64 {
    match node {
        Node::Empty | Node::Look(_) => 0,
        Node::Text(text) => text.chars().count() as u64,
        Node::Class(_) => 1,
        Node::Repeat { node, least, .. } => product(shortest(node), (*least).into()),
        Node::Concat(nodes) => nodes.iter().map(shortest).fold(0, sum),
        Node::Alternate(nodes) => nodes.iter().map(shortest).min().unwrap_or(0),
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
            // The rest of the text, forth and at most back.
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
            let bound = max_steps(&node(pattern), TEXT_LENGTHS[0]);
            assert!(
                bound.is_none_or(|bound| steps <= bound),
                "{pattern}: {steps} steps, not {bound:?}"
            );
        }
    }

    /// Matches as Java does, and counts the steps until they are too many.
    struct Matcher<'t> {
        text: &'t [char],
        steps: u64,
    }

    const TOO_MANY: u64 = 100_000;

    type Next<'n, 't> = &'n mut dyn FnMut(&mut Matcher<'t>, usize) -> bool;

    impl<'t> Matcher<'t> {
        fn steps_of(node: &Node, text: &'t [char]) -> u64 {
            let mut matcher = Self { text, steps: 0 };
            matcher.find(node, 0, &mut |matcher, at| at == matcher.text.len());
            matcher.steps
        }

        fn find(&mut self, node: &Node, at: usize, next: Next<'_, 't>) -> bool {
            match node {
                Node::Empty => next(self, at),
                Node::Look(_) => unreachable!("Java is given none"),
                Node::Text(text) => {
                    let mut end = at;
                    for c in text.chars() {
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
                Node::Repeat { node, least, most } => match single(node) {
                    Some(class) => self.find_many(&class, (*least, *most), at, next),
                    None => self.find_rounds(node, (*least, *most), 0, at, next),
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
            (least, most): (u32, Option<u32>),
            at: usize,
            next: Next<'_, 't>,
        ) -> bool {
            let mut end = at;
            let most = most.map_or(usize::MAX, |most| at + most as usize);
            while end < most && self.is_at(class, end) {
                end += 1;
            }
            loop {
                if end < at + least as usize {
                    return false;
                }
                if next(self, end) {
                    return true;
                }
                if end == at + least as usize {
                    return false;
                }
                end -= 1;
                self.steps += 1;
            }
        }

        fn find_rounds(
            &mut self,
            node: &Node,
            (least, most): (u32, Option<u32>),
            rounds: u32,
            at: usize,
            next: Next<'_, 't>,
        ) -> bool {
            let again = most.is_none_or(|most| rounds < most)
                && self.find(node, at, &mut |matcher, end| {
                    // An empty round is the last one.
                    let rounds = if end == at { u32::MAX - 1 } else { rounds };
                    matcher.find_rounds(node, (least, most), rounds + 1, end, next)
                });
            again || rounds >= least && next(self, at)
        }

        /// Nothing matches once the steps are too many, which soon ends it.
        fn is_at(&mut self, class: &ClassUnicode, at: usize) -> bool {
            let Some(c) = self.text.get(at) else {
                return false;
            };
            self.steps += 1;
            let mut ranges = class.ranges().iter();
            self.steps <= TOO_MANY && ranges.any(|it| it.start() <= *c && *c <= it.end())
        }
    }

    fn nodes() -> impl Strategy<Value = Node> {
        let single = prop_oneof![
            "[abc]{1,3}".prop_map(Node::Text),
            "[ab]".prop_map(Node::Text),
            Just(Node::Class(unicode::any())),
            Just(Node::Class(unicode::class(&[('a', 'b')]))),
            Just(Node::Class(unicode::class(&[('b', 'c')]))),
            Just(Node::Class(unicode::others(&unicode::class(&[('a', 'a')])))),
        ];
        let counts = prop_oneof![
            Just((0, None)),
            Just((1, None)),
            Just((0, Some(1))),
            (0..4_u32, 0..3_u32).prop_map(|(least, more)| (least, Some(least + more))),
        ];
        let repeat = |(node, (least, most))| Node::Repeat {
            node: Box::new(node),
            least,
            most,
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

    fn texts() -> impl Strategy<Value = Vec<char>> {
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
        fn bounds_hold(node in nodes(), texts in prop::collection::vec(texts(), 8)) {
            let Some(bound) = max_steps(&node, 64) else {
                return Ok(());
            };
            for text in texts {
                let steps = Matcher::steps_of(&node, &text).min(TOO_MANY);
                prop_assert!(steps <= bound, "{} of {bound} steps on {text:?}", steps);
            }
        }
    }
}
