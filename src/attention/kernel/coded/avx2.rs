//! Codes with AVX2: weights are whole numbers of 16 bits, and pairs of products are summed in 32
//! bits (`vpmaddwd`). 256 products of a code and a weight fit: 256 * 255 * 32,767 < 2^31.

use std::arch::x86_64::*;

use super::lanes::{CodeLanes, Codes, MOST_FOURS, Sums, Tile, WEIGHT_WORDS, Weights};
use crate::attention::kernel::avx2::Avx2;

/// The largest weight, an i16.
const LARGEST: f32 = 32_767.0;

const _: () = assert!((4 * MOST_FOURS as i64) * 255 * 32_767 < 1 << 31);

// SAFETY throughout: the caller is compiled with avx2, fma and f16c and runs only on machines that
// have them; pointers are valid as `CodeLanes` demands.
impl CodeLanes for Avx2 {
    fn largest_weight(_bits: usize) -> f32 {
        LARGEST
    }

    fn is_coarse(_bits: usize) -> bool {
        false
    }

    #[inline(always)]
    unsafe fn abs(a: Self::V) -> Self::V {
        // SAFETY: see above.
        unsafe { _mm256_andnot_ps(_mm256_set1_ps(-0.0), a) }
    }

    #[inline(always)]
    unsafe fn total(a: Self::V) -> f32 {
        // SAFETY: see above.
        unsafe {
            let four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)))
        }
    }

    /// Of each four, members 0 and 2, then 1 and 3.
    #[inline(always)]
    unsafe fn store_weights(weights: Self::V, at: usize, _bits: usize, to: *mut u32) -> Self::V {
        // SAFETY: see above; each four takes two words.
        unsafe {
            let whole = _mm256_cvtps_epi32(weights);
            let packed = _mm256_packs_epi32(whole, whole);
            let order = _mm256_setr_epi8(
                0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15, 0, 1, 4, 5, 2, 3, 6, 7, 8, 9,
                12, 13, 10, 11, 14, 15,
            );
            let ordered = _mm256_shuffle_epi8(packed, order);
            let to = to.add(at / 2);
            _mm_storel_epi64(to.cast(), _mm256_castsi256_si128(ordered));
            _mm_storel_epi64(to.add(2).cast(), _mm256_extracti128_si256(ordered, 1));
            _mm256_cvtepi32_ps(whole)
        }
    }

    #[inline(always)]
    unsafe fn widen_codes(from: *const u8, shift: u32, mask: u8) -> Self::V {
        // SAFETY: see above; eight bytes are read.
        unsafe {
            let bytes = _mm256_cvtepu8_epi32(_mm_loadl_epi64(from.cast()));
            let shifted = _mm256_srl_epi32(bytes, _mm_cvtsi32_si128(shift as i32));
            _mm256_cvtepi32_ps(_mm256_and_si256(shifted, _mm256_set1_epi32(mask.into())))
        }
    }

    #[inline(always)]
    unsafe fn dot<const HEADS: usize>(
        codes: &Codes,
        tile: Tile,
        weights: &Weights<HEADS>,
        sums: &Sums<HEADS>,
    ) {
        // SAFETY: the caller's promises are those of `part`.
        unsafe {
            for column in tile.columns.0..tile.columns.1 {
                for at in tile.parts.0..tile.parts.1 {
                    match (codes.bits, at) {
                        (8, _) => part::<HEADS, 0, 8, 255>(codes, (column, at), weights, sums),
                        (4, 0) => part::<HEADS, 0, 8, 15>(codes, (column, at), weights, sums),
                        (4, _) => part::<HEADS, 4, 12, 15>(codes, (column, at), weights, sums),
                        (_, 0) => part::<HEADS, 0, 8, 3>(codes, (column, at), weights, sums),
                        (_, 1) => part::<HEADS, 2, 10, 3>(codes, (column, at), weights, sums),
                        (_, 2) => part::<HEADS, 4, 12, 3>(codes, (column, at), weights, sums),
                        (_, _) => part::<HEADS, 6, 14, 3>(codes, (column, at), weights, sums),
                    }
                }
            }
        }
    }
}

/// The 16 lanes of one part of a column: `EVEN` and `ODD` are the shifts that bring the codes of
/// the lower and the upper byte of 16 bits down.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn part<const HEADS: usize, const EVEN: i32, const ODD: i32, const MASK: i16>(
    codes: &Codes,
    (column, part): (usize, usize),
    weights: &Weights<HEADS>,
    sums: &Sums<HEADS>,
) {
    // SAFETY: see above.
    unsafe {
        let mask = _mm256_set1_epi16(MASK);
        let mut totals = [[_mm256_setzero_si256(); 2]; HEADS];
        for four in codes.fours.0..codes.fours.1 {
            let from = codes.first.add(four * codes.stride + column * 64);
            _mm_prefetch::<_MM_HINT_T1>(from.wrapping_offset(codes.ahead).cast());
            let mut pairs = [[_mm256_setzero_si256(); 2]; 2];
            for (half, pairs) in pairs.iter_mut().enumerate() {
                let bytes = _mm256_loadu_si256(from.add(32 * half).cast());
                pairs[0] = _mm256_and_si256(_mm256_srli_epi16::<EVEN>(bytes), mask);
                pairs[1] = _mm256_and_si256(_mm256_srli_epi16::<ODD>(bytes), mask);
            }
            for (head, totals) in totals.iter_mut().enumerate() {
                let stored = weights.stored.add(head * WEIGHT_WORDS + 2 * four).cast::<i32>();
                let even = _mm256_set1_epi32(*stored);
                let odd = _mm256_set1_epi32(*stored.add(1));
                for (total, pairs) in totals.iter_mut().zip(&pairs) {
                    *total = _mm256_add_epi32(*total, _mm256_madd_epi16(pairs[0], even));
                    *total = _mm256_add_epi32(*total, _mm256_madd_epi16(pairs[1], odd));
                }
            }
        }
        for (head, totals) in totals.iter().enumerate() {
            let scale = _mm256_set1_ps(weights.scale[head]);
            let rescale = _mm256_set1_ps(sums.rescale[head]);
            let bias = _mm256_set1_ps(weights.bias[head]);
            for (half, &total) in totals.iter().enumerate() {
                let to = sums.at(head, column, part).add(8 * half);
                let before = _mm256_fmadd_ps(_mm256_loadu_ps(to), rescale, bias);
                _mm256_storeu_ps(to, _mm256_fmadd_ps(_mm256_cvtepi32_ps(total), scale, before));
            }
        }
    }
}
