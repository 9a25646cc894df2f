//! What the program keeps for itself between sessions: files in `kscope` in the XDG state folder.

use std::path::PathBuf;

use etcetera::BaseStrategy;

use crate::mask::files;
use crate::{Error, Result, error};

/// Where a file of this name is, or would be.
///
/// # Errors
/// Where there is no home.
pub fn path(name: &str) -> Result<PathBuf> {
    let base = etcetera::choose_base_strategy()
        .map_err(|cause| Error::run(format!("finding the state folder: {cause}")))?;
    Ok(base.state_dir().unwrap_or_else(|| base.data_dir()).join("kscope").join(name))
}

/// The path of a file of this name, in a folder that is there.
///
/// # Errors
/// Where the folder cannot be made.
pub fn made(name: &str) -> Result<PathBuf> {
    let path = path(name)?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|cause| error::io("making", folder, &cause))?;
    }
    Ok(path)
}

/// Writes a file of this name, whole or not at all.
///
/// # Errors
/// Where it cannot be written.
pub fn write(name: &str, bytes: &[u8]) -> Result<()> {
    files::overwrite(&made(name)?, bytes)
}
