//! Decode attention of a batch: work items, threads, merge.

use std::ops::Range;

use rayon::prelude::*;

use super::AttentionScale;
use super::coded_range::{CodedBlocks, arrange_coded_queries};
use super::range::{RangeJob, StateLayout, arrange_queries, kernel_for};
use super::simd_level::SimdLevel;
use crate::cache::{BLOCK, SequenceCache};
use crate::{Error, Result};

/// Key ranges that a sequence is split into when it is long enough, so that one sequence can use
/// many cores.
const RANGES: usize = 8;
/// Fewest blocks of a range: with fewer, another thread costs more than it saves.
const LEAST_BLOCKS: usize = 4;
/// Most blocks of a range, so that very long sequences spread further.
const MOST_BLOCKS: usize = 64;

/// Up to this many blocks one thread finishes (in about 10 microseconds) before a second one has
/// woken up.
const SERIAL_BLOCKS: usize = 16;

/// One sequence's part in a decode step.
pub struct DecodeItem<'a> {
    /// The cache, to which the current token has been appended.
    pub cache: &'a SequenceCache,
    /// Queries after RoPE, `[heads, head_dim]`.
    pub q: &'a [f32],
    /// Receives the attention output, `[heads, head_dim]`; zeros for a head that sees no token.
    pub out: &'a mut [f32],
}

/// Decode attention with its working memory, which is kept from call to call.
#[derive(Debug, Clone)]
pub struct Attention {
    level: SimdLevel,
    queries: Vec<f32>,
    work: Vec<WorkItem>,
    state: Vec<f32>,
}

/// Query heads of one KV head of one sequence over one range of blocks.
#[derive(Debug, Clone)]
struct WorkItem {
    sequence: usize,
    kv_head: usize,
    blocks: Range<usize>,
}

impl Default for Attention {
    fn default() -> Self {
        Self { level: SimdLevel::best(), queries: Vec::new(), work: Vec::new(), state: Vec::new() }
    }
}

impl Attention {
    /// Attention with the best instructions of this machine.
    pub fn new() -> Self {
        Self::default()
    }

    /// Attention with the instructions of `level`; refuses those that the machine lacks.
    pub fn with_level(level: SimdLevel) -> Result<Self> {
        if !level.is_available() {
            return Err(Error::input(format!("this machine has no {level} instructions")));
        }
        Ok(Self { level, ..Self::default() })
    }

    /// The instructions in use.
    pub fn level(&self) -> SimdLevel {
        self.level
    }

