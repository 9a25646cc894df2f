//! The activation of an MLP's gate: its value and its slope, for every engine that computes it.
//!
//! An MLP gives `value(gate) * up` (gated linear units, arXiv 2002.05202). Its gradient to the gate
//! is `slope(gate) * up`, and that to `up` is `value(gate)`, both times the gradient of the product.

use candle_core::Tensor;
use candle_nn::ops::{sigmoid, silu};
use pulp::{Arch, Simd};

use crate::model::host::ops::exp;

/// An activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `value(x) = x s(x)` and `slope(x) = s(x) (1 + x (1 - s(x)))`, with `s(x) = 1 / (1 + e^-x)`.
    Silu,
    /// GELU with the tanh approximation (arXiv 1606.08415): `value(x) = x (1 + t) / 2` with `t =
    /// tanh(u)` and `u = sqrt(2 / pi) (x + 0.044715 x^3)`; `slope(x) = (1 + t) / 2 + x (1 - t^2) u' /
    /// 2`.
    GeluTanh,
}

/// `sqrt(2 / pi)`.
const ROOT: f32 = 0.797_884_6;
const CUBE: f32 = 0.044_715;

/// Value and slope of [`Activation::GeluTanh`].
fn gelu_tanh(x: f32) -> [f32; 2] {
    let t = (ROOT * (x + CUBE * x * x * x)).tanh();
    let rise = ROOT * (1.0 + 3.0 * CUBE * x * x);
    [0.5 * x * (1.0 + t), 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * rise]
}

impl Activation {
    /// `value(gate) * up` for rows that hold gate and up side by side: `[n, 2 width]` to `[n,
    /// width]`.
    pub fn gate(self, gate_up: &[f32], width: usize, out: &mut [f32]) {
        match self {
            Self::Silu => silu_gate(gate_up, width, out),
            Self::GeluTanh => {
                for (row, out) in gate_up.chunks_exact(2 * width).zip(out.chunks_exact_mut(width)) {
                    let (gate, up) = row.split_at(width);
                    for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
                        *out = gelu_tanh(*gate)[0] * up;
                    }
                }
            }
        }
    }

    /// Gradients to gate and up, `[n, 2 width]`, from the gradient to the output of [`Self::gate`],
    /// `[n, width]`.
    pub fn gate_back(self, gate_up: &[f32], width: usize, d_out: &[f32], d_gate_up: &mut [f32]) {
        let rows = gate_up.chunks_exact(2 * width).zip(d_gate_up.chunks_exact_mut(2 * width));
        for ((gate_up, d_gate_up), d_out) in rows.zip(d_out.chunks_exact(width)) {
            let (gate, up) = gate_up.split_at(width);
            let (d_gate, d_up) = d_gate_up.split_at_mut(width);
            for c in 0..width {
                match self {
                    Self::Silu => {
                        let s = 1.0 / (1.0 + (-gate[c]).exp());
                        d_gate[c] = d_out[c] * up[c] * s * (1.0 + gate[c] * (1.0 - s));
                        d_up[c] = d_out[c] * gate[c] * s;
                    }
                    Self::GeluTanh => {
                        let [value, slope] = gelu_tanh(gate[c]);
                        d_gate[c] = d_out[c] * up[c] * slope;
                        d_up[c] = d_out[c] * value;
                    }
                }
            }
        }
    }

    /// [`Self::gate`] over tensors, `[n, width]` each.
    pub fn gate_tensors(self, gate: &Tensor, up: &Tensor) -> candle_core::Result<Tensor> {
        match self {
            Self::Silu => silu(gate)? * up,
            Self::GeluTanh => gate.gelu()? * up,
        }
    }

    /// [`Self::gate_back`] over tensors: the gradients to gate and to up, `[n, width]` each.
    pub fn gate_tensors_back(
        self,
        gate: &Tensor,
        up: &Tensor,
        d_out: &Tensor,
    ) -> candle_core::Result<[Tensor; 2]> {
        let [value, slope] = match self {
            Self::Silu => {
                let s = sigmoid(gate)?;
                [(gate * &s)?, (&s * ((gate * (1.0 - &s)?)? + 1.0)?)?]
            }
            Self::GeluTanh => {
                let (root, cube) = (f64::from(ROOT), f64::from(CUBE));
                let square = gate.sqr()?;
                let inner = ((gate * ((&square * cube)? + 1.0)?)? * root)?;
                let t = inner.tanh()?;
                let half = ((&t + 1.0)? * 0.5)?;
                let rise = (((square * (3.0 * cube))? + 1.0)? * (0.5 * root))?;
                let bend = (gate * ((1.0 - t.sqr()?)? * rise)?)?;
                [(gate * &half)?, (half + bend)?]
            }
        };
        Ok([((d_out * up)? * slope)?, (d_out * value)?])
    }
}

