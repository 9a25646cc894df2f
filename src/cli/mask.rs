//! `kscope mask`: show, make, import, export, diff and validate channel masks.

use crate::Result;

/// Arguments of `kscope mask`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs `kscope mask`.
pub fn run(_args: &Args) -> Result<()> {
    Ok(())
}
