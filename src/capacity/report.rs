//! The plan itself: one row for each context, batch and GPU, and what stands around them.

use chrono::NaiveDate;
use serde_json::Value;

use super::assumptions::Assumed;
use super::cost::{Load, LoadRow, Project, Scenario};
use super::gpu::PlanGpu;
use super::measured::{FitCheck, StepLine};
use super::memory::{GpuMemory, Room};
use super::request::{CapacityRequest, StoredMiddle};
use super::speed::Label;
use super::store::{KvStore, PLAIN};
use crate::Result;
use crate::mask::Window;
use crate::model::served::ServedModel;
use crate::numbers::count;

/// A day in the form YYYY-MM-DD; the error ends a sentence.
pub fn date(text: &str) -> std::result::Result<NaiveDate, String> {
    NaiveDate::parse_from_str(text, "%Y-%m-%d")
        .map_err(|_| format!("must be a day such as 2026-11-09, not `{text}`"))
}

/// One context, batch and GPU.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct CapacityRow {
    /// Tokens of each sequence.
    pub ctx: usize,
    /// Sequences decoded together.
    pub batch: usize,
    /// The GPU.
    pub gpu: String,
    /// Bytes of the weights.
    pub weights_bytes: u64,
    /// Bytes of K/V elements of all sequences, dense.
    pub kv_bytes_dense: u64,
    /// Bytes of K/V elements of all sequences, as stored.
    pub kv_bytes: u64,
    /// Bytes that the allocator holds for them, dense.
    pub kv_allocated_bytes_dense: u64,
    /// Bytes that the allocator holds for them, as stored.
    pub kv_allocated_bytes: u64,
    /// Bytes to set aside for sequences that grow to this context, dense.
    pub kv_reserved_bytes_dense: u64,
    /// Bytes to set aside for sequences that grow to this context, as stored.
    pub kv_reserved_bytes: u64,
    /// Whether weights, activations, reserve and what is set aside fit, dense.
    pub fits_dense: bool,
    /// The same as stored.
    pub fits: bool,
    /// The longest context at this batch, dense; at most the model's own.
    pub max_ctx_dense: usize,
    /// The same as stored.
    pub max_ctx: usize,
    /// The most sequences of this context, dense.
    pub max_batch_dense: usize,
    /// The same as stored.
    pub max_batch: usize,
    /// Time of a decode step, dense; `None` where it does not fit.
    pub step_ms_dense: Option<f64>,
    /// The same as stored.
    pub step_ms: Option<f64>,
    /// Where the time of the dense step comes from.
    pub label_dense: Label,
    /// Where the time of the step comes from.
    pub label: Label,
    /// US dollars for a million output tokens, dense; `None` without a price or where it does not
    /// fit.
    pub usd_per_million_dense: Option<f64>,
    /// The same as stored.
    pub usd_per_million: Option<f64>,
}

/// The same setting with a plain cache of few bits and no mask.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct PlainRow {
    /// Which.
    pub cache: &'static str,
    /// Tokens of each sequence.
    pub ctx: usize,
    /// Sequences decoded together.
    pub batch: usize,
    /// The GPU.
    pub gpu: String,
    /// Bytes of K/V elements of all sequences.
    pub kv_bytes: u64,
    /// What fits.
    #[serde(flatten)]
    pub room: Room,
    /// Time of a decode step; `None` where it does not fit.
    pub step_ms: Option<f64>,
    /// Where it comes from.
    pub label: Label,
    /// US dollars for a million output tokens.
    pub usd_per_million: Option<f64>,
}

/// The context at which K/V weigh as much as the weights that a step reads.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Crossover {
    /// Sequences.
    pub batch: usize,
    /// Dense; `None` beyond the model's context.
    pub dense: Option<usize>,
    /// As stored.
    pub stored: Option<usize>,
}

/// A plan.
#[derive(Debug, Clone, serde::Serialize)]
pub struct CapacityReport {
    /// The day that it was made, YYYY-MM-DD.
    pub date: String,
    /// The model.
    pub model: ServedModel,
    /// The model's layers in words.
    pub layers: String,
    /// Element type of the cache.
    pub kv_dtype: String,
    /// What the middle of the cache stores.
    pub stored: String,
    /// Whether that is everything, so that there is nothing to compare.
    #[serde(skip)]
    pub is_dense: bool,
    /// Sink, recent and chunk.
    pub window: Window,
    /// GPUs that serve one copy of the model together.
    pub gpus_per_model: usize,
    /// The GPUs.
    pub gpus: Vec<PlanGpu>,
    /// Memory of one of each of them.
    pub memory: Vec<GpuMemory>,
    /// One row for each context, batch and GPU.
    pub rows: Vec<CapacityRow>,
    /// What plainer caches give in the same settings.
    pub plainer: Vec<PlainRow>,
    /// Where K/V begin to outweigh the weights.
    pub crossover: Vec<Crossover>,
    /// The line through measured steps.
    pub line: Option<StepLine>,
    /// Measured steps beside what the line through the others says.
    pub checks: Vec<FitCheck>,
    /// The load.
    pub load: Option<Load>,
    /// GPUs for the load, by GPU and cache.
    pub serving: Vec<LoadRow>,
    /// What the integration takes.
    pub project: Option<Project>,
    /// Low, mid and high, for each GPU with a price.
    pub scenarios: Vec<Scenario>,
    /// Everything that is assumed.
    pub assumptions: Vec<Value>,
    /// What a reader should know, one sentence each.
    pub warnings: Vec<String>,
}

