//! Storage of one KV head of one layer.

use std::ops::Range;

use super::CacheSpec;
use super::blocks::{BLOCK, Blocks, spans};
use super::rows::{HeadRows, StoredKey};
use crate::element::Element;

/// Blocks per allocation for tokens that stay. Window keys are freed again, so each of their blocks
/// is its own allocation.
const RESIDENT_BLOCKS: usize = 8;

/// Keys and values of one head.
///
/// A key block is channel-major, `[channel][64 tokens]`, so that a SIMD register holds one channel
/// of many tokens and any number of kept channels costs exactly its bytes. A value block is
/// token-major, `[64 tokens][channel]`.
#[derive(Debug, Clone)]
pub(super) struct HeadStore {
    /// Keys with all channels: of sink and recent, or of every token where the head keeps all
    /// channels.
    pub(super) whole: Blocks,
    /// Kept channels of the middle's keys; unused where a head keeps all channels or none.
    pub(super) packed: Blocks,
    /// Values of every token; without the middle where the head keeps no channel.
    pub(super) values: Blocks,
    head_dim: usize,
    kept: usize,
}

impl HeadStore {
    pub(super) fn new(spec: &CacheSpec, layer: usize, kv_head: usize) -> Self {
        let (head_dim, kept) = (spec.shape().head_dim, spec.kept(layer, kv_head).len());
        let block_bytes = |channels: usize| channels * BLOCK * spec.dtype().bytes();
        let slab = |stays: bool| if stays { RESIDENT_BLOCKS } else { 1 };
        Self {
            whole: Blocks::new(block_bytes(head_dim), slab(kept == head_dim)),
            packed: Blocks::new(block_bytes(kept), RESIDENT_BLOCKS),
            values: Blocks::new(block_bytes(head_dim), slab(kept > 0)),
            head_dim,
            kept,
        }
    }

    /// Builds a head from rows that are stored elsewhere.
    pub(super) fn from_rows<E: Element>(
        spec: &CacheSpec,
        layer: usize,
        kv_head: usize,
        rows: &HeadRows,
    ) -> Self {
        let mut store = Self::new(spec, layer, kv_head);
        let head_dim = store.head_dim;
        for (position, key) in rows.keys.iter().enumerate() {
            let (block, column) = (position / BLOCK, position % BLOCK);
            let (blocks, key) = match key {
                StoredKey::Whole(key) => (&mut store.whole, key),
                StoredKey::Packed(key) => (&mut store.packed, key),
                StoredKey::Dropped => continue,
            };
            let stored: &mut [E] = bytemuck::cast_slice_mut(blocks.get_mut(block));
            for (row, k) in stored.chunks_exact_mut(BLOCK).zip(key) {
                E::round(std::slice::from_ref(k), &mut row[column..=column]);
            }
        }
        for (position, value) in rows.values.iter().enumerate() {
            let Some(value) = value else { continue };
            let stored: &mut [E] = bytemuck::cast_slice_mut(store.values.get_mut(position / BLOCK));
            E::round(value, &mut stored[position % BLOCK * head_dim..][..head_dim]);
        }
        store
    }

    fn is_whole(&self) -> bool {
        self.kept == self.head_dim
    }

    /// Reserves space in the block tables for a sequence of `tokens`.
    pub(super) fn reserve(&mut self, tokens: usize) {
        for blocks in [&mut self.whole, &mut self.packed, &mut self.values] {
            blocks.reserve(tokens.div_ceil(BLOCK));
        }
    }

    /// Writes the token at `position`, rounded to `E`.
    fn write<E: Element>(&mut self, position: usize, k: &[f32], v: &[f32]) {
        let (block, column, head_dim) = (position / BLOCK, position % BLOCK, self.head_dim);
        let keys: &mut [E] = bytemuck::cast_slice_mut(self.whole.get_mut(block));
        let mut rounded = [E::zeroed(); BLOCK];
        for (piece, rows) in k.chunks(BLOCK).zip(keys.chunks_mut(BLOCK * BLOCK)) {
            E::round(piece, &mut rounded[..piece.len()]);
            for (row, &value) in rows.chunks_exact_mut(BLOCK).zip(&rounded) {
                row[column] = value;
            }
        }
        let values: &mut [E] = bytemuck::cast_slice_mut(self.values.get_mut(block));
        E::round(v, &mut values[column * head_dim..][..head_dim]);
    }

