//! The weights of a decoder, as the forward pass reads them, and what they are read from.

use candle_core::Device;
use candle_core::quantized::QTensor;

use crate::element::Dtype;
use crate::model::config::Config;
use crate::model::matrix::Matrix;
use crate::{Error, Result};

/// A matrix as a file holds it.
pub struct Stored {
    /// The values without loss: floats in their stored type, quantised ones widened to f32.
    pub matrix: Matrix,
    /// The element type to keep it in where none is asked for: the stored one, f16 for quantised
    /// values.
    pub usual: Dtype,
}

impl From<Matrix> for Stored {
    fn from(matrix: Matrix) -> Self {
        Self { usual: matrix.dtype(), matrix }
    }
}

/// Weights by their Hugging Face names, whatever file holds them. Shapes are checked, errors name
/// the tensor.
pub trait Tensors {
    /// The file or folder, for errors.
    fn origin(&self) -> &str;
    /// A `[rows, cols]` matrix.
    fn matrix(&mut self, name: &str, rows: usize, cols: usize) -> Result<Stored>;
    /// A vector of `len`, in f32.
    fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>>;
    /// A `[rows, cols]` matrix in the blocks that the file stores, on `device`; `None` where it
    /// holds floats.
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

/// A linear layer; the bias, where there is one, has one entry per output.
#[derive(Debug)]
pub struct Linear {
    /// `[outputs, inputs]`.
    pub weight: Matrix,
    /// `[outputs]`.
    pub bias: Option<Vec<f32>>,
}

/// One decoder layer. Matrices that read the same input are stacked, so that each step reads them
/// in one go.
#[derive(Debug)]
pub struct Layer {
    /// RMS norm before attention, `[hidden]`.
    pub attention_norm: Vec<f32>,
    /// q, k and v rows under one another, `[(heads + 2 kv_heads) head_dim, hidden]`.
    pub qkv: Linear,
    /// RMS norm of each query head, `[head_dim]` (Qwen3).
    pub q_norm: Option<Vec<f32>>,
    /// RMS norm of each key head, `[head_dim]` (Qwen3).
    pub k_norm: Option<Vec<f32>>,
    /// `[hidden, heads head_dim]`.
    pub output: Linear,
    /// RMS norm before the MLP, `[hidden]`.
    pub mlp_norm: Vec<f32>,
    /// gate and up rows under one another, `[2 intermediate, hidden]`.
    pub gate_up: Linear,
    /// `[hidden, intermediate]`.
    pub down: Linear,
}

impl Layer {
    fn matrices_mut(&mut self) -> [&mut Matrix; 4] {
        [
            &mut self.qkv.weight,
            &mut self.output.weight,
            &mut self.gate_up.weight,
            &mut self.down.weight,
        ]
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
    /// stored type. `progress` gets the share done, 0 to 1, and may cancel by returning an error.
    pub fn read(
        config: &Config,
        tensors: &mut dyn Tensors,
        dtype: Option<Dtype>,
        progress: &mut dyn FnMut(f32) -> Result<()>,
    ) -> Result<Self> {
        let mut reader = Reader { tensors, dtype };
        let mut embedding =
            reader.matrix("model.embed_tokens.weight", config.vocab, config.hidden)?;
        let mut layers = Vec::with_capacity(config.layers);
        for layer in 0..config.layers {
            progress(layer as f32 / config.layers as f32)?;
            layers.push(reader.layer(config, layer)?);
        }
        let norm = reader.vector("model.norm.weight", config.hidden)?;
        let mut head = match config.tied {
            true => None,
            false => Some(reader.matrix("lm_head.weight", config.vocab, config.hidden)?),
        };
        let mut matrices: Vec<&mut Matrix> =
            layers.iter_mut().flat_map(Layer::matrices_mut).collect();
        matrices.push(&mut embedding);
        matrices.extend(&mut head);
        Matrix::place_together(&mut matrices)?;
        progress(1.0)?;
        Ok(Self { embedding, layers, norm, head })
    }

    /// Lets go of everything but the embedding, which gets memory of its own.
    pub(super) fn embedding_alone(self) -> Result<Self> {
        let mut embedding = self.embedding;
        Matrix::place_together(&mut [&mut embedding])?;
        Ok(Self { embedding, layers: Vec::new(), norm: self.norm, head: None })
    }

    /// The output projection, `[vocab, hidden]`.
    pub fn head(&self) -> &Matrix {
        self.head.as_ref().unwrap_or(&self.embedding)
    }

    /// Bytes of all matrices in memory.
    pub fn bytes(&self) -> usize {
        let layer = |l: &Layer| {
            [&l.qkv, &l.output, &l.gate_up, &l.down].iter().map(|m| m.weight.bytes()).sum::<usize>()
        };
        self.embedding.bytes()
            + self.head.as_ref().map_or(0, Matrix::bytes)
            + self.layers.iter().map(layer).sum::<usize>()
    }
}

struct Reader<'a> {
    tensors: &'a mut dyn Tensors,
    dtype: Option<Dtype>,
}

impl Reader<'_> {
    fn matrix(&mut self, name: &str, rows: usize, cols: usize) -> Result<Matrix> {
        let Stored { matrix: stored, usual } = self.tensors.matrix(name, rows, cols)?;
        let origin = self.tensors.origin();
        if let Some((row, col)) = stored.first_non_finite() {
            return Err(Error::input(format!(
                "{origin}: tensor `{name}` is not finite at row {row}, column {col}"
            )));
        }
        let dtype = self.dtype.unwrap_or(usual);
        if stored.dtype() == dtype {
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
        match vector.iter().position(|x| !x.is_finite()) {
            Some(at) => Err(Error::input(format!(
                "{}: tensor `{name}` is not finite at entry {at}",
                self.tensors.origin()
            ))),
            None => Ok(vector),
        }
    }

    /// Several linear layers over one input, stacked; `parts` are (module, outputs).
    fn linear(
        &mut self,
        prefix: &str,
        parts: &[(&str, usize)],
        inputs: usize,
        bias: bool,
    ) -> Result<Linear> {
        let mut weights = Vec::with_capacity(parts.len());
        let mut biases = Vec::new();
        for (module, outputs) in parts {
            weights.push(self.matrix(&format!("{prefix}{module}.weight"), *outputs, inputs)?);
            if bias {
                biases.extend(self.vector(&format!("{prefix}{module}.bias"), *outputs)?);
            }
        }
        // Files may quantise parts of a stack differently; the widest type holds them all.
        let widest =
            weights.iter().map(Matrix::dtype).reduce(|a, b| if a == b { a } else { Dtype::F32 });
        let weights =
            weights.into_iter().map(|w| w.into_dtype(widest.expect("at least one part"))).collect();
        Ok(Linear { weight: Matrix::stacked(weights)?, bias: bias.then_some(biases) })
    }

    fn layer(&mut self, config: &Config, layer: usize) -> Result<Layer> {
        let prefix = format!("model.layers.{layer}.");
        let (q, kv) = (config.q_width(), config.kv_width());
        let mut head_norm = |name: &str| {
            config
                .qk_norm
                .then(|| self.vector(&format!("{prefix}self_attn.{name}.weight"), config.head_dim))
                .transpose()
        };
        let (q_norm, k_norm) = (head_norm("q_norm")?, head_norm("k_norm")?);
        Ok(Layer {
            attention_norm: self
                .vector(&format!("{prefix}input_layernorm.weight"), config.hidden)?,
            qkv: self.linear(
                &prefix,
                &[("self_attn.q_proj", q), ("self_attn.k_proj", kv), ("self_attn.v_proj", kv)],
                config.hidden,
                config.qkv_bias,
            )?,
            q_norm,
            k_norm,
            output: self.linear(
                &prefix,
                &[("self_attn.o_proj", config.hidden)],
                q,
                config.output_bias,
            )?,
            mlp_norm: self
                .vector(&format!("{prefix}post_attention_layernorm.weight"), config.hidden)?,
            gate_up: self.linear(
                &prefix,
                &[("mlp.gate_proj", config.intermediate), ("mlp.up_proj", config.intermediate)],
                config.hidden,
                config.mlp_bias,
            )?,
            down: self.linear(
                &prefix,
                &[("mlp.down_proj", config.hidden)],
                config.intermediate,
                config.mlp_bias,
            )?,
        })
    }
}
