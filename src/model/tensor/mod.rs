//! The forward pass over candle's tensors: what runs on a card. It also runs on candle's CPU
//! device, where the tests hold it to the plain [`Decoder`](super::decoder::Decoder).
//!
//! Activations are f32 between products; products are in the weights' type, or quantised. Attention
//! of decode steps is not candle's: it goes over a cache on the device (`attention::cuda`), or over
//! one in this process's memory.

mod address;
mod attend;
mod decoder;
mod forward;
mod prefill;
mod product;
mod step;
mod weights;

pub use attend::{Attend, DeviceAttend, OnDevice};
pub use decoder::TensorDecoder;
pub(crate) use product::product;
pub(in crate::model) use step::StepInput;
pub(crate) use weights::TensorLayer;
pub use weights::TensorWeights;

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
