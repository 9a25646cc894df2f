//! Codes with AVX2. CodeWeights for codes of 8 bits are whole numbers of 16 bits, and pairs of products
//! are summed in 32 bits (`vpmaddwd`). CodeWeights for codes of 4 and 2 bits have 8 bits, and pairs of
//! products are summed in 16 (`vpmaddubsw`), a few fours before they go to 32.

use std::arch::x86_64::*;

use super::fold::{self, CodeFactors, FoldLanes, WeightSpace};
use super::lanes::{CodeLanes, CodeWeights, Codes, MOST_FOURS, Sums, Tile, WEIGHT_WORDS};
use crate::attention::kernel::avx2::Avx2;

/// The largest weight for codes of 8 bits and for narrower ones.
const LARGEST: [i32; 2] = [32_767, 127];

/// Fours of narrow codes that are summed in 16 bits.
const SHORT_FOURS: usize = 8;

const _: () = assert!(4 * MOST_FOURS as i64 * 255 * (LARGEST[0] as i64) < 1 << 31);
const _: () = assert!(SHORT_FOURS as i32 * 2 * 15 * LARGEST[1] < 1 << 15);

// SAFETY throughout: the caller is compiled with avx2, fma and f16c and runs only on machines that
// have them; pointers are valid as `CodeLanes` demands.
impl FoldLanes for Avx2 {
    fn largest_weight(bits: usize) -> f32 {
        LARGEST[usize::from(bits < 8)] as f32
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

    /// For codes of 8 bits, of each four members 0 and 2, then 1 and 3; else one byte per member.
    #[inline(always)]
    unsafe fn store_weights(weights: Self::V, at: usize, bits: usize, to: *mut u32) -> Self::V {
        // SAFETY: see above; each four takes two words or one.
        unsafe {
            let whole = _mm256_cvtps_epi32(weights);
            let packed = _mm256_packs_epi32(whole, whole);
            if bits < 8 {
                let bytes = _mm256_packs_epi16(packed, packed);
                let to = to.add(at / 4).cast::<i32>();
                *to = _mm_cvtsi128_si32(_mm256_castsi256_si128(bytes));
                *to.add(1) = _mm_cvtsi128_si32(_mm256_extracti128_si256(bytes, 1));
            } else {
                let order = _mm256_setr_epi8(
                    0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15, 0, 1, 4, 5, 2, 3, 6, 7,
                    8, 9, 12, 13, 10, 11, 14, 15,
                );
                let ordered = _mm256_shuffle_epi8(packed, order);
                let to = to.add(at / 2);
                _mm_storel_epi64(to.cast(), _mm256_castsi256_si128(ordered));
                _mm_storel_epi64(to.add(2).cast(), _mm256_extracti128_si256(ordered, 1));
            }
            _mm256_cvtepi32_ps(whole)
        }
    }
}

impl CodeLanes for Avx2 {
    #[inline(always)]
    unsafe fn widen_codes(from: *const u8, shift: u32, mask: u8) -> Self::V {
        // SAFETY: see above; eight bytes are read.
        unsafe {
            let bytes = _mm256_cvtepu8_epi32(_mm_loadl_epi64(from.cast()));
            let shifted = _mm256_srl_epi32(bytes, _mm_cvtsi32_si128(shift as i32));
            _mm256_cvtepi32_ps(_mm256_and_si256(shifted, _mm256_set1_epi32(mask.into())))
        }
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn fold<const HEADS: usize>(
        factors: &CodeFactors,
        bits: usize,
        space: &mut WeightSpace<HEADS>,
    ) -> CodeWeights<HEADS> {
        // SAFETY: the caller's promises.
        unsafe { fold::fold::<Self, HEADS>(factors, bits, space) }
    }

    #[inline(always)]
    unsafe fn dot<const HEADS: usize>(
        codes: &Codes,
        tile: Tile,
        weights: &CodeWeights<HEADS>,
        sums: &Sums<HEADS>,
    ) {
        // SAFETY: the caller's promises are those of `wide` and `narrow`.
        unsafe {
            for column in tile.columns.0..tile.columns.1 {
                for at in tile.parts.0..tile.parts.1 {
                    let place = (column, at);
                    match (codes.bits, at) {
                        (8, _) => wide::<HEADS>(codes, place, weights, sums),
                        (4, 0) => narrow::<HEADS, 0, 15>(codes, place, weights, sums),
                        (4, _) => narrow::<HEADS, 4, 15>(codes, place, weights, sums),
                        (_, 0) => narrow::<HEADS, 0, 3>(codes, place, weights, sums),
                        (_, 1) => narrow::<HEADS, 2, 3>(codes, place, weights, sums),
                        (_, 2) => narrow::<HEADS, 4, 3>(codes, place, weights, sums),
                        (_, _) => narrow::<HEADS, 6, 3>(codes, place, weights, sums),
                    }
                }
            }
        }
    }
}

/// The 16 lanes of a column of codes of 8 bits.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn wide<const HEADS: usize>(
    codes: &Codes,
    (column, part): (usize, usize),
    weights: &CodeWeights<HEADS>,
    sums: &Sums<HEADS>,
) {
    // SAFETY: see above.
    unsafe {
        let low = _mm256_set1_epi16(255);
        let mut totals = [[_mm256_setzero_si256(); 2]; HEADS];
        for four in codes.fours.0..codes.fours.1 {
            let from = codes.first.add(four * codes.stride + column * 64);
            _mm_prefetch::<_MM_HINT_T1>(from.wrapping_offset(codes.ahead).cast());
            let mut pairs = [[_mm256_setzero_si256(); 2]; 2];
            for (half, pairs) in pairs.iter_mut().enumerate() {
                let bytes = _mm256_loadu_si256(from.add(32 * half).cast());
                *pairs = [_mm256_and_si256(bytes, low), _mm256_srli_epi16::<8>(bytes)];
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
        add(&totals, (column, part), weights, sums);
    }
}

/// The 16 lanes of one part of a column of narrower codes, which are `SHIFT` bits from the lowest.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn narrow<const HEADS: usize, const SHIFT: i32, const MASK: i8>(
    codes: &Codes,
    (column, part): (usize, usize),
    weights: &CodeWeights<HEADS>,
    sums: &Sums<HEADS>,
) {
    // SAFETY: see above.
    unsafe {
        let mask = _mm256_set1_epi8(MASK);
        let mut totals = [[_mm256_setzero_si256(); 2]; HEADS];
        for start in (codes.fours.0..codes.fours.1).step_by(SHORT_FOURS) {
            let mut short = [[_mm256_setzero_si256(); 2]; HEADS];
            for four in start..codes.fours.1.min(start + SHORT_FOURS) {
                let from = codes.first.add(four * codes.stride + column * 64);
                _mm_prefetch::<_MM_HINT_T1>(from.wrapping_offset(codes.ahead).cast());
                let mut bytes = [_mm256_setzero_si256(); 2];
                for (half, bytes) in bytes.iter_mut().enumerate() {
                    let packed = _mm256_loadu_si256(from.add(32 * half).cast());
                    *bytes = _mm256_and_si256(_mm256_srli_epi16::<SHIFT>(packed), mask);
                }
                for (head, short) in short.iter_mut().enumerate() {
                    let stored = weights.stored.add(head * WEIGHT_WORDS + four).cast::<i32>();
                    let weight = _mm256_set1_epi32(*stored);
                    for (short, &bytes) in short.iter_mut().zip(&bytes) {
                        *short = _mm256_add_epi16(*short, _mm256_maddubs_epi16(bytes, weight));
                    }
                }
            }
            let one = _mm256_set1_epi16(1);
            for (totals, short) in totals.iter_mut().zip(&short) {
                for (total, &short) in totals.iter_mut().zip(short) {
                    *total = _mm256_add_epi32(*total, _mm256_madd_epi16(short, one));
                }
            }
        }
        add(&totals, (column, part), weights, sums);
    }
}

/// Adds the sums of 16 lanes, which are whole numbers still.
#[inline(always)]
unsafe fn add<const HEADS: usize>(
    totals: &[[__m256i; 2]; HEADS],
    (column, part): (usize, usize),
    weights: &CodeWeights<HEADS>,
    sums: &Sums<HEADS>,
) {
    // SAFETY: see above.
    unsafe {
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