    /// Attention of the current token of every sequence over one layer, on the threads of the
    /// current rayon pool.
    ///
    /// Query heads `g * h .. g * (h + 1)` with `g = heads / kv_heads` read KV head `h`; scores are
    /// scaled by `1 / sqrt(head_dim)`. Sequences may differ in length, mask and window. The result
    /// of a sequence is bit for bit the same alone, in any batch and on any number of threads: its
    /// key ranges depend on its length only and are merged in order, by their largest scores in
    /// f32.
    ///
    /// # Panics
    /// When the sequences differ in shape, or `q` and `out` are not `[heads, head_dim]` with a
    /// multiple of `kv_heads` heads.
    pub fn decode(&mut self, layer: usize, items: &mut [DecodeItem<'_>]) {
        let Some(first) = items.first() else { return };
        let shape = first.cache.spec().shape();
        let group = first.q.len() / (shape.kv_heads * shape.head_dim);
        let layout = StateLayout { group, head_dim: shape.head_dim };
        for item in items.iter() {
            assert_eq!(item.cache.spec().shape(), shape, "sequences of one batch have one shape");
            let heads = group * shape.kv_heads * shape.head_dim;
            assert!(
                group > 0 && item.q.len() == heads && item.out.len() == heads,
                "q and out are [heads, head_dim]"
            );
        }
        self.arrange(layer, items, layout);

        let Self { queries, work, state, level } = self;
        let query_len = group * shape.head_dim;
        let attend = |(work, state): (&WorkItem, &mut [f32])| {
            let cache = items[work.sequence].cache;
            let view = cache.head(layer, work.kv_head);
            let queries = &queries
                [(work.sequence * shape.kv_heads + work.kv_head) * 2 * query_len..]
                [..2 * query_len];
            let (whole_q, packed_q) = queries.split_at(query_len);
            let kernel = kernel_for(*level, cache.spec().dtype(), view.layout().is_some());
            // SAFETY: `level` was found to be available when this `Attention` was made.
            unsafe {
                kernel(RangeJob {
                    view,
                    blocks: work.blocks.clone(),
                    group,
                    whole_q,
                    packed_q,
                    state,
                })
            }
        };
        let blocks: usize = work.iter().map(|work| work.blocks.len()).sum();
        if rayon::current_num_threads() == 1 || blocks <= SERIAL_BLOCKS {
            work.iter().zip(state.chunks_exact_mut(layout.len())).for_each(attend);
        } else {
            work.par_iter()
                .zip(state.par_chunks_exact_mut(layout.len()))
                .with_max_len(1)
                .for_each(attend);
        }
        self.merge(items, layout);
    }

    /// Lists the work items and lays out their queries.
    fn arrange(
        &mut self,
        layer: usize,
        items: &[DecodeItem<'_>],
        StateLayout { group, head_dim }: StateLayout,
    ) {
        let scale = AttentionScale::of(head_dim).base_two();
        let query_len = group * head_dim;
        let kv_heads = items[0].cache.spec().shape().kv_heads;
        self.work.clear();
        self.queries.resize(items.len() * kv_heads * 2 * query_len, 0.0);
        let mut queries = self.queries.chunks_exact_mut(2 * query_len);
        for (sequence, item) in items.iter().enumerate() {
            for kv_head in 0..kv_heads {
                let view = item.cache.head(layer, kv_head);
                let q = &item.q[kv_head * query_len..][..query_len];
                let (whole, packed) = queries.next().expect("sized above").split_at_mut(query_len);
                let kind = (self.level, view.dtype());
                arrange_queries(kind, q, head_dim, 0..head_dim, scale, whole);
                let blocks = match view.layout() {
                    None => {
                        let kept = view.kept().iter().copied();
                        arrange_queries(kind, q, head_dim, kept, scale, packed);
                        let first = item.cache.spec().sight().seen(layer, view.len()).start;
                        first / BLOCK..view.len().div_ceil(BLOCK)
                    }
                    Some(layout) => {
                        arrange_coded_queries(layout, q, scale, packed);
                        0..CodedBlocks::of(&view).count()
                    }
                };
                self.work.extend(ranges(blocks).map(|blocks| WorkItem {
                    sequence,
                    kv_head,
                    blocks,
                }));
            }
        }
        self.state.resize(self.work.len() * StateLayout { group, head_dim }.len(), 0.0);
    }

    /// Merges the ranges of each head, relative to the largest score of all of them.
    fn merge(&self, items: &mut [DecodeItem<'_>], layout: StateLayout) {
        let StateLayout { group, head_dim } = layout;
        let mut parts = self.work.iter().zip(self.state.chunks_exact(layout.len())).peekable();
        for (sequence, item) in items.iter_mut().enumerate() {
            for (kv_head, out) in item.out.chunks_mut(group * head_dim).enumerate() {
                let start = parts.clone();
                let mut ranges = 0;
                while parts
                    .next_if(|(work, _)| (work.sequence, work.kv_head) == (sequence, kv_head))
                    .is_some()
                {
                    ranges += 1;
                }
                let parts = || start.clone().take(ranges).map(|(_, state)| layout.result(state));
                for (head, out) in out.chunks_mut(head_dim).enumerate() {
                    merge_head(head, parts(), out);
                }
            }
        }
    }
}

/// `out = sum_r 2^(m_r - m) s_r / sum_r 2^(m_r - m) t_r` over the ranges `r` of one query head,
/// with `m` the largest `m_r`.
fn merge_head<'a>(
    head: usize,
    parts: impl Iterator<Item = [&'a [f32]; 3]> + Clone,
    out: &mut [f32],
) {
    let largest =
        parts.clone().map(|[largest, ..]| largest[head]).fold(f32::NEG_INFINITY, f32::max);
    let mut sum_of_weights = 0.0;
    let first_channel = head * out.len();
    out.fill(0.0);
    for [part_largest, total, sums] in
        parts.filter(|[part_largest, ..]| part_largest[head] > f32::NEG_INFINITY)
    {
        let weight = (part_largest[head] - largest).exp2();
        sum_of_weights += weight * total[head];
        for (out, sum) in out.iter_mut().zip(&sums[first_channel..]) {
            *out += weight * sum;
        }
    }
    if sum_of_weights > 0.0 {
        out.iter_mut().for_each(|out| *out /= sum_of_weights);
    }
}

/// The key ranges of a head's blocks; they depend on the blocks alone.
fn ranges(blocks: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let size = blocks.len().div_ceil(RANGES).clamp(LEAST_BLOCKS, MOST_BLOCKS);
    let end = blocks.end;
    blocks.step_by(size).map(move |start| start..(start + size).min(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_every_block_once_and_are_even() {
        for len in (1usize..400).chain([4096 + 145, 8192, 32768, 139_264, 1 << 20]) {
            let ranges: Vec<_> = ranges(0..len.div_ceil(BLOCK)).collect();
            assert_eq!(ranges[0].start, 0);
            assert_eq!(ranges.last().unwrap().end, len.div_ceil(BLOCK));
            assert!(
                ranges
                    .windows(2)
                    .all(|pair| pair[0].end == pair[1].start && pair[0].len() >= pair[1].len())
            );
            assert!(ranges[0].len() <= MOST_BLOCKS);
            if len >= 2048 {
                assert!(ranges.len() >= RANGES - 1, "{len} tokens give {} ranges", ranges.len());
            }
        }
    }

    #[test]
    fn any_split_merges_to_the_same() {
        // Scores and values of 60 tokens, two channels.
        let token = |t: usize| ((t * 37 % 60) as f32 / 7.0, [(t * 13 % 29) as f32 - 14.0, 1.0]);
        let part = |tokens: Range<usize>| -> Vec<f32> {
            let largest = tokens.clone().map(|t| token(t).0).fold(f32::NEG_INFINITY, f32::max);
            let weights = tokens.map(|t| ((token(t).0 - largest).exp2(), token(t).1));
            let sums =
                |c: usize| weights.clone().map(|(weight, value)| weight * value[c]).sum::<f32>();
            vec![largest, weights.clone().map(|(weight, _)| weight).sum(), sums(0), sums(1)]
        };
        let merged = |bounds: &[usize]| {
            let parts: Vec<Vec<f32>> =
                bounds.windows(2).map(|pair| part(pair[0]..pair[1])).collect();
            let mut out = [0.0; 2];
            merge_head(0, parts.iter().map(|part| [&part[..1], &part[1..2], &part[2..]]), &mut out);
            out
        };
        let whole = merged(&[0, 60]);
        for split in
            [vec![0, 1, 60], vec![0, 30, 60], vec![0, 7, 7, 20, 59, 60], (0..=60).collect()]
        {
            let split = merged(&split);
            assert!(
                (split[0] - whole[0]).abs() < 1e-5 && (split[1] - 1.0).abs() < 1e-6,
                "{split:?} is not {whole:?}"
            );
        }
    }
}
