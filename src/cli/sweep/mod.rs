//! `kscope sweep`: many masks and plans, measured against dense decode: over one prompt, or over
//! windows of texts and recall prompts.

mod command;
mod prompt;
mod texts;

pub use command::{SweepArgs, run};
