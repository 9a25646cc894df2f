//! Exact causal attention over a whole prompt, tiled by queries and keys, in f32: no score matrix is larger than
//! [`SCORE_BYTES`].

use candle_core::{D, DType, Device, Result, Tensor};

/// Queries of a tile.
const QUERIES: usize = 256;
/// Most bytes of a tile's scores.
const SCORE_BYTES: usize = 128 << 20;

/// Attention of `q` `[n, heads, head_dim]` over `k` and `v` `[n, kv_heads, head_dim]`, all f32; token i sees tokens 0..=i. The
/// result is `[n, heads * head_dim]`. `each_tile` may cancel.
pub(super) fn attend_causal(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    each_tile: &mut dyn FnMut() -> crate::Result<()>,
) -> crate::Result<Tensor> {
    let mut run = || -> Result<Option<Tensor>> {
        let (n, heads, d) = q.dims3()?;
        let kv_heads = k.dim(1)?;
        let group = heads / kv_heads;
        // [kv_heads, d, n] and [kv_heads, n, d].
        let keys = k.permute((1, 2, 0))?.contiguous()?;
        let values = v.transpose(0, 1)?.contiguous()?;
        let key_tile = (SCORE_BYTES / (size_of::<f32>() * heads * QUERIES.min(n))).max(QUERIES) / QUERIES * QUERIES;
        let mut outputs = Vec::new();
        for first in (0..n).step_by(QUERIES) {
            if each_tile().is_err() {
                return Ok(None);
            }
            let rows = QUERIES.min(n - first);
            // [kv_heads, group * rows, d]: the query heads of a group are neighbours, each with all its rows.
            let queries = (q.narrow(0, first, rows)?.permute((1, 0, 2))?.contiguous()? * (1.0 / (d as f64).sqrt()))?;
            let queries = queries.reshape((kv_heads, group * rows, d))?;
            let mut state = State::new(kv_heads, group * rows, d, q.device())?;
            for key in (0..first + rows).step_by(key_tile) {
                let width = key_tile.min(first + rows - key);
                let mut scores = queries.matmul(&keys.narrow(2, key, width)?)?;
                if key + width > first + 1 {
                    scores = unseen(first, rows, key, width, group, q.device())?.broadcast_add(&scores)?;
                }
                state.add(&scores, &values.narrow(1, key, width)?)?;
            }
            let out = state.finish()?.reshape((heads, rows, d))?.transpose(0, 1)?.contiguous()?;
            outputs.push(out.reshape((rows, heads * d))?);
        }
        Tensor::cat(&outputs, 0).map(Some)
    };
    match run().map_err(super::failed)? {
        Some(out) => Ok(out),
        None => Err(each_tile().err().unwrap_or(crate::Error::Cancelled)),
    }
}

/// 0 where a row of the tile sees a key, minus infinity where the key comes after it; `[1, group * rows, width]`.
fn unseen(first: usize, rows: usize, key: usize, width: usize, group: usize, device: &Device) -> Result<Tensor> {
    let one = (0..rows).flat_map(|row| (0..width).map(move |at| if key + at <= first + row { 0.0 } else { f32::NEG_INFINITY }));
    let one = Tensor::from_vec(one.collect::<Vec<f32>>(), (1, rows, width), device)?;
    one.repeat((group, 1, 1))?.reshape((1, group * rows, width))
}

/// Online softmax: largest score and sum of weights per row, and the weighted values relative to them.
struct State {
    largest: Tensor,
    total: Tensor,
    sums: Tensor,
}

impl State {
    fn new(kv_heads: usize, rows: usize, d: usize, device: &Device) -> Result<Self> {
        // A first tile holds key 0, which every row sees: a finite start changes no weight.
        let largest = (Tensor::ones((kv_heads, rows, 1), DType::F32, device)? * f64::from(f32::MIN))?;
        let total = Tensor::zeros((kv_heads, rows, 1), DType::F32, device)?;
        Ok(Self { largest, total, sums: Tensor::zeros((kv_heads, rows, d), DType::F32, device)? })
    }

    fn add(&mut self, scores: &Tensor, values: &Tensor) -> Result<()> {
        let largest = self.largest.maximum(&scores.max_keepdim(D::Minus1)?)?;
        let factor = (&self.largest - &largest)?.exp()?;
        let weights = scores.broadcast_sub(&largest)?.exp()?;
        self.total = ((&self.total * &factor)? + weights.sum_keepdim(D::Minus1)?)?;
        self.sums = (self.sums.broadcast_mul(&factor)? + weights.matmul(values)?)?;
        self.largest = largest;
        Ok(())
    }

    fn finish(self) -> Result<Tensor> {
        self.sums.broadcast_div(&self.total)
    }
}
