//! `kscope eval merge`: parts of a run put together.

use std::path::PathBuf;

use super::tables::{PrintArgs, print};
use crate::Result;
use crate::cli::args::ForceArg;
use crate::eval::run::{Figures, RESULTS, merge};

/// Arguments of `kscope eval merge`.
#[derive(Debug, clap::Args)]
pub struct MergeArgs {
    /// Folders of the parts, as given to --out
    #[arg(value_name = "DIR", required = true)]
    parts: Vec<PathBuf>,
    /// Folder of the whole run: the file that one machine would have written
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    force: ForceArg,
    #[command(flatten)]
    print: PrintArgs,
}

/// Runs `kscope eval merge`.
pub fn run(args: &MergeArgs) -> Result<()> {
    args.force.check(&args.out.join(RESULTS))?;
    let results = merge(&args.parts, &args.out)?;
    print(&args.print, &results, &Figures::of(&results), &[])
}
