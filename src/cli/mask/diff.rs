//! `kscope mask diff`.

use std::path::PathBuf;

use serde::Serialize;

use super::split::SplitArgs;
use crate::Result;
use crate::cli::output;
use crate::mask::{MaskComparison, compare};
use crate::numbers::percent;

/// Arguments of `kscope mask diff`.
#[derive(Debug, clap::Args)]
pub(super) struct DiffArgs {
    /// The first mask
    #[arg(value_name = "A")]
    a: PathBuf,
    /// The second mask
    #[arg(value_name = "B")]
    b: PathBuf,
    #[command(flatten)]
    split: SplitArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    a: String,
    b: String,
    /// Kept channels over all channels, of A and of B.
    kept_ratio: [f64; 2],
    #[serde(flatten)]
    comparison: &'a MaskComparison,
}

/// Runs `kscope mask diff`.
pub(super) fn run(args: &DiffArgs) -> Result<()> {
    let (a, b) = (args.split.read_mask(&args.a)?, args.split.read_mask(&args.b)?);
    let (a, b) = (a.mask(), b.mask());
    let comparison = compare(a, b)?;
    let report = Report {
        a: args.a.display().to_string(),
        b: args.b.display().to_string(),
        kept_ratio: [a.kept_ratio(), b.kept_ratio()],
        comparison: &comparison,
    };
    output::report(args.json, &report, text)
}

fn text(report: &Report<'_>) -> String {
    let whole = report.comparison.whole;
    let mut lines = vec![
        format!("A  {}  keeps {}", report.a, percent(report.kept_ratio[0], 2)),
        format!("B  {}  keeps {}", report.b, percent(report.kept_ratio[1], 2)),
        String::new(),
        format!("Jaccard    {}  (kept by both over kept by either)", percent(whole.jaccard, 2)),
        format!(
            "agreement  {}  (channels on which both say the same)",
            percent(whole.agreement, 2)
        ),
        format!(
            "{} heads keep another number of channels",
            report.comparison.heads_with_other_counts
        ),
        String::new(),
        "layer      both    only A    only B   Jaccard  agreement".to_string(),
    ];
    for (layer, overlap) in report.comparison.layers.iter().enumerate() {
        lines.push(format!(
            "L{layer:02} {:>11} {:>9} {:>9} {:>9} {:>10}",
            overlap.both,
            overlap.only_a,
            overlap.only_b,
            percent(overlap.jaccard, 2),
            percent(overlap.agreement, 2)
        ));
    }
    lines.join("\n")
}
