//! The CUDA driver that runs on a CPU (`kernels/driver`) refuses what a real driver refuses, and does
//! work as late as a real one may.

use std::ffi::{CString, c_int, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::ptr::null_mut;
use std::sync::OnceLock;

use kscope_testing::root;

/// The folder with the driver; built once.
pub fn driver() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("driver");
        let status =
            Command::new(root().join("kernels/driver/build.sh")).arg(&folder).status().unwrap();
        assert!(status.success(), "the driver is not built");
        folder
    })
}

type Address = *mut c_void;

/// The functions that these tests call. Handles are addresses; status codes are the driver's.
struct Driver {
    library: Address,
}

impl Driver {
    fn open() -> Self {
        let path = CString::new(driver().join("libcuda.so.1").to_str().unwrap()).unwrap();
        // SAFETY: the string ends with a zero byte.
        let library = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
        assert!(!library.is_null(), "the driver does not load");
        Self { library }
    }

    /// A function by name; the caller gives its type.
    fn get<F: Copy>(&self, name: &str) -> F {
        let name = CString::new(name).unwrap();
        // SAFETY: the library is loaded and the string ends with a zero byte.
        let symbol = unsafe { libc::dlsym(self.library, name.as_ptr()) };
        assert!(!symbol.is_null() && size_of::<F>() == size_of::<Address>(), "{name:?}");
        // SAFETY: the caller's type is that of the declaration in `kernels/driver`.
        unsafe { std::mem::transmute_copy(&symbol) }
    }

    fn stream(&self) -> Address {
        let mut stream = null_mut();
        assert_eq!(
            self.get::<extern "C" fn(*mut Address, u32) -> c_int>("cuStreamCreate")(&mut stream, 0),
            0
        );
        stream
    }

    fn allocate(&self, bytes: usize, stream: Address) -> Address {
        let mut memory = null_mut();
        assert_eq!(
            self.get::<extern "C" fn(*mut Address, usize, Address) -> c_int>("cuMemAllocAsync")(
                &mut memory,
                bytes,
                stream
            ),
            0
        );
        memory
    }

    fn free(&self, memory: Address, stream: Address) -> c_int {
        self.get::<extern "C" fn(Address, Address) -> c_int>("cuMemFreeAsync")(memory, stream)
    }

    fn fill(&self, memory: Address, value: u8, bytes: usize, stream: Address) {
        let fill =
            self.get::<extern "C" fn(Address, u8, usize, Address) -> c_int>("cuMemsetD8Async");
        assert_eq!(fill(memory, value, bytes, stream), 0);
    }

    fn copy(&self, how: &str, to: Address, from: Address, bytes: usize, stream: Address) -> c_int {
        self.get::<extern "C" fn(Address, Address, usize, Address) -> c_int>(how)(
            to, from, bytes, stream,
        )
    }

    fn read(&self, memory: Address, stream: Address) -> [u8; 64] {
        let mut bytes = [0u8; 64];
        assert_eq!(
            self.copy("cuMemcpyDtoHAsync_v2", bytes.as_mut_ptr().cast(), memory, 64, stream),
            0
        );
        bytes
    }

    /// Captures `work`; returns the graph and the status of the end of the capture.
    fn capture(&self, stream: Address, work: impl FnOnce()) -> (Address, c_int) {
        assert_eq!(
            self.get::<extern "C" fn(Address, c_int) -> c_int>("cuStreamBeginCapture_v2")(
                stream, 1
            ),
            0
        );
        work();
        let mut graph = null_mut();
        let status = self
            .get::<extern "C" fn(Address, *mut Address) -> c_int>("cuStreamEndCapture")(
            stream, &mut graph,
        );
        (graph, status)
    }
}

/// Status codes of the driver API.
const UNSUPPORTED: c_int = 900;
const INVALIDATED: c_int = 901;

#[test]
fn a_graph_does_its_work_at_every_launch_and_not_before() {
    let driver = Driver::open();
    let stream = driver.stream();
    let (source, result) = (driver.allocate(64, stream), driver.allocate(64, stream));
    driver.fill(source, 1, 64, stream);
    let (graph, status) = driver.capture(stream, || {
        let between = driver.allocate(64, stream);
        assert_eq!(driver.copy("cuMemcpyDtoDAsync_v2", between, source, 64, stream), 0);
        assert_eq!(driver.copy("cuMemcpyDtoDAsync_v2", result, between, 64, stream), 0);
        assert_eq!(driver.free(between, stream), 0);
    });
    assert_eq!(status, 0);
    assert_eq!(driver.read(result, stream), [0xff; 64], "nothing has run");
    let launch = driver.get::<extern "C" fn(Address, Address) -> c_int>("cuGraphLaunch");
    for value in [1, 7] {
        driver.fill(source, value, 64, stream);
        assert_eq!(launch(graph, stream), 0);
        assert_eq!(driver.read(result, stream), [value; 64]);
    }
}

