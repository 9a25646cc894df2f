//! The steps of the algorithm over a block of 64 tokens, for any register width.

use super::lanes::{Simd, Widen};
use crate::cache::BLOCK;
use crate::element::Element;

/// The two steps that read stored elements, over a block of 64 tokens, for a tile of query heads.
pub trait Steps<E> {
    /// The registers that softmax uses between the two.
    type Registers: Simd;

    /// `scores[h][t] = sum_c q[c][h] keys[c][t]`, for `HEADS` query heads and 64 tokens.
    ///
    /// # Safety
    /// `keys` is valid for `channels * 64` elements, `q` for `channels * HEADS`, `scores` for
    /// `HEADS * 64`; the instruction set is there. `next` is only prefetched.
    unsafe fn scores<const HEADS: usize>(
        keys: *const E,
        channels: usize,
        q: *const f32,
        scores: *mut f32,
        next: *const E,
    );

    /// `sums[h] = rescale[h] sums[h] + sum_t weights[h][t] rows[t]` over the tokens `first .. end`.
    ///
    /// # Safety
    /// `rows` is valid for the block, `weights` for `HEADS * 64`, `rescale` for `HEADS`, `sums` for
    /// `HEADS * head_dim`; `end` is at most 64; the instruction set is there.
    unsafe fn accumulate<const HEADS: usize>(
        values: &Values<E>,
        tokens: (usize, usize),
        weights: *const f32,
        rescale: *const f32,
        sums: *mut f32,
    );
}

impl<S: Widen<E>, E: Element> Steps<E> for S {
    type Registers = S;

    #[inline(always)]
    unsafe fn scores<const HEADS: usize>(
        keys: *const E,
        channels: usize,
        q: *const f32,
        scores: *mut f32,
        next: *const E,
    ) {
        // SAFETY: the caller's promises are those of `scores_tiled`.
        unsafe {
            match S::TILE {
                1 => scores_tiled::<S, E, HEADS, 1>(keys, channels, q, scores, next),
                2 => scores_tiled::<S, E, HEADS, 2>(keys, channels, q, scores, next),
                _ => scores_tiled::<S, E, HEADS, 4>(keys, channels, q, scores, next),
            }
        }
    }

    #[inline(always)]
    unsafe fn accumulate<const HEADS: usize>(
        values: &Values<E>,
        tokens: (usize, usize),
        weights: *const f32,
        rescale: *const f32,
        sums: *mut f32,
    ) {
        // SAFETY: the caller's promises are those of `accumulate_from`.
        unsafe { accumulate_from::<S, E, HEADS>(values, 0, tokens, weights, rescale, sums) }
    }
}

/// The score of a token that does not count: far below any other, and finite, so that differences
/// of scores are never NaN.
pub const UNSEEN: f32 = -1e30;

/// `$steps::$step::<heads>(args)` with the number of heads, at most
/// [`HEAD_TILE`](super::lanes::HEAD_TILE), as a constant.
macro_rules! for_heads {
    ($heads:expr, $steps:ident::$step:ident($($argument:expr),*)) => {
        match $heads {
            1 => $steps::$step::<1>($($argument),*),
            2 => $steps::$step::<2>($($argument),*),
            3 => $steps::$step::<3>($($argument),*),
            _ => $steps::$step::<4>($($argument),*),
        }
    };
}
pub(in crate::attention) use for_heads;

/// Prefetches `len` bytes from `from`, line by line.
#[inline(always)]
unsafe fn prefetch_bytes<S: Simd>(from: *const u8, len: usize) {
    let mut offset = 0;
    while offset < len {
        // SAFETY: a prefetch reads nothing and cannot fault; `wrapping_add` makes no claim about
        // the object.
        unsafe { S::prefetch(from.wrapping_add(offset)) };
        offset += 64;
    }
}

#[inline(always)]
unsafe fn scores_tiled<S: Widen<E>, E: Element, const HEADS: usize, const TILE: usize>(
    keys: *const E,
    channels: usize,
    q: *const f32,
    scores: *mut f32,
    next: *const E,
) {
    // SAFETY: `token + TILE * LANES <= 64`, `channel < channels` and `head < HEADS` keep every
    // address inside what the caller promised.
    unsafe {
        let mut token = 0;
        while token < BLOCK {
            let mut sums = [[S::splat(0.0); TILE]; HEADS];
            for channel in 0..channels {
                let row = keys.add(channel * BLOCK + token);
                let ahead = next.wrapping_add(channel * BLOCK + token);
                prefetch_bytes::<S>(ahead.cast(), TILE * S::LANES * size_of::<E>());
                let mut key = [S::splat(0.0); TILE];
                for (lane, key) in key.iter_mut().enumerate() {
                    *key = S::widen(row.add(lane * S::LANES));
                }
                for (head, sums) in sums.iter_mut().enumerate() {
                    let q = S::splat(*q.add(channel * HEADS + head));
                    for (sum, &key) in sums.iter_mut().zip(&key) {
                        *sum = S::fma(key, q, *sum);
                    }
                }
            }
            for (head, sums) in sums.iter().enumerate() {
                for (lane, &sum) in sums.iter().enumerate() {
                    S::store(scores.add(head * BLOCK + token + lane * S::LANES), sum);
                }
            }
            token += TILE * S::LANES;
        }
    }
}

