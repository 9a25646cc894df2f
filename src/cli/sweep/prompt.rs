//! Masks and plans over one prompt: forced on the tokens of one dense run, one after the other.

use std::sync::Arc;

use serde::Serialize;

use super::command::{SweepArgs, SweepPoint};
use crate::cache::CacheSpec;
use crate::cli::output;
use crate::cli::progress::ProgressLine;
use crate::cli::widths::PlanReport;
use crate::decode::sweep::Reference;
use crate::mask::Window;
use crate::model::Model;
use crate::model::decoder::PrefillHooks;
use crate::spread::{Spread, median_ms};
use crate::{Error, Result, numbers};

#[derive(Debug, Serialize)]
struct Report {
    model: String,
    prompt_tokens: usize,
    steps: usize,
    kv_dtype: String,
    threads: usize,
    dense: Dense,
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
    /// Null for a plan that was not selected here.
    sparsity_target: Option<f64>,
    align: Option<usize>,
    /// Share of K channels that are not stored.
    sparsity: f64,
    window: Window,
    #[serde(flatten)]
    stored: PlanReport,
    /// Per decode step; its standard error is that over steps.
    kld: Spread,
    top1_agreement: f64,
    tpot_ms: f64,
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
    model
        .check_cache_memory("two caches", 2 * dense.bytes_at(prompt.len() + args.steps).total())?;
    let bar = ProgressLine::new("dense run");
    let reference = bar.prefill(PrefillHooks::CHUNK, |hooks| {
        Reference::run(Arc::clone(model), &dense, prompt, &sampling, args.steps, hooks)
    })?;
    let mut rows = Vec::with_capacity(points.len());
    for (index, point) in points.iter().enumerate() {
        bar.say(point.name.clone());
        bar.count(index, points.len());
        let measured = reference.measure(&point.spec, &|| Ok(()))?;
        rows.push(Row {
            plan: point.name.clone(),
            sparsity_target: point.selection.map(|(sparsity, _)| sparsity),
            align: point.selection.map(|(_, align)| align),
            sparsity: 1.0 - point.spec.mask().kept_ratio(),
            window: point.spec.window(),
            stored: PlanReport::of(&point.spec, prompt.len()),
            kld: measured.divergence.kld,
            top1_agreement: measured.divergence.top1_agreement,
            tpot_ms: median_ms(&measured.step_times),
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
        dense: Dense { tpot_ms: median_ms(reference.step_times()), kv_bytes: reference.kv_bytes() },
        rows,
    };
    output::report("sweep prompt", args.json, &report, table)
}

fn table(report: &Report) -> String {
    let mut text = format!(
        "{} tokens of prompt, {} steps, dense {:.2} ms a token and {}\n{:<24} {:>7} {:>7} {:>10} {:>10} {:>10} {:>9} {:>8} {:>10}",
        numbers::count(report.prompt_tokens),
        numbers::count(report.steps),
        report.dense.tpot_ms,
        numbers::bytes(report.dense.kv_bytes as u64),
        "plan",
        "bytes",
        "pruned",
        "KLD mean",
        "± stderr",
        "KLD p99",
        "same top",
        "TPOT ms",
        "KV"
    );
    for row in &report.rows {
        text.push_str(&format!(
            "\n{:<24} {:>5.1} % {:>5.1} % {:>10.5} {:>10.5} {:>10.5} {:>7.1} % {:>8.2} {:>10}",
            row.plan,
            row.stored.bytes_share * 100.0,
            row.sparsity * 100.0,
            row.kld.mean,
            row.kld.stderr,
            row.kld.p99,
            row.top1_agreement * 100.0,
            row.tpot_ms,
            numbers::bytes(row.kv_bytes as u64)
        ));
    }
    text
}
