//! How rotary frequencies are scaled beyond the context of pretraining: a part of a model's
//! configuration.

use crate::{Error, Result};

/// How the frequencies are scaled beyond the context of pretraining.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum RopeScaling {
    /// Frequencies as trained.
    None,
    /// Every position divided by `factor`.
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// Llama 3.1: slow frequencies divided by `factor`, fast ones kept, a ramp between.
    Llama3 {
        /// The divisor of slow frequencies.
        factor: f64,
        /// Wavelengths above `original / low` are slow.
        low_freq_factor: f64,
        /// Wavelengths below `original / high` are fast.
        high_freq_factor: f64,
        /// Context of pretraining, tokens.
        original: usize,
    },
    /// YaRN: a ramp between scaled and kept frequencies by rotations per original context, and a
    /// temperature on the logits.
    Yarn {
        /// The divisor of scaled frequencies.
        factor: f64,
        /// Context of pretraining, tokens.
        original: usize,
        /// Rotations from which on a frequency is kept.
        beta_fast: f64,
        /// Rotations up to which it is scaled.
        beta_slow: f64,
        /// Factor on cos and sin.
        attention_factor: f64,
    },
    /// Divisors per frequency, as GGUF files carry them in `rope_freqs.weight`.
    Divisors {
        /// `head_dim / 2` of them, fast to slow.
        divisors: Vec<f32>,
    },
}

impl RopeScaling {
    /// YaRN's temperature for a scaling factor, `0.1 ln(factor) + 1` (paper, section 3.4).
    pub fn yarn_attention_factor(factor: f64) -> f64 {
        if factor <= 1.0 { 1.0 } else { 0.1 * factor.ln() + 1.0 }
    }

    pub(super) fn check(&self) -> Result<()> {
        let factor = match self {
            Self::None => return Ok(()),
            Self::Divisors { divisors } => {
                return match divisors.iter().find(|d| !(d.is_finite() && **d > 0.0)) {
                    Some(bad) => Err(Error::input(format!(
                        "rope_freqs.weight holds {bad}; divisors must be positive"
                    ))),
                    None => Ok(()),
                };
            }
            Self::Linear { factor } => *factor,
            Self::Llama3 { factor, low_freq_factor, high_freq_factor, .. } => {
                if low_freq_factor >= high_freq_factor {
                    return Err(Error::input(format!(
                        "llama3 rope scaling needs low_freq_factor below high_freq_factor, not {low_freq_factor} and {high_freq_factor}"
                    )));
                }
                *factor
            }
            Self::Yarn { factor, .. } => *factor,
        };
        if factor.is_finite() && factor > 0.0 {
            Ok(())
        } else {
            Err(Error::input(format!("the rope scaling factor must be positive, not {factor}")))
        }
    }
}
