//! `kscope run`: decode without a screen; text to standard output, figures to standard error.

use std::sync::Arc;
use std::time::Duration;

use super::args::{Ready, SessionArgs};
use super::chat;
use super::output;
use super::progress::ProgressLine;
use super::values;
use super::widths::PlanReport;
use crate::cache::CacheSpec;
use crate::decode::session::{Finish, NewToken, Request, Session};
use crate::model::Model;
use crate::model::decoder::PrefillHooks;
use crate::model::tokenizer::Detokenizer;
use crate::spread::median_ms;
use crate::{Error, Result, machine, numbers};

/// Arguments of `kscope run`.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub(super) session: SessionArgs,
    /// Most tokens to generate
    #[arg(long, default_value_t = 256, value_name = "N", value_parser = values::tokens_or_zero)]
    pub(super) max_new: usize,
    /// Decode every prompt this many times at once, drawing with seed, seed + 1, ...
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = values::number)]
    batch: usize,
    /// Feed these token ids through decode after the prefill and report their log-probabilities
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    force_ids: Vec<u32>,
    /// Go on after the model's end tokens, to --max-new or the end of the context
    #[arg(long)]
    pub(super) ignore_eos: bool,
    /// Report the log-probability of each prompt token
    #[arg(long)]
    prompt_logprobs: bool,
    /// Hold a conversation: every line of standard input is a turn, which passes through the cache
    /// as it stands. --prompt or --prompt-file is the first turn
    #[arg(long, conflicts_with_all = ["batch", "force_ids", "prompt_logprobs", "token_ids"])]
    pub(super) chat: bool,
    /// Tokens that the prefill works on at once
    #[arg(long, default_value_t = PrefillHooks::CHUNK, value_name = "TOKENS", hide = true,
          value_parser = values::tokens_or_zero)]
    pub(super) prefill_chunk: usize,
    /// Print one JSON object instead of the text
    #[arg(long)]
    pub(super) json: bool,
}

/// What a run decodes with.
#[derive(Debug, serde::Serialize)]
pub(super) struct RunSetting {
    pub model: String,
    pub device: String,
    pub dtype: String,
    pub kv_dtype: String,
    mask: Option<String>,
    plan: Option<String>,
    window: crate::mask::Window,
}

impl RunSetting {
    /// Of a session with this cache.
    pub fn of(args: &RunArgs, model: &Model, spec: &CacheSpec) -> Self {
        let (mask, plan) = args.session.cache.names();
        Self {
            model: model.name.clone(),
            device: model.decoder.device_name().to_owned(),
            dtype: model.decoder.step_weights(),
            kv_dtype: spec.dtype().to_string(),
            mask,
            plan,
            window: spec.window(),
        }
    }
}

/// The JSON object of a run.
#[derive(Debug, serde::Serialize)]
struct Report {
    #[serde(flatten)]
    setting: RunSetting,
    prompt_tokens: usize,
    tokens: Vec<u32>,
    text: Option<String>,
    logprobs: Vec<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_logprobs: Option<Vec<Option<f32>>>,
    finish: Option<Finish>,
    prefill_ms: f64,
    ttft_ms: f64,
    /// Median over decode steps; null where there were none.
    tpot_ms: Option<f64>,
    /// Tokens of all sequences per second of decode; null where there were no steps.
    tokens_per_s: Option<f64>,
    kv_bytes: usize,
    kv_bytes_dense: usize,
    #[serde(flatten)]
    stored: PlanReport,
    threads: usize,
    resident_bytes: Option<u64>,
    warnings: Vec<String>,
    /// Every sequence of a batch.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sequences: Vec<SequenceReport>,
}

#[derive(Debug, serde::Serialize)]
struct SequenceReport {
    prompt_tokens: usize,
    tokens: Vec<u32>,
    text: Option<String>,
    logprobs: Vec<f32>,
    finish: Option<Finish>,
    ttft_ms: f64,
}

/// Runs `kscope run`.
pub fn run(args: &RunArgs) -> Result<()> {
    if args.chat {
        return chat::run(args);
    }
    let sampling = args.session.sampling.sampling()?;
    if args.batch == 0 || args.prefill_chunk == 0 {
        return Err(Error::input("--batch and --prefill-chunk must be at least 1, not 0"));
    }
    let ready = args.session.open(args.batch)?;
    let Ready { model, choice, pruned: spec, dense, context, prompts } = ready;
    // Nothing here goes back, so that layers with a window keep it alone.
    let spec = Arc::new(CacheSpec::clone(&spec).forgetting());
    let forced = (!args.force_ids.is_empty()).then(|| args.force_ids.clone());
    let max_new = forced.as_ref().map_or(args.max_new, Vec::len);
    let reach = |prompt: &Vec<u32>| (prompt.len() + max_new).min(context);
    let cache_bytes: usize =
        prompts.iter().map(|prompt| spec.bytes_at(reach(prompt)).total()).sum();
    model.check_cache_memory(&format!("a cache of {} sequences", prompts.len()), cache_bytes)?;

    let bar = ProgressLine::new("prefill");
    let request =
        Request { prompts, sampling, max_new, forced, context, ignore_end: args.ignore_eos };
    let (mut session, first) = bar.prefill(args.prefill_chunk, |hooks| {
        Session::start(model.clone(), &spec, request, args.prompt_logprobs, hooks)
    })?;
    bar.finish();

    let mut printer = Printer::new(&session, args.json);
    printer.print(&session, &first)?;
    while !session.is_finished() {
        let new = session.step(&mut |_, _, _| ())?;
        printer.print(&session, &new)?;
    }
    printer.finish(&session)?;

    let report = report(args, &session, choice.warnings(), &spec, &dense)?;
    if args.json {
        output::json("run", &report)
    } else {
        output::note(&figures(&report));
        Ok(())
    }
}

