//! State in files that several processes of a machine share: a folder for each collection with a file for
//! each text.
//!
//! A file is written under another name and renamed, so a reader finds the old text or the new one, also
//! after a power cut or `kill -9`. Writers hold a lock, which the system releases when a process ends.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::{Expect, Item, StateError, new_version};

/// Name of the file that is locked for a change.
const LOCK: &str = ".lock";
/// Prefix of the names of unfinished files.
const UNFINISHED: &str = ".new-";
/// Suffix of the names of complete files.
const COMPLETE: &str = ".json";
/// The most bytes of a file's name; file systems accept 255.
const MAX_NAME: usize = 200;

/// The longest time that a change waits for the lock: another process may be stopped while it holds it.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two attempts to get the lock.
const LOCK_POLL: Duration = Duration::from_millis(10);
/// Operations at a time. Each occupies a thread, for ever on a file system that does not respond, and threads are
/// needed for other work.
const MAX_OPERATIONS: usize = 16;

/// Texts in a folder; clones share it.
#[derive(Clone, Debug)]
pub struct Folder {
    path: Arc<PathBuf>,
    operations: Arc<Semaphore>,
}

/// The first line of a file; the text follows.
#[derive(Serialize, Deserialize)]
struct Header {
    name: String,
    version: String,
}

impl Folder {
    /// Opens the folder, and creates it if it is missing. Unfinished files of other processes are deleted.
    ///
    /// # Errors
    /// It cannot be created or written.
    pub fn open(path: &Path) -> io::Result<Self> {
        make_private(path)?;
        let folder = Self {
            path: Arc::new(path.to_owned()),
            operations: Arc::new(Semaphore::new(MAX_OPERATIONS)),
        };
        let _lock = folder.lock()?;
        for collection in fs::read_dir(path)? {
            let collection = collection?;
            if !collection.file_type()?.is_dir() {
                continue;
            }
            for file in fs::read_dir(collection.path())? {
                let file = file?;
                if file.file_name().to_string_lossy().starts_with(UNFINISHED) {
                    fs::remove_file(file.path())?;
                }
            }
        }
        Ok(folder)
    }

    pub(super) async fn get(
        &self,
        collection: &str,
        name: &str,
    ) -> Result<Option<Item>, StateError> {
        let path = self.file(collection, name);
        self.blocking(move || read(&path)).await
    }

    pub(super) async fn put(
        &self,
        collection: &str,
        name: &str,
        value: &str,
        expect: Expect,
    ) -> Result<bool, StateError> {
        let (folder, path) = (self.clone(), self.file(collection, name));
        let header = Header {
            name: name.to_owned(),
            version: new_version(),
        };
        let header = serde_json::to_string(&header).expect("two texts are valid JSON");
        let text = format!("{header}\n{value}");
        self.blocking(move || {
            let _lock = folder.lock()?;
            if expect != Expect::Anything && !expect.is_met(read(&path)?.as_ref()) {
                return Ok(false);
            }
            write(&folder.path, &path, &text)?;
            Ok(true)
        })
        .await
    }

    pub(super) async fn delete(&self, collection: &str, name: &str) -> Result<bool, StateError> {
        let (folder, path) = (self.clone(), self.file(collection, name));
        self.blocking(move || {
            let _lock = folder.lock()?;
            match fs::remove_file(&path) {
                Ok(()) => sync_folder(parent(&path)).map(|()| true),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
                Err(error) => Err(error),
            }
        })
        .await
    }

    pub(super) async fn list(&self, collection: &str) -> Result<Vec<Item>, StateError> {
        let path = self.path.join(file_name(collection));
        self.blocking(move || {
            let files = match fs::read_dir(&path) {
                Ok(files) => files,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                Err(error) => return Err(error),
            };
            let mut items = Vec::new();
            for file in files {
                let path = file?.path();
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                if name.ends_with(COMPLETE) && !name.starts_with(UNFINISHED) {
                    // It may have been deleted meanwhile.
                    items.extend(read(&path)?);
                }
            }
            items.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(items)
        })
        .await
    }

    /// Waits until no other process or task changes anything.
    fn lock(&self) -> io::Result<File> {
        let path = self.path.join(LOCK);
        let file = private().create(true).append(true).open(&path)?;
        let begin = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(error)) => return Err(of_file(&path, &error)),
                Err(TryLockError::WouldBlock) if begin.elapsed() >= LOCK_TIMEOUT => {
                    let text = format!(
                        "another process has held the lock for {} s; end it if it is stopped",
                        LOCK_TIMEOUT.as_secs()
                    );
                    let error = io::Error::new(io::ErrorKind::TimedOut, text);
                    return Err(of_file(&path, &error));
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_POLL),
            }
        }
    }

    /// Runs file operations on a thread of their own, off those that serve connections.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, StateError> {
        let permit = Arc::clone(&self.operations).acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let work = move || {
            // Until the thread is free, also if nobody waits for the result any more.
            let _permit = permit;
            work()
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(done) => done.map_err(|error| StateError(error.to_string())),
            Err(_) => Err(StateError("the runtime is shutting down".to_owned())),
        }
    }

    fn file(&self, collection: &str, name: &str) -> PathBuf {
        self.path
            .join(file_name(collection))
            .join(file_name(name) + COMPLETE)
    }
}

