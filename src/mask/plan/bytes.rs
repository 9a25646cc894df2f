//! Bytes of the middle of one head: the one formula that the cache's accounting and every
//! comparison use.

use super::{Coding, Width};

/// Bytes of an f16: scales and minima are stored so.
const F16: usize = 2;

/// The most consecutive middle tokens of a K channel that share a scale.
const MOST_TOKENS: usize = 64;

/// Consecutive middle tokens of a K channel that share a scale and a minimum: the largest number up
/// to 64 that divides both 64 and the chunk, so that a group is complete when its chunk enters the
/// middle, and is coded once.
pub fn group_tokens(chunk: usize) -> usize {
    // The greatest common divisor with a power of two is the largest power of two that divides.
    MOST_TOKENS.min(1 << chunk.max(1).trailing_zeros().min(6))
}

/// Bytes that one head stores of its middle.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HeadBytes {
    /// Bits of the key of one token, without scales and minima.
    pub k_token_bits: usize,
    /// Scales and minima of the keys of a group of [`group_tokens`] tokens.
    pub k_group: usize,
    /// The value of one token, scales and minima included.
    pub v_token: usize,
}

impl HeadBytes {
    /// The bytes of a head whose K channels have these widths; `element` is the size of the cache's
    /// element type.
    ///
    /// K: `bits / 8` per token and channel and, where coded, 4 bytes of scale and minimum per group
    /// of tokens. V: `head_dim * bits / 8` per token, rounded up to a byte, and 4 bytes per group of
    /// channels. Blocks per token have one scale of 2 bytes and no minimum.
    pub fn of(k: &[Width], v: Width, coding: Coding, element: usize) -> Self {
        let head_dim = k.len();
        let bits = |width: Width| match width {
            Width::Sixteen => 8 * element,
            coded => usize::from(coded.bits()),
        };
        let blocks = head_dim.div_ceil(Coding::BLOCK_CHANNELS) * F16;
        let k_token_bits = k.iter().map(|&width| bits(width)).sum();
        let v_row = (head_dim * bits(v)).div_ceil(8);
        match coding {
            Coding::Blocks { .. } => Self {
                k_token_bits: k_token_bits + 8 * blocks,
                k_group: 0,
                v_token: v_row + blocks,
            },
            Coding::Channels { .. } => {
                let coded = k.iter().filter(|width| width.is_coded()).count();
                let groups = if v.is_coded() { head_dim / coding.v_group(head_dim) } else { 0 };
                Self { k_token_bits, k_group: coded * 2 * F16, v_token: v_row + groups * 2 * F16 }
            }
        }
    }

    /// Keys and values of `tokens` middle tokens, a multiple of `group`.
    pub fn at(self, tokens: usize, group: usize) -> [usize; 2] {
        let k = (tokens * self.k_token_bits).div_ceil(8) + tokens / group * self.k_group;
        [k, tokens * self.v_token]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(k: Width, v: Width, coding: Coding, head_dim: usize) -> f64 {
        let bytes = HeadBytes::of(&vec![k; head_dim], v, coding, 2);
        let [k, v] = bytes.at(64, 64);
        (k + v) as f64 / (64 * 4 * head_dim) as f64
    }

    #[test]
    fn uniform_plans_have_the_bytes_of_their_bits() {
        let kivi = Coding::Channels { v_group: 32 };
        // 8 + 32/64 bits for K, 8 + 32/32 for V, of 32.
        assert_eq!(share(Width::Eight, Width::Eight, kivi, 64), (8.5 + 9.0) / 32.0);
        assert_eq!(share(Width::Eight, Width::Four, kivi, 64), (8.5 + 5.0) / 32.0);
        assert_eq!(share(Width::Four, Width::Four, kivi, 64), (4.5 + 5.0) / 32.0);
        assert_eq!(share(Width::Two, Width::Two, Coding::best(64), 64), (2.5 + 2.5) / 32.0);
        assert_eq!(share(Width::Sixteen, Width::Sixteen, kivi, 48), 1.0);
        assert_eq!(share(Width::Zero, Width::Zero, kivi, 48), 0.0);
        // ggml: 34 and 18 bytes for 32 numbers.
        let blocks = Coding::Blocks { rotated: false };
        assert_eq!(share(Width::Eight, Width::Eight, blocks, 64), 34.0 / 64.0);
        assert_eq!(share(Width::Four, Width::Four, blocks, 64), 18.0 / 64.0);
    }

    #[test]
    fn a_row_that_groups_do_not_divide_is_one_group_of_whole_bytes() {
        let coding = Coding::Channels { v_group: 32 };
        let bytes = HeadBytes::of(&[Width::Two; 5], Width::Two, coding, 2);
        assert_eq!(bytes, HeadBytes { k_token_bits: 10, k_group: 20, v_token: 2 + 4 });
        assert_eq!(bytes.at(64, 2), [80 + 32 * 20, 64 * 6]);
    }

    #[test]
    fn groups_divide_the_chunk_and_64() {
        for chunk in 1..=300 {
            let group = group_tokens(chunk);
            assert!(chunk % group == 0 && 64 % group == 0, "{chunk}: {group}");
            assert!(
                (group + 1..=64).all(|larger| chunk % larger != 0 || 64 % larger != 0),
                "{chunk}: {group} is not the largest"
            );
        }
    }
}
