//! `kscope bench`: how fast the program is on this machine.

use clap::Subcommand;

use super::output;
use crate::attention::SimdLevel;
use crate::bench::attention::{self, Geometry, Report};
use crate::cache::KvDtype;
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
    /// The inspector: first frame, key to frame, idle processor time, and what it takes from decode
    #[cfg(unix)]
    Tui(TuiArgs),
}

#[cfg(unix)]
#[derive(Debug, clap::Args)]
struct TuiArgs {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Model, as for the inspector; it must not end its text early
    #[arg(long, short, default_value = "smollm2-135m", value_name = "MODEL")]
    model: String,
    /// Tokens to decode per round
    #[arg(long, default_value_t = 256, value_name = "N")]
    tokens: usize,
    /// Rounds with and without a screen, taking turns
    #[arg(long, default_value_t = 3, value_name = "N")]
    rounds: usize,
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

/// Runs `kscope bench`.
pub fn run(args: &Args) -> Result<()> {
    match &args.what {
        What::Attention(args) => run_attention(args),
        #[cfg(unix)]
        What::Tui(args) => run_tui(args),
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

#[cfg(unix)]
fn run_tui(args: &TuiArgs) -> Result<()> {
    use crate::bench::tui;
    let options = tui::Options { model: args.model.clone(), tokens: args.tokens, rounds: args.rounds, size: (120, 40) };
    let report = tui::run(&options, |sentence| eprintln!("{sentence}"))?;
    if args.json {
        return output::json(&report);
    }
    output::line(&format!(
        "{} · first frame {:.0} ms · key to frame p50 {:.1}, p99 {:.1} ms over {} keys · idle {:.1} % of a core · \
         decode {:.3} ms a step without, {:.3} with the screen: {:+.1} %, of which statistics and events {:.2} %",
        report.model,
        report.first_frame_ms,
        report.key_p50_ms,
        report.key_p99_ms,
        report.keys,
        report.idle_cpu_percent,
        report.plain_step_ms,
        report.screen_step_ms,
        report.decode_loss_percent,
        report.engine_share_percent
    ))
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
