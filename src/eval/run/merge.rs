//! Parts of a run put together.

use std::path::{Path, PathBuf};

use super::header::RunHeader;
use super::stream::{RESULTS, Results, read_results};
use crate::json_lines::line;
use crate::{Error, Result, error};

/// Puts the parts of one run together, in any order. The file is the one that the run would have
/// written alone, byte for byte.
///
/// # Errors
/// When parts are of different runs, a part is missing, there twice or not finished.
pub fn merge(parts: &[PathBuf], into: &Path) -> Result<Results> {
    let mut all: Option<(RunHeader, usize, Vec<bool>)> = None;
    let mut records = Vec::new();
    for path in parts {
        let path = if path.is_dir() { path.join(RESULTS) } else { path.clone() };
        let name = path.display().to_string();
        let target = into.join(RESULTS).canonicalize();
        if target.is_ok_and(|target| path.canonicalize().is_ok_and(|path| path == target)) {
            return Err(Error::input(format!("{name} is a part: give --out another folder")));
        }
        let Results { header, records: own } = read_results(&path)?;
        let shard = header.shard.ok_or_else(|| {
            Error::input(format!("{name} is a whole run, not a part made with --shard"))
        })?;
        let (expected, found) = (header.own_count(), own.iter().map(|record| record.job));
        let is_whole = own.len() == expected && found.eq(header.own_jobs());
        let whole = RunHeader { shard: None, ..header };
        let (first, of, seen) =
            all.get_or_insert_with(|| (whole.clone(), shard.of, vec![false; shard.of]));
        first.check_same(&whole, &name)?;
        if *of != shard.of || std::mem::replace(&mut seen[shard.part - 1], true) {
            return Err(Error::input(format!(
                "{name}: part {}/{} does not belong to parts of {of} or is there twice",
                shard.part, shard.of
            )));
        }
        if !is_whole {
            return Err(Error::input(format!(
                "{name}: part {}/{} is not finished: it holds {} of {} results (the same command goes on)",
                shard.part,
                shard.of,
                own.len(),
                expected
            )));
        }
        records.extend(own);
    }
    let Some((header, of, seen)) = all else {
        return Err(Error::input("merging takes at least one part"));
    };
    if let Some(missing) = seen.iter().position(|seen| !seen) {
        return Err(Error::input(format!("part {}/{of} is missing", missing + 1)));
    }
    records.sort_by_key(|record| record.job);
    let mut text = line(&header)?;
    for record in &records {
        text.push_str(&line(record)?);
    }
    std::fs::create_dir_all(into).map_err(|cause| error::io("making", into, &cause))?;
    let path = into.join(RESULTS);
    let whole = tempfile::NamedTempFile::new_in(into)
        .and_then(|file| std::fs::write(file.path(), &text).map(|()| file))
        .map_err(|cause| error::io("writing in", into, &cause))?;
    whole.persist(&path).map_err(|cause| error::io("writing", &path, &cause.error))?;
    Ok(Results { header, records })
}
