//! `kscope mask validate`.

use std::path::PathBuf;

use serde::Serialize;

use super::geometry::model_geometry;
use super::split::SplitArgs;
use crate::Result;
use crate::cli::output;
use crate::mask::{files, fingerprint};

/// Arguments of `kscope mask validate`.
#[derive(Debug, clap::Args)]
pub(super) struct ValidateArgs {
    /// The mask
    #[arg(value_name = "F")]
    file: PathBuf,
    /// The model that it must fit
    #[arg(long, value_name = "MODEL")]
    model: String,
    #[command(flatten)]
    split: SplitArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    file: String,
    model: String,
    model_fingerprint: String,
    valid: bool,
    bound: bool,
    warnings: Vec<String>,
}

/// Runs `kscope mask validate`. A mask that does not fit is an error, as it is wherever a mask is
/// loaded.
pub(super) fn run(args: &ValidateArgs) -> Result<()> {
    let name = args.file.display().to_string();
    let file = args.split.read_mask(&args.file)?;
    let model = model_geometry(&args.model)?;
    let model_fingerprint = fingerprint(&model.geometry);
    let binding = files::check(&file, &name, model.geometry.shape(), &model_fingerprint)?;
    let report = Report {
        file: name,
        model: model.name,
        model_fingerprint,
        valid: true,
        bound: binding.bound,
        warnings: binding.warnings,
    };
    if args.json {
        return output::json("mask validate", &report);
    }
    let how = if report.bound { "bound to it by fingerprint" } else { "by shape alone" };
    output::line(&format!("{} fits {} ({how})", report.file, report.model))?;
    report.warnings.iter().try_for_each(|warning| output::line(&format!("warning: {warning}")))
}
