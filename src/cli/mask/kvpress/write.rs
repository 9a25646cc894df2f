//! The folder that kvpress loads a mask from.

use std::path::{Path, PathBuf};

use crate::mask::files::{self, Contents};
use crate::{Error, Result};

const PRESS: &str = include_str!("kscope_press.py");

/// Writes `kscope_press.py` and `mask.safetensors` into a folder, which is made where it is
/// missing. Returns the path of the mask.
///
/// # Errors
/// A plan, which kvpress cannot show; importance or sensitivity alone; a folder that cannot be
/// written.
pub(in crate::cli::mask) fn export(
    input: &Path,
    contents: Contents,
    folder: &Path,
) -> Result<PathBuf> {
    let name = input.display().to_string();
    let mask = contents.into_mask(&name)?;
    if !mask.plan.is_mask() {
        return Err(Error::input(format!(
            "{name}: expected a mask, found a plan: kvpress zeroes channels and has no widths"
        )));
    }
    std::fs::create_dir_all(folder).map_err(|error| {
        Error::run(format!("{}: the folder cannot be made: {error}", folder.display()))
    })?;
    files::overwrite(&folder.join("kscope_press.py"), PRESS.as_bytes())?;
    let path = folder.join("mask.safetensors");
    files::save(&path, &Contents::Mask(mask), false)?;
    Ok(path)
}
