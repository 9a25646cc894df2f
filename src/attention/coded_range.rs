//! One work item of a head whose middle is coded: blocks of codes, then blocks of the window.

use std::ops::Range;

use super::kernel::coded::{self, CodeLanes, rows};
use super::kernel::{Steps, Widen};
use super::range::{RangeJob, StateLayout, block_scores, block_values, finish, soften, weigh};
use crate::cache::coded::BlockLayout;
use crate::cache::{BLOCK, HeadView};
use crate::element::Element;
use crate::mask::Coding;

/// The blocks of a coded head, in the order of the work: those of the middle, counted from its
/// first token, then those that hold tokens of the window. They depend on the sequence's length and
/// specification alone.
#[derive(Debug, Clone)]
pub(super) struct CodedBlocks {
    /// The tokens that are seen.
    seen: Range<usize>,
    middle: Range<usize>,
    /// Position of the first coded token, seen or not.
    coded_from: usize,
    /// Blocks of codes with tokens that are seen.
    codes: Range<usize>,
    /// Blocks that hold tokens of the sink.
    sink: Range<usize>,
    /// First block of the recent window that is none of those.
    recent: usize,
}

/// One of these blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    /// A block of codes, and the tokens in it that are seen.
    Codes(usize, (usize, usize)),
    /// A block of the window, and its columns before and after the middle.
    Window(usize, [(usize, usize); 2]),
}

impl CodedBlocks {
    pub(super) fn of(view: &HeadView<'_>) -> Self {
        let (parts, coded_from) = (view.parts(), view.coded_from());
        let middle = parts.middle;
        let first = if parts.sink.is_empty() { middle.start } else { parts.sink.start };
        let seen = first..view.len();
        let sink = match parts.sink.is_empty() {
            true => 0..0,
            false => parts.sink.start / BLOCK..parts.sink.end.div_ceil(BLOCK),
        };
        let codes = match middle.is_empty() {
            true => 0..0,
            false => (middle.start - coded_from) / BLOCK..(middle.end - coded_from).div_ceil(BLOCK),
        };
        Self { codes, coded_from, recent: sink.end.max(middle.end / BLOCK), sink, seen, middle }
    }

    /// Number of blocks.
    pub(super) fn count(&self) -> usize {
        let end = self.seen.end.div_ceil(BLOCK);
        self.codes.len() + self.sink.len() + end - self.recent.min(end)
    }

    fn at(&self, index: usize) -> Work {
        if index < self.codes.len() {
            let block = self.codes.start + index;
            let first = self.coded_from + block * BLOCK;
            let from = self.middle.start.saturating_sub(first);
            return Work::Codes(block, (from, (self.middle.end - first).min(BLOCK)));
        }
        let index = index - self.codes.len();
        let block = match index < self.sink.len() {
            true => self.sink.start + index,
            false => self.recent + index - self.sink.len(),
        };
        let (first, end) = (block * BLOCK, ((block + 1) * BLOCK).min(self.seen.end));
        let columns =
            |from: usize, to: usize| (from.clamp(first, end) - first, to.clamp(first, end) - first);
        let (before, after) =
            (columns(self.seen.start, self.middle.start), columns(self.middle.end, self.seen.end));
        // One range where nothing lies between: the bf16 dot product takes tokens in pairs, and
        // would count one on either side of an odd end twice.
        Work::Window(
            block,
            match before.1 == after.0 {
                true => [(before.0, after.1), (0, 0)],
                false => [before, after],
            },
        )
    }
}

/// Writes the queries `q`, `[group, head_dim]`, of the channels that a coded head stores, multiplied
/// by `scale`, in the order that [`run`] reads them.
pub(super) fn arrange_coded_queries(layout: &BlockLayout, q: &[f32], scale: f32, to: &mut [f32]) {
    match layout.coding() {
        Coding::Channels { .. } => coded::arrange_queries(layout, q, scale, to),
        Coding::Blocks { .. } => rows::arrange_queries(layout, q, scale, to),
    }
}

/// Goes through the blocks of a work item; `S` reads elements of the window, `C` codes.
///
/// # Safety
/// The machine has the instructions of `S` and `C`, and the function is inlined into one that is
/// compiled with them.
#[inline(always)]
pub(super) unsafe fn run<S: Steps<E>, C: CodeLanes + Widen<E>, E: Element>(job: RangeJob<'_>) {
    let RangeJob { view, blocks, group, whole_q, packed_q, state } = job;
    let layout = view.layout().expect("a coded head has a layout");
    let head_dim = view.head_dim();
    let work = CodedBlocks::of(&view);
    let [largest, total, sums, rescale, lanes, scores, _] =
        StateLayout { group, head_dim }.split(state);
    largest.fill(f32::NEG_INFINITY);
    lanes.fill(0.0);
    sums.fill(0.0);

    for index in blocks {
        match work.at(index) {
            Work::Codes(block, seen) => {
                let tokens = seen.1;
                let bytes = view.coded_block(block).expect("the middle is stored");
                // Even beyond this range, so that it is prefetched while this one is computed.
                let next = view.coded_block(block + 1).unwrap_or(bytes);
                let is_per_token = matches!(layout.coding(), Coding::Blocks { .. });
                // SAFETY: the promises of this function's caller.
                unsafe {
                    if is_per_token {
                        rows::block_scores::<C>(layout, bytes, packed_q, tokens, scores);
                    } else {
                        coded::block_scores::<C, E>(layout, bytes, packed_q, group, scores, next);
                    }
                    soften(view.score_cap(), scores);
                    weigh::<S::Registers>(group, [seen, (0, 0)], largest, lanes, scores, rescale);
                    let weights = (group, &*scores, &*rescale);
                    if is_per_token {
                        rows::block_values(layout, bytes, tokens, weights, sums);
                    } else {
                        coded::block_values::<C, E>(layout, bytes, seen, weights, sums, next);
                    }
                }
            }
            Work::Window(block, seen) => {
                if seen.iter().all(|(from, to)| from == to) {
                    continue;
                }
                let keys = view.whole_block::<E>(block).expect("the window's keys are whole");
                let rows = view.value_block::<E>(block).expect("the window's values are whole");
                // SAFETY: the promises of this function's caller; `tokens` are in the block.
                unsafe {
                    block_scores::<S, E>(keys, head_dim, whole_q, group, scores, keys);
                    soften(view.score_cap(), scores);
                    weigh::<S::Registers>(group, seen, largest, lanes, scores, rescale);
                    for &tokens in seen.iter().filter(|(from, to)| from < to) {
                        let weights = (group, &*scores, &*rescale);
                        block_values::<S, E>(rows, head_dim, tokens, weights, sums, rows);
                        rescale.fill(1.0);
                    }
                }
            }
        }
    }
    finish(total, lanes);
}
