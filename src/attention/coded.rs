//! A work item of a head whose middle is coded: blocks of codes, then the blocks of the window.

use std::ops::Range;

use half::{bf16, f16};

use super::kernel::coded::{self, CodeLanes};
use super::kernel::{UNSEEN, Widen, portable::Portable};
use super::range::{
    Queries, RangeJob, RangeKernel, State, arrange_queries as arrange_plain, attend,
    block_scores as plain_scores, block_values as plain_values,
};
use super::simd_level::SimdLevel;
use crate::cache::coded::BlockLayout;
use crate::cache::{BLOCK, HeadView};
use crate::element::{Dtype, Element};
use crate::mask::Coding;

/// The blocks of a coded head in the order in which they are attended: `coded` blocks of codes,
/// then the blocks by position that hold tokens of the window.
pub(super) struct CodedBlocks {
    coded: usize,
    window: [Range<usize>; 2],
}

/// The blocks of a coded head. They depend on the length of the sequence and its window alone.
pub(super) fn blocks(view: &HeadView<'_>) -> CodedBlocks {
    let parts = view.parts();
    let sink = 0..parts.sink.end.div_ceil(BLOCK);
    let recent = (parts.recent.start / BLOCK).max(sink.end)..view.len().div_ceil(BLOCK);
    CodedBlocks { coded: view.coded_blocks(), window: [sink, recent] }
}

impl CodedBlocks {
    /// How many blocks there are.
    pub fn len(&self) -> usize {
        self.coded + self.window.iter().map(ExactSizeIterator::len).sum::<usize>()
    }

    /// The part of a range: blocks of codes, and blocks by position.
    fn part(&self, range: Range<usize>) -> (Range<usize>, [Range<usize>; 2]) {
        let mut first = self.coded;
        let window = self.window.clone().map(|blocks| {
            let within = |at: usize| at.clamp(first, first + blocks.len()) - first + blocks.start;
            let part = within(range.start)..within(range.end);
            first += blocks.len();
            part
        });
        (range.start.min(self.coded)..range.end.min(self.coded), window)
    }
}

/// Numbers of memory that reading a block of this layout needs.
pub(super) fn decoded_len(layout: &BlockLayout) -> usize {
    match layout.coding() {
        Coding::Channels { .. } => 0,
        Coding::Blocks { .. } => layout.head_dim() * BLOCK,
    }
}

/// Writes the queries `q`, `[group, head_dim]`, multiplied by `scale`, in the order in which blocks
/// of codes are scored.
pub(super) fn arrange_queries(layout: &BlockLayout, q: &[f32], scale: f32, to: &mut [f32]) {
    match layout.coding() {
        Coding::Channels { .. } => coded::arrange_queries(layout, q, scale, to),
        Coding::Blocks { .. } => {
            let channels = layout.channels().iter().copied();
            arrange_plain(KIND, q, layout.head_dim(), channels, scale, to);
        }
    }
}

/// The order of queries for whole keys of a coded head: channel by channel, at every level.
pub(super) const KIND: (SimdLevel, Dtype) = (SimdLevel::Portable, Dtype::F32);

