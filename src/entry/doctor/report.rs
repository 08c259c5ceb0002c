//! The results of checks, as a table, as JSON and as one line.

use std::fmt;

use prom_model::visible::{escaped, truncate};
use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is as it should be.
    Ok,
    /// It works, but probably not as it is meant.
    Warn,
    /// The connector does not work like this.
    Fail,
    /// It could not be checked, or there is nothing to check.
    Skipped,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Skipped => "skipped",
        }
    }
}

/// The most bytes of a text in a check. Servers choose some of them, and a command with long names has 1,000.
const MAX_TEXT_BYTES: usize = 2_048;

/// A check with its result. Its texts are escaped, as servers choose parts of them, and a terminal obeys some characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The subject.
    #[serde(rename = "check")]
    pub name: String,
    /// The result.
    #[serde(rename = "result")]
    pub outcome: Outcome,
    /// The facts found, or the reason for the result.
    pub detail: String,
    /// The remedy, in one sentence.
    pub remedy: Option<String>,
}

impl Check {
    /// Returns a check that found nothing wrong.
    pub fn ok(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(name, Outcome::Ok, detail, None)
    }

    /// Returns a check that found something which probably is not meant.
    pub fn warn(
        name: impl Into<String>,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(name, Outcome::Warn, detail, Some(remedy.into()))
    }

    /// Returns a check that found something wrong.
    pub fn fail(
        name: impl Into<String>,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(name, Outcome::Fail, detail, Some(remedy.into()))
    }

    /// Returns a check that was not made, for this reason.
    pub fn skipped(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::new(name, Outcome::Skipped, reason, None)
    }

    fn new(
        name: impl Into<String>,
        outcome: Outcome,
        detail: impl Into<String>,
        remedy: Option<String>,
    ) -> Self {
        let shown = |text: &str| truncate(&escaped(text), MAX_TEXT_BYTES).into_owned();
        Self {
            name: shown(&name.into()),
            outcome,
            detail: shown(&detail.into()),
            remedy: remedy.as_deref().map(shown),
        }
    }

    /// Returns true if it failed.
    pub fn has_failed(&self) -> bool {
        self.outcome == Outcome::Fail
    }
}

/// Checks in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The checks.
    pub checks: Vec<Check>,
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut report = serializer.serialize_struct("Report", 2)?;
        let result = if self.has_failed() { "fail" } else { "ok" };
        report.serialize_field("result", result)?;
        report.serialize_field("checks", &self.checks)?;
        report.end()
    }
}

impl Report {
    /// Adds a check and returns true if it did not fail.
    pub fn add(&mut self, check: Check) -> bool {
        let has_passed = !check.has_failed();
        self.checks.push(check);
        has_passed
    }

    /// Returns true if a check failed.
    pub fn has_failed(&self) -> bool {
        self.checks.iter().any(Check::has_failed)
    }

    /// Returns the report as one JSON object.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("texts are always valid JSON")
    }

    /// Returns all that is wrong, with the remedies, on one line; `None` if nothing is.
    pub fn problems(&self) -> Option<String> {
        let wrong = self.checks.iter().filter_map(|check| {
            let is_wrong = matches!(check.outcome, Outcome::Warn | Outcome::Fail);
            let remedy = check.remedy.as_deref().filter(|_| is_wrong)?;
            Some(format!("{}: {} ({remedy})", check.name, check.detail))
        });
        let wrong: Vec<_> = wrong.collect();
        (!wrong.is_empty()).then(|| wrong.join("; "))
    }
}

/// The table; a remedy is below its check, because it can be a command to copy.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HEAD: [&str; 3] = ["check", "result", "detail"];
        let names = self.checks.iter().map(|check| check.name.chars().count());
        let width = names.max().unwrap_or(0).max(HEAD[0].len());
        writeln!(f, "{:width$}  {:7}  {}", HEAD[0], HEAD[1], HEAD[2])?;
        for check in &self.checks {
            let outcome = check.outcome.as_str();
            writeln!(f, "{:width$}  {outcome:7}  {}", check.name, check.detail)?;
            if let Some(remedy) = &check.remedy {
                writeln!(f, "{:width$}  {:7}  remedy: {remedy}", "", "")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            checks: vec![
                Check::ok("region", "eu-west-1"),
                Check::fail("table db/t", "there is none", "create it"),
                Check::skipped("test series", "it needs the table"),
                Check::warn("clock", "2 min ahead", "set it"),
            ],
        }
    }

    #[test]
    fn texts_of_servers_cannot_command_a_terminal() {
        let long = format!("\u{1b}[2Ja\nb{}", "x".repeat(5_000));
        let checks = vec![
            Check::fail("table \u{1b}", &long, &long),
            Check::ok("a", "\u{9b}31m\u{202e}"),
        ];
        let report = Report { checks };
        let texts = [
            report.to_string(),
            report.to_json(),
            report.problems().unwrap(),
        ];
        for text in texts {
            let is_shown = |c: char| c == '\n' || !prom_model::visible::is_hidden(c);
            assert!(text.chars().all(is_shown), "{text}");
            assert!(text.contains("u001b[2Ja"), "{text}");
            assert!(text.len() < 7_000, "{}", text.len());
        }
        // The head, the check, its remedy, and the other check.
        assert_eq!(report.to_string().lines().count(), 4);
    }

    #[test]
    fn forms() {
        let report = report();
        assert!(report.has_failed());
        let table = "check        result   detail\n\
                     region       ok       eu-west-1\n\
                     table db/t   fail     there is none\n\
                     \x20                     remedy: create it\n\
                     test series  skipped  it needs the table\n\
                     clock        warn     2 min ahead\n\
                     \x20                     remedy: set it\n";
        assert_eq!(report.to_string(), table);
        assert_eq!(
            report.problems().unwrap(),
            "table db/t: there is none (create it); clock: 2 min ahead (set it)"
        );
        let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
        assert_eq!(json["result"], "fail");
        assert_eq!(json["checks"][1]["check"], "table db/t");
        assert_eq!(json["checks"][1]["result"], "fail");
        assert_eq!(json["checks"][0]["remedy"], serde_json::Value::Null);
        let checks = vec![Check::ok("a", "b")];
        assert_eq!(Report { checks }.problems(), None);
    }
}
