//! The steps of the algorithm over a coded block, for any instruction set.

use super::fold::{CodeFactors, WeightSpace};
use super::lanes::{COLUMN, CodeLanes, Codes, MOST_FOURS, Sums, Tile};
use super::plain::{self, LEAST_GROUP};
use crate::attention::kernel::{Steps, Values, Widen};
use crate::cache::BLOCK;
use crate::cache::coded::BlockLayout;
use crate::element::Element;

/// A coded block to read, for the tile of heads that is computed.
#[derive(Clone, Copy)]
pub struct CodedBlock<'a> {
    /// The layout of both blocks.
    pub layout: &'a BlockLayout,
    /// The block.
    pub bytes: *const u8,
    /// Only prefetched: the next block.
    pub next: *const u8,
}

impl CodedBlock<'_> {
    fn ahead(&self) -> isize {
        (self.next as isize).wrapping_sub(self.bytes as isize)
    }

    /// Prefetches scales of the next block.
    #[inline(always)]
    unsafe fn prefetch<S: CodeLanes>(&self, bytes: std::ops::Range<usize>) {
        for at in bytes.step_by(64) {
            // SAFETY: a prefetch reads nothing and cannot fault.
            unsafe { S::prefetch(self.next.wrapping_add(at)) };
        }
    }
}

/// `scores[h][t] = sum_c q[h][c] keys[c][t]` for 64 tokens.
///
/// `q` has the queries of the channels of 16 bits, `[channel][HEADS]`, then those of the coded
/// channels, `[HEADS][channel]`, both in the layout's order.
///
/// # Safety
/// The block is valid for the layout's bytes and aligned to a cache line, `q` for `HEADS` times the
/// layout's channels, `scores` for `HEADS * 64`; the instruction set of `S` is there.
#[inline(always)]
pub unsafe fn scores<S: CodeLanes + Widen<E>, E: Element, const HEADS: usize>(
    block: &CodedBlock<'_>,
    q: *const f32,
    scores: *mut f32,
) {
    let (layout, bytes) = (block.layout, block.bytes);
    let (full, coded, group) =
        (layout.full_channels(), layout.coded_channels(), layout.group_tokens());
    // SAFETY: the caller's promises; a run's fours, scales and queries are inside them.
    unsafe {
        if full > 0 {
            <S as Steps<E>>::scores::<HEADS>(bytes.cast(), full, q, scores, block.next.cast());
        } else {
            std::ptr::write_bytes(scores, 0, HEADS * BLOCK);
        }
        let q = q.add(full * HEADS);
        for run in layout.runs() {
            let fours = if group >= LEAST_GROUP { run.channels / 4 } else { 0 };
            plain::add_rows::<S, HEADS>(block, run, 4 * fours, q, scores);
            for start in (0..fours).step_by(MOST_FOURS) {
                let fours = MOST_FOURS.min(fours - start);
                for index in 0..BLOCK / group {
                    let [scales, minima] = layout.k_scales(index);
                    let first = run.first + 4 * start;
                    let mut space = WeightSpace::<HEADS>::uninit();
                    let factors = CodeFactors {
                        first: q.add(first),
                        stride: coded,
                        scales: bytes.add(scales.start + 2 * first).cast(),
                        minima: bytes.add(minima.start + 2 * first).cast(),
                        count: 4 * fours,
                    };
                    let bits = usize::from(run.width.bits());
                    let weights = S::fold::<HEADS>(&factors, bits, &mut space);
                    let stride = 4 * run.row_bytes();
                    let codes = Codes {
                        first: bytes.add(run.offset + start * stride),
                        stride,
                        fours: (0, fours),
                        bits,
                        ahead: block.ahead(),
                    };
                    let columns = stride / 64;
                    let sums = Sums {
                        first: scores,
                        stride: BLOCK,
                        column_step: COLUMN,
                        part_step: columns * COLUMN,
                        rescale: [1.0; HEADS],
                    };
                    S::dot(&codes, tile_of_tokens(index, group, columns), &weights, &sums);
                }
            }
        }
        for index in 0..BLOCK / group {
            layout.k_scales(index).into_iter().for_each(|scales| block.prefetch::<S>(scales));
        }
    }
}

