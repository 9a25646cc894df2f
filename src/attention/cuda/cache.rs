//! Implements [`Remote`] for a sequence in a device's memory.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use super::device::Device;
use super::layout::{DeviceMask, Layout};
use super::sequence::{DeviceSequence, FillSource};
use crate::cache::{CacheBytes, CacheSpec, HeadRows, Remote, StoredKey};
use crate::{Error, Result};

/// A sequence with the device that it is on.
pub struct DeviceCache<D: Device> {
    device: Arc<D>,
    sequence: DeviceSequence<D>,
    heads: usize,
}

impl<D: Device> DeviceCache<D> {
    /// An empty cache for `heads` query heads per layer that can grow to `capacity` tokens.
    pub fn new(
        device: Arc<D>,
        spec: Arc<CacheSpec>,
        heads: usize,
        capacity: usize,
    ) -> Result<Self> {
        let mask = DeviceMask::new(&*device, Layout::new(spec, heads)?)?;
        let sequence = DeviceSequence::new(&*device, mask, capacity)?;
        Ok(Self { device, sequence, heads })
    }

    /// The sequence.
    pub fn sequence_mut(&mut self) -> &mut DeviceSequence<D> {
        &mut self.sequence
    }

    /// Downcasts a remote cache to one of this kind of device.
    pub fn of(remote: &mut dyn Remote) -> Result<&mut Self>
    where
        D: Send + Sync + 'static,
        D::Memory: Send + Sync,
    {
        remote
            .as_any_mut()
            .downcast_mut()
            .ok_or_else(|| Error::run("a cache is on another device than the model"))
    }
}

impl<D: Device> DeviceCache<D> {
    /// Fills this cache from one that stores at least as much, through host memory. That is slow,
    /// but only needed when a session without a dense side is pruned further, not in decoding.
    /// Channels that `wider` lacks are read as zeros; this cache does not store them either.
    fn refill_from(&mut self, wider: &Self) -> Result<()> {
        let device = &*wider.device;
        let spec = wider.sequence.layout().spec();
        if wider.sequence.layout().is_coded() {
            return Err(Error::input(
                "a coded cache on a GPU becomes no other one: codes would be coded again. Keep the dense side, or run the prompt anew",
            ));
        }
        let (shape, tokens) = (spec.shape(), wider.sequence.len());
        let (row, d) = (shape.kv_heads * shape.head_dim, shape.head_dim);
        self.sequence.begin(device, tokens)?;
        if tokens == 0 {
            return Ok(());
        }
        for layer in 0..shape.layers {
            let (mut keys, mut values) = (vec![0.0; tokens * row], vec![0.0; tokens * row]);
            for kv_head in 0..shape.kv_heads {
                let kept = spec.kept(layer, kv_head);
                for (token, stored) in
                    wider.sequence.stored_rows(device, layer, kv_head)?.iter().enumerate()
                {
                    let Some(stored) = stored else { continue };
                    let own = token * row + kv_head * d..token * row + (kv_head + 1) * d;
                    values[own.clone()].copy_from_slice(&stored.value);
                    if stored.in_middle {
                        kept.iter()
                            .zip(&stored.key)
                            .for_each(|(&channel, &x)| keys[own.start + channel] = x);
                    } else {
                        keys[own].copy_from_slice(&stored.key);
                    }
                }
            }
            let mut places =
                [device.allocate(tokens * row * 2)?, device.allocate(tokens * row * 2)?];
            for (place, rows) in places.iter_mut().zip([&keys, &values]) {
                device.write(place, 0, bytemuck::cast_slice(&spec.dtype().round_bits(rows)))?;
            }
            let [k, v] = [device.address(&places[0]), device.address(&places[1])];
            self.sequence.fill(device, &FillSource::Rows { layer, k, v })?;
        }
        Ok(())
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
        let is_coded = spec.layout(layer, kv_head).is_some();
        let blocks = self.sequence.blocks(&*self.device, layer, kv_head)?;
        let mut rows = HeadRows { blocks, ..HeadRows::default() };
        for stored in self.sequence.stored_rows(&*self.device, layer, kv_head)? {
            let (key, value) = match &stored {
                None => (StoredKey::Dropped, None),
                // It is in a block.
                Some(row) if row.in_middle && is_coded => (StoredKey::Dropped, None),
                Some(row) if !row.in_middle || spec.is_whole(layer, kv_head) => {
                    (StoredKey::Whole(row.key[..head_dim].to_vec()), Some(row.value.clone()))
                }
                Some(row) => (StoredKey::Packed(row.key[..kept].to_vec()), Some(row.value.clone())),
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

    fn narrowed(&self, spec: Arc<CacheSpec>) -> Result<Box<dyn Remote>> {
        let mut cache =
            Self::new(Arc::clone(&self.device), spec, self.heads, self.sequence.capacity())?;
        if self.sequence.layout().spec().is_dense() {
            cache.sequence.fill(&*self.device, &FillSource::Dense(&self.sequence))?;
        } else {
            cache.refill_from(self)?;
        }
        if cache.sequence.misfits(&*self.device)? {
            return Err(Error::input(format!(
                "keys or values of this prompt are beyond ±{}, which no codes hold: give their channels 16 bits",
                half::f16::MAX
            )));
        }
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
