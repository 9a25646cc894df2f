//! What a caller says about an allocation: the bytes, the widths, and what is fixed.

use std::sync::Arc;

use crate::mask::select::{ByteBudget, Floor, Heads};
use crate::mask::{CachePlan, Coding, Width};

/// How [`allocate`](super::allocate) chooses.
#[derive(Debug, Clone, PartialEq)]
pub struct AllocationOptions {
    /// The most bytes.
    pub target: AllocationTarget,
    /// Tokens that leave the recent window at once: they decide how many share a scale.
    pub chunk: usize,
    /// How codes share scales.
    pub coding: Coding,
    /// Widths that K channels may have.
    pub k_widths: Vec<Width>,
    /// Widths that a head's V may have; 0 bits mean that the head may be dropped.
    pub v_widths: Vec<Width>,
    /// Channels of one width in a head come in multiples of this. One of
    /// [`ALIGNMENTS`](crate::mask::select::ALIGNMENTS).
    pub align: usize,
    /// Both channels of a rotation pair have the same width.
    pub pair_closed: bool,
    /// Heads that store at least some number of channels; rounded up to the alignment.
    pub floors: Vec<Floor>,
    /// Channels and heads that the budget does not touch. A later one replaces an earlier one, and
    /// all of them win over floors and over the widths that are allowed.
    pub locks: Vec<WidthLock>,
}

impl AllocationOptions {
    /// Every width for K and V, runs of 8 channels, kscope's coding for heads of this size, chunks
    /// of 64 tokens; no pairs, floors or locks.
    pub fn new(target: AllocationTarget, head_dim: usize) -> Self {
        Self {
            target,
            chunk: 64,
            coding: Coding::best(head_dim),
            k_widths: Width::ALL.to_vec(),
            v_widths: Width::ALL.to_vec(),
            align: 8,
            pair_closed: false,
            floors: Vec::new(),
            locks: Vec::new(),
        }
    }

    /// The same for a mask: 0 or 16 bits.
    pub fn of_mask(target: AllocationTarget, head_dim: usize) -> Self {
        let widths = vec![Width::Zero, Width::Sixteen];
        Self { k_widths: widths.clone(), v_widths: widths, ..Self::new(target, head_dim) }
    }
}

/// The most bytes of a plan.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AllocationTarget {
    /// Share of the middle of a dense f16 cache in a long context, as
    /// [`CachePlan::bytes_share`] counts it.
    Share(f64),
    /// Bytes of the whole cache of one sequence. The window's chunk is the allocation's chunk.
    Bytes(ByteBudget),
}

/// Widths that are fixed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WidthLock {
    /// Where.
    pub place: WidthPlace,
    /// To what.
    pub to: LockWidths,
}

/// Where a lock holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WidthPlace {
    /// All K channels and V of some heads.
    Heads(Heads),
    /// One K channel: layer, KV head, channel.
    Channel(usize, usize, usize),
}

/// The widths of a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockWidths {
    /// These, where given. Of one channel, `v` means nothing.
    Widths {
        /// Of the K channels.
        k: Option<Width>,
        /// Of V.
        v: Option<Width>,
    },
    /// Those of this plan.
    Plan(Arc<CachePlan>),
}
