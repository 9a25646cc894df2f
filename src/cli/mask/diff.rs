//! `kscope mask diff`.

use std::path::PathBuf;

use serde::Serialize;

use super::split::SplitArgs;
use crate::Result;
use crate::cli::output;
use crate::mask::{MaskComparison, WidthComparison, compare, compare_widths};
use crate::numbers::{count, percent};

/// Arguments of `kscope mask diff`.
#[derive(Debug, clap::Args)]
pub(super) struct DiffArgs {
    /// The first mask or plan
    #[arg(value_name = "A")]
    a: PathBuf,
    /// The second mask or plan
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
    /// How the bits of B differ from those of A.
    widths: &'a WidthComparison,
    #[serde(skip)]
    are_masks: bool,
}

/// Runs `kscope mask diff`.
pub(super) fn run(args: &DiffArgs) -> Result<()> {
    let (a, b) = (args.split.read_mask(&args.a)?, args.split.read_mask(&args.b)?);
    let comparison = compare(a.mask(), b.mask())?;
    let widths =
        compare_widths((&a.plan, a.origin.window.chunk), (&b.plan, b.origin.window.chunk))?;
    let report = Report {
        a: args.a.display().to_string(),
        b: args.b.display().to_string(),
        kept_ratio: [a.mask().kept_ratio(), b.mask().kept_ratio()],
        comparison: &comparison,
        widths: &widths,
        are_masks: a.plan.is_mask() && b.plan.is_mask(),
    };
    output::report("mask diff", args.json, &report, text)
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
    if !report.are_masks {
        lines.extend(widths(report.widths));
    }
    lines.join("\n")
}

/// The widths that changed, whole and by layer.
fn widths(comparison: &WidthComparison) -> Vec<String> {
    let whole = comparison.whole;
    let changed = |what: &str, wider: usize, narrower: usize| {
        format!(
            "{} {what} have other bits in B: {} more, {} fewer",
            count(wider + narrower),
            count(wider),
            count(narrower)
        )
    };
    let mut lines = vec![
        String::new(),
        changed("K channels", whole.wider_k, whole.narrower_k),
        changed("V", whole.wider_v, whole.narrower_v),
        format!(
            "bytes  A {}  B {} of a dense f16 cache",
            percent(whole.bytes_share[0], 2),
            percent(whole.bytes_share[1], 2)
        ),
        String::new(),
        "layer    K more   K fewer    V more   V fewer   bytes A   bytes B".to_string(),
    ];
    lines.extend(comparison.layers.iter().enumerate().map(|(layer, change)| {
        format!(
            "L{layer:02} {:>11} {:>9} {:>9} {:>9} {:>9} {:>9}",
            change.wider_k,
            change.narrower_k,
            change.wider_v,
            change.narrower_v,
            percent(change.bytes_share[0], 2),
            percent(change.bytes_share[1], 2)
        )
    }));
    lines
}
