//! Scales and minima are folded into the weights of a sum, once per block.

use std::mem::MaybeUninit;

use half::f16;

use super::lanes::{WEIGHT_WORDS, Weights};
use crate::attention::kernel::{MOST_LANES, Widen};
use crate::cache::BLOCK;

/// Memory for the stored weights of a tile of heads.
pub type WeightSpace<const HEADS: usize> = MaybeUninit<[[u32; WEIGHT_WORDS]; HEADS]>;

const _: () = assert!(WEIGHT_WORDS == BLOCK);

/// Below this largest product all weights count as 0: the inverse of a smaller one may be infinite.
pub const LEAST: f32 = 1e-30;

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
    /// Number of factors, from 1 to 64.
    pub count: usize,
}

/// What [`fold`] takes of an instruction set.
pub trait FoldLanes: Widen<f16> {
    /// The largest magnitude of a stored weight ; infinite where weights are
    /// stored as they are.
    const LARGEST: f32;

    unsafe fn abs(a: Self::V) -> Self::V;

    /// The sum of all lanes.
    unsafe fn total(a: Self::V) -> f32;

    /// Rounds the weights of the members `at ..` of fours, `LANES` of them, to whole numbers up to
    /// [`Self::LARGEST`], and stores them for [`CodeLanes::dot`](super::CodeLanes::dot).
    unsafe fn store_weights(weights: Self::V, at: usize, to: *mut u32);
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
/// Weights that are whole numbers share a scale per head.
///
/// # Safety
/// The pointers of `factors` are valid for its count; the instruction set of `S` is there.
#[inline(always)]
pub unsafe fn fold<S: FoldLanes, const HEADS: usize>(
    factors: &Factors,
    space: &mut WeightSpace<HEADS>,
) -> Weights<HEADS> {
    let Factors { first, stride, scales, minima, count } = *factors;
    let stored = space.as_mut_ptr().cast::<u32>();
    let mut products = MaybeUninit::<[[f32; WEIGHT_WORDS]; HEADS]>::uninit();
    let products = products.as_mut_ptr().cast::<f32>();
    let (mut scale, mut bias) = ([1.0; HEADS], [0.0; HEADS]);
    // SAFETY: `at < count`, and `at + LANES` is at most 64; products are read where they were
    // written.
    unsafe {
        let mut largest = [S::splat(0.0); HEADS];
        let mut constant = [S::splat(0.0); HEADS];
        for at in (0..count).step_by(S::LANES) {
            let left = count - at;
            let scales = widen_some::<S>(scales.add(at), left);
            let minima = widen_some::<S>(minima.add(at), left);
            for head in 0..HEADS {
                let factor = load_some::<S>(first.add(head * stride + at), left);
                let product = S::mul(factor, scales);
                S::store(products.add(head * WEIGHT_WORDS + at), product);
                largest[head] = S::max(largest[head], S::abs(product));
                constant[head] = S::fma(factor, minima, constant[head]);
            }
        }
        let limit = S::LARGEST;
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
            for at in (0..count).step_by(S::LANES) {
                let product = S::load(products.add(head * WEIGHT_WORDS + at));
                let to = stored.add(head * WEIGHT_WORDS);
                S::store_weights(S::mul(product, inverse), at, to);
            }
            bias[head] = S::total(constant[head]);
        }
    }
    Weights { stored, scale, bias }
}
