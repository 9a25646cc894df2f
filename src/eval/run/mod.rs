//! One evaluation: its jobs in a fixed order, their results as JSON lines that an interrupted run
//! goes on from, parts of a run put together, and the rows of a table.

mod header;
mod jobs;
mod merge;
mod record;
mod rows;
mod runner;
mod stream;

pub use header::{Header, MaskHeader, SourceHeader, sha256};
pub use jobs::Shard;
pub use merge::merge;
pub use record::{CONTROL, DENSE, Given, Record};
pub use rows::{Average, Control, Depths, Figures, Row};
pub use runner::{Mask, Plan, Suite, TextPlan, run};
pub use stream::{FORMAT, Results, VERSION, read_results};
