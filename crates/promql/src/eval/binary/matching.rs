//! Operators between two instant vectors, except set operators.
//!
//! One of the sides has at most one series at a time in each group of series that match: the right one, or with
//! `group_right` the left one. It is called the one side here, and the other the many side, even if that has one series
//! in each group too.

mod conflicts;
mod pair;

use std::collections::HashMap;
use std::sync::Arc;

use prom_model::Labels;

use self::conflicts::Conflict;
use super::element::{self, Combined, Element};
use super::one_side::OneSide;
use super::problems::Problems;
use super::result_labels::ResultLabels;
use super::signature::{Groups, matched_labels};
use crate::ast::Cardinality;
use crate::eval::grid::{GridFloat, GridHistogram, GridSeries};
use crate::eval::{Evaluated, Evaluator, fail};
use crate::plan::BinaryStep;
use crate::plan::VectorMatching;
use crate::value::SampleValue;

/// Evaluates an operator between two vectors.
pub(super) fn join(
    ev: &mut Evaluator<'_>,
    step: &BinaryStep,
    matching: &VectorMatching,
    left: Vec<GridSeries>,
    right: Vec<GridSeries>,
) -> Evaluated<Vec<GridSeries>> {
    let is_swapped = matching.cardinality == Cardinality::OneToMany;
    let (mut many, mut one) = match is_swapped {
        true => (right, left),
        false => (left, right),
    };
    let changes_meaning = super::changes_meaning(step.op);
    let drops_metadata = changes_meaning || step.return_bool && !ev.options.delayed_name_removal;
    let join = Join {
        step,
        matching,
        is_swapped,
        drops_metadata,
        labels: ResultLabels::new(matching, drops_metadata),
        fill_many: matching.fill_left.map(|fill| fill.0),
        fill_one: matching.fill_right.map(|fill| fill.0),
    };
    if (many.is_empty() || one.is_empty()) && !join.has_fill() {
        return Ok(Vec::new());
    }
    let groups = Groups::new(matching, &many, &one);
    let has_unique_labels =
        !ev.options.delayed_name_removal && join.has_unique_labels(&many, &groups);

    // A conflict ends the evaluation at its step, but there may be another before.
    let mut conflict = join.duplicate(&many, &one, &groups);
    if let Some(conflict) = &conflict {
        conflict.truncate(&mut many);
        conflict.truncate(&mut one);
    }
    let one = OneSides::new(one, &groups, matching);
    if let Some(earlier) = join.ambiguous(ev, &many, &one, &groups)? {
        earlier.truncate(&mut many);
        conflict = Some(earlier);
    }
    let mut results = join.evaluate(ev, many, one, &groups, conflict.as_ref())?;
    if !has_unique_labels {
        results = ev.merge_equal_labels(results)?;
    }
    match conflict {
        Some(conflict) => fail(conflict.text),
        None => Ok(results),
    }
}

/// The one side by groups.
struct OneSides {
    /// The labels of the series.
    labels: Vec<Arc<Labels>>,
    by_group: Vec<OneSide>,
}

impl OneSides {
    fn new(series: Vec<GridSeries>, groups: &Groups, matching: &VectorMatching) -> Self {
        Self {
            labels: series.iter().map(|it| Arc::clone(&it.labels)).collect(),
            by_group: OneSide::of_groups(series, &groups.right, groups.count(), &matching.include),
        }
    }
}

/// An operator between two vectors.
struct Join<'a> {
    step: &'a BinaryStep,
    matching: &'a VectorMatching,
    /// True if the many side is on the right.
    is_swapped: bool,
    drops_metadata: bool,
    labels: ResultLabels<'a>,
    /// The value for series that the many side lacks. In Prometheus too it is that of `fill_left`, even with
    /// `group_right`.
    fill_many: Option<f64>,
    /// The value for series that the one side lacks.
    fill_one: Option<f64>,
}

