//! The labels of the results of matched series.

use std::sync::Arc;

use prom_model::{Label, Labels};

use crate::ast::Cardinality;
use crate::eval::is_metadata_label;
use crate::plan::VectorMatching;

/// The rule for the labels of results.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResultLabels<'a> {
    matching: &'a VectorMatching,
    /// True if the name, type and unit of the metric are removed.
    drops_metadata: bool,
}

impl<'a> ResultLabels<'a> {
    pub(super) fn new(matching: &'a VectorMatching, drops_metadata: bool) -> Self {
        Self {
            matching,
            drops_metadata,
        }
    }

    /// Returns true if the labels of results depend on those of both sides.
    pub(super) fn depends_on_one_side(&self) -> bool {
        !self.matching.include.is_empty()
    }

    /// Returns the labels of the result of two series. `one` is of the side with one series in each group.
    pub(super) fn of(&self, many: &Arc<Labels>, one: &Labels) -> Arc<Labels> {
        let include = &self.matching.include;
        let copied = || one.iter().filter(|label| include.contains(&label.name));
        let stays = |label: &Label| {
            let is_same = || one.get(&label.name) == label.value;
            self.is_retained(&label.name) && (!include.contains(&label.name) || is_same())
        };
        let adds_none = || copied().all(|label| many.get(&label.name) == label.value);
        if many.iter().all(stays) && adds_none() {
            return Arc::clone(many);
        }
        let mut labels = many.filtered(|name| self.is_retained(name) && !include.contains(name));
        for label in copied() {
            labels.set(&label.name, &label.value);
        }
        Arc::new(labels)
    }

    fn is_retained(&self, name: &str) -> bool {
        if self.drops_metadata && is_metadata_label(name) {
            return false;
        }
        match self.matching.cardinality {
            Cardinality::OneToOne => self.matching.labels.contains(name) == self.matching.on,
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::testing::labels;

    #[test]
    fn labels_of_one_or_both_sides() {
        let many = Arc::new(labels("m{a='1', b='2', c='3', __type__='gauge'}"));
        let one = labels("n{a='1', c='4', d='5'}");
        let result = |cardinality, on, names: &[&str], include: &[&str], drops_metadata| {
            let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
            let matching = VectorMatching {
                cardinality,
                labels: owned(names),
                on,
                include: owned(include),
                fill_left: None,
                fill_right: None,
            };
            ResultLabels::new(&matching, drops_metadata).of(&many, &one)
        };
        use Cardinality::{ManyToOne, OneToOne};
        for (cardinality, on, names, include, drops_metadata, expected) in [
            (OneToOne, true, &["a"][..], &[][..], true, "{a='1'}"),
            (OneToOne, true, &["a", "__name__"], &[], true, "{a='1'}"),
            (OneToOne, true, &["a", "__name__"], &[], false, "m{a='1'}"),
            (OneToOne, false, &["a"], &[], true, "{b='2', c='3'}"),
            (ManyToOne, true, &["a"], &[], true, "{a='1', b='2', c='3'}"),
            (
                ManyToOne,
                true,
                &["a"],
                &["c", "d", "b"],
                true,
                "{a='1', c='4', d='5'}",
            ),
            (
                ManyToOne,
                true,
                &["a"],
                &["__name__"],
                true,
                "n{a='1', b='2', c='3'}",
            ),
        ] {
            let labels_of_result = result(cardinality, on, names, include, drops_metadata);
            assert_eq!(*labels_of_result, labels(expected), "{names:?} {include:?}");
        }
        let shared = result(ManyToOne, true, &["a"], &["a"], false);
        assert!(Arc::ptr_eq(&shared, &many), "nothing changes");
    }
}
