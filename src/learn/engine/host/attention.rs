//! Attention of the answer rows of one block over one KV head: forward, and backward in closed
//! form.
//!
//! With `q` already scaled and the factors `a` of the head, the score of row `r` and key `t` is
//! `q_r . k_t` outside the middle of `r` and `(q_r a) . k_t` inside it. So `dL/da[c] = sum over
//! rows, query heads of the group and middle keys of dL/dscore * q[c] * k[c]`: one matmul of the
//! score gradients with the keys, `G = dS_middle K`, and a row-wise `sum q G`.

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use crate::attention::AttentionScale;
use crate::learn::engine::rows::{Pass, Rows};
use crate::model::config::Config;
use crate::model::host::ops;
use crate::{Error, Result};

/// One KV head of one block, with the keys and values that its rows see.
pub(super) struct HeadJob<'a> {
    pub(super) d: usize,
    pub(super) group: usize,
    /// Answer rows.
    rows: usize,
    /// Number of keys and values: context, then answer rows.
    pub(super) tokens: usize,
    /// `[tokens, d]`.
    pub(super) keys: Vec<f32>,
    pub(super) values: Vec<f32>,
    scale: f32,
    /// Most keys that a row sees, its own included.
    window: usize,
    /// Soft cap of scores.
    cap: Option<f32>,
    /// Scaled queries, `[rows * group, d]`; row `r * group + g`.
    pub(super) queries: Vec<f32>,
    /// First middle position, and the end of the middle per row (`start` where there is none).
    start: usize,
    pub(super) ends: Vec<usize>,
    factors: &'a [f32],
    dropped: bool,
}

/// Gradients of one head.
pub(super) struct HeadGradient {
    /// Of the rotated queries, `[rows, group * d]`.
    pub(super) q: Vec<f32>,
    /// Of the answer rows' own rotated keys and values, `[rows, d]`.
    pub(super) k: Vec<f32>,
    pub(super) v: Vec<f32>,
}

/// What the backward pass of one head finds out on the way. Rows are those of its queries, `rows *
/// group` of them.
pub(super) struct BackwardView<'a> {
    /// Softmax weights of all keys, `[.., tokens]`.
    pub(super) weights: &'a [f32],
    /// Gradient of the scores of the middle, `[.., middle]`; 0 outside a row's own middle. Empty
    /// where no row has a middle.
    pub(super) d_middle: &'a [f32],
    /// `d_middle` times the keys of the middle, `[.., d]`; empty where no row has a middle.
    pub(super) d_middle_keys: &'a [f32],
    /// Attention output and its gradient, `[.., d]`.
    pub(super) attended: &'a [f32],
    pub(super) d_attended: &'a [f32],
}

impl<'a> HeadJob<'a> {
    /// Gathers the head's part of `q`, `k`, `v` (rows of all blocks) and of the block's contexts.
    pub(super) fn new(
        config: &Config,
        pass: Pass<'a>,
        (block, first): (usize, usize),
        (layer, kv_head): (usize, usize),
        (q, k, v): (&[f32], &[f32], &[f32]),
    ) -> Self {
        let (d, group) = (config.head_dim, config.group());
        let (rows, block) = (pass.rows, &pass.rows.blocks[block]);
        let (count, before) = (block.tokens.len(), rows.before(block));
        let tokens = before + count;
        let (mut keys, mut values) =
            (Vec::with_capacity(tokens * d), Vec::with_capacity(tokens * d));
        for context in [rows.prefix, block.tail] {
            context.head(config, layer, kv_head, [&mut keys, &mut values]);
        }
        for (rows, out) in [(k, &mut keys), (v, &mut values)] {
            let own = rows.chunks_exact(config.kv_width()).skip(first).take(count);
            own.for_each(|row| out.extend_from_slice(&row[kv_head * d..(kv_head + 1) * d]));
        }
        let scale = AttentionScale::of(config.head_dim).f32();
        let queries = q[first * config.q_width()..(first + count) * config.q_width()]
            .chunks_exact(config.q_width())
            .flat_map(|row| {
                row[kv_head * group * d..(kv_head + 1) * group * d].iter().map(|x| x * scale)
            })
            .collect();
        // If the sink is longer than the sequence, there is no middle.
        let start = pass.window.sink.min(tokens);
        let ends = (0..count).map(|row| start + pass.middle(before + row)).collect();
        let (factors, dropped) = pass.factors.head(layer, kv_head);
        Self {
            d,
            group,
            rows: count,
            tokens,
            keys,
            values,
            scale,
            window: config.additions.kind(layer).window.unwrap_or(usize::MAX),
            cap: config.additions.score_cap,
            queries,
            start,
            ends,
            factors,
            dropped,
        }
    }

