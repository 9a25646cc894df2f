//! Data sets that users bring, read as their projects write them: RULER, kvpress, LongBench,
//! LongBench v2 and GSM-Infinite.

// What others wrote must not be able to end the program.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod answers;
mod longbench;
mod read;
mod sample;

pub use answers::{choice, integer};
pub use read::{DataFile, Templates};
pub use sample::{DataSample, Scoring};
