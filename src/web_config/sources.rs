//! The files that were read, and their changes.

use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Every file that was read, with its stamp just before.
#[derive(Debug, Default)]
pub(super) struct Sources(Vec<(PathBuf, Option<Stamp>)>);

/// Tells one version of a file from another; replacing, renaming over it and moving a symbolic link
/// (as Kubernetes does) all change it.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
    identity: Identity,
}

/// More metadata of a file: device, inode and the time of their last change.
#[cfg(unix)]
type Identity = (u64, u64, i64, i64);
/// More metadata of a file: the time of its creation.
#[cfg(not(unix))]
type Identity = Option<SystemTime>;

impl Sources {
    /// Reads a file and remembers it, also if it cannot be read.
    pub(super) fn read(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        // Before the content, so that the next check notices a change in between.
        self.0.push((path.to_owned(), stamp(path)));
        std::fs::read(path)
    }

    /// Returns true if no file has changed.
    pub(super) fn are_unchanged(&self) -> bool {
        self.0.iter().all(|(path, known)| *known == stamp(path))
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    std::fs::metadata(path)
        .ok()
        .map(|metadata: Metadata| Stamp {
            bytes: metadata.len(),
            modified: metadata.modified().ok(),
            identity: identity(&metadata),
        })
}

#[cfg(unix)]
fn identity(metadata: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt;
    let (changed, nanoseconds) = (metadata.ctime(), metadata.ctime_nsec());
    (metadata.dev(), metadata.ino(), changed, nanoseconds)
}

#[cfg(not(unix))]
fn identity(metadata: &Metadata) -> Identity {
    metadata.created().ok()
}
