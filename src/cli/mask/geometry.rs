//! The sizes of a model, found without reading its weights.

use crate::Result;
use crate::mask::Geometry;
use crate::model::load;

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
