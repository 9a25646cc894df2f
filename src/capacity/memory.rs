//! What fits a GPU: weights, activations, reserve and the caches of all sequences.

use super::assumptions::Assumed;
use super::gpu::PlanGpu;
use super::request::CapacityRequest;
use super::store::KvStore;

const GIB: f64 = (1_u64 << 30) as f64;

/// Memory of one GPU that serves its part of a model, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct GpuMemory {
    /// What the driver shows, less the reserve.
    pub usable: f64,
    /// Weights.
    pub weights: f64,
    /// Activations of a chunk of prefill.
    pub activations: f64,
    /// Logits of one sequence, in f32.
    pub logits: f64,
    /// GPUs that share each sequence's cache.
    shards: f64,
}

/// How much of a kind of cache fits a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Room {
    /// Whether so many sequences of so many tokens fit.
    pub fits: bool,
    /// The longest context at that batch, at most the model's own; 0 where nothing fits.
    pub max_ctx: usize,
    /// The most sequences of that context.
    pub max_batch: usize,
}

impl GpuMemory {
    /// The memory of one of the GPUs that serve the request's model together.
    pub fn of(request: &CapacityRequest, gpu: &PlanGpu) -> Self {
        let (model, assumed) = (&request.model, &request.assumptions);
        let gpus = request.gpus_per_model as f64;
        // Residual, normed input, q with k and v, and attention's output; gate, up and product.
        let numbers = 4 * model.hidden + 3 * model.widest;
        Self {
            usable: gpu.memory() - assumed.get(Assumed::Reserve) * GIB,
            weights: model.weights.bytes / gpus,
            activations: assumed.get(Assumed::PrefillTokens) * (2 * numbers) as f64,
            logits: 4.0 * model.vocab as f64,
            shards: request.kv_shards() as f64,
        }
    }

    /// Bytes of one sequence that grows to `ctx` tokens.
    fn sequence(&self, store: &KvStore, ctx: usize) -> f64 {
        store.reserved(ctx) as f64 / self.shards + self.logits
    }

    /// Bytes left for sequences.
    pub fn left(&self) -> f64 {
        self.usable - self.weights - self.activations
    }

    /// The most sequences of `ctx` tokens.
    pub fn max_batch(&self, store: &KvStore, ctx: usize) -> usize {
        (self.left() / self.sequence(store, ctx)).max(0.0) as usize
    }

    /// The longest context of `batch` sequences, up to `most`.
    pub fn max_ctx(&self, store: &KvStore, batch: usize, most: usize) -> usize {
        let fits = |ctx: usize| batch as f64 * self.sequence(store, ctx) <= self.left();
        // Fits at `low` (or low is 0), does not fit at `high`.
        let (mut low, mut high) = (0, most + 1);
        while high - low > 1 {
            let half = low + (high - low) / 2;
            if fits(half) { low = half } else { high = half }
        }
        low
    }

    /// What fits of a kind of cache.
    pub fn room(&self, store: &KvStore, ctx: usize, batch: usize, most: usize) -> Room {
        let max_batch = self.max_batch(store, ctx);
        Room { fits: batch <= max_batch, max_ctx: self.max_ctx(store, batch, most), max_batch }
    }
}
