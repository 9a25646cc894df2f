//! The norms around attention and the MLP over tensors, and how their results are added.

use candle_core::{Device, Tensor};
use candle_nn::ops::rms_norm;

use super::weights::vector;
use crate::Result;
use crate::model::branch::Branch;
use crate::model::config::Config;

/// A [`Branch`] on a device.
pub(crate) struct TensorBranch {
    pub(crate) before: Option<Tensor>,
    pub(crate) after: Option<Tensor>,
}

impl TensorBranch {
    pub(super) fn new(host: &Branch, device: &Device) -> Result<Self> {
        let norm =
            |norm: &Option<Vec<f32>>| norm.as_deref().map(|norm| vector(norm, device)).transpose();
        Ok(Self { before: norm(&host.before)?, after: norm(&host.after)? })
    }

    /// `before(x)`, `[n, hidden]`.
    pub(crate) fn enter(&self, config: &Config, x: &Tensor) -> candle_core::Result<Tensor> {
        self.before.as_ref().map_or(Ok(x.clone()), |norm| rms_norm(x, norm, config.rms_eps))
    }

    /// `x + factor * after(delta)`, `[n, hidden]`.
    pub(crate) fn leave(
        &self,
        config: &Config,
        delta: &Tensor,
        x: &Tensor,
    ) -> candle_core::Result<Tensor> {
        let normed = self.after.as_ref().map(|norm| rms_norm(delta, norm, config.rms_eps));
        let mut delta = normed.unwrap_or_else(|| Ok(delta.clone()))?;
        let factor = config.additions.residual_factor;
        if factor != 1.0 {
            delta = (delta * f64::from(factor))?;
        }
        x + delta
    }
}
