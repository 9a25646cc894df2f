//! Weights on a device: matrices in their own float type, or quantised as in the file.

use candle_core::quantized::QMatMul;
use candle_core::{DType, Device, Module, Tensor};

use super::address::address;
use super::branch::TensorBranch;
use super::footprint::{Footprint, block_kinds, dense_dtype, in_blocks};
use super::{DeviceAttend, failed, product};
use crate::attention::cuda::MatrixProduct;
use crate::attention::cuda::params::Numbers;
use crate::element::Dtype;
use crate::model::arch::{BlockSpec, FeedSpec, LinearSpec, PartSpec};
use crate::model::config::Config;
use crate::model::host::feed::FeedForward;
use crate::model::host::linear::Linear;
use crate::model::host::matrix::{Elements, Matrix};
use crate::model::weights::{Layer, Tensors, Weights};
use crate::{Error, Result};

/// A matrix that multiplies activations.
enum Product {
    /// `[inputs, outputs]`.
    Dense(Tensor),
    /// Blocks as the file stores them.
    Quantised(QMatMul),
}

impl Product {
    /// The matrix in f32, `[inputs, outputs]`, as the transpose of the stored one.
    fn wide(&self) -> candle_core::Result<Tensor> {
        match self {
            // Widened in the stored order.
            Self::Dense(weight) => weight.t()?.to_dtype(DType::F32)?.t(),
            Self::Quantised(QMatMul::QTensor(blocks)) => blocks.dequantize(&blocks.device())?.t(),
            Self::Quantised(QMatMul::Tensor(weight) | QMatMul::TensorF16(weight)) => {
                weight.to_dtype(DType::F32)?.t()
            }
        }
    }
}

/// A linear layer. Its parts' outputs are side by side; there are several where a file quantises
/// each part separately.
pub(crate) struct TensorLinear {
    parts: Vec<Product>,
    bias: Option<Tensor>,
}

/// Where the results of a linear layer's parts are, with the number of their columns. Tensors that
/// hold some of them are kept until this is dropped.
pub(super) struct ProductRows {
    parts: Vec<(Numbers, usize)>,
    tensors: Vec<Tensor>,
}

impl ProductRows {
    /// Columns of the results side by side.
    pub(super) fn columns(&self, first: usize, count: usize) -> Result<Numbers> {
        let mut before = 0;
        for &(numbers, columns) in &self.parts {
            if first >= before && first + count <= before + columns {
                return Ok(numbers.from_column(first - before));
            }
            before += columns;
        }
        Err(Error::run(format!("columns {first}..{} lie in no one part", first + count)))
    }

    /// Copies the results to `y`, unless they were written there.
    pub(super) fn place_in(&self, y: &Tensor) -> Result<()> {
        match &self.tensors[..] {
            [] => Ok(()),
            [results] => y.slice_set(results, 0, 0).map_err(failed),
            _ => Err(Error::run("a linear layer of several parts gives no one result")),
        }
    }
}

impl TensorLinear {
    /// The type of activations that [`Self::multiply`] takes.
    pub(super) fn input_dtype(&self) -> Dtype {
        match self.parts.first() {
            Some(Product::Dense(weight)) => of_tensor(weight),
            _ => Dtype::F32,
        }
    }

    /// The address of the bias, or 0.
    pub(super) fn bias_address(&self) -> Result<u64> {
        self.bias.as_ref().map_or(Ok(0), address)
    }

