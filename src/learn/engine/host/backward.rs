//! The backward pass over answer rows: from the gradient of the residual stream to what is asked of
//! every head.

use super::OnHost;
use super::attention::{BackwardView, HeadJob, each_head, scatter};
use super::feed;
use super::forward::{HostActivations, Tape};
use crate::Result;
use crate::learn::engine::rows::{Pass, Rows};
use crate::model::branch::BranchNorms;
use crate::model::config::Config;
use crate::model::host::ops;
use crate::model::weights::Layer;

/// Carries the gradient of the residual stream after the last layer down through all layers.
/// `gather` sees every head of every block, and `receive` gets its results with layer and KV head,
/// in an order that does not depend on the threads.
pub(super) fn run<T: Send>(
    on: OnHost<'_>,
    pass: Pass<'_>,
    tape: &Tape,
    mut dx: Vec<f32>,
    gather: &(impl Fn(&HeadJob<'_>, BackwardView<'_>) -> Result<T> + Sync),
    receive: &mut impl FnMut(usize, usize, T),
) -> Result<()> {
    let config = on.config;
    for (at, (layer, saved)) in on.weights.layers.iter().zip(&tape.layers).enumerate().rev() {
        mlp(config, layer, saved, &mut dx)?;
        let d_output = leave(config, &layer.attention, (0, saved), &dx);
        let d_attended = layer.output.weight.wide()?.back(&d_output)?;
        let (d_qkv, gathered) = attention(config, pass, at, saved, &d_attended, gather)?;
        gathered.into_iter().for_each(|(kv_head, part)| receive(at, kv_head, part));
        if at > 0 {
            let d_projected = unposition(config, (at, layer), saved, pass.rows, d_qkv);
            let d_normed = layer.qkv.weight.wide()?.back(&d_projected)?;
            enter(config, &layer.attention, &saved.x, &d_normed, &mut dx);
        }
    }
    Ok(())
}

/// Adds the gradient through the MLP: takes `dx` from after the layer to between attention and MLP.
fn mlp(config: &Config, layer: &Layer, saved: &HostActivations, dx: &mut [f32]) -> Result<()> {
    let d_down = leave(config, &layer.mlp, (1, saved), dx);
    let d_normed = feed::backward(&layer.feed, config.activation(), &saved.feed, &d_down)?;
    enter(config, &layer.mlp, &saved.middle, &d_normed, dx);
    Ok(())
}

/// The gradient of what a branch adds (the first or the second of a layer) before its last norm,
/// from that of the residual stream.
fn leave(
    config: &Config,
    branch: &BranchNorms,
    (which, saved): (usize, &HostActivations),
    dx: &[f32],
) -> Vec<f32> {
    let mut d_added = match (&branch.after, &saved.added) {
        (Some(norm), Some(added)) => {
            let mut d_added = vec![0.0; dx.len()];
            rms_norm(&added[which], norm, config.rms_eps, dx, &mut d_added);
            d_added
        }
        _ => dx.to_vec(),
    };
    if config.additions.residual_factor != 1.0 {
        ops::scale(&mut d_added, config.additions.residual_factor);
    }
    d_added
}

/// Adds the gradient of what goes into a branch to that of the residual stream `x` before it.
fn enter(config: &Config, branch: &BranchNorms, x: &[f32], d_entered: &[f32], dx: &mut [f32]) {
    match &branch.before {
        Some(norm) => rms_norm(x, norm, config.rms_eps, d_entered, dx),
        None => ops::add(dx, d_entered),
    }
}

/// Gradients of rotated q and k and of v, each `[rows, heads * head_dim]`.
type AttentionGradients = [Vec<f32>; 3];

