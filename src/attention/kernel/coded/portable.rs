//! Codes in plain Rust: every code becomes an f32, and weights stay as they are.

use super::fold::{self, CodeFactors, FoldLanes, WeightSpace};
use super::lanes::{COLUMN, CodeLanes, CodeWeights, Codes, Sums, Tile, WEIGHT_WORDS};
use crate::attention::kernel::Simd;
use crate::attention::kernel::portable::Portable;

// SAFETY throughout: pointers are valid as `CodeLanes` demands.
impl FoldLanes for Portable {
    fn largest_weight(_bits: usize) -> f32 {
        f32::INFINITY
    }

    #[inline(always)]
    unsafe fn abs(a: Self::V) -> Self::V {
        a.map(f32::abs)
    }

    #[inline(always)]
    unsafe fn total(a: Self::V) -> f32 {
        a.into_iter().sum()
    }

    #[inline(always)]
    unsafe fn store_weights(weights: Self::V, at: usize, _bits: usize, to: *mut u32) -> Self::V {
        // SAFETY: see above.
        unsafe { Self::store(to.add(at).cast(), weights) };
        weights
    }
}

impl CodeLanes for Portable {
    #[inline(always)]
    unsafe fn widen_codes(from: *const u8, shift: u32, mask: u8) -> Self::V {
        // SAFETY: see above.
        let bytes = unsafe { from.cast::<[u8; Self::LANES]>().read_unaligned() };
        bytes.map(|byte| f32::from(byte >> shift & mask))
    }

    #[inline(never)]
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
        let mask = (1u32 << codes.bits) - 1;
        for column in tile.columns.0..tile.columns.1 {
            for part in tile.parts.0..tile.parts.1 {
                let mut total = [[0.0f32; COLUMN]; HEADS];
                for four in codes.fours.0..codes.fours.1 {
                    // SAFETY: see above.
                    let words = unsafe {
                        let from = codes.first.add(four * codes.stride + column * 64);
                        from.cast::<[u32; COLUMN]>().read_unaligned()
                    };
                    for member in 0..4 {
                        let shift = (8 * member + codes.bits * part) as u32;
                        // Whole numbers below 256 are exact as signed ones, which convert faster.
                        let numbers =
                            words.map(|word| (u32::from_le(word) >> shift & mask) as i32 as f32);
                        for (head, total) in total.iter_mut().enumerate() {
                            // SAFETY: see above.
                            let weight = f32::from_bits(unsafe {
                                *weights.stored.add(head * WEIGHT_WORDS + 4 * four + member)
                            });
                            for (total, number) in total.iter_mut().zip(numbers) {
                                *total += weight * number;
                            }
                        }
                    }
                }
                for (head, total) in total.iter().enumerate() {
                    // SAFETY: see above.
                    let to = unsafe { &mut *sums.at(head, column, part).cast::<[f32; COLUMN]>() };
                    let (rescale, bias) = (sums.rescale[head], weights.bias[head]);
                    for (to, total) in to.iter_mut().zip(total) {
                        *to = rescale * *to + bias + total;
                    }
                }
            }
        }
    }
}
