//! How tokens are chosen.

use crate::Result;
use crate::cli::values;
use crate::decode::sampler::Sampling;

/// How tokens are chosen.
#[derive(Debug, Clone, clap::Args)]
pub struct SamplingArgs {
    /// 0 is greedy
    #[arg(long, default_value_t = 0.0, value_name = "T")]
    pub temperature: f32,
    /// Keep the smallest set of tokens that reaches this probability
    #[arg(long, default_value_t = 1.0, value_name = "P")]
    pub top_p: f32,
    /// Keep the K likeliest tokens; 0 keeps all
    #[arg(long, default_value_t = 0, value_name = "K", value_parser = values::number)]
    pub top_k: usize,
    /// Keep tokens of at least this share of the likeliest one's probability
    #[arg(long, default_value_t = 0.0, value_name = "P")]
    pub min_p: f32,
    /// Divide the logits of tokens seen before by this
    #[arg(long, default_value_t = 1.0, value_name = "X")]
    pub repeat_penalty: f32,
    /// Seed of the draws
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub seed: u64,
}

impl SamplingArgs {
    /// The settings, checked.
    pub fn sampling(&self) -> Result<Sampling> {
        let sampling = Sampling {
            repeat_penalty: self.repeat_penalty,
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            seed: self.seed,
        };
        sampling.check()?;
        Ok(sampling)
    }
}
