//! `kscope eval score`: scores of answers in a file.

use std::path::PathBuf;

use crate::cli::output;
use crate::eval::score::{ScoreMetric, Scored};
use crate::{Result, input_file};

/// Arguments of `kscope eval score`.
#[derive(Debug, clap::Args)]
pub struct EvalScoreArgs {
    /// How answers are scored
    #[arg(long, value_enum)]
    metric: ScoreMetric,
    /// JSON lines with `prediction`, `references` (a list) and, for classification, `all_classes`
    #[arg(value_name = "FILE.jsonl")]
    file: PathBuf,
}

/// Runs `kscope eval score`: one JSON object.
pub fn run(args: &EvalScoreArgs) -> Result<()> {
    let text = input_file::read_text(&args.file, input_file::DATA)?;
    output::json(
        "eval score",
        &Scored::of_lines(args.metric, &args.file.display().to_string(), &text)?,
    )
}
