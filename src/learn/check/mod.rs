//! The held-out check: fresh prompts and texts through the real pruned decode, for the learned mask
//! and the training-free rules.

mod contenders;
mod decode;
mod plan;
mod verdict;

pub use contenders::{Contender, Counts, contenders, dense_and_learned};
pub use decode::{COMPLETE, CheckPlan, CheckRow, Losses, TextLoss, measure, run};
pub use plan::{Extent, plan, recall_prompts, spread_windows};
pub use verdict::{McNemar, Thresholds, Verdict};