/// The columns and parts that hold the tokens of a group; `columns` lie side by side.
fn tile_of_tokens(index: usize, group: usize, columns: usize) -> Tile {
    let (first, lanes) = (index * group / COLUMN, group / COLUMN);
    let parts = (first / columns, (first + lanes).div_ceil(columns));
    match lanes < columns {
        true => Tile { columns: (first % columns, first % columns + lanes), parts },
        false => Tile { columns: (0, columns), parts },
    }
}

/// `sums[h] = rescale[h] sums[h] + sum_t weights[h][t] values[t]` over the tokens `first .. end`;
/// weights of the other tokens are 0.
///
/// # Safety
/// The block is valid for the layout's bytes and aligned to a cache line, `weights` for `HEADS *
/// 64`, `rescale` for `HEADS`, `sums` for `HEADS * head_dim`; `end` is at most 64; the instruction
/// set of `S` is there.
#[inline(always)]
pub unsafe fn accumulate<S: CodeLanes + Widen<E>, E: Element, const HEADS: usize>(
    block: &CodedBlock<'_>,
    tokens: (usize, usize),
    weights: *const f32,
    rescale: *const f32,
    sums: *mut f32,
) {
    let (layout, bytes) = (block.layout, block.bytes);
    let head_dim = layout.head_dim();
    // SAFETY: the caller's promises; codes, scales and sums of a group of channels are inside them.
    unsafe {
        let Some(values) = layout.value_codes() else {
            let values = Values {
                rows: bytes.add(layout.values_offset()).cast(),
                head_dim,
                next: block.next.wrapping_add(layout.values_offset()).cast(),
            };
            <S as Steps<E>>::accumulate::<HEADS>(&values, tokens, weights, rescale, sums);
            return;
        };
        let fits = values.interleaved && values.group.is_multiple_of(COLUMN);
        if !fits || tokens.0 == tokens.1 {
            for head in 0..HEADS {
                let rescale = *rescale.add(head);
                for channel in 0..head_dim {
                    *sums.add(head * head_dim + channel) *= rescale;
                }
            }
            plain::add_values::<HEADS>(block, values, tokens, weights, sums);
            return;
        }
        let bits = usize::from(values.width.bits());
        let parts = 8 / bits;
        let fours = (tokens.0 / 4, tokens.1.div_ceil(4));
        let skipped = 4 * fours.0;
        let codes = Codes {
            first: bytes.add(values.offset + skipped * values.row_bytes),
            stride: 4 * values.row_bytes,
            fours: (0, fours.1 - fours.0),
            bits,
            ahead: block.ahead(),
        };
        let sums = Sums {
            first: sums,
            stride: head_dim,
            column_step: parts * COLUMN,
            part_step: COLUMN,
            rescale: *rescale.cast::<[f32; HEADS]>(),
        };
        for index in 0..head_dim / values.group {
            let [scales, minima] = layout.v_scales(values, index);
            let mut space = WeightSpace::<HEADS>::uninit();
            let factors = CodeFactors {
                first: weights.add(skipped),
                stride: BLOCK,
                scales: bytes.add(scales.start + 2 * skipped).cast(),
                minima: bytes.add(minima.start + 2 * skipped).cast(),
                count: 4 * (fours.1 - fours.0),
            };
            let folded = S::fold::<HEADS>(&factors, bits, &mut space);
            let (first, lanes) = (index * values.group / COLUMN, values.group / COLUMN);
            if (first | lanes).is_multiple_of(parts) {
                let columns = (first / parts, (first + lanes) / parts);
                S::dot(&codes, Tile { columns, parts: (0, parts) }, &folded, &sums);
            } else {
                for at in first..first + lanes {
                    let (column, part) = (at / parts, at % parts);
                    let tile = Tile { columns: (column, column + 1), parts: (part, part + 1) };
                    S::dot(&codes, tile, &folded, &sums);
                }
            }
            block.prefetch::<S>(scales);
            block.prefetch::<S>(minima);
        }
    }
}
