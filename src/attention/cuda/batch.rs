//! A decode step over a batch of sequences: states, plan, launches. Buffers are kept between steps
//! and rarely grow. A new plan changes what is in the buffers, not the launches, so that a recorded
//! step serves all plans that fit in them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::device::{Device, check_memory};
use super::launch::KernelShape;
use super::layout::{DeviceMask, SLAB};
use super::params::{AppendParams, Numbers, SequenceState, WorkItem};
use super::plan::{Balance, Share, WorkPlan, plan};
use super::sequence::DeviceSequence;
use crate::{Error, Result};

/// A growing window is planned in steps of this many rows, so that one plan serves several tokens.
const WINDOW_STEP: usize = 64;

/// The number of the next set of launches; no number is used twice.
static LAUNCHES: AtomicU64 = AtomicU64::new(1);

/// Working memory of the decode steps of one batch.
pub struct Batch<D: Device> {
    geometry: KernelShape,
    states: Vec<SequenceState>,
    state_memory: Room<D>,
    balance: Balance,
    planned_for: Vec<PlannedFor<D>>,
    plan: WorkPlan,
    launches_id: u64,
    /// Items for which there is room in every layer.
    most_items: usize,
    /// Whether a middle holds codes.
    coded: bool,
    items: Room<D>,
    ranges: Room<D>,
    partials: Room<D>,
}

/// What the plan depends on, of one sequence. The mask is kept, and compared by what it keeps: an
/// address says nothing, because a later mask may get the memory of one that was freed.
struct PlannedFor<D: Device> {
    mask: Arc<DeviceMask<D>>,
    middle: usize,
    window: usize,
}

impl<D: Device> PlannedFor<D> {
    /// It may count rows that do not exist yet; the kernel skips them.
    fn of(sequence: &DeviceSequence<D>) -> Self {
        let state = sequence.state();
        let (middle, window) = (state.middle as usize, (state.len - state.middle) as usize);
        // Once there is a middle, the window is full to within a chunk, so all of its slots are
        // planned. The middle is planned in whole slabs.
        let window = if middle > 0 {
            (state.sink + state.ring) as usize
        } else {
            window.next_multiple_of(WINDOW_STEP)
        };
        let middle = middle.next_multiple_of(SLAB);
        Self { mask: Arc::clone(sequence.mask()), middle, window }
    }

    fn is(&self, other: &Self) -> bool {
        let rows = |of: &Self| (of.middle, of.window);
        rows(self) == rows(other)
            && (Arc::ptr_eq(&self.mask, &other.mask)
                || self.mask.layout().is_laid_out_as(other.mask.layout()))
    }
}

/// Memory that grows by doubling.
struct Room<D: Device> {
    memory: Option<D::Memory>,
    bytes: usize,
    /// Kept, because asking for the address of device memory costs time.
    address: u64,
}

impl<D: Device> Room<D> {
    const EMPTY: Self = Self { memory: None, bytes: 0, address: 0 };

    /// Makes sure that at least `bytes` bytes are allocated; growing loses the contents. Both
    /// memories exist for a moment: work that reads the old one may still be queued.
    fn reserve(&mut self, device: &D, bytes: usize) -> Result<()> {
        if bytes > self.bytes || self.memory.is_none() {
            let bytes = bytes.max(2 * self.bytes).max(256);
            check_memory(device, "the working memory of decode attention", bytes)?;
            let memory = device.allocate(bytes)?;
            *self = Self { address: device.address(&memory), memory: Some(memory), bytes };
        }
        Ok(())
    }

    fn write(&mut self, device: &D, bytes: &[u8]) -> Result<()> {
        self.reserve(device, bytes.len())?;
        device.write(self.memory.as_mut().expect("just reserved"), 0, bytes)
    }
}

impl<D: Device> Batch<D> {
    /// Working memory for sequences of this geometry, whose work is divided by `balance`.
    pub fn new(geometry: KernelShape, balance: Balance) -> Self {
        Self {
            geometry,
            states: Vec::new(),
            state_memory: Room::EMPTY,
            balance,
            planned_for: Vec::new(),
            plan: WorkPlan { items: Vec::new(), ranges: Vec::new(), layers: Vec::new() },
            launches_id: 0,
            most_items: 0,
            coded: false,
            items: Room::EMPTY,
            ranges: Room::EMPTY,
            partials: Room::EMPTY,
        }
    }

    /// The geometry of its sequences.
    pub fn geometry(&self) -> KernelShape {
        self.geometry
    }

    /// The plan of the current step.
    pub fn plan(&self) -> &WorkPlan {
        &self.plan
    }

    /// The number of the current launches. Steps with the same number make the same launches over
    /// the same buffers; only the contents of the buffers differ.
    pub fn launches_id(&self) -> u64 {
        self.launches_id
    }

