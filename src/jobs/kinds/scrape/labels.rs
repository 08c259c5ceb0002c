//! The target's labels on the series that it exposes: a label of a series with the same name gets the prefix
//! `exported_`, repeated until the name is free.

use std::borrow::Cow;

use exposition::Exposition;

const PREFIX: &str = "exported_";

/// The labels of the target, and the renamed forms of their names for series to borrow.
pub(super) struct TargetLabels<'t> {
    /// Name and value of each label, and its name with more prefixes than any series needs: each shorter form is
    /// a suffix of it.
    target: Vec<(&'t str, &'t str, String)>,
}

impl<'t> TargetLabels<'t> {
    pub(super) fn new(target: &'t [(String, String)], exposition: &Exposition<'_>) -> Self {
        let names = || {
            let samples = exposition.samples.iter();
            let labels = samples.flat_map(|sample| exposition.labels(sample));
            let names = labels.map(|(name, _)| name.as_ref());
            names.chain(target.iter().map(|(name, _)| name.as_str()))
        };
        let labels = target.iter().map(|(name, value)| {
            let most = names().filter_map(|it| prefixes(it, name)).max();
            let prefixes = most.unwrap_or_default() + target.len() + 1;
            let longest = PREFIX.repeat(prefixes) + name;
            (name.as_str(), value.as_str(), longest)
        });
        Self {
            target: labels.collect(),
        }
    }

    /// Adds the labels of the target to the `labels` of a series, and sorts them by name.
    ///
    /// If the labels of the series win, `honored` holds the names of its labels without a value: as in Prometheus,
    /// the target's labels do not replace those either.
    pub(super) fn apply<'a>(
        &'a self,
        labels: &mut Vec<(&'a str, &'a str)>,
        honored: Option<&[Cow<'_, str>]>,
    ) {
        let mut clashes = Vec::new();
        for (name, value, longest) in &self.target {
            let known = labels.iter_mut().find(|label| label.0 == *name);
            match known {
                None if honored.is_some_and(|blank| blank.iter().any(|it| it == name)) => {}
                None => labels.push((name, value)),
                Some(_) if honored.is_some() => {}
                Some(label) => {
                    let of_series = std::mem::replace(&mut label.1, value);
                    clashes.push((*name, longest.as_str(), of_series));
                }
            }
        }
        clashes.sort_by_key(|(name, ..)| name.len());
        for (name, longest, value) in clashes {
            let mut length = name.len();
            let free = loop {
                length += PREFIX.len();
                let exported = &longest[longest.len() - length..];
                if labels.iter().all(|label| label.0 != exported) {
                    break exported;
                }
            };
            labels.push((free, value));
        }
        labels.sort_unstable();
    }
}

/// Returns the number of prefixes before `name` in `exported`, or `None` if it is not a renamed form of `name`.
fn prefixes(exported: &str, name: &str) -> Option<usize> {
    let mut rest = exported.strip_suffix(name)?;
    let mut count = 0;
    while let Some(shorter) = rest.strip_prefix(PREFIX) {
        rest = shorter;
        count += 1;
    }
    rest.is_empty().then_some(count)
}

#[cfg(test)]
mod tests {
    use exposition::{Format, parse};

    use super::*;

    fn labelled(body: &str, target: &[(&str, &str)], honor_labels: bool) -> String {
        let body = format!("a{body} 1");
        let exposition = parse(body.as_bytes(), Format::Text).unwrap();
        let target: Vec<_> = target
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let target_labels = TargetLabels::new(&target, &exposition);
        let labels = exposition.labels(&exposition.samples[0]).iter();
        let mut labels: Vec<_> = labels.map(|(name, value)| (&**name, &**value)).collect();
        let blank = exposition.empty_labels(0);
        target_labels.apply(&mut labels, honor_labels.then_some(blank));
        let texts = labels.iter().map(|(name, value)| format!("{name}={value}"));
        texts.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn labels_of_the_target_win_and_others_are_renamed() {
        let target = [("instance", "t:1"), ("job", "j")];
        let cases = [
            ("", "instance=t:1 job=j"),
            (r#"{z="1",b="2"}"#, "b=2 instance=t:1 job=j z=1"),
            (
                r#"{instance="x"}"#,
                "exported_instance=x instance=t:1 job=j",
            ),
            // The same value clashes too.
            (r#"{job="j"}"#, "exported_job=j instance=t:1 job=j"),
            (
                r#"{job="a",exported_job="b"}"#,
                "exported_exported_job=a exported_job=b instance=t:1 job=j",
            ),
            (r#"{exported_job="b"}"#, "exported_job=b instance=t:1 job=j"),
        ];
        for (body, expected) in cases {
            assert_eq!(labelled(body, &target, false), expected, "{body}");
        }
    }

    #[test]
    fn labels_of_the_source_win_if_they_are_honoured() {
        let target = [("instance", "t:1"), ("job", "j")];
        let body = r#"{instance="x",exported_job="b"}"#;
        assert_eq!(
            labelled(body, &target, true),
            "exported_job=b instance=x job=j"
        );
    }

    #[test]
    fn a_label_without_a_value_wins_only_if_it_is_honoured() {
        let target = [("instance", "t:1"), ("job", "j")];
        for (body, honored) in [
            (r#"{instance=""}"#, "job=j"),
            (r#"{instance="",job="x"}"#, "job=x"),
            (r#"{instance="",job=""}"#, ""),
            (r#"{x=""}"#, "instance=t:1 job=j"),
        ] {
            assert_eq!(labelled(body, &target, true), honored, "{body}");
        }
        let all = "instance=t:1 job=j";
        assert_eq!(labelled(r#"{instance="",job=""}"#, &target, false), all);
    }

    #[test]
    fn shorter_names_are_renamed_first() {
        let target = [("exported_job", "e"), ("job", "j")];
        let body = r#"{job="a",exported_job="b"}"#;
        let expected =
            "exported_exported_exported_job=b exported_exported_job=a exported_job=e job=j";
        assert_eq!(labelled(body, &target, false), expected);
    }

    #[test]
    fn without_labels_of_a_target_nothing_changes() {
        assert_eq!(labelled(r#"{job="a",a="b"}"#, &[], false), "a=b job=a");
    }
}
