//! Decode attention measured on a GPU, dense and pruned in turn, next to the GPU's copy bandwidth.

use std::sync::Arc;

use cudarc::driver::sys::CUevent_flags;

use super::masks;
use crate::attention::cuda::params::Numbers;
use crate::attention::cuda::{
    Balance, Batch, Device, DeviceMask, DeviceSequence, FillSource, Gpu, Graph, Layout,
};
use crate::cache::CacheSpec;
use crate::element::Dtype;
use crate::mask::{ChannelMask, Shape, Window};
use crate::numbers::count;
use crate::spread::median;
use crate::{Error, Result};

/// Llama-3.1-8B's attention.
const SHAPE: Shape = Shape { layers: 32, kv_heads: 8, head_dim: 128 };
const HEADS: usize = 32;
/// The LeanK authors' setting, and one sequence at several lengths: `(sequences, tokens)`.
pub const SETTINGS: [(usize, usize); 6] =
    [(64, 32_768), (1, 8_192), (1, 16_384), (1, 32_768), (1, 65_536), (1, 131_072)];
/// Timed rounds, dense and pruned in turn.
const ROUNDS: usize = 11;
/// Most bytes of each of the two buffers of a timed copy.
const COPY_BYTES: usize = 1 << 30;

/// One setting, all 32 layers.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct CudaRow {
    /// Sequences.
    pub batch: usize,
    /// Tokens of each.
    pub tokens: usize,
    /// Median time of a dense step in milliseconds.
    pub dense_ms: f64,
    /// Dense bytes over the dense time, in 1e9 bytes per second.
    pub dense_gbps: f64,
    /// Median time of a pruned step in milliseconds.
    pub pruned_ms: f64,
    /// Pruned bytes over the pruned time, in 1e9 bytes per second.
    pub pruned_gbps: f64,
    /// Dense bytes over pruned bytes, padding counted.
    pub byte_ratio: f64,
    /// Whether all timed steps repeated recordings, as a model's do, instead of going to the GPU launch
    /// by launch.
    pub recorded: bool,
}

/// A setting that was not measured.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct NotMeasured {
    /// Sequences.
    pub batch: usize,
    /// Tokens of each.
    pub tokens: usize,
    /// Why: mostly that the GPU has no memory for it.
    pub why: String,
}

/// The results of a run.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct CudaReport {
    /// The GPU's name.
    pub gpu: String,
    /// Copies inside the GPU's memory, bytes read plus bytes written, in 1e9 bytes per second.
    pub copy_gbps: f64,
    /// How finely the work was divided.
    #[serde(flatten)]
    pub balance: Balance,
    /// The settings that could be measured.
    pub rows: Vec<CudaRow>,
    /// Those that the GPU has no memory for.
    pub not_measured: Vec<NotMeasured>,
    /// Why the last recording that failed did: then rows hold the host's launches.
    pub not_recorded: Option<String>,
    /// What ended the run before its last setting; the rows before it stand.
    pub failed: Option<String>,
}

/// Runs the measurements of `settings`, `(sequences, tokens)` each. `note` gets one sentence per
/// setting.
///
/// # Errors
/// What fails before the first setting. Settings that do not fit the memory are listed; any other
/// failure ends the run, because nothing on the GPU can be trusted after it, and is in the report.
pub fn run(
    gpu: &Gpu,
    settings: &[(usize, usize)],
    balance: Balance,
    mut note: impl FnMut(&str),
) -> Result<CudaReport> {
    let mut report = CudaReport {
        gpu: gpu.name()?,
        copy_gbps: copy_bandwidth(gpu)?,
        balance,
        rows: Vec::new(),
        not_measured: Vec::new(),
        not_recorded: None,
        failed: None,
    };
    note(&format!("{} copies {:.0} GB/s", report.gpu, report.copy_gbps));
    for &(batch, tokens) in settings {
        // A single sequence is measured over all layers, each with its own memory, so that the
        // GPU's cache holds none of it. Many sequences are larger than any cache in a single layer,
        // and all of their layers would not fit in memory.
        let together = if batch == 1 { SHAPE.layers } else { 1 };
        let said = format!("batch {batch}, {} tokens", count(tokens));
        match setting(gpu, (batch, tokens), together, balance) {
            Ok(row) => {
                let (row, not_recorded) = row;
                let (dense, pruned) = (row.dense_ms, row.pruned_ms);
                note(&format!("{said}: dense {dense:.3} ms, pruned {pruned:.3} ms"));
                report.rows.push(row);
                report.not_recorded = not_recorded.or(report.not_recorded);
            }
            // Memory that is not there.
            Err(Error::Input(why)) => {
                note(&format!("{said}: {why}"));
                report.not_measured.push(NotMeasured { batch, tokens, why });
            }
            Err(error) => {
                report.failed = Some(format!("{said}: {error}"));
                break;
            }
        }
    }
    if let Some(cause) = &report.not_recorded {
        note(&format!("steps go to the GPU launch by launch, which is slower: {cause}"));
    }
    Ok(report)
}

