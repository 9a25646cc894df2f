//! Storage of one KV head of one layer.

use std::ops::Range;

use super::CacheSpec;
use super::blocks::{BLOCK, Blocks, spans};
use super::coded::BlockLayout;
use super::middle_rows::MiddleRows;
use super::rows::{HeadRows, StoredKey};
use crate::element::Element;

/// Blocks per allocation for tokens that stay. Window keys are freed again, so each of their blocks
/// is its own allocation.
const RESIDENT_BLOCKS: usize = 8;

/// Keys and values of one head.
///
/// A key block is channel-major, `[channel][64 tokens]`, so that a SIMD register holds one channel
/// of many tokens and any number of kept channels costs exactly its bytes. A value block is
/// token-major, `[64 tokens][channel]`. Both hold the positions `64 b .. 64 b + 64`. A block of
/// codes holds keys and values of 64 tokens of the middle, counted from the middle's first token.
#[derive(Debug, Clone)]
pub(super) struct HeadStore {
    /// Keys with all channels: of sink and recent, or of every token where the head is whole.
    pub(super) whole: Blocks,
    /// Kept channels of the middle's keys; unused where a head is whole, dropped or coded.
    pub(super) packed: Blocks,
    /// Values of every token; without the middle where the head is dropped or coded.
    pub(super) values: Blocks,
    /// Codes of the middle's keys and values, where the head is coded.
    pub(super) coded: Blocks,
    head_dim: usize,
    middle: Middle,
}

/// How a head stores its middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Middle {
    /// As everything else.
    Whole,
    /// Kept channels of the keys, whole values.
    Packed,
    /// Codes.
    Coded,
    /// Not at all.
    Dropped,
}

impl Middle {
    fn of(spec: &CacheSpec, layer: usize, kv_head: usize) -> Self {
        match spec.kept(layer, kv_head).len() {
            0 => Self::Dropped,
            _ if spec.layout(layer, kv_head).is_some() => Self::Coded,
            kept if kept == spec.shape().head_dim => Self::Whole,
            _ => Self::Packed,
        }
    }

    /// Whether the values of the middle stay where they were appended.
    fn keeps_values(self) -> bool {
        matches!(self, Self::Whole | Self::Packed)
    }
}

