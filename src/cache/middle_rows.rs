//! Keys and values of a few middle tokens as numbers, on their way from one form of storage to
//! another.

use std::ops::Range;

use super::blocks::{BLOCK, Blocks, spans};
use super::coded::BlockLayout;
use crate::element::Element;

/// Keys and values of up to 64 consecutive tokens.
pub(super) struct MiddleRows {
    head_dim: usize,
    /// Which tokens.
    positions: Range<usize>,
    /// `[head_dim][positions]`; 0 for channels that no store holds.
    keys: Vec<f32>,
    /// `[positions][head_dim]`
    values: Vec<f32>,
}

impl MiddleRows {
    pub(super) fn new(head_dim: usize) -> Self {
        Self { head_dim, positions: 0..0, keys: Vec::new(), values: Vec::new() }
    }

    /// Begins with other tokens, of which nothing is known yet.
    pub(super) fn start(&mut self, positions: Range<usize>) {
        let numbers = self.head_dim * positions.len();
        self.positions = positions;
        for rows in [&mut self.keys, &mut self.values] {
            rows.clear();
            rows.resize(numbers, 0.0);
        }
    }

    /// Takes what blocks of whole keys and values hold of these tokens.
    pub(super) fn take_whole<E: Element>(&mut self, keys: &Blocks, values: &Blocks) {
        let (head_dim, count) = (self.head_dim, self.positions.len());
        for (block, columns) in spans(self.positions.clone()) {
            let at = block * BLOCK + columns.start - self.positions.start;
            if let Some(keys) = keys.get(block) {
                let keys: &[E] = bytemuck::cast_slice(keys);
                for (row, stored) in self.keys.chunks_exact_mut(count).zip(keys.chunks_exact(BLOCK))
                {
                    widen(&stored[columns.clone()], &mut row[at..]);
                }
            }
            if let Some(values) = values.get(block) {
                let values: &[E] = bytemuck::cast_slice(values);
                let stored = &values[columns.start * head_dim..columns.end * head_dim];
                widen(stored, &mut self.values[at * head_dim..]);
            }
        }
    }

    /// Takes the packed keys of those tokens that are in `middle`; `kept` are their channels.
    pub(super) fn take_packed<E: Element>(
        &mut self,
        packed: &Blocks,
        kept: &[usize],
        middle: Range<usize>,
    ) {
        let count = self.positions.len();
        for (block, columns) in spans(common(&self.positions, &middle)) {
            let at = block * BLOCK + columns.start - self.positions.start;
            let stored: &[E] =
                bytemuck::cast_slice(packed.get(block).expect("the middle is stored"));
            for (row, &channel) in stored.chunks_exact(BLOCK).zip(kept) {
                widen(&row[columns.clone()], &mut self.keys[channel * count + at..]);
            }
        }
    }

    /// Takes keys and values of those tokens that are in `middle`, from codes.
    pub(super) fn take_coded<E: Element>(
        &mut self,
        coded: &Blocks,
        layout: &BlockLayout,
        middle: Range<usize>,
    ) {
        let (head_dim, count) = (self.head_dim, self.positions.len());
        let mut keys = vec![0.0; layout.channels().len() * BLOCK];
        let shared = common(&self.positions, &middle);
        for (block, columns) in spans(shared.start - middle.start..shared.end - middle.start) {
            let at = middle.start + block * BLOCK + columns.start - self.positions.start;
            let stored = coded.get(block).expect("the middle is stored");
            layout.read_keys::<E>(stored, &mut keys);
            for (row, &channel) in keys.chunks_exact(BLOCK).zip(layout.channels()) {
                self.keys[channel * count + at..][..columns.len()]
                    .copy_from_slice(&row[columns.clone()]);
            }
            for (token, value) in columns.zip(self.values.chunks_exact_mut(head_dim).skip(at)) {
                layout.read_value::<E>(stored, token, value);
            }
        }
    }

    /// Codes all tokens as `columns` of a block.
    pub(super) fn encode<E: Element>(
        &self,
        layout: &BlockLayout,
        columns: Range<usize>,
        block: &mut [u8],
    ) {
        layout.write_keys::<E>(block, columns.clone(), &self.keys);
        for (token, value) in columns.zip(self.values.chunks_exact(self.head_dim)) {
            layout.write_value::<E>(block, token, value);
        }
    }

    /// Stores the kept channels of all tokens as packed keys, and their values.
    pub(super) fn put_packed<E: Element>(
        &self,
        packed: &mut Blocks,
        values: &mut Blocks,
        kept: &[usize],
    ) {
        let (head_dim, count) = (self.head_dim, self.positions.len());
        for (block, columns) in spans(self.positions.clone()) {
            let at = block * BLOCK + columns.start - self.positions.start;
            let to: &mut [E] = bytemuck::cast_slice_mut(packed.get_mut(block));
            for (row, &channel) in to.chunks_exact_mut(BLOCK).zip(kept) {
                let from = &self.keys[channel * count + at..][..columns.len()];
                E::round(from, &mut row[columns.clone()]);
            }
            let to: &mut [E] = bytemuck::cast_slice_mut(values.get_mut(block));
            let to = &mut to[columns.start * head_dim..columns.end * head_dim];
            E::round(&self.values[at * head_dim..][..to.len()], to);
        }
    }
}

/// The positions that both ranges hold.
fn common(one: &Range<usize>, other: &Range<usize>) -> Range<usize> {
    let start = one.start.max(other.start);
    start..one.end.min(other.end).max(start)
}

/// Writes stored elements as numbers to the beginning of `to`.
fn widen<E: Element>(from: &[E], to: &mut [f32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = from.widen());
}
