//! The layout of keys and values in a GPU's memory, and how many bytes that takes.
//!
//! The window of a sequence (sink, recent, and tokens not yet moved to the middle) is one
//! allocation of fixed size: the sink, then a ring. Nothing in it is ever moved. The middle grows
//! in slabs of [`SLAB`] tokens, one allocation for all layers and heads. Growing copies nothing; a
//! table holds the slabs' addresses. In a slab each head has its keys, `[SLAB][padded]`, and its
//! values, `[SLAB][head_dim]`. Rows are token-major, so that a row is a run of 16-byte units: a
//! kept count that is no multiple of 8 is padded with zero channels, which [`Layout::bytes_at`]
//! counts.
//!
//! A head that a plan codes has tiles of 16 tokens instead, each with the codes of its keys, channel
//! by channel, and of its values, with their scales, and behind the tiles the scales of the keys, of
//! which a group of tokens shares one (`kernels/cuda/coded.cuh`). The codes are those of
//! [`BlockLayout`]'s groups, bit for bit; only their places differ.

use std::sync::Arc;

use super::device::Device;
use super::launch::{KernelShape, TILE, code_stage};
use super::params::HeadLayout;
use crate::cache::coded::BlockLayout;
use crate::cache::{CacheBytes, CacheSpec};
use crate::mask::{CachePlan, Coding, Width, group_tokens};
use crate::{Error, Result};

/// Tokens of the middle per slab.
pub const SLAB: usize = 256;
/// Channels that make up 16 bytes.
const UNIT: usize = 8;
/// Bytes of a copy.
const COPY: usize = 16;
/// Bytes of a scale and a minimum.
const PAIR: usize = 4;

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
        let geometry = KernelShape::new(spec.shape(), heads, spec.dtype())?;
        let shape = spec.shape();
        let (mut channels, mut slab_bytes) = (Vec::new(), 0);
        let mut layout = Vec::with_capacity(shape.heads());
        for (layer, kv_head) in shape.each_head() {
            let kept = spec.kept(layer, kv_head);
            let (head, stored, bytes) = match spec.layout(layer, kv_head) {
                Some(coded) => {
                    let (head, bytes) = coded_head(&spec, coded)?;
                    (head, coded.channels(), bytes)
                }
                None => {
                    let (head, bytes) = plain_head(&spec, kept.len());
                    (head, kept, bytes)
                }
            };
            layout.push(HeadLayout {
                keys: slab_bytes as u64 + head.keys,
                values: slab_bytes as u64 + head.values,
                channels: channels.len() as u64,
                ..head
            });
            let list = channels.len() + head.padded as usize;
            channels.extend(stored.iter().map(|&channel| channel as u8));
            channels.resize(list, 0);
            slab_bytes += bytes;
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

    /// Whether any head's middle holds codes.
    pub fn is_coded(&self) -> bool {
        self.heads.iter().any(|head| head.tile > 0)
    }

    /// Bytes that one sequence of `len` tokens stores, padding included.
    pub fn bytes_at(&self, len: usize) -> CacheBytes {
        let exact = self.spec.bytes_at(len);
        let (middle, element) = (self.spec.window().middle(len), self.spec.dtype().bytes());
        let bytes = self.heads.iter().map(|head| match head.tile as usize {
            0 => {
                let values = if head.kept > 0 { self.geometry.head_dim() } else { 0 };
                [middle * head.padded as usize * element, middle * values * element]
            }
            tile => {
                let keys = head.tile_values as usize;
                let scales = middle / head.group as usize * scale_row(head);
                [middle / TILE * keys + scales, middle / TILE * (tile - keys)]
            }
        });
        let [middle_k, middle_v] = bytes.fold([0, 0], |sum, of| [sum[0] + of[0], sum[1] + of[1]]);
        CacheBytes { middle_k, middle_v, ..exact }
    }

    /// Bytes that one decode step reads from a middle token and from a window token of one head, the
    /// former rounded up.
    pub fn row_bytes(&self, layer: usize, kv_head: usize) -> (usize, usize) {
        let (head_dim, bytes) = (self.geometry.head_dim(), self.spec.dtype().bytes());
        let head = self.head(layer, kv_head);
        let middle = match (head.padded as usize, head.tile as usize) {
            (0, _) => 0,
            (padded, 0) => (padded + head_dim) * bytes,
            (_, tile) => (tile + scale_row(head)).div_ceil(TILE),
        };
        (middle, 2 * head_dim * bytes)
    }
}

/// Refuses codes that the kernels cannot store, for a middle that grows by `chunk` tokens.
pub fn check_codes(plan: &CachePlan, chunk: usize) -> Result<()> {
    if plan.is_mask() {
        return Ok(());
    }
    if let Coding::Blocks { .. } = plan.coding() {
        return Err(Error::input(
            "a GPU stores no blocks per token (q8_0, q4_0): with --device cuda a plan has bits per channel, such as k8v8",
        ));
    }
    if !group_tokens(chunk).is_multiple_of(TILE) {
        return Err(Error::input(format!(
            "a GPU codes whole tiles of {TILE} tokens: with --device cuda a plan needs a chunk that is a multiple of {TILE}, not {chunk}"
        )));
    }
    let v_group = plan.coding().v_group(plan.shape().head_dim);
    if !v_group.is_multiple_of(TILE) {
        return Err(Error::input(format!(
            "a GPU codes values in groups of a multiple of {TILE} channels: with --device cuda a plan cannot have groups of {v_group}"
        )));
    }
    Ok(())
}

