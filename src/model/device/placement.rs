//! The device that a model is placed on, and how its failures are worded.

use super::Attend;
use crate::{Error, Result};

/// Where a model runs through tensors.
pub struct Placement {
    /// The device, for candle.
    pub device: candle_core::Device,
    /// The device's name.
    pub name: String,
    /// Attention of decode steps.
    pub attend: Attend,
}

impl Placement {
    /// Refuses what the device has no memory for, with both sizes; `what` names it.
    pub(in crate::model) fn check_memory(&self, what: &str, bytes: u64) -> Result<()> {
        self.attend.check_memory(what, bytes)
    }
}

/// Turns an error of candle's into one sentence. Its errors can carry a backtrace; the first line
/// says what is wrong.
pub(crate) fn failed(error: candle_core::Error) -> Error {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    if first.contains("OUT_OF_MEMORY") {
        return Error::input(
            "the GPU's memory is full: a shorter context, fewer sequences or quantised weights take less",
        );
    }
    Error::run(first.to_owned())
}
