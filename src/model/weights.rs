//! The weights of a decoder for the forward pass, and the files that they are read from.

use candle_core::Device;
use candle_core::quantized::QTensor;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::element::Dtype;
use crate::model::arch::{BlockSpec, BranchSpec, FeedSpec, LinearSpec, MlpSpec, NormSpec};
use crate::model::branch::BranchNorms;
use crate::model::config::Config;
use crate::model::host::feed::{Experts, FeedForward, Mlp};
use crate::model::host::linear::Linear;
use crate::model::host::matrix::Matrix;
use crate::model::host::ops;
use crate::model::host::quant::QuantKind;
use crate::model::rope::rotate;
use crate::model::weight_types::{WeightType, WeightTypes};
use crate::{Error, Result};

/// Weights by their Hugging Face names, for every kind of file. Shapes are checked, errors name the
/// tensor.
pub trait Tensors {
    /// The file or folder, for errors.
    fn origin(&self) -> &str;
    /// Bytes of all tensors as they are stored; `None` where there is no file.
    fn stored_bytes(&self) -> Option<u64> {
        None
    }
    /// Refuses files that were damaged while they were being read.
    fn intact(&self) -> Result<()> {
        Ok(())
    }
    /// What the file calls a tensor, for errors.
    fn stored_name(&self, name: &str) -> String {
        name.to_owned()
    }
    /// The types of all matrices, with the bytes of each in memory, without reading them; `None`
    /// where that is not known.
    fn kept_types(&self, _config: &Config) -> Option<WeightTypes> {
        None
    }
    /// A `[rows, cols]` matrix in its stored type.
    fn matrix(&mut self, name: &str, rows: usize, cols: usize) -> Result<Matrix>;
    /// Whether norms are stored as in a checkpoint, of which some store them less 1.
    fn is_checkpoint(&self) -> bool {
        false
    }
    /// A vector of `len`, in f32.
    fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>>;
    /// The kind of the blocks that [`Self::quantised`] gives of a `[rows, cols]` matrix, without reading
    /// it; `None` where it gives none.
    fn device_kind(&self, _name: &str, _rows: usize, _cols: usize) -> Result<Option<QuantKind>> {
        Ok(None)
    }
    /// A `[rows, cols]` matrix in the blocks that the file stores, on `device`; `None` where it holds
    /// floats, or blocks that a device cannot multiply.
    fn quantised(
        &mut self,
        _name: &str,
        _rows: usize,
        _cols: usize,
        _device: &Device,
    ) -> Result<Option<QTensor>> {
        Ok(None)
    }
}

/// One decoder layer. Matrices that read the same input are stacked, so that each step reads them
/// in one pass.
#[derive(Debug)]
pub struct Layer {
    /// RMS norms around attention.
    pub attention: BranchNorms,
    /// q, k and v rows under one another, `[(heads + 2 kv_heads) head_dim, hidden]`.
    pub qkv: Linear,
    /// RMS norm of each query head, `[head_dim]` (Qwen3), or of all together, `[heads head_dim]`
    /// (OLMo 2).
    pub q_norm: Option<Vec<f32>>,
    /// The same of key heads.
    pub k_norm: Option<Vec<f32>>,
    /// `[hidden, heads head_dim]`.
    pub output: Linear,
    /// RMS norms around the MLP or the experts.
    pub mlp: BranchNorms,
    /// The MLP or the experts.
    pub feed: FeedForward,
}

impl Layer {
    /// Normalises the q and k heads of one token, where the model has such norms, rotates them, and
    /// multiplies q by the model's factor of scores.
    pub fn position(&self, config: &Config, [q, k]: [&mut [f32]; 2], [cos, sin]: [&[f32]; 2]) {
        for (x, norm) in [(&mut *q, &self.q_norm), (k, &self.k_norm)] {
            if let Some(norm) = norm {
                ops::rms_norm_in_place(x, norm, config.rms_eps);
            }
            rotate(x, cos, sin);
        }
        let factor = config.query_factor();
        if factor != 1.0 {
            ops::scale(q, factor);
        }
    }

    /// All linear layers, in a fixed order.
    fn linears(&self) -> impl Iterator<Item = &Linear> {
        [&self.qkv, &self.output].into_iter().chain(self.feed.linears())
    }

    fn matrices_mut(&mut self) -> impl Iterator<Item = &mut Matrix> {
        [&mut self.qkv.weight, &mut self.output.weight].into_iter().chain(self.feed.matrices_mut())
    }
}

