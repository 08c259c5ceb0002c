//! The operators `and`, `or` and `unless`.

use super::signature::{Groups, Members};
use super::step_set::StepSet;
use crate::ast::BinaryOp;
use crate::eval::grid::GridSeries;
use crate::eval::{Evaluated, Evaluator};
use crate::plan::VectorMatching;

/// Evaluates a set operator.
pub(super) fn set_operation(
    ev: &mut Evaluator<'_>,
    op: BinaryOp,
    matching: &VectorMatching,
    mut left: Vec<GridSeries>,
    mut right: Vec<GridSeries>,
) -> Evaluated<Vec<GridSeries>> {
    let groups = Groups::new(matching, &left, &right);
    let mut may_have_equal_labels = ev.options.delayed_name_removal;
    match op {
        BinaryOp::Or => {
            let left_steps = Presence::new(&left, &groups.left, groups.count());
            may_have_equal_labels |= retain(
                ev,
                &mut right,
                &groups.right,
                &groups.left,
                left_steps,
                false,
            )?;
            left.append(&mut right);
        }
        _ => {
            let right_steps = Presence::new(&right, &groups.right, groups.count());
            let inside = op == BinaryOp::And;
            retain(
                ev,
                &mut left,
                &groups.left,
                &groups.right,
                right_steps,
                inside,
            )?;
        }
    }
    left.retain(|one| !one.is_empty());
    // Series with equal labels match each other.
    match may_have_equal_labels {
        true => ev.merge_equal_labels(left),
        false => Ok(left),
    }
}

/// Retains the values at steps at which a series of the other side matches, or with `inside` false the others. Returns
/// true if values remain that have a series of the other side at other steps.
fn retain(
    ev: &Evaluator<'_>,
    series: &mut [GridSeries],
    groups: &Members,
    other_groups: &Members,
    mut others: Presence<'_>,
    inside: bool,
) -> Evaluated<bool> {
    let mut has_matched = false;
    for (index, one) in series.iter_mut().enumerate() {
        ev.check_interrupt()?;
        let group = groups.group_of(index);
        let steps = others.of(group);
        steps.retain(&mut one.floats, inside);
        steps.retain(&mut one.histograms, inside);
        has_matched |= !one.is_empty() && !other_groups.of(group).is_empty();
    }
    Ok(has_matched)
}

/// The steps at which groups have values, found when they are needed.
struct Presence<'a> {
    series: &'a [GridSeries],
    members: &'a Members,
    found: Vec<Option<StepSet>>,
}

impl<'a> Presence<'a> {
    fn new(series: &'a [GridSeries], members: &'a Members, count: usize) -> Self {
        Self {
            series,
            members,
            found: vec![None; count],
        }
    }

    fn of(&mut self, group: usize) -> &StepSet {
        let members = self.members.of(group);
        let series = members.iter().map(|&index| &self.series[index]);
        self.found[group].get_or_insert_with(|| StepSet::union(series))
    }
}

#[cfg(test)]
mod tests {
    use crate::eval::testing::{Database, histogram};

    fn database() -> Database {
        Database::default()
            .samples("l{a='1', l='x'}", &[(0, 1.0), (60_000, 2.0)])
            .samples("l{a='2', l='x'}", &[(0, 3.0), (60_000, 4.0)])
            .histograms("l{a='3'}", &[(0, histogram(1.0, &[1.0]))])
            .samples("r{a='1'}", &[(0, 5.0)])
            .samples("r{a='3', r='y'}", &[(0, 6.0), (60_000, 7.0)])
            .samples("r{a='3', r='z'}", &[(60_000, 8.0)])
    }

    #[test]
    fn series_are_taken_by_their_labels() {
        for (query, expected) in [
            (
                "l and on(a) r",
                [
                    r#"l{a="1", l="x"} 1"#,
                    r#"l{a="3"} {count:1, sum:1, (0.5,1]:1}"#,
                ]
                .as_slice(),
            ),
            ("l unless on(a) r", &[r#"l{a="2", l="x"} 3"#]),
            (
                "r or on(a) l",
                &[
                    r#"r{a="1"} 5"#,
                    r#"r{a="3", r="y"} 6"#,
                    r#"l{a="2", l="x"} 3"#,
                ],
            ),
            ("r and l", &[]),
            ("r and ignoring(r) l", &[r#"r{a="3", r="y"} 6"#]),
            ("r and absent", &[]),
            ("absent and r", &[]),
            ("absent or r{a='1'}", &[r#"r{a="1"} 5"#]),
            ("r{a='1'} unless absent", &[r#"r{a="1"} 5"#]),
        ] {
            assert_eq!(database().instant(query, 0).lines(), expected, "{query}");
        }
    }

    #[test]
    fn presence_is_judged_at_each_step() {
        let mut database = database();
        database.options.lookback_ms = 30_000;
        for (query, expected) in [
            (
                "l and on(a) r",
                [
                    r#"l{a="1", l="x"} 1@0"#,
                    r#"l{a="3"} {count:1, sum:1, (0.5,1]:1}@0"#,
                ]
                .as_slice(),
            ),
            (
                "l unless on(a) r",
                &[
                    r#"l{a="1", l="x"} 2@60000"#,
                    r#"l{a="2", l="x"} 3@0 4@60000"#,
                ],
            ),
            (
                "l{a='3'} or ignoring(r) r{r!=''}",
                &[
                    r#"l{a="3"} {count:1, sum:1, (0.5,1]:1}@0"#,
                    r#"r{a="3", r="y"} 7@60000"#,
                    r#"r{a="3", r="z"} 8@60000"#,
                ],
            ),
        ] {
            assert_eq!(
                database.range(query, 0, 60_000, 60_000).lines(),
                expected,
                "{query}"
            );
        }
    }

    #[test]
    fn equal_labels_of_both_sides_are_one_series() {
        let mut database = Database::default()
            .samples("l{a='1'}", &[(0, 1.0), (120_000, 3.0)])
            .samples("r{a='1'}", &[(0, 4.0), (60_000, 5.0)]);
        database.options.lookback_ms = 30_000;
        let tested = database.range("-l or -r", 0, 120_000, 60_000);
        assert_eq!(tested.lines(), [r#"{a="1"} -1@0 -5@60000 -3@120000"#]);
    }
}
