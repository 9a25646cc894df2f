//! `kscope score` with a rule that gives importance.

use serde_json::json;

use super::command::ScoreArgs;
use crate::cli::args::read_text;
use crate::cli::output;
use crate::cli::progress::ProgressLine;
use crate::learn::score;
use crate::mask::files::{self, Contents, DEFAULT_ALIGN, ImportanceFile, Origin};
use crate::mask::{Given, Needs, Rule, Window, fingerprint};
use crate::numbers::count;
use crate::{Error, Result};

/// Tokens of a window where none are given.
const WINDOW: usize = 1024;

/// Tokens in all where none are given.
const MOST_TOKENS: usize = 16 << 10;

/// Scores channels and writes an importance file.
pub(super) fn run(args: &ScoreArgs, rule: Rule) -> Result<()> {
    let (ctx, max_tokens) = (args.ctx.unwrap_or(WINDOW), args.max_tokens.unwrap_or(MOST_TOKENS));
    if ctx == 0 || max_tokens == 0 {
        return Err(Error::input("--ctx and --max-tokens must be at least 1, not 0"));
    }
    let needs_text = rule.needs == Needs::Text;
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
        let share = max_tokens.div_ceil(args.text.len());
        for path in &args.text {
            let mut ids = tokenizer.encode(&read_text(path)?)?;
            ids.truncate(share);
            tokens += ids.len();
            texts.push(ids);
        }
        let bar = ProgressLine::new(&format!("scoring {} tokens", count(tokens)));
        let squares = score::gather(&model.decoder, &texts, ctx, &mut |share| {
            bar.share(share);
            Ok(())
        })?;
        bar.finish();
        squares.importance(rule)?
    } else {
        rule.scores(Given::nothing(shape, args.seed))?
    };
    let rule = rule.name;
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
        "window": ctx,
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
