//! A decode step over caches on a device: kernels of our own and matrix products between fixed
//! places. Activations between products are in the weights' type.

use candle_core::{DType, Device, Tensor};

use super::address::address;
use super::attend::dtype;
use super::branch::TensorBranch;
use super::failed;
use super::step::{Over, StepInput};
use super::weights::{TensorLayer, TensorLinear};
use crate::attention::cuda::Launch;
use crate::attention::cuda::params::{
    AppendParams, BranchParams, GELU_TANH, GateParams, Numbers, Projection, SILU,
};
use crate::element::Dtype;
use crate::model::activation::Activation;
use crate::model::config::Config;
use crate::model::device::DeviceAttend;
use crate::{Error, Result};

/// Memory that the steps of a number of sequences read from and write to. All of it is taken before
/// the first step. Where activations may have 16 bits, the memory is large enough for f32.
pub(super) struct Places {
    batch: usize,
    /// The residual stream, f32 `[batch, hidden]`.
    x: Tensor,
    /// What a branch takes, `[batch, hidden]`.
    entered: Tensor,
    /// `[batch, q_width + 2 kv_width]`.
    qkv: Tensor,
    /// `[batch, q_width]`.
    attended: Tensor,
    /// What a branch gives, `[batch, hidden]`.
    delta: Tensor,
    /// `[batch, 2 intermediate]`.
    gate_up: Tensor,
    /// `[batch, intermediate]`.
    gated: Tensor,
    /// f32 `[batch, vocab]`.
    pub(super) logits: Tensor,
    /// Rotated queries of every layer in the cache's type, `[layers, batch, heads * head_dim]`.
    pub(super) queries: Tensor,
    /// What the host writes before a step, numbers of 32 bits: see [`Self::write`].
    input: Tensor,
    /// Which kind of angles each layer has, and how many kinds there are.
    kinds: (Vec<usize>, usize),
}

/// Numbers of each sequence in each place of f32: the residual stream, what a branch takes, the
/// projections, what is attended, what a branch gives, gates with what they gate, the gated, logits.
fn widths(config: &Config) -> [usize; 8] {
    let (q, kv) = (config.q_width(), config.kv_width());
    let (hidden, inner) = (config.hidden, config.intermediate);
    [hidden, hidden, q + 2 * kv, q, hidden, 2 * inner, inner, config.vocab]
}

impl Places {
    /// Bytes of [`Self::new`].
    pub(super) fn bytes(config: &Config, input: &StepInput<'_>, kv: Dtype) -> u64 {
        let batch = input.tokens.len();
        let places = batch * widths(config).iter().sum::<usize>() + 2 * input.cos.len() + batch;
        let queries = config.layers * batch * config.q_width() * kv.bytes();
        (places * size_of::<f32>() + queries) as u64
    }

    pub(super) fn new(
        Over { config, device, .. }: Over<'_>,
        input: &StepInput<'_>,
        kv: Dtype,
    ) -> Result<Self> {
        let batch = input.tokens.len();
        let place = |width: usize| zeros(&[batch, width], DType::F32, device);
        let angles = input.cos.len();
        let [x, entered, qkv, attended, delta, gate_up, gated, logits] = widths(config);
        Ok(Self {
            batch,
            x: place(x)?,
            entered: place(entered)?,
            qkv: place(qkv)?,
            attended: place(attended)?,
            delta: place(delta)?,
            gate_up: place(gate_up)?,
            gated: place(gated)?,
            logits: place(logits)?,
            queries: zeros(&[config.layers, batch, config.q_width()], dtype(kv), device)?,
            input: zeros(&[2 * angles + batch], DType::F32, device)?,
            kinds: (input.kinds.to_vec(), angles / (batch * config.head_dim / 2)),
        })
    }

    /// Copies a step's input to the device at once: cosines, sines, token ids.
    pub(super) fn write(&self, device: &dyn DeviceAttend, input: &StepInput<'_>) -> Result<()> {
        let angles = input.cos.iter().chain(input.sin).map(|angle| angle.to_bits());
        let numbers: Vec<u32> = angles.chain(input.tokens.iter().copied()).collect();
        device.write(&self.input, &numbers)
    }

    /// Addresses of the cosines and sines of a layer's angles.
    fn angles(&self, layer: usize, head_dim: usize) -> Result<[u64; 2]> {
        let (of_layers, kinds) = &self.kinds;
        let (start, own) = (address(&self.input)?, self.batch * head_dim / 2);
        Ok([of_layers[layer], kinds + of_layers[layer]]
            .map(|at| start + (at * own * size_of::<f32>()) as u64))
    }

    /// The address of the token ids.
    fn tokens(&self) -> Result<u64> {
        let before = self.input.elem_count() - self.batch;
        Ok(address(&self.input)? + (before * size_of::<u32>()) as u64)
    }

    /// A place as rows of what a linear layer takes.
    fn input_of(&self, linear: &TensorLinear, place: &Tensor) -> Result<Numbers> {
        let width = place.elem_count() / self.batch;
        Ok(Numbers::new(address(place)?, width, linear.input_dtype()))
    }
}

fn zeros(shape: &[usize], dtype: DType, device: &Device) -> Result<Tensor> {
    Tensor::zeros(shape, dtype, device).map_err(failed)
}

/// The address of an f32 vector, or 0.
fn vector(vector: Option<&Tensor>) -> Result<u64> {
    vector.map_or(Ok(0), address)
}

/// The start of a branch: the norm before it, and the linear layer that takes its result.
type Entry<'a> = (Option<&'a Tensor>, &'a TensorLinear);

/// One step on its way to a device.
pub(super) struct Launches<'a> {
    pub(super) config: &'a Config,
    pub(super) device: &'a dyn DeviceAttend,
    pub(super) places: &'a Places,
}

