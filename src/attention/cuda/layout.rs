//! The layout of keys and values in a GPU's memory, and how many bytes that takes.
//!
//! The window of a sequence (sink, recent, and tokens not yet moved to the middle) is one
//! allocation of fixed size: the sink, then a ring. Nothing in it is ever moved. The middle grows
//! in slabs of [`SLAB`] tokens, one allocation for all layers and heads. Growing copies nothing; a
//! table holds the slabs' addresses. In a slab each head has its keys, `[SLAB][padded]`, and its
//! values, `[SLAB][head_dim]`. Rows are token-major, so that a row is a run of 16-byte units: a
//! kept count that is no multiple of 8 is padded with zero channels, which [`Layout::bytes_at`]
//! counts.

use std::sync::Arc;

use super::device::Device;
use super::launch::KernelShape;
use super::params::HeadLayout;
use crate::cache::{CacheBytes, CacheSpec};
use crate::{Error, Result};

/// Tokens of the middle per slab.
pub const SLAB: usize = 256;
/// Channels that make up 16 bytes.
const UNIT: usize = 8;

/// The layout of a cache specification in a GPU's memory.
#[derive(Debug, Clone)]
pub struct Layout {
    spec: Arc<CacheSpec>,
    geometry: KernelShape,
    /// `[layers, kv_heads]`; the addresses of channel lists are offsets in the mask's memory.
    heads: Vec<HeadLayout>,
    channels: Vec<u8>,
    slab_bytes: usize,
}

impl Layout {
    /// The layout for `heads` query heads per layer; refuses what the kernels cannot do.
    pub fn new(spec: Arc<CacheSpec>, heads: usize) -> Result<Self> {
        if !spec.plan().is_mask() {
            return Err(Error::input(
                "a GPU stores no channels of 2, 4 or 8 bits: with --device cuda a plan is a mask, 16 or 0 bits everywhere",
            ));
        }
        let geometry = KernelShape::new(spec.shape(), heads, spec.dtype())?;
        let shape = spec.shape();
        let (mut channels, mut slab_bytes) = (Vec::new(), 0);
        let mut layout = Vec::with_capacity(shape.heads());
        for (layer, head) in
            (0..shape.layers).flat_map(|layer| (0..shape.kv_heads).map(move |head| (layer, head)))
        {
            let kept = spec.kept(layer, head);
            let padded = kept.len().next_multiple_of(UNIT);
            let stored = if kept.is_empty() { 0 } else { shape.head_dim };
            let at = slab_bytes as u64;
            let values = at + (SLAB * padded * spec.dtype().bytes()) as u64;
            let list = channels.len() as u64;
            channels.extend(
                kept.iter()
                    .map(|&channel| channel as u8)
                    .chain(std::iter::repeat_n(0, padded - kept.len())),
            );
            layout.push(HeadLayout {
                keys: at,
                values,
                channels: list,
                kept: kept.len() as u32,
                padded: padded as u32,
            });
            slab_bytes += SLAB * (padded + stored) * spec.dtype().bytes();
        }
        Ok(Self { spec, geometry, heads: layout, channels, slab_bytes })
    }

    /// The specification that is laid out.
    pub fn spec(&self) -> &Arc<CacheSpec> {
        &self.spec
    }

    /// The geometry that the kernels are launched with.
    pub fn geometry(&self) -> KernelShape {
        self.geometry
    }

    /// Whether every head of `other` keeps as many channels, so that rows have the same bytes.
    pub(super) fn is_laid_out_as(&self, other: &Self) -> bool {
        // All that `heads` holds follows from the kept counts.
        self.geometry == other.geometry && self.heads == other.heads
    }

    /// The layout of one head in a slab; the address of its channels is an offset.
    pub(super) fn head(&self, layer: usize, kv_head: usize) -> &HeadLayout {
        &self.heads[layer * self.geometry.kv_heads() + kv_head]
    }

    /// Channels stored per middle key of one head, padding included.
    pub fn padded(&self, layer: usize, kv_head: usize) -> usize {
        self.head(layer, kv_head).padded as usize
    }