impl HeadStore {
    pub(super) fn new(spec: &CacheSpec, layer: usize, kv_head: usize) -> Self {
        let (head_dim, kept) = (spec.shape().head_dim, spec.kept(layer, kv_head).len());
        let middle = Middle::of(spec, layer, kv_head);
        let block_bytes = |channels: usize| channels * BLOCK * spec.dtype().bytes();
        let slab = |stays: bool| if stays { RESIDENT_BLOCKS } else { 1 };
        let coded = spec.layout(layer, kv_head).map_or(0, BlockLayout::bytes);
        Self {
            whole: Blocks::new(block_bytes(head_dim), slab(middle == Middle::Whole)),
            packed: Blocks::new(block_bytes(kept), RESIDENT_BLOCKS),
            values: Blocks::new(block_bytes(head_dim), slab(middle.keeps_values())),
            coded: Blocks::new(coded, RESIDENT_BLOCKS),
            head_dim,
            middle,
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

    /// Reserves space in the block tables for a sequence of `tokens`.
    pub(super) fn reserve(&mut self, tokens: usize) {
        for blocks in [&mut self.whole, &mut self.packed, &mut self.values, &mut self.coded] {
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
        place: (usize, usize),
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
                self.enter_middle::<E>(spec, place, middle_end..target);
                self.free_middle(window.sink, middle_end..target);
                middle_end = target;
            }
        }
    }

    /// Stores these positions, whole chunks that are new in the middle, as the middle does.
    fn enter_middle<E: Element>(
        &mut self,
        spec: &CacheSpec,
        (layer, kv_head): (usize, usize),
        positions: Range<usize>,
    ) {
        match (self.middle, spec.layout(layer, kv_head)) {
            (Middle::Packed, _) => {
                let kept = spec.kept(layer, kv_head);
                pack::<E>(&self.whole, &mut self.packed, kept, positions);
            }
            (Middle::Coded, Some(layout)) => {
                let sink = spec.window().sink;
                let mut rows = MiddleRows::new(self.head_dim);
                for (block, columns) in spans(positions.start - sink..positions.end - sink) {
                    let first = sink + block * BLOCK;
                    rows.start(first + columns.start..first + columns.end);
                    rows.take_whole::<E>(&self.whole, &self.values);
                    rows.encode::<E>(layout, columns, self.coded.get_mut(block));
                }
            }
            _ => {}
        }
    }

    /// Frees what is no longer needed of these positions, which are new in the middle: whole keys,
    /// and values where the middle has none or its own. Blocks that the sink or the recent window
    /// shares with the middle stay.
    fn free_middle(&mut self, sink: usize, moved: Range<usize>) {
        let blocks = sink.div_ceil(BLOCK).max(moved.start / BLOCK)..moved.end / BLOCK;
        if self.middle != Middle::Whole {
            self.whole.free(blocks.clone());
        }
        if !self.middle.keeps_values() {
            self.values.free(blocks);
        }
    }

    /// This head's storage of `len` tokens under another specification. The new one must need
    /// nothing that `old`, the current one, has dropped. Codes that become narrower are made from
    /// the numbers that the old codes stand for.
    pub(super) fn gather<E: Element>(
        &self,
        old: &CacheSpec,
        new: &CacheSpec,
        (layer, kv_head): (usize, usize),
        len: usize,
    ) -> Self {
        let mut store = Self::new(new, layer, kv_head);
        if self.middle == Middle::Coded || store.middle == Middle::Coded {
            store.recode::<E>(self, [old, new], (layer, kv_head), len);
            return store;
        }
        let (had, wants) = (old.kept(layer, kv_head), new.kept(layer, kv_head));
        let becomes = middle(new, len);
        // Positions that are packed already; whole keys hold everything else.
        let packed = if self.middle == Middle::Whole { 0..0 } else { middle(old, len) };
        let outside = [0..becomes.start, becomes.end..len];
        if store.middle == Middle::Whole && packed.is_empty() {
            store.whole = self.whole.clone();
        } else {
            copy_blocks(&self.whole, &mut store.whole, &outside);
        }
        if store.middle == Middle::Packed {
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
        if store.middle.keeps_values() {
            store.values = self.values.clone();
        } else {
            copy_blocks(&self.values, &mut store.values, &outside);
        }
        store
    }

    /// Fills this new store with the tokens of `from`, where one of them holds codes: a block of
    /// the middle after the other, read as numbers and stored anew.
    fn recode<E: Element>(
        &mut self,
        from: &Self,
        [old, new]: [&CacheSpec; 2],
        (layer, kv_head): (usize, usize),
        len: usize,
    ) {
        let (was, becomes) = (middle(old, len), middle(new, len));
        let outside = [0..becomes.start, becomes.end..len];
        copy_blocks(&from.whole, &mut self.whole, &outside);
        copy_blocks(&from.values, &mut self.values, &outside);
        if self.middle == Middle::Dropped {
            return;
        }
        let mut rows = MiddleRows::new(self.head_dim);
        for (block, columns) in spans(0..becomes.len()) {
            let first = becomes.start + block * BLOCK;
            rows.start(first + columns.start..first + columns.end);
            rows.take_whole::<E>(&from.whole, &from.values);
            match (from.middle, old.layout(layer, kv_head)) {
                (Middle::Coded, Some(layout)) => {
                    rows.take_coded::<E>(&from.coded, layout, was.clone());
                }
                (Middle::Packed, _) => {
                    rows.take_packed::<E>(&from.packed, old.kept(layer, kv_head), was.clone());
                }
                _ => {}
            }
            match new.layout(layer, kv_head) {
                Some(layout) => rows.encode::<E>(layout, columns, self.coded.get_mut(block)),
                None => {
                    let kept = new.kept(layer, kv_head);
                    rows.put_packed::<E>(&mut self.packed, &mut self.values, kept);
                }
            }
        }
    }

    /// Drops every token after the first `len`.
    pub(super) fn truncate(&mut self, spec: &CacheSpec, len: usize) {
        let Range { start, end } = middle(spec, len);
        self.whole.truncate(len.div_ceil(BLOCK));
        self.values.truncate(len.div_ceil(BLOCK));
        self.packed.truncate(end.div_ceil(BLOCK));
        self.coded.truncate((end - start).div_ceil(BLOCK));
    }

    /// Bytes allocated.
    pub(super) fn allocated(&self) -> usize {
        [&self.whole, &self.packed, &self.values, &self.coded]
            .into_iter()
            .map(Blocks::allocated)
            .sum()
    }
}

/// The positions of the middle of a sequence of `len` tokens.
fn middle(spec: &CacheSpec, len: usize) -> Range<usize> {
    let window = spec.window();
    window.sink.min(len)..window.sink.min(len) + window.middle(len)
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
