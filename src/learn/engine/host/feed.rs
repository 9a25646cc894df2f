//! The MLP or the experts of a layer, forward and backward.
//!
//! Experts add `y = sum w_i E_i(x)` over those that the router chose. The gradient goes through each
//! of them and, by `dw_i = dy . E_i(x)`, through the softmax of the router's scores. The choice itself
//! is constant around almost every point.

use crate::Result;
use crate::model::activation::Activation;
use crate::model::host::feed::{Experts, FeedForward, Mlp};
use crate::model::host::ops;
use crate::model::host::routing::Routing;

/// What the backward pass reads.
pub(super) enum FeedActivations {
    /// Gate and up of one MLP, `[rows, 2 width]`.
    Whole(Vec<f32>),
    /// Which experts the rows went through, and gate and up of every expert's rows, in the order of
    /// the routing's parts.
    Experts(Routing, Vec<Vec<f32>>),
}

/// What is added to the residual stream, from `x`, both `[rows, hidden]`. Weights are converted to f32
/// for this alone.
pub(super) fn forward(
    feed: &FeedForward,
    activation: Activation,
    x: &[f32],
) -> Result<(Vec<f32>, FeedActivations)> {
    match feed {
        FeedForward::Whole(mlp) => {
            let [added, gate_up] = mlp.for_rows(usize::MAX)?.apply(activation, x)?;
            Ok((added, FeedActivations::Whole(gate_up)))
        }
        FeedForward::Experts(experts) => {
            let mut gate_ups = Vec::new();
            let (added, routing) = experts.apply_wide(activation, x, None, &mut |gate_up, _| {
                gate_ups.push(gate_up);
                Ok(())
            })?;
            Ok((added, FeedActivations::Experts(routing, gate_ups)))
        }
    }
}

/// The gradient of `x` from that of what is added, both `[rows, hidden]`.
pub(super) fn backward(
    feed: &FeedForward,
    activation: Activation,
    saved: &FeedActivations,
    d_added: &[f32],
) -> Result<Vec<f32>> {
    match (feed, saved) {
        (FeedForward::Whole(mlp), FeedActivations::Whole(gate_up)) => {
            let d_gated = mlp.down.weight.wide()?.back(d_added)?;
            through_gate(mlp, activation, gate_up, &d_gated)
        }
        (FeedForward::Experts(experts), FeedActivations::Experts(routing, gate_ups)) => {
            through_experts(experts, activation, (routing, gate_ups), d_added)
        }
        _ => unreachable!("a pass saves what its layers are"),
    }
}

/// The gradient of an MLP's input from that of its gated product, `[rows, width]`.
fn through_gate(
    mlp: &Mlp,
    activation: Activation,
    gate_up: &[f32],
    d_gated: &[f32],
) -> Result<Vec<f32>> {
    let mut d_gate_up = vec![0.0; gate_up.len()];
    activation.gate_back(gate_up, mlp.width(), d_gated, &mut d_gate_up);
    mlp.gate_up.weight.wide()?.back(&d_gate_up)
}

fn through_experts(
    experts: &Experts,
    activation: Activation,
    (routing, gate_ups): (&Routing, &[Vec<f32>]),
    d_added: &[f32],
) -> Result<Vec<f32>> {
    let (count, hidden) = (experts.each.len(), experts.router.weight.cols());
    let mut d_weights = vec![0.0; d_added.len() / hidden * count];
    let mut dx = vec![0.0; d_added.len()];
    for (part, gate_up) in routing.parts.iter().zip(gate_ups) {
        let mlp = &experts.each[part.expert];
        let width = mlp.width();
        let mut own = vec![0.0; part.rows.len() * hidden];
        part.gather(d_added, hidden, &mut own);
        // Before the row's weight: what a change of that weight meets, once times the product.
        let mut d_gated = mlp.down.weight.wide()?.back(&own)?;
        let mut gated = vec![0.0; d_gated.len()];
        activation.gate(gate_up, width, &mut gated);
        let rows = d_gated.chunks_exact_mut(width).zip(gated.chunks_exact(width));
        for ((d_gated, gated), (row, weight)) in rows.zip(part.rows.iter().zip(&part.weights)) {
            let met: f32 = d_gated.iter().zip(gated).map(|(d, gated)| d * gated).sum();
            d_weights[row * count + part.expert] = met;
            ops::scale(d_gated, *weight);
        }
        let d_own = through_gate(mlp, activation, gate_up, &d_gated)?;
        for (d_own, &row) in d_own.chunks_exact(hidden).zip(&part.rows) {
            ops::add(&mut dx[row * hidden..][..hidden], d_own);
        }
    }
    let d_scores = routing.back(&d_weights, count);
    ops::add(&mut dx, &experts.router.weight.wide()?.back(&d_scores)?);
    Ok(dx)
}