impl Join<'_> {
    fn has_fill(&self) -> bool {
        self.fill_many.is_some() || self.fill_one.is_some()
    }

    fn combine(&self, many: Element<'_>, one: Element<'_>) -> Combined {
        let (left, right) = match self.is_swapped {
            true => (one, many),
            false => (many, one),
        };
        element::combine(self.step.op, self.step.return_bool, left, right)
    }

    /// Returns true if different series of the many side certainly have results with different labels.
    fn has_unique_labels(&self, many: &[GridSeries], groups: &Groups) -> bool {
        if self.fill_many.is_some() {
            return false;
        }
        if self.matching.cardinality != Cardinality::OneToOne {
            return !self.drops_metadata && !self.labels.depends_on_one_side();
        }
        // The labels by which the group is matched remain, except perhaps these.
        let loses_labels = self.drops_metadata
            && match self.matching.on {
                true => self
                    .matching
                    .labels
                    .iter()
                    .any(crate::eval::is_metadata_label),
                false => many.iter().any(|one| {
                    let labels = &one.labels;
                    !labels.get("__type__").is_empty() || !labels.get("__unit__").is_empty()
                }),
            };
        !loses_labels && groups.left.are_single()
    }

    /// Returns the results of all series. Conflicts are known already; those of the one side that remain are at steps
    /// without values on the many side.
    fn evaluate(
        &self,
        ev: &mut Evaluator<'_>,
        many: Vec<GridSeries>,
        one: OneSides,
        groups: &Groups,
        conflict: Option<&Conflict>,
    ) -> Evaluated<Vec<GridSeries>> {
        let mut problems = Problems::default();
        let mut results = Vec::with_capacity(many.len());
        let mut matched = Matched::new(self.fill_many.is_some(), groups.count());
        for (index, mut series) in many.into_iter().enumerate() {
            ev.check_interrupt()?;
            let group = groups.left.group_of(index);
            let side = &one.by_group[group];
            if side.is_empty() && self.fill_one.is_none() {
                continue;
            }
            let labels = std::mem::take(&mut series.labels);
            series.drop_name = self.step.return_bool;
            if self.is_simple(&series, side) {
                self.join_floats(&mut series.floats, &side.floats);
            } else {
                series = self.join_values(&series, side, &mut problems, matched.of(group));
                ev.samples.add(series.size())?;
            }
            self.push_results(&labels, series, side, &mut results);
        }
        if let Some(fill) = self.fill_many {
            let end = conflict.map_or(u32::MAX, |conflict| conflict.step);
            for (index, labels) in one.labels.iter().enumerate() {
                let group = groups.right.group_of(index);
                if groups.right.of(group).first() != Some(&index) {
                    continue;
                }
                ev.check_interrupt()?;
                let side = &one.by_group[group];
                let series =
                    self.filled((index, side), fill, matched.of(group), end, &mut problems);
                ev.samples.add(series.size())?;
                let labels = Arc::new(matched_labels(self.matching, labels));
                self.push_results(&labels, series, side, &mut results);
            }
        }
        problems.annotate(ev, self.step);
        Ok(results)
    }

    /// Adds the results of a series of the many side: one series, or one for each label set of the one side.
    fn push_results(
        &self,
        many: &Arc<Labels>,
        result: GridSeries,
        side: &OneSide,
        results: &mut Vec<GridSeries>,
    ) {
        if result.is_empty() {
            return;
        }
        let has_one_class = side.classes.len() == 1 && self.fill_one.is_none();
        if !self.labels.depends_on_one_side() || has_one_class {
            let labels = match side.classes.first() {
                Some(one) => self.labels.of(many, one),
                None => self.labels.of(many, &Labels::default()),
            };
            results.push(GridSeries { labels, ..result });
            return;
        }
        let first = results.len();
        let mut places: HashMap<Option<usize>, usize> = HashMap::new();
        let mut last: Option<(Option<usize>, usize)> = None;
        let mut place_of = |class: Option<usize>, results: &mut Vec<GridSeries>| match last {
            Some((last, place)) if last == class => place,
            _ => {
                let place = *places.entry(class).or_insert_with(|| {
                    let labels = self.labels_with(many, side, class);
                    results.push(GridSeries::new(labels, result.drop_name));
                    results.len() - 1
                });
                last = Some((class, place));
                place
            }
        };
        let mut classes = side.owner_cursor();
        for point in result.floats {
            let place = place_of(classes.class_at(point.step), results);
            results[place].floats.push(point);
        }
        let mut classes = side.owner_cursor();
        for point in result.histograms {
            let place = place_of(classes.class_at(point.step), results);
            results[place].histograms.push(point);
        }
        debug_assert!(results[first..].iter().all(|it| !it.is_empty()));
    }

    /// Returns the labels of results with a class of the one side; without one the value is filled in.
    fn labels_with(&self, many: &Arc<Labels>, side: &OneSide, class: Option<usize>) -> Arc<Labels> {
        match class {
            Some(class) => self.labels.of(many, &side.classes[class]),
            None => self.labels.of(many, &matched_labels(self.matching, many)),
        }
    }
}

