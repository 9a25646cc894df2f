//! The learning engine: student and teacher passes over answer rows, and the gradient of the loss to every channel's factor.
//!
//! Hidden states of the context never depend on the factors (prefill is exact), so keys and values of the context are constants
//! and both passes run over answer rows alone. The gradient is written out by hand, one layer at a time: what is kept of a pass is
//! a few activations of the answer rows per layer, and a layer's weights are widened to f32 only while they are used.

mod attention;
mod backward;
mod context;
mod factors;
mod forward;

pub use context::{Branch, Context, Sample};
pub use factors::Factors;

use self::forward::{Rows, Tape};
use crate::Result;
use crate::mask::Window;
use crate::model::decoder::Decoder;
use crate::model::ops;

/// Distillation loss of one sample and its gradient to the factors, `[layers, kv_heads, head_dim]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Distilled {
    /// Mean squared difference of normalised hidden states over answer rows and hidden channels.
    pub loss: f64,
    /// Derivative of `loss` with respect to each factor.
    pub gradient: Vec<f32>,
}

/// Normalised hidden states of every answer row of a sample, `[rows, hidden]`, branches after one another.
pub fn hidden(decoder: &Decoder, window: Window, factors: &Factors, sample: &Sample) -> Result<Vec<f32>> {
    let rows = Rows::of(decoder, sample);
    let mut x = forward::run(decoder, window, factors, &rows, None, &mut |_, _, _| ())?;
    ops::rms_norm_in_place(&mut x, &decoder.weights().norm, decoder.config().rms_eps);
    Ok(x)
}

/// The loss alone: mean squared difference to the sample's targets.
pub fn loss(decoder: &Decoder, window: Window, factors: &Factors, sample: &Sample) -> Result<f64> {
    let states = hidden(decoder, window, factors, sample)?;
    Ok(mean_square(&states, sample.targets()))
}

/// The loss and its gradient.
pub fn distill(decoder: &Decoder, window: Window, factors: &Factors, sample: &Sample) -> Result<Distilled> {
    let config = decoder.config();
    let rows = Rows::of(decoder, sample);
    let mut tape = Tape::default();
    let x = forward::run(decoder, window, factors, &rows, Some(&mut tape), &mut |_, _, _| ())?;
    let norm = &decoder.weights().norm;
    let mut states = vec![0.0; x.len()];
    ops::rms_norm(&x, norm, config.rms_eps, &mut states);
    let targets: Vec<f32> = sample.targets().collect();
    let loss = mean_square(&states, targets.iter().copied());
    let scale = 2.0 / states.len() as f32;
    let d_states: Vec<f32> = states.iter().zip(&targets).map(|(state, target)| scale * (state - target)).collect();
    let mut dx = vec![0.0; x.len()];
    backward::rms_norm(&x, norm, config.rms_eps, &d_states, &mut dx);
    let gradient = backward::run(decoder, window, factors, &rows, &tape, dx)?;
    Ok(Distilled { loss, gradient })
}

fn mean_square(states: &[f32], targets: impl Iterator<Item = f32>) -> f64 {
    let sum: f64 = states.iter().zip(targets).map(|(state, target)| f64::from(state - target).powi(2)).sum();
    sum / states.len().max(1) as f64
}
