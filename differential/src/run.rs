//! Runs of many queries.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use crate::compare::{Difference, difference};
use crate::data;
use crate::engine::{self, Memory};
use crate::generator::{Generator, features};
use crate::judge::Judge;
use crate::query::Query;
use crate::result::QueryResult;

/// The size and the kind of a run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The seed of data and queries.
    pub seed: u64,
    /// The number of queries.
    pub queries: usize,
    /// The levels of nesting.
    pub depth: u32,
    /// Each query has one of these functions, aggregations, operators or modifiers; any, if it is empty.
    pub only: Vec<String>,
    /// The number of differences to print.
    pub printed: usize,
    /// True if the numbers of samples are compared too.
    pub statistics: bool,
}

impl Settings {
    /// Returns the settings that the environment names: `SEED`, `N`, `DEPTH`, `ONLY` (separated by commas),
    /// `PRINT` and `STATISTICS`.
    ///
    /// # Panics
    /// One of them is no number, or is no name of a feature.
    pub fn from_environment(seed: u64, queries: usize) -> Self {
        let read = |name: &str| std::env::var(name).ok().filter(|it| !it.is_empty());
        let number = |name: &str, default: u64| {
            read(name).map_or(default, |it| {
                it.parse()
                    .unwrap_or_else(|_| panic!("{name} is no number: {it}"))
            })
        };
        let only = read("ONLY").unwrap_or_default();
        let only: Vec<_> = only
            .split(',')
            .filter(|it| !it.is_empty())
            .map(str::to_owned)
            .collect();
        let known = features();
        for name in &only {
            assert!(
                known.contains(name),
                "ONLY names {name}, not one of {known:?}"
            );
        }
        Self {
            seed: number("SEED", seed),
            queries: number("N", queries as u64) as usize,
            depth: number("DEPTH", 4) as u32,
            only,
            printed: number("PRINT", 10) as usize,
            statistics: number("STATISTICS", 1) != 0,
        }
    }
}

/// The counts of a feature.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Queries with it.
    pub queries: usize,
    /// Those of them with a result that is not empty.
    pub substantial: usize,
    /// Smallest differing expressions with it.
    pub differing: usize,
}

/// The outcome of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// The number of queries that were compared.
    pub queries: usize,
    /// The number that failed, as expected.
    pub failed: usize,
    /// Those with a result that is not empty.
    pub substantial: usize,
    /// Those with an annotation.
    pub annotated: usize,
    /// The differences, each as a text with the smallest expression.
    pub differences: Vec<String>,
    /// The number of queries that differ.
    pub differing: usize,
    /// The number of those that differ in a way that is to be expected now and then.
    pub uncertain: usize,
    /// The counts of each feature.
    pub counts: BTreeMap<String, Counts>,
}

/// Queries that the judge has before their results are read.
const AHEAD: usize = 16;
/// Most evaluations to make one differing expression smaller.
const ATTEMPTS: usize = 1_500;

/// Evaluates random queries by our engine and the judge.
pub fn run(program: &Path, settings: &Settings) -> Report {
    let data = data::series(settings.seed);
    let memory = Memory::new(&data);
    let mut judge = Judge::start(program, &data);
    if !settings.statistics {
        judge.without_statistics();
    }
    let mut generator = Generator::new(settings.seed, settings.depth, &settings.only);
    let mut report = Report {
        queries: 0,
        failed: 0,
        substantial: 0,
        annotated: 0,
        differences: Vec::new(),
        differing: 0,
        uncertain: 0,
        counts: features()
            .into_iter()
            .map(|it| (it, Counts::default()))
            .collect(),
    };
    while report.queries < settings.queries {
        let some = AHEAD.min(settings.queries - report.queries);
        let queries: Vec<_> = (0..some).map(|_| generator.query()).collect();
        for query in &queries {
            judge.send(query, &query.expression.to_string());
        }
        let compared: Vec<_> = queries
            .iter()
            .map(|query| {
                let ours = engine::evaluate(&memory, query, &query.expression.to_string());
                (ours, judge.receive())
            })
            .collect();
        for (query, (ours, theirs)) in queries.iter().zip(compared) {
            report.add(query, &theirs);
            let difference = differs(query, &ours, &theirs, &mut judge);
            report.uncertain += usize::from(difference.as_ref().is_some_and(|it| !it.is_certain));
            if difference.is_some_and(|it| it.is_certain) {
                report.differing += 1;
                if report.differences.len() < settings.printed {
                    let smallest = smallest(query.clone(), |candidate| {
                        let text = candidate.expression.to_string();
                        let theirs = judge.evaluate(candidate, &text);
                        let ours = engine::evaluate(&memory, candidate, &text);
                        let difference = differs(candidate, &ours, &theirs, &mut judge);
                        difference.is_some_and(|it| it.is_certain)
                    });
                    report.add_difference(query, &smallest, &memory, &mut judge);
                }
            }
        }
    }
    report
}

