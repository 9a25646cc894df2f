//! Reading one head of a cache.

use std::ops::Range;

use super::CacheSpec;
use super::blocks::{BLOCK, Blocks, spans};
use super::coded::BlockLayout;
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
    /// How the middle is coded, where it is.
    layout: Option<&'a BlockLayout>,
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

    /// How the middle is coded; none where every stored number has the element type.
    pub fn layout(&self) -> Option<&'a BlockLayout> {
        self.layout
    }

    /// The stored key of the token at `position`.
    pub fn key(&self, position: usize) -> StoredKey {
        let in_middle = self.parts().middle.contains(&position);
        match self.layout {
            _ if !in_middle => StoredKey::Whole(self.column(&self.store.whole, position)),
            Some(layout) => StoredKey::Packed(self.decoded_key(layout, position)),
            None if self.kept.len() == self.head_dim() => {
                StoredKey::Whole(self.column(&self.store.whole, position))
            }
            None if self.kept.is_empty() => StoredKey::Dropped,
            None => StoredKey::Packed(self.column(&self.store.packed, position)),
        }
    }

    /// The value of the token at `position`; `None` where its head dropped it.
    pub fn value(&self, position: usize) -> Option<Vec<f32>> {
        let channels = self.head_dim();
        if self.parts().middle.contains(&position) {
            if self.kept.is_empty() {
                return None;
            }
            if let Some(layout) = self.layout {
                let (block, token) = self.coded_place(position);
                let mut value = vec![0.0; channels];
                with_element!(self.dtype(), E => layout.read_value::<E>(block, token, &mut value));
                return Some(value);
            }
        }
        let bytes = self.store.values.get(position / BLOCK)?;
        let start = position % BLOCK * channels;
        Some(with_element!(self.dtype(), E => {
            bytemuck::cast_slice::<u8, E>(bytes)[start..start + channels].iter().map(|value| value.widen()).collect()
        }))
    }

    /// Mean `|k|` over the middle per kept channel; 0 while the middle is empty.
    pub fn middle_magnitudes(&self) -> Vec<f32> {
        let middle = self.parts().middle;
        let mut sums = vec![0.0; self.kept.len()];
        let mut add = |channel: usize, row: &mut dyn Iterator<Item = f32>| {
            sums[channel] += row.map(f32::abs).sum::<f32>();
        };
        if let Some(layout) = self.layout {
            let mut keys = vec![0.0; self.kept.len() * BLOCK];
            for (block, columns) in spans(0..middle.len()) {
                let Some(bytes) = self.coded_block(block) else { continue };
                with_element!(self.dtype(), E => layout.read_keys::<E>(bytes, &mut keys));
                for (row, channel) in keys.chunks_exact(BLOCK).zip(self.ranks(layout)) {
                    add(channel, &mut row[columns.clone()].iter().copied());
                }
            }
        } else {
            let whole = self.kept.len() == self.head_dim();
            let keys = if whole { &self.store.whole } else { &self.store.packed };
            for (block, columns) in spans(middle.clone()) {
                let Some(bytes) = keys.get(block) else { continue };
                with_element!(self.dtype(), E => {
                    let rows = bytemuck::cast_slice::<u8, E>(bytes).chunks_exact(BLOCK);
                    for (channel, row) in rows.take(self.kept.len()).enumerate() {
                        add(channel, &mut row[columns.clone()].iter().map(|k| k.widen()));
                    }
                });
            }
        }
        sums.iter().map(|sum| sum / middle.len().max(1) as f32).collect()
    }

    /// The place in [`Self::kept`] of each channel of a layout, in the layout's order.
    fn ranks(&self, layout: &'a BlockLayout) -> impl Iterator<Item = usize> {
        let kept = self.kept;
        layout.channels().iter().map(move |channel| kept.partition_point(|other| other < channel))
    }

    /// A middle key from its codes, in the order of [`Self::kept`].
    fn decoded_key(&self, layout: &'a BlockLayout, position: usize) -> Vec<f32> {
        let (block, token) = self.coded_place(position);
        let mut stored = vec![0.0; self.kept.len()];
        with_element!(self.dtype(), E => layout.read_key::<E>(block, token, &mut stored));
        let mut key = vec![0.0; self.kept.len()];
        self.ranks(layout).zip(stored).for_each(|(rank, x)| key[rank] = x);
        key
    }

    /// The block of codes that holds a middle token, and the token's place in it.
    fn coded_place(&self, position: usize) -> (&'a [u8], usize) {
        let at = position - self.parts().middle.start;
        (self.coded_block(at / BLOCK).expect("the middle is stored"), at % BLOCK)
    }

    /// All stored channels of one token from channel-major blocks.
    fn column(&self, blocks: &Blocks, position: usize) -> Vec<f32> {
        let bytes = blocks.get(position / BLOCK).expect("stored tokens have a block");
        with_element!(self.dtype(), E => {
            let block: &[E] = bytemuck::cast_slice(bytes);
            block.iter().skip(position % BLOCK).step_by(BLOCK).map(|value| value.widen()).collect()
        })
    }

    /// Codes of the middle tokens `64 block .. 64 block + 64`, counted from the middle's first.
    #[inline]
    pub fn coded_block(&self, block: usize) -> Option<&'a [u8]> {
        self.store.coded.get(block)
    }

    /// Blocks of codes; none where the head is not coded.
    pub fn coded_blocks(&self) -> usize {
        self.layout.map_or(0, |_| self.parts().middle.len().div_ceil(BLOCK))
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
