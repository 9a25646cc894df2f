//! A real GPU behind [`Device`]: the one file that calls the driver. It works on a stream that it
//! is given, so that its launches and those of the stream's owner take effect in one order.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use cudarc::driver::sys::CUdevice_attribute as Attribute;
use cudarc::driver::sys::CUfunction_attribute_enum::{
    CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES as MAX_SHARED,
    CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT as CARVEOUT,
};
use cudarc::driver::sys::CUgraphInstantiate_flags as InstantiateFlags;
use cudarc::driver::sys::CUmemPool_attribute as PoolAttribute;
use cudarc::driver::sys::{CUresult, CUstreamCaptureMode as CaptureMode};
use cudarc::driver::{
    CudaContext, CudaEvent, CudaFunction, CudaGraph, CudaSlice, CudaStream, DevicePtr, DriverError,
    PinnedHostSlice, result,
};
use cudarc::nvrtc::Ptx;

use super::blas::{Blas, WORKSPACE_BYTES};
use super::device::{Device, FreeMemory, MatrixProduct};
use super::launch::{Kernel, Launch};
use crate::{Error, Result, input_file, numbers};

/// The compiled kernels: machine code for sm_80 and sm_90a, and PTX. Empty in a build that only
/// checks types.
static FATBIN: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/kernels.fatbin"));

/// The kernels of this build, or those in the file that `KSCOPE_FATBIN` names: so kernels can be
/// changed on a machine that has nvcc and no Rust.
fn compiled() -> Result<Vec<u8>> {
    let Some(path) = std::env::var_os("KSCOPE_FATBIN") else { return Ok(FATBIN.to_vec()) };
    let path = std::path::PathBuf::from(path);
    let wrong = |found: String| {
        Error::input(format!(
            "KSCOPE_FATBIN={}: expected kernels compiled by nvcc -fatbin, found {found}",
            path.display()
        ))
    };
    let bytes = input_file::read(path.as_ref(), input_file::KERNELS)?;
    // The first number of such a file.
    match bytes.starts_with(&0xBA55_ED50u32.to_le_bytes()) {
        true => Ok(bytes),
        false => Err(wrong(format!("{} bytes of something else", bytes.len()))),
    }
}

/// The first major compute capability whose instructions the kernels use.
const LEAST_CAPABILITY: i32 = 8;
/// Number of page-locked buffers for small writes, so that few writes wait for the GPU. They are
/// used in turn.
const STAGES: usize = 16;
/// Bytes of each buffer.
const STAGE_BYTES: usize = 64 << 10;
/// Reads of at least this many bytes go through page-locked memory.
const LANDING_BYTES: usize = 64 << 10;

/// A GPU with its kernels loaded.
pub struct Gpu {
    // Page-locked memory comes before what queues work when it goes: cuBLAS's gives memory back.
    stages: Mutex<(Vec<Stage>, usize)>,
    /// Page-locked memory that large reads go through; grows to the largest one.
    landing: Mutex<Option<PinnedHostSlice<u8>>>,
    blas: Blas,
    functions: HashMap<Kernel, Loaded>,
    multiprocessors: usize,
    stream: Arc<CudaStream>,
}

/// Page-locked memory must not go while a copy may still read it.
impl Drop for Gpu {
    fn drop(&mut self) {
        // There is nobody to tell.
        let _ = self.stream.synchronize();
    }
}

/// A page-locked buffer, and the end of the last copy from it. cudarc's own event of such memory is
/// recorded only where it tracks events, which [`Gpu::new`] turns off.
struct Stage {
    memory: PinnedHostSlice<u8>,
    copied: CudaEvent,
}

/// A kernel in the context.
struct Loaded {
    function: CudaFunction,
    /// Blocks of it that one multiprocessor runs at once.
    resident: usize,
}

impl Gpu {
    /// The GPU of this number in this machine, with a stream of its own.
    pub fn open(ordinal: usize) -> Result<Self> {
        let context =
            CudaContext::new(ordinal).map_err(|cause| unusable(ordinal, &cause.to_string()))?;
        let stream = context.new_stream().map_err(|cause| failed("making a stream", cause))?;
        Self::new(stream)
    }

