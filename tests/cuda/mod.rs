//! The simulator as a device: memory is the host's, launches run on fibers.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::alloc::{Layout, alloc, dealloc};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use kscope::attention::cuda::{Device, Launch};
use kscope::{Error, Result};
use kscope_sim::Schedule;

/// A simulated card.
pub struct Simulator {
    pub variant: &'static str,
    /// Schedules, in turn over launches.
    pub schedules: Vec<Schedule>,
    /// Taken from every launch's shared memory.
    pub withheld: usize,
    buffers: Arc<Mutex<Vec<[u64; 2]>>>,
    launches: AtomicUsize,
}

impl Simulator {
    pub fn new(variant: &'static str, schedules: &[Schedule]) -> Self {
        let schedules = schedules.to_vec();
        Self { variant, schedules, withheld: 0, buffers: Arc::default(), launches: AtomicUsize::new(0) }
    }

    /// Launches so far.
    pub fn launches(&self) -> usize {
        self.launches.load(Ordering::Relaxed)
    }
}

/// Memory of exactly the size that was asked for, so that a sanitizer sees the first byte past it.
pub struct Memory {
    start: *mut u8,
    layout: Layout,
    buffers: Arc<Mutex<Vec<[u64; 2]>>>,
}

// SAFETY: the memory is its owner's alone, wherever the owner goes.
unsafe impl Send for Memory {}
// SAFETY: shared references only read it.
unsafe impl Sync for Memory {}

impl Drop for Memory {
    fn drop(&mut self) {
        let address = self.start as u64;
        self.buffers.lock().unwrap().retain(|[start, _]| *start != address);
        // SAFETY: allocated with this layout, and freed once.
        unsafe { dealloc(self.start, self.layout) };
    }
}

impl Device for Simulator {
    type Memory = Memory;

    fn allocate(&self, bytes: usize) -> Result<Memory> {
        assert!(bytes > 0, "an allocation of no bytes");
        let layout = Layout::from_size_align(bytes, 256).unwrap();
        // SAFETY: the layout has a size.
        let start = unsafe { alloc(layout) };
        assert!(!start.is_null());
        // What is read before it is written is no number.
        // SAFETY: just allocated, that large.
        unsafe { start.write_bytes(0xFF, bytes) };
        self.buffers.lock().unwrap().push([start as u64, bytes as u64]);
        Ok(Memory { start, layout, buffers: Arc::clone(&self.buffers) })
    }

    fn address(&self, memory: &Memory) -> u64 {
        memory.start as u64
    }

    fn write(&self, memory: &mut Memory, offset: usize, bytes: &[u8]) -> Result<()> {
        assert!(offset + bytes.len() <= memory.layout.size(), "a write past the end of an allocation");
        // SAFETY: inside the allocation.
        unsafe { memory.start.add(offset).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        Ok(())
    }

    fn read(&self, memory: &Memory, offset: usize, bytes: &mut [u8]) -> Result<()> {
        assert!(offset + bytes.len() <= memory.layout.size(), "a read past the end of an allocation");
        // SAFETY: inside the allocation.
        unsafe { memory.start.add(offset).copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len()) };
        Ok(())
    }

    fn copy(&self, from: &Memory, to: &mut Memory) -> Result<()> {
        assert!(from.layout.size() <= to.layout.size(), "a copy past the end of an allocation");
        // SAFETY: two allocations, both that large.
        unsafe { to.start.copy_from_nonoverlapping(from.start, from.layout.size()) };
        Ok(())
    }

    fn launch(&self, launch: &Launch) -> Result<()> {
        let schedule = self.schedules[self.launches.fetch_add(1, Ordering::Relaxed) % self.schedules.len()];
        assert!(launch.grid.iter().all(|&blocks| blocks > 0), "an empty grid: {launch:?}");
        let buffers = self.buffers.lock().unwrap();
        let run = kscope_sim::Launch {
            variant: self.variant,
            kernel: &launch.kernel.name(),
            grid: launch.grid,
            threads: launch.kernel.threads(),
            shared: launch.kernel.shared_bytes().saturating_sub(self.withheld),
            params: launch.params.bytes(),
            buffers: &buffers,
            schedule,
        };
        // SAFETY: the addresses in the parameters are of `Memory` that the caller keeps alive.
        unsafe { kscope_sim::run(&run) }.map_err(Error::run)
    }

    fn multiprocessors(&self) -> usize {
        2
    }
}
