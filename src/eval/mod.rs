//! Evaluation: what a mask or plan loses on recall tasks, on texts and on data sets, sample by
//! sample beside dense decode.

pub mod answer;
pub mod data;
pub mod paired;
pub mod prompt;
pub mod recall;
pub mod report;
pub mod run;
pub mod score;
pub mod sources;
pub mod stability;
pub mod text;
pub mod worker;