fn report(
    args: &RunArgs,
    session: &Session,
    warnings: &[String],
    spec: &CacheSpec,
    dense: &CacheSpec,
) -> Result<Report> {
    let model = session.model();
    let first = &session.sequences()[0];
    let text = |tokens: &[u32]| {
        model.tokenizer.as_ref().map(|tokenizer| tokenizer.decode(tokens)).transpose()
    };
    let of_sequence = |sequence: &crate::decode::session::Sequence| {
        Ok(SequenceReport {
            prompt_tokens: sequence.prompt_len,
            tokens: sequence.generated().to_vec(),
            text: text(sequence.spoken())?,
            logprobs: sequence.logprobs.clone(),
            finish: sequence.finish,
            ttft_ms: ms(sequence.ttft),
        })
    };
    let steps: Duration = session.step_times.iter().sum();
    let stepped: usize = session
        .sequences()
        .iter()
        .map(|sequence| sequence.generated().len().saturating_sub(1))
        .sum();
    Ok(Report {
        setting: RunSetting::of(args, model, spec),
        prompt_tokens: first.prompt_len,
        tokens: first.generated().to_vec(),
        text: text(first.spoken())?,
        logprobs: first.logprobs.clone(),
        prompt_logprobs: session.prompt_logprobs.first().map(|logprobs| {
            std::iter::once(None).chain(logprobs.iter().copied().map(Some)).collect()
        }),
        finish: first.finish,
        prefill_ms: ms(session.prefill_time),
        ttft_ms: ms(first.ttft),
        tpot_ms: (!session.step_times.is_empty()).then(|| median_ms(&session.step_times)),
        tokens_per_s: (stepped > 0).then(|| stepped as f64 / steps.as_secs_f64()),
        kv_bytes: session.sequences().iter().map(|sequence| sequence.cache.bytes().total()).sum(),
        kv_bytes_dense: session
            .sequences()
            .iter()
            .map(|sequence| dense.bytes_at(sequence.cache.tokens()).total())
            .sum(),
        stored: PlanReport::of(spec, first.cache.tokens()),
        threads: rayon::current_num_threads(),
        resident_bytes: machine::resident_bytes(),
        warnings: warnings.to_vec(),
        sequences: match session.sequences() {
            [_] => Vec::new(),
            all => all.iter().map(of_sequence).collect::<Result<_>>()?,
        },
    })
}

fn figures(report: &Report) -> String {
    let speed = match (report.tokens_per_s, report.tpot_ms) {
        (Some(speed), Some(tpot)) => {
            format!("decode {}, TPOT {tpot:.2} ms (median)", numbers::rate(speed))
        }
        _ => "no decode step".to_owned(),
    };
    format!(
        "{} · {} · weights {} · {} cache · prompt {} tokens, prefill {:.0} ms, TTFT {:.0} ms · {speed} · KV {} of {} dense",
        report.setting.model,
        report.setting.device,
        report.setting.dtype,
        report.setting.kv_dtype,
        numbers::count(report.prompt_tokens),
        report.prefill_ms,
        report.ttft_ms,
        numbers::bytes(report.kv_bytes as u64),
        numbers::bytes(report.kv_bytes_dense as u64),
    )
}

pub(super) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Streams the text of a single sequence as it is generated. A batch is printed at the end,
/// sequence by sequence.
pub(super) struct Printer {
    stream: Option<Detokenizer>,
    quiet: bool,
}

impl Printer {
    pub fn new(session: &Session, quiet: bool) -> Self {
        let single = session.sequences().len() == 1;
        let tokenizer = session.model().tokenizer.clone().filter(|_| single && !quiet);
        Self { stream: tokenizer.map(Detokenizer::new), quiet }
    }

    pub fn print(&mut self, session: &Session, new: &[NewToken]) -> Result<()> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        let is_text = |token: &&NewToken| {
            session.sequences()[token.sequence].finish != Some(Finish::EndToken)
        };
        for token in new.iter().filter(is_text) {
            output::spoken(&stream.push(token.id))?;
        }
        Ok(())
    }

    pub fn finish(self, session: &Session) -> Result<()> {
        if let Some(stream) = self.stream {
            output::spoken(&stream.finish()?)?;
            return output::spoken("\n");
        }
        if self.quiet {
            return Ok(());
        }
        for sequence in session.sequences() {
            match &session.model().tokenizer {
                Some(tokenizer) => {
                    output::spoken(&format!("{}\n", tokenizer.decode(sequence.spoken())?))?;
                }
                None => output::line(
                    &sequence.generated().iter().map(u32::to_string).collect::<Vec<_>>().join(","),
                )?,
            }
        }
        Ok(())
    }
}
