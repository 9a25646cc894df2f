//! Scores of answers: those of LongBench and of RULER, defined by what their programs compute.

mod classes;
mod code;
mod difflib;
mod metric;
mod numbers;
mod python;
mod rouge;
mod substrings;
mod words;

pub use metric::{ScoreMetric, Scored, mean_percent};
pub use substrings::answer_text;
