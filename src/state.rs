//! The state: small texts by name, in collections, each with a version, so that several processes can
//! change them without a lock.
//!
//! [`memory`] holds them as long as the process lives, [`folder`] in files, [`dynamodb`] in a table.
//! [`record`] is the compare-and-set of a text that is JSON, [`lease`] the right of one process within it.

pub mod dynamodb;
pub mod folder;
pub mod lease;
pub mod memory;
pub mod record;

use std::fmt;
use std::io;
use std::path::PathBuf;

use aws_config::SdkConfig;
use jiff::Timestamp;

pub use dynamodb::Table;
pub use folder::Folder;
pub use memory::Memory;
pub use record::Record;

/// The configured store of the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateStore {
    /// `file:DIR`: files in a folder.
    Folder(PathBuf),
    /// `dynamodb:TABLE`: a table of DynamoDB.
    DynamoDb(String),
}

/// The state cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the state cannot be read or written: {0}")]
pub struct StateError(pub String);

/// The state in its store; cheap to clone.
#[derive(Clone, Debug)]
pub enum State {
    /// As long as the process lives.
    Memory(Memory),
    /// In files.
    Folder(Folder),
    /// In a table.
    DynamoDb(Table),
}

/// One text.
#[derive(Clone, PartialEq, Eq)]
pub struct Item {
    /// Its name in the collection.
    pub name: String,
    /// The text.
    pub value: String,
    /// The version, different for each text that ever had this name.
    pub version: String,
}

/// Without the text: that of a definition may hold secrets.
impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Item")
            .field("name", &self.name)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl StateError {
    /// Returns the error for a stored text that another program wrote. It has no more of `error` than the
    /// position: serde repeats values, and a definition may hold secrets.
    pub fn unreadable(error: &serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        Self(format!(
            "the stored text is not one that this program stored (line {line}, column {column})"
        ))
    }

    /// Returns the error for a text that other processes changed at every attempt.
    pub fn contended(name: &str) -> Self {
        Self(format!(
            "too many processes change {name:?} at the same time; try again"
        ))
    }
}

/// The condition under which a text is put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// There is none of this name.
    Absent,
    /// The stored one has this version.
    Version(String),
    /// None.
    Anything,
}

impl Expect {
    /// Returns true if `stored` fulfils the condition.
    fn is_met(&self, stored: Option<&Item>) -> bool {
        match self {
            Self::Absent => stored.is_none(),
            Self::Version(version) => stored.is_some_and(|item| item.version == *version),
            Self::Anything => true,
        }
    }
}

impl StateStore {
    /// Reads `file:DIR` or `dynamodb:TABLE`.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(folder) = text.strip_prefix("file:") {
            return (!folder.is_empty()).then(|| Self::Folder(folder.into()));
        }
        // A name, or the table's ARN
        // (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html>).
        let table = text.strip_prefix("dynamodb:")?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        let name = match table.strip_prefix("arn:") {
            Some(arn) => arn.rsplit_once(":table/")?.1,
            None => table,
        };
        let fits = (3..=255).contains(&name.len()) && name.chars().all(is_name);
        fits.then(|| Self::DynamoDb(table.to_owned()))
    }
}

impl fmt::Display for StateStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "file:{}", path.display()),
            Self::DynamoDb(table) => write!(f, "dynamodb:{table}"),
        }
    }
}

impl State {
    /// Opens the configured store; the memory of the process if none is.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn open(store: Option<&StateStore>, shared: &SdkConfig) -> io::Result<Self> {
        Ok(match store {
            None => Self::Memory(Memory::default()),
            Some(StateStore::Folder(path)) => Self::Folder(Folder::open(path)?),
            Some(StateStore::DynamoDb(table)) => Self::DynamoDb(Table::new(shared, table)),
        })
    }

    /// Returns true if it outlives the process.
    pub fn is_persistent(&self) -> bool {
        !matches!(self, Self::Memory(_))
    }

    /// Returns the text `name` of `collection`.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn get(&self, collection: &str, name: &str) -> Result<Option<Item>, StateError> {
        match self {
            Self::Memory(memory) => Ok(memory.get(collection, name)),
            Self::Folder(folder) => folder.get(collection, name).await,
            Self::DynamoDb(table) => table.get(collection, name).await,
        }
    }

    /// Stores a text if the condition `expect` is met; returns false if it is not. The text is safe when this
    /// returns.
    ///
    /// After `expires_at` nothing needs it any more; a store may then delete it.
    ///
    /// # Errors
    /// The store cannot be written; the text may be stored nevertheless.
    pub async fn put(
        &self,
        collection: &str,
        name: &str,
        value: &str,
        expect: Expect,
        expires_at: Option<Timestamp>,
    ) -> Result<bool, StateError> {
        match self {
            Self::Memory(memory) => Ok(memory.put(collection, name, value, &expect)),
            Self::Folder(folder) => folder.put(collection, name, value, expect).await,
            Self::DynamoDb(table) => table.put(collection, name, value, expect, expires_at).await,
        }
    }

    /// Deletes a text; returns false if there was none.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn delete(&self, collection: &str, name: &str) -> Result<bool, StateError> {
        match self {
            Self::Memory(memory) => Ok(memory.delete(collection, name)),
            Self::Folder(folder) => folder.delete(collection, name).await,
            Self::DynamoDb(table) => table.delete(collection, name).await,
        }
    }

    /// Returns all texts of a collection, by name.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn list(&self, collection: &str) -> Result<Vec<Item>, StateError> {
        match self {
            Self::Memory(memory) => Ok(memory.list(collection)),
            Self::Folder(folder) => folder.list(collection).await,
            Self::DynamoDb(table) => table.list(collection).await,
        }
    }

    /// Deletes all texts of a collection.
    ///
    /// # Errors
    /// The store cannot be written; some may be deleted.
    pub async fn clear(&self, collection: &str) -> Result<(), StateError> {
        for item in self.list(collection).await? {
            self.delete(collection, &item.name).await?;
        }
        Ok(())
    }
}

/// Returns a version that no text has had before.
fn new_version() -> String {
    format!("{:016x}", fastrand::u64(..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores() {
        let folder = |path: &str| Some(StateStore::Folder(path.into()));
        let table = |name: &str| Some(StateStore::DynamoDb(name.to_owned()));
        let arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/state";
        for (text, expected) in [
            ("file:/var/lib/state", folder("/var/lib/state")),
            ("file:", None),
            ("dynamodb:state-1_a.b", table("state-1_a.b")),
            (&format!("dynamodb:{arn}"), table(arn)),
            ("dynamodb:", None),
            ("dynamodb:ab", None),
            ("dynamodb:a b c", None),
            ("dynamodb:arn:aws:s3:::bucket", None),
            ("/var/lib/state", None),
            ("s3:bucket", None),
        ] {
            assert_eq!(StateStore::parse(text), expected, "{text}");
            if let Some(store) = expected {
                assert_eq!(store.to_string(), text);
            }
        }
    }
}
