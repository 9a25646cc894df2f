//! `kscope mask make` of plans: by sensitivity and bytes, or by name.

use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

use super::geometry::NamedGeometry;
use super::make::{Inherited, MakeArgs, MakeSettings, binding, shown, texts};
use super::report;
use super::values::{Fit, HeldAt, LockSpec};
use crate::cli::output;
use crate::mask::files::{self, Contents, MaskFile};
use crate::mask::select::{
    Allocation, AllocationOptions, AllocationTarget, ByteBudget, Floor, LockWidths, WidthLock,
    WidthPlace, allocate,
};
use crate::mask::{
    CachePlan, Coding, Shape, Statistics, StatisticsSetting, Width, WidthStatistics, Window, bytes,
    fingerprint,
};
use crate::numbers::{count, percent};
use crate::{Error, Result};

#[derive(Serialize)]
struct Report {
    output: String,
    model: String,
    model_fingerprint: String,
    settings: MakeSettings,
    #[serde(flatten)]
    statistics: Statistics,
    #[serde(flatten)]
    widths: WidthStatistics,
    /// Predicted damage in nats per token, which ranks plans and is no forecast of a loss.
    predicted_damage: Option<f64>,
}

/// A plan by sensitivity within bytes.
pub(super) fn by_sensitivity(args: &MakeArgs, path: &Path) -> Result<()> {
    let source = args.split.read(path)?;
    let sensitivity = source.expect_sensitivity(&shown(Some(path)))?;
    let shape = sensitivity.shape();
    let model = args.model.geometry()?;
    expect_shape(path, shape, model.as_ref())?;
    let settings =
        MakeSettings::resolve(args, Some((source.origin(), "sensitivity file")), Window::CODED);
    let base = match &source {
        Contents::Mask(file) => Some(&file.plan),
        _ => None,
    };
    let options = options(args, &settings, shape, base)?;
    let allocation = allocate(sensitivity, &options)?;
    let recipe = json!({
        "tool": concat!("kscope ", env!("CARGO_PKG_VERSION")),
        "rule": "sensitivity",
        "sensitivity": { "file": file_name(path), "recipe": source.origin().recipe },
        "selection": selection(args, &options, &allocation),
    });
    let origin = settings.origin(binding(args, Some(source.origin()), model)?, recipe);
    let file = MaskFile {
        plan: allocation.plan,
        importance: source.importance().cloned(),
        sensitivity: Some(sensitivity.clone()),
        target_sparsity: None,
        origin,
    };
    save(args, file, settings, Some(allocation.predicted))
}

/// The plan of a name, for the sizes of a model.
pub(super) fn by_name(args: &MakeArgs, name: &str) -> Result<()> {
    let Some(model) = args.model.geometry()? else {
        return Err(Error::input(
            "a plan by name needs sizes: expected --model or --random-weights, found neither",
        ));
    };
    let plan = CachePlan::named(name, model.geometry.shape())?;
    if let Coding::Blocks { .. } = plan.coding() {
        return Err(Error::input(format!(
            "the plan {name} stores blocks per token, which a file cannot say: use its name wherever a plan is taken (--plan {name})"
        )));
    }
    let mut settings = MakeSettings::resolve(args, None, Window::CODED);
    settings.align = Inherited { value: 1, from: "default" };
    let recipe = json!({ "tool": concat!("kscope ", env!("CARGO_PKG_VERSION")), "plan": name });
    let fingerprint = fingerprint(&model.geometry);
    let file = MaskFile {
        plan,
        importance: None,
        sensitivity: None,
        target_sparsity: None,
        origin: settings.origin((model.name, fingerprint), recipe),
    };
    save(args, file, settings, None)
}

fn expect_shape(path: &Path, shape: Shape, model: Option<&NamedGeometry>) -> Result<()> {
    match model {
        Some(model) if model.geometry.shape() != shape => Err(Error::input(format!(
            "{}: expected shape {} of {}, found {shape}",
            path.display(),
            model.geometry.shape(),
            model.name
        ))),
        _ => Ok(()),
    }
}

