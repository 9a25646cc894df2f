//! The specification of a cache: geometry, window, element type and mask. It never changes, and
//! sequences share it.

use super::CacheBytes;
use crate::element::Dtype;
use crate::mask::{ChannelMask, Shape, Window};
use crate::{Error, Result};

/// Geometry, window, element type and mask of a cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheSpec {
    window: Window,
    dtype: Dtype,
    mask: ChannelMask,
    /// Kept channels in ascending order, one list per layer and KV head.
    kept: Vec<Box<[usize]>>,
}

impl CacheSpec {
    /// A specification; refuses a mask of another shape and a chunk of no tokens.
    pub fn new(shape: Shape, window: Window, dtype: Dtype, mask: ChannelMask) -> Result<Self> {
        if mask.shape() != shape {
            return Err(Error::input(format!(
                "the mask has shape {}, the cache {shape}",
                mask.shape()
            )));
        }
        if window.chunk == 0 {
            return Err(Error::input("a chunk holds at least 1 token, not 0"));
        }
        if shape.entries() == 0 {
            return Err(Error::input(format!(
                "a cache needs at least one layer, KV head and channel, not {shape}"
            )));
        }
        let heads =
            (0..shape.layers).flat_map(|layer| (0..shape.kv_heads).map(move |head| (layer, head)));
        let kept =
            heads.map(|(layer, head)| mask.kept_channels(layer, head).into_boxed_slice()).collect();
        Ok(Self { window, dtype, mask, kept })
    }

    /// The dense cache of this geometry: every channel of every token.
    pub fn dense(shape: Shape, window: Window, dtype: Dtype) -> Result<Self> {
        Self::new(shape, window, dtype, ChannelMask::full(shape))
    }

    /// Layers, KV heads and channels.
    pub fn shape(&self) -> Shape {
        self.mask.shape()
    }

    /// Sink, recent and chunk.
    pub fn window(&self) -> Window {
        self.window
    }

    /// Element type of keys and values.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The mask.
    pub fn mask(&self) -> &ChannelMask {
        &self.mask
    }

    /// The channels that the middle of one head keeps, ascending; empty for a dropped head.
    pub fn kept(&self, layer: usize, kv_head: usize) -> &[usize] {
        &self.kept[layer * self.shape().kv_heads + kv_head]
    }

    /// Whether every key is stored with every channel.
    pub fn is_dense(&self) -> bool {
        self.mask.is_full()
    }

    /// Bytes that one sequence of `len` tokens stores, in closed form (LeanK's layout): with `M`
    /// middle and `F` other tokens and `e` bytes per element, each KV head takes `M e c` for its
    /// `c` kept key channels, `M e d` for its middle values unless `c = 0`, and `F e d` twice for
    /// the window.
    pub fn bytes_at(&self, len: usize) -> CacheBytes {
        let shape = self.shape();
        (0..shape.layers).map(|layer| self.layer_bytes_at(layer, len)).sum()
    }

    /// The part of [`Self::bytes_at`] that one layer stores.
    pub fn layer_bytes_at(&self, layer: usize, len: usize) -> CacheBytes {
        let Shape { kv_heads, head_dim, .. } = self.shape();
        let middle = self.window.middle(len) * self.dtype.bytes();
        let window = len * self.dtype.bytes() - middle;
        let counts = || (0..kv_heads).map(|head| self.kept(layer, head).len());
        CacheBytes {
            middle_k: middle * counts().sum::<usize>(),
            middle_v: middle * head_dim * counts().filter(|&count| count > 0).count(),
            window_k: window * head_dim * kv_heads,
            window_v: window * head_dim * kv_heads,
        }
    }
}
