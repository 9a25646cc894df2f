//! A linear layer.

use super::matrix::Matrix;
use super::ops;
use super::wide::Wide;
use crate::Result;

/// Up to so many rows, a product over the weights as they are stored takes less time than widening
/// them: a follow-up of a few words would otherwise pay for the whole model.
const FEW_ROWS: usize = 16;

/// A linear layer over f32 activations.
pub struct ForRows<'a> {
    linear: &'a Linear,
    /// The weights in f32, for many rows.
    wide: Option<Wide>,
}

impl ForRows<'_> {
    /// `x W^T + b`, for `x` of `[rows, inputs]`.
    pub fn apply(&self, x: &[f32]) -> Result<Vec<f32>> {
        let Some(wide) = &self.wide else {
            let weight = &self.linear.weight;
            let mut y = vec![0.0; x.len() / weight.cols() * weight.rows()];
            self.linear.apply_exact(x, &mut y);
            return Ok(y);
        };
        let mut y = wide.apply(x)?;
        self.linear.add_bias(&mut y);
        Ok(y)
    }
}

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

    /// Ready for products with about so many rows of f32 activations: widened once where they are
    /// many.
    pub fn for_rows(&self, rows: usize) -> Result<ForRows<'_>> {
        let wide = (rows > FEW_ROWS).then(|| self.weight.wide()).transpose()?;
        Ok(ForRows { linear: self, wide })
    }

    fn add_bias(&self, y: &mut [f32]) {
        if let Some(bias) = &self.bias {
            ops::add_bias(y, bias);
        }
    }
}
