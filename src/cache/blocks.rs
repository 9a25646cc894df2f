//! Growing storage in blocks of 64 tokens, addressed by the block's place in the sequence.
//!
//! Block `b` holds positions `64 b .. 64 b + 64` in every store. So keys of the window, packed keys
//! of the middle and values line up: moving a chunk to the middle copies equal columns. A store may
//! have gaps where its tokens are kept in another one. A few blocks share one allocation (a slab);
//! slabs are shared between clones until one of them writes.

use std::ops::Range;
use std::sync::Arc;

/// Tokens in a block: 64 tokens of a 2-byte channel are two cache lines, four 16-lane registers.
pub const BLOCK: usize = 64;

/// Blocks start on a cache line, so that no vector load straddles two.
pub(super) const LINE: usize = 64;

/// One allocation, shared between clones. The table of slabs holds the address of the bytes
/// themselves: a boxed slab would cost a reader a second cache miss.
#[derive(Debug, Clone)]
struct Slab {
    bytes: Arc<[u8]>,
    /// Offset of the first cache line.
    start: usize,
}

impl Slab {
    fn zeroed(len: usize) -> Self {
        let bytes: Arc<[u8]> = std::iter::repeat_n(0, len + LINE - 1).collect();
        let start = bytes.as_ptr().align_offset(LINE);
        Self { bytes, start }
    }

    /// `len` bytes from `offset` on for writing, in a copy of this slab if a clone shares it.
    fn get_mut(&mut self, offset: usize, len: usize) -> &mut [u8] {
        if Arc::get_mut(&mut self.bytes).is_none() {
            let used = self.bytes.len() - (LINE - 1);
            let mut copy = Self::zeroed(used);
            copy.get_mut(0, used).copy_from_slice(&self.bytes[self.start..][..used]);
            *self = copy;
        }
        let bytes = Arc::get_mut(&mut self.bytes).expect("it is not shared");
        &mut bytes[self.start + offset..][..len]
    }
}

/// The blocks of one head's keys or values; cloning shares them until a clone writes.
#[derive(Debug, Clone)]
pub(super) struct Blocks {
    block_bytes: usize,
    /// Base-2 logarithm of the blocks per slab.
    slab_shift: u32,
    slabs: Vec<Option<Slab>>,
}

impl Blocks {
    /// No blocks yet; one block has `block_bytes`, and a power of two of them share an allocation.
    pub(super) fn new(block_bytes: usize, blocks_per_slab: usize) -> Self {
        assert!(blocks_per_slab.is_power_of_two());
        Self { block_bytes, slab_shift: blocks_per_slab.ilog2(), slabs: Vec::new() }
    }

    /// The slab of a block and the block's offset in it.
    fn place(&self, block: usize) -> (usize, usize) {
        let slab = block >> self.slab_shift;
        (slab, (block - (slab << self.slab_shift)) * self.block_bytes)
    }

    /// How many slabs hold the first `blocks` blocks.
    fn slabs_of(&self, blocks: usize) -> usize {
        blocks.div_ceil(1 << self.slab_shift)
    }

    /// Reserves table entries for `blocks` blocks, so that growth up to there does not move the
    /// table.
    pub(super) fn reserve(&mut self, blocks: usize) {
        self.slabs.reserve(self.slabs_of(blocks));
    }

    /// The bytes of a block; `None` where nothing is stored.
    #[inline]
    pub(super) fn get(&self, block: usize) -> Option<&[u8]> {
        let (index, offset) = self.place(block);
        let slab = self.slabs.get(index)?.as_ref()?;
        Some(&slab.bytes[slab.start + offset..][..self.block_bytes])
    }

    /// The bytes of a block for writing: allocated when absent, copied when a clone shares it.
    pub(super) fn get_mut(&mut self, block: usize) -> &mut [u8] {
        let (index, offset) = self.place(block);
        if self.slabs.len() <= index {
            self.slabs.resize(index + 1, None);
        }
        let slab_bytes = self.block_bytes << self.slab_shift;
        self.slabs[index]
            .get_or_insert_with(|| Slab::zeroed(slab_bytes))
            .get_mut(offset, self.block_bytes)
    }

    /// Frees the slabs that are entirely inside these blocks.
    pub(super) fn free(&mut self, blocks: Range<usize>) {
        let first = self.slabs_of(blocks.start);
        let end = (blocks.end >> self.slab_shift).min(self.slabs.len());
        for slab in self.slabs.iter_mut().take(end).skip(first) {
            *slab = None;
        }
    }

    /// Frees every slab past the first `blocks` blocks.
    pub(super) fn truncate(&mut self, blocks: usize) {
        self.slabs.truncate(self.slabs_of(blocks));
    }

    /// Bytes allocated; slabs shared with a clone count in both.
    pub(super) fn allocated(&self) -> usize {
        self.slabs.iter().flatten().map(|slab| slab.bytes.len()).sum()
    }
}

/// The blocks that hold any of these positions, each with the columns that do.
pub(super) fn spans(positions: Range<usize>) -> impl Iterator<Item = (usize, Range<usize>)> {
    let blocks = if positions.is_empty() {
        0..0
    } else {
        positions.start / BLOCK..positions.end.div_ceil(BLOCK)
    };
    blocks.map(move |block| {
        let first = block * BLOCK;
        (block, positions.start.max(first) - first..positions.end.min(first + BLOCK) - first)
    })
}
