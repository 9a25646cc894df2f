//! A GGUF file, or all parts of a split one, with rows of zeros. A block of zero bytes stands for
//! zeros in every element type that is read.

use std::path::{Path, PathBuf};

use super::ZeroRows;
use super::write::{Baked, Ranges, copy, expect_absent};
use crate::Result;
use crate::mask::files;
use crate::model::load::gguf::{Gguf, model_name};

/// Writes the file, or parts whose names begin as `out` does; `out` may have the name of a part.
pub(super) fn write(
    from: &Path,
    rows: &ZeroRows,
    out: &Path,
    progress: &mut dyn FnMut(f32) -> Result<()>,
) -> Result<Baked> {
    let file = Gguf::open(from)?;
    let all = file.part_bytes();
    let paths: Vec<PathBuf> = match all.len() {
        1 => vec![out.to_owned()],
        count => {
            // The name of a part stands for all of them.
            let stem = model_name(out).unwrap_or_default();
            let name = |number| format!("{stem}-{number:05}-of-{count:05}.gguf");
            (1..=count).map(|number| out.with_file_name(name(number))).collect()
        }
    };
    files::expect_folder(out)?;
    paths.iter().try_for_each(|path| expect_absent(path))?;
    let mut zeros = vec![Ranges::default(); all.len()];
    for (name, rows) in rows.tensors() {
        let (part, ranges) = file.row_ranges(name, rows)?;
        zeros[part].add(ranges);
    }
    let mut baked = Baked {
        zeroed_bytes: zeros.iter().map(Ranges::bytes).sum(),
        files: paths.clone(),
        ..Baked::default()
    };
    let total: usize = all.iter().map(|bytes| bytes.len()).sum();
    let mut written = 0;
    for ((bytes, zeros), path) in all.into_iter().zip(zeros).zip(&paths) {
        let made = files::create(path, &mut |to| {
            copy(bytes, zeros.clone(), to, path, &mut |more| {
                written += more;
                progress(written as f32 / total as f32)
            })
        });
        if let Err(error) = made {
            // All parts or none.
            let before = paths.iter().take_while(|other| *other != path);
            before.for_each(|part| drop(std::fs::remove_file(part)));
            return Err(error);
        }
    }
    baked.files = paths;
    Ok(baked)
}
