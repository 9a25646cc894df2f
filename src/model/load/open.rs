//! A model that is opened, and then read.

use std::path::Path;
use std::sync::Arc;

use super::gguf::Gguf;
use super::safetensors::Checkpoint;
use super::{Source, embedded, gguf_parts, hf_config, random};
use crate::element::Dtype;
use crate::model::Model;
use crate::model::config::Config;
use crate::model::decoder::Decoder;
use crate::model::device::{Placement, TensorDecoder, TensorWeights};
use crate::model::tokenizer::Tokenizer;
use crate::model::weights::{Tensors, Weights};
use crate::{Error, Result, error};

/// A model whose configuration and tokenizer are read and whose weights are not.
pub struct Opened {
    /// What the model calls itself.
    pub name: String,
    /// Its shape.
    pub config: Config,
    tokenizer: Option<Tokenizer>,
    tensors: Box<dyn Tensors + Send>,
}

impl Opened {
    /// Opens a model without reading its weights.
    pub fn open(source: &Source) -> Result<Self> {
        match source {
            Source::Demo => embedded::open(),
            Source::Folder(folder) => open_folder(folder),
            Source::Gguf(path) => open_gguf(path),
            Source::Random { name, config, seed } => Ok(Self {
                name: name.clone(),
                config: (**config).clone(),
                tokenizer: None,
                tensors: Box::new(random::Random { seed: *seed }),
            }),
        }
    }

    /// Puts the parts of a checkpoint together.
    pub(super) fn from_checkpoint(
        name: String,
        mut config: Config,
        tokenizer: Tokenizer,
        checkpoint: Checkpoint,
    ) -> Result<Self> {
        let tokenizer = tokenizer.with_end_tokens(&config.eos);
        tokenizer
            .check_vocabulary(config.vocab)
            .map_err(|error| Error::input(format!("{name}: {error}")))?;
        config.eos = tokenizer.end_tokens().to_vec();
        Ok(Self { name, config, tokenizer: Some(tokenizer), tensors: Box::new(checkpoint) })
    }

    /// Bytes that the matrices take in memory with elements of `dtype`.
    pub fn weight_bytes(&self, dtype: Option<Dtype>) -> usize {
        self.config.parameters() * dtype.map_or(2, Dtype::bytes)
    }

    /// Reads the weights. `dtype` converts the matrices (without it, floats keep their stored type
    /// and quantised values become f16); `progress` gets the share done and may cancel.
    pub fn load(
        self,
        dtype: Option<Dtype>,
        progress: &mut dyn FnMut(f32) -> Result<()>,
    ) -> Result<Model> {
        self.load_on(dtype, None, progress)
    }

    /// Reads the weights and, where there is a placement, copies them to its device, on which the
    /// model then runs. Values that the file has quantised stay so on a device unless `dtype` asks
    /// for floats.
    pub fn load_on(
        mut self,
        dtype: Option<Dtype>,
        placement: Option<Placement>,
        progress: &mut dyn FnMut(f32) -> Result<()>,
    ) -> Result<Model> {
        let weights = Weights::read(&self.config, &mut *self.tensors, dtype, progress)?;
        let tensors = match placement {
            None => None,
            Some(placement) => {
                let keep_blocks = dtype.is_none();
                let read = TensorWeights::read(
                    &self.config,
                    &weights,
                    &mut *self.tensors,
                    keep_blocks,
                    &placement.device,
                )?;
                Some(TensorDecoder::new(read, placement))
            }
        };
        let decoder = match tensors {
            None => Decoder::new(self.config, weights)?,
            Some(tensors) => Decoder::on_device(self.config, weights, tensors)?,
        };
        Ok(Model { name: self.name, decoder, tokenizer: self.tokenizer.map(Arc::new) })
    }
}

fn open_folder(folder: &Path) -> Result<Opened> {
    let config_path = folder.join("config.json");
    if !config_path.exists() {
        return Err(Error::input(format!(
            "{} has no config.json, so it is no model folder",
            folder.display()
        )));
    }
    let mut config = hf_config::open(&config_path)?;
    let generation = folder.join("generation_config.json");
    match std::fs::read_to_string(&generation) {
        Ok(text) => {
            let json: serde_json::Value = serde_json::from_str(&text)
                .map_err(|cause| Error::input(format!("{}: {cause}", generation.display())))?;
            config.eos.extend(hf_config::token_ids(json.get("eos_token_id")));
        }
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {}
        Err(cause) => return Err(error::io("reading", &generation, &cause)),
    }
    let checkpoint = Checkpoint::open(folder)?;
    let name =
        folder.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_str()?.to_owned()));
    let name = name.unwrap_or_else(|| folder.display().to_string());
    if !folder.join("tokenizer.json").exists() {
        // Still good for work with token ids.
        return Ok(Opened { name, config, tokenizer: None, tensors: Box::new(checkpoint) });
    }
    Opened::from_checkpoint(name, config, Tokenizer::from_folder(folder)?, checkpoint)
}

fn open_gguf(path: &Path) -> Result<Opened> {
    let file = Gguf::open(path)?;
    let mut config = file.config()?;
    let tokenizer = Tokenizer::from_gguf(&file)?.with_end_tokens(&config.eos);
    tokenizer
        .check_vocabulary(config.vocab)
        .map_err(|error| Error::input(format!("{}: {error}", file.name())))?;
    config.eos = tokenizer.end_tokens().to_vec();
    let name = gguf_parts::model_name(path).unwrap_or_else(|| file.name().to_owned());
    Ok(Opened { name, config, tokenizer: Some(tokenizer), tensors: Box::new(file) })
}