/// Gradients of rotated q and k and of v, from that of the attention output, and what `gather` makes
/// of every KV head.
fn attention<T: Send>(
    config: &Config,
    pass: Pass<'_>,
    at: usize,
    saved: &HostActivations,
    d_attended: &[f32],
    gather: &(impl Fn(&HeadJob<'_>, BackwardView<'_>) -> Result<T> + Sync),
) -> Result<(AttentionGradients, Vec<(usize, T)>)> {
    let rows = pass.rows;
    let (d, q_width, kv_width) = (config.head_dim, config.q_width(), config.kv_width());
    let group_width = config.group() * d;
    let parts = each_head(config, rows, |block, first, kv_head| {
        let count = rows.blocks[block].tokens.len();
        let own = |x: &[f32]| -> Vec<f32> {
            let rows = x[first * q_width..(first + count) * q_width].chunks_exact(q_width);
            rows.flat_map(|row| &row[kv_head * group_width..(kv_head + 1) * group_width])
                .copied()
                .collect()
        };
        HeadJob::new(config, pass, (block, first), (at, kv_head), (&saved.q, &saved.k, &saved.v))
            .backward(&own(&saved.attended), &own(d_attended), gather)
    })?;
    let mut out = [
        vec![0.0; rows.count * q_width],
        vec![0.0; rows.count * kv_width],
        vec![0.0; rows.count * kv_width],
    ];
    let mut gathered = Vec::with_capacity(parts.len());
    for (first, kv_head, (part, own)) in parts {
        scatter(
            &part.q,
            group_width,
            &mut out[0][first * q_width..],
            q_width,
            kv_head * group_width,
        );
        scatter(&part.k, d, &mut out[1][first * kv_width..], kv_width, kv_head * d);
        scatter(&part.v, d, &mut out[2][first * kv_width..], kv_width, kv_head * d);
        gathered.push((kv_head, own));
    }
    Ok((out, gathered))
}

/// Backward through the rotation and the norms of q and k: gradients of the stacked projection,
/// `[rows, q + k + v]`.
fn unposition(
    config: &Config,
    (at, layer): (usize, &Layer),
    saved: &HostActivations,
    rows: &Rows<'_>,
    [mut dq, mut dk, dv]: [Vec<f32>; 3],
) -> Vec<f32> {
    let (q_width, kv_width, half) = (config.q_width(), config.kv_width(), config.head_dim / 2);
    let [cos, sin] = rows.angles.of(at);
    if config.query_factor() != 1.0 {
        ops::scale(&mut dq, config.query_factor());
    }
    for (x, width) in [(&mut dq, q_width), (&mut dk, kv_width)] {
        let angles = cos.chunks_exact(half).zip(sin.chunks_exact(half));
        x.chunks_exact_mut(width).zip(angles).for_each(|(x, (cos, sin))| unrotate(x, cos, sin));
    }
    if let (Some(before), Some(q_norm), Some(k_norm)) =
        (&saved.before_norm, &layer.q_norm, &layer.k_norm)
    {
        let before = before.chunks_exact(q_width + kv_width);
        for ((before, dq), dk) in
            before.zip(dq.chunks_exact_mut(q_width)).zip(dk.chunks_exact_mut(kv_width))
        {
            for (x, norm, dy) in
                [(&before[..q_width], q_norm, dq), (&before[q_width..], k_norm, dk)]
            {
                let mut dx = vec![0.0; x.len()];
                rms_norm(x, norm, config.rms_eps, dy, &mut dx);
                dy.copy_from_slice(&dx);
            }
        }
    }
    let rows =
        dq.chunks_exact(q_width).zip(dk.chunks_exact(kv_width)).zip(dv.chunks_exact(kv_width));
    rows.flat_map(|((q, k), v)| [q, k, v]).flatten().copied().collect()
}

/// The transposed rotation of [`crate::model::rope::rotate`].
fn unrotate(x: &mut [f32], cos: &[f32], sin: &[f32]) {
    let half = cos.len();
    for head in x.chunks_exact_mut(2 * half) {
        let (first, second) = head.split_at_mut(half);
        for (((a, b), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
            (*a, *b) = (*a * cos + *b * sin, *b * cos - *a * sin);
        }
    }
}

/// Adds to `dx` the gradient through `y = x s w`, `s = 1 / sqrt(mean(x²) + eps)`, of every row:
/// `dx = s w dy - x s³ / n sum(w dy x)`.
pub(super) fn rms_norm(x: &[f32], weight: &[f32], eps: f32, dy: &[f32], dx: &mut [f32]) {
    let n = weight.len();
    for ((x, dy), dx) in x.chunks_exact(n).zip(dy.chunks_exact(n)).zip(dx.chunks_exact_mut(n)) {
        let mean: f32 = x.iter().map(|x| x * x).sum::<f32>() / n as f32;
        let s = 1.0 / (mean + eps).sqrt();
        let dot: f32 = x.iter().zip(dy).zip(weight).map(|((x, dy), w)| x * dy * w).sum();
        for c in 0..n {
            dx[c] += s * weight[c] * dy[c] - x[c] * s * s * s / n as f32 * dot;
        }
    }
}
