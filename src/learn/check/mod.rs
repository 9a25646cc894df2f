//! The held-out check: fresh prompts and texts through the real pruned decode, for the learned mask,
//! the training-free rules and plain quantised caches.

mod contenders;
mod decode;
mod mcnemar;
mod plain;
mod plan;
mod verdict;

pub use contenders::{Contender, Counts, Known, contenders, dense_and_learned};
pub use decode::{COMPLETE, CheckPlan, CheckRow, Losses, TextLoss, measure, run};
pub use mcnemar::McNemar;
pub use plain::{Cost, PLAIN, PlainCache, plain_caches};
pub use plan::{Extent, answer_steps, plan, recall_prompts, spread_windows, text_windows};
pub use verdict::{Answers, Evidence, Thresholds, Verdict};
