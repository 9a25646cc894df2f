//! `kscope bench decode`: whole decode steps of a model at several depths, dense and pruned in
//! turn, and where the time goes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::masks::BenchPlan;
use super::{fill, threads};
use crate::attention::read_bandwidth;
use crate::cache::{CacheSpec, SequenceCache};
use crate::element::Dtype;
use crate::mask::Window;
use crate::model::Model;
use crate::model::decoder::{StepBuffers, StepTimes};
use crate::model::device::DeviceSteps;
use crate::numbers::count;
use crate::spread::median;
use crate::{Error, Result, machine};

/// Steps that warm up each depth.
const WARM_UP: usize = 2;

/// Bytes that are read to measure the machine's bandwidth, more than caches hold, and how often.
const WORKING_SET: usize = 512 << 20;
const PASSES: usize = 3;

/// Gathers that are timed.
const RETUNES: usize = 7;

/// What to measure; every combination is measured.
#[derive(Debug, Clone)]
pub struct DecodeOptions {
    /// Tokens in the cache before the first step.
    pub depths: Vec<usize>,
    /// Numbers of threads.
    pub threads: Vec<usize>,
    /// Timed steps, dense and pruned in turn.
    pub steps: usize,
    /// Plans to measure next to dense decode, masks among them.
    pub plans: Vec<BenchPlan>,
    /// Element type of the cache.
    pub kv_dtype: Dtype,
    /// Sequences decoded together.
    pub batch: usize,
}

/// One measured configuration.
#[derive(Debug, Clone, serde::Serialize)]
pub struct DecodeRow {
    /// The model's name.
    pub model: String,
    /// Where it ran.
    pub device: String,
    /// Element type of the weights.
    pub dtype: String,
    /// Element type of the cache.
    pub kv_dtype: String,
    /// Tokens in the cache.
    pub depth: usize,
    /// Threads.
    pub threads: usize,
    /// Sequences decoded together.
    pub batch: usize,
    /// The plan's name; `dense` stores everything.
    pub plan: String,
    /// Share of K channels that are not stored; 0 is dense.
    pub sparsity: f64,
    /// Bytes of the middle for a dense f16 cache's 1, with what windows of layers leave of it.
    pub bytes_share: f64,
    /// Median time of a step.
    pub median_ms: f64,
    /// Tokens of all sequences per second at the median.
    pub tokens_per_s: f64,
    /// Median time of attention in a step; `None` on a GPU, where a step is timed as a whole.
    pub attention_ms: Option<f64>,
    /// Median time of the linear layers.
    pub projections_ms: Option<f64>,
    /// Median time of the output projection.
    pub logits_ms: Option<f64>,
    /// Median time of everything else.
    pub rest_ms: Option<f64>,
    /// Bytes of the weights that a step reads.
    pub weight_bytes: u64,
    /// How fast it reads them: those bytes over the time of projections and logits, in GB/s.
    pub weight_gbps: Option<f64>,
    /// How fast this machine read memory just before, in GB/s.
    pub read_gbps: Option<f64>,
    /// Bytes of the cache.
    pub kv_bytes: usize,
    /// Dense bytes over these bytes.
    pub byte_ratio: f64,
    /// Median over step pairs of dense time over this time; 1 in dense rows.
    pub time_ratio: f64,
    /// Median time to gather one sequence's cache from the dense one: what a retune costs; 0 in
    /// dense rows.
    pub retune_ms: f64,
}

/// All rows of a run.
#[derive(Debug, Clone, serde::Serialize)]
pub struct DecodeReport {
    /// Configurations in the order they were measured.
    pub rows: Vec<DecodeRow>,
    /// On a GPU: how many steps of the whole run repeated a recording, and with which settings.
    pub gpu_steps: Option<DeviceSteps>,
}

/// Runs the measurements. `note` gets one sentence for each depth that starts.
pub fn run(
    model: &Model,
    options: &DecodeOptions,
    mut note: impl FnMut(&str),
) -> Result<DecodeReport> {
    let config = model.config();
    let mut plans = vec![BenchPlan::dense(config.mask_shape(), Window::default())];
    plans.extend_from_slice(&options.plans);
    let specs = plans
        .iter()
        .map(|plan| plan.spec(options.kv_dtype).map(Arc::new))
        .collect::<Result<Vec<_>>>()?;
    let mut rows = Vec::new();
    // On a GPU the number of threads makes no difference.
    let threads = if model.decoder.is_on_host() { options.threads.as_slice() } else { &[1] };
    for &depth in &options.depths {
        let steps = threads.len() * (options.steps + WARM_UP);
        if depth + steps > config.max_context {
            return Err(Error::input(format!(
                "depth {} and {steps} steps do not fit the model's context of {}",
                count(depth),
                config.longest()
            )));
        }
        let bytes: usize = specs.iter().map(|spec| spec.bytes_at(depth + steps).total()).sum();
        model.check_cache_memory(&format!("depth {}", count(depth)), bytes * options.batch)?;
        note(&format!("depth {}", count(depth)));
        let mut sides = filled(model, &specs, depth, options.batch)?;
        for &threads in threads {
            let pool = threads::pool(threads)?;
            let read_gbps = match model.decoder.is_on_host() {
                true => {
                    machine::check_memory("measuring the bandwidth", WORKING_SET as u64)?;
                    Some(pool.install(|| read_bandwidth(WORKING_SET, PASSES)))
                }
                false => None,
            };
            let times = pool.install(|| measure(model, &mut sides, options))?;
            let dense_bytes = stored(&sides[0]);
            for ((side, own), plan) in sides.iter().zip(&times).zip(&plans) {
                let spec = side[0].spec();
                let retune_ms = if spec.is_dense() {
                    0.0
                } else {
                    pool.install(|| retune(&sides[0][0], spec))?
                };
                rows.push(DecodeRow {
                    depth,
                    threads,
                    plan: plan.name.clone(),
                    byte_ratio: dense_bytes as f64 / stored(side) as f64,
                    retune_ms,
                    read_gbps,
                    ..row(model, side, own, &times[0])
                });
            }
        }
    }
    Ok(DecodeReport { rows, gpu_steps: model.decoder.device_steps() })
}

