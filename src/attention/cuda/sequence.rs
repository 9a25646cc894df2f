//! Keys and values of one sequence in a device's memory.

use std::sync::Arc;

use super::codes::{coded_blocks, coded_bytes};
use super::device::{Device, check_memory};
use super::layout::{DeviceMask, Layout, SLAB};
use super::params::{RebuildParams, SequenceState};
use crate::cache::{BLOCK, CacheBytes};
use crate::element::with_element;
use crate::numbers::count;
use crate::{Error, Result};

/// Most splits of a middle for live importance.
const MOST_SPLITS: usize = 64;

/// One sequence: a window of fixed size, slabs that are allocated as the middle grows, and their
/// table.
pub struct DeviceSequence<D: Device> {
    mask: Arc<DeviceMask<D>>,
    window: D::Memory,
    slabs: Vec<D::Memory>,
    table: D::Memory,
    /// Two states: this sequence's own, for launches on it alone, and that of a fill's source.
    states: D::Memory,
    state: SequenceState,
    capacity: usize,
}

/// One token of one head, as the numbers that are stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRow {
    /// The stored channels of the key, ascending; of a head without codes its padding too.
    pub key: Vec<f32>,
    /// The value.
    pub value: Vec<f32>,
    /// Whether the token is in the middle.
    pub in_middle: bool,
}

/// The source that a sequence is filled from.
pub enum FillSource<'a, D: Device> {
    /// Addresses of keys (after RoPE) and values of all tokens of one layer, `[tokens, kv_heads,
    /// head_dim]`.
    Rows {
        /// The layer.
        layer: usize,
        /// Keys.
        k: u64,
        /// Values.
        v: u64,
    },
    /// All layers of a sequence that has every channel.
    Dense(&'a DeviceSequence<D>),
}

impl<D: Device> DeviceSequence<D> {
    /// An empty sequence that can grow to `capacity` tokens.
    pub fn new(device: &D, mask: Arc<DeviceMask<D>>, capacity: usize) -> Result<Self> {
        let layout = mask.layout();
        let (sink, ring) = layout.window_slots(capacity);
        check_memory(device, "the window of a cache", layout.window_bytes(capacity))?;
        let window = device.allocate(layout.window_bytes(capacity))?;
        let table = device.allocate(
            layout.slabs(layout.spec().window().middle(capacity)).max(1) * size_of::<u64>(),
        )?;
        let states = device.allocate(2 * size_of::<SequenceState>())?;
        let state = SequenceState {
            window: device.address(&window),
            slabs: device.address(&table),
            heads: mask.heads(),
            sink: sink as u32,
            ring: ring as u32,
            ..SequenceState::default()
        };
        Ok(Self { mask, window, slabs: Vec::new(), table, states, state, capacity })
    }

    /// The sequence's layout.
    pub fn layout(&self) -> &Layout {
        self.mask.layout()
    }

    /// The mask with its tables.
    pub(super) fn mask(&self) -> &Arc<DeviceMask<D>> {
        &self.mask
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.state.len as usize
    }

    /// Whether it holds no token.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Most tokens that it can hold.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The sequence's state, as a launch reads it.
    pub fn state(&self) -> SequenceState {
        self.state
    }

    /// Bytes of the stored elements, padding channels included.
    pub fn bytes(&self) -> CacheBytes {
        self.layout().bytes_at(self.len())
    }

    /// Bytes allocated on the device for keys and values: [`Self::bytes`], free slots of the
    /// window, and the unused part of the last slab.
    pub fn allocated(&self) -> usize {
        self.layout().window_bytes(self.capacity) + self.slabs.len() * self.layout().slab_bytes()
    }

    /// Memory of keys and values: the window, then the slabs.
    pub fn memory(&self) -> impl Iterator<Item = &D::Memory> {
        std::iter::once(&self.window).chain(&self.slabs)
    }