    /// The middle of the last row, and the first key after the sink that any row sees outside its
    /// middle.
    pub(super) fn middle(&self) -> (std::ops::Range<usize>, usize) {
        let end = |row: Option<&usize>| row.copied().unwrap_or(self.start);
        (self.start..end(self.ends.last()), end(self.ends.first()))
    }

    /// Scores before any cap, `[rows * group, tokens]`, of keys that a row may see.
    fn raw_scores(&self, dropped: bool) -> Result<Vec<f32>> {
        let (middle, whole_from) = self.middle();
        let mut scores = vec![0.0; self.rows * self.group * self.tokens];
        for range in [0..middle.start, whole_from..self.tokens] {
            self.scores(&self.queries, range, None, &mut scores)?;
        }
        if !middle.is_empty() && !dropped {
            self.scores(&self.scaled_queries(), middle.clone(), Some(middle.start), &mut scores)?;
        }
        Ok(scores)
    }

    /// Softmax weights, `[rows * group, tokens]`: 0 for keys that a row does not see. A dropped head
    /// does not see its middle.
    fn weights(&self, dropped: bool) -> Result<Vec<f32>> {
        let width = self.tokens;
        let mut scores = self.raw_scores(dropped)?;
        for (index, scores) in scores.chunks_exact_mut(width).enumerate() {
            let row = index / self.group;
            let seen = self.tokens - self.rows + row + 1;
            scores[seen..].fill(0.0);
            if let Some(cap) = self.cap {
                scores[..seen].iter_mut().for_each(|score| *score = cap * (*score / cap).tanh());
            }
            let first = seen.saturating_sub(self.window);
            scores[..first].fill(0.0);
            if dropped && self.ends[row] > self.start.max(first) {
                // A dropped head sees two runs of keys around its middle. They are joined,
                // weighted, and split again.
                let (start, end) = (self.start.max(first), self.ends[row]);
                let mut joined = [&scores[first..start], &scores[end..seen]].concat();
                normalise(&mut joined);
                let (before, after) = joined.split_at(start - first);
                scores[first..start].copy_from_slice(before);
                scores[start..end].fill(0.0);
                scores[end..seen].copy_from_slice(after);
            } else {
                normalise(&mut scores[first..seen]);
            }
        }
        Ok(scores)
    }