/// All weights of a decoder.
#[derive(Debug)]
pub struct Weights {
    /// `[vocab, hidden]`.
    pub embedding: Matrix,
    /// In order of application.
    pub layers: Vec<Layer>,
    /// Final RMS norm, `[hidden]`.
    pub norm: Vec<f32>,
    /// Output projection `[vocab, hidden]`; the embedding where it is tied.
    pub head: Option<Matrix>,
}

impl Weights {
    /// Reads every tensor of a model. `dtype` converts the matrices; without it they keep their
    /// stored type. `progress` receives the share done, 0 to 1, and may cancel by returning an
    /// error.
    pub fn read(
        config: &Config,
        tensors: &mut dyn Tensors,
        dtype: Option<Dtype>,
        progress: &mut dyn FnMut(f32) -> Result<()>,
    ) -> Result<Self> {
        let names = &config.architecture.tensors;
        let lacks_one = config.architecture.gemma.is_some() && tensors.is_checkpoint();
        let mut reader = Reader { tensors, dtype, lacks_one };
        let embedding = format!("{}.weight", names.embedding.hf);
        let mut embedding = reader.matrix(&embedding, config.vocab, config.hidden)?;
        let mut layers = Vec::with_capacity(config.layers);
        for (layer, block) in config.blocks().enumerate() {
            progress(layer as f32 / config.layers as f32)?;
            layers.push(reader.layer(&block, &names.block_prefix(layer))?);
        }
        let norm = reader.norm("", &NormSpec { name: names.norm.hf, width: config.hidden })?;
        let mut head = match config.tied {
            true => None,
            false => {
                let head = format!("{}.weight", names.head.hf);
                Some(reader.matrix(&head, config.vocab, config.hidden)?)
            }
        };
        let mut matrices: Vec<&mut Matrix> =
            layers.iter_mut().flat_map(Layer::matrices_mut).collect();
        matrices.push(&mut embedding);
        matrices.extend(&mut head);
        Matrix::place_together(&mut matrices)?;
        progress(1.0)?;
        Ok(Self { embedding, layers, norm, head })
    }

    /// The residual stream before the first layer, `[tokens, hidden]`.
    pub fn embed(&self, config: &Config, tokens: &[u32], x: &mut [f32]) {
        self.embedding.rows_of(tokens, x);
        let factor = config.additions.embedding_factor;
        if factor != 1.0 {
            ops::scale(x, factor);
        }
    }

    /// The types of all matrices, with the bytes of each.
    pub fn types(&self) -> WeightTypes {
        let mut types = WeightTypes::default();
        self.matrices().for_each(|matrix| matrix.count_types(&mut types));
        types
    }

    fn matrices(&self) -> impl Iterator<Item = &Matrix> {
        let layers = self.layers.iter().flat_map(Layer::linears).map(|linear| &linear.weight);
        std::iter::once(&self.embedding).chain(&self.head).chain(layers)
    }

    /// The output projection, `[vocab, hidden]`.
    pub fn head(&self) -> &Matrix {
        self.head.as_ref().unwrap_or(&self.embedding)
    }

    /// Sha256 of every matrix and vector, in a fixed order. Equal parts mean equal weights.
    pub fn sha256_parts(&self) -> Vec<[u8; 32]> {
        let mut parts = self.embedding.raw();
        parts.push(bytemuck::cast_slice(&self.norm));
        parts.extend(self.head.iter().flat_map(Matrix::raw));
        for layer in &self.layers {
            for linear in layer.linears() {
                parts.extend(linear.weight.raw());
                parts.extend(linear.bias.as_deref().map(bytemuck::cast_slice));
            }
            let heads = layer.q_norm.iter().chain(&layer.k_norm).map(Vec::as_slice);
            let norms = layer.attention.norms().chain(layer.mlp.norms()).chain(heads);
            parts.extend(norms.map(bytemuck::cast_slice::<f32, u8>));
        }
        parts.par_iter().map(|part| Sha256::digest(part).into()).collect()
    }

    /// Bytes of the matrices that a decode step of one sequence reads: all but an embedding that is no
    /// output projection too, and of experts those that a token goes through.
    pub fn step_bytes(&self) -> usize {
        let attention = |layer: &Layer| layer.qkv.weight.bytes() + layer.output.weight.bytes();
        let layers = self.layers.iter().map(|layer| attention(layer) + layer.feed.step_bytes());
        layers.sum::<usize>() + self.head().bytes()
    }
}

struct Reader<'a> {
    tensors: &'a mut dyn Tensors,
    dtype: Option<Dtype>,
    /// Whether the weights of norms are stored less 1.
    lacks_one: bool,
}

