//! A file of results that grows by whole lines of JSON, so that an interrupted run can go on from what
//! it holds.

// What others wrote must not be able to end the program.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::{Error, Result, error};

/// The file, open for one writer. The lock ends with the process.
#[derive(Debug)]
pub struct JsonLines {
    file: File,
    path: PathBuf,
}

impl JsonLines {
    /// Opens a file in a folder, both made where they are missing, and gives the text that it holds.
    /// `tool` is the command that writes such files.
    ///
    /// # Errors
    /// Where another process writes it; what the system refuses.
    pub fn open(folder: &Path, file: &str, tool: &str) -> Result<(Self, String)> {
        std::fs::create_dir_all(folder).map_err(|cause| error::io("making", folder, &cause))?;
        let path = folder.join(file);
        let opened = OpenOptions::new().read(true).append(true).create(true).open(&path);
        let mut file = opened.map_err(|cause| error::io("writing", &path, &cause))?;
        // Some file systems know no locks; then two runs may meet.
        if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
            return Err(Error::input(format!(
                "{} is in use: another {tool} is writing its results there; expected a folder of its own",
                path.display()
            )));
        }
        let mut held = String::new();
        file.read_to_string(&mut held).map_err(|cause| error::io("reading", &path, &cause))?;
        Ok((Self { file, path }, held))
    }

    /// The file's name in sentences.
    pub fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// Leaves the first `end` bytes of what was held.
    pub fn cut(&mut self, end: usize) -> Result<()> {
        let cut = self.file.set_len(end as u64);
        cut.map_err(|cause| error::io("writing", &self.path, &cause))
    }

    /// Adds a line and hands it to the system at once.
    pub fn push<T: serde::Serialize>(&mut self, value: &T) -> Result<()> {
        let written = self.file.write_all(line(value)?.as_bytes());
        written.map_err(|cause| error::io("writing", &self.path, &cause))
    }
}

/// The line of a value.
pub fn line<T: serde::Serialize>(value: &T) -> Result<String> {
    let json = serde_json::to_string(value)
        .map_err(|cause| Error::run(format!("writing a result: {cause}")))?;
    Ok(format!("{json}\n"))
}

/// The lines of a text that end with a line end, from 1 on: what a writer that was stopped left whole.
pub fn whole_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.split_inclusive('\n')).take_while(|(_, line)| line.ends_with('\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_cut_off_is_left_out_and_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let open = || JsonLines::open(folder.path(), "lines.jsonl", "kscope test");
        let (mut file, held) = open().unwrap();
        assert_eq!(held, "");
        file.push(&[1, 2]).unwrap();
        let error = open().unwrap_err().to_string();
        assert!(error.contains("is in use: another kscope test"), "{error}");
        drop(file);
        let path = folder.path().join("lines.jsonl");
        std::fs::write(&path, "[1,2]\n[3").unwrap();
        let (mut file, held) = open().unwrap();
        assert_eq!(whole_lines(&held).collect::<Vec<_>>(), [(1, "[1,2]\n")]);
        file.cut(whole_lines(&held).map(|(_, line)| line.len()).sum()).unwrap();
        file.push(&[4]).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "[1,2]\n[4]\n");
    }
}
