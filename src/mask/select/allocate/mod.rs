//! Which widths to store: from sensitivity and a byte budget to a plan.
//!
//! At a price per byte every head has a best choice of its own: each run of channels the width with
//! the least damage plus price, V likewise, and the head is dropped where that is cheaper. The price
//! is the lowest at which all choices together fit the budget. What they leave is spent step by
//! step, and channels of one head change places where that lowers the damage.

mod allocation;
mod head;
mod options;
mod problem;
mod pruning;
mod runs;
mod spend;

pub use allocation::{Allocation, allocate};
pub use options::{AllocationOptions, AllocationTarget, LockWidths, WidthLock, WidthPlace};
pub use pruning::prune;

#[cfg(test)]
mod tests;