/// The steps at which groups have a match, if they matter.
struct Matched {
    by_group: Vec<Vec<u32>>,
}

impl Matched {
    fn new(matters: bool, groups: usize) -> Self {
        let count = if matters { groups } else { 0 };
        Self {
            by_group: vec![Vec::new(); count],
        }
    }

    fn of(&mut self, group: usize) -> Option<&mut Vec<u32>> {
        self.by_group.get_mut(group)
    }
}

impl SampleValue {
    /// Appends the value to those of a series.
    fn push_to(self, series: &mut GridSeries, step: u32) {
        match self {
            Self::Float(value) => series.floats.push(GridFloat { step, value }),
            Self::Histogram(histogram) => series.histograms.push(GridHistogram { step, histogram }),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::eval::testing::{Database, histogram};

    fn database() -> Database {
        Database::default()
            .samples("l{a='1', b='x'}", &[(0, 1.0), (60_000, 2.0)])
            .samples("l{a='2', b='x'}", &[(0, 3.0), (120_000, 4.0)])
            .samples("r{a='1'}", &[(0, 10.0), (60_000, 20.0)])
            .samples("r{a='3'}", &[(0, 30.0)])
            .samples("info{a='1', v='old'}", &[(0, 1.0)])
            .samples("info{a='1', v='new'}", &[(60_000, 1.0), (120_000, 1.0)])
            .samples("info{a='2', v='old'}", &[(0, 1.0), (120_000, 1.0)])
    }

    #[test]
    fn series_with_equal_labels_are_combined() {
        for (query, expected) in [
            ("l + on(a) r", [r#"{a="1"} 11"#].as_slice()),
            ("r - ignoring(b) l", &[r#"{a="1"} 9"#]),
            ("l < on(a) r", &[r#"{a="1"} 1"#]),
            ("l < ignoring(b) r", &[r#"l{a="1"} 1"#]),
            ("l < bool ignoring(b) r", &[r#"{a="1"} 1"#]),
            ("l > ignoring(b) r", &[]),
            ("l + r", &[]),
            ("l + absent", &[]),
            ("l / on(a) group_left r", &[r#"{a="1", b="x"} 0.1"#]),
            ("r > on(a) group_right l", &[r#"l{a="1", b="x"} 10"#]),
            (
                "l * on(a) group_left(v, b) info",
                &[r#"{a="1", v="old"} 1"#, r#"{a="2", v="old"} 3"#],
            ),
        ] {
            assert_eq!(database().instant(query, 0).lines(), expected, "{query}");
        }
    }

    #[test]
    fn absent_values_are_filled_in() {
        let mut database = database();
        database.options.lookback_ms = 30_000;
        for (query, expected) in [
            (
                "l + on(a) fill(0) r",
                [
                    r#"{a="1"} 11@0 22@60000"#,
                    r#"{a="2"} 3@0 4@120000"#,
                    r#"{a="3"} 30@0"#,
                ]
                .as_slice(),
            ),
            (
                "l > ignoring(b) fill_right(1) r",
                &[r#"l{a="2"} 3@0 4@120000"#],
            ),
            ("l > on(a) group_left fill_left(50) r", &[r#"{a="3"} 50@0"#]),
            (
                "l + on(a) group_left(v) fill_right(0) info{a='1'}",
                &[
                    r#"{a="1", b="x", v="new"} 3@60000"#,
                    r#"{a="1", b="x", v="old"} 2@0"#,
                    r#"{a="2", b="x"} 3@0 4@120000"#,
                ],
            ),
        ] {
            let tested = database.range(query, 0, 120_000, 60_000);
            assert_eq!(tested.lines(), expected, "{query}");
        }
    }

    #[test]
    fn labels_of_a_changing_series_are_copied_step_by_step() {
        let mut database = database();
        database.options.lookback_ms = 30_000;
        let tested = database.range("l * on(a) group_left(v) info", 0, 120_000, 60_000);
        let expected = [
            r#"{a="1", b="x", v="new"} 2@60000"#,
            r#"{a="1", b="x", v="old"} 1@0"#,
            r#"{a="2", b="x", v="old"} 3@0 4@120000"#,
        ];
        assert_eq!(tested.lines(), expected);
    }

    #[test]
    fn ambiguous_matches_are_errors() {
        let many_to_many =
            "many-to-many matching not allowed: matching labels must be unique on one side";
        let duplicates = |group: &str, side: &str, series: &str| {
            format!(
                "found duplicate series for the match group {group} on the {side} hand-side of the operation: [{series}];{many_to_many}"
            )
        };
        let r = r#"{__name__="r", a="1"}, {__name__="r", a="3"}"#;
        let l = r#"{__name__="l", a="1", b="x"}, {__name__="l", a="2", b="x"}"#;
        let explicit = "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)";
        let unique = "multiple matches for labels: grouping labels must ensure unique matches";
        for (query, error) in [
            ("l + on() r", duplicates("{}", "right", r)),
            ("l + on() group_left r", duplicates("{}", "right", r)),
            (
                "l + on(b) group_right r",
                duplicates(r#"{b="x"}"#, "left", l),
            ),
            ("l + on() r{a='1'}", explicit.to_owned()),
            ("l + on(c) r{a='1'}", explicit.to_owned()),
            ("l + on(c) group_left(a) r{a='1'}", unique.to_owned()),
            (
                "{__name__=~'r|info', a='1', v=~'|old'} + on(a) group_left(v) l",
                unique.to_owned(),
            ),
        ] {
            assert_eq!(database().instant(query, 0).error(), error, "{query}");
        }
        // Only where both sides have values.
        let mut database = database();
        database.options.lookback_ms = 30_000;
        let tested = database.range("l{a='2'} + on() r", 60_000, 120_000, 60_000);
        assert_eq!(tested.lines(), [""; 0]);
        let tested = database.range("l{a='2'} + on() r", 0, 120_000, 60_000);
        assert_eq!(tested.error(), duplicates("{}", "right", r));
    }

    #[test]
    fn equal_labels_are_no_error_before_names_are_removed() {
        let database = Database::with_delayed_name_removal()
            .samples("l1{a='1'}", &[(0, 1.0)])
            .samples("l2{a='1'}", &[(0, 2.0)])
            .samples("r{a='1'}", &[(0, 3.0)]);
        let both = "({__name__=~'l.'} + on(__name__, a) {__name__=~'l.'})";
        let tested = database.instant(&format!("{both} > on(a) group_left r"), 0);
        let error = "multiple matches for labels: grouping labels must ensure unique matches";
        assert_eq!(tested.error(), error);
        let tested = database.instant(&format!("sum({both})"), 0);
        assert_eq!(tested.lines(), ["{} 6"]);
    }

    #[test]
    fn histograms_are_added_and_compared() {
        let database = Database::default()
            .histograms("a", &[(0, histogram(1.0, &[1.0, 2.0]))])
            .histograms("b", &[(0, histogram(2.0, &[1.0, 1.0]))])
            .samples("c", &[(0, 2.0)]);
        for (query, expected) in [
            (
                "a + b",
                ["{} {count:5, sum:3, (0.5,1]:2, (1,2]:3}"].as_slice(),
            ),
            ("a - b", &["{} {count:1, sum:-1, (1,2]:1}"]),
            ("b * c", &["{} {count:4, sum:4, (0.5,1]:2, (1,2]:2}"]),
            ("c * b", &["{} {count:4, sum:4, (0.5,1]:2, (1,2]:2}"]),
            ("a == a", &["a {count:3, sum:1, (0.5,1]:1, (1,2]:2}"]),
            ("a == b", &[]),
            ("a != bool b", &["{} 1"]),
        ] {
            assert_eq!(database.instant(query, 0).lines(), expected, "{query}");
        }
        let tested = database.instant("c - a", 0);
        assert_eq!(tested.lines_beside_annotations(), [""; 0]);
        let text = "PromQL info: incompatible sample types encountered for binary operator";
        assert_eq!(
            tested.infos,
            [format!("{text} \"-\": float - histogram (1:1)")]
        );
    }

    #[test]
    fn samples_are_limited() {
        let mut database =
            Database::default()
                .floats("l", 1000, &[1.0; 100])
                .floats("r", 1000, &[1.0; 100]);
        database.options.max_samples = 250;
        let chain = "l + on() r + on() r + on() r + on() r";
        assert_eq!(database.range(chain, 0, 99_000, 1000).lines().len(), 1);
        database.options.max_samples = 150;
        let error = "query processing would load too many samples into memory in query execution";
        assert_eq!(database.range(chain, 0, 99_000, 1000).error(), error);
    }
}
