//! `kscope eval`: what masks and plans lose on recall tasks, texts and data sets; scores of answers;
//! parts of a run put together.

mod command;
mod measure;
mod merge;
mod recorded;
mod score;
mod tables;

pub use command::{EvalArgs, run};
pub use tables::markdown;