    /// Loads the kernels into the context of `stream`; every operation goes to that stream.
    pub fn new(stream: Arc<CudaStream>) -> Result<Self> {
        let context = Arc::clone(stream.context());
        check_capability(&context)?;
        // Otherwise every use of memory would wait for and record events that order it against
        // other streams. SAFETY: all work of the context goes to this one stream, candle's too.
        unsafe { context.disable_event_tracking() };
        keep_freed_memory(&context)
            .map_err(|cause| failed("asking for the GPU's memory pool", cause))?;
        let module = context
            .load_module(Ptx::from_binary(compiled()?))
            .map_err(|cause| failed("loading the kernels", cause))?;
        let mut functions = HashMap::new();
        for kernel in Kernel::all() {
            let name = kernel.name();
            let function = module
                .load_function(&name)
                .map_err(|cause| failed(&format!("finding the kernel {name}"), cause))?;
            let shared = kernel.shared_bytes();
            let set = |attribute, value| {
                function.set_attribute(attribute, value).map_err(|cause| {
                    failed(&format!("giving {name} {shared} bytes of shared memory"), cause)
                })
            };
            if shared > 48 << 10 {
                set(MAX_SHARED, shared as i32)?;
            }
            if matches!(kernel, Kernel::Decode(_) | Kernel::Prefill(_)) {
                // The blocks that are to run at once need nearly all of a multiprocessor's memory,
                // in percent; left alone, the driver may give much of it to the cache.
                set(CARVEOUT, 100)?;
            }
            let resident = function
                .occupancy_max_active_blocks_per_multiprocessor(kernel.threads(), shared, None)
                .map_err(|cause| {
                    failed(&format!("asking how much of {name} runs at once"), cause)
                })?;
            functions.insert(kernel, Loaded { function, resident: resident.max(1) as usize });
        }
        let multiprocessors = context
            .attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)
            .map_err(|cause| failed("asking for multiprocessors", cause))?;
        let mut stages = Vec::with_capacity(STAGES);
        for _ in 0..STAGES {
            // SAFETY: every byte is written before it is copied.
            let memory = unsafe { context.alloc_pinned(STAGE_BYTES) }
                .map_err(|cause| failed("taking page-locked memory", cause))?;
            let copied =
                context.new_event(None).map_err(|cause| failed("making an event", cause))?;
            stages.push(Stage { memory, copied });
        }
        let asking = |cause| failed("asking for free memory", cause);
        let (free, total) = context.mem_get_info().map_err(asking)?;
        FreeMemory { free: free as u64, total: total as u64 }
            .check("cuBLAS's working memory", WORKSPACE_BYTES as u64)?;
        Ok(Self {
            blas: Blas::new(&stream)?,
            stream,
            functions,
            multiprocessors: multiprocessors as usize,
            stages: Mutex::new((stages, 0)),
            landing: Mutex::default(),
        })
    }

    /// The GPU's name.
    pub fn name(&self) -> Result<String> {
        self.stream.context().name().map_err(|cause| failed("asking for the GPU's name", cause))
    }

    /// Bytes that the pool of asynchronous allocations keeps although nothing uses them.
    fn kept_by_pool(&self) -> std::result::Result<u64, DriverError> {
        let (mut reserved, mut used) = (0u64, 0u64);
        // SAFETY: the device is the context's; both attributes are 64-bit numbers, which the driver
        // writes before it returns.
        unsafe {
            let pool = result::device::get_mem_pool(self.stream.context().cu_device())?;
            for (attribute, value) in [
                (PoolAttribute::CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT, &mut reserved),
                (PoolAttribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &mut used),
            ] {
                result::mem_pool::get_attribute(pool, attribute, (&raw mut *value).cast())?;
            }
        }
        Ok(reserved.saturating_sub(used))
    }

    /// The stream that all operations go to.
    pub fn stream(&self) -> &Arc<CudaStream> {
        &self.stream
    }

    fn bind(&self) -> Result<()> {
        self.stream.context().bind_to_thread().map_err(|cause| failed("using the GPU", cause))
    }

    /// Waits until all earlier operations are done.
    pub fn synchronize(&self) -> Result<()> {
        self.stream.synchronize().map_err(|cause| failed("waiting for the GPU", cause))
    }
}

/// Refuses a GPU that the kernels' instructions are not for, before the driver says that it finds no
/// code.
fn check_capability(context: &Arc<CudaContext>) -> Result<()> {
    let (major, minor) = context
        .compute_capability()
        .map_err(|cause| failed("asking for the GPU's compute capability", cause))?;
    match major >= LEAST_CAPABILITY {
        true => Ok(()),
        false => Err(Error::input(format!(
            "--device cuda:{}: the GPU has compute capability {major}.{minor}, and the kernels need \
             {LEAST_CAPABILITY}.0 or newer (Ampere): --device cpu decodes without one",
            context.ordinal()
        ))),
    }
}

