//! The file of results: a header, and a line for each job in order. It is written line by line, and
//! a run that was interrupted goes on after its last whole line.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use super::header::RunHeader;
use super::jobs::Shard;
use super::record::Record;
use crate::{Error, Result, error, input_file};

/// A header and its records.
#[derive(Debug, Clone, PartialEq)]
pub struct Results {
    /// The run.
    pub header: RunHeader,
    /// Lines in order.
    pub records: Vec<Record>,
}

/// Whole lines of a file of results, and how many bytes they take.
fn whole_lines(text: &str, name: &str) -> Result<(Results, usize)> {
    let wrong =
        |at: usize, cause: String| Error::input(format!("{name}, line {}: {cause}", at + 1));
    let mut lines = text.split_inclusive('\n').enumerate();
    let Some((_, first)) = lines.next() else {
        return Err(wrong(0, "expected the header of kscope eval, found nothing".to_owned()));
    };
    let header: RunHeader = serde_json::from_str(first)
        .map_err(|cause| wrong(0, format!("this is no header of kscope eval: {cause}")))?;
    if header.format != FORMAT || header.version != VERSION {
        return Err(wrong(
            0,
            format!(
                "expected {FORMAT} version {VERSION}, found {} version {}",
                error::shortened(&header.format),
                header.version
            ),
        ));
    }
    if let Some(Shard { part, of }) = header.shard
        && !(1..=of).contains(&part)
    {
        return Err(wrong(0, format!("there is no part {part}/{of}")));
    }
    let mut records = Vec::new();
    let mut end = first.len();
    for (at, line) in lines {
        if !line.ends_with('\n') {
            break;
        }
        let record = serde_json::from_str(line)
            .map_err(|cause| wrong(at, format!("expected a result, found {cause}")))?;
        records.push(record);
        end += line.len();
    }
    Ok((Results { header, records }, end))
}

/// What marks a file of results.
pub const FORMAT: &str = "kscope-eval";
/// Its version.
pub const VERSION: u32 = 1;

/// The file of a run's results in its folder.
pub const RESULTS: &str = "results.jsonl";

/// Reads a whole file of results; a last line that was cut off is left out.
pub fn read_results(path: &Path) -> Result<Results> {
    let text = input_file::read_text(path, input_file::RESULTS)?;
    Ok(whole_lines(&text, &path.display().to_string())?.0)
}

/// Where results go: a file, or memory alone.
#[derive(Debug)]
pub struct Stream {
    file: Option<(File, PathBuf)>,
}

/// The line of a value.
pub fn line<T: serde::Serialize>(value: &T) -> Result<String> {
    let json = serde_json::to_string(value)
        .map_err(|cause| Error::run(format!("writing a result: {cause}")))?;
    Ok(format!("{json}\n"))
}

impl Stream {
    /// Opens the file in a folder, and gives the results that it holds already. `jobs` are the
    /// numbers of this run's jobs in order.
    pub fn open(
        folder: Option<&Path>,
        header: &RunHeader,
        jobs: &[usize],
    ) -> Result<(Self, Vec<Record>)> {
        let Some(folder) = folder else {
            return Ok((Self { file: None }, Vec::new()));
        };
        std::fs::create_dir_all(folder).map_err(|cause| error::io("making", folder, &cause))?;
        let path = folder.join(RESULTS);
        let io = |cause: &std::io::Error| error::io("writing", &path, cause);
        let opened = OpenOptions::new().read(true).append(true).create(true).open(&path);
        let mut file = opened.map_err(|cause| io(&cause))?;
        // The lock ends with the process. Some file systems know none; then two runs may meet.
        if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
            return Err(Error::input(format!(
                "{} is in use: another kscope eval is writing its results there; expected a folder of its own",
                path.display()
            )));
        }
        let mut held = String::new();
        file.read_to_string(&mut held).map_err(|cause| error::io("reading", &path, &cause))?;
        // Cut off inside the header, nothing is lost.
        if !held.contains('\n') {
            file.set_len(0).map_err(|cause| io(&cause))?;
            file.write_all(line(header)?.as_bytes()).map_err(|cause| io(&cause))?;
            return Ok((Self { file: Some((file, path)) }, Vec::new()));
        }
        let name = path.display().to_string();
        let (results, end) = whole_lines(&held, &name)?;
        header.check_same(&results.header, &name)?;
        let found: Vec<usize> = results.records.iter().map(|record| record.job).collect();
        if jobs.get(..found.len()) != Some(&found[..]) {
            return Err(Error::input(format!(
                "{name}: the results are not the first {} jobs of this run in their order",
                found.len()
            )));
        }
        file.set_len(end as u64).map_err(|cause| io(&cause))?;
        Ok((Self { file: Some((file, path)) }, results.records))
    }

    /// Adds a line and hands it to the system at once.
    pub fn push(&mut self, record: &Record) -> Result<()> {
        if let Some((file, path)) = &mut self.file {
            file.write_all(line(record)?.as_bytes())
                .map_err(|cause| error::io("writing", path, &cause))?;
        }
        Ok(())
    }
}
