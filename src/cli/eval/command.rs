//! The commands of `kscope eval`.

use super::score;
use crate::Result;

/// Arguments of `kscope eval`.
#[derive(Debug, clap::Args)]
pub struct EvalArgs {
    #[command(subcommand)]
    command: EvalCommand,
}

#[derive(Debug, clap::Subcommand)]
enum EvalCommand {
    /// Score answers in a file with the metrics of LongBench and RULER
    Score(score::ScoreArgs),
}

/// Runs `kscope eval`.
pub fn run(args: &EvalArgs) -> Result<()> {
    match &args.command {
        EvalCommand::Score(args) => score::run(args),
    }
}
