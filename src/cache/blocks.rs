//! Growing storage in blocks of 64 tokens, addressed by the block's place in the sequence.
//!
//! Block `b` holds positions `64 b .. 64 b + 64`, in every store alike. Keys of the window, packed keys of the middle and values
//! therefore line up: moving a chunk to the middle is a copy of equal columns, and a store may have holes where its tokens
//! went elsewhere. A few blocks share one allocation (a slab); slabs are shared between clones until one of them writes.

use std::ops::Range;
use std::sync::Arc;

/// Tokens in a block: 64 tokens of a 2-byte channel are two cache lines, four 16-lane registers.
pub const BLOCK: usize = 64;

/// Blocks start on a cache line, so that no vector load straddles two.
const LINE: usize = 64;

/// One zeroed allocation whose used part starts on a cache line.
#[derive(Debug)]
struct Slab {
    bytes: Box<[u8]>,
    start: usize,
}

impl Slab {
    fn zeroed(len: usize) -> Self {
        let bytes = vec![0; len + LINE - 1].into_boxed_slice();
        let start = bytes.as_ptr().align_offset(LINE);
        Self { bytes, start }
    }

    fn used(&self) -> Range<usize> {
        self.start..self.start + self.bytes.len() - (LINE - 1)
    }
}

impl Clone for Slab {
    fn clone(&self) -> Self {
        let mut copy = Self::zeroed(self.used().len());
        let used = copy.used();
        copy.bytes[used].copy_from_slice(&self.bytes[self.used()]);
        copy
    }
}

/// The blocks of one head's keys or values; cloning shares them until a clone writes.
#[derive(Debug, Clone)]
pub(super) struct Blocks {
    block_bytes: usize,
    blocks_per_slab: usize,
    slabs: Vec<Option<Arc<Slab>>>,
}

impl Blocks {
    pub(super) fn new(block_bytes: usize, blocks_per_slab: usize) -> Self {
        Self { block_bytes, blocks_per_slab, slabs: Vec::new() }
    }

    /// Makes room in the table, so that growth up to `blocks` blocks moves no entry.
    pub(super) fn reserve(&mut self, blocks: usize) {
        self.slabs.reserve(blocks.div_ceil(self.blocks_per_slab));
    }

    /// The bytes of a block; `None` where nothing is stored.
    pub(super) fn get(&self, block: usize) -> Option<&[u8]> {
        let slab = self.slabs.get(block / self.blocks_per_slab)?.as_ref()?;
        let start = slab.start + block % self.blocks_per_slab * self.block_bytes;
        Some(&slab.bytes[start..start + self.block_bytes])
    }

    /// The bytes of a block for writing: allocated when absent, copied when a clone shares it.
    pub(super) fn get_mut(&mut self, block: usize) -> &mut [u8] {
        let (index, place) = (block / self.blocks_per_slab, block % self.blocks_per_slab);
        if self.slabs.len() <= index {
            self.slabs.resize(index + 1, None);
        }
        let slab_bytes = self.block_bytes * self.blocks_per_slab;
        let slab = Arc::make_mut(self.slabs[index].get_or_insert_with(|| Arc::new(Slab::zeroed(slab_bytes))));
        let start = slab.start + place * self.block_bytes;
        &mut slab.bytes[start..start + self.block_bytes]
    }

    /// Frees the slabs that lie wholly inside these blocks.
    pub(super) fn free(&mut self, blocks: Range<usize>) {
        let first = blocks.start.div_ceil(self.blocks_per_slab);
        let end = (blocks.end / self.blocks_per_slab).min(self.slabs.len());
        for slab in self.slabs.iter_mut().take(end).skip(first) {
            *slab = None;
        }
    }

    /// Frees every slab past the first `blocks` blocks.
    pub(super) fn truncate(&mut self, blocks: usize) {
        self.slabs.truncate(blocks.div_ceil(self.blocks_per_slab));
    }

    /// Bytes taken from the allocator; slabs shared with a clone count in both.
    pub(super) fn allocated(&self) -> usize {
        self.slabs.iter().flatten().map(|slab| slab.bytes.len()).sum()
    }
}

/// The blocks that hold any of these positions, each with the columns that do.
pub(super) fn spans(positions: Range<usize>) -> impl Iterator<Item = (usize, Range<usize>)> {
    let blocks = if positions.is_empty() { 0..0 } else { positions.start / BLOCK..positions.end.div_ceil(BLOCK) };
    blocks.map(move |block| {
        let first = block * BLOCK;
        (block, positions.start.max(first) - first..positions.end.min(first + BLOCK) - first)
    })
}
