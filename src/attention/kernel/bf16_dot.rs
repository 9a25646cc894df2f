//! AVX-512 with the bf16 dot product: two products per lane and instruction, without widening.
//!
//! Rows of two channels (keys) or two tokens (values) are interleaved on load, so the stored layout
//! is that of every other path. Queries and softmax weights are rounded to bf16, sums are f32.

use std::arch::x86_64::*;

use half::bf16;

use super::avx512::Avx512;
use super::steps::{Steps, Values, accumulate_from};
use crate::cache::BLOCK;

/// The bf16 steps; softmax is that of [`Avx512`].
pub(in crate::attention) struct Bf16Dot;

/// Interleaving works within quarters of a register. These lanes of (low, high) are the first 16
/// elements in order; the second 16 are eight lanes further on.
const IN_ORDER: [i32; 16] = [0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23];

// SAFETY throughout: the caller is compiled with avx512f, avx512bw, avx512dq and avx512bf16 and
// runs only on machines that have them; pointers are valid as `Steps` demands, and each loop says
// why its offsets stay inside.

/// Interleaved elements of two rows of 32: `[low, high]`.
#[inline(always)]
unsafe fn interleave(first: *const bf16, second: *const bf16) -> [__m512bh; 2] {
    // SAFETY: see above; bf16 is a transparent u16.
    unsafe {
        let (first, second) = (_mm512_loadu_si512(first.cast()), _mm512_loadu_si512(second.cast()));
        [_mm512_unpacklo_epi16(first, second), _mm512_unpackhi_epi16(first, second)]
            .map(|pairs| std::mem::transmute(pairs))
    }
}

/// Broadcasts one pair to every lane.
#[inline(always)]
unsafe fn broadcast(pair: *const u32) -> __m512bh {
    // SAFETY: see above; the types have the same size.
    unsafe { std::mem::transmute(_mm512_set1_epi32(pair.cast::<i32>().read())) }
}

/// Stores interleaved lanes in order.
#[inline(always)]
unsafe fn store_in_order(to: *mut f32, [low, high]: [__m512; 2]) {
    // SAFETY: see above; 32 elements are stored.
    unsafe {
        let first = _mm512_loadu_si512(IN_ORDER.as_ptr().cast());
        let second = _mm512_add_epi32(first, _mm512_set1_epi32(8));
        _mm512_storeu_ps(to, _mm512_permutex2var_ps(low, first, high));
        _mm512_storeu_ps(to.add(16), _mm512_permutex2var_ps(low, second, high));
    }
}

/// Loads 32 elements into interleaved lanes, scaled.
#[inline(always)]
unsafe fn load_interleaved(from: *const f32, scale: f32) -> [__m512; 2] {
    // SAFETY: see above.
    unsafe {
        let scale = _mm512_set1_ps(scale);
        let first = _mm512_mul_ps(_mm512_loadu_ps(from), scale);
        let second = _mm512_mul_ps(_mm512_loadu_ps(from.add(16)), scale);
        [
            _mm512_shuffle_f32x4::<0b10_00_10_00>(first, second),
            _mm512_shuffle_f32x4::<0b11_01_11_01>(first, second),
        ]
    }
}

impl Steps<bf16> for Bf16Dot {
    type Registers = Avx512;

