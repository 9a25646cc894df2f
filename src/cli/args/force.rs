//! Whether a file that is there may be replaced.

use std::path::Path;

use crate::{Error, Result};

/// Whether a file that is there may be replaced.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct ForceArg {
    /// Replace a file that is there
    #[arg(long)]
    pub force: bool,
}

impl ForceArg {
    /// Refuses the path of a file that is there, unless it may be replaced. Pipes and devices are
    /// written to as they are.
    ///
    /// # Errors
    /// With the path, and the option that allows it.
    pub fn check(self, path: &Path) -> Result<()> {
        match path.is_file() && !self.force {
            true => Err(Error::input(format!(
                "{}: expected a name that is free, found a file: --force replaces it",
                path.display()
            ))),
            false => Ok(()),
        }
    }
}