    /// `x W^T`, without the bias, of a tensor whose memory holds rows of [`Self::input_dtype`].
    /// Dense weights write it to `y`, whose memory is as large in f32, in the type `of_y` or their
    /// own.
    pub(super) fn multiply(
        &self,
        device: &dyn DeviceAttend,
        (x, rows): (&Tensor, usize),
        y: &Tensor,
        of_y: Option<Dtype>,
    ) -> Result<ProductRows> {
        let inputs = x.elem_count() / rows;
        if let [Product::Dense(weight)] = &self.parts[..] {
            let (dtype, outputs) = (of_tensor(weight), weight.dim(1).map_err(failed)?);
            let weight = address(&weight.t().map_err(failed)?)?;
            let y = Numbers::new(address(y)?, outputs, of_y.unwrap_or(dtype));
            device.multiply(&MatrixProduct {
                weight: Numbers::new(weight, inputs, dtype),
                x: Numbers::new(address(x)?, inputs, dtype),
                y,
                rows,
                inputs,
                outputs,
            })?;
            return Ok(ProductRows { parts: vec![(y, outputs)], tensors: Vec::new() });
        }
        let mut outputs = ProductRows { parts: Vec::new(), tensors: Vec::new() };
        for part in &self.parts {
            let Product::Quantised(weight) = part else {
                return Err(Error::run("a dense part of a linear layer that is quantised"));
            };
            let y = weight.forward(x).map_err(failed)?;
            let columns = y.elem_count() / rows;
            outputs.parts.push((Numbers::new(address(&y)?, columns, Dtype::F32), columns));
            outputs.tensors.push(y);
        }
        Ok(outputs)
    }

    /// Inputs, where a part is quantised.
    fn quantised_inputs(&self) -> Option<usize> {
        self.parts.iter().find_map(|part| match part {
            Product::Quantised(QMatMul::QTensor(weight)) => weight.shape().dims().last().copied(),
            _ => None,
        })
    }

    /// [`Self::apply`] without rounding activations: each part is widened to f32 for its product
    /// and then freed.
    pub(crate) fn apply_wide(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let outputs = self
            .parts
            .iter()
            .map(|part| product(x, &part.wide()?))
            .collect::<candle_core::Result<Vec<_>>>()?;
        let y = Tensor::cat(&outputs, 1)?;
        self.bias.as_ref().map_or(Ok(y.clone()), |bias| y.broadcast_add(bias))
    }

    /// `dy W`, which carries gradients back: f32 `[n, outputs]` to `[n, inputs]`.
    pub(crate) fn back(&self, dy: &Tensor) -> candle_core::Result<Tensor> {
        let (mut sum, mut first): (Option<Tensor>, usize) = (None, 0);
        for part in &self.parts {
            let weight = part.wide()?.t()?;
            let outputs = weight.dim(0)?;
            let dx = product(&dy.narrow(1, first, outputs)?.contiguous()?, &weight)?;
            first += outputs;
            sum = Some(sum.map_or(Ok(dx.clone()), |sum| sum + dx)?);
        }
        sum.ok_or_else(|| candle_core::Error::Msg("a linear layer without weights".to_owned()))
    }

    /// `x W^T + b` for f32 `[n, inputs]`; f32 `[n, outputs]`.
    pub(super) fn apply(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let outputs = self.parts.iter().map(|part| match part {
            Product::Dense(weight) => {
                product(&x.to_dtype(weight.dtype())?, weight)?.to_dtype(DType::F32)
            }
            Product::Quantised(weight) => weight.forward(x),
        });
        let mut outputs = outputs.collect::<candle_core::Result<Vec<Tensor>>>()?;
        let y = if outputs.len() == 1 { outputs.remove(0) } else { Tensor::cat(&outputs, 1)? };
        self.bias.as_ref().map_or(Ok(y.clone()), |bias| y.broadcast_add(bias))
    }
}

/// The element type of a dense weight.
fn of_tensor(weight: &Tensor) -> Dtype {
    match weight.dtype() {
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::Bf16,
        _ => Dtype::F32,
    }
}

/// Most rows of a recorded step over quantised weights. Up to this number candle uses its product
/// for few rows, whose working memory is allocated at the start.
const SETTLED_ROWS: usize = 8;

/// One decoder layer.
pub(crate) struct TensorLayer {
    pub attention: TensorBranch,
    pub qkv: TensorLinear,
    pub q_norm: Option<Tensor>,
    pub k_norm: Option<Tensor>,
    pub output: TensorLinear,
    pub mlp: TensorBranch,
    pub gate_up: TensorLinear,
    pub down: TensorLinear,
}