/// The sequences of each specification, holding `depth` tokens: a few random ones, repeated.
fn filled(
    model: &Model,
    specs: &[Arc<CacheSpec>],
    depth: usize,
    batch: usize,
) -> Result<Vec<Vec<SequenceCache>>> {
    let shape = specs[0].shape();
    let row = shape.kv_heads * shape.head_dim;
    let [k, v] = fill::keys_and_values(shape)
        .map(|few| few.into_iter().cycle().take(depth * row).collect::<Vec<f32>>());
    let sequence = |spec: &Arc<CacheSpec>| {
        let mut cache = SequenceCache::with_capacity(Arc::clone(spec), depth);
        (0..shape.layers)
            .try_for_each(|layer| model.decoder.fill(&mut cache, layer, &k, &v))
            .map(|()| cache)
    };
    // Each sequence has its own memory: nothing is shared that a real batch would not share.
    specs.iter().map(|spec| (0..batch).map(|_| sequence(spec)).collect()).collect()
}

/// Times of every step of every side.
fn measure(
    model: &Model,
    sides: &mut [Vec<SequenceCache>],
    options: &DecodeOptions,
) -> Result<Vec<Vec<StepTimes>>> {
    let config = model.config();
    let mut buffers = StepBuffers::new(config, options.batch);
    let mut times = vec![Vec::with_capacity(options.steps); sides.len()];
    for step in 0..WARM_UP + options.steps {
        let tokens: Vec<u32> =
            (0..options.batch).map(|i| ((step * 31 + i * 7) % config.vocab) as u32).collect();
        for (side, times) in sides.iter_mut().zip(&mut times) {
            let mut caches: Vec<&mut SequenceCache> = side.iter_mut().collect();
            model.decoder.step(&tokens, &mut caches, &mut buffers, &mut |_, _, _| ())?;
            if step >= WARM_UP {
                times.push(buffers.times);
            }
        }
    }
    Ok(times)
}

/// Median milliseconds of a gather from the dense cache, including the release of the old cache.
fn retune(dense: &SequenceCache, spec: &Arc<CacheSpec>) -> Result<f64> {
    let mut times = Vec::with_capacity(RETUNES);
    let mut cache = dense.retuned(Arc::clone(spec))?;
    for _ in 0..RETUNES {
        let began = Instant::now();
        cache = dense.retuned(Arc::clone(cache.spec()))?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    Ok(median(&mut times))
}

/// Bytes of all sequences of a side.
fn stored(side: &[SequenceCache]) -> usize {
    side.iter().map(|cache| cache.bytes().total()).sum()
}

fn row(model: &Model, side: &[SequenceCache], own: &[StepTimes], dense: &[StepTimes]) -> DecodeRow {
    let ms = |part: fn(&StepTimes) -> Duration| {
        median(&mut own.iter().map(|times| part(times).as_secs_f64() * 1e3).collect::<Vec<_>>())
    };
    let part = |part: fn(&StepTimes) -> Duration| model.decoder.is_on_host().then(|| ms(part));
    let spec = side[0].spec();
    let median_ms = ms(StepTimes::total);
    let weight_bytes = model.decoder.step_weight_bytes();
    let reading = part(|times| times.projections + times.logits);
    let ratios = dense
        .iter()
        .zip(own)
        .map(|(dense, own)| dense.total().as_secs_f64() / own.total().as_secs_f64());
    DecodeRow {
        model: model.name.clone(),
        device: model.decoder.device_name().to_owned(),
        dtype: model.weight_types().to_string(),
        kv_dtype: spec.dtype().to_string(),
        depth: 0,
        threads: 0,
        batch: side.len(),
        plan: String::new(),
        sparsity: 1.0 - spec.mask().kept_ratio(),
        bytes_share: spec.bytes_share_at(side[0].tokens()),
        median_ms,
        tokens_per_s: side.len() as f64 * 1e3 / median_ms,
        attention_ms: part(|times| times.attention),
        projections_ms: part(|times| times.projections),
        logits_ms: part(|times| times.logits),
        rest_ms: part(|times| times.rest),
        weight_bytes,
        weight_gbps: reading.map(|ms| weight_bytes as f64 / ms / 1e6),
        read_gbps: None,
        kv_bytes: stored(side),
        byte_ratio: 0.0,
        time_ratio: median(&mut ratios.collect::<Vec<_>>()),
        retune_ms: 0.0,
    }
}
