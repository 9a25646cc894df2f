//! One work item: the query heads of one KV head over one range of key blocks.
//!
//! Heads whose middle is coded have their own ([`coded`](super::coded)), with the same window.

use std::ops::Range;

use half::{bf16, f16};

use super::kernel::{
    self, HEAD_TILE, MOST_LANES, Simd, Steps, UNSEEN, Values, for_heads, portable::Portable,
};
use super::simd_level::SimdLevel;
use crate::cache::{BLOCK, HeadView};
use crate::element::{Dtype, Element};

/// What a work item reads, and where it writes its part of the result.
pub(super) struct RangeJob<'a> {
    pub view: HeadView<'a>,
    /// Blocks by position; of a coded head in the order of
    /// [`coded::blocks`](super::coded::blocks).
    pub blocks: Range<usize>,
    /// Query heads of the KV head.
    pub group: usize,
    /// Scaled queries for whole keys; see [`arrange_queries`].
    pub whole_q: &'a [f32],
    /// Scaled queries for the channels that the middle stores.
    pub packed_q: &'a [f32],
    /// Memory of this item only.
    pub state: &'a mut [f32],
    /// How it is divided.
    pub layout: StateLayout,
}

/// How a work item's memory is divided: per query head the largest base-2 score, the sum of weights
/// relative to it and the weighted sum of values; then scratch.
#[derive(Debug, Clone, Copy)]
pub(super) struct StateLayout {
    pub group: usize,
    pub head_dim: usize,
    /// Numbers of a block that is decoded before it is read; 0 where no head needs that.
    pub decoded: usize,
}

/// A work item's memory in its parts.
pub(super) struct State<'a> {
    /// Largest base-2 score per query head.
    pub largest: &'a mut [f32],
    /// Sum of weights per query head.
    pub total: &'a mut [f32],
    /// Weighted sums of values, `[group, head_dim]`.
    pub sums: &'a mut [f32],
    /// Factors of the sums so far, one per query head.
    pub rescale: &'a mut [f32],
    /// Sums of weights by lane.
    pub lanes: &'a mut [f32],
    /// Scores and then weights of a block, `[group][64]`.
    pub scores: &'a mut [f32],
    packed_scores: &'a mut [f32],
    /// A block that is decoded before it is read.
    pub decoded: &'a mut [f32],
}

impl State<'_> {
    /// Turns the scores of a block into weights relative to the largest score so far.
    ///
    /// # Safety
    /// The machine has the instructions of `S`, and the function is inlined into one that is
    /// compiled with them.
    #[inline(always)]
    pub unsafe fn softmax<S: Simd>(&mut self, head: usize) {
        let scores = self.scores[head * BLOCK..][..BLOCK].as_mut_ptr();
        let lanes = self.lanes[head * MOST_LANES..][..MOST_LANES].as_mut_ptr();
        // SAFETY: 64 scores and space for a register; the caller promises the instruction set.
        self.rescale[head] =
            unsafe { kernel::softmax::<S>(scores, &mut self.largest[head], lanes) };
    }

    /// Sums the weights at the end of a work item.
    pub fn finish(&mut self) {
        for (total, lanes) in self.total.iter_mut().zip(self.lanes.chunks(MOST_LANES)) {
            *total = lanes.iter().sum();
        }
    }
}

impl StateLayout {
    /// Numbers per work item, padded so that two items never share a cache line.
    pub fn len(self) -> usize {
        let numbers = self.group * (3 + self.head_dim + MOST_LANES + 2 * BLOCK) + self.decoded;
        numbers.next_multiple_of(32)
    }

    /// `[largest, total, sums]` of a finished item: `[group]`, `[group]`, `[group, head_dim]`.
    pub fn result(self, state: &[f32]) -> [&[f32]; 3] {
        let (largest, rest) = state.split_at(self.group);
        let (total, rest) = rest.split_at(self.group);
        [largest, total, &rest[..self.group * self.head_dim]]
    }

