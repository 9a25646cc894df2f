//! A device's sequence as a cache like any other: what `cache::Remote` asks for.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use super::device::Device;
use super::layout::{DeviceMask, Layout};
use super::sequence::{DeviceSequence, Source};
use crate::cache::{CacheBytes, CacheSpec, HeadRows, KvDtype, Remote, StoredKey};
use crate::{Error, Result};

/// A sequence with the device that it is on.
pub struct DeviceCache<D: Device> {
    device: Arc<D>,
    sequence: DeviceSequence<D>,
    heads: usize,
}

impl<D: Device> DeviceCache<D> {
    /// An empty cache for `heads` query heads per layer that can grow to `capacity` tokens.
    pub fn new(device: Arc<D>, spec: Arc<CacheSpec>, heads: usize, capacity: usize) -> Result<Self> {
        let mask = DeviceMask::new(&*device, Layout::new(spec, heads)?)?;
        let sequence = DeviceSequence::new(&*device, mask, capacity)?;
        Ok(Self { device, sequence, heads })
    }

    /// The sequence.
    pub fn sequence_mut(&mut self) -> &mut DeviceSequence<D> {
        &mut self.sequence
    }

    /// A remote cache as one of this device's.
    pub fn of(remote: &mut dyn Remote) -> Result<&mut Self>
    where
        D: Send + Sync + 'static,
        D::Memory: Send + Sync,
    {
        remote.as_any_mut().downcast_mut().ok_or_else(|| Error::run("a cache is on another device than the model"))
    }
}

impl<D: Device> fmt::Debug for DeviceCache<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceCache").field("tokens", &self.sequence.len()).finish_non_exhaustive()
    }
}

impl<D> Remote for DeviceCache<D>
where
    D: Device + Send + Sync + 'static,
    D::Memory: Send + Sync,
{
    fn len(&self, _: usize) -> usize {
        self.sequence.len()
    }

    fn bytes(&self) -> CacheBytes {
        self.sequence.bytes()
    }

    fn allocated(&self) -> usize {
        self.sequence.allocated()
    }

    fn rows(&self, layer: usize, kv_head: usize) -> Result<HeadRows> {
        let spec = self.sequence.layout().spec();
        let (head_dim, kept) = (spec.shape().head_dim, spec.kept(layer, kv_head).len());
        let widened = |bits: &[u16]| -> Vec<f32> {
            match spec.dtype() {
                KvDtype::Bf16 => bits.iter().map(|&bits| half::bf16::from_bits(bits).to_f32()).collect(),
                _ => bits.iter().map(|&bits| half::f16::from_bits(bits).to_f32()).collect(),
            }
        };
        let mut rows = HeadRows::default();
        for stored in self.sequence.stored_rows(&*self.device, layer, kv_head)? {
            let (key, value) = match &stored {
                None => (StoredKey::Dropped, None),
                Some(row) if !row.in_middle || kept == head_dim => {
                    (StoredKey::Whole(widened(&row.key[..head_dim])), Some(widened(&row.value)))
                }
                Some(row) => (StoredKey::Packed(widened(&row.key[..kept])), Some(widened(&row.value))),
            };
            rows.keys.push(key);
            rows.values.push(value);
        }
        Ok(rows)
    }

    fn activity(&self, layer: usize, q: &[f32]) -> Result<Vec<f32>> {
        self.sequence.activity(&*self.device, layer, q)
    }

    fn copied(&self) -> Result<Box<dyn Remote>> {
        let sequence = self.sequence.copied(&*self.device)?;
        Ok(Box::new(Self { device: Arc::clone(&self.device), sequence, heads: self.heads }))
    }

    fn retuned(&self, spec: Arc<CacheSpec>) -> Result<Box<dyn Remote>> {
        let mut cache = Self::new(Arc::clone(&self.device), spec, self.heads, self.sequence.capacity())?;
        cache.sequence.fill(&*self.device, &Source::Dense(&self.sequence))?;
        Ok(Box::new(cache))
    }

    fn truncate(&mut self, len: usize, dense: Option<&dyn Remote>) -> Result<()> {
        let dense = dense.and_then(|dense| dense.as_any().downcast_ref::<Self>());
        self.sequence.truncate(&*self.device, len, dense.map(|dense| &dense.sequence))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
