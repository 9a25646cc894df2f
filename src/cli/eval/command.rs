//! The commands of `kscope eval`.

use super::{measure, merge, score};
use crate::Result;

/// Arguments of `kscope eval`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct EvalArgs {
    #[command(subcommand)]
    command: Option<EvalCommand>,
    #[command(flatten)]
    measure: measure::MeasureArgs,
}

#[derive(Debug, clap::Subcommand)]
enum EvalCommand {
    /// Score answers in a file with the metrics of LongBench and RULER
    Score(score::EvalScoreArgs),
    /// Put the parts of a run together that were made with --shard
    Merge(merge::MergeArgs),
}

/// Runs `kscope eval`.
pub fn run(args: &EvalArgs) -> Result<()> {
    match &args.command {
        None => measure::run(&args.measure),
        Some(EvalCommand::Score(args)) => score::run(args),
        Some(EvalCommand::Merge(args)) => merge::run(args),
    }
}
