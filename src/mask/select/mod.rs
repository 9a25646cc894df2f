//! Which channels to keep: from importance and a budget to a mask.
//!
//! The rule is LeanK's stage 2 (a global quantile, rounded per head to the alignment, the best
//! channels inside each head) with two repairs: a score of 0 or below never counts towards a head's
//! number, and a head may always keep all its channels.
//!
//! From sensitivity and a byte budget, [`allocate`] makes a plan: bits per channel and bits of every
//! head's V; [`prune`] makes a mask of a sparsity.

mod allocate;
mod budget;
mod exact;
mod limits;
mod options;
mod ranking;
mod selection;

pub use allocate::{
    Allocation, AllocationOptions, AllocationTarget, LockWidths, WidthLock, WidthPlace, allocate,
    prune,
};
pub use options::{ALIGNMENTS, Budget, ByteBudget, Floor, Heads, Lock, LockTo, Options, Target};
pub use selection::{keep_counts, select};

#[cfg(test)]
mod tests;
