//! Codes with AVX-512 VNNI: `vpdpbusd` adds the products of four codes and four weights of 8 bits
//! to each lane.
//!
//! CodeWeights for codes of 8 bits have two terms, `256 * high + low`: one term alone could cost four
//! times the error of the codes themselves. For codes of 4 and 2 bits one term is well below theirs.

use std::arch::x86_64::*;

use super::fold::{CodeFactors, LEAST, WeightSpace, centre};
use super::lanes::{CodeLanes, CodeWeights, Codes, MOST_FOURS, Sums, Tile, WEIGHT_WORDS};
use crate::attention::kernel::avx512::Avx512;

/// The largest weight of two terms, whose high term is 127, and of one.
const LARGEST: [f32; 2] = [32_512.0, 127.0];

/// Lanes of a register of f32.
const LANES: usize = 16;

/// Packing four registers of 32 bits to one of 8 works within quarters of a register; these words
/// of it are in order.
const IN_ORDER: [i32; LANES] = [0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15];

/// Whether weights for codes of this width have two terms.
const fn has_two_terms(bits: usize) -> bool {
    bits == 8
}

// SAFETY throughout: the caller is compiled with avx512f, avx512bw, avx512dq, avx512vl and
// avx512vnni and runs only on machines that have them; pointers are valid as `CodeLanes` demands.
impl CodeLanes for Avx512 {
    #[inline(always)]
    unsafe fn widen_codes(from: *const u8, shift: u32, mask: u8) -> Self::V {
        // SAFETY: see above; 16 bytes are read.
        unsafe {
            let bytes = _mm512_cvtepu8_epi32(_mm_loadu_si128(from.cast()));
            let shifted = _mm512_srl_epi32(bytes, _mm_cvtsi32_si128(shift as i32));
            _mm512_cvtepi32_ps(_mm512_and_si512(shifted, _mm512_set1_epi32(mask.into())))
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn fold<const HEADS: usize>(
        factors: &CodeFactors,
        bits: usize,
        space: &mut WeightSpace<HEADS>,
    ) -> CodeWeights<HEADS> {
        // SAFETY: the caller's promises.
        unsafe {
            match factors.count.div_ceil(LANES) {
                1 => fold_registers::<HEADS, 1>(factors, bits, space),
                2 => fold_registers::<HEADS, 2>(factors, bits, space),
                3 => fold_registers::<HEADS, 3>(factors, bits, space),
                _ => fold_registers::<HEADS, 4>(factors, bits, space),
            }
        }
    }

    #[inline(always)]
    unsafe fn dot<const HEADS: usize>(
        codes: &Codes,
        tile: Tile,
        weights: &CodeWeights<HEADS>,
        sums: &Sums<HEADS>,
    ) {
        let Tile { columns: (mut column, end), parts } = tile;
        // SAFETY: the caller's promises are those of `lanes`.
        unsafe {
            // Two columns at a time where their sums fit the registers.
            while codes.bits > 2 && column + 2 <= end {
                match (codes.bits, parts.1 - parts.0) {
                    (8, _) => lanes::<HEADS, 2, 2, 1>(codes, (column, parts.0), weights, sums),
                    (_, 1) => lanes::<HEADS, 1, 2, 1>(codes, (column, parts.0), weights, sums),
                    (_, _) => lanes::<HEADS, 1, 2, 2>(codes, (column, parts.0), weights, sums),
                }
                column += 2;
            }
            for column in column..end {
                match (codes.bits, parts.1 - parts.0) {
                    (8, _) => lanes::<HEADS, 2, 1, 1>(codes, (column, parts.0), weights, sums),
                    (_, 1) => lanes::<HEADS, 1, 1, 1>(codes, (column, parts.0), weights, sums),
                    (_, 2) => lanes::<HEADS, 1, 1, 2>(codes, (column, parts.0), weights, sums),
                    (_, _) => lanes::<HEADS, 1, 1, 4>(codes, (column, parts.0), weights, sums),
                }
            }
        }
    }
}

/// [`fold`](super::fold::fold) of up to `16 * REGISTERS` factors, which stay in registers.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
unsafe fn fold_registers<const HEADS: usize, const REGISTERS: usize>(
    factors: &CodeFactors,
    bits: usize,
    space: &mut WeightSpace<HEADS>,
) -> CodeWeights<HEADS> {
    let CodeFactors { first, stride, scales, minima, count } = *factors;
    let stored = space.as_mut_ptr().cast::<u32>();
    let limit = LARGEST[usize::from(!has_two_terms(bits))];
    let centre = centre(bits, limit);
    // SAFETY: lanes past `count` are not read; each head has `WEIGHT_WORDS` words, enough for two
    // terms of 64 bytes.
    unsafe {
        let zero = _mm512_setzero_ps();
        let mut products = [[zero; REGISTERS]; HEADS];
        let (mut largest, mut bias) = ([zero; HEADS], [zero; HEADS]);
        #[expect(clippy::needless_range_loop, reason = "it is an offset in memory, too")]
        for register in 0..REGISTERS {
            let at = register * LANES;
            let mask = first_lanes(count - at);
            let scales = _mm256_maskz_loadu_epi16(mask, scales.add(at).cast());
            let minima = _mm256_maskz_loadu_epi16(mask, minima.add(at).cast());
            let (scales, minima) = (_mm512_cvtph_ps(scales), _mm512_cvtph_ps(minima));
            let middles = _mm512_fmadd_ps(scales, _mm512_set1_ps(centre), minima);
            for head in 0..HEADS {
                let factor = _mm512_maskz_loadu_ps(mask, first.add(head * stride + at));
                let product = _mm512_mul_ps(factor, scales);
                products[head][register] = product;
                largest[head] = _mm512_max_ps(largest[head], _mm512_abs_ps(product));
                bias[head] = _mm512_fmadd_ps(factor, middles, bias[head]);
            }
        }
        let mut parts = [[zero; 2]; 2];
        for head in 0..4 {
            parts[head / 2][head % 2] = largest[head.min(HEADS - 1)];
        }
        let largest = largest_of_four(parts);
        let is_counted = _mm_cmp_ps_mask::<_CMP_GT_OQ>(largest, _mm_set1_ps(LEAST));
        let scales = _mm_maskz_mul_ps(is_counted, largest, _mm_set1_ps(limit.recip()));
        let inverses = _mm_maskz_div_ps(is_counted, _mm_set1_ps(limit), largest);
        let (mut scale, mut inverse) = ([0.0; 4], [0.0; 4]);
        _mm_storeu_ps(scale.as_mut_ptr(), scales);
        _mm_storeu_ps(inverse.as_mut_ptr(), inverses);

        for (head, products) in products.iter().enumerate() {
            let inverse = _mm512_set1_ps(inverse[head]);
            let mut whole = [_mm512_setzero_si512(); 4];
            let mut total = _mm512_setzero_si512();
            for (whole, &product) in whole.iter_mut().zip(products) {
                *whole = _mm512_cvtps_epi32(_mm512_mul_ps(product, inverse));
                total = _mm512_add_epi32(total, *whole);
            }
            let order = _mm512_loadu_si512(IN_ORDER.as_ptr().cast());
            let (first, second) =
                (_mm512_packs_epi32(whole[0], whole[1]), _mm512_packs_epi32(whole[2], whole[3]));
            let to = stored.add(head * WEIGHT_WORDS);
            if has_two_terms(bits) {
                // The low byte as a signed number is the low term; the high one makes up for it.
                let half = _mm512_set1_epi16(128);
                let high = _mm512_packs_epi16(
                    _mm512_srai_epi16::<8>(_mm512_add_epi16(first, half)),
                    _mm512_srai_epi16::<8>(_mm512_add_epi16(second, half)),
                );
                let byte = _mm512_set1_epi16(255);
                let low = _mm512_packus_epi16(
                    _mm512_and_si512(first, byte),
                    _mm512_and_si512(second, byte),
                );
                _mm512_storeu_si512(to.cast(), _mm512_permutexvar_epi32(order, high));
                let to = to.add(MOST_FOURS);
                _mm512_storeu_si512(to.cast(), _mm512_permutexvar_epi32(order, low));
            } else {
                let packed = _mm512_packs_epi16(first, second);
                _mm512_storeu_si512(to.cast(), _mm512_permutexvar_epi32(order, packed));
                let back = _mm512_set1_ps(scale[head] * centre);
                bias[head] = _mm512_fnmadd_ps(_mm512_cvtepi32_ps(total), back, bias[head]);
            }
        }
        for head in 0..4 {
            parts[head / 2][head % 2] = bias[head.min(HEADS - 1)];
        }
        let mut totals = [0.0; 4];
        _mm_storeu_ps(totals.as_mut_ptr(), total_of_four(parts));
        let mut weights = CodeWeights { stored, scale: [0.0; HEADS], bias: [0.0; HEADS] };
        weights.scale.copy_from_slice(&scale[..HEADS]);
        weights.bias.copy_from_slice(&totals[..HEADS]);
        weights
    }
}

/// The largest lane of each of four registers.
#[inline(always)]
unsafe fn largest_of_four([[a, b], [c, d]]: [[__m512; 2]; 2]) -> __m128 {
    // SAFETY: see above.
    unsafe {
        let ab = _mm512_max_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
        let cd = _mm512_max_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
        let all = _mm512_max_ps(
            _mm512_shuffle_ps::<0b01_00_01_00>(ab, cd),
            _mm512_shuffle_ps::<0b11_10_11_10>(ab, cd),
        );
        let half = _mm256_max_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps::<1>(all));
        _mm_max_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps::<1>(half))
    }
}

