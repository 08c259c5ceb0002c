//! The definitions that there are, and what is known of their runs.
//!
//! Some are given by file and stay as they are; the others are kept in the state, where several
//! processes see them. A definition is known by its name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Map, Value};
use tokio::sync::Notify;

use super::bucket::JobRecord;
use super::definition::{Definition, Kind, is_name, patched};
use crate::budget::{BudgetExceeded, Reservation};
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
/// A definition is in memory so many times while it is checked: as it was given, and as its type reads
/// it.
pub const TREES_OF_DEFINITION: usize = 2;
/// A patch and the definition that it changes: each before they are merged, a copy of each for the
/// merge, and as the type reads them.
const TREES_OF_PATCH: usize = 3;

/// Knows the definitions; one for the whole process.
#[derive(Debug)]
pub struct Registry {
    state: State,
    kinds: &'static [Kind],
    given: Vec<Arc<Definition>>,
    changed: Notify,
    has_warned: AtomicBool,
}

/// A definition and what is known of it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// The definition. `None` if it is not kept here, a scheduler's payload, or if it cannot be used.
    pub definition: Option<Arc<Definition>>,
    /// Why a kept one cannot be used: it was made by another version of the program.
    pub unusable: Option<FieldErrors>,
    /// Which of all that ever had this name it is.
    pub version: String,
    /// Whether it is given by file.
    pub is_given: bool,
    /// What is known of its runs.
    pub record: JobRecord,
}

