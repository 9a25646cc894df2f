//! Hidden states, loss and gradient of a sample, by the engine for the decoder.

use half::f16;

use super::rows::Pass;
use super::{Factors, Sample, device, host};
use crate::Result;
use crate::mask::Window;
use crate::model::backend::BackendWeights;
use crate::model::decoder::Decoder;

/// What a student is pulled towards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DistillLoss {
    /// The teacher's normalised hidden states, by their mean squared difference.
    #[default]
    States,
    /// The teacher's predictions, by KL(dense || pruned) of the next token in nats.
    Divergence,
}

/// Distillation loss of one sample and its gradient with respect to the factors, `[layers,
/// kv_heads, head_dim]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Distilled {
    /// The mean over answer rows: of squared differences of normalised hidden states, over hidden
    /// channels too, or of KLDs.
    pub loss: f64,
    /// Derivative of `loss` with respect to each factor.
    pub gradient: Vec<f32>,
}

/// A backend that computes passes over rows; there is at least one row.
pub(super) trait LearningEngine {
    /// Rotated keys and values of the rows, per layer, each `[rows, kv_heads, head_dim]`.
    fn keys_and_values(&self, pass: Pass<'_>) -> Result<Vec<[Vec<f16>; 2]>>;

    /// Normalised hidden states of the rows, `[rows, hidden]`.
    fn hidden(&self, pass: Pass<'_>) -> Result<Vec<f32>>;

    /// Mean KLD of the predictions that two tables of normalised hidden states give.
    fn divergence(&self, states: &[f32], targets: &[f32]) -> Result<f64>;

    /// The loss against `targets`, `[rows, hidden]`, and its gradient.
    fn distill(&self, pass: Pass<'_>, targets: &[f32], loss: DistillLoss) -> Result<Distilled>;
}

/// The engine of a decoder.
pub(super) fn engine(decoder: &Decoder) -> Box<dyn LearningEngine + '_> {
    match decoder.backend().weights() {
        BackendWeights::Host(weights) => Box::new(host::OnHost::new(decoder.config(), weights)),
        BackendWeights::Device(tensors) => {
            Box::new(device::OnDevice::new(decoder.config(), tensors))
        }
    }
}

/// Normalised hidden states of every answer row of a sample, `[rows, hidden]`, one branch after the
/// other.
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

/// The loss alone, against the sample's targets; 0 where there are no rows.
pub fn loss(
    decoder: &Decoder,
    window: Window,
    factors: &Factors,
    sample: &Sample,
    loss: DistillLoss,
) -> Result<f64> {
    let states = hidden(decoder, window, factors, sample)?;
    match loss {
        DistillLoss::States => Ok(mean_square(&states, &sample.targets())),
        DistillLoss::Divergence => engine(decoder).divergence(&states, &sample.targets()),
    }
}

/// The loss and its gradient.
pub fn distill(
    decoder: &Decoder,
    window: Window,
    factors: &Factors,
    sample: &Sample,
    loss: DistillLoss,
) -> Result<Distilled> {
    let rows = sample.answer_rows(decoder)?;
    match rows.count {
        0 => Ok(Distilled { loss: 0.0, gradient: vec![0.0; factors.shape().entries()] }),
        _ => {
            let pass = Pass { rows: &rows, window, factors };
            engine(decoder).distill(pass, &sample.targets(), loss)
        }
    }
}

pub(super) fn mean_square(states: &[f32], targets: &[f32]) -> f64 {
    let sum: f64 =
        states.iter().zip(targets).map(|(state, target)| f64::from(state - target).powi(2)).sum();
    sum / states.len().max(1) as f64
}
