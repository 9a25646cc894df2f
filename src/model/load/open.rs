//! Opens a model, and then reads its weights.

use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::bake::{ZeroRows, Zeroed};
use super::gguf::{self, Gguf};
use super::safetensors::Checkpoint;
use super::{Source, blank, embedded, folder, random};
use crate::element::Dtype;
use crate::model::Model;
use crate::model::arch::BlockSpec;
use crate::model::config::Config;
use crate::model::decoder::Decoder;
use crate::model::device::{Footprint, Placement, TensorDecoder, TensorWeights};
use crate::model::tokenizer::{GgufTokenizer, Tokenizer};
use crate::model::weight_types::{WeightType, WeightTypes};
use crate::model::weights::{Tensors, Weights};
use crate::{Error, Result, numbers};

/// A model whose configuration and tokenizer are read, but not its weights.
pub struct Opened {
    /// The model's name.
    pub name: String,
    /// Its shape.
    pub config: Config,
    /// What a user should know of the files, one sentence each.
    pub warnings: Vec<String>,
    pub(super) tokenizer: Option<Tokenizer>,
    pub(super) tensors: Box<dyn Tensors + Send>,
}

impl Opened {
    /// Opens a model without reading its weights.
    pub fn open(source: &Source) -> Result<Self> {
        match source {
            Source::Demo => embedded::open(),
            Source::Folder(folder) => folder::open(folder),
            Source::Gguf(path) => open_gguf(path),
            Source::Random { name, config, seed, weights, warnings } => Ok(Self {
                name: name.clone(),
                config: (**config).clone(),
                warnings: warnings.clone(),
                tokenizer: None,
                tensors: Box::new(random::Random { seed: *seed, kind: *weights }),
            }),
        }
    }

    /// Puts the parts of a checkpoint together.
    pub(super) fn from_checkpoint(
        name: String,
        mut config: Config,
        tokenizer: Tokenizer,
        checkpoint: Checkpoint,
    ) -> Self {
        let tokenizer = tokenizer.with_end_tokens(&config.eos);
        config.eos = tokenizer.end_tokens().to_vec();
        Self {
            name,
            config,
            warnings: Vec::new(),
            tokenizer: Some(tokenizer),
            tensors: Box::new(checkpoint),
        }
    }

    /// The same model with these rows of its weights read as zero.
    pub fn with_zero_rows(self, rows: ZeroRows) -> Self {
        Self { tensors: Box::new(Zeroed { tensors: self.tensors, rows }), ..self }
    }

    /// Sha256, in hexadecimal, of a sample of the weights: q, k and v of the first, the middle and the
    /// last layer as f32. A model that was trained further has another.
    ///
    /// # Errors
    /// Those of reading the tensors.
    pub fn weights_sample(&mut self) -> Result<String> {
        let (config, mut hash) = (&self.config, Sha256::new());
        for layer in [0, config.layers / 2, config.layers - 1] {
            let prefix = config.architecture.tensors.block_prefix(layer);
            let qkv = BlockSpec::of_layer(config, layer).qkv;
            for part in &qkv.parts {
                let name = format!("{prefix}{}.weight", part.name);
                let matrix = self.tensors.matrix(&name, part.outputs, qkv.inputs)?;
                matrix.widened().iter().for_each(|value| hash.update(value.to_le_bytes()));
            }
        }
        Ok(numbers::hex(&hash.finalize()))
    }

    /// The types of the matrices in memory, with the bytes of each; as stored, or with elements of
    /// `dtype`. `None` where only reading them would tell.
    pub fn weight_types(&self, dtype: Option<Dtype>) -> Option<WeightTypes> {
        let Some(dtype) = dtype else { return self.tensors.kept_types(&self.config) };
        let mut types = WeightTypes::default();
        let bytes = self.config.parameters() * dtype.bytes();
        types.add(WeightType::Float(dtype), bytes as u64);
        Some(types)
    }

    /// Bytes that the matrices take in memory.
    pub fn weight_bytes(&self, dtype: Option<Dtype>) -> u64 {
        let stored = || self.tensors.stored_bytes();
        let by_types = self.weight_types(dtype).map(|types| types.bytes());
        by_types.or_else(stored).unwrap_or(2 * self.config.parameters() as u64)
    }

    /// Bytes of the tensors as the files store them; `None` for random weights.
    pub fn stored_weight_bytes(&self) -> Option<u64> {
        self.tensors.stored_bytes()
    }

    /// Reads the weights. `dtype` converts the matrices; without it they keep their stored type,
    /// quantised ones too. `progress` receives the share done and may cancel.
    pub fn load(
        self,
        dtype: Option<Dtype>,
        progress: &mut dyn FnMut(f32) -> Result<()>,
    ) -> Result<Model> {
        self.load_on(dtype, None, progress)
    }

    /// Reads the weights and, where there is a placement, copies them to its device, on which the
    /// model then runs. Values that are quantised in the file stay so on a device unless `dtype`
    /// asks for floats.
    pub fn load_on(
        mut self,
        dtype: Option<Dtype>,
        placement: Option<Placement>,
        progress: &mut dyn FnMut(f32) -> Result<()>,
    ) -> Result<Model> {
        if placement.is_some() {
            let additions = &self.config.additions;
            let unknown = [
                (additions.score_cap.is_some(), "caps attention scores, which the attention of"),
                (additions.experts.is_some(), "has experts, which the forward pass on"),
            ];
            if let Some((_, what)) = unknown.into_iter().find(|(has, _)| *has) {
                return Err(Error::input(format!(
                    "{}: {} {what} a GPU does not know yet: run it on the CPU",
                    self.name, self.config.architecture
                )));
            }
            // The caches of a GPU have no windows yet.
            self.config.end_at_windows();
        }
        let weights = Weights::read(&self.config, &mut *self.tensors, dtype, progress)?;
        let tensors = match placement {
            None => None,
            Some(placement) => {
                let keep_blocks = dtype.is_none();
                let what = format!("the weights of {}", self.name);
                let footprint = Footprint::new(
                    &self.config,
                    &weights,
                    &*self.tensors,
                    keep_blocks,
                    &placement.device,
                )?;
                placement.check_memory(&what, footprint.types.bytes())?;
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
        self.tensors.intact()?;
        let decoder = match tensors {
            None => Decoder::new(self.config, weights)?,
            Some(tensors) => Decoder::on_device(self.config, tensors)?,
        };
        Ok(Model { name: self.name, decoder, tokenizer: self.tokenizer.map(Arc::new) })
    }
}

fn open_gguf(path: &Path) -> Result<Opened> {
    let file = Gguf::open(path)?;
    let mut config = file.config()?;
    let GgufTokenizer { tokenizer, bos, warnings: of_tokens } = GgufTokenizer::read(&file)?;
    let tokenizer = tokenizer.with_end_tokens(&[]);
    config.bos = bos;
    config.eos = tokenizer.end_tokens().to_vec();
    let name = gguf::model_name(path).unwrap_or_else(|| file.name().to_owned());
    let mut warnings = file.check_keys(&config)?;
    warnings.extend(of_tokens);
    warnings.extend(file.unread(&config)?);
    warnings.extend(blank::warning(file.name(), file.tensors()));
    Ok(Opened { name, config, warnings, tokenizer: Some(tokenizer), tensors: Box::new(file) })
}
