//! A decode step over a batch of sequences: states, plan, launches. Buffers are kept between steps
//! and rarely grow.

use std::sync::atomic::{AtomicU64, Ordering};

use super::device::Device;
use super::launch::KernelShape;
use super::layout::SLAB;
use super::params::{SequenceState, WorkItem};
use super::plan::{Planned, Share, WorkPlan, plan};
use super::sequence::DeviceSequence;
use crate::{Error, Result};

/// A growing window is planned in steps of this many rows, so that one plan serves several tokens.
const WINDOW_STEP: usize = 64;

/// The number of the next plan; no number is used twice.
static PLANS: AtomicU64 = AtomicU64::new(1);

/// Working memory of the decode steps of one batch.
pub struct Batch<D: Device> {
    geometry: KernelShape,
    states: Vec<SequenceState>,
    state_memory: Room<D>,
    /// What the plan was made for: per sequence its heads' address, middle and planned window.
    planned_for: Vec<(u64, usize, usize)>,
    plan: WorkPlan,
    plan_id: u64,
    items: Room<D>,
    ranges: Room<D>,
    partials: Room<D>,
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

    /// Makes sure that at least `bytes` bytes are allocated; growing loses the contents.
    fn reserve(&mut self, device: &D, bytes: usize) -> Result<()> {
        if bytes > self.bytes || self.memory.is_none() {
            let bytes = bytes.max(2 * self.bytes).max(256);
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
    /// Working memory for sequences of this geometry.
    pub fn new(geometry: KernelShape) -> Self {
        Self {
            geometry,
            states: Vec::new(),
            state_memory: Room::EMPTY,
            planned_for: Vec::new(),
            plan: WorkPlan { items: Vec::new(), ranges: Vec::new(), layers: Vec::new() },
            plan_id: 0,
            items: Room::EMPTY,
            ranges: Room::EMPTY,
            partials: Room::EMPTY,
        }
    }

    /// The plan of the current step.
    pub fn plan(&self) -> &WorkPlan {
        &self.plan
    }

    /// The number of the current plan. Steps of one plan make the same launches over the same
    /// buffers; only the contents of the buffers differ.
    pub fn plan_id(&self) -> u64 {
        self.plan_id
    }

    /// Begins a step: every sequence gets one token more. [`Self::append`] and [`Self::attend`]
    /// follow for each layer, in order.
    pub fn begin(&mut self, device: &D, sequences: &mut [&mut DeviceSequence<D>]) -> Result<()> {
        self.states.clear();
        let mut wanted_same = self.planned_for.len() == sequences.len();
        for (index, sequence) in sequences.iter_mut().enumerate() {
            if sequence.layout().geometry() != self.geometry {
                return Err(Error::run("sequences of one batch have one geometry"));
            }
            sequence.grow(device)?;
            self.states.push(sequence.state());
            let wanted = wanted(sequence);
            wanted_same &= self.planned_for.get(index) == Some(&wanted);
        }
        self.state_memory.write(device, bytemuck::cast_slice(&self.states))?;
        if wanted_same {
            return Ok(());
        }
        self.planned_for = sequences.iter().map(|sequence| wanted(sequence)).collect();
        let shares: Vec<Share<'_>> = sequences
            .iter()
            .zip(&self.planned_for)
            .map(|(sequence, &(_, middle, window))| Share {
                layout: sequence.layout(),
                middle,
                window,
            })
            .collect();
        self.plan_id = PLANS.fetch_add(1, Ordering::Relaxed);
        self.plan = plan(
            &shares,
            device.multiprocessors() * self.geometry.decode_kernel().resident_blocks(),
        );
        self.items.write(device, bytemuck::cast_slice::<WorkItem, u8>(&self.plan.items))?;
        self.ranges.write(device, bytemuck::cast_slice(&self.plan.ranges))?;
        self.partials.reserve(
            device,
            self.plan.most_items() * self.geometry.partial_len() * size_of::<f32>(),
        )
    }

    /// Stores the new tokens' keys (after RoPE) and values of one layer, at addresses of
    /// `[sequences, kv_heads, head_dim]`, and moves chunks.
    pub fn append(&self, device: &D, layer: usize, k: u64, v: u64) -> Result<()> {
        if self.states.is_empty() {
            return Ok(());
        }
        device.launch(&self.geometry.append(
            layer,
            self.states.len(),
            [k, v, self.state_memory.address],
        ))
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

    /// Attention of the new tokens in one layer: `q` (after RoPE) and `out` are addresses of
    /// `[sequences, heads, head_dim]`.
    pub fn attend(&self, device: &D, layer: usize, q: u64, out: u64) -> Result<()> {
        if self.states.is_empty() {
            return Ok(());
        }
        let Planned { first, items, ranges } = self.plan.layers[layer];
        let partials = self.partials.address;
        if items > 0 {
            let at = self.items.address + (first * size_of::<WorkItem>()) as u64;
            let states = self.state_memory.address;
            device.launch(&self.geometry.decode(layer, items, [q, states, at, partials]))?;
        }
        let ranges = self.ranges.address + (ranges * size_of::<u32>()) as u64;
        device.launch(&self.geometry.combine(self.states.len(), [partials, ranges, out]))
    }
}

/// What the plan of a sequence depends on. It may count rows that do not exist yet; the kernel
/// skips them.
fn wanted<D: Device>(sequence: &DeviceSequence<D>) -> (u64, usize, usize) {
    let state = sequence.state();
    let (middle, window) = (state.middle as usize, (state.len - state.middle) as usize);
    // Once there is a middle, the window is full to within a chunk, so all of its slots are
    // planned. The middle is planned in whole slabs.
    let window = if middle > 0 {
        (state.sink + state.ring) as usize
    } else {
        window.next_multiple_of(WINDOW_STEP)
    };
    (state.heads, middle.next_multiple_of(SLAB), window)
}
