//! The forward pass of rows over tensors, and the activations that the backward pass needs.

use candle_core::{Result, Tensor};
use candle_nn::ops::rms_norm;
use candle_nn::rotary_emb::rope;

use super::OnDevice;
use super::attention::{self, Plan};
use crate::learn::engine::rows::Pass;
use crate::model::device::TensorLayer;

/// Activations of one layer that the backward pass reads: the rows of all blocks stacked, in f32.
pub(super) struct DeviceActivations {
    /// Residual stream before the layer, `[rows, hidden]`.
    pub(super) x: Tensor,
    /// q and k before their norms, in models that have them, `[rows, heads head_dim]` and `[rows, kv_heads
    /// head_dim]`.
    pub(super) before_norm: Option<[Tensor; 2]>,
    /// q and k after rotation, and v: `[rows, heads head_dim]` and twice `[rows, kv_heads
    /// head_dim]`.
    pub(super) qkv: [Tensor; 3],
    /// Attention output, `[rows, heads head_dim]`, and the logarithms of the sums of weights of its
    /// rows, `[kv_heads, rows group, 1]`.
    pub(super) attended: [Tensor; 2],
    /// What attention and the MLP add, before the norms that come after them, where there are any.
    pub(super) added: Option<[Tensor; 2]>,
    /// Residual stream between attention and MLP.
    pub(super) middle: Tensor,
    /// Gate and up projections, `[rows, intermediate]` each.
    pub(super) gate: Tensor,
    pub(super) up: Tensor,
}

/// What the layers of a pass share.
pub(super) struct Setting {
    pub(super) plan: Plan,
    /// cos, sin and -sin of every row's position, each `[rows, 1, head_dim / 2]`, for each kind of
    /// layers.
    angles: Vec<[Tensor; 3]>,
    /// Which kind each layer is.
    kinds: Vec<usize>,
}

impl Setting {
    pub(super) fn new(on: &OnDevice<'_>, pass: Pass<'_>) -> Result<Self> {
        let (config, device) = (on.config, on.tensors.device());
        let angles = |angles: &[f32]| {
            Tensor::from_slice(angles, (pass.rows.count, 1, config.head_dim / 2), device)
        };
        let kind = |[cos, sin]: &[Vec<f32>; 2]| {
            let sin = angles(sin)?;
            Ok([angles(cos)?, sin.clone(), sin.neg()?])
        };
        Ok(Self {
            plan: Plan::new(config, pass, on.most_bytes, device)?,
            angles: pass.rows.angles.kinds().iter().map(kind).collect::<Result<_>>()?,
            kinds: pass.rows.angles.of_layers().to_vec(),
        })
    }

    /// Rotates every head of `[rows, heads * head_dim]`, each row by its position in a layer.
    pub(super) fn rotated(&self, layer: usize, x: &Tensor) -> Result<Tensor> {
        let [cos, sin, _] = &self.angles[self.kinds[layer]];
        Self::turned(x, cos, sin)
    }

    /// The transposed rotation, for gradients.
    pub(super) fn unrotated(&self, layer: usize, x: &Tensor) -> Result<Tensor> {
        let [cos, _, back] = &self.angles[self.kinds[layer]];
        Self::turned(x, cos, back)
    }

    fn turned(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
        let (rows, _, half) = sin.dims3()?;
        // Every row is a batch entry with one position.
        let heads = x.reshape((rows, x.dim(1)? / (2 * half), 1, 2 * half))?;
        rope(&heads, cos, sin)?.reshape(x.shape())
    }
}

/// Runs the rows through every layer; returns the residual stream before the final norm, `[rows,
/// hidden]`. `observe` gets each layer's activations and decides whether to continue.
pub(super) fn run(
    on: &OnDevice<'_>,
    pass: Pass<'_>,
    setting: &Setting,
    observe: &mut dyn FnMut(DeviceActivations) -> Result<()>,
) -> Result<Tensor> {
    let config = on.config;
    let mut x = on.tensors.embedded(config, &pass.rows.tokens())?;
    for (at, layer) in on.tensors.weights().layers.iter().enumerate() {
        let (qkv, before_norm) = project(on, setting, (at, layer), &x)?;
        let attended = attention::attend(&setting.plan, pass, at, [&qkv[0], &qkv[1], &qkv[2]])?;
        let of_attention = layer.output.apply_wide(&attended[0])?;
        let middle = layer.attention.leave(config, &of_attention, &x)?;
        let gate_up = layer.gate_up.apply_wide(&layer.mlp.enter(config, &middle)?)?;
        let width = config.intermediate;
        let half = |start| gate_up.narrow(1, start, width)?.contiguous();
        let (gate, up) = (half(0)?, half(width)?);
        let gated = config.activation().gate_tensors(&gate, &up)?;
        let of_mlp = layer.down.apply_wide(&gated)?;
        let out = layer.mlp.leave(config, &of_mlp, &middle)?;
        observe(DeviceActivations {
            x: std::mem::replace(&mut x, out),
            before_norm,
            qkv,
            attended,
            added: config.architecture.norms.after.then_some([of_attention, of_mlp]),
            middle,
            gate,
            up,
        })?;
    }
    Ok(x)
}

/// Rotated q and k, and v, of every row; and q and k before their norms, in models that have them.
fn project(
    on: &OnDevice<'_>,
    setting: &Setting,
    (at, layer): (usize, &TensorLayer),
    x: &Tensor,
) -> Result<([Tensor; 3], Option<[Tensor; 2]>)> {
    let config = on.config;
    let projected = layer.qkv.apply_wide(&layer.attention.enter(config, x)?)?;
    let (q_width, kv_width) = (config.q_width(), config.kv_width());
    let part = |start: usize, width: usize| projected.narrow(1, start, width)?.contiguous();
    let (q, k, v) =
        (part(0, q_width)?, part(q_width, kv_width)?, part(q_width + kv_width, kv_width)?);
    let normed = |x: &Tensor, norm: &Option<Tensor>| match norm {
        Some(norm) => {
            let heads = x.reshape((x.dim(0)?, x.dim(1)? / norm.elem_count(), norm.elem_count()))?;
            rms_norm(&heads, norm, config.rms_eps)?.reshape(x.shape())
        }
        None => Ok(x.clone()),
    };
    let rotated = [
        setting.rotated(at, &normed(&q, &layer.q_norm)?)?,
        setting.rotated(at, &normed(&k, &layer.k_norm)?)?,
    ];
    let [mut rotated_q, rotated_k] = rotated;
    if config.query_factor() != 1.0 {
        rotated_q = (rotated_q * f64::from(config.query_factor()))?;
    }
    Ok(([rotated_q, rotated_k, v], config.qk_norm.then_some([q, k])))
}
