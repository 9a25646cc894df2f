//! The commands of `kscope mask`.

use super::{bake, convert, diff, make, show, validate};
use crate::Result;

/// Arguments of `kscope mask`.
#[derive(Debug, clap::Args)]
pub struct MaskArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Draw a mask or plan by rotation frequency and print what it keeps, saves and costs
    Show(show::ShowArgs),
    /// Select channels by a rule or an importance file, or choose bits by a sensitivity file
    Make(Box<make::MakeArgs>),
    /// Turn a .pth, .npy or .tsv file into a kscope file
    Import(convert::ImportArgs),
    /// Write a mask or its importance as .pth, .npy, .tsv or .safetensors
    Export(convert::ExportArgs),
    /// Write a model whose weights have a mask baked in, for any program that reads such models
    Bake(bake::BakeArgs),
    /// Compare two masks or plans of one shape
    Diff(diff::DiffArgs),
    /// Check that a mask or plan belongs to a model
    Validate(validate::ValidateArgs),
}

/// Runs `kscope mask`.
pub fn run(args: &MaskArgs) -> Result<()> {
    match &args.command {
        Command::Show(args) => show::run(args),
        Command::Make(args) => make::run(args),
        Command::Import(args) => convert::import(args),
        Command::Export(args) => convert::export(args),
        Command::Bake(args) => bake::run(args),
        Command::Diff(args) => diff::run(args),
        Command::Validate(args) => validate::run(args),
    }
}
