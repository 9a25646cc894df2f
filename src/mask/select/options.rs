//! What a caller says about a selection: how much to keep, how it is spread, and what is fixed.

use std::sync::Arc;

use crate::mask::{ChannelMask, Shape, Window};
use crate::{Error, Result};

/// The supported alignments: powers of two up to 32.
pub const ALIGNMENTS: [usize; 6] = [1, 2, 4, 8, 16, 32];

/// Refuses an alignment that is not one of [`ALIGNMENTS`], and pairs where a channel has no partner.
pub(super) fn check_align(shape: Shape, align: usize, pair_closed: bool) -> Result<()> {
    if !ALIGNMENTS.contains(&align) {
        return Err(Error::input(format!("alignment {align}: expected one of 1, 2, 4, 8, 16, 32")));
    }
    if pair_closed && !shape.head_dim.is_multiple_of(2) {
        return Err(Error::input(format!(
            "head_dim {} is odd: expected an even number to keep pairs together",
            shape.head_dim
        )));
    }
    Ok(())
}

/// How [`select`](super::select) chooses.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// How much to keep.
    pub target: Target,
    /// Kept channels per head are a multiple of this, or all of them. One of [`ALIGNMENTS`].
    pub align: usize,
    /// How the budget is spread over heads.
    pub budget: Budget,
    /// Keep or prune both channels of a rotation pair together; the pair's score is their mean.
    pub pair_closed: bool,
    /// Heads that keep at least some number of channels.
    pub floors: Vec<Floor>,
    /// Heads that the budget does not touch.
    pub locks: Vec<Lock>,
}

impl Options {
    /// The LeanK authors' rule, repaired, at a sparsity; no pairs, floors or locks.
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

/// How much a selection keeps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// Share of channels to prune, 0..=1.
    Sparsity(f64),
    /// The largest size of the cache.
    Bytes(ByteBudget),
}

/// The largest size of the pruned K/V cache of one sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteBudget {
    /// Bytes of keys and values, window included.
    pub bytes: u64,
    /// Context in tokens.
    pub tokens: usize,
    /// Sizes of the parts that are never pruned.
    pub window: Window,
    /// Bytes of one cached element.
    pub element_size: usize,
}

/// How a budget is spread over heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    /// One quantile over all scores, each head's number rounded to the alignment; the total may
    /// drift from the target.
    Global,
    /// [`Self::Global`] without repairs: scores equal to the quantile count even where they are 0,
    /// and a full head is rounded like any other.
    UpstreamTies,
    /// The largest aligned total that does not exceed the target, given to the blocks of channels
    /// with the most importance.
    Exact,
}

/// Some heads of a mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heads {
    /// Every head.
    All,
    /// Every head of one layer.
    Layer(usize),
    /// One KV head of one layer.
    Head(usize, usize),
}

/// Heads that keep at least `channels` each; rounded up to the alignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Floor {
    /// Which heads.
    pub heads: Heads,
    /// Channels per head.
    pub channels: usize,
}

impl Floor {
    /// Channels per head, rounded up to a multiple of `step` or to head_dim; refuses more than
    /// head_dim.
    pub(super) fn rounded(&self, shape: Shape, step: usize) -> Result<usize> {
        if self.channels > shape.head_dim {
            return Err(Error::input(format!(
                "floor of {} channels: expected at most head_dim, {}",
                self.channels, shape.head_dim
            )));
        }
        Ok(self.channels.next_multiple_of(step).min(shape.head_dim))
    }
}

/// Heads that the budget does not touch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// Which heads.
    pub heads: Heads,
    /// What these heads keep.
    pub to: LockTo,
}

/// What a locked head keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockTo {
    /// Its best channels, this many: a multiple of the alignment or head_dim.
    Count(usize),
    /// The channels that this mask keeps; shared, because the user may lock many heads one by one.
    Mask(Arc<ChannelMask>),
}
