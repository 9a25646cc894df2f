//! The last step of a fetch.

use std::path::Path;

use crate::{Result, error};

/// Moves a complete file to its place in one step, so that no partial file is ever seen there.
pub(super) fn move_into_place(from: &Path, to: &Path) -> Result<()> {
    let folder = to.parent().expect("files lie in folders");
    std::fs::create_dir_all(folder).map_err(|cause| error::io("making", folder, &cause))?;
    std::fs::rename(from, to).map_err(|cause| error::io("moving the file to", to, &cause))
}
