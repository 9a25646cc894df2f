//! Where a model for planning is. Weights are sized by the headers of their files where there are
//! any.

use std::path::Path;

use super::keys::of_keys;
use crate::model::arch;
use crate::model::load::folder::weight_files;
use crate::model::load::safetensors::Checkpoint;
use crate::model::load::{Opened, Source, hf_config};
use crate::model::served::ServedModel;
use crate::{Error, Result};

const HEADERS: &str = "the headers of its tensors";

/// Finds a model for planning: a `config.json` or a folder with one, anything that kscope runs, or
/// the name of a published shape. A model that is here takes precedence over a published shape of
/// the same name.
pub fn served(spec: &str) -> Result<ServedModel> {
    let path = Path::new(spec);
    let in_folder = path.join("config.json");
    let config_path = if in_folder.exists() { in_folder.as_path() } else { path };
    if config_path.extension().is_some_and(|ext| ext == "json") {
        return of_file(config_path, spec);
    }
    let opened = Source::resolve(spec).and_then(|source| Opened::open(&source));
    match opened {
        Ok(opened) => {
            let model = ServedModel::of_config(&opened.name, &opened.config, "its own files");
            Ok(match opened.stored_weight_bytes() {
                Some(bytes) => with_headers(model, bytes),
                None => model,
            })
        }
        Err(error) if path.exists() => Err(error),
        Err(error) => ServedModel::known(spec).ok_or_else(|| {
            let kind = format!("{error}; published shapes are {}", arch::served_names().join(", "));
            Error::input(kind)
        }),
    }
}

fn with_headers(model: ServedModel, bytes: u64) -> ServedModel {
    let weights = model.weights.clone().in_bytes(bytes as f64, HEADERS);
    ServedModel { weights, ..model }
}

/// A `config.json`, and the weights beside it where there are any.
fn of_file(config_path: &Path, spec: &str) -> Result<ServedModel> {
    let folder = std::fs::canonicalize(config_path).ok();
    let folder = folder.as_deref().and_then(Path::parent);
    let name = folder.and_then(|folder| folder.file_name()?.to_str()).unwrap_or(spec);
    let map = hf_config::keys(config_path)?;
    let model = of_keys(&map, &config_path.display().to_string(), name)?;
    let beside = config_path.parent().unwrap_or(Path::new("."));
    let has_weights =
        std::fs::read_dir(if beside.as_os_str().is_empty() { Path::new(".") } else { beside })
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .any(|name| name.ends_with(".safetensors"));
    if !has_weights {
        return Ok(model);
    }
    let checkpoint = Checkpoint::open(beside, weight_files(beside)?)?;
    Ok(with_headers(model, checkpoint.stored_bytes()))
}
