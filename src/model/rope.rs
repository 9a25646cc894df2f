//! Rotary position embedding in rotate-half order: channels `i` and `i + head_dim/2` form one
//! rotation.
//!
//! Frequencies follow RoPE (arXiv 2104.09864), the `llama3` scaling of the Llama-3.1 release, and
//! YaRN (arXiv 2309.00071).

use std::f64::consts::PI;

use crate::model::config::Config;
use crate::model::rope_scaling::RopeScaling;
use crate::{Error, Result};

/// Rotation speeds of one model and the rotation itself.
#[derive(Debug, Clone)]
pub struct Rope {
    /// Radians per token of each pair, `head_dim / 2` of them, fast to slow.
    inv_freq: Vec<f64>,
    /// Factor on cos and sin (1 but for YaRN).
    magnitude: f64,
}

impl Rope {
    /// The rotation of a model.
    pub fn new(config: &Config) -> Result<Self> {
        let half = config.head_dim / 2;
        let base: Vec<f64> = (0..half)
            .map(|i| config.rope_theta.powf(-2.0 * i as f64 / config.head_dim as f64))
            .collect();
        let mut magnitude = 1.0;
        let inv_freq = match &config.rope_scaling {
            RopeScaling::None => base,
            RopeScaling::Linear { factor } => base.iter().map(|f| f / factor).collect(),
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original } => base
                .iter()
                .map(|&freq| {
                    let turns = *original as f64 * freq / (2.0 * PI);
                    let smooth = ((turns - low_freq_factor) / (high_freq_factor - low_freq_factor))
                        .clamp(0.0, 1.0);
                    (1.0 - smooth) * freq / factor + smooth * freq
                })
                .collect(),
            RopeScaling::Yarn { factor, original, beta_fast, beta_slow, attention_factor } => {
                magnitude = *attention_factor;
                let (dim, ln_theta) = (config.head_dim as f64, config.rope_theta.ln());
                let pair_of = |turns: f64| {
                    dim * (*original as f64 / (turns * 2.0 * PI)).ln() / (2.0 * ln_theta)
                };
                let low = pair_of(*beta_fast).floor().max(0.0);
                let high = pair_of(*beta_slow).ceil().min(dim - 1.0);
                let span = if high > low { high - low } else { 0.001 };
                base.iter()
                    .enumerate()
                    .map(|(i, freq)| {
                        let stretched = ((i as f64 - low) / span).clamp(0.0, 1.0);
                        freq / factor * stretched + freq * (1.0 - stretched)
                    })
                    .collect()
            }
            RopeScaling::Divisors { divisors } => {
                if divisors.len() != half {
                    return Err(Error::input(format!(
                        "rope_freqs.weight has {} divisors, expected head_dim/2 = {half}",
                        divisors.len()
                    )));
                }
                base.iter()
                    .zip(divisors)
                    .map(|(freq, &divisor)| freq / f64::from(divisor))
                    .collect()
            }
        };
        Ok(Self { inv_freq, magnitude })
    }

    /// Tokens per full turn of each pair, fast to slow.
    pub fn wavelengths(&self) -> Vec<f64> {
        self.inv_freq.iter().map(|freq| 2.0 * PI / freq).collect()
    }

    /// cos and sin of every pair at one position, each `head_dim / 2` long.
    pub fn angles(&self, position: usize, cos: &mut [f32], sin: &mut [f32]) {
        for ((freq, cos), sin) in self.inv_freq.iter().zip(cos).zip(sin) {
            // The frequency and the angle are f32 because checkpoints were trained with that
            // (transformers does the same).
            let angle = f64::from(*freq as f32 * position as f32);
            *cos = (angle.cos() * self.magnitude) as f32;
            *sin = (angle.sin() * self.magnitude) as f32;
        }
    }

    /// [`Self::angles`] of several positions, each `[positions, head_dim / 2]`.
    pub fn angles_of(&self, positions: impl Iterator<Item = usize>) -> (Vec<f32>, Vec<f32>) {
        let half = self.inv_freq.len();
        let (mut cos, mut sin) = (Vec::new(), Vec::new());
        for position in positions {
            let start = cos.len();
            [&mut cos, &mut sin].into_iter().for_each(|angles| angles.resize(start + half, 0.0));
            self.angles(position, &mut cos[start..], &mut sin[start..]);
        }
        (cos, sin)
    }
}

/// Rotates every head of `x` (`[heads, head_dim]`) by the angles of its position.
pub fn rotate(x: &mut [f32], cos: &[f32], sin: &[f32]) {
    let half = cos.len();
    for head in x.chunks_exact_mut(2 * half) {
        let (first, second) = head.split_at_mut(half);
        for (((a, b), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
            (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
        }
    }
}
