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
    /// q and k before their norms (Qwen3 only), `[rows, heads head_dim]` and `[rows, kv_heads
    /// head_dim]`.
    pub(super) before_norm: Option<[Tensor; 2]>,
    /// q and k after rotation, and v: `[rows, heads head_dim]` and twice `[rows, kv_heads
    /// head_dim]`.
    pub(super) qkv: [Tensor; 3],
    /// Attention output, `[rows, heads head_dim]`, and the logarithms of the sums of weights of its
    /// rows, `[kv_heads, rows group, 1]`.
    pub(super) attended: [Tensor; 2],
    /// Residual stream between attention and MLP.
    pub(super) middle: Tensor,
    /// Gate and up projections, `[rows, intermediate]` each.
    pub(super) gate: Tensor,
    pub(super) up: Tensor,
}

/// What the layers of a pass share.
pub(super) struct Setting {
    pub(super) plan: Plan,
    /// cos, sin and -sin of every row's position, each `[rows, 1, head_dim / 2]`.
    angles: [Tensor; 3],
}

impl Setting {
    pub(super) fn new(on: &OnDevice<'_>, pass: Pass<'_>) -> Result<Self> {
        let (config, device) = (on.config, on.tensors.device());
        let angles = |angles: &[f32]| {
            Tensor::from_slice(angles, (pass.rows.count, 1, config.head_dim / 2), device)
        };
        let sin = angles(&pass.rows.sin)?;
        Ok(Self {
            plan: Plan::new(config, pass, on.most_bytes, device)?,
            angles: [angles(&pass.rows.cos)?, sin.clone(), sin.neg()?],
        })
    }

    /// Rotates every head of `[rows, heads * head_dim]`, each row by its position.
    pub(super) fn rotated(&self, x: &Tensor) -> Result<Tensor> {
        self.turned(x, &self.angles[1])
    }

    /// The transposed rotation, for gradients.
    pub(super) fn unrotated(&self, x: &Tensor) -> Result<Tensor> {
        self.turned(x, &self.angles[2])
    }

    fn turned(&self, x: &Tensor, sin: &Tensor) -> Result<Tensor> {
        let (rows, _, half) = sin.dims3()?;
        // Every row is a batch entry with one position.
        let heads = x.reshape((rows, x.dim(1)? / (2 * half), 1, 2 * half))?;
        rope(&heads, &self.angles[0], sin)?.reshape(x.shape())
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
    let eps = on.config.rms_eps;
    let mut x = on.tensors.embedded(&pass.rows.tokens())?;
    for (at, layer) in on.tensors.weights().layers.iter().enumerate() {
        let (qkv, before_norm) = project(on, setting, layer, &x)?;
        let attended = attention::attend(&setting.plan, pass, at, [&qkv[0], &qkv[1], &qkv[2]])?;
        let middle = (layer.output.apply_wide(&attended[0])? + &x)?;
        let gate_up = layer.gate_up.apply_wide(&rms_norm(&middle, &layer.mlp_norm, eps)?)?;
        let width = on.config.intermediate;
        let half = |start| gate_up.narrow(1, start, width)?.contiguous();
        let (gate, up) = (half(0)?, half(width)?);
        let gated = on.config.activation().gate_tensors(&gate, &up)?;
        let out = (layer.down.apply_wide(&gated)? + &middle)?;
        observe(DeviceActivations {
            x: std::mem::replace(&mut x, out),
            before_norm,
            qkv,
            attended,
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
    layer: &TensorLayer,
    x: &Tensor,
) -> Result<([Tensor; 3], Option<[Tensor; 2]>)> {
    let config = on.config;
    let projected = layer.qkv.apply_wide(&rms_norm(x, &layer.attention_norm, config.rms_eps)?)?;
    let (q_width, kv_width) = (config.q_width(), config.kv_width());
    let part = |start: usize, width: usize| projected.narrow(1, start, width)?.contiguous();
    let (q, k, v) =
        (part(0, q_width)?, part(q_width, kv_width)?, part(q_width + kv_width, kv_width)?);
    let normed = |x: &Tensor, norm: &Option<Tensor>| match norm {
        Some(norm) => {
            let heads = x.reshape((x.dim(0)?, x.dim(1)? / config.head_dim, config.head_dim))?;
            rms_norm(&heads, norm, config.rms_eps)?.reshape(x.shape())
        }
        None => Ok(x.clone()),
    };
    let rotated = [
        setting.rotated(&normed(&q, &layer.q_norm)?)?,
        setting.rotated(&normed(&k, &layer.k_norm)?)?,
    ];
    let [rotated_q, rotated_k] = rotated;
    Ok(([rotated_q, rotated_k, v], config.qk_norm.then_some([q, k])))
}