/// The kernel of a level, which the machine must have, and an element type. Integer dot products of
/// 512 bits need more than [`SimdLevel::Avx512`] promises; without them coded heads use AVX2.
#[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables, reason = "there is one level"))]
pub(super) fn kernel_for(level: SimdLevel, dtype: Dtype) -> RangeKernel {
    #[cfg(target_arch = "x86_64")]
    match (level, dtype) {
        (SimdLevel::Portable, _) => {}
        (SimdLevel::Avx512 | SimdLevel::Avx512Bf16, _) if x86::has_vnni() => {
            return match dtype {
                Dtype::F32 => x86::vnni::<f32>,
                Dtype::F16 => x86::vnni::<f16>,
                Dtype::Bf16 => x86::vnni::<bf16>,
            };
        }
        _ => {
            return match dtype {
                Dtype::F32 => x86::avx2::<f32>,
                Dtype::F16 => x86::avx2::<f16>,
                Dtype::Bf16 => x86::avx2::<bf16>,
            };
        }
    }
    match dtype {
        Dtype::F32 => run::<Portable, f32>,
        Dtype::F16 => run::<Portable, f16>,
        Dtype::Bf16 => run::<Portable, bf16>,
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Element, RangeJob, run};
    use crate::attention::kernel::{Widen, avx2::Avx2, avx512::Avx512};

    /// Whether this machine has everything that [`vnni`] is compiled with.
    pub(super) fn has_vnni() -> bool {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni")
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) unsafe fn avx2<E: Element>(job: RangeJob<'_>)
    where
        Avx2: Widen<E>,
    {
        // SAFETY: this function is compiled with the instructions of `Avx2`, and called only on
        // machines that have them.
        unsafe { run::<Avx2, E>(job) }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    pub(super) unsafe fn vnni<E: Element>(job: RangeJob<'_>)
    where
        Avx512: Widen<E>,
    {
        // SAFETY: this function is compiled with the instructions of `Avx512` and its integer dot
        // products, and called only on machines that have them.
        unsafe { run::<Avx512, E>(job) }
    }
}

/// Goes through the blocks of a work item.
///
/// # Safety
/// The machine has the instructions of `S`, and the function is inlined into one that is compiled
/// with them.
#[inline(always)]
unsafe fn run<S, E: Element>(job: RangeJob<'_>)
where
    S: CodeLanes + Widen<E> + Widen<f32>,
{
    let RangeJob { view, blocks, group, whole_q, packed_q, state, layout } = job;
    let mut state = layout.start(state);
    let queries = Queries { group, whole: whole_q, packed: packed_q };
    let (coded, window) = self::blocks(&view).part(blocks);
    // SAFETY: the promises of this function's caller.
    unsafe {
        attend_coded::<S, E>(&view, coded, &queries, &mut state);
        for blocks in window {
            attend::<S, E>(&view, blocks, 0, &queries, &mut state);
        }
    }
    state.finish();
}

/// Attends blocks of codes.
///
/// # Safety
/// As [`run`].
#[inline(always)]
unsafe fn attend_coded<S, E: Element>(
    view: &HeadView<'_>,
    blocks: Range<usize>,
    queries: &Queries<'_>,
    state: &mut State<'_>,
) where
    S: CodeLanes + Widen<E> + Widen<f32>,
{
    let layout = view.layout().expect("coded heads have a layout");
    let middle = view.parts().middle.len();
    let mut ahead = view.coded_block(blocks.start);
    for index in blocks {
        let block = ahead.expect("coded tokens have a block");
        ahead = view.coded_block(index + 1);
        let next = ahead.unwrap_or(block);
        let tokens = (middle - index * BLOCK).min(BLOCK);
        // SAFETY: the promises of this function's caller.
        unsafe { scores::<S, E>(layout, block, queries, state, next) };
        for head in 0..queries.group {
            state.scores[head * BLOCK..][tokens..BLOCK].fill(UNSEEN);
            // SAFETY: the promises of this function's caller.
            unsafe { state.softmax::<S>(head) };
        }
        // SAFETY: the promises of this function's caller.
        unsafe { values::<S, E>(layout, block, tokens, queries.group, state, next) };
    }
}

/// Scores of all query heads over one block of codes.
///
/// # Safety
/// As [`run`].
#[inline(always)]
unsafe fn scores<S, E: Element>(
    layout: &BlockLayout,
    block: &[u8],
    queries: &Queries<'_>,
    state: &mut State<'_>,
    next: &[u8],
) where
    S: CodeLanes + Widen<E> + Widen<f32>,
{
    let (q, group, channels) = (queries.packed, queries.group, layout.channels().len());
    // SAFETY: the promises of this function's caller.
    unsafe {
        match layout.coding() {
            Coding::Channels { .. } => {
                coded::block_scores::<S, E>(layout, block, q, group, state.scores, next);
            }
            Coding::Blocks { .. } => {
                layout.read_keys::<E>(block, state.decoded);
                let keys = &*state.decoded;
                plain_scores::<S, f32>(keys, channels, q, group, state.scores, keys);
            }
        }
    }
}

/// Adds the weighted values of the first tokens of one block of codes to the sums of all query
/// heads.
///
/// # Safety
/// As [`run`].
#[inline(always)]
unsafe fn values<S, E: Element>(
    layout: &BlockLayout,
    block: &[u8],
    tokens: usize,
    group: usize,
    state: &mut State<'_>,
    next: &[u8],
) where
    S: CodeLanes + Widen<E> + Widen<f32>,
{
    let (tokens, head_dim) = ((0, tokens), layout.head_dim());
    let weights = (group, &*state.scores, &*state.rescale);
    // SAFETY: the promises of this function's caller.
    unsafe {
        match layout.coding() {
            Coding::Channels { .. } => {
                coded::block_values::<S, E>(layout, block, tokens, weights, state.sums, next);
            }
            Coding::Blocks { .. } => {
                for (token, row) in state.decoded.chunks_exact_mut(head_dim).enumerate() {
                    layout.read_value::<E>(block, token, row);
                }
                let rows = &*state.decoded;
                plain_values::<S, f32>(rows, head_dim, tokens, weights, state.sums, rows);
            }
        }
    }
}
