//! What learning would cost on a large model and one GPU: arithmetic from the model's sizes, by the
//! accounting of the engine (`learn/engine/device`) and of prefill (`model/device`).

use crate::learn::engine::MOST_BYTES;
use crate::model::config::Config;

/// Sustained rates that an estimate rests on.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Rates {
    /// Floating-point operations a second in dense products, 16 bit.
    pub flops: f64,
    /// The same in TF32, in which attention of a prefill is computed.
    pub flops_tf32: f64,
    /// The same in f32, in which all of an update is computed.
    pub flops_f32: f64,
    /// Bytes a second from device memory.
    pub bandwidth: f64,
    /// Bytes a second from host memory to the device.
    pub bus: f64,
}

impl Rates {
    /// Assumed of one 80 GB data-centre GPU: 400 TFLOP/s in large products, 150 in TF32 and 15 in
    /// f32, 2 TB/s, 10 GB/s from memory that is not pinned. Not measured here.
    pub const ONE_80GB: Self =
        Self { flops: 4e14, flops_tf32: 1.5e14, flops_f32: 1.5e13, bandwidth: 2e12, bus: 1e10 };
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
    /// Keys and values of one sample in 16 bit, in host memory.
    pub sample_bytes: u64,
    /// Activations of the answer rows that are kept for the backward pass, f32.
    pub kept_bytes: u64,
    /// The largest buffers at work: of an update its widened weights, one layer's keys and values,
    /// and scores; of a prefill the rows of all tokens in one layer.
    pub working_bytes: u64,
}

impl Estimate {
    /// Device memory; the pool waits in host memory.
    pub fn device_bytes(&self) -> u64 {
        self.weight_bytes + self.kept_bytes + self.working_bytes
    }
}

/// Passes over the scores in f32, in prefill and forward: a product writes them; the maximum, its
/// difference, exponential, sum and the product with the values read or write them again.
const FORWARD_PASSES: f64 = 8.0;
/// Those of the backward pass.
const BACKWARD_PASSES: f64 = 13.0;
/// Buffers of the size of the scores that the backward pass holds at once, widened keys and values
/// among them.
const SCORE_BUFFERS: usize = 6;
/// Tokens of a prompt that pass the MLP together.
const PROMPT_CHUNK: usize = 2048;

/// Estimates a run of `updates` updates of `rows` answer rows over a pool of `samples` contexts.
pub fn estimate(
    config: &Config,
    rates: Rates,
    context: usize,
    rows: usize,
    updates: usize,
    samples: usize,
) -> Estimate {
    let (h, ff, q, kv, d) =
        (config.hidden, config.intermediate, config.q_width(), config.kv_width(), config.head_dim);
    let linear = h * (q + 2 * kv) + q * h + 3 * h * ff;
    let (n, layers, heads) = (context as f64, config.layers as f64, config.heads as f64);
    let kv_bytes = 2 * config.layers * kv * 2;
    let sample_bytes = (kv_bytes * context) as f64;
    // Causal attention: half of n² scores per head, two products of 2 d operations each, in TF32.
    let causal = layers * heads * n * n / 2.0;
    let prefill_seconds = layers * 2.0 * linear as f64 * n / rates.flops
        + causal * (4.0 * d as f64 / rates.flops_tf32 + 4.0 * FORWARD_PASSES / rates.bandwidth)
        + sample_bytes / rates.bus;
    // Forward and back through the weights; attention: two products forward, three backward.
    let scores = layers * heads * rows as f64 * n;
    let operations = 4.0 * layers * (rows * linear) as f64 + 10.0 * d as f64 * scores;
    // Each pass reads a 16-bit weight, writes it in f32 and reads that: 10 bytes. Keys and values
    // likewise; keys serve a product more.
    let traffic = 20.0 * (linear * config.layers) as f64
        + 11.0 * sample_bytes
        + 4.0 * (FORWARD_PASSES + BACKWARD_PASSES) * scores;
    // Both passes upload the context.
    let step_seconds =
        operations / rates.flops_f32 + traffic / rates.bandwidth + 2.0 * sample_bytes / rates.bus;
    let before_norms = if config.qk_norm { q + kv } else { 0 };
    let kept = 2 * h + 2 * q + 2 * kv + 2 * ff + config.heads + before_norms;
    let head_bytes = 4 * context * (rows * config.group()).max(d);
    let buffer = (config.kv_heads * head_bytes).min(MOST_BYTES.max(head_bytes));
    let step_bytes = 4 * 2 * h * ff + 4 * kv * context + SCORE_BUFFERS * buffer;
    let prefill_bytes =
        4 * context * (3 * h + 2 * q + 4 * kv) + 4 * PROMPT_CHUNK.min(context) * 3 * ff;
    Estimate {
        context,
        prefill_seconds,
        step_seconds,
        total_seconds: prefill_seconds * samples as f64 + step_seconds * updates as f64,
        weight_bytes: 2 * config.parameters() as u64,
        sample_bytes: sample_bytes as u64,
        kept_bytes: (4 * config.layers * rows * kept) as u64,
        working_bytes: step_bytes.max(prefill_bytes) as u64,
    }
}
