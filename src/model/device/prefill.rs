//! Exact causal attention over a whole prompt, tiled by queries and keys, in f32: no score matrix
//! is larger than [`SCORE_BYTES`].

use candle_core::{D, DType, Device, Result, Tensor};

use super::product::{product, product_in_tf32};
use crate::attention::AttentionScale;

/// How the matrices of attention are multiplied.
type Multiply = fn(&Tensor, &Tensor) -> Result<Tensor>;

/// Queries of a tile.
const QUERIES: usize = 256;
/// Most bytes of a tile's scores.
const SCORE_BYTES: usize = 128 << 20;

/// Bytes of the largest tile of scores of a prompt.
pub(super) fn score_bytes(heads: usize, tokens: usize) -> usize {
    size_of::<f32>() * heads * QUERIES.min(tokens) * key_tile(heads).min(tokens)
}

/// Keys of a tile.
fn key_tile(heads: usize) -> usize {
    (SCORE_BYTES / (size_of::<f32>() * heads * QUERIES)).max(QUERIES)
}

/// Attention of `q` `[n, heads, head_dim]` over `k` and `v` `[n, kv_heads, head_dim]`, all f32;
/// token i sees tokens 0..=i. The result is `[n, heads * head_dim]`. In a model whose weights are
/// 16-bit or quantised (`is_narrow`), a GPU rounds the factors of its products to the precision of
/// f16, which a cache has as well. `each_tile` may cancel.
pub(super) fn attend_causal(
    [q, k, v]: [&Tensor; 3],
    scale: AttentionScale,
    is_narrow: bool,
    each_tile: &mut dyn FnMut() -> crate::Result<()>,
) -> crate::Result<Tensor> {
    let heads = q.dim(1).map_err(super::failed)?;
    let keys = key_tile(heads);
    let mut cancelled = None;
    let mut goes_on = || {
        cancelled = each_tile().err();
        cancelled.is_none()
    };
    let multiply = if is_narrow { product_in_tf32 } else { product };
    let out = attend_tiled([q, k, v], scale, (QUERIES, keys), multiply, &mut goes_on)
        .map_err(super::failed)?;
    cancelled.map_or(Ok(out), Err)
}

/// [`attend_causal`] in tiles of these sizes. After `goes_on` has returned false the result is
/// meaningless.
fn attend_tiled(
    [q, k, v]: [&Tensor; 3],
    scale: AttentionScale,
    (query_tile, key_tile): (usize, usize),
    multiply: Multiply,
    goes_on: &mut dyn FnMut() -> bool,
) -> Result<Tensor> {
    let (n, heads, d) = q.dims3()?;
    let kv_heads = k.dim(1)?;
    let group = heads / kv_heads;
    // [kv_heads, n, d] each: a run of keys is then a matrix without gaps.
    let keys = k.transpose(0, 1)?.contiguous()?;
    let values = v.transpose(0, 1)?.contiguous()?;
    let triangle = triangle(query_tile.min(n), q.device())?;
    let mut outputs = Vec::new();
    for first in (0..n).step_by(query_tile) {
        if !goes_on() {
            return Ok(q.clone());
        }
        let rows = query_tile.min(n - first);
        // [kv_heads, group * rows, d]: the query heads of a group are neighbours, each with all its
        // rows.
        let queries = (q.narrow(0, first, rows)?.permute((1, 0, 2))?.contiguous()? * scale.f64())?;
        let queries = queries.reshape((kv_heads, group * rows, d))?;
        let mut state = State::new([kv_heads, group * rows, d], multiply, q.device())?;
        // Every row sees all keys before the tile's own tokens.
        for key in (0..first).step_by(key_tile) {
            let width = key_tile.min(first - key);
            state.add(
                &multiply(&queries, &keys.narrow(1, key, width)?.t()?)?,
                &values.narrow(1, key, width)?,
            )?;
        }
        let scores = multiply(&queries, &keys.narrow(1, first, rows)?.t()?)?
            .reshape((kv_heads, group, rows, rows))?;
        let unseen = triangle.narrow(0, 0, rows)?.narrow(1, 0, rows)?;
        let scores = scores.broadcast_add(&unseen)?.reshape((kv_heads, group * rows, rows))?;
        state.add(&scores, &values.narrow(1, first, rows)?)?;
        let out = state.finish()?.reshape((heads, rows, d))?.transpose(0, 1)?.contiguous()?;
        outputs.push(out.reshape((rows, heads * d))?);
    }
    Tensor::cat(&outputs, 0)
}