/// A head whose middle is at the element type, offsets from its start, and its bytes in a slab.
fn plain_head(spec: &CacheSpec, kept: usize) -> (HeadLayout, usize) {
    let row = spec.dtype().bytes() * SLAB;
    let padded = kept.next_multiple_of(UNIT);
    let stored = if kept == 0 { 0 } else { spec.shape().head_dim };
    let head = HeadLayout {
        values: (row * padded) as u64,
        kept: kept as u32,
        padded: padded as u32,
        ..HeadLayout::default()
    };
    (head, row * (padded + stored))
}

/// A head whose middle holds codes, offsets from its start, and its bytes in a slab.
fn coded_head(spec: &CacheSpec, of: &BlockLayout) -> Result<(HeadLayout, usize)> {
    check_codes(spec.plan(), spec.window().chunk)?;
    let (head_dim, group) = (of.head_dim(), of.group_tokens());
    let v_bits = spec.dtype().bytes() * 8;
    let (v_bits, v_group) = of
        .value_codes()
        .map_or((v_bits, head_dim), |codes| (usize::from(codes.width.bits()), codes.group));
    let widths =
        [of.full_channels(), of.runs()[0].channels, of.runs()[1].channels, of.runs()[2].channels];
    let bits = [Width::Sixteen, Width::Eight, Width::Four, Width::Two].map(Width::bits);
    let keys: usize = widths
        .iter()
        .zip(bits)
        .map(|(channels, bits)| channels * TILE * usize::from(bits) / 8)
        .sum();
    let keys = keys.next_multiple_of(COPY);
    let pairs = if of.value_codes().is_some() { head_dim / v_group * PAIR } else { 0 };
    let tile = keys + TILE * (head_dim * v_bits / 8 + pairs);
    let kept = of.channels().len();
    let tiles = SLAB / TILE * tile;
    let head = HeadLayout {
        values: tiles as u64,
        kept: kept as u32,
        padded: kept.next_multiple_of(TILE) as u32,
        tile: tile as u32,
        tile_values: keys as u32,
        widths: widths.map(|channels| channels as u16),
        v_bits: v_bits as u16,
        v_group: v_group as u16,
        group: group as u32,
        ..HeadLayout::default()
    };
    let row = scale_row(&head);
    assert!(tile + row <= 2 * code_stage(head_dim), "a tile fits in both stages of a warp");
    Ok((head, tiles + SLAB / group * row))
}

/// Bytes of the scales and minima of a coded head's keys, of one group of tokens.
pub(super) fn scale_row(head: &HeadLayout) -> usize {
    ((head.kept as usize - usize::from(head.widths[0])) * PAIR).next_multiple_of(COPY)
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
    use crate::mask::{ChannelMask, Shape, Window};

    fn layout(plan: CachePlan, chunk: usize) -> Result<Layout> {
        let window = Window { chunk, ..Window::CODED };
        Layout::new(Arc::new(CacheSpec::planned(window, Dtype::F16, plan).unwrap()), 4)
    }

    #[test]
    fn bits_per_channel_are_laid_out_and_blocks_per_token_refused() {
        for head_dim in [64, 80, 128] {
            let shape = Shape { layers: 1, kv_heads: 2, head_dim };
            let mask =
                ChannelMask::from_fn(shape, |_, head, channel| head == 0 && channel % 2 == 0);
            assert!(!layout(CachePlan::of_mask(&mask), 64).unwrap().is_coded());
            for name in CachePlan::NAMES {
                let Ok(plan) = CachePlan::named(name.name, shape) else { continue };
                match (layout(plan.clone(), 64), plan.coding()) {
                    (Ok(layout), Coding::Channels { .. }) => {
                        assert_eq!(layout.is_coded(), !plan.is_mask(), "{}", name.name);
                        // What the CPU counts, but for padding.
                        let (found, exact) =
                            (layout.bytes_at(1000).total(), layout.spec().bytes_at(1000).total());
                        assert!(found >= exact && found < exact + exact / 50, "{}", name.name);
                    }
                    (Err(error), Coding::Blocks { .. }) => {
                        assert!(error.to_string().contains("--device cuda"), "{error}");
                    }
                    (layout, coding) => panic!("{}: {coding:?}, {:?}", name.name, layout.err()),
                }
            }
        }
    }

    #[test]
    fn groups_that_are_no_tiles_are_refused() {
        let shape = Shape { layers: 1, kv_heads: 2, head_dim: 64 };
        for (chunk, fits) in [(1, false), (24, false), (16, true), (48, true), (640, true)] {
            let plan = CachePlan::named("k8v8", shape).unwrap();
            let found = layout(plan, chunk).map(|layout| layout.is_coded());
            assert_eq!(found.is_ok(), fits, "{chunk}");
            if let Err(error) = found {
                assert!(error.to_string().contains("multiple of 16"), "{error}");
            }
            let mask = CachePlan::of_mask(&ChannelMask::full(shape));
            assert!(layout(mask, chunk).is_ok(), "a mask has no groups");
        }
    }
}
