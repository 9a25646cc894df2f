//! `kscope mask show`.

use std::io::IsTerminal;
use std::path::PathBuf;

use serde::Serialize;

use super::colors::{Ink, Pen, Tone, When};
use super::split::SplitArgs;
use super::{map, report};
use crate::Result;
use crate::cli::output;
use crate::cli::values::{DtypeOf, tokens};
use crate::element::Dtype;
use crate::mask::files::{MaskFile, Origin};
use crate::mask::{Statistics, StatisticsSetting, WidthStatistics, Window, alignment_cost};
use crate::numbers::count;

/// Arguments of `kscope mask show`.
#[derive(Debug, clap::Args)]
pub(super) struct ShowArgs {
    /// The mask or plan: a kscope file, .pth, .npy or .tsv
    #[arg(value_name = "F")]
    file: PathBuf,
    /// Give savings at this context in tokens (32768 or 32k), window counted, and not as the limit
    /// for long contexts
    #[arg(long, value_name = "N", value_parser = tokens)]
    ctx: Option<usize>,
    /// Element type of the cache, for bytes
    #[arg(long, default_value_t = Dtype::Bf16, value_parser = DtypeOf::CACHE)]
    kv_dtype: Dtype,
    #[command(flatten)]
    split: SplitArgs,
    /// When to use colour
    #[arg(long, value_enum, default_value_t = When::Auto)]
    color: When,
    /// Draw with ASCII characters only
    #[arg(long)]
    ascii: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    file: String,
    #[serde(flatten)]
    statistics: &'a Statistics,
    #[serde(flatten)]
    widths: &'a WidthStatistics,
    context: Option<usize>,
    kv_dtype: &'static str,
    window: Window,
    align: usize,
    target_sparsity: Option<f64>,
    alignment_cost: Option<i64>,
    holds_importance: bool,
    holds_sensitivity: bool,
    model: &'a str,
    model_fingerprint: &'a str,
    made_by: Option<String>,
    recipe: &'a serde_json::Value,
}

/// Runs `kscope mask show`.
pub(super) fn run(args: &ShowArgs) -> Result<()> {
    let MaskFile { plan, importance, sensitivity, target_sparsity, origin } =
        args.split.read_mask(&args.file)?;
    let setting = StatisticsSetting {
        at: args.ctx.map(|tokens| (origin.window, tokens)),
        element_size: args.kv_dtype.bytes(),
    };
    let chunk = origin.window.chunk;
    let statistics = Statistics::of_plan(&plan, chunk, &setting);
    let widths = WidthStatistics::of(&plan, chunk);
    let alignment_cost = target_sparsity.map(|sparsity| alignment_cost(plan.mask(), sparsity));
    if args.json {
        return output::json(
            "mask show",
            &Report {
                file: args.file.display().to_string(),
                statistics: &statistics,
                widths: &widths,
                context: args.ctx,
                kv_dtype: args.kv_dtype.name(),
                window: origin.window,
                align: origin.align,
                target_sparsity,
                alignment_cost,
                holds_importance: importance.is_some(),
                holds_sensitivity: sensitivity.is_some(),
                model: &origin.model,
                model_fingerprint: &origin.fingerprint,
                made_by: origin.made_by(),
                recipe: &origin.recipe,
            },
        );
    }
    let width = width();
    let mut pen = Pen::new(Ink::of_stdout(args.color, args.ascii));
    title(&mut pen, args, &statistics, &origin);
    map::draw(&mut pen, &plan, &statistics, &widths, width);
    pen.line();
    map::frequencies(&mut pen, &statistics, width);
    pen.line();
    let around = report::Surroundings {
        plan: &plan,
        widths: &widths,
        window: origin.window,
        context: args.ctx,
        element_size: args.kv_dtype.bytes(),
        element_name: args.kv_dtype.name(),
        target_sparsity,
        alignment_cost,
    };
    report::write(&mut pen, &statistics, &around);
    if !plan.is_mask() {
        pen.line();
        report::layers(&mut pen, &widths);
    }
    output::as_it_is(pen.finish().trim_end_matches('\n'))
}

fn title(pen: &mut Pen, args: &ShowArgs, stats: &Statistics, origin: &Origin) {
    pen.put(Some(Tone::Strong), &args.file.file_name().unwrap_or_default().to_string_lossy());
    let model = if origin.model.is_empty() { "bound to no model" } else { &origin.model };
    pen.put(
        None,
        &format!(
            "  {model} · {} layers × {} KV heads × {} channels",
            stats.layers, stats.kv_heads, stats.head_dim
        ),
    );
    pen.line();
    let Window { sink, recent, chunk } = origin.window;
    pen.put(
        Some(Tone::Faint),
        &format!(
            "sink {} · recent {} · chunk {} · align {}",
            count(sink),
            count(recent),
            count(chunk),
            origin.align
        ),
    );
    pen.line();
    if let Some(words) = origin.made_by() {
        pen.put(Some(Tone::Faint), &words);
        pen.line();
    }
    pen.line();
}

/// Columns of the terminal; a default where output is not a terminal.
fn width() -> usize {
    let terminal = std::io::stdout().is_terminal().then(crossterm::terminal::size);
    match terminal {
        Some(Ok((columns, _))) if columns > 0 => usize::from(columns),
        _ => 100,
    }
}
