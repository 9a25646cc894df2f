//! Products with many rows, over a matrix that was widened once.

use candle_core::{Device, Tensor};

use crate::{Error, Result};

/// A matrix widened to f32 and transposed for products with many rows.
pub struct Wide(Tensor);

impl Wide {
    /// From the values of a matrix, `[rows, cols]`.
    pub(super) fn new(values: Vec<f32>, rows: usize, cols: usize) -> Result<Self> {
        let tensor =
            Tensor::from_vec(values, (rows, cols), &Device::Cpu).map_err(product_failed)?;
        Ok(Self(tensor.t().map_err(product_failed)?))
    }

    /// `X W^T` for `x` of `[n, cols]`; the result is `[n, rows]`.
    pub fn apply(&self, x: &[f32]) -> Result<Vec<f32>> {
        let cols = self.0.dim(0).map_err(product_failed)?;
        let x =
            Tensor::from_slice(x, (x.len() / cols, cols), &Device::Cpu).map_err(product_failed)?;
        x.matmul(&self.0)
            .and_then(|y| y.flatten_all())
            .and_then(|y| y.to_vec1())
            .map_err(product_failed)
    }

    /// `Y W` for `y` of `[n, rows]`, the product that carries gradients back; the result is `[n,
    /// cols]`.
    pub fn back(&self, y: &[f32]) -> Result<Vec<f32>> {
        let product = || {
            let weight = self.0.t()?;
            let y =
                Tensor::from_slice(y, (y.len() / weight.dim(0)?, weight.dim(0)?), &Device::Cpu)?;
            y.matmul(&weight)?.flatten_all()?.to_vec1()
        };
        product().map_err(product_failed)
    }
}

fn product_failed(error: candle_core::Error) -> Error {
    Error::run(format!("matrix product: {error}"))
}
