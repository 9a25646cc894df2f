//! How long a decode step takes: bytes over bandwidth, or the line through measured steps.

use super::assumptions::Assumed;
use super::gpu::PlanGpu;
use super::measured::Calibration;
use super::request::CapacityRequest;
use super::store::KvStore;

/// Where a figure comes from. Measured and estimated figures never share a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub enum Label {
    /// This very setting was measured.
    #[serde(rename = "measured")]
    Measured,
    /// From data sheets and assumptions.
    #[serde(rename = "estimated")]
    Estimated,
    /// From a line through measured steps of other settings.
    #[serde(rename = "estimated from measurements")]
    Fitted,
}

impl Label {
    /// The word in reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Estimated => "estimated",
            Self::Fitted => "estimated from measurements",
        }
    }
}

/// The time of a decode step.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct StepEstimate {
    /// Milliseconds.
    pub ms: f64,
    /// Where they come from.
    pub label: Label,
}

impl CapacityRequest {
    /// The measured steps that belong to a GPU.
    pub(super) fn calibration_of(&self, gpu: &PlanGpu) -> Option<&Calibration> {
        self.calibration.as_ref().filter(|(name, _)| *name == gpu.name).map(|(_, steps)| steps)
    }

    /// Bytes of weights that a decode step reads.
    pub fn weights_read(&self, batch: usize) -> f64 {
        self.model.weights.read_in_step(batch)
    }

    /// The time of a decode step of `batch` sequences that hold `ctx` tokens each.
    ///
    /// Without measurements: the weights are read once at the reached share of the bandwidth, or,
    /// if that takes longer, multiplied at the reached share of compute; then K, V and logits are
    /// read. GPUs that share a model share its bytes, K and V as far as there are KV heads.
    pub fn step(
        &self,
        gpu: &PlanGpu,
        store: &KvStore,
        is_dense: bool,
        ctx: usize,
        batch: usize,
    ) -> StepEstimate {
        if let Some(calibration) = self.calibration_of(gpu) {
            let (ms, is_measured) = calibration.step_ms(store, is_dense, ctx, batch);
            let label = if is_measured { Label::Measured } else { Label::Fitted };
            return StepEstimate { ms, label };
        }
        let assumed = |assumed| self.assumptions.get(assumed);
        let gpus = self.gpus_per_model as f64;
        let of_one = |reach| gpu.bandwidth_gbps * 1e9 * assumed(reach);
        let per_second = |reach| of_one(reach) * gpus;
        let read = self.weights_read(batch) / per_second(Assumed::Reach);
        let operations = 2.0 * self.model.weights.active_parameters as f64 * batch as f64;
        let multiplied = gpu
            .tflops
            .map_or(0.0, |tflops| operations / (tflops * 1e12 * assumed(Assumed::Compute) * gpus));
        let reach = if is_dense { Assumed::Reach } else { Assumed::ReachPruned };
        let shards = self.kv_shards() as f64;
        let kv = store.bytes(ctx) as f64 * batch as f64 / (of_one(reach) * shards);
        // Written once and read once.
        let logits = (2 * 4 * self.model.vocab * batch) as f64 / per_second(Assumed::Reach);
        StepEstimate { ms: 1e3 * (read.max(multiplied) + kv + logits), label: Label::Estimated }
    }

    /// Milliseconds of prefill of so many tokens; `None` where the GPU's compute is not known.
    pub fn prefill_ms(&self, gpu: &PlanGpu, tokens: usize) -> Option<f64> {
        let operations = 2.0 * self.model.weights.active_parameters as f64 * tokens as f64;
        let share = self.assumptions.get(Assumed::PrefillCompute);
        let per_second = gpu.tflops? * 1e12 * share * self.gpus_per_model as f64;
        Some(1e3 * operations / per_second)
    }

    /// The context at which K/V of all sequences weigh as much as the weights that a step reads;
    /// `None` where the model's longest context does not reach it.
    pub fn crossover(&self, store: &KvStore, batch: usize) -> Option<usize> {
        // Of one GPU.
        let weights = self.weights_read(batch) / self.gpus_per_model as f64;
        let sequences = batch as f64 / self.kv_shards() as f64;
        let is_heavier = |ctx: usize| store.bytes(ctx) as f64 * sequences >= weights;
        let most = self.model.max_context;
        if !is_heavier(most) {
            return None;
        }
        let (mut low, mut high) = (0, most);
        while high - low > 1 {
            let half = low + (high - low) / 2;
            if is_heavier(half) { high = half } else { low = half }
        }
        Some(high)
    }
}