#[test]
fn what_a_capture_cannot_hold_is_refused_and_ends_it() {
    let driver = Driver::open();
    let stream = driver.stream();
    let memory = driver.allocate(64, stream);
    let mut host = [0u8; 64];
    let bytes: Address = host.as_mut_ptr().cast();
    let mut out = null_mut();
    type Take = extern "C" fn(*mut Address, usize) -> c_int;
    let refused = |what: &str, expected: c_int, work: &mut dyn FnMut() -> c_int| {
        let mut status = 0;
        let (_, end) = driver.capture(stream, || status = work());
        assert_eq!((status, end), (expected, INVALIDATED), "{what}");
    };
    refused("a copy from the host", UNSUPPORTED, &mut || {
        driver.copy("cuMemcpyHtoDAsync_v2", memory, bytes, 64, stream)
    });
    refused("a copy to the host", UNSUPPORTED, &mut || {
        driver.copy("cuMemcpyDtoHAsync_v2", bytes, memory, 64, stream)
    });
    refused("waiting", UNSUPPORTED, &mut || {
        driver.get::<extern "C" fn(Address) -> c_int>("cuStreamSynchronize")(stream)
    });
    refused("memory out of order", UNSUPPORTED, &mut || {
        driver.get::<Take>("cuMemAlloc_v2")(&mut out, 64)
    });
    refused("a module", UNSUPPORTED, &mut || {
        driver.get::<extern "C" fn(*mut Address, Address) -> c_int>("cuModuleLoadData")(
            &mut null_mut(),
            null_mut(),
        )
    });
    refused("memory from before", 1, &mut || driver.free(memory, stream));
    // The stream can be used again.
    driver.fill(memory, 3, 64, stream);
    assert_eq!(driver.read(memory, stream), [3; 64]);
}

/// In its lazy mode the driver copies from page-locked memory as late as it may. The mode is set per
/// process, so the test runs itself again.
#[test]
fn a_lazy_driver_reads_page_locked_memory_when_something_waits() {
    const INSIDE: &str = "KSCOPE_DRIVER_LAZY";
    if std::env::var_os(INSIDE).is_none() {
        let output = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "driver::a_lazy_driver_reads_page_locked_memory_when_something_waits",
            ])
            .env(INSIDE, "1")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let driver = Driver::open();
    let stream = driver.stream();
    let mut pinned = null_mut();
    let take = driver.get::<extern "C" fn(*mut Address, usize, u32) -> c_int>("cuMemHostAlloc");
    assert_eq!(take(&mut pinned, 64, 0), 0);
    let fill_pinned = |value: u8| {
        // SAFETY: 64 bytes of this process.
        unsafe { pinned.cast::<u8>().write_bytes(value, 64) }
    };
    let mut event = null_mut();
    let make = driver.get::<extern "C" fn(*mut Address, u32) -> c_int>("cuEventCreate");
    assert_eq!(make(&mut event, 0), 0);
    let record = driver.get::<extern "C" fn(Address, Address) -> c_int>("cuEventRecord");
    let query = driver.get::<extern "C" fn(Address) -> c_int>("cuEventQuery");
    let wait = driver.get::<extern "C" fn(Address) -> c_int>("cuEventSynchronize");
    assert_eq!((query(event), wait(event)), (0, 0), "an event that was never recorded");

    let (early, late) = (driver.allocate(64, stream), driver.allocate(64, stream));
    fill_pinned(1);
    let copy = |to| assert_eq!(driver.copy("cuMemcpyHtoDAsync_v2", to, pinned, 64, stream), 0);
    copy(early);
    assert_eq!((record(event, stream), query(event)), (0, 600), "recorded and not reached");
    assert_eq!((wait(event), query(event)), (0, 0));
    copy(late);
    fill_pinned(2);
    // Pageable memory is staged at the call.
    let staged = driver.allocate(64, stream);
    let mut here = [5u8; 64];
    let from: Address = here.as_mut_ptr().cast();
    assert_eq!(driver.copy("cuMemcpyHtoDAsync_v2", staged, from, 64, stream), 0);
    here.fill(6);
    let free = driver.get::<extern "C" fn(Address) -> c_int>("cuMemFreeHost");
    assert_eq!(free(pinned), 1, "page-locked memory that queued work reads");
    assert_eq!(driver.read(early, stream), [1; 64], "waited for before the memory changed");
    assert_eq!(driver.read(late, stream), [2; 64], "read late");
    assert_eq!(driver.read(staged, stream), [5; 64]);
    assert_eq!(free(pinned), 0);
    assert_eq!(here, [6; 64]);
}
