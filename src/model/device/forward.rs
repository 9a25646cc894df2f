//! One decoder layer over tensors, before and after its attention.

use candle_core::Tensor;
use candle_nn::ops::rms_norm;
use candle_nn::rotary_emb::rope;

use super::weights::TensorLayer;
use crate::model::config::Config;

impl TensorLayer {
    /// Normalised projections of `x` `[n, hidden]`, q and k rotated by one row of angles each: `[n,
    /// width]` in f32.
    pub(super) fn project(
        &self,
        config: &Config,
        x: &Tensor,
        [cos, sin]: [&Tensor; 2],
    ) -> candle_core::Result<[Tensor; 3]> {
        let n = x.dim(0)?;
        let qkv = self.qkv.apply(&self.attention.enter(config, x)?)?;
        let (cos, sin) = (cos.unsqueeze(1)?, sin.unsqueeze(1)?);
        let part = |start: usize, heads: usize, norm: Option<&Tensor>| {
            let width = heads * config.head_dim;
            let x = qkv.narrow(1, start, width)?.contiguous()?;
            let x = match norm {
                Some(norm) => {
                    let normed = norm.elem_count();
                    rms_norm(&x.reshape((n, width / normed, normed))?, norm, config.rms_eps)?
                }
                None => x,
            };
            // Every token is a batch entry of one position.
            rope(&x.reshape((n, heads, 1, config.head_dim))?, &cos, &sin)?.reshape((n, width))
        };
        let mut q = part(0, config.heads, self.q_norm.as_ref())?;
        let factor = config.query_factor();
        if factor != 1.0 {
            q = (q * f64::from(factor))?;
        }
        let k = part(config.q_width(), config.kv_heads, self.k_norm.as_ref())?;
        let v =
            qkv.narrow(1, config.q_width() + config.kv_width(), config.kv_width())?.contiguous()?;
        Ok([q, k, v])
    }

    /// [`Self::project`], a limited number of rows at a time.
    pub(super) fn project_prompt(
        &self,
        config: &Config,
        x: &Tensor,
        [cos, sin]: &[Tensor; 2],
        chunk: usize,
    ) -> candle_core::Result<[Tensor; 3]> {
        let n = x.dim(0)?;
        let mut pieces: [Vec<Tensor>; 3] = Default::default();
        for first in (0..n).step_by(chunk) {
            let rows = chunk.min(n - first);
            let angles = [&cos.narrow(0, first, rows)?, &sin.narrow(0, first, rows)?];
            let projected = self.project(config, &x.narrow(0, first, rows)?, angles)?;
            pieces.iter_mut().zip(projected).for_each(|(pieces, piece)| pieces.push(piece));
        }
        let [q, k, v] = pieces.map(|pieces| Tensor::cat(&pieces, 0));
        Ok([q?, k?, v?])
    }

    /// Output projection, residuals and MLP, a limited number of rows at a time: the residual
    /// stream after the layer.
    pub(super) fn finish(
        &self,
        config: &Config,
        x: &Tensor,
        attended: &Tensor,
        chunk: usize,
    ) -> candle_core::Result<Tensor> {
        let n = x.dim(0)?;
        let mut pieces = Vec::new();
        for first in (0..n).step_by(chunk) {
            let rows = chunk.min(n - first);
            let delta = self.output.apply(&attended.narrow(0, first, rows)?)?;
            let x = self.attention.leave(config, &delta, &x.narrow(0, first, rows)?)?;
            let gate_up = self.gate_up.apply(&self.mlp.enter(config, &x)?)?;
            let (gate, up) = (
                gate_up.narrow(1, 0, config.intermediate)?,
                gate_up.narrow(1, config.intermediate, config.intermediate)?,
            );
            let gated = config.activation().gate_tensors(&gate.contiguous()?, &up.contiguous()?)?;
            pieces.push(self.mlp.leave(config, &self.down.apply(&gated)?, &x)?);
        }
        Tensor::cat(&pieces, 0)
    }
}
