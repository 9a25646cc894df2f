//! Masks and plans over one prompt: forced on the tokens of one dense run, each in turn with dense
//! steps over the same tokens.

use std::sync::Arc;

use serde::Serialize;

use super::command::{SweepArgs, SweepPoint};
use crate::cache::CacheSpec;
use crate::cli::output;
use crate::cli::progress::ProgressLine;
use crate::cli::table::Style;
use crate::cli::widths::PlanReport;
use crate::decode::sweep::{Reference, SweepMeasured};
use crate::mask::Window;
use crate::model::Model;
use crate::model::decoder::PrefillHooks;
use crate::numbers::{self, nats, percent};
use crate::spread::{MedianInterval, Spread, median_ms, p99_name};
use crate::tui::paint::ratio;
use crate::{Error, Result};

#[derive(Debug, Serialize)]
struct Report {
    model: String,
    prompt_tokens: usize,
    steps: usize,
    kv_dtype: String,
    threads: usize,
    dense: Dense,
    /// Steps at the end whose tokens only repeat a loop of the text: the same few steps again and again.
    steps_in_loop: usize,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Dense {
    tpot_ms: f64,
    kv_bytes: usize,
}

#[derive(Debug, Serialize)]
struct Row {
    plan: String,
    /// The earlier mask that keeps the same channels, and was measured for both.
    same_as: Option<String>,
    /// Null for a plan that was not selected here.
    sparsity_target: Option<f64>,
    align: Option<usize>,
    /// Share of K channels that are not stored.
    sparsity: f64,
    window: Window,
    #[serde(flatten)]
    stored: PlanReport,
    /// Steps that saw a middle: in the others nothing was pruned.
    steps_with_middle: usize,
    /// Per decode step; its standard error is that over steps.
    kld: Spread,
    top1_agreement: f64,
    tpot_ms: f64,
    /// Of the dense steps beside.
    dense_tpot_ms: f64,
    /// Time of a step over that of the dense step beside it; null for too few steps.
    time_of_dense: Option<MedianInterval>,
    kv_bytes: usize,
}

/// Measures every point over one prompt.
pub(super) fn run(args: &SweepArgs, model: &Arc<Model>, points: &[SweepPoint]) -> Result<()> {
    if args.steps == 0 {
        return Err(Error::input("--steps must be at least 1, not 0"));
    }
    let sampling = args.session.sampling.sampling()?;
    let kv_dtype = args.session.cache.kv_dtype;
    let window = args.session.cache.window(Window::default())?;
    let dense = CacheSpec::dense(model.config().mask_shape(), window, kv_dtype)?;
    let dense = Arc::new(dense.with_sight(model.config().sight()));
    let prompts = args.session.prompt.tokens(model)?;
    let [prompt] = prompts.as_slice() else {
        return Err(Error::input(format!("sweep takes one prompt, not {}", prompts.len())));
    };
    model.check_cache_memory(
        "three caches",
        3 * dense.bytes_at(prompt.len() + args.steps).total(),
    )?;
    let bar = ProgressLine::new("dense run");
    let reference = bar.prefill(PrefillHooks::CHUNK, |hooks| {
        Reference::run(Arc::clone(model), &dense, prompt, &sampling, args.steps, hooks)
    })?;
    let mut rows = Vec::with_capacity(points.len());
    let mut distinct: Vec<(&str, SweepMeasured)> = Vec::with_capacity(points.len());
    for (index, point) in points.iter().enumerate() {
        bar.say(point.name.clone());
        bar.count(index, points.len());
        let first = point.same_as.as_deref();
        let known = distinct.iter().find(|(name, _)| Some(*name) == first);
        let measured = match known {
            Some((_, measured)) => measured.clone(),
            None => reference.measure(&point.spec, &|| Ok(()))?,
        };
        distinct.push((&point.name, measured.clone()));
        rows.push(Row {
            plan: point.name.clone(),
            same_as: point.same_as.clone(),
            steps_with_middle: measured.with_middle,
            sparsity_target: point.selection.map(|(sparsity, _)| sparsity),
            align: point.selection.map(|(_, align)| align),
            sparsity: 1.0 - point.spec.mask().kept_ratio(),
            window: point.spec.window(),
            stored: PlanReport::of(&point.spec, prompt.len()),
            kld: measured.divergence.kld,
            top1_agreement: measured.divergence.top1_agreement,
            tpot_ms: median_ms(&measured.step_times),
            dense_tpot_ms: median_ms(&measured.dense_step_times),
            time_of_dense: measured.beside,
            kv_bytes: measured.kv_bytes,
        });
    }
    bar.finish();
    let report = Report {
        model: model.name.clone(),
        prompt_tokens: prompt.len(),
        steps: args.steps,
        kv_dtype: kv_dtype.to_string(),
        threads: rayon::current_num_threads(),
        steps_in_loop: reference.repeats(),
        dense: Dense { tpot_ms: median_ms(reference.step_times()), kv_bytes: reference.kv_bytes() },
        rows,
    };
    match args.markdown {
        true => output::line(&table(&report, &Style::MARKDOWN)),
        false => output::report("sweep prompt", args.json, &report, |report| {
            table(report, &Style::PLAIN)
        }),
    }
}

fn table(report: &Report, style: &Style) -> String {
    let head =
        ["plan", "bytes", "pruned", "KLD mean", "± stderr", "KLD p99", "same top", "× dense", "KV"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows[0][5] = format!("KLD {}", p99_name(report.steps));
    let distinct = || report.rows.iter().filter(|row| row.same_as.is_none());
    rows.extend(distinct().map(cells));
    let mut lines = vec![format!(
        "{} of prompt, {}, dense {}",
        numbers::counted(report.prompt_tokens, "token", "tokens"),
        numbers::counted(report.steps, "step", "steps"),
        numbers::bytes(report.dense.kv_bytes as u64),
    )];
    if !style.padded() {
        lines.push(String::new());
    }
    lines.extend(style.lines(&rows));
    lines.push(String::new());
    lines.extend(distinct().find_map(|row| unpruned(report, row)));
    if report.steps_in_loop > 0 {
        lines.push(format!(
            "{} of {} repeat a loop of the text, the same few steps again and again: their KLD ranks no plan; --temperature makes other text",
            numbers::count(report.steps_in_loop),
            numbers::counted(report.steps, "step", "steps")
        ));
    }
    lines.push(match report.rows.iter().any(|row| row.time_of_dense.is_some()) {
        true => "× dense: time of a step over that of a dense step beside it, median with its 95 % interval; ≈ is not told apart from 1".to_owned(),
        false => format!("× dense needs {} steps or more", MedianInterval::LEAST),
    });
    lines.join("\n")
}

/// What is said of a plan that pruned nothing in some steps.
fn unpruned(report: &Report, row: &Row) -> Option<String> {
    let without = report.steps.saturating_sub(row.steps_with_middle);
    (without > 0 && !row.is_full()).then(|| {
        format!(
            "nothing was pruned in {} of {}: a middle begins with {} tokens, and the context ends at {}; a longer prompt or a smaller --recent measures the plan",
            numbers::count(without),
            numbers::counted(report.steps, "step", "steps"),
            numbers::count(row.window.first_middle()),
            numbers::count(report.prompt_tokens + report.steps)
        )
    })
}

impl Row {
    /// Whether it stores everything as the dense cache does.
    fn is_full(&self) -> bool {
        self.sparsity == 0.0 && self.stored.bytes_share >= 1.0
    }
}

fn cells(row: &Row) -> Vec<String> {
    // Where nothing was pruned, a KLD of 0 is the dense cache's.
    let is_measured = row.steps_with_middle > 0 || row.is_full();
    let figure = |text: String| if is_measured { text } else { "–".to_owned() };
    vec![
        row.plan.clone(),
        percent(row.stored.bytes_share, 1),
        percent(row.sparsity, 1),
        figure(nats(row.kld.mean)),
        figure(nats(row.kld.stderr)),
        figure(nats(row.kld.p99)),
        figure(percent(row.top1_agreement, 1)),
        row.time_of_dense.as_ref().map_or_else(|| "–".to_owned(), ratio),
        numbers::bytes(row.kv_bytes as u64),
    ]
}