/// Seconds that `work` takes on the GPU.
fn seconds(gpu: &Gpu, work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let failed = |cause| Error::run(format!("timing: {cause}"));
    let event = || gpu.stream().record_event(Some(CUevent_flags::CU_EVENT_DEFAULT)).map_err(failed);
    let start = event()?;
    work()?;
    let end = event()?;
    Ok(f64::from(start.elapsed_ms(&end).map_err(failed)?) / 1e3)
}

fn copy_bandwidth(gpu: &Gpu) -> Result<f64> {
    // A small GPU copies less.
    let free = gpu.free_memory()?.map_or(COPY_BYTES, |memory| memory.free as usize);
    let bytes = COPY_BYTES.min(free / 4);
    let from = gpu.allocate(bytes)?;
    let mut to = gpu.allocate(bytes)?;
    let mut times = Vec::new();
    for round in 0..=ROUNDS {
        let mut copy = || {
            gpu.stream()
                .memcpy_dtod(&from, &mut to)
                .map_err(|cause| Error::run(format!("copying: {cause}")))
        };
        let time = seconds(gpu, &mut copy)?;
        if round > 0 {
            times.push(time);
        }
    }
    Ok(2.0 * bytes as f64 / median(&mut times) / 1e9)
}

/// What attention reads and writes: the address of the queries, and where the results go.
type Ends = (u64, Numbers);

/// Sequences of one specification with their own batch, and a step's attention over all layers.
struct Side {
    sequences: Vec<DeviceSequence<Gpu>>,
    batch: Batch<Gpu>,
    bytes: usize,
    layers: usize,
    ends: Ends,
    /// The step, recorded as a model's is, or why the GPU does not record it.
    recording: Result<Graph>,
}

impl Side {
    fn new(
        gpu: &Gpu,
        sequences: Vec<DeviceSequence<Gpu>>,
        balance: Balance,
        ends: Ends,
    ) -> Result<Self> {
        let layout = sequences[0].layout();
        let (geometry, layers) = (layout.geometry(), layout.spec().shape().layers);
        let batch = Batch::new(geometry, balance);
        let recording = Err(Error::run("nothing was recorded"));
        let mut side = Self { batch, sequences, bytes: 0, layers, ends, recording };
        let mut all: Vec<&mut DeviceSequence<Gpu>> = side.sequences.iter_mut().collect();
        side.batch.begin(gpu, &mut all)?;
        side.bytes = side.sequences.iter().map(|sequence| sequence.bytes().total()).sum();
        // Once launch by launch, so that nothing is left to load.
        side.attend(gpu)?;
        side.recording = gpu.record(&mut || side.attend(gpu));
        Ok(side)
    }

    fn attend(&self, gpu: &Gpu) -> Result<()> {
        let (q, out) = self.ends;
        (0..self.layers).try_for_each(|layer| self.batch.attend(gpu, layer, q, out))
    }

    fn seconds(&self, gpu: &Gpu) -> Result<f64> {
        let mut step = || self.attend(gpu);
        seconds(gpu, || match &self.recording {
            Ok(recording) => gpu.repeat(recording, &mut step),
            Err(_) => step(),
        })
    }
}

