//! `kscope compare`: dense against masked decode of the same prompt, without a screen.

use std::sync::Arc;

use serde::Serialize;

use super::args::{ModeArg, Ready, SessionArgs};
use super::baked;
use super::beside::{Beside, beside};
use super::output;
use super::progress::{ProgressArgs, ProgressLine};
use super::values;
use super::weak_steps::WeakSteps;
use super::widths::PlanReport;
use crate::decode::comparison::{Comparison, ComparisonSetup, Mode, Side, Sides};
use crate::decode::divergence::{Divergence, StepDivergence, top};
use crate::decode::lost::{Asked, Lost, lost};
use crate::decode::replay::{DenseStep, Recent, Stretch, time_alone};
use crate::learn::check::Cost;
use crate::model::Model;
use crate::model::decoder::PrefillHooks;
use crate::numbers::nats;
use crate::spread::{Spread, median_ms};
use crate::{Error, Result, numbers};

/// Arguments of `kscope compare`.
#[derive(Debug, clap::Args)]
pub struct CompareArgs {
    #[command(flatten)]
    pub(super) session: SessionArgs,
    #[command(flatten)]
    progress: ProgressArgs,
    /// Tokens to generate on each side; the first comes from the exact prefill and is not compared
    #[arg(long, default_value_t = 128, value_name = "N", value_parser = values::tokens_or_zero)]
    pub(super) max_new: usize,
    /// Which tokens the masked side is fed
    #[arg(long, value_enum, default_value = "forced")]
    pub(super) mode: ModeArg,
    /// Compare every prompt this many times at once, drawing with seed, seed + 1, ...
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = values::number)]
    pub(super) batch: usize,
    /// Then time each side alone over the last tokens of the first sequence (dense, masked, masked,
    /// dense)
    #[arg(long)]
    pub(super) timed: bool,
    /// Then tell what one step lost in one query head of the first sequence: LAYER:QUERY_HEAD, and
    /// :N for the N-th new token instead of the last
    #[arg(long, value_name = "L:H[:N]")]
    pub(super) lost: Option<String>,
    /// Leave out what plain 8-bit and 4-bit caches would cost and lose
    #[arg(long)]
    no_rivals: bool,
    /// Compare the model with itself with the mask baked into its weights, as `kscope mask bake`
    /// writes it: no window, and every token of the prompt counts too
    #[arg(long)]
    baked: bool,
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    model: String,
    weights: String,
    mode: Mode,
    mask: Option<String>,
    plan: Option<String>,
    #[serde(flatten)]
    stored: PlanReport,
    window: crate::mask::Window,
    kv_dtype: String,
    prompt_tokens: usize,
    new_tokens: usize,
    /// Per decode step, in nats; its standard error is that over steps.
    kld: Spread,
    compared_steps: usize,
    top1_agreement: f64,
    mean_delta_logprob: f64,
    rms_delta_p: f64,
    #[serde(flatten)]
    weak: WeakSteps,
    /// Index among the new tokens; null where the texts are equal.
    first_divergence: Option<usize>,
    prefill_ms: f64,
    /// Bytes of all sequences at the end: with the plan, and dense.
    kv_bytes: usize,
    kv_bytes_dense: usize,
    a: SideReport,
    b: SideReport,
    saved_bytes: usize,
    /// Of the first sequence, one per decode step.
    steps: Vec<Step>,
    /// Each side alone, milliseconds per step.
    alone: Option<Alone>,
    lost: Option<Lost>,
    /// The plan beside plain caches, and the verdict; null with --no-rivals, on a GPU, and where
    /// nothing was pruned.
    beside: Option<Beside>,
    threads: usize,
}

/// A decode step of both sides.
#[derive(Debug, Serialize)]
struct Step {
    /// The new token that it gave, counted from 1; the first came from the prefill.
    n: usize,
    /// Missing in free mode where the texts already differ.
    #[serde(flatten)]
    divergence: Option<StepDivergence>,
    a_top: Vec<Likely>,
    b_top: Vec<Likely>,
}

#[derive(Debug, Serialize)]
struct Likely {
    token: u32,
    text: String,
    p: f32,
}

#[derive(Debug, Serialize)]
struct Alone {
    steps: usize,
    a_ms: Spread,
    b_ms: Spread,
}

