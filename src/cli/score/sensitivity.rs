//! `kscope score --rule sensitivity`, and rules that give importance by one.

use std::path::PathBuf;
use std::time::Instant;

use serde_json::json;

use super::command::ScoreArgs;
use crate::cli::output;
use crate::cli::progress::ProgressLine;
use crate::cli::values;
use crate::learn::data::{self, Haystack};
use crate::learn::sensitivity::{
    SENSITIVITY, SensitivitySettings, SensitivityStep, costliest_share, measure, recipe,
};
use crate::mask::files::{self, Contents, DEFAULT_ALIGN, ImportanceFile, Origin, SensitivityFile};
use crate::mask::{Given, Rule, Window, fingerprint};
use crate::model::config::Config;
use crate::numbers::percent;
use crate::{Error, Result};

/// Options of the measurement.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Rules fisher and sensitivity")]
pub(super) struct SensitivityArgs {
    /// Windows of text [default: 3]
    #[arg(long, value_name = "N", value_parser = values::number)]
    windows: Option<usize>,
    /// Tokens of a window [default: 1536]
    #[arg(long, value_name = "TOKENS", value_parser = values::tokens)]
    window_tokens: Option<usize>,
    /// Last tokens of a window whose predictions are scored [default: 128]
    #[arg(long, value_name = "N", value_parser = values::number)]
    rows: Option<usize>,
    /// Next tokens that are drawn from each prediction [default: 1]
    #[arg(long, value_name = "N", value_parser = values::number)]
    draws: Option<usize>,
    /// Weight of recall prompts beside the text; 0 for text alone [default: 0.25]
    #[arg(long, value_name = "W")]
    recall_weight: Option<f64>,
    /// First tokens that are stored exactly [default: 16]
    #[arg(long, value_name = "TOKENS", value_parser = values::tokens_or_zero)]
    sink: Option<usize>,
    /// Last tokens that are stored exactly [default: 128]
    #[arg(long, value_name = "TOKENS", value_parser = values::tokens_or_zero)]
    recent: Option<usize>,
    /// Tokens that are coded at once [default: 64]
    #[arg(long, value_name = "TOKENS", value_parser = values::tokens)]
    chunk: Option<usize>,
}

impl SensitivityArgs {
    /// Whether any option is given.
    pub(super) fn is_given(&self) -> bool {
        let Self { windows, window_tokens, rows, draws, recall_weight, sink, recent, chunk } = self;
        let numbers = [windows, window_tokens, rows, draws, sink, recent, chunk];
        recall_weight.is_some() || numbers.into_iter().any(Option::is_some)
    }

    fn settings(&self, config: &Config, seed: u64) -> SensitivitySettings {
        let usual = SensitivitySettings::new(config);
        SensitivitySettings {
            window: Window {
                sink: self.sink.unwrap_or(usual.window.sink),
                recent: self.recent.unwrap_or(usual.window.recent),
                chunk: self.chunk.unwrap_or(usual.window.chunk),
            },
            windows: self.windows.unwrap_or(usual.windows),
            window_tokens: self.window_tokens.unwrap_or(usual.window_tokens),
            rows: self.rows.unwrap_or(usual.rows),
            draws: self.draws.unwrap_or(usual.draws),
            recall_weight: self.recall_weight.unwrap_or(usual.recall_weight),
            seed,
            ..usual
        }
    }
}

/// The texts that are named or, without any, the fetched ones that learning reads.
fn texts(args: &ScoreArgs) -> Result<Haystack> {
    let haystack = match args.text.is_empty() {
        true => data::load(&[], "text")?,
        false => {
            let source = |text: &PathBuf| data::source(&text.to_string_lossy());
            Haystack { pieces: args.text.iter().map(source).collect::<Result<_>>()? }
        }
    };
    match haystack.pieces.is_empty() {
        true => Err(Error::input(
            "this rule looks at a running model: give it --text FILE, or get texts with `kscope fetch texts`",
        )),
        false => Ok(haystack),
    }
}

/// Measures and writes a sensitivity file or, with a rule, the importance that the rule makes of it.
pub(super) fn run(args: &ScoreArgs, rule: Option<Rule>) -> Result<()> {
    let haystack = texts(args)?;
    let model = args.model.load()?;
    let settings = args.sensitivity.settings(model.config(), args.seed);
    let began = Instant::now();
    let bar = ProgressLine::new("measuring sensitivity");
    let measured = measure(&model, &haystack, &settings, &mut |progress| {
        bar.share(progress.share);
        bar.say(said(progress, began.elapsed().as_secs_f64()));
        Ok(())
    })?;
    bar.finish();
    let seconds = began.elapsed().as_secs_f64();
    let shape = measured.sensitivity.shape();
    let costliest = costliest_share(&measured.sensitivity);
    let (text_rows, recall_rows) = (measured.text_rows, measured.recall_rows);
    let name = rule.map_or(SENSITIVITY, |rule| rule.name);
    let origin = Origin {
        model: model.name.clone(),
        fingerprint: fingerprint(&model.config().geometry()),
        window: settings.window,
        align: DEFAULT_ALIGN,
        recipe: recipe(name, &model, &haystack, &settings, &measured),
    };
    let sensitivity = measured.sensitivity;
    let contents = match rule {
        Some(rule) => {
            let given =
                Given { sensitivity: Some(&sensitivity), ..Given::nothing(shape, args.seed) };
            Contents::Importance(ImportanceFile { importance: rule.scores(given)?, origin })
        }
        None => Contents::Sensitivity(SensitivityFile { sensitivity, origin }),
    };
    files::save(&args.out, &contents, true)?;
    let out = args.out.display().to_string();
    match args.json {
        true => output::json(
            if rule.is_some() { "score importance" } else { "score sensitivity" },
            &json!({
                "rule": name,
                "shape": shape,
                "text_rows": text_rows,
                "recall_rows": recall_rows,
                "costliest_1_percent_at_4_bits": costliest,
                "seconds": seconds,
                "out": out,
            }),
        ),
        false if rule.is_some() => output::line(&format!(
            "{name} importance of {} {shape} is in {out}, measured in {seconds:.0} s",
            model.name
        )),
        false => output::line(&format!(
            "sensitivity of {} {shape} is in {out}, measured in {seconds:.0} s: 1 % of the K channels have {} of the damage at 4 bits",
            model.name,
            percent(costliest, 0)
        )),
    }
}

/// What the progress line says.
fn said(progress: SensitivityStep, seconds: f64) -> String {
    let SensitivityStep { done, samples, share } = progress;
    let sample = format!("measuring sensitivity: sample {} of {samples}", done + 1);
    match share > 0.0 {
        true => {
            let left = seconds / f64::from(share) * f64::from(1.0 - share);
            format!("{sample}, {left:.0} s left")
        }
        false => sample,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_progress_line_says_how_long_it_will_take() {
        let at = |done, share| said(SensitivityStep { done, samples: 4, share }, 30.0);
        assert_eq!(at(0, 0.0), "measuring sensitivity: sample 1 of 4");
        assert_eq!(at(1, 0.25), "measuring sensitivity: sample 2 of 4, 90 s left");
    }
}
