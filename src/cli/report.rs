//! `kscope report`: results of `kscope eval` as one page for whoever decides.

use std::path::{Path, PathBuf};

use super::args::{ForceArg, stem};
use super::eval::markdown;
use super::output;
use crate::eval::report::{MapPicture, Report, Speed, html, worst};
use crate::eval::run::{Figures, MaskHeader, Results, join, plan_fingerprint, read_results};
use crate::mask::files::{self, Split};
use crate::{Error, Result, error, input_file};

/// Arguments of `kscope report`.
#[derive(Debug, clap::Args)]
pub struct ReportArgs {
    /// Results: folders that were given to `kscope eval --out`, or their files; several are runs of one
    /// model, of other tasks each
    #[arg(value_name = "DIR", required = true)]
    results: Vec<PathBuf>,
    /// Masks or plans of the results, whose pictures and recipes are shown
    #[arg(long, value_name = "FILE", num_args = 1..)]
    mask: Vec<PathBuf>,
    /// Speed: what `kscope bench decode --json` printed
    #[arg(long, value_name = "FILE.json")]
    bench: Option<PathBuf>,
    /// Write the page: one HTML file without links
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write the tables as Markdown
    #[arg(long, value_name = "FILE")]
    md: Option<PathBuf>,
    #[command(flatten)]
    force: ForceArg,
}

/// Runs `kscope report`.
pub fn run(args: &ReportArgs) -> Result<()> {
    if args.html.is_none() && args.md.is_none() {
        return Err(Error::input("report writes a file: give it --html FILE, --md FILE or both"));
    }
    for path in args.html.iter().chain(&args.md) {
        args.force.check(path)?;
    }
    let runs = args.results.iter().map(|path| {
        let path = if path.is_dir() { path.join(crate::eval::run::RESULTS) } else { path.clone() };
        let results = read_results(&path)?;
        let name = path.display().to_string();
        match results.records.is_empty() {
            true => Err(Error::input(format!("{name} holds no results yet"))),
            false => Ok((name, results)),
        }
    });
    let results = join(runs.collect::<Result<Vec<_>>>()?)?;
    let figures = Figures::of(&results);
    let speed = args.bench.as_deref().map(speeds).transpose()?.unwrap_or_default();
    let page = page(&results, &figures, &args.mask, &speed)?;
    if let Some(path) = &args.html {
        write(path, &page)?;
    }
    if let Some(path) = &args.md {
        write(path, &format!("{}\n", markdown(&figures)))?;
    }
    let run = &figures.run;
    let missing = run.own_count().saturating_sub(results.records.len());
    if missing > 0 {
        output::note(&format!("kscope: {missing} results are missing, the run is not finished"));
    }
    if let Some(shard) = run.shard {
        output::note(&format!("kscope: this is part {}/{} alone", shard.part, shard.of));
    }
    Ok(())
}

/// The page on these results, with pictures of the masks in these files.
pub(super) fn page(
    results: &Results,
    figures: &Figures,
    masks: &[PathBuf],
    speed: &[Speed],
) -> Result<String> {
    let maps = masks.iter().map(|path| picture(path, &figures.run.masks));
    let maps = maps.collect::<Result<Vec<_>>>()?;
    let worst = worst(&results.records);
    Ok(html(&Report { figures, worst: &worst, maps: &maps, speed }))
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|cause| error::io("writing", path, &cause))
}

/// A mask's picture, refused where it is not one of the results'.
fn picture(path: &Path, masks: &[MaskHeader]) -> Result<MapPicture> {
    let name = path.display().to_string();
    let file = files::read(path, &Split::default())?.into_mask(&name)?;
    let fingerprint = plan_fingerprint(&file.plan);
    let own = masks.iter().find(|mask| mask.fingerprint == fingerprint).ok_or_else(|| {
        Error::input(format!("{name}: no mask of these results has its fingerprint {fingerprint}"))
    })?;
    let recipe = match &file.origin.recipe {
        serde_json::Value::Null => String::new(),
        recipe => serde_json::to_string_pretty(recipe)
            .map_err(|cause| Error::run(format!("writing a recipe: {cause}")))?,
    };
    let name = if own.name.is_empty() { stem(&name) } else { own.name.clone() };
    Ok(MapPicture { name, plan: file.plan, recipe })
}

#[derive(serde::Deserialize)]
struct Bench {
    rows: Vec<Speed>,
}

fn speeds(path: &Path) -> Result<Vec<Speed>> {
    let text = input_file::read_json(path, input_file::MEASUREMENTS)?;
    let bench: Bench = serde_json::from_str(&text).map_err(|cause| {
        Error::input(format!(
            "{}: expected what `kscope bench decode --json` prints, found {cause}",
            path.display()
        ))
    })?;
    Ok(bench.rows)
}
