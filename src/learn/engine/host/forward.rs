//! The forward pass over answer rows, and the activations that the backward pass needs.

use super::OnHost;
use super::attention;
use super::attention::HeadJob;
use super::feed::{self, FeedActivations};
use crate::Result;
use crate::learn::engine::rows::{Pass, Rows};
use crate::model::config::Config;
use crate::model::host::linear::Linear;
use crate::model::host::ops;
use crate::model::rope::rotate;
use crate::model::weights::Layer;

/// Activations of one layer that the backward pass reads: the rows of all blocks stacked.
pub(super) struct HostActivations {
    /// Residual stream before the layer, `[rows, hidden]`.
    pub(super) x: Vec<f32>,
    /// q and k before their norms, in models that have them, `[rows, (heads + kv_heads) head_dim]`.
    pub(super) before_norm: Option<Vec<f32>>,
    /// q after rotation, `[rows, heads head_dim]`.
    pub(super) q: Vec<f32>,
    /// k after rotation, `[rows, kv_heads head_dim]`.
    pub(super) k: Vec<f32>,
    pub(super) v: Vec<f32>,
    /// Attention output, `[rows, heads head_dim]`.
    pub(super) attended: Vec<f32>,
    /// What attention and the MLP add, before the norms that come after them, where there are any.
    pub(super) added: Option<[Vec<f32>; 2]>,
    /// Residual stream between attention and MLP.
    pub(super) middle: Vec<f32>,
    /// What was computed inside the MLP or the experts.
    pub(super) feed: FeedActivations,
}

/// Activations of all layers of one pass.
#[derive(Default)]
pub(super) struct Tape {
    pub(super) layers: Vec<HostActivations>,
}

/// Gets a layer's rotated keys and the values of the rows.
pub(super) type Observe<'a> = &'a mut dyn FnMut(&[f32], &[f32]);

/// Runs the rows through every layer; returns the residual stream before the final norm, `[rows,
/// hidden]`. `observe` gets each layer's rotated keys and the values of the rows, in the order of
/// the layers.
pub(super) fn run(
    on: OnHost<'_>,
    pass: Pass<'_>,
    mut tape: Option<&mut Tape>,
    observe: Observe<'_>,
) -> Result<Vec<f32>> {
    let (config, rows) = (on.config, pass.rows);
    let mut x = vec![0.0; rows.count * config.hidden];
    on.weights.embed(config, &rows.tokens(), &mut x);
    let mut normed = vec![0.0; x.len()];
    for (at, layer) in on.weights.layers.iter().enumerate() {
        layer.attention.enter(config, &x, &mut normed);
        let projected = apply(&layer.qkv, &normed)?;
        let (q, k, v, before_norm) = split(config, (at, layer), rows, &projected);
        observe(&k, &v);
        let attended = attention::gather(config, rows, |block, first, kv_head| {
            HeadJob::new(config, pass, (block, first), (at, kv_head), (&q, &k, &v)).attend()
        })?;
        let keeps_added = tape.is_some() && config.architecture.norms.after;
        let mut delta = apply(&layer.output, &attended)?;
        let mut added = keeps_added.then(|| [delta.clone(), Vec::new()]);
        let mut middle = x.clone();
        layer.attention.leave(config, &mut delta, &mut middle);
        layer.mlp.enter(config, &middle, &mut normed);
        let (mut delta, feed) = feed::forward(&layer.feed, config.activation(), &normed)?;
        if let Some([_, of_mlp]) = &mut added {
            of_mlp.clone_from(&delta);
        }
        let mut out = middle.clone();
        layer.mlp.leave(config, &mut delta, &mut out);
        let x_before = std::mem::replace(&mut x, out);
        if let Some(tape) = tape.as_deref_mut() {
            tape.layers.push(HostActivations {
                x: x_before,
                before_norm,
                q,
                k,
                v,
                attended,
                added,
                middle,
                feed,
            });
        }
    }
    Ok(x)
}

/// `x W^T + b`, with the weights converted to f32 for this product only.
fn apply(linear: &Linear, x: &[f32]) -> Result<Vec<f32>> {
    linear.for_rows(usize::MAX)?.apply(x)
}

/// Rotated q and k, and v, of every row; and q and k before their norms, in models that have them.
fn split(
    config: &Config,
    (at, layer): (usize, &Layer),
    rows: &Rows<'_>,
    projected: &[f32],
) -> (Vec<f32>, Vec<f32>, Vec<f32>, Option<Vec<f32>>) {
    let (q_width, kv_width, half) = (config.q_width(), config.kv_width(), config.head_dim / 2);
    let mut q = Vec::with_capacity(rows.count * q_width);
    let mut k = Vec::with_capacity(rows.count * kv_width);
    let mut v = Vec::with_capacity(rows.count * kv_width);
    let [cos, sin] = rows.angles.of(at);
    let mut before = config.qk_norm.then(Vec::new);
    for row in projected.chunks_exact(q_width + 2 * kv_width) {
        q.extend_from_slice(&row[..q_width]);
        k.extend_from_slice(&row[q_width..q_width + kv_width]);
        v.extend_from_slice(&row[q_width + kv_width..]);
        if let Some(before) = &mut before {
            before.extend_from_slice(&row[..q_width + kv_width]);
        }
    }
    for (x, norm, width) in [(&mut q, &layer.q_norm, q_width), (&mut k, &layer.k_norm, kv_width)] {
        if let Some(norm) = norm {
            ops::rms_norm_in_place(x, norm, config.rms_eps);
        }
        let angles = cos.chunks_exact(half).zip(sin.chunks_exact(half));
        x.chunks_exact_mut(width).zip(angles).for_each(|(x, (cos, sin))| rotate(x, cos, sin));
    }
    if config.query_factor() != 1.0 {
        ops::scale(&mut q, config.query_factor());
    }
    (q, k, v, before)
}
