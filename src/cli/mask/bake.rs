//! `kscope mask bake`.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::Result;
use crate::cli::args::{read_mask, warn_of_files};
use crate::cli::output;
use crate::cli::progress::ProgressLine;
use crate::mask::Window;
use crate::model::load::{Baked, Opened, Source, bake};
use crate::numbers::{bytes, percent};

/// Arguments of `kscope mask bake`.
#[derive(Debug, clap::Args)]
pub(super) struct BakeArgs {
    /// The model: a Hugging Face folder, a GGUF file, or a name that `kscope fetch` knows
    #[arg(value_name = "MODEL")]
    model: String,
    /// The mask; it keeps and prunes rotation pairs whole
    #[arg(value_name = "MASK")]
    mask: PathBuf,
    /// The folder or GGUF file to write, which must not be there yet; a split model becomes
    /// OUT-00001-of-... and so on
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    model: String,
    mask: String,
    mask_sha256: String,
    /// The folder or file; of a split model the first part.
    output: String,
    /// Share of key channels that are zero.
    pruned: f64,
    /// Heads that keep no channel, whose values are zero too.
    dropped_heads: usize,
    /// The window that the mask was made for; baked it has none.
    made_for: Window,
    #[serde(flatten)]
    baked: Baked,
}

/// Runs `kscope mask bake`.
pub(super) fn run(args: &BakeArgs) -> Result<()> {
    let source = Source::resolve(&args.model)?;
    let opened = Opened::open(&source)?;
    let given = read_mask(&args.mask, &opened.config)?;
    let rows = given.zero_rows(&opened.config)?;
    warn_of_files(&opened.warnings);
    warn_of_files(&given.warnings);
    let bar = ProgressLine::new(&format!("baking {}", opened.name));
    let baked = bake(&source, &rows, &args.output, &mut |share| {
        bar.share(share);
        Ok(())
    })?;
    bar.finish();
    let mask = given.plan.mask();
    let report = Report {
        model: opened.name,
        mask: given.name,
        mask_sha256: mask.sha256(),
        output: written(&args.output, &baked).display().to_string(),
        pruned: 1.0 - mask.kept_ratio(),
        dropped_heads: mask.kept_counts().iter().filter(|&&kept| kept == 0).count(),
        made_for: given.window,
        baked,
    };
    output::report("mask bake", args.json, &report, text)
}

/// What there is to load: parts of a split model have names of their own.
fn written<'a>(asked: &'a Path, baked: &'a Baked) -> &'a Path {
    match baked.files.first() {
        Some(first) if !asked.exists() => first,
        _ => asked,
    }
}

fn text(report: &Report) -> String {
    let Report { made_for: Window { sink, recent, .. }, baked, .. } = report;
    let mut lines = vec![format!(
        "{}: {} with {} of its key channels zero ({} of weights), {} heads dropped",
        report.output,
        report.model,
        percent(report.pruned, 1),
        bytes(baked.zeroed_bytes),
        report.dropped_heads
    )];
    if sink + recent > 0 {
        lines.push(format!(
            "the mask was made for {sink} first and {recent} last tokens that keep every channel; baked it prunes all tokens"
        ));
    }
    if let [first, others @ ..] = &*baked.files
        && !others.is_empty()
        && first.display().to_string() == report.output
    {
        let others: Vec<_> = others.iter().map(|path| path.display().to_string()).collect();
        lines.push(format!("further parts: {}", others.join(", ")));
    }
    if !baked.left_out.is_empty() {
        lines.push(format!("left out: {}", baked.left_out.join(", ")));
    }
    lines.push(
        "a cache of this model takes as much memory as before; `kscope compare --baked` measures what it loses"
            .to_owned(),
    );
    lines.join("\n")
}
