//! Tables of an evaluation, as rows of cells.

pub mod stability;
pub mod tables;
