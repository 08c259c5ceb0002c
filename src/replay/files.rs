//! Files of dead letters, and logs that hold some.

use std::fs::{File, TryLockError};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::lines::{Line, read};
use super::{LETTERS_AT_ONCE, MAX_BATCH_BYTES, Progress, Replay, Summary, Target};
use crate::dead_letter::Folder;

impl<T: Target, P: Progress> Replay<T, P> {
    /// Replays every file of a folder. Letters that are still not stored stay there, in a file of the same
    /// name; other files are removed.
    pub async fn folder(&self, path: &Path, summary: &mut Summary) {
        let files = match Folder::existing(path).files() {
            Ok(files) => files,
            Err(error) => {
                let problem = format!("{} cannot be read: {error}", path.display());
                return summary.problems.push(problem);
            }
        };
        for file in &files {
            self.progress.expect(size(file));
        }
        for file in &files {
            self.replay(file, summary).await;
        }
    }

    /// Replays one file. A file of nothing but letters is left with those that are still not stored,
    /// and removed if there are none; a log is left as it is.
    pub async fn file(&self, path: &Path, summary: &mut Summary) {
        self.progress.expect(size(path));
        self.replay(path, summary).await;
    }

    async fn replay(&self, path: &Path, summary: &mut Summary) {
        if let Err(problem) = self.try_replay(path, summary).await {
            let problem = format!("{}: {problem}", path.display());
            summary.problems.push(problem);
        }
    }

    async fn try_replay(&self, path: &Path, summary: &mut Summary) -> Result<(), String> {
        let text = |error: io::Error| error.to_string();
        if Folder::appends_to(path) {
            return Err("dead letters are being added to it; replay its folder instead".to_owned());
        }
        let file = File::open(path).map_err(text)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err("another process is replaying it".to_owned());
            }
            Err(TryLockError::Error(error)) => return Err(error.to_string()),
        }
        let content = self
            .read_letters(&file, path, summary)
            .await
            .map_err(text)?;
        if !content.has_letters {
            return Err("it holds no dead letters".to_owned());
        }
        if content.is_log || !content.is_changed {
            return Ok(());
        }
        let left = content.rest.take_place(path);
        left.map_err(|error| {
            format!("the letters that are not stored cannot be written back to it: {error}")
        })
    }

    async fn read_letters(
        &self,
        file: &File,
        path: &Path,
        summary: &mut Summary,
    ) -> io::Result<Content> {
        let mut reader = BufReader::new(file);
        let mut content = Content::of(path);
        let (mut waiting, mut waiting_bytes) = (Vec::new(), 0);
        let mut number = 0_u64;
        loop {
            let mut line = Vec::new();
            let bytes = reader.read_until(b'\n', &mut line)?;
            if bytes > 0 {
                number += 1;
                let line = String::from_utf8_lossy(&line);
                let line = line.trim_end_matches(['\n', '\r']);
                let letter = match read(line) {
                    Line::Letter(letter) => Some(letter),
                    Line::Logged(letter) => {
                        content.is_log = true;
                        Some(letter)
                    }
                    Line::Unreadable(error) => {
                        let place = format!("{}:{number}", path.display());
                        summary.unreadable(&place, &error.to_string());
                        content.has_letters = true;
                        content.rest.push(line);
                        None
                    }
                    Line::Other => {
                        content.is_log |= !line.is_empty();
                        None
                    }
                };
                content.has_letters |= letter.is_some();
                match letter {
                    Some(letter) if self.target.accepts(&letter) => {
                        content.is_changed = true;
                        waiting.push(*letter);
                        waiting_bytes += bytes;
                    }
                    Some(letter) => {
                        content.rest.push(line);
                        summary.other(*letter);
                    }
                    None => {}
                }
                self.progress.advance(bytes as u64);
            }
            let is_full = waiting.len() >= LETTERS_AT_ONCE || waiting_bytes >= MAX_BATCH_BYTES;
            if is_full || bytes == 0 {
                let mut leave = |line: &str| content.rest.push(line);
                self.write(&mut waiting, summary, &mut leave).await;
                waiting_bytes = 0;
            }
            if bytes == 0 {
                return Ok(content);
            }
        }
    }
}

/// The content of a file, and the lines that are left of it.
struct Content {
    has_letters: bool,
    is_log: bool,
    /// True if letters of it were written.
    is_changed: bool,
    rest: Rest,
}

impl Content {
    fn of(path: &Path) -> Self {
        Self {
            has_letters: false,
            is_log: false,
            is_changed: false,
            rest: Rest {
                staged: Staged::beside(path),
                file: None,
            },
        }
    }
}

/// The lines that stay of a file. They go to another file as they come: there may be many.
struct Rest {
    staged: Staged,
    /// Created with the first line.
    file: Option<io::Result<BufWriter<File>>>,
}

impl Rest {
    /// Adds a line. An error of writing is returned when the file is to take its place: a log needs none.
    fn push(&mut self, line: &str) {
        let make = || File::create(&self.staged.0).map(BufWriter::new);
        let file = self.file.get_or_insert_with(make);
        if let Ok(writer) = file
            && let Err(error) = writeln!(writer, "{line}")
        {
            *file = Err(error);
        }
    }

    /// Puts the lines in place of the file `path`, in one step; without any the file is removed.
    fn take_place(self, path: &Path) -> io::Result<()> {
        let Some(file) = self.file else {
            return std::fs::remove_file(path);
        };
        let file = file?.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        std::fs::rename(&self.staged.0, path)
    }
}

/// A file that is to take the place of another; it is removed when this is dropped, however its writing
/// ends. Once it is renamed there is nothing left to remove, and the lock of the other file keeps other
/// processes from creating it.
struct Staged(PathBuf);

impl Staged {
    fn beside(path: &Path) -> Self {
        Self(path.with_added_extension("part"))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Most often there is none, and there is no place for another error.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(path: &Path) -> Rest {
        let mut rest = Content::of(path).rest;
        rest.push("no letter");
        rest
    }

    #[test]
    fn what_is_left_takes_the_place_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        std::fs::write(&path, "before").unwrap();
        rest(&path).take_place(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "no letter\n");
        Content::of(&path).rest.take_place(&path).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn no_staged_file_stays_after_an_error_or_a_panic() {
        let folder = tempfile::tempdir().unwrap();
        // A folder with something in it cannot be replaced by a file.
        let path = folder.path().join("a.jsonl");
        std::fs::create_dir_all(path.join("b")).unwrap();
        rest(&path).take_place(&path).unwrap_err();
        let staged = folder.path().join("a.jsonl.part");
        assert!(!staged.exists());

        let panicked = std::panic::catch_unwind(|| {
            let staged = Staged::beside(&path);
            std::fs::write(&staged.0, "a part").unwrap();
            panic!("as anything may");
        });
        assert!(panicked.is_err());
        assert!(!staged.exists());
    }
}
