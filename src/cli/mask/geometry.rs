//! The sizes of a model, from the configuration beside its weights.

use std::path::Path;

use crate::mask::Geometry;
use crate::{Error, Result, error};

/// A model's name and sizes.
#[derive(Debug)]
pub(super) struct NamedGeometry {
    pub(super) name: String,
    pub(super) geometry: Geometry,
}

/// Looks up `--model`: a Hugging Face folder or its `config.json`.
pub(super) fn model_geometry(spec: &str) -> Result<NamedGeometry> {
    let given = Path::new(spec);
    let path = if given.is_dir() { given.join("config.json") } else { given.to_path_buf() };
    let text = std::fs::read_to_string(&path).map_err(|error| error::io("reading", &path, &error))?;
    let wrong = |sentence: String| Error::input(format!("{}: {sentence}", path.display()));
    let config: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| wrong(format!("expected a model's configuration as JSON, found {error}")))?;

    let optional = |key: &str| config.get(key).and_then(serde_json::Value::as_u64).map(|number| number as usize);
    let size = |key: &str| {
        let number = optional(key).filter(|&number| number > 0);
        number.ok_or_else(|| wrong(format!("expected a number of at least 1 at {key:?}, found {}", config[key])))
    };
    let architecture = config["model_type"].as_str().ok_or_else(|| wrong("expected a text at \"model_type\"".into()))?;
    let (layers, heads, hidden) = (size("num_hidden_layers")?, size("num_attention_heads")?, size("hidden_size")?);
    let theta = config.get("rope_theta").or_else(|| config.get("rope_parameters")?.get("rope_theta"));
    let geometry = Geometry {
        architecture: architecture.to_string(),
        layers,
        heads,
        kv_heads: optional("num_key_value_heads").unwrap_or(heads),
        head_dim: optional("head_dim").unwrap_or(hidden / heads),
        hidden,
        rope_theta: theta.and_then(serde_json::Value::as_f64).unwrap_or(10_000.0),
    };
    let folder =
        std::fs::canonicalize(&path).ok().and_then(|path| Some(path.parent()?.file_name()?.to_string_lossy().into_owned()));
    let name = config["_name_or_path"].as_str().filter(|name| !name.is_empty()).map(str::to_string).or(folder);
    Ok(NamedGeometry { name: name.unwrap_or_else(|| architecture.to_string()), geometry })
}
