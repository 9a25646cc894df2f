//! `kscope learn`: a mask of a sparsity by the sensitivity or the paper's method, and its check.

mod command;
mod estimate;
mod report;

pub use command::{LearnArgs, run};