/// Makes the pool of asynchronous allocations keep freed memory. By default it returns all of it to
/// the system whenever the host waits for the GPU, which is once per token.
fn keep_freed_memory(context: &CudaContext) -> std::result::Result<(), DriverError> {
    let mut all = u64::MAX;
    // SAFETY: the device is the context's; the attribute is a 64-bit number, which the driver reads
    // before it returns.
    unsafe {
        let pool = result::device::get_mem_pool(context.cu_device())?;
        result::mem_pool::set_attribute(
            pool,
            PoolAttribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD,
            (&raw mut all).cast(),
        )
    }
}

/// Why there is no GPU to compute on, as one sentence: the library that cannot be loaded, or what
/// the driver says.
pub fn unusable(ordinal: usize, cause: &str) -> Error {
    let libraries = [
        (c"libcuda.so.1", true, "NVIDIA's driver"),
        (c"libcublas.so.13", cause.contains("CUBLAS"), "cuBLAS of CUDA 13"),
        (c"libcurand.so.10", cause.contains("CURAND"), "cuRAND"),
    ];
    // SAFETY: the names are zero-terminated. Loading a library runs the same code as its first call
    // would.
    let is_missing =
        |name: &std::ffi::CStr| unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_LAZY) }.is_null();
    let missing = libraries.into_iter().find(|(name, matters, _)| *matters && is_missing(name));
    let reason = match missing {
        Some((name, _, what)) => format!("{}, {what}, cannot be loaded", name.to_string_lossy()),
        None => cause.to_owned(),
    };
    Error::input(format!(
        "--device cuda:{ordinal}: no NVIDIA GPU can be used: {reason}; --device cpu decodes without one"
    ))
}

fn failed(doing: &str, cause: DriverError) -> Error {
    match cause.0 {
        CUresult::CUDA_ERROR_OUT_OF_MEMORY => {
            Error::input(format!("{doing}: the GPU's memory is full"))
        }
        _ => Error::run(format!("{doing}: {cause}")),
    }
}

/// A step as one graph: its launches, and the memory that they allocate from the stream's pool.
pub struct Graph(CudaGraph);

// SAFETY: a graph may be used from any thread, by one at a time; it is not shared.
unsafe impl Send for Graph {}

impl Device for Gpu {
    type Memory = CudaSlice<u8>;
    type Recording = Graph;

    fn allocate(&self, bytes: usize) -> Result<Self::Memory> {
        // SAFETY: the contents are undefined, as the trait says.
        unsafe { self.stream.alloc(bytes) }.map_err(|cause| {
            let what = format!("taking {}", numbers::bytes(bytes as u64));
            match (cause.0, self.free_memory()) {
                (CUresult::CUDA_ERROR_OUT_OF_MEMORY, Ok(Some(FreeMemory { free, total }))) => {
                    Error::input(format!(
                        "{what}: the GPU's memory is full, {} of {} are left",
                        numbers::bytes(free),
                        numbers::bytes(total)
                    ))
                }
                _ => failed(&what, cause),
            }
        })
    }

    fn address(&self, memory: &Self::Memory) -> u64 {
        // The guard orders this use against other streams; there are none.
        memory.device_ptr(&self.stream).0
    }

    fn write(&self, memory: &mut Self::Memory, offset: usize, bytes: &[u8]) -> Result<()> {
        assert!(offset + bytes.len() <= memory.len(), "a write past the end of an allocation");
        self.write_at(self.address(memory) + offset as u64, bytes)
    }

    fn write_at(&self, address: u64, bytes: &[u8]) -> Result<()> {
        self.bind()?;
        let mut stages = self.stages.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let (buffers, next) = &mut *stages;
        for (part, bytes) in bytes.chunks(STAGE_BYTES).enumerate() {
            let stage = &mut buffers[*next % STAGES];
            *next += 1;
            let waiting = |cause| failed("waiting for page-locked memory", cause);
            stage.copied.synchronize().map_err(waiting)?;
            let ready = stage.memory.as_mut_slice().map_err(waiting)?;
            ready[..bytes.len()].copy_from_slice(bytes);
            let to = address + (part * STAGE_BYTES) as u64;
            // SAFETY: the buffer is page-locked and not freed before `self`; its next use waits for
            // the event that follows this copy. The address is of live memory, as the trait
            // demands.
            let copied = unsafe {
                result::memcpy_htod_async(to, &ready[..bytes.len()], self.stream.cu_stream())
            };
            copied
                .and_then(|()| stage.copied.record(&self.stream))
                .map_err(|cause| failed("writing the GPU's memory", cause))?;
        }
        Ok(())
    }

