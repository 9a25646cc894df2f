//! The commands of `kscope bench`.

use clap::Subcommand;

#[cfg(unix)]
use super::tui;
use super::{attention, decode, learn};
use crate::Result;

/// Arguments of `kscope bench`.
#[derive(Debug, clap::Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Decode attention, dense and pruned, against the machine's read bandwidth
    Attention(attention::BenchAttentionArgs),
    /// Whole decode steps of a model at several depths, and where the time goes
    Decode(Box<decode::BenchDecodeArgs>),
    /// An update of learning beside the prefill of its sample; with --variants, ways to learn
    /// compared at equal bytes
    Learn(Box<learn::BenchLearnArgs>),
    /// The inspector: first frame, key to frame, idle processor time, and what it takes from decode
    #[cfg(unix)]
    Tui(tui::BenchTuiArgs),
}

/// Runs `kscope bench`.
pub fn run(args: &BenchArgs) -> Result<()> {
    match &args.what {
        What::Attention(args) => attention::run(args),
        What::Decode(args) => decode::run(args),
        What::Learn(args) => learn::run(args),
        #[cfg(unix)]
        What::Tui(args) => tui::run(args),
    }
}
