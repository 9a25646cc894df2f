//! The cost of learning, computed from the model's sizes: on a large model and one GPU at assumed
//! rates, and on this machine at rates that a session measured. It counts what the engine
//! (`learn/engine/device`) and prefill (`model/device`) allocate and compute.

use crate::learn::check::{answer_steps, text_windows};
use crate::learn::engine::MOST_BYTES;
use crate::learn::run::{LearnMethod, VALIDATION};
use crate::learn::sensitivity::SensitivitySettings;
use crate::learn::worker::Order;
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
        (config.hidden, config.widest_mlp(), config.q_width(), config.kv_width(), config.head_dim);
    let linear = linear_of_token(config);
    let (n, layers, heads) = (context as f64, config.layers as f64, config.heads as f64);
    let kv_bytes = 2 * config.layers * kv * 2;
    let sample_bytes = (kv_bytes * context) as f64;
    // Causal attention: half of n² scores per head, two matmuls of 2 d operations each, in TF32.
    let causal = layers * heads * n * n / 2.0;
    let prefill_seconds = 2.0 * linear * n / rates.flops
        + causal * (4.0 * d as f64 / rates.flops_tf32 + 4.0 * FORWARD_PASSES / rates.bandwidth)
        + sample_bytes / rates.bus;
    // Forward and backward through the weights; attention: two matmuls forward, three backward.
    let scores = layers * heads * rows as f64 * n;
    let operations = 4.0 * rows as f64 * linear + 10.0 * d as f64 * scores;
    // Each pass reads a 16-bit weight, writes it in f32 and reads that: 10 bytes. Keys and values
    // are the same, and keys are used in one more matmul.
    let traffic = 20.0 * linear_of_rows(config, rows)
        + 11.0 * sample_bytes
        + 4.0 * (FORWARD_PASSES + BACKWARD_PASSES) * scores;
    // Both passes upload the context.
    let step_seconds =
        operations / rates.flops_f32 + traffic / rates.bandwidth + 2.0 * sample_bytes / rates.bus;
    let before_norms = if config.qk_norm { q + kv } else { 0 };
    let before_last = if config.architecture.norms.after { 2 * h } else { 0 };
    let kept = 2 * h + 2 * q + 2 * kv + config.heads + before_norms + before_last;
    let gates: usize = (0..config.layers).map(|layer| 2 * config.mlp_width(layer)).sum();
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
        kept_bytes: (4 * rows * (config.layers * kept + gates)) as u64,
        working_bytes: step_bytes.max(prefill_bytes) as u64,
    }
}

/// Weights of all layers' linear parts that one token goes through.
fn linear_of_token(config: &Config) -> f64 {
    linear_of_rows(config, 1)
}

/// The same that some of so many tokens go through. Each token picks its experts on its own.
fn linear_of_rows(config: &Config, rows: usize) -> f64 {
    let (h, q, kv) = (config.hidden, config.q_width(), config.kv_width());
    let attention = config.layers * (h * (q + 2 * kv) + q * h);
    let mlp = |layer| match config.experts(layer) {
        None => 3.0 * (h * config.intermediate) as f64,
        Some(mixture) => {
            let picked = 1.0 - (1.0 - config.expert_share()).powf(rows as f64);
            3.0 * (h * mixture.width * mixture.count) as f64 * picked + (h * mixture.count) as f64
        }
    };
    attention as f64 + (0..config.layers).map(mlp).sum::<f64>()
}

/// Answer rows of a sample: about what the recall tasks ask for.
pub const ANSWER_ROWS: usize = 40;

/// Times as long as at the rates of a prefill that an update takes on the CPU: its products have few
/// rows. Measured: 2.2 with SmolLM2 at 1,266 tokens, 2.5 with the demo at 320.
const HOST_UPDATE: f64 = 2.3;
/// Times as long as its context's prefill that a sample takes, questions and teacher included.
/// Measured with SmolLM2 at 1,266 tokens.
const SAMPLE: f64 = 1.12;

/// What a session measured of this machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Tokens of its prompt.
    pub prompt_tokens: usize,
    /// Seconds of the prefill.
    pub prefill_seconds: f64,
    /// Seconds of a decode step.
    pub step_seconds: f64,
    /// Bytes of the weights in memory.
    pub weight_bytes: u64,
}

impl Pace {
    /// The rates that the session reached: all operations of its prefill in its time, and all
    /// weights in the time of a step.
    pub fn rates(&self, config: &Config) -> Rates {
        let (n, layers) = (self.prompt_tokens as f64, config.layers as f64);
        let attention = 4.0 * (config.heads * config.head_dim) as f64 * n * n / 2.0;
        let linear = linear_of_token(config);
        let flops = (2.0 * linear * n + layers * attention) / self.prefill_seconds.max(1e-9);
        Rates {
            flops,
            flops_tf32: flops,
            flops_f32: flops,
            bandwidth: self.weight_bytes as f64 / self.step_seconds.max(1e-9),
            // There is no bus between the host and itself.
            bus: f64::INFINITY,
        }
    }
}

/// About what a run of learning takes on this machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RunEstimate {
    /// Seconds of all prefills or of the measurement, of all updates, and of the check.
    pub seconds: [f64; 3],
    /// Bytes besides the weights.
    pub bytes: u64,
}

