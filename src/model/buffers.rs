//! Memory that decode steps reuse.

use crate::model::config::Config;
use crate::model::host::StepScratch;
use crate::model::times::StepTimes;

/// Buffers of decode steps, allocated once for a batch size.
#[derive(Debug)]
pub struct StepBuffers {
    /// Residual stream, `[batch, hidden]`.
    pub(in crate::model) x: Vec<f32>,
    pub(in crate::model) scratch: StepScratch,
    /// Logits of the last step, `[batch, vocab]`.
    pub logits: Vec<f32>,
    /// Time of the last step.
    pub times: StepTimes,
}

impl StepBuffers {
    /// Buffers for `batch` sequences of this model.
    pub fn new(config: &Config, batch: usize) -> Self {
        Self {
            x: vec![0.0; batch * config.hidden],
            scratch: StepScratch::new(config, batch),
            logits: vec![0.0; batch * config.vocab],
            times: StepTimes::default(),
        }
    }

    /// Logits of one sequence.
    pub fn logits_of(&self, sequence: usize, vocab: usize) -> &[f32] {
        &self.logits[sequence * vocab..(sequence + 1) * vocab]
    }
}
