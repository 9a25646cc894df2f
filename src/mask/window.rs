//! Which tokens of a sequence are pruned: everything between the sink and the recent window, in whole chunks.

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
    /// Tokens in the middle of a sequence of `len` tokens, the current one included:
    /// `chunk * floor(max(0, len - sink - recent) / chunk)`. They are positions `sink .. sink + middle(len)`.
    pub fn middle(&self, len: usize) -> usize {
        let over = len.saturating_sub(self.sink.saturating_add(self.recent));
        over / self.chunk * self.chunk
    }
}