#[pulp::with_simd(silu_gate = Arch::new())]
#[inline(always)]
fn silu_gate_simd<'a, S: Simd>(_simd: S, gate_up: &'a [f32], width: usize, out: &'a mut [f32]) {
    for (row, out) in gate_up.chunks_exact(2 * width).zip(out.chunks_exact_mut(width)) {
        let (gate, up) = row.split_at(width);
        for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
            *out = gate / (1.0 + exp(-gate)) * up;
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    const WIDTH: usize = 37;

    fn rows() -> Vec<f32> {
        (0..2 * WIDTH).map(|i| (i as f32 * 0.37).sin()).collect()
    }

    #[test]
    fn gates_follow_their_formula() {
        let x = rows();
        let mut gated = vec![0.0; WIDTH];
        Activation::Silu.gate(&x, WIDTH, &mut gated);
        assert!((gated[5] - x[5] / (1.0 + (-x[5]).exp()) * x[42]).abs() < 1e-6);
        Activation::GeluTanh.gate(&x, WIDTH, &mut gated);
        let inner = (2.0 / std::f32::consts::PI).sqrt() * (x[5] + 0.044715 * x[5].powi(3));
        assert!((gated[5] - 0.5 * x[5] * (1.0 + inner.tanh()) * x[42]).abs() < 1e-6);
    }

    #[test]
    fn tensors_gate_as_rows_do_and_both_gradients_are_the_slope() {
        for activation in [Activation::Silu, Activation::GeluTanh] {
            check_tensors(activation);
        }
    }

    fn check_tensors(activation: Activation) {
        let x = rows();
        let (gate, up) = x.split_at(WIDTH);
        let tensor = |x: &[f32]| Tensor::from_slice(x, (1, WIDTH), &Device::Cpu).unwrap();
        let numbers = |x: Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let value = |x: &[f32]| {
            let mut out = vec![0.0; WIDTH];
            activation.gate(x, WIDTH, &mut out);
            out
        };
        let over_tensors = activation.gate_tensors(&tensor(gate), &tensor(up)).unwrap();
        for (found, expected) in numbers(over_tensors).into_iter().zip(value(&x)) {
            assert!((found - expected).abs() < 1e-6, "{found} for {expected}");
        }
        let d_out: Vec<f32> = (0..WIDTH).map(|i| (i as f32 * 0.11).cos()).collect();
        let mut back = vec![0.0; 2 * WIDTH];
        activation.gate_back(&x, WIDTH, &d_out, &mut back);
        let tensors = activation
            .gate_tensors_back(&tensor(gate), &tensor(up), &tensor(&d_out))
            .unwrap()
            .map(numbers)
            .concat();
        for c in 0..2 * WIDTH {
            let moved = |by: f32| {
                let mut x = x.clone();
                x[c] += by;
                value(&x)[c % WIDTH]
            };
            let expected = (moved(1e-2) - moved(-1e-2)) / 2e-2 * d_out[c % WIDTH];
            for found in [back[c], tensors[c]] {
                assert!((found - expected).abs() < 1e-4, "entry {c}: {found} for {expected}");
            }
        }
    }
}