#[derive(Debug, Serialize)]
struct SideReport {
    text: Option<String>,
    tokens: Vec<u32>,
    /// This side's own compute time per step, median, in milliseconds.
    tpot_ms: f64,
    kv_bytes: usize,
}

/// Runs `kscope compare`.
pub fn run(args: &CompareArgs) -> Result<()> {
    args.progress.choose();
    if args.max_new < 2 || args.batch == 0 {
        return Err(Error::input(
            "--max-new must be at least 2 (the first token is exact) and --batch at least 1",
        ));
    }
    if !args.session.cache.is_given() {
        return Err(Error::input(
            "compare needs a plan or a mask: give it --plan NAME|FILE or --mask FILE",
        ));
    }
    if args.baked {
        return baked::run(args);
    }
    let sampling = args.session.sampling.sampling()?;
    let ready = args.session.open(args.batch)?;
    let Ready { model, pruned, dense, context, prompts, .. } = ready;
    let reach: usize = prompts
        .iter()
        .map(|prompt| (prompt.len() + args.max_new).min(context))
        .map(|len| dense.bytes_at(len).total() + pruned.bytes_at(len).total())
        .sum();
    model.check_cache_memory("a dense and a pruned cache", reach)?;
    let mode = args.mode.into();
    let bar = ProgressLine::new("prefill");
    let setup = ComparisonSetup { prompts, dense, pruned, sampling, mode, context };
    let mut comparison =
        bar.prefill(PrefillHooks::CHUNK, |hooks| Comparison::start(model.clone(), setup, hooks))?;
    let mut log =
        Log { timed: Recent::new(TIMED), recent: Recent::new(REPLAYED), steps: Vec::new() };
    bar.say("decoding".to_owned());
    for step in 1..args.max_new {
        if !comparison.has_room() || all_ended(&comparison) {
            break;
        }
        let fed = comparison.a.generated[0][step - 1];
        comparison.step(Sides::Both, &mut |_, _, _| ())?;
        log.take(&model, &comparison, fed);
        bar.count(step, args.max_new);
    }
    let alone = args.timed.then(|| alone(&model, &comparison, &log.timed)).transpose()?;
    let name = args.session.cache.names();
    let name = name.1.or(name.0).unwrap_or_default();
    bar.say("plain caches".to_owned());
    let beside = match args.no_rivals {
        true => None,
        false => beside(&name, &comparison, &log.recent)?,
    };
    bar.finish();
    let lost = args
        .lost
        .as_deref()
        .map(|place| lost(&comparison, asked(place, &comparison)?))
        .transpose()?;
    let report = Report { alone, lost, beside, ..report(args, &model, &comparison, log.steps)? };
    output::report("compare", args.json, &report, table)
}

/// Whether the dense side of every sequence has generated an end token.
fn all_ended(comparison: &Comparison) -> bool {
    let eos = &comparison.model().config().eos;
    comparison.a.generated.iter().all(|tokens| tokens.iter().any(|token| eos.contains(token)))
}

/// Dense steps that a timed run covers.
const TIMED: usize = 64;
/// Dense steps that plain caches are measured over; their logits are kept.
const REPLAYED: usize = 128;
/// Likeliest tokens of each side that are reported per step.
const LIKELIEST: usize = 5;

/// The first sequence, step by step.
struct Log {
    timed: Recent,
    recent: Recent,
    steps: Vec<Step>,
}

impl Log {
    fn take(&mut self, model: &Model, comparison: &Comparison, fed: u32) {
        let vocab = model.config().vocab;
        let Comparison { a, b, .. } = comparison;
        let next = a.generated[0][a.generated[0].len() - 1];
        let step = DenseStep { fed, next, logits: a.logits(0, vocab).into() };
        self.timed.push(step.clone());
        self.recent.push(step);
        let likely = |side: &Side| {
            let tokens = top(side.logits(0, vocab), LIKELIEST).into_iter();
            tokens.map(|(token, p)| Likely { token, text: model.token_text(token), p }).collect()
        };
        let divergence = comparison.steps[0].last().copied().flatten();
        self.steps.push(Step {
            n: a.generated[0].len(),
            divergence,
            a_top: likely(a),
            b_top: likely(b),
        });
    }
}

