//! `kscope bench tui`.

use crate::bench::tui;
use crate::cli::output;
use crate::cli::values;
use crate::{Error, Result};

#[derive(Debug, clap::Args)]
pub(super) struct BenchTuiArgs {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Model, as for the inspector; it must not end its text early
    #[arg(long, short, default_value = "smollm2-135m", value_name = "MODEL")]
    model: String,
    /// Tokens to decode per round
    #[arg(long, default_value_t = 256, value_name = "N", value_parser = values::tokens_or_zero)]
    tokens: usize,
    /// Rounds with and without a screen, taking turns
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = values::number)]
    rounds: usize,
}

pub(super) fn run(args: &BenchTuiArgs) -> Result<()> {
    if args.rounds == 0 || args.tokens == 0 {
        return Err(Error::input("--rounds and --tokens must be at least 1, not 0"));
    }
    let options = tui::TuiOptions {
        model: args.model.clone(),
        tokens: args.tokens,
        rounds: args.rounds,
        size: (120, 40),
    };
    let report = tui::run(&options, output::note)?;
    if args.json {
        return output::json("bench tui", &report);
    }
    output::line(&format!(
        "{} · first frame {:.0} ms · key to frame p50 {:.1}, p99 {:.1} ms over {} keys · idle {:.2} % of a core · \
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
