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
