//! One work item: the query heads of one KV head over one range of key blocks.

use std::ops::Range;

use half::{bf16, f16};

use super::coded_range;
use super::kernel::{
    self, HEAD_TILE, MOST_LANES, Simd, Steps, UNSEEN, Values, for_heads, portable::Portable,
};
use super::simd_level::SimdLevel;
use crate::cache::{BLOCK, HeadView};
use crate::element::{Dtype, Element};

/// What a work item reads, and where it writes its part of the result.
pub(super) struct RangeJob<'a> {
    pub view: HeadView<'a>,
    pub blocks: Range<usize>,
    /// Query heads of the KV head.
    pub group: usize,
    /// Scaled queries for whole keys; see [`arrange_queries`].
    pub whole_q: &'a [f32],
    /// Scaled queries for the kept channels only.
    pub packed_q: &'a [f32],
    /// Memory of this item only.
    pub state: &'a mut [f32],
}

/// How a work item's memory is divided: per query head the largest base-2 score, the sum of weights
/// relative to it and the weighted sum of values; then scratch.
#[derive(Debug, Clone, Copy)]
pub(super) struct StateLayout {
    pub group: usize,
    pub head_dim: usize,
}

impl StateLayout {
    /// Numbers per work item, padded so that two items never share a cache line.
    pub fn len(self) -> usize {
        (self.group * (3 + self.head_dim + MOST_LANES + 2 * BLOCK)).next_multiple_of(32)
    }

    /// `[largest, total, sums]` of a finished item: `[group]`, `[group]`, `[group, head_dim]`.
    pub fn result(self, state: &[f32]) -> [&[f32]; 3] {
        let (largest, rest) = state.split_at(self.group);
        let (total, rest) = rest.split_at(self.group);
        [largest, total, &rest[..self.group * self.head_dim]]
    }

