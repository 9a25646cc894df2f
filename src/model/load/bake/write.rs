//! Writing a model with rows of zeros: the same kind of file, every other byte as it was.

use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::{ZeroRows, folder, gguf};
use crate::model::load::Source;
use crate::{Error, Result, error};

/// What was written.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Baked {
    /// Files, in the order in which they were written.
    pub files: Vec<PathBuf>,
    /// Names beside the model that were left out, because they could hold the old weights.
    pub left_out: Vec<String>,
    /// Bytes of weights that became zero.
    pub zeroed_bytes: u64,
}

/// Writes the model of `source` to `out` with these rows set to zero. The model is copied piece by
/// piece, and `out` appears when it is whole. `progress` gets the share done and may cancel.
///
/// # Errors
/// A model that is no folder and no GGUF file, an `out` that is there already or is named like the
/// other kind, and tensors that do not hold such rows.
pub fn bake(
    source: &Source,
    rows: &ZeroRows,
    out: &Path,
    progress: &mut dyn FnMut(f32) -> Result<()>,
) -> Result<Baked> {
    let named_gguf = out.extension().is_some_and(|ending| ending == "gguf");
    let expected = |what: &str| {
        Err(Error::input(format!(
            "{}: expected the name of a {what}, as the model is one",
            out.display()
        )))
    };
    match source {
        Source::Folder(from) if !named_gguf => folder::write(from, rows, out, progress),
        Source::Gguf(from) if named_gguf => gguf::write(from, rows, out, progress),
        Source::Folder(_) => expected("folder"),
        Source::Gguf(_) => expected("file that ends in .gguf"),
        Source::Demo | Source::Random { .. } => Err(Error::input(
            "a mask is baked into a Hugging Face folder or a GGUF file, and this model is neither",
        )),
    }
}

/// Refuses a path where something is.
pub(super) fn expect_absent(path: &Path) -> Result<()> {
    match path.symlink_metadata() {
        Ok(_) => Err(Error::input(format!(
            "{} is there already: expected a new name, since models are not overwritten",
            path.display()
        ))),
        Err(_) => Ok(()),
    }
}

/// The bytes of one file that become zero.
#[derive(Debug, Clone, Default)]
pub(super) struct Ranges(Vec<Range<usize>>);

impl Ranges {
    /// Adds ranges.
    pub(super) fn add(&mut self, ranges: impl IntoIterator<Item = Range<usize>>) {
        self.0.extend(ranges);
    }

    /// Bytes of all ranges.
    pub(super) fn bytes(&self) -> u64 {
        self.0.iter().map(|range| range.len() as u64).sum()
    }
}

/// Bytes that are written between two reports of progress.
const PIECE: usize = 8 << 20;

/// Copies a file with these ranges as zeros. `done` is told how many bytes were written.
pub(super) fn copy(
    bytes: &[u8],
    mut zeros: Ranges,
    to: &mut std::fs::File,
    path: &Path,
    done: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<()> {
    let io = |cause: std::io::Error| error::io("writing", path, &cause);
    zeros.0.sort_by_key(|range| range.start);
    let mut at = 0;
    for zero in zeros.0.into_iter().chain(std::iter::once(bytes.len()..bytes.len())) {
        for piece in bytes[at..zero.start.max(at)].chunks(PIECE) {
            to.write_all(piece).map_err(io)?;
            done(piece.len())?;
        }
        let empty = vec![0; zero.end.saturating_sub(zero.start.max(at))];
        to.write_all(&empty).map_err(io)?;
        done(empty.len())?;
        at = at.max(zero.end);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_become_zero_in_any_order_and_the_rest_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("copy");
        let mut zeros = Ranges::default();
        zeros.add([7..9, 1..3, 2..4]);
        let mut written = 0;
        let mut file = std::fs::File::create(&path).unwrap();
        copy(&[1; 10], zeros, &mut file, &path, &mut |bytes| {
            written += bytes;
            Ok(())
        })
        .unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), [1, 0, 0, 0, 1, 1, 1, 0, 0, 1]);
        assert_eq!(written, 10);
    }
}
