//! The specification of a cache: geometry, window, element type and plan. It never changes, and
//! sequences share it.

use std::ops::Range;
use std::sync::Arc;

use super::coded::BlockLayout;
use super::{BLOCK, CacheBytes, Sight};
use crate::element::Dtype;
use crate::mask::{CachePlan, ChannelMask, HeadBytes, Shape, Window, group_tokens};
use crate::{Error, Result};

/// Geometry, window, element type and plan of a cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheSpec {
    window: Window,
    dtype: Dtype,
    plan: CachePlan,
    /// Kept channels in ascending order, one list per layer and KV head.
    kept: Vec<Box<[usize]>>,
    /// Layouts of the middle of heads that have codes, one per layer and KV head.
    layouts: Vec<Option<BlockLayout>>,
    /// What the middle of each head takes: screens ask for bytes in every frame.
    heads: Vec<HeadBytes>,
    sight: Arc<Sight>,
    /// Whether a dense cache, too, frees what its layers no longer see.
    forgets: bool,
}

impl CacheSpec {
    /// The specification of a cache that stores what a mask keeps; refuses a mask of another shape
    /// and a chunk of no tokens.
    pub fn new(shape: Shape, window: Window, dtype: Dtype, mask: ChannelMask) -> Result<Self> {
        if mask.shape() != shape {
            return Err(Error::input(format!(
                "the mask has shape {}, the cache {shape}",
                mask.shape()
            )));
        }
        Self::planned(window, dtype, CachePlan::of_mask(&mask))
    }

    /// The specification of a cache that stores what a plan says; refuses a chunk of no tokens.
    pub fn planned(window: Window, dtype: Dtype, plan: CachePlan) -> Result<Self> {
        let shape = plan.shape();
        if window.chunk == 0 {
            return Err(Error::input("a chunk holds at least 1 token, not 0"));
        }
        if shape.entries() == 0 {
            return Err(Error::input(format!(
                "a cache needs at least one layer, KV head and channel, not {shape}"
            )));
        }
        let kept = shape
            .each_head()
            .map(|(layer, head)| plan.mask().kept_channels(layer, head).into_boxed_slice())
            .collect();
        let layout = |(layer, head)| {
            let (k, v) = (plan.k(layer, head), plan.v(layer, head));
            let is_coded = v.is_coded() || k.iter().any(|width| width.is_coded());
            let (element, group) = (dtype.bytes(), group_tokens(window.chunk));
            is_coded.then(|| BlockLayout::new(k, v, plan.coding(), element, group))
        };
        let layouts = shape.each_head().map(layout).collect();
        let heads = shape.each_head().map(|head| plan.head_bytes(head, dtype.bytes())).collect();
        let (sight, forgets) = (Arc::default(), false);
        Ok(Self { window, dtype, plan, kept, layouts, heads, sight, forgets })
    }

    /// The same for a model whose layers look back so far. A decoder gives this to every cache
    /// that it fills.
    pub fn with_sight(self, sight: Arc<Sight>) -> Self {
        Self { sight, ..self }
    }

    /// The same for a cache that is never rewound beyond what it stores: a layer with a window
    /// frees the tokens before it. Pruned caches always do; a dense one, from which others are
    /// gathered, keeps them otherwise.
    pub fn forgetting(self) -> Self {
        Self { forgets: true, ..self }
    }

    /// How far the layers look back.
    pub fn sight(&self) -> &Arc<Sight> {
        &self.sight
    }

    /// The first position that a layer of `len` tokens has to store: blocks of tokens that it no
    /// longer sees are freed. Codes need the whole chunk that a token came in.
    pub(super) fn first_stored(&self, layer: usize, len: usize) -> usize {
        let seen = self.sight.seen(layer, len).start;
        if seen == 0 || (self.is_dense() && !self.forgets) {
            return 0;
        }
        let is_coded = (0..self.shape().kv_heads).any(|head| self.layout(layer, head).is_some());
        let slack = if is_coded { self.window.chunk } else { 0 };
        seen.saturating_sub(slack) / BLOCK * BLOCK
    }

    /// The positions of a layer's middle, seen or not.
    pub(super) fn middle(&self, len: usize) -> Range<usize> {
        let sink = self.window.sink.min(len);
        sink..sink + self.window.middle(len)
    }

    /// The positions of a layer's middle that its last token sees.
    pub fn seen_middle(&self, layer: usize, len: usize) -> Range<usize> {
        let (middle, first) = (self.middle(len), self.sight.seen(layer, len).start);
        middle.start.max(first.min(len))..middle.end.max(first.min(len))
    }

