//! `kscope mask import` and `kscope mask export`.

use std::path::PathBuf;

use serde::Serialize;

use super::geometry::model_geometry;
use super::kvpress;
use super::split::SplitArgs;
use crate::cli::args::ForceArg;
use crate::cli::output;
use crate::mask::files::{self, Contents, Format};
use crate::mask::{Shape, fingerprint};
use crate::numbers::percent;
use crate::{Error, Result};

/// Arguments of `kscope mask import`.
#[derive(Debug, clap::Args)]
pub(super) struct ImportArgs {
    /// The file to import: .pth, .npy, .tsv, or a kscope file to bind
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// The kscope file to write
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// Bind the file to this model
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    #[command(flatten)]
    split: SplitArgs,
    #[command(flatten)]
    force: ForceArg,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Arguments of `kscope mask export`.
#[derive(Debug, clap::Args)]
pub(super) struct ExportArgs {
    /// The file to export
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// The file to write; its extension says the format
    #[arg(value_name = "OUT", required_unless_present = "kvpress")]
    output: Option<PathBuf>,
    /// Write the importance and not the mask
    #[arg(long)]
    importance: bool,
    /// Write a press for NVIDIA's kvpress and the mask into this folder instead
    #[arg(long, value_name = "DIR", conflicts_with_all = ["output", "importance"])]
    kvpress: Option<PathBuf>,
    #[command(flatten)]
    split: SplitArgs,
    #[command(flatten)]
    force: ForceArg,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// The result of a conversion.
#[derive(Serialize)]
struct Report {
    input: String,
    output: String,
    /// `mask`, `plan`, `importance` or `sensitivity`.
    kind: &'static str,
    #[serde(flatten)]
    shape: Shape,
    kept_ratio: Option<f64>,
    model: String,
    model_fingerprint: String,
    sha256: Option<String>,
}

impl Report {
    fn new(
        input: &std::path::Path,
        output: &std::path::Path,
        contents: &Contents,
        importance: bool,
    ) -> Self {
        let plan = match contents {
            Contents::Mask(file) if !importance => Some(&file.plan),
            _ => None,
        };
        let kind = match (plan, contents) {
            (Some(plan), _) if plan.is_mask() => "mask",
            (Some(_), _) => "plan",
            (None, Contents::Sensitivity(_)) => "sensitivity",
            (None, _) => "importance",
        };
        Self {
            input: input.display().to_string(),
            output: output.display().to_string(),
            kind,
            shape: contents.shape(),
            kept_ratio: plan.map(|plan| plan.mask().kept_ratio()),
            model: contents.origin().model.clone(),
            model_fingerprint: contents.origin().fingerprint.clone(),
            sha256: plan.map(|plan| match plan.is_mask() {
                true => plan.mask().sha256(),
                false => plan.sha256(),
            }),
        }
    }

    fn print(&self, json: bool) -> Result<()> {
        if json {
            return output::json("mask convert", self);
        }
        let kept = self
            .kept_ratio
            .map_or_else(String::new, |ratio| format!(", keeps {}", percent(ratio, 2)));
        output::line(&format!(
            "{} -> {}: {} {}{kept}",
            self.input, self.output, self.kind, self.shape
        ))
    }
}

/// Runs `kscope mask import`.
pub(super) fn import(args: &ImportArgs) -> Result<()> {
    Format::expect_own(&args.output)?;
    args.force.check(&args.output)?;
    let mut contents = args.split.read(&args.input)?;
    if let Some(spec) = &args.model {
        let model = model_geometry(spec)?;
        let (expected, found) = (model.geometry.shape(), contents.shape());
        if expected != found {
            return Err(Error::input(format!(
                "{}: expected shape {expected} of {}, found {found}",
                args.input.display(),
                model.name
            )));
        }
        let origin = contents.origin_mut();
        let fingerprint = fingerprint(&model.geometry);
        if !origin.fingerprint.is_empty() && origin.fingerprint != fingerprint {
            return Err(Error::input(format!(
                "{}: expected an unbound file, found one that is bound to {}",
                args.input.display(),
                origin.model
            )));
        }
        (origin.model, origin.fingerprint) = (model.name, fingerprint);
    }
    files::save(&args.output, &contents, false)?;
    Report::new(&args.input, &args.output, &contents, false).print(args.json)?;
    if contents.origin().fingerprint.is_empty() && !args.json {
        output::line(
            "bound to no model: it is accepted wherever its shape fits, with a warning (--model MODEL binds it)",
        )?;
    }
    Ok(())
}

/// Runs `kscope mask export`.
pub(super) fn export(args: &ExportArgs) -> Result<()> {
    let contents = args.split.read(&args.input)?;
    if let Some(folder) = &args.kvpress {
        let mask = kvpress::export(&args.input, contents.clone(), folder, args.force)?;
        return Report::new(&args.input, &mask, &contents, false).print(args.json);
    }
    let output = args.output.as_ref().expect("an output is required without --kvpress");
    args.force.check(output)?;
    // What the format cannot hold is wrong with the input; a path that cannot be written is not.
    let bytes =
        files::encode(&contents, Format::of_path(output)?, args.importance).map_err(|error| {
            match error {
                Error::Input(sentence) => {
                    Error::input(format!("{}: {sentence}", args.input.display()))
                }
                other => other,
            }
        })?;
    files::overwrite(output, &bytes)?;
    Report::new(&args.input, output, &contents, args.importance).print(args.json)
}