fn options(
    args: &MakeArgs,
    settings: &MakeSettings,
    shape: Shape,
    base: Option<&CachePlan>,
) -> Result<AllocationOptions> {
    let window = settings.window();
    let budget = |bytes, tokens, element_size| {
        AllocationTarget::Bytes(ByteBudget { bytes, tokens, window, element_size })
    };
    let target = match (args.bytes, args.ctx, args.fit) {
        (_, _, Some(Fit { bytes, tokens })) => budget(bytes, tokens, args.kv_dtype.bytes()),
        (share, Some(tokens), None) => {
            // The share is one of a dense f16 cache, as without a context.
            let dense = bytes::dense(shape, tokens, 2).total();
            budget((share.unwrap_or(1.0) * dense as f64).floor() as u64, tokens, 2)
        }
        (share, None, None) => AllocationTarget::Share(share.unwrap_or(1.0)),
    };
    let v_widths = if args.v_widths.is_empty() { &args.widths } else { &args.v_widths };
    Ok(AllocationOptions {
        target,
        chunk: window.chunk,
        coding: Coding::best(shape.head_dim),
        k_widths: args.widths.clone(),
        v_widths: v_widths.clone(),
        align: settings.align.value,
        pair_closed: args.pair_closed,
        floors: args
            .floor
            .iter()
            .map(|spec| Floor { heads: spec.heads, channels: spec.channels.unwrap_or_default() })
            .collect(),
        locks: args.lock.iter().map(|spec| lock(spec, base)).collect::<Result<_>>()?,
    })
}

fn lock(spec: &LockSpec, base: Option<&CachePlan>) -> Result<WidthLock> {
    let to = match (spec.to, base) {
        (HeldAt::File, Some(plan)) => LockWidths::Plan(plan.clone().into()),
        (HeldAt::File, None) => {
            return Err(Error::input(format!(
                "--lock {spec} without bits: expected --sensitivity with a file that holds a plan, found none"
            )));
        }
        (HeldAt::Widths(_, Some(_)), _) if matches!(spec.place, WidthPlace::Channel(..)) => {
            return Err(Error::input(format!(
                "--lock {spec}: one channel has bits of K alone, and V belongs to the head"
            )));
        }
        (HeldAt::Widths(k, v), _) => LockWidths::Widths { k, v },
        (HeldAt::Number(bits), _) => {
            let width = u8::try_from(bits).ok().and_then(|bits| Width::of_bits(bits).ok());
            let width = width.ok_or_else(|| {
                Error::input(format!("--lock {spec}: a width is 0, 2, 4, 8 or 16 bits, not {bits}"))
            })?;
            LockWidths::Widths { k: Some(width), v: Some(width) }
        }
    };
    Ok(WidthLock { place: spec.place, to })
}

fn selection(args: &MakeArgs, options: &AllocationOptions, allocation: &Allocation) -> Value {
    json!({
        "bytes": args.bytes,
        "ctx": args.ctx,
        "fit": args.fit.map(|fit| json!({ "bytes": fit.bytes, "tokens": fit.tokens, "kv_dtype": args.kv_dtype.name() })),
        "widths": options.k_widths,
        "v_widths": options.v_widths,
        "pair_closed": options.pair_closed,
        "floors": texts(&args.floor),
        "locks": texts(&args.lock),
        "predicted_damage": allocation.predicted,
    })
}

/// A path's file name: a recipe does not record the folder.
fn file_name(path: &Path) -> Option<String> {
    path.file_name().map(|name| name.to_string_lossy().into_owned())
}

fn save(
    args: &MakeArgs,
    file: MaskFile,
    settings: MakeSettings,
    predicted: Option<f64>,
) -> Result<()> {
    let contents = Contents::Mask(file);
    files::save(&args.output, &contents, false)?;
    let file = contents.into_mask(&shown(Some(&args.output)))?;
    report::note_nothing(&file.plan);
    let setting = StatisticsSetting { at: None, element_size: args.kv_dtype.bytes() };
    let chunk = file.origin.window.chunk;
    let report = Report {
        output: args.output.display().to_string(),
        model: file.origin.model.clone(),
        model_fingerprint: file.origin.fingerprint.clone(),
        settings,
        statistics: Statistics::of_plan(&file.plan, chunk, &setting),
        widths: WidthStatistics::of(&file.plan, chunk),
        predicted_damage: predicted,
    };
    output::report("mask allocate", args.json, &report, |report| {
        text(report, &file, args.kv_dtype.name())
    })
}

fn text(report: &Report, file: &MaskFile, element: &str) -> String {
    let (stats, widths) = (&report.statistics, &report.widths);
    let model = match report.model.as_str() {
        "" => "bound to no model".to_owned(),
        model => format!("for {model}"),
    };
    [
        format!("wrote {}  {} {model}", report.output, file.plan.shape()),
        format!(
            "{} of a dense f16 cache in long contexts; {} of {} bytes per middle token ({element})",
            percent(widths.bytes_share, 2),
            count(stats.bytes_per_middle_token as usize),
            count(stats.dense_bytes_per_token as usize),
        ),
        format!("K channels by bits  {}", widths.k_bits_histogram),
        format!("V heads by bits     {}", widths.v_bits_histogram),
        report.settings.text(),
    ]
    .join("\n")
}
