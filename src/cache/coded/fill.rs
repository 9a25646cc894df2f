//! Blocks from codes that are laid out otherwise elsewhere, such as on a GPU.

use half::f16;

use super::block::{put, put_f16};
use super::layout::BlockLayout;
use crate::cache::BLOCK;

/// What is stored in a block, by what it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// The code, or the element of 16 bits, of a token's key in the stored channel `at`.
    Key {
        /// Place among [`BlockLayout::channels`].
        at: usize,
        /// Token of the block.
        token: usize,
    },
    /// Scale (the lower half) and minimum (the upper half) of a coded channel's keys.
    KeyPair {
        /// Place among the coded channels.
        at: usize,
        /// Group of tokens in the block.
        group: usize,
    },
    /// The code, or the element of 16 bits, of a token's value.
    Value {
        /// Channel.
        channel: usize,
        /// Token of the block.
        token: usize,
    },
    /// Scale (the lower half) and minimum (the upper half) of a token's value.
    ValuePair {
        /// Group of channels.
        group: usize,
        /// Token of the block.
        token: usize,
    },
}

impl BlockLayout {
    /// Fills a block with what is laid out otherwise elsewhere, such as on a GPU: `bits` gives each
    /// piece. For bits per channel, and elements of 16 bits.
    pub fn fill(&self, block: &mut [u8], bits: impl Fn(Piece) -> u32) {
        let element = |block: &mut [u8], at: usize, bits: u32| {
            block[2 * at..2 * at + 2].copy_from_slice(&(bits as u16).to_le_bytes());
        };
        let pair = |block: &mut [u8], [scale, minimum]: [usize; 2], bits: u32| {
            put_f16(block, scale, f16::from_bits(bits as u16));
            put_f16(block, minimum, f16::from_bits((bits >> 16) as u16));
        };
        for (at, token) in (0..self.full).flat_map(|at| (0..BLOCK).map(move |token| (at, token))) {
            element(block, at * BLOCK + token, bits(Piece::Key { at, token }));
        }
        for run in &self.runs {
            for (at, token) in
                (0..run.channels).flat_map(|at| (0..BLOCK).map(move |token| (at, token)))
            {
                let code = bits(Piece::Key { at: self.full + run.first + at, token });
                put(block, run.place(at, token), run.width, code as u8);
            }
        }
        for group in 0..BLOCK / self.group {
            let places = self.k_scales(group);
            for at in 0..self.coded_channels() {
                let places = [places[0].start + 2 * at, places[1].start + 2 * at];
                pair(block, places, bits(Piece::KeyPair { at, group }));
            }
        }
        for token in 0..BLOCK {
            for channel in 0..self.head_dim {
                let stored = bits(Piece::Value { channel, token });
                match &self.codes {
                    Some(codes) => {
                        put(block, codes.place(channel, token), codes.width, stored as u8);
                    }
                    None => {
                        let at = self.values / 2 + token * self.head_dim + channel;
                        element(block, at, stored);
                    }
                }
            }
            let Some(codes) = &self.codes else { continue };
            for group in 0..self.head_dim / codes.group {
                let places = self.v_scales(codes, group);
                let places = [places[0].start + 2 * token, places[1].start + 2 * token];
                pair(block, places, bits(Piece::ValuePair { group, token }));
            }
        }
    }
}
