//! The steps over a coded block for all query heads of a KV head.

use super::CodeLanes;
use super::steps::{CodedBlock, accumulate, scores};
use crate::attention::kernel::{HEAD_TILE, Widen};
use crate::cache::BLOCK;
use crate::cache::coded::BlockLayout;
use crate::element::Element;

/// Writes the queries `q`, `[group, head_dim]`, of the stored channels, multiplied by `scale`, in
/// the order [`block_scores`] reads them: tiles of up to [`HEAD_TILE`] heads, in each the channels
/// of 16 bits as `[channel][head]`, then the coded ones as `[head][channel]`.
pub fn arrange_queries(layout: &BlockLayout, q: &[f32], scale: f32, to: &mut [f32]) {
    let (head_dim, channels) = (layout.head_dim(), layout.channels());
    let (full, coded) = channels.split_at(layout.full_channels());
    let tiles = q.chunks(HEAD_TILE * head_dim);
    for (tile, to) in tiles.zip(to.chunks_mut(HEAD_TILE * channels.len().max(1))) {
        let heads = || tile.chunks_exact(head_dim);
        let by_channel = full.iter().flat_map(|&channel| heads().map(move |q| q[channel]));
        let by_head = heads().flat_map(|q| coded.iter().map(|&channel| q[channel]));
        for (to, q) in to.iter_mut().zip(by_channel.chain(by_head)) {
            *to = q * scale;
        }
    }
}

fn check(layout: &BlockLayout, block: &[u8]) {
    assert!(
        block.len() >= layout.bytes() && block.as_ptr().cast::<f32>().is_aligned(),
        "a block has the bytes of its layout, aligned"
    );
}

/// Scores of all query heads of a group over one block, `[group][64]`; `q` as [`arrange_queries`]
/// writes it. `next` is prefetched.
///
/// # Safety
/// The machine has the instructions of `S`, and the function is inlined into one that is compiled
/// with them.
#[inline(always)]
pub unsafe fn block_scores<S: CodeLanes + Widen<E>, E: Element>(
    layout: &BlockLayout,
    block: &[u8],
    q: &[f32],
    group: usize,
    to: &mut [f32],
    next: &[u8],
) {
    let channels = layout.channels().len();
    check(layout, block);
    assert!(q.len() >= group * channels && to.len() >= group * BLOCK);
    let mut block = CodedBlock { layout, bytes: block.as_ptr(), next: next.as_ptr() };
    for head in (0..group).step_by(HEAD_TILE) {
        // SAFETY: the lengths are checked above: tile `head` has its queries from `head * channels`
        // on.
        unsafe {
            let (q, to) = (q.as_ptr().add(head * channels), to.as_mut_ptr().add(head * BLOCK));
            match HEAD_TILE.min(group - head) {
                1 => scores::<S, E, 1>(&block, q, to),
                2 => scores::<S, E, 2>(&block, q, to),
                3 => scores::<S, E, 3>(&block, q, to),
                _ => scores::<S, E, 4>(&block, q, to),
            }
        }
        block.next = block.bytes;
    }
}

/// Adds the weighted values of these tokens of one block to the sums of all query heads of a group,
/// after multiplying the sums by `rescale`. CodeWeights of the other tokens are 0. `next` is
/// prefetched.
///
/// # Safety
/// As [`block_scores`].
#[inline(always)]
pub unsafe fn block_values<S: CodeLanes + Widen<E>, E: Element>(
    layout: &BlockLayout,
    block: &[u8],
    tokens: (usize, usize),
    (group, weights, rescale): (usize, &[f32], &[f32]),
    sums: &mut [f32],
    next: &[u8],
) {
    let head_dim = layout.head_dim();
    check(layout, block);
    assert!(tokens.0 <= tokens.1 && tokens.1 <= BLOCK && sums.len() >= group * head_dim);
    assert!(weights.len() >= group * BLOCK && rescale.len() >= group);
    let mut block = CodedBlock { layout, bytes: block.as_ptr(), next: next.as_ptr() };
    for head in (0..group).step_by(HEAD_TILE) {
        // SAFETY: the lengths are checked above.
        unsafe {
            let (weights, rescale) =
                (weights.as_ptr().add(head * BLOCK), rescale.as_ptr().add(head));
            let sums = sums.as_mut_ptr().add(head * head_dim);
            match HEAD_TILE.min(group - head) {
                1 => accumulate::<S, E, 1>(&block, tokens, weights, rescale, sums),
                2 => accumulate::<S, E, 2>(&block, tokens, weights, rescale, sums),
                3 => accumulate::<S, E, 3>(&block, tokens, weights, rescale, sums),
                _ => accumulate::<S, E, 4>(&block, tokens, weights, rescale, sums),
            }
        }
        block.next = block.bytes;
    }
}
