//! `kscope score`: importance by rules that need no training.

use std::path::PathBuf;

use serde_json::json;

use super::args::{ModelArgs, read_text};
use super::output;
use super::progress::ProgressLine;
use super::values;
use crate::learn::score;
use crate::mask::files::{self, Contents, DEFAULT_ALIGN, ImportanceFile, Origin};
use crate::mask::{Given, Needs, Rule, Window, fingerprint};
use crate::numbers::count;
use crate::{Error, Result};

/// Arguments of `kscope score`.
#[derive(Debug, clap::Args)]
pub struct ScoreArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// How channels are scored
    #[arg(long, value_parser = values::rule(|needs| needs != Needs::File))]
    rule: Rule,
    /// Text files to run through the model (rules key-norm and think)
    #[arg(long, value_name = "FILE", num_args = 1..)]
    text: Vec<PathBuf>,
    /// Where the importance goes
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Tokens of a window
    #[arg(long, default_value_t = 1024, value_name = "TOKENS",
          value_parser = values::tokens_or_zero)]
    ctx: usize,
    /// Most tokens to run in all
    #[arg(long, default_value_t = 16_384, value_name = "TOKENS",
          value_parser = values::tokens_or_zero)]
    max_tokens: usize,
    /// Seed of the random rule
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs `kscope score`.
pub fn run(args: &ScoreArgs) -> Result<()> {
    if args.ctx == 0 || args.max_tokens == 0 {
        return Err(Error::input("--ctx and --max-tokens must be at least 1, not 0"));
    }
    let needs_text = args.rule.needs == Needs::Text;
    if needs_text && args.text.is_empty() {
        return Err(Error::input("this rule looks at a running model: give it --text FILE"));
    }
    let model = args.model.load()?;
    let shape = model.config().mask_shape();
    let mut tokens = 0;
    let importance = if needs_text {
        let tokenizer = model.tokenizer.as_ref().ok_or_else(|| {
            Error::input(format!("{} has no tokenizer, so it cannot read text", model.name))
        })?;
        let mut texts = Vec::new();
        // Every file gets an equal part of the token limit.
        let share = args.max_tokens.div_ceil(args.text.len());
        for path in &args.text {
            let mut ids = tokenizer.encode(&read_text(path)?)?;
            ids.truncate(share);
            tokens += ids.len();
            texts.push(ids);
        }
        let bar = ProgressLine::new(&format!("scoring {} tokens", count(tokens)));
        let squares = score::gather(&model.decoder, &texts, args.ctx, &mut |share| {
            bar.share(share);
            Ok(())
        })?;
        bar.finish();
        squares.importance(args.rule)?
    } else {
        args.rule.scores(Given::nothing(shape, args.seed))?
    };
    let rule = args.rule.name;
    let names: Vec<String> = args
        .text
        .iter()
        .map(|path| path.file_name().unwrap_or_default().to_string_lossy().into_owned())
        .collect();
    let recipe = json!({
        "tool": format!("kscope {}", env!("CARGO_PKG_VERSION")),
        "rule": rule,
        "texts": names,
        "tokens": tokens,
        "window": args.ctx,
        "seed": args.seed,
    });
    let origin = Origin {
        model: model.name.clone(),
        fingerprint: fingerprint(&model.config().geometry()),
        window: Window::default(),
        align: DEFAULT_ALIGN,
        recipe,
    };
    files::save(&args.out, &Contents::Importance(ImportanceFile { importance, origin }), true)?;
    let out = args.out.display().to_string();
    match args.json {
        true => {
            output::json(&json!({ "rule": rule, "tokens": tokens, "shape": shape, "out": out }))
        }
        false => output::line(&format!("{rule} importance of {} {shape} is in {out}", model.name)),
    }
}
