//! One evaluation: its jobs in a fixed order, their results as JSON lines that an interrupted run
//! goes on from, parts of a run put together, and the rows of a table.

// What others wrote must not be able to end the program.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

mod header;
mod jobs;
mod join;
mod merge;
mod record;
mod rows;
mod runner;
mod stability;
mod stream;

pub use header::{MaskHeader, RunHeader, SourceHeader, plan_fingerprint, sha256};
pub use jobs::Shard;
pub use join::join;
pub use merge::merge;
pub use record::{CONTROL, DENSE, GivenAnswer, Record};
pub use rows::{Average, ControlFigures, Depths, Figures, Row};
pub use runner::{EvalPlan, Mask, Newest, Suite, TextPlan, run};
pub use stream::{FORMAT, RESULTS, Results, VERSION, read_results};
