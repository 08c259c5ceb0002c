//! Records: JSON in the state that several processes change by compare-and-set.

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Expect, State, StateError};

/// The attempts of a change; each failed because another process changed the record first.
pub const MAX_CHANGES: usize = 100;

/// A record of the state; a missing one is the default.
pub trait Record: Clone + Default + PartialEq + Serialize + DeserializeOwned {
    /// Returns the time after which an unchanged record may be deleted; `None` for never.
    fn expires_at(&self, now: Timestamp) -> Option<Timestamp>;
}

/// Reads a record.
///
/// # Errors
/// The text is not one that this program stored.
pub fn read<R: Record>(text: &str) -> Result<R, StateError> {
    serde_json::from_str(text).map_err(|error| StateError::unreadable(&error))
}

impl State {
    /// Changes the record `name` of `collection`. Where another process changes it at the same time,
    /// `change` is called again with what that process has stored.
    ///
    /// # Errors
    /// The state cannot be read or written.
    pub async fn change<R: Record, T>(
        &self,
        collection: &str,
        name: &str,
        mut change: impl FnMut(&mut R) -> T,
    ) -> Result<T, StateError> {
        for _ in 0..MAX_CHANGES {
            let (before, expect) = match self.get(collection, name).await? {
                Some(item) => (read::<R>(&item.value)?, Expect::Version(item.version)),
                None => (R::default(), Expect::Absent),
            };
            let mut record = before.clone();
            let result = change(&mut record);
            if record == before {
                return Ok(result);
            }
            let text = serde_json::to_string(&record).expect("a record is valid JSON");
            let expires_at = record.expires_at(Timestamp::now());
            if self
                .put(collection, name, &text, expect, expires_at)
                .await?
            {
                return Ok(result);
            }
        }
        Err(StateError::contended(name))
    }
}
