//! One learning run, from data to verdict.

mod baked;
mod checkpoint;
mod gradient;
mod leank;
mod learning;
mod report;
mod request;

pub use baked::check_baked;
pub use checkpoint::CheckpointFolder;
pub use leank::VALIDATION;
pub use learning::{LearnEvent, Outcome, learn};
pub use request::{
    CHECK_PROMPTS, LearnMethod, LearnRequest, LearnStart, MOST_WINDOWS, POOL, WINDOWS,
    default_tasks, texts,
};
