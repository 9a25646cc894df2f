//! Attention of decode steps, and the caches that it reads.

use std::any::Any;
use std::sync::Arc;

use candle_core::{D, DType, Device as TensorDevice, Tensor};

use super::address::address;
use super::failed;
use super::settings::StepSettings;
use crate::attention::cuda::params::{AppendParams, Numbers};
use crate::attention::cuda::{
    Batch, Device, DeviceCache, DeviceSequence, FillSource, FreeMemory, KernelShape, Launch,
    MatrixProduct, PromptPart,
};
use crate::attention::{Attention, DecodeItem};
use crate::cache::{CacheSpec, Remote, SequenceCache};
use crate::element::Dtype;
use crate::{Error, Result, machine};

/// Where attention is computed and where the caches are.
pub enum Attend {
    /// This process, over caches in its memory.
    Host(Attention),
    /// A device.
    Device(Box<dyn DeviceAttend>),
}

/// Decode attention on a device, whatever the device is.
pub trait DeviceAttend: Send {
    /// Storage for one new, empty sequence of at most `capacity` tokens.
    fn place(
        &self,
        spec: &Arc<CacheSpec>,
        heads: usize,
        capacity: usize,
    ) -> Result<Box<dyn Remote>>;

    /// Announces a prompt of `tokens` tokens; [`Self::fill`] follows for each layer.
    fn begin_prompt(&self, cache: &mut dyn Remote, tokens: usize) -> Result<()>;

    /// Stores one layer of a prompt: `k` (after RoPE) and `v` are `[tokens, kv_heads * head_dim]`
    /// in the cache's type.
    fn fill(&self, cache: &mut dyn Remote, layer: usize, k: &Tensor, v: &Tensor) -> Result<()>;

    /// Attention of a part of a prompt in one layer: `q` `[part's tokens, heads * head_dim]` over
    /// the rows of all tokens up to its last, with which `k` and `v` begin, `[tokens, kv_heads *
    /// head_dim]`; all after RoPE and in the kernels' type, as is the result.
    fn attend_prompt(
        &self,
        kernels: KernelShape,
        part: PromptPart,
        qkv: [&Tensor; 3],
    ) -> Result<Tensor>;

    /// Begins a step of one token for every cache; [`Self::step`] follows for each layer. Gives the
    /// number of the step's launches: steps of one number make the same launches over the same
    /// memory.
    fn begin_step(&mut self, caches: &mut [&mut dyn Remote], heads: usize) -> Result<u64>;

    /// Rotates and appends the new tokens of one layer; see [`Batch::append`].
    fn append(&self, layer: usize, token: AppendParams) -> Result<()>;

    /// Attends with rotated queries; see [`Batch::attend`].
    fn attend(&self, layer: usize, q: u64, out: Numbers) -> Result<()>;

    /// Runs a kernel; see [`Device::launch`].
    fn launch(&self, launch: &Launch) -> Result<()>;

    /// Multiplies matrices; see [`Device::multiply`].
    fn multiply(&self, product: &MatrixProduct) -> Result<()>;

    /// Whether the current step stored a key or value that is no finite number in the caches' type.
    /// Waits for the device.
    fn misfits(&self) -> Result<bool>;

    /// Overwrites a tensor of numbers of 32 bits, in place.
    fn write(&self, tensor: &Tensor, values: &[u32]) -> Result<()>;

    /// Copies the logits, a contiguous f32 tensor, into `values`. Waits for the device.
    fn read_logits(&self, tensor: &Tensor, values: &mut [f32]) -> Result<()>;

    /// Memory that is left, where the device knows it.
    fn free_memory(&self) -> Result<Option<FreeMemory>>;

    /// How steps are made.
    fn settings(&self) -> StepSettings;

