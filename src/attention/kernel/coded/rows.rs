//! The steps over a block of a cache whose tokens are coded one by one, as llama.cpp's `q8_0` and
//! `q4_0` are: one row is decoded to registers, and meets all query heads of a KV head there.
//!
//! Loops that the compiler turns into vector instructions of whatever function these
//! are inlined into. So there are no closures here: the compiler would make them functions of their
//! own, without those instructions.

use crate::attention::kernel::{MOST_LANES, Simd};
use crate::cache::BLOCK;
use crate::cache::coded::BlockLayout;

/// Largest head dimension of the models that kscope runs.
const SHORT: usize = 256;

/// Writes the queries `q`, `[group, head_dim]`, multiplied by `scale` and rotated as the keys are, in
/// the order [`block_scores`] reads them, which is the same.
pub fn arrange_queries(layout: &BlockLayout, q: &[f32], scale: f32, to: &mut [f32]) {
    let head_dim = layout.head_dim();
    for (q, to) in q.chunks_exact(head_dim).zip(to.chunks_exact_mut(head_dim)) {
        to.iter_mut().zip(q).for_each(|(to, q)| *to = q * scale);
        layout.rotate_like_keys(to);
    }
}

/// Scores of all query heads of a group over the first `tokens` of one block, `[group][64]`. A head
/// has a multiple of 32 channels.
///
/// # Safety
/// The machine has the instructions of `R`, and the function is inlined into one that is compiled
/// with them.
#[inline(always)]
pub unsafe fn block_scores<R: Simd>(
    layout: &BlockLayout,
    block: &[u8],
    q: &[f32],
    tokens: usize,
    scores: &mut [f32],
) {
    let head_dim = layout.head_dim();
    let (mut short, mut long) = ([0.0; SHORT], Vec::new());
    let row = row(head_dim, &mut short, &mut long);
    for token in 0..tokens {
        layout.read_key_row(block, token, row);
        for (q, scores) in q.chunks_exact(head_dim).zip(scores.chunks_exact_mut(BLOCK)) {
            // SAFETY: the promises of this function's caller.
            scores[token] = unsafe { dot::<R>(q, row) };
        }
    }
}

/// Adds the weighted values of the first `tokens` of one block to the sums of all query heads of a
/// group, `[group][head_dim]`, which are rescaled before.
#[inline(always)]
pub fn block_values(
    layout: &BlockLayout,
    block: &[u8],
    tokens: usize,
    (group, weights, rescale): (usize, &[f32], &[f32]),
    sums: &mut [f32],
) {
    let head_dim = layout.head_dim();
    for (sums, rescale) in sums.chunks_exact_mut(head_dim).zip(rescale) {
        for sum in sums {
            *sum *= rescale;
        }
    }
    let (mut short, mut long) = ([0.0; SHORT], Vec::new());
    let row = row(head_dim, &mut short, &mut long);
    for token in 0..tokens {
        layout.read_value_row(block, token, row);
        for head in 0..group {
            let weight = weights[head * BLOCK + token];
            let sums = &mut sums[head * head_dim..][..head_dim];
            for (sum, x) in sums.iter_mut().zip(&*row) {
                *sum += weight * x;
            }
        }
    }
}

/// Space for one row: on the stack for every head dimension that models have.
#[inline(always)]
fn row<'a>(head_dim: usize, short: &'a mut [f32; SHORT], long: &'a mut Vec<f32>) -> &'a mut [f32] {
    if head_dim <= SHORT {
        return &mut short[..head_dim];
    }
    long.resize(head_dim, 0.0);
    long
}

/// The sum of products of as many numbers.
///
/// # Safety
/// As [`block_scores`].
#[inline(always)]
unsafe fn dot<R: Simd>(a: &[f32], b: &[f32]) -> f32 {
    let numbers = a.len().min(b.len()) / R::LANES * R::LANES;
    let mut lanes = [0.0; MOST_LANES];
    // SAFETY: every register lies within both rows, and `lanes` holds the widest one; the caller
    // promises the instruction set.
    unsafe {
        let mut sum = R::splat(0.0);
        for at in (0..numbers).step_by(R::LANES) {
            sum = R::fma(R::load(a.as_ptr().add(at)), R::load(b.as_ptr().add(at)), sum);
        }
        R::store(lanes.as_mut_ptr(), sum);
    }
    // As a tree: one sum after the other would take longer than all products.
    let mut four = [0.0; 4];
    for (lane, sum) in four.iter_mut().enumerate() {
        *sum = (lanes[lane] + lanes[lane + 4]) + (lanes[lane + 8] + lanes[lane + 12]);
    }
    (four[0] + four[1]) + (four[2] + four[3])
}
