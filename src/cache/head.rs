//! Storage of one KV head of one layer.

use std::ops::Range;

use super::CacheSpec;
use super::blocks::{BLOCK, Blocks, spans};
use super::gather::pack;
use super::middle::{Middle, MiddleRows, RESIDENT_BLOCKS};
use super::rows::{HeadRows, StoredKey};
use crate::element::Element;

/// Keys and values of one head.
///
/// A key block is channel-major, `[channel][64 tokens]`, so that a SIMD register holds one channel
/// of many tokens and any number of kept channels costs exactly its bytes. A value block is
/// token-major, `[64 tokens][channel]`. Blocks of codes have a
/// [`BlockLayout`](super::coded::BlockLayout).
#[derive(Debug, Clone)]
pub(super) struct HeadStore {
    /// Keys with all channels: of the window, or of every token where the middle is whole.
    pub(super) whole: Blocks,
    /// Values at the element type: of every token, or of the window where the middle is coded or
    /// dropped.
    pub(super) values: Blocks,
    pub(super) middle: Middle,
    pub(super) head_dim: usize,
}

impl HeadStore {
    pub(super) fn new(spec: &CacheSpec, layer: usize, kv_head: usize) -> Self {
        let head_dim = spec.shape().head_dim;
        let middle = Middle::new(spec, layer, kv_head);
        let block_bytes = head_dim * BLOCK * spec.dtype().bytes();
        // What leaves the window is freed block by block, so each block is its own allocation.
        let has_window = spec.sight().window(layer).is_some();
        let slab = |stays: bool| if stays && !has_window { RESIDENT_BLOCKS } else { 1 };
        Self {
            whole: Blocks::new(block_bytes, slab(middle.has_whole_keys())),
            values: Blocks::new(block_bytes, slab(middle.has_values())),
            middle,
            head_dim,
        }
    }

    /// Builds a head from what is stored elsewhere.
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
            let (blocks, key) = match (key, &mut store.middle) {
                (StoredKey::Whole(key), _) => (&mut store.whole, key),
                (StoredKey::Packed(key), Middle::Packed(packed)) => (packed, key),
                (StoredKey::Packed(_), _) => panic!("coded keys come in blocks"),
                (StoredKey::Dropped, _) => continue,
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
        if let Middle::Coded(blocks) = &mut store.middle {
            for (at, block) in rows.blocks.iter().enumerate() {
                blocks.get_mut(at).copy_from_slice(block);
            }
        }
        store
    }

    /// Reserves space in the block tables for a sequence of `tokens`.
    pub(super) fn reserve(&mut self, tokens: usize) {
        for blocks in [&mut self.whole, &mut self.values] {
            blocks.reserve(tokens.div_ceil(BLOCK));
        }
        self.middle.reserve(tokens);
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
        place: (usize, usize),
        len: usize,
        rows: impl ExactSizeIterator<Item = (&'a [f32], &'a [f32])>,
    ) {
        let window = spec.window();
        let end = len + rows.len();
        let mut middle_end = window.sink + window.middle(len);
        let mut stored = spec.first_stored(place.0, len);
        for (position, (k, v)) in (len..).zip(rows) {
            self.write::<E>(position, k, v);
            let len = position + 1;
            if len % BLOCK == 0 || len == end {
                let target = window.sink + window.middle(len);
                self.enter_middle::<E>(spec, place, (middle_end..target, stored));
                self.free_middle(window.sink, middle_end..target);
                middle_end = target;
                let first = spec.first_stored(place.0, len);
                self.forget(window.sink, stored..first);
                stored = first;
            }
        }
    }

    /// Stores these positions, which are still in the window but for those before `stored`, as the
    /// middle's. They are whole chunks, so groups of codes are complete, and each is coded here and
    /// never again. Chunks that a layer with a window saw the last of before are left out.
    fn enter_middle<E: Element>(
        &mut self,
        spec: &CacheSpec,
        (layer, kv_head): (usize, usize),
        (mut moved, stored): (Range<usize>, usize),
    ) {
        let (sink, chunk) = (spec.window().sink, spec.window().chunk);
        if moved.start < stored {
            let gone = stored - moved.start;
            let whole = matches!(self.middle, Middle::Coded(_));
            moved.start += if whole { gone.next_multiple_of(chunk) } else { gone };
        }
        if moved.is_empty() {
            return;
        }
        match &mut self.middle {
            Middle::Packed(packed) => {
                pack::<E>(&self.whole, packed, spec.kept(layer, kv_head), moved);
            }
            Middle::Coded(coded) => {
                let layout = spec.layout(layer, kv_head).expect("coded heads have a layout");
                for (block, columns) in spans(moved.start - sink..moved.end - sink) {
                    let first = sink + block * BLOCK;
                    let positions = first + columns.start..first + columns.end;
                    let mut rows = MiddleRows::new(self.head_dim, columns.len());
                    rows.take_keys::<E>(&self.whole, 0..self.head_dim, positions.clone(), 0);
                    rows.take_values::<E>(&self.values, positions, 0);
                    rows.write::<E>(layout, coded.get_mut(block), columns);
                }
            }
            Middle::Whole | Middle::Dropped => {}
        }
    }

    /// Frees what is no longer needed of these positions, which are new in the middle: whole keys,
    /// and values that are coded or dropped. Blocks that the sink or the recent window shares with
    /// the middle stay.
    fn free_middle(&mut self, sink: usize, moved: Range<usize>) {
        let blocks = sink.div_ceil(BLOCK).max(moved.start / BLOCK)..moved.end / BLOCK;
        if !self.middle.has_whole_keys() {
            self.whole.free(blocks.clone());
        }
        if !self.middle.has_values() {
            self.values.free(blocks);
        }
    }

    /// Frees the blocks of these positions, which no token sees any more.
    pub(super) fn forget(&mut self, sink: usize, gone: Range<usize>) {
        if gone.is_empty() {
            return;
        }
        let blocks = gone.start / BLOCK..gone.end / BLOCK;
        self.whole.free(blocks.clone());
        self.values.free(blocks.clone());
        match &mut self.middle {
            Middle::Packed(packed) => packed.free(blocks),
            Middle::Coded(coded) => {
                let block = |position: usize| position.saturating_sub(sink) / BLOCK;
                coded.free(block(gone.start)..block(gone.end));
            }
            Middle::Whole | Middle::Dropped => {}
        }
    }

    /// Drops every token after the first `len`; `middle` are the positions of the middle that
    /// remain.
    pub(super) fn truncate(&mut self, len: usize, middle: Range<usize>) {
        self.whole.truncate(len.div_ceil(BLOCK));
        self.values.truncate(len.div_ceil(BLOCK));
        self.middle.truncate(middle);
    }

    /// Bytes allocated.
    pub(super) fn allocated(&self) -> usize {
        let middle = self.middle.blocks().map_or(0, Blocks::allocated);
        self.whole.allocated() + self.values.allocated() + middle
    }
}