    /// The dense cache of this geometry: every channel of every token.
    pub fn dense(shape: Shape, window: Window, dtype: Dtype) -> Result<Self> {
        Self::new(shape, window, dtype, ChannelMask::full(shape))
    }

    /// Layers, KV heads and channels.
    pub fn shape(&self) -> Shape {
        self.plan.shape()
    }

    /// Sink, recent and chunk.
    pub fn window(&self) -> Window {
        self.window
    }

    /// Element type of keys and values.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Bits of every K channel and of every head's V in the middle.
    pub fn plan(&self) -> &CachePlan {
        &self.plan
    }

    /// The K channels that the middle stores, at whatever width.
    pub fn mask(&self) -> &ChannelMask {
        self.plan.mask()
    }

    /// Middle tokens of a K channel that share a scale where they are coded.
    pub fn group_tokens(&self) -> usize {
        group_tokens(self.window.chunk)
    }

    /// The channels that the middle of one head keeps, ascending; empty for a dropped head.
    pub fn kept(&self, layer: usize, kv_head: usize) -> &[usize] {
        &self.kept[layer * self.shape().kv_heads + kv_head]
    }

    /// The layout of a head's middle blocks; none where all its widths are 16 or 0, so that nothing
    /// is coded.
    pub fn layout(&self, layer: usize, kv_head: usize) -> Option<&BlockLayout> {
        self.layouts[layer * self.shape().kv_heads + kv_head].as_ref()
    }

    /// Whether the middle of one head is stored as the window is: every channel at the element type.
    pub fn is_whole(&self, layer: usize, kv_head: usize) -> bool {
        self.layout(layer, kv_head).is_none()
            && self.kept(layer, kv_head).len() == self.shape().head_dim
    }

    /// Whether everything is stored at the element type.
    pub fn is_dense(&self) -> bool {
        self.plan.is_full()
    }

    /// Bytes that one sequence of `len` tokens stores, in closed form. Middle tokens take what
    /// [`HeadBytes`](crate::mask::HeadBytes) says of each head, every other token `2 * head_dim`
    /// elements per head. Tokens that a layer does not see count nothing there (what a dense cache
    /// keeps of them to go back counts as allocated).
    pub fn bytes_at(&self, len: usize) -> CacheBytes {
        let shape = self.shape();
        (0..shape.layers).map(|layer| self.layer_bytes_at(layer, len)).sum()
    }

    /// Bytes of the middle that the layers see of `len` tokens, for a dense f16 cache's 1. Where all
    /// of them see everything it does not depend on the length, [`CachePlan::bytes_share`]; a layer
    /// with a window counts with what its window leaves of the middle.
    pub fn bytes_share_at(&self, len: usize) -> f64 {
        let (chunk, layers) = (self.window.chunk, 0..self.shape().layers);
        let middles: Vec<usize> = layers.map(|layer| self.seen_middle(layer, len).len()).collect();
        let all: usize = middles.iter().sum();
        if self.sight.windows.is_empty() || all == 0 {
            return self.plan.bytes_share(chunk);
        }
        let part = |(layer, &middle): (usize, &usize)| {
            middle as f64 * self.plan.layer_bytes_share(layer, chunk)
        };
        middles.iter().enumerate().map(part).sum::<f64>() / all as f64
    }

    /// The part of [`Self::bytes_at`] that one layer stores.
    pub fn layer_bytes_at(&self, layer: usize, len: usize) -> CacheBytes {
        let Shape { kv_heads, head_dim, .. } = self.shape();
        let (middle, group) = (self.seen_middle(layer, len), self.group_tokens());
        let seen = self.sight.seen(layer, len).len();
        let window = (seen - middle.len()) * self.dtype.bytes() * head_dim * kv_heads;
        // Codes come in whole groups.
        let first = middle.start.saturating_sub(self.window.sink) / group * group;
        let grouped = middle.end.saturating_sub(self.window.sink + first).max(middle.len());
        let heads = (0..kv_heads).map(|head| {
            let bytes = self.heads[layer * kv_heads + head];
            bytes.at(if self.layout(layer, head).is_some() { grouped } else { middle.len() }, group)
        });
        let [middle_k, middle_v] =
            heads.fold([0, 0], |sum, head| [sum[0] + head[0], sum[1] + head[1]]);
        CacheBytes { middle_k, middle_v, window_k: window, window_v: window }
    }
}
