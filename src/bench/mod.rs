//! Measurements of the program itself: one clock, medians of interleaved runs, the machine's limit
//! beside them.

pub mod attention;
mod bandwidth;
#[cfg(feature = "cuda-types")]
pub mod cuda;
pub mod cuda_model;
pub mod decode;
pub mod learn;
pub mod masks;
pub mod selftest;
#[cfg(unix)]
pub mod tui;
pub mod variants;
pub mod whole_model;

pub use bandwidth::read_bandwidth;
