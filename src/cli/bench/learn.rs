//! `kscope bench learn`.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use crate::bench::learn;
use crate::bench::variants::{self, VariantFile, VariantReport, VariantRow};
use crate::cli::args::ModelArgs;
use crate::cli::output;
use crate::cli::progress::ProgressLine;
use crate::cli::stop::asked_to_stop;
use crate::cli::table::Style;
use crate::cli::values;
use crate::learn::run;
use crate::numbers::{nats, percent};
use crate::printable::{Breaks, printable};
use crate::{Error, Result, numbers};

#[derive(Debug, clap::Args)]
pub(super) struct BenchLearnArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Shortest and longest context
    #[arg(long, value_name = "MIN..MAX", default_value = "512..2048", value_parser = values::lengths)]
    ctx: (usize, usize),
    /// Samples to prefill and to update on
    #[arg(long, value_name = "N", default_value_t = 14, value_parser = values::number)]
    samples: usize,
    /// Seed of data and order
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Compare the ways to make masks that a TOML file lists, at equal bytes and over several seeds
    /// (docs/VARIANTS.md has the keys)
    #[arg(long, value_name = "FILE", requires = "out", conflicts_with_all = ["ctx", "samples", "seed"])]
    variants: Option<PathBuf>,
    /// With --variants: folder of masks and results; a run that was interrupted goes on there
    #[arg(long, value_name = "FOLDER", requires = "variants")]
    out: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &BenchLearnArgs) -> Result<()> {
    if let (Some(path), Some(out)) = (&args.variants, &args.out) {
        let file = VariantFile::read(path)?;
        let model = args.model.load()?;
        let bar = ProgressLine::new("");
        let stop = asked_to_stop();
        let report = variants::run(&model, &file, out, &mut |progress| {
            bar.count(progress.done, progress.units);
            bar.say(progress.words.clone());
            if stop.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
        });
        bar.finish();
        let report = report.map_err(|error| match error {
            Error::Cancelled => Error::run(format!(
                "stopped: what is finished stays in {}, and the same command goes on from there",
                out.display()
            )),
            error => error,
        })?;
        return output::report("bench learn variants", args.json, &report, table);
    }
    let model = args.model.load()?;
    let haystack = run::texts(&model, &[], "")?.0;
    let bar = ProgressLine::new("");
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
fn table(report: &VariantReport) -> String {
    let head = [
        "target",
        "variant",
        "bytes",
        "pruned",
        "dropped heads",
        "KLD ± over windows",
        "over seeds",
        "less the first",
        "better in",
        "recall",
        "lost / won (p)",
        "digit NLL",
        "seconds",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let mut targets: Vec<&str> = Vec::new();
    for row in &report.rows {
        if !targets.contains(&row.target.as_str()) {
            targets.push(&row.target);
        }
    }
    for target in targets {
        rows.extend(report.rows.iter().filter(|row| row.target == target).map(cells));
    }
    let mut lines = Style::MARKDOWN.lines(&rows);
    let windows = report.windows.len();
    lines.push(format!(
        "\nseeds {}; {windows} windows; {:.0} s in this run",
        report.seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", "),
        report.seconds
    ));
    lines.extend(fewer_bytes(&report.rows));
    lines.join("\n")
}

/// A sentence about masks with over 5 % fewer bytes than their target allows, whose losses are not
/// those of equal bytes.
fn fewer_bytes(rows: &[VariantRow]) -> Option<String> {
    let named: Vec<String> = rows
        .iter()
        .filter_map(|row| {
            let asked = row.target_bytes_share.filter(|asked| row.bytes_share < 0.95 * asked)?;
            let (own, asked) = (percent(row.bytes_share, 1), percent(asked, 1));
            Some(format!("{} at {} ({own}, not {asked})", row.variant, row.target))
        })
        .collect();
    (!named.is_empty()).then(|| {
        format!(
            "not at equal bytes, since whole heads and channels of equal importance go together: {}",
            printable(&named.join("; "), Breaks::Shown)
        )
    })
}

fn cells(row: &VariantRow) -> Vec<String> {
    let with_error = |value: String, error: Option<f64>| match error {
        Some(error) => format!("{value} ± {}", nats(error)),
        None => value,
    };
    let or_blank = |text: Option<String>| text.unwrap_or_default();
    let signed = |value: f64| match value < 0.0 {
        true => format!("−{}", nats(-value)),
        false => format!("+{}", nats(value)),
    };
    vec![
        row.target.clone(),
        row.variant.clone(),
        percent(row.bytes_share, 1),
        percent(row.pruned, 1),
        format!("{:.1}", row.dropped_heads),
        or_blank(row.kld.map(|kld| with_error(nats(kld), row.kld_stderr))),
        or_blank(row.kld_over_seeds.map(nats)),
        or_blank(row.paired.map(|paired| with_error(signed(paired.mean), paired.stderr))),
        or_blank(row.paired.map(|paired| format!("{} of {}", paired.better, row.window_kld.len()))),
        or_blank(row.recall.map(|found| {
            format!(
                "{} of {} (dense {})",
                percent(found.right, 1),
                found.asked,
                percent(found.dense, 1)
            )
        })),
        or_blank(row.recall.map(|found| {
            let p = match found.test.p {
                p if p < 0.01 => "< 0.01".to_owned(),
                p => format!("{p:.2}"),
            };
            format!("{} / {} ({p})", found.test.lost, found.test.won)
        })),
        or_blank(row.recall.map(|found| format!("{:+.3}", found.digit_nll))),
        format!("{:.0}", row.seconds),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(variant: &str, bytes_share: f64) -> VariantRow {
        VariantRow {
            variant: variant.to_owned(),
            target: "0.9".to_owned(),
            target_bytes_share: Some(0.305),
            seeds: 1,
            bytes_share,
            pruned: 0.9,
            dropped_heads: 6.0,
            kld: Some(0.5),
            kld_stderr: None,
            kld_over_seeds: None,
            window_kld: vec![0.5],
            paired: None,
            recall: None,
            seconds: 1.0,
            validation: None,
        }
    }

    #[test]
    fn losses_of_fewer_bytes_are_named() {
        let rows = [row("all", 0.304), row("near", 0.3), row("ties", 0.222)];
        let said = fewer_bytes(&rows).unwrap();
        assert!(said.ends_with("ties at 0.9 (22.2 %, not 30.5 %)"), "{said}");
        assert!(!said.contains("near"), "{said}");
        assert_eq!(fewer_bytes(&rows[..2]), None);
    }

    #[test]
    fn one_window_shows_no_error() {
        let cells = cells(&row("one", 0.3));
        assert!(cells.contains(&"0.500".to_owned()), "{cells:?}");
        assert!(cells.iter().all(|cell| !cell.contains('±')), "{cells:?}");
    }
}
