//! `kscope bench learn`.

use crate::bench::{learn, variants};
use crate::cli::args::ModelArgs;
use crate::cli::learn::lengths;
use crate::cli::output;
use crate::cli::progress::ProgressLine;
use crate::cli::values;
use crate::learn::run;
use crate::learn::train::Settings;
use crate::{Result, numbers};

#[derive(Debug, clap::Args)]
pub(super) struct BenchLearnArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Shortest and longest context
    #[arg(long, value_name = "MIN..MAX", default_value = "512..2048", value_parser = lengths)]
    ctx: (usize, usize),
    /// Samples to prefill and to update on
    #[arg(long, value_name = "N", default_value_t = 14, value_parser = values::number)]
    samples: usize,
    /// Seed of data and order
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Compare ways to learn at the bytes of the default's mask: alignment, pairs, bf16 importance,
    /// the authors' stage 2
    #[arg(long)]
    variants: bool,
    /// With --variants: share of channels that the default prunes
    #[arg(long, value_name = "S", default_value_t = 0.7, requires = "variants")]
    sparsity: f64,
    /// With --variants: updates of stage 1 [default: as `kscope learn`]
    #[arg(long, value_name = "N", requires = "variants", value_parser = values::number)]
    steps: Option<usize>,
    /// With --variants: samples to learn from
    #[arg(long, value_name = "N", default_value_t = 40, requires = "variants", value_parser = values::number)]
    pool: usize,
    /// With --variants: prompts of the check, seven questions each
    #[arg(long, value_name = "N", default_value_t = 30, requires = "variants", value_parser = values::number)]
    check_prompts: usize,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &BenchLearnArgs) -> Result<()> {
    let model = args.model.load()?;
    let (haystack, others) = run::texts(&model, &[], "")?;
    let bar = ProgressLine::new("");
    if args.variants {
        let base = Settings::for_sparsity(args.sparsity);
        let settings =
            Settings { seed: args.seed, steps: args.steps.unwrap_or(base.steps), ..base };
        let (lengths, pool, check_prompts) = (args.ctx, args.pool, args.check_prompts);
        let options =
            variants::VariantOptions { haystack, others, lengths, pool, settings, check_prompts };
        let report = variants::run(&model, &options, &mut |what| bar.say(what.to_owned()))?;
        bar.finish();
        return output::report("bench learn", args.json, &report, table);
    }
    let options = learn::LearnBenchOptions {
        haystack,
        lengths: args.ctx,
        samples: args.samples,
        seed: args.seed,
    };
    let report = learn::run(&model, &options, |index| bar.count(index, args.samples))?;
    bar.finish();
    output::report("bench learn cost", args.json, &report, cost)
}

fn cost(report: &learn::LearnBenchReport) -> String {
    format!(
        "{} samples of {} tokens and {:.0} answer rows (medians) on {}, {} threads\n\
         prefill {:.0} ms, with questions and teacher {:.0} ms, update of stage 1 {:.0} ms\n\
         an update costs {:.2} of the prefill of its sample, {:.2} at worst\n\
         a sample of the pool holds {}; peak host memory {}",
        report.samples,
        numbers::count(report.context.round() as usize),
        report.rows,
        report.device,
        report.threads,
        report.prefill_ms,
        report.sample_ms,
        report.step_ms,
        report.step_to_prefill,
        report.worst_step_to_prefill,
        numbers::bytes(report.sample_bytes as u64),
        numbers::bytes(report.peak_bytes)
    )
}

/// A Markdown table, in the format of docs/RESULTS.md.
fn table(report: &variants::VariantReport) -> String {
    let mut lines = vec![
        "| variant | K saved | V saved | K+V saved | dropped heads | recall | lost / won (p) | digit NLL | KLD | KLD per text |"
            .to_owned(),
        "|---|---|---|---|---|---|---|---|---|---|".to_owned(),
    ];
    let texts = |row: &crate::learn::check::CheckRow| {
        let one = |text: &crate::learn::check::TextLoss| {
            format!(
                "{} {:.4} ± {:.4}",
                text.text, text.divergence.kld.mean, text.divergence.kld.stderr
            )
        };
        row.texts.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    let dense = &report.dense;
    lines.push(format!(
        "| dense | 0 | 0 | 0 | 0 | {:.1} % of {} | | {:.3} | 0 | |",
        dense.recall * 100.0,
        dense.asked,
        dense.digit_nll
    ));
    for found in &report.variants {
        lines.push(format!(
            "| {} | {:.1} % | {:.1} % | {:.1} % | {} | {:.1} % | {} / {} ({:.2}) | {:.3} | {:.4} | {} |",
            found.variant,
            found.saved.k * 100.0,
            found.saved.v * 100.0,
            found.saved.kv * 100.0,
            found.dropped_heads,
            found.row.recall * 100.0,
            found.mcnemar.lost,
            found.mcnemar.won,
            found.mcnemar.p,
            found.row.digit_nll,
            found.row.kld_mean,
            texts(&found.row)
        ));
    }
    lines.push(format!("\n{:.0} s in all", report.seconds));
    lines.join("\n")
}
