//! Codes that no register of interleaved fours holds: channels left over, groups of few tokens, and
//! values of an odd head_dim. They become f32 numbers one row at a time.

use half::f16;

use super::lanes::CodeLanes;
use super::steps::CodedBlock;
use crate::cache::BLOCK;
use crate::cache::coded::{CodedRun, ValueCodes};

/// Fewest tokens of a group whose rows are read as registers.
pub const LEAST_GROUP: usize = 16;

/// An f16 of a block.
#[inline(always)]
unsafe fn number(block: *const u8, at: usize) -> f32 {
    // SAFETY: the caller's offsets are inside the block and even.
    unsafe { (*block.add(at).cast::<f16>()).to_f32() }
}

/// The code at a place.
#[inline(always)]
unsafe fn code(block: *const u8, (byte, shift): (usize, u32), mask: u8) -> f32 {
    // SAFETY: the caller's offsets are inside the block.
    unsafe { f32::from(*block.add(byte) >> shift & mask) }
}

/// Adds the channels `from ..` of a run to the scores, `[HEADS][64]`. `q` is `[HEADS][coded
/// channels]`.
///
/// # Safety
/// Those of [`super::scores`].
#[inline(always)]
pub unsafe fn add_rows<S: CodeLanes, const HEADS: usize>(
    block: &CodedBlock<'_>,
    run: &CodedRun,
    from: usize,
    q: *const f32,
    scores: *mut f32,
) {
    let (layout, bytes) = (block.layout, block.bytes);
    let (group, coded) = (layout.group_tokens(), layout.coded_channels());
    let mask = run.width.largest_code();
    let bits = usize::from(run.width.bits());
    for channel in from..run.channels {
        let place = run.first + channel;
        // SAFETY: rows, scales and scores of this channel are inside what the caller promised; a
        // row that is not interleaved has consecutive tokens in consecutive bytes, up to its end.
        unsafe {
            if group >= LEAST_GROUP {
                let row = bytes.add(run.offset + channel * run.row_bytes());
                for token in (0..BLOCK).step_by(S::LANES) {
                    let [scales, minima] = layout.k_scales(token / group);
                    let scale = number(bytes, scales.start + 2 * place);
                    let minimum = number(bytes, minima.start + 2 * place);
                    let shift = token / run.row_bytes() * bits;
                    let codes =
                        S::widen_codes(row.add(token % run.row_bytes()), shift as u32, mask);
                    let numbers = S::fma(codes, S::splat(scale), S::splat(minimum));
                    add::<S, HEADS>(numbers, q.add(place), coded, scores.add(token));
                }
                continue;
            }
            let mut row = [0.0; BLOCK];
            for (index, numbers) in row.chunks_exact_mut(group).enumerate() {
                let [scales, minima] = layout.k_scales(index);
                let scale = number(bytes, scales.start + 2 * place);
                let minimum = number(bytes, minima.start + 2 * place);
                for (token, x) in (index * group..).zip(numbers) {
                    *x = scale * code(bytes, run.place(channel, token), mask) + minimum;
                }
            }
            for token in (0..BLOCK).step_by(S::LANES) {
                let numbers = S::load(row.as_ptr().add(token));
                add::<S, HEADS>(numbers, q.add(place), coded, scores.add(token));
            }
        }
    }
}

/// `scores[h] += q[h] * numbers`, a register of tokens.
#[inline(always)]
unsafe fn add<S: CodeLanes, const HEADS: usize>(
    numbers: S::V,
    q: *const f32,
    stride: usize,
    scores: *mut f32,
) {
    for head in 0..HEADS {
        // SAFETY: the caller's offsets are inside queries and scores.
        unsafe {
            let to = scores.add(head * BLOCK);
            S::store(to, S::fma(numbers, S::splat(*q.add(head * stride)), S::load(to)));
        }
    }
}

/// Adds the weighted values of these tokens to the sums, `[HEADS][head_dim]`.
///
/// # Safety
/// Those of [`super::accumulate`].
#[inline(always)]
pub unsafe fn add_values<const HEADS: usize>(
    block: &CodedBlock<'_>,
    codes: &ValueCodes,
    tokens: (usize, usize),
    weights: *const f32,
    sums: *mut f32,
) {
    let (layout, bytes) = (block.layout, block.bytes);
    let head_dim = layout.head_dim();
    let mask = codes.width.largest_code();
    for first in (0..head_dim).step_by(BLOCK) {
        let channels = BLOCK.min(head_dim - first);
        let mut row = [0.0; BLOCK];
        for token in tokens.0..tokens.1 {
            // SAFETY: codes, scales, weights and sums of this token are inside what the caller
            // promised.
            unsafe {
                for (channel, x) in (first..).zip(&mut row[..channels]) {
                    let [scales, minima] = layout.v_scales(codes, channel / codes.group);
                    let scale = number(bytes, scales.start + 2 * token);
                    let minimum = number(bytes, minima.start + 2 * token);
                    *x = scale * code(bytes, codes.place(channel, token), mask) + minimum;
                }
                for head in 0..HEADS {
                    let weight = *weights.add(head * BLOCK + token);
                    for (channel, x) in (first..).zip(&row[..channels]) {
                        *sums.add(head * head_dim + channel) += weight * x;
                    }
                }
            }
        }
    }
}