    /// Counts one more token, and allocates a slab where the middle needs it. The token's key and
    /// value follow layer by layer.
    pub(super) fn grow(&mut self, device: &D) -> Result<()> {
        self.set_len(device, self.len() + 1)
    }

    /// Goes back to a [`Self::state`] of before [`Self::grow`], whether or not the token was stored.
    pub(crate) fn restore(&mut self, state: SequenceState) {
        self.state = state;
    }

    /// Counts `tokens` tokens of a prompt; [`Self::fill`] follows, layer by layer.
    pub fn begin(&mut self, device: &D, tokens: usize) -> Result<()> {
        self.set_len(device, tokens)?;
        self.upload(device)
    }

    fn set_len(&mut self, device: &D, len: usize) -> Result<()> {
        if len > self.capacity {
            return Err(Error::input(format!(
                "a sequence made for {} tokens cannot hold {}",
                count(self.capacity),
                count(len)
            )));
        }
        let middle = self.layout().spec().window().middle(len);
        let missing = self.layout().slabs(middle).saturating_sub(self.slabs.len());
        if missing > 0 {
            let what = format!("a cache of {} tokens", count(len));
            check_memory(device, &what, missing * self.layout().slab_bytes())?;
        }
        while self.slabs.len() < self.layout().slabs(middle) {
            let slab = device.allocate(self.layout().slab_bytes())?;
            let entry = device.address(&slab);
            device.write(
                &mut self.table,
                self.slabs.len() * size_of::<u64>(),
                &entry.to_ne_bytes(),
            )?;
            self.slabs.push(slab);
        }
        let before = self.state.middle;
        self.state.len = len as u32;
        self.state.middle = middle as u32;
        self.state.moved = (middle as u32).saturating_sub(before);
        Ok(())
    }

    fn upload(&mut self, device: &D) -> Result<()> {
        device.write(&mut self.states, 0, bytemuck::bytes_of(&self.state))
    }

    /// Writes every token to its place, from full keys and values: after a prefill, or for another
    /// mask or window.
    pub fn fill(&mut self, device: &D, source: &FillSource<'_, D>) -> Result<()> {
        let layers = self.layout().spec().shape().layers;
        let state = device.address(&self.states);
        let mut params = RebuildParams {
            source: 0,
            k: 0,
            v: 0,
            state,
            layer: 0,
            kv_heads: 0,
            head_dim: 0,
            keep_middle: 0,
            infinity: 0,
            pad: 0,
        };
        let count = match source {
            FillSource::Rows { layer, k, v } => {
                params = RebuildParams { k: *k, v: *v, layer: *layer as u32, ..params };
                1
            }
            FillSource::Dense(dense) => {
                let spec = dense.layout().spec();
                if !spec.is_dense() {
                    return Err(Error::input(
                        "only a dense cache can be retuned: a pruned one no longer has the channels it dropped",
                    ));
                }
                if spec.shape() != self.layout().spec().shape()
                    || spec.dtype() != self.layout().spec().dtype()
                {
                    return Err(Error::input(format!(
                        "a cache of {} cannot become one of {}",
                        spec.shape(),
                        self.layout().spec().shape()
                    )));
                }
                self.set_len(device, dense.len())?;
                self.upload(device)?;
                device.write(
                    &mut self.states,
                    size_of::<SequenceState>(),
                    bytemuck::bytes_of(&dense.state),
                )?;
                params.source = state + size_of::<SequenceState>() as u64;
                layers
            }
        };
        if self.is_empty() { Ok(()) } else { self.rebuild(device, count, params) }
    }

    /// Launches what `params` asks for, on `layers` layers of this sequence.
    fn rebuild(&self, device: &D, layers: usize, params: RebuildParams) -> Result<()> {
        let geometry = self.layout().geometry();
        device.launch(&geometry.rebuild(self.len(), layers, params))?;
        let middle = self.state.middle as usize;
        if self.layout().is_coded() && middle > 0 {
            device.launch(&geometry.code_middle(middle, layers, params))?;
        }
        Ok(())
    }

