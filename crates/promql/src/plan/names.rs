//! Lists of label names in which a name is found quickly, however long a query made them.

/// Label names, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names(Vec<String>);

impl Names {
    /// Returns true if a name is in the list.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.0.binary_search_by(|it| it.as_str().cmp(name)).is_ok()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the names in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl FromIterator<String> for Names {
    fn from_iter<I: IntoIterator<Item = String>>(names: I) -> Self {
        let mut names: Vec<String> = names.into_iter().collect();
        names.sort_unstable();
        names.dedup();
        Self(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_order() {
        let names: Names = ["b", "c", "a", "b"]
            .map(str::to_owned)
            .into_iter()
            .collect();
        assert!(["a", "b", "c"].iter().all(|name| names.contains(name)));
        assert!(!names.contains("") && !names.contains("d"));
        assert!(names.iter().eq(["a", "b", "c"]));
    }
}
