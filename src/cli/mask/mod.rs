//! `kscope mask`: show, make, import, export, compare and check channel masks.

mod convert;
mod diff;
mod geometry;
mod ink;
mod make;
mod map;
mod report;
mod show;
mod validate;
mod values;

use std::path::Path;

use crate::Result;
use crate::mask::files::{self, Contents, MaskFile, Split};

/// Arguments of `kscope mask`.
#[derive(Debug, clap::Args)]
pub struct MaskArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Draw a mask by rotation frequency and print what it keeps, saves and costs
    Show(show::Args),
    /// Select channels: by a rule that needs no running model, or from an importance file
    Make(Box<make::Args>),
    /// Turn a .pth, .npy or .tsv file into a kscope file
    Import(convert::ImportArgs),
    /// Write a mask or its importance as .pth, .npy, .tsv or .safetensors
    Export(convert::ExportArgs),
    /// Compare two masks of one shape
    Diff(diff::Args),
    /// Check that a mask belongs to a model
    Validate(validate::Args),
}

/// How the columns of a flat file divide into heads.
#[derive(Debug, Clone, Copy, clap::Args)]
struct SplitArgs {
    /// KV heads per layer, for a file whose rows hold all heads of a layer
    #[arg(long, value_name = "N")]
    kv_heads: Option<usize>,
    /// Channels per head, for a file whose rows hold all heads of a layer
    #[arg(long, value_name = "N")]
    head_dim: Option<usize>,
}

impl SplitArgs {
    fn read(self, path: &Path) -> Result<Contents> {
        files::read(path, &Split { kv_heads: self.kv_heads, head_dim: self.head_dim })
    }

    fn read_mask(self, path: &Path) -> Result<MaskFile> {
        self.read(path)?.into_mask(&path.display().to_string())
    }
}

/// Runs `kscope mask`.
pub fn run(args: &MaskArgs) -> Result<()> {
    match &args.command {
        Command::Show(args) => show::run(args),
        Command::Make(args) => make::run(args),
        Command::Import(args) => convert::import(args),
        Command::Export(args) => convert::export(args),
        Command::Diff(args) => diff::run(args),
        Command::Validate(args) => validate::run(args),
    }
}
