//! What a head stores of its middle.

use std::ops::Range;

use super::CacheSpec;
use super::blocks::{BLOCK, Blocks, spans};
use super::coded::BlockLayout;
use crate::element::Element;

/// Blocks per allocation for tokens that stay.
pub(super) const RESIDENT_BLOCKS: usize = 8;

/// What a head stores of its middle.
#[derive(Debug, Clone)]
pub(super) enum Middle {
    /// Every channel at the element type: middle tokens stay among the whole keys and the values.
    Whole,
    /// Some channels at the element type, in blocks `[kept][64]` by position; values stay among the
    /// values.
    Packed(Blocks),
    /// Codes of keys and values: block `i` holds the positions from `sink + 64 i` on.
    Coded(Blocks),
    /// Nothing.
    Dropped,
}

impl Middle {
    pub(super) fn new(spec: &CacheSpec, layer: usize, kv_head: usize) -> Self {
        let kept = spec.kept(layer, kv_head).len();
        let slab = if spec.sight().window(layer).is_some() { 1 } else { RESIDENT_BLOCKS };
        match spec.layout(layer, kv_head) {
            Some(layout) => Self::Coded(Blocks::new(layout.bytes(), slab)),
            None if spec.is_whole(layer, kv_head) => Self::Whole,
            None if kept == 0 => Self::Dropped,
            None => {
                let block_bytes = kept * BLOCK * spec.dtype().bytes();
                Self::Packed(Blocks::new(block_bytes, slab))
            }
        }
    }

    /// Whether middle keys stay among the whole keys.
    pub(super) fn has_whole_keys(&self) -> bool {
        matches!(self, Self::Whole)
    }

    /// Whether middle values stay among the values.
    pub(super) fn has_values(&self) -> bool {
        matches!(self, Self::Whole | Self::Packed(_))
    }

    /// The blocks that the middle has for itself.
    pub(super) fn blocks(&self) -> Option<&Blocks> {
        match self {
            Self::Packed(blocks) | Self::Coded(blocks) => Some(blocks),
            Self::Whole | Self::Dropped => None,
        }
    }

    /// Reserves table entries for a sequence of `tokens`.
    pub(super) fn reserve(&mut self, tokens: usize) {
        if let Self::Packed(blocks) | Self::Coded(blocks) = self {
            blocks.reserve(tokens.div_ceil(BLOCK));
        }
    }

    /// Drops everything but these positions.
    pub(super) fn truncate(&mut self, positions: Range<usize>) {
        match self {
            Self::Packed(blocks) => blocks.truncate(positions.end.div_ceil(BLOCK)),
            Self::Coded(blocks) => blocks.truncate(positions.len().div_ceil(BLOCK)),
            Self::Whole | Self::Dropped => {}
        }
    }
}

/// Keys and values of consecutive middle tokens, as rounded to the element type.
#[derive(Debug)]
pub(super) struct MiddleRows {
    tokens: usize,
    /// `[head_dim][tokens]`
    pub(super) keys: Vec<f32>,
    /// `[tokens][head_dim]`
    pub(super) values: Vec<f32>,
}

impl MiddleRows {
    /// Space for the rows of `tokens` tokens, zeros.
    pub(super) fn new(head_dim: usize, tokens: usize) -> Self {
        let zeros = vec![0.0; head_dim * tokens];
        Self { tokens, keys: zeros.clone(), values: zeros }
    }

    /// Number of tokens.
    pub(super) fn tokens(&self) -> usize {
        self.tokens
    }

    /// Takes keys from blocks whose rows are these channels. `at` is the column of the first
    /// position.
    pub(super) fn take_keys<E: Element>(
        &mut self,
        from: &Blocks,
        channels: impl Iterator<Item = usize> + Clone,
        positions: Range<usize>,
        at: usize,
    ) {
        let first = positions.start;
        for (block, columns) in spans(positions) {
            let at = at + block * BLOCK + columns.start - first;
            let rows = elements::<E>(from, block).chunks_exact(BLOCK);
            for (channel, row) in channels.clone().zip(rows) {
                let to = &mut self.keys[channel * self.tokens + at..][..columns.len()];
                to.iter_mut().zip(&row[columns.clone()]).for_each(|(to, x)| *to = x.widen());
            }
        }
    }

    /// Takes values. `at` is the row of the first position.
    pub(super) fn take_values<E: Element>(
        &mut self,
        from: &Blocks,
        positions: Range<usize>,
        at: usize,
    ) {
        let (first, head_dim) = (positions.start, self.values.len() / self.tokens);
        for (block, columns) in spans(positions) {
            let at = at + block * BLOCK + columns.start - first;
            let rows = &elements::<E>(from, block)[columns.start * head_dim..];
            let to = &mut self.values[at * head_dim..][..columns.len() * head_dim];
            to.iter_mut().zip(rows).for_each(|(to, x)| *to = x.widen());
        }
    }

    /// Codes these tokens into the columns of a block: whole groups.
    pub(super) fn write<E: Element>(
        &self,
        layout: &BlockLayout,
        block: &mut [u8],
        columns: Range<usize>,
    ) {
        layout.write_keys::<E>(block, columns.clone(), &self.keys);
        for (token, value) in columns.zip(self.values.chunks_exact(layout.head_dim())) {
            layout.write_value::<E>(block, token, value);
        }
    }
}

/// The elements of a block.
fn elements<E: Element>(blocks: &Blocks, block: usize) -> &[E] {
    bytemuck::cast_slice(blocks.get(block).expect("a token that is wanted is stored"))
}
