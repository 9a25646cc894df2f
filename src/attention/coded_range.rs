//! One work item of a head whose middle is coded: blocks of codes, then blocks of the window.

use std::cell::RefCell;
use std::ops::Range;

use super::kernel::coded::{self, CodeLanes};
use super::kernel::{Steps, Widen};
use super::range::{
    RangeJob, StateLayout, arrange_queries, block_scores, block_values, finish, weigh,
};
use super::simd_level::SimdLevel;
use crate::cache::coded::BlockLayout;
use crate::cache::{BLOCK, HeadView};
use crate::element::{Dtype, Element};
use crate::mask::Coding;

/// The blocks of a coded head, in the order of the work: those of the middle, counted from its
/// first token, then those that hold tokens of the window. They depend on the sequence's length and
/// specification alone.
#[derive(Debug, Clone)]
pub(super) struct CodedBlocks {
    len: usize,
    middle: Range<usize>,
    /// Blocks of codes.
    codes: usize,
    /// Blocks from position 0 on that hold tokens of the sink.
    sink: usize,
    /// First block of the recent window that is none of those.
    recent: usize,
}

/// One of these blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    /// A block of codes, and how many tokens it holds.
    Codes(usize, usize),
    /// A block of the window, and its columns before and after the middle.
    Window(usize, [(usize, usize); 2]),
}

impl CodedBlocks {
    pub(super) fn of(view: &HeadView<'_>) -> Self {
        let (len, middle) = (view.len(), view.parts().middle);
        let sink = middle.start.div_ceil(BLOCK);
        Self {
            len,
            codes: middle.len().div_ceil(BLOCK),
            sink,
            recent: sink.max(middle.end / BLOCK),
            middle,
        }
    }

    /// Number of blocks.
    pub(super) fn count(&self) -> usize {
        self.codes + self.sink + self.len.div_ceil(BLOCK)
            - self.recent.min(self.len.div_ceil(BLOCK))
    }

    fn at(&self, index: usize) -> Work {
        if index < self.codes {
            return Work::Codes(index, (self.middle.len() - index * BLOCK).min(BLOCK));
        }
        let index = index - self.codes;
        let block = if index < self.sink { index } else { self.recent + index - self.sink };
        let (first, end) = (block * BLOCK, ((block + 1) * BLOCK).min(self.len));
        let columns =
            |from: usize, to: usize| (from.clamp(first, end) - first, to.clamp(first, end) - first);
        let (before, after) = (columns(0, self.middle.start), columns(self.middle.end, self.len));
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
pub(super) fn arrange_coded_queries(
    level: SimdLevel,
    layout: &BlockLayout,
    q: &[f32],
    scale: f32,
    to: &mut [f32],
) {
    match layout.coding() {
        Coding::Channels { .. } => coded::arrange_queries(layout, q, scale, to),
        Coding::Blocks { .. } => {
            // Of decoded numbers, which are f32 for every level.
            let stored = layout.channels().iter().copied();
            arrange_queries((level, Dtype::F32), q, layout.head_dim(), stored, scale, to);
        }
    }
}

thread_local! {
    /// Numbers of one block, keys or values, for blocks per token, which no kernel reads.
    static DECODED: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Goes through the blocks of a work item; `S` reads elements of the window, `C` codes.
///
/// # Safety
/// The machine has the instructions of `S` and `C`, and the function is inlined into one that is
/// compiled with them.
#[inline(always)]
pub(super) unsafe fn run<S: Steps<E>, C: CodeLanes + Widen<E> + Widen<f32>, E: Element>(
    job: RangeJob<'_>,
) {
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
            Work::Codes(block, tokens) => {
                let bytes = view.coded_block(block).expect("the middle is stored");
                // Even beyond this range, so that it is prefetched while this one is computed.
                let next = view.coded_block(block + 1).unwrap_or(bytes);
                let seen = (0, tokens);
                let is_decoded = matches!(layout.coding(), Coding::Blocks { .. });
                // SAFETY: the promises of this function's caller.
                unsafe {
                    if is_decoded {
                        decoded_scores::<C, E>(layout, bytes, packed_q, group, scores);
                    } else {
                        coded::block_scores::<C, E>(layout, bytes, packed_q, group, scores, next);
                    }
                    weigh::<S::Registers>(group, [seen, (0, 0)], largest, lanes, scores, rescale);
                    let weights = (group, &*scores, &*rescale);
                    if is_decoded {
                        decoded_values::<C, E>(layout, bytes, seen, weights, sums);
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

/// Scores of all query heads of a group over one block that is decoded first, `[group][64]`.
///
/// # Safety
/// As [`run`].
#[inline(always)]
unsafe fn decoded_scores<C: Widen<f32>, E: Element>(
    layout: &BlockLayout,
    block: &[u8],
    q: &[f32],
    group: usize,
    scores: &mut [f32],
) {
    let channels = layout.channels().len();
    DECODED.with_borrow_mut(|decoded| {
        decoded.resize(channels * BLOCK, 0.0);
        layout.read_keys::<E>(block, decoded);
        // SAFETY: the promises of this function's caller.
        unsafe { block_scores::<C, f32>(decoded, channels, q, group, scores, decoded) };
    });
}

/// Adds the weighted values of one block that is decoded first to the sums of all query heads of a
/// group.
///
/// # Safety
/// As [`run`].
#[inline(always)]
unsafe fn decoded_values<C: Widen<f32>, E: Element>(
    layout: &BlockLayout,
    block: &[u8],
    tokens: (usize, usize),
    weights: (usize, &[f32], &[f32]),
    sums: &mut [f32],
) {
    let head_dim = layout.head_dim();
    DECODED.with_borrow_mut(|decoded| {
        decoded.resize(head_dim * BLOCK, 0.0);
        for (token, value) in (tokens.0..tokens.1).zip(decoded.chunks_exact_mut(head_dim)) {
            layout.read_value::<E>(block, token, value);
        }
        // SAFETY: the promises of this function's caller.
        unsafe { block_values::<C, f32>(decoded, head_dim, tokens, weights, sums, decoded) };
    });
}