    /// Whether a fill since the last [`Self::begin`] met a number that is stored as no finite one.
    /// Waits for the device.
    pub(super) fn misfits(&self, device: &D) -> Result<bool> {
        let mut state = SequenceState::default();
        device.read(&self.states, 0, bytemuck::bytes_of_mut(&mut state))?;
        Ok(state.misfits != 0)
    }

    /// Rewinds to the first `len` tokens. Where pruned tokens need all their channels again, the
    /// keys come from `dense`, a sequence of exactly these tokens with every channel.
    pub fn truncate(&mut self, device: &D, len: usize, dense: Option<&Self>) -> Result<()> {
        if len >= self.len() {
            return Ok(());
        }
        let window = self.layout().spec().window();
        let whole_again =
            window.sink + window.middle(len) < (window.sink + window.middle(self.len())).min(len);
        if !whole_again {
            return self.begin(device, len);
        }
        if self.layout().spec().is_dense() {
            // The middle has every channel here, so the window is refilled from it.
            let before = self.state;
            self.begin(device, len)?;
            device.write(
                &mut self.states,
                size_of::<SequenceState>(),
                bytemuck::bytes_of(&before),
            )?;
            let state = device.address(&self.states);
            let source = state + size_of::<SequenceState>() as u64;
            let params = RebuildParams {
                source,
                k: 0,
                v: 0,
                state,
                layer: 0,
                kv_heads: 0,
                head_dim: 0,
                keep_middle: 1,
                infinity: 0,
                pad: 0,
            };
            return self.rebuild(device, self.layout().spec().shape().layers, params);
        }
        match dense.filter(|dense| dense.len() == len) {
            Some(dense) => self.fill(device, &FillSource::Dense(dense)),
            None => Err(Error::input(format!(
                "going back from {} to {to} tokens needs pruned key channels, and no dense cache of {to} tokens is at hand",
                count(self.len()),
                to = count(len)
            ))),
        }
    }

    /// Live importance of one layer: the mean of `|q_c k_c|` over the middle and each group's query
    /// heads, `[kv_heads, head_dim]`; 0 for channels that are not stored. `q`, `[heads, head_dim]`,
    /// is rounded to the cache's type. Waits for the device.
    pub fn activity(&self, device: &D, layer: usize, q: &[f32]) -> Result<Vec<f32>> {
        let geometry = self.layout().geometry();
        let row = geometry.kv_heads() * geometry.head_dim();
        let splits = (self.state.middle as usize / 64).clamp(1, MOST_SPLITS);
        let bits = geometry.dtype().round_bits(q);
        let mut queries = device.allocate(bits.len() * 2)?;
        device.write(&mut queries, 0, bytemuck::cast_slice(&bits))?;
        let mut state = device.allocate(size_of::<SequenceState>())?;
        device.write(&mut state, 0, bytemuck::bytes_of(&self.state))?;
        let sums = device.allocate(row * splits * size_of::<f32>())?;
        let out = device.allocate(row * size_of::<f32>())?;
        let addresses = [&queries, &state, &sums, &out].map(|memory| device.address(memory));
        geometry
            .activity(layer, splits, addresses)
            .iter()
            .try_for_each(|launch| device.launch(launch))?;
        let mut activity = vec![0.0f32; row];
        device.read(&out, 0, bytemuck::cast_slice_mut(&mut activity))?;
        Ok(activity)
    }

    /// A copy with memory of its own.
    pub fn copied(&self, device: &D) -> Result<Self> {
        let mut copy = Self::new(device, Arc::clone(&self.mask), self.capacity)?;
        copy.begin(device, self.len())?;
        device.copy(&self.window, &mut copy.window)?;
        // A sequence that was rewound may have more slabs than its tokens need.
        self.slabs.iter().zip(&mut copy.slabs).try_for_each(|(from, to)| device.copy(from, to))?;
        Ok(copy)
    }