/// 0 where a row sees a key of its own tile, minus infinity where the key comes after it; `[rows,
/// rows]`.
fn triangle(rows: usize, device: &Device) -> Result<Tensor> {
    let entry = |row: usize, key: usize| if key <= row { 0.0 } else { f32::NEG_INFINITY };
    let entries =
        (0..rows).flat_map(|row| (0..rows).map(move |key| entry(row, key))).collect::<Vec<f32>>();
    Tensor::from_vec(entries, (rows, rows), device)
}

/// Online softmax: largest score and sum of weights per row, and the weighted values relative to
/// them.
struct State {
    largest: Tensor,
    total: Tensor,
    sums: Tensor,
    multiply: Multiply,
}

impl State {
    fn new([kv_heads, rows, d]: [usize; 3], multiply: Multiply, device: &Device) -> Result<Self> {
        // The first tile holds key 0, which every row sees: a finite start changes no weight.
        let largest =
            (Tensor::ones((kv_heads, rows, 1), DType::F32, device)? * f64::from(f32::MIN))?;
        let total = Tensor::zeros((kv_heads, rows, 1), DType::F32, device)?;
        Ok(Self {
            largest,
            total,
            sums: Tensor::zeros((kv_heads, rows, d), DType::F32, device)?,
            multiply,
        })
    }

    fn add(&mut self, scores: &Tensor, values: &Tensor) -> Result<()> {
        let largest = self.largest.maximum(&scores.max_keepdim(D::Minus1)?)?;
        let factor = (&self.largest - &largest)?.exp()?;
        let weights = scores.broadcast_sub(&largest)?.exp()?;
        self.total = ((&self.total * &factor)? + weights.sum_keepdim(D::Minus1)?)?;
        self.sums = (self.sums.broadcast_mul(&factor)? + (self.multiply)(&weights, values)?)?;
        self.largest = largest;
        Ok(())
    }

    fn finish(self) -> Result<Tensor> {
        self.sums.broadcast_div(&self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_of_any_size_give_the_plain_softmax() {
        let (n, heads, kv_heads, d) = (53, 4, 2, 8);
        let numbers = |len: usize, seed: usize| -> Vec<f32> {
            (0..len).map(|i| ((i * 37 + seed) % 101) as f32 / 40.0 - 1.2).collect()
        };
        let rows =
            [numbers(n * heads * d, 1), numbers(n * kv_heads * d, 2), numbers(n * kv_heads * d, 3)];
        let mut expected = Vec::new();
        for token in 0..n {
            for head in 0..heads {
                let own = |rows: &[f32], of: usize, at: usize, count: usize| {
                    rows[(at * count + of) * d..][..d].to_vec()
                };
                let kv = head / (heads / kv_heads);
                let q = own(&rows[0], head, token, heads);
                let dot = |at: usize| -> f32 {
                    own(&rows[1], kv, at, kv_heads).iter().zip(&q).map(|(k, q)| k * q).sum()
                };
                let weights: Vec<f32> =
                    (0..=token).map(|at| (dot(at) / (d as f32).sqrt()).exp()).collect();
                let total: f32 = weights.iter().sum();
                expected.extend((0..d).map(|c| {
                    let value = |at: usize| rows[2][(at * kv_heads + kv) * d + c];
                    weights.iter().enumerate().map(|(at, weight)| weight * value(at)).sum::<f32>()
                        / total
                }));
            }
        }
        let tensor = |rows: &[f32], heads: usize| {
            Tensor::from_slice(rows, (n, heads, d), &Device::Cpu).unwrap()
        };
        let [q, k, v] =
            [tensor(&rows[0], heads), tensor(&rows[1], kv_heads), tensor(&rows[2], kv_heads)];
        for tiles in [(7, 10), (16, 16), (53, 53), (64, 5), (1, 1)] {
            let found =
                attend_tiled([&q, &k, &v], AttentionScale::of(d), tiles, product, &mut || true)
                    .unwrap()
                    .flatten_all()
                    .unwrap()
                    .to_vec1::<f32>()
                    .unwrap();
            for (found, expected) in found.iter().zip(&expected) {
                assert!((found - expected).abs() < 1e-5, "{tiles:?}: {found} is not {expected}");
            }
        }
    }
}
