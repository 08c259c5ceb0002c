//! Copies the type, help text and unit of metrics.

use std::collections::HashSet;

use prom_wire::request::{Metadata, Request};

use super::SyncRun;
use super::response::is_wanted;
use super::server::Failure;
use super::target;
use crate::jobs::job::RunError;

/// Unchanged metadata is stored again after this time, in milliseconds.
const METADATA_MS: i64 = 86_400_000;
/// The key of the last stored metadata.
const METADATA_KEY: &str = "metadata";

impl SyncRun<'_> {
    /// Stores the server's metadata of the metrics, if it has changed.
    pub(super) async fn copy_metadata(&mut self, metrics: &[String]) -> Result<(), RunError> {
        self.prepare_metadata_table().await;
        let families = match self.server.families().await {
            Ok(response) => {
                self.warn("metadata", response.warnings);
                response.data
            }
            Err(Failure::RunEnded(RunError::Interrupted)) => return Err(RunError::Interrupted),
            Err(failure) => {
                let text = RunError::from(failure).to_string();
                self.warn("could not read the metadata", vec![text]);
                return Ok(());
            }
        };
        let metrics: HashSet<_> = metrics.iter().map(String::as_str).collect();
        let families = families.into_iter().filter(|it| is_wanted(it, &metrics));
        let families: Vec<_> = families.collect();
        let now_ms = (self.run.now)().as_millisecond();
        let current = (target::digest(&format!("{families:?}")), now_ms);
        if let Some((hash, time)) = self.cursors().load::<(String, i64)>(METADATA_KEY).await?
            && hash == current.0
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
            (_, None) => self.cursors().save(METADATA_KEY, &current).await,
            (_, Some(error)) => {
                self.warn(
                    "could not store the metadata",
                    vec![format!("{destination}: {error}")],
                );
                Ok(())
            }
        }
    }

    /// Creates the table of metadata if it is missing. A failure is a warning, because no sample needs the table.
    async fn prepare_metadata_table(&mut self) {
        if let Err(error) = self.target.prepare_metadata().await {
            self.warn("could not store the metadata", vec![error.message()]);
        }
    }
}