/// Makes the plan.
///
/// # Errors
/// A request that contradicts itself or its model, with the reason.
pub fn plan(request: &CapacityRequest) -> Result<CapacityReport> {
    request.check()?;
    let (model, dtype) = (&request.model, request.dtype);
    let dense = KvStore::dense(model, dtype)?;
    let store = request.stored.store(model, dtype, request.window)?;
    let plain = PLAIN.map(|plain| (plain.name, KvStore::plain(model, plain)));
    let mut rows = Vec::new();
    let mut plainer = Vec::new();
    let memory: Vec<GpuMemory> =
        request.gpus.iter().map(|gpu| GpuMemory::of(request, gpu)).collect();
    for (gpu, memory) in request.gpus.iter().zip(&memory) {
        for &batch in &request.batch {
            for &ctx in &request.ctx {
                let setting = Setting { request, gpu, memory, ctx, batch };
                rows.push(setting.row(&dense, &store));
                plainer.extend(plain.iter().map(|(name, store)| setting.plain(name, store)));
            }
        }
    }
    let mut serving = Vec::new();
    let mut scenarios = Vec::new();
    let stored = request.stored.name();
    if let Some(load) = &request.load {
        for gpu in &request.gpus {
            let caches = [("dense", &dense, true), (stored.as_str(), &store, false)];
            let caches = caches.into_iter().chain(plain.iter().map(|(name, s)| (*name, s, false)));
            serving.extend(caches.filter_map(|cache| request.serve(load, gpu, cache)));
            scenarios.extend(request.scenarios(load, gpu, &dense, &store));
        }
    }
    let crossover = |&batch: &usize| Crossover {
        batch,
        dense: request.crossover(&dense, batch),
        stored: request.crossover(&store, batch),
    };
    let calibration = request.calibration.as_ref().map(|(_, steps)| steps);
    Ok(CapacityReport {
        date: request.date.to_string(),
        layers: model.layers_text(),
        kv_dtype: dtype.to_string(),
        stored,
        is_dense: request.stored == StoredMiddle::Dense,
        window: request.window,
        gpus_per_model: request.gpus_per_model,
        gpus: request.gpus.clone(),
        memory,
        crossover: request.batch.iter().map(crossover).collect(),
        line: calibration.map(|steps| steps.dense),
        checks: calibration.map(|steps| steps.checks()).unwrap_or_default(),
        load: request.load,
        project: request.project,
        assumptions: request.assumptions.json(),
        warnings: warnings(request, &serving),
        model: model.clone(),
        rows,
        plainer,
        serving,
        scenarios,
    })
}

struct Setting<'a> {
    request: &'a CapacityRequest,
    gpu: &'a PlanGpu,
    memory: &'a GpuMemory,
    ctx: usize,
    batch: usize,
}