/// Why definitions are not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// The definition cannot be used.
    #[error("{0}")]
    Invalid(#[from] FieldErrors),
    /// There is one of this name.
    #[error("there is a connector {0:?} already; change it with PATCH, or delete it first")]
    Exists(String),
    /// There is none of this name.
    #[error("there is no connector {0:?}")]
    Missing(String),
    /// It is given by file.
    #[error(
        "the connector {0:?} comes from the file of --connectors.file (connectors_file): change it there"
    )]
    Given(String),
    /// Where definitions are kept cannot be used now.
    #[error(transparent)]
    State(#[from] StateError),
    /// There is no memory to read it.
    #[error(transparent)]
    Memory(#[from] BudgetExceeded),
}

impl Registry {
    /// Definitions of `kinds` in `state`, beside those that are `given`.
    pub fn new(state: State, kinds: &'static [Kind], given: Vec<Arc<Definition>>) -> Self {
        Self {
            state,
            kinds,
            given,
            changed: Notify::new(),
            has_warned: AtomicBool::new(false),
        }
    }

    /// Where records and cursors are.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The types that there are.
    pub fn kinds(&self) -> &'static [Kind] {
        self.kinds
    }

    /// Returns once this process has changed a definition.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Keeps a new definition and returns its name. `reservation` has what it occupies before it is read.
    ///
    /// # Errors
    /// It cannot be used, there is one of its name, or there is no memory.
    pub async fn create(
        &self,
        json: &[u8],
        reservation: &mut Reservation,
    ) -> Result<String, RegistryError> {
        reservation.grow(TREES_OF_DEFINITION * tree_bytes(json))?;
        let definition = Definition::parse(json, self.kinds)?;
        let name = &definition.name;
        if self.is_given(name) {
            return Err(RegistryError::Given(name.clone()));
        }
        let text = definition.text();
        if self.state.get(DEFINITIONS, name).await?.is_some() {
            return Err(RegistryError::Exists(name.clone()));
        }
        // Of one that was deleted while it ran something may be left.
        self.forget(name).await?;
        let put = self
            .state
            .put(DEFINITIONS, name, &text, Expect::Absent, None);
        if !put.await? {
            return Err(RegistryError::Exists(name.clone()));
        }
        self.changed.notify_one();
        if !self.state.is_persistent() && !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "Connector definitions are kept in memory and end with the process; set --state \
                 (state) to keep them."
            );
        }
        Ok(definition.name)
    }

    /// All definitions, by name.
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

    /// All definitions without what is known of their runs. One that is given wins over one that is
    /// kept under its name.
    ///
    /// # Errors
    /// The state cannot be read.
    pub async fn definitions(&self) -> Result<Vec<Entry>, StateError> {
        let mut entries: Vec<Entry> = self.given.iter().map(Entry::given).collect();
        for item in self.state.list(DEFINITIONS).await? {
            if !self.is_given(&item.name) {
                let mut entry = Entry::new(item.name, item.version, JobRecord::default());
                entry.read(&item.value, self.kinds);
                entries.push(entry);
            }
        }
        Ok(entries)
    }

    /// Whether the definition of `entry` is still in force: another process may have changed it.
    ///
    /// # Errors
    /// The state cannot be read.
    pub async fn is_current(&self, name: &str, version: &str) -> Result<bool, StateError> {
        if self.is_given(name) {
            return Ok(true);
        }
        let item = self.state.get(DEFINITIONS, name).await?;
        Ok(item.is_some_and(|item| item.version == version))
    }

    /// The definition `name`.
    ///
    /// # Errors
    /// There is none, or the state cannot be read.
    pub async fn get(&self, name: &str) -> Result<Entry, RegistryError> {
        check_name(name)?;
        let record = self.record(name).await?;
        let given = self.given.iter().find(|it| it.name == name);
        if let Some(definition) = given {
            return Ok(Entry {
                record: record.unwrap_or_default(),
                ..Entry::given(definition)
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

    /// Changes a definition by a JSON merge patch (RFC 7396); what it becomes is checked as a new one
    /// would be. `reservation` has what both occupy before they are read.
    ///
    /// # Errors
    /// There is none, it is given by file, what it becomes cannot be used, or there is no memory.
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
        if self.is_given(name) {
            return Err(RegistryError::Given(name.to_owned()));
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
                return Err(FieldErrors::one(
                    "name",
                    "cannot be changed; create another connector",
                )
                .into());
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

    /// Deletes a definition with all that is known of it.
    ///
    /// # Errors
    /// There is none, it is given by file, or the state cannot be written.
    pub async fn delete(&self, name: &str) -> Result<(), RegistryError> {
        check_name(name)?;
        if self.is_given(name) {
            return Err(RegistryError::Given(name.to_owned()));
        }
        let was_kept = self.state.delete(DEFINITIONS, name).await?;
        let had_record = self.forget(name).await?;
        if !was_kept && !had_record {
            return Err(RegistryError::Missing(name.to_owned()));
        }
        self.changed.notify_one();
        Ok(())
    }

    /// Keeps ticks from running until the definition is resumed.
    ///
    /// # Errors
    /// There is none, or the state cannot be written.
    pub async fn pause(&self, name: &str) -> Result<(), RegistryError> {
        self.get(name).await?;
        self.change(name, |record| record.paused = true).await?;
        Ok(())
    }

    /// Lets ticks run again, also of one that was disabled.
    ///
    /// # Errors
    /// There is none, or the state cannot be written.
    pub async fn resume(&self, name: &str) -> Result<(), RegistryError> {
        self.get(name).await?;
        self.change(name, JobRecord::resume).await?;
        Ok(())
    }

    /// Changes the record of a definition, whoever else changes it at the same time; `change` is
    /// called again for each that was faster.
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

    /// Forgets the record and the cursors of a definition; returns whether it had a record.
    async fn forget(&self, name: &str) -> Result<bool, StateError> {
        let had_record = self.state.delete(RECORDS, name).await?;
        self.state.clear(&cursors_of(name)).await?;
        Ok(had_record)
    }

    async fn record(&self, name: &str) -> Result<Option<JobRecord>, StateError> {
        let item = self.state.get(RECORDS, name).await?;
        item.map(|item| read::<JobRecord>(&item.value)).transpose()
    }

    fn is_given(&self, name: &str) -> bool {
        self.given.iter().any(|it| it.name == name)
    }
}

impl Entry {
    fn new(name: String, version: String, record: JobRecord) -> Self {
        Self {
            name,
            definition: None,
            unusable: None,
            version,
            is_given: false,
            record,
        }
    }

    fn given(definition: &Arc<Definition>) -> Self {
        Self {
            definition: Some(Arc::clone(definition)),
            is_given: true,
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

/// The collection of the cursors of the definition `name`.
pub(super) fn cursors_of(name: &str) -> String {
    format!("cursors-{name}")
}

/// What cannot be a name is none of a definition; nor would every state take it.
fn check_name(name: &str) -> Result<(), RegistryError> {
    if is_name(name) {
        Ok(())
    } else {
        Err(RegistryError::Missing(name.to_owned()))
    }
}