    /// Scores against the keys of `range`. With `middle_from`, only where a key is in the row's
    /// middle; otherwise only where it is not.
    fn scores(
        &self,
        queries: &[f32],
        range: std::ops::Range<usize>,
        middle_from: Option<usize>,
        scores: &mut [f32],
    ) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        let products = product_t(queries, self.keys_of(&range), self.d)?;
        let rows = scores.chunks_exact_mut(self.tokens).zip(products.chunks_exact(range.len()));
        for (index, (scores, products)) in rows.enumerate() {
            let end = self.ends[index / self.group].max(self.start);
            let (from, to) = match middle_from {
                Some(_) => (range.start, end.min(range.end)),
                None if range.start < self.start => (range.start, range.end),
                None => (end.max(range.start), range.end),
            };
            if from < to {
                scores[from..to].copy_from_slice(&products[from - range.start..to - range.start]);
            }
        }
        Ok(())
    }

    pub(super) fn keys_of(&self, range: &std::ops::Range<usize>) -> &[f32] {
        &self.keys[range.start * self.d..range.end * self.d]
    }

    fn scaled_queries(&self) -> Vec<f32> {
        self.queries
            .chunks_exact(self.d)
            .flat_map(|row| row.iter().zip(self.factors).map(|(q, factor)| q * factor))
            .collect()
    }

    /// The attention output, `[rows, group * d]`.
    pub(super) fn attend(&self) -> Result<Vec<f32>> {
        product(&self.weights(self.dropped)?, &self.values, self.tokens)
    }

    /// What the attention output would be if the head were dropped, `[rows, group * d]`.
    pub(super) fn attend_dropped(&self) -> Result<Vec<f32>> {
        product(&self.weights(true)?, &self.values, self.tokens)
    }

    /// Gradients, from the output and its gradient, both `[rows, group * d]`, and what `gather`
    /// makes of the head.
    pub(super) fn backward<T>(
        &self,
        attended: &[f32],
        d_attended: &[f32],
        gather: impl Fn(&Self, BackwardView<'_>) -> Result<T>,
    ) -> Result<(HeadGradient, T)> {
        let (d, width) = (self.d, self.tokens);
        let weights = self.weights(self.dropped)?;
        // dS = P (dP - rowsum(dO O)), with dP = dO V^T.
        let mut d_scores = product_t(d_attended, &self.values, d)?;
        let rows = d_scores.chunks_exact_mut(width).zip(weights.chunks_exact(width));
        for ((d_scores, weights), (out, d_out)) in
            rows.zip(attended.chunks_exact(d).zip(d_attended.chunks_exact(d)))
        {
            let mean: f32 = out.iter().zip(d_out).map(|(a, b)| a * b).sum();
            d_scores.iter_mut().zip(weights).for_each(|(ds, p)| *ds = p * (*ds - mean));
        }
        if let Some(cap) = self.cap {
            // Capped scores rise by 1 - (score / cap)².
            let raw = self.raw_scores(self.dropped)?;
            d_scores.iter_mut().zip(raw).for_each(|(ds, raw)| {
                *ds *= 1.0 - (raw / cap).tanh().powi(2);
            });
        }
        let (middle, _) = self.middle();
        let mut d_middle = vec![0.0; self.rows * self.group * middle.len()];
        if !middle.is_empty() {
            let rows =
                d_scores.chunks_exact_mut(width).zip(d_middle.chunks_exact_mut(middle.len()));
            for (index, (all, inside)) in rows.enumerate() {
                let own = &mut all[middle.start..self.ends[index / self.group].max(middle.start)];
                inside[..own.len()].copy_from_slice(own);
                own.fill(0.0);
            }
        }
        let mut dq = product(&d_scores, &self.keys, width)?;
        let mut inside = Vec::new();
        if !middle.is_empty() {
            inside = product(&d_middle, self.keys_of(&middle), middle.len())?;
            for (dq, inside) in dq.chunks_exact_mut(d).zip(inside.chunks_exact(d)) {
                for c in 0..d {
                    dq[c] += inside[c] * self.factors[c];
                }
            }
        }
        let gathered = gather(
            self,
            BackwardView {
                weights: &weights,
                d_middle: &d_middle,
                d_middle_keys: &inside,
                attended,
                d_attended,
            },
        )?;
        dq.iter_mut().for_each(|dq| *dq *= self.scale);
        let (mut k, mut v) = (vec![0.0; self.rows * d], vec![0.0; self.rows * d]);
        let own = self.tokens - self.rows;
        for index in 0..self.rows * self.group {
            let (q, d_out) = (&self.queries[index * d..][..d], &d_attended[index * d..][..d]);
            for row in 0..=index / self.group {
                let token = own + row;
                let outside = d_scores[index * width + token];
                let inside = if middle.contains(&token) {
                    d_middle[index * middle.len() + token - middle.start]
                } else {
                    0.0
                };
                let weight = weights[index * width + token];
                for c in 0..d {
                    k[row * d + c] += q[c] * (outside + inside * self.factors[c]);
                    v[row * d + c] += weight * d_out[c];
                }
            }
        }
        Ok((HeadGradient { q: dq, k, v }, gathered))
    }

    /// Gradient of the factors, `[d]`.
    pub(super) fn factor_gradient(&self, view: &BackwardView<'_>) -> Vec<f32> {
        let mut factors = vec![0.0; self.d];
        let rows = view.d_middle_keys.chunks_exact(self.d).zip(self.queries.chunks_exact(self.d));
        for (inside, q) in rows {
            for c in 0..self.d {
                factors[c] += inside[c] * q[c];
            }
        }
        factors
    }
}