/// Returns a file name that every file system accepts, case-insensitive ones too, different for each text.
fn file_name(text: &str) -> String {
    let mut name = String::new();
    for byte in text.bytes() {
        let is_plain = byte.is_ascii_lowercase() || byte.is_ascii_digit();
        // A leading dot would hide the file, or be one of the two special names.
        if is_plain || matches!(byte, b'_' | b'-') || (byte == b'.' && !name.is_empty()) {
            name.push(char::from(byte));
        } else {
            name += &format!("%{byte:02x}");
        }
    }
    if name.len() <= MAX_NAME {
        return name;
    }
    let digest = digest(&SHA256, text.as_bytes());
    let hex: String = digest
        .as_ref()
        .iter()
        .map(|it| format!("{it:02x}"))
        .collect();
    // No short name has this percent sign.
    format!("%sha256-{hex}")
}

fn read(path: &Path) -> io::Result<Option<Item>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(of_file(path, &error)),
    };
    let (head, value) = text.split_once('\n').unwrap_or((&text, ""));
    let header: Header =
        serde_json::from_str(head).map_err(|error| of_file(path, &error.into()))?;
    Ok(Some(Item {
        name: header.name,
        value: value.to_owned(),
        version: header.version,
    }))
}

fn write(folder: &Path, path: &Path, text: &str) -> io::Result<()> {
    let collection = parent(path);
    if !collection.is_dir() {
        make_private(collection)?;
        sync_folder(folder)?;
    }
    let unfinished = collection.join(format!("{UNFINISHED}{}", new_version()));
    let written = (|| {
        let mut file = private().create_new(true).write(true).open(&unfinished)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    })();
    if let Err(error) = written {
        drop(fs::remove_file(&unfinished));
        return Err(of_file(path, &error));
    }
    sync_folder(collection)
}

fn parent(path: &Path) -> &Path {
    path.parent().expect("every text is in a collection")
}

/// Syncs a folder, so that renamed files survive a power cut.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(path)?.sync_all()?;
    }
    Ok(())
}

/// Returns options for files that only this user can read: definitions may hold secrets.
fn private() -> OpenOptions {
    #[cfg(unix)]
    {
        let mut options = OpenOptions::new();
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options
    }
    #[cfg(not(unix))]
    OpenOptions::new()
}

fn make_private(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn of_file(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_has_a_file_name_of_its_own() {
        let long = "é".repeat(100);
        let longer = format!("{long}x");
        let cases = [
            ("node-exporter_1.x", "node-exporter_1.x"),
            ("A", "%41"),
            ("a", "a"),
            ("a/b", "a%2fb"),
            ("..", "%2e."),
            (".new-1", "%2enew-1"),
            ("", ""),
            ("%41", "%2541"),
        ];
        for (text, expected) in cases {
            assert_eq!(file_name(text), expected);
        }
        assert_ne!(file_name(&long), file_name(&longer));
        assert!(file_name(&longer).len() <= MAX_NAME);
        assert!(file_name(&long).starts_with("%sha256-"));
    }

    #[tokio::test]
    async fn unfinished_files_are_never_read_and_are_deleted() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Folder::open(temp.path()).unwrap();
        assert!(folder.put("c", "n", "v", Expect::Absent).await.unwrap());
        let left = temp.path().join("c").join(format!("{UNFINISHED}1"));
        fs::write(&left, "hal").unwrap();
        assert_eq!(folder.list("c").await.unwrap().len(), 1);
        let again = Folder::open(temp.path()).unwrap();
        assert!(!left.exists());
        assert_eq!(again.get("c", "n").await.unwrap().unwrap().value, "v");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn others_of_the_machine_read_nothing() {
        use std::os::unix::fs::PermissionsExt;
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("state");
        let folder = Folder::open(&path).unwrap();
        assert!(folder.put("c", "n", "v", Expect::Absent).await.unwrap());
        for (path, mode) in [(path.clone(), 0o700), (path.join("c/n.json"), 0o600)] {
            let permissions = fs::metadata(&path).unwrap().permissions();
            assert_eq!(permissions.mode() & 0o777, mode, "{}", path.display());
        }
    }

    #[tokio::test]
    async fn a_lock_that_is_never_released_is_an_error_and_occupies_few_threads() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Folder::open(temp.path()).unwrap();
        let lock = folder.lock().unwrap();
        let put = |name: usize| {
            let folder = folder.clone();
            async move {
                folder
                    .put("c", &name.to_string(), "v", Expect::Absent)
                    .await
            }
        };
        let mut puts: tokio::task::JoinSet<_> = (0..3 * MAX_OPERATIONS).map(put).collect();
        let first = puts.join_next().await.unwrap().unwrap();
        let error = first.unwrap_err().to_string();
        assert!(
            error.contains(".lock: another process has held the lock"),
            "{error}"
        );
        drop(lock);
        let rest = puts.join_all().await;
        assert!(
            rest[rest.len() - 1].as_ref().is_ok_and(|it| *it),
            "{rest:?}"
        );
        assert!(put(100).await.unwrap());
    }

    #[tokio::test]
    async fn a_broken_file_is_named() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Folder::open(temp.path()).unwrap();
        assert!(folder.put("c", "n", "v", Expect::Absent).await.unwrap());
        fs::write(temp.path().join("c/n.json"), "garbage").unwrap();
        let error = folder.get("c", "n").await.unwrap_err().to_string();
        assert!(error.contains("n.json: expected value"), "{error}");
    }
}
