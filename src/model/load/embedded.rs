//! The embedded model. `demo/README.md` describes how it was trained.

use super::safetensors::Checkpoint;
use super::{Bytes, Opened, hf_config};
use crate::Result;
use crate::model::tokenizer::Tokenizer;

const CONFIG: &str = include_str!("../../../demo/model/config.json");
const TOKENIZER: &[u8] = include_bytes!("../../../demo/model/tokenizer.json");
const TOKENIZER_CONFIG: &str = include_str!("../../../demo/model/tokenizer_config.json");
static WEIGHTS: &[u8] = include_bytes!("../../../demo/model/model.safetensors");

/// Opens the embedded model.
pub fn open() -> Result<Opened> {
    let (config, _) = hf_config::parse(CONFIG, "demo/config.json")?;
    let tokenizer = Tokenizer::from_json(TOKENIZER, TOKENIZER_CONFIG, "demo")?;
    let files = vec![("demo/model.safetensors".to_owned(), Bytes::Embedded(WEIGHTS))];
    Ok(Opened::from_checkpoint(
        "demo".to_owned(),
        config,
        tokenizer,
        Checkpoint::from_files(files, "demo".to_owned())?,
    ))
}
