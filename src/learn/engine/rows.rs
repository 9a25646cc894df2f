//! The rows of a pass: answer rows, or the question rows before them. Each block follows the shared
//! prefix and its own tail.

use super::context::CachedContext;
use super::factors::Factors;
use crate::Result;
use crate::mask::Window;
use crate::model::decoder::Decoder;

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
    /// cos and sin of every row's position, each `[rows, head_dim / 2]`.
    pub(super) cos: Vec<f32>,
    pub(super) sin: Vec<f32>,
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
        let rows = Self { prefix, blocks, cos: Vec::new(), sin: Vec::new(), count };
        decoder.check_tokens(&rows.tokens())?;
        let positions = rows
            .blocks
            .iter()
            .flat_map(|block| rows.before(block)..rows.before(block) + block.tokens.len());
        let (cos, sin) = decoder.rope().angles_of(positions);
        Ok(Self { cos, sin, ..rows })
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
