//! The simulator as a device: memory is the host's, and launches run on fibers.

use std::alloc::{Layout, alloc, dealloc};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use kscope::attention::cuda::params::Numbers;
use kscope::attention::cuda::{Device, FreeMemory, Kernel, Launch, MatrixProduct, Params};
use kscope::element::Dtype;
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
    size: Mutex<Option<u64>>,
    /// Whether it appends nothing in the steps that it repeats.
    pub forgets: bool,
    /// Why it cannot record, where it cannot.
    pub unrecorded: Option<&'static str>,
    /// Whether operands may be elsewhere in a step that is repeated: candle's quantised products take
    /// memory on a CPU.
    pub moves: bool,
    places: Arc<Places>,
    launches: AtomicUsize,
    /// Operations while a step is recorded or replayed.
    noted: Mutex<Option<Noting>>,
    /// Operations of the last step that was recorded.
    recorded: Mutex<Vec<Operation>>,
    /// Bytes written and bytes read by the host, and how often.
    bus: Mutex<[Traffic; 2]>,
    repeated: AtomicUsize,
}

/// An operation that a GPU does by itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Operation {
    Launch(Launch),
    Product(MatrixProduct),
}

/// A recording of operations, and the position of a replay in it.
enum Noting {
    Recording(Vec<Operation>),
    Repeating(Vec<Operation>, usize),
}

impl Simulator {
    pub fn new(variant: &'static str, schedules: &[Schedule]) -> Self {
        let schedules = schedules.to_vec();
        Self {
            variant,
            schedules,
            withheld: 0,
            size: Mutex::default(),
            forgets: false,
            unrecorded: None,
            moves: false,
            places: Arc::default(),
            launches: AtomicUsize::new(0),
            noted: Mutex::default(),
            recorded: Mutex::default(),
            bus: Mutex::default(),
            repeated: AtomicUsize::new(0),
        }
    }

    /// Number of steps that were replayed from a recording.
    pub fn repeated(&self) -> usize {
        self.repeated.load(Ordering::Relaxed)
    }

    /// Operations of the last step that was recorded.
    pub fn recorded(&self) -> Vec<Operation> {
        self.recorded.lock().unwrap().clone()
    }

    /// What the host wrote and what it read since it last asked.
    pub fn take_traffic(&self) -> [Traffic; 2] {
        std::mem::take(&mut *self.bus.lock().unwrap())
    }

    /// Limits its memory to so many bytes.
    pub fn limit(&self, bytes: u64) {
        *self.size.lock().unwrap() = Some(bytes);
    }

    /// Bytes that are taken.
    pub fn taken(&self) -> u64 {
        self.places.buffers.lock().unwrap().iter().map(|[_, bytes]| bytes).sum()
    }

    fn moved(&self, way: usize, bytes: usize) {
        let traffic = &mut self.bus.lock().unwrap()[way];
        traffic.copies += 1;
        traffic.bytes += bytes;
    }

    /// Notes an operation; whether it is to be done now.
    fn does(&self, operation: Operation) -> bool {
        match &mut *self.noted.lock().unwrap() {
            Some(Noting::Recording(operations)) => {
                operations.push(operation);
                false
            }
            Some(Noting::Repeating(operations, at)) => {
                let is_same = match (self.moves, operations[*at], operation) {
                    (true, Operation::Launch(recorded), Operation::Launch(launch)) => {
                        (recorded.kernel, recorded.grid) == (launch.kernel, launch.grid)
                    }
                    (_, recorded, operation) => recorded == operation,
                };
                assert!(is_same, "{operation:?} where {:?} was recorded", operations[*at]);
                *at += 1;
                let is_append = matches!(operation, Operation::Launch(launch) if matches!(launch.kernel, Kernel::Append(_)));
                !(self.forgets && is_append)
            }
            None => true,
        }
    }

    /// Number of launches so far.
    pub fn launches(&self) -> usize {
        self.launches.load(Ordering::Relaxed)
    }
}

