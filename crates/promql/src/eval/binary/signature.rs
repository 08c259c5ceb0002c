//! The labels by which series of the two sides match.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};

use prom_model::{Label, Labels};

use crate::eval::grid::GridSeries;
use crate::plan::VectorMatching;

/// The labels of a series that have to be equal for a match.
#[derive(Clone, Copy)]
struct Signature<'a> {
    labels: &'a Labels,
    matching: &'a VectorMatching,
}

impl<'a> Signature<'a> {
    /// Returns those labels. An absent one is equal to another absent one.
    fn matched(self) -> impl Iterator<Item = &'a Label> {
        let matching = self.matching;
        let labels = self.labels.iter();
        labels.filter(move |label| matching.matches_by(&label.name))
    }
}

impl Hash for Signature<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.matched().for_each(|label| label.hash(state));
    }
}

impl PartialEq for Signature<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.matched().eq(other.matched())
    }
}

impl Eq for Signature<'_> {}

/// Returns the labels that a series has to have in common with another to match it.
pub(super) fn matched_labels(matching: &VectorMatching, labels: &Labels) -> Labels {
    labels.filtered(|name| matching.matches_by(name))
}

/// The series of two sides in groups that match each other.
#[derive(Debug)]
pub(super) struct Groups {
    pub(super) left: Members,
    pub(super) right: Members,
}

impl Groups {
    pub(super) fn new(
        matching: &VectorMatching,
        left: &[GridSeries],
        right: &[GridSeries],
    ) -> Self {
        let mut groups: HashMap<Signature<'_>, usize> =
            HashMap::with_capacity(left.len().max(right.len()));
        let mut of_left = Vec::with_capacity(left.len());
        let mut of_right = Vec::with_capacity(right.len());
        for (series, of) in [(left, &mut of_left), (right, &mut of_right)] {
            for one in series {
                let signature = Signature {
                    labels: &one.labels,
                    matching,
                };
                let next = groups.len();
                of.push(*groups.entry(signature).or_insert(next));
            }
        }
        let count = groups.len();
        Self {
            left: Members::new(of_left, count),
            right: Members::new(of_right, count),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.left.starts.len() - 1
    }
}

/// The series of one side by their groups.
#[derive(Debug)]
pub(super) struct Members {
    /// The group of each series.
    group_of: Vec<usize>,
    /// The indices of the series in the order of their groups.
    indices: Vec<usize>,
    /// The place of the first index of each group, and the end.
    starts: Vec<usize>,
}

impl Members {
    fn new(group_of: Vec<usize>, count: usize) -> Self {
        let mut starts = vec![0; count + 1];
        for &group in &group_of {
            starts[group + 1] += 1;
        }
        for group in 0..count {
            starts[group + 1] += starts[group];
        }
        let mut indices = vec![0; group_of.len()];
        let mut next = starts.clone();
        for (index, &group) in group_of.iter().enumerate() {
            indices[next[group]] = index;
            next[group] += 1;
        }
        Self {
            group_of,
            indices,
            starts,
        }
    }

    /// Returns the group of a series.
    pub(super) fn group_of(&self, index: usize) -> usize {
        self.group_of[index]
    }

    /// Returns true if no group has two series.
    pub(super) fn are_single(&self) -> bool {
        self.starts.windows(2).all(|pair| pair[1] - pair[0] < 2)
    }

    /// Returns the indices of the series of a group, in order.
    pub(super) fn of(&self, group: usize) -> &[usize] {
        &self.indices[self.starts[group]..self.starts[group + 1]]
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ast::Cardinality;
    use crate::eval::testing::labels;
    use crate::plan::Names;

    fn series(selectors: &[&str]) -> Vec<GridSeries> {
        let series = |selector: &&str| GridSeries::new(Arc::new(labels(selector)), false);
        selectors.iter().map(series).collect()
    }

    fn matching(on: bool, labels: &[&str]) -> VectorMatching {
        VectorMatching {
            cardinality: Cardinality::OneToOne,
            labels: labels.iter().map(|&label| label.to_owned()).collect(),
            on,
            include: Names::default(),
            fill_left: None,
            fill_right: None,
        }
    }

    #[test]
    fn series_are_grouped_by_matched_labels() {
        let left = series(&["m{a='1', b='2'}", "m{a='1'}", "m{a='2', b='2'}"]);
        let right = series(&["n{a='1'}", "n{a='1', b='2', c='3'}", "n{c='1'}"]);
        for (on, labels, left_groups, right_groups) in [
            (false, &[][..], [0, 1, 2], [1, 3, 4]),
            (false, &["b"], [0, 0, 1], [0, 2, 3]),
            (false, &["c", "c"], [0, 1, 2], [1, 0, 3]),
            (true, &[], [0, 0, 0], [0, 0, 0]),
            (true, &["a"], [0, 0, 1], [0, 0, 2]),
            (true, &["b", "a"], [0, 1, 2], [1, 0, 3]),
            (true, &["__name__"], [0, 0, 0], [1, 1, 1]),
        ] {
            let groups = Groups::new(&matching(on, labels), &left, &right);
            assert_eq!(groups.left.group_of, left_groups, "{on} {labels:?}");
            assert_eq!(groups.right.group_of, right_groups, "{on} {labels:?}");
            for group in 0..groups.count() {
                let expected = (0..3).filter(|&index| left_groups[index] == group);
                assert_eq!(groups.left.of(group), expected.collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn matched_labels_are_without_the_name() {
        let given = labels("m{a='1', b='2'}");
        let matched = |on, names| matched_labels(&matching(on, names), &given);
        assert_eq!(matched(false, &["a"]), labels("{b='2'}"));
        assert_eq!(matched(true, &["a"]), labels("{a='1'}"));
        assert_eq!(matched(true, &["__name__"]), labels("m"));
    }
}
