//! Attention of a prompt's tokens over the rows of one layer (`kernels/cuda/prefill.cuh`): kernels,
//! grids and shared memory.

use super::launch::{HEAD_DIMS, Kernel, KernelShape, Launch, Params};
use super::params::PrefillParams;
use crate::attention::AttentionScale;
use crate::element::Dtype;

/// A window of more keys than there are.
const MOST_KEYS: u32 = i32::MAX as u32;

/// What a kernel of prompt attention is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PrefillKernel {
    /// Element type.
    pub dtype: Dtype,
    /// Channels per head.
    pub head_dim: usize,
}

impl PrefillKernel {
    /// Warps of a block.
    const WARPS: usize = 4;
    /// Threads of a block.
    pub(super) const THREADS: u32 = Self::WARPS as u32 * 32;
    /// Blocks that fit the registers of a multiprocessor.
    pub(super) const RESIDENT: usize = 2;

    pub(super) fn all() -> impl Iterator<Item = Self> {
        let of = |dtype| HEAD_DIMS.map(|head_dim| Self { dtype, head_dim });
        [Dtype::F16, Dtype::Bf16].into_iter().flat_map(of)
    }

    /// Tokens of a block: 16 per warp and product, and a warp makes two with each key up to d 128.
    pub fn tokens(self) -> usize {
        Self::WARPS * 16 * if self.head_dim > 128 { 1 } else { 2 }
    }

    /// Keys of a tile.
    pub fn keys(self) -> usize {
        if self.head_dim == 128 { 48 } else { 64 }
    }

    /// The queries of a block, and one stage of keys and of values; a row is an odd number of
    /// 16-byte units.
    pub fn shared_bytes(self) -> usize {
        let pitch = ((self.head_dim / 8) | 1) * 16;
        (self.tokens() + 2 * self.keys()) * pitch
    }
}

/// Consecutive tokens of a prompt that attend to each other and to all earlier ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PromptPart {
    /// Position of the first token.
    pub first: usize,
    /// Number of tokens, at least one.
    pub tokens: usize,
    /// Number of tokens that one attends to, itself included and at least one; `None` for all.
    pub window: Option<usize>,
    /// The soft cap of scores, above 0.
    pub cap: Option<f32>,
}

impl PromptPart {
    /// Tokens whose scores are not limited in any way.
    pub fn new(first: usize, tokens: usize) -> Self {
        Self { first, tokens, window: None, cap: None }
    }
}

impl KernelShape {
    /// Launches attention of a part of a prompt. `q` and `out` are addresses of its tokens' rows,
    /// `[tokens, heads, head_dim]`; `k` and `v` of all rows up to its last token, `[first + tokens,
    /// kv_heads, head_dim]`.
    pub fn prefill(&self, part: PromptPart, [q, k, v, out]: [u64; 4]) -> Launch {
        let kernel = PrefillKernel { dtype: self.dtype(), head_dim: self.head_dim() };
        let (kv_heads, group) = (self.kv_heads() as u32, self.group() as u32);
        let scale = AttentionScale::of(self.head_dim()).base_two();
        let cap = part.cap.map_or(0.0, |cap| cap * std::f32::consts::LOG2_E);
        let steep = if cap > 0.0 { 2.0 * std::f32::consts::LOG2_E * scale / cap } else { 0.0 };
        let params = PrefillParams {
            q,
            k,
            v,
            out,
            first: part.first as u32,
            queries: part.tokens as u32,
            kv_heads,
            group,
            window: part.window.map_or(MOST_KEYS, |window| window.min(MOST_KEYS as usize) as u32),
            scale,
            cap,
            steep,
        };
        Launch {
            kernel: Kernel::Prefill(kernel),
            grid: [kv_heads * group, part.tokens.div_ceil(kernel.tokens()) as u32, 1],
            params: Params::Prefill(params),
        }
    }
}
