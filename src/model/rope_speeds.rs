//! The speeds of the rotary embedding and how they are scaled.
//!
//! Frequencies follow RoPE (arXiv 2104.09864), the `llama3` scaling of the Llama-3.1 release, YaRN
//! (arXiv 2309.00071), NTK scaling by length as transformers' `dynamic` does it, and LongRoPE
//! (arXiv 2402.13753).

use std::borrow::Cow;
use std::f64::consts::PI;

use crate::Result;
use crate::model::config::Config;
use crate::model::rope_scaling::RopeScaling;

/// Rotation speeds of the layers that rotate alike.
#[derive(Debug, Clone)]
pub(super) struct RopeSpeeds {
    /// Radians per token of each pair, `head_dim / 2` of them, fast to slow; 0 for those that do
    /// not rotate, which come last.
    inv_freq: Vec<f64>,
    /// What holds instead in longer texts.
    beyond: Option<Beyond>,
    /// Factor on cos and sin (1 but for YaRN, LongRoPE and files that state one).
    magnitude: f64,
}

/// Rotation speeds of texts longer than the context of pretraining.
#[derive(Debug, Clone)]
struct Beyond {
    /// The longest text to which they do not apply, tokens.
    original: usize,
    speeds: Speeds,
}

#[derive(Debug, Clone)]
enum Speeds {
    /// The same for every longer text.
    Fixed(Vec<f64>),
    /// By a theta that grows with the length.
    Grown { factor: f64, theta: f64, rotated: usize, pairs: usize },
}

impl RopeSpeeds {
    /// Those of layers that do not rotate.
    pub(super) fn none(config: &Config) -> Self {
        Self { inv_freq: vec![0.0; config.head_dim / 2], beyond: None, magnitude: 1.0 }
    }

    /// Those of a base of their own, without scaling.
    pub(super) fn unscaled(config: &Config, theta: f64) -> Self {
        let inv_freq = padded(speeds(theta, config.rotated()), config.head_dim / 2);
        Self { inv_freq, beyond: None, magnitude: 1.0 }
    }