fn differs(
    query: &Query,
    ours: &QueryResult,
    theirs: &QueryResult,
    judge: &mut Judge,
) -> Option<Difference> {
    let text = query.expression.to_string();
    difference(&query.expression, ours, theirs, || {
        judge.evaluate(query, &text)
    })
}

/// Makes a differing query smaller as long as it differs.
pub(crate) fn smallest(mut query: Query, mut differs: impl FnMut(&Query) -> bool) -> Query {
    let mut attempts = 0;
    'again: loop {
        for expression in query.expression.smaller() {
            if attempts == ATTEMPTS {
                return query;
            }
            attempts += 1;
            let candidate = Query {
                expression,
                ..query.clone()
            };
            if differs(&candidate) {
                query = candidate;
                continue 'again;
            }
        }
        return query;
    }
}

impl Report {
    fn add(&mut self, query: &Query, theirs: &QueryResult) {
        self.queries += 1;
        let is_substantial = theirs.is_substantial();
        self.failed += usize::from(theirs.value.is_err());
        self.substantial += usize::from(is_substantial);
        let is_annotated = !(theirs.warnings.is_empty() && theirs.infos.is_empty());
        self.annotated += usize::from(is_annotated);
        for feature in query.expression.all_features() {
            let counts = self.counts.entry(feature).or_default();
            counts.queries += 1;
            counts.substantial += usize::from(is_substantial);
        }
    }

    fn add_difference(
        &mut self,
        query: &Query,
        smallest: &Query,
        memory: &Memory,
        judge: &mut Judge,
    ) {
        let text = smallest.expression.to_string();
        let theirs = judge.evaluate(smallest, &text);
        let ours = engine::evaluate(memory, smallest, &text);
        let difference = differs(smallest, &ours, &theirs, judge)
            .map(|it| it.text)
            .unwrap_or_default();
        for feature in smallest.expression.all_features() {
            self.counts.entry(feature).or_default().differing += 1;
        }
        let mut report = format!("{text}\n  {difference}\n");
        let options = format!(
            "lookback {} ms, delayed names {}, start timestamps {}, types {}, steps {}",
            smallest.lookback_ms,
            smallest.delayed_name_removal,
            smallest.start_timestamps,
            smallest.type_and_unit_labels,
            smallest.per_step_statistics
        );
        write!(
            report,
            "  {:?}, {options}\n  from {}\n  ours\n{ours}  theirs\n{theirs}",
            smallest.times, query.expression
        )
        .expect("strings can be written to");
        self.differences.push(report);
    }

    /// Returns the features without a query, or without one that had a result.
    pub fn never(&self) -> BTreeSet<&str> {
        let never = self.counts.iter().filter(|(_, it)| it.substantial == 0);
        never.map(|(name, _)| name.as_str()).collect()
    }

    /// Returns the counts as lines.
    pub fn summary(&self) -> String {
        let mut text = format!(
            "{} queries, {} with a result that is not empty, {} with annotations, {} errors, {} different, {} perhaps\n",
            self.queries,
            self.substantial,
            self.annotated,
            self.failed,
            self.differing,
            self.uncertain
        );
        for (feature, counts) in &self.counts {
            let Counts {
                queries,
                substantial,
                differing,
            } = counts;
            write!(text, "{feature}: {queries} ({substantial})")
                .expect("strings can be written to");
            match differing {
                0 => text.push_str("; "),
                _ => text.push_str(&format!(" {differing} DIFFER; ")),
            }
        }
        text.push('\n');
        text
    }
}
