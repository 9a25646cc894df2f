//! Data sets that users bring, read as their projects write them: RULER, kvpress, LongBench,
//! LongBench v2 and GSM-Infinite.

mod answers;
mod longbench;
mod read;
mod sample;

pub use answers::{choice, integer};
pub use read::{DataFile, Templates};
pub use sample::{DataSample, Scoring};