/// Turns scores into weights that sum to 1.
fn normalise(scores: &mut [f32]) {
    let (_, _, sum) = ops::softmax_tile(scores, f32::NEG_INFINITY);
    scores.iter_mut().for_each(|weight| *weight /= sum);
}

/// Runs `job(block, first row, kv head)` for every block and head, and writes its `[rows, group *
/// d]` into `[rows, heads * d]`.
pub(super) fn gather(
    config: &Config,
    rows: &Rows<'_>,
    job: impl Fn(usize, usize, usize) -> Result<Vec<f32>> + Sync,
) -> Result<Vec<f32>> {
    let parts = each_head(config, rows, job)?;
    let (q_width, group_width) = (config.q_width(), config.group() * config.head_dim);
    let mut out = vec![0.0; rows.count * q_width];
    for (first, kv_head, part) in &parts {
        scatter(part, group_width, &mut out[first * q_width..], q_width, kv_head * group_width);
    }
    Ok(out)
}

/// One result per block and KV head, as (first row, KV head, result), in an order that does not
/// depend on the threads.
pub(super) fn each_head<T: Send>(
    config: &Config,
    rows: &Rows<'_>,
    job: impl Fn(usize, usize, usize) -> Result<T> + Sync,
) -> Result<Vec<(usize, usize, T)>> {
    let mut jobs = Vec::new();
    let mut first = 0;
    for (block, content) in rows.blocks.iter().enumerate() {
        jobs.extend((0..config.kv_heads).map(|kv_head| (block, first, kv_head)));
        first += content.tokens.len();
    }
    jobs.into_par_iter()
        .map(|(block, first, kv_head)| Ok((first, kv_head, job(block, first, kv_head)?)))
        .collect()
}

/// Copies rows of `width` into rows of `out_width`, starting at column `at`.
pub(super) fn scatter(part: &[f32], width: usize, out: &mut [f32], out_width: usize, at: usize) {
    for (part, out) in part.chunks_exact(width).zip(out.chunks_mut(out_width)) {
        out[at..at + width].copy_from_slice(part);
    }
}

fn failed(error: candle_core::Error) -> Error {
    Error::run(format!("attention of answer rows: {error}"))
}

/// `A B` for `a` of `[m, inner]` and `b` of `[inner, n]`.
pub(super) fn product(a: &[f32], b: &[f32], inner: usize) -> Result<Vec<f32>> {
    let run = || {
        let a = Tensor::from_slice(a, (a.len() / inner, inner), &Device::Cpu)?;
        a.matmul(&Tensor::from_slice(b, (inner, b.len() / inner), &Device::Cpu)?)?
            .flatten_all()?
            .to_vec1()
    };
    run().map_err(failed)
}

/// `A B^T` for `a` of `[m, inner]` and `b` of `[n, inner]`.
fn product_t(a: &[f32], b: &[f32], inner: usize) -> Result<Vec<f32>> {
    let run = || {
        let a = Tensor::from_slice(a, (a.len() / inner, inner), &Device::Cpu)?;
        a.matmul(&Tensor::from_slice(b, (b.len() / inner, inner), &Device::Cpu)?.t()?)?
            .flatten_all()?
            .to_vec1()
    };
    run().map_err(failed)
}
