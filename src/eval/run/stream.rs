//! The file of results: a header, and a line for each job in order. It is written line by line, and
//! a run that was interrupted goes on after its last whole line.

use std::path::Path;

use super::header::RunHeader;
use super::jobs::Shard;
use super::record::Record;
use crate::json_lines::JsonLines;
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
    file: Option<JsonLines>,
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
        let (mut file, held) = JsonLines::open(folder, RESULTS, "kscope eval")?;
        // Cut off inside the header, nothing is lost.
        if !held.contains('\n') {
            file.cut(0)?;
            file.push(header)?;
            return Ok((Self { file: Some(file) }, Vec::new()));
        }
        let name = file.name();
        let (results, end) = whole_lines(&held, &name)?;
        header.check_same(&results.header, &name)?;
        let found: Vec<usize> = results.records.iter().map(|record| record.job).collect();
        if jobs.get(..found.len()) != Some(&found[..]) {
            return Err(Error::input(format!(
                "{name}: the results are not the first {} jobs of this run in their order",
                found.len()
            )));
        }
        file.cut(end)?;
        Ok((Self { file: Some(file) }, results.records))
    }

    /// Adds a line and hands it to the system at once.
    pub fn push(&mut self, record: &Record) -> Result<()> {
        match &mut self.file {
            Some(file) => file.push(record),
            None => Ok(()),
        }
    }
}
