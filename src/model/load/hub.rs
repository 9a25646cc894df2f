//! Models by hub id, through the hub's own client, which uses `HF_HOME` and the usual cache folder.

use std::path::PathBuf;

use crate::{Error, Result};

/// The files that a model needs, as the hub's patterns.
const FILES: &[&str] = &["*.json", "*.safetensors", "*.jinja"];

/// Fetches a model's configuration, tokenizer and weights and gives the folder. Files that are
/// cached already are not fetched again.
pub fn fetch(id: &str) -> Result<PathBuf> {
    let failed =
        |cause: hf_hub::HFError| Error::run(format!("fetching {id} from the hub: {cause}"));
    let (owner, name) = id
        .split_once('/')
        .ok_or_else(|| Error::input(format!("a hub id is `org/name`, not `{id}`")))?;
    let client = hf_hub::HFClientSync::new().map_err(failed)?;
    let patterns = FILES.iter().map(|&pattern| pattern.to_owned()).collect::<Vec<_>>();
    client.model(owner, name).snapshot_download().allow_patterns(patterns).send().map_err(failed)
}
