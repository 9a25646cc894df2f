//! Which tokens of a sequence are pruned: everything between the sink and the recent window, in
//! whole chunks.

use crate::{Error, Result};

/// Sizes, in tokens, of the parts of the cache that keep every channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Window {
    /// First tokens of the sequence, never pruned.
    pub sink: usize,
    /// Last tokens of the sequence (the current one counts), never pruned.
    pub recent: usize,
    /// Tokens that leave the recent window for the middle at once; at least 1.
    pub chunk: usize,
}

impl Default for Window {
    fn default() -> Self {
        Self { sink: 16, recent: 128, chunk: 32 }
    }
}

impl Window {
    /// The deployment defaults of the LeanK authors, for which their published masks were made.
    pub const UPSTREAM: Self = Self { sink: 128, recent: 768, chunk: 128 };

    /// The window of plans that are known by name and of plans that are made here: whole groups of
    /// 64 tokens share a scale.
    pub const CODED: Self = Self { sink: 16, recent: 128, chunk: 64 };

    /// No window: every token is in the middle, as it is where a mask is baked into weights.
    pub const NONE: Self = Self { sink: 0, recent: 0, chunk: 1 };

    /// Refuses a window without a chunk.
    pub fn check(&self) -> Result<()> {
        match self.chunk {
            0 => Err(Error::input("chunk is 0: expected at least 1 token")),
            _ => Ok(()),
        }
    }

    /// Tokens in the middle of a sequence of `len` tokens, the current one included: `chunk *
    /// floor(max(0, len - sink - recent) / chunk)`. They are positions `sink .. sink +
    /// middle(len)`.
    pub fn middle(&self, len: usize) -> usize {
        let over = len.saturating_sub(self.sink.saturating_add(self.recent));
        over / self.chunk * self.chunk
    }
}
