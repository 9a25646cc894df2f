//! The simulator as a device: memory is the host's, and launches run on fibers.

use std::alloc::{Layout, alloc, dealloc};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use kscope::attention::cuda::params::{AppendParams, CombineParams, DecodeParams};
use kscope::attention::cuda::{Device, FreeMemory, Launch, Params};
use kscope::{Error, Result};
use kscope_sim::Schedule;

/// A simulated GPU.
pub struct Simulator {
    pub variant: &'static str,
    /// Schedules, used in turn by launches.
    pub schedules: Vec<Schedule>,
    /// Bytes withheld from every launch's shared memory.
    pub withheld: usize,
    /// Bytes of its memory, where it is limited.
    pub size: Option<u64>,
    /// Whether it leaves out the first launch of every step that it repeats.
    pub forgets: bool,
    places: Arc<Places>,
    launches: AtomicUsize,
    /// Launches while a step is recorded or replayed.
    noted: Mutex<Option<Noting>>,
    repeated: AtomicUsize,
}

/// A recording of launches, and the position of a replay in it.
enum Noting {
    Recording(Vec<Launch>),
    Repeating(Vec<Launch>, usize),
}

impl Simulator {
    pub fn new(variant: &'static str, schedules: &[Schedule]) -> Self {
        let schedules = schedules.to_vec();
        Self {
            variant,
            schedules,
            withheld: 0,
            size: None,
            forgets: false,
            places: Arc::default(),
            launches: AtomicUsize::new(0),
            noted: Mutex::default(),
            repeated: AtomicUsize::new(0),
        }
    }

    /// Number of steps that were replayed from a recording.
    pub fn repeated(&self) -> usize {
        self.repeated.load(Ordering::Relaxed)
    }

    /// Number of launches so far.
    pub fn launches(&self) -> usize {
        self.launches.load(Ordering::Relaxed)
    }
}

/// Live memory, and what was freed.
#[derive(Default)]
struct Places {
    buffers: Mutex<Vec<[u64; 2]>>,
    /// Freed memory by size, the last freed last. It is handed out again first, as a GPU's pool
    /// does, so that whatever is known by its address alone is soon mistaken for something else.
    freed: Mutex<BTreeMap<usize, Vec<u64>>>,
}

impl Drop for Places {
    fn drop(&mut self) {
        for (bytes, freed) in std::mem::take(&mut *self.freed.lock().unwrap()) {
            for start in freed {
                // SAFETY: it was allocated with this layout, and no `Memory` has it any more.
                unsafe { dealloc(start as *mut u8, Layout::from_size_align(bytes, 256).unwrap()) };
            }
        }
    }
}

/// Memory of exactly the requested size, so that a sanitizer detects an access one byte past it.
pub struct Memory {
    start: *mut u8,
    layout: Layout,
    places: Arc<Places>,
}

// SAFETY: the memory belongs to its owner alone, on any thread.
unsafe impl Send for Memory {}
// SAFETY: shared references only read it.
unsafe impl Sync for Memory {}

impl Drop for Memory {
    fn drop(&mut self) {
        let address = self.start as u64;
        self.places.buffers.lock().unwrap().retain(|[start, _]| *start != address);
        // A sanitizer sees a use after this only if the memory is really freed.
        if std::env::var_os(kscope_sim::LIBRARY).is_some() {
            // SAFETY: it was allocated with this layout, and is freed once.
            unsafe { dealloc(self.start, self.layout) };
        } else {
            let bytes = self.layout.size();
            self.places.freed.lock().unwrap().entry(bytes).or_default().push(address);
        }
    }
}

impl Device for Simulator {
    type Memory = Memory;
    type Recording = Vec<Launch>;

    fn allocate(&self, bytes: usize) -> Result<Memory> {
        assert!(bytes > 0, "an allocation of no bytes");
        assert!(self.noted.lock().unwrap().is_none(), "an allocation cannot be recorded");
        let free = self.free_memory()?.map(|memory| memory.free);
        assert!(free.is_none_or(|free| bytes as u64 <= free), "memory is taken that is not there");
        let layout = Layout::from_size_align(bytes, 256).unwrap();
        let freed = self.places.freed.lock().unwrap().get_mut(&bytes).and_then(Vec::pop);
        // SAFETY: the layout has a nonzero size.
        let start = freed.map_or_else(|| unsafe { alloc(layout) }, |start| start as *mut u8);
        assert!(!start.is_null());
        // Filled with NaNs, so that a read before a write shows.
        // SAFETY: just allocated with this size.
        unsafe { start.write_bytes(0xFF, bytes) };
        self.places.buffers.lock().unwrap().push([start as u64, bytes as u64]);
        Ok(Memory { start, layout, places: Arc::clone(&self.places) })
    }