    /// Begins a step: every sequence gets one token more. [`Self::append`] and [`Self::attend`]
    /// follow for each layer, in order.
    pub fn begin(&mut self, device: &D, sequences: &mut [&mut DeviceSequence<D>]) -> Result<()> {
        self.states.clear();
        let mut wanted = Vec::with_capacity(sequences.len());
        for sequence in sequences.iter_mut() {
            if sequence.layout().geometry() != self.geometry {
                return Err(Error::run("sequences of one batch have one geometry"));
            }
            sequence.grow(device)?;
            self.states.push(sequence.state());
            wanted.push(PlannedFor::of(sequence));
        }
        let before = self.addresses();
        self.state_memory.write(device, bytemuck::cast_slice(&self.states))?;
        let is_same = wanted.len() == self.planned_for.len()
            && wanted.iter().zip(&self.planned_for).all(|(wanted, planned)| wanted.is(planned));
        if !is_same {
            self.make_plan(device, wanted)?;
        }
        if self.addresses() != before || self.launches_id == 0 {
            self.launches_id = LAUNCHES.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// What the launches of a step depend on, besides the geometry.
    fn addresses(&self) -> ([u64; 4], usize, usize, bool) {
        let rooms = [&self.state_memory, &self.items, &self.ranges, &self.partials];
        let addresses = rooms.map(|room| room.address);
        (addresses, self.most_items, self.planned_for.len(), self.coded)
    }

    fn make_plan(&mut self, device: &D, wanted: Vec<PlannedFor<D>>) -> Result<()> {
        let shares: Vec<Share<'_>> = wanted
            .iter()
            .map(|of| Share { layout: of.mask.layout(), middle: of.middle, window: of.window })
            .collect();
        self.coded = wanted.iter().any(|of| of.mask.layout().is_coded());
        let blocks = device.blocks(self.geometry.decode_kernel(self.coded));
        self.plan = plan(&shares, blocks, self.balance);
        self.planned_for = wanted;
        // Room for half as many again, so that a growing cache needs new buffers rarely.
        let most = self.plan.most_items();
        if most > self.most_items || self.most_items == 0 {
            self.most_items = (most + most / 2).next_multiple_of(64).max(64);
        }
        let mut items = Vec::with_capacity(self.plan.layers.len() * self.most_items);
        for layer in &self.plan.layers {
            let end = items.len() + self.most_items;
            items.extend_from_slice(&self.plan.items[layer.first..][..layer.items]);
            items.resize(end, WorkItem::default());
        }
        self.items.write(device, bytemuck::cast_slice::<WorkItem, u8>(&items))?;
        self.ranges.write(device, bytemuck::cast_slice(&self.plan.ranges))?;
        self.partials
            .reserve(device, self.most_items * self.geometry.partial_len() * size_of::<f32>())
    }

    /// Rotates the new tokens' queries and keys, stores keys and values of one layer, and moves
    /// chunks. `token` says where queries, keys and values are and where the queries go.
    pub fn append(&self, device: &D, layer: usize, token: AppendParams) -> Result<()> {
        if self.states.is_empty() {
            return Ok(());
        }
        let sequences = (self.states.len(), self.state_memory.address);
        device.launch(&self.geometry.append(layer, sequences, token))
    }

    /// Whether a key or value of the new tokens was no finite number in the cache's type, in a layer
    /// that was appended since the step began. Waits for the device.
    pub fn misfits(&self, device: &D) -> Result<bool> {
        let Some(memory) = self.state_memory.memory.as_ref().filter(|_| !self.states.is_empty())
        else {
            return Ok(false);
        };
        let mut states = self.states.clone();
        device.read(memory, 0, bytemuck::cast_slice_mut(&mut states))?;
        Ok(states.iter().any(|state| state.misfits != 0))
    }

    /// Attention of the new tokens in one layer: `q` (after RoPE) is the address of `[sequences,
    /// heads, head_dim]` in the cache's type; `out` has that shape in any type.
    pub fn attend(&self, device: &D, layer: usize, q: u64, out: Numbers) -> Result<()> {
        if self.states.is_empty() {
            return Ok(());
        }
        let (states, partials) = (self.state_memory.address, self.partials.address);
        let items = self.items.address + (layer * self.most_items * size_of::<WorkItem>()) as u64;
        let heads = self.states.len() * self.geometry.kv_heads();
        let ranges = self.ranges.address + (layer * (heads + 1) * size_of::<u32>()) as u64;
        // The last bound is the number of items.
        let count = ranges + (heads * size_of::<u32>()) as u64;
        let kernel = self.geometry.decode_kernel(self.coded);
        let blocks = device.blocks(kernel).min(self.most_items);
        let places = [q, states, items, count, partials];
        device.launch(&self.geometry.decode(layer, (kernel, blocks), places))?;
        device.launch(&self.geometry.combine(self.states.len(), [partials, ranges], out))
    }
}
