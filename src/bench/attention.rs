//! `kscope bench attention`: decode attention over all layers, dense and pruned in turn, next to
//! the machine's read bandwidth.

use std::sync::Arc;
use std::time::Instant;

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::masks::BenchPlan;
use super::{fill, masks, threads};
use crate::attention::{Attention, DecodeItem, SimdLevel, read_bandwidth};
use crate::cache::{CacheSpec, SequenceCache};
use crate::element::Dtype;
use crate::mask::{ChannelMask, Shape, Window};
use crate::numbers::count;
use crate::spread::median;
use crate::{Error, Result, machine, numbers};

/// Bytes and passes of the measurement of the bandwidth.
const WORKING_SET: usize = 1 << 30;
const PASSES: usize = 8;

/// A model's attention geometry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BenchGeometry {
    /// SmolLM2-135M: 30 layers, 9 query heads on 3 KV heads of 64 channels.
    SmolLm2,
    /// Llama-3.1-8B: 32 layers, 32 query heads on 8 KV heads of 128 channels.
    Llama31,
}

impl BenchGeometry {
    /// All geometries.
    pub const ALL: [Self; 2] = [Self::SmolLm2, Self::Llama31];

    fn shape(self) -> Shape {
        match self {
            Self::SmolLm2 => Shape { layers: 30, kv_heads: 3, head_dim: 64 },
            Self::Llama31 => Shape { layers: 32, kv_heads: 8, head_dim: 128 },
        }
    }

    fn group(self) -> usize {
        match self {
            Self::SmolLm2 => 3,
            Self::Llama31 => 4,
        }
    }

    /// 70 % of the channels at equal counts per head; for Llama also the published mask's counts.
    fn masks(self) -> Vec<ChannelMask> {
        let mut masks = vec![masks::equal(self.shape(), 0.7)];
        if self == Self::Llama31 {
            masks.push(masks::llama(self.shape()));
        }
        masks
    }
}

impl std::fmt::Display for BenchGeometry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::SmolLm2 => "smollm2",
            Self::Llama31 => "llama-3.1-8b",
        })
    }
}

impl std::str::FromStr for BenchGeometry {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let known = Self::ALL.into_iter().find(|geometry| geometry.to_string() == text);
        known.ok_or_else(|| {
            Error::input(format!("a geometry is smollm2 or llama-3.1-8b, not `{text}`"))
        })
    }
}

/// What to measure; every combination is measured.
#[derive(Debug, Clone)]
pub struct AttentionOptions {
    /// Models whose attention is measured.
    pub geometries: Vec<BenchGeometry>,
    /// Lengths in tokens.
    pub tokens: Vec<usize>,
    /// Plans beside dense and masks: `NAME` or `NAME:SPARSITY`.
    pub plans: Vec<String>,
    /// Element types of the cache.
    pub dtypes: Vec<Dtype>,
    /// Numbers of threads.
    pub threads: Vec<usize>,
    /// Timed rounds, in each of which dense and pruned run once.
    pub rounds: usize,
    /// Instructions to use.
    pub level: SimdLevel,
}

/// One measured configuration.
#[derive(Debug, Clone, serde::Serialize)]
pub struct AttentionRow {
    /// Name of the geometry.
    pub geometry: String,
    /// Tokens in the cache.
    pub tokens: usize,
    /// Element type of the cache.
    pub dtype: String,
    /// Threads.
    pub threads: usize,
    /// The plan's name; `dense` stores everything.
    pub plan: String,
    /// Share of K channels that are not stored; 0 is dense.
    pub sparsity: f64,
    /// Bytes of the middle of a long context for a dense f16 cache's 1.
    pub bytes_share: f64,
    /// Bytes of keys and values that one step reads, over all layers.
    pub bytes: usize,
    /// Median time of one step over all layers, in milliseconds.
    pub median_ms: f64,
    /// Bytes over time, in 1e9 bytes per second.
    pub gbps: f64,
    /// Read bandwidth of the machine with as many threads, measured in the same run.
    pub bandwidth_gbps: f64,
    /// Dense bytes over these bytes.
    pub byte_ratio: f64,
    /// Median over rounds of dense time over this time.
    pub time_ratio: f64,
}

/// All rows of a run.
#[derive(Debug, Clone, serde::Serialize)]
pub struct AttentionReport {
    /// Read bandwidth of the machine, with the most threads that were measured.
    pub bandwidth_gbps: f64,
    /// Configurations in the order they were measured.
    pub rows: Vec<AttentionRow>,
}

