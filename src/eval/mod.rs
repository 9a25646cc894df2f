//! Evaluation: what a mask or plan loses on recall tasks, on texts and on data sets, sample by
//! sample beside dense decode.

pub mod score;
