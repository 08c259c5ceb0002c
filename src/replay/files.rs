//! Files of dead letters, and logs that hold some.

use std::fs::{File, TryLockError};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use super::lines::{Line, read};
use super::{Progress, Replay, Summary};
use crate::dead_letter::{Folder, Letter, lines};

impl<P: Progress> Replay<'_, P> {
    /// Replays every file of a folder. What is still not stored stays there, in a file of the same
    /// name; files that are done are removed.
    pub async fn folder(&self, path: &Path, summary: &mut Summary) {
        let files = match Folder::existing(path).files() {
            Ok(files) => files,
            Err(error) => {
                let problem = format!("{} cannot be gone through: {error}", path.display());
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
        let content = self.go_through(&file, path, summary).await.map_err(text)?;
        if content.letters == 0 && content.unreadable.is_empty() {
            return Err("it holds no dead letters".to_owned());
        }
        if content.is_log {
            return Ok(());
        }
        leave(path, &content)
            .map_err(|error| format!("what is not stored cannot be kept in it: {error}"))
    }

    async fn go_through(
        &self,
        file: &File,
        path: &Path,
        summary: &mut Summary,
    ) -> io::Result<Content> {
        let mut reader = BufReader::new(file);
        let mut content = Content::default();
        let mut waiting = Vec::new();
        let mut number = 0_u64;
        loop {
            let mut line = Vec::new();
            let bytes = reader.read_until(b'\n', &mut line)?;
            if bytes > 0 {
                number += 1;
                let line = String::from_utf8_lossy(&line);
                let line = line.trim_end_matches(['\n', '\r']);
                match read(line) {
                    Line::Letter(letter) => waiting.push(*letter),
                    Line::Logged(letter) => {
                        content.is_log = true;
                        waiting.push(*letter);
                    }
                    Line::Unreadable(error) => {
                        let place = format!("{}:{number}", path.display());
                        summary.unreadable(&place, &error.to_string());
                        content.unreadable.push(line.to_owned());
                    }
                    Line::Other => content.is_log |= !line.is_empty(),
                }
                self.progress.advance(bytes as u64);
            }
            if waiting.len() >= super::LETTERS_AT_ONCE || (bytes == 0 && !waiting.is_empty()) {
                content.letters += waiting.len();
                let replayed = self.write(&waiting).await;
                waiting.clear();
                content.left.extend_from_slice(&replayed.left);
                summary.replayed.add(replayed);
            }
            if bytes == 0 {
                return Ok(content);
            }
        }
    }
}

/// What a file held and what is left of it.
#[derive(Debug, Default)]
struct Content {
    letters: usize,
    left: Vec<Letter>,
    unreadable: Vec<String>,
    is_log: bool,
}

/// Puts what is left in place of the file, in one step.
fn leave(path: &Path, content: &Content) -> io::Result<()> {
    if content.left.is_empty() && content.unreadable.is_empty() {
        return std::fs::remove_file(path);
    }
    let staged = Staged::beside(path);
    let mut file = File::create(&staged.0)?;
    write(&mut file, content)?;
    file.sync_all()?;
    std::fs::rename(&staged.0, path)
}

fn write(file: &mut impl Write, content: &Content) -> io::Result<()> {
    file.write_all(lines(&content.left).as_bytes())?;
    for line in &content.unreadable {
        writeln!(file, "{line}")?;
    }
    Ok(())
}

/// A file that is to take the place of another; it is gone when this is dropped, however its writing
/// ends. Once it is renamed there is nothing left to remove, and the lock of the other file keeps
/// everybody else from making it.
struct Staged(PathBuf);

impl Staged {
    fn beside(path: &Path) -> Self {
        Self(path.with_added_extension("part"))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Most often there is none, and no other error could be shown.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> Content {
        Content {
            unreadable: vec!["no letter".to_owned()],
            ..Content::default()
        }
    }

    #[test]
    fn what_is_left_takes_the_place_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        std::fs::write(&path, "before").unwrap();
        leave(&path, &content()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "no letter\n");
        leave(&path, &Content::default()).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn no_staged_file_stays_after_an_error_or_a_panic() {
        let folder = tempfile::tempdir().unwrap();
        // A folder with something in it cannot be replaced by a file.
        let path = folder.path().join("a.jsonl");
        std::fs::create_dir_all(path.join("b")).unwrap();
        leave(&path, &content()).unwrap_err();
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
