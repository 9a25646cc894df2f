//! The arguments of `kscope score`, and which function makes the file.

use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use super::sensitivity::SensitivityArgs;
use super::{importance, sensitivity};
use crate::cli::args::{ForceArg, ModelArgs};
use crate::cli::progress::ProgressArgs;
use crate::cli::values;
use crate::learn::sensitivity::SENSITIVITY;
use crate::mask::{Needs, Rule};
use crate::{Error, Result};

/// Arguments of `kscope score`.
#[derive(Debug, clap::Args)]
pub struct ScoreArgs {
    #[command(flatten)]
    pub(super) model: ModelArgs,
    #[command(flatten)]
    progress: ProgressArgs,
    /// How channels are scored
    #[arg(long, value_parser = scoring())]
    rule: Scoring,
    /// Text files to run through the model, for rules that look at one. Fisher and sensitivity also
    /// take names of fetched texts, and `sentences`, which are generated [default for them: the texts
    /// that learning reads]
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(super) text: Vec<PathBuf>,
    /// Instead of texts: an importance matrix of this model, as llama-imatrix writes it (rules
    /// key-norm and think), from which mean squares are estimated
    #[arg(long, value_name = "FILE", conflicts_with_all = ["text", "ctx", "max_tokens"])]
    pub(super) imatrix: Option<PathBuf>,
    /// Where the scores go
    #[arg(long, value_name = "FILE")]
    pub(super) out: PathBuf,
    #[command(flatten)]
    force: ForceArg,
    /// Tokens of a window, for rules without a gradient [default: 1024]
    #[arg(long, value_name = "TOKENS", value_parser = values::tokens_or_zero)]
    pub(super) ctx: Option<usize>,
    /// Most tokens to run in all, for rules without a gradient [default: 16k]
    #[arg(long, value_name = "TOKENS", value_parser = values::tokens_or_zero)]
    pub(super) max_tokens: Option<usize>,
    /// Seed of the rules random, fisher and sensitivity
    #[arg(long, default_value_t = 0)]
    pub(super) seed: u64,
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) sensitivity: SensitivityArgs,
}

/// What is scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scoring {
    /// The importance of every channel.
    Importance(Rule),
    /// The damage of every width.
    Sensitivity,
}

/// Parses the name of a rule, or `sensitivity`.
fn scoring() -> impl TypedValueParser<Value = Scoring> {
    let rules = Rule::ALL.into_iter().filter(|rule| rule.needs != Needs::File);
    let names = rules.map(|rule| PossibleValue::new(rule.name).help(rule.about));
    let about = "What every width of K channels and V costs, by the model's own gradient";
    let names = names.chain([PossibleValue::new(SENSITIVITY).help(about)]);
    PossibleValuesParser::new(names).try_map(|name| match name.as_str() {
        SENSITIVITY => Ok(Scoring::Sensitivity),
        rule => Rule::named(rule).map(Scoring::Importance).ok_or("no such rule"),
    })
}

/// Runs `kscope score`.
pub fn run(args: &ScoreArgs) -> Result<()> {
    args.progress.choose();
    args.force.check(&args.out)?;
    let (name, has_gradient) = match args.rule {
        Scoring::Importance(rule) => (rule.name, rule.needs == Needs::Gradient),
        Scoring::Sensitivity => (SENSITIVITY, true),
    };
    if !has_gradient && args.sensitivity.is_given() {
        return Err(Error::input(
            "--windows, --window-tokens, --rows, --draws, --recall-weight, --sink, --recent and --chunk belong to --rule fisher and --rule sensitivity",
        ));
    }
    if has_gradient && args.imatrix.is_some() {
        return Err(Error::input(format!(
            "--imatrix does not belong to --rule {name}, which needs gradients"
        )));
    }
    if has_gradient && (args.ctx.is_some() || args.max_tokens.is_some()) {
        return Err(Error::input(format!(
            "--ctx and --max-tokens do not belong to --rule {name}: give it --windows and --window-tokens"
        )));
    }
    match args.rule {
        Scoring::Importance(rule) if has_gradient => sensitivity::run(args, Some(rule)),
        Scoring::Importance(rule) => importance::run(args, rule),
        Scoring::Sensitivity => sensitivity::run(args, None),
    }
}