/// Copies between the host and the device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    pub copies: usize,
    pub bytes: usize,
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
    type Recording = Vec<Operation>;

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
        self.moved(0, bytes.len());
        // SAFETY: inside the allocation.
        unsafe { memory.start.add(offset).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        Ok(())
    }

    fn write_at(&self, address: u64, bytes: &[u8]) -> Result<()> {
        assert!(self.noted.lock().unwrap().is_none(), "a write cannot be recorded");
        self.moved(0, bytes.len());
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
        self.moved(1, bytes.len());
        // SAFETY: inside the allocation.
        unsafe { memory.start.add(offset).copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len()) };
        Ok(())
    }

    fn read_at(&self, address: u64, bytes: &mut [u8]) -> Result<()> {
        assert!(self.noted.lock().unwrap().is_none(), "a read cannot be recorded");
        self.moved(1, bytes.len());
        // SAFETY: the memory is alive and large enough, as the trait requires.
        unsafe { (address as *const u8).copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len()) };
        Ok(())
    }

    fn free_memory(&self) -> Result<Option<FreeMemory>> {
        let Some(total) = *self.size.lock().unwrap() else { return Ok(None) };
        Ok(Some(FreeMemory { free: total.saturating_sub(self.taken()), total }))
    }

    fn copy(&self, from: &Memory, to: &mut Memory) -> Result<()> {
        assert!(from.layout.size() <= to.layout.size(), "a copy past the end of an allocation");
        // SAFETY: two different allocations, both of that size.
        unsafe { to.start.copy_from_nonoverlapping(from.start, from.layout.size()) };
        Ok(())
    }

    fn launch(&self, launch: &Launch) -> Result<()> {
        if !self.does(Operation::Launch(*launch)) {
            return Ok(());
        }
        let schedule =
            self.schedules[self.launches.fetch_add(1, Ordering::Relaxed) % self.schedules.len()];
        assert!(launch.grid.iter().all(|&blocks| blocks > 0), "an empty grid: {launch:?}");
        let mut buffers = self.places.buffers.lock().unwrap().clone();
        buffers.extend(operands(launch));
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

    /// Every product is summed in f32, as cuBLAS does.
    fn multiply(&self, product: &MatrixProduct) -> Result<()> {
        if !self.does(Operation::Product(*product)) {
            return Ok(());
        }
        let MatrixProduct { weight, x, y, rows, inputs, outputs } = *product;
        let given: Vec<Vec<f32>> = (0..rows).map(|row| numbers(&x, row, inputs)).collect();
        for output in 0..outputs {
            let weights = numbers(&weight, output, inputs);
            for (row, given) in given.iter().enumerate() {
                let sum = given.iter().zip(&weights).map(|(x, w)| x * w).sum::<f32>();
                let at = (row * y.stride as usize + output) * y.dtype().bytes();
                let to = (y.address as usize + at) as *mut u8;
                let bytes = match y.dtype() {
                    Dtype::F32 => sum.to_ne_bytes().to_vec(),
                    of => of.round_bits(&[sum])[0].to_ne_bytes().to_vec(),
                };
                // SAFETY: the memory is alive and large enough, as the trait requires.
                unsafe { to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
            }
        }
        Ok(())
    }

    /// Operations are recorded, not done.
    fn record(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<Vec<Operation>> {
        if let Some(cause) = self.unrecorded {
            return Err(Error::run(cause));
        }
        *self.noted.lock().unwrap() = Some(Noting::Recording(Vec::new()));
        let done = work();
        let Some(Noting::Recording(operations)) = self.noted.lock().unwrap().take() else {
            panic!("recording")
        };
        self.recorded.lock().unwrap().clone_from(&operations);
        done.map(|()| operations)
    }

    /// Does the work again, and checks that it asks for the recorded operations over the same
    /// memory.
    fn repeat(
        &self,
        recording: &Vec<Operation>,
        work: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        *self.noted.lock().unwrap() = Some(Noting::Repeating(recording.clone(), 0));
        let done = work();
        let Some(Noting::Repeating(operations, at)) = self.noted.lock().unwrap().take() else {
            panic!("repeating")
        };
        assert_eq!(at, operations.len(), "a step asks for fewer operations than were recorded");
        self.repeated.fetch_add(1, Ordering::Relaxed);
        done
    }

    /// Of two multiprocessors.
    fn blocks(&self, kernel: Kernel) -> usize {
        2 * kernel.resident_blocks()
    }
}

/// Where a prompt's queries, keys and values are: a model's are candle's tensors, not [`Memory`].
fn operands(launch: &Launch) -> Vec<[u64; 2]> {
    let (Kernel::Prefill(kernel), Params::Prefill(of)) = (launch.kernel, launch.params) else {
        return Vec::new();
    };
    let bytes = |tokens: u32, heads: u32| {
        u64::from(tokens) * u64::from(heads) * (kernel.head_dim * kernel.dtype.bytes()) as u64
    };
    let keys = bytes(of.first + of.queries, of.kv_heads);
    vec![[of.q, bytes(of.queries, of.kv_heads * of.group)], [of.k, keys], [of.v, keys]]
}

/// A row of numbers in memory.
fn numbers(rows: &Numbers, row: usize, width: usize) -> Vec<f32> {
    let dtype = rows.dtype();
    let start = rows.address as usize + row * rows.stride as usize * dtype.bytes();
    // SAFETY: the memory is alive and large enough, as `Device` requires.
    unsafe {
        match dtype {
            Dtype::F32 => std::slice::from_raw_parts(start as *const f32, width).to_vec(),
            _ => dtype.widen_bits(std::slice::from_raw_parts(start as *const u16, width)),
        }
    }
}
