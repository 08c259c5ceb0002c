//! Type, help text and unit of metrics, as the server knows them.

use std::collections::HashSet;

use super::Work;
use super::response::is_wanted;
use super::server::Failure;
use super::target;
use crate::jobs::run::RunError;
use crate::received::{Metadata, Request};

/// Metadata that has not changed is stored again after this time.
const METADATA_MS: i64 = 86_400_000;
/// The cursor of metadata.
const METADATA_KEY: &str = "metadata";

impl Work<'_> {
    /// Stores what the server knows about the metrics, if that is news.
    pub(super) async fn copy_metadata(&mut self, metrics: &[String]) -> Result<(), RunError> {
        self.prepare_table().await;
        let families = match self.server.families().await {
            Ok(answer) => {
                self.warn("metadata", answer.warnings);
                answer.data
            }
            Err(Failure::Ends(RunError::Interrupted)) => return Err(RunError::Interrupted),
            Err(failure) => {
                let text = RunError::from(failure).to_string();
                self.warn("metadata is not copied", vec![text]);
                return Ok(());
            }
        };
        let metrics: HashSet<_> = metrics.iter().map(String::as_str).collect();
        let families = families.into_iter().filter(|it| is_wanted(it, &metrics));
        let families: Vec<_> = families.collect();
        let now_ms = (self.run.now)().as_millisecond();
        let news = (target::digest(&format!("{families:?}")), now_ms);
        if let Some((hash, time)) = self.saved().load::<(String, i64)>(METADATA_KEY).await?
            && hash == news.0
            && now_ms - time < METADATA_MS
        {
            return Ok(());
        }
        let mut request = Request::default();
        request.metadata = families
            .iter()
            .map(|family| Metadata {
                metric_name: &family.name,
                metric_type: family.metric_type,
                help: &family.help,
                unit: &family.unit,
                series: None,
            })
            .collect();
        let destination = self.target.metadata();
        let deadline = self.deadline();
        let copied = self
            .run
            .ingester
            .copy_metadata(&request, &destination, now_ms, deadline);
        match copied.await {
            (_, None) => self.saved().save(METADATA_KEY, &news).await,
            (_, Some(error)) => {
                self.warn(
                    "metadata is not stored",
                    vec![format!("{destination}: {error}")],
                );
                Ok(())
            }
        }
    }

    /// Creates the table of metadata if it is missing. No sample needs it.
    async fn prepare_table(&mut self) {
        if let Err(error) = self.target.prepare_metadata().await {
            self.warn("metadata is not stored", vec![error.text()]);
        }
    }
}