    fn read(&self, memory: &Self::Memory, offset: usize, bytes: &mut [u8]) -> Result<()> {
        assert!(offset + bytes.len() <= memory.len(), "a read past the end of an allocation");
        self.read_at(self.address(memory) + offset as u64, bytes)
    }

    fn read_at(&self, address: u64, bytes: &mut [u8]) -> Result<()> {
        self.bind()?;
        let reading = |cause| failed("reading the GPU's memory", cause);
        let copy = |to: &mut [u8]| {
            // SAFETY: the address is of that much live memory, as the trait demands; nothing uses
            // the bytes before the copy is waited for.
            unsafe { result::memcpy_dtoh_async(to, address, self.stream.cu_stream()) }
                .map_err(reading)?;
            self.synchronize()
        };
        if bytes.len() < LANDING_BYTES {
            return copy(bytes);
        }
        // The driver copies to pageable memory in small pieces, each through memory of its own.
        let mut landing = self.landing.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if landing.as_ref().is_none_or(|landing| landing.len() < bytes.len()) {
            // Freed first, so that there is never more than one; and only when nothing is queued. The
            // read waits for all that is queued anyway.
            if landing.is_some() {
                self.synchronize()?;
                *landing = None;
            }
            let context = self.stream.context();
            // Not write-combined: the host reads it. SAFETY: every byte is written before it is
            // read.
            let memory = unsafe { context.alloc_pinned_with_flags(bytes.len(), 0) };
            *landing = Some(memory.map_err(|cause| failed("taking page-locked memory", cause))?);
        }
        let landing = landing.as_mut().expect("just made");
        let landed = &mut landing.as_mut_slice().map_err(reading)?[..bytes.len()];
        copy(landed)?;
        bytes.copy_from_slice(landed);
        Ok(())
    }

    fn free_memory(&self) -> Result<Option<FreeMemory>> {
        let asking = |cause| failed("asking for free memory", cause);
        let (free, total) = self.stream.context().mem_get_info().map_err(asking)?;
        let kept = self.kept_by_pool().map_err(asking)?;
        Ok(Some(FreeMemory { free: free as u64 + kept, total: total as u64 }))
    }

    fn copy(&self, from: &Self::Memory, to: &mut Self::Memory) -> Result<()> {
        self.stream.memcpy_dtod(from, to).map_err(|cause| failed("copying on the GPU", cause))
    }

    fn launch(&self, launch: &Launch) -> Result<()> {
        let kernel = launch.kernel;
        self.bind()?;
        let [x, y, z] = launch.grid;
        let mut params = [launch.params.bytes().as_ptr().cast_mut().cast()];
        // SAFETY: the kernel takes one structure by value, the one in `params`, whose size every
        // simulated launch compares; the driver copies it before it returns. Its addresses are of
        // live memory, as the trait demands.
        let launched = unsafe {
            result::launch_kernel(
                self.functions[&kernel].function.cu_function(),
                (x, y, z),
                (kernel.threads(), 1, 1),
                kernel.shared_bytes() as u32,
                self.stream.cu_stream(),
                &mut params,
            )
        };
        launched.map_err(|cause| failed(&format!("launching {}", kernel.name()), cause))
    }

    fn multiply(&self, product: &MatrixProduct) -> Result<()> {
        self.bind()?;
        self.blas.multiply(product)
    }

    fn record(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<Graph> {
        let capturing = |cause| failed("capturing a decode step", cause);
        // Captures this thread only: another one may be loading a model.
        let mode = CaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        self.stream.begin_capture(mode).map_err(capturing)?;
        let done = work();
        // After a failure, too: the stream must not stay in capture.
        // What failed while memory was given back inside the capture is kept by cudarc and said at the
        // next call, which would then be no end of the capture, or no launch.
        let kept = self.stream.context().check_err();
        let captured = self
            .stream
            .end_capture(InstantiateFlags::CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH);
        let kept = kept.and(self.stream.context().check_err());
        let graph = done.and(kept.map_err(capturing)).and(captured.map_err(capturing))?;
        graph.map(Graph).ok_or_else(|| Error::run("capturing a decode step: the graph is empty"))
    }

    fn repeat(&self, recording: &Graph, _: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        recording.0.launch().map_err(|cause| failed("launching a decode step", cause))
    }

    fn blocks(&self, kernel: Kernel) -> usize {
        self.multiprocessors * self.functions[&kernel].resident
    }
}
