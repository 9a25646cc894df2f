//! One learning run, from data to verdict.

mod baked;
mod learning;
mod report;
mod request;

pub use baked::check_baked;
pub use learning::{LearnEvent, Outcome, VALIDATION, learn, prepare_checkpoint};
pub use request::{CHECK_PROMPTS, LearnRequest, LearnStart, POOL, default_tasks, texts};
