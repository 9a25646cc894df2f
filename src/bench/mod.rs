//! Measurements of the program itself: one clock, medians of interleaved runs, with the machine's
//! limit next to them.

pub mod attention;
pub mod decode;
mod fill;
#[cfg(feature = "cuda-types")]
pub mod gpu_attention;
pub mod gpu_forecast;
pub mod learn;
pub mod masks;
mod threads;
#[cfg(unix)]
pub mod tui;
pub mod variants;
pub mod verify;
