//! The learning engine: student and teacher passes over answer rows, and the gradient of the loss
//! to every channel's factor.
//!
//! Hidden states of the context never depend on the factors (prefill is exact), so keys and values
//! of the context are constants and both passes run over answer rows alone. The gradient is written
//! out by hand, one layer at a time: what is kept of a pass is a few activations of the answer rows
//! per layer, and a layer's weights are widened to f32 only while they are used.
//!
//! It is written twice: over the host's weights ([`host`]), and over the tensors of a decoder that
//! runs on a device ([`device`]). A pass runs where its decoder runs.

mod context;
mod device;
mod factors;
mod host;
mod rows;
mod sample;

pub use context::CachedContext;
pub(super) use device::MOST_BYTES;
pub use factors::Factors;
pub use sample::{Branch, Sample};

use half::f16;

use self::rows::Pass;
use crate::Result;
use crate::mask::Window;
use crate::model::decoder::{Decoder, Place};

/// Distillation loss of one sample and its gradient to the factors, `[layers, kv_heads, head_dim]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Distilled {
    /// Mean squared difference of normalised hidden states over answer rows and hidden channels.
    pub loss: f64,
    /// Derivative of `loss` with respect to each factor.
    pub gradient: Vec<f32>,
}

/// One way to compute passes over rows; there is at least one row.
trait Engine {
    /// Rotated keys and values of the rows, per layer, each `[rows, kv_heads, head_dim]`.
    fn keys_and_values(&self, pass: Pass<'_>) -> Result<Vec<[Vec<f16>; 2]>>;

    /// Normalised hidden states of the rows, `[rows, hidden]`.
    fn hidden(&self, pass: Pass<'_>) -> Result<Vec<f32>>;

    /// The loss against `targets`, `[rows, hidden]`, and its gradient.
    fn distill(&self, pass: Pass<'_>, targets: &[f32]) -> Result<Distilled>;
}

/// The engine of a decoder.
fn engine(decoder: &Decoder) -> Box<dyn Engine + '_> {
    match decoder.place() {
        Place::Host(weights) => Box::new(host::OnHost::new(decoder.config(), weights)),
        Place::Device(tensors) => Box::new(device::OnDevice::new(decoder.config(), tensors)),
    }
}

/// Normalised hidden states of every answer row of a sample, `[rows, hidden]`, branches after one
/// another.
pub fn hidden(
    decoder: &Decoder,
    window: Window,
    factors: &Factors,
    sample: &Sample,
) -> Result<Vec<f32>> {
    let rows = sample.answer_rows(decoder)?;
    match rows.count {
        0 => Ok(Vec::new()),
        _ => engine(decoder).hidden(Pass { rows: &rows, window, factors }),
    }
}

/// The loss alone: mean squared difference to the sample's targets.
pub fn loss(decoder: &Decoder, window: Window, factors: &Factors, sample: &Sample) -> Result<f64> {
    let states = hidden(decoder, window, factors, sample)?;
    Ok(mean_square(&states, &sample.targets()))
}

/// The loss and its gradient.
pub fn distill(
    decoder: &Decoder,
    window: Window,
    factors: &Factors,
    sample: &Sample,
) -> Result<Distilled> {
    let rows = sample.answer_rows(decoder)?;
    match rows.count {
        0 => Ok(Distilled { loss: 0.0, gradient: vec![0.0; factors.shape().entries()] }),
        _ => engine(decoder).distill(Pass { rows: &rows, window, factors }, &sample.targets()),
    }
}

fn mean_square(states: &[f32], targets: &[f32]) -> f64 {
    let sum: f64 =
        states.iter().zip(targets).map(|(state, target)| f64::from(state - target).powi(2)).sum();
    sum / states.len().max(1) as f64
}