    /// Records the operations of `work` instead of doing them; see [`Device::record`].
    fn record(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<Recording>;

    /// Does what was recorded; see [`Device::repeat`].
    fn repeat(&self, recording: &Recording, work: &mut dyn FnMut() -> Result<()>) -> Result<()>;
}

/// A recording, for any device.
pub type Recording = Box<dyn Any + Send>;

/// Number of batches whose plans are kept: the sides of a comparison, or all masks of a benchmark,
/// take turns.
pub(super) const BATCHES: usize = 16;

/// Attention on a device of `attention::cuda`, over tensors in the same device's memory.
pub struct DeviceAttention<D: Device> {
    device: Arc<D>,
    settings: StepSettings,
    /// Working memory, with the windows of the sequences it was made for; the one in use is last.
    batches: Vec<(Vec<u64>, Batch<D>)>,
}

impl<D: Device> DeviceAttention<D> {
    /// Attention on `device`.
    pub fn new(device: Arc<D>, settings: StepSettings) -> Self {
        Self { device, settings, batches: Vec::new() }
    }

    /// The batch in use.
    fn batch(&self) -> Result<&Batch<D>> {
        let last = self.batches.last().map(|(_, batch)| batch);
        last.ok_or_else(|| Error::run("a layer without a step"))
    }
}

impl<D> DeviceAttend for DeviceAttention<D>
where
    D: Device + Send + Sync + 'static,
    D::Memory: Send + Sync,
    D::Recording: Send,
{
    fn place(
        &self,
        spec: &Arc<CacheSpec>,
        heads: usize,
        capacity: usize,
    ) -> Result<Box<dyn Remote>> {
        Ok(Box::new(DeviceCache::new(Arc::clone(&self.device), Arc::clone(spec), heads, capacity)?))
    }

    fn begin_prompt(&self, cache: &mut dyn Remote, tokens: usize) -> Result<()> {
        DeviceCache::<D>::of(cache)?.sequence_mut().begin(&*self.device, tokens)
    }

    fn fill(&self, cache: &mut dyn Remote, layer: usize, k: &Tensor, v: &Tensor) -> Result<()> {
        let source = FillSource::Rows { layer, k: address(k)?, v: address(v)? };
        DeviceCache::<D>::of(cache)?.sequence_mut().fill(&*self.device, &source)
    }

    fn attend_prompt(
        &self,
        kernels: KernelShape,
        part: PromptPart,
        [q, k, v]: [&Tensor; 3],
    ) -> Result<Tensor> {
        let out = Tensor::zeros(q.shape(), q.dtype(), q.device()).map_err(failed)?;
        let addresses = [address(q)?, address(k)?, address(v)?, address(&out)?];
        self.device.launch(&kernels.prefill(part, addresses))?;
        Ok(out)
    }

    fn begin_step(&mut self, caches: &mut [&mut dyn Remote], heads: usize) -> Result<u64> {
        let mut sequences: Vec<&mut DeviceSequence<D>> = Vec::with_capacity(caches.len());
        for cache in caches {
            sequences.push(DeviceCache::<D>::of(&mut **cache)?.sequence_mut());
        }
        let Some(first) = sequences.first() else {
            return Err(Error::run("a step of no sequence"));
        };
        let spec = first.layout().spec();
        let geometry = KernelShape::new(spec.shape(), heads, spec.dtype())?;
        let windows: Vec<u64> = sequences.iter().map(|sequence| sequence.state().window).collect();
        // Another geometry at known addresses is a later cache where an earlier one was freed.
        let known = self
            .batches
            .iter()
            .position(|(of, batch)| *of == windows && batch.geometry() == geometry);
        let entry = match known {
            Some(at) => self.batches.remove(at),
            None => {
                if self.batches.len() >= BATCHES {
                    self.batches.remove(0);
                }
                (windows, Batch::new(geometry, self.settings.balance))
            }
        };
        self.batches.push(entry);
        let (_, batch) = self.batches.last_mut().expect("just pushed");
        batch.begin(&*self.device, &mut sequences)?;
        Ok(batch.launches_id())
    }

    fn append(&self, layer: usize, token: AppendParams) -> Result<()> {
        self.batch()?.append(&*self.device, layer, token)
    }

    fn attend(&self, layer: usize, q: u64, out: Numbers) -> Result<()> {
        match self.settings.without.attention {
            true => Ok(()),
            false => self.batch()?.attend(&*self.device, layer, q, out),
        }
    }

    fn launch(&self, launch: &Launch) -> Result<()> {
        self.device.launch(launch)
    }

    fn multiply(&self, product: &MatrixProduct) -> Result<()> {
        self.device.multiply(product)
    }

    fn misfits(&self) -> Result<bool> {
        self.batches.last().map_or(Ok(false), |(_, batch)| batch.misfits(&*self.device))
    }

    fn write(&self, tensor: &Tensor, values: &[u32]) -> Result<()> {
        if tensor.elem_count() != values.len() || tensor.dtype() != DType::F32 {
            return Err(Error::run(format!(
                "{} numbers for a tensor of {:?}",
                values.len(),
                tensor.shape()
            )));
        }
        self.device.write_at(address(tensor)?, bytemuck::cast_slice(values))
    }

    fn read_logits(&self, tensor: &Tensor, values: &mut [f32]) -> Result<()> {
        if tensor.elem_count() != values.len() || tensor.dtype() != DType::F32 {
            return Err(Error::run(format!(
                "a tensor of {:?} for {} numbers",
                tensor.shape(),
                values.len()
            )));
        }
        if self.settings.without.logits {
            values.fill(0.0);
            return Ok(());
        }
        self.device.read_at(address(tensor)?, bytemuck::cast_slice_mut(values))
    }

    fn free_memory(&self) -> Result<Option<FreeMemory>> {
        self.device.free_memory()
    }

    fn settings(&self) -> StepSettings {
        self.settings
    }

    fn record(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<Recording> {
        Ok(Box::new(self.device.record(work)?))
    }

    fn repeat(&self, recording: &Recording, work: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        let recording =
            recording.downcast_ref().ok_or_else(|| Error::run("a recording of another device"))?;
        self.device.repeat(recording, work)
    }
}

/// The tensor type of a cache's elements.
pub(super) fn dtype(kv: Dtype) -> DType {
    match kv {
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::Bf16 => DType::BF16,
    }
}

/// [`Attend::check_memory`] of a device.
pub(super) fn check_device_memory(device: &dyn DeviceAttend, what: &str, bytes: u64) -> Result<()> {
    device.free_memory()?.map_or(Ok(()), |memory| memory.check(what, bytes))
}

impl Attend {
    /// Refuses what there is no memory for, with both sizes; `what` names it.
    pub(super) fn check_memory(&self, what: &str, bytes: u64) -> Result<()> {
        match self {
            Self::Host(_) => machine::check_memory(what, bytes),
            Self::Device(device) => check_device_memory(&**device, what, bytes),
        }
    }

    /// How a device makes its steps, and the bytes of its memory where it knows them; `None` where
    /// attention is computed in this process.
    pub(super) fn device(&self) -> Option<(StepSettings, Option<u64>)> {
        match self {
            Self::Host(_) => None,
            Self::Device(device) => {
                let memory = device.free_memory().ok().flatten();
                Some((device.settings(), memory.map(|memory| memory.total)))
            }
        }
    }

    /// Prepares the empty caches of a prompt, for sequences of at most `capacity` tokens.
    pub(super) fn begin_prompt(
        &self,
        caches: &mut [&mut SequenceCache],
        (heads, capacity): (usize, usize),
        tokens: usize,
    ) -> Result<()> {
        let Self::Device(device) = self else { return Ok(()) };
        for cache in caches {
            if cache.remote().is_none() {
                let spec = Arc::clone(cache.spec());
                cache.move_to(device.place(&spec, heads, capacity)?);
            }
            device.begin_prompt(cache.remote_mut().expect("just placed"), tokens)?;
        }
        Ok(())
    }

    /// Stores one layer of a prompt, f32 `[tokens, kv_heads * head_dim]`, in every cache. Refuses
    /// what a cache cannot hold: a key that became infinite may never show, since its scores may be
    /// minus infinity, or the mask may drop its channel.
    pub(super) fn fill(
        &self,
        caches: &mut [&mut SequenceCache],
        layer: usize,
        k: &Tensor,
        v: &Tensor,
    ) -> Result<()> {
        for cache in caches {
            let kv = dtype(cache.spec().dtype());
            match self {
                Self::Host(_) => {
                    let (k, v) = (rows(k)?, rows(v)?);
                    cache.check_fits(layer, cache.len(layer), &k, &v)?;
                    cache.append(layer, &k, &v);
                }
                Self::Device(device) => {
                    let narrow = |x: &Tensor| {
                        let narrow = x.to_dtype(kv)?;
                        Ok((is_finite(&narrow)?, narrow))
                    };
                    let [(k_fits, narrow_k), (v_fits, narrow_v)] =
                        [narrow(k).map_err(failed)?, narrow(v).map_err(failed)?];
                    // What fits bf16 may be beyond what codes hold.
                    let codes_hold =
                        cache.spec().dtype() == Dtype::F16 || cache.spec().plan().is_mask();
                    if !(k_fits && v_fits && codes_hold) {
                        cache.check_fits(layer, 0, &rows(k)?, &rows(v)?)?;
                    }
                    device.fill(remote(cache)?, layer, &narrow_k, &narrow_v)?;
                }
            }
        }
        Ok(())
    }
}

/// Whether all elements are finite numbers. Those times zero are zero, all others are no number; so
/// one number a row is enough to read.
fn is_finite(x: &Tensor) -> candle_core::Result<bool> {
    let rows = (x.to_dtype(DType::F32)? * 0.0)?.sum(D::Minus1)?.to_vec1::<f32>()?;
    Ok(rows.iter().all(|&row| row == 0.0))
}

/// Begins a step of one token for every cache; see [`DeviceAttend::begin_step`].
pub(super) fn begin_step(
    device: &mut dyn DeviceAttend,
    caches: &mut [&mut SequenceCache],
    heads: usize,
) -> Result<u64> {
    let mut remotes = Vec::with_capacity(caches.len());
    for cache in caches {
        remotes.push(remote(cache)?);
    }
    device.begin_step(&mut remotes, heads)
}

/// Appends and attends in one layer in this process's memory; f32 in and out, `[batch, heads *
/// head_dim]`.
pub(super) fn attend_here(
    attention: &mut Attention,
    caches: &mut [&mut SequenceCache],
    layer: usize,
    qkv: [&Tensor; 3],
) -> Result<Tensor> {
    let [q, k, v] = qkv.map(rows);
    let (q, k, v) = (q?, k?, v?);
    let (q_width, kv_width) = (q.len() / caches.len(), k.len() / caches.len());
    let mut out = vec![0.0; q.len()];
    for (at, cache) in caches.iter_mut().enumerate() {
        let own = at * kv_width..(at + 1) * kv_width;
        let (k, v) = (&k[own.clone()], &v[own]);
        cache.check_fits(layer, cache.len(layer), k, v)?;
        cache.append(layer, k, v);
    }
    let parts = q.chunks_exact(q_width).zip(out.chunks_exact_mut(q_width));
    let mut items: Vec<DecodeItem<'_>> =
        caches.iter().zip(parts).map(|(cache, (q, out))| DecodeItem { cache, q, out }).collect();
    attention.decode(layer, &mut items);
    Tensor::from_vec(out, (caches.len(), q_width), &TensorDevice::Cpu).map_err(failed)
}

pub(super) fn remote(cache: &mut SequenceCache) -> Result<&mut dyn Remote> {
    cache
        .remote_mut()
        .ok_or_else(|| Error::run("a cache is not on the device of the model that decodes over it"))
}

/// A tensor's elements in this process's memory, f32.
pub(super) fn rows(x: &Tensor) -> Result<Vec<f32>> {
    x.flatten_all().and_then(|x| x.to_vec1()).map_err(failed)
}
