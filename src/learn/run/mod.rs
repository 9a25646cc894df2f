//! One learning from nothing to a verdict.

mod learning;
mod report;
mod request;

pub use learning::{Event, Outcome, VALIDATION, learn, prepare_checkpoint};
pub use request::{CHECK_PROMPTS, POOL, Request, Start, default_tasks, texts};
