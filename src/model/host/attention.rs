//! Exact causal attention over a whole prompt, tiled by queries and keys: no score matrix is larger
//! than one tile.

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use crate::attention::AttentionScale;
use crate::model::config::Config;
use crate::model::host::ops;
use crate::{Error, Result};

const QUERY_TILE: usize = 128;
const KEY_TILE: usize = 1024;

/// Replaces the queries in `q` (`[n, heads * head_dim]`, rotated) by their attention output over
/// `k` and `v` (`[n, kv_heads * head_dim]`); token `i` sees tokens `0..=i`, or as many of them as the
/// layer's window has. `keep_going` is called once per tile.
pub fn attend_causal(
    config: &Config,
    layer: usize,
    q: &mut [f32],
    k: &[f32],
    v: &[f32],
    keep_going: &(dyn Fn() -> Result<()> + Sync),
) -> Result<()> {
    let (d, group, q_width) = (config.head_dim, config.group(), config.q_width());
    let tokens = q.len() / q_width;
    let keys = per_head(k, config, tokens)?;
    let values = per_head(v, config, tokens)?;
    let window = config.additions.kind(layer).window.unwrap_or(usize::MAX);
    let cap = config.additions.score_cap;
    let scale = AttentionScale::of(d).f32();
    q.par_chunks_mut(QUERY_TILE * q_width).enumerate().try_for_each(|(tile, q)| {
        let first = tile * QUERY_TILE;
        let rows = q.len() / q_width;
        (0..config.kv_heads).try_for_each(|head| {
            keep_going()?;
            let columns = head * group * d..(head + 1) * group * d;
            // A token's query heads of one group become neighbouring rows: row r is of token r /
            // group.
            let queries: Vec<f32> = q
                .chunks_exact(q_width)
                .flat_map(|row| row[columns.clone()].iter().map(|x| x * scale))
                .collect();
            let tile = Tile { d, group, first, rows, window, cap };
            let out = attend_tile(&queries, &keys[head], &values[head], tile).map_err(failed)?;
            for (row, out) in q.chunks_exact_mut(q_width).zip(out.chunks_exact(group * d)) {
                row[columns.clone()].copy_from_slice(out);
            }
            Ok(())
        })
    })
}

fn failed(error: candle_core::Error) -> Error {
    Error::run(format!("prefill attention: {error}"))
}

/// `[n, kv_heads * head_dim]` as one `[n, head_dim]` tensor per head.
fn per_head(x: &[f32], config: &Config, tokens: usize) -> Result<Vec<Tensor>> {
    let d = config.head_dim;
    (0..config.kv_heads)
        .map(|head| {
            let own = x
                .chunks_exact(config.kv_width())
                .flat_map(|row| &row[head * d..(head + 1) * d])
                .copied()
                .collect();
            Tensor::from_vec::<_, f32>(own, (tokens, d), &Device::Cpu).map_err(failed)
        })
        .collect()
}

/// The query rows of one tile and what they see.
#[derive(Clone, Copy)]
struct Tile {
    d: usize,
    group: usize,
    /// Position of the first row.
    first: usize,
    rows: usize,
    /// Most tokens that a row sees.
    window: usize,
    cap: Option<f32>,
}

/// Online softmax over key tiles for the query rows of one tile; returns `[rows * group, d]`.
fn attend_tile(
    queries: &[f32],
    keys: &Tensor,
    values: &Tensor,
    Tile { d, group, first, rows, window, cap }: Tile,
) -> candle_core::Result<Vec<f32>> {
    let query_rows = rows * group;
    let q = Tensor::from_slice(queries, (query_rows, d), &Device::Cpu)?;
    let mut out = vec![0.0_f32; query_rows * d];
    let mut max = vec![f32::NEG_INFINITY; query_rows];
    let mut sum = vec![0.0_f32; query_rows];
    let visible = first + rows;
    let before = (first + 1).saturating_sub(window);
    for key in (before / KEY_TILE * KEY_TILE..visible).step_by(KEY_TILE) {
        let width = KEY_TILE.min(visible - key);
        let mut scores =
            q.matmul(&keys.narrow(0, key, width)?.t()?)?.flatten_all()?.to_vec1::<f32>()?;
        for (row, scores) in scores.chunks_exact_mut(width).enumerate() {
            let end = first + row / group + 1;
            let seen = end.saturating_sub(key).min(width);
            let unseen = end.saturating_sub(window).saturating_sub(key).min(seen);
            scores[seen..].fill(0.0);
            scores[..unseen].fill(0.0);
            if seen == unseen {
                continue;
            }
            let scores = &mut scores[unseen..seen];
            if let Some(cap) = cap {
                scores.iter_mut().for_each(|score| *score = cap * (*score / cap).tanh());
            }
            let (new_max, factor, tile_sum) = ops::softmax_tile(scores, max[row]);
            max[row] = new_max;
            sum[row] = sum[row] * factor + tile_sum;
            ops::scale(&mut out[row * d..(row + 1) * d], factor);
        }
        let weights = Tensor::from_vec(scores, (query_rows, width), &Device::Cpu)?;
        let part =
            weights.matmul(&values.narrow(0, key, width)?)?.flatten_all()?.to_vec1::<f32>()?;
        ops::add(&mut out, &part);
    }
    for (out, sum) in out.chunks_exact_mut(d).zip(&sum) {
        ops::scale(out, 1.0 / sum);
    }
    Ok(out)
}