    /// Appends tokens from position `len` on and moves what left the recent window to the middle,
    /// block by block, so that the window never holds a long prompt as a whole. `k` and `v` yield
    /// one row per token.
    pub(super) fn append<'a, E: Element>(
        &mut self,
        spec: &CacheSpec,
        kept: &[usize],
        len: usize,
        rows: impl ExactSizeIterator<Item = (&'a [f32], &'a [f32])>,
    ) {
        let window = spec.window();
        let end = len + rows.len();
        let mut middle_end = window.sink + window.middle(len);
        for (position, (k, v)) in (len..).zip(rows) {
            self.write::<E>(position, k, v);
            let len = position + 1;
            if len % BLOCK == 0 || len == end {
                let target = window.sink + window.middle(len);
                self.pack_own::<E>(kept, middle_end..target);
                self.free_middle(window.sink, middle_end..target);
                middle_end = target;
            }
        }
    }

    /// Copies the kept channels of these positions from this head's whole keys to its packed
    /// middle.
    fn pack_own<E: Element>(&mut self, kept: &[usize], positions: Range<usize>) {
        if !self.is_whole() && !kept.is_empty() {
            pack::<E>(&self.whole, &mut self.packed, kept, positions);
        }
    }

    /// Frees what is no longer needed of these positions, which are new in the middle: whole keys,
    /// and values if the head keeps nothing. Blocks that the sink or the recent window shares with
    /// the middle stay.
    fn free_middle(&mut self, sink: usize, moved: Range<usize>) {
        let blocks = sink.div_ceil(BLOCK).max(moved.start / BLOCK)..moved.end / BLOCK;
        if !self.is_whole() {
            self.whole.free(blocks.clone());
        }
        if self.kept == 0 {
            self.values.free(blocks);
        }
    }

    /// This head's storage of `len` tokens under another specification. The new one must need
    /// nothing that `old`, the current one, has dropped.
    pub(super) fn gather<E: Element>(
        &self,
        old: &CacheSpec,
        new: &CacheSpec,
        (layer, kv_head): (usize, usize),
        len: usize,
    ) -> Self {
        let mut store = Self::new(new, layer, kv_head);
        let middle = |spec: &CacheSpec| {
            let window = spec.window();
            window.sink.min(len)..window.sink.min(len) + window.middle(len)
        };
        let (had, wants) = (old.kept(layer, kv_head), new.kept(layer, kv_head));
        let becomes = middle(new);
        // Positions that are packed already; whole keys hold everything else.
        let packed = if self.is_whole() { 0..0 } else { middle(old) };
        let outside = [0..becomes.start, becomes.end..len];
        if store.is_whole() && packed.is_empty() {
            store.whole = self.whole.clone();
        } else {
            copy_blocks(&self.whole, &mut store.whole, &outside);
        }
        if !store.is_whole() && !wants.is_empty() {
            let fresh = match packed.is_empty() {
                true => [becomes, 0..0],
                false => [becomes.start..packed.start, packed.end..becomes.end],
            };
            fresh
                .into_iter()
                .for_each(|positions| pack::<E>(&self.whole, &mut store.packed, wants, positions));
            let rows: Vec<usize> =
                wants.iter().filter_map(|channel| had.binary_search(channel).ok()).collect();
            pack::<E>(&self.packed, &mut store.packed, &rows, packed);
        }
        if store.kept > 0 {
            store.values = self.values.clone();
        } else {
            copy_blocks(&self.values, &mut store.values, &outside);
        }
        store
    }

    /// Drops every token after the first `len`.
    pub(super) fn truncate(&mut self, len: usize, middle_end: usize) {
        self.whole.truncate(len.div_ceil(BLOCK));
        self.values.truncate(len.div_ceil(BLOCK));
        self.packed.truncate(middle_end.div_ceil(BLOCK));
    }

    /// Bytes allocated.
    pub(super) fn allocated(&self) -> usize {
        self.whole.allocated() + self.packed.allocated() + self.values.allocated()
    }
}

/// Copies rows of keys, one per kept channel, at these positions.
fn pack<E: Element>(from: &Blocks, to: &mut Blocks, rows: &[usize], positions: Range<usize>) {
    for (block, columns) in spans(positions) {
        let from: &[E] =
            bytemuck::cast_slice(from.get(block).expect("a key that is wanted is stored"));
        let to: &mut [E] = bytemuck::cast_slice_mut(to.get_mut(block));
        for (row, &channel) in to.chunks_exact_mut(BLOCK).zip(rows) {
            row[columns.clone()].copy_from_slice(&from[channel * BLOCK..][columns.clone()]);
        }
    }
}

/// Copies the blocks that hold any of these positions.
fn copy_blocks(from: &Blocks, to: &mut Blocks, positions: &[Range<usize>]) {
    for (block, _) in positions.iter().flat_map(|range| spans(range.clone())) {
        to.get_mut(block)
            .copy_from_slice(from.get(block).expect("a token that is wanted is stored"));
    }
}