/// All weights of a decoder on a device.
pub struct TensorWeights {
    /// `[vocab, hidden]`.
    pub(super) embedding: Tensor,
    pub(crate) layers: Vec<TensorLayer>,
    pub(crate) norm: Tensor,
    pub(super) head: TensorLinear,
    narrow: Option<Dtype>,
    footprint: Footprint,
}

impl TensorWeights {
    /// The residual stream before the first layer, f32 `[tokens, hidden]`.
    pub(super) fn embedded(&self, config: &Config, tokens: &[u32]) -> candle_core::Result<Tensor> {
        let ids = Tensor::from_slice(tokens, tokens.len(), self.embedding.device())?;
        let embedded = self.embedding.index_select(&ids, 0)?.to_dtype(DType::F32)?;
        match config.additions.embedding_factor {
            1.0 => Ok(embedded),
            factor => embedded * f64::from(factor),
        }
    }

    /// The embedding's rows on the device.
    pub(super) fn table(&self) -> Result<Numbers> {
        let columns = self.embedding.dim(1).map_err(failed)?;
        Ok(Numbers::new(address(&self.embedding)?, columns, of_tensor(&self.embedding)))
    }

    /// Copies the host's weights to `device`; with `keep_blocks`, those that are quantised in the
    /// file come from the file. On candle's CPU device, whose products in other types are slow or
    /// missing, every dense matrix becomes f32.
    pub fn read(
        config: &Config,
        host: &Weights,
        tensors: &mut dyn Tensors,
        keep_blocks: bool,
        device: &Device,
    ) -> Result<Self> {
        let footprint = Footprint::new(config, host, &*tensors, keep_blocks, device)?;
        let mut reader = Reader { tensors, keep_blocks, device };
        let names = &config.architecture.tensors;
        let mut layers = Vec::with_capacity(host.layers.len());
        for (at, (layer, block)) in host.layers.iter().zip(config.blocks()).enumerate() {
            layers.push(reader.layer(&names.block_prefix(at), layer, &block)?);
        }
        let embedding = dense(&host.embedding, device)?;
        let whole = |name| [PartSpec { name, outputs: config.vocab }];
        let head = match &host.head {
            Some(head) => reader.linear("", &whole(names.head.hf), head, None)?,
            None => {
                let blocks = reader.blocks("", &whole(names.embedding.hf), config.hidden)?;
                // A tied head that is dense shares the embedding's memory.
                let dense = || embedding.t().map(|head| vec![Product::Dense(head)]).map_err(failed);
                TensorLinear { parts: blocks.map_or_else(dense, Ok)?, bias: None }
            }
        };
        let (norm, narrow) = (vector(&host.norm, device)?, host.types().narrow());
        let weights = Self { embedding, layers, norm, head, narrow, footprint };
        weights.settle(device).map_err(failed)?;
        Ok(weights)
    }

    fn linears(&self) -> impl Iterator<Item = &TensorLinear> {
        self.layers
            .iter()
            .flat_map(|layer| [&layer.qkv, &layer.output, &layer.gate_up, &layer.down])
            .chain([&self.head])
    }

    /// Where the model's weights have fewer bits than f32, the 16-bit type that is nearest to them.
    /// candle's CPU device widens them, which changes nothing here.
    pub(super) fn narrow(&self) -> Option<Dtype> {
        self.narrow
    }

    /// What the matrices are on the device.
    pub fn footprint(&self) -> &Footprint {
        &self.footprint
    }

    /// Whether a decode step of so many rows uses the same memory each time.
    pub(super) fn can_record(&self, batch: usize) -> bool {
        batch <= SETTLED_ROWS || self.linears().all(|linear| linear.quantised_inputs().is_none())
    }

    /// On a GPU candle's products of quantised weights share a working buffer. When it must grow,
    /// the old one is freed, which a recorded step would still use. So this grows it to the size of
    /// the largest recorded step before any step is recorded.
    fn settle(&self, device: &Device) -> candle_core::Result<()> {
        let widest = self
            .linears()
            .filter_map(|linear| Some((linear.quantised_inputs()?, linear)))
            .max_by_key(|(width, _)| *width);
        let Some((width, linear)) = widest.filter(|_| device.is_cuda()) else { return Ok(()) };
        linear.apply(&Tensor::zeros((SETTLED_ROWS, width), DType::F32, device)?).map(|_| ())
    }
}

