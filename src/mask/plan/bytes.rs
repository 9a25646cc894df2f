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
    /// Keys of a group of [`group_tokens`] tokens, scales and minima included.
    pub k_group: usize,
    /// The value of one token, scales and minima included.
    pub v_token: usize,
}

impl HeadBytes {
    /// The bytes of a head whose K channels have these widths.
    ///
    /// `element` is the size of the cache's element type, `group` the [`group_tokens`] of its
    /// chunk. K: `group * bits / 8` per channel and, where coded, 4 bytes of scale and minimum. V:
    /// `head_dim * bits / 8` per token, rounded up to a byte, and 4 bytes per group of channels.
    /// Blocks per token have one scale of 2 bytes and no minimum.
    pub fn of(k: &[Width], v: Width, coding: Coding, element: usize, group: usize) -> Self {
        let head_dim = k.len();
        let blocks = head_dim.div_ceil(Coding::BLOCK_CHANNELS) * F16;
        let row = |width: Width| (head_dim * usize::from(width.bits())).div_ceil(8);
        let k_group = match coding {
            Coding::Blocks { .. } => {
                let width = k.first().copied().unwrap_or(Width::Zero);
                group * (row(width) + blocks)
            }
            Coding::Channels { .. } => k
                .iter()
                .map(|&width| match width {
                    Width::Zero => 0,
                    Width::Sixteen => group * element,
                    coded => (group * usize::from(coded.bits())).div_ceil(8) + 2 * F16,
                })
                .sum(),
        };
        let v_token = match (v, coding) {
            (Width::Zero, _) => 0,
            (Width::Sixteen, _) => head_dim * element,
            (coded, Coding::Blocks { .. }) => row(coded) + blocks,
            (coded, Coding::Channels { .. }) => {
                row(coded) + head_dim / coding.v_group(head_dim) * 2 * F16
            }
        };
        Self { k_group, v_token }
    }

    /// Keys and values of `tokens` middle tokens, a multiple of `group`.
    pub fn at(self, tokens: usize, group: usize) -> [usize; 2] {
        [tokens / group * self.k_group, tokens * self.v_token]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(k: Width, v: Width, coding: Coding, head_dim: usize) -> f64 {
        let bytes = HeadBytes::of(&vec![k; head_dim], v, coding, 2, 64);
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
        let bytes = HeadBytes::of(&[Width::Two; 5], Width::Two, coding, 2, 2);
        assert_eq!(bytes, HeadBytes { k_group: 5 * (1 + 4), v_token: 2 + 4 });
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
