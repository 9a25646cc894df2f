//! A decoder over tensors: a whole prompt at once, and what a decode step shares with it.

use std::fmt;
use std::sync::{Mutex, MutexGuard};

use candle_core::{DType, Device, Tensor};
use candle_nn::ops::{rms_norm, silu};
use candle_nn::rotary_emb::rope;

use super::attend::{Attend, rows};
use super::prefill::attend_causal;
use super::step::Steps;
use super::weights::{TensorLayer, TensorWeights};
use super::{Placement, failed};
use crate::Result;
use crate::cache::SequenceCache;
use crate::model::config::Config;
use crate::model::decoder::{LayerView, PrefillHooks};
use crate::model::rope::Rope;
use crate::model::rows::Rows;

/// Tokens of a prompt that pass the linear layers at once, at least: a card wants many rows.
const CHUNK: usize = 2048;

/// A decoder's weights on a device, and its attention.
pub struct TensorDecoder {
    pub(super) weights: TensorWeights,
    pub(super) device: Device,
    name: String,
    attend: Mutex<Attend>,
    steps: Mutex<Steps>,
}

impl fmt::Debug for TensorDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TensorDecoder").field("device", &self.name).finish_non_exhaustive()
    }
}

impl TensorDecoder {
    /// A decoder from its parts.
    pub fn new(weights: TensorWeights, placement: Placement) -> Self {
        let Placement { device, name, attend } = placement;
        Self { weights, device, name, attend: Mutex::new(attend), steps: Mutex::default() }
    }

    /// What the device is called.
    pub fn device_name(&self) -> &str {
        &self.name
    }

    pub(super) fn attend(&self) -> MutexGuard<'_, Attend> {
        self.attend.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(super) fn steps(&self) -> MutexGuard<'_, Steps> {
        self.steps.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The device of the weights.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// The weights.
    pub(crate) fn weights(&self) -> &TensorWeights {
        &self.weights
    }

    /// The embeddings of these tokens, f32 `[tokens, hidden]`.
    pub(crate) fn embedded(&self, tokens: &[u32]) -> candle_core::Result<Tensor> {
        let ids = Tensor::from_slice(tokens, tokens.len(), &self.device)?;
        self.weights.embedding.index_select(&ids, 0)?.to_dtype(DType::F32)
    }

    /// [`Decoder::prefill`](crate::model::decoder::Decoder::prefill) after its checks.
    pub(in crate::model) fn prefill(
        &self,
        (config, positions): (&Config, &Rope),
        tokens: &[u32],
        caches: &mut [&mut SequenceCache],
        hooks: PrefillHooks<'_>,
    ) -> Result<Vec<f32>> {
        let n = tokens.len();
        let attend = self.attend();
        attend.begin_prompt(caches, (config.heads, config.max_context), n)?;
        let mut x = self.embedded(tokens).map_err(failed)?;
        let (cos, sin) = positions.angles_of(0..n);
        let angle = |values| Tensor::from_vec(values, (n, config.head_dim / 2), &self.device).map_err(failed);
        let angles = [angle(cos)?, angle(sin)?];
        let chunk = hooks.chunk.max(CHUNK);
        for (at, layer) in self.weights.layers.iter().enumerate() {
            (hooks.progress)(at as f32 / config.layers as f32)?;
            let [q, k, v] = self.project_prompt(config, layer, &x, &angles, chunk).map_err(failed)?;
            attend.fill(caches, at, &k, &v)?;
            (hooks.observe)(LayerView { layer: at, q: Rows::on_device(&q), k: Rows::on_device(&k), v: Rows::on_device(&v) });
            let heads = |x: &Tensor, heads: usize| x.reshape((n, heads, config.head_dim)).map_err(failed);
            let (q, k, v) = (heads(&q, config.heads)?, heads(&k, config.kv_heads)?, heads(&v, config.kv_heads)?);
            let attended = attend_causal(&q, &k, &v, &mut || (hooks.keep_going)())?;
            x = self.finish_layer(config, layer, &x, &attended, chunk).map_err(failed)?;
        }
        let states = rms_norm(&x, &self.weights.norm, config.rms_eps).map_err(failed)?;
        (hooks.progress)(1.0)?;
        rows(&states)
    }