    /// `q` holds pairs of channels, `[pair][head]`, as bits.
    #[inline(always)]
    unsafe fn scores<const HEADS: usize>(
        keys: *const bf16,
        channels: usize,
        q: *const f32,
        scores: *mut f32,
        next: *const bf16,
    ) {
        // SAFETY: `pair < pairs` and the second row is the first again where the number of channels
        // is odd (its query is 0).
        unsafe {
            let mut sums = [[[_mm512_setzero_ps(); 2]; 2]; HEADS];
            for pair in 0..channels.div_ceil(2) {
                let first = keys.add(2 * pair * BLOCK);
                let second = if 2 * pair + 1 < channels { first.add(BLOCK) } else { first };
                let ahead = next.wrapping_add(2 * pair * BLOCK).cast::<i8>();
                for line in 0..4 {
                    _mm_prefetch::<_MM_HINT_T1>(ahead.wrapping_add(64 * line));
                }
                let rows = [interleave(first, second), interleave(first.add(32), second.add(32))];
                for (head, sums) in sums.iter_mut().enumerate() {
                    let q = broadcast(q.add(pair * HEADS + head).cast());
                    for (sums, rows) in sums.iter_mut().zip(&rows) {
                        for (sum, &row) in sums.iter_mut().zip(rows) {
                            *sum = _mm512_dpbf16_ps(*sum, row, q);
                        }
                    }
                }
            }
            for (head, sums) in sums.iter().enumerate() {
                for (half, &sums) in sums.iter().enumerate() {
                    store_in_order(scores.add(head * BLOCK + half * 32), sums);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn accumulate<const HEADS: usize>(
        values: &Values<bf16>,
        tokens: (usize, usize),
        weights: *const f32,
        rescale: *const f32,
        sums: *mut f32,
    ) {
        // SAFETY: each pass covers a whole group of 32 channels below `head_dim`; pairs of tokens
        // end at or before 64.
        unsafe {
            let mut pairs = [[0u32; BLOCK / 2]; HEADS];
            for (head, pairs) in pairs.iter_mut().enumerate() {
                for half in 0..2 {
                    let weights = weights.add(head * BLOCK + half * 32);
                    let rounded = _mm512_cvtne2ps_pbh(
                        _mm512_loadu_ps(weights.add(16)),
                        _mm512_loadu_ps(weights),
                    );
                    _mm512_storeu_si512(
                        pairs.as_mut_ptr().add(half * 16).cast(),
                        std::mem::transmute::<__m512bh, __m512i>(rounded),
                    );
                }
            }
            let mut channel = 0;
            while channel + 64 <= values.head_dim {
                accumulate_tile::<HEADS, 2>(values, channel, tokens, &pairs, rescale, sums);
                channel += 64;
            }
            while channel + 32 <= values.head_dim {
                accumulate_tile::<HEADS, 1>(values, channel, tokens, &pairs, rescale, sums);
                channel += 32;
            }
            if channel < values.head_dim {
                accumulate_from::<Avx512, bf16, HEADS>(
                    values, channel, tokens, weights, rescale, sums,
                );
            }
        }
    }
}

/// `TILE * 32` channels from `channel` on. Tokens of a pair that do not count have weight 0.
#[inline(always)]
unsafe fn accumulate_tile<const HEADS: usize, const TILE: usize>(
    values: &Values<bf16>,
    channel: usize,
    tokens: (usize, usize),
    pairs: &[[u32; BLOCK / 2]; HEADS],
    rescale: *const f32,
    sums: *mut f32,
) {
    // SAFETY: as in `accumulate`.
    unsafe {
        let head_dim = values.head_dim;
        let mut tile = [[[_mm512_setzero_ps(); 2]; TILE]; HEADS];
        for (head, tile) in tile.iter_mut().enumerate() {
            for (part, sum) in tile.iter_mut().enumerate() {
                *sum = load_interleaved(
                    sums.add(head * head_dim + channel + 32 * part),
                    *rescale.add(head),
                );
            }
        }
        for pair in tokens.0 / 2..tokens.1.div_ceil(2) {
            let row = values.rows.add(2 * pair * head_dim + channel);
            let ahead = values.next.wrapping_add(2 * pair * head_dim + channel);
            let mut rows =
                [[std::mem::transmute::<__m512i, __m512bh>(_mm512_setzero_si512()); 2]; TILE];
            for (part, rows) in rows.iter_mut().enumerate() {
                *rows = interleave(row.add(32 * part), row.add(head_dim + 32 * part));
                _mm_prefetch::<_MM_HINT_T1>(ahead.wrapping_add(32 * part).cast());
                _mm_prefetch::<_MM_HINT_T1>(ahead.wrapping_add(head_dim + 32 * part).cast());
            }
            for (tile, pairs) in tile.iter_mut().zip(pairs) {
                let weight = broadcast(pairs.as_ptr().add(pair));
                for (sums, rows) in tile.iter_mut().zip(&rows) {
                    for (sum, &row) in sums.iter_mut().zip(rows) {
                        *sum = _mm512_dpbf16_ps(*sum, row, weight);
                    }
                }
            }
        }
        for (head, tile) in tile.iter().enumerate() {
            for (part, &sum) in tile.iter().enumerate() {
                store_in_order(sums.add(head * head_dim + channel + 32 * part), sum);
            }
        }
    }
}
