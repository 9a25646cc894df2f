//! One learning run, from data to verdict.

mod learning;
mod report;
mod request;

pub use learning::{
    LearnEvent, Outcome, VALIDATION, learn, leave_no_empty_folder, prepare_checkpoint,
};
pub use request::{CHECK_PROMPTS, LearnRequest, LearnStart, POOL, default_tasks, texts};
