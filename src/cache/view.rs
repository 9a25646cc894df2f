//! Reading one head of a cache.

use std::ops::Range;

use super::CacheSpec;
use super::blocks::{BLOCK, Blocks, spans};
use super::coded::BlockLayout;
use super::head::HeadStore;
use super::layer::LayerCache;
use super::middle::Middle;
use super::rows::StoredKey;
use crate::element::{Dtype, Element, with_element};

/// Token positions by part; together `0 .. len`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// First tokens, whole.
    pub sink: Range<usize>,
    /// Pruned tokens.
    pub middle: Range<usize>,
    /// Last tokens, whole.
    pub recent: Range<usize>,
}

/// Read access to one KV head of one layer of one sequence.
#[derive(Debug, Clone, Copy)]
pub struct HeadView<'a> {
    spec: &'a CacheSpec,
    store: &'a HeadStore,
    kept: &'a [usize],
    layout: Option<&'a BlockLayout>,
    layer: usize,
    len: usize,
}

impl<'a> HeadView<'a> {
    pub(super) fn new(
        spec: &'a CacheSpec,
        layer: &'a LayerCache,
        index: usize,
        kv_head: usize,
    ) -> Self {
        Self {
            spec,
            store: &layer.heads[kv_head],
            kept: spec.kept(index, kv_head),
            layout: spec.layout(index, kv_head),
            layer: index,
            len: layer.len,
        }
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Channels of a whole key and of a value.
    pub fn head_dim(&self) -> usize {
        self.spec.shape().head_dim
    }

    /// Element type of the stored keys and values.
    pub fn dtype(&self) -> Dtype {
        self.spec.dtype()
    }

    /// The channels that the middle stores, at whatever width, ascending.
    pub fn kept(&self) -> &'a [usize] {
        self.kept
    }

    /// Which tokens are in which part. In a layer with a window, those before it are in none.
    pub fn parts(&self) -> Parts {
        let first = self.spec.sight().seen(self.layer, self.len).start;
        let sink = self.spec.window().sink.min(self.len);
        let middle = self.spec.seen_middle(self.layer, self.len);
        Parts { sink: first.min(sink)..sink, recent: middle.end..self.len, middle }
    }

    /// Soft cap of attention scores.
    pub fn score_cap(&self) -> Option<f32> {
        self.spec.sight().score_cap
    }

    /// The position of the first coded token, seen or not.
    pub fn coded_from(&self) -> usize {
        self.spec.window().sink
    }

    /// Whether the last token does not see the one at this position, which may be gone.
    fn is_unseen(&self, position: usize) -> bool {
        position < self.spec.sight().seen(self.layer, self.len).start
    }

    /// The stored key of the token at `position`; of a coded one the numbers that its codes stand
    /// for. One before the layer's window counts as dropped.
    pub fn key(&self, position: usize) -> StoredKey {
        if self.is_unseen(position) {
            return StoredKey::Dropped;
        }
        if !self.parts().middle.contains(&position) {
            return StoredKey::Whole(self.column(&self.store.whole, position));
        }
        match &self.store.middle {
            Middle::Whole => StoredKey::Whole(self.column(&self.store.whole, position)),
            Middle::Packed(packed) => StoredKey::Packed(self.column(packed, position)),
            Middle::Dropped => StoredKey::Dropped,
            Middle::Coded(_) => {
                let (layout, block, token) = self.coded_token(position);
                let mut key = vec![0.0; layout.channels().len()];
                with_element!(self.dtype(), E => layout.read_key::<E>(block, token, &mut key));
                StoredKey::Packed(self.in_order_of_kept(layout, &key))
            }
        }
    }

    /// The value of the token at `position`; `None` where its head dropped it or it is before the
    /// layer's window.
    pub fn value(&self, position: usize) -> Option<Vec<f32>> {
        if self.is_unseen(position) {
            return None;
        }
        if self.parts().middle.contains(&position) && !self.store.middle.has_values() {
            let Middle::Coded(_) = &self.store.middle else { return None };
            let (layout, block, token) = self.coded_token(position);
            let mut value = vec![0.0; self.head_dim()];
            with_element!(self.dtype(), E => layout.read_value::<E>(block, token, &mut value));
            return Some(value);
        }
        let bytes = self.store.values.get(position / BLOCK)?;
        let (start, channels) = (position % BLOCK * self.head_dim(), self.head_dim());
        Some(with_element!(self.dtype(), E => {
            bytemuck::cast_slice::<u8, E>(bytes)[start..start + channels].iter().map(|value| value.widen()).collect()
        }))
    }

