//! `kscope report`: results of `kscope eval` as one page for whoever decides.

use std::path::{Path, PathBuf};

use super::args::stem;
use super::eval::markdown;
use super::output;
use crate::eval::report::{MapPicture, Report, Speed, html, worst};
use crate::eval::run::{Figures, MaskHeader, plan_fingerprint, read_results};
use crate::mask::files::{self, Split};
use crate::{Error, Result, error};

/// Arguments of `kscope report`.
#[derive(Debug, clap::Args)]
pub struct ReportArgs {
    /// Results: the folder that was given to `kscope eval --out`, or its file
    #[arg(value_name = "DIR")]
    results: PathBuf,
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
}

/// Runs `kscope report`.
pub fn run(args: &ReportArgs) -> Result<()> {
    if args.html.is_none() && args.md.is_none() {
        return Err(Error::input("report writes a file: give it --html FILE, --md FILE or both"));
    }
    let path = match args.results.is_dir() {
        true => args.results.join("results.jsonl"),
        false => args.results.clone(),
    };
    let results = read_results(&path)?;
    if results.records.is_empty() {
        return Err(Error::input(format!("{} holds no results yet", path.display())));
    }
    let figures = Figures::of(&results);
    let maps = args
        .mask
        .iter()
        .map(|path| picture(path, &figures.run.masks))
        .collect::<Result<Vec<_>>>()?;
    let speed = args.bench.as_deref().map(speeds).transpose()?.unwrap_or_default();
    let worst = worst(&results.records);
    if let Some(path) = &args.html {
        let report = Report { figures: &figures, worst: &worst, maps: &maps, speed: &speed };
        write(path, &html(&report))?;
    }
    if let Some(path) = &args.md {
        write(path, &format!("{}\n", markdown(&figures)))?;
    }
    let missing = figures.run.jobs - results.records.len();
    if missing > 0 && figures.run.shard.is_none() {
        output::note(&format!("kscope: {missing} results are missing, the run is not finished"));
    }
    Ok(())
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
    let text = std::fs::read_to_string(path).map_err(|cause| error::io("reading", path, &cause))?;
    let bench: Bench = serde_json::from_str(&text).map_err(|cause| {
        Error::input(format!(
            "{}: expected what `kscope bench decode --json` prints, found {cause}",
            path.display()
        ))
    })?;
    Ok(bench.rows)
}