fn alone(model: &Model, comparison: &Comparison, recent: &Recent) -> Result<Alone> {
    let stretch = Arc::new(Stretch::new(&comparison.a.caches[0], recent)?);
    let times = time_alone(model, &stretch, comparison.b.caches[0].spec())?;
    let steps = times[0].len();
    let [a_ms, b_ms] = times.map(|times| Spread::of_times(&times));
    Ok(Alone { steps, a_ms, b_ms })
}

/// The step and query head of `--lost`.
fn asked(place: &str, comparison: &Comparison) -> Result<Asked> {
    let numbers: Option<Vec<usize>> = place.split(':').map(|part| part.parse().ok()).collect();
    match numbers.as_deref() {
        Some(&[layer, head]) => Ok(Asked { n: comparison.a.generated[0].len(), layer, head }),
        Some(&[layer, head, n]) => Ok(Asked { n, layer, head }),
        _ => Err(Error::input(format!(
            "--lost {place}: expected LAYER:QUERY_HEAD or LAYER:QUERY_HEAD:N"
        ))),
    }
}

fn report(
    args: &CompareArgs,
    model: &Model,
    comparison: &Comparison,
    steps: Vec<Step>,
) -> Result<Report> {
    let all: Vec<StepDivergence> = comparison.steps.iter().flatten().flatten().copied().collect();
    let divergence = Divergence::of(&all);
    let (a, b) = (side(model, &comparison.a)?, side(model, &comparison.b)?);
    let (mask, plan) = args.session.cache.names();
    let spec = comparison.b.caches[0].spec();
    Ok(Report {
        model: model.name.clone(),
        weights: model.decoder.step_weights(),
        mode: comparison.mode(),
        mask,
        plan,
        stored: PlanReport::of(spec, comparison.b.caches[0].tokens()),
        window: spec.window(),
        kv_dtype: args.session.cache.kv_dtype.to_string(),
        prompt_tokens: comparison.prompts()[0].len(),
        new_tokens: comparison.a.generated[0].len(),
        kld: divergence.kld,
        compared_steps: divergence.steps,
        top1_agreement: divergence.top1_agreement,
        mean_delta_logprob: divergence.mean_delta_logprob,
        rms_delta_p: divergence.rms_delta_p,
        weak: WeakSteps::of(comparison),
        first_divergence: comparison.first_divergence(0),
        prefill_ms: comparison.prefill_time.as_secs_f64() * 1e3,
        kv_bytes: b.kv_bytes,
        kv_bytes_dense: a.kv_bytes,
        saved_bytes: a.kv_bytes.saturating_sub(b.kv_bytes),
        a,
        b,
        steps,
        alone: None,
        lost: None,
        beside: None,
        threads: rayon::current_num_threads(),
    })
}

fn side(model: &Model, side: &Side) -> Result<SideReport> {
    let tokens = side.generated[0].clone();
    Ok(SideReport {
        text: model.tokenizer.as_ref().map(|tokenizer| tokenizer.decode(&tokens)).transpose()?,
        tokens,
        tpot_ms: median_ms(&side.step_times),
        kv_bytes: side.kv_bytes(),
    })
}

