//! `kscope score` with a rule that gives importance.

use std::path::Path;

use serde_json::json;

use super::command::ScoreArgs;
use crate::cli::args::{read_text, warn_of_files};
use crate::cli::output;
use crate::cli::progress::ProgressLine;
use crate::learn::score;
use crate::mask::files::{self, Contents, DEFAULT_ALIGN, ImportanceFile, Origin};
use crate::mask::{Geometry, Given, Importance, Needs, Rule, Window, fingerprint};
use crate::numbers::count;
use crate::{Error, Result};

/// Tokens of a window where none are given.
const WINDOW: usize = 1024;

/// Tokens in all where none are given.
const MOST_TOKENS: usize = 16 << 10;

/// Fewest tokens of a text: one is the mark of its beginning.
const LEAST_TOKENS: usize = 2;

/// What a rule gives for a model, and how.
struct Scored {
    importance: Importance,
    model: String,
    geometry: Geometry,
    tokens: usize,
    /// Tokens that were run at once.
    window: usize,
    /// Names of texts.
    texts: Vec<String>,
    imatrix: Option<String>,
}

/// Scores channels and writes an importance file.
pub(super) fn run(args: &ScoreArgs, rule: Rule) -> Result<()> {
    let (ctx, max_tokens) = (args.ctx.unwrap_or(WINDOW), args.max_tokens.unwrap_or(MOST_TOKENS));
    if ctx == 0 || max_tokens == 0 {
        return Err(Error::input("--ctx and --max-tokens must be at least 1, not 0"));
    }
    let needs_text = rule.needs == Needs::Text;
    let scored = match &args.imatrix {
        Some(_) if !needs_text => {
            return Err(Error::input(format!(
                "--imatrix does not belong to --rule {}, which needs no statistics",
                rule.name
            )));
        }
        Some(path) => of_imatrix(args, rule, path)?,
        None if needs_text && args.text.is_empty() => {
            return Err(Error::input(
                "this rule looks at a running model: give it --text FILE, or --imatrix FILE",
            ));
        }
        None => of_model(args, rule, ctx, max_tokens)?,
    };
    let Scored { importance, model, geometry, tokens, window, texts, imatrix } = scored;
    let (rule, shape) = (rule.name, importance.shape());
    let mut recipe = json!({
        "tool": format!("kscope {}", env!("CARGO_PKG_VERSION")),
        "rule": rule,
        "texts": texts,
        "tokens": tokens,
        "window": window,
        "seed": args.seed,
    });
    if let Some(imatrix) = imatrix {
        recipe["imatrix"] = imatrix.into();
    }
    let origin = Origin {
        model: model.clone(),
        fingerprint: fingerprint(&geometry),
        window: Window::default(),
        align: DEFAULT_ALIGN,
        recipe,
    };
    files::save(&args.out, &Contents::Importance(ImportanceFile { importance, origin }), true)?;
    let out = args.out.display().to_string();
    match args.json {
        true => output::json(
            "score importance",
            &json!({ "rule": rule, "tokens": tokens, "shape": shape, "out": out }),
        ),
        false => output::line(&format!("{rule} importance of {model} {shape} is in {out}")),
    }
}

/// Scores from llama.cpp's importance matrix; the model is read, not run.
fn of_imatrix(args: &ScoreArgs, rule: Rule, path: &Path) -> Result<Scored> {
    args.model.prepare()?;
    let mut opened = args.model.open(&args.model.source()?)?;
    let found = opened.mean_squares(path, rule == Rule::THINK)?;
    warn_of_files(&opened.warnings);
    let given =
        Given { squares: Some(&found.squares), ..Given::nothing(opened.config.mask_shape(), 0) };
    Ok(Scored {
        importance: rule.scores(given)?,
        geometry: opened.config.geometry(),
        model: opened.name,
        tokens: found.tokens,
        window: found.chunk,
        texts: Vec::new(),
        imatrix: Some(name_of(path)),
    })
}

/// Scores from a loaded model, and from texts where the rule needs them.
fn of_model(args: &ScoreArgs, rule: Rule, ctx: usize, max_tokens: usize) -> Result<Scored> {
    let model = args.model.load()?;
    let mut tokens = 0;
    let importance = if rule.needs == Needs::Text {
        let tokenizer = model.tokenizer.as_ref().ok_or_else(|| {
            Error::input(format!("{} has no tokenizer, so it cannot read text", model.name))
        })?;
        let mut texts = Vec::new();
        // Every file gets an equal part of the token limit.
        let share = max_tokens.div_ceil(args.text.len());
        for path in &args.text {
            let mut ids = tokenizer.encode(&read_text(path)?)?;
            if ids.len() < LEAST_TOKENS {
                return Err(Error::input(format!(
                    "{}: expected a text of at least {LEAST_TOKENS} tokens, found {}",
                    path.display(),
                    ids.len()
                )));
            }
            ids.truncate(share);
            tokens += ids.len();
            texts.push(ids);
        }
        let bar = ProgressLine::new(&format!("scoring {} tokens", count(tokens)));
        let moments = score::gather(&model.decoder, &texts, ctx, &mut |share| {
            bar.share(share);
            Ok(())
        })?;
        bar.finish();
        moments.importance(rule)?
    } else {
        rule.scores(Given::nothing(model.config().mask_shape(), args.seed))?
    };
    Ok(Scored {
        importance,
        model: model.name.clone(),
        geometry: model.config().geometry(),
        tokens,
        window: ctx,
        texts: args.text.iter().map(|path| name_of(path)).collect(),
        imatrix: None,
    })
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