    /// The memory of an item that begins.
    pub fn start(self, state: &mut [f32]) -> State<'_> {
        let (largest, rest) = state.split_at_mut(self.group);
        let (total, rest) = rest.split_at_mut(self.group);
        let (sums, rest) = rest.split_at_mut(self.group * self.head_dim);
        let (rescale, rest) = rest.split_at_mut(self.group);
        let (lanes, rest) = rest.split_at_mut(self.group * MOST_LANES);
        let (scores, rest) = rest.split_at_mut(self.group * BLOCK);
        let (packed_scores, rest) = rest.split_at_mut(self.group * BLOCK);
        largest.fill(f32::NEG_INFINITY);
        lanes.fill(0.0);
        sums.fill(0.0);
        let decoded = &mut rest[..self.decoded];
        State { largest, total, sums, rescale, lanes, scores, packed_scores, decoded }
    }
}

/// Writes the queries `q`, `[group, head_dim]`, of these channels, multiplied by `scale`, in the
/// order the score kernel of a level reads them: tiles of up to [`HEAD_TILE`] heads, in each
/// `[channel][head]`, or `[pair of channels][head]` as bits for the bf16 dot product.
pub(super) fn arrange_queries(
    (level, dtype): (SimdLevel, Dtype),
    q: &[f32],
    head_dim: usize,
    channels: impl ExactSizeIterator<Item = usize> + Clone,
    scale: f32,
    to: &mut [f32],
) {
    let tile_len = HEAD_TILE * head_dim;
    for (tile, to) in q.chunks(tile_len).zip(to.chunks_mut(HEAD_TILE * channels.len().max(1))) {
        let mut to = to.iter_mut();
        let mut channels = channels.clone();
        while let Some(channel) = channels.next() {
            let partner = if takes_pairs(level, dtype) { Some(channels.next()) } else { None };
            for (head, to) in tile.chunks(head_dim).zip(&mut to) {
                let first = head[channel] * scale;
                *to = match partner {
                    None => first,
                    Some(second) => f32::from_bits(pair(
                        first,
                        second.map_or(0.0, |second| head[second] * scale),
                    )),
                };
            }
        }
    }
}

/// Whether the score kernel reads channels in pairs.
fn takes_pairs(level: SimdLevel, dtype: Dtype) -> bool {
    (level, dtype) == (SimdLevel::Avx512Bf16, Dtype::Bf16)
}

/// Two bf16 in the order of the dot product; the first one is the lower half.
fn pair(first: f32, second: f32) -> u32 {
    u32::from(bf16::from_f32(first).to_bits()) | u32::from(bf16::from_f32(second).to_bits()) << 16
}

