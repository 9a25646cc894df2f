//! The backward pass of rows over tensors: from the gradient of the residual stream to the factors
//! of every layer.

use candle_core::{D, Result, Tensor};

use super::OnDevice;
use super::attention::{self, Gradients};
use super::forward::{DeviceActivations, Setting};
use crate::learn::engine::rows::Pass;
use crate::model::config::Config;
use crate::model::device::{TensorBranch, TensorLayer};

/// Gradient of the factors, `[layers * kv_heads, 1, head_dim]`, from that of the residual stream
/// after the last layer. Each layer's activations are freed when the layer is done.
pub(super) fn run(
    on: &OnDevice<'_>,
    pass: Pass<'_>,
    setting: &Setting,
    mut tape: Vec<DeviceActivations>,
    mut dx: Tensor,
) -> Result<Tensor> {
    let mut gradients = Vec::with_capacity(tape.len());
    for (at, layer) in on.tensors.weights().layers.iter().enumerate().rev() {
        let Some(saved) = tape.pop() else { break };
        dx = mlp(on.config, layer, &saved, &dx)?;
        let d_output = leave(on.config, &layer.attention, (0, &saved), &dx)?;
        let d_attended = layer.output.back(&d_output)?;
        let [q, k, v] = &saved.qkv;
        let [out, log_total] = &saved.attended;
        let mut found =
            attention::backward(&setting.plan, pass, at, [q, k, v], [out, log_total], &d_attended)?;
        gradients.push(found.factors.clone());
        if at > 0 {
            unposition(on.config, (at, layer), setting, &saved, &mut found)?;
            let d_normed = layer.qkv.back(&Tensor::cat(&[found.q, found.k, found.v], 1)?)?;
            dx = enter(on.config, &layer.attention, &saved.x, &d_normed, &dx)?;
        }
    }
    gradients.reverse();
    Tensor::cat(&gradients, 0)
}

/// Takes `dx` from after the layer to between attention and MLP.
fn mlp(
    config: &Config,
    layer: &TensorLayer,
    saved: &DeviceActivations,
    dx: &Tensor,
) -> Result<Tensor> {
    let d_gated = layer.down.back(&leave(config, &layer.mlp, (1, saved), dx)?)?;
    let d_gate_up = config.activation().gate_tensors_back(&saved.gate, &saved.up, &d_gated)?;
    let d_normed = layer.gate_up.back(&Tensor::cat(&d_gate_up, 1)?)?;
    enter(config, &layer.mlp, &saved.middle, &d_normed, dx)
}

/// The gradient of what a branch adds (the first or the second of a layer) before its last norm,
/// from that of the residual stream.
fn leave(
    config: &Config,
    branch: &TensorBranch,
    (which, saved): (usize, &DeviceActivations),
    dx: &Tensor,
) -> Result<Tensor> {
    let d_added = match (&branch.after, &saved.added) {
        (Some(norm), Some(added)) => rms_norm(&added[which], norm, config.rms_eps, dx)?,
        _ => dx.clone(),
    };
    match config.additions.residual_factor {
        1.0 => Ok(d_added),
        factor => d_added * f64::from(factor),
    }
}

/// The gradient of the residual stream `x` before a branch, from that of what goes into the branch
/// and that of the stream beside it.
fn enter(
    config: &Config,
    branch: &TensorBranch,
    x: &Tensor,
    d_entered: &Tensor,
    dx: &Tensor,
) -> Result<Tensor> {
    match &branch.before {
        Some(norm) => dx + rms_norm(x, norm, config.rms_eps, d_entered)?,
        None => dx + d_entered,
    }
}

/// Backward through the rotation and the norms of q and k.
fn unposition(
    config: &Config,
    (at, layer): (usize, &TensorLayer),
    setting: &Setting,
    saved: &DeviceActivations,
    found: &mut Gradients,
) -> Result<()> {
    if config.query_factor() != 1.0 {
        found.q = (&found.q * f64::from(config.query_factor()))?;
    }
    for (which, dx, norm) in [(0, &mut found.q, &layer.q_norm), (1, &mut found.k, &layer.k_norm)] {
        *dx = setting.unrotated(at, dx)?;
        if let (Some(norm), Some(before)) = (norm, &saved.before_norm) {
            let (rows, width) = dx.dims2()?;
            let heads =
                |x: &Tensor| x.reshape((rows, width / norm.elem_count(), norm.elem_count()));
            *dx = rms_norm(&heads(&before[which])?, norm, config.rms_eps, &heads(dx)?)?
                .reshape((rows, width))?;
        }
    }
    Ok(())
}

/// The gradient through `y = x s w`, `s = 1 / sqrt(mean(x²) + eps)`, over the last axis:
/// `s w dy - x s³ / n sum(w dy x)`.
pub(super) fn rms_norm(x: &Tensor, weight: &Tensor, eps: f32, dy: &Tensor) -> Result<Tensor> {
    let s = (x.sqr()?.mean_keepdim(D::Minus1)? + f64::from(eps))?.sqrt()?.recip()?;
    let weighted = dy.broadcast_mul(weight)?;
    let dot = (&weighted * x)?.mean_keepdim(D::Minus1)?;
    let pull = ((&s * s.sqr()?)? * dot)?;
    weighted.broadcast_mul(&s)? - x.broadcast_mul(&pull)?
}
