//! Codes with AVX-512 VNNI: `vpdpbusd` adds the products of four codes and four weights of 8 bits
//! to each lane.
//!
//! Weights for codes of 8 bits have two terms, `256 * high + low`: one term alone costs three times
//! the error of the codes themselves. For codes of 4 and 2 bits one term is well below theirs.

use std::arch::x86_64::*;

use super::lanes::{CodeLanes, Codes, MOST_FOURS, Sums, Tile, WEIGHT_WORDS, Weights};
use crate::attention::kernel::avx512::Avx512;

/// The largest weight of two terms: its high term is 127.
const LARGEST: f32 = 32_512.0;

/// Whether weights for codes of this width have two terms.
const fn has_two_terms(bits: usize) -> bool {
    bits == 8
}

// SAFETY throughout: the caller is compiled with avx512f, avx512bw, avx512dq, avx512vl and
// avx512vnni and runs only on machines that have them; pointers are valid as `CodeLanes` demands.
impl CodeLanes for Avx512 {
    fn largest_weight(bits: usize) -> f32 {
        if has_two_terms(bits) { LARGEST } else { 127.0 }
    }

    fn is_coarse(bits: usize) -> bool {
        !has_two_terms(bits)
    }

    #[inline(always)]
    unsafe fn abs(a: Self::V) -> Self::V {
        // SAFETY: see above.
        unsafe { _mm512_abs_ps(a) }
    }

    #[inline(always)]
    unsafe fn total(a: Self::V) -> f32 {
        // SAFETY: see above.
        unsafe { _mm512_reduce_add_ps(a) }
    }

    /// One byte per member, the high terms in the first [`MOST_FOURS`] words.
    #[inline(always)]
    unsafe fn store_weights(weights: Self::V, at: usize, bits: usize, to: *mut u32) -> Self::V {
        // SAFETY: see above.
        unsafe {
            let whole = _mm512_cvtps_epi32(weights);
            let to = to.cast::<u8>().add(at);
            if has_two_terms(bits) {
                // The low byte as a signed number is the low term; the high one makes up for it.
                let high = _mm512_add_epi32(whole, _mm512_set1_epi32(128));
                let high = _mm512_cvtepi32_epi8(_mm512_srai_epi32::<8>(high));
                _mm_storeu_si128(to.cast(), high);
                _mm_storeu_si128(to.add(4 * MOST_FOURS).cast(), _mm512_cvtepi32_epi8(whole));
            } else {
                _mm_storeu_si128(to.cast(), _mm512_cvtepi32_epi8(whole));
            }
            _mm512_cvtepi32_ps(whole)
        }
    }

    #[inline(always)]
    unsafe fn widen_codes(from: *const u8, shift: u32, mask: u8) -> Self::V {
        // SAFETY: see above; 16 bytes are read.
        unsafe {
            let bytes = _mm512_cvtepu8_epi32(_mm_loadu_si128(from.cast()));
            let shifted = _mm512_srl_epi32(bytes, _mm_cvtsi32_si128(shift as i32));
            _mm512_cvtepi32_ps(_mm512_and_si512(shifted, _mm512_set1_epi32(mask.into())))
        }
    }

    #[inline(always)]
    unsafe fn dot<const HEADS: usize>(
        codes: &Codes,
        tile: Tile,
        weights: &Weights<HEADS>,
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
    weights: &Weights<HEADS>,
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
