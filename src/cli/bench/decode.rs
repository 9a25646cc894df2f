//! `kscope bench decode`.

use crate::bench::decode;
use crate::bench::masks::{self, BenchPlan};
use crate::cli::args::{CacheArgs, ModelArgs};
use crate::cli::output;
use crate::cli::values;
use crate::mask::Window;
use crate::model::device::{DeviceSteps, StepSettings};
use crate::{Error, Result, numbers};

#[derive(Debug, clap::Args)]
pub(super) struct BenchDecodeArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    cache: CacheArgs,
    /// Tokens in the cache before the first step
    #[arg(long, value_delimiter = ',', default_value = "0,2048,4096,8000",
          value_parser = values::tokens_or_zero)]
    depth: Vec<usize>,
    /// Shares of K channels to drop, at equal counts per head; --mask and every --plan are measured
    /// beside them
    #[arg(long, value_delimiter = ',', default_value = "0.7")]
    sparsity: Vec<f64>,
    /// A mask with the kept counts of the authors' published mask for Llama-3.1-8B beside them,
    /// which drops whole heads: llama
    #[arg(long, value_name = "llama")]
    counts: Option<PublishedCounts>,
    /// Timed steps of each configuration
    #[arg(long, default_value_t = 16, value_parser = values::number)]
    steps: usize,
    /// Numbers of threads
    #[arg(long = "bench-threads", value_delimiter = ',', default_value = "1,2", value_parser = values::threads)]
    thread_counts: Vec<usize>,
    /// Sequences decoded together
    #[arg(long, default_value_t = 1, value_parser = values::number)]
    batch: usize,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Masks whose kept counts are known without their files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum PublishedCounts {
    /// That of Llama-3.1-8B-Instruct.
    Llama,
}

pub(super) fn run(args: &BenchDecodeArgs) -> Result<()> {
    if args.thread_counts.contains(&0) || args.steps == 0 || args.batch == 0 {
        return Err(Error::input(
            "--bench-threads, --steps and --batch take numbers from 1 on, not 0",
        ));
    }
    if let Some(wrong) = args.sparsity.iter().find(|sparsity| !(0.0..=1.0).contains(*sparsity)) {
        return Err(Error::input(format!("--sparsity must be 0 to 1, not {wrong}")));
    }
    let model = args.model.load()?;
    let given = args.cache.choices(model.config(), args.model.device)?;
    let shape = model.config().mask_shape();
    // Masks of no file are measured with the window of the first plan, where there is one.
    let window = match given.first() {
        Some(first) => first.window,
        None => args.cache.window(Window::default())?,
    };
    let masks = args.sparsity.iter().map(|&sparsity| masks::equal(shape, sparsity));
    let mut plans: Vec<BenchPlan> = masks.map(|mask| BenchPlan::mask(&mask, window)).collect();
    if let Some(PublishedCounts::Llama) = args.counts {
        plans.push(BenchPlan::mask(&masks::published_counts(shape)?, window));
    }
    plans.extend(given.into_iter().map(|given| BenchPlan {
        name: given.name,
        plan: given.plan,
        window: given.window,
    }));
    let options = decode::DecodeOptions {
        depths: args.depth.clone(),
        threads: args.thread_counts.clone(),
        steps: args.steps,
        plans,
        kv_dtype: args.cache.kv_dtype,
        batch: args.batch,
    };
    let report = decode::run(&model, &options, output::note)?;
    output::report("bench decode", args.json, &report, table)
}

fn table(report: &decode::DecodeReport) -> String {
    let mut text = match report.rows.first() {
        Some(row) => weights(row),
        None => String::new(),
    };
    text += &format!(
        "{:<18} {:>7} {:>7} {:>5} {:>7} {:>10} {:>9} {:>10} {:>12} {:>8} {:>7} {:>9} {:>10} {:>10} {:>9} {:>12} {:>10}",
        "plan",
        "depth",
        "threads",
        "batch",
        "pruned",
        "median ms",
        "tok/s",
        "attention",
        "projections",
        "logits",
        "rest",
        "KV cache",
        "byte ratio",
        "time ratio",
        "retune ms",
        "weights GB/s",
        "read GB/s"
    );
    let part = |ms: Option<f64>| ms.map_or_else(|| "–".to_owned(), |ms| format!("{ms:.2}"));
    for row in &report.rows {
        text += &format!(
            "\n{:<18} {:>7} {:>7} {:>5} {:>5.1} % {:>10.2} {:>9.1} {:>10} {:>12} {:>8} {:>7} {:>9} {:>10.3} {:>10.3} {:>9.1} {:>12} {:>10}",
            row.plan,
            numbers::count(row.depth),
            row.threads,
            row.batch,
            row.sparsity * 100.0,
            row.median_ms,
            row.tokens_per_s,
            part(row.attention_ms),
            part(row.projections_ms),
            part(row.logits_ms),
            part(row.rest_ms),
            numbers::bytes(row.kv_bytes as u64),
            row.byte_ratio,
            row.time_ratio,
            row.retune_ms,
            part(row.weight_gbps),
            part(row.read_gbps)
        );
    }
    text += &report.gpu_steps.as_ref().map(gpu_steps).unwrap_or_default();
    text
}

/// How the steps of a GPU were made, in a line of its own.
fn gpu_steps(of: &DeviceSteps) -> String {
    let StepSettings { balance, without, fatbin } = of.settings;
    let mut text = format!(
        "\n{} of {} steps repeated a recording; attention in {} waves of {} or more an item",
        of.repeated,
        of.steps,
        balance.waves,
        numbers::bytes(balance.least_bytes as u64)
    );
    if fatbin {
        text += "; kernels of KSCOPE_FATBIN";
    }
    if without.logits || without.attention {
        text += "; parts left out by KSCOPE_CUDA_WITHOUT: the results are wrong";
    }
    text
}

/// What the weights are, and how many bytes of them a step reads.
fn weights(row: &decode::DecodeRow) -> String {
    format!("{} weights, {} read by a step\n", row.dtype, numbers::bytes(row.weight_bytes))
}