    /// Mean `|k|` over the middle per kept channel; 0 while the middle is empty.
    pub fn middle_magnitudes(&self) -> Vec<f32> {
        let middle = self.parts().middle;
        let mut sums = vec![0.0; self.kept.len()];
        let keys = match &self.store.middle {
            Middle::Whole => &self.store.whole,
            Middle::Packed(packed) => packed,
            Middle::Dropped => return sums,
            Middle::Coded(_) => return self.coded_magnitudes(),
        };
        for (block, columns) in spans(middle.clone()) {
            let Some(bytes) = keys.get(block) else { continue };
            with_element!(self.dtype(), E => {
                for (sum, row) in sums.iter_mut().zip(bytemuck::cast_slice::<u8, E>(bytes).chunks_exact(BLOCK)) {
                    *sum += row[columns.clone()].iter().map(|k| k.widen().abs()).sum::<f32>();
                }
            });
        }
        sums.iter().map(|sum| sum / middle.len().max(1) as f32).collect()
    }

    fn coded_magnitudes(&self) -> Vec<f32> {
        let (middle, sink) = (self.parts().middle, self.coded_from());
        let layout = self.layout.expect("coded heads have a layout");
        let mut sums = vec![0.0; layout.channels().len()];
        let mut keys = vec![0.0; sums.len() * BLOCK];
        let coded = middle.start.saturating_sub(sink)..middle.end.saturating_sub(sink);
        for (index, columns) in spans(coded) {
            let Some(block) = self.coded_block(index) else { continue };
            with_element!(self.dtype(), E => layout.read_keys::<E>(block, &mut keys));
            for (sum, row) in sums.iter_mut().zip(keys.chunks_exact(BLOCK)) {
                *sum += row[columns.clone()].iter().map(|k| k.abs()).sum::<f32>();
            }
        }
        sums.iter_mut().for_each(|sum| *sum /= middle.len().max(1) as f32);
        self.in_order_of_kept(layout, &sums)
    }

    /// Numbers of the layout's channels in the order of [`Self::kept`].
    fn in_order_of_kept(&self, layout: &BlockLayout, numbers: &[f32]) -> Vec<f32> {
        let mut whole = vec![0.0; self.head_dim()];
        layout.channels().iter().zip(numbers).for_each(|(&channel, &x)| whole[channel] = x);
        self.kept.iter().map(|&channel| whole[channel]).collect()
    }

    /// Layout, block and column of a coded token.
    fn coded_token(&self, position: usize) -> (&'a BlockLayout, &'a [u8], usize) {
        let at = position - self.spec.window().sink;
        let layout = self.layout.expect("coded heads have a layout");
        let block = self.coded_block(at / BLOCK).expect("coded tokens have a block");
        (layout, block, at % BLOCK)
    }

    /// The layout of the middle's blocks where this head is coded.
    pub fn layout(&self) -> Option<&'a BlockLayout> {
        self.layout
    }

    /// Block `index` of a coded middle, which holds the positions from `sink + 64 index` on.
    #[inline]
    pub fn coded_block(&self, index: usize) -> Option<&'a [u8]> {
        match &self.store.middle {
            Middle::Coded(blocks) => blocks.get(index),
            _ => None,
        }
    }

    /// Blocks of a coded middle.
    pub fn coded_blocks(&self) -> usize {
        match self.layout {
            Some(_) => self.spec.window().middle(self.len).div_ceil(BLOCK),
            None => 0,
        }
    }

    /// All stored channels of one token from channel-major blocks.
    fn column(&self, blocks: &Blocks, position: usize) -> Vec<f32> {
        let bytes = blocks.get(position / BLOCK).expect("stored tokens have a block");
        with_element!(self.dtype(), E => {
            let block: &[E] = bytemuck::cast_slice(bytes);
            block.iter().skip(position % BLOCK).step_by(BLOCK).map(|value| value.widen()).collect()
        })
    }

    /// Whole keys of a block, `[head_dim][64]`.
    #[inline]
    pub(crate) fn whole_block<E: Element>(&self, block: usize) -> Option<&'a [E]> {
        self.store.whole.get(block).map(bytemuck::cast_slice)
    }

    /// Packed keys of a block, `[kept][64]`.
    #[inline]
    pub(crate) fn packed_block<E: Element>(&self, block: usize) -> Option<&'a [E]> {
        match &self.store.middle {
            Middle::Packed(packed) => packed.get(block).map(bytemuck::cast_slice),
            _ => None,
        }
    }

    /// Values of a block, `[64][head_dim]`.
    #[inline]
    pub(crate) fn value_block<E: Element>(&self, block: usize) -> Option<&'a [E]> {
        self.store.values.get(block).map(bytemuck::cast_slice)
    }
}
