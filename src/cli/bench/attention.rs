//! `kscope bench attention`.

use crate::attention::SimdLevel;
use crate::bench::attention::{self, AttentionReport, BenchGeometry};
use crate::cli::args::DeviceChoice;
use crate::cli::bench::gpu;
use crate::cli::output;
use crate::cli::values::{self, DtypeOf};
use crate::element::Dtype;
use crate::{Error, Result, numbers};

#[derive(Debug, clap::Args)]
pub(super) struct BenchAttentionArgs {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Fewer rounds, and 8,192 tokens only
    #[arg(long)]
    quick: bool,
    /// Models whose geometry is measured: smollm2, llama-3.1-8b
    #[arg(long, value_delimiter = ',', default_value = "smollm2,llama-3.1-8b")]
    geometry: Vec<BenchGeometry>,
    /// Lengths in tokens [default: 8192,32768; with --quick 8192; on a GPU 8k to 128k]
    #[arg(long, value_delimiter = ',', value_parser = values::tokens_or_zero)]
    tokens: Vec<usize>,
    /// Plans beside dense and masks: a name that `run --plan` knows, or NAME:SPARSITY for its
    /// widths on a mask that drops this share [default: k8v8,k8v4,k4v4,k8v8:0.5]
    #[arg(long, value_delimiter = ',', value_name = "NAME[:S]")]
    plan: Vec<String>,
    /// Element types of the cache: f32, f16, bf16
    #[arg(long, value_delimiter = ',', default_value = "f32,f16,bf16",
          value_parser = DtypeOf::CACHE, hide_possible_values = true)]
    dtype: Vec<Dtype>,
    /// Numbers of threads
    #[arg(long, value_delimiter = ',', default_value = "1,2", value_parser = values::threads)]
    threads: Vec<usize>,
    /// On a GPU: numbers of sequences, each measured at every length [default: without --tokens 64
    /// sequences of 32k and one at 8k to 128k; with it 1]
    #[arg(long, value_delimiter = ',')]
    batch: Vec<usize>,
    /// Where: cpu, cuda or cuda:N
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    device: DeviceChoice,
    /// With --device cuda: compute what the kernels would do on a GPU instead of measuring
    #[arg(long)]
    dry_run: bool,
    /// With --dry-run: the GPU, by a part of its name
    #[arg(long, alias = "card", default_value = "H100", value_name = "NAME", requires = "dry_run")]
    gpu: String,
    /// Instructions: portable, avx2, avx512, avx512-bf16 [default: the best exact ones of this
    /// machine]
    #[arg(long)]
    simd: Option<SimdLevel>,
}

/// Plans that are measured where none is named.
const PLANS: [&str; 4] = ["k8v8", "k8v4", "k4v4", "k8v8:0.5"];

pub(super) fn run(args: &BenchAttentionArgs) -> Result<()> {
    if [&args.tokens, &args.threads, &args.batch].into_iter().any(|numbers| numbers.contains(&0)) {
        return Err(Error::input("--tokens, --threads and --batch take numbers from 1 on, not 0"));
    }
    if gpu::ordinal(args.device).is_none() && !args.batch.is_empty() {
        return Err(Error::input("--batch goes with --device cuda: the CPU attends one sequence"));
    }
    if gpu::ordinal(args.device).is_some() && !args.plan.is_empty() {
        return Err(Error::input(format!(
            "--device {}: `bench attention` measures dense decode and a mask there; `bench decode --plan {}` measures plans",
            args.device,
            args.plan.join(" --plan ")
        )));
    }
    match gpu::ordinal(args.device) {
        Some(_) if args.dry_run => return gpu::model(&args.gpu, args.json),
        Some(ordinal) => {
            return gpu::measure(ordinal, [&args.batch, &args.tokens], args.json);
        }
        None if args.dry_run => return Err(Error::input("--dry-run goes with --device cuda")),
        None => {}
    }
    let tokens = match (args.tokens.as_slice(), args.quick) {
        ([], true) => vec![8192],
        ([], false) => vec![8192, 32768],
        (tokens, _) => tokens.to_vec(),
    };
    let options = attention::AttentionOptions {
        geometries: args.geometry.clone(),
        tokens,
        plans: match args.plan.as_slice() {
            [] => PLANS.map(str::to_owned).to_vec(),
            plans => plans.to_vec(),
        },
        dtypes: args.dtype.clone(),
        threads: args.threads.clone(),
        rounds: if args.quick { 5 } else { 11 },
        level: args.simd.unwrap_or_else(SimdLevel::best),
    };
    let report = attention::run(&options, output::note)?;
    output::report("bench attention", args.json, &report, table)
}

fn table(report: &AttentionReport) -> String {
    let mut text = format!(
        "{:<13} {:>7} {:>5} {:>8} {:<18} {:>10} {:>10} {:>7} {:>7} {:>11} {:>11}",
        "geometry",
        "tokens",
        "dtype",
        "threads",
        "plan",
        "bytes",
        "median ms",
        "GB/s",
        "of max",
        "byte ratio",
        "time ratio"
    );
    for row in &report.rows {
        text += &format!(
            "\n{:<13} {:>7} {:>5} {:>8} {:<18} {:>10} {:>10.3} {:>7.1} {:>5.0} % {:>11.3} {:>11.3}",
            row.geometry,
            numbers::count(row.tokens),
            row.dtype,
            row.threads,
            row.plan,
            numbers::bytes(row.bytes as u64),
            row.median_ms,
            row.gbps,
            100.0 * row.gbps / row.bandwidth_gbps,
            row.byte_ratio,
            row.time_ratio
        );
    }
    text
}
