//! The selection itself: from importance and options to a mask.

use super::budget;
use super::limits::Limits;
use super::options::{Options, Target, check_align};
use super::ranking::Ranking;
use crate::Result;
use crate::mask::{ChannelMask, Importance};

/// Chooses the channels to keep. Ties are broken by layer, KV head and channel, the lower first.
///
/// # Errors
/// A sparsity outside 0..=1, an alignment that is not one of [`ALIGNMENTS`](super::ALIGNMENTS), floors or locks
/// outside the shape, a budget that floors and locks alone exceed, a byte budget that even the
/// emptiest mask exceeds.
pub fn select(importance: &Importance, options: &Options) -> Result<ChannelMask> {
    let shape = importance.shape();
    check_align(shape, options.align, options.pair_closed)?;
    let ranking = Ranking::new(importance, options.pair_closed);
    let limits = Limits::resolve(shape, options, ranking.unit())?;
    let counts = match &options.target {
        Target::Sparsity(sparsity) => budget::at_sparsity(&ranking, &limits, options, *sparsity)?,
        Target::Bytes(budget) => budget::within_bytes(&ranking, &limits, options, budget)?,
    };
    Ok(ranking.mask(&counts, &limits))
}

/// The best channels of each head at given counts, `[layers, kv_heads]`, whatever their scores, so
/// that rules are compared fairly. A count above head_dim keeps the whole head.
pub fn keep_counts(importance: &Importance, counts: &[usize]) -> ChannelMask {
    let ranking = Ranking::new(importance, false);
    ranking.mask(counts, &Limits::none(importance.shape()))
}
