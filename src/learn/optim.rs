//! AdamW without weight decay (arXiv 1711.05101, the defaults of PyTorch) and the learning-rate
//! schedule of LeanK's training (arXiv 2508.02215): linear rise, constant, linear fall.

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPS: f64 = 1e-8;

/// First and second moments of every parameter, f32 as PyTorch keeps them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AdamW {
    /// Running mean of gradients.
    pub m: Vec<f32>,
    /// Running mean of squared gradients.
    pub v: Vec<f32>,
    /// Updates made so far.
    pub updates: u64,
}

impl AdamW {
    /// The state before the first update.
    pub fn new(parameters: usize) -> Self {
        Self { m: vec![0.0; parameters], v: vec![0.0; parameters], updates: 0 }
    }

    /// One update: `p -= lr / (1 - b1^t) * m / (sqrt(v / (1 - b2^t)) + eps)`.
    pub fn step(&mut self, parameters: &mut [f32], gradient: &[f32], lr: f64) {
        self.updates += 1;
        let t = self.updates as i32;
        let step_size = (lr / (1.0 - BETA1.powi(t))) as f32;
        let root = (1.0 - BETA2.powi(t)).sqrt() as f32;
        let moments = self.m.iter_mut().zip(&mut self.v);
        for ((p, &g), (m, v)) in parameters.iter_mut().zip(gradient).zip(moments) {
            // PyTorch's lerp and addcmul, with the same order of rounding.
            *m += (1.0 - BETA1) as f32 * (g - *m);
            *v = *v * BETA2 as f32 + (1.0 - BETA2) as f32 * g * g;
            *p -= step_size * (*m / (v.sqrt() / root + EPS as f32));
        }
    }
}

/// Learning rate of step `step` of `steps`: a linear rise from a tenth over the first fifth,
/// constant, and a linear fall to a tenth over the last fifth. A fifth is a whole number of steps,
/// at least 1.
pub fn schedule(lr: f64, step: usize, steps: usize) -> f64 {
    let fifth = (steps / 5).max(1) as f64;
    let rise = ((step + 1) as f64 / fifth).max(0.1);
    let fall = ((steps - step) as f64 / fifth).max(0.1);
    lr * rise.min(fall).min(1.0)
}
