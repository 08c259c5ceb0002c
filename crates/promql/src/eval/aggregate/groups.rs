//! The groups of an aggregation.

use std::collections::HashMap;
use std::sync::Arc;

use prom_model::{Labels, METRIC_NAME_LABEL};

use crate::eval::grid::GridSeries;
use crate::eval::{Evaluated, Evaluator};
use crate::plan::Aggregate;

/// The labels that make a group.
#[derive(Clone, Copy)]
pub(super) struct Grouping<'a> {
    /// Sorted.
    labels: &'a [String],
    without: bool,
}

/// Series that are aggregated together.
pub(super) struct Group {
    /// At least one, in the order of the input.
    pub(super) members: Vec<GridSeries>,
}

impl Group {
    /// Returns the number of samples, a histogram counting as several.
    pub(super) fn size(&self) -> usize {
        super::super::grid::size(&self.members)
    }

    /// Returns the result of the group, whose name is removed later if that of a value at the last step is.
    ///
    /// `floats_only` is true for aggregations that ignore histograms: those before the first float do not count.
    pub(super) fn result(
        &self,
        grouping: Grouping<'_>,
        floats_only: bool,
        last: u32,
    ) -> GridSeries {
        let labels = grouping.labels_of(&self.members[0].labels);
        GridSeries::new(labels, self.drops_name(floats_only, last))
    }

    fn drops_name(&self, floats_only: bool, last: u32) -> bool {
        let first = self.members[0].drop_name;
        if self.members.iter().all(|it| it.drop_name == first) {
            return first;
        }
        let has_float =
            |it: &GridSeries| it.floats.binary_search_by_key(&last, |it| it.step).is_ok();
        let has_histogram = |it: &GridSeries| {
            let found = it.histograms.binary_search_by_key(&last, |it| it.step);
            found.is_ok()
        };
        self.members
            .iter()
            .skip_while(|it| floats_only && !has_float(it))
            .any(|it| it.drop_name && (has_float(it) || has_histogram(it)))
    }
}

impl<'a> Grouping<'a> {
    pub(super) fn of(aggregate: &'a Aggregate) -> Self {
        Self {
            labels: &aggregate.grouping,
            without: aggregate.without,
        }
    }

    /// Returns true if a label is one of those of a group.
    pub(super) fn keeps(self, name: &str) -> bool {
        let is_listed = self
            .labels
            .binary_search_by(|it| it.as_str().cmp(name))
            .is_ok();
        match self.without {
            true => !is_listed && name != METRIC_NAME_LABEL,
            false => is_listed,
        }
    }

    /// Returns the labels of the group of a series.
    pub(super) fn labels_of(self, labels: &Labels) -> Arc<Labels> {
        match !self.without && self.labels.is_empty() {
            true => Arc::default(),
            false => Arc::new(labels.filtered(|name| self.keeps(name))),
        }
    }

    /// Returns the groups, in the order of their first series.
    pub(super) fn groups(
        self,
        ev: &Evaluator<'_>,
        input: Vec<GridSeries>,
    ) -> Evaluated<Vec<Group>> {
        self.groups_beside(ev, input, None)
    }

    /// Returns the groups by all labels but one, in the order of their first series.
    pub(super) fn groups_beside(
        self,
        ev: &Evaluator<'_>,
        input: Vec<GridSeries>,
        ignored: Option<&str>,
    ) -> Evaluated<Vec<Group>> {
        if input.is_empty() {
            return Ok(Vec::new());
        }
        if !self.without && self.labels.is_empty() {
            return Ok(vec![Group { members: input }]);
        }
        let mut groups: Vec<Group> = Vec::new();
        let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
        let mut key = Vec::new();
        for series in input {
            ev.check_interrupt()?;
            key.clear();
            self.push_key(&mut key, &series.labels, ignored);
            match places.get(&key) {
                Some(&place) => groups[place].members.push(series),
                None => {
                    places.insert(key.clone(), groups.len());
                    groups.push(Group {
                        members: vec![series],
                    });
                }
            }
        }
        Ok(groups)
    }

    /// Appends bytes that are equal just for series of one group.
    fn push_key(self, key: &mut Vec<u8>, labels: &Labels, ignored: Option<&str>) {
        let mut push = |text: &str| {
            key.extend_from_slice(&text.len().to_le_bytes());
            key.extend_from_slice(text.as_bytes());
        };
        if self.without {
            let stays = |name: &str| self.keeps(name) && ignored != Some(name);
            for label in labels.iter().filter(|it| stays(&it.name)) {
                push(&label.name);
                push(&label.value);
            }
        } else {
            // Just the labels that there are: a query may list thousands.
            for name in self.labels.iter().filter(|it| ignored != Some(it)) {
                let value = labels.get(name);
                if !value.is_empty() {
                    push(name);
                    push(value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use prom_model::Label;

    use super::*;

    #[test]
    fn labels_that_a_series_lacks_are_not_in_its_key() {
        let mut names: Vec<String> = (0..1000).map(|index| format!("l{index}")).collect();
        names.sort();
        let grouping = Grouping {
            labels: &names,
            without: false,
        };
        let key = |name: &str| {
            let label = Label {
                name: name.to_owned(),
                value: "x".to_owned(),
            };
            let mut key = Vec::new();
            grouping.push_key(&mut key, &Labels::new(vec![label]), None);
            key
        };
        assert_ne!(key("l1"), key("l2"));
        assert_eq!(key("other"), [0; 0]);
        assert!(key("l1").len() < 32);
    }
}
