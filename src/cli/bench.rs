//! `kscope bench`: how fast the program is on this machine.

use clap::Subcommand;

use super::common::{CacheArgs, ModelArgs};
use super::output;
use crate::attention::SimdLevel;
use crate::bench::attention::{self, Geometry, Report};
use crate::bench::{decode, masks};
use crate::cache::KvDtype;
use crate::mask::ChannelMask;
use crate::{Error, Result};

/// Arguments of `kscope bench`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Decode attention, dense and pruned, against the machine's read bandwidth
    Attention(AttentionArgs),
    /// Whole decode steps of a model at several depths, and where the time goes
    Decode(Box<DecodeArgs>),
}

#[derive(Debug, clap::Args)]
struct AttentionArgs {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Fewer rounds, and 8,192 tokens only
    #[arg(long)]
    quick: bool,
    /// Models whose geometry is measured: smollm2, llama-3.1-8b
    #[arg(long, value_delimiter = ',', default_value = "smollm2,llama-3.1-8b")]
    geometry: Vec<Geometry>,
    /// Lengths in tokens [default: 8192,32768; with --quick 8192]
    #[arg(long, value_delimiter = ',')]
    tokens: Vec<usize>,
    /// Element types of the cache: f32, f16, bf16
    #[arg(long, value_delimiter = ',', default_value = "f32,f16,bf16")]
    dtype: Vec<KvDtype>,
    /// Numbers of threads
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    threads: Vec<usize>,
    /// Instructions: portable, avx2, avx512, avx512-bf16 [default: the best exact ones of this machine]
    #[arg(long)]
    simd: Option<SimdLevel>,
}

#[derive(Debug, clap::Args)]
struct DecodeArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    cache: CacheArgs,
    /// Tokens in the cache before the first step
    #[arg(long, value_delimiter = ',', default_value = "0,2048,4096,8000")]
    depth: Vec<usize>,
    /// Shares of K channels to drop, at equal counts per head; --mask is measured beside them
    #[arg(long, value_delimiter = ',', default_value = "0.7")]
    sparsity: Vec<f64>,
    /// Timed steps of each configuration
    #[arg(long, default_value_t = 16)]
    steps: usize,
    /// Numbers of threads
    #[arg(long = "bench-threads", value_delimiter = ',', default_value = "1,2")]
    thread_counts: Vec<usize>,
    /// Sequences decoded together
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs `kscope bench`.
pub fn run(args: &Args) -> Result<()> {
    match &args.what {
        What::Attention(args) => run_attention(args),
        What::Decode(args) => run_decode(args),
    }
}

fn run_attention(args: &AttentionArgs) -> Result<()> {
    if args.tokens.contains(&0) || args.threads.contains(&0) {
        return Err(Error::input("--tokens and --threads take numbers from 1 on, not 0"));
    }
    let tokens = match (args.tokens.as_slice(), args.quick) {
        ([], true) => vec![8192],
        ([], false) => vec![8192, 32768],
        (tokens, _) => tokens.to_vec(),
    };
    let options = attention::Options {
        geometries: args.geometry.clone(),
        tokens,
        dtypes: args.dtype.clone(),
        threads: args.threads.clone(),
        rounds: if args.quick { 5 } else { 11 },
        level: args.simd.unwrap_or_else(SimdLevel::best),
    };
    let report = attention::run(&options, |sentence| eprintln!("{sentence}"))?;
    if args.json { output::json(&report) } else { output::line(&table(&report)) }
}

fn run_decode(args: &DecodeArgs) -> Result<()> {
    if args.thread_counts.contains(&0) || args.steps == 0 || args.batch == 0 {
        return Err(Error::input("--bench-threads, --steps and --batch take numbers from 1 on, not 0"));
    }
    if let Some(wrong) = args.sparsity.iter().find(|sparsity| !(0.0..=1.0).contains(*sparsity)) {
        return Err(Error::input(format!("--sparsity must be 0 to 1, not {wrong}")));
    }
    let model = args.model.load()?;
    let choice = args.cache.mask_choice(model.config())?;
    let shape = model.config().mask_shape();
    let mut masks: Vec<ChannelMask> = args.sparsity.iter().map(|&sparsity| masks::equal(shape, sparsity)).collect();
    masks.extend(choice.file.as_ref().map(|file| file.mask.clone()));
    let options = decode::Options {
        depths: args.depth.clone(),
        threads: args.thread_counts.clone(),
        steps: args.steps,
        masks,
        window: choice.window,
        kv_dtype: args.cache.kv_dtype,
        batch: args.batch,
    };
    let report = decode::run(&model, &options, |sentence| eprintln!("{sentence}"))?;
    if args.json { output::json(&report) } else { output::line(&decode_table(&report)) }
}

fn decode_table(report: &decode::Report) -> String {
    let mut text = format!(
        "{:>6} {:>7} {:>5} {:>7} {:>10} {:>9} {:>10} {:>12} {:>8} {:>7} {:>9} {:>10}",
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
        "KV MB",
        "time ratio"
    );
    for row in &report.rows {
        text += &format!(
            "\n{:>6} {:>7} {:>5} {:>6.1}% {:>10.2} {:>9.1} {:>10.2} {:>12.2} {:>8.2} {:>7.2} {:>9.1} {:>10.3}",
            row.depth,
            row.threads,
            row.batch,
            row.sparsity * 100.0,
            row.median_ms,
            row.tokens_per_s,
            row.attention_ms,
            row.projections_ms,
            row.logits_ms,
            row.rest_ms,
            row.kv_bytes as f64 / 1e6,
            row.time_ratio
        );
    }
    text
}

fn table(report: &Report) -> String {
    let mut text = format!(
        "{:<13} {:>7} {:>5} {:>8} {:>8} {:>10} {:>10} {:>7} {:>7} {:>11} {:>11}",
        "geometry", "tokens", "dtype", "threads", "pruned", "bytes", "median ms", "GB/s", "of max", "byte ratio", "time ratio"
    );
    for row in &report.rows {
        text += &format!(
            "\n{:<13} {:>7} {:>5} {:>8} {:>7.1}% {:>7} MB {:>10.3} {:>7.1} {:>6.0}% {:>11.3} {:>11.3}",
            row.geometry,
            row.tokens,
            row.dtype,
            row.threads,
            row.sparsity * 100.0,
            row.bytes / 1_000_000,
            row.median_ms,
            row.gbps,
            100.0 * row.gbps / row.bandwidth_gbps,
            row.byte_ratio,
            row.time_ratio
        );
    }
    text
}
