//! The two branches of a block beside the residual stream, attention and the MLP: the norms around
//! them and how their results are added.

use crate::model::config::Config;
use crate::model::host::ops;

/// The norms around a branch `f` of a block: `x + factor * after(f(before(x)))`.
#[derive(Debug)]
pub struct Branch {
    /// RMS norm of what goes in, `[hidden]`, where there is one.
    pub before: Option<Vec<f32>>,
    /// RMS norm of what comes out, `[hidden]`, where there is one.
    pub after: Option<Vec<f32>>,
}

impl Branch {
    /// `out = before(x)`, both `[n, hidden]`.
    pub fn enter(&self, config: &Config, x: &[f32], out: &mut [f32]) {
        match &self.before {
            Some(norm) => ops::rms_norm(x, norm, config.rms_eps, out),
            None => out.copy_from_slice(x),
        }
    }

    /// `x += factor * after(delta)`, both `[n, hidden]`; `delta` is overwritten.
    pub fn leave(&self, config: &Config, delta: &mut [f32], x: &mut [f32]) {
        if let Some(norm) = &self.after {
            ops::rms_norm_in_place(delta, norm, config.rms_eps);
        }
        let factor = config.additions.residual_factor;
        if factor != 1.0 {
            ops::scale(delta, factor);
        }
        ops::add(x, delta);
    }

    /// The norms that there are.
    pub fn norms(&self) -> impl Iterator<Item = &[f32]> {
        [&self.before, &self.after].into_iter().filter_map(|norm| norm.as_deref())
    }
}
