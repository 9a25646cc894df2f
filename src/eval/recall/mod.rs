//! Recall tasks: RULER's needles, variables, common and coded words, GSM-Infinite's symbolic task,
//! and the codes of the demo model. Definitions are theirs; wording and random numbers are kscope's.

mod codes;
mod essay;
mod fill;
mod lists;
mod needle;
mod sample;
mod symbolic;
mod task;
mod variables;
mod vocabulary;

pub use essay::Essay;
pub use fill::{HayFilling, filled};
pub use sample::{RecallSample, sampled};
pub use symbolic::is_right as symbolic_right;
pub use task::RecallTask;
