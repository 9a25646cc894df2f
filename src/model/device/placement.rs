//! The device that a model is put on, and how its failures are worded.

use super::Attend;
use crate::Error;

/// Where a model runs through tensors.
pub struct Placement {
    /// candle's device.
    pub device: candle_core::Device,
    /// What it is called.
    pub name: String,
    /// Attention of decode steps.
    pub attend: Attend,
}

/// A failure of candle's as one sentence; its errors can carry a backtrace, and the first line says
/// what is wrong.
pub(crate) fn failed(error: candle_core::Error) -> Error {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    if first.contains("OUT_OF_MEMORY") {
        return Error::run(
            "the card's memory is full: a shorter context, fewer sequences or quantised weights take less",
        );
    }
    Error::run(first.to_owned())
}