    /// Slots of the sink and of the ring, for sequences of at most `capacity` tokens.
    pub fn window_slots(&self, capacity: usize) -> (usize, usize) {
        let window = self.spec.window();
        let sink = window.sink.min(capacity);
        (sink, (window.recent + window.chunk).min(capacity - sink).max(1))
    }

    /// Bytes of the window of one sequence.
    pub fn window_bytes(&self, capacity: usize) -> usize {
        let (sink, ring) = self.window_slots(capacity);
        let shape = self.spec.shape();
        2 * shape.entries() * (sink + ring) * self.spec.dtype().bytes()
    }

    /// Bytes of one slab; 0 where every head is dropped.
    pub fn slab_bytes(&self) -> usize {
        self.slab_bytes
    }

    /// Slabs that hold `middle` tokens.
    pub fn slabs(&self, middle: usize) -> usize {
        if self.slab_bytes == 0 { 0 } else { middle.div_ceil(SLAB) }
    }

    /// Bytes of the elements that one sequence of `len` tokens stores, padding channels included.
    pub fn bytes_at(&self, len: usize) -> CacheBytes {
        let exact = self.spec.bytes_at(len);
        let padded: usize = self.heads.iter().map(|head| head.padded as usize).sum();
        CacheBytes {
            middle_k: self.spec.window().middle(len) * padded * self.spec.dtype().bytes(),
            ..exact
        }
    }

    /// Bytes that one decode step reads from a middle token and from a window token of one head.
    pub fn row_bytes(&self, layer: usize, kv_head: usize) -> (usize, usize) {
        let (head_dim, bytes) = (self.geometry.head_dim(), self.spec.dtype().bytes());
        let middle = match self.padded(layer, kv_head) {
            0 => 0,
            padded => (padded + head_dim) * bytes,
        };
        (middle, 2 * head_dim * bytes)
    }
}

/// A layout whose tables are in a device's memory; shared by the sequences that use it.
pub struct DeviceMask<D: Device> {
    layout: Layout,
    memory: D::Memory,
    address: u64,
}

impl<D: Device> DeviceMask<D> {
    /// Writes the tables to the device.
    pub fn new(device: &D, layout: Layout) -> Result<Arc<Self>> {
        let table = layout.heads.len() * size_of::<HeadLayout>();
        let mut memory = device.allocate(table + layout.channels.len().max(1))?;
        let address = device.address(&memory);
        let lists = address + table as u64;
        let heads: Vec<HeadLayout> = layout
            .heads
            .iter()
            .map(|head| HeadLayout { channels: lists + head.channels, ..*head })
            .collect();
        device.write(&mut memory, 0, bytemuck::cast_slice(&heads))?;
        device.write(&mut memory, table, &layout.channels)?;
        Ok(Arc::new(Self { layout, memory, address }))
    }

    /// The layout.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Address of the head layouts, `[layers, kv_heads]`.
    pub(super) fn heads(&self) -> u64 {
        self.address
    }

    /// The memory that holds the tables.
    pub fn memory(&self) -> &D::Memory {
        &self.memory
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::Dtype;
    use crate::mask::{CachePlan, ChannelMask, Shape, Window};

    #[test]
    fn codes_are_refused_wherever_a_cache_comes_to_a_gpu() {
        let shape = Shape { layers: 1, kv_heads: 2, head_dim: 64 };
        let layout = |plan: CachePlan| {
            let spec = CacheSpec::planned(Window::CODED, Dtype::F16, plan).unwrap();
            Layout::new(Arc::new(spec), 4)
        };
        let mask = ChannelMask::from_fn(shape, |_, head, channel| head == 0 && channel % 2 == 0);
        assert!(layout(CachePlan::of_mask(&mask)).is_ok());
        for name in CachePlan::NAMES {
            let plan = CachePlan::named(name.name, shape).unwrap();
            let sentence = layout(plan).err().unwrap().to_string();
            assert!(sentence.contains("--device cuda"), "{sentence}");
        }
    }
}