/// Runs the measurements. `note` gets one sentence for each configuration that starts, and for each
/// that does not fit in memory.
pub fn run(options: &AttentionOptions, mut note: impl FnMut(&str)) -> Result<AttentionReport> {
    let mut pools = Vec::new();
    for &threads in &options.threads {
        let pool = threads::pool(threads)?;
        let bandwidth = pool.install(|| read_bandwidth(WORKING_SET, PASSES));
        note(&format!("{threads} threads read {bandwidth:.1} GB/s"));
        pools.push((pool, bandwidth));
    }
    let mut rows = Vec::new();
    for &geometry in &options.geometries {
        for &tokens in &options.tokens {
            for &dtype in &options.dtypes {
                let plans = plans(geometry, &options.plans)?;
                let specs = plans
                    .iter()
                    .map(|plan| plan.spec(dtype).map(Arc::new))
                    .collect::<Result<Vec<_>>>()?;
                if let Some(sentence) = too_large(&specs, tokens) {
                    note(&format!(
                        "{geometry} {dtype} at {} tokens is left out: {sentence}",
                        count(tokens)
                    ));
                    continue;
                }
                note(&format!("{geometry} {dtype} at {} tokens", count(tokens)));
                let caches = caches(&specs, tokens)?;
                for (pool, bandwidth) in &pools {
                    let times = pool.install(|| measure(geometry, &caches, options))?;
                    rows.extend(caches.iter().enumerate().map(|(index, cache)| {
                        let row = AttentionRow {
                            geometry: geometry.to_string(),
                            tokens,
                            dtype: dtype.to_string(),
                            threads: pool.current_num_threads(),
                            plan: plans[index].name.clone(),
                            bandwidth_gbps: *bandwidth,
                            ..row(cache, &caches[0], &times[index], &times[0])
                        };
                        note(&format!(
                            "  {} threads, {}: {:.2} ms, {:.1} GB/s, byte ratio {:.3}, time ratio {:.3}",
                            row.threads,
                            row.plan,
                            row.median_ms,
                            row.gbps,
                            row.byte_ratio,
                            row.time_ratio
                        ));
                        row
                    }));
                }
            }
        }
    }
    let bandwidth_gbps = pools.iter().map(|(_, bandwidth)| *bandwidth).fold(0.0, f64::max);
    Ok(AttentionReport { bandwidth_gbps, rows })
}

/// Dense first, then masks, then the named plans.
fn plans(geometry: BenchGeometry, named: &[String]) -> Result<Vec<BenchPlan>> {
    let (shape, window) = (geometry.shape(), Window::default());
    let mut plans = vec![BenchPlan::dense(shape, window)];
    plans.extend(geometry.masks().iter().map(|mask| BenchPlan::mask(mask, window)));
    for name in named {
        plans.push(BenchPlan::named(name, shape)?);
    }
    Ok(plans)
}

/// The dense cache filled with `tokens` random tokens, and its prunings.
fn caches(specs: &[Arc<CacheSpec>], tokens: usize) -> Result<Vec<SequenceCache>> {
    let shape = specs[0].shape();
    let row = shape.kv_heads * shape.head_dim;
    let [k, v] = fill::keys_and_values(shape);
    let mut dense = SequenceCache::with_capacity(Arc::clone(&specs[0]), tokens);
    for layer in 0..shape.layers {
        for start in (0..tokens).step_by(fill::TOKENS) {
            let len = fill::TOKENS.min(tokens - start) * row;
            dense.append(layer, &k[..len], &v[..len]);
        }
    }
    let mut caches = vec![dense];
    for spec in &specs[1..] {
        caches.push(caches[0].retuned(Arc::clone(spec))?);
    }
    Ok(caches)
}

/// Times in seconds, `[cache][round]`. The caches take turns, so that other load on the machine
/// affects all of them alike.
fn measure(
    geometry: BenchGeometry,
    caches: &[SequenceCache],
    options: &AttentionOptions,
) -> Result<Vec<Vec<f64>>> {
    let shape = geometry.shape();
    let mut random = StdRng::seed_from_u64(4);
    let q: Vec<f32> =
        (0..shape.kv_heads * geometry.group() * shape.head_dim).map(|_| random.random()).collect();
    let mut out = vec![0.0; q.len()];
    let mut attention = Attention::with_level(options.level)?;
    let mut times = vec![Vec::with_capacity(options.rounds); caches.len()];
    for round in 0..=options.rounds {
        for (cache, times) in caches.iter().zip(&mut times) {
            let start = Instant::now();
            for layer in 0..shape.layers {
                attention.decode(layer, &mut [DecodeItem { cache, q: &q, out: &mut out }]);
            }
            // The first round warms up: tables are cold and working memory is allocated.
            if round > 0 {
                times.push(start.elapsed().as_secs_f64());
            }
        }
    }
    Ok(times)
}

fn row(
    cache: &SequenceCache,
    dense: &SequenceCache,
    times: &[f64],
    dense_times: &[f64],
) -> AttentionRow {
    let mask = cache.spec().mask();
    let kept = mask.bits().iter().filter(|&&kept| kept).count();
    let bytes = cache.bytes().total();
    let seconds = median(&mut times.to_vec());
    let mut ratios: Vec<f64> =
        dense_times.iter().zip(times).map(|(dense, time)| dense / time).collect();
    AttentionRow {
        geometry: String::new(),
        tokens: 0,
        dtype: String::new(),
        threads: 0,
        plan: String::new(),
        sparsity: 1.0 - kept as f64 / mask.bits().len() as f64,
        bytes_share: cache.spec().plan().bytes_share(cache.spec().window().chunk),
        bytes,
        median_ms: seconds * 1e3,
        gbps: bytes as f64 / seconds / 1e9,
        bandwidth_gbps: 0.0,
        byte_ratio: dense.bytes().total() as f64 / bytes as f64,
        time_ratio: median(&mut ratios),
    }
}

/// Why a configuration does not fit in the free memory of this machine, if the system reports it.
/// Caches under a mask share the dense cache's values.
fn too_large(specs: &[Arc<CacheSpec>], tokens: usize) -> Option<String> {
    let own = |spec: &Arc<CacheSpec>| match spec.plan().is_mask() {
        true => spec.bytes_at(tokens).k(),
        false => spec.bytes_at(tokens).total(),
    };
    let needed = specs[0].bytes_at(tokens).total() + specs[1..].iter().map(own).sum::<usize>();
    let free = machine::available_bytes()? as usize;
    (needed > free).then(|| {
        format!(
            "it takes {} and {} are free",
            numbers::bytes(needed as u64),
            numbers::bytes(free as u64)
        )
    })
}
