//! All definitions of jobs, and the records of their runs.
//!
//! Some definitions come from a file and cannot be changed; the others are in the state, which several
//! processes share. A job is identified by its name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use prom_wire::budget::{BudgetExceeded, Reservation};
use serde_json::{Map, Value};
use tokio::sync::Notify;

use super::bucket::JobRecord;
use super::definition::{Definition, Kind, is_name, patched};
use crate::fields::FieldErrors;
use crate::json::tree_bytes;
use crate::state::record::{MAX_CHANGES, read};
use crate::state::{Expect, State, StateError};

/// The collection of definitions.
const DEFINITIONS: &str = "definitions";
/// The collection of their records.
const RECORDS: &str = "records";
/// Bytes of a definition as it is stored; a new one and a patch have no more either.
pub const MAX_DEFINITION_BYTES: usize = 256 << 10;
/// Copies of a definition in memory while it is checked: as it was received, and as its type reads it.
pub const TREES_OF_DEFINITION: usize = 2;
/// Copies of a patch, and of the definition that it changes: before the merge, for the merge, and as the
/// type reads them.
const TREES_OF_PATCH: usize = 3;

/// All definitions; one registry for the whole process.
#[derive(Debug)]
pub struct Registry {
    state: State,
    kinds: &'static [Kind],
    from_file: Vec<Arc<Definition>>,
    changed: Notify,
    has_warned: AtomicBool,
}

/// A job: its definition and its record.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// The definition. `None` if it is not stored, a scheduler's payload, or if it is invalid.
    pub definition: Option<Arc<Definition>>,
    /// The errors of a stored definition that is invalid: another version of the program stored it.
    pub unusable: Option<FieldErrors>,
    /// The version of the stored definition, different for each that ever had this name.
    pub version: String,
    /// True if the definition comes from a file.
    pub is_from_file: bool,
    /// The record of its runs.
    pub record: JobRecord,
}

/// The remedy of the operator for a lack of memory, appended to [`BudgetExceeded`].
pub(crate) const RAISE_MEMORY: &str = ", or raise max_in_flight_bytes";

