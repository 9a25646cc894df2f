//! Runs kscope's CUDA kernels on a CPU, for tests. Every CUDA thread is a fiber; at warp operations
//! and barriers the fibers wait for each other; asynchronous copies land when they are waited for.
//! See `ksim.h` for what it checks and what it cannot see.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::sync::{Mutex, OnceLock};

/// The order in which threads and blocks run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    /// First thread first.
    Forward,
    /// Last thread first.
    Backward,
    /// Another order in every round, from this seed.
    Random(u64),
    /// One warp as far as it can go, then the next one.
    Ahead,
}

/// One kernel launch.
#[derive(Debug)]
pub struct Launch<'a> {
    /// `kscope`, or one of [`DEFECTS`] or [`PREFILL_DEFECTS`].
    pub variant: &'a str,
    /// The entry point's name.
    pub kernel: &'a str,
    /// Blocks along x, y and z.
    pub grid: [u32; 3],
    /// Threads per block, along x.
    pub threads: u32,
    /// Bytes of dynamic shared memory per block.
    pub shared: usize,
    /// The kernel's parameter structure.
    pub params: &'a [u8],
    /// Address and size of all memory that asynchronous copies may read.
    pub buffers: &'a [[u64; 2]],
    /// Order of threads and blocks.
    pub schedule: Schedule,
}

/// Names of the variants that have one defect each.
pub const DEFECTS: &[&str] = include!(concat!(env!("OUT_DIR"), "/defects.rs"));

/// As [`DEFECTS`], of the attention of prompts.
pub const PREFILL_DEFECTS: &[&str] = include!(concat!(env!("OUT_DIR"), "/prefill_defects.rs"));

/// The shared library with the kernels under sanitizers. A process uses it instead of the plain
/// ones when [`LIBRARY`] names it and [`SANITIZER_RUNTIME`] is preloaded.
pub const SANITIZED: &str = env!("KSIM_SANITIZED");

/// The address sanitizer's run-time library.
pub const SANITIZER_RUNTIME: &str = env!("KSIM_RUNTIME");

/// Environment variable that names a shared library to use instead of the built-in simulator.
pub const LIBRARY: &str = "KSIM_LIBRARY";

/// The entry point of `sim.cpp`: its type, for the one in a shared library, and its declaration,
/// for the built-in one.
macro_rules! entry_point {
    ($($name:ident: $kind:ty),* $(,)?) => {
        type Run = unsafe extern "C" fn($($name: $kind),*) -> c_int;

        unsafe extern "C" {
            fn ksim_run($($name: $kind),*) -> c_int;
        }
    };
}

entry_point! {
    variant: *const c_char,
    name: *const c_char,
    grid: *const u32,
    block: *const u32,
    shared_bytes: usize,
    params: *const c_void,
    size: usize,
    buffers: *const u64,
    buffer_count: usize,
    schedule: u32,
    seed: u64,
    error: *mut c_char,
    error_bytes: usize,
}

fn runner() -> Run {
    static RUNNER: OnceLock<Run> = OnceLock::new();
    *RUNNER.get_or_init(|| match std::env::var(LIBRARY) {
        Ok(path) => load(&path),
        Err(_) => ksim_run,
    })
}

/// `ksim_run` of a shared library.
#[cfg(unix)]
fn load(path: &str) -> Run {
    let path = CString::new(path).expect("a path without zeros");
    // SAFETY: both strings are zero-terminated.
    let symbol = unsafe {
        let library = libc::dlopen(path.as_ptr(), libc::RTLD_NOW);
        assert!(!library.is_null(), "{} cannot be loaded", path.to_string_lossy());
        libc::dlsym(library, c"ksim_run".as_ptr())
    };
    assert!(!symbol.is_null(), "{} has no ksim_run", path.to_string_lossy());
    // SAFETY: the library is built from the same source as the built-in function.
    unsafe { std::mem::transmute::<*mut c_void, Run>(symbol) }
}

#[cfg(not(unix))]
fn load(path: &str) -> Run {
    panic!("{path}: a simulator in a shared library needs a Unix system")
}

/// Runs a kernel to its end. The error is one sentence that names the block and what its threads
/// did wrong.
///
/// # Safety
/// The kernel reads and writes the addresses in its parameters: they must be those of live, large
/// enough memory.
pub unsafe fn run(launch: &Launch<'_>) -> Result<(), String> {
    // The simulator runs one launch at a time.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let (schedule, seed) = match launch.schedule {
        Schedule::Forward => (0, 0),
        Schedule::Backward => (1, 0),
        Schedule::Random(seed) => (2, seed),
        Schedule::Ahead => (3, 0),
    };
    let variant = CString::new(launch.variant).expect("a name without zeros");
    let kernel = CString::new(launch.kernel).expect("a name without zeros");
    let block = [launch.threads, 1, 1];
    let mut error = [0 as c_char; 1024];
    // SAFETY: strings are zero-terminated and arrays have the lengths that are passed; the caller
    // vouches for the addresses inside.
    let code = unsafe {
        runner()(
            variant.as_ptr(),
            kernel.as_ptr(),
            launch.grid.as_ptr(),
            block.as_ptr(),
            launch.shared,
            launch.params.as_ptr().cast(),
            launch.params.len(),
            launch.buffers.as_ptr().cast(),
            launch.buffers.len(),
            schedule,
            seed,
            error.as_mut_ptr(),
            error.len(),
        )
    };
    match code {
        0 => Ok(()),
        // SAFETY: the simulator writes a zero-terminated sentence inside the array.
        _ => Err(unsafe { CStr::from_ptr(error.as_ptr()) }.to_string_lossy().into_owned()),
    }
}