impl RunEstimate {
    /// Seconds of the whole.
    pub fn total(&self) -> f64 {
        self.seconds.iter().sum()
    }
}

/// Estimates a run on this machine: the measurement, or prefills of a pool and updates; and the
/// check. The time to read and cut texts is left out.
pub fn estimate_run(config: &Config, pace: &Pace, order: &Order) -> RunEstimate {
    let Order { settings, lengths, check_prompts: prompts, .. } = order;
    let rates = pace.rates(config);
    let at = |tokens: usize| estimate(config, rates, tokens, ANSWER_ROWS, 1, 1);
    // Prompts of the check have two fifths and four fifths of the longest context, its windows of
    // text about 1,280 tokens.
    let prompt = at((lengths.1 * 3 / 5).max(lengths.0)).prefill_seconds;
    let window = at(1280.min(config.max_context)).prefill_seconds;
    let check = prompt * *prompts as f64
        + window * text_windows(*prompts) as f64
        + answer_steps(*prompts) as f64 * pace.step_seconds;
    match order.method {
        LearnMethod::Sensitivity => {
            let usual = SensitivitySettings::new(config);
            let tokens = usual.window_tokens.min(lengths.1);
            let cost = |tokens: usize, rows: usize| {
                let one = estimate(config, rates, tokens, rows, 1, 1);
                SAMPLE * one.prefill_seconds + HOST_UPDATE * one.step_seconds
            };
            let text = cost(tokens, usual.rows.min(tokens / 4).max(1));
            let recall = cost(tokens / 2, ANSWER_ROWS);
            let largest = estimate(config, rates, tokens, usual.rows, 1, 1);
            RunEstimate {
                seconds: [
                    text * order.windows as f64 + recall * usual.recall_samples as f64,
                    0.0,
                    check,
                ],
                bytes: largest.sample_bytes + largest.kept_bytes + largest.working_bytes,
            }
        }
        LearnMethod::Leank => {
            let samples = order.pool + VALIDATION;
            let passes = settings.steps + settings.mask_steps * settings.accumulate;
            let (mean, longest) = (at((lengths.0 + lengths.1) / 2), at(lengths.1));
            // Every update of stage 2 is validated by forward passes, which are half of an update's.
            let validations = match settings.mask_steps {
                0 => 0.0,
                steps => (VALIDATION * (steps + 1)) as f64 / 2.0,
            };
            RunEstimate {
                seconds: [
                    SAMPLE * mean.prefill_seconds * samples as f64,
                    HOST_UPDATE * mean.step_seconds * (passes as f64 + validations),
                    check,
                ],
                bytes: mean.sample_bytes * samples as u64
                    + longest.kept_bytes
                    + longest.working_bytes,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::train::Settings;
    use crate::model::arch;

    const PACE: Pace = Pace {
        prompt_tokens: 1000,
        prefill_seconds: 2.0,
        step_seconds: 0.02,
        weight_bytes: 270_000_000,
    };

    #[test]
    fn a_prompt_as_long_as_the_measured_one_takes_as_long() {
        let config = arch::known_config("llama-3.2-1b").expect("a known shape");
        let one = estimate(&config, PACE.rates(&config), 1000, ANSWER_ROWS, 1, 1);
        // The passes over the scores come on top of the operations.
        assert!((2.0..4.0).contains(&one.prefill_seconds), "{}", one.prefill_seconds);
    }

    #[test]
    fn more_of_anything_takes_longer_and_a_longer_context_more_memory() {
        let config = arch::known_config("llama-3.2-1b").expect("a known shape");
        let order = |method, windows, pool, most, check_prompts| Order {
            generation: 0,
            method,
            haystack: Vec::new(),
            settings: Settings::for_sparsity(0.7),
            lengths: (most / 4, most),
            windows,
            pool,
            check_prompts,
            resume: false,
            out: "m.safetensors".into(),
        };
        let of = |pool, most, prompts| {
            estimate_run(&config, &PACE, &order(LearnMethod::Leank, 12, pool, most, prompts))
        };
        let base = of(96, 2048, 60);
        let [more, longer, checked] = [of(192, 2048, 60), of(96, 4096, 60), of(96, 2048, 120)];
        assert!(more.seconds[0] > 1.8 * base.seconds[0] && more.seconds[1] == base.seconds[1]);
        assert!(longer.total() > base.total() && longer.bytes > base.bytes);
        assert!(more.bytes > base.bytes && checked.bytes == base.bytes);
        assert!(checked.seconds[2] > 1.5 * base.seconds[2]);
        assert_eq!(of(96, 2048, 0).seconds[2], 0.0, "without a check there is none");
        let measured = |windows, most| {
            estimate_run(&config, &PACE, &order(LearnMethod::Sensitivity, windows, 96, most, 60))
        };
        let [few, many] = [measured(4, 2048), measured(16, 2048)];
        assert!(many.seconds[0] > 2.0 * few.seconds[0] && many.bytes == few.bytes);
        assert!(few.seconds[1] == 0.0 && few.seconds[2] == base.seconds[2]);
        assert!(measured(4, 512).seconds[0] < few.seconds[0] && few.bytes < base.bytes);
    }
}
