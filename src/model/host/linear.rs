//! A linear layer.

use super::matrix::Matrix;
use super::ops;
use super::wide::Wide;
use crate::Result;

/// A linear layer; the bias, where there is one, has one entry per output.
#[derive(Debug)]
pub struct Linear {
    /// `[outputs, inputs]`.
    pub weight: Matrix,
    /// `[outputs]`.
    pub bias: Option<Vec<f32>>,
}

impl Linear {
    /// `x W^T + b` for a few rows of a decode step, over the stored weights.
    pub fn apply(&self, x: &[f32], y: &mut [f32]) {
        self.weight.apply(x, y);
        self.add_bias(y);
    }

    /// [`Self::apply`] over f32 activations, whatever the type of the weights.
    pub fn apply_exact(&self, x: &[f32], y: &mut [f32]) {
        self.weight.apply_exact(x, y);
        self.add_bias(y);
    }

    /// `x W^T + b` for many rows, over the widened weights.
    pub fn apply_wide(&self, wide: &Wide, x: &[f32]) -> Result<Vec<f32>> {
        let mut y = wide.apply(x)?;
        self.add_bias(&mut y);
        Ok(y)
    }

    fn add_bias(&self, y: &mut [f32]) {
        if let Some(bias) = &self.bias {
            ops::add_bias(y, bias);
        }
    }
}