fn table(report: &Report) -> String {
    let text =
        |side: &SideReport| side.text.clone().unwrap_or_else(|| format!("{:?}", side.tokens));
    let forced = report.mode == Mode::Forced;
    let divergence = match report.first_divergence {
        _ if forced => own_choices(&report.steps),
        Some(at) => format!("first differing token: {at}"),
        None => "no token differs".to_owned(),
    };
    // Forced, B reads the tokens of A, so its text is the same.
    let text_of_b = if forced { "(fed the tokens of A)".to_owned() } else { text(&report.b) };
    let alone = report.alone.as_ref().map_or_else(String::new, |alone| {
        let (a, b) = (alone.a_ms.p50, alone.b_ms.p50);
        format!(
            "\nalone over {} steps each: A {a:.2} ms, B {b:.2} ms a token, {:.2} of A's time",
            alone.steps,
            b / a
        )
    });
    let lost = report.lost.as_ref().map_or_else(String::new, lost_text);
    let weak = report.weak.words(report.compared_steps, report.window, &report.stored);
    let beside = report.beside.as_ref().map_or_else(String::new, beside_text);
    format!(
        "A dense   {:>8.2} ms a token   KV {:>10}\n{}\n\nB masked  {:>8.2} ms a token   KV {:>10}   {} fewer\n{}\n\n\
         {}\n\
         KLD mean {} ± {} nats, p50 {}, p99 {}, p99.9 {}, max {} over {} steps (± over steps)\n\
         same top token {:.1} %, RMS Δp {:.2} %, {divergence}{weak}{alone}{lost}{beside}\n\
         weights {}",
        report.a.tpot_ms,
        numbers::bytes(report.a.kv_bytes as u64),
        text(&report.a),
        report.b.tpot_ms,
        numbers::bytes(report.b.kv_bytes as u64),
        numbers::bytes(report.saved_bytes as u64),
        text_of_b,
        report.stored.words(),
        nats(report.kld.mean),
        nats(report.kld.stderr),
        nats(report.kld.p50),
        nats(report.kld.p99),
        nats(report.kld.p999),
        nats(report.kld.max),
        numbers::count(report.compared_steps),
        report.top1_agreement * 100.0,
        report.rms_delta_p * 100.0,
        report.weights,
    )
}

/// Steps shown at which the sides would choose otherwise.
const CHOICES: usize = 8;

/// Where the likeliest tokens of the sides differ.
fn own_choices(steps: &[Step]) -> String {
    let likeliest = |step: &Step| {
        let (a, b) = (step.a_top.first()?, step.b_top.first()?);
        (a.token != b.token)
            .then(|| format!("\n  token {}: A {:?}, B {:?}", step.n, a.text, b.text))
    };
    let differing: Vec<String> = steps.iter().filter_map(likeliest).collect();
    match differing.len() {
        0 => "the likeliest token is the same at every step".to_owned(),
        all => format!(
            "the likeliest token differs at {} of {} steps{}{}",
            numbers::count(all),
            numbers::count(steps.len()),
            differing.iter().take(CHOICES).map(String::as_str).collect::<String>(),
            if all > CHOICES { "\n  and later" } else { "" }
        ),
    }
}

/// The plan beside plain caches, one line each, and the verdict.
fn beside_text(beside: &Beside) -> String {
    let row = |cost: &Cost| {
        format!(
            "\n  {:<24} {:>7} {:>10} KLD {}",
            cost.name,
            numbers::percent(cost.bytes_share, 1),
            numbers::bytes(cost.kv_bytes as u64),
            nats(cost.kld_mean)
        )
    };
    let rows = std::iter::once(&beside.plan).chain(&beside.plain).map(row);
    format!(
        "\nbeside plain caches, over {} steps forced on A's tokens{}, bytes in long contexts and now:{}\n{}: {}",
        numbers::count(beside.steps),
        match beside.steps_in_loop {
            0 => String::new(),
            repeats => format!(", {} in a loop", numbers::count(repeats)),
        },
        rows.collect::<String>(),
        beside.verdict,
        beside.reason
    )
}

/// What a step lost, one line per token.
fn lost_text(lost: &Lost) -> String {
    let Asked { n, layer, head } = lost.asked;
    let mass = |mass: [f64; 3]| mass.map(|share| format!("{:.1} %", share * 100.0)).join(", ");
    let kld = lost.kld.map_or_else(|| "infinite".to_owned(), |kld| format!("{} nats", nats(kld)));
    let rows = lost.tokens.iter().map(|token| {
        let pruned =
            token.pruned_logit.map_or_else(|| "unseen".to_owned(), |logit| format!("{logit:.3}"));
        format!(
            "\n  {:>7} {:<14} logit {:>8.3} -> {pruned:>8}  weight {:.5} -> {:.5}  rank {} -> {}",
            token.position,
            format!("{:?}", token.text),
            token.exact_logit,
            token.exact_weight,
            token.pruned_weight,
            token.exact_rank,
            token.pruned_rank
        )
    });
    format!(
        "\nnew token {n}, layer {layer}, query head {head}: mass on sink, middle, recent {} -> {}; KL of the weights {kld}, middle \
         logits ±{:.4}{}",
        mass(lost.exact),
        mass(lost.pruned),
        lost.logit_rms,
        rows.collect::<String>()
    )
}
