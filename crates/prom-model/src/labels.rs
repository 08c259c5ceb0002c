//! Labels and label sets.

/// The label that holds a metric's name in Prometheus.
pub const METRIC_NAME_LABEL: &str = "__name__";

/// One label: a name and a value, neither of them empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Label {
    /// Name of the label.
    pub name: String,
    /// Value of the label.
    pub value: String,
}

/// A label set: sorted by name, each name once, no empty value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Labels(Vec<Label>);

impl Labels {
    /// Sorts `labels`, and drops those with an empty value (an empty label is an absent one) and all but the
    /// first of a name.
    pub fn new(mut labels: Vec<Label>) -> Self {
        labels.retain(|label| !label.value.is_empty());
        labels.sort_by(|a, b| a.name.cmp(&b.name));
        labels.dedup_by(|later, first| later.name == first.name);
        Self(labels)
    }

    /// Returns the value of the label `name`; an absent label has the empty value.
    pub fn get(&self, name: &str) -> &str {
        match self
            .0
            .binary_search_by(|label| label.name.as_str().cmp(name))
        {
            Ok(index) => &self.0[index].value,
            Err(_) => "",
        }
    }

    /// Returns the labels whose names fulfil a condition.
    ///
    /// ```
    /// use prom_model::{Label, Labels};
    ///
    /// let label = |name: &str| Label { name: name.to_owned(), value: "1".to_owned() };
    /// let labels = Labels::new(vec![label("a"), label("b")]);
    /// assert_eq!(labels.filtered(|name| name != "a").into_vec(), [label("b")]);
    /// ```
    pub fn filtered(&self, mut keep: impl FnMut(&str) -> bool) -> Self {
        let selected = self.0.iter().filter(|label| keep(&label.name));
        Self(selected.cloned().collect())
    }

    /// Sets the value of a label; an empty value removes it.
    ///
    /// ```
    /// use prom_model::Labels;
    ///
    /// let mut labels = Labels::default();
    /// labels.set("job", "api");
    /// assert_eq!(labels.get("job"), "api");
    /// labels.set("job", "");
    /// assert!(labels.is_empty());
    /// ```
    pub fn set(&mut self, name: &str, value: &str) {
        let found = self
            .0
            .binary_search_by(|label| label.name.as_str().cmp(name));
        match (found, value) {
            (Ok(index), "") => {
                self.0.remove(index);
            }
            (Ok(index), _) => value.clone_into(&mut self.0[index].value),
            (Err(_), "") => {}
            (Err(index), _) => self.0.insert(
                index,
                Label {
                    name: name.to_owned(),
                    value: value.to_owned(),
                },
            ),
        }
    }

    /// Returns the number of labels.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns true if there are no labels.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the labels in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Label> {
        self.0.iter()
    }

    /// Returns the bytes of memory that the labels occupy.
    pub fn bytes(&self) -> usize {
        let texts = self.iter().map(|it| it.name.len() + it.value.len());
        self.0.len() * size_of::<Label>() + texts.sum::<usize>()
    }

    /// Returns the labels in the order of their names.
    pub fn into_vec(self) -> Vec<Label> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(name: &str, value: &str) -> Label {
        Label {
            name: name.to_owned(),
            value: value.to_owned(),
        }
    }

    #[test]
    fn labels_are_sorted_unique_and_never_empty() {
        let labels = Labels::new(vec![
            label("job", "a"),
            label("code", ""),
            label("a", "1"),
            label("job", "b"),
        ]);
        assert_eq!(labels.get("job"), "a");
        assert_eq!(labels.get("code"), "");
        assert_eq!(labels.get("absent"), "");
        assert_eq!(labels.into_vec(), [label("a", "1"), label("job", "a")]);
    }
}
