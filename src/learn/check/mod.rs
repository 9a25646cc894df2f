//! The held-out check: fresh prompts and texts through the real pruned decode, for the learned mask
//! and the training-free rules.

mod contenders;
mod decode;
mod plan;
mod verdict;

pub use contenders::{Contender, Counts, contenders, dense_and_learned};
pub use decode::{CheckPlan, CheckRow, TextLoss, run};
pub use plan::{Extent, plan};
pub use verdict::{McNemar, Thresholds, Verdict};
