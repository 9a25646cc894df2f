//! One learning run, from data to verdict.

mod checkpoint;
mod learning;
mod report;
mod request;

pub use checkpoint::CheckpointFolder;
pub use learning::{LearnEvent, Outcome, VALIDATION, learn};
pub use request::{CHECK_PROMPTS, LearnRequest, LearnStart, POOL, default_tasks, texts};