impl Setting<'_> {
    fn room(&self, store: &KvStore) -> Room {
        self.memory.room(store, self.ctx, self.batch, self.request.model.max_context)
    }

    fn row(&self, dense: &KvStore, store: &KvStore) -> CapacityRow {
        let Self { request, gpu, ctx, batch, .. } = *self;
        let (room_dense, room) = (self.room(dense), self.room(store));
        let step_dense = request.step(gpu, dense, true, ctx, batch);
        let is_dense = request.stored == StoredMiddle::Dense;
        let step = request.step(gpu, store, is_dense, ctx, batch);
        let all = |one: u64| one * batch as u64;
        let ms_dense = room_dense.fits.then_some(step_dense.ms);
        let ms = room.fits.then_some(step.ms);
        CapacityRow {
            ctx,
            batch,
            gpu: gpu.name.clone(),
            weights_bytes: request.model.weights.bytes.round() as u64,
            kv_bytes_dense: all(dense.bytes(ctx)),
            kv_bytes: all(store.bytes(ctx)),
            kv_allocated_bytes_dense: all(dense.allocated(ctx)),
            kv_allocated_bytes: all(store.allocated(ctx)),
            kv_reserved_bytes_dense: all(dense.reserved(ctx)),
            kv_reserved_bytes: all(store.reserved(ctx)),
            fits_dense: room_dense.fits,
            fits: room.fits,
            max_ctx_dense: room_dense.max_ctx,
            max_ctx: room.max_ctx,
            max_batch_dense: room_dense.max_batch,
            max_batch: room.max_batch,
            step_ms_dense: ms_dense,
            step_ms: ms,
            label_dense: step_dense.label,
            label: step.label,
            usd_per_million_dense: ms_dense.and_then(|ms| request.usd_per_million(gpu, ms, batch)),
            usd_per_million: ms.and_then(|ms| request.usd_per_million(gpu, ms, batch)),
        }
    }

    fn plain(&self, cache: &'static str, store: &KvStore) -> PlainRow {
        let Self { request, gpu, ctx, batch, .. } = *self;
        let room = self.room(store);
        let step = request.step(gpu, store, false, ctx, batch);
        let ms = room.fits.then_some(step.ms);
        PlainRow {
            cache,
            ctx,
            batch,
            gpu: gpu.name.clone(),
            kv_bytes: store.bytes(ctx) * batch as u64,
            room,
            step_ms: ms,
            label: step.label,
            usd_per_million: ms.and_then(|ms| request.usd_per_million(gpu, ms, batch)),
        }
    }
}

/// What a reader should know.
fn warnings(request: &CapacityRequest, serving: &[LoadRow]) -> Vec<String> {
    let mut warnings = request.model.warnings.clone();
    let age = request.assumptions.get(Assumed::PriceAge);
    for gpu in &request.gpus {
        let Some(price) = &gpu.price else {
            warnings.push(format!(
                "{} has no price here: --price {}=USD gives one",
                gpu.name, gpu.name
            ));
            continue;
        };
        let Ok(day) = date(&price.as_of) else { continue };
        let days = (request.date - day).num_days();
        if days < 0 {
            warnings.push(format!(
                "this plan of {} is older than the price of {}, which is of {}: make it again",
                request.date, gpu.name, price.as_of
            ));
        } else if days as f64 >= age {
            warnings.push(format!(
                "the price of {} is of {}, {days} days before this plan: look it up again, --price {}=USD",
                gpu.name, price.as_of, gpu.name
            ));
        }
    }
    for gpu in &request.gpus {
        let Some(calibration) = request.calibration_of(gpu) else { continue };
        if let [measured] = calibration.batches()[..]
            && request.batch.iter().any(|&batch| batch != measured)
        {
            warnings.push(format!(
                "the steps of {} were measured with {measured} sequences alone, so of other numbers only the cache is counted, and no product that grows with them: measure those too (`kscope bench decode --batch N`) and give both files",
                gpu.name
            ));
        }
    }
    let sharing = request.gpus_per_model;
    if request.kv_shards() < sharing {
        warnings.push(format!(
            "{sharing} GPUs share the weights, but K and V only {} ways, so each of them holds {} times its share",
            request.kv_shards(),
            sharing / request.kv_shards()
        ));
    }
    let longest = request.ctx.iter().copied().max().unwrap_or(0);
    if request.stored != StoredMiddle::Dense && request.model.has_windows() {
        warnings.push(
            "layers with an attention window are counted whole; in decode, what they see between sink and recent is pruned or coded too, so the cache is smaller than this"
                .to_owned(),
        );
    }
    if request.stored != StoredMiddle::Dense && request.window.middle(longest) == 0 {
        let Window { sink, recent, chunk } = request.window;
        warnings.push(format!(
            "nothing is pruned or coded at {} tokens: the sink of {}, the recent {} and a chunk of {} are whole",
            count(longest),
            count(sink),
            count(recent),
            count(chunk)
        ));
    }
    for (gpu, memory) in
        request.gpus.iter().zip(request.gpus.iter().map(|gpu| GpuMemory::of(request, gpu)))
    {
        if memory.left() <= 0.0 {
            warnings.push(format!(
                "the weights and activations of {} alone do not fit {}: --gpus-per-model N lets several share them",
                request.model.name, gpu.name
            ));
        }
    }
    if request.load.is_some() {
        for gpu in &request.gpus {
            let served =
                |name: &str| serving.iter().any(|row| row.gpu == gpu.name && row.stored == name);
            if !served("dense") && serving.iter().any(|row| row.gpu == gpu.name) {
                warnings.push(format!(
                    "{} cannot hold one request of this load dense, so nothing is compared with it there",
                    gpu.name
                ));
            }
            if gpu.tflops.is_none() {
                warnings.push(format!(
                    "the compute of {} is not known, so prefill is left out of its load",
                    gpu.name
                ));
            }
        }
    }
    warnings
}

#[cfg(test)]
mod tests;
