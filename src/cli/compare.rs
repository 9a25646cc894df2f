//! `kscope compare`: dense against masked decode of the same prompt, without a screen.

use std::time::Duration;

use serde::Serialize;

use super::common::{CacheArgs, ModeArg, ModelArgs, PromptArgs, SamplingArgs, progress_bar};
use super::output;
use crate::decode::comparison::{Comparison, Mode, Setup, Side, Sides};
use crate::decode::divergence::{Divergence, Spread, StepDivergence};
use crate::model::Model;
use crate::model::decoder::PrefillHooks;
use crate::{Error, Result, machine};

/// Arguments of `kscope compare`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    cache: CacheArgs,
    #[command(flatten)]
    prompt: PromptArgs,
    #[command(flatten)]
    sampling: SamplingArgs,
    /// Tokens to generate on each side; the first comes from the exact prefill and is not compared
    #[arg(long, default_value_t = 128, value_name = "N")]
    max_new: usize,
    /// Which tokens the masked side is fed
    #[arg(long, value_enum, default_value = "forced")]
    mode: ModeArg,
    /// Compare every prompt this many times at once, drawing with seed, seed + 1, ...
    #[arg(long, default_value_t = 1, value_name = "N")]
    batch: usize,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    model: String,
    mode: Mode,
    mask: Option<String>,
    window: crate::mask::Window,
    kv_dtype: String,
    prompt_tokens: usize,
    new_tokens: usize,
    /// Per decode step, nats.
    kld: Spread,
    compared_steps: usize,
    top1_agreement: f64,
    mean_delta_logprob: f64,
    rms_delta_p: f64,
    /// Index among the new tokens; null where the texts are equal.
    first_divergence: Option<usize>,
    prefill_ms: f64,
    a: SideReport,
    b: SideReport,
    saved_bytes: usize,
    /// Of the first sequence, one per decode step; null in free mode where the texts already differ.
    steps: Vec<Option<StepDivergence>>,
    threads: usize,
}

#[derive(Debug, Serialize)]
struct SideReport {
    text: Option<String>,
    tokens: Vec<u32>,
    /// This side's own compute time per step, median.
    tpot_ms: f64,
    kv_bytes: usize,
}

/// Runs `kscope compare`.
pub fn run(args: &Args) -> Result<()> {
    if args.max_new < 2 || args.batch == 0 {
        return Err(Error::input("--max-new must be at least 2 (the first token is exact) and --batch at least 1"));
    }
    if args.cache.mask.is_none() {
        return Err(Error::input("compare needs a mask: give it --mask FILE"));
    }
    let sampling = args.sampling.sampling()?;
    let model = args.model.load()?;
    let choice = args.cache.mask_choice(model.config())?;
    choice.warnings.iter().for_each(|warning| eprintln!("kscope: {warning}"));
    let (pruned, dense) = args.cache.specs(model.config(), &choice)?;
    let context = args.cache.context(model.config())?;
    let prompts = args.prompt.tokens(&model)?;
    let prompts: Vec<Vec<u32>> = prompts.iter().flat_map(|p| std::iter::repeat_n(p.clone(), args.batch)).collect();
    let reach: usize = prompts
        .iter()
        .map(|prompt| (prompt.len() + args.max_new).min(context))
        .map(|len| dense.bytes_at(len).total() + pruned.bytes_at(len).total())
        .sum();
    machine::check_memory("a dense and a pruned cache", reach as u64)?;
    let mode = args.mode.into();
    let bar = progress_bar("prefill");
    let hooks = PrefillHooks {
        chunk: PrefillHooks::CHUNK,
        progress: &mut |share| {
            bar.set_position((share * 1000.0) as u64);
            Ok(())
        },
        keep_going: &|| Ok(()),
        observe: &mut |_| (),
    };
    let setup = Setup { prompts, dense, pruned, sampling, mode, context };
    let mut comparison = Comparison::start(model.clone(), setup, hooks)?;
    bar.set_message("decoding");
    for step in 1..args.max_new {
        if !comparison.has_room() || all_ended(&comparison) {
            break;
        }
        comparison.step(Sides::Both, &mut |_, _, _| ())?;
        bar.set_position((step * 1000 / args.max_new) as u64);
    }
    bar.finish_and_clear();
    let report = report(args, &model, &comparison);
    if args.json { output::json(&report) } else { output::line(&table(&report)) }
}

/// Whether the dense side of every sequence has said an end token.
fn all_ended(comparison: &Comparison) -> bool {
    let eos = &comparison.model().config().eos;
    comparison.a.generated.iter().all(|tokens| tokens.iter().any(|token| eos.contains(token)))
}

fn report(args: &Args, model: &Model, comparison: &Comparison) -> Report {
    let all: Vec<StepDivergence> = comparison.steps.iter().flatten().flatten().copied().collect();
    let divergence = Divergence::of(&all);
    let (a, b) = (side(model, &comparison.a), side(model, &comparison.b));
    Report {
        model: model.name.clone(),
        mode: comparison.mode(),
        mask: args.cache.mask.as_ref().map(|path| path.display().to_string()),
        window: comparison.b.caches[0].spec().window(),
        kv_dtype: args.cache.kv_dtype.to_string(),
        prompt_tokens: comparison.prompts()[0].len(),
        new_tokens: comparison.a.generated[0].len(),
        kld: divergence.kld,
        compared_steps: divergence.steps,
        top1_agreement: divergence.top1_agreement,
        mean_delta_logprob: divergence.mean_delta_logprob,
        rms_delta_p: divergence.rms_delta_p,
        first_divergence: comparison.first_divergence(0),
        prefill_ms: comparison.prefill_time.as_secs_f64() * 1e3,
        saved_bytes: a.kv_bytes.saturating_sub(b.kv_bytes),
        a,
        b,
        steps: comparison.steps[0].clone(),
        threads: rayon::current_num_threads(),
    }
}

fn side(model: &Model, side: &Side) -> SideReport {
    let tokens = side.generated[0].clone();
    SideReport {
        text: model.tokenizer.as_ref().and_then(|tokenizer| tokenizer.decode(&tokens).ok()),
        tokens,
        tpot_ms: median_ms(&side.step_times),
        kv_bytes: side.kv_bytes(),
    }
}

/// Median of step times in milliseconds; 0 where there was no step.
pub fn median_ms(times: &[Duration]) -> f64 {
    Spread::of(times.iter().map(|time| time.as_secs_f64() * 1e3)).p50
}

fn table(report: &Report) -> String {
    let text = |side: &SideReport| side.text.clone().unwrap_or_else(|| format!("{:?}", side.tokens));
    let divergence = match report.first_divergence {
        Some(at) => format!("first differing token: {at}"),
        None => "no token differs".to_owned(),
    };
    format!(
        "A dense   {:>8.2} ms a token   KV {:>10}\n{}\n\nB masked  {:>8.2} ms a token   KV {:>10}   saved {}\n{}\n\n\
         KLD mean {:.5} ± {:.5} nats, p50 {:.5}, p99 {:.5}, max {:.5} over {} steps\n\
         same top token {:.1} %, RMS Δp {:.2} %, {divergence}",
        report.a.tpot_ms,
        machine::human(report.a.kv_bytes as u64),
        text(&report.a),
        report.b.tpot_ms,
        machine::human(report.b.kv_bytes as u64),
        machine::human(report.saved_bytes as u64),
        text(&report.b),
        report.kld.mean,
        report.kld.stderr,
        report.kld.p50,
        report.kld.p99,
        report.kld.max,
        report.compared_steps,
        report.top1_agreement * 100.0,
        report.rms_delta_p * 100.0,
    )
}
