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
        let qkv = self.qkv.apply(&rms_norm(x, &self.attention_norm, config.rms_eps)?)?;
        let (cos, sin) = (cos.unsqueeze(1)?, sin.unsqueeze(1)?);
        let part = |start: usize, heads: usize, norm: Option<&Tensor>| {
            let x = qkv.narrow(1, start, heads * config.head_dim)?.contiguous()?.reshape((
                n,
                heads,
                1,
                config.head_dim,
            ))?;
            let x = norm.map_or(Ok(x.clone()), |norm| rms_norm(&x, norm, config.rms_eps))?;
            // Every token is a batch entry of one position.
            rope(&x, &cos, &sin)?.reshape((n, heads * config.head_dim))
        };
        let q = part(0, config.heads, self.q_norm.as_ref())?;
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
            let x = (x.narrow(0, first, rows)?
                + self.output.apply(&attended.narrow(0, first, rows)?)?)?;
            let gate_up = self.gate_up.apply(&rms_norm(&x, &self.mlp_norm, config.rms_eps)?)?;
            let (gate, up) = (
                gate_up.narrow(1, 0, config.intermediate)?,
                gate_up.narrow(1, config.intermediate, config.intermediate)?,
            );
            let gated = config.activation().gate_tensors(&gate.contiguous()?, &up.contiguous()?)?;
            pieces.push((x + self.down.apply(&gated)?)?);
        }
        Tensor::cat(&pieces, 0)
    }
}