/// A work item compiled for one instruction set and element type.
///
/// # Safety
/// The machine has the instruction set.
pub(super) type RangeKernel = unsafe fn(RangeJob<'_>);

/// The kernel of a level, which the machine must have, and an element type.
#[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables, reason = "there is one level"))]
pub(super) fn kernel_for(level: SimdLevel, dtype: Dtype) -> RangeKernel {
    #[cfg(target_arch = "x86_64")]
    match (level, dtype) {
        (SimdLevel::Avx2, Dtype::F32) => return x86::avx2::<f32>,
        (SimdLevel::Avx2, Dtype::F16) => return x86::avx2::<f16>,
        (SimdLevel::Avx2, Dtype::Bf16) => return x86::avx2::<bf16>,
        (SimdLevel::Avx512 | SimdLevel::Avx512Bf16, Dtype::F32) => return x86::avx512::<f32>,
        (SimdLevel::Avx512 | SimdLevel::Avx512Bf16, Dtype::F16) => return x86::avx512::<f16>,
        (SimdLevel::Avx512, Dtype::Bf16) => return x86::avx512::<bf16>,
        (SimdLevel::Avx512Bf16, Dtype::Bf16) => return x86::avx512_bf16,
        (SimdLevel::Portable, _) => {}
    }
    match dtype {
        Dtype::F32 => run::<Portable, f32>,
        Dtype::F16 => run::<Portable, f16>,
        Dtype::Bf16 => run::<Portable, bf16>,
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use half::bf16;

    use super::{Element, RangeJob, run};
    use crate::attention::kernel::{Widen, avx2::Avx2, avx512::Avx512, bf16_dot::Bf16Dot};

    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) unsafe fn avx2<E: Element>(job: RangeJob<'_>)
    where
        Avx2: Widen<E>,
    {
        // SAFETY: this function is compiled with the instructions of `Avx2`, and called only on
        // machines that have them.
        unsafe { run::<Avx2, E>(job) }
    }

    #[target_feature(enable = "avx512f,avx512dq,avx2,fma,f16c")]
    pub(super) unsafe fn avx512<E: Element>(job: RangeJob<'_>)
    where
        Avx512: Widen<E>,
    {
        // SAFETY: this function is compiled with the instructions of `Avx512`, and called only on
        // machines that have them.
        unsafe { run::<Avx512, E>(job) }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512bf16,avx2,fma,f16c")]
    pub(super) unsafe fn avx512_bf16(job: RangeJob<'_>) {
        // SAFETY: this function is compiled with the instructions of `Bf16Dot`, and called only on
        // machines that have them.
        unsafe { run::<Bf16Dot, bf16>(job) }
    }
}

/// Goes through the blocks of a work item.
///
/// # Safety
/// The machine has the instructions of `S`, and the function is inlined into one that is compiled
/// with it.
#[inline(always)]
unsafe fn run<S: Steps<E>, E: Element>(job: RangeJob<'_>) {
    let mut state = job.layout.start(job.state);
    let queries = Queries { group: job.group, whole: job.whole_q, packed: job.packed_q };
    // SAFETY: the promises of this function's caller.
    unsafe {
        attend::<S, E>(&job.view, job.blocks, job.view.kept().len(), &queries, &mut state);
    }
    state.finish();
}

/// The queries of a work item.
pub(super) struct Queries<'a> {
    /// Query heads.
    pub group: usize,
    /// For whole keys.
    pub whole: &'a [f32],
    /// For the channels that the middle stores.
    pub packed: &'a [f32],
}

/// Attends blocks of elements by position. `kept` channels of the middle are read; with 0 it is not
/// seen.
///
/// # Safety
/// As [`run`].
#[inline(always)]
pub(super) unsafe fn attend<S: Steps<E>, E: Element>(
    view: &HeadView<'_>,
    blocks: Range<usize>,
    kept: usize,
    queries: &Queries<'_>,
    state: &mut State<'_>,
) {
    let (head_dim, group) = (view.head_dim(), queries.group);
    let parts = view.parts();
    let is_packed = kept < head_dim;
    // The window's whole keys are spread over memory: looking up those of a block that has none
    // would miss every cache.
    let look_up = |block: usize| {
        let all_middle =
            parts.middle.start <= block * BLOCK && (block + 1) * BLOCK <= parts.middle.end;
        let whole = if is_packed && all_middle { None } else { view.whole_block::<E>(block) };
        let packed = if is_packed { view.packed_block::<E>(block) } else { None };
        let rows = if kept == 0 && all_middle { None } else { view.value_block::<E>(block) };
        (whole, packed, rows)
    };
    let mut ahead = look_up(blocks.start);
    for block in blocks {
        // Looks up the next block, even beyond this range, so that it is prefetched while this one
        // is computed.
        let now = ahead;
        ahead = look_up(block + 1);

        let (first, end) = (block * BLOCK, ((block + 1) * BLOCK).min(view.len()));
        let columns =
            |from: usize, to: usize| (from.clamp(first, end) - first, to.clamp(first, end) - first);
        let (middle, whole) =
            (columns(parts.middle.start, parts.middle.end), columns(0, view.len()));
        let (has_middle, has_window) = (middle.0 < middle.1, middle.1 - middle.0 < whole.1);

        // Tokens that count: all, or those on either side of a middle that this head dropped.
        let seen = if kept == 0 && has_middle {
            [(0, middle.0), (middle.1, whole.1)]
        } else {
            [whole, (0, 0)]
        };
        if seen.iter().all(|(from, to)| from == to) {
            continue;
        }

        let reads_packed = is_packed && has_middle && kept > 0;
        if !is_packed || has_window {
            let keys = now.0.expect("whole keys are stored outside the middle");
            let next = ahead.0.unwrap_or(keys);
            // SAFETY: the promises of this function's caller.
            unsafe {
                block_scores::<S, E>(keys, head_dim, queries.whole, group, state.scores, next);
            }
        }
        if reads_packed {
            let keys = now.1.expect("packed keys are stored in the middle");
            let next = ahead.1.unwrap_or(keys);
            let to = if has_window { &mut *state.packed_scores } else { &mut *state.scores };
            // SAFETY: the promises of this function's caller.
            unsafe { block_scores::<S, E>(keys, kept, queries.packed, group, to, next) };
        }

        for head in 0..group {
            let scores = &mut state.scores[head * BLOCK..][..BLOCK];
            if reads_packed && has_window {
                scores[middle.0..middle.1]
                    .copy_from_slice(&state.packed_scores[head * BLOCK..][middle.0..middle.1]);
            }
            scores[seen[0].1..seen[1].0.max(seen[0].1)].fill(UNSEEN);
            scores[seen[0].1.max(seen[1].1)..].fill(UNSEEN);
            // SAFETY: the promises of this function's caller.
            unsafe { state.softmax::<S::Registers>(head) };
        }

        let rows = now.2.expect("values are stored where keys are seen");
        let next = ahead.2.unwrap_or(rows);
        for &tokens in seen.iter().filter(|(from, to)| from < to) {
            let weights = (group, &*state.scores, &*state.rescale);
            // SAFETY: the promises of this function's caller; `tokens` are in the block.
            unsafe { block_values::<S, E>(rows, head_dim, tokens, weights, state.sums, next) };
            state.rescale.fill(1.0);
        }
    }
}

/// Scores of all query heads of a group over one block, `[group][64]`.
///
/// # Safety
/// As [`run`].
#[inline(always)]
pub(super) unsafe fn block_scores<S: Steps<E>, E: Element>(
    keys: &[E],
    channels: usize,
    q: &[f32],
    group: usize,
    scores: &mut [f32],
    next: &[E],
) {
    assert!(
        keys.len() >= channels * BLOCK
            && q.len() >= group * channels
            && scores.len() >= group * BLOCK
    );
    let mut next = next.as_ptr();
    for head in (0..group).step_by(HEAD_TILE) {
        let heads = HEAD_TILE.min(group - head);
        // SAFETY: the lengths are checked above: tile `head` has its queries from `head * channels`
        // on.
        unsafe {
            let (q, scores) =
                (q.as_ptr().add(head * channels), scores.as_mut_ptr().add(head * BLOCK));
            for_heads!(heads, S::scores(keys.as_ptr(), channels, q, scores, next));
        }
        next = keys.as_ptr();
    }
}

/// Adds the weighted values of one block to the sums of all query heads of a group.
///
/// # Safety
/// As [`run`].
#[inline(always)]
pub(super) unsafe fn block_values<S: Steps<E>, E: Element>(
    rows: &[E],
    head_dim: usize,
    tokens: (usize, usize),
    (group, weights, rescale): (usize, &[f32], &[f32]),
    sums: &mut [f32],
    next: &[E],
) {
    assert!(tokens.1 <= BLOCK && rows.len() >= BLOCK * head_dim && sums.len() >= group * head_dim);
    assert!(weights.len() >= group * BLOCK && rescale.len() >= group);
    let mut values = Values { rows: rows.as_ptr(), head_dim, next: next.as_ptr() };
    for head in (0..group).step_by(HEAD_TILE) {
        let heads = HEAD_TILE.min(group - head);
        // SAFETY: the lengths are checked above.
        unsafe {
            let (weights, rescale) =
                (weights.as_ptr().add(head * BLOCK), rescale.as_ptr().add(head));
            let sums = sums.as_mut_ptr().add(head * head_dim);
            for_heads!(heads, S::accumulate(&values, tokens, weights, rescale, sums));
        }
        values.next = values.rows;
    }
}
