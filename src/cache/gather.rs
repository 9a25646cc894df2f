//! The same tokens of one head under another specification.

use std::ops::Range;

use super::CacheSpec;
use super::blocks::{BLOCK, Blocks, spans};
use super::coded::BlockLayout;
use super::head::HeadStore;
use super::middle::{Middle, MiddleRows};
use crate::element::Element;

impl HeadStore {
    /// This head's storage of `len` tokens under another specification. The new one must need
    /// nothing that `old`, the current one, has dropped or has with fewer bits.
    ///
    /// Numbers that are coded and get fewer bits are coded again from the numbers that their codes
    /// stand for; so are all of a head where sink or chunk change so that its groups are others.
    /// What keeps its width and its groups keeps its codes.
    pub(super) fn gather<E: Element>(
        &self,
        old: &CacheSpec,
        new: &CacheSpec,
        place: (usize, usize),
        (stored, len): (usize, usize),
    ) -> Self {
        let mut store = Self::new(new, place.0, place.1);
        let from = |start: usize, positions: Range<usize>| {
            positions.start.max(start)..positions.end.max(start)
        };
        // Positions that are packed, coded or dropped already; the window's blocks hold all others.
        let was = if self.middle.has_whole_keys() { 0..0 } else { from(stored, old.middle(len)) };
        let middle = new.middle(len);
        // A group of codes is whole, so it may begin before what is stored of other tokens.
        let chunk = new.window().chunk;
        let first_chunk = stored.saturating_sub(middle.start) / chunk * chunk + middle.start;
        let becomes = match &store.middle {
            Middle::Coded(_) if stored > middle.start => from(first_chunk, middle),
            _ => from(stored, middle),
        };
        let outside = [from(stored, 0..becomes.start), from(stored, becomes.end..len)];
        if store.middle.has_whole_keys() && was.is_empty() {
            store.whole = self.whole.clone();
        } else {
            copy_blocks(&self.whole, &mut store.whole, &outside);
        }
        let has_codes = matches!(self.middle, Middle::Coded(_)) && !was.is_empty();
        if store.middle.has_values() && !has_codes {
            store.values = self.values.clone();
        } else {
            copy_blocks(&self.values, &mut store.values, &outside);
        }
        let mut source = Source::new(self, (old, place), was);
        match &mut store.middle {
            Middle::Packed(packed) if !has_codes => {
                source.pack::<E>(packed, new.kept(place.0, place.1), becomes);
            }
            Middle::Packed(packed) => {
                let kept = new.kept(place.0, place.1);
                source.store_numbers::<E>((packed, &mut store.values), kept, becomes);
            }
            Middle::Coded(coded) => source.code::<E>(coded, (new, place), becomes),
            Middle::Whole | Middle::Dropped => {}
        }
        store.forget(new.window().sink, 0..stored);
        store
    }
}

/// A head from which middle tokens are taken.
struct Source<'a> {
    store: &'a HeadStore,
    /// Channels that the middle has.
    had: &'a [usize],
    layout: Option<&'a BlockLayout>,
    /// Positions that are not in the window's blocks.
    was: Range<usize>,
    sink: usize,
    /// The block of codes that is decoded in `keys` and `values`.
    decoded: Option<usize>,
    /// `[channels of the layout][64]`
    keys: Vec<f32>,
    /// `[64][head_dim]`
    values: Vec<f32>,
}

