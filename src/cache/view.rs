//! Reading one head of a cache.

use std::ops::Range;

use super::CacheSpec;
use super::blocks::{BLOCK, Blocks, spans};
use super::head::HeadStore;
use super::layer::LayerCache;
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
    len: usize,
}

impl<'a> HeadView<'a> {
    pub(super) fn new(
        spec: &'a CacheSpec,
        layer: &'a LayerCache,
        index: usize,
        kv_head: usize,
    ) -> Self {
        Self { spec, store: &layer.heads[kv_head], kept: spec.kept(index, kv_head), len: layer.len }
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

    /// The channels that the middle keeps, ascending.
    pub fn kept(&self) -> &'a [usize] {
        self.kept
    }

    /// Which tokens are in which part.
    pub fn parts(&self) -> Parts {
        let window = self.spec.window();
        let sink = window.sink.min(self.len);
        let middle_end = sink + window.middle(self.len);
        Parts { sink: 0..sink, middle: sink..middle_end, recent: middle_end..self.len }
    }

    /// The stored key of the token at `position`.
    pub fn key(&self, position: usize) -> StoredKey {
        if self.kept.len() == self.head_dim() || !self.parts().middle.contains(&position) {
            StoredKey::Whole(self.column(&self.store.whole, position))
        } else if self.kept.is_empty() {
            StoredKey::Dropped
        } else {
            StoredKey::Packed(self.column(&self.store.packed, position))
        }
    }

    /// The value of the token at `position`; `None` where its head dropped it.
    pub fn value(&self, position: usize) -> Option<Vec<f32>> {
        if self.kept.is_empty() && self.parts().middle.contains(&position) {
            return None;
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
        let keys =
            if self.kept.len() == self.head_dim() { &self.store.whole } else { &self.store.packed };
        let mut sums = vec![0.0; self.kept.len()];
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
        self.store.packed.get(block).map(bytemuck::cast_slice)
    }

    /// Values of a block, `[64][head_dim]`.
    #[inline]
    pub(crate) fn value_block<E: Element>(&self, block: usize) -> Option<&'a [E]> {
        self.store.values.get(block).map(bytemuck::cast_slice)
    }
}
