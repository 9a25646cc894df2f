//! The cost of learning on a large model and one GPU, computed from the model's sizes. It counts
//! what the engine (`learn/engine/device`) and prefill (`model/device`) allocate and compute.

use crate::learn::engine::MOST_BYTES;
use crate::model::config::Config;

/// Assumed sustained rates.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Rates {
    /// Floating-point operations per second in 16-bit matmuls.
    pub flops: f64,
    /// Floating-point operations per second in TF32, which prefill attention uses.
    pub flops_tf32: f64,
    /// Floating-point operations per second in f32, which an update uses throughout.
    pub flops_f32: f64,
    /// Bytes per second from device memory.
    pub bandwidth: f64,
    /// Bytes per second from host memory to the device.
    pub bus: f64,
}

impl Rates {
    /// Assumed for one 80 GB data-centre GPU: 400 TFLOP/s in large matmuls, 150 in TF32 and 15 in
    /// f32, 2 TB/s, and 10 GB/s from memory that is not pinned. Not measured.
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
    /// Total seconds: one prefill per sample of the pool, and every update.
    pub total_seconds: f64,
    /// Bytes of the weights in 16 bit.
    pub weight_bytes: u64,
    /// Bytes of keys and values of one sample in 16 bit, in host memory.
    pub sample_bytes: u64,
    /// Bytes of the activations of the answer rows that are kept for the backward pass, in f32.
    pub kept_bytes: u64,
    /// Bytes of the largest working buffers. In an update: a layer's weights in f32, one layer's
    /// keys and values, and scores. In a prefill: the rows of all tokens in one layer.
    pub working_bytes: u64,
}

impl Estimate {
    /// Bytes of device memory; the pool stays in host memory.
    pub fn device_bytes(&self) -> u64 {
        self.weight_bytes + self.kept_bytes + self.working_bytes
    }
}

/// Number of passes over the f32 scores in prefill and forward: a matmul writes them; the maximum,
/// the difference from it, the exponential, the sum and the matmul with the values read or write
/// them again.
const FORWARD_PASSES: f64 = 8.0;
/// Number of passes over the scores in the backward pass.
const BACKWARD_PASSES: f64 = 13.0;
/// Number of buffers of the size of the scores that the backward pass holds at once, including keys
/// and values in f32.
const SCORE_BUFFERS: usize = 6;
/// Tokens of a prompt that go through the MLP at once.
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
    // Causal attention: half of n² scores per head, two matmuls of 2 d operations each, in TF32.
    let causal = layers * heads * n * n / 2.0;
    let prefill_seconds = layers * 2.0 * linear as f64 * n / rates.flops
        + causal * (4.0 * d as f64 / rates.flops_tf32 + 4.0 * FORWARD_PASSES / rates.bandwidth)
        + sample_bytes / rates.bus;
    // Forward and backward through the weights; attention: two matmuls forward, three backward.
    let scores = layers * heads * rows as f64 * n;
    let operations = 4.0 * layers * (rows * linear) as f64 + 10.0 * d as f64 * scores;
    // Each pass reads a 16-bit weight, writes it in f32 and reads that: 10 bytes. Keys and values
    // are the same, and keys are used in one more matmul.
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
