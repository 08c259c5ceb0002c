//! Copying what another store holds: samples that can be read there again, so nothing is lost that is
//! not stored at once.

use prom_wire::request::Request;
use tokio::time::Instant;

use super::deliver::Delivery;
use super::write::{Redelivery, WriteOutcome};
use crate::ingest::Ingester;
use crate::storage::destination::Destination;
use crate::storage::routing::Routing;
use crate::storage::write::body::Versions;
use crate::storage::write::metadata::{is_storable, metadata_to_records};
use crate::storage::write::series::{PolicyViolation, WritePolicy, series_to_records};
use crate::storage::write::sql_layout::samples_to_rows;

/// The layout of stored samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordLayout {
    /// As remote write stores them.
    Series,
    /// As rows that name metric and labels.
    Rows,
}

impl Ingester {
    /// Stores the samples of `request` in `destination`, with `version` as the version of their
    /// records. What the policy has to say about names and values applies, but nothing makes the
    /// whole request fail.
    ///
    /// Samples rejected because of another value are not dead letters: the stored value is the one that is
    /// wanted.
    ///
    /// # Errors
    /// `fail_on_*` options are off here, so no error is expected.
    pub async fn copy(
        &self,
        request: &Request<'_>,
        destination: &Destination,
        layout: RecordLayout,
        version: Option<i64>,
        deadline: Instant,
    ) -> Result<WriteOutcome, PolicyViolation> {
        let routing = Routing::fixed(destination);
        let versions = version.map(Versions::All);
        if layout == RecordLayout::Rows {
            let conversion = samples_to_rows(request, destination.clone());
            let mut delivery = Delivery::default();
            self.deliver_records(conversion, versions, deadline, &mut delivery)
                .await;
            // Dead letters are written again as series, which would not fit the table.
            return Ok(WriteOutcome::of(&delivery, request, &routing));
        }
        let conversion = series_to_records(request, &routing, self.lenient_policy())?;
        let mut delivery = Delivery::default();
        self.deliver_records(conversion, versions, deadline, &mut delivery)
            .await;
        Ok(self
            .settle(
                &delivery,
                request,
                &routing,
                Redelivery::FromSource,
                deadline,
            )
            .await)
    }

    /// Stores what `request` says about metrics in `destination`; returns how many entries are
    /// stored, and the first error.
    pub async fn copy_metadata(
        &self,
        request: &Request<'_>,
        destination: &Destination,
        now_ms: i64,
        deadline: Instant,
    ) -> (u64, Option<String>) {
        let entries = request.metadata.iter().filter(|entry| is_storable(entry));
        let entries: Vec<_> = entries.copied().collect();
        let records = metadata_to_records(destination.clone(), &entries, now_ms);
        let mut sent = Delivery::default();
        self.deliver_records(records, None, deadline, &mut sent)
            .await;
        let stored = entries.len().saturating_sub(sent.undelivered.len());
        (
            stored as u64,
            sent.undelivered.first().map(|it| it.cause.text()),
        )
    }

    fn lenient_policy(&self) -> WritePolicy {
        WritePolicy {
            fail_on_long_label: false,
            fail_on_invalid_sample_value: false,
            ..self.policy
        }
    }
}
