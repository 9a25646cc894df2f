//! What learning would cost on a large model and one GPU: arithmetic from the model's sizes, by the accounting of the engine.

use crate::model::config::Config;

/// Sustained rates that an estimate rests on.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Rates {
    /// Floating-point operations a second in dense products, 16 bit.
    pub flops: f64,
    /// Bytes a second from device memory.
    pub bandwidth: f64,
}

impl Rates {
    /// Assumed of one 80 GB data-centre GPU: 400 TFLOP/s in large products, 2 TB/s. Not measured here.
    pub const ONE_80GB: Self = Self { flops: 4e14, bandwidth: 2e12 };
}

/// Cost of learning at one context length.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Estimate {
    /// Tokens of the context.
    pub context: usize,
    /// Seconds of one prefill.
    pub prefill_seconds: f64,
    /// Seconds of one update (student forward and backward over answer rows).
    pub step_seconds: f64,
    /// Seconds of all: one prefill per sample of the pool, and every update.
    pub total_seconds: f64,
    /// Weights in 16 bit.
    pub weight_bytes: u64,
    /// Keys and values of one sample in 16 bit.
    pub sample_bytes: u64,
    /// Activations of the answer rows that are kept for the backward pass, f32.
    pub kept_bytes: u64,
    /// The largest buffers of one layer at work, f32: its widened weights, scores and gradients of one head group.
    pub working_bytes: u64,
}

impl Estimate {
    /// Device memory with one sample on the device; the rest of the pool waits in host memory.
    pub fn device_bytes(&self) -> u64 {
        self.weight_bytes + self.sample_bytes + self.kept_bytes + self.working_bytes
    }
}

/// Estimates a run of `updates` updates of `rows` answer rows over a pool of `samples` contexts.
pub fn estimate(config: &Config, rates: Rates, context: usize, rows: usize, updates: usize, samples: usize) -> Estimate {
    let (h, ff, q, kv, d) = (config.hidden, config.intermediate, config.q_width(), config.kv_width(), config.head_dim);
    let linear = h * (q + 2 * kv) + q * h + 3 * h * ff;
    let (n, layers) = (context as f64, config.layers as f64);
    // Causal attention: half of n² scores, two products of 2 q operations each.
    let prefill = layers * (2.0 * linear as f64 * n + 2.0 * n * n * q as f64);
    // Forward and back through the weights; attention: two products forward, five backward.
    let step = layers * rows as f64 * (4.0 * linear as f64 + 14.0 * n * q as f64);
    let kv_bytes = 2 * config.layers * kv * 2;
    // A step reads every weight twice and the sample's keys and values twice.
    let traffic = 4.0 * (linear * config.layers) as f64 + 2.0 * (kv_bytes * context) as f64;
    let step_seconds = (step / rates.flops).max(traffic / rates.bandwidth);
    let prefill_seconds = prefill / rates.flops;
    Estimate {
        context,
        prefill_seconds,
        step_seconds,
        total_seconds: prefill_seconds * samples as f64 + step_seconds * updates as f64,
        weight_bytes: 2 * config.parameters() as u64,
        sample_bytes: (kv_bytes * context) as u64,
        kept_bytes: (4 * config.layers * rows * (2 * h + 2 * q + 2 * kv + 2 * ff)) as u64,
        working_bytes: (4 * (linear + config.kv_heads * (3 * rows * config.group() * context + 2 * context * d))) as u64,
    }
}
