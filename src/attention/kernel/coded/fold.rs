//! Scales and minima are folded into the weights of a sum, once per block.

use std::mem::MaybeUninit;

use half::f16;

use super::lanes::{CodeLanes, WEIGHT_WORDS, Weights};
use crate::attention::kernel::MOST_LANES;

/// Memory for the stored weights of a tile of heads.
pub type WeightSpace<const HEADS: usize> = MaybeUninit<[[u32; WEIGHT_WORDS]; HEADS]>;

/// Below this largest product all weights count as 0: the inverse of a smaller one may be infinite.
const LEAST: f32 = 1e-30;

/// The factors of a sum and what they are multiplied with.
pub struct Factors {
    /// `[head][count]`: queries, or softmax weights.
    pub first: *const f32,
    /// Numbers from a head to the next.
    pub stride: usize,
    /// One scale per factor.
    pub scales: *const f16,
    /// One minimum per factor.
    pub minima: *const f16,
    /// Number of factors, at most 256.
    pub count: usize,
}

/// `LANES` numbers from `at` on; 0 past `count`.
#[inline(always)]
unsafe fn load<S: CodeLanes>(from: *const f32, at: usize, count: usize) -> S::V {
    // SAFETY: `at < count`; what is beyond is not read.
    unsafe {
        if at + S::LANES <= count {
            return S::load(from.add(at));
        }
        let mut padded = [0.0; MOST_LANES];
        std::ptr::copy_nonoverlapping(from.add(at), padded.as_mut_ptr(), count - at);
        S::load(padded.as_ptr())
    }
}

/// As [`load`], of f16.
#[inline(always)]
unsafe fn widen<S: CodeLanes>(from: *const f16, at: usize, count: usize) -> S::V {
    // SAFETY: as in `load`.
    unsafe {
        if at + S::LANES <= count {
            return S::widen(from.add(at));
        }
        let mut padded = [f16::ZERO; MOST_LANES];
        std::ptr::copy_nonoverlapping(from.add(at), padded.as_mut_ptr(), count - at);
        S::widen(padded.as_ptr())
    }
}

/// The weights `factor * scale`, stored in `space`, and the sum of `factor * minimum` per head.
///
/// Weights that are whole numbers share a scale per head. A coarse rounding error meets codes from
/// which half the largest code has been taken: the codes' common offset would multiply it.
///
/// # Safety
/// The pointers of `factors` are valid for its count; the instruction set of `S` is there.
#[inline(always)]
pub unsafe fn fold<S: CodeLanes, const HEADS: usize>(
    factors: &Factors,
    bits: usize,
    space: &mut WeightSpace<HEADS>,
) -> Weights<HEADS> {
    let Factors { first, stride, scales, minima, count } = *factors;
    let stored = space.as_mut_ptr().cast::<u32>();
    let mut products = MaybeUninit::<[[f32; WEIGHT_WORDS]; HEADS]>::uninit();
    let products = products.as_mut_ptr().cast::<f32>();
    let (mut scale, mut bias) = ([1.0; HEADS], [0.0; HEADS]);
    // SAFETY: `at + LANES` is at most `count` rounded up to lanes, which is at most 256; products
    // are read where they were written.
    unsafe {
        let mut largest = [S::splat(0.0); HEADS];
        let mut constant = [S::splat(0.0); HEADS];
        for at in (0..count).step_by(S::LANES) {
            let (scales, minima) = (widen::<S>(scales, at, count), widen::<S>(minima, at, count));
            for head in 0..HEADS {
                let factor = load::<S>(first.add(head * stride), at, count);
                let product = S::mul(factor, scales);
                S::store(products.add(head * WEIGHT_WORDS + at), product);
                largest[head] = S::max(largest[head], S::abs(product));
                constant[head] = S::fma(factor, minima, constant[head]);
            }
        }
        let limit = S::largest_weight(bits);
        let centre = ((1 << bits) - 1) as f32 / 2.0;
        for head in 0..HEADS {
            let mut inverse = 1.0;
            if limit.is_finite() {
                let largest = S::largest(largest[head]);
                (scale[head], inverse) =
                    if largest > LEAST { (largest / limit, limit / largest) } else { (0.0, 0.0) };
            }
            let mut constant = constant[head];
            let (inverse, back) = (S::splat(inverse), S::splat(scale[head]));
            let centre = S::splat(centre);
            for at in (0..count).step_by(S::LANES) {
                let product = S::load(products.add(head * WEIGHT_WORDS + at));
                let to = stored.add(head * WEIGHT_WORDS);
                let rounded = S::store_weights(S::mul(product, inverse), at, bits, to);
                if S::is_coarse(bits) {
                    let error = S::sub(product, S::mul(rounded, back));
                    constant = S::fma(error, centre, constant);
                }
            }
            bias[head] = S::total(constant);
        }
    }
    Weights { stored, scale, bias }
}