    /// Those of a model's usual layers.
    pub(super) fn usual(config: &Config) -> Result<Self> {
        config.check_rope()?;
        let (rotated, pairs) = (config.rotated(), config.head_dim / 2);
        let base = speeds(config.rope_theta, rotated);
        let mut magnitude = config.rope_magnitude;
        let mut beyond = None;
        let divided = |divisors: &[f64]| -> Vec<f64> {
            base.iter().zip(divisors).map(|(f, d)| f / d).collect()
        };
        let mut inv_freq: Vec<f64> = match &config.rope_scaling {
            RopeScaling::None => base,
            RopeScaling::Linear { factor } => base.iter().map(|f| f / factor).collect(),
            RopeScaling::Dynamic { factor, original } => {
                let theta = config.rope_theta;
                let speeds = Speeds::Grown { factor: *factor, theta, rotated, pairs };
                beyond = Some(Beyond { original: *original, speeds });
                base
            }
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original } => base
                .iter()
                .map(|&freq| {
                    let turns = *original as f64 * freq / (2.0 * PI);
                    if turns < *low_freq_factor {
                        return freq / factor;
                    }
                    if turns > *high_freq_factor {
                        return freq;
                    }
                    let smooth = (turns - low_freq_factor) / (high_freq_factor - low_freq_factor);
                    (1.0 - smooth) * freq / factor + smooth * freq
                })
                .collect(),
            RopeScaling::Yarn { factor, attention_factor, .. } => {
                magnitude *= attention_factor;
                let kept = yarn_kept(config);
                base.iter()
                    .zip(kept)
                    .map(|(f, kept)| f / factor * (1.0 - kept) + f * kept)
                    .collect()
            }
            RopeScaling::LongRope { short, long, original, attention_factor } => {
                magnitude *= attention_factor;
                let speeds = Speeds::Fixed(padded(divided(long), pairs));
                beyond = Some(Beyond { original: *original, speeds });
                divided(short)
            }
        };
        for (freq, &divisor) in inv_freq.iter_mut().zip(config.rope_divisors.iter().flatten()) {
            *freq /= f64::from(divisor);
        }
        Ok(Self { inv_freq: padded(inv_freq, pairs), beyond, magnitude })
    }

    /// Tokens per full turn of each pair, fast to slow, in texts within the context of pretraining.
    pub(super) fn wavelengths(&self) -> Vec<f64> {
        self.inv_freq.iter().map(|freq| 2.0 * PI / freq).collect()
    }

    /// cos and sin of every pair of a token that is decoded at `position`, each `head_dim / 2`
    /// long.
    pub(super) fn angles(&self, position: usize, cos: &mut [f32], sin: &mut [f32]) {
        self.turn(&self.speeds_of(position + 1), position, cos, sin);
    }

    /// The same of several tokens, each `[positions, head_dim / 2]`. Each is rotated as in a text
    /// that ends with it, which is how decoding goes.
    pub(super) fn angles_of(&self, positions: impl Iterator<Item = usize>) -> [Vec<f32>; 2] {
        self.rows(positions, |position| self.speeds_of(position + 1))
    }

    /// The angles of a whole prompt of `n` tokens, all of which are rotated as its length asks for.
    pub(super) fn prompt_angles(&self, n: usize) -> [Vec<f32>; 2] {
        let speeds = self.speeds_of(n);
        self.rows(0..n, |_| Cow::Borrowed(&*speeds))
    }

    fn rows<'a>(
        &self,
        positions: impl Iterator<Item = usize>,
        speeds: impl Fn(usize) -> Cow<'a, [f64]>,
    ) -> [Vec<f32>; 2] {
        let half = self.inv_freq.len();
        let (mut cos, mut sin) = (Vec::new(), Vec::new());
        for position in positions {
            let start = cos.len();
            [&mut cos, &mut sin].into_iter().for_each(|angles| angles.resize(start + half, 0.0));
            self.turn(&speeds(position), position, &mut cos[start..], &mut sin[start..]);
        }
        [cos, sin]
    }

    fn turn(&self, speeds: &[f64], position: usize, cos: &mut [f32], sin: &mut [f32]) {
        for ((freq, cos), sin) in speeds.iter().zip(cos).zip(sin) {
            if *freq == 0.0 {
                (*cos, *sin) = (1.0, 0.0);
                continue;
            }
            // The frequency and the angle are f32 because checkpoints were trained with that
            // (transformers does the same).
            let angle = f64::from(*freq as f32 * position as f32);
            *cos = (angle.cos() * self.magnitude) as f32;
            *sin = (angle.sin() * self.magnitude) as f32;
        }
    }

    /// Rotation speeds of a text of `len` tokens.
    fn speeds_of(&self, len: usize) -> Cow<'_, [f64]> {
        match &self.beyond {
            Some(Beyond { original, speeds: of_long }) if len > *original => match of_long {
                Speeds::Fixed(fixed) => Cow::Borrowed(fixed),
                Speeds::Grown { factor, theta, rotated, pairs } => {
                    let dim = *rotated as f64;
                    let grown = factor * len as f64 / *original as f64 - (factor - 1.0);
                    let theta = theta * grown.powf(dim / (dim - 2.0));
                    Cow::Owned(padded(speeds(theta, *rotated), *pairs))
                }
            },
            _ => Cow::Borrowed(&self.inv_freq),
        }
    }
}

/// Radians per token of each pair, unscaled.
fn speeds(theta: f64, rotated: usize) -> Vec<f64> {
    (0..rotated / 2).map(|i| theta.powf(-2.0 * i as f64 / rotated as f64)).collect()
}

/// The same with pairs that do not rotate after those that do.
fn padded(mut speeds: Vec<f64>, pairs: usize) -> Vec<f64> {
    speeds.resize(pairs, 0.0);
    speeds
}

/// How much of each pair's speed YaRN keeps: 1 for fast pairs, 0 for those that it stretches.
fn yarn_kept(config: &Config) -> Vec<f64> {
    let RopeScaling::Yarn { original, beta_fast, beta_slow, truncate, .. } = config.rope_scaling
    else {
        return Vec::new();
    };
    let (dim, ln_theta) = (config.rotated() as f64, config.rope_theta.ln());
    let pair_of = |turns: f64| dim * (original as f64 / (turns * 2.0 * PI)).ln() / (2.0 * ln_theta);
    let (mut low, mut high) = (pair_of(beta_fast), pair_of(beta_slow));
    if truncate {
        (low, high) = (low.floor(), high.ceil());
    }
    let (low, high) = (low.max(0.0), high.min(dim - 1.0));
    let span = if high == low { 0.001 } else { high - low };
    (0..config.rotated() / 2).map(|i| 1.0 - ((i as f64 - low) / span).clamp(0.0, 1.0)).collect()
}