    /// `[largest, total, sums, rescale, totals by lane, scores, scores of packed keys]`.
    pub(super) fn split(self, state: &mut [f32]) -> [&mut [f32]; 7] {
        let (largest, rest) = state.split_at_mut(self.group);
        let (total, rest) = rest.split_at_mut(self.group);
        let (sums, rest) = rest.split_at_mut(self.group * self.head_dim);
        let (rescale, rest) = rest.split_at_mut(self.group);
        let (lanes, rest) = rest.split_at_mut(self.group * MOST_LANES);
        let (scores, rest) = rest.split_at_mut(self.group * BLOCK);
        [largest, total, sums, rescale, lanes, scores, &mut rest[..self.group * BLOCK]]
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
pub(super) fn kernel_for(level: SimdLevel, dtype: Dtype, coded: bool) -> RangeKernel {
    if coded {
        return coded_kernel_for(level, dtype);
    }
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

/// The kernel of a level and an element type for heads with a coded middle.
#[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables, reason = "there is one level"))]
fn coded_kernel_for(level: SimdLevel, dtype: Dtype) -> RangeKernel {
    #[cfg(target_arch = "x86_64")]
    match (level, dtype) {
        (SimdLevel::Avx2, Dtype::F32) => return x86::coded_avx2::<f32>,
        (SimdLevel::Avx2, Dtype::F16) => return x86::coded_avx2::<f16>,
        (SimdLevel::Avx2, Dtype::Bf16) => return x86::coded_avx2::<bf16>,
        (SimdLevel::Avx512 | SimdLevel::Avx512Bf16, _) => {
            return x86::coded_avx512((level, dtype), SimdLevel::has_vnni());
        }
        (SimdLevel::Portable, _) => {}
    }
    match dtype {
        Dtype::F32 => coded_range::run::<Portable, Portable, f32>,
        Dtype::F16 => coded_range::run::<Portable, Portable, f16>,
        Dtype::Bf16 => coded_range::run::<Portable, Portable, bf16>,
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use half::{bf16, f16};

    use super::{Dtype, Element, RangeJob, RangeKernel, SimdLevel, coded_range, run};
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

    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) unsafe fn coded_avx2<E: Element>(job: RangeJob<'_>)
    where
        Avx2: Widen<E>,
    {
        // SAFETY: as `avx2`.
        unsafe { coded_range::run::<Avx2, Avx2, E>(job) }
    }

    /// The kernel for heads with a coded middle: codes are read with VNNI, or else with AVX2.
    pub(super) fn coded_avx512(kind: (SimdLevel, Dtype), has_vnni: bool) -> RangeKernel {
        match (kind, has_vnni) {
            ((SimdLevel::Avx512Bf16, Dtype::Bf16), true) => bf16_vnni,
            ((SimdLevel::Avx512Bf16, Dtype::Bf16), false) => bf16_avx2,
            ((_, Dtype::F32), true) => vnni::<f32>,
            ((_, Dtype::F16), true) => vnni::<f16>,
            ((_, Dtype::Bf16), true) => vnni::<bf16>,
            ((_, Dtype::F32), false) => without_vnni::<f32>,
            ((_, Dtype::F16), false) => without_vnni::<f16>,
            ((_, Dtype::Bf16), false) => without_vnni::<bf16>,
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    unsafe fn vnni<E: Element>(job: RangeJob<'_>)
    where
        Avx512: Widen<E>,
    {
        // SAFETY: as `avx512`; those of its codes are in `SimdLevel::has_vnni`.
        unsafe { coded_range::run::<Avx512, Avx512, E>(job) }
    }

    #[target_feature(enable = "avx512f,avx512dq,avx2,fma,f16c")]
    unsafe fn without_vnni<E: Element>(job: RangeJob<'_>)
    where
        Avx512: Widen<E>,
        Avx2: Widen<E>,
    {
        // SAFETY: as `avx512`.
        unsafe { coded_range::run::<Avx512, Avx2, E>(job) }
    }

    #[target_feature(
        enable = "avx512f,avx512bw,avx512dq,avx512bf16,avx512vl,avx512vnni,avx2,fma,f16c"
    )]
    unsafe fn bf16_vnni(job: RangeJob<'_>) {
        // SAFETY: as `avx512_bf16` and `vnni`.
        unsafe { coded_range::run::<Bf16Dot, Avx512, bf16>(job) }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512bf16,avx2,fma,f16c")]
    unsafe fn bf16_avx2(job: RangeJob<'_>) {
        // SAFETY: as `avx512_bf16`.
        unsafe { coded_range::run::<Bf16Dot, Avx2, bf16>(job) }
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
    let RangeJob { view, blocks, group, whole_q, packed_q, state } = job;
    let (head_dim, kept) = (view.head_dim(), view.kept().len());
    let [largest, total, sums, rescale, lanes, scores, packed_scores] =
        StateLayout { group, head_dim }.split(state);
    largest.fill(f32::NEG_INFINITY);
    lanes.fill(0.0);
    sums.fill(0.0);

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
    // The first token that the layer's window leaves.
    let first_seen = if parts.sink.is_empty() { parts.middle.start } else { parts.sink.start };
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
            (columns(parts.middle.start, parts.middle.end), columns(first_seen, view.len()));
        let (has_middle, has_window) =
            (middle.0 < middle.1, middle.1 - middle.0 < whole.1 - whole.0);

        // Tokens that count: all, or those on either side of a middle that this head dropped.
        let seen = if kept == 0 && has_middle {
            [(whole.0, middle.0), (middle.1, whole.1)]
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
            unsafe { block_scores::<S, E>(keys, head_dim, whole_q, group, scores, next) };
        }
        if reads_packed {
            let keys = now.1.expect("packed keys are stored in the middle");
            let next = ahead.1.unwrap_or(keys);
            let to = if has_window { &mut *packed_scores } else { &mut *scores };
            // SAFETY: the promises of this function's caller.
            unsafe { block_scores::<S, E>(keys, kept, packed_q, group, to, next) };
        }

        for head in 0..group {
            let scores = &mut scores[head * BLOCK..][..BLOCK];
            if reads_packed && has_window {
                scores[middle.0..middle.1]
                    .copy_from_slice(&packed_scores[head * BLOCK..][middle.0..middle.1]);
            }
        }
        soften(view.score_cap(), scores);
        // SAFETY: the promises of this function's caller.
        unsafe { weigh::<S::Registers>(group, seen, largest, lanes, scores, rescale) };

        let rows = now.2.expect("values are stored where keys are seen");
        let next = ahead.2.unwrap_or(rows);
        for &tokens in seen.iter().filter(|(from, to)| from < to) {
            // SAFETY: the promises of this function's caller; `tokens` are in the block.
            unsafe {
                block_values::<S, E>(rows, head_dim, tokens, (group, scores, rescale), sums, next)
            };
            rescale.fill(1.0);
        }
    }
    finish(total, lanes);
}

/// Caps scores, which are times log2(e), in models that do so: `cap tanh(score / cap)`.
#[inline(always)]
pub(super) fn soften(cap: Option<f32>, scores: &mut [f32]) {
    if let Some(cap) = cap {
        let cap = cap * std::f32::consts::LOG2_E;
        scores.iter_mut().for_each(|score| *score = cap * (*score / cap).tanh());
    }
}

/// Turns the scores of one block, `[group][64]`, into weights; tokens outside `seen` get none.
///
/// # Safety
/// The machine has the instructions of `R`, and the function is inlined into one that is compiled
/// with them.
#[inline(always)]
pub(super) unsafe fn weigh<R: Simd>(
    group: usize,
    seen: [(usize, usize); 2],
    largest: &mut [f32],
    lanes: &mut [f32],
    scores: &mut [f32],
    rescale: &mut [f32],
) {
    let between = seen[0].1..seen[1].0.max(seen[0].1);
    let after = seen[0].1.max(seen[1].1);
    for head in 0..group {
        let scores = &mut scores[head * BLOCK..][..BLOCK];
        scores[..seen[0].0].fill(UNSEEN);
        scores[between.clone()].fill(UNSEEN);
        scores[after..].fill(UNSEEN);
        let lanes = lanes[head * MOST_LANES..][..MOST_LANES].as_mut_ptr();
        // SAFETY: 64 scores and space for a register; the caller promises the instruction set.
        rescale[head] =
            unsafe { kernel::softmax::<R>(scores.as_mut_ptr(), &mut largest[head], lanes) };
    }
}

/// Sums the weights of each query head, which the lanes of a register have summed apart.
pub(super) fn finish(total: &mut [f32], lanes: &[f32]) {
    for (total, lanes) in total.iter_mut().zip(lanes.chunks(MOST_LANES)) {
        *total = lanes.iter().sum();
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
