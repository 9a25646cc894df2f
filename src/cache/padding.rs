//! What a sequence takes in memory, in closed form: its elements in blocks of 64 tokens, free
//! columns and alignment included. Capacity plans are made from it, before there is a cache.

use super::CacheSpec;
use super::blocks::{BLOCK, LINE};
use super::middle::RESIDENT_BLOCKS;

/// How a head stores its middle, as far as memory is concerned.
enum Kind {
    Whole,
    Packed { block: usize },
    Coded { block: usize },
    Dropped,
}

impl CacheSpec {
    /// Bytes that the allocator holds for a sequence of `len` tokens in memory: what
    /// [`SequenceCache::allocated`](super::SequenceCache::allocated) reports once the tokens are
    /// there.
    pub fn allocated_at(&self, len: usize) -> usize {
        (0..self.shape().layers).map(|layer| self.layer_allocated_at(layer, len)).sum()
    }

    /// The part of [`Self::allocated_at`] of one layer.
    pub fn layer_allocated_at(&self, layer: usize, len: usize) -> usize {
        let window = self.window();
        let (sink, middle) = (window.sink, window.middle(len));
        let freed = ((sink + middle) / BLOCK).saturating_sub(sink.div_ceil(BLOCK));
        self.layer_memory(layer, len, len.div_ceil(BLOCK) - freed)
    }

    /// Bytes to set aside for a sequence of one layer that grows to `len` tokens: the most that it
    /// holds on its way. Before a chunk moves, its tokens are still whole; so this never shrinks
    /// with the length.
    pub fn layer_reserved_at(&self, layer: usize, len: usize) -> usize {
        let window = self.window();
        // A middle that begins or ends inside a block leaves that block to the window.
        let most = window.sink.div_ceil(BLOCK)
            + (window.recent.saturating_add(window.chunk) - 1).div_ceil(BLOCK)
            + 1;
        self.layer_memory(layer, len, len.div_ceil(BLOCK).min(most))
    }

    /// Bytes of one layer whose window is in so many blocks of its own.
    fn layer_memory(&self, layer: usize, len: usize, window_blocks: usize) -> usize {
        let shape = self.shape();
        let whole = shape.head_dim * BLOCK * self.dtype().bytes();
        let window = window_blocks * (whole + LINE - 1);
        let resident = slabs(0..len.div_ceil(BLOCK), whole);
        let (sink, middle) = (self.window().sink, self.window().middle(len));
        let head = |head| match self.kind(layer, head) {
            Kind::Whole => 2 * resident,
            Kind::Dropped => 2 * window,
            Kind::Packed { .. } if middle == 0 => window + resident,
            Kind::Packed { block } => {
                let blocks = sink / BLOCK..(sink + middle).div_ceil(BLOCK);
                window + resident + slabs(blocks, block)
            }
            Kind::Coded { block } => 2 * window + slabs(0..middle.div_ceil(BLOCK), block),
        };
        (0..shape.kv_heads).map(head).sum()
    }

    fn kind(&self, layer: usize, head: usize) -> Kind {
        match self.layout(layer, head) {
            Some(layout) => Kind::Coded { block: layout.bytes() },
            None if self.is_whole(layer, head) => Kind::Whole,
            None => match self.kept(layer, head).len() {
                0 => Kind::Dropped,
                kept => Kind::Packed { block: kept * BLOCK * self.dtype().bytes() },
            },
        }
    }
}

/// Bytes of the allocations that hold these blocks of tokens that stay.
fn slabs(blocks: std::ops::Range<usize>, block_bytes: usize) -> usize {
    let slabs = blocks.end.div_ceil(RESIDENT_BLOCKS) - blocks.start / RESIDENT_BLOCKS;
    slabs * (RESIDENT_BLOCKS * block_bytes + LINE - 1)
}