    /// Normalised projections of `x` `[n, hidden]`, q and k rotated by one row of angles each: `[n, width]` in f32.
    pub(super) fn project(
        &self,
        config: &Config,
        layer: &TensorLayer,
        x: &Tensor,
        [cos, sin]: [&Tensor; 2],
    ) -> candle_core::Result<[Tensor; 3]> {
        let n = x.dim(0)?;
        let qkv = layer.qkv.apply(&rms_norm(x, &layer.attention_norm, config.rms_eps)?)?;
        let (cos, sin) = (cos.unsqueeze(1)?, sin.unsqueeze(1)?);
        let part = |start: usize, heads: usize, norm: Option<&Tensor>| {
            let x = qkv.narrow(1, start, heads * config.head_dim)?.contiguous()?.reshape((n, heads, 1, config.head_dim))?;
            let x = norm.map_or(Ok(x.clone()), |norm| rms_norm(&x, norm, config.rms_eps))?;
            // Every token is a batch entry of one position.
            rope(&x, &cos, &sin)?.reshape((n, heads * config.head_dim))
        };
        let q = part(0, config.heads, layer.q_norm.as_ref())?;
        let k = part(config.q_width(), config.kv_heads, layer.k_norm.as_ref())?;
        let v = qkv.narrow(1, config.q_width() + config.kv_width(), config.kv_width())?.contiguous()?;
        Ok([q, k, v])
    }

    fn project_prompt(
        &self,
        config: &Config,
        layer: &TensorLayer,
        x: &Tensor,
        [cos, sin]: &[Tensor; 2],
        chunk: usize,
    ) -> candle_core::Result<[Tensor; 3]> {
        let n = x.dim(0)?;
        let mut pieces: [Vec<Tensor>; 3] = Default::default();
        for first in (0..n).step_by(chunk) {
            let rows = chunk.min(n - first);
            let angles = [&cos.narrow(0, first, rows)?, &sin.narrow(0, first, rows)?];
            let projected = self.project(config, layer, &x.narrow(0, first, rows)?, angles)?;
            pieces.iter_mut().zip(projected).for_each(|(pieces, piece)| pieces.push(piece));
        }
        let [q, k, v] = pieces.map(|pieces| Tensor::cat(&pieces, 0));
        Ok([q?, k?, v?])
    }

    /// Output projection, residuals and MLP: the residual stream after the layer.
    pub(super) fn finish_layer(
        &self,
        config: &Config,
        layer: &TensorLayer,
        x: &Tensor,
        attended: &Tensor,
        chunk: usize,
    ) -> candle_core::Result<Tensor> {
        let n = x.dim(0)?;
        let mut pieces = Vec::new();
        for first in (0..n).step_by(chunk) {
            let rows = chunk.min(n - first);
            let x = (x.narrow(0, first, rows)? + layer.output.apply(&attended.narrow(0, first, rows)?)?)?;
            let gate_up = layer.gate_up.apply(&rms_norm(&x, &layer.mlp_norm, config.rms_eps)?)?;
            let (gate, up) =
                (gate_up.narrow(1, 0, config.intermediate)?, gate_up.narrow(1, config.intermediate, config.intermediate)?);
            let gated = (silu(&gate.contiguous()?)? * up.contiguous()?)?;
            pieces.push((x + layer.down.apply(&gated)?)?);
        }
        Tensor::cat(&pieces, 0)
    }

    /// [`Decoder::fill`](crate::model::decoder::Decoder::fill).
    pub(in crate::model) fn fill(&self, config: &Config, cache: &mut SequenceCache, layer: usize, kv: [&[f32]; 2]) -> Result<()> {
        let tokens = kv[0].len() / config.kv_width();
        let attend = self.attend();
        if layer == 0 {
            attend.begin_prompt(&mut [&mut *cache], (config.heads, config.max_context), tokens)?;
        }
        let [k, v] = kv.map(|rows| Tensor::from_slice(rows, (tokens, config.kv_width()), &self.device).map_err(failed));
        attend.fill(&mut [cache], layer, &k?, &v?)
    }

    /// Logits of normalised hidden states on the host: `[n, hidden]` to `[n, vocab]`.
    pub(in crate::model) fn logits(&self, config: &Config, hidden: &[f32]) -> Result<Vec<f32>> {
        let shape = (hidden.len() / config.hidden, config.hidden);
        let logits = Tensor::from_slice(hidden, shape, &self.device).and_then(|states| self.weights.head.apply(&states));
        rows(&logits.map_err(failed)?)
    }
}
