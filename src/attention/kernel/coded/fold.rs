//! Scales and minima are folded into the weights of a sum, once per block.

use std::mem::MaybeUninit;

use half::f16;

use super::lanes::{CodeWeights, WEIGHT_WORDS};
use crate::attention::kernel::{MOST_LANES, Widen};
use crate::cache::BLOCK;

/// Memory for the stored weights of a tile of heads.
pub type WeightSpace<const HEADS: usize> = MaybeUninit<[[u32; WEIGHT_WORDS]; HEADS]>;

const _: () = assert!(WEIGHT_WORDS == BLOCK);

/// Below this largest product all weights count as 0: the inverse of a smaller one may be infinite.
pub const LEAST: f32 = 1e-30;

/// The factors of a sum and what they are multiplied with.
pub struct CodeFactors {
    /// `[head][count]`: queries, or softmax weights.
    pub first: *const f32,
    /// Numbers from a head to the next.
    pub stride: usize,
    /// One scale per factor.
    pub scales: *const f16,
    /// One minimum per factor.
    pub minima: *const f16,
    /// Number of factors, from 1 to 64.
    pub count: usize,
}

/// What is taken from codes of `bits` that meet weights up to `largest`: where these are rounded
/// coarsely, half the largest code, because the codes' common offset would multiply the error.
pub fn centre(bits: usize, largest: f32) -> f32 {
    if largest < 256.0 { ((1 << bits) - 1) as f32 / 2.0 } else { 0.0 }
}

/// What [`fold`] takes of an instruction set.
pub trait FoldLanes: Widen<f16> {
    /// The largest magnitude of a stored weight for codes of `bits`; infinite where weights are
    /// stored as they are.
    fn largest_weight(bits: usize) -> f32;

    unsafe fn abs(a: Self::V) -> Self::V;

    /// The sum of all lanes.
    unsafe fn total(a: Self::V) -> f32;

    /// Rounds the weights of the members `at ..` of fours, `LANES` of them, to whole numbers up to
    /// [`Self::largest_weight`], stores them for [`CodeLanes::dot`](super::CodeLanes::dot) and
    /// returns them.
    unsafe fn store_weights(weights: Self::V, at: usize, bits: usize, to: *mut u32) -> Self::V;
}

/// `count` numbers, at least 1 and at most a register; the other lanes are 0.
#[inline(always)]
unsafe fn load_some<S: FoldLanes>(from: *const f32, count: usize) -> S::V {
    // SAFETY: the caller's promises; padded numbers fill a register.
    unsafe {
        if count >= S::LANES {
            return S::load(from);
        }
        let mut padded = [0.0; MOST_LANES];
        std::ptr::copy_nonoverlapping(from, padded.as_mut_ptr(), count);
        S::load(padded.as_ptr())
    }
}

/// As [`load_some`], of f16.
#[inline(always)]
unsafe fn widen_some<S: FoldLanes>(from: *const f16, count: usize) -> S::V {
    // SAFETY: as in `load_some`.
    unsafe {
        if count >= S::LANES {
            return S::widen(from);
        }
        let mut padded = [f16::ZERO; MOST_LANES];
        std::ptr::copy_nonoverlapping(from, padded.as_mut_ptr(), count);
        S::widen(padded.as_ptr())
    }
}

/// The weights `factor * scale`, stored in `space`, and the sum of `factor * minimum` per head.
///
/// CodeWeights that are whole numbers share a scale per head. A rounding error is to meet codes from
/// which [`centre`] has been taken; what that offset adds is in the bias, exactly.
///
/// # Safety
/// The pointers of `factors` are valid for its count; the instruction set of `S` is there.
#[inline(always)]
pub unsafe fn fold<S: FoldLanes, const HEADS: usize>(
    factors: &CodeFactors,
    bits: usize,
    space: &mut WeightSpace<HEADS>,
) -> CodeWeights<HEADS> {
    let CodeFactors { first, stride, scales, minima, count } = *factors;
    let stored = space.as_mut_ptr().cast::<u32>();
    let mut products = MaybeUninit::<[[f32; WEIGHT_WORDS]; HEADS]>::uninit();
    let products = products.as_mut_ptr().cast::<f32>();
    let (mut scale, mut bias) = ([1.0; HEADS], [0.0; HEADS]);
    let limit = S::largest_weight(bits);
    let centre = centre(bits, limit);
    // SAFETY: `at < count`, and `at + LANES` is at most 64; products are read where they were
    // written.
    unsafe {
        let mut largest = [S::splat(0.0); HEADS];
        let mut constant = [S::splat(0.0); HEADS];
        for at in (0..count).step_by(S::LANES) {
            let left = count - at;
            let scales = widen_some::<S>(scales.add(at), left);
            let minima = widen_some::<S>(minima.add(at), left);
            let minima = S::fma(scales, S::splat(centre), minima);
            for head in 0..HEADS {
                let factor = load_some::<S>(first.add(head * stride + at), left);
                let product = S::mul(factor, scales);
                S::store(products.add(head * WEIGHT_WORDS + at), product);
                largest[head] = S::max(largest[head], S::abs(product));
                constant[head] = S::fma(factor, minima, constant[head]);
            }
        }
        for head in 0..HEADS {
            let mut inverse = 1.0;
            if limit.is_finite() {
                let largest = S::largest(largest[head]);
                (scale[head], inverse) = match largest > LEAST {
                    true => (largest * limit.recip(), limit / largest),
                    false => (0.0, 0.0),
                };
            }
            let inverse = S::splat(inverse);
            let back = S::splat(-scale[head] * centre);
            for at in (0..count).step_by(S::LANES) {
                let product = S::load(products.add(head * WEIGHT_WORDS + at));
                let to = stored.add(head * WEIGHT_WORDS);
                let rounded = S::store_weights(S::mul(product, inverse), at, bits, to);
                if centre > 0.0 {
                    constant[head] = S::fma(rounded, back, constant[head]);
                }
            }
            bias[head] = S::total(constant[head]);
        }
    }
    CodeWeights { stored, scale, bias }
}
