//! Arguments of `kscope sweep`, and the points that it measures.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{prompt, texts};
use crate::cache::CacheSpec;
use crate::cli::args::{CacheArgs, ModelArgs, SessionArgs, short_names};
use crate::cli::output;
use crate::cli::progress::ProgressArgs;
use crate::cli::values;
use crate::mask::files::{self, Contents, Split};
use crate::mask::select::Options;
use crate::mask::{CachePlan, Window, fingerprint, select};
use crate::model::Model;
use crate::{Error, Result, numbers};

/// Arguments of `kscope sweep`.
#[derive(Debug, clap::Args)]
pub struct SweepArgs {
    #[command(flatten)]
    progress: ProgressArgs,
    #[command(flatten)]
    pub(super) session: SessionArgs,
    /// Importance file, or a mask file that holds importance: its masks are measured
    #[arg(long, value_name = "FILE")]
    importance: Option<PathBuf>,
    /// With --importance: sparsities, a list 0.3,0.5 or a range 0..0.9:0.1, both ends included
    #[arg(long, default_value = "0..0.9:0.1", value_name = "LIST")]
    sparsity: String,
    /// With --importance: alignments
    #[arg(long, value_delimiter = ',', default_value = "8", value_name = "LIST", value_parser = values::number)]
    align: Vec<usize>,
    /// Decode steps after the prompt that each mask or plan is measured over
    #[arg(long, default_value_t = 64, value_name = "N", conflicts_with = "text", value_parser = values::number)]
    pub(super) steps: usize,
    #[command(flatten)]
    pub(super) texts: texts::TextArgs,
    /// Print a Markdown table
    #[arg(long, conflicts_with = "json")]
    pub(super) markdown: bool,
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

/// A mask or plan to measure.
#[derive(Debug, Clone)]
pub(super) struct SweepPoint {
    /// Its name in the table.
    pub(super) name: String,
    /// Sparsity asked for and alignment, of a mask that is made here.
    pub(super) selection: Option<(f64, usize)>,
    /// Its cache.
    pub(super) spec: Arc<CacheSpec>,
    /// The name of an earlier mask of the same importance that keeps the same channels.
    pub(super) same_as: Option<String>,
}

/// Runs `kscope sweep`.
pub fn run(args: &SweepArgs) -> Result<()> {
    args.progress.choose();
    if args.importance.is_none() && !args.session.cache.is_given() {
        return Err(Error::input(
            "sweep needs something to measure: give it --plan NAME|FILE, once or more, or --importance FILE, which `kscope score` writes",
        ));
    }
    args.texts.check()?;
    let sparsities = parse_range(&args.sparsity)?;
    let SessionArgs { model, cache, .. } = &args.session;
    let model_args = model;
    let model = model_args.load()?;
    let mut points = given(&model, cache, model_args)?;
    if let Some(path) = &args.importance {
        let made = selected(&model, path, &sparsities, &args.align, cache)?;
        if let Some(note) = same_masks(&made) {
            output::note(&format!("kscope: {note}"));
        }
        points.extend(made);
    }
    match args.texts.is_asked() {
        true => {
            points.retain(|point| point.same_as.is_none());
            texts::run(args, &model, &points)
        }
        false => prompt::run(args, &model, &points),
    }
}

/// The plans that the command line names.
fn given(model: &Model, cache: &CacheArgs, model_args: &ModelArgs) -> Result<Vec<SweepPoint>> {
    let given = cache.choices(model.config(), model_args.device)?;
    let names = short_names(&given);
    let points = given.into_iter().zip(names).map(|(given, name)| {
        Ok(SweepPoint {
            spec: Arc::new(
                CacheSpec::planned(given.window, cache.kv_dtype, given.plan)?
                    .with_sight(model.config().sight()),
            ),
            name,
            selection: None,
            same_as: None,
        })
    });
    points.collect()
}

/// The masks of an importance file.
fn selected(
    model: &Model,
    path: &Path,
    sparsities: &[f64],
    aligns: &[usize],
    cache: &CacheArgs,
) -> Result<Vec<SweepPoint>> {
    let config = model.config();
    let name = path.display().to_string();
    let contents: Contents = files::read(path, &Split::of(config.mask_shape()))?;
    let importance =
        contents.importance().ok_or_else(|| Error::input(format!("{name} holds no importance")))?;
    let found = &contents.origin().fingerprint;
    if importance.shape() != config.mask_shape()
        || !(found.is_empty() || *found == fingerprint(&config.geometry()))
    {
        return Err(Error::input(format!(
            "{name}: importance of shape {} for {} does not belong to {} {}",
            importance.shape(),
            contents.origin().model,
            model.name,
            config.mask_shape()
        )));
    }
    let window = cache.window(Window::default())?;
    let points = aligns.iter().flat_map(|&align| sparsities.iter().map(move |&s| (s, align)));
    let point = |(sparsity, align): (f64, usize)| {
        let mask = select(importance, &Options::new(sparsity, align))?;
        Ok(SweepPoint {
            name: format!("mask {sparsity:.2}, align {align}"),
            selection: Some((sparsity, align)),
            spec: Arc::new(
                CacheSpec::planned(window, cache.kv_dtype, CachePlan::of_mask(&mask))?
                    .with_sight(config.sight()),
            ),
            same_as: None,
        })
    };
    let mut made = points.map(point).collect::<Result<Vec<SweepPoint>>>()?;
    for at in 0..made.len() {
        let first = made[..at].iter().find(|first| first.spec == made[at].spec);
        made[at].same_as = first.map(|first| first.name.clone());
    }
    Ok(made)
}

/// What is said of masks that keep the same channels: an importance of 0 is kept by no sparsity, so
/// that a low one gives the mask of a higher one.
fn same_masks(points: &[SweepPoint]) -> Option<String> {
    let same: Vec<&SweepPoint> = points.iter().filter(|point| point.same_as.is_some()).collect();
    let first = same.first()?;
    let kept = numbers::percent(first.spec.mask().kept_ratio(), 1);
    let of = first.same_as.as_deref().unwrap_or_default();
    Some(format!(
        "{} {} no other channels than an earlier one ({} and {of} keep the same {kept}): no sparsity keeps channels without importance; each such mask is measured once",
        numbers::counted(same.len(), "mask", "masks"),
        if same.len() == 1 { "keeps" } else { "keep" },
        first.name
    ))
}

/// Most sparsities of one range.
const MOST_SPARSITIES: usize = 10_000;

/// `0.3,0.5` or `0..0.9:0.1`; every value must be a sparsity.
fn parse_range(text: &str) -> Result<Vec<f64>> {
    let wrong = || {
        Error::input(format!(
            "--sparsity takes a list 0.3,0.5 or a range 0..0.9:0.1 of numbers from 0 to 1, not `{text}`"
        ))
    };
    let number = |text: &str| {
        text.trim().parse::<f64>().ok().filter(|n| (0.0..=1.0).contains(n)).ok_or_else(wrong)
    };
    let Some((from, rest)) = text.split_once("..") else {
        return text.split(',').map(number).collect();
    };
    let (to, step) = rest.split_once(':').ok_or_else(wrong)?;
    let (from, to, step) = (number(from)?, number(to)?, number(step)?);
    if step <= 0.0 || to < from {
        return Err(wrong());
    }
    // Counted in whole steps, so that rounding never drops the last value.
    let count = ((to - from) / step + 1e-9).floor() as usize;
    if count >= MOST_SPARSITIES {
        return Err(Error::input(format!(
            "--sparsity: `{text}` is more than {} masks",
            numbers::count(MOST_SPARSITIES)
        )));
    }
    Ok((0..=count).map(|i| from + i as f64 * step).collect())
}

#[cfg(test)]
mod tests {
    use super::parse_range;

    #[test]
    fn ranges_include_both_ends() {
        let found = parse_range("0..0.9:0.1").unwrap();
        assert_eq!(found.len(), 10);
        assert!((found[9] - 0.9).abs() < 1e-9);
        assert_eq!(parse_range("0.3, 0.5").unwrap(), [0.3, 0.5]);
        for wrong in [
            "",
            "x",
            "0..1",
            "0..2:0.1",
            "0.9..0.1:0.1",
            "0..1:0",
            "1.5",
            "0..1:1e-9",
            "0..1:1e-300",
        ] {
            assert!(parse_range(wrong).is_err(), "{wrong}");
        }
    }
}