struct Reader<'a> {
    tensors: &'a mut dyn Tensors,
    keep_blocks: bool,
    device: &'a Device,
}

impl Reader<'_> {
    /// The parts of a linear layer as blocks of the file; `None` unless all of them are quantised.
    fn blocks(
        &mut self,
        prefix: &str,
        specs: &[PartSpec],
        inputs: usize,
    ) -> Result<Option<Vec<Product>>> {
        if !self.keep_blocks || block_kinds(&*self.tensors, prefix, specs, inputs)?.is_none() {
            return Ok(None);
        }
        let mut parts = Vec::new();
        for spec in specs {
            let name = format!("{prefix}{}.weight", spec.name);
            let stored = self.tensors.quantised(&name, spec.outputs, inputs, self.device)?;
            let stored = stored.ok_or_else(|| Error::run(format!("`{name}` has no blocks")))?;
            parts.push(Product::Quantised(QMatMul::from_qtensor(stored).map_err(failed)?));
        }
        Ok(Some(parts))
    }

    /// A linear layer whose parts are stacked in `host`.
    fn linear(
        &mut self,
        prefix: &str,
        specs: &[PartSpec],
        host: &Matrix,
        bias: Option<&[f32]>,
    ) -> Result<TensorLinear> {
        let bias = bias.map(|bias| vector(bias, self.device)).transpose()?;
        let parts = match self.blocks(prefix, specs, host.cols())? {
            Some(parts) => parts,
            None => vec![Product::Dense(dense(host, self.device)?.t().map_err(failed)?)],
        };
        Ok(TensorLinear { parts, bias })
    }

    fn layer(&mut self, prefix: &str, host: &Layer, block: &BlockSpec) -> Result<TensorLayer> {
        let mut linear = |spec: &LinearSpec, host: &Linear| {
            self.linear(prefix, in_blocks(spec), &host.weight, host.bias.as_deref())
        };
        let qkv = linear(&block.qkv, &host.qkv)?;
        let output = linear(&block.output, &host.output)?;
        let (FeedSpec::Whole(spec), FeedForward::Whole(mlp)) = (&block.feed, &host.feed) else {
            return Err(Error::run("a layer of experts cannot be copied to a device"));
        };
        let gate_up = linear(&spec.gate_up, &mlp.gate_up)?;
        let down = linear(&spec.down, &mlp.down)?;
        let head_norm = |norm: &Option<Vec<f32>>| {
            norm.as_deref().map(|norm| vector(norm, self.device)).transpose()
        };
        Ok(TensorLayer {
            attention: TensorBranch::new(&host.attention, self.device)?,
            qkv,
            q_norm: head_norm(&host.q_norm)?,
            k_norm: head_norm(&host.k_norm)?,
            output,
            mlp: TensorBranch::new(&host.mlp, self.device)?,
            gate_up,
            down,
        })
    }
}

pub(super) fn vector(values: &[f32], device: &Device) -> Result<Tensor> {
    Tensor::from_slice(values, values.len(), device).map_err(failed)
}

/// `[outputs, inputs]`, of [`dense_dtype`].
fn dense(matrix: &Matrix, device: &Device) -> Result<Tensor> {
    let shape = (matrix.rows(), matrix.cols());
    let tensor = match matrix.elements() {
        _ if device.is_cpu() => Tensor::from_vec(matrix.widened(), shape, device),
        Elements::Quantised(_) | Elements::Stacked(_) => {
            let dtype = dense_dtype(matrix, device);
            return dense(&matrix.clone().into_dtype(dtype), device);
        }
        Elements::F32(elements) => Tensor::from_slice(elements, shape, device),
        Elements::F16(elements) => Tensor::from_slice(elements, shape, device),
        Elements::Bf16(elements) => Tensor::from_slice(elements, shape, device),
    };
    tensor.map_err(failed)
}
