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
    /// NTK scaling by the length of the text: beyond `original` tokens theta grows with the length.
    Dynamic {
        /// The stretch.
        factor: f64,
        /// Context of pretraining, tokens.
        original: usize,
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
        /// Whether the ramp begins and ends at whole pairs.
        truncate: bool,
        /// Factor on cos and sin.
        attention_factor: f64,
    },
    /// LongRoPE: a divisor per frequency, one set up to `original` tokens and another beyond.
    LongRope {
        /// Divisors of texts up to `original` tokens, `head_dim / 2` of them, fast to slow.
        short: Vec<f64>,
        /// Divisors of longer texts.
        long: Vec<f64>,
        /// Context of pretraining, tokens.
        original: usize,
        /// Factor on cos and sin.
        attention_factor: f64,
    },
}

/// The longest context, in tokens.
pub(in crate::model) const LONGEST: usize = 1 << 30;

/// Stretches and thetas above this mean nothing: f32 ends there.
const LARGEST: f64 = 1e30;
/// The smallest: below, its own powers and quotients are no numbers any more.
const SMALLEST: f64 = 1e-30;

/// Factors on cos and sin beyond this mean nothing.
const LOUDEST: f64 = 1e6;

impl RopeScaling {
    /// YaRN's temperature for a stretch, `0.1 weight ln(factor) + 1` (paper, section 3.4, with a
    /// weight of 1).
    pub fn yarn_attention_factor(factor: f64, weight: f64) -> f64 {
        if factor <= 1.0 { 1.0 } else { 0.1 * weight * factor.ln() + 1.0 }
    }

    /// LongRoPE's temperature for a stretch (arXiv 2402.13753, its released code).
    pub fn longrope_attention_factor(factor: f64, original: usize) -> f64 {
        if factor <= 1.0 { 1.0 } else { (1.0 + factor.ln() / (original as f64).ln()).sqrt() }
    }

    /// Tokens of the context that a model of `trained` tokens may see.
    pub fn context(&self, trained: usize) -> usize {
        let stretched =
            |factor: f64, original: usize| ((factor * original as f64) as usize).min(LONGEST);
        match self {
            Self::Yarn { factor, original, .. } | Self::Dynamic { factor, original } => {
                trained.max(stretched(*factor, *original))
            }
            _ => trained,
        }
    }

    pub(super) fn check(&self, head_dim: usize) -> Result<()> {
        match self {
            Self::None => Ok(()),
            Self::Linear { factor } => positive("factor", *factor),
            Self::Dynamic { factor, original } => {
                if head_dim <= 2 {
                    return Err(Error::input(format!(
                        "dynamic rope scaling needs more than 2 channels a head, not {head_dim}"
                    )));
                }
                context(*original)?;
                positive("factor", *factor)
            }
            Self::Llama3 { factor, low_freq_factor, high_freq_factor, original } => {
                positive("low_freq_factor", *low_freq_factor)?;
                positive("high_freq_factor", *high_freq_factor)?;
                context(*original)?;
                positive("factor", *factor)
            }
            Self::Yarn { factor, original, beta_fast, beta_slow, attention_factor, .. } => {
                positive("beta_fast", *beta_fast)?;
                positive("beta_slow", *beta_slow)?;
                check_magnitude("attention_factor", *attention_factor)?;
                context(*original)?;
                positive("factor", *factor)
            }
            Self::LongRope { short, long, original, attention_factor } => {
                for (name, divisors) in [("short_factor", short), ("long_factor", long)] {
                    check_divisors(name, divisors.iter().copied(), head_dim)?;
                }
                check_magnitude("attention_factor", *attention_factor)?;
                context(*original)
            }
        }
    }
}

/// Refuses divisors of frequencies that are not one positive number for each pair of channels.
pub(super) fn check_divisors(
    name: &str,
    mut divisors: impl ExactSizeIterator<Item = f64>,
    head_dim: usize,
) -> Result<()> {
    if divisors.len() != head_dim / 2 {
        return Err(Error::input(format!(
            "`{name}` has {} divisors of rope frequencies, expected head_dim/2 = {}",
            divisors.len(),
            head_dim / 2
        )));
    }
    divisors.try_for_each(|divisor| positive(name, divisor))
}

/// Refuses what is no positive number of a sensible size, by name.
pub(super) fn positive(name: &str, value: f64) -> Result<()> {
    if (SMALLEST..=LARGEST).contains(&value) {
        Ok(())
    } else {
        Err(Error::input(format!(
            "`{name}` must be a positive number from {SMALLEST:e} to {LARGEST:e}, not {value:?}"
        )))
    }
}

/// Refuses a factor on cos and sin that is no sensible number, by name. Only its square counts in
/// attention, so it may be negative, and with 0 all tokens are alike.
pub(super) fn check_magnitude(name: &str, value: f64) -> Result<()> {
    if value.abs() <= LOUDEST {
        Ok(())
    } else {
        Err(Error::input(format!(
            "`{name}` must be a number from {} to {LOUDEST}, not {value:?}",
            -LOUDEST
        )))
    }
}

fn context(original: usize) -> Result<()> {
    if (1..=LONGEST).contains(&original) {
        Ok(())
    } else {
        Err(Error::input(format!(
            "rope scaling needs an original context of 1 to {LONGEST} tokens, not {original}"
        )))
    }
}
