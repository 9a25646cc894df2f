//! Which channels to keep: from importance and a budget to a mask.
//!
//! The rule is LeanK's stage 2 (a global quantile, rounded per head to the alignment, the best
//! channels inside each head) with two repairs: a score of 0 or below never counts towards a head's
//! number, and a head may always keep all its channels.

mod budget;
mod exact;
mod limits;
mod ranking;

pub use budget::{Budget, ByteBudget, Target};
pub use limits::{Floor, Heads, Lock, LockTo};

use super::{ChannelMask, Importance, bytes};
use crate::{Error, Result};
use limits::Limits;
use ranking::Ranking;

/// The alignments that exist: powers of two up to 32.
pub const ALIGNMENTS: [usize; 6] = [1, 2, 4, 8, 16, 32];

/// How [`select`] chooses.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// How much to keep.
    pub target: Target,
    /// Kept channels per head are a multiple of this, or all of them. One of [`ALIGNMENTS`].
    pub align: usize,
    /// How the budget is spread over heads.
    pub budget: Budget,
    /// Keep and prune both channels of a rotation pair together; a pair's score is the mean of its
    /// two.
    pub pair_closed: bool,
    /// Heads that keep at least some number of channels.
    pub floors: Vec<Floor>,
    /// Heads that the budget does not touch.
    pub locks: Vec<Lock>,
}

impl Options {
    /// The authors' rule, repaired, at a sparsity; no pairs, floors or locks.
    pub fn new(sparsity: f64, align: usize) -> Self {
        Self {
            target: Target::Sparsity(sparsity),
            align,
            budget: Budget::Global,
            pair_closed: false,
            floors: Vec::new(),
            locks: Vec::new(),
        }
    }
}

/// Chooses the channels to keep. Ties are broken by layer, KV head and channel, the lower first.
///
/// # Errors
/// A sparsity outside 0..=1, an alignment that is not one of [`ALIGNMENTS`], floors or locks
/// outside the shape, a budget that floors and locks alone exceed, a byte budget that even the
/// emptiest mask exceeds.
pub fn select(importance: &Importance, options: &Options) -> Result<ChannelMask> {
    let shape = importance.shape();
    if !ALIGNMENTS.contains(&options.align) {
        return Err(Error::input(format!(
            "alignment {}: expected one of 1, 2, 4, 8, 16, 32",
            options.align
        )));
    }
    if options.pair_closed && !shape.head_dim.is_multiple_of(2) {
        return Err(Error::input(format!(
            "head_dim {} is odd: expected an even number to keep pairs together",
            shape.head_dim
        )));
    }
    let ranking = Ranking::new(importance, options.pair_closed);
    let limits = Limits::resolve(shape, options, ranking.unit())?;
    let counts = match &options.target {
        Target::Sparsity(sparsity) => budget::at_sparsity(&ranking, &limits, options, *sparsity)?,
        Target::Bytes(budget) => budget::within_bytes(&ranking, &limits, options, budget)?,
    };
    Ok(ranking.mask(&counts, &limits))
}

/// The best channels of each head at given counts, `[layers, kv_heads]`, whatever their scores: how
/// rules are compared fairly. A count above head_dim keeps the whole head.
pub fn keep_counts(importance: &Importance, counts: &[usize]) -> ChannelMask {
    let ranking = Ranking::new(importance, false);
    ranking.mask(counts, &Limits::none(importance.shape()))
}

/// `n` rounded to the nearest multiple of the alignment, halves upwards; at most all channels, and
/// all of them where `n` is all.
fn round(n: usize, align: usize, all: usize) -> usize {
    if n == all { all } else { ((n + align / 2) / align * align).min(all) }
}

#[cfg(test)]
mod tests;