/// The sum of the lanes of each of four registers.
#[inline(always)]
unsafe fn total_of_four([[a, b], [c, d]]: [[__m512; 2]; 2]) -> __m128 {
    // SAFETY: see above.
    unsafe {
        let ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
        let cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
        let all = _mm512_add_ps(
            _mm512_shuffle_ps::<0b01_00_01_00>(ab, cd),
            _mm512_shuffle_ps::<0b11_10_11_10>(ab, cd),
        );
        let half = _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps::<1>(all));
        _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps::<1>(half))
    }
}

/// A mask of the first `count` lanes.
#[inline(always)]
fn first_lanes(count: usize) -> u16 {
    if count >= 16 { u16::MAX } else { (1 << count) - 1 }
}

/// `COLUMNS` columns and `PARTS` parts from these on. Codes stay where they are in their byte, so
/// that a part's sums are too large by a power of two.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
unsafe fn lanes<
    const HEADS: usize,
    const TERMS: usize,
    const COLUMNS: usize,
    const PARTS: usize,
>(
    codes: &Codes,
    (column, part): (usize, usize),
    weights: &CodeWeights<HEADS>,
    sums: &Sums<HEADS>,
) {
    // SAFETY: see above.
    unsafe {
        let mut masks = [_mm512_setzero_si512(); PARTS];
        for (at, mask) in masks.iter_mut().enumerate() {
            let low = (1u32 << codes.bits) - 1;
            *mask = _mm512_set1_epi8((low << (codes.bits * (part + at))) as i8);
        }
        let mut totals = [[[[_mm512_setzero_si512(); TERMS]; PARTS]; COLUMNS]; HEADS];
        for four in codes.fours.0..codes.fours.1 {
            let from = codes.first.add(four * codes.stride + column * 64);
            let mut bytes = [[_mm512_setzero_si512(); PARTS]; COLUMNS];
            for (at, bytes) in bytes.iter_mut().enumerate() {
                let from = from.add(64 * at);
                _mm_prefetch::<_MM_HINT_T1>(from.wrapping_offset(codes.ahead).cast());
                let column = _mm512_loadu_si512(from.cast());
                for (bytes, &mask) in bytes.iter_mut().zip(&masks) {
                    // Codes with two terms fill their byte.
                    *bytes = if TERMS == 2 { column } else { _mm512_and_si512(column, mask) };
                }
            }
            for (head, totals) in totals.iter_mut().enumerate() {
                let mut factors = [_mm512_setzero_si512(); TERMS];
                for (term, factor) in factors.iter_mut().enumerate() {
                    let stored = weights.stored.add(head * WEIGHT_WORDS + term * MOST_FOURS + four);
                    *factor = _mm512_set1_epi32(*stored as i32);
                }
                for (totals, bytes) in totals.iter_mut().zip(&bytes) {
                    for (totals, &bytes) in totals.iter_mut().zip(bytes) {
                        for (total, &factor) in totals.iter_mut().zip(&factors) {
                            *total = _mm512_dpbusd_epi32(*total, bytes, factor);
                        }
                    }
                }
            }
        }
        for (head, totals) in totals.iter().enumerate() {
            let rescale = _mm512_set1_ps(sums.rescale[head]);
            let bias = _mm512_set1_ps(weights.bias[head]);
            for (at_column, totals) in totals.iter().enumerate() {
                for (at_part, totals) in totals.iter().enumerate() {
                    let part = part + at_part;
                    let to = sums.at(head, column + at_column, part);
                    let mut total = _mm512_cvtepi32_ps(totals[0]);
                    if TERMS == 2 {
                        let low = _mm512_cvtepi32_ps(totals[TERMS - 1]);
                        total = _mm512_fmadd_ps(total, _mm512_set1_ps(256.0), low);
                    }
                    let scale = weights.scale[head] / (1u32 << (codes.bits * part)) as f32;
                    let before = _mm512_fmadd_ps(_mm512_loadu_ps(to), rescale, bias);
                    _mm512_storeu_ps(to, _mm512_fmadd_ps(total, _mm512_set1_ps(scale), before));
                }
            }
        }
    }
}