    /// The middle of one head in blocks as a cache in host memory has them; none where nothing is
    /// coded. Waits for the device.
    pub(super) fn blocks(&self, device: &D, layer: usize, kv_head: usize) -> Result<Vec<Vec<u8>>> {
        let Some(layout) = self.layout().spec().layout(layer, kv_head) else {
            return Ok(Vec::new());
        };
        let head = self.layout().head(layer, kv_head);
        let mut blocks = Vec::new();
        for slab in &self.slabs {
            let mut bytes = vec![0; coded_bytes(head)];
            device.read(slab, head.keys as usize, &mut bytes)?;
            blocks.extend(coded_blocks(head, layout, &bytes));
        }
        blocks.truncate((self.state.middle as usize).div_ceil(BLOCK));
        Ok(blocks)
    }

    /// Every token of one head as stored in the device's memory; `None` where the head dropped it.
    /// Waits for the device.
    pub fn stored_rows(
        &self,
        device: &D,
        layer: usize,
        kv_head: usize,
    ) -> Result<Vec<Option<StoredRow>>> {
        let shape = self.layout().spec().shape();
        let dtype = self.layout().spec().dtype();
        let read = |memory: &D::Memory, start: usize, elements: usize| {
            let mut bits = vec![0u16; elements];
            device.read(memory, start, bytemuck::cast_slice_mut(&mut bits))?;
            Ok::<_, Error>(dtype.widen_bits(&bits))
        };
        let (sink, ring, middle) =
            (self.state.sink as usize, self.state.ring as usize, self.state.middle as usize);
        let head = self.layout().head(layer, kv_head);
        let row =
            |numbers: &[f32], at: usize, width: usize| numbers[at * width..][..width].to_vec();

        let elements = (sink + ring) * shape.head_dim;
        let block = 2 * (layer * shape.kv_heads + kv_head) * elements * 2;
        let window = [
            read(&self.window, block, elements)?,
            read(&self.window, block + elements * 2, elements)?,
        ];
        let blocks = self.blocks(device, layer, kv_head)?;
        let coded = self.layout().spec().layout(layer, kv_head);
        let mut slabs = Vec::new();
        for slab in self.slabs.iter().filter(|_| head.kept > 0 && coded.is_none()) {
            let keys = read(slab, head.keys as usize, SLAB * head.padded as usize)?;
            slabs.push([keys, read(slab, head.values as usize, SLAB * shape.head_dim)?]);
        }
        let stored = |position: usize| {
            if position < sink || position >= sink + middle {
                let slot = if position < sink { position } else { sink + (position - sink) % ring };
                let [key, value] = &window;
                let [key, value] = [key, value].map(|rows| row(rows, slot, shape.head_dim));
                return Some(StoredRow { key, value, in_middle: false });
            }
            let token = position - sink;
            if let Some(of) = coded {
                let block = &blocks[token / BLOCK];
                let (mut key, mut value) =
                    (vec![0.0; of.channels().len()], vec![0.0; shape.head_dim]);
                with_element!(dtype, E => {
                    of.read_key::<E>(block, token % BLOCK, &mut key);
                    of.read_value::<E>(block, token % BLOCK, &mut value);
                });
                let mut key: Vec<_> = of.channels().iter().zip(key).collect();
                key.sort_by_key(|(channel, _)| **channel);
                let key = key.into_iter().map(|(_, x)| x).collect();
                return Some(StoredRow { key, value, in_middle: true });
            }
            let [keys, values] = slabs.get(token / SLAB)?;
            Some(StoredRow {
                key: row(keys, token % SLAB, head.padded as usize),
                value: row(values, token % SLAB, shape.head_dim),
                in_middle: true,
            })
        };
        Ok((0..self.len()).map(stored).collect())
    }
}
