//! The folder that kvpress loads a mask from.

use std::path::{Path, PathBuf};

use crate::cli::args::ForceArg;
use crate::mask::files::{self, Contents};
use crate::{Error, Result, error};

const PRESS: &str = include_str!("kscope_press.py");

/// Writes `kscope_press.py` and `mask.safetensors` into a folder, which is made where it is
/// missing. Returns the path of the mask.
///
/// # Errors
/// A plan, which kvpress cannot show; importance or sensitivity alone; a folder that cannot be
/// written, or holds another press or, without `force`, a mask.
pub(in crate::cli::mask) fn export(
    input: &Path,
    contents: Contents,
    folder: &Path,
    force: ForceArg,
) -> Result<PathBuf> {
    let name = input.display().to_string();
    let mask = contents.into_mask(&name)?;
    if !mask.plan.is_mask() {
        return Err(Error::input(format!(
            "{name}: expected a mask, found a plan: kvpress zeroes channels and has no widths"
        )));
    }
    let path = folder.join("mask.safetensors");
    force.check(&path)?;
    std::fs::create_dir_all(folder).map_err(|cause| error::io("making", folder, &cause))?;
    let press = folder.join("kscope_press.py");
    match std::fs::read(&press) {
        Ok(found) if found != PRESS.as_bytes() => {
            return Err(Error::input(format!(
                "{}: expected no file or the press that this version writes, found another: rename it, or export to another folder",
                press.display()
            )));
        }
        _ => files::overwrite(&press, PRESS.as_bytes())?,
    }
    files::save(&path, &Contents::Mask(mask), false)?;
    Ok(path)
}