    fn address(&self, memory: &Memory) -> u64 {
        memory.start as u64
    }

    fn write(&self, memory: &mut Memory, offset: usize, bytes: &[u8]) -> Result<()> {
        assert!(
            offset + bytes.len() <= memory.layout.size(),
            "a write past the end of an allocation"
        );
        assert!(self.noted.lock().unwrap().is_none(), "a write cannot be recorded");
        // SAFETY: inside the allocation.
        unsafe { memory.start.add(offset).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        Ok(())
    }

    fn write_at(&self, address: u64, bytes: &[u8]) -> Result<()> {
        assert!(self.noted.lock().unwrap().is_none(), "a write cannot be recorded");
        // SAFETY: the memory is alive and large enough, as the trait requires.
        unsafe { (address as *mut u8).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        Ok(())
    }

    fn read(&self, memory: &Memory, offset: usize, bytes: &mut [u8]) -> Result<()> {
        assert!(
            offset + bytes.len() <= memory.layout.size(),
            "a read past the end of an allocation"
        );
        assert!(self.noted.lock().unwrap().is_none(), "a read cannot be recorded");
        // SAFETY: inside the allocation.
        unsafe { memory.start.add(offset).copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len()) };
        Ok(())
    }

    fn read_at(&self, address: u64, bytes: &mut [u8]) -> Result<()> {
        assert!(self.noted.lock().unwrap().is_none(), "a read cannot be recorded");
        // SAFETY: the memory is alive and large enough, as the trait requires.
        unsafe { (address as *const u8).copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len()) };
        Ok(())
    }

    fn free_memory(&self) -> Result<Option<FreeMemory>> {
        let Some(total) = self.size else { return Ok(None) };
        let taken: u64 = self.places.buffers.lock().unwrap().iter().map(|[_, bytes]| bytes).sum();
        Ok(Some(FreeMemory { free: total.saturating_sub(taken), total }))
    }

    fn copy(&self, from: &Memory, to: &mut Memory) -> Result<()> {
        assert!(from.layout.size() <= to.layout.size(), "a copy past the end of an allocation");
        // SAFETY: two different allocations, both of that size.
        unsafe { to.start.copy_from_nonoverlapping(from.start, from.layout.size()) };
        Ok(())
    }

    fn launch(&self, launch: &Launch) -> Result<()> {
        match &mut *self.noted.lock().unwrap() {
            Some(Noting::Recording(launches)) => {
                launches.push(*launch);
                return Ok(());
            }
            Some(Noting::Repeating(launches, at)) => {
                assert_eq!(
                    steady(&launches[*at]),
                    steady(launch),
                    "launch {at} of a step is another one than was recorded"
                );
                *at += 1;
                if self.forgets && *at == 1 {
                    return Ok(());
                }
            }
            None => {}
        }
        let schedule =
            self.schedules[self.launches.fetch_add(1, Ordering::Relaxed) % self.schedules.len()];
        assert!(launch.grid.iter().all(|&blocks| blocks > 0), "an empty grid: {launch:?}");
        let buffers = self.places.buffers.lock().unwrap();
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
        // SAFETY: the addresses in the parameters point into `Memory` that the caller keeps alive.
        unsafe { kscope_sim::run(&run) }.map_err(Error::run)
    }

    /// Launches are recorded, not run.
    fn record(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<Option<Vec<Launch>>> {
        *self.noted.lock().unwrap() = Some(Noting::Recording(Vec::new()));
        let done = work();
        let Some(Noting::Recording(launches)) = self.noted.lock().unwrap().take() else {
            panic!("recording")
        };
        done.map(|()| Some(launches))
    }

    /// Runs the work again, and checks that it makes the recorded launches.
    fn repeat(&self, recording: &Vec<Launch>, work: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        *self.noted.lock().unwrap() = Some(Noting::Repeating(recording.clone(), 0));
        let done = work();
        let Some(Noting::Repeating(launches, at)) = self.noted.lock().unwrap().take() else {
            panic!("repeating")
        };
        assert_eq!(at, launches.len(), "a step asks for fewer launches than were recorded");
        self.repeated.fetch_add(1, Ordering::Relaxed);
        done
    }

    fn multiprocessors(&self) -> usize {
        2
    }
}

/// A launch without the addresses of tensors that live only for one step. In a recorded step on a
/// GPU these addresses stay the same too.
fn steady(launch: &Launch) -> Launch {
    let params = match launch.params {
        Params::Decode(params) => Params::Decode(DecodeParams { q: 0, ..params }),
        Params::Combine(params) => Params::Combine(CombineParams { out: 0, ..params }),
        Params::Append(params) => Params::Append(AppendParams { k: 0, v: 0, ..params }),
        other => other,
    };
    Launch { params, ..*launch }
}
