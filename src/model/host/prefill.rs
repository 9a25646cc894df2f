//! A whole prompt on the CPU, one layer after the other.

use super::attention::attend_causal;
use super::backend::HostBackend;
use super::feed::FeedForward;
use super::ops;
use crate::Result;
use crate::cache::SequenceCache;
use crate::model::backend::Blueprint;
use crate::model::config::Config;
use crate::model::hooks::{LayerView, PrefillHooks};
use crate::model::observed::ObservedRows;
use crate::model::weights::Layer;

impl HostBackend {
    /// [`Decoder::prefill`](crate::model::decoder::Decoder::prefill) after its checks.
    pub(super) fn run_prompt(
        &self,
        Blueprint { config, rope }: Blueprint<'_>,
        tokens: &[u32],
        caches: &mut [&mut SequenceCache],
        hooks: PrefillHooks<'_>,
    ) -> Result<Vec<f32>> {
        let n = tokens.len();
        let mut x = vec![0.0; n * config.hidden];
        self.weights.embed(config, tokens, &mut x);
        let angles = rope.prompt_angles(n);
        for (at, layer) in self.weights.layers.iter().enumerate() {
            let started = at as f32 / config.layers as f32;
            let mut part = |share: f32| (hooks.progress)(started + share / config.layers as f32);
            let (mut q, k, v) = project(config, layer, &x, angles.of(at), hooks.chunk, &mut part)?;
            for cache in caches.iter_mut() {
                cache.check_fits(at, cache.len(at), &k, &v)?;
                cache.append(at, &k, &v);
            }
            (hooks.observe)(LayerView {
                layer: at,
                q: ObservedRows::here(&q),
                k: ObservedRows::here(&k),
                v: ObservedRows::here(&v),
            });
            attend_causal(config, at, &mut q, &k, &v, hooks.keep_going)?;
            finish(config, layer, &mut x, &q, hooks.chunk, &mut part)?;
        }
        ops::rms_norm_in_place(&mut x, &self.weights.norm, config.rms_eps);
        (hooks.progress)(1.0)?;
        Ok(x)
    }
}

/// Rotated q and k, and v, of a whole prompt in one layer.
pub(super) fn project(
    config: &Config,
    layer: &Layer,
    x: &[f32],
    [cos, sin]: [&[f32]; 2],
    chunk: usize,
    progress: &mut dyn FnMut(f32) -> Result<()>,
) -> Result<(Vec<f32>, Vec<f32>, Vec<f32>)> {
    let (n, half) = (x.len() / config.hidden, config.head_dim / 2);
    let (q_width, kv_width) = (config.q_width(), config.kv_width());
    let mut q = Vec::with_capacity(n * q_width);
    let mut k = Vec::with_capacity(n * kv_width);
    let mut v = Vec::with_capacity(n * kv_width);
    let qkv = layer.qkv.for_rows(n.min(chunk))?;
    let mut normed = vec![0.0; chunk.min(n) * config.hidden];
    for (piece, x) in x.chunks(chunk * config.hidden).enumerate() {
        progress(0.3 * (piece * chunk) as f32 / n as f32)?;
        let normed = &mut normed[..x.len()];
        layer.attention.enter(config, x, normed);
        let projected = qkv.apply(normed)?;
        for (i, row) in projected.chunks_exact(q_width + 2 * kv_width).enumerate() {
            let at = (piece * chunk + i) * half;
            let (cos, sin) = (&cos[at..at + half], &sin[at..at + half]);
            let (start_q, start_k) = (q.len(), k.len());
            q.extend_from_slice(&row[..q_width]);
            k.extend_from_slice(&row[q_width..q_width + kv_width]);
            v.extend_from_slice(&row[q_width + kv_width..]);
            layer.position(config, [&mut q[start_q..], &mut k[start_k..]], [cos, sin]);
        }
    }
    Ok((q, k, v))
}

/// Output projection, residuals and MLP of a whole prompt in one layer. Experts see the whole prompt
/// at once, so that each of them is widened once.
pub(super) fn finish(
    config: &Config,
    layer: &Layer,
    x: &mut [f32],
    attended: &[f32],
    chunk: usize,
    progress: &mut dyn FnMut(f32) -> Result<()>,
) -> Result<()> {
    let n = x.len() / config.hidden;
    let rows = n.min(chunk);
    let output = layer.output.for_rows(rows)?;
    let (whole, share) = match &layer.feed {
        FeedForward::Whole(mlp) => (Some(mlp.for_rows(rows)?), 0.6),
        FeedForward::Experts(_) => (None, 0.1),
    };
    let mut normed = vec![0.0; chunk.min(n) * config.hidden];
    let pieces = x.chunks_mut(chunk * config.hidden).zip(attended.chunks(chunk * config.q_width()));
    for (piece, (x, attended)) in pieces.enumerate() {
        progress(0.4 + share * (piece * chunk) as f32 / n as f32)?;
        layer.attention.leave(config, &mut output.apply(attended)?, x);
        if let Some(mlp) = &whole {
            let normed = &mut normed[..x.len()];
            layer.mlp.enter(config, x, normed);
            let [mut delta, _] = mlp.apply(config.activation(), normed)?;
            layer.mlp.leave(config, &mut delta, x);
        }
    }
    drop((output, whole));
    if let FeedForward::Experts(experts) = &layer.feed {
        let mut normed = vec![0.0; x.len()];
        layer.mlp.enter(config, x, &mut normed);
        let (mut done, all) = (0, n * experts.chosen);
        let (mut delta, _) =
            experts.apply_wide(config.activation(), &normed, Some(chunk), &mut |_, rows| {
                done += rows;
                progress(0.5 + 0.5 * done as f32 / all as f32)
            })?;
        layer.mlp.leave(config, &mut delta, x);
    }
    Ok(())
}
