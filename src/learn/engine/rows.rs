//! The rows of a pass: answer rows, or the question rows before them. Each block follows the shared
//! prefix and its own tail.

use super::context::CachedContext;
use super::factors::Factors;
use crate::Result;
use crate::mask::Window;
use crate::model::decoder::Decoder;
use crate::model::rope::Angles;

/// Consecutive rows, after the prefix and their own piece of constant context.
pub(super) struct Block<'a> {
    pub(super) tail: &'a CachedContext,
    /// One token per row.
    pub(super) tokens: &'a [u32],
}

/// The rows of a pass: blocks that share a prefix and do not see each other, and the rotation of
/// every row.
pub(super) struct Rows<'a> {
    pub(super) prefix: &'a CachedContext,
    pub(super) blocks: Vec<Block<'a>>,
    /// cos and sin of every row's position in every layer.
    pub(super) angles: Angles,
    pub(super) count: usize,
}

impl<'a> Rows<'a> {
    /// Fails on tokens that the model does not have.
    pub(super) fn new(
        decoder: &Decoder,
        prefix: &'a CachedContext,
        blocks: Vec<Block<'a>>,
    ) -> Result<Self> {
        let count: usize = blocks.iter().map(|block| block.tokens.len()).sum();
        let positions = blocks.iter().flat_map(|block| {
            let before = prefix.tokens() + block.tail.tokens();
            before..before + block.tokens.len()
        });
        let angles = decoder.rope().angles_of(positions);
        let rows = Self { prefix, blocks, angles, count };
        decoder.check_tokens(&rows.tokens())?;
        Ok(rows)
    }

    /// The tokens of all rows.
    pub(super) fn tokens(&self) -> Vec<u32> {
        self.blocks.iter().flat_map(|block| block.tokens.iter().copied()).collect()
    }

    /// Number of tokens before the first row of a block.
    pub(super) fn before(&self, block: &Block<'_>) -> usize {
        self.prefix.tokens() + block.tail.tokens()
    }
}

/// Rows, and how they see the keys before them.
#[derive(Clone, Copy)]
pub(super) struct Pass<'a> {
    pub(super) rows: &'a Rows<'a>,
    pub(super) window: Window,
    pub(super) factors: &'a Factors,
}

impl Pass<'_> {
    /// Number of tokens in the middle that the row at `position` sees; they begin after the sink.
    pub(super) fn middle(&self, position: usize) -> usize {
        if self.factors.is_whole() { 0 } else { self.window.middle(position + 1) }
    }
}