impl Reader<'_> {
    fn matrix(&mut self, name: &str, rows: usize, cols: usize) -> Result<Matrix> {
        let stored = self.tensors.matrix(name, rows, cols)?;
        self.tensors.intact()?;
        let (origin, name) = (self.tensors.origin(), self.tensors.stored_name(name));
        if let Some((row, col)) = stored.first_non_finite() {
            return Err(Error::input(format!(
                "{origin}: tensor `{name}` is not finite at row {row}, column {col}"
            )));
        }
        let Some(dtype) = self.dtype else { return Ok(stored) };
        if stored.element_type() == Some(WeightType::Float(dtype)) {
            return Ok(stored);
        }
        let converted = stored.into_dtype(dtype);
        match converted.first_non_finite() {
            Some((row, col)) => Err(Error::input(format!(
                "{origin}: tensor `{name}` leaves the range of {dtype} at row {row}, column {col}; use --dtype f32 or bf16"
            ))),
            None => Ok(converted),
        }
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>> {
        let vector = self.tensors.vector(name, len)?;
        self.tensors.intact()?;
        match vector.iter().position(|x| !x.is_finite()) {
            Some(at) => Err(Error::input(format!(
                "{}: tensor `{}` is not finite at entry {at}",
                self.tensors.origin(),
                self.tensors.stored_name(name)
            ))),
            None => Ok(vector),
        }
    }

    /// Several linear layers over one input, stacked.
    fn linear(&mut self, prefix: &str, spec: &LinearSpec) -> Result<Linear> {
        let mut weights = Vec::with_capacity(spec.parts.len());
        let mut biases = Vec::new();
        for part in &spec.parts {
            let module = format!("{prefix}{}", part.name);
            weights.push(self.matrix(&format!("{module}.weight"), part.outputs, spec.inputs)?);
            if spec.bias {
                biases.extend(self.vector(&format!("{module}.bias"), part.outputs)?);
            }
        }
        let mut weight = Matrix::stacked(weights)?;
        if let Some(order) = &spec.order {
            weight = weight.with_rows(order)?;
            biases = order.iter().filter_map(|&row| biases.get(row).copied()).collect();
        }
        Ok(Linear { weight, bias: spec.bias.then_some(biases) })
    }

    fn norm(&mut self, prefix: &str, spec: &NormSpec) -> Result<Vec<f32>> {
        let mut norm = self.vector(&format!("{prefix}{}.weight", spec.name), spec.width)?;
        if self.lacks_one {
            norm.iter_mut().for_each(|weight| *weight += 1.0);
        }
        Ok(norm)
    }

    fn branch(&mut self, prefix: &str, spec: &BranchSpec) -> Result<BranchNorms> {
        let mut norm =
            |spec: &Option<NormSpec>| spec.as_ref().map(|spec| self.norm(prefix, spec)).transpose();
        Ok(BranchNorms { before: norm(&spec.before)?, after: norm(&spec.after)? })
    }

    fn mlp(&mut self, prefix: &str, spec: &MlpSpec) -> Result<Mlp> {
        Ok(Mlp {
            gate_up: self.linear(prefix, &spec.gate_up)?,
            down: self.linear(prefix, &spec.down)?,
        })
    }

    fn feed(&mut self, prefix: &str, spec: &FeedSpec) -> Result<FeedForward> {
        let spec = match spec {
            FeedSpec::Whole(spec) => return Ok(FeedForward::Whole(self.mlp(prefix, spec)?)),
            FeedSpec::Experts(spec) => spec,
        };
        let each = (0..spec.count)
            .map(|expert| self.mlp(&format!("{prefix}{}", spec.prefix(expert)), &spec.each));
        let each = each.collect::<Result<Vec<Mlp>>>()?;
        let router = self.linear(prefix, &spec.router)?;
        let (chosen, normalised) = (spec.chosen, spec.normalised);
        Ok(FeedForward::Experts(Experts { router, each, chosen, normalised }))
    }

    fn layer(&mut self, block: &BlockSpec, prefix: &str) -> Result<Layer> {
        let mut head_norm =
            |spec: &Option<NormSpec>| spec.as_ref().map(|spec| self.norm(prefix, spec)).transpose();
        let (q_norm, k_norm) = (head_norm(&block.q_norm)?, head_norm(&block.k_norm)?);
        Ok(Layer {
            attention: self.branch(prefix, &block.attention)?,
            qkv: self.linear(prefix, &block.qkv)?,
            q_norm,
            k_norm,
            output: self.linear(prefix, &block.output)?,
            mlp: self.branch(prefix, &block.mlp)?,
            feed: self.feed(prefix, &block.feed)?,
        })
    }
}