/// The reason for which a definition could not be read or changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// The definition is invalid.
    #[error("{0}")]
    Invalid(#[from] FieldErrors),
    /// There is a job of this name.
    #[error("there is a job {0:?} already; change it with PATCH, or delete it first")]
    Exists(String),
    /// There is no job of this name.
    #[error("there is no job {0:?}")]
    Missing(String),
    /// The definition comes from a file.
    #[error(
        "the job {0:?} comes from the file of --connectors.file (connectors_file): change it there"
    )]
    FromFile(String),
    /// The state cannot be read or written.
    #[error(transparent)]
    State(#[from] StateError),
    /// There is no memory to read the definition.
    #[error("{0}{remedy}", remedy = RAISE_MEMORY)]
    Memory(#[from] BudgetExceeded),
}

impl Registry {
    /// Returns a registry of the definitions of `kinds` in `state`, and of those `from_file`.
    pub fn new(state: State, kinds: &'static [Kind], from_file: Vec<Arc<Definition>>) -> Self {
        Self {
            state,
            kinds,
            from_file,
            changed: Notify::new(),
            has_warned: AtomicBool::new(false),
        }
    }

    /// Returns the state with records and cursors.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Returns the types of jobs.
    pub fn kinds(&self) -> &'static [Kind] {
        self.kinds
    }

    /// Returns once this process has changed a definition.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Stores a new definition and returns its name. `reservation` grows by its memory before it is read.
    ///
    /// # Errors
    /// It is invalid, there is a job of its name, or there is no memory.
    pub async fn create(
        &self,
        json: &[u8],
        reservation: &mut Reservation,
    ) -> Result<String, RegistryError> {
        reservation.grow(TREES_OF_DEFINITION * tree_bytes(json))?;
        let definition = Definition::parse(json, self.kinds)?;
        let name = &definition.name;
        if self.is_from_file(name) {
            return Err(RegistryError::FromFile(name.clone()));
        }
        let text = definition.text();
        if self.state.get(DEFINITIONS, name).await?.is_some() {
            return Err(RegistryError::Exists(name.clone()));
        }
        // A job that was deleted during a run may have left something.
        self.delete_record(name).await?;
        let put = self
            .state
            .put(DEFINITIONS, name, &text, Expect::Absent, None);
        if !put.await? {
            return Err(RegistryError::Exists(name.clone()));
        }
        self.changed.notify_one();
        if !self.state.is_persistent() && !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "Definitions of jobs are in memory only and end with the process; set --state-store (state_store) \
                 to store them."
            );
        }
        Ok(definition.name)
    }

    /// Returns all jobs, by name.
    ///
    /// # Errors
    /// The state cannot be read.
    pub async fn list(&self) -> Result<Vec<Entry>, RegistryError> {
        let mut records = BTreeMap::new();
        for item in self.state.list(RECORDS).await? {
            records.insert(item.name, read::<JobRecord>(&item.value)?);
        }
        let mut entries = BTreeMap::new();
        for mut entry in self.definitions().await? {
            entry.record = records.remove(&entry.name).unwrap_or_default();
            entries.insert(entry.name.clone(), entry);
        }
        for (name, record) in records {
            let entry = Entry::new(name, String::new(), record);
            entries.insert(entry.name.clone(), entry);
        }
        Ok(entries.into_values().collect())
    }

    /// Returns all jobs without their records. A definition of the file has precedence over a stored one
    /// of the same name.
    ///
    /// # Errors
    /// The state cannot be read.
    pub async fn definitions(&self) -> Result<Vec<Entry>, StateError> {
        let mut entries: Vec<Entry> = self.from_file.iter().map(Entry::from_file).collect();
        for item in self.state.list(DEFINITIONS).await? {
            if !self.is_from_file(&item.name) {
                let mut entry = Entry::new(item.name, item.version, JobRecord::default());
                entry.read(&item.value, self.kinds);
                entries.push(entry);
            }
        }
        Ok(entries)
    }

    /// Returns true if the definition of `name` still has this `version`: another process may have changed it.
    ///
    /// # Errors
    /// The state cannot be read.
    pub async fn is_current(&self, name: &str, version: &str) -> Result<bool, StateError> {
        if self.is_from_file(name) {
            return Ok(true);
        }
        let item = self.state.get(DEFINITIONS, name).await?;
        Ok(item.is_some_and(|item| item.version == version))
    }

    /// Returns the job `name`.
    ///
    /// # Errors
    /// There is none, or the state cannot be read.
    pub async fn get(&self, name: &str) -> Result<Entry, RegistryError> {
        check_name(name)?;
        let record = self.record(name).await?;
        let from_file = self.from_file.iter().find(|it| it.name == name);
        if let Some(definition) = from_file {
            return Ok(Entry {
                record: record.unwrap_or_default(),
                ..Entry::from_file(definition)
            });
        }
        match (self.state.get(DEFINITIONS, name).await?, record) {
            (Some(item), record) => {
                let mut entry = Entry::new(item.name, item.version, record.unwrap_or_default());
                entry.read(&item.value, self.kinds);
                Ok(entry)
            }
            (None, Some(record)) => Ok(Entry::new(name.to_owned(), String::new(), record)),
            (None, None) => Err(RegistryError::Missing(name.to_owned())),
        }
    }

    /// Changes a definition by a JSON merge patch (RFC 7396); the result is checked like a new definition.
    /// `reservation` grows by the memory of both before they are read.
    ///
    /// # Errors
    /// There is none, it comes from a file, the result is invalid, or there is no memory.
    pub async fn patch(
        &self,
        name: &str,
        patch: &[u8],
        reservation: &mut Reservation,
    ) -> Result<(), RegistryError> {
        check_name(name)?;
        reservation.grow(TREES_OF_PATCH * tree_bytes(patch))?;
        let expected = "expected a JSON merge patch, an object";
        let patch: Value = serde_json::from_slice(patch)
            .map_err(|error| FieldErrors::one("", format_args!("{expected}: {error}")))?;
        let Value::Object(patch) = patch else {
            return Err(FieldErrors::one("", expected).into());
        };
        if self.is_from_file(name) {
            return Err(RegistryError::FromFile(name.to_owned()));
        }
        for _ in 0..MAX_CHANGES {
            let found = self.state.get(DEFINITIONS, name).await?;
            let item = found.ok_or_else(|| RegistryError::Missing(name.to_owned()))?;
            let memory = TREES_OF_PATCH * tree_bytes(item.value.as_bytes());
            reservation.grow(memory)?;
            let source: Map<String, Value> = serde_json::from_str(&item.value)
                .map_err(|error| StateError::unreadable(&error))?;
            let changed = Value::Object(patched(&source, patch.clone()));
            let definition = Definition::of(changed, self.kinds)?;
            if definition.name != name {
                return Err(
                    FieldErrors::one("name", "cannot be changed; create another job").into(),
                );
            }
            let text = definition.text();
            if text.len() > MAX_DEFINITION_BYTES {
                let bytes = text.len();
                let text = format!("has {bytes} bytes; expected at most {MAX_DEFINITION_BYTES}");
                return Err(FieldErrors::one("", text).into());
            }
            let expect = Expect::Version(item.version);
            if self
                .state
                .put(DEFINITIONS, name, &text, expect, None)
                .await?
            {
                self.changed.notify_one();
                return Ok(());
            }
            reservation.shrink(memory);
        }
        Err(StateError::contended(name).into())
    }

    /// Deletes a definition with its record and its cursors.
    ///
    /// # Errors
    /// There is none, it comes from a file, or the state cannot be written.
    pub async fn delete(&self, name: &str) -> Result<(), RegistryError> {
        check_name(name)?;
        if self.is_from_file(name) {
            return Err(RegistryError::FromFile(name.to_owned()));
        }
        let was_stored = self.state.delete(DEFINITIONS, name).await?;
        let had_record = self.delete_record(name).await?;
        if !was_stored && !had_record {
            return Err(RegistryError::Missing(name.to_owned()));
        }
        self.changed.notify_one();
        Ok(())
    }

    /// Pauses a job: ticks do nothing until it is resumed.
    ///
    /// # Errors
    /// There is none, or the state cannot be written.
    pub async fn pause(&self, name: &str) -> Result<(), RegistryError> {
        self.get(name).await?;
        self.change(name, |record| record.paused = true).await?;
        Ok(())
    }

    /// Resumes a job that was paused or disabled.
    ///
    /// # Errors
    /// There is none, or the state cannot be written.
    pub async fn resume(&self, name: &str) -> Result<(), RegistryError> {
        self.get(name).await?;
        self.change(name, JobRecord::resume).await?;
        Ok(())
    }

    /// Changes the record of a job; see [`State::change`].
    ///
    /// # Errors
    /// The state cannot be read or written.
    pub async fn change<T>(
        &self,
        name: &str,
        change: impl FnMut(&mut JobRecord) -> T,
    ) -> Result<T, StateError> {
        self.state.change(RECORDS, name, change).await
    }

    /// Deletes the record and the cursors of a job; returns false if it had no record.
    async fn delete_record(&self, name: &str) -> Result<bool, StateError> {
        let had_record = self.state.delete(RECORDS, name).await?;
        self.state.clear(&cursors_of(name)).await?;
        Ok(had_record)
    }

    async fn record(&self, name: &str) -> Result<Option<JobRecord>, StateError> {
        let item = self.state.get(RECORDS, name).await?;
        item.map(|item| read::<JobRecord>(&item.value)).transpose()
    }

    fn is_from_file(&self, name: &str) -> bool {
        self.from_file.iter().any(|it| it.name == name)
    }
}

impl Entry {
    fn new(name: String, version: String, record: JobRecord) -> Self {
        Self {
            name,
            definition: None,
            unusable: None,
            version,
            is_from_file: false,
            record,
        }
    }

    fn from_file(definition: &Arc<Definition>) -> Self {
        Self {
            definition: Some(Arc::clone(definition)),
            is_from_file: true,
            ..Self::new(definition.name.clone(), String::new(), JobRecord::default())
        }
    }

    fn read(&mut self, text: &str, kinds: &'static [Kind]) {
        match Definition::parse(text.as_bytes(), kinds) {
            Ok(definition) => self.definition = Some(Arc::new(definition)),
            Err(errors) => self.unusable = Some(errors),
        }
    }
}

/// Returns the collection of the cursors of the job `name`.
pub(super) fn cursors_of(name: &str) -> String {
    format!("cursors-{name}")
}

/// Checks a name: a job cannot have an invalid one, and not every state would accept it.
fn check_name(name: &str) -> Result<(), RegistryError> {
    if is_name(name) {
        Ok(())
    } else {
        Err(RegistryError::Missing(name.to_owned()))
    }
}
