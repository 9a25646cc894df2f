//! The sizes of a model, found without reading its weights.

use crate::Result;
use crate::cli::args::random_only;
use crate::cli::values;
use crate::mask::Geometry;
use crate::model::load::{self, Opened, Source};
use crate::model::served::ServedModel;

/// A model's name and sizes.
#[derive(Debug)]
pub(super) struct NamedGeometry {
    pub(super) name: String,
    pub(super) geometry: Geometry,
}

/// Looks up `--model`: anything that `kscope run --model` takes, a `config.json`, or a published
/// shape such as `llama-3.1-8b`. A model without keys per head is refused.
pub(super) fn model_geometry(spec: &str) -> Result<NamedGeometry> {
    let model = load::served(spec)?;
    Ok(NamedGeometry { geometry: model.geometry()?, name: model.name })
}

/// Which model a file is made for.
#[derive(Debug, clap::Args)]
pub(super) struct ModelShapeArgs {
    /// The model to bind the file to; its sizes are needed for a rule without --counts-of
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Bind the file to what `kscope run --random-weights` makes of this shape instead
    #[arg(long, value_name = "GEOMETRY", conflicts_with = "model")]
    random_weights: Option<String>,
    /// With --random-weights: at most this many layers
    #[arg(long, value_name = "N", value_parser = values::number)]
    layers: Option<usize>,
}

impl ModelShapeArgs {
    /// The name and the sizes, where a model is named.
    pub(super) fn geometry(&self) -> Result<Option<NamedGeometry>> {
        if self.random_weights.is_none() {
            random_only("--layers", self.layers.is_some())?;
        }
        match (&self.model, &self.random_weights) {
            (Some(spec), _) => model_geometry(spec).map(Some),
            (None, Some(shape)) => {
                let opened = Opened::open(&Source::random(shape, self.layers, 0)?)?;
                let model = ServedModel::of_config(&opened.name, &opened.config, "its own files");
                Ok(Some(NamedGeometry { geometry: model.geometry()?, name: model.name }))
            }
            (None, None) => Ok(None),
        }
    }
}