/// Online softmax of one query head over one block: turns 64 base-2 scores into weights relative to
/// `largest`, a score that is raised when one of these exceeds it, adds them lane by lane to
/// `totals` and returns the factor by which everything summed so far has to be scaled.
///
/// # Safety
/// `scores` is valid for 64 elements, all finite, `totals` for a register; the instruction set of
/// `S` is there.
#[inline(always)]
pub unsafe fn softmax<S: Simd>(scores: *mut f32, largest: &mut f32, totals: *mut f32) -> f32 {
    // SAFETY: all offsets are below 64.
    unsafe {
        let mut block_largest = S::load(scores);
        for token in (S::LANES..BLOCK).step_by(S::LANES) {
            block_largest = S::max(block_largest, S::load(scores.add(token)));
        }
        let mut total = S::load(totals);
        let mut rescale = 1.0;
        // Rare after the first blocks, so most blocks need no maximum across lanes.
        if S::any_above(block_largest, *largest) {
            let new = S::largest(block_largest);
            rescale = (*largest - new).exp2();
            total = S::mul(total, S::splat(rescale));
            *largest = new;
        }
        let base = S::splat(*largest);
        for token in (0..BLOCK).step_by(S::LANES) {
            let weight = S::exp2(S::sub(S::load(scores.add(token)), base));
            S::store(scores.add(token), weight);
            total = S::add(total, weight);
        }
        S::store(totals, total);
        rescale
    }
}

/// The operands of [`Steps::accumulate`].
pub struct Values<E> {
    /// Value rows `[64][head_dim]`.
    pub rows: *const E,
    /// Channels of a row.
    pub head_dim: usize,
    /// Only prefetched: the rows of the next block.
    pub next: *const E,
}

/// [`Steps::accumulate`] of the channels from `channel` on.
///
/// # Safety
/// Those of [`Steps::accumulate`].
#[inline(always)]
pub unsafe fn accumulate_from<S: Widen<E>, E: Element, const HEADS: usize>(
    values: &Values<E>,
    mut channel: usize,
    tokens: (usize, usize),
    weights: *const f32,
    rescale: *const f32,
    sums: *mut f32,
) {
    let head_dim = values.head_dim;
    // SAFETY: each pass covers `TILE * LANES` channels that end at or before `head_dim`.
    unsafe {
        while channel + S::TILE * S::LANES <= head_dim {
            match S::TILE {
                1 => accumulate_tiled::<S, E, HEADS, 1>(
                    values, channel, tokens, weights, rescale, sums,
                ),
                2 => accumulate_tiled::<S, E, HEADS, 2>(
                    values, channel, tokens, weights, rescale, sums,
                ),
                _ => accumulate_tiled::<S, E, HEADS, 4>(
                    values, channel, tokens, weights, rescale, sums,
                ),
            }
            channel += S::TILE * S::LANES;
        }
        while channel + S::LANES <= head_dim {
            accumulate_tiled::<S, E, HEADS, 1>(values, channel, tokens, weights, rescale, sums);
            channel += S::LANES;
        }
        for head in 0..HEADS {
            for channel in channel..head_dim {
                let sum = sums.add(head * head_dim + channel);
                *sum *= *rescale.add(head);
                for token in tokens.0..tokens.1 {
                    *sum += *weights.add(head * BLOCK + token)
                        * (*values.rows.add(token * head_dim + channel)).widen();
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn accumulate_tiled<S: Widen<E>, E: Element, const HEADS: usize, const TILE: usize>(
    values: &Values<E>,
    channel: usize,
    tokens: (usize, usize),
    weights: *const f32,
    rescale: *const f32,
    sums: *mut f32,
) {
    // SAFETY: `channel + TILE * LANES <= head_dim`, tokens below `end` and heads below `HEADS`:
    // inside what the caller promised.
    unsafe {
        let head_dim = values.head_dim;
        let mut tile = [[S::splat(0.0); TILE]; HEADS];
        for (head, tile) in tile.iter_mut().enumerate() {
            let rescale = S::splat(*rescale.add(head));
            for (lane, sum) in tile.iter_mut().enumerate() {
                *sum =
                    S::mul(S::load(sums.add(head * head_dim + channel + lane * S::LANES)), rescale);
            }
        }
        for token in tokens.0..tokens.1 {
            let row = values.rows.add(token * head_dim + channel);
            let ahead = values.next.wrapping_add(token * head_dim + channel);
            prefetch_bytes::<S>(ahead.cast(), TILE * S::LANES * size_of::<E>());
            let mut value = [S::splat(0.0); TILE];
            for (lane, value) in value.iter_mut().enumerate() {
                *value = S::widen(row.add(lane * S::LANES));
            }
            for (head, tile) in tile.iter_mut().enumerate() {
                let weight = S::splat(*weights.add(head * BLOCK + token));
                for (sum, &value) in tile.iter_mut().zip(&value) {
                    *sum = S::fma(value, weight, *sum);
                }
            }
        }
        for (head, tile) in tile.iter().enumerate() {
            for (lane, &sum) in tile.iter().enumerate() {
                S::store(sums.add(head * head_dim + channel + lane * S::LANES), sum);
            }
        }
    }
}
