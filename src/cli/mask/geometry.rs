//! The sizes of a model, found without reading its weights.

use std::path::Path;

use crate::Result;
use crate::mask::Geometry;
use crate::model::arch;
use crate::model::load::{Opened, Source, hf_config};

/// A model's name and sizes.
#[derive(Debug)]
pub(super) struct NamedGeometry {
    pub(super) name: String,
    pub(super) geometry: Geometry,
}

/// Looks up `--model`: anything that `kscope run --model` takes, a `config.json`, or a published
/// geometry such as `llama-3.1-8b`.
pub(super) fn model_geometry(spec: &str) -> Result<NamedGeometry> {
    let path = Path::new(spec);
    let named = |name: &str, config: &crate::model::config::Config| NamedGeometry {
        name: name.to_owned(),
        geometry: config.geometry(),
    };
    let in_folder = path.join("config.json");
    let config_path = if in_folder.exists() { &in_folder } else { path };
    if config_path.extension().is_some_and(|ext| ext == "json") {
        let (config, _) = hf_config::open(config_path)?;
        let folder = std::fs::canonicalize(config_path).ok();
        let folder = folder.as_deref().and_then(|path| path.parent()?.file_name()?.to_str());
        return Ok(named(folder.unwrap_or(spec), &config));
    }
    // A local model takes precedence over the published geometry of the same name.
    match Source::resolve(spec).and_then(|source| Opened::open(&source)) {
        Ok(opened) => Ok(named(&opened.name, &opened.config)),
        Err(error) => match arch::known_config(spec) {
            Some(config) => Ok(named(spec, &config)),
            None => Err(error),
        },
    }
}
