//! A prompt through a layer in parts, with attention by the device's own kernels. Of the whole prompt there
//! are only the residual stream and one layer's keys and values, in 16 bits.

use candle_core::{D, DType, Device, Tensor};

use super::attend::{Attend, DeviceAttend, dtype, remote, rows};
use super::failed;
use super::prefill::score_bytes;
use super::weights::TensorLayer;
use crate::attention::cuda::{KernelShape, PromptPart};
use crate::cache::SequenceCache;
use crate::element::Dtype;
use crate::model::config::Config;
use crate::{Error, Result};

/// Keys (after RoPE) and values of one layer, `[tokens, kv_heads * head_dim]` in the kernels' type.
pub(super) struct PromptRows {
    kernels: KernelShape,
    k: Tensor,
    v: Tensor,
}

/// A layer, and how a prompt goes through it.
#[derive(Clone, Copy)]
pub(super) struct Passage<'a> {
    pub(super) config: &'a Config,
    pub(super) layer: &'a TensorLayer,
    /// The layer's number.
    pub(super) at: usize,
    /// cos and sin of every token.
    pub(super) turns: &'a [Tensor; 2],
    /// Tokens of a part.
    pub(super) chunk: usize,
}

/// The kernels for a prompt of a model whose weights are nearest to this 16-bit type: those of the
/// caches' type, which has been found to hold their keys, or of the weights' where there are none.
/// `None` for an f32 model, and where there is no device with such kernels.
pub(super) fn prompt_kernels(
    attend: &Attend,
    narrow: Option<Dtype>,
    config: &Config,
    caches: &[&mut SequenceCache],
) -> Option<KernelShape> {
    let (Attend::Device(_), Some(narrow)) = (attend, narrow) else { return None };
    let mut types = caches.iter().map(|cache| cache.spec().dtype());
    let first = types.next().unwrap_or(narrow);
    let is_one = types.all(|other| other == first);
    KernelShape::new(config.mask_shape(), config.heads, first).ok().filter(|_| is_one)
}

/// Bytes on a device of a prompt that goes through the layers in parts: the residual stream, one
/// layer's keys and values, and what a part takes inside a layer.
pub(super) fn prompt_bytes(config: &Config, tokens: usize, chunk: usize) -> u64 {
    let kv = config.kv_width();
    let whole = 4 * config.hidden + 2 * 2 * kv + 4 * config.head_dim;
    (tokens * whole + chunk.min(tokens) * part_bytes(config)) as u64
}

/// The same of a prompt that goes through each layer whole, in f32: queries, keys and values twice
/// while they are put together or turned, what is attended twice, the residual stream before and
/// after, and three matrices of scores.
pub(super) fn whole_prompt_bytes(config: &Config, tokens: usize, chunk: usize) -> u64 {
    let (q, kv) = (config.q_width(), config.kv_width());
    let whole = 4 * (2 * config.hidden + 3 * q + 4 * kv + config.head_dim);
    let scores = 3 * score_bytes(config.heads, tokens);
    (tokens * whole + scores + chunk.min(tokens) * part_bytes(config)) as u64
}

/// Bytes that a token takes inside the linear layers: f32, and 16 bits where a product or the kernel
/// reads it.
fn part_bytes(config: &Config) -> usize {
    let (q, kv) = (config.q_width(), config.kv_width());
    6 * (3 * config.hidden + 2 * q + 2 * kv + 4 * config.intermediate)
}

impl PromptRows {
    /// Room for the rows of so many tokens.
    pub(super) fn new(kernels: KernelShape, tokens: usize, device: &Device) -> Result<Self> {
        let shape = (tokens, kernels.kv_heads() * kernels.head_dim());
        let room = || Tensor::zeros(shape, dtype(kernels.dtype()), device).map_err(failed);
        Ok(Self { kernels, k: room()?, v: room()? })
    }

    /// Replaces the residual stream `x`, f32 `[tokens, hidden]`, by the one after the layer, and
    /// stores the layer's keys and values in every cache. `each_part` gets the share done, and may
    /// cancel.
    pub(super) fn pass(
        &self,
        device: &dyn DeviceAttend,
        of: Passage<'_>,
        x: &Tensor,
        caches: &mut [&mut SequenceCache],
        each_part: &mut dyn FnMut(f32) -> Result<()>,
    ) -> Result<()> {
        let tokens = x.dim(0).map_err(failed)?;
        let mut remainders = Vec::new();
        for first in (0..tokens).step_by(of.chunk) {
            each_part(first as f32 / tokens as f32)?;
            let count = of.chunk.min(tokens - first);
            let next = self.part(device, of, x, (first, count), &mut remainders)?;
            x.slice_set(&next, 0, first).map_err(failed)?;
        }
        let remainders = Tensor::cat(&remainders, 0).and_then(|all| all.to_vec1::<f32>());
        let fits = remainders.map_err(failed)?.iter().all(|&remainder| remainder == 0.0);
        for cache in caches {
            // What fits bf16 may be beyond what codes hold.
            let codes_hold = cache.spec().dtype() == Dtype::F16 || cache.spec().plan().is_mask();
            if !(fits && codes_hold) {
                let wide = |x: &Tensor| rows(&x.to_dtype(DType::F32).map_err(failed)?);
                cache.check_fits(of.at, 0, &wide(&self.k)?, &wide(&self.v)?)?;
            }
            device.fill(remote(cache)?, of.at, &self.k, &self.v)?;
        }
        match fits {
            true => Ok(()),
            false => Err(Error::input(format!(
                "layer {}: a query, key or value of this prompt is beyond what {} holds, in which a GPU multiplies it",
                of.at,
                self.kernels.dtype()
            ))),
        }
    }

    /// The residual stream of `count` tokens from `first` on after the layer. `remainders` gets what
    /// is 0 for every row of finite numbers.
    fn part(
        &self,
        device: &dyn DeviceAttend,
        of: Passage<'_>,
        x: &Tensor,
        (first, count): (usize, usize),
        remainders: &mut Vec<Tensor>,
    ) -> Result<Tensor> {
        let Passage { config, layer, at, turns: [cos, sin], chunk } = of;
        let mut narrowed = || -> candle_core::Result<(Tensor, Tensor)> {
            let x = x.narrow(0, first, count)?;
            let angles = [&cos.narrow(0, first, count)?, &sin.narrow(0, first, count)?];
            let mut narrowed = Vec::new();
            for wide in layer.project(config, &x, angles)? {
                let narrow = wide.to_dtype(self.k.dtype())?;
                // A finite number times zero is zero, any other is no number.
                remainders.push((narrow.to_dtype(DType::F32)? * 0.0)?.sum(D::Minus1)?);
                narrowed.push(narrow);
            }
            self.k.slice_set(&narrowed[1], 0, first)?;
            self.v.slice_set(&narrowed[2], 0, first)?;
            Ok((x, narrowed.swap_remove(0)))
        };
        let (x, q) = narrowed().map_err(failed)?;
        let part = PromptPart {
            first,
            tokens: count,
            window: config.additions.kind(at).window,
            cap: config.additions.score_cap,
        };
        let attended = device.attend_prompt(self.kernels, part, [&q, &self.k, &self.v])?;
        attended
            .to_dtype(DType::F32)
            .and_then(|attended| layer.finish(config, &x, &attended, chunk))
            .map_err(failed)
    }
}
