//! A type of definition for tests: it stores nothing and says what it is told to say.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::Value;

use super::definition::{Kind, Needs};
use super::run::{Fault, Job, Report, Run, RunError};
use super::secret::SecretRef;

pub(super) const KINDS: &[Kind] = &[Kind {
    name: "echo",
    needs: Needs::Table,
    parse,
}];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Echo {
    /// Rows that a run reports.
    #[serde(default)]
    rows: u64,
    /// What a run fails with.
    fail: Option<String>,
    /// A secret that it needs.
    token_ref: Option<SecretRef>,
    /// How long each row takes; the row is a cursor afterwards.
    #[serde(default)]
    step_ms: u64,
}

fn parse(config: &Value) -> Result<Box<dyn Job>, Vec<Fault>> {
    let echo = Echo::deserialize(config).map_err(|error| Fault::config(&error))?;
    Ok(Box::new(echo))
}

impl Job for Echo {
    fn run<'a>(&'a self, run: &'a Run<'a>) -> BoxFuture<'a, Report> {
        async {
            let mut report = Report::default();
            report.error = self.work(run, &mut report.rows).await.err();
            report
        }
        .boxed()
    }
}

impl Echo {
    async fn work(&self, run: &Run<'_>, rows: &mut u64) -> Result<(), RunError> {
        if let Some(token) = &self.token_ref {
            run.secrets.resolve("token", token)?;
        }
        assert_ne!(self.fail.as_deref(), Some("panic"), "as ordered");
        let done = run.cursors.get("row").await?;
        let done = done.map_or(0, |text| text.parse().unwrap());
        run.progress.expect(self.rows - done);
        for row in done..self.rows {
            if self.step_ms > 0 {
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_millis(self.step_ms)) => {}
                    () = run.stop.wait() => return Err(RunError::Interrupted),
                }
                run.cursors.set("row", &(row + 1).to_string()).await?;
            }
            run.progress.advance(1);
            *rows += 1;
        }
        run.cursors.clear().await?;
        self.fail
            .clone()
            .map_or(Ok(()), |text| Err(RunError::Failed(text)))
    }
}
