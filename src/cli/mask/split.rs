//! How the columns of a flat file divide into heads, and reading files with it.

use std::path::Path;

use crate::Result;
use crate::cli::values;
use crate::mask::files::{self, Contents, MaskFile, Split};

/// How the columns of a flat file divide into heads.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct SplitArgs {
    /// KV heads per layer, for a file whose rows hold all heads of a layer
    #[arg(long, value_name = "N", value_parser = values::number)]
    kv_heads: Option<usize>,
    /// Channels per head, for a file whose rows hold all heads of a layer
    #[arg(long, value_name = "N", value_parser = values::number)]
    head_dim: Option<usize>,
}

impl SplitArgs {
    pub(super) fn read(self, path: &Path) -> Result<Contents> {
        files::read(path, &Split { kv_heads: self.kv_heads, head_dim: self.head_dim })
    }

    pub(super) fn read_mask(self, path: &Path) -> Result<MaskFile> {
        self.read(path)?.into_mask(&path.display().to_string())
    }
}