impl<'a> Source<'a> {
    fn new(
        store: &'a HeadStore,
        (spec, (layer, kv_head)): (&'a CacheSpec, (usize, usize)),
        was: Range<usize>,
    ) -> Self {
        let layout = spec.layout(layer, kv_head).filter(|_| !was.is_empty());
        let numbers = |rows: usize| vec![0.0; rows * BLOCK];
        Self {
            store,
            had: spec.kept(layer, kv_head),
            layout,
            was,
            sink: spec.window().sink,
            decoded: None,
            keys: numbers(layout.map_or(0, |layout| layout.channels().len())),
            values: numbers(layout.map_or(0, BlockLayout::head_dim)),
        }
    }

    /// The part of these positions that is in the window's blocks, before and after the rest.
    fn fresh(&self, positions: &Range<usize>) -> [Range<usize>; 2] {
        match self.was.is_empty() {
            true => [positions.clone(), 0..0],
            false => [
                positions.start..positions.end.min(self.was.start),
                positions.start.max(self.was.end)..positions.end,
            ],
        }
    }

    /// Packs these channels of keys at the element type from whole and packed keys.
    fn pack<E: Element>(&self, to: &mut Blocks, wants: &[usize], positions: Range<usize>) {
        for positions in self.fresh(&positions) {
            pack::<E>(&self.store.whole, to, wants, positions);
        }
        if let Middle::Packed(packed) = &self.store.middle {
            let rows: Vec<usize> =
                wants.iter().filter_map(|channel| self.had.binary_search(channel).ok()).collect();
            pack::<E>(packed, to, &rows, self.was.clone());
        }
    }

    /// Packs channels that blocks of codes hold at the element type, and their values.
    fn store_numbers<E: Element>(
        &mut self,
        (packed, values): (&mut Blocks, &mut Blocks),
        kept: &[usize],
        positions: Range<usize>,
    ) {
        let head_dim = self.store.head_dim;
        for (block, columns) in spans(positions) {
            let first = block * BLOCK;
            let rows = self.rows::<E>(first + columns.start..first + columns.end);
            let to: &mut [E] = bytemuck::cast_slice_mut(packed.get_mut(block));
            for (row, &channel) in to.chunks_exact_mut(BLOCK).zip(kept) {
                let key = &rows.keys[channel * columns.len()..][..columns.len()];
                E::round(key, &mut row[columns.clone()]);
            }
            let to: &mut [E] = bytemuck::cast_slice_mut(values.get_mut(block));
            E::round(&rows.values, &mut to[columns.start * head_dim..columns.end * head_dim]);
        }
    }

    /// Codes these positions, the middle of a specification, or its end from a whole chunk on.
    fn code<E: Element>(
        &mut self,
        to: &mut Blocks,
        (spec, (layer, kv_head)): (&CacheSpec, (usize, usize)),
        positions: Range<usize>,
    ) {
        let layout = spec.layout(layer, kv_head).expect("coded heads have a layout");
        let sink = spec.window().sink;
        let before = match (&self.store.middle, self.layout) {
            (Middle::Coded(blocks), Some(before)) if sink == self.sink => Some((blocks, before)),
            _ => None,
        };
        let mut done = positions.start.saturating_sub(sink);
        let coded = self.was.end.saturating_sub(sink);
        if let Some((blocks, _)) = before.filter(|(_, before)| *before == layout) {
            *to = blocks.clone();
            done = coded.max(done);
        }
        for (block, columns) in spans(done..positions.end.saturating_sub(sink).max(done)) {
            let first = sink + block * BLOCK;
            let rows = self.rows::<E>(first + columns.start..first + columns.end);
            rows.write::<E>(layout, to.get_mut(block), columns.clone());
            if let Some((blocks, before)) = before.filter(|(_, before)| *before != layout) {
                let had = coded.saturating_sub(block * BLOCK).min(BLOCK);
                let tokens = columns.start.min(had)..columns.end.min(had);
                if let Some(from) = blocks.get(block) {
                    layout.keep_codes(to.get_mut(block), tokens, (before, from));
                }
            }
        }
    }

    /// The rows of these positions, in which channels that are not stored are 0.
    fn rows<E: Element>(&mut self, positions: Range<usize>) -> MiddleRows {
        let head_dim = self.store.head_dim;
        let mut rows = MiddleRows::new(head_dim, positions.len());
        for fresh in self.fresh(&positions).into_iter().filter(|fresh| !fresh.is_empty()) {
            let at = fresh.start - positions.start;
            rows.take_keys::<E>(&self.store.whole, 0..head_dim, fresh.clone(), at);
            rows.take_values::<E>(&self.store.values, fresh, at);
        }
        let stored = positions.start.max(self.was.start)..positions.end.min(self.was.end);
        if stored.is_empty() {
            return rows;
        }
        let at = stored.start - positions.start;
        match &self.store.middle {
            Middle::Packed(packed) => {
                rows.take_keys::<E>(packed, self.had.iter().copied(), stored.clone(), at);
                rows.take_values::<E>(&self.store.values, stored, at);
            }
            Middle::Coded(blocks) => {
                for (block, columns) in spans(stored.start - self.sink..stored.end - self.sink) {
                    self.decode::<E>(blocks, block);
                    let at = self.sink + block * BLOCK + columns.start - positions.start;
                    self.copy_decoded(&mut rows, columns, at);
                }
            }
            Middle::Whole | Middle::Dropped => {}
        }
        rows
    }

    fn decode<E: Element>(&mut self, blocks: &Blocks, block: usize) {
        if self.decoded == Some(block) {
            return;
        }
        let layout = self.layout.expect("coded heads have a layout");
        let bytes = blocks.get(block).expect("coded tokens have a block");
        layout.read_keys::<E>(bytes, &mut self.keys);
        for (token, value) in self.values.chunks_exact_mut(layout.head_dim()).enumerate() {
            layout.read_value::<E>(bytes, token, value);
        }
        self.decoded = Some(block);
    }

    /// Copies columns of the decoded block to the rows of the tokens `at ..`.
    fn copy_decoded(&self, rows: &mut MiddleRows, columns: Range<usize>, at: usize) {
        let (head_dim, tokens) = (self.store.head_dim, rows.tokens());
        let channels = self.layout.map_or(&[][..], BlockLayout::channels);
        for (&channel, key) in channels.iter().zip(self.keys.chunks_exact(BLOCK)) {
            rows.keys[channel * tokens + at..][..columns.len()]
                .copy_from_slice(&key[columns.clone()]);
        }
        rows.values[at * head_dim..][..columns.len() * head_dim]
            .copy_from_slice(&self.values[columns.start * head_dim..columns.end * head_dim]);
    }
}

/// Copies rows of keys, one per kept channel, at these positions.
pub(super) fn pack<E: Element>(
    from: &Blocks,
    to: &mut Blocks,
    rows: &[usize],
    positions: Range<usize>,
) {
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
