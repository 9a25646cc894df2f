//! The passes of a decoder on the CPU.

use half::f16;

use super::forward::Tape;
use super::{backward, forward};
use crate::Result;
use crate::learn::engine::context::{check_kept, narrow};
use crate::learn::engine::distill::{Distilled, LearningEngine, mean_square};
use crate::learn::engine::rows::Pass;
use crate::model::config::Config;
use crate::model::host::ops;
use crate::model::weights::Weights;

/// Passes of a decoder on the CPU.
#[derive(Clone, Copy)]
pub struct OnHost<'a> {
    pub(super) config: &'a Config,
    pub(super) weights: &'a Weights,
}

impl<'a> OnHost<'a> {
    pub fn new(config: &'a Config, weights: &'a Weights) -> Self {
        Self { config, weights }
    }
}

impl LearningEngine for OnHost<'_> {
    fn keys_and_values(&self, pass: Pass<'_>) -> Result<Vec<[Vec<f16>; 2]>> {
        let mut layers = Vec::with_capacity(self.config.layers);
        forward::run(*self, pass, None, &mut |k, v| layers.push([narrow(k), narrow(v)]))?;
        check_kept(&layers)?;
        Ok(layers)
    }

    fn hidden(&self, pass: Pass<'_>) -> Result<Vec<f32>> {
        let mut x = forward::run(*self, pass, None, &mut |_, _| ())?;
        ops::rms_norm_in_place(&mut x, &self.weights.norm, self.config.rms_eps);
        Ok(x)
    }

    fn distill(&self, pass: Pass<'_>, targets: &[f32]) -> Result<Distilled> {
        let eps = self.config.rms_eps;
        let mut tape = Tape::default();
        let x = forward::run(*self, pass, Some(&mut tape), &mut |_, _| ())?;
        let norm = &self.weights.norm;
        let mut states = vec![0.0; x.len()];
        ops::rms_norm(&x, norm, eps, &mut states);
        let loss = mean_square(&states, targets);
        let scale = 2.0 / states.len() as f32;
        let d_states: Vec<f32> =
            states.iter().zip(targets).map(|(state, target)| scale * (state - target)).collect();
        let mut dx = vec![0.0; x.len()];
        backward::rms_norm(&x, norm, eps, &d_states, &mut dx);
        Ok(Distilled { loss, gradient: backward::run(*self, pass, &tape, dx)? })
    }
}
