//! The entries of clusters in the state.

use jiff::{SignedDuration, Timestamp};

use super::decision::Entry;
use crate::state::{Expect, State, StateError};

/// The collection of the entries; their names are those of the clusters.
const COLLECTION: &str = "ha";
/// The time for which an entry is stored after its last update.
const RETENTION: SignedDuration = SignedDuration::from_hours(1);

/// An entry with its version.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The entry; `None` if another program wrote the text.
    pub entry: Option<Entry>,
    /// Its version.
    pub version: String,
}

/// The store of the entries.
pub trait Store: Send + Sync {
    /// Returns the entry of a cluster.
    fn get(&self, cluster: &str)
    -> impl Future<Output = Result<Option<Stored>, StateError>> + Send;

    /// Stores the entry of a cluster if the one there has this version, or if there is none; returns false if
    /// another process was faster.
    fn put(
        &self,
        cluster: &str,
        entry: &Entry,
        expected: Option<String>,
    ) -> impl Future<Output = Result<bool, StateError>> + Send;

    /// Deletes the entry of a cluster that has not been used for long, if nothing else does.
    fn forget(&self, cluster: &str) -> impl Future<Output = ()> + Send;
}

impl Store for State {
    async fn get(&self, cluster: &str) -> Result<Option<Stored>, StateError> {
        let found = self.get(COLLECTION, cluster).await?;
        Ok(found.map(|item| Stored {
            entry: serde_json::from_str(&item.value).ok(),
            version: item.version,
        }))
    }

    async fn put(
        &self,
        cluster: &str,
        entry: &Entry,
        expected: Option<String>,
    ) -> Result<bool, StateError> {
        let text = serde_json::to_string(entry).expect("an entry is valid JSON");
        let expected = expected.map_or(Expect::Absent, Expect::Version);
        let expires_at = entry.received_at.checked_add(RETENTION);
        let expires_at = expires_at.unwrap_or(Timestamp::MAX);
        self.put(COLLECTION, cluster, &text, expected, Some(expires_at))
            .await
    }

    /// Deletes it from memory alone: another process may use what is in other stores.
    async fn forget(&self, cluster: &str) {
        if !self.is_persistent() {
            drop(self.delete(COLLECTION, cluster).await);
        }
    }
}
