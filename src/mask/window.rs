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

    /// Tokens of the shortest sequence that has a middle: below that nothing is pruned.
    pub fn first_middle(&self) -> usize {
        self.sink.saturating_add(self.recent).saturating_add(self.chunk)
    }

    /// How many of `steps` decode steps, after the last of which a sequence has `end` tokens, saw a
    /// middle. In the others nothing was pruned, whatever the mask.
    pub fn steps_with_middle(&self, end: usize, steps: usize) -> usize {
        let with = end.saturating_add(1).saturating_sub(self.first_middle());
        with.min(steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_with_a_middle_are_those_whose_sequence_has_one() {
        for window in [Window::default(), Window::CODED, Window { sink: 0, recent: 3, chunk: 5 }] {
            for end in 0..400 {
                for steps in [0, 1, 64].into_iter().filter(|steps| *steps <= end) {
                    let lengths = end - steps + 1..=end;
                    let with = lengths.filter(|&len| window.middle(len) > 0).count();
                    assert_eq!(window.steps_with_middle(end, steps), with, "{window:?} {end}");
                }
            }
        }
        // The middle of the defaults begins with 176 tokens.
        assert_eq!(Window::default().first_middle(), 176);
        assert_eq!(Window::default().steps_with_middle(124, 64), 0);
    }
}