impl Launches<'_> {
    /// All layers over one token of each sequence. Memory is taken only by quantised products.
    pub(super) fn submit(&self, over: Over<'_>) -> Result<()> {
        let weights = over.weights;
        let entries = weights.layers.iter().skip(1).map(TensorLayer::entry);
        let last: Entry<'_> = (Some(&weights.norm), &weights.head);
        let first = weights.layers.first().map_or(last, TensorLayer::entry);
        self.embed(weights.table()?, first)?;
        for ((at, layer), next) in
            weights.layers.iter().enumerate().zip(entries.chain(std::iter::once(last)))
        {
            self.attend(at, layer)?;
            let after = (&layer.attention, &layer.output);
            self.cross(&self.places.attended, after, layer.mlp_entry())?;
            self.gate(layer)?;
            self.cross(&self.places.gated, (&layer.mlp, &layer.down), next)?;
        }
        self.logits(&weights.head)
    }

    /// What every launch between two branches has.
    fn entering(&self, (before, linear): Entry<'_>) -> Result<BranchParams> {
        let places = self.places;
        Ok(BranchParams {
            x: address(&places.x)?,
            before: vector(before)?,
            out: places.input_of(linear, &places.entered)?,
            width: self.config.hidden as u32,
            factor: self.config.additions.residual_factor,
            eps: self.config.rms_eps,
            ..BranchParams::default()
        })
    }

    /// Begins the residual stream and enters the first branch.
    fn embed(&self, table: Numbers, first: Entry<'_>) -> Result<()> {
        let params = BranchParams {
            tokens: self.places.tokens()?,
            table,
            factor: self.config.additions.embedding_factor,
            ..self.entering(first)?
        };
        self.device.launch(&Launch::branch(self.places.batch, params))
    }

    /// Multiplies by a branch's last weights, adds the result to the residual stream and enters the
    /// next branch.
    fn cross(
        &self,
        x: &Tensor,
        (branch, linear): (&TensorBranch, &TensorLinear),
        next: Entry<'_>,
    ) -> Result<()> {
        let places = self.places;
        let outputs = linear.multiply(self.device, (x, places.batch), &places.delta, None)?;
        let params = BranchParams {
            delta: outputs.columns(0, self.config.hidden)?,
            bias: linear.bias_address()?,
            after: vector(branch.after.as_ref())?,
            ..self.entering(next)?
        };
        self.device.launch(&Launch::branch(places.batch, params))
    }

    /// Projections, rotation, the append, and attention.
    fn attend(&self, at: usize, layer: &TensorLayer) -> Result<()> {
        let (config, places) = (self.config, self.places);
        let x = (&places.entered, places.batch);
        let outputs = layer.qkv.multiply(self.device, x, &places.qkv, None)?;
        let bias = layer.qkv.bias_address()?;
        let projection = |first: usize, heads: usize, norm: Option<&Tensor>| {
            let width = heads * config.head_dim;
            let span = norm.map_or(config.head_dim, Tensor::elem_count);
            if span != config.head_dim && span != width {
                return Err(Error::run(format!(
                    "--device cuda has no kernel for a norm of {span} of {width} channels"
                )));
            }
            Ok(Projection {
                rows: outputs.columns(first, width)?,
                bias: if bias == 0 { 0 } else { bias + (first * size_of::<f32>()) as u64 },
                norm: vector(norm)?,
                span: span as u32,
                pad: 0,
            })
        };
        let [cos, sin] = places.angles(at, config.head_dim)?;
        let layer_bytes =
            places.queries.elem_count() / config.layers * places.queries.dtype().size_in_bytes();
        let queries = address(&places.queries)? + (at * layer_bytes) as u64;
        let token = AppendParams {
            q: projection(0, config.heads, layer.q_norm.as_ref())?,
            k: projection(config.q_width(), config.kv_heads, layer.k_norm.as_ref())?,
            v: projection(config.q_width() + config.kv_width(), config.kv_heads, None)?,
            cos,
            sin,
            out: queries,
            eps: config.rms_eps,
            factor: config.query_factor(),
            ..AppendParams::default()
        };
        self.device.append(at, token)?;
        drop(outputs);
        self.device.attend(at, queries, places.input_of(&layer.output, &places.attended)?)
    }

    /// The MLP up to its last product.
    fn gate(&self, layer: &TensorLayer) -> Result<()> {
        let (places, width) = (self.places, self.config.intermediate);
        let x = (&places.entered, places.batch);
        let outputs = layer.gate_up.multiply(self.device, x, &places.gate_up, None)?;
        let params = GateParams {
            gate: outputs.columns(0, width)?,
            up: outputs.columns(width, width)?,
            out: places.input_of(&layer.down, &places.gated)?,
            bias: layer.gate_up.bias_address()?,
            width: width as u32,
            activation: match self.config.activation() {
                Activation::Silu => SILU,
                Activation::GeluTanh => GELU_TANH,
            },
        };
        self.device.launch(&Launch::gate(places.batch, params))
    }

    fn logits(&self, head: &TensorLinear) -> Result<()> {
        let places = self.places;
        if head.bias_address()? != 0 {
            return Err(Error::run("--device cuda has no kernel for a bias of the logits"));
        }
        let x = (&places.entered, places.batch);
        let outputs = head.multiply(self.device, x, &places.logits, Some(Dtype::F32))?;
        outputs.place_in(&places.logits)
    }
}

impl TensorLayer {
    /// The start of its attention.
    fn entry(&self) -> Entry<'_> {
        (self.attention.before.as_ref(), &self.qkv)
    }

    /// The start of its MLP.
    fn mlp_entry(&self) -> Entry<'_> {
        (self.mlp.before.as_ref(), &self.gate_up)
    }
}
