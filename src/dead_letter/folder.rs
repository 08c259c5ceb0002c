//! Dead letters as files of JSON lines in one folder.
//!
//! Letters are appended to one file, `dead-letters.jsonl`, and are on the disk before the sender gets its
//! response. Any number of processes may share the folder: the one that writes holds the lock of the file.
//! A full file, and one that is to be replayed, is closed by renaming it to `dead-letters-*.jsonl`;
//! nothing is ever appended to such a file.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The file that letters are appended to.
const CURRENT: &str = "dead-letters.jsonl";
/// Names of closed files start and end with these.
const CLOSED: (&str, &str) = ("dead-letters-", ".jsonl");
/// Bytes from which on a file is closed.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// A folder of dead letters.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Creates the folder if it is missing, and checks that files can be written there.
    ///
    /// # Errors
    /// Files cannot be written there.
    pub fn open(path: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        let folder = Self {
            path: path.to_owned(),
        };
        folder.current()?;
        Ok(folder)
    }

    /// Returns a folder that is only read, and not created if it is missing.
    pub fn existing(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    /// Returns true if letters may be appended to this file at any moment.
    pub fn appends_to(path: &Path) -> bool {
        path.file_name().is_some_and(|name| name == CURRENT)
    }

    /// Appends complete lines; when this returns they are on the disk. If it fails none of them is
    /// there.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn append(&self, lines: &[u8]) -> io::Result<()> {
        let mut file = self.current()?;
        let mut end = end_of_lines(&mut file)?;
        if end > 0 && end + lines.len() as u64 > MAX_FILE_BYTES {
            self.close(&file)?;
            file = self.current()?;
            end = 0;
        }
        file.seek(SeekFrom::Start(end))?;
        let written = self.write(&mut file, end, lines);
        if written.is_err() {
            // A part of a line would look like damage. If this fails too, the next process that
            // appends removes it.
            let _ = file.set_len(end);
        }
        written
    }

    fn write(&self, file: &mut File, start: u64, lines: &[u8]) -> io::Result<()> {
        file.write_all(lines)?;
        file.set_len(start + lines.len() as u64)?;
        file.sync_data()?;
        // The name of a new file has to last too.
        if start == 0 {
            sync_folder(&self.path)
        } else {
            Ok(())
        }
    }

    /// Returns all files with letters, the oldest first; the current one is closed before.
    ///
    /// # Errors
    /// The folder cannot be read, or the current file not closed.
    pub fn files(&self) -> io::Result<Vec<PathBuf>> {
        if self.path.join(CURRENT).exists() {
            let mut file = self.current()?;
            let end = end_of_lines(&mut file)?;
            file.set_len(end)?;
            if end > 0 {
                self.close(&file)?;
            }
        }
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            if name.is_some_and(|name| name.starts_with(CLOSED.0) && name.ends_with(CLOSED.1)) {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }

    /// Returns the current file, locked until it is dropped.
    fn current(&self) -> io::Result<File> {
        let path = self.path.join(CURRENT);
        loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)?;
            file.lock()?;
            // Another process may have closed it between the opening and the lock.
            if is_same_file(&file, &path)? {
                return Ok(file);
            }
        }
    }

    /// Gives the current file, which `lock` holds, its final name.
    fn close(&self, lock: &File) -> io::Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_nanos();
        let closed = format!("{}{now:020}-{}{}", CLOSED.0, std::process::id(), CLOSED.1);
        lock.sync_all()?;
        std::fs::rename(self.path.join(CURRENT), self.path.join(closed))?;
        sync_folder(&self.path)
    }
}

/// Returns the position at which the complete lines of a file end: a process that was killed while it wrote
/// leaves a part of a line, which was never reported as stored.
fn end_of_lines(file: &mut File) -> io::Result<u64> {
    const STEP: u64 = 4096;
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut part = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(STEP);
        file.seek(SeekFrom::Start(start))?;
        part.clear();
        Read::by_ref(file)
            .take(end - start)
            .read_to_end(&mut part)?;
        if let Some(last) = part.iter().rposition(|&byte| byte == b'\n') {
            return Ok(start + last as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(unix)]
fn is_same_file(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let of_file = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(of_path) => Ok(of_file.dev() == of_path.dev() && of_file.ino() == of_path.ino()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// An open file cannot be renamed elsewhere.
#[cfg(not(unix))]
fn is_same_file(_file: &File, path: &Path) -> io::Result<bool> {
    path.try_exists()
}

/// Syncs the names in a folder to the disk.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    // Only Unix can open a folder.
    if cfg!(unix) {
        File::open(path)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn lines_are_appended_and_closed_for_whoever_replays() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::open(&temporary.path().join("a/b")).unwrap();
        assert_eq!(folder.files().unwrap(), Vec::<PathBuf>::new());
        folder.append(b"1\n").unwrap();
        folder.append(b"2\n3\n").unwrap();
        let files = folder.files().unwrap();
        assert_eq!(read(&files[0]), "1\n2\n3\n");

        folder.append(b"4\n").unwrap();
        let files = folder.files().unwrap();
        let texts: Vec<_> = files.iter().map(|path| read(path)).collect();
        assert_eq!(texts, ["1\n2\n3\n", "4\n"]);
        // Nothing new: nothing is closed again.
        assert_eq!(folder.files().unwrap(), files);
    }

    #[test]
    fn what_a_killed_process_left_of_a_line_is_removed() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::open(temporary.path()).unwrap();
        let current = temporary.path().join(CURRENT);
        let torn = format!("whole\n{}", "x".repeat(10_000));
        std::fs::write(&current, &torn).unwrap();
        folder.append(b"next\n").unwrap();
        assert_eq!(read(&current), "whole\nnext\n");

        std::fs::write(&current, &torn).unwrap();
        assert_eq!(read(&folder.files().unwrap()[0]), "whole\n");
        std::fs::write(&current, "torn only").unwrap();
        assert_eq!(folder.files().unwrap().len(), 1);
    }

    #[test]
    fn many_writers_lose_nothing_while_files_are_closed() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::open(temporary.path()).unwrap();
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let folder = folder.clone();
                scope.spawn(move || {
                    for i in 0..25 {
                        folder.append(format!("{writer} {i}\n").as_bytes()).unwrap();
                    }
                });
            }
            for _ in 0..5 {
                folder.files().unwrap();
            }
        });
        let files = folder.files().unwrap();
        let all: String = files.iter().map(|path| read(path)).collect();
        let mut lines: Vec<_> = all.lines().collect();
        lines.sort_unstable();
        lines.dedup();
        assert_eq!(lines.len(), 100);
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_an_error() {
        let temporary = tempfile::tempdir().unwrap();
        let file = temporary.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(Folder::open(&file).is_err());
    }
}
