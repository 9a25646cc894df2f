//! `kscope compare --baked`: dense weights against weights with a mask baked in.

use std::sync::Arc;

use serde::Serialize;

use super::compare::CompareArgs;
use super::output;
use super::progress::ProgressLine;
use crate::cache::CacheSpec;
use crate::decode::baked::{BakedLosses, BakedSetup, compare_baked};
use crate::decode::comparison::Mode;
use crate::decode::divergence::{Divergence, StepDivergence};
use crate::mask::Window;
use crate::model::Model;
use crate::{Error, Result, numbers};

#[derive(Debug, Serialize)]
struct Report {
    model: String,
    mask: String,
    baked: bool,
    /// Share of key channels that are zero.
    pruned: f64,
    kv_dtype: String,
    prompt_tokens: usize,
    new_tokens: usize,
    /// Predictions after the prompt's tokens, from each side's own prefill.
    prompt: Divergence,
    /// The same of generated tokens, fed to both sides.
    decode: Divergence,
    /// KL(dense || baked) in nats after each token of the prompt.
    prompt_klds: Vec<f64>,
    steps: Vec<StepDivergence>,
    /// The prompt and what the dense side said.
    tokens: Vec<u32>,
    text: Option<String>,
    threads: usize,
}

/// Runs `kscope compare --baked`.
pub(super) fn run(args: &CompareArgs) -> Result<()> {
    refuse_others(args)?;
    let session = &args.session;
    let sampling = session.sampling.sampling()?;
    let dense = session.model.load()?;
    let config = dense.config();
    let choice = session.cache.choice(config, session.model.device)?;
    choice.warn();
    let given = choice.given.expect("a mask is given");
    let rows = given.zero_rows(config)?;
    let mut prompts = session.prompt.tokens(&dense)?;
    let (Some(prompt), true) = (prompts.pop(), prompts.is_empty()) else {
        return Err(Error::input("--baked compares one prompt, found several"));
    };
    let context = session.cache.context(config)?;
    if prompt.len() + args.max_new > context {
        return Err(Error::input(format!(
            "a prompt of {} tokens and {} new ones do not fit the context of {}",
            numbers::count(prompt.len()),
            numbers::count(args.max_new),
            numbers::count(context)
        )));
    }
    let baked = session.model.load_with_zero_rows(rows)?;
    let window = Window::default();
    let cache = CacheSpec::dense(config.mask_shape(), window, session.cache.kv_dtype)?;
    let cache = Arc::new(cache.with_sight(config.sight()));
    let reach = cache.bytes_at(prompt.len() + args.max_new).total();
    dense.check_cache_memory("two dense caches", 2 * reach)?;
    let setup = BakedSetup { prompt, max_new: args.max_new, sampling, cache };
    let bar = ProgressLine::new("comparing");
    let losses = compare_baked(&dense, &baked, &setup, &mut |share| {
        bar.share(share);
        Ok(())
    })?;
    bar.finish();
    let pruned = 1.0 - given.plan.mask().kept_ratio();
    let report = report(&dense, given.name, pruned, &setup, losses)?;
    output::report("compare baked", args.json, &report, table)
}

/// Refuses what has no meaning where both sides are whole caches of two models.
fn refuse_others(args: &CompareArgs) -> Result<()> {
    let cache = &args.session.cache;
    let others = [
        ("--mode free", Mode::from(args.mode) == Mode::Free),
        ("--batch", args.batch != 1),
        ("--timed", args.timed),
        ("--lost", args.lost.is_some()),
        ("--sink", cache.sink.is_some()),
        ("--recent", cache.recent.is_some()),
        ("--chunk", cache.chunk.is_some()),
    ];
    match others.into_iter().find(|(_, given)| *given) {
        Some((flag, _)) => Err(Error::input(format!(
            "{flag} does not belong to --baked, which has no window and feeds one prompt and what dense weights say to both sides"
        ))),
        None => Ok(()),
    }
}

fn report(
    model: &Model,
    mask: String,
    pruned: f64,
    setup: &BakedSetup,
    losses: BakedLosses,
) -> Result<Report> {
    let BakedLosses { prompt, steps, generated } = losses;
    let text = model.tokenizer.as_ref().map(|tokenizer| tokenizer.decode(&generated));
    Ok(Report {
        model: model.name.clone(),
        mask,
        baked: true,
        pruned,
        kv_dtype: setup.cache.dtype().to_string(),
        prompt_tokens: setup.prompt.len(),
        new_tokens: generated.len(),
        prompt: Divergence::of(&prompt),
        decode: Divergence::of(&steps),
        prompt_klds: prompt.iter().map(|step| step.kld).collect(),
        steps,
        tokens: [setup.prompt.as_slice(), &generated].concat(),
        text: text.transpose()?,
        threads: rayon::current_num_threads(),
    })
}

fn table(report: &Report) -> String {
    let row = |what: &str, found: &Divergence| {
        format!(
            "{what:<8} KLD mean {:.5} ± {:.5} nats, p50 {:.5}, p99 {:.5}, max {:.5}, same top token {:.1} % over {} positions",
            found.kld.mean,
            found.kld.stderr,
            found.kld.p50,
            found.kld.p99,
            found.kld.max,
            found.top1_agreement * 100.0,
            numbers::count(found.steps)
        )
    };
    format!(
        "{} against itself with {} baked in: {} of the key channels are zero for every token, and a cache takes as much memory as before\n{}\n{}",
        report.model,
        report.mask,
        numbers::percent(report.pruned, 1),
        row("prompt", &report.prompt),
        row("decode", &report.decode)
    )
}