fn setting(
    gpu: &Gpu,
    (batch, tokens): (usize, usize),
    together: usize,
    balance: Balance,
) -> Result<(CudaRow, Option<String>)> {
    let mask = masks::llama(SHAPE);
    let shape = Shape { layers: together, ..SHAPE };
    let of = |mask: ChannelMask| -> Result<Arc<DeviceMask<Gpu>>> {
        let spec = CacheSpec::new(shape, Window::UPSTREAM, Dtype::Bf16, mask)?;
        DeviceMask::new(gpu, Layout::new(Arc::new(spec), HEADS)?)
    };
    // Small integers: the values do not affect the speed, and none may be a NaN.
    let elements = tokens * SHAPE.kv_heads * SHAPE.head_dim;
    if let Some(memory) = gpu.free_memory()? {
        let what = format!("a layer's keys and values of {} tokens", count(tokens));
        memory.check(&what, 2 * elements as u64)?;
    }
    let mut rows = gpu.allocate(elements * 2)?;
    let bits: Vec<u16> = (0..elements)
        .map(|i| half::bf16::from_f32((i * 7919 % 17) as f32 / 8.0 - 1.0).to_bits())
        .collect();
    gpu.write(&mut rows, 0, bytemuck::cast_slice(&bits))?;
    let row = gpu.address(&rows);
    // Queries of every sequence, which may be more numbers than the rows have.
    let mut queries = gpu.allocate(batch * HEADS * SHAPE.head_dim * 2)?;
    let cycled: Vec<u16> =
        bits.iter().copied().cycle().take(batch * HEADS * SHAPE.head_dim).collect();
    gpu.write(&mut queries, 0, bytemuck::cast_slice(&cycled))?;
    let q = gpu.address(&queries);
    let out = gpu.allocate(batch * HEADS * SHAPE.head_dim * 2)?;
    let out = Numbers::new(gpu.address(&out), HEADS * SHAPE.head_dim, Dtype::Bf16);

    let full = of(ChannelMask::full(shape))?;
    let mut dense = Vec::new();
    for _ in 0..batch {
        let mut sequence = DeviceSequence::new(gpu, Arc::clone(&full), tokens + 1)?;
        sequence.begin(gpu, tokens)?;
        for layer in 0..together {
            sequence.fill(gpu, &FillSource::Rows { layer, k: row, v: row })?;
        }
        dense.push(sequence);
    }
    let (mut times, mut bytes) = ([vec![0.0; ROUNDS], vec![0.0; ROUNDS]], [0, 0]);
    let ends = (q, out);
    let dense = Side::new(gpu, dense, balance, ends)?;
    let cause = |side: &Side| side.recording.as_ref().err().map(ToString::to_string);
    let mut not_recorded = cause(&dense);
    for first in (0..SHAPE.layers).step_by(together) {
        let own = of(ChannelMask::from_fn(shape, |layer, head, channel| {
            mask.head(first + layer, head)[channel]
        }))?;
        let mut pruned = Vec::new();
        for from in &dense.sequences {
            let mut sequence = DeviceSequence::new(gpu, Arc::clone(&own), tokens + 2)?;
            sequence.fill(gpu, &FillSource::Dense(from))?;
            pruned.push(sequence);
        }
        let pruned = Side::new(gpu, pruned, balance, ends)?;
        not_recorded = cause(&pruned).or(not_recorded);
        for round in 0..=ROUNDS {
            let step = [dense.seconds(gpu)?, pruned.seconds(gpu)?];
            // The first round warms up.
            if round > 0 {
                (0..2).for_each(|side| times[side][round - 1] += step[side]);
            }
        }
        bytes[0] += dense.bytes;
        bytes[1] += pruned.bytes;
    }
    let [dense_time, pruned_time] = times.map(|mut times| median(&mut times));
    let row = CudaRow {
        batch,
        tokens,
        dense_ms: dense_time * 1e3,
        dense_gbps: bytes[0] as f64 / dense_time / 1e9,
        pruned_ms: pruned_time * 1e3,
        pruned_gbps: bytes[1] as f64 / pruned_time / 1e9,
        byte_ratio: bytes[0] as f64 / bytes[1] as f64,
        recorded: not_recorded.is_none(),
    };
    Ok((row, not_recorded))
}
